/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU's registers before and after a run of code, taken, put back and compared. */
#ifndef VIV_CPU_JIT_OUTCOME_H
#define VIV_CPU_JIT_OUTCOME_H

#include "cpu/jit/jit_int.h"

struct outcome {
	struct x86_state state; /* complete */
	uint64_t pdpte[4];
	uint32_t debug_pending;
	uint16_t flags;
	bool zmm_used, no_step;
	bool faulted;
	uint8_t vector;
	bool has_error_code;
	uint32_t error_code;
};

void outcome_take(struct cpu *cpu, struct outcome *o);
/* The same where cpu->fault was raised and is not delivered yet. */
void outcome_take_fault(struct cpu *cpu, struct outcome *o);
/* Registers; what is pending in cpu->fault stays. */
void outcome_restore(struct cpu *cpu, const struct outcome *o);
/*
 * How many registers differ; the first is put into words. Arithmetic flags that are not in `flags_live`
 * (FL_*) do not count. `early`: T1 was stopped where it would not have been, before an instruction.
 */
unsigned outcome_compare(const struct outcome *t1, const struct outcome *t0, uint8_t flags_live,
			 bool early, GString *text);

#endif
