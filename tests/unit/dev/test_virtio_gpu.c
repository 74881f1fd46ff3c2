/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's virtio-gpu driver does. */
#include "virtio_driver.h"

#define RESPONSE_SIZE 1056
#define PIXELS_AT     0x200000u /* the second piece of a resource's memory */

enum {
	GET_DISPLAY_INFO = 0x0100,
	CREATE_2D,
	UNREF,
	SET_SCANOUT,
	FLUSH,
	TRANSFER,
	ATTACH,
	DETACH,
	GET_EDID = 0x010a,
	UPDATE_CURSOR = 0x0300,
	MOVE_CURSOR,

	OK = 0x1100,
	OK_DISPLAY_INFO,
	OK_EDID = 0x1104,
	UNSPEC = 0x1200,
	OUT_OF_MEMORY,
	BAD_SCANOUT,
	BAD_RESOURCE,
	BAD_CONTEXT,
	BAD_PARAMETER,
};

enum { BGRA = 1, BGRX = 2, RGBA = 67 };

/* `words` after the 24 bytes of the header; the response's type. */
static uint32_t request_len(struct driver *d, uint32_t type, const uint32_t *words, unsigned n)
{
	uint8_t *table = ram(d, DESC_AT), bytes[24 + 48] = {0};
	uint32_t written;

	g_assert_cmpuint(n, <=, 12);
	le32_store(bytes, type);
	for (unsigned i = 0; i < n; i++)
		le32_store(bytes + 24 + 4 * i, words[i]);
	mem_write(d->env.mem, HEADER_AT, bytes, 24 + 4 * n);
	mem_write(d->env.mem, STATUS_AT, &(uint32_t){UINT32_MAX}, 4);
	set_desc(table, 0, HEADER_AT, 24 + 4 * n, DESC_NEXT, 1);
	set_desc(table, 1, STATUS_AT, RESPONSE_SIZE, DESC_WRITE, 0);
	offer(d, 0);
	kick(d);
	g_assert_cmpuint(wait_used(d, &written), ==, 0);
	g_assert_cmpuint(written, >=, 24);
	return le32_load(ram(d, STATUS_AT));
}

#define REQUEST(d, type, ...)                                 \
	request_len(d, type, (const uint32_t[]){__VA_ARGS__}, \
		    sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void gpu_init(struct driver *d)
{
	driver_init(d, &virtio_gpu_class, 0, false);
	start(d, 1 << 1);
}

static struct display_picture look(struct driver *d, struct display_rect *rect)
{
	struct display_picture picture;

	if (!display_refresh(d->display, rect) && rect)
		*rect = (struct display_rect){0};
	display_get_picture(d->display, &picture);
	return picture;
}

static uint32_t dot(const struct display_picture *p, unsigned x, unsigned y)
{
	g_assert_cmpuint(x, <, p->width);
	g_assert_cmpuint(y, <, p->height);
	return p->pixels[y * p->width + x];
}

static void assert_rect(const struct display_rect *r, unsigned x, unsigned y, unsigned w,
			unsigned h)
{
	g_assert_cmpuint(r->x, ==, x);
	g_assert_cmpuint(r->y, ==, y);
	g_assert_cmpuint(r->width, ==, w);
	g_assert_cmpuint(r->height, ==, h);
}

/* Resource 1: 64 x 48, its first 1000 bytes at DATA_AT, the rest at PIXELS_AT; shown. */
static void show(struct driver *d)
{
	g_assert_cmphex(REQUEST(d, CREATE_2D, 1, BGRX, 64, 48), ==, OK);
	g_assert_cmphex(
		REQUEST(d, ATTACH, 1, 2, DATA_AT, 0, 1000, 0, PIXELS_AT, 0, 64 * 48 * 4 - 1000, 0),
		==, OK);
	g_assert_cmphex(REQUEST(d, SET_SCANOUT, 0, 0, 64, 48, 0, 1), ==, OK);
}

static uint8_t *pixel(struct driver *d, unsigned x, unsigned y)
{
	unsigned at = (y * 64 + x) * 4;

	return at < 1000 ? ram(d, DATA_AT) + at : ram(d, PIXELS_AT) + at - 1000;
}

static void test_config(void)
{
	struct driver d;
	const uint8_t *response;
	uint8_t sum = 0;

	gpu_init(&d);
	response = ram(&d, STATUS_AT);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10501af4);
	g_assert_cmphex(device_features(&d) & 3, ==, 2);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[4] + 8, 4), ==, 1);
	g_assert_cmphex(request_len(&d, GET_DISPLAY_INFO, NULL, 0), ==, OK_DISPLAY_INFO);
	g_assert_cmpuint(le32_load(response + 32), ==, 1280);
	g_assert_cmpuint(le32_load(response + 36), ==, 800);
	g_assert_cmpuint(le32_load(response + 40), ==, 1);
	g_assert_cmpuint(le32_load(response + 24 + 24 + 16), ==, 0);
	g_assert_cmphex(REQUEST(&d, GET_EDID, 0, 0), ==, OK_EDID);
	g_assert_cmpuint(le32_load(response + 24), ==, 128);
	for (unsigned i = 0; i < 128; i++)
		sum += response[32 + i];
	g_assert_cmphex(sum, ==, 0);
	driver_fini(&d);
}

static void test_picture(void)
{
	struct driver d;
	struct display_picture p;
	struct display_rect rect;

	gpu_init(&d);
	p = look(&d, NULL);
	g_assert_cmpuint(p.width, ==, 640);
	show(&d);
	look(&d, NULL);
	/* Pixels come with a transfer, and not by themselves. */
	le32_store(pixel(&d, 5, 0), 0xff123456);
	le32_store(pixel(&d, 63, 47), 0xff654321);
	look(&d, &rect);
	assert_rect(&rect, 0, 0, 0, 0);
	g_assert_cmphex(REQUEST(&d, TRANSFER, 0, 0, 64, 48, 0, 0, 1, 0), ==, OK);
	g_assert_cmphex(REQUEST(&d, FLUSH, 0, 0, 64, 48, 1, 0), ==, OK);
	p = look(&d, &rect);
	g_assert_cmpuint(p.width, ==, 64);
	g_assert_cmpuint(p.height, ==, 48);
	assert_rect(&rect, 5, 0, 59, 48);
	g_assert_cmphex(dot(&p, 5, 0), ==, 0x123456);
	g_assert_cmphex(dot(&p, 63, 47), ==, 0x654321);
	/* A part, over the seam of the two pieces: row 3 has bytes 768 to 1023. */
	for (unsigned y = 0; y < 48; y++)
		for (unsigned x = 0; x < 64; x++)
			le32_store(pixel(&d, x, y), y << 8 | x);
	g_assert_cmphex(REQUEST(&d, TRANSFER, 50, 3, 14, 2, (3 * 64 + 50) * 4, 0, 1, 0), ==, OK);
	p = look(&d, &rect);
	assert_rect(&rect, 50, 3, 14, 2);
	g_assert_cmphex(dot(&p, 59, 3), ==, 3 << 8 | 59);
	g_assert_cmphex(dot(&p, 63, 4), ==, 4 << 8 | 63);
	/* A part of the resource is the screen. */
	g_assert_cmphex(REQUEST(&d, TRANSFER, 0, 0, 64, 48, 0, 0, 1, 0), ==, OK);
	g_assert_cmphex(REQUEST(&d, SET_SCANOUT, 10, 20, 40, 28, 0, 1), ==, OK);
	p = look(&d, NULL);
	g_assert_cmpuint(p.width, ==, 40);
	g_assert_cmphex(dot(&p, 1, 2), ==, 22 << 8 | 11);
	le32_store(pixel(&d, 12, 25), 0xffffff);
	g_assert_cmphex(REQUEST(&d, TRANSFER, 12, 25, 1, 1, (25 * 64 + 12) * 4, 0, 1, 0), ==, OK);
	look(&d, &rect);
	assert_rect(&rect, 2, 5, 1, 1);
	/* Gone, it leaves a dark screen of its size. */
	g_assert_cmphex(REQUEST(&d, UNREF, 1, 0), ==, OK);
	p = look(&d, NULL);
	g_assert_cmpuint(p.width, ==, 40);
	g_assert_cmphex(dot(&p, 1, 2), ==, 0);
	driver_fini(&d);
}

static void no_update(void *opaque, struct display *display)
{
	display_set_size(display, 720, 400);
}

/* Another device's screen is shown until the first scanout, and after a reset. */
static void test_screen_is_given_back(void)
{
	struct driver d;
	GMutex lock;
	struct display_source vga = {.update = no_update, .opaque = &lock, .lock = &lock};

	g_mutex_init(&lock);
	gpu_init(&d);
	display_set_source(d.display, &vga);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 1, BGRX, 64, 8192), ==, OK);
	g_assert_cmphex(REQUEST(&d, SET_SCANOUT, 0, 0, 0, 0, 0, 0), ==, OK);
	g_assert_cmpuint(look(&d, NULL).width, ==, 720);
	g_assert_cmphex(REQUEST(&d, SET_SCANOUT, 0, 0, 64, 8192, 0, 1), ==, OK);
	g_assert_cmpuint(look(&d, NULL).width, ==, 64);
	g_assert_cmphex(REQUEST(&d, SET_SCANOUT, 0, 0, 0, 0, 0, 0), ==, OK);
	g_assert_cmpuint(look(&d, NULL).width, ==, 64);
	reset(&d);
	g_assert_cmpuint(look(&d, NULL).width, ==, 720);
	start(&d, 0);
	g_assert_cmphex(REQUEST(&d, UNREF, 1, 0), ==, BAD_RESOURCE);
	display_drop_source(d.display, &lock);
	driver_fini(&d);
}

static void test_cursor(void)
{
	struct driver d;
	struct display_picture p;
	struct display_rect rect;

	gpu_init(&d);
	show(&d);
	for (unsigned y = 0; y < 48; y++)
		for (unsigned x = 0; x < 64; x++)
			le32_store(pixel(&d, x, y), 0x808080);
	g_assert_cmphex(REQUEST(&d, TRANSFER, 0, 0, 64, 48, 0, 0, 1, 0), ==, OK);
	/* 4 x 4, of which (0, 0) is red, (1, 0) half of white, and the rest nothing. */
	le32_store(ram(&d, DATA_AT), 0xffff0000);
	le32_store(ram(&d, DATA_AT) + 4, 0x80808080);
	memset(ram(&d, DATA_AT) + 8, 0, 56);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 2, BGRA, 4, 4), ==, OK);
	g_assert_cmphex(REQUEST(&d, ATTACH, 2, 1, DATA_AT, 0, 64, 0), ==, OK);
	g_assert_cmphex(REQUEST(&d, TRANSFER, 0, 0, 4, 4, 0, 0, 2, 0), ==, OK);
	look(&d, NULL);
	g_assert_cmphex(REQUEST(&d, UPDATE_CURSOR, 0, 10, 20, 0, 2, 1, 1, 0), ==, OK);
	p = look(&d, &rect);
	assert_rect(&rect, 10, 20, 2, 1);
	g_assert_cmphex(dot(&p, 10, 20), ==, 0xff0000);
	g_assert_cmphex(dot(&p, 11, 20), ==, 0xbfbfbf);
	g_assert_cmphex(dot(&p, 12, 20), ==, 0x808080);
	g_assert_cmphex(REQUEST(&d, MOVE_CURSOR, 0, -1, 47, 0, 0, 0, 0, 0), ==, OK);
	p = look(&d, NULL);
	g_assert_cmphex(dot(&p, 10, 20), ==, 0x808080);
	g_assert_cmphex(dot(&p, 0, 47), ==, 0xbfbfbf);
	g_assert_cmphex(REQUEST(&d, MOVE_CURSOR, 0, 0x7fffffff, 0x7fffffff, 0, 0, 0, 0, 0), ==, OK);
	look(&d, NULL);
	g_assert_cmphex(REQUEST(&d, MOVE_CURSOR, 0, 0, 0, 0, 0, 0, 0, 0), ==, OK);
	g_assert_cmphex(REQUEST(&d, UNREF, 2, 0), ==, OK);
	p = look(&d, NULL);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0x808080);
	driver_fini(&d);
}

static void test_formats(void)
{
	static const struct {
		uint32_t format, expected;
	} formats[] = {
		{1, 0x332211},	{2, 0x332211},	{3, 0x223344},	 {4, 0x223344},
		{67, 0x112233}, {68, 0x443322}, {121, 0x443322}, {134, 0x112233},
	};
	struct driver d;

	gpu_init(&d);
	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		struct display_picture p;

		le32_store(ram(&d, DATA_AT), 0x44332211);
		g_assert_cmphex(REQUEST(&d, CREATE_2D, 1, formats[i].format, 2, 2), ==, OK);
		g_assert_cmphex(REQUEST(&d, ATTACH, 1, 1, DATA_AT, 0, 16, 0), ==, OK);
		g_assert_cmphex(REQUEST(&d, TRANSFER, 0, 0, 2, 2, 0, 0, 1, 0), ==, OK);
		g_assert_cmphex(REQUEST(&d, SET_SCANOUT, 0, 0, 2, 2, 0, 1), ==, OK);
		p = look(&d, NULL);
		g_assert_cmphex(dot(&p, 0, 0), ==, formats[i].expected);
		g_assert_cmphex(REQUEST(&d, UNREF, 1, 0), ==, OK);
	}
	driver_fini(&d);
}

static void test_fence(void)
{
	struct driver d;
	uint32_t written;

	gpu_init(&d);
	request_len(&d, GET_DISPLAY_INFO, NULL, 0);
	g_assert_cmphex(le32_load(ram(&d, STATUS_AT) + 4), ==, 0);
	le32_store(ram(&d, HEADER_AT) + 4, 1);
	le64_store(ram(&d, HEADER_AT) + 8, 0x123456789abcull);
	offer(&d, 0);
	kick(&d);
	wait_used(&d, &written);
	g_assert_cmphex(le32_load(ram(&d, STATUS_AT) + 4), ==, 1);
	g_assert_cmphex(le64_load(ram(&d, STATUS_AT) + 8), ==, 0x123456789abcull);
	driver_fini(&d);
}

static void test_errors(void)
{
	static const struct {
		uint32_t type, expected;
		unsigned n;
		uint32_t words[10];
	} rows[] = {
		{0x9999, UNSPEC, 2, {0}},
		{CREATE_2D, UNSPEC, 3, {3, BGRX, 1}}, /* too short */
		{CREATE_2D, BAD_RESOURCE, 4, {0, BGRX, 1, 1}},
		{CREATE_2D, BAD_RESOURCE, 4, {1, BGRX, 1, 1}},
		{CREATE_2D, BAD_PARAMETER, 4, {3, 99, 1, 1}},
		{CREATE_2D, BAD_PARAMETER, 4, {3, BGRX, 0, 1}},
		{CREATE_2D, BAD_PARAMETER, 4, {3, BGRX, 1, 8193}},
		{CREATE_2D, OUT_OF_MEMORY, 4, {3, BGRX, 8192, 8192}},
		{UNREF, BAD_RESOURCE, 2, {9}},
		{SET_SCANOUT, BAD_SCANOUT, 6, {0, 0, 64, 48, 1, 1}},
		{SET_SCANOUT, BAD_RESOURCE, 6, {0, 0, 64, 48, 0, 9}},
		{SET_SCANOUT, BAD_PARAMETER, 6, {0, 0, 65, 48, 0, 1}},
		{SET_SCANOUT, BAD_PARAMETER, 6, {1, 0, UINT32_MAX, 48, 0, 1}},
		{SET_SCANOUT, BAD_PARAMETER, 6, {0, 0, 0, 48, 0, 1}},
		{FLUSH, BAD_RESOURCE, 6, {0, 0, 64, 48, 9}},
		{FLUSH, BAD_PARAMETER, 6, {0, 1, 64, 48, 1}},
		{TRANSFER, BAD_RESOURCE, 8, {0, 0, 64, 48, 0, 0, 9}},
		{TRANSFER, BAD_PARAMETER, 8, {0, 1, 64, 48, 0, 0, 1}},
		{TRANSFER, BAD_PARAMETER, 8, {0, 0, 64, 48, 4, 0, 1}}, /* past the end */
		{TRANSFER, BAD_PARAMETER, 8, {0, 0, 64, 48, -4u, -1u, 1}},
		{ATTACH, BAD_RESOURCE, 2, {9, 0}},
		{ATTACH, BAD_PARAMETER, 6, {1, 1, DATA_AT, 0, 4, 0}}, /* has one */
		{DETACH, BAD_RESOURCE, 2, {9}},
		{ATTACH, BAD_PARAMETER, 6, {2, 16385, DATA_AT, 0, 4, 0}},
		{ATTACH, BAD_PARAMETER, 6, {2, 2, DATA_AT, 0, 4, 0}}, /* one is missing */
		{TRANSFER, BAD_PARAMETER, 8, {0, 0, 1, 1, 0, 0, 2}},  /* none */
		{ATTACH, OK, 10, {2, 2, 0, 0, 0, 0, RAM_SIZE - 4, 0, 8, 0}},
		{TRANSFER, OK, 8, {0, 0, 1, 1, 0, 0, 2}},
		{TRANSFER, BAD_PARAMETER, 8, {1, 0, 1, 1, 4, 0, 2}}, /* no RAM */
		{DETACH, OK, 2, {2}},
		{GET_EDID, BAD_SCANOUT, 2, {1}},
		{UPDATE_CURSOR, BAD_RESOURCE, 8, {0, 0, 0, 0, 9}},
	};
	struct driver d;

	gpu_init(&d);
	show(&d);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 2, BGRX, 2, 1), ==, OK);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmphex(request_len(&d, rows[i].type, rows[i].words, rows[i].n), ==,
				rows[i].expected);
	}
	g_assert_cmphex(status(&d), ==, 15);
	driver_fini(&d);
}

/* Memory of resources that are gone is there for others; there are 128 of them. */
static void test_memory(void)
{
	struct driver d;

	gpu_init(&d);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 1, BGRX, 4096, 4096), ==, OK);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 2, BGRX, 64, 64), ==, OK);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 3, BGRX, 4096, 8192), ==, OK);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 4, BGRX, 4096, 4096), ==, OUT_OF_MEMORY);
	g_assert_cmphex(REQUEST(&d, UNREF, 1, 0), ==, OK);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 4, BGRX, 4096, 4096), ==, OK);
	for (unsigned i = 5; i <= 129; i++)
		g_assert_cmphex(REQUEST(&d, CREATE_2D, i, BGRX, 1, 1), ==, OK);
	g_assert_cmphex(REQUEST(&d, CREATE_2D, 130, BGRX, 1, 1), ==, OUT_OF_MEMORY);
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio_gpu/config", test_config);
	g_test_add_func("/virtio_gpu/picture", test_picture);
	g_test_add_func("/virtio_gpu/screen-is-given-back", test_screen_is_given_back);
	g_test_add_func("/virtio_gpu/cursor", test_cursor);
	g_test_add_func("/virtio_gpu/formats", test_formats);
	g_test_add_func("/virtio_gpu/fence", test_fence);
	g_test_add_func("/virtio_gpu/errors", test_errors);
	g_test_add_func("/virtio_gpu/memory", test_memory);
	return g_test_run();
}
