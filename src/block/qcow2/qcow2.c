/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2, by QEMU's specification (docs/interop/qcow2.txt): versions 2 and 3.
 *
 * A power cut loses what was written since the last flush, a sector of it or all, and nothing else;
 * it may leave clusters in the file that nothing uses, until `check` gives them back. flush.c says
 * how.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"
#include "block/luks.h"

enum { L2_CACHE = 32 << 20, REFCOUNT_CACHE = 4 << 20 };

static bool qcow2_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	return len >= 8 && be32_load(head) == QCOW2_MAGIC &&
	       (be32_load(head + 4) == 2 || be32_load(head + 4) == 3);
}

static void derive(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;
	bool extended = h->incompatible & QCOW2_EXTENDED_L2;

	q->cluster_bits = h->cluster_bits;
	q->cluster_size = 1ull << h->cluster_bits;
	q->entry_size = extended ? 16 : 8;
	q->l2_bits = h->cluster_bits - (extended ? 4 : 3);
	q->part_bits = h->cluster_bits - (extended ? 5 : 0);
	q->all_parts = extended ? ~0u : 1;
	q->refblock_bits = h->cluster_bits + 3 - h->refcount_order;
	q->refcount_max = (2ull << ((1 << h->refcount_order) - 1)) - 1;
}

/* Big-endian entries, which lie within the file: the header was checked. */
static uint64_t *load_table(struct file *file, uint64_t offset, uint64_t n, int *status)
{
	uint64_t *table = g_new(uint64_t, MAX(n, 1));

	*status = file_load(file, offset, table, 8 * n);
	for (uint64_t i = 0; i < n; i++)
		table[i] = GUINT64_FROM_BE(table[i]);
	return table;
}

static bool load_tables(struct qcow2 *q, GError **error)
{
	struct file *file = q->image.file;
	int status, reftable_status;

	q->n_reftable = q->header.reftable_clusters * q->cluster_size / 8;
	q->l1 = load_table(file, q->header.l1_offset, q->header.l1_size, &status);
	q->reftable = load_table(file, q->header.reftable_offset, q->n_reftable, &reftable_status);
	status = status ? status : reftable_status;
	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': cannot read its tables: %s", file->name,
			    g_strerror(-status));
	return !status;
}

/* The disk is as long as the L1 table says at least. */
static bool check_size(struct qcow2 *q, GError **error)
{
	unsigned bits = q->cluster_bits + q->l2_bits;
	uint64_t size = q->header.size;

	if ((size >> bits) + !!(size & ((1ull << bits) - 1)) <= q->header.l1_size)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "qcow2 disk '%s' has %" G_GUINT64_FORMAT
		    " bytes, and an L1 table of only %u entries",
		    q->image.file->name, size, q->header.l1_size);
	return false;
}

/* Who puts off refcounts says so by a mark; what it did not get to do is done here. */
static bool mend_dirty(struct image *image, GError **error)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};

	return qcow2_check(image, IMAGE_REPAIR_ALL, &report, error);
}

/* Who only looks at the tables needs no key. */
static bool open_key(struct qcow2 *q, const struct image_open *how, GError **error)
{
	const struct qcow2_header *h = &q->header;

	if (h->crypt == QCOW2_PLAIN || (!how->secret && (how->no_lock || how->damaged)))
		return true;
	if (!how->secret) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is encrypted; name a file that holds its passphrase with "
			    "--secret, or "
			    "with secret= of --disk",
			    how->path);
		return false;
	}
	q->luks = h->crypt == QCOW2_AES
			  ? luks_open_legacy(how->secret, error)
			  : luks_open(q->image.file, h->luks_offset, how->secret, error);
	return q->luks != NULL;
}

static bool open_data(struct qcow2 *q, const struct image_open *how, GError **error)
{
	g_autofree char *path = NULL;

	if (!(q->header.incompatible & QCOW2_DATA_FILE))
		return true;
	path = image_resolve_part(how->path, q->header.data_file, error);
	if (!path)
		return false;
	q->image.data = file_open(path, image_file_flags(how), error);
	if (!q->image.data)
		g_prefix_error(error, "qcow2 disk '%s' needs its data file '%s': ", how->path,
			       q->header.data_file);
	return q->image.data != NULL;
}

/* Zeroes that are enciphered are none, and nothing shows through a raw image. */
static bool can_be_raw(const struct qcow2 *q)
{
	return q->image.data && q->header.crypt == QCOW2_PLAIN && !q->header.backing_name;
}

static bool prepare_to_write(struct qcow2 *q, const struct image_open *how, GError **error)
{
	uint64_t kept = (q->bitmaps ? QCOW2_BITMAPS : 0) | (can_be_raw(q) ? QCOW2_RAW_DATA_FILE : 0);
	int status = 0;

	if (q->image.read_only || how->damaged || q->image.damage)
		return true;
	if (q->header.incompatible & QCOW2_DIRTY && !mend_dirty(&q->image, error))
		return false;
	/* What writes to the disk make untrue. */
	if (q->header.autoclear & ~kept) {
		q->header.autoclear &= kept;
		status = qcow2_header_store(q->image.file, &q->header);
	}
	if (!status)
		status = qcow2_bitmaps_keep(q);
	return status ? qcow2_fail(q, error, status, "write its header") : true;
}

static bool qcow2_open(struct image *image, const struct image_open *how, GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	const struct qcow2_header *h = &q->header;
	int status;

	g_mutex_init(&q->lock);
	g_mutex_init(&q->flush_lock);
	g_cond_init(&q->changed);
	if (!qcow2_header_read(image->file, &q->header, error))
		return false;
	derive(q);
	if (!check_size(q, error) || !load_tables(q, error) || !open_data(q, how, error))
		return false;
	q->frees = g_array_new(FALSE, FALSE, sizeof(struct qcow2_free));
	q->l2 = table_cache_new(image->file, q->cluster_size, L2_CACHE);
	q->refcounts = table_cache_new(image->file, q->cluster_size, REFCOUNT_CACHE);
	q->unpacked = qcow2_unpacked_new();
	q->virgin = qcow2_clusters(q, image->file->size) << q->cluster_bits;
	image->size = h->size;
	if (h->incompatible & QCOW2_CORRUPT)
		image_note_damage(image, "it was found corrupt before");
	status = qcow2_snapshots_load(q);
	if (!status)
		status = qcow2_bitmaps_load(q);
	if (status)
		return qcow2_fail(q, error, status, "read its snapshots and bitmaps");
	image->backing_name = g_strdup(h->backing_name);
	image->backing_format = g_strdup(h->backing_format);
	return open_key(q, how, error) && prepare_to_write(q, how, error);
}

static void qcow2_close(struct image *image)
{
	struct qcow2 *q = qcow2_of(image);

	if (!image->read_only && !q->failed && q->refcounts && !qcow2_bitmaps_store(q))
		qcow2_write_refcounts(q);
	luks_free(q->luks);
	qcow2_bitmaps_free(q);
	file_close(image->data);
	table_cache_free(q->l2);
	table_cache_free(q->refcounts);
	qcow2_unpacked_free(q->unpacked);
	if (q->snapshots)
		g_ptr_array_unref(q->snapshots);
	g_free(q->l1);
	g_free(q->reftable);
	if (q->frees)
		g_array_unref(q->frees);
	qcow2_header_fini(&q->header);
	g_cond_clear(&q->changed);
	g_mutex_clear(&q->flush_lock);
	g_mutex_clear(&q->lock);
}

static void qcow2_info(struct image *image, struct image_info *info)
{
	const struct qcow2 *q = qcow2_of(image);
	const struct qcow2_header *h = &q->header;

	info->cluster_size = q->cluster_size;
	info->encrypted = h->crypt != QCOW2_PLAIN;
	image_info_add(info, "version", h->version == 2 ? "2 (compat=0.10)" : "3 (compat=1.1)");
	image_info_add(info, "refcount_bits", "%u", 1u << h->refcount_order);
	image_info_add(info, "compression_type", h->compression == QCOW2_ZSTD ? "zstd" : "zlib");
	if (h->compatible & QCOW2_LAZY_REFCOUNTS)
		image_info_add(info, "lazy_refcounts", "on");
	if (h->incompatible & QCOW2_EXTENDED_L2)
		image_info_add(info, "extended_l2", "on");
	if (h->crypt)
		image_info_add(info, "encryption", h->crypt == QCOW2_LUKS ? "LUKS" : "AES");
	if (h->n_snapshots)
		image_info_add(info, "snapshots", "%u", h->n_snapshots);
	if (image->data) {
		info->data_name = h->data_file;
		info->allocated += image->data->ops->allocated(image->data);
		image_info_add(info, "data_file_raw", qcow2_data_is_raw(q) ? "on" : "off");
	}
	qcow2_bitmaps_info(q, info);
}

static void qcow2_list_files(struct image *image, GPtrArray *names)
{
	if (image->data)
		g_ptr_array_add(names, g_strdup(image->data->name));
}

static bool qcow2_set_backing(struct image *image, const char *name, const char *format,
			      GError **error)
{
	struct qcow2 *q = qcow2_of(image);
	struct qcow2_header header = q->header;
	int status;

	if (name && qcow2_data_is_raw(q))
		return image_refuse(image, error,
				    "has data_file_raw: nothing shows through its data file '%s'; convert "
				    "it first with: viv disk convert",
				    q->header.data_file);
	status = qcow2_flush(image); /* what was copied because of it */
	header.backing_name = (char *)name;
	header.backing_format = (char *)format;
	if (status)
		return qcow2_fail(q, error, status, "write it out");
	if (!qcow2_header_rewrite(image->file, &header, error))
		return false;
	g_free(q->header.backing_name);
	g_free(q->header.backing_format);
	q->header.backing_name = g_strdup(name);
	q->header.backing_format = g_strdup(format);
	return true;
}

static const char *const qcow2_extensions[] = {"qcow2", NULL};

const struct block_format block_format_qcow2 = {
	.name = "qcow2",
	.title = "QEMU's copy-on-write format",
	.extensions = qcow2_extensions,
	.options = qcow2_options,
	.object_size = sizeof(struct qcow2),
	.has_backing = true,
	.looks_like = qcow2_looks_like,
	.open = qcow2_open,
	.close = qcow2_close,
	.read = qcow2_read,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.discard = qcow2_discard,
	.write_zeroes = qcow2_write_zeroes,
	.write_compressed = qcow2_write_compressed,
	.map = qcow2_map,
	.locate = qcow2_locate,
	.create = qcow2_create,
	.resize = qcow2_resize,
	.check = qcow2_check,
	.info = qcow2_info,
	.list_files = qcow2_list_files,
	.set_backing = qcow2_set_backing,
	.empty = qcow2_empty,
	.snapshots = &qcow2_snapshot_ops,
};
