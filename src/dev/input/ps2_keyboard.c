/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard with 101 keys and those that came later: commands and scan code sets of the IBM PS/2
 * Hardware Interface Technical Reference, Keyboards; later keys as in Microsoft's Keyboard Scan
 * Code Specification.
 *
 * Whoever sends events repeats keys that are held, so the typematic rate is taken and not heeded.
 * The shift codes that keyboards send around the grey keys while Shift or Num Lock is on are left
 * out.
 */
#include "dev/input/ps2.h"

#include <string.h>

enum {
	CMD_LEDS = 0xed,
	CMD_ECHO = 0xee,
	CMD_SCAN_CODE_SET = 0xf0,
	CMD_READ_ID = 0xf2,
	CMD_TYPEMATIC_RATE = 0xf3,
	CMD_ENABLE = 0xf4,
	CMD_DEFAULT_DISABLE = 0xf5,
	CMD_DEFAULT = 0xf6,
	CMD_ALL_TYPEMATIC = 0xf7,
	CMD_ALL_MAKE_BREAK = 0xf8,
	CMD_ALL_MAKE = 0xf9,
	CMD_ALL_TYPEMATIC_MAKE_BREAK = 0xfa,
	CMD_KEY_TYPEMATIC = 0xfb,
	CMD_KEY_MAKE_BREAK = 0xfc,
	CMD_KEY_MAKE = 0xfd,
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff,

	QUEUE_LIMIT = PS2_QUEUE_SIZE - 1,
	OVERRUN_SET_1 = 0xff,
	OVERRUN = 0x00,
	SET_1_RELEASED = 0x80,
	ESCAPE = 0xe0,
	MAX_SEQUENCE = 8,
};

#define E0 0x100 /* the escape precedes the code of sets 1 and 2 */

/* Make codes of sets 2 and 3; 0: has none. */
static const struct key {
	uint16_t set2;
	uint8_t set3;
} keys[] = {
	[KEY_ESC] = {0x76, 0x08},
	[KEY_1] = {0x16, 0x16},
	[KEY_2] = {0x1e, 0x1e},
	[KEY_3] = {0x26, 0x26},
	[KEY_4] = {0x25, 0x25},
	[KEY_5] = {0x2e, 0x2e},
	[KEY_6] = {0x36, 0x36},
	[KEY_7] = {0x3d, 0x3d},
	[KEY_8] = {0x3e, 0x3e},
	[KEY_9] = {0x46, 0x46},
	[KEY_0] = {0x45, 0x45},
	[KEY_MINUS] = {0x4e, 0x4e},
	[KEY_EQUAL] = {0x55, 0x55},
	[KEY_BACKSPACE] = {0x66, 0x66},
	[KEY_TAB] = {0x0d, 0x0d},
	[KEY_Q] = {0x15, 0x15},
	[KEY_W] = {0x1d, 0x1d},
	[KEY_E] = {0x24, 0x24},
	[KEY_R] = {0x2d, 0x2d},
	[KEY_T] = {0x2c, 0x2c},
	[KEY_Y] = {0x35, 0x35},
	[KEY_U] = {0x3c, 0x3c},
	[KEY_I] = {0x43, 0x43},
	[KEY_O] = {0x44, 0x44},
	[KEY_P] = {0x4d, 0x4d},
	[KEY_LEFTBRACE] = {0x54, 0x54},
	[KEY_RIGHTBRACE] = {0x5b, 0x5b},
	[KEY_ENTER] = {0x5a, 0x5a},
	[KEY_LEFTCTRL] = {0x14, 0x11},
	[KEY_A] = {0x1c, 0x1c},
	[KEY_S] = {0x1b, 0x1b},
	[KEY_D] = {0x23, 0x23},
	[KEY_F] = {0x2b, 0x2b},
	[KEY_G] = {0x34, 0x34},
	[KEY_H] = {0x33, 0x33},
	[KEY_J] = {0x3b, 0x3b},
	[KEY_K] = {0x42, 0x42},
	[KEY_L] = {0x4b, 0x4b},
	[KEY_SEMICOLON] = {0x4c, 0x4c},
	[KEY_APOSTROPHE] = {0x52, 0x52},
	[KEY_GRAVE] = {0x0e, 0x0e},
	[KEY_LEFTSHIFT] = {0x12, 0x12},
	[KEY_BACKSLASH] = {0x5d, 0x5c},
	[KEY_Z] = {0x1a, 0x1a},
	[KEY_X] = {0x22, 0x22},
	[KEY_C] = {0x21, 0x21},
	[KEY_V] = {0x2a, 0x2a},
	[KEY_B] = {0x32, 0x32},
	[KEY_N] = {0x31, 0x31},
	[KEY_M] = {0x3a, 0x3a},
	[KEY_COMMA] = {0x41, 0x41},
	[KEY_DOT] = {0x49, 0x49},
	[KEY_SLASH] = {0x4a, 0x4a},
	[KEY_RIGHTSHIFT] = {0x59, 0x59},
	[KEY_KPASTERISK] = {0x7c, 0x7e},
	[KEY_LEFTALT] = {0x11, 0x19},
	[KEY_SPACE] = {0x29, 0x29},
	[KEY_CAPSLOCK] = {0x58, 0x14},
	[KEY_F1] = {0x05, 0x07},
	[KEY_F2] = {0x06, 0x0f},
	[KEY_F3] = {0x04, 0x17},
	[KEY_F4] = {0x0c, 0x1f},
	[KEY_F5] = {0x03, 0x27},
	[KEY_F6] = {0x0b, 0x2f},
	[KEY_F7] = {0x83, 0x37},
	[KEY_F8] = {0x0a, 0x3f},
	[KEY_F9] = {0x01, 0x47},
	[KEY_F10] = {0x09, 0x4f},
	[KEY_NUMLOCK] = {0x77, 0x76},
	[KEY_SCROLLLOCK] = {0x7e, 0x5f},
	[KEY_KP7] = {0x6c, 0x6c},
	[KEY_KP8] = {0x75, 0x75},
	[KEY_KP9] = {0x7d, 0x7d},
	[KEY_KPMINUS] = {0x7b, 0x84},
	[KEY_KP4] = {0x6b, 0x6b},
	[KEY_KP5] = {0x73, 0x73},
	[KEY_KP6] = {0x74, 0x74},
	[KEY_KPPLUS] = {0x79, 0x7c},
	[KEY_KP1] = {0x69, 0x69},
	[KEY_KP2] = {0x72, 0x72},
	[KEY_KP3] = {0x7a, 0x7a},
	[KEY_KP0] = {0x70, 0x70},
	[KEY_KPDOT] = {0x71, 0x71},
	[KEY_102ND] = {0x61, 0x13},
	[KEY_F11] = {0x78, 0x56},
	[KEY_F12] = {0x07, 0x5e},
	[KEY_RO] = {0x51, 0x51},
	[KEY_HENKAN] = {0x64, 0x86},
	[KEY_KATAKANAHIRAGANA] = {0x13, 0x87},
	[KEY_MUHENKAN] = {0x67, 0x85},
	[KEY_KPENTER] = {E0 | 0x5a, 0x79},
	[KEY_RIGHTCTRL] = {E0 | 0x14, 0x58},
	[KEY_KPSLASH] = {E0 | 0x4a, 0x77},
	[KEY_RIGHTALT] = {E0 | 0x11, 0x39},
	[KEY_HOME] = {E0 | 0x6c, 0x6e},
	[KEY_UP] = {E0 | 0x75, 0x63},
	[KEY_PAGEUP] = {E0 | 0x7d, 0x6f},
	[KEY_LEFT] = {E0 | 0x6b, 0x61},
	[KEY_RIGHT] = {E0 | 0x74, 0x6a},
	[KEY_END] = {E0 | 0x69, 0x65},
	[KEY_DOWN] = {E0 | 0x72, 0x60},
	[KEY_PAGEDOWN] = {E0 | 0x7a, 0x6d},
	[KEY_INSERT] = {E0 | 0x70, 0x67},
	[KEY_DELETE] = {E0 | 0x71, 0x64},
	[KEY_KPCOMMA] = {0x6d, 0x7b},
	[KEY_YEN] = {0x6a, 0x5d},
	[KEY_LEFTMETA] = {E0 | 0x1f, 0x8b},
	[KEY_RIGHTMETA] = {E0 | 0x27, 0x8c},
	[KEY_COMPOSE] = {E0 | 0x2f, 0x8d},
	[KEY_MUTE] = {E0 | 0x23},
	[KEY_VOLUMEDOWN] = {E0 | 0x21},
	[KEY_VOLUMEUP] = {E0 | 0x32},
	[KEY_POWER] = {E0 | 0x37},
	[KEY_KPEQUAL] = {0x0f},
	[KEY_STOP] = {E0 | 0x28},
	[KEY_CALC] = {E0 | 0x2b},
	[KEY_SLEEP] = {E0 | 0x3f},
	[KEY_WAKEUP] = {E0 | 0x5e},
	[KEY_MAIL] = {E0 | 0x48},
	[KEY_BOOKMARKS] = {E0 | 0x18},
	[KEY_COMPUTER] = {E0 | 0x40},
	[KEY_BACK] = {E0 | 0x38},
	[KEY_FORWARD] = {E0 | 0x30},
	[KEY_NEXTSONG] = {E0 | 0x4d},
	[KEY_PLAYPAUSE] = {E0 | 0x34},
	[KEY_PREVIOUSSONG] = {E0 | 0x15},
	[KEY_STOPCD] = {E0 | 0x3b},
	[KEY_HOMEPAGE] = {E0 | 0x3a},
	[KEY_REFRESH] = {E0 | 0x20},
	[KEY_F13] = {0x08},
	[KEY_F14] = {0x10},
	[KEY_F15] = {0x18},
	[KEY_F16] = {0x20},
	[KEY_F17] = {0x28},
	[KEY_F18] = {0x30},
	[KEY_F19] = {0x38},
	[KEY_F20] = {0x40},
	[KEY_F21] = {0x48},
	[KEY_F22] = {0x50},
	[KEY_F23] = {0x57},
	[KEY_F24] = {0x5f},
	[KEY_SEARCH] = {E0 | 0x10},
	[KEY_MEDIA] = {E0 | 0x50},
};

/* Keys that are no row above: bytes of set 2, which are translated for set 1. */
static const struct odd_key {
	unsigned key;
	bool down;
	uint8_t set3;
	uint8_t n, set2[MAX_SEQUENCE];
} odd_keys[] = {
	{KEY_SYSRQ, true, 0x57, 4, {0xe0, 0x12, 0xe0, 0x7c}},
	{KEY_SYSRQ, false, 0x57, 6, {0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}},
	{KEY_PAUSE, true, 0x62, 8, {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}},
	{KEY_PAUSE, false, 0x62, 0, {0}},
};

/* Keys of set 3 that tell of their release at power-on: left Ctrl, Shift, Caps Lock, left Alt,
 * Shift. */
static const uint8_t make_break_keys[] = {0x11, 0x12, 0x14, 0x19, 0x59};

static void set_all_breaks(struct ps2_keyboard *keyboard, bool breaks)
{
	memset(keyboard->key_breaks, breaks ? 0xff : 0, sizeof(keyboard->key_breaks));
}

static void set_key_breaks(struct ps2_keyboard *keyboard, uint8_t code, bool breaks)
{
	uint8_t bit = 1 << code % 8, *byte = &keyboard->key_breaks[code / 8];

	*byte = breaks ? *byte | bit : *byte & ~bit;
}

static bool key_breaks(const struct ps2_keyboard *keyboard, uint8_t code)
{
	return keyboard->key_breaks[code / 8] >> code % 8 & 1;
}

static void set_defaults(struct ps2_keyboard *keyboard)
{
	keyboard->ps2.n_queue = 0;
	keyboard->set = 2;
	set_all_breaks(keyboard, false);
	for (size_t i = 0; i < sizeof(make_break_keys); i++)
		set_key_breaks(keyboard, make_break_keys[i], true);
}

void ps2_keyboard_reset(struct ps2_keyboard *keyboard)
{
	ps2_device_reset(&keyboard->ps2);
	set_defaults(keyboard);
	keyboard->scanning = true;
}

/* Bytes of set 2 made those of set 1, in place; returns how many they are. */
static unsigned translate(uint8_t *bytes, unsigned n)
{
	uint8_t released = 0;
	unsigned out = 0;

	for (unsigned i = 0; i < n; i++) {
		if (bytes[i] == PS2_RELEASE) {
			released = SET_1_RELEASED;
			continue;
		}
		bytes[out++] = ps2_translate(bytes[i]) | released;
		released = 0;
	}
	return out;
}

static unsigned plain_set2(unsigned code, bool down, uint8_t *bytes)
{
	const struct key *key = &keys[code];
	unsigned n = 0;

	if (key->set2 & E0)
		bytes[n++] = ESCAPE;
	if (!down)
		bytes[n++] = PS2_RELEASE;
	bytes[n++] = key->set2;
	return n;
}

static unsigned plain_set3(const struct ps2_keyboard *keyboard, uint8_t code, bool down,
			   uint8_t *bytes)
{
	if (!code || (!down && !key_breaks(keyboard, code)))
		return 0;
	bytes[0] = PS2_RELEASE;
	bytes[down ? 0 : 1] = code;
	return down ? 1 : 2;
}

/* What the key's event is in the set in use; returns how many bytes, 0: nothing is sent. */
static unsigned encode(const struct ps2_keyboard *keyboard, unsigned code, bool down,
		       uint8_t *bytes)
{
	const struct odd_key *odd = NULL;
	unsigned n;

	for (size_t i = 0; i < G_N_ELEMENTS(odd_keys); i++) {
		if (odd_keys[i].key == code && odd_keys[i].down == down)
			odd = &odd_keys[i];
	}
	if (!odd && (code >= G_N_ELEMENTS(keys) || !keys[code].set2))
		return 0;
	if (keyboard->set == 3)
		return plain_set3(keyboard, odd ? odd->set3 : keys[code].set3, down, bytes);
	if (odd)
		memcpy(bytes, odd->set2, odd->n);
	n = odd ? odd->n : plain_set2(code, down, bytes);
	return keyboard->set == 1 ? translate(bytes, n) : n;
}

void ps2_keyboard_event(struct ps2_keyboard *keyboard, const struct input_event *event)
{
	uint8_t bytes[MAX_SEQUENCE], overrun = keyboard->set == 1 ? OVERRUN_SET_1 : OVERRUN;
	unsigned n;

	if (!keyboard->scanning)
		return;
	n = encode(keyboard, event->code, event->value, bytes);
	if (!ps2_queue(&keyboard->ps2, bytes, n, QUEUE_LIMIT))
		ps2_queue(&keyboard->ps2, &overrun, 1, PS2_QUEUE_SIZE);
}

static void select_set(struct ps2_keyboard *keyboard, uint8_t set)
{
	if (set > 3) {
		ps2_answer_byte(&keyboard->ps2, PS2_RESEND);
	} else if (!set) {
		ps2_answer(&keyboard->ps2, (uint8_t[]){PS2_ACK, keyboard->set}, 2);
	} else {
		keyboard->set = set;
		keyboard->ps2.n_queue = 0;
	}
}

static void write_parameter(struct ps2_keyboard *keyboard, uint8_t command, uint8_t value)
{
	ps2_answer_byte(&keyboard->ps2, PS2_ACK);
	switch (command) {
	case CMD_SCAN_CODE_SET:
		select_set(keyboard, value);
		break;
	case CMD_KEY_TYPEMATIC:
	case CMD_KEY_MAKE_BREAK:
	case CMD_KEY_MAKE:
		set_key_breaks(keyboard, value, command == CMD_KEY_MAKE_BREAK);
		/* More keys follow, up to the next command. */
		keyboard->ps2.command = command;
		break;
	}
}

static void write_command(struct ps2_keyboard *keyboard, uint8_t command)
{
	struct ps2_device *ps2 = &keyboard->ps2;

	ps2_answer_byte(ps2, PS2_ACK);
	switch (command) {
	case CMD_LEDS:
	case CMD_SCAN_CODE_SET:
	case CMD_TYPEMATIC_RATE:
	case CMD_KEY_TYPEMATIC:
	case CMD_KEY_MAKE_BREAK:
	case CMD_KEY_MAKE:
		ps2->command = command;
		break;
	case CMD_ECHO:
		ps2_answer_byte(ps2, CMD_ECHO);
		break;
	case CMD_READ_ID:
		ps2_answer(ps2, (uint8_t[]){PS2_ACK, 0xab, 0x83}, 3);
		break;
	case CMD_ENABLE:
		ps2->n_queue = 0;
		keyboard->scanning = true;
		break;
	case CMD_DEFAULT_DISABLE:
		set_defaults(keyboard);
		keyboard->scanning = false;
		break;
	case CMD_DEFAULT:
		set_defaults(keyboard);
		break;
	case CMD_ALL_TYPEMATIC:
	case CMD_ALL_MAKE:
		set_all_breaks(keyboard, false);
		break;
	case CMD_ALL_MAKE_BREAK:
	case CMD_ALL_TYPEMATIC_MAKE_BREAK:
		set_all_breaks(keyboard, true);
		break;
	case CMD_RESEND:
		ps2_answer_byte(ps2, ps2->last);
		break;
	case CMD_RESET:
		ps2_keyboard_reset(keyboard);
		ps2_answer(ps2, (uint8_t[]){PS2_ACK, PS2_SELF_TEST_OK}, 2);
		break;
	default:
		ps2_answer_byte(ps2, PS2_RESEND);
		break;
	}
}

void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte)
{
	uint8_t command = keyboard->ps2.command;

	keyboard->ps2.command = 0;
	/* A command in place of a parameter is carried out. */
	if (command && byte < CMD_LEDS)
		write_parameter(keyboard, command, byte);
	else
		write_command(keyboard, byte);
}

bool ps2_keyboard_check(const struct ps2_keyboard *keyboard)
{
	return ps2_device_check(&keyboard->ps2) && keyboard->set >= 1 && keyboard->set <= 3;
}
