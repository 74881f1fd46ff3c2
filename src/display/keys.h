/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys by the names and the characters that people write, as codes of <linux/input-event-codes.h>. The characters are
 * those of a US keyboard, whose layout guests have until they are told of another. */
#ifndef VIV_DISPLAY_KEYS_H
#define VIV_DISPLAY_KEYS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define KEYS_MAX 8

/* Keys that are pressed in this order, and let go in the other one. */
struct keys {
	unsigned codes[KEYS_MAX];
	unsigned n;
};

/* False: the keyboard has no such character. A newline is the Enter key. */
bool keys_of_char(uint32_t character, struct keys *keys);
/* Names and characters, joined by dashes: ctrl-alt-del, f10, shift-a. */
bool keys_parse(const char *text, struct keys *keys, GError **error);

#endif
