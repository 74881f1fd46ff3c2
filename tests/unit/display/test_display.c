/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/display.h"

struct screen {
	GMutex lock;
	unsigned width, height, x, y;
	const char *text; /* NULL: graphics */
	bool draws;
};

static void update(void *opaque, struct display *display)
{
	struct screen *s = opaque;

	display_set_size(display, s->width, s->height);
	if (!s->draws)
		return;
	display_pixels(display)[s->y * s->width + s->x] = 0xffffff;
	display_damage(display, s->x, s->y, 1, 1);
}

static bool text(void *opaque, GString *out)
{
	struct screen *s = opaque;

	if (s->text)
		g_string_append(out, s->text);
	return s->text != NULL;
}

static void attach(struct display *display, struct screen *s)
{
	struct display_source source = {NULL, update, text, s, &s->lock};

	g_mutex_init(&s->lock);
	display_set_source(display, &source);
}

static void assert_rect(struct display *display, unsigned x, unsigned y, unsigned w, unsigned h)
{
	struct display_rect rect;

	g_assert_true(display_refresh(display, &rect));
	g_assert_cmpuint(rect.x, ==, x);
	g_assert_cmpuint(rect.y, ==, y);
	g_assert_cmpuint(rect.width, ==, w);
	g_assert_cmpuint(rect.height, ==, h);
}

static void test_refresh(void)
{
	struct display *display = display_new();
	struct screen s = {.width = 320, .height = 200, .x = 5, .y = 7};
	struct display_picture picture;

	assert_rect(display, 0, 0, 640, 480);
	attach(display, &s);
	assert_rect(display, 0, 0, 320, 200);
	g_assert_false(display_refresh(display, NULL));
	s.draws = true;
	assert_rect(display, 5, 7, 1, 1);
	display_get_picture(display, &picture);
	g_assert_cmphex(picture.pixels[7 * 320 + 5], ==, 0xffffff);
	s.width = 640;
	assert_rect(display, 0, 0, 640, 200);
	display_drop_source(display, &s);
	display_free(display);
}

static void test_damage_is_clipped(void)
{
	struct display *display = display_new();

	display_refresh(display, NULL);
	display_damage(display, 640, 0, 1, 1);
	display_damage(display, 1, 1, 0, 5);
	g_assert_false(display_refresh(display, NULL));
	display_damage(display, 600, 470, UINT_MAX, UINT_MAX);
	display_damage(display, 590, 475, 2, 2);
	assert_rect(display, 590, 470, 50, 10);
	display_free(display);
}

static void test_last_source_is_shown(void)
{
	struct display *display = display_new();
	struct screen vga = {.width = 720, .height = 400, .text = "C:\\>\n"},
		      gpu = {.width = 800, .height = 600};
	g_autoptr(GString) out = g_string_new(NULL);

	g_assert_false(display_get_text(display, out));
	attach(display, &vga);
	g_assert_true(display_get_text(display, out));
	g_assert_cmpstr(out->str, ==, "C:\\>\n");
	attach(display, &gpu);
	g_assert_false(display_get_text(display, out));
	assert_rect(display, 0, 0, 800, 600);
	display_drop_source(display, &gpu);
	assert_rect(display, 0, 0, 720, 400);
	display_drop_source(display, &vga);
	display_free(display);
}

/* Of the same size or not, the picture begins anew. */
static void test_sources_do_not_share_pixels(void)
{
	struct display *display = display_new();
	struct screen vga = {.width = 640, .height = 480, .x = 1, .draws = true},
		      gpu = {.width = 640, .height = 480};
	struct display_picture picture;

	attach(display, &vga);
	display_refresh(display, NULL);
	assert_rect(display, 1, 0, 1, 1);
	attach(display, &gpu);
	assert_rect(display, 0, 0, 640, 480);
	display_get_picture(display, &picture);
	g_assert_cmphex(picture.pixels[1], ==, 0);
	display_drop_source(display, &gpu);
	display_drop_source(display, &vga);
	display_free(display);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/display/refresh", test_refresh);
	g_test_add_func("/display/damage_is_clipped", test_damage_is_clipped);
	g_test_add_func("/display/last_source_is_shown", test_last_source_is_shown);
	g_test_add_func("/display/sources_do_not_share_pixels", test_sources_do_not_share_pixels);
	return g_test_run();
}
