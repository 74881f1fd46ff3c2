/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/uuid.h"

#include <glib.h>
#include <string.h>

static void test_parse(void)
{
	static const uint8_t wanted[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde,
					   0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd};
	uint8_t uuid[16];

	g_assert_true(uuid_parse("01234567-89ab-4cde-8f01-23456789abcd", uuid));
	g_assert_cmpmem(uuid, 16, wanted, 16);
	g_assert_false(uuid_parse("01234567-89ab-4cde-8f01-23456789abcg", uuid));
	g_assert_false(uuid_parse("", uuid));
	g_assert_cmpmem(uuid, 16, wanted, 16);
}

static void test_mac(void)
{
	uint8_t one[16] = {1}, other[16] = {2}, a[6], b[6];

	uuid_mac(one, 0, a);
	uuid_mac(one, 0, b);
	g_assert_cmpmem(a, 6, b, 6);
	g_assert_cmphex(a[0] & 3, ==, 2); /* locally administered, of one card */
	uuid_mac(one, 1, b);
	g_assert_true(memcmp(a, b, 6));
	uuid_mac(other, 0, b);
	g_assert_true(memcmp(a, b, 6));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/uuid/parse", test_parse);
	g_test_add_func("/uuid/mac", test_mac);
	return g_test_run();
}
