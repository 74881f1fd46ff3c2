/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/qcow2/table.h"

#include <string.h>

/* Blocks of a host's disk: less costs as much. */
enum { MIN_UNIT = 4096, MIN_TABLES = 16 };

struct table_cache {
	struct file *file;
	GHashTable *tables; /* by the offset's number of sectors */
	GQueue used;	    /* links of tables, the one used last first */
	size_t table_size, unit;
	unsigned limit, n_dirty; /* tables */
};

struct piece {
	struct table *table;
	uint64_t offset, units;
	size_t len;
	uint8_t data[];
};

static gpointer key_of(uint64_t offset)
{
	return GSIZE_TO_POINTER(offset >> 9);
}

struct table_cache *table_cache_new(struct file *file, size_t table_size, size_t bytes)
{
	struct table_cache *cache = g_new0(struct table_cache, 1);

	cache->file = file;
	cache->tables = g_hash_table_new(NULL, NULL);
	g_queue_init(&cache->used);
	cache->table_size = table_size;
	cache->unit = MAX(table_size / 64, MIN(table_size, MIN_UNIT));
	cache->limit = MAX(bytes / table_size, MIN_TABLES);
	return cache;
}

static void forget(struct table_cache *cache, struct table *table)
{
	g_hash_table_remove(cache->tables, key_of(table->offset));
	g_queue_unlink(&cache->used, &table->link);
	cache->n_dirty -= !!table->dirty;
	g_free(table->data);
	g_free(table);
}

void table_cache_drop(struct table_cache *cache)
{
	while (cache->used.head)
		forget(cache, cache->used.head->data);
}

void table_cache_free(struct table_cache *cache)
{
	if (!cache)
		return;
	table_cache_drop(cache);
	g_hash_table_unref(cache->tables);
	g_free(cache);
}

struct table *table_find(struct table_cache *cache, uint64_t offset)
{
	struct table *table = g_hash_table_lookup(cache->tables, key_of(offset));

	if (table && cache->used.head != &table->link) {
		g_queue_unlink(&cache->used, &table->link);
		g_queue_push_head_link(&cache->used, &table->link);
	}
	return table;
}

/* Those with changes stay: they wait for a flush. */
static void make_room(struct table_cache *cache)
{
	GList *link = cache->used.tail;

	while (link && cache->used.length >= cache->limit) {
		struct table *table = link->data;

		link = link->prev;
		if (!table->dirty && !table->writing)
			forget(cache, table);
	}
}

static struct table *add(struct table_cache *cache, uint64_t offset, uint8_t *data)
{
	struct table *table = g_new0(struct table, 1);

	make_room(cache);
	table->offset = offset;
	table->data = data;
	table->link.data = table;
	g_queue_push_head_link(&cache->used, &table->link);
	g_hash_table_insert(cache->tables, key_of(offset), table);
	return table;
}

int table_get(struct table_cache *cache, uint64_t offset, struct table **table)
{
	uint8_t *data;
	int status;

	*table = table_find(cache, offset);
	if (*table)
		return 0;
	data = g_malloc(cache->table_size);
	status = file_load(cache->file, offset, data, cache->table_size);
	if (status)
		g_free(data);
	else
		*table = add(cache, offset, data);
	return status;
}

struct table *table_new(struct table_cache *cache, uint64_t offset)
{
	struct table *old = table_find(cache, offset);

	if (!old)
		return add(cache, offset, g_malloc0(cache->table_size));
	memset(old->data, 0, cache->table_size);
	table_changed(cache, old, 0, cache->table_size);
	return old;
}

void table_changed(struct table_cache *cache, struct table *table, size_t offset, size_t len)
{
	unsigned first = offset / cache->unit, last = (offset + len - 1) / cache->unit;

	cache->n_dirty += !table->dirty;
	table->dirty |= (~0ull >> (63 - (last - first))) << first;
}

bool table_cache_is_full(const struct table_cache *cache)
{
	return cache->n_dirty > cache->limit / 2;
}

int table_write_all(struct table_cache *cache)
{
	int status = 0;

	for (GList *link = cache->used.head; link && !status; link = link->next) {
		struct table *table = link->data;

		if (!table->dirty && !table->writing)
			continue;
		/* Whoever is writing it may write older bytes after ours. */
		table_changed(cache, table, 0, cache->table_size);
		status = file_store(cache->file, table->offset, table->data, cache->table_size);
	}
	return status;
}

static void collect_table(struct table_cache *cache, struct table *table, GPtrArray *pieces)
{
	while (table->dirty) {
		unsigned first = __builtin_ctzll(table->dirty);
		uint64_t rest = ~(table->dirty >> first);
		unsigned n = rest ? __builtin_ctzll(rest) : 64;
		struct piece *piece = g_malloc(sizeof(*piece) + n * cache->unit);

		piece->table = table;
		piece->units = (~0ull >> (64 - n)) << first;
		piece->offset = table->offset + first * cache->unit;
		piece->len = n * cache->unit;
		memcpy(piece->data, table->data + first * cache->unit, piece->len);
		table->dirty &= ~piece->units;
		table->writing++;
		g_ptr_array_add(pieces, piece);
	}
}

GPtrArray *table_collect(struct table_cache *cache)
{
	GPtrArray *pieces = NULL;

	for (GList *link = cache->used.head; link && cache->n_dirty; link = link->next) {
		struct table *table = link->data;

		if (!table->dirty)
			continue;
		cache->n_dirty--;
		if (!pieces)
			pieces = g_ptr_array_new_with_free_func(g_free);
		collect_table(cache, table, pieces);
	}
	return pieces;
}

int table_write(struct file *file, GPtrArray *pieces)
{
	int status = 0;

	for (guint i = 0; pieces && i < pieces->len && !status; i++) {
		struct piece *piece = pieces->pdata[i];

		status = file_store(file, piece->offset, piece->data, piece->len);
	}
	return status;
}

void table_written(struct table_cache *cache, GPtrArray *pieces, bool ok)
{
	for (guint i = 0; pieces && i < pieces->len; i++) {
		struct piece *piece = pieces->pdata[i];

		piece->table->writing--;
		if (ok)
			continue;
		cache->n_dirty += !piece->table->dirty;
		piece->table->dirty |= piece->units;
	}
	if (pieces)
		g_ptr_array_unref(pieces);
}
