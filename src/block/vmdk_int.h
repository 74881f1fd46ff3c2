/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK ("Virtual Disk Format 5.0", VMware) between its files: vmdk.c, the descriptor, sparse
 * extents and the making of images. Integers little-endian; offsets and sizes in sectors.
 */
#ifndef VIV_BLOCK_VMDK_INT_H
#define VIV_BLOCK_VMDK_INT_H

#include "block/bat.h"

/* The header of a sparse extent. */
enum {
	S_MAGIC = 0, /* "KDMV" */
	S_VERSION = 4,
	S_FLAGS = 8,
	S_CAPACITY = 12,
	S_GRAIN_SIZE = 20,
	S_DESCRIPTOR_AT = 28,
	S_DESCRIPTOR_SIZE = 36,
	S_ENTRIES = 44, /* of a grain table */
	S_REDUNDANT_AT = 48,
	S_DIRECTORY_AT = 56,
	S_OVERHEAD = 64, /* up to where the first grain can be */
	S_UNCLEAN = 72,
	S_NEW_LINES = 73,
	S_COMPRESSION = 77,
	S_BYTES = 512,
	FLAG_NEW_LINES = 1,
	FLAG_REDUNDANT = 2,
	FLAG_ZERO_GRAINS = 4,
	FLAG_COMPRESSED = 1 << 16,
	FLAG_MARKERS = 1 << 17,
	COMPRESSION_DEFLATE = 1,
};
#define DIRECTORY_AT_END UINT64_MAX /* a footer tells */
#define VMDK_MAX_SPARSE	 ((2ull << 40) / IMAGE_SECTOR_SIZE - (1 << 20)) /* sectors */

enum {
	VMDK_GRAIN = 128, /* of new images */
	VMDK_TABLE_ENTRIES = 512,
	VMDK_DESCRIPTOR_AT = 1,
	VMDK_DESCRIPTOR_SIZE = 20,
	VMDK_MAX_EXTENTS = 512,
	VMDK_MAX_DESCRIPTOR = 1 << 20, /* bytes */
};

struct extent {
	struct bat bat; /* without a table where it is flat */
	struct file *file;
	bool own;  /* to be closed with the image */
	bool zero; /* no file, and nothing but zeroes */
	/* Of a sparse one: where the grain tables are, as in the file. */
	bool compressed, markers, zero_grains;
	GRWLock ending; /* of a stream: write-locked while its end is written */
	bool finished;	/* which it has been; by `ending` */
	uint8_t header[S_BYTES];
	uint64_t n_tables, directory_at, redundant_at; /* bytes; 0: none */
	uint32_t *tables, *redundant;		       /* sectors; NULL: none */
};

struct vmdk {
	struct image image;
	GPtrArray *extents;	/* of struct extent, in the disk's order */
	char *descriptor;	/* "" where there is none */
	uint64_t descriptor_at; /* bytes, in image->file */
	GMutex lock;		/* of what follows */
	_Atomic bool touched;	/* the descriptor says that the disk has been changed */
	bool has_lock;
};

/* What the descriptor says of an extent. */
struct extent_line {
	bool read_only, sparse, zero;
	uint64_t size, offset; /* sectors; the offset in a flat one's file */
	char *name;	       /* NULL: none */
};

/* The text of a descriptor file, or that in a sparse extent, which may have none: "". NULL with
 * the error set; `*sparse`: the file is an extent itself. */
char *vmdk_load_descriptor(struct file *file, bool *sparse, uint64_t *at, GError **error);
/* The value of a key, without quotes; freed by the caller; NULL: there is none. */
char *vmdk_value(const char *descriptor, const char *key);
/* Of struct extent_line; NULL with the error set. */
GPtrArray *vmdk_extent_lines(const char *descriptor, const char *path, GError **error);
/* It with another size of its first extent, in sectors, and the geometry that goes with it; freed by
 * the caller. */
char *vmdk_descriptor_of_size(const char *descriptor, uint64_t sectors);
/* The CID of the image at `name`, as the image at `path` calls it. */
char *vmdk_cid_of(const char *path, const char *name, GError **error);
/* Freed by the caller. `extents`: the lines of them. */
char *vmdk_make_descriptor(const struct image_create *create, const char *type,
			   const char *parent_cid, const char *extents);

/* Fills in what the extent's header says; `extent->file`, and bat.image and bat.start, are set. */
bool vmdk_open_sparse(struct extent *extent, GError **error);
void vmdk_close_sparse(struct extent *extent);
/* In the header: it is being changed. */
int vmdk_mark_sparse(struct extent *extent, bool unclean);
/* A new one: `capacity` and `descriptor` in sectors; `text`: NULL, none. */
int vmdk_create_sparse(struct file *file, uint64_t capacity, bool zero_grains, const char *text);
int vmdk_create_stream(struct file *file, uint64_t capacity, const char *text);
/* A stream has no table before its end: what there is is written behind the last grain. */
int vmdk_finish_stream(struct extent *extent);
/* What of the file are no grains: of struct bat_range. */
GArray *vmdk_sparse_taken(const struct extent *extent);

/* Before the first change of the disk: its content id becomes another one, by which goes who made an
 * image on this one; and its extents say that they are being changed. */
int vmdk_touch(struct vmdk *vmdk);
bool vmdk_resize(struct image *image, uint64_t size, GError **error);
bool vmdk_create(struct file *file, const struct image_create *create, GError **error);

#endif
