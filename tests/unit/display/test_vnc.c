/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client that speaks RFB 3.8 (RFC 6143) by hand. */
#include "display/vnc.h"

#include <poll.h>
#include <rfb/keysym.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/local_socket.h"
#include "display/keysym.h"

struct fixture {
	GMainContext *context;
	struct display *display;
	struct input *input;
	struct vnc *vnc;
	char *dir, *path;
	GString *keys, *moves;
	/* The guest's screen. */
	GMutex lock;
	unsigned width, height;
	uint32_t color;
};

static void update(void *opaque, struct display *display)
{
	struct fixture *f = opaque;
	uint32_t line[64];

	display_set_size(display, f->width, f->height);
	for (unsigned x = 0; x < f->width; x++)
		line[x] = f->color;
	display_put_line(display, 1, line);
}

static void on_event(void *opaque, const struct input_event *e)
{
	g_string_append_printf(*(GString **)opaque, "%d:%u:%d:%d,%d ", e->type, e->code, e->value,
			       e->x, e->y);
}

static void set_up(struct fixture *f, const char *password)
{
	struct display_source source = {.update = update, .opaque = f, .lock = &f->lock};
	struct input_sink keyboard = {INPUT_KEYBOARD, on_event, &f->keys};
	struct input_sink tablet = {INPUT_TABLET, on_event, &f->moves};
	int fd;

	*f = (struct fixture){.width = 32, .height = 4, .color = 0x123456};
	g_mutex_init(&f->lock);
	f->context = g_main_context_new();
	f->display = display_new();
	f->input = input_new();
	f->keys = g_string_new(NULL);
	f->moves = g_string_new(NULL);
	display_set_source(f->display, &source);
	input_attach(f->input, &keyboard, true);
	input_attach(f->input, &tablet, true);
	f->dir = g_dir_make_tmp("viv-vnc-XXXXXX", NULL);
	f->path = g_build_filename(f->dir, "vnc", NULL);
	fd = local_socket_listen(f->path, 4, NULL);
	g_assert_cmpint(fd, >=, 0);
	display_refresh(f->display, NULL);
	f->vnc = vnc_new(f->context, f->display, f->input, fd, password, NULL, NULL);
	g_assert_nonnull(f->vnc);
}

static void tear_down(struct fixture *f)
{
	vnc_free(f->vnc);
	display_drop_source(f->display, f);
	display_free(f->display);
	input_detach(f->input, &f->keys);
	input_detach(f->input, &f->moves);
	input_free(f->input);
	g_main_context_unref(f->context);
	g_mutex_clear(&f->lock);
	g_string_free(f->keys, TRUE);
	g_string_free(f->moves, TRUE);
	unlink(f->path);
	rmdir(f->dir);
	g_free(f->path);
	g_free(f->dir);
}

/* The loop runs while the client waits. */
static void get(struct fixture *f, int fd, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		struct pollfd p = {fd, POLLIN};
		ssize_t n;

		while (!poll(&p, 1, 5))
			while (g_main_context_iteration(f->context, FALSE))
				;
		n = read(fd, (char *)buf + at, len - at);
		g_assert_cmpint(n, >, 0);
		at += n;
	}
}

static void put(int fd, const void *buf, size_t len)
{
	g_assert_cmpint(write(fd, buf, len), ==, (ssize_t)len);
}

static int connect_to(struct fixture *f, uint8_t security)
{
	uint8_t buf[16];
	int fd = local_socket_connect(f->path, 5);

	g_assert_cmpint(fd, >=, 0);
	get(f, fd, buf, 12);
	g_assert_cmpmem(buf, 7, "RFB 003", 7);
	put(fd, "RFB 003.008\n", 12);
	get(f, fd, buf, 1);
	g_assert_cmpuint(buf[0], >, 0);
	get(f, fd, buf + 1, buf[0]);
	g_assert_nonnull(memchr(buf + 1, security, buf[0]));
	put(fd, &security, 1);
	return fd;
}

static uint32_t result_of(struct fixture *f, int fd)
{
	uint32_t result;

	get(f, fd, &result, 4);
	return GUINT32_FROM_BE(result);
}

static void initialise(struct fixture *f, int fd)
{
	uint8_t buf[64];

	g_assert_cmpuint(result_of(f, fd), ==, 0);
	put(fd, "\1", 1);
	get(f, fd, buf, 24);
	g_assert_cmpuint(buf[20] << 24 | buf[21] << 16 | buf[22] << 8 | buf[23], ==, 8);
	get(f, fd, buf + 24, 8);
	g_assert_cmpmem(buf + 24, 8, "Vivarium", 8);
	/* Raw, and new sizes of the desktop. */
	put(fd, "\2\0\0\2\0\0\0\0\xff\xff\xff\x21", 12);
}

/* An update's rectangles; those of pixels go to `pixels`, 32 a row. Whether one told of a new size.
 */
static bool get_update(struct fixture *f, int fd, uint32_t *pixels, uint16_t size[2])
{
	uint8_t header[4];
	bool resized = false;

	get(f, fd, header, 4);
	g_assert_cmpuint(header[0], ==, 0);
	for (unsigned i = 0; i < (header[2] << 8 | header[3]); i++) {
		uint8_t rect[12];
		unsigned x, y, w, h;

		get(f, fd, rect, 12);
		x = rect[0] << 8 | rect[1];
		y = rect[2] << 8 | rect[3];
		w = rect[4] << 8 | rect[5];
		h = rect[6] << 8 | rect[7];
		if (rect[8] == 0xff) {
			size[0] = w;
			size[1] = h;
			resized = true;
			continue;
		}
		for (unsigned row = 0; row < h; row++) {
			g_assert_cmpuint(x + w, <=, 64);
			get(f, fd, pixels + (y + row) * 64 + x, w * 4);
		}
	}
	return resized;
}

static void ask(int fd, bool incremental, unsigned w, unsigned h)
{
	uint8_t request[10] = {3, incremental, 0, 0, 0, 0, w >> 8, w, h >> 8, h};

	put(fd, request, sizeof(request));
}

static void test_picture(void)
{
	struct fixture f;
	uint32_t pixels[64 * 64] = {0};
	uint16_t size[2] = {0};
	int fd;

	set_up(&f, NULL);
	fd = connect_to(&f, 1);
	initialise(&f, fd);
	/* What was drawn before the client came. */
	ask(fd, false, 32, 4);
	while (pixels[64 + 31] != 0x123456) {
		get_update(&f, fd, pixels, size);
		ask(fd, true, 32, 4);
	}
	g_assert_cmphex(pixels[31], ==, 0);
	/* Another viewer's look takes the change away, and the client sees it nevertheless. */
	f.color = 0xabcdef;
	display_refresh(f.display, NULL);
	get_update(&f, fd, pixels, size);
	g_assert_cmphex(pixels[64], ==, 0xabcdef);
	f.width = 48;
	f.height = 20;
	ask(fd, true, 32, 4);
	while (!get_update(&f, fd, pixels, size))
		ask(fd, true, 32, 4);
	g_assert_cmpuint(size[0], ==, 48);
	g_assert_cmpuint(size[1], ==, 20);
	ask(fd, false, 48, 20);
	get_update(&f, fd, pixels, size);
	g_assert_cmphex(pixels[64 + 47], ==, 0xabcdef);
	close(fd);
	tear_down(&f);
}

static void wait_for(struct fixture *f, GString *log, const char *events)
{
	while (log->len < strlen(events)) {
		g_main_context_iteration(f->context, FALSE);
		g_thread_yield();
	}
	g_assert_cmpstr(log->str, ==, events);
	g_string_truncate(log, 0);
}

static void test_input(void)
{
	struct fixture f;
	g_autofree char *expected =
		g_strdup_printf("0:%u:1:0,0 0:%u:0:0,0 0:%u:1:0,0 ", KEY_A, KEY_A, KEY_F12);
	g_autofree char *released = g_strdup_printf("0:%u:0:0,0 ", KEY_F12);
	int fd;

	set_up(&f, NULL);
	fd = connect_to(&f, 1);
	initialise(&f, fd);
	put(fd, "\4\1\0\0\0\0\0A\4\0\0\0\0\0\0A\4\1\0\0\0\0\xff\xc9\4\1\0\0\0\0\x12\x34", 32);
	wait_for(&f, f.keys, expected);
	/* The left button, then the wheel, then a place outside. */
	put(fd, "\5\1\0\37\0\0\5\1\0\37\0\0\5\11\0\0\0\3\5\1\377\377\377\377", 24);
	wait_for(&f, f.moves,
		 "3:0:0:32767,0 1:272:1:0,0 3:0:0:32767,0 3:0:0:0,32767 4:0:1:0,0 "
		 "3:0:0:32767,32767 ");
	/* A client that leaves holds nothing down. */
	close(fd);
	wait_for(&f, f.keys, released);
	wait_for(&f, f.moves, "1:272:0:0,0 ");
	tear_down(&f);
}

static void test_password(void)
{
	struct fixture f;
	uint8_t challenge[16];
	int fd;

	set_up(&f, "secret");
	fd = connect_to(&f, 2);
	get(&f, fd, challenge, 16);
	put(fd, challenge, 16);
	g_assert_cmpuint(result_of(&f, fd), ==, 1);
	close(fd);
	tear_down(&f);
}

/* Nonsense ends its own connection and nobody else's. */
static void test_hostile(void)
{
	struct fixture f;
	uint8_t noise[4096];
	GRand *rand = g_rand_new_with_seed(1);
	int good, fd;

	set_up(&f, NULL);
	good = connect_to(&f, 1);
	initialise(&f, good);
	for (unsigned i = 0; i < 20; i++) {
		fd = connect_to(&f, 1);
		if (i % 2)
			initialise(&f, fd);
		for (unsigned k = 0; k < sizeof(noise); k++)
			noise[k] = g_rand_int(rand);
		if (write(fd, noise, sizeof(noise)) < 0)
			g_test_message("gone already");
		while (g_main_context_iteration(f.context, FALSE))
			;
		close(fd);
	}
	g_string_truncate(f.keys, 0);
	put(good, "\4\1\0\0\0\0\0z", 8);
	while (!strstr(f.keys->str, "0:44:1:0,0")) {
		g_main_context_iteration(f.context, FALSE);
		g_thread_yield();
	}
	close(good);
	g_rand_free(rand);
	tear_down(&f);
}

static void test_keysyms(void)
{
	g_assert_cmpuint(keysym_to_key('1'), ==, KEY_1);
	g_assert_cmpuint(keysym_to_key('!'), ==, KEY_1);
	g_assert_cmpuint(keysym_to_key('='), ==, KEY_EQUAL);
	g_assert_cmpuint(keysym_to_key(']'), ==, KEY_RIGHTBRACE);
	g_assert_cmpuint(keysym_to_key('`'), ==, KEY_GRAVE);
	g_assert_cmpuint(keysym_to_key('|'), ==, KEY_BACKSLASH);
	g_assert_cmpuint(keysym_to_key('?'), ==, KEY_SLASH);
	g_assert_cmpuint(keysym_to_key(' '), ==, KEY_SPACE);
	g_assert_cmpuint(keysym_to_key(XK_F12), ==, KEY_F12);
	g_assert_cmpuint(keysym_to_key(0x1234), ==, 0);
	for (unsigned c = ' '; c <= '~'; c++)
		g_assert_cmpuint(keysym_to_key(c), !=, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vnc/keysyms", test_keysyms);
	g_test_add_func("/vnc/picture", test_picture);
	g_test_add_func("/vnc/input", test_input);
	g_test_add_func("/vnc/password", test_password);
	g_test_add_func("/vnc/hostile", test_hostile);
	return g_test_run();
}
