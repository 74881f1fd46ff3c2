/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the block as a driver does. */
#include "display/edid.h"

#include <glib.h>

static void check(unsigned width, unsigned height)
{
	static const uint8_t header[8] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
	uint8_t edid[EDID_SIZE], sum = 0;
	const uint8_t *timing = edid + 54;
	unsigned clock_10khz, h_total, v_total, hz_100;

	edid_make(edid, width, height);
	for (unsigned i = 0; i < EDID_SIZE; i++)
		sum += edid[i];
	g_assert_cmphex(sum, ==, 0);
	g_assert_cmpmem(edid, 8, header, 8);
	g_assert_cmpuint(timing[2] | (timing[4] & 0xf0) << 4, ==, width);
	g_assert_cmpuint(timing[5] | (timing[7] & 0xf0) << 4, ==, height);
	h_total = width + (timing[3] | (timing[4] & 0xf) << 8);
	v_total = height + (timing[6] | (timing[7] & 0xf) << 8);
	clock_10khz = timing[0] | timing[1] << 8;
	hz_100 = (uint64_t)clock_10khz * 1000000 / (h_total * v_total);
	g_assert_cmpuint(hz_100, >=, 5990);
	g_assert_cmpuint(hz_100, <=, 6010);
	/* The blanking is 460 us at least. */
	g_assert_cmpuint((v_total - height) * 1000000ull / (v_total * 60), >=, 460);
}

static void test_block(void)
{
	check(640, 480);
	check(1280, 800);
	check(1920, 1080);
	check(3840, 2160);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/edid/block", test_block);
	return g_test_run();
}
