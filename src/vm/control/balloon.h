/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command of the memory balloon. */
#ifndef VIV_VM_CONTROL_BALLOON_H
#define VIV_VM_CONTROL_BALLOON_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

struct vm;

bool run_balloon(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);

#endif
