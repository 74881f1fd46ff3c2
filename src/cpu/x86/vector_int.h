/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vector.c and x87.c share. */
#ifndef VIV_CPU_X86_VECTOR_INT_H
#define VIV_CPU_X86_VECTOR_INT_H

#include "cpu/x86/mmu.h"
#include "cpu/x86/stub.h"
#include "cpu/x86/vector.h"

#define FSW_ES	      (1 << 7)
#define FSW_B	      (1 << 15)
#define FSW_TOP_SHIFT 11

/* An exec_set of one routine for registers and one for memory. */
#define VECTOR_SET(name, r, m) const struct exec_set exec_##name = {{{r, r, r, r}, {m, m, m, m}}};

extern const struct exec_set exec_vector, exec_evex, exec_mmx, exec_x87, exec_x87_control;

/* Raises what a stub returned. */
void vector_raise(struct cpu *cpu, const struct insn *insn, unsigned vector) G_GNUC_NORETURN;

void vector_raise_misaligned(struct cpu *cpu, const struct insn *insn) G_GNUC_NORETURN;

static inline void vector_run(struct cpu *cpu, const struct insn *insn, void *mem)
{
	unsigned vector = ((stub_fn)insn->stub)(cpu, mem, insn);

	if (G_UNLIKELY(vector))
		vector_raise(cpu, insn, vector);
}

static inline void x87_need(struct cpu *cpu)
{
	if (G_UNLIKELY(!cpu->x87_live))
		cpu_x87_load(cpu);
}

/* #MF if an unmasked exception is pending, as all but the control instructions do. */
void x87_check_pending(struct cpu *cpu, const struct insn *insn);

/* What any MMX instruction but EMMS does to a state that is not live: TOP 0, all registers valid.
 */
void x87_enter_mmx(struct cpu *cpu);

/* What writes a vector register in C zeroes the rest of it. */
static inline void vector_zero_high(struct cpu *cpu, unsigned reg)
{
	memset(cpu->state.zmm_high[reg], 0, sizeof(cpu->state.zmm_high[reg]));
}

void vector_store(struct cpu *cpu, const struct insn *insn);
void evex_store(struct cpu *cpu, const struct insn *insn);
void mmx_load(struct cpu *cpu, const struct insn *insn);
void mmx_store(struct cpu *cpu, const struct insn *insn);
void x87_store(struct cpu *cpu, const struct insn *insn);

#endif
