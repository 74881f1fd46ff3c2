/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What POPF and IRET may change of RFLAGS, by mode (SDM volume 2, POPF; volume 3, 21.3). */
#ifndef VIV_CPU_X86_FLAGS_H
#define VIV_CPU_X86_FLAGS_H

#include "cpu/x86/cpu.h"

static inline unsigned flags_iopl(const struct cpu *cpu)
{
	return cpu->state.rflags >> 12 & 3;
}
static inline bool flags_v86(const struct cpu *cpu)
{
	return cpu->state.rflags & RFLAGS_VM;
}

/* The bits that POPF may change at the present privilege level. */
uint64_t flags_writable(const struct cpu *cpu, unsigned opsize);
/* Sets the bits of `mask` to `value`'s. */
void flags_load(struct cpu *cpu, uint64_t value, uint64_t mask);
/* POPF or IRET in virtual-8086 mode: #GP(0) unless IOPL is 3 or the virtual IF answers. Turns
 * `value` and `mask` into what is to be loaded; changes no state. */
void flags_check_v86(struct cpu *cpu, const struct insn *insn, unsigned opsize, uint64_t *value,
		     uint64_t *mask);

#endif
