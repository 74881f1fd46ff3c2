/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another size of the disk, and space taken before it is needed. Exclusive calls. */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static uint64_t entries_for(const struct qcow2 *q, uint64_t size)
{
	unsigned bits = q->cluster_bits + q->l2_bits;

	return (size >> bits) + !!(size & ((1ull << bits) - 1));
}

static int store_header(struct qcow2 *q)
{
	int status = qcow2_header_store(q->image.file, &q->header);

	return status ? status : q->image.file->ops->flush(q->image.file);
}

static int grow_l1(struct qcow2 *q, uint64_t entries)
{
	uint64_t *l1;
	int status;

	if (entries <= q->header.l1_size)
		return 0;
	l1 = g_new0(uint64_t, entries);
	memcpy(l1, q->l1, 8ull * q->header.l1_size);
	status = qcow2_l1_replace(q, l1, entries, q->header.size);
	if (q->l1 != l1)
		g_free(l1);
	return status;
}

/* Clusters of one L2 table. */
static int preallocate_table(struct qcow2 *q, uint64_t first, uint64_t n)
{
	unsigned index = qcow2_l2_index(q, first << q->cluster_bits);
	struct table *table;
	int status = qcow2_l2_for_write(q, first << q->cluster_bits, &table);

	for (uint64_t i = 0, got = n; i < n && !status; i += got) {
		uint64_t host = (first + i) << q->cluster_bits;
		bool virgin;

		if (!q->image.data)
			status = qcow2_alloc(q, n - i, &host, &got, &virgin);
		for (uint64_t j = 0; j < got && !status; j++)
			qcow2_encode(q, table, index + i + j,
				     (struct qcow2_mapping){.host = host + (j << q->cluster_bits),
							    .has_host = true,
							    .data = q->all_parts,
							    .copied = true});
	}
	return status;
}

static int preallocate(struct qcow2 *q, uint64_t first, uint64_t end)
{
	int status = 0;

	while (first < end && !status) {
		uint64_t n = (1ull << q->l2_bits) - qcow2_l2_index(q, first << q->cluster_bits);

		n = MIN(n, end - first);
		status = preallocate_table(q, first, n);
		if (!status)
			status = qcow2_relieve(q);
		first += n;
	}
	return status;
}

/* What is behind the disk's end is not to show: of a backing image, of the last cluster, of a
 * larger disk that was being made smaller when the power went. */
static int grow(struct qcow2 *q, uint64_t size)
{
	uint64_t old = q->header.size;
	struct file *data = q->image.data;
	int status = grow_l1(q, entries_for(q, size));

	if (!status && data && data->size < size)
		status = data->ops->set_size(data, size);
	if (!status) {
		q->image.size = size;
		status = qcow2_write_zeroes(&q->image, old, size - old, true);
	}
	if (!status && qcow2_data_is_raw(q))
		status = preallocate(q, old >> q->cluster_bits, qcow2_clusters(q, size));
	if (!status)
		status = qcow2_flush(&q->image);
	if (!status) {
		q->header.size = size;
		status = store_header(q);
	}
	if (status)
		q->image.size = q->header.size = old;
	return status;
}

static int shrink(struct qcow2 *q, uint64_t size)
{
	uint64_t first = qcow2_clusters(q, size), end = qcow2_clusters(q, q->header.size);
	int status = qcow2_flush(&q->image);

	if (status)
		return status;
	q->header.size = q->image.size = size;
	status = store_header(q);
	if (!status)
		status = qcow2_forget(q, first, end - first);
	if (!status)
		status = qcow2_flush(&q->image);
	if (!status && q->image.data)
		status = q->image.data->ops->set_size(q->image.data, size);
	return status;
}

bool qcow2_resize(struct image *image, uint64_t size, GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	int status;

	if (q->bitmaps) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' has dirty bitmaps, which would not fit; remove them first "
			    "with: qemu-img bitmap --remove",
			    image->file->name);
		return false;
	}
	if (entries_for(q, size) > QCOW2_MAX_L1_BYTES / 8) {
		g_set_error(
			error, VIV_ERROR, VIV_ERROR_INPUT,
			"disk '%s': clusters of %" G_GUINT64_FORMAT
			" bytes are too small for a disk of that size; convert it with a larger "
			"cluster_size",
			image->file->name, q->cluster_size);
		return false;
	}
	status = size < image->size ? shrink(q, size) : grow(q, size);
	return status ? qcow2_fail(q, error, status, "resize it") : true;
}

int qcow2_empty(struct image *image)
{
	struct qcow2 *q = qcow2_of(image);
	struct file *data = image->data;
	int status = qcow2_forget(q, 0, qcow2_clusters(q, q->header.size));

	if (!status)
		status = qcow2_flush(image);
	if (!status && data) /* only now: what shows through had to be in the tables */
		data->ops->zero(data, 0, MIN(data->size, image->size), true);
	return status;
}

/* Of a file's range that is to be clusters; L2 tables and refcount blocks come to stand in it
 * later.
 */
static int reserve(struct file *file, uint64_t from, uint64_t end, const char *how)
{
	int status = file->size < end ? file->ops->set_size(file, end) : 0;

	if (!status && !strcmp(how, "falloc"))
		status = file->ops->zero(file, from, end - from, false);
	else if (!status && !strcmp(how, "full"))
		status = file_write_zeroes(file, from, end - from);
	return status;
}

static int take_space(struct qcow2 *q, const char *how)
{
	struct file *file = image_data(&q->image);
	uint64_t at = q->image.data ? 0 : q->virgin;
	int status = reserve(file, at, at + q->header.size, how);

	if (!status)
		status = preallocate(q, 0, qcow2_clusters(q, q->header.size));
	/* What the tables took of it. */
	if (!status && !q->image.data && file->size < q->virgin)
		status = reserve(file, file->size, q->virgin, how);
	return status ? status : qcow2_flush(&q->image);
}

bool qcow2_preallocate(struct file *file, const char *how, GError **error)
{
	struct qcow2 *q = g_new0(struct qcow2, 1);
	struct image_open open = {.path = file->name};
	bool ok;
	int status;

	q->image.format = &block_format_qcow2;
	q->image.file = file;
	ok = block_format_qcow2.open(&q->image, &open, error);
	if (ok) {
		status = take_space(q, how);
		ok = status ? qcow2_fail(q, error, status, "take its space") : true;
	}
	block_format_qcow2.close(&q->image);
	g_free(q->image.backing_name);
	g_free(q->image.backing_format);
	g_free(q->image.damage);
	g_free(q);
	return ok;
}
