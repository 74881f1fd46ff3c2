# SPDX-License-Identifier: GPL-2.0-or-later
"""A floppy disk that the BIOS boots from, reads and writes."""
import struct
import subprocess

import pytest

from conftest import ROOT
from guest import Guest

SECTOR = 512


def sector(number):
    return struct.pack("<I", number).ljust(SECTOR, b"\0")


def make_image(tmp_path, per_track):
    """Of so many sectors a track; each begins with its number, but for the boot sector."""
    program = tmp_path / "floppy.o"
    boot = tmp_path / "boot"
    subprocess.run(["gcc", "-m32", "-c", f"-DSECTORS={per_track}", "-o", program,
                    ROOT / "tests/e2e/floppy.S"], check=True)
    subprocess.run(["ld", "-melf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", boot, program],
                   check=True)
    image = tmp_path / "image"
    image.write_bytes(boot.read_bytes() +
                      b"".join(sector(i) for i in range(1, 80 * 2 * per_track)))
    return image


@pytest.mark.parametrize("per_track", [9, 18, 36])
def test_boot(viv, tmp_path, per_track):
    image = make_image(tmp_path, per_track)
    first = (5 * 2 + 1) * per_track
    with Guest([viv, "run", "--floppy", image, "-m", "64M", "--no-reboot"]) as guest:
        for number in (first, first + per_track - 1, 0x0227):  # INT 11h: mouse, FPU, a floppy drive
            guest.expect(f"{number:04x}\n", timeout=120)
        assert guest.finish()[0] == 3  # it asked for a reset
    at = 6 * 2 * per_track * SECTOR
    assert image.read_bytes()[at:at + 2 * SECTOR] == sector(first) + sector(first + 1)
