/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Refcounts, and with them which clusters of the file are free.
 *
 * A count goes up in memory before anything refers to the cluster, and down only once nothing in
 * the file does (qcow2_free_later()), so that counts may be written at any time: a power cut
 * leaves clusters that are counted and not used, never the other way.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"

uint64_t qcow2_refcount_load(const struct qcow2 *q, const uint8_t *block, uint64_t index)
{
	switch (q->header.refcount_order) {
	case 3:
		return block[index];
	case 4:
		return be16_load(block + 2 * index);
	case 5:
		return be32_load(block + 4 * index);
	case 6:
		return be64_load(block + 8 * index);
	default: {
		unsigned bits = 1u << q->header.refcount_order, per_byte = 8 / bits;

		return block[index / per_byte] >> (index % per_byte * bits) & q->refcount_max;
	}
	}
}

void qcow2_refcount_store(const struct qcow2 *q, uint8_t *block, uint64_t index, uint64_t count)
{
	switch (q->header.refcount_order) {
	case 3:
		block[index] = count;
		break;
	case 4:
		be16_store(block + 2 * index, count);
		break;
	case 5:
		be32_store(block + 4 * index, count);
		break;
	case 6:
		be64_store(block + 8 * index, count);
		break;
	default: {
		unsigned bits = 1u << q->header.refcount_order, per_byte = 8 / bits;
		unsigned shift = index % per_byte * bits;
		uint8_t *byte = &block[index / per_byte];

		*byte = (*byte & ~(q->refcount_max << shift)) | count << shift;
	}
	}
}

/* NULL: all of its counts are 0. */
static int get_block(struct qcow2 *q, uint64_t index, struct table **block)
{
	uint64_t offset = index < q->n_reftable ? q->reftable[index] : 0;

	*block = NULL;
	if (!offset)
		return 0;
	if (offset % q->cluster_size || offset >> 56)
		return qcow2_corrupt(
			q, "refcount block %" G_GUINT64_FORMAT " is at 0x%" G_GINT64_MODIFIER "x",
			index, offset);
	return table_get(q->refcounts, offset, block);
}

int qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *count)
{
	struct table *block;
	int status = get_block(q, cluster >> q->refblock_bits, &block);

	*count = 0;
	if (!status && block)
		*count = qcow2_refcount_load(q, block->data,
					     cluster & ((1ull << q->refblock_bits) - 1));
	return status;
}

static void set_in_block(struct qcow2 *q, struct table *block, uint64_t cluster, uint64_t count)
{
	uint64_t index = cluster & ((1ull << q->refblock_bits) - 1);

	qcow2_refcount_store(q, block->data, index, count);
	table_changed(q->refcounts, block, (index << q->header.refcount_order) / 8, 1);
}

int qcow2_refcount_add(struct qcow2 *q, uint64_t cluster, uint64_t n, int by)
{
	for (uint64_t i = cluster; i < cluster + n; i++) {
		struct table *block;
		int status = get_block(q, i >> q->refblock_bits, &block);
		uint64_t count = 0;

		if (status)
			return status;
		if (block)
			count = qcow2_refcount_load(q, block->data,
						    i & ((1ull << q->refblock_bits) - 1));
		if (!count)
			return qcow2_corrupt(q,
					     "cluster 0x%" G_GINT64_MODIFIER
					     "x is in use and counted as free",
					     i << q->cluster_bits);
		if (by > 0 && count == q->refcount_max)
			return -EOVERFLOW;
		set_in_block(q, block, i, count + by);
		if (count + by)
			continue;
		q->free_hint = MIN(q->free_hint, i);
		if (q->packed_at >> q->cluster_bits == i)
			q->packed_at = 0;
	}
	return 0;
}

static int write_reftable(struct qcow2 *q, uint64_t offset)
{
	g_autofree uint64_t *bytes = g_new(uint64_t, q->n_reftable);

	for (uint64_t i = 0; i < q->n_reftable; i++)
		bytes[i] = GUINT64_TO_BE(q->reftable[i]);
	return file_store(q->image.file, offset, bytes, 8 * q->n_reftable);
}

static int put_new_reftable(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	struct file *file = q->image.file;
	struct qcow2_header old = q->header;
	int status = table_write_all(q->refcounts);

	if (!status)
		status = write_reftable(q, offset);
	if (!status)
		status = file->ops->flush(file);
	if (status)
		return status;
	q->header.reftable_offset = offset;
	q->header.reftable_clusters = clusters;
	status = qcow2_header_store(file, &q->header);
	if (!status)
		status = file->ops->flush(file);
	if (status)
		return status;
	q->reftable_dirty = (struct qcow2_range){};
	/* A flush under way may yet write to the old one. */
	qcow2_free_later(q, old.reftable_offset, old.reftable_clusters, false);
	return 0;
}

/* So that block `index` has an entry. Rare: a table of one cluster of 64 KiB lasts for 16 TiB. */
static int grow_reftable(struct qcow2 *q, uint64_t index)
{
	uint64_t clusters =
		MAX(2ull * q->header.reftable_clusters, qcow2_clusters(q, 8 * (index + 1)) + 1);
	uint64_t entries = clusters * q->cluster_size / 8, offset;
	int status;

	if (clusters * q->cluster_size > QCOW2_MAX_REFTABLE)
		return -EFBIG;
	q->reftable = g_renew(uint64_t, q->reftable, entries);
	memset(q->reftable + q->n_reftable, 0, (entries - q->n_reftable) * 8);
	q->n_reftable = entries;
	status = qcow2_alloc_table(q, clusters, &offset);
	if (!status)
		status = put_new_reftable(q, offset, clusters);
	if (status)
		q->failed = true; /* blocks may stand in memory that the file has no entry for */
	return status;
}

/* Hostile counts may say that what the header names is free. */
static bool is_in_use(const struct qcow2 *q, uint64_t offset, uint64_t len)
{
	const struct qcow2_header *h = &q->header;

	return offset < q->cluster_size ||
	       (offset < h->l1_offset + 8ull * h->l1_size && h->l1_offset < offset + len) ||
	       (offset < h->reftable_offset + h->reftable_clusters * q->cluster_size &&
		h->reftable_offset < offset + len);
}

static int take(struct qcow2 *q, uint64_t cluster, uint64_t n)
{
	if (is_in_use(q, cluster << q->cluster_bits, n << q->cluster_bits))
		return qcow2_corrupt(q, "a table at 0x%" G_GINT64_MODIFIER "x is counted as free",
				     cluster << q->cluster_bits);
	for (uint64_t i = cluster; i < cluster + n; i++) {
		struct table *block;
		int status = get_block(q, i >> q->refblock_bits, &block);

		if (status)
			return status;
		set_in_block(q, block, i, 1);
	}
	q->virgin = MAX(q->virgin, (cluster + n) << q->cluster_bits);
	return 0;
}

/*
 * Makes counts for `n` free clusters from `first` on, and for what it takes to count them: new
 * blocks stand after them, in clusters that are free, too. -EAGAIN: other clusters have been taken
 * meanwhile.
 */
static int cover(struct qcow2 *q, uint64_t first, uint64_t n)
{
	uint64_t i = first >> q->refblock_bits, at = first + n;
	uint64_t last = (at + (n >> q->refblock_bits) + 2) >> q->refblock_bits;
	int status = 0;

	if (at >= 1ull << (56 - q->cluster_bits))
		return -EFBIG;
	if (last >= q->n_reftable) {
		status = grow_reftable(q, last);
		return status ? status : -EAGAIN;
	}
	do {
		struct table *block;

		if (q->reftable[i])
			continue;
		if (is_in_use(q, at << q->cluster_bits, q->cluster_size))
			return qcow2_corrupt(q,
					     "a table at 0x%" G_GINT64_MODIFIER "x has no refcount",
					     at << q->cluster_bits);
		q->reftable[i] = at++ << q->cluster_bits;
		qcow2_range_add(&q->reftable_dirty, i, 1);
		block = table_new(q->refcounts, q->reftable[i]);
		table_changed(q->refcounts, block, 0, q->cluster_size);
	} while (++i <= (at - 1) >> q->refblock_bits);
	return at > first + n ? take(q, first + n, at - first - n) : 0;
}

/* The first free cluster from `from` on within its block; the block's end: there is none. */
static uint64_t find_free(const struct qcow2 *q, const struct table *block, uint64_t from)
{
	uint64_t mask = (1ull << q->refblock_bits) - 1;

	do
		if (!qcow2_refcount_load(q, block->data, from & mask))
			return from;
	while (++from & mask);
	return from;
}

int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *offset, uint64_t *got, bool *virgin)
{
	uint64_t at = q->free_hint, n = 1, mask = (1ull << q->refblock_bits) - 1;
	struct table *block;
	int status;

	for (;;) {
		status = get_block(q, at >> q->refblock_bits, &block);
		if (!status && !block) {
			status = cover(q, at, 0);
			at = status == -EAGAIN ? q->free_hint : at;
			status = status == -EAGAIN ? 0 : status;
		} else if (!status) {
			at = find_free(q, block, at);
			if (at & mask || !qcow2_refcount_load(q, block->data, at & mask))
				break;
		}
		if (status)
			return status;
	}
	while (n < want && (at + n) & mask && !qcow2_refcount_load(q, block->data, (at + n) & mask))
		n++;
	/* Either all read as zeroes or none is known to. */
	if (at << q->cluster_bits < q->virgin)
		n = MIN(n, (q->virgin >> q->cluster_bits) - at);
	*virgin = at << q->cluster_bits >= q->virgin;
	status = take(q, at, n);
	if (status)
		return status;
	q->free_hint = at + n;
	*offset = at << q->cluster_bits;
	*got = n;
	return 0;
}

/* The first cluster of those that is in use; the end: none is. */
static int find_used(struct qcow2 *q, uint64_t first, uint64_t n, uint64_t *used)
{
	uint64_t count = 0;
	int status = 0;

	for (*used = first; *used < first + n && !status && !count; ++*used)
		status = qcow2_refcount(q, *used, &count);
	if (count)
		--*used;
	return status;
}

int qcow2_alloc_table(struct qcow2 *q, uint64_t clusters, uint64_t *offset)
{
	uint64_t first = clusters == 1 ? q->free_hint : qcow2_clusters(q, q->virgin), used;
	uint64_t with_blocks = clusters + (clusters >> q->refblock_bits) + 3;
	int status;

	if (clusters == 1) {
		bool virgin;

		return qcow2_alloc(q, 1, offset, &used, &virgin);
	}
	do {
		status = find_used(q, first, with_blocks, &used);
		while (!status && used < first + with_blocks) {
			first = used + 1;
			status = find_used(q, first, with_blocks, &used);
		}
		if (!status)
			status = cover(q, first, clusters);
	} while (status == -EAGAIN);
	if (!status)
		status = take(q, first, clusters);
	*offset = first << q->cluster_bits;
	return status;
}

int qcow2_alloc_bytes(struct qcow2 *q, uint64_t len, uint64_t *offset)
{
	uint64_t room = -q->packed_at & (q->cluster_size - 1), next, got;
	bool virgin;
	int status = -EOVERFLOW;

	if (room >= len)
		status = qcow2_refcount_add(q, q->packed_at >> q->cluster_bits, 1, 1);
	if (status == -EOVERFLOW) {
		status = qcow2_alloc(q, 1, &next, &got, &virgin);
		/* They go on in the next cluster, if that is the one. */
		if (!status && (room >= len || !room || next != q->packed_at + room ||
				qcow2_refcount_add(q, q->packed_at >> q->cluster_bits, 1, 1)))
			q->packed_at = next;
	}
	if (status)
		return status;
	*offset = q->packed_at;
	q->packed_at += len;
	return 0;
}

int qcow2_free_now(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	return qcow2_refcount_add(q, offset >> q->cluster_bits, clusters, -1);
}

void qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t clusters, bool punch)
{
	struct qcow2_free *last =
		q->frees->len ? &g_array_index(q->frees, struct qcow2_free, q->frees->len - 1)
			      : NULL;

	if (last && last->punch == punch &&
	    last->offset + (last->clusters << q->cluster_bits) == offset) {
		last->clusters += clusters;
		return;
	}
	g_array_append_val(q->frees, ((struct qcow2_free){offset, clusters, punch}));
}
