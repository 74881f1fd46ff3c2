/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/unpack.h"

#include <bzlib.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/le.h"

/* xz -9 needs 65 MiB; the kernel's own choice of a 32 MiB dictionary needs less. */
#define LZMA_MEMORY_LIMIT (128ull << 20)
/* zstd -22 --ultra, which the kernel uses, has a window of 2^27. */
#define ZSTD_WINDOW_LOG 27
/* Every block of an lz4 legacy frame but the last unpacks to exactly this. */
#define LZ4_LEGACY_BLOCK (8u << 20)
#define FIRST_CAPACITY	 (1u << 20)

enum step { STEP_MORE, STEP_END, STEP_DAMAGED };

/* What is left to read, and the room there is to write. */
struct window {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
};

struct lz4_legacy {
	uint8_t *block; /* the last block unpacked */
	size_t block_len, taken;
	bool begun, last;
};

union codec {
	z_stream z;
	bz_stream bz;
	lzma_stream lzma;
	ZSTD_DStream *zstd;
	struct lz4_legacy lz4;
};

struct format {
	const char *name;
	const char *magic;
	size_t magic_len;
	bool (*open)(union codec *codec);
	/* Reads and writes what it can; moves the window. */
	enum step (*step)(union codec *codec, struct window *w);
	void (*close)(union codec *codec);
};

static void window_move(struct window *w, size_t in, size_t out)
{
	w->in += in;
	w->in_left -= in;
	w->out += out;
	w->out_left -= out;
}

static bool gzip_open(union codec *codec)
{
	const int gzip_wrapper = 16; /* zlib.h, inflateInit2 */

	return inflateInit2(&codec->z, gzip_wrapper + MAX_WBITS) == Z_OK;
}

static enum step gzip_step(union codec *codec, struct window *w)
{
	uInt in = MIN(w->in_left, UINT_MAX), out = MIN(w->out_left, UINT_MAX);
	int ret;

	codec->z.next_in = (Bytef *)w->in;
	codec->z.avail_in = in;
	codec->z.next_out = w->out;
	codec->z.avail_out = out;
	ret = inflate(&codec->z, Z_NO_FLUSH);
	window_move(w, in - codec->z.avail_in, out - codec->z.avail_out);
	if (ret == Z_STREAM_END)
		return STEP_END;
	return ret == Z_OK || ret == Z_BUF_ERROR ? STEP_MORE : STEP_DAMAGED;
}

static void gzip_close(union codec *codec)
{
	inflateEnd(&codec->z);
}

static bool bzip2_open(union codec *codec)
{
	return BZ2_bzDecompressInit(&codec->bz, 0, 0) == BZ_OK;
}

static enum step bzip2_step(union codec *codec, struct window *w)
{
	unsigned in = MIN(w->in_left, UINT_MAX), out = MIN(w->out_left, UINT_MAX);
	int ret;

	codec->bz.next_in = (char *)w->in;
	codec->bz.avail_in = in;
	codec->bz.next_out = (char *)w->out;
	codec->bz.avail_out = out;
	ret = BZ2_bzDecompress(&codec->bz);
	window_move(w, in - codec->bz.avail_in, out - codec->bz.avail_out);
	if (ret == BZ_STREAM_END)
		return STEP_END;
	return ret == BZ_OK ? STEP_MORE : STEP_DAMAGED;
}

static void bzip2_close(union codec *codec)
{
	BZ2_bzDecompressEnd(&codec->bz);
}

static bool xz_open(union codec *codec)
{
	return lzma_stream_decoder(&codec->lzma, LZMA_MEMORY_LIMIT, 0) == LZMA_OK;
}

static bool lzma_open(union codec *codec)
{
	return lzma_alone_decoder(&codec->lzma, LZMA_MEMORY_LIMIT) == LZMA_OK;
}

static enum step lzma_step(union codec *codec, struct window *w)
{
	lzma_ret ret;

	codec->lzma.next_in = w->in;
	codec->lzma.avail_in = w->in_left;
	codec->lzma.next_out = w->out;
	codec->lzma.avail_out = w->out_left;
	ret = lzma_code(&codec->lzma, LZMA_RUN);
	window_move(w, w->in_left - codec->lzma.avail_in, w->out_left - codec->lzma.avail_out);
	if (ret == LZMA_STREAM_END)
		return STEP_END;
	return ret == LZMA_OK || ret == LZMA_BUF_ERROR ? STEP_MORE : STEP_DAMAGED;
}

static void lzma_close(union codec *codec)
{
	lzma_end(&codec->lzma);
}

static bool zstd_open(union codec *codec)
{
	codec->zstd = ZSTD_createDStream();
	return codec->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(codec->zstd, ZSTD_d_windowLogMax,
								   ZSTD_WINDOW_LOG));
}

static enum step zstd_step(union codec *codec, struct window *w)
{
	ZSTD_inBuffer in = {w->in, w->in_left, 0};
	ZSTD_outBuffer out = {w->out, w->out_left, 0};
	size_t ret = ZSTD_decompressStream(codec->zstd, &out, &in);

	window_move(w, in.pos, out.pos);
	if (ZSTD_isError(ret))
		return STEP_DAMAGED;
	return ret == 0 ? STEP_END : STEP_MORE;
}

static void zstd_close(union codec *codec)
{
	ZSTD_freeDStream(codec->zstd);
}

/*
 * lz4's legacy frame: the magic, then blocks, each a 32-bit length and that many
 * bytes of a raw lz4 block. It has no end mark. It ends with a block shorter than
 * LZ4_LEGACY_BLOCK, or where less is left than a block's length and one byte, which
 * is what the kernel's appended size leaves after a last block that is full.
 */
static bool lz4_open(union codec *codec)
{
	codec->lz4.block = g_malloc(LZ4_LEGACY_BLOCK);
	return true;
}

static enum step lz4_next_block(struct lz4_legacy *lz4, struct window *w)
{
	uint32_t packed;
	int len;

	if (!lz4->begun)
		window_move(w, sizeof(uint32_t), 0);
	if (lz4->begun && (lz4->last || w->in_left <= sizeof(packed)))
		return STEP_END;
	lz4->begun = true;
	if (w->in_left < sizeof(packed))
		return STEP_DAMAGED;
	packed = le32_load(w->in);
	if (packed > w->in_left - sizeof(packed) || packed > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK))
		return STEP_DAMAGED;
	len = LZ4_decompress_safe((const char *)w->in + sizeof(packed), (char *)lz4->block, packed,
				  LZ4_LEGACY_BLOCK);
	if (len < 0)
		return STEP_DAMAGED;
	window_move(w, sizeof(packed) + packed, 0);
	lz4->block_len = len;
	lz4->taken = 0;
	lz4->last = len < LZ4_LEGACY_BLOCK;
	return STEP_MORE;
}

static enum step lz4_step(union codec *codec, struct window *w)
{
	struct lz4_legacy *lz4 = &codec->lz4;
	size_t n = MIN(lz4->block_len - lz4->taken, w->out_left);

	if (lz4->taken == lz4->block_len)
		return lz4_next_block(lz4, w);
	memcpy(w->out, lz4->block + lz4->taken, n);
	lz4->taken += n;
	window_move(w, 0, n);
	return STEP_MORE;
}

static void lz4_close(union codec *codec)
{
	g_free(codec->lz4.block);
}

#define MAGIC(bytes) bytes, sizeof(bytes) - 1
static const struct format formats[] = {
	{"gzip", MAGIC("\x1f\x8b"), gzip_open, gzip_step, gzip_close},
	{"xz", MAGIC("\3757zXZ\0"), xz_open, lzma_step, lzma_close},
	{"lzma", MAGIC("\x5d\0\0"), lzma_open, lzma_step, lzma_close},
	{"bzip2", MAGIC("BZh"), bzip2_open, bzip2_step, bzip2_close},
	{"lz4", MAGIC("\x02\x21\x4c\x18"), lz4_open, lz4_step, lz4_close},
	{"zstd", MAGIC("\x28\xb5\x2f\xfd"), zstd_open, zstd_step, zstd_close},
};

static const struct format *find_format(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		const struct format *f = &formats[i];

		if (len >= f->magic_len && memcmp(data, f->magic, f->magic_len) == 0)
			return f;
	}
	return NULL;
}

const char *unpack_format_name(const uint8_t *data, size_t len)
{
	const struct format *f = find_format(data, len);

	return f ? f->name : NULL;
}

/* Runs an open codec to its end; the output is in *out, which is the caller's to free. */
static const char *run(const struct format *f, union codec *codec, struct window w, size_t max,
		       uint8_t **out, size_t *out_len)
{
	size_t capacity = 0, used = 0;
	enum step step;

	do {
		size_t used_before = used, in_before = w.in_left;

		if (used == capacity) {
			/* The byte past the maximum tells "all of it" from "more". */
			capacity = MIN(MAX(capacity * 2, FIRST_CAPACITY), max + 1);
			*out = g_realloc(*out, capacity);
		}
		w.out = *out + used;
		w.out_left = capacity - used;
		step = f->step(codec, &w);
		used = capacity - w.out_left;
		if (step == STEP_DAMAGED)
			return "is damaged: copy the file again";
		if (used > max)
			return "is too large for what its header says";
		if (step == STEP_MORE && used == used_before && w.in_left == in_before)
			return "is cut short: copy the file again";
	} while (step == STEP_MORE);
	*out_len = used;
	return NULL;
}

GBytes *unpack(const uint8_t *data, size_t len, size_t max, GError **error)
{
	const struct format *f = find_format(data, len);
	g_autofree uint8_t *out = NULL;
	const char *trouble;
	union codec codec;
	size_t out_len;

	g_assert(max < SIZE_MAX / 2);
	if (!f) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "its payload is in no known compression format");
		return NULL;
	}
	memset(&codec, 0, sizeof(codec));
	if (f->open(&codec))
		trouble = run(f, &codec, (struct window){data, len, NULL, 0}, max, &out, &out_len);
	else
		trouble = "cannot be unpacked for lack of memory";
	f->close(&codec);
	if (trouble) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "its %s payload %s", f->name,
			    trouble);
		return NULL;
	}
	return g_bytes_new_take(g_realloc(g_steal_pointer(&out), MAX(out_len, 1)), out_len);
}
