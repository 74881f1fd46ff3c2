# SPDX-License-Identifier: GPL-2.0-or-later
"""What our tools fetch from Debian's archive, by apt-get; nothing is installed."""
import os
import pathlib
import re
import shutil
import subprocess
import sys


class Failed(Exception):
    """What a human must be told."""


def say(text):
    print(f"{pathlib.Path(sys.argv[0]).name}: {text}", flush=True)


def run(*argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"`{' '.join(map(str, argv))}` failed: {done.stderr.strip()}")
    return done.stdout


def run_bytes(*argv, stdin=None):
    done = subprocess.run(argv, stdin=stdin, capture_output=True)
    if done.returncode:
        raise Failed(f"`{' '.join(map(str, argv))}` failed: {done.stderr.decode().strip()}")
    return done.stdout


class Apt:
    """The packages of one architecture; for another than the host's, or from other sources (lines of
    sources.list), with lists of its own, so that the host's configuration stays as it is."""

    def __init__(self, architecture, scratch, sources=()):
        self.scratch = scratch / architecture
        self.scratch.mkdir(exist_ok=True)
        self.private = bool(sources) or architecture != run("dpkg", "--print-architecture").strip()
        self.options = []
        if self.private:
            state = self.scratch.resolve() / "apt"
            for folder in ("lists/partial", "cache/archives/partial"):
                (state / folder).mkdir(parents=True, exist_ok=True)
            settings = {"APT::Architecture": architecture, "APT::Architectures": architecture,
                        "Dir::State::lists": state / "lists", "Dir::Cache": state / "cache",
                        "Dir::State::status": "/dev/null"}
            if sources:
                (state / "sources.list").write_text("".join(f"{line}\n" for line in sources))
                settings |= {"Dir::Etc::SourceList": state / "sources.list",
                             "Dir::Etc::SourceParts": "/dev/null"}
            self.options = [f"-o{name}={value}" for name, value in settings.items()]

    def with_lists(self, action):
        """Does what needs the package lists, fetching them where that fails without."""
        try:
            return action()
        except Failed:
            say("updating apt's package lists")
            as_root = ["sudo"] if os.geteuid() and not self.private else []
            try:
                run(*as_root, "apt-get", *self.options, "update")
            except Failed as error:  # one list of several may be broken, and not be needed
                say(str(error).splitlines()[-1])
            return action()

    def kernel_package(self, meta):
        """The package of the current kernel, which a flavour's meta package depends on."""
        found = re.search(r"Depends: (linux-image-\S+)",
                          run("apt-cache", *self.options, "depends", meta))
        if not found:
            raise Failed(f"apt does not say which kernel {meta} stands for: run `apt-get update`")
        return found[1]

    def mirror(self):
        """The URL of the Debian archive that apt is told to use."""
        found = run("apt-get", *self.options, "indextargets", "--format", "$(REPO_URI)",
                    "Created-By: Packages", "Origin: Debian", "Label: Debian").split()
        if not found:
            raise Failed("apt knows no Debian archive: run `apt-get update`, or add one to apt's sources")
        return found[0]

    def version(self, package):
        """Of what download() fetches."""
        return re.search(r"Candidate: (\S+)", run("apt-cache", *self.options, "policy", package))[1]

    def download_to(self, folder, *packages):
        folder.mkdir(exist_ok=True)
        try:
            run("apt-get", *self.options, "download", *packages, cwd=folder)
        except Failed as error:
            missing = re.findall(r"^E: (Failed to fetch .*?) *(?:\[IP: .*)?$", str(error), re.MULTILINE)
            raise Failed("; ".join(missing) or str(error)) from None

    def download(self, package):
        """The package's file; `package` may name a version, NAME=VERSION."""
        say(f"fetching {package}")
        debs = self.scratch / f"{package.partition('=')[0]}.deb.d"
        self.download_to(debs, package)
        return next(debs.glob("*.deb"))

    def fetch(self, package):
        """The folder a package's files are unpacked in."""
        where = self.scratch / package
        if not where.exists():
            run("dpkg-deb", "--extract", self.download(package), where)
        return where

    def get(self, package):
        return self.with_lists(lambda: self.fetch(package))

    def get_file(self, package, path):
        """The bytes of one file of a package too large to unpack."""
        deb = self.with_lists(lambda: self.download(package))
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
            return run_bytes("tar", "--extract", "--to-stdout", f"./{path}", stdin=tar.stdout)

    def get_kernel(self, meta):
        return self.get(self.with_lists(lambda: self.kernel_package(meta)))


class Stanza(dict):
    """What a package list says of one package."""

    def __init__(self, text):
        super().__init__(re.findall(r"^(\S+): (.*)$", text, re.MULTILINE))
        self.text = text


class Bare(Apt):
    """The packages for a system that has none yet."""

    def __init__(self, architecture, scratch, sources=()):
        super().__init__(architecture, scratch, sources)
        self.options += [f"-oDir::{name}" for name in ("State::status=/dev/null", "Cache::pkgcache=",
                                                       "Cache::srcpkgcache=")]

    def stanzas(self, *query):
        texts = run("apt-cache", *self.options, *query).split("\n\n")
        return [Stanza(text) for text in texts if text.strip()]

    def closure(self, packages):
        """These and all that they need: {name: version}."""
        log = run("apt-get", *self.options, "--simulate", "--no-install-recommends", "install", *packages)
        return dict(re.findall(r"^Inst (\S+) \((\S+) ", log, re.MULTILINE))

    def download_all(self, versions, folder):
        """The packages of {name: version}, to where their stanzas say, under the folder; returns those."""
        named = [f"{name}={version}" for name, version in versions.items()]
        say(f"fetching {len(named)} packages")
        debs = self.scratch / "all"
        self.download_to(debs, *named)
        stanzas = {stanza["Package"]: stanza for stanza in self.stanzas("show", *named)}
        for name, stanza in stanzas.items():
            deb, = debs.glob(f"{name}_*.*deb")
            path = folder / stanza["Filename"]
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(deb, path)
        return stanzas
