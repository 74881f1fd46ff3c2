/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID: a processor model (model.h) as its leaves tell of it. */
#ifndef VIV_CPU_X86_CPUID_H
#define VIV_CPU_X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

/* Width of guest-physical addresses, and so of what page table entries and CR3 may hold. */
#define CPU_PHYS_BITS 40

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/* XSAVE area, standard format: legacy region, header, AVX. */
#define XSAVE_LEGACY_SIZE 512
#define XSAVE_AVX_OFFSET  576
#define XSAVE_SIZE        832

/* The guest TSC's and the local APIC timer's frequency (lapic.h). */
#define TSC_HZ 1000000000u

/* A leaf as the processor with this state and APIC id, one of `n_cpus`, gives it. */
struct cpuid cpuid_get(const struct x86_model *model, uint32_t leaf, uint32_t subleaf,
		       const struct x86_state *state, unsigned apic_id, unsigned n_cpus);

/* The leaf's bits that are features, of those that the set has. */
struct cpuid cpuid_feature_bits(const bool set[F_N_FEATURES], uint32_t leaf, uint32_t subleaf);

#endif
