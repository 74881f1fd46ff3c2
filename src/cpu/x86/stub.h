/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host code that runs one vector or x87 instruction on the guest's registers. Stubs take the
 * numbers of vector and general registers from the insn, so that there are no
 * more stubs than opcodes with their immediates, EVEX's bits and MMX or x87 registers; they are
 * shared by all vCPUs and never freed.
 */
#ifndef VIV_CPU_X86_STUB_H
#define VIV_CPU_X86_STUB_H

#include "cpu/x86/cpu.h"

/*
 * `mem` is the memory operand, or unused. Returns 0 or, with no register changed but MXCSR's and
 * the x87's status flags, the exception the instruction raised: EXC_XM or EXC_MF.
 */
typedef unsigned (*stub_fn)(struct cpu *cpu, void *mem, const struct insn *insn);

bool stub_init(GError **error);
/* NULL: no more room, which only a guest that looks for it comes to. */
stub_fn stub_get(const struct insn *insn);

#endif
