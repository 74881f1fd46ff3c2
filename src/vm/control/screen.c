/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/control/screen.h"

#include "base/error.h"
#include "display/display.h"
#include "display/picture.h"
#include "vm/typist.h"
#include "vm/vm.h"

static bool check(const void *part, const char *what, GError **error)
{
	if (part)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "this VM has no %s; it gets one with --firmware bios", what);
	return false;
}

bool run_screenshot(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	struct display *display = vm_display(vm);
	struct display_picture picture;

	if (!check(display, "screen", error))
		return false;
	display_refresh(display, NULL);
	display_get_picture(display, &picture);
	if (!picture_write_png(&picture, json_object_get_string_member(arguments, "file"), error))
		return false;
	json_object_set_int_member(answer, "width", picture.width);
	json_object_set_int_member(answer, "height", picture.height);
	return true;
}

bool run_text(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	struct display *display = vm_display(vm);
	g_autoptr(GString) text = g_string_new(NULL);

	if (!check(display, "screen", error))
		return false;
	if (!display_get_text(display, text)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "the screen shows graphics, not text; take a screenshot");
		return false;
	}
	json_object_set_string_member(answer, "text", text->str);
	return true;
}

bool run_type(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	return check(vm_typist(vm), "keyboard", error) &&
	       typist_type(vm_typist(vm), json_object_get_string_member(arguments, "text"), error);
}

bool run_key(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	struct keys keys;

	return check(vm_typist(vm), "keyboard", error) &&
	       keys_parse(json_object_get_string_member(arguments, "keys"), &keys, error) &&
	       typist_press(vm_typist(vm), &keys, error);
}

static bool find_button(const char *name, unsigned *code, GError **error)
{
	static const struct {
		const char *name;
		unsigned code;
	} buttons[] = {{"left", BTN_LEFT}, {"right", BTN_RIGHT}, {"middle", BTN_MIDDLE}};

	for (size_t i = 0; i < G_N_ELEMENTS(buttons); i++) {
		if (g_strcmp0(name, buttons[i].name))
			continue;
		*code = buttons[i].code;
		return true;
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is not a button; write left, right or middle",
		    name);
	return false;
}

/* A place is one on the screen. */
static bool move(struct vm *vm, JsonObject *arguments, GError **error)
{
	struct display_picture picture;
	int64_t x = json_object_get_int_member_with_default(arguments, "x", 0);
	int64_t y = json_object_get_int_member_with_default(arguments, "y", 0);

	if (json_object_get_boolean_member_with_default(arguments, "relative", FALSE)) {
		input_move(vm_input(vm), x, y);
		return true;
	}
	if (!check(vm_display(vm), "screen", error))
		return false;
	display_get_picture(vm_display(vm), &picture);
	input_place(vm_input(vm), MAX(x, 0), MAX(y, 0), picture.width, picture.height);
	return true;
}

bool run_mouse(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	struct input *input = vm_input(vm);
	unsigned button = 0;

	if (!check(input, "mouse", error))
		return false;
	if (json_object_has_member(arguments, "click") &&
	    !find_button(json_object_get_string_member(arguments, "click"), &button, error))
		return false;
	if ((json_object_has_member(arguments, "x") || json_object_has_member(arguments, "y")) &&
	    !move(vm, arguments, error))
		return false;
	if (button) {
		input_button(input, button, true);
		input_button(input, button, false);
	}
	if (json_object_has_member(arguments, "wheel"))
		input_wheel(input, json_object_get_int_member(arguments, "wheel"));
	return true;
}
