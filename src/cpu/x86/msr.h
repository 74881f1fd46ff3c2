/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Model-specific registers: a table, each row where its value lives and what may be written. */
#ifndef VIV_CPU_X86_MSR_H
#define VIV_CPU_X86_MSR_H

#include "cpu/x86/cpu.h"

/* False: #GP(0). */
bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value);
bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value);

/* Writes the page that the guest keeps for KVM's clock, if it does; false: it is not in RAM. */
bool msr_write_kvmclock(struct cpu *cpu);

/* The MSRs that have nothing behind them, for an engine that keeps the others itself. False: #GP(0). */
bool msr_read_constant(const struct x86_model *model, uint32_t index, uint64_t *value);
bool msr_write_constant(const struct x86_model *model, uint32_t index, uint64_t value);

/* The guest's time-stamp counter. */
uint64_t cpu_tsc(const struct cpu *cpu);

#endif
