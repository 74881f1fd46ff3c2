# SPDX-License-Identifier: GPL-2.0-or-later
"""The Linux kernel's own x86 self-tests, in the guest and beside it on the host.

Run alone, this file prints the table of docs/selftests.md.
"""
import dataclasses
import pathlib
import platform
import re
import subprocess
import tarfile
import urllib.parse

import pytest

from conftest import BUILD, ROOT
from guest import Guest

PROGRAMS = ROOT / "build/selftests"
GUESTS = ROOT / "build/guest"
SCRIPT = ROOT / "tests/e2e/selftests.sh"
SECONDS = 2400
KILLED = 128 + 9
SKIPPED = 4  # kselftest.h

# What each column's guest has: its kernel, and the programs that are for it.
COLUMNS = {"cloud": ("_64", "_32"), "i386-pae": ("_32",)}
# (program, column): why the guest's result is another one than the host's.
KNOWN = {
}


@dataclasses.dataclass
class Result:
    status: int
    ok: int
    fail: int
    skip: int

    @property
    def outcome(self):
        if self.status == KILLED:
            return "hangs"
        if self.status == SKIPPED or (self.status == 0 and not self.ok and self.skip):
            return "skip"
        return "fail" if self.status or self.fail else "pass"

    def __str__(self):
        return f"{self.outcome} ({self.ok}/{self.fail}/{self.skip})"


def parse(text):
    return {name: Result(*map(int, numbers.split())) for name, numbers in
            re.findall(r"^RESULT (\S+)((?: \d+){4})\r*$", text, re.MULTILINE)}


def run_native():
    """Beside a copy of the script, as in the guest."""
    done = subprocess.run(["sh", PROGRAMS / SCRIPT.name, "_64", "_32"], capture_output=True,
                          text=True, timeout=SECONDS)
    return parse(done.stdout), done.stdout


def disk_image(path):
    """A tar archive of programs and script, which the guest reads as a disk."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for file in sorted(p for p in PROGRAMS.iterdir() if p.name != "disk"):
            archive.add(file, file.name)


def run_guest(viv, column, disk):
    command = "mkdir /run/t && tar -xf /dev/vda -C /run/t && sh /run/t/selftests.sh " + \
        " ".join(COLUMNS[column])
    argv = [viv, "run", "--kernel", GUESTS / column / "vmlinuz",
            "--initrd", GUESTS / column / "initrd.gz", "--cpus", "2", "-m", "1G",
            "--disk", f"{disk},ro", "--append",
            f"console=ttyS0 viv_end=poweroff viv_cmd={urllib.parse.quote(command)}"]
    with Guest(argv) as guest:
        guest.expect("viv-guest: exit 0", timeout=SECONDS)
        text = guest.output.decode(errors="replace")
        assert guest.finish()[0] == 0
    return parse(text), text


def prepare():
    for tool, where in (("mkselftests", [PROGRAMS]), ("mkguest", [GUESTS, *COLUMNS])):
        subprocess.run([ROOT / "tools" / tool, *where], check=True)
    (PROGRAMS / SCRIPT.name).write_bytes(SCRIPT.read_bytes())


def judge(results):
    """Yields what no row of KNOWN explains."""
    native = results["native"]
    for column in COLUMNS:
        ours = {name: result for name, result in native.items()
                if name.endswith(COLUMNS[column])}
        for name in ours:
            got = results[column].get(name)
            if got is None:
                yield f"{name} on {column}: did not run"
            elif got.outcome not in ("pass", ours[name].outcome) and (name, column) not in KNOWN:
                yield f"{name} on {column}: {got}, natively {ours[name]}"


def table(results):
    columns = list(results)
    lines = [f"| program | {' | '.join(columns)} | why they differ |",
             f"|---|{'---|' * len(columns)}---|"]
    for name in sorted(set().union(*results.values())):
        why = "; ".join(KNOWN[name, column] for column in COLUMNS if (name, column) in KNOWN)
        cells = [str(results[column].get(name, "")) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {why} |")
    return "\n".join(lines)


def run_all(viv, folder):
    prepare()
    texts = {}
    results = {}
    results["native"], texts["native"] = run_native()
    disk_image(folder / "disk")
    for column in COLUMNS:
        results[column], texts[column] = run_guest(viv, column, folder / "disk")
    return results, texts


@pytest.mark.slow
@pytest.mark.boot
def test_kernel_selftests(viv, tmp_path):
    results, texts = run_all(viv, tmp_path)
    print(table(results))
    assert len(results["native"]) >= 20
    complaints = list(judge(results))
    failures = [line for text in texts.values() for line in text.splitlines() if "[FAIL]" in line]
    assert complaints == [], "\n".join([table(results), *complaints, *failures])


def main():
    results, _ = run_all(str(BUILD / "src/cli/viv"), pathlib.Path(PROGRAMS))
    print(f"Host: Linux {platform.release()}. Self-tests: Debian {(PROGRAMS / 'version').read_text()}.\n")
    print(table(results))
    return "\n".join(judge(results))


if __name__ == "__main__":
    raise SystemExit(main())
