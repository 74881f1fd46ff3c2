/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Twice the processors: some wait for the host's disk. */
#define MIN_WORKERS 4
#define MAX_WORKERS 16
#define REPORT_US   100000

struct run {
	const struct sweep *sweep;
	uint64_t piece; /* bytes */
	GMutex lock;	/* of the rest */
	GCond ended;
	uint64_t next, done;
	unsigned working;
	GError *error; /* the first; nothing is begun after it */
};

/* Under the lock: the next piece; false: there is none. */
static bool take(struct run *run, uint64_t *offset, uint64_t *len)
{
	const struct sweep *sweep = run->sweep;
	uint64_t skip = 0;

	if (!run->error && sweep->skip && run->next < sweep->size)
		skip = sweep->skip(sweep->opaque, run->next) / run->piece * run->piece;
	/* What is left of a disk may be less than a piece. */
	skip = MIN(skip, sweep->size - run->next);
	run->next += skip;
	run->done += skip;
	if (run->error || run->next >= sweep->size)
		return false;
	*offset = run->next;
	*len = MIN(run->piece, sweep->size - run->next);
	run->next += *len;
	return true;
}

static gpointer work(gpointer data)
{
	struct run *run = data;
	uint8_t *buffer = aligned_alloc(4096, 2 * run->piece);
	uint64_t offset, len;

	g_assert(buffer);
	g_mutex_lock(&run->lock);
	while (take(run, &offset, &len)) {
		GError *error = NULL;

		g_mutex_unlock(&run->lock);
		run->sweep->piece(run->sweep->opaque, offset, len, buffer, &error);
		g_mutex_lock(&run->lock);
		run->done += len;
		if (error && !run->error)
			run->error = g_steal_pointer(&error);
		g_clear_error(&error);
	}
	if (--run->working == 0)
		g_cond_signal(&run->ended);
	g_mutex_unlock(&run->lock);
	free(buffer);
	return NULL;
}

/* Until the workers are through. Under the lock. */
static void wait_for_end(struct run *run, const struct job_watch *watch)
{
	while (run->working) {
		uint64_t done = run->done;
		bool go_on;

		if (!watch || g_cond_wait_until(&run->ended, &run->lock,
						g_get_monotonic_time() + REPORT_US)) {
			if (!watch)
				g_cond_wait(&run->ended, &run->lock);
			continue;
		}
		g_mutex_unlock(&run->lock);
		go_on = watch->report(watch->opaque, done, run->sweep->size);
		g_mutex_lock(&run->lock);
		if (!go_on && !run->error)
			run->error = g_error_new(VIV_ERROR, VIV_ERROR_HOST, "interrupted");
	}
}

bool sweep_run(const struct sweep *sweep, const struct job_watch *watch, GError **error)
{
	unsigned n = CLAMP(2 * g_get_num_processors(), MIN_WORKERS, MAX_WORKERS);
	struct run run = {.sweep = sweep, .working = n};
	GThread *threads[MAX_WORKERS];
	unsigned align = MAX(sweep->align, 1);

	run.piece = MAX(SWEEP_PIECE / align, 1) * (uint64_t)align;
	g_mutex_init(&run.lock);
	g_cond_init(&run.ended);
	for (unsigned i = 0; i < n; i++)
		threads[i] = g_thread_new("disk-work", work, &run);
	g_mutex_lock(&run.lock);
	wait_for_end(&run, watch);
	g_mutex_unlock(&run.lock);
	for (unsigned i = 0; i < n; i++)
		g_thread_join(threads[i]);
	g_cond_clear(&run.ended);
	g_mutex_clear(&run.lock);
	if (!run.error && watch)
		watch->report(watch->opaque, sweep->size, sweep->size);
	if (run.error)
		g_propagate_error(error, run.error);
	return !run.error;
}

void sweep_map_init(struct sweep_map *map, struct image *image)
{
	*map = (struct sweep_map){.image = image};
	g_mutex_init(&map->lock);
}

void sweep_map_fini(struct sweep_map *map)
{
	g_mutex_clear(&map->lock);
}

int sweep_map(struct sweep_map *map, uint64_t offset, uint64_t len, struct image_extent *extent)
{
	uint64_t skip;
	int status = 0;

	g_mutex_lock(&map->lock);
	if (offset < map->at || offset - map->at >= map->extent.len) {
		map->at = offset;
		status = image_map(map->image, offset, image_size(map->image) - offset,
				   &map->extent);
		if (status)
			map->extent.len = 0;
	}
	*extent = map->extent;
	skip = offset - map->at;
	g_mutex_unlock(&map->lock);
	extent->len = MIN(extent->len - skip, len);
	if (extent->file_offset != IMAGE_NO_OFFSET)
		extent->file_offset += skip;
	return status;
}

bool sweep_fail(const struct image *image, const char *what, uint64_t offset, int status,
		GError **error)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "disk '%s': cannot be %s at byte %" G_GUINT64_FORMAT ": %s", image_path(image),
		    what, offset, g_strerror(-status));
	return false;
}

int sweep_read(struct image *image, uint64_t offset, uint8_t *buffer, uint64_t len)
{
	uint64_t size = image ? image_size(image) : 0;
	uint64_t there = offset < size ? MIN(len, size - offset) : 0;

	memset(buffer + there, 0, len - there);
	return there ? image_read(image, offset, SPAN(buffer, there)) : 0;
}
