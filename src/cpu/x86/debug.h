/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Debug registers (SDM volume 3, chapter 18). Only the vCPU's own thread. */
#ifndef VIV_CPU_X86_DEBUG_H
#define VIV_CPU_X86_DEBUG_H

#include "cpu/x86/cpu.h"

enum { DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15 };
enum { DR7_LOCAL = 0x155, DR7_GD = 1 << 13 };

/* Asks for #DB, a trap, before the next instruction, with these bits of DR6. */
void debug_pend(struct cpu *cpu, uint32_t dr6);
/* A task switch: breakpoints local to the old task end. */
void debug_clear_local(struct cpu *cpu);

#endif
