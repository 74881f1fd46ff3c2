/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/keys.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "base/error.h"

static const struct {
	const char *name;
	unsigned code;
} names[] = {
	{"ctrl", KEY_LEFTCTRL},	 {"shift", KEY_LEFTSHIFT}, {"alt", KEY_LEFTALT},
	{"altgr", KEY_RIGHTALT}, {"super", KEY_LEFTMETA},  {"menu", KEY_COMPOSE},
	{"esc", KEY_ESC},	 {"enter", KEY_ENTER},	   {"tab", KEY_TAB},
	{"space", KEY_SPACE},	 {"backspace", KEY_BACKSPACE}, {"del", KEY_DELETE},
	{"ins", KEY_INSERT},	 {"home", KEY_HOME},	   {"end", KEY_END},
	{"pageup", KEY_PAGEUP},	 {"pagedown", KEY_PAGEDOWN}, {"up", KEY_UP},
	{"down", KEY_DOWN},	 {"left", KEY_LEFT},	   {"right", KEY_RIGHT},
	{"capslock", KEY_CAPSLOCK}, {"numlock", KEY_NUMLOCK}, {"scrolllock", KEY_SCROLLLOCK},
	{"print", KEY_SYSRQ},	 {"pause", KEY_PAUSE},	   {"minus", KEY_MINUS},
	{"f1", KEY_F1},		 {"f2", KEY_F2},	   {"f3", KEY_F3},
	{"f4", KEY_F4},		 {"f5", KEY_F5},	   {"f6", KEY_F6},
	{"f7", KEY_F7},		 {"f8", KEY_F8},	   {"f9", KEY_F9},
	{"f10", KEY_F10},	 {"f11", KEY_F11},	   {"f12", KEY_F12},
};

/* Rows of a US keyboard: the keys from a code on, alone and with shift. */
static const struct {
	unsigned first;
	const char *plain, *shifted;
} rows[] = {
	{KEY_1, "1234567890-=", "!@#$%^&*()_+"},
	{KEY_Q, "qwertyuiop[]", "QWERTYUIOP{}"},
	{KEY_A, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
	{KEY_BACKSLASH, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
	{KEY_SPACE, " ", " "},
	{KEY_ENTER, "\n", "\n"},
	{KEY_TAB, "\t", "\t"},
	{KEY_BACKSPACE, "\b", "\b"},
	{KEY_ESC, "\033", "\033"},
};

bool keys_of_char(uint32_t character, struct keys *keys)
{
	keys->n = 0;
	if (!character || character > 0x7f)
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *plain = strchr(rows[i].plain, character);
		const char *shifted = strchr(rows[i].shifted, character);

		if (!plain && !shifted)
			continue;
		if (!plain)
			keys->codes[keys->n++] = KEY_LEFTSHIFT;
		keys->codes[keys->n++] =
			rows[i].first + (plain ? plain - rows[i].plain : shifted - rows[i].shifted);
		return true;
	}
	return false;
}

static bool add_name(struct keys *keys, const char *name)
{
	struct keys one;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		if (strcmp(names[i].name, name))
			continue;
		keys->codes[keys->n++] = names[i].code;
		return true;
	}
	if (strlen(name) != 1 || !keys_of_char((unsigned char)*name, &one) || one.n != 1)
		return false;
	keys->codes[keys->n++] = one.codes[0];
	return true;
}

bool keys_parse(const char *text, struct keys *keys, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, "-", 0);

	keys->n = 0;
	for (unsigned i = 0; words[i]; i++) {
		if (keys->n < KEYS_MAX && add_name(keys, words[i]))
			continue;
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is not a key; write keys like ctrl-alt-del, f10, enter or shift-a", words[i]);
		return false;
	}
	if (keys->n)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "no key is named; write one like enter");
	return false;
}
