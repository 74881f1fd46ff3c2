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

/* A processor as firmware leaves it: caches on and memory types set, and `bsp` running. */
void boot_park(const struct machine *machine, struct x86_state *state, bool bsp);
/* Loads kernel and initrd, and gives the state of the processor that enters it. */
bool boot_load(struct machine *machine, const struct vm_config *config, struct x86_state *state,
	       GError **error);

#endif
