/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/kernel_cache.h"

#define LEN 300000

struct fixture {
	char *top, *folder;
	GBytes *kernel;
};

static void set_up(struct fixture *f, gconstpointer unused)
{
	uint8_t *data = g_malloc0(LEN);

	/* With zeros in the middle and at the end. */
	memset(data, 0x5a, 70000);
	memset(data + 200000, 0xa5, 1000);
	f->kernel = g_bytes_new_take(data, LEN);
	f->top = g_dir_make_tmp("kernel-cache-XXXXXX", NULL);
	f->folder = g_build_filename(f->top, "a", "b", NULL);
}

static unsigned count(const struct fixture *f)
{
	g_autoptr(GDir) dir = g_dir_open(f->folder, 0, NULL);
	unsigned n = 0;

	while (dir && g_dir_read_name(dir))
		n++;
	return n;
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GDir) dir = g_dir_open(f->folder, 0, NULL);
	g_autofree char *parent = g_path_get_dirname(f->folder);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(f->folder, name, NULL);

		g_unlink(path);
	}
	g_rmdir(f->folder);
	g_rmdir(parent);
	g_rmdir(f->top);
	g_bytes_unref(f->kernel);
	g_free(f->top);
	g_free(f->folder);
}

static bool is_found(const struct fixture *f, const char *key)
{
	g_autoptr(GBytes) found = kernel_cache_find(f->folder, key);

	g_assert_true(!found || g_bytes_equal(found, f->kernel));
	return found;
}

static char *path_of(const struct fixture *f, const char *key)
{
	g_autofree char *name = g_strconcat(key, ".vmlinux", NULL);

	return g_build_filename(f->folder, name, NULL);
}

static void test_key(void)
{
	g_autofree char *key = kernel_cache_key((const uint8_t *)"abc", 3);

	/* FIPS 180-4's example. */
	g_assert_cmpstr(key, ==, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_kept(struct fixture *f, gconstpointer unused)
{
	struct stat st;
	g_autofree char *path = path_of(f, "one");

	g_assert_false(is_found(f, "one"));
	kernel_cache_keep(f->folder, "one", f->kernel);
	g_assert_true(is_found(f, "one"));
	g_assert_false(is_found(f, "two"));
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
	/* Once more changes nothing, nor leaves anything behind. */
	kernel_cache_keep(f->folder, "one", f->kernel);
	g_assert_cmpuint(count(f), ==, 1);
}

/* What others may have written is not booted. */
static void test_others(struct fixture *f, gconstpointer unused)
{
	g_autofree char *one = path_of(f, "one"), *two = path_of(f, "two");

	kernel_cache_keep(f->folder, "one", f->kernel);
	g_assert_cmpint(symlink(one, two), ==, 0);
	g_assert_false(is_found(f, "two"));
	g_assert_cmpint(chmod(one, 0620), ==, 0);
	g_assert_false(is_found(f, "one"));
	g_assert_cmpint(chmod(one, 0600), ==, 0);
	g_assert_true(is_found(f, "one"));
	g_assert_cmpint(chmod(f->folder, 0777), ==, 0);
	g_assert_false(is_found(f, "one"));
	kernel_cache_keep(f->folder, "three", f->kernel);
	g_assert_cmpint(chmod(f->folder, 0700), ==, 0);
	g_assert_false(is_found(f, "three"));
}

static void test_no_folder(struct fixture *f, gconstpointer unused)
{
	g_free(f->folder);
	f->folder = g_strdup("/proc/version/viv"); /* a file is in the way */
	kernel_cache_keep(f->folder, "one", f->kernel);
	g_assert_false(is_found(f, "one"));
}

static void test_empty_file(struct fixture *f, gconstpointer unused)
{
	g_autofree char *path = path_of(f, "one");

	kernel_cache_keep(f->folder, "one", f->kernel);
	g_assert_cmpint(truncate(path, 0), ==, 0);
	g_assert_false(is_found(f, "one"));
}

static void set_age(const struct fixture *f, const char *key, unsigned seconds)
{
	g_autofree char *path = path_of(f, key);
	struct timespec times[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};

	g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
}

static void test_oldest_goes(struct fixture *f, gconstpointer unused)
{
	char key[] = "a";

	for (unsigned i = 0; i < KERNEL_CACHE_MAX; i++, key[0]++) {
		kernel_cache_keep(f->folder, key, f->kernel);
		set_age(f, key, 1000 - i);
	}
	g_assert_true(is_found(f, "a")); /* and is the last used now */
	kernel_cache_keep(f->folder, "z", f->kernel);
	g_assert_cmpuint(count(f), ==, KERNEL_CACHE_MAX);
	g_assert_true(is_found(f, "a"));
	g_assert_false(is_found(f, "b"));
	g_assert_true(is_found(f, "z"));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *f, gconstpointer unused);
	} tests[] = {
		{"kept", test_kept},
		{"others", test_others},
		{"no-folder", test_no_folder},
		{"empty-file", test_empty_file},
		{"oldest-goes", test_oldest_goes},
	};

	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/firmware/kernel_cache/key", test_key);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strconcat("/firmware/kernel_cache/", tests[i].name, NULL);

		g_test_add(path, struct fixture, NULL, set_up, tests[i].run, tear_down);
	}
	return g_test_run();
}
