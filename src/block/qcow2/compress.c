/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed clusters: deflate without a header in a window of 4 KiB, which is what other programs
 * can unpack, or zstd. Their length is not stored but in sectors: unpacking ends with a cluster's
 * worth of bytes.
 */
#include "block/qcow2/qcow2_int.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { SLOTS = 8, DEFLATE_WINDOW = -12, ANY_WINDOW = -15 };

/* Those unpacked last: a reader in sequence takes many reads to a cluster. */
struct qcow2_unpacked {
	GMutex lock;
	unsigned next;
	struct {
		uint64_t descriptor;
		uint8_t *cluster; /* NULL: empty */
	} slots[SLOTS];
};

static size_t pack_deflate(const uint8_t *cluster, size_t size, uint8_t *to, size_t room)
{
	z_stream z = {
		.next_in = (uint8_t *)cluster, .avail_in = size, .next_out = to, .avail_out = room};
	size_t len = 0;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, DEFLATE_WINDOW, 9,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	if (deflate(&z, Z_FINISH) == Z_STREAM_END)
		len = room - z.avail_out;
	deflateEnd(&z);
	return len;
}

size_t qcow2_pack(const struct qcow2 *q, const uint8_t *cluster, uint8_t *to)
{
	size_t len;

	if (q->header.compression == QCOW2_ZLIB)
		return pack_deflate(cluster, q->cluster_size, to, q->cluster_size - 1);
	len = ZSTD_compress(to, q->cluster_size - 1, cluster, q->cluster_size, ZSTD_CLEVEL_DEFAULT);
	return ZSTD_isError(len) ? 0 : len;
}

static bool unpack_deflate(const uint8_t *from, size_t len, uint8_t *cluster, size_t size)
{
	z_stream z = {.next_in = (uint8_t *)from,
		      .avail_in = len,
		      .next_out = cluster,
		      .avail_out = size};
	int result;

	if (inflateInit2(&z, ANY_WINDOW) != Z_OK)
		return false;
	result = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return z.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR);
}

static bool unpack_zstd(const uint8_t *from, size_t len, uint8_t *cluster, size_t size)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	ZSTD_inBuffer in = {from, len, 0};
	ZSTD_outBuffer out = {cluster, size, 0};
	size_t result = 1;

	while (stream && out.pos < size && result && !ZSTD_isError(result)) {
		size_t before = in.pos + out.pos;

		result = ZSTD_decompressStream(stream, &out, &in);
		if (in.pos + out.pos == before)
			break;
	}
	ZSTD_freeDStream(stream);
	return out.pos == size;
}

static bool unpack(const struct qcow2 *q, const uint8_t *from, size_t len, uint8_t *cluster)
{
	return q->header.compression == QCOW2_ZLIB
		       ? unpack_deflate(from, len, cluster, q->cluster_size)
		       : unpack_zstd(from, len, cluster, q->cluster_size);
}

static bool read_slot(struct qcow2_unpacked *u, uint64_t descriptor, uint64_t from,
		      struct span span)
{
	bool found = false;

	g_mutex_lock(&u->lock);
	for (unsigned i = 0; i < SLOTS && !found; i++) {
		found = u->slots[i].cluster && u->slots[i].descriptor == descriptor;
		if (found)
			span_store(span, u->slots[i].cluster + from);
	}
	g_mutex_unlock(&u->lock);
	return found;
}

static void keep(struct qcow2_unpacked *u, uint64_t descriptor, uint8_t *cluster)
{
	g_mutex_lock(&u->lock);
	g_free(u->slots[u->next].cluster);
	u->slots[u->next].cluster = cluster;
	u->slots[u->next].descriptor = descriptor;
	u->next = (u->next + 1) % SLOTS;
	g_mutex_unlock(&u->lock);
}

int qcow2_read_packed(struct qcow2 *q, uint64_t descriptor, uint64_t from, struct span span)
{
	g_autofree uint8_t *packed = NULL;
	uint64_t offset, len;
	uint8_t *cluster;
	int status;

	if (read_slot(q->unpacked, descriptor, from, span))
		return 0;
	qcow2_packed(q, descriptor, &offset, &len);
	if (len > 2 * q->cluster_size)
		return -EIO;
	packed = g_malloc(len);
	status = file_load(q->image.file, offset, packed, len);
	if (status)
		return status;
	cluster = g_malloc(q->cluster_size);
	if (!unpack(q, packed, len, cluster)) {
		g_free(cluster);
		return -EIO;
	}
	span_store(span, cluster + from);
	keep(q->unpacked, descriptor, cluster);
	return 0;
}

struct qcow2_unpacked *qcow2_unpacked_new(void)
{
	struct qcow2_unpacked *u = g_new0(struct qcow2_unpacked, 1);

	g_mutex_init(&u->lock);
	return u;
}

void qcow2_unpacked_forget(struct qcow2 *q)
{
	struct qcow2_unpacked *u = q->unpacked;

	g_mutex_lock(&u->lock);
	for (unsigned i = 0; i < SLOTS; i++)
		g_clear_pointer(&u->slots[i].cluster, g_free);
	g_mutex_unlock(&u->lock);
}

void qcow2_unpacked_free(struct qcow2_unpacked *u)
{
	if (!u)
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		g_free(u->slots[i].cluster);
	g_mutex_clear(&u->lock);
	g_free(u);
}
