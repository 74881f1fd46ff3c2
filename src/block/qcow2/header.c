/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header with its extensions. The backing image's name stands after them, all of it in the
 * first cluster, where there is nothing else.
 */
#include "block/qcow2/qcow2_int.h"

#include <string.h>

#include "base/be.h"
#include "base/error.h"

enum { V2_LEN = 72, V3_LEN = 104, OUR_LEN = 112, FEATURE_LEN = 48, FEATURE_NAME = 46 };

static bool bad(struct file *file, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool bad(struct file *file, GError **error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "qcow2 disk '%s': %s", file->name, text);
	return false;
}

static void parse_fields(struct qcow2_header *h, const uint8_t *b)
{
	*h = (struct qcow2_header){
		.version = be32_load(b + 4),
		.cluster_bits = be32_load(b + 20),
		.size = be64_load(b + 24),
		.crypt = be32_load(b + 32),
		.l1_size = be32_load(b + 36),
		.l1_offset = be64_load(b + 40),
		.reftable_offset = be64_load(b + 48),
		.reftable_clusters = be32_load(b + 56),
		.n_snapshots = be32_load(b + 60),
		.snapshots_offset = be64_load(b + 64),
		.refcount_order = 4,
	};
	if (h->version == 2)
		return;
	h->incompatible = be64_load(b + 72);
	h->compatible = be64_load(b + 80);
	h->autoclear = be64_load(b + 88);
	h->refcount_order = be32_load(b + 96);
	if (be32_load(b + 100) > 104)
		h->compression = b[104];
}

/* Names of what we do not know, if the image brings them. */
static void name_unknown(const struct qcow2_header *h, GString *names)
{
	const uint8_t *at = h->others->data, *end = at + h->others->len;

	for (; at < end; at += 8 + (be32_load(at + 4) + 7) / 8 * 8) {
		uint32_t len = be32_load(at + 4);

		if (be32_load(at) != QCOW2_EXT_FEATURE_NAMES)
			continue;
		for (uint32_t i = 0; i + FEATURE_LEN <= len; i += FEATURE_LEN) {
			const uint8_t *row = at + 8 + i;

			if (row[0] == 0 && row[1] < 64 &&
			    (h->incompatible & ~(uint64_t)QCOW2_INCOMPATIBLE_KNOWN) >> row[1] & 1) {
				g_autofree char *name =
					g_strndup((const char *)row + 2, FEATURE_NAME);
				g_autofree char *clean = g_strescape(name, NULL);

				g_string_append_printf(names, "%s'%s'", names->len ? ", " : "",
						       clean);
			}
		}
	}
}

static bool check_features(struct file *file, const struct qcow2_header *h, GError **error)
{
	uint64_t unknown = h->incompatible & ~(uint64_t)QCOW2_INCOMPATIBLE_KNOWN;
	g_autoptr(GString) names = g_string_new(NULL);

	if (h->incompatible & QCOW2_DATA_FILE && (!h->data_file || !*h->data_file))
		return bad(file, error,
			   "its data are in another file, which it does not name; name it with: qemu-img "
			   "amend --image-opts -o data_file=FILE "
			   "driver=qcow2,file.filename=%s,data-file.filename=FILE",
			   file->name);
	if (h->incompatible & QCOW2_DATA_FILE && h->n_snapshots)
		return bad(file, error,
			   "it has snapshots, and its data are in another file, where there are "
			   "none; restore it from a copy");
	if (!unknown)
		return true;
	name_unknown(h, names);
	return bad(file, error,
		   "it has features that are not known here: %s (bits 0x%" G_GINT64_MODIFIER
		   "x); convert it with the program that made it",
		   names->len ? names->str : "unnamed ones", unknown);
}

static bool check_fields(struct file *file, const struct qcow2_header *h, uint32_t len,
			 GError **error)
{
	uint64_t cluster_size = 1ull << h->cluster_bits, end = file->size;

	if (h->refcount_order > 6)
		return bad(file, error, "refcounts of 2^%u bits; there are none of more than 64",
			   h->refcount_order);
	if (h->crypt > QCOW2_LUKS)
		return bad(file, error, "encryption method %u is not known", h->crypt);
	if (h->crypt == QCOW2_LUKS &&
	    (!h->luks_offset || h->luks_offset % cluster_size || h->luks_offset > end ||
	     h->luks_len > end - h->luks_offset + cluster_size))
		return bad(file, error,
			   "its LUKS header (at 0x%" G_GINT64_MODIFIER "x) is not within the file",
			   h->luks_offset);
	if (h->compression > QCOW2_ZSTD ||
	    !!(h->incompatible & QCOW2_COMPRESSION) != (h->compression != QCOW2_ZLIB))
		return bad(file, error, "compression type %u is not known", h->compression);
	if (h->incompatible & QCOW2_EXTENDED_L2 && h->cluster_bits < 14)
		return bad(file, error, "extended L2 entries with clusters of less than 16 KiB");
	if (h->l1_size > QCOW2_MAX_L1_BYTES / 8)
		return bad(file, error, "an L1 table of %u entries; it may have up to %u",
			   h->l1_size, QCOW2_MAX_L1_BYTES / 8);
	if (h->l1_offset % cluster_size || !h->l1_offset || h->l1_offset > end ||
	    h->l1_size * 8ull > end - h->l1_offset)
		return bad(file, error,
			   "its L1 table (%u entries at 0x%" G_GINT64_MODIFIER
			   "x) is not within the file",
			   h->l1_size, h->l1_offset);
	if (!h->reftable_offset || h->reftable_offset % cluster_size || h->reftable_offset > end ||
	    !h->reftable_clusters || h->reftable_clusters > QCOW2_MAX_REFTABLE / cluster_size ||
	    h->reftable_clusters * cluster_size >
		    (end - h->reftable_offset + cluster_size - 1) / cluster_size * cluster_size)
		return bad(file, error,
			   "its refcount table (%u clusters at 0x%" G_GINT64_MODIFIER
			   "x) is not within the file",
			   h->reftable_clusters, h->reftable_offset);
	if (h->n_snapshots > QCOW2_MAX_SNAPSHOTS ||
	    (h->n_snapshots && (h->snapshots_offset % cluster_size || !h->snapshots_offset ||
				h->snapshots_offset >= end)))
		return bad(file, error,
			   "its snapshot table (%u snapshots at 0x%" G_GINT64_MODIFIER
			   "x) is not within the file",
			   h->n_snapshots, h->snapshots_offset);
	return true;
}

static bool take_extension(struct file *file, struct qcow2_header *h, uint32_t type,
			   const uint8_t *data, uint32_t len, GError **error)
{
	switch (type) {
	case QCOW2_EXT_BACKING_FORMAT:
		g_free(h->backing_format);
		h->backing_format = g_strndup((const char *)data, MIN(len, QCOW2_MAX_NAME));
		return true;
	case QCOW2_EXT_DATA_FILE:
		g_free(h->data_file);
		h->data_file = g_strndup((const char *)data, MIN(len, QCOW2_MAX_NAME));
		return true;
	case QCOW2_EXT_BITMAPS:
		if (len < 24)
			return bad(file, error, "a bitmaps extension of %u bytes", len);
		h->n_bitmaps = be32_load(data);
		h->bitmaps_size = be64_load(data + 8);
		h->bitmaps_offset = be64_load(data + 16);
		return true;
	case QCOW2_EXT_LUKS:
		if (len < 16)
			return bad(file, error, "an encryption extension of %u bytes", len);
		h->luks_offset = be64_load(data);
		h->luks_len = be64_load(data + 8);
		return true;
	default:
		g_byte_array_append(h->others, data - 8, 8 + (len + 7) / 8 * 8);
		return true;
	}
}

static bool parse_extensions(struct file *file, struct qcow2_header *h, const uint8_t *cluster,
			     uint64_t at, uint64_t end, GError **error)
{
	while (end - at >= 8) {
		uint32_t type = be32_load(cluster + at), len = be32_load(cluster + at + 4);

		if (type == QCOW2_EXT_END)
			return true;
		at += 8;
		if (len > end - at)
			return bad(file, error,
				   "header extension 0x%08x of %u bytes runs past the header", type,
				   len);
		if (!take_extension(file, h, type, cluster + at, len, error))
			return false;
		at += MIN((len + 7ull) / 8 * 8, end - at);
	}
	return true;
}

static bool parse_cluster(struct file *file, struct qcow2_header *h, const uint8_t *cluster,
			  GError **error)
{
	uint64_t cluster_size = 1ull << h->cluster_bits, end = cluster_size;
	uint64_t name_at = be64_load(cluster + 8);
	uint32_t name_len = be32_load(cluster + 16);
	uint32_t len = h->version == 2 ? V2_LEN : be32_load(cluster + 100);

	if (name_at && (name_len > QCOW2_MAX_NAME || name_at > cluster_size ||
			name_len > cluster_size - name_at))
		return bad(file, error, "the backing image's name is not within the header");
	if (name_at && name_len) {
		h->backing_name = g_strndup((const char *)cluster + name_at, name_len);
		end = name_at;
	}
	h->others = g_byte_array_new();
	if (h->version == 3 && (len < V3_LEN || len > cluster_size || len % 8))
		return bad(file, error, "a header of %u bytes", len);
	/* Extensions first: they name the features that are refused. */
	return (len >= end || parse_extensions(file, h, cluster, len, end, error)) &&
	       check_features(file, h, error) && check_fields(file, h, len, error);
}

bool qcow2_header_read(struct file *file, struct qcow2_header *header, GError **error)
{
	g_autofree uint8_t *cluster = NULL;
	uint8_t first[OUR_LEN];
	int status = file_load(file, 0, first, sizeof(first));

	memset(header, 0, sizeof(*header));
	if (!status && be32_load(first) != QCOW2_MAGIC)
		return bad(file, error, "it does not begin as one does; state its real format");
	if (!status && be32_load(first + 4) != 2 && be32_load(first + 4) != 3)
		return bad(file, error, "version %u is not known; convert it to 3",
			   be32_load(first + 4));
	if (!status) {
		parse_fields(header, first);
		if (header->cluster_bits < QCOW2_MIN_CLUSTER_BITS ||
		    header->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
			return bad(file, error,
				   "clusters of 2^%u bytes; they have 512 bytes to 2 MiB",
				   header->cluster_bits);
		cluster = g_malloc(1u << header->cluster_bits);
		status = file_load(file, 0, cluster, 1u << header->cluster_bits);
	}
	if (!status)
		return parse_cluster(file, header, cluster, error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s': cannot read its header: %s",
		    file->name, g_strerror(-status));
	return false;
}

void qcow2_header_fini(struct qcow2_header *header)
{
	g_free(header->backing_name);
	g_free(header->backing_format);
	g_free(header->data_file);
	if (header->others)
		g_byte_array_unref(header->others);
}

/* What comes after offset and length of the backing image's name, which are at 8. */
static void put_fields(const struct qcow2_header *h, uint8_t *b)
{
	be32_store(b, QCOW2_MAGIC);
	be32_store(b + 4, h->version);
	be32_store(b + 20, h->cluster_bits);
	be64_store(b + 24, h->size);
	be32_store(b + 32, h->crypt);
	be32_store(b + 36, h->l1_size);
	be64_store(b + 40, h->l1_offset);
	be64_store(b + 48, h->reftable_offset);
	be32_store(b + 56, h->reftable_clusters);
	be32_store(b + 60, h->n_snapshots);
	be64_store(b + 64, h->snapshots_offset);
	if (h->version == 2)
		return;
	be64_store(b + 72, h->incompatible);
	be64_store(b + 80, h->compatible);
	be64_store(b + 88, h->autoclear);
	be32_store(b + 96, h->refcount_order);
}

int qcow2_header_store(struct file *file, const struct qcow2_header *header)
{
	uint8_t sector[IMAGE_SECTOR_SIZE];
	int status = file_load(file, 0, sector, sizeof(sector));

	if (status)
		return status;
	put_fields(header, sector);
	return file_store(file, 0, sector, sizeof(sector));
}

static void put_extension(GByteArray *out, uint32_t type, const void *data, uint32_t len)
{
	static const uint8_t padding[8];
	uint8_t head[8];

	be32_store(head, type);
	be32_store(head + 4, len);
	g_byte_array_append(out, head, 8);
	g_byte_array_append(out, data, len);
	g_byte_array_append(out, padding, -len & 7);
}

static void put_others(const struct qcow2_header *h, bool with_names, GByteArray *out)
{
	const uint8_t *at = h->others ? h->others->data : NULL;
	const uint8_t *end = at + (h->others ? h->others->len : 0);

	for (uint32_t len; at < end; at += len) {
		len = 8 + (be32_load(at + 4) + 7) / 8 * 8;
		if (with_names || be32_load(at) != QCOW2_EXT_FEATURE_NAMES)
			g_byte_array_append(out, at, len);
	}
}

static void put_extensions(const struct qcow2_header *h, bool with_names, GByteArray *out)
{
	uint8_t data[24] = {};

	if (h->backing_name && h->backing_format)
		put_extension(out, QCOW2_EXT_BACKING_FORMAT, h->backing_format,
			      strlen(h->backing_format));
	if (h->incompatible & QCOW2_DATA_FILE)
		put_extension(out, QCOW2_EXT_DATA_FILE, h->data_file, strlen(h->data_file));
	if (h->luks_offset) {
		be64_store(data, h->luks_offset);
		be64_store(data + 8, h->luks_len);
		put_extension(out, QCOW2_EXT_LUKS, data, 16);
	}
	if (h->n_bitmaps) {
		be32_store(data, h->n_bitmaps);
		be32_store(data + 4, 0);
		be64_store(data + 8, h->bitmaps_size);
		be64_store(data + 16, h->bitmaps_offset);
		put_extension(out, QCOW2_EXT_BITMAPS, data, 24);
	}
	put_others(h, with_names, out);
	put_extension(out, QCOW2_EXT_END, "", 0);
}

static void put_header(const struct qcow2_header *h, bool with_names, GByteArray *out)
{
	size_t name_len = h->backing_name ? strlen(h->backing_name) : 0;
	uint8_t fields[OUR_LEN] = {};

	put_fields(h, fields);
	if (h->version == 3) {
		be32_store(fields + 100, OUR_LEN);
		fields[104] = h->compression;
	}
	g_byte_array_append(out, fields, h->version == 2 ? V2_LEN : OUR_LEN);
	put_extensions(h, with_names, out);
	if (!name_len)
		return;
	be64_store(out->data + 8, out->len);
	be32_store(out->data + 16, name_len);
	g_byte_array_append(out, (const uint8_t *)h->backing_name, name_len);
}

bool qcow2_header_rewrite(struct file *file, const struct qcow2_header *header, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	uint32_t cluster_size = 1u << header->cluster_bits;
	int status;

	put_header(header, true, out);
	/* In one sector it is written in whole or not at all. Names are for features that we would
	 * have refused. */
	if (out->len > IMAGE_SECTOR_SIZE) {
		g_byte_array_set_size(out, 0);
		put_header(header, false, out);
	}
	if (out->len > cluster_size ||
	    (header->backing_name && strlen(header->backing_name) > QCOW2_MAX_NAME))
		return bad(file, error,
			   "the names of its backing image and data file do not fit into its "
			   "header; use shorter ones, or larger clusters");
	status = file_store(file, 0, out->data, out->len);
	if (!status && out->len < cluster_size && file->size < cluster_size)
		status = file->ops->set_size(file, cluster_size);
	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': cannot write its header: %s", file->name,
			    g_strerror(-status));
	return !status;
}
