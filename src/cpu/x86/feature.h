/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What processors may have or lack: features.inc as an enumeration and a table. Any thread. */
#ifndef VIV_CPU_X86_FEATURE_H
#define VIV_CPU_X86_FEATURE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* F_BASE is what every processor has. */
enum insn_feature {
	F_BASE,
#define FEATURE(id, ...) id,
#include "cpu/x86/features.inc"
#undef FEATURE
	F_N_FEATURES,
};

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct feature {
	const char *name;
	uint32_t leaf, subleaf; /* FEATURE_NO_LEAF: CPUID does not tell of it */
	enum cpuid_register reg;
	uint8_t bit;
	enum { FEATURE_OWN, FEATURE_HOST, FEATURE_NONE } source;
	uint8_t host_xcr0;
	uint32_t cr4;
	const char *needs; /* names, a blank between two */
};
#define FEATURE_NO_LEAF (~0u)

/* From 1 to F_N_FEATURES - 1. */
const struct feature *feature_get(enum insn_feature feature);
/* F_BASE where there is none of this name. */
enum insn_feature feature_find(const char *name, size_t len);
/* Whether a guest can have it on this host. */
bool feature_available(enum insn_feature feature);

/* A set with what its members need, and without what needs `feature`. */
void feature_add(bool set[F_N_FEATURES], enum insn_feature feature);
void feature_remove(bool set[F_N_FEATURES], enum insn_feature feature);

#endif
