/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Goes over a disk from its start to its end, in pieces that several threads work on. Seen in this
 * folder only. */
#ifndef VIV_BLOCK_SWEEP_H
#define VIV_BLOCK_SWEEP_H

#include "block/job.h"

#define SWEEP_PIECE (2u << 20)

struct sweep {
	uint64_t size;	/* bytes */
	unsigned align; /* pieces begin at multiples of it and are no less than it; 0: any */
	void *opaque;
	/* How many bytes from `offset` on need nothing; one thread at a time. NULL: none do. */
	uint64_t (*skip)(void *opaque, uint64_t offset);
	/* On several threads; `buffer` has room for twice `len` and is aligned to pages. */
	bool (*piece)(void *opaque, uint64_t offset, uint64_t len, uint8_t *buffer, GError **error);
};

/* What image_map() said last: where a long range is alike, its end is looked for once, not for
 * every piece of it. Any thread. Nobody changes what was asked for and is to be asked for again. */
struct sweep_map {
	struct image *image;
	GMutex lock;
	uint64_t at;
	struct image_extent extent; /* of no bytes: nothing is known */
};

void sweep_map_init(struct sweep_map *map, struct image *image);
void sweep_map_fini(struct sweep_map *map);
int sweep_map(struct sweep_map *map, uint64_t offset, uint64_t len, struct image_extent *extent);

/* False with the first error. */
bool sweep_run(const struct sweep *sweep, const struct job_watch *watch, GError **error);
/* "disk 'PATH': cannot be WHAT at byte N: ..."; false. */
bool sweep_fail(const struct image *image, const char *what, uint64_t offset, int status,
		GError **error);
/* A range of which the end may be past the disk's, where zeroes are. */
int sweep_read(struct image *image, uint64_t offset, uint8_t *buffer, uint64_t len);

#endif
