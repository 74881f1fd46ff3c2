/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent dirty bitmaps: which parts of the disk were written since a backup.
 *
 * Those that are enabled are kept while the disk is written. Meanwhile each is marked as in use in
 * the file, and so is not believed after a power cut; closing the image writes them.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"

enum {
	IN_USE = 1,
	AUTO = 2,
	KNOWN_FLAGS = 7,
	HEAD = 24,
	FLAGS = 12,
	MAX_DIRECTORY = 16 << 20,
	MIN_GRANULARITY_BITS = 9,
	MAX_GRANULARITY_BITS = 31,
};
#define TABLE_OFFSET_MASK 0x00fffffffffffe00ull
#define ALL_ONES	  1ull
#define MAX_MEMORY	  (256ull << 20) /* of all that are kept: a disk of 1 TiB by sectors */

struct bitmap {
	uint64_t entry; /* in the directory, from its start */
	uint64_t table_offset;
	uint32_t table_size, flags;
	uint8_t granularity_bits;
	char *name;
	uint64_t *table; /* what the file has; NULL: it is not kept up to date */
	uint8_t *bits;	 /* table_size clusters */
};

struct qcow2_bitmaps {
	GPtrArray *all; /* of struct bitmap */
	bool kept;	/* some are */
};

static void free_bitmap(void *data)
{
	struct bitmap *b = data;

	g_free(b->name);
	g_free(b->table);
	g_free(b->bits);
	g_free(b);
}

static uint64_t n_bits(const struct qcow2 *q, const struct bitmap *b)
{
	return ((q->header.size - 1) >> b->granularity_bits) + 1;
}

static bool is_sane(const struct qcow2 *q, const struct bitmap *b, uint8_t type, uint16_t name_len)
{
	uint64_t end = q->image.file->size;

	return type == 1 && !(b->flags & ~KNOWN_FLAGS) &&
	       b->granularity_bits >= MIN_GRANULARITY_BITS &&
	       b->granularity_bits <= MAX_GRANULARITY_BITS && name_len &&
	       name_len <= QCOW2_MAX_NAME && b->table_offset % q->cluster_size == 0 &&
	       b->table_offset <= end && 8ull * b->table_size <= end - b->table_offset &&
	       b->table_size == qcow2_clusters(q, (n_bits(q, b) + 7) / 8);
}

static bool parse(struct qcow2 *q, const uint8_t *directory, uint64_t len, uint64_t *at)
{
	const uint8_t *e = directory + *at;
	struct bitmap *b;
	uint64_t name_at;
	uint16_t name_len;

	if (len - *at < HEAD)
		return false;
	name_len = be16_load(e + 18);
	name_at = HEAD + (uint64_t)be32_load(e + 20);
	if (name_at + name_len > len - *at)
		return false;
	b = g_new0(struct bitmap, 1);
	*b = (struct bitmap){
		.entry = *at,
		.table_offset = be64_load(e),
		.table_size = be32_load(e + 8),
		.flags = be32_load(e + FLAGS),
		.granularity_bits = e[17],
		.name = g_strndup((const char *)e + name_at, name_len),
	};
	g_ptr_array_add(q->bitmaps->all, b);
	*at += MIN((name_at + name_len + 7) / 8 * 8, len - *at);
	return is_sane(q, b, e[16], name_len);
}

static int load_directory(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;
	uint64_t end = q->image.file->size, at = 0;
	g_autofree uint8_t *directory = NULL;
	int status;

	if (h->n_bitmaps > QCOW2_MAX_BITMAPS || h->bitmaps_size > MAX_DIRECTORY ||
	    h->bitmaps_offset % q->cluster_size || h->bitmaps_offset > end ||
	    h->bitmaps_size > end - h->bitmaps_offset)
		return -EINVAL;
	directory = g_malloc(MAX(h->bitmaps_size, 1));
	status = file_load(q->image.file, h->bitmaps_offset, directory, h->bitmaps_size);
	for (uint32_t i = 0; i < h->n_bitmaps && !status; i++)
		status = parse(q, directory, h->bitmaps_size, &at) ? 0 : -EINVAL;
	return status;
}

void qcow2_bitmaps_free(struct qcow2 *q)
{
	if (q->bitmaps)
		g_ptr_array_unref(q->bitmaps->all);
	g_clear_pointer(&q->bitmaps, g_free);
}

/* Bitmaps that are not consistent, or not what we know, are as if they were not there. */
int qcow2_bitmaps_load(struct qcow2 *q)
{
	int status;

	if (!(q->header.autoclear & QCOW2_BITMAPS) || !q->header.n_bitmaps)
		return 0;
	q->bitmaps = g_new0(struct qcow2_bitmaps, 1);
	q->bitmaps->all = g_ptr_array_new_with_free_func(free_bitmap);
	status = load_directory(q);
	if (status)
		qcow2_bitmaps_free(q);
	return status == -EINVAL ? 0 : status;
}

static uint8_t *cluster_of(const struct qcow2 *q, const struct bitmap *b, uint64_t i)
{
	return b->bits + (i << q->cluster_bits);
}

static int load_bits(struct qcow2 *q, struct bitmap *b)
{
	int status = 0;

	b->table = qcow2_l1_load(q, b->table_offset, b->table_size);
	if (!b->table)
		return -EIO;
	b->bits = g_malloc0((uint64_t)b->table_size << q->cluster_bits);
	for (uint32_t i = 0; i < b->table_size && !status; i++) {
		uint64_t offset = b->table[i] & TABLE_OFFSET_MASK;

		if (offset % q->cluster_size || offset >= q->image.file->size)
			return -EIO;
		if (offset)
			status = file_load(q->image.file, offset, cluster_of(q, b, i),
					   q->cluster_size);
		else if (b->table[i] & ALL_ONES)
			memset(cluster_of(q, b, i), 0xff, q->cluster_size);
	}
	return status;
}

static int store_flags(struct qcow2 *q, const struct bitmap *b, uint32_t flags)
{
	uint8_t bytes[4];

	be32_store(bytes, flags);
	return file_store(q->image.file, q->header.bitmaps_offset + b->entry + FLAGS, bytes,
			  sizeof(bytes));
}

int qcow2_bitmaps_keep(struct qcow2 *q)
{
	uint64_t total = 0;
	int status = 0;

	for (guint i = 0; q->bitmaps && i < q->bitmaps->all->len && !status; i++) {
		struct bitmap *b = q->bitmaps->all->pdata[i];

		if (!(b->flags & AUTO) || b->flags & IN_USE)
			continue;
		total += (uint64_t)b->table_size << q->cluster_bits;
		if (total <= MAX_MEMORY && load_bits(q, b))
			g_clear_pointer(&b->table, g_free);
		q->bitmaps->kept |= b->table != NULL;
		b->flags |= IN_USE;
		status = store_flags(q, b, b->flags);
	}
	return !status && q->bitmaps ? q->image.file->ops->flush(q->image.file) : status;
}

bool qcow2_bitmaps_are_kept(const struct qcow2 *q)
{
	return q->bitmaps && q->bitmaps->kept;
}

static void mark(const struct bitmap *b, uint64_t offset, uint64_t len)
{
	uint64_t last = (offset + len - 1) >> b->granularity_bits;

	for (uint64_t bit = offset >> b->granularity_bits; bit <= last; bit++)
		b->bits[bit / 8] |= 1 << bit % 8;
}

void qcow2_bitmaps_mark(struct qcow2 *q, uint64_t offset, uint64_t len)
{
	if (!qcow2_bitmaps_are_kept(q) || !len)
		return;
	g_mutex_lock(&q->lock);
	for (guint i = 0; i < q->bitmaps->all->len; i++) {
		const struct bitmap *b = q->bitmaps->all->pdata[i];

		if (b->table)
			mark(b, offset, len);
	}
	g_mutex_unlock(&q->lock);
}

/* One cluster of bits: where they were before, or in a new one; none for zeroes. */
static int store_cluster(struct qcow2 *q, struct bitmap *b, uint32_t i)
{
	uint64_t offset = b->table[i] & TABLE_OFFSET_MASK;
	uint8_t *bytes = cluster_of(q, b, i);
	int status = 0;

	if (span_is_zero(SPAN(bytes, q->cluster_size)) && !offset) {
		b->table[i] = 0;
		return 0;
	}
	if (!offset)
		status = qcow2_alloc_table(q, 1, &offset);
	b->table[i] = offset;
	return status ? status : file_store(q->image.file, offset, bytes, q->cluster_size);
}

static int store_bits(struct qcow2 *q, struct bitmap *b)
{
	uint64_t bits = n_bits(q, b);
	int status = 0;

	/* What is not of the disk is zero. */
	if (bits % 8)
		b->bits[bits / 8] &= (1 << bits % 8) - 1;
	memset(b->bits + (bits + 7) / 8, 0,
	       ((uint64_t)b->table_size << q->cluster_bits) - (bits + 7) / 8);
	for (uint32_t i = 0; i < b->table_size && !status; i++)
		status = store_cluster(q, b, i);
	return status;
}

int qcow2_bitmaps_store(struct qcow2 *q)
{
	int status = 0;

	if (!qcow2_bitmaps_are_kept(q))
		return 0;
	for (guint i = 0; i < q->bitmaps->all->len && !status; i++) {
		struct bitmap *b = q->bitmaps->all->pdata[i];

		if (b->table)
			status = store_bits(q, b);
	}
	/* Counts of new clusters, and the bits, before the tables that refer to them. */
	if (!status)
		status = qcow2_flush(&q->image);
	for (guint i = 0; i < q->bitmaps->all->len && !status; i++) {
		const struct bitmap *b = q->bitmaps->all->pdata[i];

		if (b->table)
			status = qcow2_l1_store(q, b->table_offset, b->table, b->table_size);
	}
	if (!status)
		status = q->image.file->ops->flush(q->image.file);
	for (guint i = 0; i < q->bitmaps->all->len && !status; i++) {
		const struct bitmap *b = q->bitmaps->all->pdata[i];

		if (b->table)
			status = store_flags(q, b, b->flags & ~IN_USE);
	}
	return status ? status : q->image.file->ops->flush(q->image.file);
}

void qcow2_bitmaps_info(const struct qcow2 *q, struct image_info *info)
{
	for (guint i = 0; q->bitmaps && i < q->bitmaps->all->len; i++) {
		const struct bitmap *b = q->bitmaps->all->pdata[i];

		image_info_add(info, "bitmap", "%s: %u bytes a bit, %s%s", b->name,
			       1u << b->granularity_bits, b->flags & AUTO ? "enabled" : "disabled",
			       b->flags & IN_USE ? ", not saved by who wrote the disk last" : "");
	}
}

int qcow2_bitmaps_each(struct qcow2 *q, void (*fn)(void *opaque, uint64_t offset, uint64_t len),
		       void *opaque)
{
	if (!q->bitmaps)
		return 0;
	fn(opaque, q->header.bitmaps_offset, q->header.bitmaps_size);
	for (guint i = 0; i < q->bitmaps->all->len; i++) {
		const struct bitmap *b = q->bitmaps->all->pdata[i];
		g_autofree uint64_t *table = qcow2_l1_load(q, b->table_offset, b->table_size);

		if (!table)
			return -EIO;
		fn(opaque, b->table_offset, 8ull * b->table_size);
		for (uint32_t j = 0; j < b->table_size; j++) {
			uint64_t offset = table[j] & TABLE_OFFSET_MASK;

			if (offset && offset < q->image.file->size)
				fn(opaque, offset, q->cluster_size);
		}
	}
	return 0;
}
