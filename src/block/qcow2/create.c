/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New images: header, refcount table, one refcount block, L1 table; then, as wanted, the space. */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"
#include "block/luks.h"

const struct image_option qcow2_options[] = {
	{"compat", "0.10|1.1", "version 2, for programs older than 2011, or 3", "1.1"},
	{"cluster_size", "SIZE", "unit of allocation, 512 to 2M", "64K"},
	{"refcount_bits", "1|2|4|8|16|32|64", "width of a refcount: 1 is without snapshots", "16"},
	{"preallocation", "off|metadata|falloc|full",
	 "take the space now: metadata makes the tables, falloc reserves space, full writes it",
	 "off"},
	{"lazy_refcounts", "on|off", "other programs may put off writing refcounts", "off"},
	{"extended_l2", "on|off",
	 "allocate 32nds of clusters; for large clusters with small writes", "off"},
	{"compression_type", "zlib|zstd", "of clusters that are written compressed", "zlib"},
	{"data_file", "FILE",
	 "a new file for the data, each where it is on the disk; its name is relative to the "
	 "image's folder",
	 NULL},
	{"data_file_raw", "on|off",
	 "the data file is to be a raw image at any time; takes preallocation=metadata", "off"},
	{"encrypt.format", "luks", "encrypt it with a passphrase", NULL},
	{"encrypt.iter-time", "MS", "time that one guess at the passphrase takes", "2000"},
	{},
};

static bool bad_option(GError **error, const char *text)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s", text);
	return false;
}

static bool take_sizes(const struct image_create *create, struct qcow2_header *h, GError **error)
{
	uint64_t cluster_size, bits;

	if (!image_option_size(create, &block_format_qcow2, "cluster_size", &cluster_size, error) ||
	    !image_option_size(create, &block_format_qcow2, "refcount_bits", &bits, error))
		return false;
	if (cluster_size & (cluster_size - 1) || cluster_size < 1u << QCOW2_MIN_CLUSTER_BITS ||
	    cluster_size > 1u << QCOW2_MAX_CLUSTER_BITS)
		return bad_option(error, "cluster_size: write a power of two from 512 to 2M");
	if (!bits || bits & (bits - 1) || bits > 64)
		return bad_option(error, "refcount_bits: write 1, 2, 4, 8, 16, 32 or 64");
	h->cluster_bits = __builtin_ctzll(cluster_size);
	h->refcount_order = __builtin_ctzll(bits);
	return true;
}

static bool check_data_file(const struct image_create *create, const char *name, bool raw,
			    GError **error)
{
	if (name && (!*name || strlen(name) > QCOW2_MAX_NAME))
		return bad_option(error, "data_file: write the name of a file, of up to 1023 bytes");
	if (raw && !name)
		return bad_option(error, "data_file_raw needs data_file, the file that is to be raw");
	if (raw && (create->backing || image_option(create, &block_format_qcow2, "encrypt.format")))
		return bad_option(error, "data_file_raw excludes backing images and encryption: in a "
					 "raw image nothing shows through; leave it out");
	return true;
}

static bool take_options(const struct image_create *create, struct qcow2_header *h, GError **error)
{
	const struct block_format *format = &block_format_qcow2;
	const char *compat = image_option(create, format, "compat");
	const char *compression = image_option(create, format, "compression_type");
	const char *data_file = image_option(create, format, "data_file");
	bool lazy, extended, raw;

	if (!image_option_bool(create, format, "lazy_refcounts", &lazy, error) ||
	    !image_option_bool(create, format, "extended_l2", &extended, error) ||
	    !image_option_bool(create, format, "data_file_raw", &raw, error) ||
	    !check_data_file(create, data_file, raw, error) || !take_sizes(create, h, error))
		return false;
	h->version = !strcmp(compat, "0.10") || !strcmp(compat, "v2") ? 2 : 3;
	if (h->version == 3 && strcmp(compat, "1.1") && strcmp(compat, "v3"))
		return bad_option(error, "compat: write 0.10 or 1.1");
	if (strcmp(compression, "zlib") && strcmp(compression, "zstd"))
		return bad_option(error, "compression_type: write zlib or zstd");
	if (!strcmp(compression, "zstd")) {
		h->compression = QCOW2_ZSTD;
		h->incompatible |= QCOW2_COMPRESSION;
	}
	h->compatible = lazy ? QCOW2_LAZY_REFCOUNTS : 0;
	h->incompatible |= extended ? QCOW2_EXTENDED_L2 : 0;
	h->incompatible |= data_file ? QCOW2_DATA_FILE : 0;
	h->autoclear = raw ? QCOW2_RAW_DATA_FILE : 0;
	h->data_file = (char *)data_file;
	if (h->version == 2 && (h->refcount_order != 4 || h->incompatible || h->compatible))
		return bad_option(error, "refcount_bits, lazy_refcounts, extended_l2, "
					 "compression_type and data_file need compat=1.1");
	if (extended && h->cluster_bits < 14)
		return bad_option(error, "extended_l2 needs a cluster_size of 16K or more");
	return true;
}

static bool size_l1(const struct image_create *create, struct qcow2_header *h, GError **error)
{
	unsigned entry_bits = h->incompatible & QCOW2_EXTENDED_L2 ? 4 : 3;
	unsigned bits = h->cluster_bits + h->cluster_bits - entry_bits;
	uint64_t entries = (create->size >> bits) + !!(create->size & ((1ull << bits) - 1));

	if (entries > QCOW2_MAX_L1_BYTES / 8)
		return bad_option(error, "the disk is too large for clusters of this size; give a "
					 "larger cluster_size");
	h->size = create->size;
	h->l1_size = entries;
	return true;
}

static bool take_encryption(const struct image_create *create, struct qcow2_header *h,
			    unsigned *guess_ms, GError **error)
{
	const struct block_format *format = &block_format_qcow2;
	const char *how = image_option(create, format, "encrypt.format");
	const char *ms = image_option(create, format, "encrypt.iter-time");
	uint64_t value;

	if (!how)
		return true;
	if (strcmp(how, "luks"))
		return bad_option(error, "encrypt.format: write luks");
	if (!create->secret || !*create->secret)
		return bad_option(error, "encrypt.format=luks needs a passphrase; name a file that "
					 "holds it with --secret");
	if (!g_ascii_string_to_unsigned(ms, 10, 1, 60000, &value, NULL))
		return bad_option(error, "encrypt.iter-time: write milliseconds, 1 to 60000");
	*guess_ms = value;
	h->crypt = QCOW2_LUKS;
	h->luks_len = luks_header_len();
	return true;
}

static bool check_preallocation(const struct image_create *create, const char *how, GError **error)
{
	if (strcmp(how, "off") && strcmp(how, "metadata") && strcmp(how, "falloc") &&
	    strcmp(how, "full"))
		return bad_option(error, "preallocation: write off, metadata, falloc or full");
	/* Of encrypted clusters zeroes are not what reads as zeroes. */
	if (strcmp(how, "off") && image_option(create, &block_format_qcow2, "encrypt.format"))
		return bad_option(error, "preallocation of an encrypted disk is not supported; "
					 "leave it out");
	if (strcmp(how, "off") && create->backing)
		return bad_option(error, "preallocation would hide the backing image; leave one of "
					 "them out");
	return true;
}

static uint64_t clusters_of(const struct qcow2_header *h, uint64_t bytes)
{
	return round_up(bytes, 1ull << h->cluster_bits) >> h->cluster_bits;
}

/* Refcount blocks for the tables that they are among; one is enough but with the smallest
 * clusters. */
static int store_tables(struct file *file, struct qcow2_header *h, uint64_t l1_clusters,
			uint64_t luks_clusters)
{
	struct qcow2 q = {.header = *h,
			  .refcount_max = (2ull << ((1 << h->refcount_order) - 1)) - 1};
	uint64_t cluster_size = 1ull << h->cluster_bits;
	uint64_t per_block = cluster_size * 8 >> h->refcount_order, blocks = 1, used;
	g_autofree uint8_t *table = NULL, *counts = NULL;
	int status = 0;

	for (;; blocks++) {
		h->reftable_clusters = (8 * blocks + cluster_size - 1) / cluster_size;
		used = 1 + h->reftable_clusters + blocks + l1_clusters + luks_clusters;
		if (used <= blocks * per_block)
			break;
	}
	h->reftable_offset = cluster_size;
	h->l1_offset = (1 + h->reftable_clusters + blocks) * cluster_size;
	if (luks_clusters)
		h->luks_offset = h->l1_offset + l1_clusters * cluster_size;
	table = g_malloc0(h->reftable_clusters * cluster_size);
	counts = g_malloc0(blocks * cluster_size);
	for (uint64_t i = 0; i < blocks; i++)
		be64_store(table + 8 * i, (1 + h->reftable_clusters + i) * cluster_size);
	for (uint64_t i = 0; i < used; i++)
		qcow2_refcount_store(&q, counts + i / per_block * cluster_size, i % per_block, 1);
	/* What follows in these clusters is a hole; on a device of the host it may be anything. */
	if (file->size)
		status = file_write_zeroes(file, 0, used * cluster_size);
	if (!status)
		status = file->ops->set_size(file, used * cluster_size);
	if (!status)
		status = file_store(file, h->reftable_offset, table, round_up(8 * blocks, 512));
	if (!status)
		status = file_store(file, (1 + h->reftable_clusters) * cluster_size, counts,
				    MIN(blocks * cluster_size,
					round_up((used << h->refcount_order) / 8 + 1, 512)));
	return status;
}

static bool make_data_file(const struct image_create *create, const char *path, GError **error)
{
	struct file *file =
		file_open(path, FILE_CREATE | (create->replace ? FILE_REPLACE : 0), error);
	int status;

	if (!file)
		return false;
	status = file->ops->set_size(file, create->size);
	if (!status)
		status = file->ops->flush(file);
	file_close(file);
	/* A file that was there before is not ours to remove. */
	if (status && !create->replace)
		g_unlink(path);
	return !status || image_fail(path, status, "cannot be given its size", error);
}

static bool write_image(struct file *file, const struct image_create *create, struct qcow2_header *h,
			unsigned guess_ms, GError **error)
{
	const char *preallocation = image_option(create, &block_format_qcow2, "preallocation");
	int status = store_tables(file, h, MAX(1, clusters_of(h, 8ull * h->l1_size)),
				  clusters_of(h, h->luks_len));

	/* What a raw data file is given by others is to show. */
	if (h->autoclear & QCOW2_RAW_DATA_FILE && !strcmp(preallocation, "off"))
		preallocation = "metadata";
	if (status)
		return image_fail(file->name, status, "cannot write its tables", error);
	return qcow2_header_rewrite(file, h, error) &&
	       (!h->crypt || luks_format(file, h->luks_offset, create->secret, guess_ms, error)) &&
	       (!strcmp(preallocation, "off") || qcow2_preallocate(file, preallocation, error));
}

bool qcow2_create(struct file *file, const struct image_create *create, GError **error)
{
	struct qcow2_header h = {.backing_name = (char *)create->backing,
				 .backing_format = (char *)create->backing_format};
	const char *preallocation = image_option(create, &block_format_qcow2, "preallocation");
	g_autofree char *data_path = NULL;
	unsigned guess_ms = 0;
	bool made;

	if (!take_options(create, &h, error) || !size_l1(create, &h, error) ||
	    !check_preallocation(create, preallocation, error) ||
	    !take_encryption(create, &h, &guess_ms, error))
		return false;
	if (h.data_file)
		data_path = image_resolve_part(file->name, h.data_file, error);
	if (h.data_file && (!data_path || !make_data_file(create, data_path, error)))
		return false;
	made = write_image(file, create, &h, guess_ms, error);
	if (!made && data_path && !create->replace)
		g_unlink(data_path);
	return made;
}
