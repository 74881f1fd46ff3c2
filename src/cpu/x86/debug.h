/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug registers (SDM volume 3, chapter 18). While any breakpoint is enabled the processor runs
 * one instruction at a time (MODE_STEP), and pages with a data breakpoint stay out of the TLB, so
 * that accesses to them come to debug_note_data(). Only the vCPU's own thread.
 */
#ifndef VIV_CPU_X86_DEBUG_H
#define VIV_CPU_X86_DEBUG_H

#include "cpu/x86/cpu.h"

enum { DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15 };
enum { DR7_ENABLED = 0xff, DR7_LOCAL = 0x155, DR7_GD = 1 << 13 };

static inline bool debug_enabled(const struct cpu *cpu)
{
	return cpu->state.dr7 & DR7_ENABLED;
}

/* Asks for #DB, a trap, before the next instruction, with these bits of DR6. */
void debug_pend(struct cpu *cpu, uint32_t dr6);
/* #DB, a fault, if there is an instruction breakpoint at rip and RF is clear. */
void debug_check_fetch(struct cpu *cpu);
/* #DB, a fault, where DR7.GD guards the debug registers. */
void debug_check_guard(struct cpu *cpu, const struct insn *insn);
/* An access has been let through: pends the breakpoints it hits. */
void debug_note_data(struct cpu *cpu, uint64_t address, unsigned size, bool write);
void debug_note_port(struct cpu *cpu, uint16_t port, unsigned size);
/* Whether a data breakpoint lies in the page of this linear address. */
bool debug_watches_page(const struct cpu *cpu, uint64_t address);
/* A task switch: breakpoints local to the old task end. */
void debug_clear_local(struct cpu *cpu);

#endif
