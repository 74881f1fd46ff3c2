# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian installed from a CD onto an empty disk, which then boots by itself."""
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT
from guest import Guest
from test_boot import GUEST, bad_news, last_line

pytestmark = [pytest.mark.boot, pytest.mark.slow]
CD = BUILD / "cache/debian.iso"
HOUR = 3600


@pytest.fixture(scope="module")
def installer():
    """The CD of tools/mkinstaller."""
    subprocess.run([ROOT / "tools/mkguest", GUEST, "generic"], check=True)
    CD.parent.mkdir(exist_ok=True)
    subprocess.run([ROOT / "tools/mkinstaller", GUEST, CD], check=True)
    return CD


def login(guest):
    guest.expect("debian login: ", timeout=HOUR)
    guest.send("root\n")
    guest.expect("Password: ")
    guest.send("viv\n")
    guest.expect("root@debian:~# ")
    guest.send("exec sh\n")  # which decorates nothing
    guest.expect("[\r\n]# ")


def check_system(guest, root):
    assert last_line(guest.run("findmnt -no SOURCE /")) == root
    assert last_line(guest.run("systemctl is-system-running --wait")) == "running"
    guest.run("dpkg --audit >/tmp/audit && ! grep . /tmp/audit")
    log = guest.run("dmesg")
    assert kernel_bad_news(log) == []
    guest.run("cd / && cat /var/lib/dpkg/info/*.md5sums | md5sum --quiet -c", timeout=HOUR)


def kernel_bad_news(output):
    """Of what a console shows: programs install, and so `stall`, as they like."""
    return bad_news("\n".join(re.findall(r"^\[ *\d+\.\d+\] (?!systemd).*", output, re.MULTILINE)))


@pytest.mark.parametrize("board, disk, cd, root", [
    ("pc", "ide", "ide", "/dev/sda1"),
    ("pc", "sata", "ide", "/dev/sda1"),
    ("pc", "nvme", "ide", "/dev/nvme0n1p1"),
    ("q35", "sata", "sata", "/dev/sda1"),
    ("q35", "nvme", "sata", "/dev/nvme0n1p1"),
])
def test_install(viv, installer, tmp_path, board, disk, cd, root):
    """Partitions, makes a file system, unpacks and configures 170 packages, the kernel and GRUB among them,
    and reboots: BIOS, GRUB, kernel and systemd from the disk, to a login. Takes five minutes of CPU time."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, 3 << 30)
    with Guest([viv, "run", "--board", board, "-m", "1G", "--disk", f"{image},bus={disk}", "--cdrom",
                f"{installer},bus={cd}", "--reboot", "--stats"]) as guest:
        assert guest.expect(r"viv-guest: exit (\d+)", timeout=HOUR)[1] == b"0"
        login(guest)
        check_system(guest, root)
        guest.send("poweroff\n")
        status, output, errors = guest.finish(timeout=HOUR)
    image.unlink()
    print(errors)
    assert status == 0, errors
    assert kernel_bad_news(output) == []
