/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about a VM's disks. Seen in this folder only. */
#ifndef VIV_VM_CONTROL_DISKS_H
#define VIV_VM_CONTROL_DISKS_H

#include "vm/control/command.h"

bool run_disks(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_limit(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);

#endif
