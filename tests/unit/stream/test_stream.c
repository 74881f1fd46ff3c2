/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/stream.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/local_socket.h"

/* Much more than the output ring and a pipe's buffer hold. */
#define LONG_OUTPUT (1u << 20)

struct pipes {
	GMainContext *context;
	int in[2], out[2]; /* [0] is read, [1] written */
	struct stream *stream;
	unsigned escapes, readables;
};

static void on_escape(void *opaque)
{
	((struct pipes *)opaque)->escapes++;
}

static void on_readable(void *opaque)
{
	((struct pipes *)opaque)->readables++;
}

static void pipes_open(struct pipes *p)
{
	*p = (struct pipes){.context = g_main_context_new()};
	g_assert_cmpint(pipe(p->in), ==, 0);
	g_assert_cmpint(pipe(p->out), ==, 0);
	p->stream = stream_new_fd(p->context, p->in[0], p->out[1], 0x1d, on_escape, p);
	stream_set_readable(p->stream, on_readable, p);
}

static void pipes_close(struct pipes *p)
{
	stream_free(p->stream);
	for (int i = 0; i < 2; i++) {
		close(p->in[i]);
		close(p->out[i]);
	}
	g_main_context_unref(p->context);
}

static void run_loop(struct pipes *p)
{
	while (g_main_context_iteration(p->context, FALSE))
		;
}

/* Output gathers before it comes. */
static void run_until_readable(GMainContext *context, int fd)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	while (poll(&readable, 1, 0) == 0)
		g_main_context_iteration(context, TRUE);
}

static uint8_t pattern(size_t i)
{
	return i * 7 + (i >> 8);
}

static uint8_t *pattern_new(size_t len)
{
	uint8_t *buf = g_malloc(len);

	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(i);
	return buf;
}

static void test_unconnected(void)
{
	struct stream *stream = stream_new();
	g_autofree uint8_t *buf = pattern_new(LONG_OUTPUT), *back = g_malloc(LONG_OUTPUT);
	size_t held = stream_write(stream, buf, LONG_OUTPUT);

	g_assert_cmpuint(held, <, LONG_OUTPUT);
	g_assert_cmpuint(stream_dropped(stream), ==, LONG_OUTPUT - held);
	g_assert_cmpuint(stream_host_read(stream, back, 1000), ==, 1000);
	g_assert_cmpuint(stream_write(stream, buf + held, 1000), ==, 1000);
	g_assert_cmpuint(stream_host_read(stream, back + 1000, LONG_OUTPUT - 1000), ==, held);
	g_assert_cmpmem(back, held + 1000, buf, held + 1000);

	g_assert_cmpuint(stream_host_write(stream, (const uint8_t *)"login", 5), ==, 5);
	g_assert_cmpuint(stream_read(stream, back, 3), ==, 3);
	g_assert_cmpuint(stream_read(stream, back + 3, 9), ==, 2);
	g_assert_cmpmem(back, 5, "login", 5);
	stream_free(stream);
}

static void test_input_escape_eof(void)
{
	struct pipes p;
	uint8_t buf[16];

	pipes_open(&p);
	g_assert_cmpint(write(p.in[1],
			      "ab\x1d"
			      "cd\x1d",
			      6),
			==, 6);
	run_loop(&p);
	g_assert_cmpuint(p.escapes, ==, 2);
	g_assert_cmpuint(p.readables, >=, 1);
	g_assert_cmpuint(stream_read(p.stream, buf, sizeof(buf)), ==, 4);
	g_assert_cmpmem(buf, 4, "abcd", 4);

	/* The end of input must not make the loop spin, nor end output. */
	close(p.in[1]);
	p.in[1] = -1;
	run_loop(&p);
	g_assert_false(g_main_context_pending(p.context));
	g_assert_cmpuint(stream_write(p.stream, (const uint8_t *)"out", 3), ==, 3);
	run_until_readable(p.context, p.out[0]);
	g_assert_cmpint(read(p.out[0], buf, sizeof(buf)), ==, 3);
	pipes_close(&p);
}

/* Input the device does not take stays in the pipe, and comes when there is room. */
static void test_input_backpressure(void)
{
	struct pipes p;
	g_autofree uint8_t *buf = pattern_new(LONG_OUTPUT), *back = g_malloc(LONG_OUTPUT);
	size_t sent = 0, got = 0, n;

	pipes_open(&p);
	for (size_t i = 0; i < LONG_OUTPUT; i++)
		buf[i] = buf[i] == 0x1d ? 0 : buf[i];
	g_assert_cmpint(fcntl(p.in[1], F_SETFL, O_NONBLOCK), ==, 0);
	while (got < LONG_OUTPUT) {
		ssize_t written = write(p.in[1], buf + sent, LONG_OUTPUT - sent);

		sent += MAX(written, 0);
		run_loop(&p);
		n = stream_read(p.stream, back + got, 5000);
		g_assert_cmpuint(n, >, 0);
		got += n;
	}
	g_assert_cmpmem(back, got, buf, sent);
	pipes_close(&p);
}

static gpointer read_all(gpointer opaque)
{
	int fd = GPOINTER_TO_INT(opaque);
	uint8_t buf[1000];
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			g_assert_cmpuint(buf[i], ==, pattern(at));
	return GSIZE_TO_POINTER(at);
}

/* A live reader gets every byte, even where the loop never runs. */
static void test_output_lossless(void)
{
	struct pipes p;
	g_autofree uint8_t *buf = pattern_new(LONG_OUTPUT);
	GThread *reader;

	pipes_open(&p);
	reader = g_thread_new("reader", read_all, GINT_TO_POINTER(p.out[0]));
	for (size_t i = 0; i < LONG_OUTPUT; i += 64)
		g_assert_cmpuint(stream_write(p.stream, buf + i, 64), ==, 64);
	g_assert_cmpuint(stream_dropped(p.stream), ==, 0);
	stream_free(p.stream);
	close(p.out[1]);
	g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(reader)), ==, LONG_OUTPUT);
	p.stream = NULL;
	p.out[1] = -1;
	pipes_close(&p);
}

/* A stuck reader costs one wait; what comes after is dropped until there is room. */
static void test_output_stall(void)
{
	struct pipes p;
	g_autofree uint8_t *buf = pattern_new(LONG_OUTPUT);
	int64_t start;
	size_t taken;

	pipes_open(&p);
	taken = stream_write(p.stream, buf, LONG_OUTPUT);
	g_assert_cmpuint(taken, <, LONG_OUTPUT);
	start = g_get_monotonic_time();
	for (int i = 0; i < 1000; i++)
		g_assert_cmpuint(stream_write(p.stream, buf, 100), ==, 0);
	/* A thousand waits would be a hundred seconds. */
	g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
	g_assert_cmpuint(stream_dropped(p.stream), ==, LONG_OUTPUT - taken + 100000);

	g_assert_cmpint(read(p.out[0], buf, 32768), ==, 32768);
	g_assert_cmpuint(stream_write(p.stream, buf, 100), ==, 100);
	close(p.out[0]); /* so that stream_free() need not wait for a reader */
	p.out[0] = -1;
	pipes_close(&p);
}

static void test_output_reader_gone(void)
{
	struct pipes p;

	pipes_open(&p);
	close(p.out[0]);
	p.out[0] = -1;
	stream_write(p.stream, (const uint8_t *)"lost", 4);
	while (!stream_dropped(p.stream))
		g_main_context_iteration(p.context, TRUE);
	g_assert_cmpuint(stream_dropped(p.stream), ==, 4);
	g_assert_cmpuint(stream_write(p.stream, (const uint8_t *)"lost", 4), ==, 0);
	g_assert_false(g_main_context_pending(p.context));
	pipes_close(&p);
}

static void test_socket(void)
{
	GMainContext *context = g_main_context_new();
	struct stream *stream;
	uint8_t buf[8];
	int fds[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
	stream = stream_new_fd(context, fds[0], fds[0], -1, NULL, NULL);
	g_assert_cmpint(write(fds[1], "\x1dto", 3), ==, 3);
	stream_write(stream, (const uint8_t *)"from", 4);
	run_until_readable(context, fds[1]);
	g_assert_cmpuint(stream_read(stream, buf, sizeof(buf)), ==, 3);
	g_assert_cmpmem(buf, 3, "\x1dto", 3);
	g_assert_cmpint(read(fds[1], buf, sizeof(buf)), ==, 4);
	g_assert_cmpmem(buf, 4, "from", 4);
	stream_free(stream);
	close(fds[0]);
	close(fds[1]);
	g_main_context_unref(context);
}

/* The shell's terminal must not be left non-blocking, whatever we do to ours. */
static void test_terminal_flags(void)
{
	GMainContext *context = g_main_context_new();
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, flags;
	struct stream *stream;
	uint8_t buf[8];

	g_assert_cmpint(grantpt(master), ==, 0);
	g_assert_cmpint(unlockpt(master), ==, 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	flags = fcntl(slave, F_GETFL);
	stream = stream_new_fd(context, slave, slave, -1, NULL, NULL);
	stream_write(stream, (const uint8_t *)"hello", 5);
	run_until_readable(context, master);
	g_assert_cmpint(fcntl(slave, F_GETFL), ==, flags);
	g_assert_cmpint(read(master, buf, sizeof(buf)), ==, 5);
	stream_free(stream);
	close(slave);
	close(master);
	g_main_context_unref(context);
}

static void write_text(struct stream *stream, const char *text)
{
	g_assert_cmpuint(stream_write(stream, (const uint8_t *)text, strlen(text)), ==, strlen(text));
}

/* What the client has got after the loop ran, at most so much. */
static char *received(GMainContext *context, int fd)
{
	char *text = g_malloc0(100);

	run_until_readable(context, fd);
	g_assert_cmpint(read(fd, text, 99), >=, 0);
	return text;
}

static void serve(GMainContext *context)
{
	while (g_main_context_iteration(context, FALSE))
		;
}

static int join(GMainContext *context, const char *path)
{
	int fd = local_socket_connect(path, 0);

	g_assert_cmpint(fd, >=, 0);
	serve(context);
	return fd;
}

static void test_listen(void)
{
	g_autofree char *folder = g_dir_make_tmp(NULL, NULL);
	g_autofree char *path = g_build_filename(folder, "s", NULL);
	GMainContext *context = g_main_context_new();
	struct stream *stream = stream_new_listen(context, path, NULL);
	g_autofree char *first = NULL, *second = NULL, *third = NULL;
	uint8_t buf[8];
	int fd, other;

	g_assert_null(stream_new_listen(context, path, NULL));
	write_text(stream, "before ");
	fd = join(context, path);
	write_text(stream, "after");
	serve(context);
	first = received(context, fd);
	g_assert_true(g_str_has_prefix(first, "before "));

	/* One at a time. */
	other = join(context, path);
	g_assert_cmpint(read(other, buf, 1), ==, 0);
	close(other);

	/* What a client that leaves has sent comes nevertheless, and the next may come at once. */
	g_assert_cmpint(write(fd, "bye", 3), ==, 3);
	close(fd);
	fd = join(context, path);
	g_assert_cmpuint(stream_read(stream, buf, sizeof(buf)), ==, 3);
	write_text(stream, "again");
	second = received(context, fd);
	g_assert_true(g_str_has_suffix(second, "again"));

	/* A client that has ended its input still gets output, and the loop rests. */
	shutdown(fd, SHUT_WR);
	serve(context);
	g_assert_false(g_main_context_pending(context));
	write_text(stream, "half");
	third = received(context, fd);
	g_assert_cmpstr(third, ==, "half");
	close(fd);
	serve(context);
	g_assert_false(g_main_context_pending(context));

	stream_free(stream);
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	g_rmdir(folder);
	g_main_context_unref(context);
}

/* The last of a long output is kept, and the guest never waits. */
static void test_listen_keeps_the_end(void)
{
	g_autofree char *folder = g_dir_make_tmp(NULL, NULL);
	g_autofree char *path = g_build_filename(folder, "s", NULL);
	GMainContext *context = g_main_context_new();
	struct stream *stream = stream_new_listen(context, path, NULL);
	g_autofree uint8_t *buf = pattern_new(LONG_OUTPUT), *back = g_malloc(LONG_OUTPUT);
	size_t got = 0;
	ssize_t n;
	int fd;

	for (size_t i = 0; i < LONG_OUTPUT; i += LONG_OUTPUT / 16)
		stream_write(stream, buf + i, LONG_OUTPUT / 16 - 1);
	stream_write(stream, buf, LONG_OUTPUT);
	fd = join(context, path);
	do {
		serve(context);
		n = read(fd, back + got, LONG_OUTPUT - got);
		got += MAX(n, 0);
	} while (n > 0);
	g_assert_cmpuint(got, ==, 65536);
	g_assert_cmpmem(back, got, buf + LONG_OUTPUT - got, got);
	g_assert_cmpuint(stream_dropped(stream), ==, 2 * LONG_OUTPUT - 16 - got);
	close(fd);
	stream_free(stream);
	g_rmdir(folder);
	g_main_context_unref(context);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	signal(SIGPIPE, SIG_IGN);
	g_test_add_func("/stream/unconnected", test_unconnected);
	g_test_add_func("/stream/input-escape-eof", test_input_escape_eof);
	g_test_add_func("/stream/input-backpressure", test_input_backpressure);
	g_test_add_func("/stream/output-lossless", test_output_lossless);
	g_test_add_func("/stream/output-stall", test_output_stall);
	g_test_add_func("/stream/output-reader-gone", test_output_reader_gone);
	g_test_add_func("/stream/socket", test_socket);
	g_test_add_func("/stream/terminal-flags", test_terminal_flags);
	g_test_add_func("/stream/listen", test_listen);
	g_test_add_func("/stream/listen-keeps-the-end", test_listen_keeps_the_end);
	return g_test_run();
}
