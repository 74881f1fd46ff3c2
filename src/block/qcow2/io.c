/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data: reads, and writes in place or to clusters that are given for it.
 *
 * A write that needs a new cluster reads what it does not bring of it (copy on write), writes all
 * in one piece, and only then changes the L2 entry. Meanwhile its guest clusters stand in
 * `allocations`, and who else would change their entries waits.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "block/luks.h"

enum { MAX_RUN = 4 << 20 }; /* bytes that are given clusters at once */

static uint32_t parts_mask(const struct qcow2 *q, uint64_t from, uint64_t end)
{
	unsigned first = from >> q->part_bits, last = (end - 1) >> q->part_bits;

	return (~0u >> (31 - (last - first))) << first;
}

static enum image_extent_kind kind_of(struct qcow2_mapping m, uint32_t part)
{
	if (m.compressed)
		return IMAGE_COMPRESSED;
	return m.zero & part ? IMAGE_ZERO : m.data & part ? IMAGE_DATA : IMAGE_UNALLOCATED;
}

/* Within one L2 table; parts of one kind and, of data, in one piece. */
int qcow2_resolve(struct qcow2 *q, uint64_t offset, uint64_t len, bool may_read,
		  struct qcow2_piece *piece)
{
	uint64_t mask = q->cluster_size - 1, end, part_size = 1ull << q->part_bits;
	struct qcow2_mapping m = {};
	struct table *table;
	unsigned index = qcow2_l2_index(q, offset);
	int status = qcow2_l2(q, offset, may_read, &table);

	end = MIN(len, ((1ull << q->l2_bits) - index) * q->cluster_size - (offset & mask));
	*piece = (struct qcow2_piece){.kind = IMAGE_UNALLOCATED, .len = end};
	if (status || !table)
		return status;
	for (uint64_t at = 0; at < end;) {
		uint64_t in = (offset + at) & mask;
		uint32_t part = 1u << (in >> q->part_bits);

		if (at == 0 || in == 0) {
			m = qcow2_decode(q, table, qcow2_l2_index(q, offset + at));
			if (!qcow2_mapping_is_sane(q, offset + at, m))
				return qcow2_corrupt(q,
						     "the L2 entry of byte 0x%" G_GINT64_MODIFIER
						     "x says 0x%" G_GINT64_MODIFIER "x",
						     offset + at, m.host);
		}
		if (at == 0) {
			*piece = (struct qcow2_piece){.kind = kind_of(m, part),
						      .host = m.compressed ? m.host : m.host + in,
						      .copied = m.copied};
		} else if (kind_of(m, part) != piece->kind || m.compressed ||
			   (piece->kind == IMAGE_DATA && m.host + in != piece->host + at)) {
			break;
		}
		piece->copied &= m.copied;
		at += MIN(part_size - (in & (part_size - 1)), end - at);
		piece->len = at;
	}
	if (piece->kind == IMAGE_COMPRESSED)
		piece->len = MIN(piece->len, q->cluster_size - (offset & mask));
	return 0;
}

/* LUKS ciphers by where bytes are in the file, what was before by where on the disk. */
static uint64_t tweak_of(const struct qcow2 *q, uint64_t host, uint64_t offset)
{
	return q->header.crypt == QCOW2_LUKS ? host : offset;
}

static int load(struct qcow2 *q, uint64_t host, uint64_t offset, struct span span)
{
	struct file *file = image_data(&q->image);

	if (q->header.crypt == QCOW2_PLAIN)
		return file->ops->read(file, host, span);
	return q->luks ? luks_read(q->luks, file, host, tweak_of(q, host, offset), span) : -EACCES;
}

static int store(struct qcow2 *q, uint64_t host, uint64_t offset, struct span span)
{
	struct file *file = image_data(&q->image);

	if (q->header.crypt == QCOW2_PLAIN)
		return file->ops->write(file, host, span);
	return q->luks ? luks_write(q->luks, file, host, tweak_of(q, host, offset), span) : -EACCES;
}

static int read_piece(struct qcow2 *q, uint64_t offset, struct span span, uint64_t *done)
{
	struct qcow2_piece piece;
	unsigned generation;
	int status;

	g_mutex_lock(&q->lock);
	status = qcow2_resolve(q, offset, span.len, true, &piece);
	generation = qcow2_transfer_begin(q);
	g_mutex_unlock(&q->lock);
	*done = piece.len;
	span = span_part(span, 0, piece.len);
	if (status)
		;
	else if (piece.kind == IMAGE_ZERO)
		span_zero(span);
	else if (piece.kind == IMAGE_UNALLOCATED)
		status = image_read_backing(&q->image, offset, span);
	else if (piece.kind == IMAGE_DATA)
		status = load(q, piece.host, offset, span);
	else
		status = qcow2_read_packed(q, piece.host, offset & (q->cluster_size - 1), span);
	qcow2_transfer_end(q, generation);
	return status;
}

int qcow2_read(struct image *image, uint64_t offset, struct span span)
{
	uint64_t done;
	int status = 0;

	for (; span.len && !status; offset += done) {
		status = read_piece(qcow2_of(image), offset, span, &done);
		span = span_part(span, done, span.len - done);
	}
	return status;
}

/* A write on its way to guest clusters that are given host clusters. */
struct allocating {
	struct qcow2_allocation clusters;
	uint64_t offset, end;		   /* what is written of the disk */
	uint64_t host;			   /* of the first cluster */
	bool fill;			   /* it had one already, without data in these parts */
	bool virgin;			   /* what is not written reads as zeroes */
	struct qcow2_mapping before, last; /* of the first cluster and of the last */
};

static bool overlaps(const struct qcow2_allocation *a, uint64_t first, uint64_t n)
{
	return a->first < first + n && first < a->first + a->n;
}

static const struct qcow2_allocation *find_allocation(const struct qcow2 *q, uint64_t first,
						      uint64_t n)
{
	const struct qcow2_allocation *a = q->allocations;

	while (a && !overlaps(a, first, n))
		a = a->next;
	return a;
}

bool qcow2_wait_allocations(struct qcow2 *q, uint64_t first, uint64_t n)
{
	bool waited = false;

	for (; find_allocation(q, first, n); waited = true)
		g_cond_wait(&q->changed, &q->lock);
	return waited;
}

static void end_allocation(struct qcow2 *q, struct qcow2_allocation *allocation)
{
	struct qcow2_allocation **link = &q->allocations;

	while (*link != allocation)
		link = &(*link)->next;
	*link = allocation->next;
	g_cond_broadcast(&q->changed);
}

static void begin_allocation(struct qcow2 *q, struct qcow2_allocation *allocation, uint64_t first,
			     uint64_t n)
{
	*allocation = (struct qcow2_allocation){.next = q->allocations, .first = first, .n = n};
	q->allocations = allocation;
}

static bool is_usable(struct qcow2_mapping m)
{
	return m.has_host && m.copied;
}

static bool has_data(struct qcow2_mapping m)
{
	return m.compressed || m.data;
}

/* What is written into one cluster, of its bytes. */
static void clip(const struct qcow2 *q, uint64_t cluster, uint64_t offset, uint64_t end,
		 uint64_t *from, uint64_t *to)
{
	uint64_t start = cluster << q->cluster_bits;

	*from = MAX(offset, start) - start;
	*to = MIN(end - start, q->cluster_size);
}

/* Clusters after the first that need new ones, too. */
static uint64_t count_new(const struct qcow2 *q, const struct table *table,
			  const struct allocating *a)
{
	uint64_t first = a->offset >> q->cluster_bits, n = 1;
	uint64_t max = MIN(qcow2_clusters(q, a->end) - first, MAX(1, MAX_RUN >> q->cluster_bits));
	unsigned index = qcow2_l2_index(q, a->offset);

	while (n < max && index + n < 1u << q->l2_bits &&
	       !is_usable(qcow2_decode(q, table, index + n)) && !find_allocation(q, first + n, 1))
		n++;
	return n;
}

/* In a data file each guest cluster has its place. */
static int give_clusters(struct qcow2 *q, uint64_t want, struct allocating *a, uint64_t *n)
{
	if (!q->image.data)
		return qcow2_alloc(q, want, &a->host, n, &a->virgin);
	a->host = a->offset & -q->cluster_size;
	*n = want;
	return 0;
}

/* Clusters for what is written from a->offset on; a->end moves to where they end. */
static int allocate(struct qcow2 *q, struct table *table, struct allocating *a)
{
	uint64_t first = a->offset >> q->cluster_bits, n = 1;
	unsigned index = qcow2_l2_index(q, a->offset);
	int status = 0;

	a->fill = is_usable(a->before);
	a->host = a->before.host;
	a->virgin = false;
	if (!a->fill)
		status = give_clusters(q, count_new(q, table, a), a, &n);
	if (status)
		return status;
	a->end = MIN(a->end, (first + n) << q->cluster_bits);
	a->last = qcow2_decode(q, table, index + n - 1);
	begin_allocation(q, &a->clusters, first, n);
	return 0;
}

/* How much before and after what is written has to be brought along. */
static void find_edges(const struct qcow2 *q, const struct allocating *a, uint64_t *head,
		       uint64_t *tail)
{
	uint64_t part = 1ull << q->part_bits;
	uint64_t whole_head = !a->fill && has_data(a->before) ? q->cluster_size : part;
	uint64_t whole_tail = !a->fill && has_data(a->last) ? q->cluster_size : part;
	uint64_t last_in = (a->end - 1) & (q->cluster_size - 1);

	*head = a->offset & (whole_head - 1);
	*tail = -a->end & (whole_tail - 1);
	if (a->fill && a->before.data >> ((a->offset & (q->cluster_size - 1)) >> q->part_bits) & 1)
		*head = 0;
	if (a->fill && a->before.data >> (last_in >> q->part_bits) & 1)
		*tail = 0;
	/* A data file ends with the disk. */
	if (q->image.data)
		*tail = MIN(*tail, q->image.size - a->end);
}

/* Whether what is not written of a data file's clusters reads as zeroes. */
static bool is_hole(struct qcow2 *q, uint64_t at, uint64_t len)
{
	struct file *data = q->image.data;
	uint64_t size = data ? data->size : 0, run;
	bool zero;

	if (!data || at >= size)
		return data;
	len = MIN(len, size - at);
	return !data->ops->map(data, at, len, &run, &zero) && zero && run >= len;
}

static int copy_and_write(struct qcow2 *q, const struct allocating *a, struct span span)
{
	uint64_t at = a->host + (a->offset - (a->clusters.first << q->cluster_bits)), head, tail;
	g_autofree uint8_t *edges = NULL;
	g_autofree struct iovec *iov = NULL;
	unsigned n;
	int status = 0;

	find_edges(q, a, &head, &tail);
	if (!head && !tail)
		return store(q, at, a->offset, span);
	edges = g_malloc(head + tail);
	if (head)
		status = qcow2_read(&q->image, a->offset - head, SPAN(edges, head));
	if (tail && !status)
		status = qcow2_read(&q->image, a->end, SPAN(edges + head, tail));
	if (status)
		return status;
	if (!q->header.crypt && span_is_zero(SPAN(edges, head + tail)) &&
	    (a->virgin || is_hole(q, at - head, head + span.len + tail)))
		return store(q, at, a->offset, span);
	iov = g_new(struct iovec, span.n_iov + 2);
	iov[0] = (struct iovec){edges, head};
	n = 1 + span_iov(span, iov + 1, span.n_iov);
	iov[n] = (struct iovec){edges + head, tail};
	return store(q, at - head, a->offset - head, span_all(iov, n + 1));
}

static void map_cluster(struct qcow2 *q, struct table *table, const struct allocating *a,
			uint64_t i)
{
	unsigned index = qcow2_l2_index(q, a->offset) + i;
	struct qcow2_mapping m = qcow2_decode(q, table, index), before = m;
	uint64_t from, to;
	uint32_t touched;

	clip(q, a->clusters.first + i, a->offset, a->end, &from, &to);
	touched = parts_mask(q, from, to);
	m.data = (a->fill ? m.data : 0) | touched;
	m.zero &= ~touched;
	if (!a->fill && has_data(before)) {
		m.data = q->all_parts;
		m.zero = 0;
	}
	m.host = a->host + (i << q->cluster_bits);
	m.has_host = true;
	m.copied = true;
	m.compressed = false;
	qcow2_encode(q, table, index, m);
	if (!a->fill)
		qcow2_release(q, before, false);
}

static int finish(struct qcow2 *q, struct allocating *a, int status)
{
	struct table *table;

	g_mutex_lock(&q->lock);
	if (!status)
		status = qcow2_l2_for_write(q, a->offset, &table);
	for (uint64_t i = 0; i < a->clusters.n && !status; i++)
		map_cluster(q, table, a, i);
	if (status && !a->fill && !q->image.data)
		qcow2_free_now(q, a->host, a->clusters.n);
	end_allocation(q, &a->clusters);
	g_mutex_unlock(&q->lock);
	return status;
}

/* Whether bytes stand where they may be written as they are; how many of them. */
static bool find_in_place(struct qcow2 *q, uint64_t offset, uint64_t len, struct qcow2_piece *piece)
{
	int status = qcow2_resolve(q, offset, len, true, piece);

	if (status || piece->kind != IMAGE_DATA || piece->copied)
		return !status && piece->kind == IMAGE_DATA;
	/* Some clusters of the run may be its own. */
	len = MIN(len, q->cluster_size - (offset & (q->cluster_size - 1)));
	return !qcow2_resolve(q, offset, len, true, piece) && piece->copied;
}

static int write_piece(struct qcow2 *q, uint64_t offset, struct span span, uint64_t *done)
{
	struct allocating a = {.offset = offset, .end = offset + span.len};
	struct qcow2_piece piece = {};
	struct table *table;
	bool in_place;
	int status;

	g_mutex_lock(&q->lock);
	do {
		in_place = false;
		status = qcow2_l2_for_write(q, offset, &table);
		if (!status)
			in_place = find_in_place(q, offset, span.len, &piece);
	} while (!status && !in_place && qcow2_wait_allocations(q, offset >> q->cluster_bits, 1));
	if (!status && !in_place) {
		a.before = qcow2_decode(q, table, qcow2_l2_index(q, offset));
		status = q->failed ? -EIO : allocate(q, table, &a);
	}
	if (status) {
		g_mutex_unlock(&q->lock);
		return status;
	}
	*done = in_place ? piece.len : a.end - offset;
	span = span_part(span, 0, *done);
	if (in_place) {
		unsigned generation = qcow2_transfer_begin(q);

		g_mutex_unlock(&q->lock);
		status = store(q, piece.host, offset, span);
		qcow2_transfer_end(q, generation);
		return status;
	}
	g_mutex_unlock(&q->lock);
	return finish(q, &a, copy_and_write(q, &a, span));
}

int qcow2_write(struct image *image, uint64_t offset, struct span span)
{
	struct qcow2 *q = qcow2_of(image);
	uint64_t done;
	int status = 0;

	qcow2_bitmaps_mark(q, offset, span.len);
	while (span.len && !status) {
		status = write_piece(q, offset, span, &done);
		if (status)
			break;
		offset += done;
		span = span_part(span, done, span.len - done);
		status = qcow2_relieve(q);
	}
	return status;
}

/* Compressed bytes of a whole cluster. */
static int store_packed(struct qcow2 *q, uint64_t offset, const uint8_t *bytes, size_t len)
{
	struct qcow2_allocation allocation;
	struct qcow2_mapping m = {.compressed = true, .has_host = true}, before;
	uint64_t cluster = offset >> q->cluster_bits, host = 0;
	struct table *table;
	int status;

	g_mutex_lock(&q->lock);
	qcow2_wait_allocations(q, cluster, 1);
	status = qcow2_l2_for_write(q, offset, &table);
	if (!status)
		status = qcow2_alloc_bytes(q, len, &host);
	if (status) {
		g_mutex_unlock(&q->lock);
		return status;
	}
	begin_allocation(q, &allocation, cluster, 1);
	g_mutex_unlock(&q->lock);
	status = file_store(q->image.file, host, bytes, len);
	m.host = host | (host % 512 + len - 1) / 512 << (62 - (q->cluster_bits - 8));
	g_mutex_lock(&q->lock);
	if (!status)
		status = qcow2_l2_for_write(q, offset, &table);
	before = m;
	if (!status) {
		before = qcow2_decode(q, table, qcow2_l2_index(q, offset));
		qcow2_encode(q, table, qcow2_l2_index(q, offset), m);
	}
	qcow2_release(q, before, false);
	end_allocation(q, &allocation);
	g_mutex_unlock(&q->lock);
	return status;
}

int qcow2_write_compressed(struct image *image, uint64_t offset, struct span span)
{
	struct qcow2 *q = qcow2_of(image);
	g_autofree uint8_t *cluster = NULL, *packed = NULL;
	size_t len = 0;
	int status;

	if (offset & (q->cluster_size - 1) ||
	    (span.len != q->cluster_size && offset + span.len != image->size) ||
	    span.len > q->cluster_size)
		return -EINVAL;
	if (!q->header.crypt && !q->image.data) {
		cluster = g_malloc0(q->cluster_size);
		packed = g_malloc(q->cluster_size);
		span_load(span, cluster);
		len = qcow2_pack(q, cluster, packed);
	}
	qcow2_bitmaps_mark(q, offset, span.len);
	status = len ? store_packed(q, offset, packed, len) : qcow2_write(image, offset, span);
	return status ? status : qcow2_relieve(q);
}
