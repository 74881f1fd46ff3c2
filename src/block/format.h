/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format table: how bytes of a disk become bytes of image files. Seen in this
 * folder and by its tests only.
 *
 * A format is synchronous code. Read, write, discard, write_zeroes, map, locate and flush run on
 * several threads at once, on ranges that image.c has found to be of whole sectors and on the disk;
 * everything else while none of them does. Integers are 0 or a negative errno; a bool is false with
 * the error set. An image is hostile: no length in it is believed, no table that it describes is
 * allocated before it is known to be sane.
 */
#ifndef VIV_BLOCK_FORMAT_H
#define VIV_BLOCK_FORMAT_H

#include "block/file.h"
#include "block/image.h"

/* The struct of each format begins with it. */
struct image {
	const struct block_format *format;
	struct file *file; /* owned by image.c; NULL in tests of none */
	struct file *data; /* where the disk's bytes stand, if not in `file`; owned by the format */
	uint64_t size;	   /* of the disk in bytes, a multiple of the sector size; open sets it */
	bool read_only;
	/* What open found, for image.c, which opens it; NULL: none. */
	char *backing_name, *backing_format;
	struct image *backing; /* owned by image.c, open from open's return on */
	/* Says what is wrong with it; such an image is opened for reading only. NULL: nothing
	 * known. */
	char *damage;
};

struct block_format {
	const char *name;
	const char *title;	       /* what it is called where it comes from */
	const char *const *extensions; /* of file names, without the dot; NULL ends */
	const struct image_option
		*options;   /* of create, besides size and backing; NULL name ends */
	size_t object_size; /* of the struct that begins with struct image */
	bool has_backing;
	/* Whether a file that begins so looks like one: for hints to users, and for images that
	 * come from elsewhere; never decides what a VM's disk is. NULL: nothing does. */
	bool (*looks_like)(const uint8_t *head, size_t len, uint64_t file_size);

	/* Of image->file. Fills in size, backing_* and damage, and what it needs itself. */
	bool (*open)(struct image *image, const struct image_open *how, GError **error);
	/* Also of what a failed open left. What is not flushed may be lost. */
	void (*close)(struct image *image);
	int (*read)(struct image *image, uint64_t offset, struct span span);
	int (*write)(struct image *image, uint64_t offset, struct span span);
	int (*flush)(struct image *image);
	/* The content becomes undefined or, at the format's choice, zero; space is given back where
	 * that is possible. NULL: never is. */
	int (*discard)(struct image *image, uint64_t offset, uint64_t len);
	/* `unmap`: space may be given back. NULL: image.c writes zeroes. */
	int (*write_zeroes)(struct image *image, uint64_t offset, uint64_t len, bool unmap);
	/* One cluster of image_info's cluster_size, or the disk's last bytes, compressed where that
	 * makes it smaller. NULL: nothing ever is. */
	int (*write_compressed)(struct image *image, uint64_t offset, struct span span);
	/* What stands at `offset`, of at most `len` bytes; never of the backing image's. */
	int (*map)(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent);
	/*
	 * Where in image_data() all of a range that is to be read or written stands as it is, in one
	 * piece, so that the bytes may be transferred without the format: false unless that is
	 * known now, without I/O, without waiting. It stays true until a discard, write_zeroes or
	 * another exclusive call. NULL: never.
	 */
	bool (*locate)(struct image *image, uint64_t offset, uint64_t len, bool write,
		       uint64_t *file_offset);

	/* A new image in an empty file. NULL: such images are only read. */
	bool (*create)(struct file *file, const struct image_create *create, GError **error);
	bool (*resize)(struct image *image, uint64_t size, GError **error);
	/* Finds and, as `repair` says, mends what is wrong; the report is what was found. NULL:
	 * nothing can be. */
	bool (*check)(struct image *image, enum image_repair repair, struct image_check *report,
		      GError **error);
	/* What only this format has to tell: adds rows to `info`. */
	void (*info)(struct image *image, struct image_info *info);
	/* Adds the names of its files besides image->file, each once or more. NULL: there are none. */
	void (*list_files)(struct image *image, GPtrArray *names);
	/* Names another backing image, or NULL for none, in the header; the bytes are image.c's
	 * care. */
	bool (*set_backing)(struct image *image, const char *name, const char *format,
			    GError **error);
	/* All bytes of the disk stand unallocated again. For commit; NULL: it cannot. */
	int (*empty)(struct image *image);
	const struct image_snapshot_ops *snapshots; /* NULL: has none */
};

extern const struct block_format *const block_formats[];
extern const size_t block_n_formats;
extern const struct block_format block_format_raw, block_format_luks, block_format_qcow2,
	block_format_vdi, block_format_vhd, block_format_vhdx, block_format_vmdk;

static inline uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

static inline struct file *image_data(const struct image *image)
{
	return image->data ? image->data : image->file;
}

/* For file_open(), of another file of the image. */
unsigned image_file_flags(const struct image_open *how);
/* "vdi disk 'PATH' WHY": an error that open returns, and its false. */
bool image_refuse(const struct image *image, GError **error, const char *why, ...)
	G_GNUC_PRINTF(3, 4);
/* Says in image->damage what is wrong with it; what was found first stays. */
void image_note_damage(struct image *image, const char *what, ...) G_GNUC_PRINTF(2, 3);
/* What create was asked for and cannot do; false. */
bool image_reject(GError **error, const char *why, ...) G_GNUC_PRINTF(2, 3);
/* What the host did not do: "disk 'PATH': WHAT: No space left on device"; false. */
bool image_fail(const char *path, int status, const char *what, GError **error);
/* Of the backing image, zeroes where it has ended or there is none. */
int image_read_backing(struct image *image, uint64_t offset, struct span span);
/* `name`'s value among the options of create, or the row's default. */
const char *image_option(const struct image_create *create, const struct block_format *format,
			 const char *name);
bool image_option_bool(const struct image_create *create, const struct block_format *format,
		       const char *name, bool *value, GError **error);
/* A size as users write it: 65536, 64K. */
bool image_option_size(const struct image_create *create, const struct block_format *format,
		       const char *name, uint64_t *value, GError **error);

#endif
