/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/debug.h"

void debug_pend(struct cpu *cpu, uint32_t dr6)
{
	cpu->debug_pending |= dr6;
	atomic_store(&cpu->attention, true);
}

void debug_clear_local(struct cpu *cpu)
{
	cpu->state.dr7 &= ~(uint64_t)DR7_LOCAL;
}
