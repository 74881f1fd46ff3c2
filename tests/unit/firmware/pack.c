/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pack.h"

#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* Enough for any of the formats on data of that length. */
static GByteArray *buffer_for(gsize len)
{
	return g_byte_array_set_size(g_byte_array_new(), len + len / 8 + 4096);
}

static GByteArray *pack_gzip(const guint8 *data, gsize len)
{
	GByteArray *out = buffer_for(len);
	z_stream z = {.next_in = (Bytef *)data,
		      .avail_in = len,
		      .next_out = out->data,
		      .avail_out = out->len};

	g_assert_cmpint(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), ==,
			Z_OK);
	g_assert_cmpint(deflate(&z, Z_FINISH), ==, Z_STREAM_END);
	deflateEnd(&z);
	return g_byte_array_set_size(out, z.total_out);
}

/* The kernel filters x86 branches before LZMA2 (scripts/xz_wrap.sh). */
static GByteArray *pack_xz(const guint8 *data, gsize len)
{
	GByteArray *out = buffer_for(len);
	lzma_options_lzma options;
	lzma_filter filters[] = {
		{LZMA_FILTER_X86, NULL},
		{LZMA_FILTER_LZMA2, &options},
		{LZMA_VLI_UNKNOWN, NULL},
	};
	size_t pos = 0;

	g_assert_false(lzma_lzma_preset(&options, 0));
	g_assert_cmpint(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, data, len,
						  out->data, &pos, out->len),
			==, LZMA_OK);
	return g_byte_array_set_size(out, pos);
}

static GByteArray *pack_lzma(const guint8 *data, gsize len)
{
	GByteArray *out = buffer_for(len);
	lzma_options_lzma options;
	lzma_stream lzma = LZMA_STREAM_INIT;

	g_assert_false(lzma_lzma_preset(&options, 0));
	g_assert_cmpint(lzma_alone_encoder(&lzma, &options), ==, LZMA_OK);
	lzma.next_in = data;
	lzma.avail_in = len;
	lzma.next_out = out->data;
	lzma.avail_out = out->len;
	g_assert_cmpint(lzma_code(&lzma, LZMA_FINISH), ==, LZMA_STREAM_END);
	g_byte_array_set_size(out, lzma.total_out);
	lzma_end(&lzma);
	return out;
}

static GByteArray *pack_bzip2(const guint8 *data, gsize len)
{
	GByteArray *out = buffer_for(len);
	unsigned out_len = out->len;

	g_assert_cmpint(
		BZ2_bzBuffToBuffCompress((char *)out->data, &out_len, (char *)data, len, 9, 0, 0),
		==, BZ_OK);
	return g_byte_array_set_size(out, out_len);
}

/* The legacy frame: blocks of 8 MiB. */
static GByteArray *pack_lz4(const guint8 *data, gsize len)
{
	const gsize block = 8 << 20;
	GByteArray *out = g_byte_array_new();

	g_byte_array_append(out, (const guint8 *)"\x02\x21\x4c\x18", 4);
	for (gsize at = 0; at < len; at += block) {
		int n = MIN(block, len - at), bound = LZ4_compressBound(n);
		g_autofree char *packed = g_malloc(bound);
		guint32 packed_len =
			LZ4_compress_default((const char *)data + at, packed, n, bound);

		g_byte_array_append(out, (const guint8 *)&packed_len, 4);
		g_byte_array_append(out, (const guint8 *)packed, packed_len);
	}
	return out;
}

static GByteArray *pack_zstd(const guint8 *data, gsize len)
{
	GByteArray *out = buffer_for(len);
	size_t n = ZSTD_compress(out->data, out->len, data, len, 1);

	g_assert_false(ZSTD_isError(n));
	return g_byte_array_set_size(out, n);
}

const struct packer packers[] = {
	{"gzip", pack_gzip},   {"xz", pack_xz},	  {"lzma", pack_lzma},
	{"bzip2", pack_bzip2}, {"lz4", pack_lz4}, {"zstd", pack_zstd},
};
const unsigned n_packers = G_N_ELEMENTS(packers);
