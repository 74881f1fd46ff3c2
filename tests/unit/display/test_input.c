/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/input.h"

static void on_event(void *opaque, const struct input_event *e)
{
	g_string_append_printf(opaque, "%u:%u:%d:%d,%d ", e->type, e->code, e->value, e->x, e->y);
}

static void assert_log(GString *log, const char *expected)
{
	g_assert_cmpstr(log->str, ==, expected);
	g_string_truncate(log, 0);
}

static void attach(struct input *input, enum input_kind kind, GString *log, bool listening)
{
	struct input_sink sink = {kind, on_event, log};

	input_attach(input, &sink, listening);
}

static void test_last_listener_gets_keys(void)
{
	g_autoptr(GString) ps2 = g_string_new(NULL), usb = g_string_new(NULL);
	struct input *input = input_new();

	input_key(input, KEY_A, true);
	attach(input, INPUT_KEYBOARD, ps2, true);
	attach(input, INPUT_KEYBOARD, usb, false);
	input_key(input, KEY_A, true);
	assert_log(ps2, "0:30:1:0,0 ");
	input_set_listening(input, usb, true);
	input_key(input, KEY_A, false);
	assert_log(ps2, "");
	assert_log(usb, "0:30:0:0,0 ");
	input_detach(input, usb);
	input_key(input, KEY_B, true);
	assert_log(ps2, "0:48:1:0,0 ");
	input_detach(input, ps2);
	input_free(input);
}

static void test_places(void)
{
	g_autoptr(GString) mouse = g_string_new(NULL), tablet = g_string_new(NULL);
	struct input *input = input_new();

	attach(input, INPUT_MOUSE, mouse, true);
	input_place(input, 10, 20, 100, 100);
	assert_log(mouse, "");
	input_place(input, 15, 18, 100, 100);
	assert_log(mouse, "2:0:0:5,-2 ");
	input_button(input, BTN_LEFT, true);
	assert_log(mouse, "1:272:1:0,0 ");
	attach(input, INPUT_TABLET, tablet, true);
	input_place(input, 200, 0, 100, 100);
	input_wheel(input, -1);
	assert_log(tablet, "3:0:0:32767,0 4:0:-1:0,0 ");
	input_move(input, 1, 2);
	assert_log(mouse, "2:0:0:1,2 ");
	input_detach(input, mouse);
	input_detach(input, tablet);
	input_free(input);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/input/last_listener_gets_keys", test_last_listener_gets_keys);
	g_test_add_func("/input/places", test_places);
	return g_test_run();
}
