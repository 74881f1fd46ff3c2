/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work on whole images, by several threads. Each returns false with the error set; what it was
 * about to make is then not there, what it was to change is as good as before.
 */
#ifndef VIV_BLOCK_JOB_H
#define VIV_BLOCK_JOB_H

#include "block/image.h"

/* How far it is, now and then, on the caller's thread; false: it shall end, with an error. */
struct job_watch {
	bool (*report)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
};

struct job_convert {
	struct image_open source;
	struct image_create target; /* the size is the source's, where it says nothing */
	bool existing;		    /* the target is there already, and is written over */
	bool compress;
};

/* A new image with the bytes of another: its whole chain in one. Safe on the disk when it
 * returns. Watches may be NULL. */
bool job_convert(const struct job_convert *convert, const struct job_watch *watch, GError **error);

/* What an image holds goes into its backing image; its own bytes become unallocated. Other images
 * on that one see theirs changed. */
bool job_commit(const struct image_open *top, const struct job_watch *watch, GError **error);

/* Puts an image on another backing image, or on none, and its content stays: where the old chain
 * reads otherwise than the new one, bytes are copied. `content`: no, only the name is changed, as
 * after a move. `backing` is as it shall stand in the image; NULL: none. */
bool job_rebase(const struct image_open *top, const char *backing, const char *backing_format,
		bool content, const struct job_watch *watch, GError **error);

/* Where two disks differ first; UINT64_MAX: nowhere. What the longer one has more is compared with
 * zeroes. */
bool job_compare(struct image *a, struct image *b, const struct job_watch *watch, uint64_t *where,
		 GError **error);

#endif
