/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linear addresses looked up from outside, under any engine. */
#ifndef VIV_CPU_X86_TRANSLATE_H
#define VIV_CPU_X86_TRANSLATE_H

#include "cpu/x86/state.h"
#include "mem/mem.h"

/*
 * Where the page tables of a processor that does not run map a linear address. Permissions
 * do not count and nothing is marked as accessed; false where no page is present.
 */
bool x86_translate(const struct x86_state *state, const struct mem *mem, uint64_t address,
		   uint64_t *gpa);

#endif
