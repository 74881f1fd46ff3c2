/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHDX ([MS-VHDX]) between its files: vhdx.c, its log and its making. Integers little-endian. */
#ifndef VIV_BLOCK_VHDX_INT_H
#define VIV_BLOCK_VHDX_INT_H

#include "block/bat.h"

enum {
	VHDX_MIB = 1 << 20,
	VHDX_PAGE = 4096, /* what the log is in, and what it changes */
	HEADER_AT = 64 << 10,
	HEADER_2_AT = 128 << 10,
	REGIONS_AT = 192 << 10,
	REGIONS_2_AT = 256 << 10,
	REGION_TABLE_BYTES = 64 << 10,
	GUID_BYTES = 16,
};

/* Header (2.2.2). */
enum {
	H_SIGNATURE = 0,
	H_CHECKSUM = 4,
	H_SEQUENCE = 8,
	H_FILE_WRITE = 16, /* GUIDs; another with each use that changes the file, */
	H_DATA_WRITE = 32, /* or the disk */
	H_LOG_GUID = 48,   /* zeroes: the log is empty */
	H_LOG_VERSION = 64,
	H_VERSION = 66,
	H_LOG_LENGTH = 68,
	H_LOG_OFFSET = 72,
};

/* Region table (2.2.3). */
enum {
	R_CHECKSUM = 4,
	R_COUNT = 8,
	R_ENTRIES = 16,
	R_ENTRY_BYTES = 32,
	R_OFFSET = 16, /* in an entry, after the GUID */
	R_LENGTH = 24,
	R_REQUIRED = 28,
	R_MAX = 2047,
};

/* Metadata table (2.6.1), and file parameters (2.6.2.1). */
enum {
	M_COUNT = 10,
	M_ENTRIES = 32,
	M_ENTRY_BYTES = 32,
	M_OFFSET = 16, /* in an entry, from the region's start */
	M_LENGTH = 20,
	M_FLAGS = 24,
	M_MAX = 2047,
	M_TABLE_BYTES = 64 << 10,
	IS_VIRTUAL_DISK = 2,
	IS_REQUIRED = 4,
	LEAVE_ALLOCATED = 1,
	HAS_PARENT = 2,
};

/* Parent locator (2.6.2.6). */
enum {
	P_COUNT = 18,
	P_ENTRIES = 20,
	P_ENTRY_BYTES = 12,
	P_KEY = 0, /* offsets from the locator's start, then lengths */
	P_VALUE = 4,
	P_KEY_LENGTH = 8,
	P_VALUE_LENGTH = 10,
};

/* States of an entry of the BAT (2.5.1). */
enum {
	NOT_PRESENT = 0,
	UNDEFINED = 1,
	ZERO = 2,
	UNMAPPED = 3,
	FULLY_PRESENT = 6,
	PARTIALLY_PRESENT = 7,
	STATE_MASK = 7,
};

#define VHDX_GUID(a, b, c, ...)                                                               \
	{                                                                                     \
		(a) & 0xff, (a) >> 8 & 0xff, (a) >> 16 & 0xff, (a) >> 24, (b)&0xff, (b) >> 8, \
			(c)&0xff, (c) >> 8, __VA_ARGS__                                       \
	}

extern const uint8_t vhdx_region_bat[GUID_BYTES], vhdx_region_metadata[GUID_BYTES],
	vhdx_item_parameters[GUID_BYTES], vhdx_item_size[GUID_BYTES], vhdx_item_id[GUID_BYTES],
	vhdx_item_logical[GUID_BYTES], vhdx_item_physical[GUID_BYTES], vhdx_item_parent[GUID_BYTES],
	vhdx_locator_type[GUID_BYTES];

struct vhdx {
	struct bat_image base;
	uint8_t header[VHDX_PAGE]; /* the current one */
	bool second;		   /* it is in the second place */
	uint64_t log_at;
	uint32_t log_len, log_pos; /* bytes; where the next entry goes */
	uint64_t log_sequence;	   /* of the last entry */
	uint64_t bat_len, metadata_at, metadata_len;
	uint64_t size_at; /* in the file, of the item that says the disk's size */
	uint32_t flags, sector_size;
	GMutex lock; /* of the header, once the image is open */
	/* The header says that the image is being changed, which it has to before it is. */
	_Atomic bool touched;
	bool has_lock;
	bool torn; /* its log is not whole */
};

/* CRC-32C of bytes, those of the 32-bit `field` counting as zeroes. */
uint32_t vhdx_checksum(const uint8_t *bytes, size_t len, size_t field);
void vhdx_make_guid(uint8_t *guid);
/* The header with the greater sequence number of those that are whole; false: none is. */
bool vhdx_load_header(struct file *file, uint8_t *header, bool *second);
/* Into the other place, safely. */
int vhdx_store_header(struct vhdx *vhdx);

/*
 * Puts what a program that was cut off had in its log where it belongs, and empties the log; of an
 * image that is only to be read, refuses to. Where the log is not whole, vhdx->torn is set and
 * nothing changed. False with the error set.
 */
bool vhdx_replay(struct vhdx *vhdx, GError **error);
/* Pages of the file become others, all or none of them across a power cut; on return they may still
 * be on their way, and a flush follows. */
int vhdx_change(struct vhdx *vhdx, unsigned n, const uint64_t *offsets, const uint8_t *pages);
/* Nothing is on its way any more. */
int vhdx_end_log(struct vhdx *vhdx);
unsigned vhdx_log_batch(const struct vhdx *vhdx); /* most pages of a change */

/* What a child writes down of its parent, `name` as the image at `path` calls it: who wrote it
 * last.
 */
char *vhdx_linkage(const char *path, const char *name, GError **error);
bool vhdx_create(struct file *file, const struct image_create *create, GError **error);

#endif
