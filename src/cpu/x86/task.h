/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hardware task switching (SDM volume 3, chapter 8), outside long mode. */
#ifndef VIV_CPU_X86_TASK_H
#define VIV_CPU_X86_TASK_H

#include "cpu/x86/cpu.h"

enum task_how { TASK_JUMP, TASK_CALL, TASK_INTERRUPT, TASK_RETURN };

/*
 * Switches to the task whose TSS the selector names. state.rip is where the old task goes on.
 * Faults up to the switch belong to `insn`; those after it, to the new task's first instruction.
 * `ext`: the EXT bit of error codes.
 */
void task_switch(struct cpu *cpu, const struct insn *insn, uint16_t selector, enum task_how how,
		 uint32_t ext);
/* IRET with NT set: to the task that the present one was called from. */
void task_return(struct cpu *cpu, const struct insn *insn);

#endif
