/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * T1, the translator: x86-64 code made of the guest's x86-64 code. README.md has its rules.
 *
 * It stands beside the interpreter on the same struct cpu: the run loop asks jit_run_block() instead
 * of running a block itself, and what is not translated, or not worth it, runs on T0. One
 * translator a vCPU; its thread only.
 */
#ifndef VIV_CPU_JIT_JIT_H
#define VIV_CPU_JIT_JIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct cpu;

/* Makes the vCPU's translator. False with the error set: the host has no room for it. On a host whose
 * processor cannot run it, cpu->jit.cache stays NULL and T0 does everything. */
bool jit_new(struct cpu *cpu, GError **error);
void jit_free(struct cpu *cpu);
/* How often a block runs on T0 before it is translated; for tests, which want it at once, or never: 0. */
void jit_set_threshold(struct cpu *cpu, unsigned runs);

/* Around the use of the vCPU by a thread: what translated code needs of it. */
void jit_enter_thread(struct cpu *cpu);
void jit_leave_thread(struct cpu *cpu);

/* Runs the guest from state.rip on, for at least one block. */
void jit_run_block(struct cpu *cpu);

/* Lines of gpa's page were written (mem.h). Whether that cost translated code. */
bool jit_invalidate(struct cpu *cpu, uint64_t gpa, uint64_t lines);
/* Linear addresses may be mapped differently: all of them, or one page. */
void jit_forget_addresses(struct cpu *cpu);
/* All whose pages are not global. */
void jit_forget_local(struct cpu *cpu);
void jit_forget_page(struct cpu *cpu, uint64_t address);
/* Forgets all translations; not from within one. */
void jit_flush(struct cpu *cpu);

/* Entries of the TLBs were dropped. */
void jit_forget_stack(struct cpu *cpu);
/* The same of what stands for the write TLB's. */
void jit_forget_writes(struct cpu *cpu);
/* For engine.h's report() and list(). */
void jit_report(const struct cpu *cpu, GString *out);
void jit_list(const struct cpu *cpu, FILE *to);

#endif
