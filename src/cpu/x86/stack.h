/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stack that a gate or a far transfer is about to use (SDM volume 3, 6.8.2.1, 7.12): words are
 * put below its pointer in memory, each checked against the segment, and SS:rSP change at
 * stack_commit() only, so that a fault in between leaves the instruction restartable.
 */
#ifndef VIV_CPU_X86_STACK_H
#define VIV_CPU_X86_STACK_H

#include "cpu/x86/cpu.h"

struct stack {
	struct x86_segment ss;
	uint64_t rsp;
	unsigned cpl;	     /* of who will use it */
	bool is_64bit;	     /* no base, no limit */
	uint32_t error_code; /* of #SS where a word does not fit */
};

/* The present stack. `ext`: the EXT bit of error codes, as in all of these. */
struct stack stack_current(const struct cpu *cpu, uint32_t ext);
/* The TSS' stack for privilege level `cpl` (SDM volume 3, 8.2.1, 8.6, 8.7). */
struct stack stack_from_tss(struct cpu *cpu, const struct insn *insn, unsigned cpl, uint32_t ext);
/* A 64-bit TSS' stack pointer; `offset`: of RSPn or ISTn. */
uint64_t stack_pointer_from_tss(struct cpu *cpu, const struct insn *insn, unsigned offset,
				uint32_t ext);
enum { TSS64_RSP0 = 4, TSS64_IST1 = 36 };

void stack_put(struct cpu *cpu, const struct insn *insn, struct stack *stack, uint64_t value,
	       unsigned size);
void stack_commit(struct cpu *cpu, const struct stack *stack);

#endif
