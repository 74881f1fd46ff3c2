/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Linux kernel file as the x86 boot protocol describes it (the kernel's
 * Documentation/arch/x86/boot.rst and zero-page.rst, whose field names are used here):
 * the setup header, and the compressed ELF that the protected-mode code carries.
 */
#ifndef VIV_FIRMWARE_BZIMAGE_H
#define VIV_FIRMWARE_BZIMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets in the kernel file's first sectors and, alike, in struct boot_params. */
enum {
	BP_ACPI_RSDP_ADDR = 0x070,
	BP_EXT_RAMDISK_IMAGE = 0x0c0,
	BP_EXT_RAMDISK_SIZE = 0x0c4,
	BP_E820_ENTRIES = 0x1e8,
	BP_SETUP_HEADER = 0x1f1,
	BP_SETUP_SECTS = 0x1f1,
	BP_BOOT_FLAG = 0x1fe,
	BP_JUMP = 0x200,
	BP_HEADER = 0x202,
	BP_VERSION = 0x206,
	BP_TYPE_OF_LOADER = 0x210,
	BP_LOADFLAGS = 0x211,
	BP_RAMDISK_IMAGE = 0x218,
	BP_RAMDISK_SIZE = 0x21c,
	BP_CMD_LINE_PTR = 0x228,
	BP_INITRD_ADDR_MAX = 0x22c,
	BP_KERNEL_ALIGNMENT = 0x230,
	BP_XLOADFLAGS = 0x236,
	BP_CMDLINE_SIZE = 0x238,
	BP_PAYLOAD_OFFSET = 0x248,
	BP_PAYLOAD_LENGTH = 0x24c,
	BP_PREF_ADDRESS = 0x258,
	BP_INIT_SIZE = 0x260,
	BP_SETUP_HEADER_END = 0x290,
	BP_E820_TABLE = 0x2d0,
	BP_SIZE = 0x1000,
};

#define E820_ENTRY_SIZE	 20
#define E820_MAX_ENTRIES 128

struct bzimage {
	/* What boot_params starts with: zeros around the kernel's setup header. */
	uint8_t boot_params[BP_SETUP_HEADER_END];
	const uint8_t *payload; /* in the parsed file */
	size_t payload_len;
	size_t payload_max; /* the most it may unpack to */
	/* Memory the kernel needs before it can read the memory map ends here; 0 where
	 * the header is too old to say. */
	uint64_t init_end;
	uint64_t initrd_addr_max;
	bool initrd_above_4g;
	uint32_t cmdline_size; /* without the terminating zero */
};

/*
 * Takes a bzImage or a bare ELF vmlinux, for which a header is made up. The message of
 * a refusal says what the file looks like instead, for the caller to prefix with its
 * name. The image points into `data`, and is undefined on failure.
 */
bool bzimage_parse(const uint8_t *data, size_t len, struct bzimage *image, GError **error);

#endif
