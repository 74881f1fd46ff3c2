/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of interrupts and exceptions (SDM volume 3, chapter 6), in every mode.
 * All run between blocks on the vCPU's own thread; a fault during delivery leaves by longjmp and
 * comes back through interrupt_exception(), which makes it a double fault or a shutdown.
 */
#ifndef VIV_CPU_X86_INTERRUPT_H
#define VIV_CPU_X86_INTERRUPT_H

#include "cpu/x86/cpu.h"

/* Delivers cpu->fault at rip. False: triple fault. */
bool interrupt_exception(struct cpu *cpu);
/* An event from the local APIC. */
void interrupt_event(struct cpu *cpu, enum lapic_event event, uint8_t vector);
/* #MC, an abort that nothing masks. */
void interrupt_machine_check(struct cpu *cpu);
/* #DB as a trap, for what debug_pend() collected. */
void interrupt_debug(struct cpu *cpu);
/* INT n, INT3, INTO, INT1; rip already stands after the instruction, and goes back on a fault. */
void interrupt_software(struct cpu *cpu, const struct insn *insn, uint8_t vector, bool checks_dpl);
/* Whether the VME's bitmap in the TSS leaves INT n to the virtual-8086 program's own vectors, and
 * the delivery through them. */
bool interrupt_redirected(struct cpu *cpu, const struct insn *insn, uint8_t vector);
void interrupt_to_v86(struct cpu *cpu, const struct insn *insn, uint8_t vector);

#endif
