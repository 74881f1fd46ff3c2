# SPDX-License-Identifier: GPL-2.0-or-later
"""What a BIOS boots, seen on the screen and driven by the keyboard."""
import json
import re
import subprocess
import time

import pytest

import media
from pc import PATIENCE, Pc

MEMTEST_CONFIG = "set timeout=0\nmenuentry memtest { linux /boot/memtest }\n"
INSTALLER_CONFIG = "DEFAULT install\nLABEL install\n KERNEL /linux\n APPEND initrd=/initrd.gz vga=788 ---\n"


@pytest.mark.parametrize("options", [
    ["--cdrom", media.RESCUE_CD],
    ["--cdrom", f"{media.RESCUE_CD},bus=sata"],
    ["--disk", f"{media.RESCUE_CD},ro,bus=ide"],
    ["--disk", f"{media.RESCUE_CD},ro,bus=sata"],
    ["--disk", f"{media.RESCUE_CD},ro,bus=nvme"],
    ["--disk", f"{media.RESCUE_CD},ro,bus=scsi"],
    ["--disk", f"{media.RESCUE_CD},ro"],
    ["--floppy", f"{media.RESCUE_FLOPPY},ro"],
], ids=lambda options: re.sub(r"/.*/[\w.-]*", "", " ".join(map(str, options))).strip("-"))
def test_grub_rescue(viv, options):
    with Pc(viv, "grub", "-m", "128M", *options) as pc:
        pc.wait("GNU GRUB")
        pc.key("c")
        pc.wait("grub>")
        pc.type("echo viv${grub_platform}a\n")
        pc.wait("vivpca")


def test_boot_order(viv):
    with Pc(viv, "order", "-m", "128M", "--disk", f"{media.RESCUE_CD},ro", "--cdrom", media.RESCUE_CD,
            "--boot", "cd,disk") as pc:
        pc.wait("GNU GRUB")
        pc.key("c")
        pc.wait("grub>")
        pc.type("echo $root\n")
        pc.wait("\nhd96")  # drive E0h, which is the CD's


def test_boot_menu(viv):
    with Pc(viv, "menu", "-m", "128M", "--cdrom", media.RESCUE_CD, "--disk", f"{media.RESCUE_CD},ro",
            "--boot", "disk,cd,menu") as pc:
        pc.wait("Press ESC for boot menu")
        pc.key("esc")
        menu = pc.wait("Select boot device")
        number = re.search(r"(\d)\. DVD/CD", menu).group(1)
        pc.type(number)
        pc.wait("GNU GRUB")
        pc.key("c")
        pc.wait("grub>")


@pytest.mark.parametrize("board", ["pc", "q35"])
def test_kvm(viv, board):
    """ROMs, shadowing and what is told of SMIs, under the host's processor."""
    doctor = subprocess.run([viv, "doctor", "--json"], capture_output=True, check=True).stdout
    if not json.loads(doctor)["engines"]["kvm"]["runs"]:
        pytest.skip("no KVM here")
    with Pc(viv, f"kvm-{board}", "-m", "64M", "--engine", "kvm", "--board", board, "--cpus", "2",
            "--cdrom", "none") as pc:
        pc.wait("No bootable device")


def test_media_change(viv):
    """What is in the drive at a reset is booted."""
    with Pc(viv, "media", "-m", "128M", "--cdrom", "none") as pc:
        pc.wait("No bootable device")
        pc.call("insert", "media", media.RESCUE_CD)
        pc.call("reset", "media")
        pc.wait("GNU GRUB")
        pc.call("eject", "media", "cd0")
        pc.call("reset", "media")
        pc.wait("No bootable device")


def run_memtest(pc):
    """Leaves out test 10, which waits for minutes."""
    pc.wait("to start testing")
    pc.key("f1")
    pc.wait("Test selection")
    pc.key("f1")
    pc.wait("Remove one test")
    pc.key("f2")
    pc.wait("Enter test #")
    pc.type("10\n")
    pc.wait("*.********.")
    pc.key("f10", "f10")
    screen = pc.wait("Status: Pass", 600)
    assert re.search(r"Errors: 0\b", screen), screen
    assert int(re.search(r"Pass:\s+(\d+)", screen).group(1)) >= 1


@pytest.mark.parametrize("cpus", [1, 2])
def test_memtest(viv, tmp_path, cpus):
    cd = media.grub_cd(tmp_path, {"memtest": media.MEMTEST}, MEMTEST_CONFIG)
    with Pc(viv, f"memtest{cpus}", "-m", "16M", "--cpus", cpus, "--cdrom", cd) as pc:
        run_memtest(pc)
        assert re.search(r"1 Cores 1 Threads" if cpus == 1 else r"SMP: 2T", pc.text())
        assert "Vivarium pc" in pc.text()  # by SMBIOS


def test_syslinux(viv, tmp_path):
    """From a FAT disk; it starts memtest86+, which is a kernel to it."""
    config = "DEFAULT memtest\nPROMPT 1\nSAY hello from SYSLINUX\nLABEL memtest\n KERNEL memtest\n"
    disk = media.syslinux_disk(tmp_path, {"memtest": media.MEMTEST}, config)
    with Pc(viv, "syslinux", "-m", "64M", "--disk", f"{disk},bus=ide") as pc:
        pc.wait("hello from SYSLINUX")
        pc.wait("boot:")
        pc.type("memtest\n")
        pc.wait("Memtest86+ v6")


def test_nothing_to_boot(viv):
    with Pc(viv, "nothing", "-m", "64M", "--firmware", "bios") as pc:
        pc.wait("No bootable device")


@pytest.mark.boot
def test_installer(viv, tmp_path):
    """Debian's installer asks its first question on a frame buffer; it obeys the keyboard."""
    folder = media.installer("text")
    cd = media.isolinux_cd(tmp_path, {"linux": folder / "linux", "initrd.gz": folder / "initrd.gz"},
                           INSTALLER_CONFIG)
    with Pc(viv, "installer", "-m", "1G", "--cdrom", cd) as pc:
        shot = tmp_path / "shot.png"
        wait_for_blue(pc, shot)
        before = pc.screenshot(shot)
        assert (before.width, before.height) == (1280, 800)
        pc.key("down")
        wait_for_change(pc, shot, before)


def wait_for_blue(pc, shot):
    """The background of the installer's questions. Pictures are looked at one a second."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        picture = pc.screenshot(shot)
        if (picture.width, picture.height) == (1280, 800) and picture.pixel(4, 400) == (0, 0, 170):
            return
        time.sleep(1)
    raise AssertionError("the installer did not appear")


def wait_for_change(pc, shot, before):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if pc.screenshot(shot).rows != before.rows:
            return
    raise AssertionError("nothing changed on the screen")


def test_resets(viv, tmp_path):
    """With firmware a guest's reset starts it again, unless it is told not to."""
    with Pc(viv, "again", "-m", "64M", "--cdrom", media.RESCUE_CD) as pc:
        pc.wait("GNU GRUB")
        pc.key("c")
        pc.wait("grub>")
        pc.type("reboot\n")
        pc.wait("The highlighted entry")
        pc.key("c")
        pc.wait("grub>")
        pc.type("halt\n")
        assert pc.wait_end() == 0
    with Pc(viv, "once", "-m", "64M", "--no-reboot", "--cdrom", media.RESCUE_CD) as pc:
        pc.wait("GNU GRUB")
        pc.key("c")
        pc.wait("grub>")
        pc.type("reboot\n")
        assert pc.wait_end() == 3
