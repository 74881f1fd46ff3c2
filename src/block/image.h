/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images, as what makes, looks after and converts them sees them: one image file, or a chain
 * of them, where each holds what was changed since it was put before the next.
 *
 * Threads: one at a time, but image_read(), image_write(), image_zero(), image_discard(),
 * image_map() and image_flush() on several at once. They take whole sectors and return 0 or a
 * negative errno. Errors name the file and what to do.
 */
#ifndef VIV_BLOCK_IMAGE_H
#define VIV_BLOCK_IMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/span.h"

#define IMAGE_SECTOR_SIZE 512u
#define IMAGE_MAX_CHAIN	  64u /* images, of which each is the next one's backing */

struct image;
struct block_format;

struct image_open {
	const char *path;   /* or an NBD URI */
	const char *format; /* a name; NULL: what the path's extension says, raw where it says
			       nothing */
	const char *secret; /* by which it is encrypted; NULL: it is not */
	bool read_only;
	bool direct;	 /* past the host's page cache */
	bool no_lock;	 /* only looks, while others may write */
	bool damaged;	 /* written although it is, to be mended by image_check() */
	bool no_backing; /* leave the rest of the chain closed: what is not in this image reads as
			    zeroes */
};

/* An option of create, as users name it: a row of a format's table. */
struct image_option {
	const char *name, *metavar, *help;
	const char *value; /* where nothing is said; NULL: as suits */
};

struct image_create {
	const char *path, *format;
	uint64_t size; /* bytes; 0 with a backing image: as that has */
	const char *backing,
		*backing_format;    /* NULL: none; its format is stated or its extension says it */
	const char *const *options; /* "name=value", NULL ends; NULL: none */
	const char *secret;	    /* for an encrypted one */
	bool replace;		    /* what is at path already */
};

enum image_extent_kind {
	IMAGE_UNALLOCATED, /* nothing: what is behind it shows, zeroes where nothing is */
	IMAGE_ZERO,
	IMAGE_DATA,
	IMAGE_COMPRESSED,
};
#define IMAGE_NO_OFFSET UINT64_MAX

struct image_extent {
	enum image_extent_kind kind;
	uint64_t len;
	uint64_t file_offset; /* of the bytes as they are, in image_data_path(); IMAGE_NO_OFFSET: they
			       * do not stand so */
	unsigned depth;	      /* 0: of this image; 1: of its backing image; and so on */
	const struct image *image; /* whose file that is */
};

enum image_repair { IMAGE_REPAIR_NOTHING, IMAGE_REPAIR_LEAKS, IMAGE_REPAIR_ALL };

struct image_check {
	uint64_t errors, leaks; /* found: data at risk; space lost */
	uint64_t errors_fixed, leaks_fixed;
	uint64_t clusters, allocated, compressed, fragmented; /* 0 clusters: the format has none */
	uint64_t end;	     /* of what is in use in the file, in bytes */
	GPtrArray *messages; /* of char *, a line each, the first hundred; owned by the caller, who
				sets it */
};

struct image_info {
	const char *format;
	uint64_t size, allocated; /* bytes: of the disk; on the host */
	uint64_t cluster_size;	  /* 0: none */
	const char *backing_name, *backing_format, *damage;
	const char *data_name; /* of the file with the disk's bytes; NULL: the image's own */
	bool encrypted, compressed;
	GPtrArray *names, *values; /* of char *: what else the format tells; owned by the info */
};

struct image_snapshot {
	char *id, *name;
	uint64_t size, vm_state_size; /* bytes */
	int64_t created_ns;	      /* since 1970 */
};

struct image_snapshot_ops {
	GPtrArray *(*list)(
		struct image *image); /* of struct image_snapshot, freed with the array */
	bool (*create)(struct image *image, const char *name, GError **error);
	bool (*apply)(struct image *image, const char *name, GError **error);
	bool (*remove)(struct image *image, const char *name, GError **error);
};

struct image *image_open(const struct image_open *how, GError **error);
/* Flushes what can be written; the chain's other images, too. NULL is fine. */
void image_close(struct image *image);
bool image_create(const struct image_create *create, GError **error);

uint64_t image_size(const struct image *image);
bool image_read_only(const struct image *image);
struct image *image_backing(const struct image *image); /* NULL: none is open */
const struct block_format *image_format(const struct image *image);
const char *image_format_name_of(const struct image *image);
const char *image_path(const struct image *image);
const char *image_data_path(const struct image *image); /* of the file with the disk's bytes */

int image_read(struct image *image, uint64_t offset, struct span span);
int image_write(struct image *image, uint64_t offset, struct span span);
/* One cluster, compressed; -EOPNOTSUPP: the format compresses nothing. */
int image_write_compressed(struct image *image, uint64_t offset, struct span span);
int image_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap);
int image_discard(struct image *image, uint64_t offset, uint64_t len);
int image_flush(struct image *image);
/* Through the chain: whose the bytes at `offset` are, of at most `len`; never unallocated but at
 * the chain's end. */
int image_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent);
/* Where all of a range to be read or written stands plainly in a file of the host, as format.h's
 * locate says; false: that is not so, or not known. */
bool image_locate(struct image *image, uint64_t offset, struct span span, bool write, int *fd,
		  uint64_t *file_offset);

bool image_resize(struct image *image, uint64_t size, GError **error);
bool image_check(struct image *image, enum image_repair repair, struct image_check *report,
		 GError **error);
void image_info(struct image *image, struct image_info *info);
void image_info_clear(struct image_info *info);
/* Another row of `names` and `values`; for formats. */
void image_info_add(struct image_info *info, const char *name, const char *format, ...)
	G_GNUC_PRINTF(3, 4);
bool image_set_backing(struct image *image, const char *name, const char *format, GError **error);
const struct image_snapshot_ops *
image_snapshots(const struct image *image); /* NULL: the format has none */

/* The row of a format by its name, or by an extension, which is what others call some (vpc); NULL
 * with an error that tells the names. */
const struct block_format *image_find_format(const char *name, GError **error);
/* The name of the format that a path's extension says; "raw" where it says none. */
const char *image_format_of_path(const char *path);
/* The name of the format that the file's first bytes look like: "raw" where they look like none;
 * NULL with the error set. For images from elsewhere; a guest can write what it likes into a raw
 * disk. */
const char *image_guess_format(const char *path, GError **error);
/* What the file looks like, where its name makes it raw; NULL: nothing else, or it cannot be read. For a
 * hint to users, who name their disks as they like. */
const char *image_suspect_format(const char *path);
/* A backing image's name is relative to the folder of the image that names it. Freed by the caller.
 */
char *image_resolve_backing(const char *path, const char *name);
/* The same of a file that holds a part of the image itself, and so is written. It is in the image's folder or below: one
 * who is given an image would else have a guest write wherever the image says. NULL with the error set. */
char *image_resolve_part(const char *path, const char *name, GError **error);
/* A passphrase, the first line of a file; freed by the caller. */
char *image_read_secret(const char *path, GError **error);
/* Rows of all formats: name and create options, for help. */
const char *image_format_name(unsigned index); /* NULL: there are no more */
const struct image_option *image_format_options(unsigned index);

#endif
