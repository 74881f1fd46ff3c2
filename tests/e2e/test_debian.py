# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Debian: built from where the host's apt gets its packages, booted, entered."""
import functools
import hashlib
import http.server
import json
import subprocess
import threading

import pytest

from guest import Guest
from store import Store

pytestmark = [pytest.mark.slow, pytest.mark.boot]
BUILD_S = BOOT_S = 1800  # of a busy host
UNREACHABLE = ("no source of Debian", "Failed to fetch", "Could not resolve", "Could not connect", "Unable to locate")


@pytest.fixture(scope="module")
def store(viv, tmp_path_factory):
    store = Store(viv, tmp_path_factory.mktemp("debian"), BUILD_S)
    done = store.try_run("image", "build", "debian")
    if done.returncode and any(text in done.stderr for text in UNREACHABLE):
        pytest.skip(f"the mirror of this host's apt is not reached: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return store


def ssh(store, name, command):
    return store.run("ssh", "-t", BOOT_S, name, command)


class Running:
    """A VM in the background; shut down by its power button."""

    def __init__(self, store, name):
        self.store, self.name = store, name

    def __enter__(self):
        self.store.run("start", self.name)
        return functools.partial(ssh, self.store, self.name)

    def __exit__(self, kind, *_):
        self.store.run(*(["kill"] if kind else ["stop", "--timeout", 300]), self.name)


def stanza(archive):
    fields = subprocess.run(["dpkg-deb", "--field", archive], check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return f"{fields}Filename: ./{archive.name}\nSize: {archive.stat().st_size}\nSHA256: {digest}\n"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """The port of an archive with iperf3, on the host's loopback."""
    folder = tmp_path_factory.mktemp("mirror")
    subprocess.run(["apt-get", "-q", "download", "iperf3", "libiperf0", "libsctp1"], cwd=folder, check=True)
    (folder / "Packages").write_text("\n".join(map(stanza, folder.glob("*.deb"))))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def install_iperf3(run, mirror):
    run("sudo sh -c 'echo deb [trusted=yes] http://10.0.2.2:%d ./ >/etc/apt/sources.list'" % mirror)
    run("sudo apt-get -q update && sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install iperf3")


def identity(run):
    return run("cat /etc/machine-id; sudo cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub; hostname").split()


def test_debian(store, mirror):
    """As a user has it: a console to log in at, a shell by ssh, a network, a disk that grew and stays."""
    vm = store.json("create", "web", "--image", "debian", "--disk-size", "10G")
    with Guest([store.viv, "run", "debian", "--name", "web"], env=store.env) as guest:
        guest.expect("web login: ", BOOT_S)
        guest.send(vm["user"] + "\n")
        guest.expect("Password: ")
        guest.send(vm["password"] + "\n")
        guest.expect(r"debian@web:~\$ ", BOOT_S)
        run = functools.partial(ssh, store, "web")
        assert run("systemctl is-system-running --wait").strip() == "running"
        assert run("systemctl --failed --no-legend") == ""
        assert int(run("df --output=size -BG / | tail -1").strip(" G\n")) >= 9
        install_iperf3(run, mirror)
        assert run("sudo grep -c '^debian:[*!]' /etc/shadow || true").strip() == "0"
        assert json.loads(store.run("agent", "web", '{"execute":"guest-get-host-name"}'))["return"]["host-name"] == "web"
        done = store.try_run("ssh", "web", "exit 7")
        assert done.returncode == 7
        before = identity(run)
        run("sudo touch /kept; sync")
        store.run("stop", "--timeout", 300, "web")
        guest.finish()
    clone = store.json("clone", "web", "web2")
    assert clone["password"] != vm["password"]
    with Running(store, "web2") as run:
        assert run("systemctl is-system-running --wait").strip() == "running"
        after = identity(run)
        run("test -e /kept")
    assert [one for one, other in zip(before, after) if one == other] == []
    store.run("image", "seal", "golden", "--vm", "web")
    store.run("create", "web3", "--image", "golden")
    with Running(store, "web3") as run:
        assert run("systemctl is-system-running --wait").strip() == "running"
        third = identity(run)
        run("test -e /kept")
    assert len({*before, *after, *third}) == 9


def test_private_network(store, mirror):
    """Two machines find each other by their names, with nothing configured, and talk fast."""
    for name in ("one", "two"):
        store.run("create", name, "--image", "debian", "--net", "user", "--net", "private=lab")
    with Running(store, "one") as one, Running(store, "two") as two:
        for run in (one, two):
            assert run("systemctl is-system-running --wait").strip() == "running"
            install_iperf3(run, mirror)
        one("ping -c 3 -W 10 two.local")
        two("ping -c 3 -W 10 one.local")
        one("iperf3 --server --daemon")
        report = json.loads(two("iperf3 --json --time 3 --client one.local"))
        assert report["end"]["sum_received"]["bytes"] > 1 << 20


def test_uefi(store):
    store.run("create", "uefi", "--image", "debian", "--firmware", "uefi")
    with Running(store, "uefi") as run:
        run("test -d /sys/firmware/efi")
        assert run("systemctl is-system-running --wait").strip() == "running"


def test_rootless_build_says_what_is_missing(store):
    """Where a tool is missing: which package has it."""
    done = subprocess.run([store.viv, "image", "build", "debian"], env={**store.env, "PATH": "/nonexistent"},
                          capture_output=True, text=True)
    assert done.returncode == 1 and "apt-get install mmdebstrap" in done.stderr
