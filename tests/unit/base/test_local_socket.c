/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/local_socket.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

struct place {
	char *folder, *path;
};

static struct place place_open(void)
{
	struct place place = {.folder = g_dir_make_tmp(NULL, NULL)};

	place.path = g_build_filename(place.folder, "socket", NULL);
	return place;
}

static void place_close(struct place *place)
{
	g_unlink(place->path);
	g_assert_cmpint(g_rmdir(place->folder), ==, 0);
	g_free(place->path);
	g_free(place->folder);
}

static int listen_there(const struct place *place)
{
	g_autoptr(GError) error = NULL;
	int fd = local_socket_listen(place->path, 1, &error);

	g_assert_no_error(error);
	return fd;
}

static void test_connection(void)
{
	struct place place = place_open();
	int listen_fd = listen_there(&place), client, server;
	struct stat st;
	char byte;

	g_assert_cmpint(stat(place.path, &st), ==, 0);
	g_assert_cmphex(st.st_mode & 0777, ==, 0600);
	g_assert_cmpint(local_socket_accept(listen_fd), ==, -1);
	client = local_socket_connect(place.path, 1);
	server = local_socket_accept(listen_fd);
	g_assert_cmpint(client, >=, 0);
	g_assert_cmpint(server, >=, 0);
	g_assert_cmpint(read(client, &byte, 1), ==, -1);
	g_assert_cmpint(errno, ==, EAGAIN);
	g_assert_cmpint(write(server, "x", 1), ==, 1);
	g_assert_cmpint(read(client, &byte, 1), ==, 1);
	close(client);
	close(server);
	close(listen_fd);
	place_close(&place);
}

/* What nobody listens at any more is replaced; what somebody does, and what is no socket, is not. */
static void test_what_is_there(void)
{
	struct place place = place_open();
	g_autoptr(GError) error = NULL;
	int fd = listen_there(&place);

	g_assert_cmpint(local_socket_listen(place.path, 1, &error), ==, -1);
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	g_assert_nonnull(g_strstr_len(error->message, -1, place.path));
	close(fd);
	g_assert_cmpint(local_socket_connect(place.path, 1), ==, -1);
	g_assert_cmpint(errno, ==, ECONNREFUSED);
	close(listen_there(&place));
	g_unlink(place.path);
	g_assert_true(g_file_set_contents(place.path, "", 0, NULL));
	g_assert_cmpint(local_socket_listen(place.path, 1, NULL), ==, -1);
	g_assert_true(g_file_test(place.path, G_FILE_TEST_IS_REGULAR));
	place_close(&place);
}

static void test_paths(void)
{
	g_autofree char *fits = g_strnfill(107, 'x'), *too_long = g_strnfill(108, 'x');

	g_assert_true(local_socket_check(fits, NULL));
	g_assert_false(local_socket_check(too_long, NULL));
	g_assert_false(local_socket_check("", NULL));
	g_assert_cmpint(local_socket_listen(too_long, 1, NULL), ==, -1);
	g_assert_cmpint(local_socket_connect(too_long, 1), ==, -1);
	g_assert_cmpint(errno, ==, ENAMETOOLONG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/local-socket/connection", test_connection);
	g_test_add_func("/local-socket/what-is-there", test_what_is_there);
	g_test_add_func("/local-socket/paths", test_paths);
	return g_test_run();
}
