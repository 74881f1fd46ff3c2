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
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"

enum { MAX_MESSAGES = 100 };
#define MAX_MEMORY (1ull << 30) /* of counts: enough for 16 TiB in clusters of 64 KiB */

enum role { ROLE_NONE, ROLE_TABLE, ROLE_L2 };

struct checker {
	struct qcow2 *q;
	struct image_check *report;
	bool mend_leaks, mend_errors;
	GHashTable *counts; /* number of a refcount block -> its uint32_t of what was found */
	GHashTable *roles;  /* cluster that is a table -> enum role */
	GArray *old_blocks; /* of uint64_t: clusters of refcount table and blocks */
	bool rebuild, bitmaps_overlap, snapshots_changed;
	uint64_t memory, last_block;
	uint32_t *last_counts;
	int status;
};

static void say(struct checker *c, const char *format, va_list args)
{
	if (c->report->messages->len < MAX_MESSAGES)
		g_ptr_array_add(c->report->messages, g_strdup_vprintf(format, args));
}

static void G_GNUC_PRINTF(2, 3) error_found(struct checker *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(c, format, args);
	va_end(args);
	c->report->errors++;
	c->report->errors_fixed += c->mend_errors;
}

static void G_GNUC_PRINTF(2, 3) leak_found(struct checker *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(c, format, args);
	va_end(args);
	c->report->leaks++;
}

static uint32_t *counts_of(struct checker *c, uint64_t block, bool make)
{
	uint64_t bytes = 4ull << c->q->refblock_bits;

	if (c->last_counts && c->last_block == block)
		return c->last_counts;
	c->last_block = block;
	c->last_counts = g_hash_table_lookup(c->counts, GSIZE_TO_POINTER(block));
	if (c->last_counts || !make)
		return c->last_counts;
	c->memory += bytes;
	if (c->memory > MAX_MEMORY) {
		c->status = -ENOMEM;
		return NULL;
	}
	c->last_counts = g_malloc0(bytes);
	g_hash_table_insert(c->counts, GSIZE_TO_POINTER(block), c->last_counts);
	return c->last_counts;
}

static void count(struct checker *c, uint64_t cluster, int by)
{
	uint32_t *counts = counts_of(c, cluster >> c->q->refblock_bits, true);

	if (counts)
		counts[cluster & ((1ull << c->q->refblock_bits) - 1)] += by;
}

static uint32_t counted(struct checker *c, uint64_t cluster)
{
	uint32_t *counts = counts_of(c, cluster >> c->q->refblock_bits, false);

	return counts ? counts[cluster & ((1ull << c->q->refblock_bits) - 1)] : 0;
}

static enum role role_of(struct checker *c, uint64_t cluster)
{
	return GPOINTER_TO_UINT(g_hash_table_lookup(c->roles, GSIZE_TO_POINTER(cluster)));
}

static void set_role(struct checker *c, uint64_t cluster, enum role role)
{
	g_hash_table_insert(c->roles, GSIZE_TO_POINTER(cluster), GUINT_TO_POINTER(role));
}

static bool in_file(struct checker *c, uint64_t offset)
{
	return offset < c->q->image.file->size;
}

static bool is_free(struct checker *c, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset >> c->q->cluster_bits, n = qcow2_clusters(c->q, bytes);

	for (uint64_t i = first; i < first + n; i++)
		if (role_of(c, i))
			return false;
	return true;
}

/* A table of the header's: the header itself is sane, or the image would not be open. */
static void count_table(struct checker *c, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset >> c->q->cluster_bits, n = qcow2_clusters(c->q, bytes);

	for (uint64_t i = first; i < first + n && !c->status; i++) {
		count(c, i, 1);
		set_role(c, i, ROLE_TABLE);
	}
}

/* Of two tables in one place the one that was found first is believed. */
static bool count_if_free(struct checker *c, uint64_t offset, uint64_t bytes, const char *what)
{
	if (!is_free(c, offset, bytes)) {
		error_found(c, "%s at 0x%" G_GINT64_MODIFIER "x is where another table is", what,
			    offset);
		return false;
	}
	count_table(c, offset, bytes);
	return true;
}

static void drop_snapshots(struct checker *c, guint from)
{
	struct qcow2 *q = c->q;

	g_ptr_array_set_size(q->snapshots, from);
	q->header.n_snapshots = from;
	if (!from)
		q->header.snapshots_offset = q->snapshots_len = 0;
	c->status = qcow2_header_store(q->image.file, &q->header);
}

static void count_snapshot_tables(struct checker *c)
{
	struct qcow2 *q = c->q;

	/* Those after the first that is broken cannot be found. */
	if (q->snapshots->len != q->header.n_snapshots) {
		error_found(c, "its table of snapshots is broken after %u of %u", q->snapshots->len,
			    q->header.n_snapshots);
		if (c->mend_errors)
			drop_snapshots(c, q->snapshots->len);
	}
	if (q->header.n_snapshots &&
	    !count_if_free(c, q->header.snapshots_offset, q->snapshots_len,
			   "the table of snapshots") &&
	    c->mend_errors)
		drop_snapshots(c, 0);
	for (guint i = 0; i < q->snapshots->len && !c->status; i++) {
		const struct qcow2_snapshot *s = q->snapshots->pdata[i];

		if (count_if_free(c, s->l1_offset, 8ull * s->l1_size, "a snapshot's L1 table") ||
		    !c->mend_errors)
			continue;
		g_ptr_array_remove_index(q->snapshots, i--);
		c->snapshots_changed = true;
	}
}

static void count_bitmap(void *opaque, uint64_t offset, uint64_t len)
{
	struct checker *c = opaque;

	c->bitmaps_overlap |= !is_free(c, offset, len);
	count_table(c, offset, len);
}

static void uncount_bitmap(void *opaque, uint64_t offset, uint64_t len)
{
	struct checker *c = opaque;
	uint64_t first = offset >> c->q->cluster_bits, n = qcow2_clusters(c->q, len);

	for (uint64_t i = first; i < first + n && !c->status; i++)
		count(c, i, -1);
}

static void count_bitmaps(struct checker *c)
{
	struct qcow2 *q = c->q;

	c->status = qcow2_bitmaps_each(q, count_bitmap, c);
	if (!c->bitmaps_overlap || c->status)
		return;
	error_found(c, "the dirty bitmaps are where other tables are");
	if (!c->mend_errors)
		return;
	c->status = qcow2_bitmaps_each(q, uncount_bitmap, c);
	qcow2_bitmaps_free(q);
}

static void count_headers(struct checker *c)
{
	const struct qcow2_header *h = &c->q->header;

	count_table(c, 0, c->q->cluster_size);
	count_table(c, h->l1_offset, MAX(8ull * h->l1_size, 1));
	if (h->luks_offset)
		count_if_free(c, h->luks_offset, h->luks_len, "the LUKS header");
	count_snapshot_tables(c);
	if (!c->status)
		count_bitmaps(c);
}

static void count_refcounts(struct checker *c)
{
	const struct qcow2 *q = c->q;
	uint64_t first = q->header.reftable_offset >> q->cluster_bits;

	if (!count_if_free(c, q->header.reftable_offset,
			   q->header.reftable_clusters * q->cluster_size, "the refcount table")) {
		c->rebuild = true;
		return;
	}
	for (uint64_t i = 0; i < q->header.reftable_clusters; i++)
		g_array_append_val(c->old_blocks, ((uint64_t){first + i}));
	for (uint64_t i = 0; i < q->n_reftable && !c->status; i++) {
		uint64_t cluster = q->reftable[i] >> q->cluster_bits;

		if (!q->reftable[i])
			continue;
		if (q->reftable[i] % q->cluster_size || !in_file(c, q->reftable[i]) ||
		    role_of(c, cluster)) {
			error_found(c,
				    "refcount block %" G_GUINT64_FORMAT
				    " is at 0x%" G_GINT64_MODIFIER "x, where there can be none",
				    i, q->reftable[i]);
			c->rebuild = true;
			continue;
		}
		set_role(c, cluster, ROLE_TABLE);
		count(c, cluster, 1);
		g_array_append_val(c->old_blocks, cluster);
	}
}

static bool clear_reserved(struct checker *c, uint64_t *l1, uint32_t n, const char *whose)
{
	bool changed = false;

	for (uint32_t i = 0; i < n; i++) {
		if (!(l1[i] & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED)))
			continue;
		error_found(c, "%s: entry %u of the L1 table has bits that mean nothing", whose, i);
		l1[i] &= QCOW2_OFFSET_MASK | QCOW2_COPIED;
		changed = true;
	}
	return changed;
}

/* Learns where L2 tables are, and empties entries that cannot be of one; whether there were any. */
static bool find_l2_tables(struct checker *c, uint64_t *l1, uint32_t n, const char *whose)
{
	bool changed = false;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;

		if (!offset)
			continue;
		if (offset % c->q->cluster_size == 0 && in_file(c, offset) &&
		    role_of(c, offset >> c->q->cluster_bits) != ROLE_TABLE) {
			set_role(c, offset >> c->q->cluster_bits, ROLE_L2);
			continue;
		}
		error_found(c,
			    "%s: L2 table %u is at 0x%" G_GINT64_MODIFIER
			    "x, where there can be none",
			    whose, i, offset);
		l1[i] = 0;
		changed = true;
	}
	return changed | clear_reserved(c, l1, n, whose);
}

static const char *fault_of(struct checker *c, struct qcow2_mapping m)
{
	uint64_t offset = m.host, len;

	if (m.compressed)
		qcow2_packed(c->q, m.host, &offset, &len);
	if (!m.compressed && m.host % c->q->cluster_size)
		return "is not that of a cluster";
	if (m.host && !in_file(c, offset))
		return "is past the end of the file";
	if (m.host && role_of(c, offset >> c->q->cluster_bits))
		return "is that of a table";
	return qcow2_mapping_is_sane(c->q, m) ? NULL : "has bits that exclude each other";
}

/* It was found as often as its refcount can say: one more would make it look like less. */
static bool is_counted_out(struct checker *c, struct qcow2_mapping m)
{
	uint64_t offset = m.host, len = 1;

	if (m.compressed)
		qcow2_packed(c->q, m.host, &offset, &len);
	for (uint64_t at = offset >> c->q->cluster_bits;
	     m.host && at <= (offset + len - 1) >> c->q->cluster_bits; at++)
		if (counted(c, at) >= c->q->refcount_max)
			return true;
	return false;
}

static void count_mapping(struct checker *c, struct qcow2_mapping m)
{
	uint64_t offset = m.host, len = 1;

	if (!m.host)
		return;
	if (m.compressed)
		qcow2_packed(c->q, m.host, &offset, &len);
	for (uint64_t i = offset >> c->q->cluster_bits;
	     i <= (offset + len - 1) >> c->q->cluster_bits; i++)
		count(c, i, 1);
}

static void take_stock(struct checker *c, struct qcow2_mapping m, uint64_t *last)
{
	if (!m.host)
		return;
	c->report->allocated++;
	c->report->compressed += m.compressed;
	c->report->fragmented += !m.compressed && *last && m.host != *last + c->q->cluster_size;
	*last = m.compressed ? 0 : m.host;
}

static void drop_reserved(struct checker *c, struct table *table, unsigned index,
			  struct qcow2_mapping m)
{
	error_found(c,
		    "entry %u of the L2 table at 0x%" G_GINT64_MODIFIER
		    "x has bits that mean nothing",
		    index, table->offset);
	if (c->mend_errors)
		qcow2_encode(c->q, table, index, m);
}

static void go_through_l2(struct checker *c, struct table *table, uint64_t l1_index, bool active,
			  uint64_t *last)
{
	struct qcow2 *q = c->q;

	count(c, table->offset >> q->cluster_bits, 1);
	for (unsigned i = 0; i < 1u << q->l2_bits && !c->status; i++) {
		struct qcow2_mapping m = qcow2_decode(q, table, i);
		const char *fault = fault_of(c, m);

		if (!fault && is_counted_out(c, m))
			fault = "is used more often than can be counted";
		if (!fault) {
			count_mapping(c, m);
			if (active)
				take_stock(c, m, last);
			if (m.reserved)
				drop_reserved(c, table, i, m);
			continue;
		}
		error_found(c,
			    "the cluster of byte 0x%" G_GINT64_MODIFIER
			    "x: offset 0x%" G_GINT64_MODIFIER "x %s",
			    ((l1_index << q->l2_bits) + i) << q->cluster_bits, m.host, fault);
		if (c->mend_errors)
			qcow2_encode(q, table, i, (struct qcow2_mapping){});
	}
}

/* Empties entries of tables that are used more often than can be counted; whether it had to. */
static bool go_through_l1(struct checker *c, uint64_t *l1, uint32_t n, bool active)
{
	uint64_t last = 0;
	bool changed = false;

	for (uint32_t i = 0; i < n && !c->status; i++) {
		uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;
		struct table *table;

		if (!offset || offset % c->q->cluster_size ||
		    role_of(c, offset >> c->q->cluster_bits) != ROLE_L2)
			continue;
		if (counted(c, offset >> c->q->cluster_bits) >= c->q->refcount_max) {
			error_found(c,
				    "the L2 table at 0x%" G_GINT64_MODIFIER
				    "x is used more often than can be counted",
				    offset);
			l1[i] = 0;
			changed = true;
			continue;
		}
		c->status = table_get(c->q->l2, offset, &table);
		if (!c->status)
			go_through_l2(c, table, i, active, &last);
		if (!c->status)
			c->status = qcow2_relieve(c->q);
	}
	return changed;
}

static void each_snapshot(struct checker *c, void (*fn)(struct checker *c, uint64_t *l1, uint32_t n,
							const struct qcow2_snapshot *s))
{
	for (guint i = 0; i < c->q->snapshots->len && !c->status; i++) {
		const struct qcow2_snapshot *s = c->q->snapshots->pdata[i];
		g_autofree uint64_t *l1 = qcow2_l1_load(c->q, s->l1_offset, s->l1_size);

		if (l1)
			fn(c, l1, s->l1_size, s);
		else
			c->status = -EIO;
	}
}

static void find_in_snapshot(struct checker *c, uint64_t *l1, uint32_t n,
			     const struct qcow2_snapshot *s)
{
	if (find_l2_tables(c, l1, n, s->name) && c->mend_errors)
		c->status = qcow2_l1_store(c->q, s->l1_offset, l1, n);
}

static void count_snapshot(struct checker *c, uint64_t *l1, uint32_t n,
			   const struct qcow2_snapshot *s)
{
	if (go_through_l1(c, l1, n, false) && c->mend_errors && !c->status)
		c->status = qcow2_l1_store(c->q, s->l1_offset, l1, n);
}

static void mend_active(struct checker *c, const uint64_t *l1)
{
	if (!c->mend_errors)
		return;
	memcpy(c->q->l1, l1, 8ull * c->q->header.l1_size);
	qcow2_range_add(&c->q->l1_dirty, 0, c->q->header.l1_size);
}

/* First where L2 tables are, then what they say. */
static void count_data(struct checker *c)
{
	struct qcow2 *q = c->q;
	g_autofree uint64_t *active = g_memdup2(q->l1, MAX(8ull * q->header.l1_size, 1));

	if (find_l2_tables(c, active, q->header.l1_size, "the disk"))
		mend_active(c, active);
	each_snapshot(c, find_in_snapshot);
	if (!c->status && go_through_l1(c, active, q->header.l1_size, true))
		mend_active(c, active);
	each_snapshot(c, count_snapshot);
}

static bool block_is_sane(const struct qcow2 *q, uint64_t index)
{
	uint64_t offset = index < q->n_reftable ? q->reftable[index] : 0;

	return offset && offset % q->cluster_size == 0 && offset < q->image.file->size;
}

static void compare_cluster(struct checker *c, uint64_t cluster, uint64_t stored, uint32_t found)
{
	if (stored > found)
		leak_found(c,
			   "cluster 0x%" G_GINT64_MODIFIER
			   "x is used %u times and counted %" G_GUINT64_FORMAT " times",
			   cluster << c->q->cluster_bits, found, stored);
	else
		error_found(c,
			    "cluster 0x%" G_GINT64_MODIFIER
			    "x is used %u times and counted only %" G_GUINT64_FORMAT " times",
			    cluster << c->q->cluster_bits, found, stored);
}

/* One block: what differs, or, with `mend`, that it does no more. */
static void compare_block(struct checker *c, uint64_t index, bool mend)
{
	struct qcow2 *q = c->q;
	const uint32_t *found = counts_of(c, index, false);
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
	uint32_t n = counted(c, offset >> c->q->cluster_bits);

	if (copied == (n == 1))
		return false;
	if (copied) {
		error_found(
			c, "the cluster at 0x%" G_GINT64_MODIFIER "x is shared, and said not to be",
			offset);
		return c->mend_errors;
	}
	leak_found(c, "the cluster at 0x%" G_GINT64_MODIFIER "x is not shared, and said to be",
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
		    role_of(c, offset >> q->cluster_bits) != ROLE_L2)
			continue;
		if (check_flag(c, q->l1[i] & QCOW2_COPIED, offset)) {
			q->l1[i] ^= QCOW2_COPIED;
			qcow2_range_add(&q->l1_dirty, i, 1);
		}
		c->status = table_get(q->l2, offset, &table);
		for (unsigned j = 0; !c->status && j < 1u << q->l2_bits; j++) {
			struct qcow2_mapping m = qcow2_decode(q, table, j);

			if (!m.host || m.compressed || fault_of(c, m) ||
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
		const uint32_t *found = counts_of(c, block, false);

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
		count(c, g_array_index(c->old_blocks, uint64_t, i), -1);
	/* To count the new ones may take more of them. */
	do {
		uint64_t last = 0;

		g_clear_pointer(&blocks, g_array_unref);
		blocks = blocks_in_use(c);
		for (guint i = 0; i < blocks->len; i++)
			last = MAX(last, g_array_index(blocks, uint64_t, i));
		clusters = MAX(clusters, qcow2_clusters(q, 8 * (last + 1)));
		while (n < clusters + blocks->len && !c->status)
			count(c, first + n++, 1);
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
	count_headers(c);
	count_refcounts(c);
	if (!c->status)
		count_data(c);
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
