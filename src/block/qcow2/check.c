/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds what the tables say of each cluster, compares it with the refcounts, and mends.
 *
 * Errors put data at risk: a cluster in use that is counted too low or as free, an entry that leads
 * out of the file or into a table, a flag that lets a shared cluster be written. Leaks cost space:
 * counts too high, a flag that makes a cluster be copied in vain. Leaks are mended only where there
 * are no errors, or all are: what seems unused may be what a broken table refers to. Entries that
 * cannot be right are emptied. Where refcount blocks are missing or wrong, all of them are made
 * anew at the file's end.
 */
#include "block/qcow2/check_int.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
static bool block_is_sane(const struct qcow2 *q, uint64_t index)
{
	uint64_t offset = index < q->n_reftable ? q->reftable[index] : 0;

	return offset && offset % q->cluster_size == 0 && offset < q->image.file->size;
}

static void compare_cluster(struct checker *c, uint64_t cluster, uint64_t stored, uint32_t found)
{
	if (stored > found)
		check_leak(c,
			   "cluster 0x%" G_GINT64_MODIFIER
			   "x is used %u times and counted %" G_GUINT64_FORMAT " times",
			   cluster << c->q->cluster_bits, found, stored);
	else
		check_error(c,
			    "cluster 0x%" G_GINT64_MODIFIER
			    "x is used %u times and counted only %" G_GUINT64_FORMAT " times",
			    cluster << c->q->cluster_bits, found, stored);
}

/* One block: what differs, or, with `mend`, that it does no more. */
static void compare_block(struct checker *c, uint64_t index, bool mend)
{
	struct qcow2 *q = c->q;
	const uint32_t *found = check_counts_of(c, index, false);
	struct table *block = NULL;

	if (block_is_sane(q, index))
		c->status = table_get(q->refcounts, q->reftable[index], &block);
	else if (!found)
		return;
	for (uint64_t i = 0; i < 1ull << q->refblock_bits && !c->status; i++) {
		uint64_t stored = block ? qcow2_refcount_load(q, block->data, i) : 0;
		uint32_t n = found ? found[i] : 0;

		if (stored == n)
			continue;
		if (!mend) {
			compare_cluster(c, (index << q->refblock_bits) + i, stored, n);
			c->rebuild |= !block || n > q->refcount_max;
		} else if (stored > n ? c->mend_leaks : c->mend_errors) {
			qcow2_refcount_store(q, block->data, i, n);
			table_changed(q->refcounts, block, (i << q->header.refcount_order) / 8, 1);
			c->report->leaks_fixed += stored > n;
		}
	}
}

static void compare(struct checker *c, bool mend)
{
	uint64_t end = qcow2_clusters(c->q, c->q->image.file->size);
	uint64_t blocks = MAX(c->q->n_reftable, (end >> c->q->refblock_bits) + 1);

	/* What is past the table and the file cannot be counted, nor used. */
	for (uint64_t i = 0; i < blocks && !c->status; i++) {
		compare_block(c, i, mend);
		if (mend && !c->status)
			c->status = qcow2_relieve(c->q);
	}
}

/* The flag that says that a cluster is the entry's own. */
static bool check_flag(struct checker *c, bool copied, uint64_t offset)
{
	uint32_t n = check_counted(c, offset >> c->q->cluster_bits);

	if (copied == (n == 1))
		return false;
	if (copied) {
		check_error(
			c, "the cluster at 0x%" G_GINT64_MODIFIER "x is shared, and said not to be",
			offset);
		return c->mend_errors;
	}
	check_leak(c, "the cluster at 0x%" G_GINT64_MODIFIER "x is not shared, and said to be",
		   offset);
	c->report->leaks_fixed += c->mend_leaks;
	return c->mend_leaks;
}

static void check_flags(struct checker *c)
{
	struct qcow2 *q = c->q;

	for (uint32_t i = 0; i < q->header.l1_size && !c->status; i++) {
		uint64_t offset = q->l1[i] & QCOW2_OFFSET_MASK;
		struct table *table;

		if (!offset || offset % q->cluster_size ||
		    check_role_of(c, offset >> q->cluster_bits) != ROLE_L2)
			continue;
		if (check_flag(c, q->l1[i] & QCOW2_COPIED, offset)) {
			q->l1[i] ^= QCOW2_COPIED;
			qcow2_range_add(&q->l1_dirty, i, 1);
		}
		c->status = table_get(q->l2, offset, &table);
		for (unsigned j = 0; !c->status && !q->image.data && j < 1u << q->l2_bits; j++) {
			struct qcow2_mapping m = qcow2_decode(q, table, j);

			if (!m.has_host || m.compressed || check_fault_of(c, 0, m) ||
			    !check_flag(c, m.copied, m.host))
				continue;
			m.copied = !m.copied;
			qcow2_encode(q, table, j, m);
		}
		if (!c->status)
			c->status = qcow2_relieve(q);
	}
}

/* Numbers of blocks that count something, sorted. */
static GArray *blocks_in_use(struct checker *c)
{
	GArray *blocks = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, c->counts);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		g_array_append_val(blocks, ((uint64_t){GPOINTER_TO_SIZE(key)}));
	return blocks;
}

static int store_blocks(struct checker *c, const GArray *blocks, uint64_t first, uint64_t *table)
{
	struct qcow2 *q = c->q;
	g_autofree uint8_t *bytes = g_malloc(q->cluster_size);
	int status = 0;

	for (guint i = 0; i < blocks->len && !status; i++) {
		uint64_t block = g_array_index(blocks, uint64_t, i);
		const uint32_t *found = check_counts_of(c, block, false);

		memset(bytes, 0, q->cluster_size);
		for (uint64_t j = 0; j < 1ull << q->refblock_bits; j++)
			if (found[j])
				qcow2_refcount_store(q, bytes, j, MIN(found[j], q->refcount_max));
		table[block] = (first + i) << q->cluster_bits;
		status = file_store(q->image.file, table[block], bytes, q->cluster_size);
	}
	return status ? status : q->image.file->ops->flush(q->image.file);
}

/* New refcount table and blocks for what was found, past all that there is. */
static void rebuild(struct checker *c)
{
	struct qcow2 *q = c->q;
	struct file *file = q->image.file;
	uint64_t first = qcow2_clusters(q, file->size), clusters = 0, n = 0;
	g_autoptr(GArray) blocks = NULL;
	uint64_t *table;

	for (guint i = 0; i < c->old_blocks->len; i++)
		check_count(c, g_array_index(c->old_blocks, uint64_t, i), -1);
	/* To count the new ones may take more of them. */
	do {
		uint64_t last = 0;

		g_clear_pointer(&blocks, g_array_unref);
		blocks = blocks_in_use(c);
		for (guint i = 0; i < blocks->len; i++)
			last = MAX(last, g_array_index(blocks, uint64_t, i));
		clusters = MAX(clusters, qcow2_clusters(q, 8 * (last + 1)));
		while (n < clusters + blocks->len && !c->status)
			check_count(c, first + n++, 1);
	} while (!c->status && g_hash_table_size(c->counts) != blocks->len);
	if (!c->status && clusters * q->cluster_size > QCOW2_MAX_REFTABLE)
		c->status = -EFBIG;
	if (c->status)
		return;
	/* Of clusters that the last rounds took in vain there may be one or two; they are leaks. */
	table = g_new0(uint64_t, clusters * q->cluster_size / 8);
	c->status = store_blocks(c, blocks, first + clusters, table);
	if (!c->status)
		c->status = qcow2_l1_store(q, first << q->cluster_bits, table,
					   clusters * q->cluster_size / 8);
	if (!c->status)
		c->status = file->ops->flush(file);
	q->header.reftable_offset = first << q->cluster_bits;
	q->header.reftable_clusters = clusters;
	if (!c->status)
		c->status = qcow2_header_store(file, &q->header);
	if (!c->status)
		c->status = file->ops->flush(file);
	g_free(q->reftable);
	q->reftable = table;
	q->n_reftable = clusters * q->cluster_size / 8;
	q->reftable_dirty = (struct qcow2_range){};
	table_cache_drop(q->refcounts);
	q->free_hint = 0;
	q->virgin = MAX(q->virgin, (first + n) << q->cluster_bits);
	c->report->leaks_fixed = c->report->leaks;
}

/* Bitmaps that are out of date have no clusters any more: nothing may find them there. */
static void drop_stale_bitmaps(struct checker *c)
{
	struct qcow2 *q = c->q;

	if (!q->header.n_bitmaps || q->bitmaps || !c->mend_leaks)
		return;
	q->header.n_bitmaps = 0;
	q->header.autoclear &= ~(uint64_t)QCOW2_BITMAPS;
	if (!qcow2_header_rewrite(q->image.file, &q->header, NULL))
		c->status = -EIO;
}

static void run(struct checker *c, enum image_repair repair)
{
	struct qcow2 *q = c->q;

	c->report->clusters = qcow2_clusters(q, q->header.size);
	c->report->end = q->image.file->size;
	check_tables(c);
	if (!c->status)
		compare(c, false);
	c->mend_leaks =
		repair == IMAGE_REPAIR_ALL || (repair == IMAGE_REPAIR_LEAKS && !c->report->errors);
	if (!c->status)
		drop_stale_bitmaps(c);
	if (!c->status && c->rebuild && c->mend_errors)
		rebuild(c);
	else if (!c->status && (c->mend_leaks || c->mend_errors))
		compare(c, true);
	if (!c->status && c->snapshots_changed)
		c->status = qcow2_snapshots_store(q);
	if (!c->status)
		check_flags(c);
	if (!c->status && c->mend_leaks)
		c->status = qcow2_flush(&q->image);
}

/* What made it damaged or dirty is gone. */
static int clear_marks(struct qcow2 *q)
{
	uint64_t marks = QCOW2_DIRTY | QCOW2_CORRUPT;

	g_clear_pointer(&q->image.damage, g_free);
	if (!(q->header.incompatible & marks))
		return 0;
	q->header.incompatible &= ~marks;
	return qcow2_header_store(q->image.file, &q->header);
}

bool qcow2_check(struct image *image, enum image_repair repair, struct image_check *report,
		 GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	struct checker c = {.q = q, .report = report, .mend_errors = repair == IMAGE_REPAIR_ALL};

	if (repair != IMAGE_REPAIR_NOTHING && image->read_only)
		return qcow2_fail(q, error, -EROFS, "mend it");
	q->failed = false;
	if (!image->read_only)
		c.status = qcow2_flush(image);
	c.counts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	c.roles = g_hash_table_new(NULL, NULL);
	c.old_blocks = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	if (!c.status)
		run(&c, repair);
	if (!c.status && repair == IMAGE_REPAIR_ALL)
		c.status = clear_marks(q);
	g_array_unref(c.old_blocks);
	g_hash_table_unref(c.roles);
	g_hash_table_unref(c.counts);
	q->failed = image->damage != NULL;
	if (c.status == -ENOMEM)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is too large to be checked: its clusters take more than "
			    "1 GiB to count",
			    image->file->name);
	else if (c.status)
		qcow2_fail(q, error, c.status, "check it");
	return !c.status;
}
