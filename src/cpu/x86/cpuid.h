/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's processor says it is: an allow-list of features, of which it gets those the host
 * has (for instructions run on the host) and those engines provide (for system features).
 */
#ifndef VIV_CPU_X86_CPUID_H
#define VIV_CPU_X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

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
struct cpuid cpuid_get(uint32_t leaf, uint32_t subleaf, const struct x86_state *state,
		       unsigned apic_id, unsigned n_cpus);

/* Which bits of a leaf are features, which an engine that lacks them may clear. */
struct cpuid cpuid_feature_bits(uint32_t leaf, uint32_t subleaf);

/* XCR0 bits the guest may set. */
uint64_t cpuid_xcr0_mask(void);
/* CR4 bits the guest may set. */
uint64_t cpuid_cr4_mask(void);

#endif
