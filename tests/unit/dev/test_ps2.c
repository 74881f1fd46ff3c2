/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keyboard and mouse through the 8042, as Linux's atkbd and psmouse, SeaBIOS and DOS speak to them.
 */
#include "dev/table.h"

#include <string.h>

#include "rig.h"

enum { DATA = 0x60, STATUS = 0x64, OBF = 0x01, AUX = 0x20 };

/* With the command byte `ctr`: 47h is what SeaBIOS leaves, with translation and both interrupts. */
static struct rig *setup(uint8_t ctr)
{
	static const struct rig_row row = {&i8042_class, .input = true};
	struct rig *rig = rig_new_row(&row);

	rig_out8(rig, STATUS, 0x60);
	rig_out8(rig, DATA, ctr);
	return rig;
}

static void step(struct rig *rig)
{
	clock_step(rig->env.clock, MS);
}

/* All that arrives; those of the mouse are told by a quote. */
static void assert_bytes(struct rig *rig, const char *expected)
{
	g_autoptr(GString) got = g_string_new(NULL);

	step(rig);
	for (uint8_t status; (status = rig_in8(rig, STATUS)) & OBF; step(rig)) {
		g_string_append_printf(got, "%s%02x", got->len ? " " : "", rig_in8(rig, DATA));
		if (status & AUX)
			g_string_append_c(got, '\'');
	}
	g_assert_cmpstr(got->str, ==, expected);
}

static void kbd(struct rig *rig, uint8_t byte, const char *expected)
{
	rig_out8(rig, DATA, byte);
	assert_bytes(rig, expected);
}

static void aux(struct rig *rig, uint8_t byte, const char *expected)
{
	rig_out8(rig, STATUS, 0xd4);
	rig_out8(rig, DATA, byte);
	assert_bytes(rig, expected);
}

static void key(struct rig *rig, unsigned code, const char *down, const char *up)
{
	input_key(rig->input, code, true);
	assert_bytes(rig, down);
	input_key(rig->input, code, false);
	assert_bytes(rig, up);
}

/* atkbd_probe(), atkbd_activate(). */
static void test_keyboard_commands(void)
{
	struct rig *rig = setup(0x03);

	kbd(rig, 0xff, "fa aa");
	kbd(rig, 0xf2, "fa ab 83");
	kbd(rig, 0xee, "ee");
	kbd(rig, 0xed, "fa");
	kbd(rig, 0x07, "fa");
	kbd(rig, 0xf3, "fa");
	kbd(rig, 0x20, "fa");
	kbd(rig, 0xf0, "fa");
	kbd(rig, 0x00, "fa 02");
	kbd(rig, 0xfe, "02");
	kbd(rig, 0xf0, "fa");
	kbd(rig, 0x04, "fe");
	kbd(rig, 0xf1, "fe");
	kbd(rig, 0x12, "fe");
	/* A command ends the wait for a parameter. */
	kbd(rig, 0xed, "fa");
	kbd(rig, 0xee, "ee");
	kbd(rig, 0x07, "fe");
	kbd(rig, 0xf5, "fa");
	key(rig, KEY_A, "", "");
	kbd(rig, 0xf4, "fa");
	key(rig, KEY_A, "1c", "f0 1c");
	/* Translated, as i8042_direct is not: the id's second byte is a code to the controller. */
	rig_out8(rig, STATUS, 0x60);
	rig_out8(rig, DATA, 0x47);
	kbd(rig, 0xf2, "fa ab 41");
	rig_free(rig);
}

static void test_sets(void)
{
	struct rig *rig = setup(0x03);

	key(rig, KEY_ENTER, "5a", "f0 5a");
	key(rig, KEY_KPENTER, "e0 5a", "e0 f0 5a");
	key(rig, KEY_F7, "83", "f0 83");
	key(rig, KEY_SYSRQ, "e0 12 e0 7c", "e0 f0 7c e0 f0 12");
	key(rig, KEY_PAUSE, "e1 14 77 e1 f0 14 f0 77", "");
	key(rig, KEY_UNKNOWN, "", "");
	kbd(rig, 0xf0, "fa");
	kbd(rig, 0x01, "fa");
	key(rig, KEY_ENTER, "1c", "9c");
	key(rig, KEY_KPENTER, "e0 1c", "e0 9c");
	key(rig, KEY_SYSRQ, "e0 2a e0 37", "e0 b7 e0 aa");
	key(rig, KEY_PAUSE, "e1 1d 45 e1 9d c5", "");
	kbd(rig, 0xf0, "fa");
	kbd(rig, 0x03, "fa");
	key(rig, KEY_ENTER, "5a", "");
	key(rig, KEY_LEFTSHIFT, "12", "f0 12");
	key(rig, KEY_PAUSE, "62", "");
	kbd(rig, 0xfa, "fa");
	key(rig, KEY_KPENTER, "79", "f0 79");
	kbd(rig, 0xfd, "fa");
	kbd(rig, 0x79, "fa");
	kbd(rig, 0x12, "fa");
	key(rig, KEY_KPENTER, "79", "");
	key(rig, KEY_LEFTSHIFT, "12", "");
	kbd(rig, 0xfc, "fa");
	kbd(rig, 0x12, "fa");
	key(rig, KEY_LEFTSHIFT, "12", "f0 12");
	kbd(rig, 0xf6, "fa");
	key(rig, KEY_ENTER, "5a", "f0 5a");
	rig_free(rig);
}

/* What the BIOS and DOS see. Linux's codes of the old keys were made after set 1. */
static void test_translation(void)
{
	struct rig *rig = setup(0x47);

	for (unsigned code = KEY_ESC; code <= KEY_F12; code++) {
		g_autofree char *down = g_strdup_printf("%02x", code);
		g_autofree char *up = g_strdup_printf("%02x", code | 0x80);

		/* 84 is no key's, and set 1 has 76h for 85. */
		if (code != 84 && code != KEY_ZENKAKUHANKAKU)
			key(rig, code, down, up);
	}
	key(rig, KEY_RIGHTALT, "e0 38", "e0 b8");
	key(rig, KEY_UP, "e0 48", "e0 c8");
	key(rig, KEY_LEFTMETA, "e0 5b", "e0 db");
	key(rig, KEY_PAUSE, "e1 1d 45 e1 9d c5", "");
	key(rig, KEY_SYSRQ, "e0 2a e0 37", "e0 b7 e0 aa");
	/* A command that comes as the release is under way. */
	input_key(rig->input, KEY_A, false);
	step(rig);
	kbd(rig, 0xed, "9e fa");
	rig_free(rig);
}

/* An interrupt a byte; a second reader of port 60h, as DOS programs that chain to the BIOS are,
 * gets it again. */
static void test_interrupts(void)
{
	struct rig *rig = setup(0x47);

	input_key(rig->input, KEY_UP, true);
	rig_assert_log(rig, "");
	step(rig);
	rig_assert_log(rig, "+1 ");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0xe0);
	rig_assert_log(rig, "-1 ");
	g_assert_cmphex(rig_in8(rig, STATUS) & OBF, ==, 0);
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0xe0);
	step(rig);
	rig_assert_log(rig, "+1 ");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0x48);
	rig_assert_log(rig, "-1 ");
	aux(rig, 0xf4, "fa'");
	rig_assert_log(rig, "+12 -12 ");
	/* Both at once: one after the other. */
	input_move(rig->input, 1, 0);
	input_key(rig->input, KEY_UP, false);
	assert_bytes(rig, "e0 c8 08' 01' 00'");
	rig_assert_log(rig, "+1 -1 +1 -1 +12 -12 +12 -12 +12 -12 ");
	rig_free(rig);
}

/* While its clock is held a device waits; it does not while the other's is. */
static void test_disabled(void)
{
	struct rig *rig = setup(0x47);

	aux(rig, 0xf4, "fa'");
	rig_out8(rig, STATUS, 0xad);
	input_key(rig->input, KEY_A, true);
	input_button(rig->input, BTN_LEFT, true);
	assert_bytes(rig, "09' 00' 00'");
	rig_out8(rig, STATUS, 0xa7);
	input_button(rig->input, BTN_LEFT, false);
	assert_bytes(rig, "");
	rig_out8(rig, STATUS, 0xae);
	assert_bytes(rig, "1e");
	rig_out8(rig, STATUS, 0xa8);
	assert_bytes(rig, "08' 00' 00'");
	/* A command enables, too. */
	rig_out8(rig, STATUS, 0xad);
	kbd(rig, 0xee, "ee");
	rig_out8(rig, STATUS, 0xa7);
	aux(rig, 0xf2, "fa' 00'");
	/* Held before the byte was there. */
	input_key(rig->input, KEY_A, false);
	rig_out8(rig, STATUS, 0xad);
	assert_bytes(rig, "");
	rig_out8(rig, STATUS, 0xae);
	assert_bytes(rig, "9e");
	rig_free(rig);
}

/* 240 bytes wait; an overrun code stands for each key that finds no room, while there is some
 * for it. */
static void test_overrun(void)
{
	struct rig *rig = setup(0x03);
	g_autoptr(GString) expected = g_string_new(NULL);

	step(rig);
	rig_out8(rig, STATUS, 0xad);
	for (unsigned i = 0; i < 79; i++) {
		input_key(rig->input, KEY_UP, true);
		input_key(rig->input, KEY_A, true);
		g_string_append(expected, "e0 75 1c ");
	}
	input_key(rig->input, KEY_A, true);
	input_key(rig->input, KEY_A, true);
	input_key(rig->input, KEY_UP, true);
	input_key(rig->input, KEY_A, true);
	input_key(rig->input, KEY_A, true);
	rig_out8(rig, STATUS, 0xae);
	g_string_append(expected, "1c 1c 00 00");
	assert_bytes(rig, expected->str);
	rig_free(rig);
}

/* psmouse_probe(), psmouse_extensions() for a plain mouse. */
static void test_mouse_commands(void)
{
	struct rig *rig = setup(0x47);

	aux(rig, 0xff, "fa' aa' 00'");
	aux(rig, 0xf2, "fa' 00'");
	aux(rig, 0xe8, "fa'");
	aux(rig, 0x03, "fa'");
	aux(rig, 0xe7, "fa'");
	aux(rig, 0xf3, "fa'");
	aux(rig, 0x28, "fa'");
	aux(rig, 0xf4, "fa'");
	input_button(rig->input, BTN_RIGHT, true);
	assert_bytes(rig, "0a' 00' 00'");
	aux(rig, 0xe9, "fa' 31' 03' 28'");
	input_move(rig->input, 4, 7);
	assert_bytes(rig, "2a' 06' f2'");
	aux(rig, 0xf6, "fa'");
	aux(rig, 0xe9, "fa' 01' 02' 64'");
	aux(rig, 0xfe, "64'");
	aux(rig, 0xf1, "fe'");
	aux(rig, 0xee, "fa'");
	aux(rig, 0xe9, "e9'");
	aux(rig, 0xec, "fa'");
	/* Remote: what moved is told when asked for. */
	aux(rig, 0xf0, "fa'");
	input_move(rig->input, -3, -300);
	assert_bytes(rig, "");
	aux(rig, 0xe9, "fa' 41' 02' 64'");
	input_move(rig->input, -3, -300);
	aux(rig, 0xeb, "fa' 1a' fd' ff'");
	aux(rig, 0xeb, "fa' 0a' 00' 2d'");
	rig_free(rig);
}

static void set_rates(struct rig *rig, uint8_t a, uint8_t b, uint8_t c)
{
	const uint8_t rates[] = {a, b, c};

	for (unsigned i = 0; i < 3; i++) {
		aux(rig, 0xf3, "fa'");
		aux(rig, rates[i], "fa'");
	}
}

static void test_wheel(void)
{
	struct rig *rig = setup(0x47);

	set_rates(rig, 200, 100, 80);
	aux(rig, 0xf2, "fa' 03'");
	aux(rig, 0xf4, "fa'");
	input_wheel(rig->input, 1);
	assert_bytes(rig, "08' 00' 00' ff'");
	input_wheel(rig->input, -12);
	assert_bytes(rig, "08' 00' 00' 07' 08' 00' 00' 05'");
	input_button(rig->input, BTN_SIDE, true);
	input_button(rig->input, BTN_SIDE, false);
	assert_bytes(rig, "");
	set_rates(rig, 200, 200, 80);
	aux(rig, 0xf2, "fa' 04'");
	input_button(rig->input, BTN_SIDE, true);
	assert_bytes(rig, "08' 00' 00' 10'");
	input_wheel(rig->input, 1);
	assert_bytes(rig, "08' 00' 00' 1f'");
	input_button(rig->input, BTN_EXTRA, true);
	assert_bytes(rig, "08' 00' 00' 30'");
	aux(rig, 0xff, "fa' aa' 00'");
	aux(rig, 0xf2, "fa' 00'");
	rig_free(rig);
}

/* Movement adds up while the guest is busy, and no click is lost. */
static void test_slow_reader(void)
{
	struct rig *rig = setup(0x47);

	aux(rig, 0xf4, "fa'");
	input_move(rig->input, 1, 0);
	for (unsigned i = 0; i < 100; i++)
		input_move(rig->input, 10, 0);
	input_button(rig->input, BTN_LEFT, true);
	input_button(rig->input, BTN_LEFT, false);
	assert_bytes(rig, "08' 01' 00' 09' ff' 00' 08' ff' 00' 08' ff' 00' 08' eb' 00'");
	input_move(rig->input, INT_MAX, INT_MIN);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ps2/keyboard-commands", test_keyboard_commands);
	g_test_add_func("/ps2/sets", test_sets);
	g_test_add_func("/ps2/translation", test_translation);
	g_test_add_func("/ps2/interrupts", test_interrupts);
	g_test_add_func("/ps2/disabled", test_disabled);
	g_test_add_func("/ps2/overrun", test_overrun);
	g_test_add_func("/ps2/mouse-commands", test_mouse_commands);
	g_test_add_func("/ps2/wheel", test_wheel);
	g_test_add_func("/ps2/slow-reader", test_slow_reader);
	return g_test_run();
}
