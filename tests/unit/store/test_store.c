/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/store.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;

static char *in_folder(const char *name)
{
	return g_build_filename(folder, name, NULL);
}

static void test_names(void)
{
	static const char *const good[] = {"a", "debian-12", "A.b_c-1"};
	static const char *const bad[] = {"", ".", "..", ".new-x", "-x", "a/b", "a b", "a\n", "\303\244"};
	g_autofree char *longest = g_strnfill(63, 'x'), *longer = g_strnfill(64, 'x');
	g_autofree char *host = store_host_name("My.web_1-");

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		g_assert_true(store_name_check(good[i], NULL));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_false(store_name_check(bad[i], NULL));
	g_assert_true(store_name_check(longest, NULL));
	g_assert_false(store_name_check(longer, NULL));
	g_assert_cmpstr(host, ==, "my-web-1");
}

static void test_files(void)
{
	g_autofree char *path = in_folder("file"), *text = NULL, *fifo = in_folder("fifo");
	g_autoptr(GError) error = NULL;
	size_t len;

	g_assert_true(store_write(path, "one", 3, 0600, NULL));
	g_assert_true(store_write(path, "two\0", 4, 0600, NULL));
	text = store_read(path, 4, &len, NULL);
	g_assert_cmpuint(len, ==, 4);
	g_assert_cmpmem(text, 5, "two\0", 5);
	g_assert_null(store_read(path, 3, NULL, &error));
	g_assert_nonnull(strstr(error->message, "larger"));
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	g_free(store_read(fifo, 3, NULL, NULL)); /* does not hang */
}

static void test_work(void)
{
	g_autofree char *parent = in_folder("parent"), *place = g_build_filename(parent, "done", NULL);
	g_autofree char *file = NULL, *taken = NULL;
	g_autoptr(GPtrArray) names = NULL;
	struct store_work work, other;

	g_assert_true(store_begin(&work, parent, NULL));
	g_assert_true(store_begin(&other, parent, NULL));
	file = g_build_filename(work.path, "disk", NULL);
	g_assert_true(store_write(file, "x", 1, 0600, NULL));
	/* Those of the living stay. */
	g_assert_cmpuint(store_sweep(parent), ==, 0);
	names = store_list(parent);
	g_assert_cmpuint(names->len, ==, 0);
	g_assert_true(store_put(&work, place, NULL));
	store_drop(&work);
	taken = g_build_filename(place, "disk", NULL);
	g_assert_true(g_file_test(taken, G_FILE_TEST_EXISTS));
	/* What stands there is not replaced. */
	g_assert_false(store_put(&other, place, NULL));
	store_drop(&other);
	g_assert_true(store_remove(place, NULL));
	g_assert_false(g_file_test(place, G_FILE_TEST_EXISTS));
}

/* A process that dies leaves its folder, which is swept. */
static void test_sweep(void)
{
	g_autofree char *parent = in_folder("swept");
	struct store_work work;
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(store_begin(&work, parent, NULL) ? 0 : 1);
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_cmpint(status, ==, 0);
	g_assert_cmpuint(store_sweep(parent), ==, 1);
	g_assert_cmpuint(store_sweep(parent), ==, 0);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	folder = g_dir_make_tmp("viv-store-XXXXXX", NULL);
	g_test_add_func("/names", test_names);
	g_test_add_func("/files", test_files);
	g_test_add_func("/work", test_work);
	g_test_add_func("/sweep", test_sweep);
	status = g_test_run();
	store_remove(folder, NULL);
	g_free(folder);
	return status;
}
