/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System-management mode (SDM volume 3, chapter 34; AMD APM volume 2, chapter 10). Between blocks,
 * on the vCPU's own thread. */
#ifndef VIV_CPU_X86_SMM_H
#define VIV_CPU_X86_SMM_H

#include "cpu/x86/cpu.h"

/* Takes an SMI: saves the state at SMBASE + FE00h and goes to the handler at SMBASE + 8000h. */
void smm_enter(struct cpu *cpu);

#endif
