/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format table: how bytes of a disk become bytes of image files. Seen in this
 * folder only.
 *
 * A format is synchronous code. Its functions but open and close run on several worker
 * threads at once, on ranges that block.c has found to be aligned and on the disk, and
 * return 0 or a negative errno.
 */
#ifndef VIV_BLOCK_FORMAT_H
#define VIV_BLOCK_FORMAT_H

#include "block/block.h"

struct block_format {
	const char *name;
	/* The image, and its size in `size`; NULL with the error set. */
	void *(*open)(const struct block_options *options, uint64_t *size, GError **error);
	void (*close)(void *image);
	int (*read)(void *image, const struct block_request *request);
	int (*write)(void *image, const struct block_request *request);
	int (*flush)(void *image, const struct block_request *request);
	/* The content becomes undefined; space is given back where that is possible. */
	int (*discard)(void *image, const struct block_request *request);
	int (*write_zeroes)(void *image, const struct block_request *request);
};

extern const struct block_format block_format_raw;

#endif
