# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and CDs that firmware boots from, made of what Debian's packages install."""
import os
import pathlib
import shutil
import subprocess

RESCUE_CD = pathlib.Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
RESCUE_FLOPPY = pathlib.Path("/usr/lib/grub-rescue/grub-rescue-floppy.img")
MEMTEST = pathlib.Path("/boot/memtest86+x64.bin")
MEMTEST_EFI = pathlib.Path("/boot/memtest86+x64.efi")
INSTALLER = pathlib.Path("/usr/lib/debian-installer/images/12/amd64")


# Users' paths lack the folders of what formats disks.
ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def run(*argv, text=None):
    subprocess.run(list(map(str, argv)), check=True, capture_output=True, timeout=120, env=ENVIRONMENT,
                   input=text and text.encode())


def installer(flavour):
    """The folder with the installer's kernel and initrd: text or gtk."""
    return INSTALLER / flavour / "debian-installer/amd64"


def grub_cd(folder, files, config):
    """A CD with GRUB for BIOS and UEFI; `files`: name on the CD -> path."""
    tree = folder / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(config)
    for name, path in files.items():
        shutil.copy(path, tree / "boot" / name)
    run("grub-mkrescue", "-o", folder / "grub.iso", tree)
    return folder / "grub.iso"


def isolinux_cd(folder, files, config):
    tree = folder / "tree"
    (tree / "isolinux").mkdir(parents=True)
    (tree / "isolinux/isolinux.cfg").write_text(config)
    shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", tree / "isolinux")
    shutil.copy("/usr/lib/syslinux/modules/bios/ldlinux.c32", tree / "isolinux")
    for name, path in files.items():
        shutil.copy(path, tree / name)
    run("xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "isolinux.iso", "-b", "isolinux/isolinux.bin",
        "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree)
    return folder / "isolinux.iso"


def syslinux_disk(folder, files, config, megabytes=32):
    """A FAT disk without partitions, as a floppy or a superfloppy has it."""
    image = folder / "syslinux.img"
    image.write_bytes(bytes(megabytes << 20))
    run("mkfs.vfat", "-F", "16", image)
    (folder / "syslinux.cfg").write_text(config)
    run("mcopy", "-i", image, folder / "syslinux.cfg", "::syslinux.cfg")
    for name, path in files.items():
        run("mcopy", "-i", image, path, f"::{name}")
    run("syslinux", "--install", image)
    return image


def efi_disk(folder, program, files, megabytes=32):
    """A GPT disk whose EFI system partition starts `program` by itself; `files`: path on it -> path."""
    image, system, first = folder / "efi.img", folder / "efi.fat", 2048
    system.write_bytes(bytes((megabytes - 2) << 20))
    run("mkfs.vfat", system)
    made = set()
    for name, path in {"EFI/BOOT/BOOTX64.EFI": program, **files}.items():
        for parent in reversed(pathlib.PurePosixPath(name).parents[:-1]):
            if parent not in made:
                run("mmd", "-i", system, f"::{parent}")
            made.add(parent)
        run("mcopy", "-i", system, path, f"::{name}")
    image.write_bytes(bytes(megabytes << 20))
    run("sfdisk", "--quiet", image, text=f"label: gpt\nstart={first}, type=uefi\n")
    with image.open("r+b") as disk:
        disk.seek(first * 512)
        disk.write(system.read_bytes())
    return image
