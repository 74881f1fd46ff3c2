/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the first processor starts with: the kernel in memory and the registers that its
 * entry point asks for. Seen in this folder only.
 */
#ifndef VIV_VM_BOOT_H
#define VIV_VM_BOOT_H

#include <glib.h>
#include <stdbool.h>

#include "cpu/x86/state.h"
#include "machine/machine.h"
#include "vm/config.h"

bool boot_load(struct machine *machine, const struct vm_config *config, struct x86_state *state,
	       GError **error);

#endif
