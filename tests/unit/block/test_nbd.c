/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks of real NBD servers, nbdkit and qemu-nbd, on Unix sockets; skipped where they are not. */
#include "block/image.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "block/file.h"

#define MIB	   (1u << 20)
#define DISK_SIZE  (8u * MIB)
#define DEADLINE_S 20

struct fixture {
	char *folder, *disk, *socket, *uri;
	GPid server; /* 0: none runs */
};

struct server {
	const char *program;
	const char *arguments[8]; /* DISK and SOCKET stand for theirs */
};

static const struct server nbdkit = {"nbdkit", {"-f", "-U", "SOCKET", "file", "DISK"}};
static const struct server nbdkit_read_only = {"nbdkit",
					       {"-f", "-r", "-U", "SOCKET", "file", "DISK"}};
static const struct server qemu_nbd = {"qemu-nbd", {"-t", "-f", "raw", "-k", "SOCKET", "DISK"}};

static bool can_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool connected;

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return connected;
}

static void start_server(struct fixture *f, const struct server *server)
{
	const char *argv[10] = {server->program};
	int64_t end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

	for (unsigned i = 0; server->arguments[i]; i++) {
		const char *word = server->arguments[i];

		argv[i + 1] = !strcmp(word, "DISK")	? f->disk
			      : !strcmp(word, "SOCKET") ? f->socket
							: word;
	}
	g_unlink(f->socket);
	if (!g_spawn_async(NULL, (char **)argv, NULL,
			   G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &f->server,
			   NULL)) {
		f->server = 0;
		return;
	}
	/* Its socket is there before it listens. */
	while (!can_connect(f->socket) && g_get_monotonic_time() < end)
		g_usleep(1000);
}

static void stop_server(struct fixture *f)
{
	if (!f->server)
		return;
	kill(f->server, SIGKILL);
	g_spawn_close_pid(f->server);
	f->server = 0;
}

static void set_up(struct fixture *f, const void *data)
{
	g_autofree uint8_t *bytes = g_malloc0(DISK_SIZE);

	f->folder = g_dir_make_tmp("viv-nbd-XXXXXX", NULL);
	f->disk = g_build_filename(f->folder, "disk", NULL);
	f->socket = g_build_filename(f->folder, "socket", NULL);
	f->uri = g_strdup_printf("nbd+unix:///?socket=%s", f->socket);
	memset(bytes, 0x11, MIB);
	g_assert_true(g_file_set_contents(f->disk, (char *)bytes, MIB, NULL));
	g_assert_cmpint(truncate(f->disk, DISK_SIZE), ==, 0);
	start_server(f, data);
}

static void tear_down(struct fixture *f, const void *data)
{
	stop_server(f);
	g_unlink(f->disk);
	g_unlink(f->socket);
	g_rmdir(f->folder);
	g_free(f->folder);
	g_free(f->disk);
	g_free(f->socket);
	g_free(f->uri);
}

static bool have_server(struct fixture *f)
{
	if (!f->server)
		g_test_skip("the server is not installed");
	return f->server;
}

static void test_operations(struct fixture *f, const void *data)
{
	g_autofree uint8_t *in = g_malloc(3 * MIB), *out = g_malloc(3 * MIB);
	struct iovec iov[] = {{out, 1000}, {out + 1000, 3 * MIB - 1000}};
	struct file *file;
	uint64_t run;
	bool zero;

	if (!have_server(f))
		return;
	file = file_open(f->uri, 0, NULL);
	g_assert_nonnull(file);
	g_assert_cmpuint(file->size, ==, DISK_SIZE);
	g_assert_cmpint(file->ops->map(file, 4 * MIB, MIB, &run, &zero), ==, 0);
	g_assert_true(zero && run == MIB);
	for (unsigned i = 0; i < 3 * MIB; i++)
		out[i] = i * 7 + (i >> 9);
	g_assert_cmpint(file->ops->write(file, 4 * MIB, span_all(iov, 2)), ==, 0);
	g_assert_cmpint(file->ops->map(file, 4 * MIB, MIB, &run, &zero), ==, 0);
	g_assert_false(zero);
	g_assert_cmpint(file->ops->flush(file), ==, 0);
	g_assert_cmpint(file_load(file, 4 * MIB, in, 3 * MIB), ==, 0);
	g_assert_cmpmem(in, 3 * MIB, out, 3 * MIB);
	g_assert_cmpint(file_zero(file, 5 * MIB, MIB, true), ==, 0);
	g_assert_cmpint(file_load(file, 5 * MIB, in, MIB), ==, 0);
	g_assert_true(span_is_zero(SPAN(in, MIB)));
	/* Past the end. */
	g_assert_cmpint(file_load(file, DISK_SIZE - 512, in, 1024), ==, 0);
	g_assert_true(span_is_zero(SPAN(in + 512, 512)));
	g_assert_cmpint(file_store(file, DISK_SIZE - 512, in, 1024), ==, -ENOSPC);
	g_assert_cmpint(file->ops->set_size(file, DISK_SIZE + 512), ==, -ENOSPC);
	file_close(file);
}

struct reader {
	struct file *file;
	unsigned number;
};

static gpointer read_much(gpointer data)
{
	struct reader *reader = data;
	uint8_t buf[4096];

	for (unsigned i = 0; i < 200; i++) {
		g_assert_cmpint(
			file_load(reader->file, (i * 8 + reader->number) * 512 % MIB, buf, 4096),
			==, 0);
		g_assert_cmpuint(buf[17], ==, 0x11);
	}
	return NULL;
}

/* More threads than connections. */
static void test_together(struct fixture *f, const void *data)
{
	GThread *threads[6];
	struct reader readers[6];
	struct file *file;

	if (!have_server(f))
		return;
	file = file_open(f->uri, FILE_READ_ONLY, NULL);
	for (unsigned i = 0; i < 6; i++) {
		readers[i] = (struct reader){file, i};
		threads[i] = g_thread_new("reader", read_much, &readers[i]);
	}
	for (unsigned i = 0; i < 6; i++)
		g_thread_join(threads[i]);
	file_close(file);
}

/* A server that dies and comes again: errors until then; what was not flushed is told of once. */
static void test_lost_connection(struct fixture *f, const void *data)
{
	int64_t end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
	uint8_t buf[512] = {1};
	struct file *file;

	if (!have_server(f))
		return;
	file = file_open(f->uri, 0, NULL);
	g_assert_cmpint(file_store(file, 0, buf, 512), ==, 0);
	stop_server(f);
	g_assert_cmpint(file_load(file, 0, buf, 512), ==, -EIO);
	g_assert_cmpint(file_load(file, 0, buf, 512), ==, -EIO);
	start_server(f, data);
	while (file_load(file, 0, buf, 512) && g_get_monotonic_time() < end)
		g_usleep(10000);
	g_assert_cmpint(file_load(file, 0, buf, 512), ==, 0);
	g_assert_cmpint(file->ops->flush(file), ==, -EIO);
	g_assert_cmpint(file->ops->flush(file), ==, 0);
	file_close(file);
}

static void expect_refusal(const char *uri, unsigned flags, const char *part)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(file_open(uri, flags, &error));
	g_assert_true(g_error_matches(error, VIV_ERROR, VIV_ERROR_INPUT));
	g_assert_nonnull(strstr(error->message, part));
}

static void test_refusals(struct fixture *f, const void *data)
{
	struct image *image;

	expect_refusal("nbd+unix:///?socket=/nonexistent", 0, "check the URI");
	expect_refusal("nbd://", 0, "check the URI");
	if (!have_server(f))
		return;
	expect_refusal(f->uri, 0, "attach it read-only");
	expect_refusal(f->uri, FILE_CREATE, "--existing");
	image = image_open(&(struct image_open){.path = f->uri, .read_only = true}, NULL);
	g_assert_cmpuint(image_size(image), ==, DISK_SIZE);
	image_close(image);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/nbd/operations", struct fixture, &nbdkit, set_up, test_operations, tear_down);
	g_test_add("/nbd/operations-qemu", struct fixture, &qemu_nbd, set_up, test_operations,
		   tear_down);
	g_test_add("/nbd/together", struct fixture, &nbdkit, set_up, test_together, tear_down);
	g_test_add("/nbd/lost", struct fixture, &nbdkit, set_up, test_lost_connection, tear_down);
	g_test_add("/nbd/refusals", struct fixture, &nbdkit_read_only, set_up, test_refusals,
		   tear_down);
	return g_test_run();
}
