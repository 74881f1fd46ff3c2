/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A library that every host has: zlib. */
#include "base/library.h"

#include <string.h>
#include <zlib.h>

#include "base/error.h"

#define ZLIB(X) X(compressBound) X(crc32)

struct zlib {
	ZLIB(LIBRARY_MEMBER)
};

static void test_functions(void)
{
	static const char *const names[] = {ZLIB(LIBRARY_NAME)};
	g_autoptr(GError) error = NULL;
	struct zlib zlib;

	g_assert_true(library_load("libz.so.1", names, G_N_ELEMENTS(names), &zlib, &error));
	g_assert_cmphex(zlib.crc32(0, (const guint8 *)"123456789", 9), ==, 0xcbf43926);
	g_assert_cmpint(zlib.compressBound(1000), >, 1000);
}

static void assert_refused(const char *soname, const char *name, const char *why)
{
	g_autoptr(GError) error = NULL;
	void *function = &error;

	g_assert_false(library_load(soname, &name, 1, &function, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_HOST);
	g_assert_nonnull(strstr(error->message, soname));
	g_assert_nonnull(strstr(error->message, why));
	g_assert_true(function == &error);
}

static void test_missing(void)
{
	assert_refused("libviv-is-not-there.so.7", "crc32", "No such file");
	assert_refused("libz.so.1", "crc1024", "crc1024");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/library/functions", test_functions);
	g_test_add_func("/library/missing", test_missing);
	return g_test_run();
}
