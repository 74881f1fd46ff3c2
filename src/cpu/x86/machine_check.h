/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine checks (SDM volume 3, chapter 16): the MSRs in which errors are logged, and what an error
 * does to a processor. Where nothing says otherwise: on the vCPU's own thread.
 */
#ifndef VIV_CPU_X86_MACHINE_CHECK_H
#define VIV_CPU_X86_MACHINE_CHECK_H

#include "cpu/engine.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

struct cpu;

#define MSR_MCG_CAP    0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MC0_CTL    0x400

/* Whether a processor of the model can log the error, and it is one. Any thread. */
bool machine_check_fits(const struct x86_model *model, const struct engine_machine_check *error);

/* A bank's register (16.3.2); NULL: it is none. */
uint64_t *machine_check_msr(struct x86_state *state, const struct x86_model *model, uint32_t index);
/* What software may write to it. */
bool machine_check_may_write(uint32_t index, uint64_t value);

/* What engine.h's machine_check() does. Any thread. */
bool machine_check_send(struct cpu *cpu, const struct engine_machine_check *error);
/* Takes what was sent, and delivers #MC. False: the processor shuts down, and cpu->error says why.
 */
bool machine_check_take(struct cpu *cpu);

#endif
