/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "firmware/unpack.h"
#include "pack.h"

#define LZ4_BLOCK (8u << 20)

/* Compressible, without a period (which bzip2 is slow on), and with x86 calls for the
 * branch filter. */
static guint8 *sample(gsize len)
{
	guint8 *data = g_malloc(len);
	guint32 x = 1;

	for (gsize i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		data[i] = i % 64 ? x >> 29 : 0xe8;
	}
	return data;
}

static GBytes *round_trip(const struct packer *packer, const guint8 *data, gsize len, gsize max,
			  GError **error)
{
	static const guint8 tail[] = {0x78, 0x56, 0x34, 0x12};
	g_autoptr(GByteArray) packed = packer->pack(data, len);

	g_byte_array_append(packed, tail, sizeof(tail));
	return unpack(packed->data, packed->len, max, error);
}

static void assert_round_trip(const struct packer *packer, gsize len)
{
	g_autofree guint8 *data = sample(len);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) out = round_trip(packer, data, len, len, &error);

	g_assert_no_error(error);
	g_assert_cmpmem(g_bytes_get_data(out, NULL), g_bytes_get_size(out), data, len);
}

static void test_round_trip(gconstpointer param)
{
	assert_round_trip(param, 1);
	assert_round_trip(param, 4096);
	assert_round_trip(param, 2100000);
}

/* The legacy frame has no end mark: a last block that is full, and one that is not. */
static void test_lz4_blocks(void)
{
	for (unsigned i = 0; i < n_packers; i++) {
		if (strcmp(packers[i].name, "lz4") == 0) {
			assert_round_trip(&packers[i], LZ4_BLOCK);
			assert_round_trip(&packers[i], LZ4_BLOCK + 1);
			return;
		}
	}
	g_assert_not_reached();
}

static void test_name(gconstpointer param)
{
	const struct packer *packer = param;
	g_autoptr(GByteArray) packed = packer->pack((const guint8 *)"x", 1);

	g_assert_cmpstr(unpack_format_name(packed->data, packed->len), ==, packer->name);
	g_assert_null(unpack_format_name(packed->data, 1));
}

static void test_bomb(gconstpointer param)
{
	const gsize len = 3 << 20;
	g_autofree guint8 *zeros = g_malloc0(len);
	g_autoptr(GError) error = NULL;

	g_assert_null(round_trip(param, zeros, len, len - 1, &error));
	g_assert_nonnull(strstr(error->message, "too large"));
}

static void test_cut_short(gconstpointer param)
{
	const struct packer *packer = param;
	g_autofree guint8 *data = sample(20000);
	g_autoptr(GByteArray) packed = packer->pack(data, 20000);

	for (unsigned len = 0; len < packed->len - 1; len += 1 + len / 16)
		g_assert_null(unpack(packed->data, len, 1 << 20, NULL));
}

/* Whatever a flipped bit does, it ends. Most of it is the format's framing. */
static void test_damaged(gconstpointer param)
{
	const struct packer *packer = param;
	g_autofree guint8 *data = sample(200);
	g_autoptr(GByteArray) packed = packer->pack(data, 200);

	for (unsigned i = 0; i < packed->len; i++) {
		g_autoptr(GBytes) out = NULL;

		packed->data[i] ^= 1 << (i % 8);
		out = unpack(packed->data, packed->len, 1 << 20, NULL);
		packed->data[i] ^= 1 << (i % 8);
	}
}

static void test_unknown(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(unpack((const guint8 *)"plain text", 10, 100, &error));
	g_assert_nonnull(strstr(error->message, "no known compression"));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		GTestDataFunc fn;
	} tests[] = {
		{"round-trip", test_round_trip}, {"name", test_name},	    {"bomb", test_bomb},
		{"cut-short", test_cut_short},	 {"damaged", test_damaged},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned p = 0; p < n_packers; p++) {
		for (unsigned t = 0; t < G_N_ELEMENTS(tests); t++) {
			g_autofree char *path =
				g_strdup_printf("/unpack/%s/%s", packers[p].name, tests[t].name);

			g_test_add_data_func(path, &packers[p], tests[t].fn);
		}
	}
	g_test_add_func("/unpack/lz4-blocks", test_lz4_blocks);
	g_test_add_func("/unpack/unknown", test_unknown);
	return g_test_run();
}
