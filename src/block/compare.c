/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "block/sweep.h"

struct comparison {
	struct image *a, *b;
	struct sweep_map map_a, map_b;
	GMutex lock;
	uint64_t where; /* UINT64_MAX: they are alike so far */
};

/* Of how many bytes from `offset` on the image is known to be zero. */
static uint64_t measure_nothing(struct sweep_map *map, uint64_t offset, uint64_t len)
{
	uint64_t size = image_size(map->image), done = 0;
	struct image_extent extent;

	while (done < len) {
		uint64_t at = offset + done;

		if (at >= size)
			return len;
		if (sweep_map(map, at, MIN(len - done, size - at), &extent) ||
		    (extent.kind != IMAGE_UNALLOCATED && extent.kind != IMAGE_ZERO))
			return done;
		done += extent.len;
	}
	return done;
}

static uint64_t skip_nothing(void *opaque, uint64_t offset)
{
	struct comparison *c = opaque;
	uint64_t len = MAX(image_size(c->a), image_size(c->b)) - offset;

	return measure_nothing(&c->map_b, offset, measure_nothing(&c->map_a, offset, len));
}

static bool compare_piece(void *opaque, uint64_t offset, uint64_t len, uint8_t *buffer,
			  GError **error)
{
	struct comparison *c = opaque;
	uint8_t *other = buffer + len;
	int status = sweep_read(c->a, offset, buffer, len);

	if (status)
		return sweep_fail(c->a, "read", offset, status, error);
	status = sweep_read(c->b, offset, other, len);
	if (status)
		return sweep_fail(c->b, "read", offset, status, error);
	if (!memcmp(buffer, other, len))
		return true;
	while (*buffer == *other) {
		buffer++;
		other++;
		offset++;
	}
	g_mutex_lock(&c->lock);
	c->where = MIN(c->where, offset);
	g_mutex_unlock(&c->lock);
	return true;
}

/* Once they differ nothing more is begun; pieces before that one have been, and are ended. */
static uint64_t skip_rest(void *opaque, uint64_t offset)
{
	struct comparison *c = opaque;
	uint64_t where;

	g_mutex_lock(&c->lock);
	where = c->where;
	g_mutex_unlock(&c->lock);
	return where == UINT64_MAX ? skip_nothing(opaque, offset) : UINT64_MAX;
}

bool job_compare(struct image *a, struct image *b, const struct job_watch *watch, uint64_t *where,
		 GError **error)
{
	struct comparison c = {.a = a, .b = b, .where = UINT64_MAX};
	struct sweep sweep = {
		.size = MAX(image_size(a), image_size(b)),
		.opaque = &c,
		.skip = skip_rest,
		.piece = compare_piece,
	};
	bool done;

	g_mutex_init(&c.lock);
	sweep_map_init(&c.map_a, a);
	sweep_map_init(&c.map_b, b);
	done = sweep_run(&sweep, watch, error);
	sweep_map_fini(&c.map_b);
	sweep_map_fini(&c.map_a);
	g_mutex_clear(&c.lock);
	if (done)
		*where = c.where;
	return done;
}
