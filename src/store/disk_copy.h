/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks from one image file into another. */
#ifndef VIV_STORE_DISK_COPY_H
#define VIV_STORE_DISK_COPY_H

#include <stdint.h>

#include "store/tool.h"

struct disk_copy {
	const char *from, *from_format;
	const char *to, *to_format;    /* new */
	const char *const *to_options; /* of image_create(); NULL: none */
	bool alone;		       /* an image from elsewhere that names a backing image is refused */
	const char *step;	       /* what progress is told */
	struct steps *steps;
};
/* The disk's bytes are the same, its whole chain's in one. `size`: of the disk, where not NULL. */
bool disk_copy(const struct disk_copy *copy, uint64_t *size, GError **error);
/* The SHA-256 of a file, 64 hexadecimal digits. */
char *disk_digest(const char *path, struct steps *steps, GError **error);
#define DISK_STORE_FORMAT "qcow2" /* in which the store keeps disks */

#endif
