/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>

#include "net/frame.h"

static void test_fcs(void)
{
	/* The check value that catalogues of CRCs give for CRC-32. */
	g_assert_cmphex(frame_fcs((const uint8_t *)"123456789", 9), ==, 0xcbf43926);
	g_assert_cmphex(frame_fcs(NULL, 0), ==, 0);
}

static void test_hash(void)
{
	/* By zlib's crc32(), not inverted and with its bits reversed. */
	static const uint8_t all_hosts[] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};

	g_assert_cmphex(frame_hash(all_hosts), ==, 0x7fa32d9b);
}

static void test_sum(void)
{
	/* RFC 1071, section 3: the example's words. */
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static const uint8_t ones[] = {0xff, 0xff, 0xff};

	g_assert_cmphex(frame_sum(bytes, 8, 0), ==, 0xddf2);
	g_assert_cmphex(frame_sum(bytes + 2, 6, 0x0001), ==, 0xddf2);
	g_assert_cmphex(frame_sum(bytes, 3, 0), ==, 0xf201);
	g_assert_cmphex(frame_sum(ones, 3, 0), ==, 0xff00);
	g_assert_cmphex(frame_sum(NULL, 0, 0x1234), ==, 0x1234);
}

static void test_addresses(void)
{
	static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t group[] = {0x33, 0x33, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t one[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

	g_assert_true(frame_is_broadcast(broadcast) && frame_is_group(broadcast));
	g_assert_true(!frame_is_broadcast(group) && frame_is_group(group));
	g_assert_true(!frame_is_broadcast(one) && !frame_is_group(one));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/frame/fcs", test_fcs);
	g_test_add_func("/frame/hash", test_hash);
	g_test_add_func("/frame/sum", test_sum);
	g_test_add_func("/frame/addresses", test_addresses);
	return g_test_run();
}
