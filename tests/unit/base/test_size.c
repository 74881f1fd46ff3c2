/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/size.h"

#include <glib.h>

static void test_good(void)
{
	static const struct {
		const char *text;
		unsigned shift;
		uint64_t size;
	} rows[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"512", 20, 512ull << 20},
		{"1k", 20, 1024},
		{"3G", 0, 3ull << 30},
		{"16777215T", 0, 16777215ull << 40},
		{"18446744073709551615", 0, UINT64_MAX},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t size = 1;

		g_assert_true(size_parse(rows[i].text, rows[i].shift, &size));
		g_assert_cmpuint(size, ==, rows[i].size);
	}
}

static void test_bad(void)
{
	static const char *const rows[] = {"",	  "-1", "+1", " 1",	   "1 ",
					   "1MB", "1X", "M",  "16777216T", "18446744073709551616"};
	uint64_t size = 7;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_false(size_parse(rows[i], 0, &size));
	g_assert_false(size_parse("17592186044416", 20, &size));
	g_assert_cmpuint(size, ==, 7);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/size/good", test_good);
	g_test_add_func("/size/bad", test_bad);
	return g_test_run();
}
