/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Samples of where a vCPU's CPU time goes, where env.sample asks for them. Its thread only. */
#ifndef VIV_CPU_JIT_SAMPLE_H
#define VIV_CPU_JIT_SAMPLE_H

#include <glib.h>

struct cpu;

/* On a thread whose signals have a stack of their own (thread.c), until the other. */
void sample_start(struct cpu *cpu);
void sample_stop(struct cpu *cpu);
/* A line for report(), if there are samples. */
void sample_report(const struct cpu *cpu, GString *out);

#endif
