/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/bat.h"

#include <errno.h>
#include <string.h>

static uint64_t index_of(const struct bat *bat, uint64_t block)
{
	return block + (bat->gap ? block / bat->gap : 0);
}

static unsigned per_page(const struct bat *bat)
{
	return bat->page_bytes / bat->entry_size;
}

bool bat_init(struct bat *bat)
{
	g_mutex_init(&bat->lock);
	g_mutex_init(&bat->loading);
	g_mutex_init(&bat->flushing);
	for (unsigned i = 0; i < BAT_STRIPES; i++)
		g_mutex_init(&bat->stripes[i]);
	bat->dirty = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	if (!bat->ops || !bat->n_blocks)
		return true;
	if (bat->n_blocks > BAT_MAX_BLOCKS)
		return false;
	bat->batch = bat->batch ? bat->batch : BAT_BATCH;
	bat->n_pages = index_of(bat, bat->n_blocks - 1) / per_page(bat) + 1;
	bat->pages = g_malloc0(bat->n_pages * sizeof(*bat->pages));
	bat->changed = g_malloc0(bat->n_pages);
	return true;
}

void bat_fini(struct bat *bat)
{
	if (!bat->dirty)
		return;
	for (uint64_t i = 0; bat->pages && i < bat->n_pages; i++)
		g_free(bat->pages[i]);
	g_clear_pointer(&bat->pages, g_free);
	g_clear_pointer(&bat->changed, g_free);
	g_clear_pointer(&bat->dirty, g_array_unref);
	for (unsigned i = 0; i < BAT_STRIPES; i++)
		g_mutex_clear(&bat->stripes[i]);
	g_mutex_clear(&bat->flushing);
	g_mutex_clear(&bat->loading);
	g_mutex_clear(&bat->lock);
}

/* ---- the table ---- */

static uint64_t get(const struct bat *bat, const uint8_t *page, unsigned i)
{
	if (bat->entry_size == 8) {
		uint64_t wide = __atomic_load_n((const uint64_t *)page + i, __ATOMIC_ACQUIRE);

		return bat->big_endian ? GUINT64_FROM_BE(wide) : GUINT64_FROM_LE(wide);
	}
	uint32_t value = __atomic_load_n((const uint32_t *)page + i, __ATOMIC_ACQUIRE);

	return bat->big_endian ? GUINT32_FROM_BE(value) : GUINT32_FROM_LE(value);
}

static void put(const struct bat *bat, uint8_t *page, unsigned i, uint64_t entry)
{
	if (bat->entry_size == 8)
		__atomic_store_n((uint64_t *)page + i,
				 bat->big_endian ? GUINT64_TO_BE(entry) : GUINT64_TO_LE(entry),
				 __ATOMIC_RELEASE);
	else
		__atomic_store_n((uint32_t *)page + i,
				 bat->big_endian ? GUINT32_TO_BE(entry) : GUINT32_TO_LE(entry),
				 __ATOMIC_RELEASE);
}

static int page_at(struct bat *bat, uint64_t page, bool make, uint64_t *offset)
{
	if (bat->ops->page_at)
		return bat->ops->page_at(bat, page, make, offset);
	*offset = bat->table_at + page * bat->page_bytes;
	return 0;
}

/* The last page ends with the table: what comes after it is not ours. */
static unsigned page_len(const struct bat *bat, uint64_t page)
{
	uint64_t entries = index_of(bat, bat->n_blocks - 1) + 1 - page * per_page(bat);

	return MIN(entries, per_page(bat)) * bat->entry_size;
}

static int read_page(struct bat *bat, uint64_t n, uint8_t *bytes)
{
	uint64_t at;
	int status = page_at(bat, n, false, &at);

	memset(bytes, 0, bat->page_bytes);
	return status || !at ? status : file_load(bat->file, at, bytes, page_len(bat, n));
}

static int load_page(struct bat *bat, uint64_t n, uint8_t **page)
{
	uint8_t *bytes;
	int status = 0;

	g_mutex_lock(&bat->loading);
	*page = bat->pages[n];
	if (!*page) {
		bytes = g_malloc(bat->page_bytes);
		status = read_page(bat, n, bytes);
		if (status) {
			g_free(bytes);
		} else {
			bat->pages[n] = bytes;
			*page = bytes;
		}
	}
	g_mutex_unlock(&bat->loading);
	return status;
}

int bat_entry(struct bat *bat, uint64_t block, bool may_wait, uint64_t *entry)
{
	uint64_t index = index_of(bat, block), n = index / per_page(bat);
	uint8_t *page = bat->pages[n];
	int status = page ? 0 : may_wait ? load_page(bat, n, &page) : -EAGAIN;

	if (!status)
		*entry = get(bat, page, index % per_page(bat));
	return status;
}

int bat_scan(struct bat *bat, bat_scan_fn each, void *opaque)
{
	g_autofree uint8_t *bytes = g_malloc(bat->page_bytes);
	uint64_t in_bytes = UINT64_MAX;
	int status = 0;

	for (uint64_t block = 0; block < bat->n_blocks && !status; block++) {
		uint64_t index = index_of(bat, block), n = index / per_page(bat), offset = 0;
		const uint8_t *page = bat->pages[n] ? bat->pages[n] : bytes;
		enum bat_kind kind;

		if (page == bytes && in_bytes != n)
			status = read_page(bat, n, bytes);
		in_bytes = page == bytes ? n : in_bytes;
		if (status)
			break;
		kind = bat->ops->decode(bat, block, get(bat, page, index % per_page(bat)), &offset);
		status = each(bat, block, kind, offset, opaque);
	}
	return status;
}

int bat_set_entry(struct bat *bat, uint64_t block, uint64_t entry)
{
	uint64_t index = index_of(bat, block), at;
	uint32_t n = index / per_page(bat);
	uint8_t *page = bat->pages[n];
	int status = page ? 0 : load_page(bat, n, &page);

	g_mutex_lock(&bat->lock);
	if (!status)
		status = page_at(bat, n, true, &at);
	if (!status) {
		put(bat, page, index % per_page(bat), entry);
		if (!bat->changed[n])
			g_array_append_val(bat->dirty, n);
		bat->changed[n] = 1;
	}
	g_mutex_unlock(&bat->lock);
	return status;
}

/* ---- flush ---- */

static void take_batch(struct bat *bat, struct bat_batch *batch)
{
	g_mutex_lock(&bat->lock);
	batch->n = MIN(bat->dirty->len, bat->batch);
	batch->bytes = batch->n ? g_malloc((size_t)batch->n * bat->page_bytes) : NULL;
	for (unsigned i = 0; i < batch->n; i++) {
		uint32_t n = g_array_index(bat->dirty, uint32_t, bat->dirty->len - 1 - i);

		batch->page[i] = n;
		bat->changed[n] = 0;
		memcpy(batch->bytes + (size_t)i * bat->page_bytes, bat->pages[n], bat->page_bytes);
	}
	g_array_set_size(bat->dirty, bat->dirty->len - batch->n);
	g_mutex_unlock(&bat->lock);
}

/* They could not be written: the next flush tries again. */
static void put_back(struct bat *bat, const struct bat_batch *batch)
{
	g_mutex_lock(&bat->lock);
	for (unsigned i = 0; i < batch->n; i++) {
		if (!bat->changed[batch->page[i]])
			g_array_append_val(bat->dirty, batch->page[i]);
		bat->changed[batch->page[i]] = 1;
	}
	g_mutex_unlock(&bat->lock);
}

static int prepare(struct bat *bat)
{
	int status = 0;

	g_mutex_lock(&bat->lock);
	if (bat->grown && bat->ops->prepare)
		status = bat->ops->prepare(bat);
	if (!status)
		bat->grown = false;
	g_mutex_unlock(&bat->lock);
	return status;
}

static int store_batch(struct bat *bat, const struct bat_batch *batch)
{
	int status = 0;

	if (bat->ops->store)
		return bat->ops->store(bat, batch);
	for (unsigned i = 0; i < batch->n && !status; i++) {
		uint64_t at;

		status = page_at(bat, batch->page[i], false, &at);
		if (!status)
			status = file_store(bat->file, at,
					    batch->bytes + (size_t)i * bat->page_bytes,
					    page_len(bat, batch->page[i]));
	}
	return status;
}

/* The entries are taken before the barrier, so that what they lead to is behind it. */
static int flush_batch(struct bat *bat, bool *more)
{
	struct bat_batch batch;
	int status;

	take_batch(bat, &batch);
	*more = batch.n == bat->batch;
	status = prepare(bat);
	if (!status)
		status = bat->file->ops->flush(bat->file);
	if (!status && batch.n)
		status = store_batch(bat, &batch);
	if (!status && batch.n)
		status = bat->file->ops->flush(bat->file);
	if (status)
		put_back(bat, &batch);
	g_free(batch.bytes);
	return status;
}

int bat_flush(struct bat *bat)
{
	bool more = true;
	int status = 0;

	if (!bat->ops)
		return bat->file->ops->flush(bat->file);
	g_mutex_lock(&bat->flushing);
	while (more && !status)
		status = flush_batch(bat, &more);
	g_mutex_unlock(&bat->flushing);
	return status;
}
