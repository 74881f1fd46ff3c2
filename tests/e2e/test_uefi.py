# SPDX-License-Identifier: GPL-2.0-or-later
"""What UEFI boots, seen on the screen and driven by the keyboard."""
import re
import time

import pytest

import media
from pc import PATIENCE, Pc
from test_bios import wait_for_blue, wait_for_change

YELLOW = (255, 255, 0)
# The frame buffer is graphics: what programs write is seen on the serial port, too.
MEMTEST_CONFIG = "set timeout=0\nmenuentry memtest { linux /boot/memtest console=ttyS0,115200 }\n"
INSTALLER_CONFIG = ("set timeout=0\nmenuentry install { linux /boot/linux --- \n initrd /boot/initrd.gz\n }\n")


class Uefi(Pc):
    """Its texts come by the serial port, where OVMF writes what it shows."""

    def __init__(self, viv, tmp_path, name, *options):
        self.log = tmp_path / f"{name}.log"
        super().__init__(viv, name, "--firmware", "uefi", "-m", "256M", "--serial", f"file:{self.log}", *options)

    def expect(self, text, seconds=PATIENCE):
        """Until what was printed matches the expression; all of it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = re.sub(r"\x1b\[[\d;?=]*[A-Za-z]", "", self.log.read_text(errors="replace"))
            if re.search(text, seen):
                return seen
            time.sleep(0.05)
        raise AssertionError(f"{text!r} did not come:\n{seen[-2000:]}")


def test_shell(viv, tmp_path):
    with Uefi(viv, tmp_path, "shell") as pc:
        pc.expect("Shell>")
        pc.type("ver\n")
        pc.expect(r"Shell> ver\s+UEFI Interactive Shell v2.2")
        picture = pc.screenshot(tmp_path / "shot.png")
        assert (picture.width, picture.height) == (1280, 800)
        assert YELLOW in [colour for colour, _ in picture.colours()]


def test_smbios(viv, tmp_path):
    uuid = "01234567-89ab-4cde-8f01-23456789abcd"
    with Uefi(viv, tmp_path, "smbios", "--board", "q35", "--cpus", 2, "--uuid", uuid) as pc:
        pc.expect("Shell>")
        pc.type("smbiosview -t 1\n")
        seen = pc.expect(r"(?s)Manufacturer: Vivarium.*Shell>")
        assert "ProductName: q35" in seen and "67 45 23 01 AB 89 DE 4C-8F 01 23 45" in seen, seen


def test_boot_manager(viv, tmp_path):
    """Esc, while OVMF waits, opens its front page; which boots the shell from the boot manager."""
    with Uefi(viv, tmp_path, "front", "--boot", "menu,disk,cd") as pc:
        deadline = time.monotonic() + PATIENCE
        while "Boot Manager" not in pc.log.read_text(errors="replace") and time.monotonic() < deadline:
            pc.key("esc")
            time.sleep(0.1)
        pc.expect("Boot Manager")


def test_variables_persist(viv, tmp_path):
    variables = tmp_path / "vars.fd"
    with Uefi(viv, tmp_path, "set", "--vars", variables) as pc:
        pc.expect("Shell>")
        pc.type("setvar VivTest -guid 12345678-1234-1234-1234-123456789abc -nv -bs =0x55aa55aa\n")
        pc.expect("(?s)Shell> setvar.*Shell>")
        pc.type("setvar VivTest -guid 12345678-1234-1234-1234-123456789abc\n")
        pc.expect("AA 55 AA 55")
        pc.type("reset -s\n")
        assert pc.wait_end() == 0
    with Uefi(viv, tmp_path, "get", "--vars", variables) as pc:
        pc.expect("Shell>")
        pc.type("setvar VivTest -guid 12345678-1234-1234-1234-123456789abc\n")
        pc.expect("AA 55 AA 55")


@pytest.mark.parametrize("options", [["bus=ide"], ["bus=sata"], ["bus=nvme"], ["bus=scsi"], []],
                         ids=lambda options: options[0] if options else "virtio")
def test_grub_from_an_efi_disk(viv, tmp_path, options):
    """GRUB, made for UEFI, from an EFI system partition."""
    program, config = tmp_path / "grubx64.efi", tmp_path / "grub.cfg"
    config.write_text("echo platform is viv${grub_platform}a\n")
    media.run("grub-mkimage", "-O", "x86_64-efi", "-o", program, "-c", config, "-p", "/EFI", "normal", "echo",
              "part_gpt", "fat", "ls")
    disk = media.efi_disk(tmp_path, program, {})
    with Uefi(viv, tmp_path, "efigrub", "--disk", ",".join([str(disk), *options])) as pc:
        pc.expect("vivefia")
        pc.expect("grub>")


def test_memtest(viv, tmp_path):
    """Its own EFI program, from a disk; it writes to the frame buffer alone."""
    disk = media.efi_disk(tmp_path, media.MEMTEST_EFI, {})
    shot = tmp_path / "shot.png"
    with Uefi(viv, tmp_path, "efimemtest", "--disk", disk) as pc:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            colours = [colour for colour, share in pc.screenshot(shot).colours()[:3] if share > 0.05]
            if (0, 0, 170) in colours or (0, 0, 168) in colours:
                return
            time.sleep(1)
        raise AssertionError(f"memtest86+ did not appear: {colours}")


@pytest.mark.boot
@pytest.mark.slow
def test_installer(viv, tmp_path):
    folder = media.installer("text")
    cd = media.grub_cd(tmp_path, {"linux": folder / "linux", "initrd.gz": folder / "initrd.gz"},
                       INSTALLER_CONFIG)
    with Uefi(viv, tmp_path, "efiinstall", "-m", "1G", "--cdrom", cd) as pc:
        shot = tmp_path / "shot.png"
        wait_for_blue(pc, shot)
        before = pc.screenshot(shot)
        pc.key("down")
        wait_for_change(pc, shot, before)
