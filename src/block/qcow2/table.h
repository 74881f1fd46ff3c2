/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of one cluster each, L2 tables or refcount blocks, that are in memory: those used last,
 * and all that have changes. Seen in this folder only; the image's lock guards them.
 */
#ifndef VIV_BLOCK_QCOW2_TABLE_H
#define VIV_BLOCK_QCOW2_TABLE_H

#include <glib.h>

#include "block/file.h"

/* The first of what changed, and the one after the last; empty where they are equal. */
struct qcow2_range {
	uint64_t first, end;
};

static inline void qcow2_range_add(struct qcow2_range *range, uint64_t first, uint64_t n)
{
	if (range->first == range->end)
		*range = (struct qcow2_range){first, first};
	range->first = MIN(range->first, first);
	range->end = MAX(range->end, first + n);
}

struct table_cache;

struct table {
	uint64_t offset; /* in the file */
	uint64_t dirty;	 /* a bit a unit of the cache */
	unsigned writing;
	GList link;
	uint8_t *data;
};

struct table_cache *table_cache_new(struct file *file, size_t table_size, size_t bytes);
void table_cache_free(struct table_cache *cache);
/* NULL: it is not in memory. */
struct table *table_find(struct table_cache *cache, uint64_t offset);
int table_get(struct table_cache *cache, uint64_t offset, struct table **table);
/* All zeroes in memory, whatever the file has. */
struct table *table_new(struct table_cache *cache, uint64_t offset);
void table_changed(struct table_cache *cache, struct table *table, size_t offset, size_t len);
/* Forgets all of them, changes too. */
void table_cache_drop(struct table_cache *cache);
/* Changes take more than half of what the cache should hold. */
bool table_cache_is_full(const struct table_cache *cache);

/* All changes, those that are on their way by others too; they stay changes. */
int table_write_all(struct table_cache *cache);

/* Changes on their way into the file, copied so that others may change the tables meanwhile. */
GPtrArray *table_collect(struct table_cache *cache);   /* NULL: there are none */
int table_write(struct file *file, GPtrArray *pieces); /* without the lock; NULL is fine */
/* Frees the pieces; those that did not get into the file are changes again. */
void table_written(struct table_cache *cache, GPtrArray *pieces, bool ok);

#endif
