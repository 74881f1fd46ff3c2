/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clusters that have no data any more, and what stands where.
 *
 * A discarded cluster reads as zeroes, but in version 2 with a backing image, where that cannot be
 * said: there it stays as it is.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>

enum clearing {
	DISCARD,
	UNMAP,	    /* to zeroes, without space */
	KEEP_SPACE, /* to zeroes, what space it has remains */
	FORGET,	    /* to what is behind it */
};

static bool reads_as_zeroes_bare(const struct qcow2 *q)
{
	return !q->image.backing_name;
}

static bool can_clear(const struct qcow2 *q, enum clearing how)
{
	return q->header.version > 2 || (reads_as_zeroes_bare(q) && how != KEEP_SPACE);
}

static void clear_cluster(struct qcow2 *q, struct table *table, unsigned index, enum clearing how)
{
	struct qcow2_mapping m = qcow2_decode(q, table, index), bare = {};
	bool had = m.has_host || m.data || m.zero;

	if ((how != FORGET && !reads_as_zeroes_bare(q)) ||
	    (how == KEEP_SPACE && m.has_host && m.copied))
		bare.zero = q->all_parts;
	if (how == KEEP_SPACE && m.has_host && m.copied) {
		bare.host = m.host;
		bare.has_host = true;
		bare.copied = true;
	} else {
		qcow2_release(q, m, true);
	}
	if (had || bare.zero)
		qcow2_encode(q, table, index, bare);
}

/* Whole clusters within one L2 table; -EAGAIN: again, from the same place. */
static int clear_run(struct qcow2 *q, uint64_t first, uint64_t n, enum clearing how)
{
	uint64_t offset = first << q->cluster_bits;
	unsigned index = qcow2_l2_index(q, offset);
	struct table *table;
	int status;

	if (qcow2_wait_allocations(q, first, n))
		return -EAGAIN;
	status = qcow2_l2(q, offset, true, &table);
	if (status || (!table && (how == FORGET || reads_as_zeroes_bare(q))))
		return status;
	status = qcow2_l2_for_write(q, offset, &table);
	for (uint64_t i = 0; i < n && !status; i++)
		clear_cluster(q, table, index + i, how);
	return status;
}

/*
 * Whose bytes are zeroes from now on, whether or not the tables get to say so. Who writes there at
 * the same time writes to what is being cleared.
 */
static void punch_data(struct qcow2 *q, uint64_t first, uint64_t n)
{
	struct file *data = q->image.data;
	uint64_t from = first << q->cluster_bits;
	uint64_t end = MIN((first + n) << q->cluster_bits, MIN(data->size, q->image.size));

	if (from < end) /* a host that cannot make holes keeps the space */
		data->ops->zero(data, from, end - from, true);
}

static int clear(struct qcow2 *q, uint64_t first, uint64_t n, enum clearing how)
{
	int status = 0;

	while (n && !status) {
		uint64_t run =
			MIN(n, (1u << q->l2_bits) - qcow2_l2_index(q, first << q->cluster_bits));

		g_mutex_lock(&q->lock);
		status = q->failed ? -EIO : clear_run(q, first, run, how);
		g_mutex_unlock(&q->lock);
		if (status == -EAGAIN) {
			status = 0;
			continue;
		}
		if (!status && q->image.data && (how == DISCARD || how == UNMAP))
			punch_data(q, first, run);
		first += run;
		n -= run;
		if (!status)
			status = qcow2_relieve(q);
	}
	return status;
}

int qcow2_forget(struct qcow2 *q, uint64_t first, uint64_t n)
{
	return clear(q, first, n, FORGET);
}

/* Of a range the clusters that are all in it; the disk's last may be cut short. */
static uint64_t whole_clusters(const struct qcow2 *q, uint64_t offset, uint64_t len,
			       uint64_t *first)
{
	uint64_t end = offset + len == q->image.size ? qcow2_clusters(q, offset + len)
						     : (offset + len) >> q->cluster_bits;

	*first = qcow2_clusters(q, offset);
	return end > *first ? end - *first : 0;
}

int qcow2_discard(struct image *image, uint64_t offset, uint64_t len)
{
	struct qcow2 *q = qcow2_of(image);
	uint64_t first, n = whole_clusters(q, offset, len, &first);

	if (n)
		qcow2_bitmaps_mark(q, offset, len);
	if (n && qcow2_data_is_raw(q)) {
		if (!q->failed)
			punch_data(q, first, n);
		return q->failed ? -EIO : 0;
	}
	return n && can_clear(q, DISCARD) ? clear(q, first, n, DISCARD) : 0;
}

static int write_zero_bytes(struct qcow2 *q, uint64_t offset, uint64_t len)
{
	static const uint8_t zeroes[64 << 10];
	int status = 0;

	while (len && !status) {
		struct qcow2_piece piece;
		uint64_t n;

		g_mutex_lock(&q->lock);
		status = qcow2_resolve(q, offset, len, true, &piece);
		g_mutex_unlock(&q->lock);
		if (status)
			break;
		n = piece.len;
		if (piece.kind != IMAGE_ZERO &&
		    (piece.kind != IMAGE_UNALLOCATED || !reads_as_zeroes_bare(q))) {
			n = MIN(n, sizeof(zeroes));
			status = qcow2_write(&q->image, offset, SPAN(zeroes, n));
		}
		offset += n;
		len -= n;
	}
	return status;
}

int qcow2_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	struct qcow2 *q = qcow2_of(image);
	enum clearing how = unmap ? UNMAP : KEEP_SPACE;
	uint64_t first, n = whole_clusters(q, offset, len, &first), from, to;
	int status;

	qcow2_bitmaps_mark(q, offset, len);
	if (qcow2_data_is_raw(q))
		return q->failed ? -EIO : file_zero(q->image.data, offset, len, unmap);
	if (!n || !can_clear(q, how))
		return write_zero_bytes(q, offset, len);
	from = first << q->cluster_bits;
	to = MIN(from + (n << q->cluster_bits), offset + len);
	status = write_zero_bytes(q, offset, from - offset);
	if (!status)
		status = clear(q, first, n, how);
	return status ? status : write_zero_bytes(q, to, offset + len - to);
}

int qcow2_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent)
{
	struct qcow2 *q = qcow2_of(image);
	struct qcow2_piece piece;
	int status;

	g_mutex_lock(&q->lock);
	status = qcow2_resolve(q, offset, len, true, &piece);
	g_mutex_unlock(&q->lock);
	if (status)
		return status;
	extent->kind = piece.kind;
	extent->len = piece.len;
	if (piece.kind == IMAGE_DATA && !q->header.crypt)
		extent->file_offset = piece.host;
	return 0;
}

bool qcow2_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
		  uint64_t *file_offset)
{
	struct qcow2 *q = qcow2_of(image);
	struct qcow2_piece piece;
	bool there;

	if (q->header.crypt || (write && (q->failed || qcow2_bitmaps_are_kept(q))) ||
	    !g_mutex_trylock(&q->lock))
		return false;
	there = !qcow2_resolve(q, offset, len, false, &piece) && piece.kind == IMAGE_DATA &&
		piece.len == len && (!write || piece.copied);
	g_mutex_unlock(&q->lock);
	*file_offset = piece.host;
	return there;
}
