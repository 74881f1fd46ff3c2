/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which engine suits this host, by measurement: that /dev/kvm opens says nothing of its speed, as
 * there are KVMs that emulate each instruction of a guest's kernel.
 */
#ifndef VIV_CPU_ENGINE_CHOOSE_H
#define VIV_CPU_ENGINE_CHOOSE_H

#include <glib.h>

#include "cpu/engine.h"

/* Above it KVM beats what software can do. */
#define ENGINE_KVM_MIN_MIPS 200

struct engine_choice {
	const struct engine *engine;
	double kvm_mips; /* 0: KVM does not run here */
	char *reason;	 /* one line; the caller frees it */
};

/* Millions of instructions a second of a 64-bit loop at ring 0, in a VM of its own that is gone
 * afterwards; takes a few milliseconds. 0 with the error set: the engine does not run here. */
double engine_measure(const struct engine *engine, GError **error);

/* Measures KVM, and chooses it if it is fast enough, the software engine if not. */
void engine_choose(struct engine_choice *choice);
/* What it chooses when `kvm` has been measured: a line of the rule, for engine_choose() and its
 * test. */
void engine_choose_by(struct engine_choice *choice, double kvm_mips, const GError *kvm_error);

#endif
