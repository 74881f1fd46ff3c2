/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * T1 checked against T0 while a guest runs, for those who work on the translator: a run of translated code is
 * taken back and repeated on T0, and registers and memory that come of both are compared (README.md).
 *
 * One vCPU alone, its thread only. Nothing else may write guest RAM during a run that is compared; who does
 * holds env.ram_gate meanwhile.
 */
#ifndef VIV_CPU_JIT_LOCKSTEP_H
#define VIV_CPU_JIT_LOCKSTEP_H

#include <glib.h>
#include <stdint.h>

struct cpu;
struct insn;
struct jit_insn;
struct jit_region;
struct lockstep;

/* Where env.lockstep asks for it and there is a translator, cpu->lockstep is made. */
void lockstep_new(struct cpu *cpu);
void lockstep_free(struct cpu *cpu);
void lockstep_report(const struct cpu *cpu, GString *out);

/* Enters translated code in the place of region_enter(). Where T1 and T0 differ, run() returns
 * ENGINE_EXIT_ERROR. */
void lockstep_run(struct cpu *cpu, struct jit_region *region);

/* What else is called only where cpu->lockstep is. The translator has T0 run an instruction: a run that is
 * compared ends before one whose effects cannot be taken back. */
void lockstep_before(struct cpu *cpu, const struct jit_insn *in);
/* The same where an instruction is about to touch a device. Returns outside of runs. */
void lockstep_device(struct cpu *cpu, const struct insn *insn);
/* RAM of gpa's page is about to be written; through a slot of the write TLB from now on; or bits by a page
 * walk. */
void lockstep_write(struct cpu *cpu, uint64_t gpa);
void lockstep_fill(struct cpu *cpu, unsigned tlb_class, unsigned slot, uint64_t gpa);
void lockstep_mark(struct cpu *cpu, uint64_t gpa, uint64_t bits);

#endif
