/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From clusters of the disk to clusters of the file: L1 and L2 tables. */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/be.h"

int qcow2_corrupt(struct qcow2 *q, const char *format, ...)
{
	struct image *image = &q->image;
	va_list args;

	if (atomic_exchange(&q->failed, true) || image->damage)
		return -EIO;
	va_start(args, format);
	image->damage = g_strdup_vprintf(format, args);
	va_end(args);
	if (!image->read_only && q->header.version == 3) {
		q->header.incompatible |= QCOW2_CORRUPT;
		qcow2_header_store(image->file, &q->header);
	}
	return -EIO;
}

unsigned qcow2_l2_index(const struct qcow2 *q, uint64_t offset)
{
	return offset >> q->cluster_bits & ((1u << q->l2_bits) - 1);
}

struct qcow2_mapping qcow2_decode(const struct qcow2 *q, const struct table *table, unsigned index)
{
	const uint8_t *bytes = table->data + index * q->entry_size;
	uint64_t entry = be64_load(bytes);
	struct qcow2_mapping m = {.compressed = entry & QCOW2_COMPRESSED,
				  .copied = entry & QCOW2_COPIED};

	if (m.compressed) {
		m.host = entry & (QCOW2_COMPRESSED - 1);
		m.has_host = m.host;
		m.copied = false;
		return m;
	}
	m.host = entry & QCOW2_OFFSET_MASK;
	m.has_host = m.host || (q->image.data && m.copied);
	if (q->image.data) /* nothing there is shared */
		m.copied = m.has_host;
	m.reserved = entry & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED |
			       (q->header.version > 2 && q->entry_size == 8 ? QCOW2_ZERO : 0));
	if (q->entry_size == 16) {
		uint64_t parts = be64_load(bytes + 8);

		m.data = parts;
		m.zero = parts >> 32;
	} else {
		m.zero = q->header.version > 2 ? entry & QCOW2_ZERO : 0;
		m.data = m.has_host && !m.zero;
	}
	return m;
}

bool qcow2_mapping_is_sane(const struct qcow2 *q, uint64_t offset, struct qcow2_mapping m)
{
	uint64_t at = m.host, len;

	if (m.compressed && q->image.data)
		return false;
	if (m.compressed)
		qcow2_packed(q, m.host, &at, &len);
	else if (m.host % q->cluster_size || m.data & m.zero || (m.data && !m.has_host))
		return false;
	else if (q->image.data)
		return !m.has_host || m.host == (offset & -q->cluster_size);
	else if (!m.data)
		return true;
	return at < q->image.file->size;
}

void qcow2_encode(struct qcow2 *q, struct table *table, unsigned index, struct qcow2_mapping m)
{
	uint8_t *bytes = table->data + index * q->entry_size;
	uint64_t entry = m.host;

	if (m.compressed)
		entry |= QCOW2_COMPRESSED;
	else if (m.has_host && m.copied)
		entry |= QCOW2_COPIED;
	if (q->entry_size == 16)
		be64_store(bytes + 8, m.compressed ? 0 : m.data | (uint64_t)m.zero << 32);
	else if (!m.compressed)
		entry |= m.zero;
	be64_store(bytes, entry);
	table_changed(q->l2, table, index * q->entry_size, q->entry_size);
}

void qcow2_packed(const struct qcow2 *q, uint64_t descriptor, uint64_t *offset, uint64_t *len)
{
	unsigned offset_bits = 62 - (q->cluster_bits - 8);
	uint64_t sectors = (descriptor >> offset_bits) + 1;

	*offset = descriptor & ((1ull << offset_bits) - 1);
	*len = sectors * 512 - *offset % 512;
}

static int l1_entry(struct qcow2 *q, uint64_t index, uint64_t *offset)
{
	*offset = index < q->header.l1_size ? q->l1[index] & QCOW2_OFFSET_MASK : 0;
	if (*offset % q->cluster_size == 0 && *offset < q->image.file->size)
		return 0;
	return qcow2_corrupt(q,
			     "L2 table %" G_GUINT64_FORMAT " is at 0x%" G_GINT64_MODIFIER
			     "x, which is not within the file",
			     index, *offset);
}

int qcow2_l2(struct qcow2 *q, uint64_t offset, bool may_read, struct table **table)
{
	uint64_t at;
	int status = l1_entry(q, offset >> q->cluster_bits >> q->l2_bits, &at);

	*table = NULL;
	if (status || !at)
		return status;
	if (may_read)
		return table_get(q->l2, at, table);
	*table = table_find(q->l2, at);
	return *table ? 0 : -EAGAIN;
}

/*
 * The new table gets into the file at once, as it is without what is to change: so what flush.c
 * writes later is right in any order.
 */
static int new_l2(struct qcow2 *q, uint64_t index, uint64_t old_offset, struct table **table)
{
	struct table *old = NULL;
	uint64_t offset;
	int status = qcow2_alloc_table(q, 1, &offset);

	if (status)
		return status;
	*table = table_new(q->l2, offset);
	if (old_offset)
		status = table_get(q->l2, old_offset, &old);
	if (old)
		memcpy((*table)->data, old->data, q->cluster_size);
	if (!status)
		status = file_store(q->image.file, offset, (*table)->data, q->cluster_size);
	if (status) {
		qcow2_free_now(q, offset, 1);
		return status;
	}
	q->l1[index] = offset | QCOW2_COPIED;
	qcow2_range_add(&q->l1_dirty, index, 1);
	if (old_offset)
		qcow2_free_later(q, old_offset, 1, false);
	return 0;
}

int qcow2_l2_for_write(struct qcow2 *q, uint64_t offset, struct table **table)
{
	uint64_t index = offset >> q->cluster_bits >> q->l2_bits, at;
	int status = l1_entry(q, index, &at);

	*table = NULL;
	if (status)
		return status;
	if (q->failed || index >= q->header.l1_size)
		return -EIO;
	if (at && q->l1[index] & QCOW2_COPIED)
		return table_get(q->l2, at, table);
	return new_l2(q, index, at, table);
}

void qcow2_release(struct qcow2 *q, struct qcow2_mapping m, bool punch)
{
	uint64_t offset, len;

	if (!m.has_host || q->image.data)
		return;
	if (!m.compressed) {
		qcow2_free_later(q, m.host, 1, punch && m.copied);
		return;
	}
	qcow2_packed(q, m.host, &offset, &len);
	qcow2_free_later(q, offset / q->cluster_size * q->cluster_size,
			 ((offset + len - 1) >> q->cluster_bits) - (offset >> q->cluster_bits) + 1,
			 false);
}
