/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Presses keys one after the other, at the pace of a fast hand: a PC's keyboard has room for a few only. Loop thread. */
#ifndef VIV_VM_TYPIST_H
#define VIV_VM_TYPIST_H

#include <glib.h>
#include <stdbool.h>

#include "display/input.h"
#include "display/keys.h"

struct typist;

struct typist *typist_new(GMainContext *context, struct input *input);
void typist_free(struct typist *typist);
/* Behind what is still to be typed. False with the error set, and nothing of it typed, where a character has no key or
 * it is too much. */
bool typist_type(struct typist *typist, const char *text, GError **error);
bool typist_press(struct typist *typist, const struct keys *keys, GError **error);
/* Whether something is still to be typed. */
bool typist_is_busy(const struct typist *typist);

#endif
