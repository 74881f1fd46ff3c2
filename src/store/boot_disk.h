/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A raw disk that both BIOS and UEFI boot, put together without root and loop devices:
 *
 *   MBR	 GRUB's boot.img in the protective MBR of a GPT
 *   1 MiB	 BIOS boot partition: GRUB's core.img
 *   2 MiB	 EFI system partition, FAT: EFI/BOOT/BOOTX64.EFI
 *   34 MiB	 root, ext4, to the end of the disk, so that it can grow
 */
#ifndef VIV_STORE_BOOT_DISK_H
#define VIV_STORE_BOOT_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "store/tool.h"

#define BOOT_DISK_SECTOR   512u
#define BOOT_DISK_CORE_LBA 2048u

struct boot_disk {
	const char *path; /* does not exist yet */
	const char *work; /* a folder for files */
	const char *tar;  /* what is in the root file system; GRUB's images, too: finish.sh */
	const char *uuid; /* of the root file system */
	uint64_t size;	  /* bytes */
	const char *log;
};
/* The programs that it runs. NULL ends. */
const char *const *boot_disk_tools(void);
bool boot_disk_make(const struct boot_disk *disk, struct steps *steps, GError **error);

/*
 * Makes a boot sector of the MBR that stands there and GRUB's boot.img, and prepares core.img, which will
 * stand at BOOT_DISK_CORE_LBA: what grub-install does. `core` is padded to whole sectors. False: these are no
 * such images.
 */
bool boot_disk_patch(uint8_t mbr[BOOT_DISK_SECTOR], const uint8_t *boot, size_t boot_len, uint8_t *core,
		     size_t core_len);

#endif
