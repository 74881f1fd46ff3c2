/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VDI, VHD, VHDX and VMDK share: a disk in blocks of one size, and a table in the file that
 * says where each stands. Seen in this folder and by its tests only.
 *
 * The table is read a page at a time, when it is needed, and kept. A new block stands past
 * everything else, where the file reads as zeroes, and keeps its place: discards and zeroes punch
 * holes into it. So a lookup takes no lock, and what it said stays true.
 *
 * A power cut loses what was not flushed and nothing else. New entries are kept in memory until a
 * flush, which has the blocks on disk before it writes an entry that leads to them: what the file's
 * table leads to is whole at any time. What such a cut can leave is blocks that no entry leads to,
 * space lost until a check finds it.
 */
#ifndef VIV_BLOCK_BAT_H
#define VIV_BLOCK_BAT_H

#include "block/format.h"

struct bat;

enum bat_kind {
	BAT_NOTHING, /* the backing image shows, zeroes where there is none */
	BAT_ZERO,
	BAT_DATA,
	BAT_PARTIAL,	/* some of its sectors are BAT_NOTHING: ops->present */
	BAT_COMPRESSED, /* ops->inflate */
	BAT_BAD,	/* no entry that there can be */
};

#define BAT_MAX_BLOCKS (64ull << 20) /* 64 TiB in blocks of a megabyte */
enum { BAT_BATCH = 256, BAT_STRIPES = 16 };

/* Pages on their way to the file. */
struct bat_batch {
	unsigned n;
	uint32_t page[BAT_BATCH];
	uint8_t *bytes; /* page_bytes of each */
};

struct bat_ops {
	/* What an entry says, without I/O; `offset` is in the file, of the block's data. */
	enum bat_kind (*decode)(struct bat *bat, uint64_t block, uint64_t entry, uint64_t *offset);
	uint64_t (*encode)(struct bat *bat, uint64_t offset);
	/* The rest are NULL where a format has no such thing. */

	/* Writes what stands before the data of a new block. */
	int (*lead)(struct bat *bat, uint64_t block, uint64_t offset);
	/* Of a partial block: how many sectors from `sector` on, of at most `n`, are alike. */
	int (*present)(struct bat *bat, uint64_t block, uint64_t offset, unsigned sector,
		       unsigned n, unsigned *run, bool *here);
	/* All sectors of a partial block have been written and it is to be BAT_DATA. Its entry
	 * becomes encode()'s. */
	int (*complete)(struct bat *bat, uint64_t block, uint64_t offset);
	/* All of a compressed block. */
	int (*inflate)(struct bat *bat, uint64_t block, uint64_t offset, uint8_t *to);
	/* Puts a block into the file compressed; every write does where there is this. */
	int (*deflate)(struct bat *bat, uint64_t block, const uint8_t *from, uint64_t *entry);
	/* What else has to be on disk before the table, the file having grown to bat->end. Under
	 * bat->lock. */
	int (*prepare)(struct bat *bat);
	/* Writes pages, in place of file_store() at where they are. */
	int (*store)(struct bat *bat, const struct bat_batch *batch);
	/* Where a page is, in place of table_at + page * page_bytes; 0: nowhere yet, which reads as
	 * zeroes; `make`: it is to be somewhere. */
	int (*page_at)(struct bat *bat, uint64_t page, bool make, uint64_t *offset);
};

/* Zeroed; then what stands above the line is filled in, and bat_init(). */
struct bat {
	struct image *image; /* whose backing image shows where nothing is */
	struct file *file;
	const struct bat_ops *ops; /* NULL: no table, the disk stands at `end` in one piece */
	uint64_t start, size;	   /* of the disk, in bytes: what of it the table tells of */
	uint64_t block_size;	   /* bytes, a power of two */
	unsigned entry_size;	   /* bytes, 4 or 8 */
	bool big_endian;
	uint64_t gap;	   /* after so many entries one is not of a block; 0: never */
	uint64_t n_blocks; /* of which the table has entries; at least those of size */
	uint64_t table_at;
	unsigned page_bytes; /* a power of two */
	unsigned batch;	     /* pages that ops->store takes at once, up to BAT_BATCH; 0: that */
	uint64_t nothing;    /* the entry of a block that is not there */
	bool has_zero;
	uint64_t zero;	  /* the entry of a block of zeroes */
	uint64_t end;	  /* in the file, where the next new block goes; by `lock` */
	unsigned lead;	  /* bytes of a new block that come before its data */
	uint64_t max_end; /* what an entry can lead to */
	/* ---- */
	GMutex lock; /* of `end` and the table's changes */
	GMutex loading, flushing;
	GMutex stripes[BAT_STRIPES]; /* by block: of what makes an entry another */
	uint64_t n_pages;
	uint8_t *_Atomic *pages; /* as in the file; entries by atomic access; NULL: not read yet */
	uint8_t *changed;	 /* by page, whether it is in `dirty` */
	GArray *dirty;		 /* of uint32_t: pages; by `lock` */
	bool grown;		 /* since the last flush; by `lock` */
};

/* False: so large a table is not taken. */
bool bat_init(struct bat *bat);
void bat_fini(struct bat *bat); /* also of one that is all zeroes */

/* `at` is on the disk, from the disk's start on; else as format.h says. */
int bat_read(struct bat *bat, uint64_t at, struct span span);
int bat_write(struct bat *bat, uint64_t at, struct span span);
int bat_flush(struct bat *bat);
int bat_discard(struct bat *bat, uint64_t at, uint64_t len);
int bat_zero(struct bat *bat, uint64_t at, uint64_t len, bool unmap);
int bat_map(struct bat *bat, uint64_t at, uint64_t len, struct image_extent *extent);
bool bat_locate(struct bat *bat, uint64_t at, uint64_t len, bool write, uint64_t *file_offset);

/* Each block's entry in turn, and nothing is kept of what is read; stops at what is not 0. Nobody
 * else may be at work. */
typedef int (*bat_scan_fn)(struct bat *bat, uint64_t block, enum bat_kind kind, uint64_t offset,
			   void *opaque);
int bat_scan(struct bat *bat, bat_scan_fn each, void *opaque);
/* One block's; -EAGAIN: not without waiting. */
int bat_entry(struct bat *bat, uint64_t block, bool may_wait, uint64_t *entry);
int bat_set_entry(struct bat *bat, uint64_t block, uint64_t entry);
/* The data of a new block go to `offset`. */
int bat_take_place(struct bat *bat, uint64_t *offset);

struct bat_range {
	uint64_t at, len;
};

/* bat->end becomes the end of what is in use, of which `taken` is what else is in the file. */
int bat_find_end(struct bat *bat, const struct bat_range *taken, unsigned n_taken);
/*
 * Entries that lead nowhere, or to where something else is, and space that none leads to: reported,
 * and mended. The blocks of the former read as nothing afterwards, those of the second get a place
 * of their own, the last blocks move to where space is lost, and the file ends after what is in
 * use. 0 or a negative errno.
 */
int bat_check(struct bat *bat, const struct bat_range *taken, unsigned n_taken,
	      enum image_repair repair, struct image_check *report);
void image_check_say(struct image_check *report, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* A parent's path as Windows has it: of an absolute one only the last part means something here. */
char *image_path_of_windows(const char *name, bool relative);
char *image_windows_path(const char *name);

/* Formats of one table in one file begin with this, and the table's operations are theirs. */
struct bat_image {
	struct image image;
	struct bat bat;
};

int bat_image_read(struct image *image, uint64_t offset, struct span span);
int bat_image_write(struct image *image, uint64_t offset, struct span span);
int bat_image_flush(struct image *image);
int bat_image_discard(struct image *image, uint64_t offset, uint64_t len);
int bat_image_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap);
int bat_image_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent);
bool bat_image_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
		      uint64_t *file_offset);

#endif
