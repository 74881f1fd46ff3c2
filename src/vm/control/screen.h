/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands for a VM's screen, keyboard and mouse; seen by table.c only. */
#ifndef VIV_VM_CONTROL_SCREEN_H
#define VIV_VM_CONTROL_SCREEN_H

#include "vm/control/command.h"

bool run_screenshot(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_text(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_type(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_key(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_mouse(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);

#endif
