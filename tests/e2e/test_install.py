# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian installed by its own installer onto an empty disk, which then boots by itself."""
import functools
import http.server
import os
import re
import subprocess
import threading

import pytest

from conftest import BUILD, ROOT
from guest import Guest
from test_boot import bad_news, last_line

pytestmark = [pytest.mark.boot, pytest.mark.slow]
MIRROR = BUILD / "cache/installer"
HOUR = 3600


class Files(http.server.SimpleHTTPRequestHandler):
    """Of what it is asked for, tells what is not there."""

    def log_request(self, code="-", size="-"):
        if code != http.HTTPStatus.OK:
            super().log_request(code, size)

    def log_error(self, *what):
        """log_request() says more."""


@pytest.fixture(scope="module")
def installer(tmp_path_factory):
    """The CD of tools/mkinstaller, whose mirror is being served."""
    MIRROR.parent.mkdir(exist_ok=True)
    cd = tmp_path_factory.mktemp("installer") / "debian.iso"
    serve = functools.partial(Files, directory=MIRROR)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        url = f"http://10.0.2.2:{server.server_port}"  # where guests see the host's loopback
        made = subprocess.run([ROOT / "tools/mkinstaller", MIRROR, url, cd], stderr=subprocess.PIPE,
                              text=True)
        assert made.returncode == 0, made.stderr
        threading.Thread(target=server.serve_forever).start()
        yield cd
        server.shutdown()


def login(guest):
    # What the installer asks, it waits for: the answers are in tools/installer/preseed.cfg.
    assert guest.expect("debian login: |Prompt: '|!! ERROR", timeout=HOUR)[0] == b"debian login: "
    guest.send("root\n")
    guest.expect("Password: ")
    guest.send("viv\n")
    guest.expect("root@debian:~# ")
    guest.send("exec sh\n")  # which decorates nothing
    guest.expect("[\r\n]# ")


def check_system(guest, root):
    assert last_line(guest.run("findmnt -no SOURCE /")) == root
    assert last_line(guest.run("systemctl is-system-running --wait", timeout=HOUR)) == "running"
    guest.run("dpkg --audit >/tmp/audit && ! grep . /tmp/audit", timeout=HOUR)
    log = guest.run("dmesg")
    assert kernel_bad_news(log) == []
    guest.run("cd / && cat /var/lib/dpkg/info/*.md5sums | md5sum --quiet -c", timeout=HOUR)


def kernel_bad_news(output):
    """Of what a console shows: programs install, and so `stall`, as they like."""
    return bad_news("\n".join(re.findall(r"^\[ *\d+\.\d+\] (?!systemd).*", output, re.MULTILINE)))


@pytest.mark.parametrize("board, disk, cd, root", [
    ("pc", "ide", "ide", "/dev/sda1"),
    ("q35", "sata", "sata", "/dev/sda1"),
    ("q35", "nvme", "sata", "/dev/nvme0n1p1"),
])
def test_install(viv, installer, tmp_path, board, disk, cd, root):
    """BIOS, GRUB and debian-installer from a CD, which partitions, makes a file system, fetches, unpacks and
    configures Debian 13's base system, a kernel and GRUB, and reboots: BIOS, GRUB, kernel and systemd from
    the disk, to a login. Takes eleven minutes of CPU time, and one more the first time, for the mirror."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, 3 << 30)
    with Guest([viv, "run", "--board", board, "-m", "1G", "--disk", f"{image},bus={disk}", "--cdrom",
                f"{installer},bus={cd}", "--stats"]) as guest:
        login(guest)
        check_system(guest, root)
        guest.send("poweroff\n")
        status, output, errors = guest.finish(timeout=HOUR)
    image.unlink()
    print(errors)
    assert status == 0, errors
    assert kernel_bad_news(output) == []
