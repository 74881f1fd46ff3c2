/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which things get into the file.
 *
 * Data are written at once; changes of tables stay in memory until a flush, which writes
 *
 *   1. refcounts, then a barrier if the refcount table has new blocks, and its entries;
 *   2. a barrier: now data, counts and new L2 tables (empty, or copies) are safe; data in a file of
 *      their own have been made so before all else;
 *   3. entries of L2 and L1 tables, in any order, then a barrier;
 *   4. in memory, counts of what these no longer refer to go down, and the host gets holes.
 *
 * So a power cut loses what was not flushed and nothing else: each entry that did get into the
 * file refers to what was safe before, and what an entry in the file refers to is not used again.
 * It leaves clusters that are counted and not used, which `check` gives back.
 *
 * What another thread changes meanwhile is for the next flush: changes are copied before the
 * barriers. A cluster that was given up is used again only when the transfers that began before
 * are over, too (`generation`).
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

enum { MAX_FREES = 16384 };

struct batch {
	GPtrArray *refcounts, *l2;
	uint64_t *l1, *reftable; /* as they are in the file */
	uint64_t reftable_offset;
	struct qcow2_range l1_range, reftable_range;
	GArray *frees;
};

static uint64_t *copy_range(const uint64_t *entries, struct qcow2_range *dirty,
			    struct qcow2_range *range)
{
	uint64_t n = dirty->end - dirty->first;
	uint64_t *copy = n ? g_new(uint64_t, n) : NULL;

	for (uint64_t i = 0; i < n; i++)
		copy[i] = GUINT64_TO_BE(entries[dirty->first + i]);
	*range = *dirty;
	*dirty = (struct qcow2_range){};
	return copy;
}

static void batch_init(struct qcow2 *q, struct batch *batch)
{
	batch->refcounts = table_collect(q->refcounts);
	batch->reftable = copy_range(q->reftable, &q->reftable_dirty, &batch->reftable_range);
	batch->reftable_offset = q->header.reftable_offset;
	batch->l2 = table_collect(q->l2);
	batch->l1 = copy_range(q->l1, &q->l1_dirty, &batch->l1_range);
	batch->frees = NULL;
	if (q->frees->len) {
		batch->frees = q->frees;
		q->frees = g_array_new(FALSE, FALSE, sizeof(struct qcow2_free));
	}
}

static void batch_fini(struct qcow2 *q, struct batch *batch, bool ok)
{
	table_written(q->refcounts, batch->refcounts, ok);
	table_written(q->l2, batch->l2, ok);
	if (!ok && batch->l1)
		qcow2_range_add(&q->l1_dirty, batch->l1_range.first,
				batch->l1_range.end - batch->l1_range.first);
	if (!ok && batch->reftable)
		qcow2_range_add(&q->reftable_dirty, batch->reftable_range.first,
				batch->reftable_range.end - batch->reftable_range.first);
	g_free(batch->l1);
	g_free(batch->reftable);
	if (batch->frees && !ok)
		g_array_append_vals(q->frees, batch->frees->data, batch->frees->len);
	if (batch->frees)
		g_array_unref(batch->frees);
}

static int write_range(struct file *file, uint64_t table, const uint64_t *entries,
		       struct qcow2_range range)
{
	return entries ? file_store(file, table + 8 * range.first, entries,
				    8 * (range.end - range.first))
		       : 0;
}

/* What the host could not make safe it may have forgotten: to write it again would not help. */
static int make_safe(struct qcow2 *q, struct file *file)
{
	int status = file->ops->flush(file);

	if (status)
		q->failed = true;
	return status;
}

static int barrier(struct qcow2 *q)
{
	return make_safe(q, q->image.file);
}

static int write_batch(struct qcow2 *q, const struct batch *batch)
{
	struct file *file = q->image.file;
	int status = q->image.data ? make_safe(q, q->image.data) : 0;

	if (!status)
		status = table_write(file, batch->refcounts);
	if (!status && batch->reftable) {
		status = barrier(q);
		if (!status)
			status = write_range(file, batch->reftable_offset, batch->reftable,
					     batch->reftable_range);
	}
	if (!status && (batch->l2 || batch->l1)) {
		status = barrier(q);
		if (!status)
			status = table_write(file, batch->l2);
		if (!status)
			status = write_range(file, q->header.l1_offset, batch->l1, batch->l1_range);
	}
	return status ? status : barrier(q);
}

unsigned qcow2_transfer_begin(struct qcow2 *q)
{
	q->transfers[q->generation]++;
	return q->generation;
}

void qcow2_transfer_end(struct qcow2 *q, unsigned generation)
{
	if (--q->transfers[generation] || !q->waiting)
		return;
	g_mutex_lock(&q->lock);
	g_cond_broadcast(&q->changed);
	g_mutex_unlock(&q->lock);
}

/* Waits for those transfers that are under way. */
static void end_generation(struct qcow2 *q)
{
	unsigned old = q->generation;

	q->generation = !old;
	q->waiting = true;
	while (q->transfers[old])
		g_cond_wait(&q->changed, &q->lock);
	q->waiting = false;
}

/* A host that cannot make holes keeps the space. */
static void punch(struct qcow2 *q, const struct qcow2_free *free)
{
	struct file *file = q->image.file;
	uint64_t len = free->clusters << q->cluster_bits, size = file->size;

	if (free->punch && free->offset < size)
		file->ops->zero(file, free->offset, MIN(len, size - free->offset), true);
}

static int give_back(struct qcow2 *q, const GArray *frees)
{
	int status = 0;

	g_mutex_lock(&q->lock);
	end_generation(q);
	qcow2_unpacked_forget(q);
	g_mutex_unlock(&q->lock);
	/* Nobody uses them: they are counted yet. */
	for (guint i = 0; i < frees->len; i++)
		punch(q, &g_array_index(frees, struct qcow2_free, i));
	g_mutex_lock(&q->lock);
	for (guint i = 0; i < frees->len && !status; i++) {
		const struct qcow2_free *free = &g_array_index(frees, struct qcow2_free, i);

		status = qcow2_free_now(q, free->offset, free->clusters);
	}
	g_mutex_unlock(&q->lock);
	return status;
}

int qcow2_flush(struct image *image)
{
	struct qcow2 *q = qcow2_of(image);
	struct batch batch;
	int status;

	if (q->failed)
		return -EIO;
	g_mutex_lock(&q->flush_lock);
	g_mutex_lock(&q->lock);
	batch_init(q, &batch);
	g_mutex_unlock(&q->lock);
	status = write_batch(q, &batch);
	if (!status && batch.frees)
		status = give_back(q, batch.frees);
	g_mutex_lock(&q->lock);
	batch_fini(q, &batch, !status);
	g_mutex_unlock(&q->lock);
	g_mutex_unlock(&q->flush_lock);
	return status;
}

int qcow2_write_refcounts(struct qcow2 *q)
{
	GPtrArray *pieces = table_collect(q->refcounts);
	int status = q->reftable_dirty.first == q->reftable_dirty.end
			     ? table_write(q->image.file, pieces)
			     : 0;

	table_written(q->refcounts, pieces, true);
	return status;
}

int qcow2_relieve(struct qcow2 *q)
{
	bool full;

	g_mutex_lock(&q->lock);
	full = table_cache_is_full(q->l2) || table_cache_is_full(q->refcounts) ||
	       q->frees->len > MAX_FREES;
	g_mutex_unlock(&q->lock);
	return full ? qcow2_flush(&q->image) : 0;
}
