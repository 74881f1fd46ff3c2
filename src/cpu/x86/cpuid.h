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

/* XSAVE area: legacy region, header, then the components above SSE, which are AVX's and AVX-512's.
 * The standard format's offsets are the host's, for those differ and KVM's guests see them. */
#define XSAVE_LEGACY_SIZE  512
#define XSAVE_HEADER_END   576
#define XSAVE_MAX_SIZE     4096
#define XSAVE_N_COMPONENTS 8
#define XSAVE_PART_MAX     1024

struct xsave_component {
	uint16_t offset, size; /* 0, 0: there is none */
};
/* By its number in XCR0, from 2 on. */
const struct xsave_component *cpuid_xsave_component(unsigned n);
/* Bytes of an area with these components; compacted, they lie close together in order. */
unsigned cpuid_xsave_size(uint64_t components, bool compacted);

/* The guest TSC's and the local APIC timer's frequency (lapic.h). */
#define TSC_HZ 1000000000u

/* A leaf as the processor with this state and APIC id, one of `n_cpus`, gives it. */
struct cpuid cpuid_get(const struct x86_model *model, uint32_t leaf, uint32_t subleaf,
		       const struct x86_state *state, unsigned apic_id, unsigned n_cpus);

/* The leaf's bits that are features, of those that the set has. */
struct cpuid cpuid_feature_bits(const bool set[F_N_FEATURES], uint32_t leaf, uint32_t subleaf);

#endif
