/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of an image, wherever they are: a file of the host, a host's block device, an NBD
 * server, or what a test makes of it. Formats stand on this and nothing else.
 *
 * Threads: read, write, zero, map and flush on several at once; set_size with the image's own lock
 * against those that it concerns. Integers are 0 or a negative errno.
 */
#ifndef VIV_BLOCK_FILE_H
#define VIV_BLOCK_FILE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/span.h"

struct file;

struct file_ops {
	/* All of the span, or an error. What is past the end reads as zeroes, and a write moves the
	 * end. */
	int (*read)(struct file *file, uint64_t offset, struct span span);
	int (*write)(struct file *file, uint64_t offset, struct span span);
	/* What was written and has completed is safe from now on: the only such point. */
	int (*flush)(struct file *file);
	int (*set_size)(struct file *file, uint64_t size);
	/* The range, within the file's size, reads as zeroes; `punch`: its space is given back,
	 * too, else it is kept or taken. -EOPNOTSUPP: not without writing them. */
	int (*zero)(struct file *file, uint64_t offset, uint64_t len, bool punch);
	/* How many of `len` bytes from `offset` on are alike, and whether they are known to be
	 * zeroes. */
	int (*map)(struct file *file, uint64_t offset, uint64_t len, uint64_t *run, bool *zero);
	/* Space that is in use on the host, in bytes. */
	uint64_t (*allocated)(struct file *file);
	void (*close)(struct file *file);
};

struct file {
	const struct file_ops *ops;
	char *name;	       /* as the user wrote it, for messages */
	_Atomic uint64_t size; /* bytes */
	bool read_only;
	int fd; /* through which others may read and write it at the same offsets; -1: none */
	unsigned align; /* of memory, offsets and lengths; 1: any */
};

enum file_flags {
	FILE_READ_ONLY = 1,
	FILE_DIRECT = 2,   /* past the host's page cache */
	FILE_NO_LOCK = 4,  /* of one who only looks, and may see what is being changed */
	FILE_CREATE = 8,   /* a new file, which must not be there yet */
	FILE_REPLACE = 16, /* with FILE_CREATE: or an old one, whose bytes go */
};

/*
 * A path or an NBD URI. Locked against others, in this process too: one writer or many
 * readers. NULL with the error set.
 */
struct file *file_open(const char *name, unsigned flags, GError **error);
void file_close(struct file *file); /* NULL is fine; does not flush */

/* Of all of `len` bytes in one buffer. */
int file_load(struct file *file, uint64_t offset, void *buf, size_t len);
int file_store(struct file *file, uint64_t offset, const void *buf, size_t len);
/* By writing them. */
int file_write_zeroes(struct file *file, uint64_t offset, uint64_t len);
/* By the file's zero, else by writing; past its end, too. */
int file_zero(struct file *file, uint64_t offset, uint64_t len, bool punch);

#endif
