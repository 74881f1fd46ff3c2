/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first half of a check: what the tables say of each cluster, and which of them can be right.
 */
#include "block/qcow2/check_int.h"

#include <errno.h>
#include <string.h>

enum { MAX_MESSAGES = 100 };
#define MAX_MEMORY (1ull << 30) /* of counts: enough for 16 TiB in clusters of 64 KiB */

static void say(struct checker *c, const char *format, va_list args)
{
	if (c->report->messages->len < MAX_MESSAGES)
		g_ptr_array_add(c->report->messages, g_strdup_vprintf(format, args));
}

void G_GNUC_PRINTF(2, 3) check_error(struct checker *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(c, format, args);
	va_end(args);
	c->report->errors++;
	c->report->errors_fixed += c->mend_errors;
}

void G_GNUC_PRINTF(2, 3) check_leak(struct checker *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(c, format, args);
	va_end(args);
	c->report->leaks++;
}

uint32_t *check_counts_of(struct checker *c, uint64_t block, bool make)
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

void check_count(struct checker *c, uint64_t cluster, int by)
{
	uint32_t *counts = check_counts_of(c, cluster >> c->q->refblock_bits, true);

	if (counts)
		counts[cluster & ((1ull << c->q->refblock_bits) - 1)] += by;
}

uint32_t check_counted(struct checker *c, uint64_t cluster)
{
	uint32_t *counts = check_counts_of(c, cluster >> c->q->refblock_bits, false);

	return counts ? counts[cluster & ((1ull << c->q->refblock_bits) - 1)] : 0;
}

enum role check_role_of(struct checker *c, uint64_t cluster)
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
		if (check_role_of(c, i))
			return false;
	return true;
}

/* A table of the header's: the header itself is sane, or the image would not be open. */
static void count_table(struct checker *c, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset >> c->q->cluster_bits, n = qcow2_clusters(c->q, bytes);

	for (uint64_t i = first; i < first + n && !c->status; i++) {
		check_count(c, i, 1);
		set_role(c, i, ROLE_TABLE);
	}
}

/* Of two tables in one place the one that was found first is believed. */
static bool count_if_free(struct checker *c, uint64_t offset, uint64_t bytes, const char *what)
{
	if (!is_free(c, offset, bytes)) {
		check_error(c, "%s at 0x%" G_GINT64_MODIFIER "x is where another table is", what,
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
		check_error(c, "its table of snapshots is broken after %u of %u", q->snapshots->len,
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
		check_count(c, i, -1);
}

static void count_bitmaps(struct checker *c)
{
	struct qcow2 *q = c->q;

	c->status = qcow2_bitmaps_each(q, count_bitmap, c);
	if (!c->bitmaps_overlap || c->status)
		return;
	check_error(c, "the dirty bitmaps are where other tables are");
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
		    check_role_of(c, cluster)) {
			check_error(c,
				    "refcount block %" G_GUINT64_FORMAT
				    " is at 0x%" G_GINT64_MODIFIER "x, where there can be none",
				    i, q->reftable[i]);
			c->rebuild = true;
			continue;
		}
		set_role(c, cluster, ROLE_TABLE);
		check_count(c, cluster, 1);
		g_array_append_val(c->old_blocks, cluster);
	}
}

static bool clear_reserved(struct checker *c, uint64_t *l1, uint32_t n, const char *whose)
{
	bool changed = false;

	for (uint32_t i = 0; i < n; i++) {
		if (!(l1[i] & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED)))
			continue;
		check_error(c, "%s: entry %u of the L1 table has bits that mean nothing", whose, i);
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
		    check_role_of(c, offset >> c->q->cluster_bits) != ROLE_TABLE) {
			set_role(c, offset >> c->q->cluster_bits, ROLE_L2);
			continue;
		}
		check_error(c,
			    "%s: L2 table %u is at 0x%" G_GINT64_MODIFIER
			    "x, where there can be none",
			    whose, i, offset);
		l1[i] = 0;
		changed = true;
	}
	return changed | clear_reserved(c, l1, n, whose);
}

const char *check_fault_of(struct checker *c, uint64_t offset, struct qcow2_mapping m)
{
	uint64_t at = m.host, len;

	if (c->q->image.data)
		return qcow2_mapping_is_sane(c->q, offset, m) ? NULL : "is not its place in the data file";
	if (m.compressed)
		qcow2_packed(c->q, m.host, &at, &len);
	if (!m.compressed && m.host % c->q->cluster_size)
		return "is not that of a cluster";
	if (m.host && !in_file(c, at))
		return "is past the end of the file";
	if (m.host && check_role_of(c, at >> c->q->cluster_bits))
		return "is that of a table";
	return qcow2_mapping_is_sane(c->q, offset, m) ? NULL : "has bits that exclude each other";
}

/* It was found as often as its refcount can say: one more would make it look like less. */
static bool is_counted_out(struct checker *c, struct qcow2_mapping m)
{
	uint64_t offset = m.host, len = 1;

	if (m.compressed)
		qcow2_packed(c->q, m.host, &offset, &len);
	for (uint64_t at = offset >> c->q->cluster_bits;
	     m.host && !c->q->image.data && at <= (offset + len - 1) >> c->q->cluster_bits; at++)
		if (check_counted(c, at) >= c->q->refcount_max)
			return true;
	return false;
}

static void count_mapping(struct checker *c, struct qcow2_mapping m)
{
	uint64_t offset = m.host, len = 1;

	if (!m.host || c->q->image.data)
		return;
	if (m.compressed)
		qcow2_packed(c->q, m.host, &offset, &len);
	for (uint64_t i = offset >> c->q->cluster_bits;
	     i <= (offset + len - 1) >> c->q->cluster_bits; i++)
		check_count(c, i, 1);
}

static void take_stock(struct checker *c, struct qcow2_mapping m, uint64_t *last)
{
	if (!m.has_host)
		return;
	c->report->allocated++;
	c->report->compressed += m.compressed;
	c->report->fragmented += !m.compressed && *last && m.host != *last + c->q->cluster_size;
	*last = m.compressed ? 0 : m.host;
}

static void drop_reserved(struct checker *c, struct table *table, unsigned index,
			  struct qcow2_mapping m)
{
	check_error(c,
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

	check_count(c, table->offset >> q->cluster_bits, 1);
	for (unsigned i = 0; i < 1u << q->l2_bits && !c->status; i++) {
		struct qcow2_mapping m = qcow2_decode(q, table, i);
		uint64_t offset = ((l1_index << q->l2_bits) + i) << q->cluster_bits;
		const char *fault = check_fault_of(c, offset, m);

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
		check_error(c,
			    "the cluster of byte 0x%" G_GINT64_MODIFIER
			    "x: offset 0x%" G_GINT64_MODIFIER "x %s",
			    offset, m.host, fault);
		if (c->mend_errors)
			qcow2_encode(q, table, i, (struct qcow2_mapping){});
	}
}

/* Empties entries of tables that are used more often than can be counted; whether it had to.
 */
static bool go_through_l1(struct checker *c, uint64_t *l1, uint32_t n, bool active)
{
	uint64_t last = 0;
	bool changed = false;

	for (uint32_t i = 0; i < n && !c->status; i++) {
		uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;
		struct table *table;

		if (!offset || offset % c->q->cluster_size ||
		    check_role_of(c, offset >> c->q->cluster_bits) != ROLE_L2)
			continue;
		if (check_counted(c, offset >> c->q->cluster_bits) >= c->q->refcount_max) {
			check_error(c,
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
	g_autofree char *whose = g_strdup_printf("snapshot '%s'", s->name);

	if (find_l2_tables(c, l1, n, whose) && c->mend_errors)
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

void check_tables(struct checker *c)
{
	count_headers(c);
	count_refcounts(c);
	if (!c->status)
		count_data(c);
}
