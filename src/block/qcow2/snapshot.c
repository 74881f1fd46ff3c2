/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Internal snapshots: L1 tables besides the active one, and refcounts of what they share with it.
 *
 * Each is made, applied and removed by one write of the header's first sector; before it stands
 * all that is new, after it goes what is old. A power cut in between leaves lost space.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"

enum { HEAD = 40, EXTRA = 16, MAX_EXTRA = 1024, MAX_TABLE = 64 << 20 };

static void free_snapshot(void *data)
{
	struct qcow2_snapshot *s = data;

	g_free(s->id);
	g_free(s->name);
	if (s->extra)
		g_bytes_unref(s->extra);
	g_free(s);
}

bool qcow2_fail(const struct qcow2 *q, GError **error, int status, const char *what)
{
	g_set_error(error, VIV_ERROR, q->image.damage ? VIV_ERROR_INPUT : VIV_ERROR_HOST,
		    "disk '%s': cannot %s: %s", q->image.file->name, what,
		    q->image.damage ? q->image.damage : g_strerror(-status));
	return false;
}

/* From the head of an entry and what follows it. */
static struct qcow2_snapshot *parse(const struct qcow2 *q, const uint8_t *head, const uint8_t *rest)
{
	struct qcow2_snapshot *s = g_new0(struct qcow2_snapshot, 1);
	uint32_t extra = be32_load(head + 36);
	uint16_t id_len = be16_load(head + 12), name_len = be16_load(head + 14);

	*s = (struct qcow2_snapshot){
		.l1_offset = be64_load(head),
		.l1_size = be32_load(head + 8),
		.date_s = be32_load(head + 16),
		.date_ns = be32_load(head + 20),
		.vm_clock_ns = be64_load(head + 24),
		.vm_state_size = be32_load(head + 32),
		.disk_size = q->header.size,
	};
	if (extra >= 8)
		s->vm_state_size = be64_load(rest);
	if (extra >= EXTRA) {
		s->disk_size = be64_load(rest + 8);
		s->extra = g_bytes_new(rest + EXTRA, extra - EXTRA);
	}
	s->id = g_strndup((const char *)rest + extra, id_len);
	s->name = g_strndup((const char *)rest + extra + id_len, name_len);
	return s;
}

static bool is_sane(const struct qcow2 *q, const struct qcow2_snapshot *s)
{
	uint64_t end = q->image.file->size;

	return s->l1_offset % q->cluster_size == 0 && s->l1_size <= QCOW2_MAX_L1_BYTES / 8 &&
	       s->l1_offset <= end && 8ull * s->l1_size <= end - s->l1_offset && s->disk_size &&
	       s->disk_size % IMAGE_SECTOR_SIZE == 0 &&
	       s->disk_size >> (q->cluster_bits + q->l2_bits) < QCOW2_MAX_L1_BYTES / 8;
}

static int load_one(struct qcow2 *q, uint64_t *at)
{
	struct file *file = q->image.file;
	g_autofree uint8_t *rest = NULL;
	struct qcow2_snapshot *s;
	uint8_t head[HEAD];
	uint64_t len;
	int status = *at + HEAD <= file->size ? file_load(file, *at, head, HEAD) : -EINVAL;

	if (status)
		return status;
	len = be32_load(head + 36) + (uint64_t)be16_load(head + 12) + be16_load(head + 14);
	if (be32_load(head + 36) > MAX_EXTRA || *at + HEAD + len > file->size)
		return -EINVAL;
	rest = g_malloc(MAX(len, 1));
	status = file_load(file, *at + HEAD, rest, len);
	if (status)
		return status;
	s = parse(q, head, rest);
	g_ptr_array_add(q->snapshots, s);
	*at = (*at + HEAD + len + 7) / 8 * 8;
	if (is_sane(q, s))
		return 0;
	g_ptr_array_remove_index(q->snapshots, q->snapshots->len - 1);
	return -EINVAL;
}

int qcow2_snapshots_load(struct qcow2 *q)
{
	uint64_t at = q->header.snapshots_offset;
	int status = 0;

	q->snapshots = g_ptr_array_new_with_free_func(free_snapshot);
	for (uint32_t i = 0; i < q->header.n_snapshots && !status; i++)
		status = at - q->header.snapshots_offset > MAX_TABLE ? -EINVAL : load_one(q, &at);
	q->snapshots_len = at - q->header.snapshots_offset;
	if (status == -EINVAL)
		image_note_damage(&q->image, "its table of snapshots is broken");
	return status == -EINVAL ? 0 : status;
}

static void put(GByteArray *out, const struct qcow2_snapshot *s)
{
	static const uint8_t padding[8];
	gsize extra_len = 0;
	const void *extra = s->extra ? g_bytes_get_data(s->extra, &extra_len) : NULL;
	uint8_t head[HEAD + EXTRA];

	be64_store(head, s->l1_offset);
	be32_store(head + 8, s->l1_size);
	be16_store(head + 12, strlen(s->id));
	be16_store(head + 14, strlen(s->name));
	be32_store(head + 16, s->date_s);
	be32_store(head + 20, s->date_ns);
	be64_store(head + 24, s->vm_clock_ns);
	be32_store(head + 32, s->vm_state_size > UINT32_MAX ? 0 : s->vm_state_size);
	be32_store(head + 36, EXTRA + extra_len);
	be64_store(head + 40, s->vm_state_size);
	be64_store(head + 48, s->disk_size);
	g_byte_array_append(out, head, sizeof(head));
	g_byte_array_append(out, extra, extra_len);
	g_byte_array_append(out, (const uint8_t *)s->id, strlen(s->id));
	g_byte_array_append(out, (const uint8_t *)s->name, strlen(s->name));
	g_byte_array_append(out, padding, -out->len & 7);
}

/* That the table takes in the file. */
static uint64_t old_clusters(const struct qcow2 *q)
{
	return q->header.n_snapshots ? qcow2_clusters(q, q->snapshots_len) : 0;
}

int qcow2_snapshots_store(struct qcow2 *q)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	struct qcow2_header old = q->header;
	uint64_t clusters = old_clusters(q), offset = 0;
	int status = 0;

	for (guint i = 0; i < q->snapshots->len; i++)
		put(bytes, q->snapshots->pdata[i]);
	if (bytes->len)
		status = qcow2_alloc_table(q, qcow2_clusters(q, bytes->len), &offset);
	if (!status && bytes->len)
		status = file_store(q->image.file, offset, bytes->data, bytes->len);
	if (!status)
		status = qcow2_flush(&q->image);
	if (status)
		return status;
	q->header.n_snapshots = q->snapshots->len;
	q->header.snapshots_offset = offset;
	status = qcow2_header_store(q->image.file, &q->header);
	if (!status)
		status = q->image.file->ops->flush(q->image.file);
	if (status) {
		q->failed = true; /* which of the two the file has is not known */
		q->header = old;
		return status;
	}
	q->snapshots_len = bytes->len;
	return qcow2_free_now(q, old.snapshots_offset, clusters);
}

uint64_t *qcow2_l1_load(struct qcow2 *q, uint64_t offset, uint32_t n)
{
	g_autofree uint64_t *l1 = g_new(uint64_t, MAX(n, 1));

	if (file_load(q->image.file, offset, l1, 8ull * n))
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		l1[i] = GUINT64_FROM_BE(l1[i]);
	return g_steal_pointer(&l1);
}

int qcow2_l1_store(struct qcow2 *q, uint64_t offset, const uint64_t *l1, uint32_t n)
{
	g_autofree uint64_t *bytes = g_new(uint64_t, MAX(n, 1));

	for (uint32_t i = 0; i < n; i++)
		bytes[i] = GUINT64_TO_BE(l1[i]);
	return file_store(q->image.file, offset, bytes, 8ull * n);
}

static int add_entry(struct qcow2 *q, uint64_t cluster, struct qcow2_mapping m, int by)
{
	uint64_t offset = m.host, len = q->cluster_size;

	if (!m.has_host)
		return 0;
	if (!qcow2_mapping_is_sane(q, cluster << q->cluster_bits, m))
		return qcow2_corrupt(q, "an L2 entry says 0x%" G_GINT64_MODIFIER "x", m.host);
	if (m.compressed)
		qcow2_packed(q, m.host, &offset, &len);
	return qcow2_refcount_add(
		q, offset >> q->cluster_bits,
		((offset + len - 1) >> q->cluster_bits) - (offset >> q->cluster_bits) + 1, by);
}

static int get_table(struct qcow2 *q, uint64_t l1_entry, struct table **table)
{
	uint64_t offset = l1_entry & QCOW2_OFFSET_MASK;

	*table = NULL;
	if (!offset)
		return 0;
	if (offset % q->cluster_size || offset >= q->image.file->size)
		return qcow2_corrupt(q, "an L2 table is at 0x%" G_GINT64_MODIFIER "x", offset);
	return table_get(q->l2, offset, table);
}

/* Up to `max` references; *n is how many it has done. */
static int add_references(struct qcow2 *q, const uint64_t *l1, uint32_t l1_size, int by,
			  uint64_t max, uint64_t *n)
{
	int status = 0;

	*n = 0;
	for (uint32_t i = 0; i < l1_size; i++) {
		struct table *table;

		status = get_table(q, l1[i], &table);
		for (unsigned j = 0; table && j < 1u << q->l2_bits && !status && *n < max; j++) {
			status = add_entry(q, ((uint64_t)i << q->l2_bits) + j,
					   qcow2_decode(q, table, j), by);
			*n += !status;
		}
		if (table && !status && *n < max) {
			status = qcow2_refcount_add(q, table->offset >> q->cluster_bits, 1, by);
			*n += !status;
		}
		if (status || *n == max)
			break;
	}
	return status;
}

int qcow2_references_add(struct qcow2 *q, const uint64_t *l1, uint32_t n, int by)
{
	uint64_t added, undone;
	int status = add_references(q, l1, n, by, UINT64_MAX, &added);

	if (status && added)
		add_references(q, l1, n, -by, added, &undone);
	return status;
}

static int mark_table(struct qcow2 *q, struct table *table)
{
	int status = 0;

	for (unsigned i = 0; i < 1u << q->l2_bits && !status; i++) {
		struct qcow2_mapping m = qcow2_decode(q, table, i);
		uint64_t count;

		if (!m.has_host || m.compressed)
			continue;
		status = qcow2_refcount(q, m.host >> q->cluster_bits, &count);
		if (status || m.copied == (count == 1))
			continue;
		m.copied = count == 1;
		qcow2_encode(q, table, i, m);
	}
	return status;
}

int qcow2_mark_copied(struct qcow2 *q)
{
	int status = 0;

	for (uint32_t i = 0; i < q->header.l1_size && !status; i++) {
		struct table *table;
		uint64_t count;

		status = get_table(q, q->l1[i], &table);
		if (status || !table)
			continue;
		status = qcow2_refcount(q, table->offset >> q->cluster_bits, &count);
		if (!status && (count == 1) != !!(q->l1[i] & QCOW2_COPIED)) {
			q->l1[i] ^= QCOW2_COPIED;
			qcow2_range_add(&q->l1_dirty, i, 1);
		}
		if (!status)
			status = mark_table(q, table);
		if (!status)
			status = qcow2_relieve(q);
	}
	return status;
}

static void free_listed(void *data)
{
	struct image_snapshot *s = data;

	g_free(s->id);
	g_free(s->name);
	g_free(s);
}

static GPtrArray *list(struct image *image)
{
	GPtrArray *all = g_ptr_array_new_with_free_func(free_listed);
	const GPtrArray *snapshots = qcow2_of(image)->snapshots;

	for (guint i = 0; i < snapshots->len; i++) {
		const struct qcow2_snapshot *s = snapshots->pdata[i];
		struct image_snapshot *listed = g_new(struct image_snapshot, 1);

		*listed = (struct image_snapshot){
			.id = g_strdup(s->id),
			.name = g_strdup(s->name),
			.size = s->disk_size,
			.vm_state_size = s->vm_state_size,
			.created_ns = (int64_t)s->date_s * 1000000000 + s->date_ns,
		};
		g_ptr_array_add(all, listed);
	}
	return all;
}

/* By name, else by id. */
static struct qcow2_snapshot *find(struct qcow2 *q, const char *name, GError **error)
{
	for (unsigned by_id = 0; by_id < 2; by_id++) {
		for (guint i = 0; i < q->snapshots->len; i++) {
			struct qcow2_snapshot *s = q->snapshots->pdata[i];

			if (!strcmp(by_id ? s->id : s->name, name))
				return s;
		}
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "disk '%s' has no snapshot '%s'",
		    q->image.file->name, name);
	return NULL;
}

static bool can_create(struct qcow2 *q, const char *name, GError **error)
{
	const char *why = NULL;

	if (!*name || strlen(name) > QCOW2_MAX_NAME)
		why = "a snapshot's name has 1 to 1023 bytes";
	else if (find(q, name, NULL))
		why = "there is a snapshot of this name; remove it first, or choose another";
	else if (q->snapshots->len == QCOW2_MAX_SNAPSHOTS)
		why = "it has as many snapshots as there can be; remove some";
	else if (q->image.data)
		why = "its data are in another file, where nothing can be shared; convert it to one "
		      "without data_file";
	else if (q->refcount_max == 1)
		why = "its refcounts have one bit, so that nothing can be shared; convert it with "
		      "refcount_bits=16";
	if (why)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "disk '%s': '%s': %s",
			    q->image.file->name, name, why);
	return !why;
}

static struct qcow2_snapshot *new_snapshot(struct qcow2 *q, const char *name)
{
	struct qcow2_snapshot *s = g_new0(struct qcow2_snapshot, 1);
	int64_t now_us = g_get_real_time();
	uint64_t id = 0;

	for (guint i = 0; i < q->snapshots->len; i++)
		id = MAX(id,
			 strtoull(((struct qcow2_snapshot *)q->snapshots->pdata[i])->id, NULL, 10));
	s->id = g_strdup_printf("%" G_GUINT64_FORMAT, id + 1);
	s->name = g_strdup(name);
	s->date_s = now_us / 1000000;
	s->date_ns = now_us % 1000000 * 1000;
	s->disk_size = q->header.size;
	s->l1_size = q->header.l1_size;
	return s;
}

/* Counts first, then what is shared is marked so, then the snapshot: each safe before the next. */
static int share_active(struct qcow2 *q, struct qcow2_snapshot *s)
{
	uint64_t clusters = qcow2_clusters(q, 8ull * s->l1_size);
	int status = qcow2_flush(&q->image);

	if (!status)
		status = qcow2_references_add(q, q->l1, q->header.l1_size, 1);
	if (status)
		return status;
	status = qcow2_flush(&q->image);
	if (!status)
		status = qcow2_mark_copied(q);
	if (!status && clusters)
		status = qcow2_alloc_table(q, clusters, &s->l1_offset);
	if (!status)
		status = qcow2_l1_store(q, s->l1_offset, q->l1, s->l1_size);
	if (!status)
		status = qcow2_flush(&q->image);
	if (status && !q->failed) {
		qcow2_references_add(q, q->l1, q->header.l1_size, -1);
		qcow2_mark_copied(q);
	}
	return status;
}

static bool create(struct image *image, const char *name, GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	struct qcow2_snapshot *s;
	int status;

	if (!can_create(q, name, error))
		return false;
	s = new_snapshot(q, name);
	status = share_active(q, s);
	if (status) {
		free_snapshot(s);
		return qcow2_fail(q, error, status,
				  status == -EOVERFLOW
					  ? "take a snapshot: a refcount is as high as it can be"
					  : "take a snapshot");
	}
	g_ptr_array_add(q->snapshots, s);
	status = qcow2_snapshots_store(q);
	if (status) {
		g_ptr_array_remove_index(q->snapshots, q->snapshots->len - 1);
		return qcow2_fail(q, error, status, "write its table of snapshots");
	}
	return true;
}

/* Whatever its tables say: nothing that they refer to is their own. */
static int clear_copied(struct qcow2 *q, uint64_t *l1, uint32_t n)
{
	int status = 0;

	for (uint32_t i = 0; i < n && !status; i++) {
		struct table *table;

		l1[i] &= ~QCOW2_COPIED;
		status = get_table(q, l1[i], &table);
		for (unsigned j = 0; table && j < 1u << q->l2_bits; j++) {
			struct qcow2_mapping m = qcow2_decode(q, table, j);

			if (!m.copied)
				continue;
			m.copied = false;
			qcow2_encode(q, table, j, m);
		}
		if (!status)
			status = qcow2_relieve(q);
	}
	return status;
}

int qcow2_l1_replace(struct qcow2 *q, uint64_t *l1, uint32_t l1_size, uint64_t disk_size)
{
	struct qcow2_header old = q->header;
	uint64_t offset;
	int status = qcow2_alloc_table(q, MAX(1, qcow2_clusters(q, 8ull * l1_size)), &offset);

	if (!status)
		status = qcow2_l1_store(q, offset, l1, l1_size);
	if (!status)
		status = qcow2_flush(&q->image);
	if (status)
		return status;
	q->header.l1_offset = offset;
	q->header.l1_size = l1_size;
	q->header.size = disk_size;
	status = qcow2_header_store(q->image.file, &q->header);
	if (!status)
		status = q->image.file->ops->flush(q->image.file);
	if (status) {
		q->failed = true;
		q->header = old;
		return status;
	}
	g_free(q->l1);
	q->l1 = l1;
	q->image.size = disk_size;
	return qcow2_free_now(q, old.l1_offset, MAX(1, qcow2_clusters(q, 8ull * old.l1_size)));
}

static int switch_l1(struct qcow2 *q, uint64_t *l1, uint32_t l1_size, uint64_t disk_size)
{
	uint32_t old_size = q->header.l1_size;
	g_autofree uint64_t *old = g_memdup2(q->l1, MAX(8ull * old_size, 1));
	int status = qcow2_l1_replace(q, l1, l1_size, disk_size);

	return status ? status : qcow2_references_add(q, old, old_size, -1);
}

/* The disk becomes what `l1` refers to, the snapshot's entries and empty ones up to `l1_size`. */
static int take_on(struct qcow2 *q, const struct qcow2_snapshot *s, uint64_t *l1, uint32_t l1_size)
{
	int status = qcow2_references_add(q, l1, s->l1_size, 1);

	if (status)
		return status;
	status = qcow2_flush(&q->image);
	if (!status)
		status = clear_copied(q, l1, s->l1_size);
	if (!status)
		status = qcow2_flush(&q->image);
	if (!status)
		status = switch_l1(q, l1, l1_size, s->disk_size);
	if (status && q->l1 != l1 && !q->failed)
		qcow2_references_add(q, l1, s->l1_size, -1);
	return status;
}

static bool fits_bitmaps(const struct qcow2 *q, const struct qcow2_snapshot *s, GError **error)
{
	if (!q->bitmaps || s->disk_size == q->header.size)
		return true;
	g_set_error(
		error, VIV_ERROR, VIV_ERROR_INPUT,
		"disk '%s' had another size then, and has dirty bitmaps now, which would not fit; "
		"remove these first with: qemu-img bitmap --remove",
		q->image.file->name);
	return false;
}

static bool apply(struct image *image, const char *name, GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	struct qcow2_snapshot *s = find(q, name, error);
	unsigned bits = q->cluster_bits + q->l2_bits;
	uint32_t l1_size;
	uint64_t *l1;
	int status;

	if (!s || !fits_bitmaps(q, s, error))
		return false;
	l1_size = MAX(s->l1_size, (s->disk_size + (1ull << bits) - 1) >> bits);
	status = qcow2_flush(image);
	l1 = status ? NULL : qcow2_l1_load(q, s->l1_offset, s->l1_size);
	if (!l1)
		return qcow2_fail(q, error, status ? status : -EIO, "read the snapshot's tables");
	l1 = g_renew(uint64_t, l1, MAX(l1_size, 1));
	memset(l1 + s->l1_size, 0, 8 * (l1_size - s->l1_size));
	status = take_on(q, s, l1, l1_size);
	if (q->l1 != l1)
		g_free(l1);
	qcow2_bitmaps_mark(q, 0, q->header.size);
	qcow2_unpacked_forget(q);
	if (!status)
		status = qcow2_flush(image);
	return status ? qcow2_fail(q, error, status, "go back to the snapshot") : true;
}

static bool remove_snapshot(struct image *image, const char *name, GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	struct qcow2_snapshot *s = find(q, name, error);
	g_autofree uint64_t *l1 = s ? qcow2_l1_load(q, s->l1_offset, s->l1_size) : NULL;
	guint index;
	int status;

	if (!s)
		return false;
	if (!l1)
		return qcow2_fail(q, error, -EIO, "read the snapshot's tables");
	g_ptr_array_find(q->snapshots, s, &index);
	g_ptr_array_steal_index(q->snapshots, index);
	status = qcow2_snapshots_store(q);
	if (status) {
		g_ptr_array_insert(q->snapshots, index, s);
		return qcow2_fail(q, error, status, "write its table of snapshots");
	}
	status = qcow2_references_add(q, l1, s->l1_size, -1);
	if (!status && s->l1_size)
		status = qcow2_free_now(q, s->l1_offset, qcow2_clusters(q, 8ull * s->l1_size));
	free_snapshot(s);
	if (!status)
		status = qcow2_mark_copied(q);
	qcow2_unpacked_forget(q);
	if (!status)
		status = qcow2_flush(image);
	return status ? qcow2_fail(q, error, status, "give back what the snapshot had") : true;
}

const struct image_snapshot_ops qcow2_snapshot_ops = {
	.list = list,
	.create = create,
	.apply = apply,
	.remove = remove_snapshot,
};
