/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHD ("Virtual Hard Disk Image Format Specification" 1.0) between its files. */
#ifndef VIV_BLOCK_VHD_INT_H
#define VIV_BLOCK_VHD_INT_H

#include "block/bat.h"

/* Footer, big-endian. */
enum {
	COOKIE = 0,
	FEATURES = 8,
	FORMAT_VERSION = 12,
	DATA_OFFSET = 16, /* of the dynamic header */
	TIME_STAMP = 24,  /* seconds since 2000 */
	CREATOR = 28,
	CREATOR_VERSION = 32,
	CREATOR_HOST = 36,
	ORIGINAL_SIZE = 40,
	CURRENT_SIZE = 48,
	CYLINDERS = 56,
	HEADS = 58,
	SECTORS = 59,
	DISK_TYPE = 60,
	CHECKSUM = 64,
	UNIQUE_ID = 68,
	FOOTER_BYTES = 512,
};
/* Dynamic disk header. */
enum {
	H_DATA_OFFSET = 8,
	H_TABLE_OFFSET = 16,
	H_VERSION = 24,
	H_ENTRIES = 28,
	H_BLOCK_SIZE = 32,
	H_CHECKSUM = 36,
	H_PARENT_ID = 40,
	H_PARENT_TIME = 56,
	H_PARENT_NAME = 64, /* UTF-16, big-endian */
	H_LOCATORS = 576,
	HEADER_BYTES = 1024,
};
/* Parent locator entry. */
enum {
	L_CODE = 0,
	L_SPACE = 4,
	L_LENGTH = 8,
	L_OFFSET = 16,
	LOCATOR_BYTES = 24,
	N_LOCATORS = 8,
	MAX_NAME = 2048, /* bytes that are read of one */
};
enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };

#define ENTRY_NOTHING 0xffffffffu
#define VERSION_1_0   0x00010000u
#define DEFAULT_BLOCK (2u << 20)
#define MIN_BLOCK     4096u
#define MAX_BLOCK     (256u << 20)
#define EPOCH_2000    946684800ll
#define MAX_GEOMETRY  (65535u * 16 * 255) /* sectors */
#define MAX_SECTORS   0xff000000ull	  /* 2040 GiB */
#define W2RU	      0x57327275u	  /* a relative path, in UTF-16, little-endian */
#define W2KU	      0x57326b75u	  /* an absolute one */

/* All bytes but those of the checksum itself, at `field`. */
uint32_t vhd_checksum(const uint8_t *bytes, size_t len, unsigned field);
bool vhd_is_footer(const uint8_t *footer);
/* The one at the file's end; false: there is none. */
bool vhd_load_footer(struct file *file, uint8_t *footer);
/* Of the image at `name`, as the image at `path` calls it. */
bool vhd_parent_footer(const char *path, const char *name, uint8_t *footer, GError **error);
/* Size, geometry and checksum. */
void vhd_set_size(uint8_t *footer, uint64_t size);
/* Entries of blocks that are not there. */
int vhd_store_nothing(struct file *file, uint64_t at, uint64_t len);
bool vhd_create(struct file *file, const struct image_create *create, GError **error);

#endif
