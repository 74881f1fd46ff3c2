/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/cpuid.h"

#include <cpuid.h>
#include <glib.h>
#include <string.h>

#include "cpu/x86/cpu.h"

#define BIT(n) (1u << (n))

/*
 * Feature words: `pass` is offered where the host has it, since the host runs these
 * instructions; `own` always, since our code provides it. SDM volume 2, CPUID.
 */
enum reg { EAX, EBX, ECX, EDX };

static const struct {
	uint32_t leaf, subleaf;
	enum reg reg;
	uint32_t pass, own;
} features[] = {
	/* SSE3 PCLMUL SSSE3 FMA SSE4.1 SSE4.2 MOVBE POPCNT AES AVX F16C RDRAND; CX16 PCID x2APIC
	 * TSC-deadline XSAVE hypervisor */
	{1, 0, ECX,
	 BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) |
		 BIT(28) | BIT(29) | BIT(30),
	 BIT(13) | BIT(17) | BIT(21) | BIT(24) | BIT(26) | BIT(31)},
	/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
	{1, 0, EDX, 0,
	 BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) |
		 BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) |
		 BIT(24) | BIT(25) | BIT(26)},
	/* BMI1 AVX2 BMI2 RDSEED ADX SHA; FSGSBASE SMEP ERMS INVPCID SMAP CLFLUSHOPT CLWB */
	{7, 0, EBX, BIT(3) | BIT(5) | BIT(8) | BIT(18) | BIT(19) | BIT(29),
	 BIT(0) | BIT(7) | BIT(9) | BIT(10) | BIT(20) | BIT(23) | BIT(24)},
	/* GFNI VAES VPCLMUL; UMIP RDPID */
	{7, 0, ECX, BIT(8) | BIT(9) | BIT(10), BIT(2) | BIT(22)},
	/* FSRM, SPEC_CTRL and STIBP (one MSR that is stored), ARCH_CAPABILITIES, SSBD */
	{7, 0, EDX, 0, BIT(4) | BIT(26) | BIT(27) | BIT(29) | BIT(31)},
	/* XSAVEOPT XSAVEC XGETBV1- */
	{0xd, 1, EAX, 0, BIT(0) | BIT(1)},
	/* LAHF64, LZCNT, PREFETCHW */
	{0x80000001, 0, ECX, BIT(5), BIT(0) | BIT(8)},
	/* SYSCALL NX 1GB-pages RDTSCP LM */
	{0x80000001, 0, EDX, 0, BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29)},
	/* Invariant TSC */
	{0x80000007, 0, EDX, 0, BIT(8)},
};

static uint32_t host_word(uint32_t leaf, uint32_t subleaf, enum reg reg)
{
	uint32_t r[4];

	if (!__get_cpuid_count(leaf, subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
		return 0;
	return r[reg];
}

/* The host's word where its OS lets the instructions run: without AVX state there is no AVX. */
static uint32_t host_features(uint32_t leaf, uint32_t subleaf, enum reg reg)
{
	static const uint32_t avx_1_ecx = BIT(12) | BIT(28) | BIT(29);
	uint32_t word = host_word(leaf, subleaf, reg);

	if (__builtin_cpu_supports("avx"))
		return word;
	if (leaf == 1 && reg == ECX)
		word &= ~avx_1_ecx;
	if (leaf == 7 && reg == EBX)
		word &= ~BIT(5);
	if (leaf == 7 && reg == ECX)
		word &= ~(BIT(9) | BIT(10));
	return word;
}

static uint32_t feature_word(uint32_t leaf, uint32_t subleaf, enum reg reg)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
		if (features[i].leaf == leaf && features[i].subleaf == subleaf &&
		    features[i].reg == reg)
			return features[i].own |
			       (features[i].pass & host_features(leaf, subleaf, reg));
	return 0;
}

struct cpuid cpuid_feature_bits(uint32_t leaf, uint32_t subleaf)
{
	uint32_t r[4] = {0};

	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
		if (features[i].leaf == leaf && features[i].subleaf == subleaf)
			r[features[i].reg] = features[i].pass | features[i].own;
	return (struct cpuid){r[EAX], r[EBX], r[ECX], r[EDX]};
}

static bool has_avx(void)
{
	return feature_word(1, 0, ECX) & BIT(28);
}

uint64_t cpuid_xcr0_mask(void)
{
	return XCR0_X87 | XCR0_SSE | (has_avx() ? XCR0_AVX : 0);
}

uint64_t cpuid_cr4_mask(void)
{
	return CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
	       CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP |
	       CR4_SMAP;
}

/* The vendor is the host's, so that the guest expects what its instructions really do. */
static struct cpuid vendor_leaf(uint32_t max_leaf)
{
	struct cpuid r = {.eax = max_leaf};
	uint32_t unused;

	__cpuid(0, unused, r.ebx, r.ecx, r.edx);
	return r;
}

bool cpu_is_amd(void)
{
	static gsize vendor; /* asked once: where the host is a VM, its CPUID is slow */

	if (g_once_init_enter(&vendor))
		g_once_init_leave(&vendor, vendor_leaf(0).ebx);
	return vendor == 0x68747541; /* "Auth" */
}

/* Family, model and stepping are a plain x86-64-v3 part's, not the host's: errata tables go by them. */
static uint32_t signature(void)
{
	return cpu_is_amd() ? 0x00830f10 : 0x000306c3;
}

static struct cpuid leaf_1(const struct x86_state *state, unsigned apic_id, unsigned n_cpus)
{
	struct cpuid r = {
		.eax = signature(),
		.ebx = apic_id << 24 | MIN(n_cpus, 255) << 16 | 8 << 8,
		.ecx = feature_word(1, 0, ECX),
		.edx = feature_word(1, 0, EDX) | (n_cpus > 1 ? BIT(28) : 0),
	};

	if (state->cr4 & CR4_OSXSAVE)
		r.ecx |= BIT(27);
	return r;
}

/* Caches, deterministic parameters: 32K+32K L1, 1M L2, each private. */
static struct cpuid leaf_4(uint32_t subleaf)
{
	static const struct {
		uint8_t type, level, ways;
		uint16_t sets;
	} caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 1024}};
	struct cpuid r = {0};

	if (subleaf >= G_N_ELEMENTS(caches))
		return r;
	r.eax = caches[subleaf].type | caches[subleaf].level << 5 | BIT(8);
	r.ebx = 63 | (caches[subleaf].ways - 1) << 22;
	r.ecx = caches[subleaf].sets - 1;
	return r;
}

/* Extended topology: one thread a core, all cores in one package. */
static struct cpuid leaf_b(uint32_t subleaf, unsigned apic_id, unsigned n_cpus)
{
	struct cpuid r = {.ecx = subleaf, .edx = apic_id};
	unsigned bits = n_cpus > 1 ? g_bit_storage(n_cpus - 1) : 0;

	if (subleaf == 0) {
		r.ebx = 1;
		r.ecx |= 1 << 8;
	} else if (subleaf == 1) {
		r.eax = bits;
		r.ebx = n_cpus;
		r.ecx |= 2 << 8;
	}
	return r;
}

static struct cpuid leaf_d(uint32_t subleaf, const struct x86_state *state)
{
	uint32_t enabled = state->xcr0 & XCR0_AVX ? XSAVE_SIZE : XSAVE_AVX_OFFSET;

	switch (subleaf) {
	case 0:
		return (struct cpuid){.eax = cpuid_xcr0_mask(),
				      .ebx = enabled,
				      .ecx = has_avx() ? XSAVE_SIZE : XSAVE_AVX_OFFSET};
	case 1:
		return (struct cpuid){.eax = feature_word(0xd, 1, EAX), .ebx = enabled};
	case 2:
		if (has_avx())
			return (struct cpuid){.eax = XSAVE_SIZE - XSAVE_AVX_OFFSET,
					      .ebx = XSAVE_AVX_OFFSET};
	}
	return (struct cpuid){0};
}

static struct cpuid brand_leaf(unsigned part)
{
	static const char brand[48] = "Vivarium software CPU, x86-64";
	struct cpuid r;

	memcpy(&r, brand + 16 * part, 16);
	return r;
}

/* Leaves by which Linux knows KVM's clock (its documentation's kvm/x86/cpuid): CLOCKSOURCE2, no I/O
 * delay needed, stable clock. Our clock keeps that contract. */
static struct cpuid hypervisor_leaf(uint32_t leaf)
{
	switch (leaf) {
	case 0x40000000:
		return (struct cpuid){0x40000010, 0x4b4d564b, 0x564b4d56, 0x4d};
	case 0x40000001:
		return (struct cpuid){.eax = BIT(1) | BIT(3) | BIT(24)};
	case 0x40000010:
		return (struct cpuid){.eax = TSC_HZ / 1000, .ebx = TSC_HZ / 1000};
	}
	return (struct cpuid){0};
}

static struct cpuid extended_leaf(uint32_t leaf)
{
	switch (leaf) {
	case 0x80000000:
		return vendor_leaf(cpu_is_amd() ? 0x80000021 : 0x80000008);
	case 0x80000001:
		return (struct cpuid){.eax = cpu_is_amd() ? signature() : 0,
				      .ecx = feature_word(leaf, 0, ECX),
				      .edx = feature_word(leaf, 0, EDX)};
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		return brand_leaf(leaf - 0x80000002);
	case 0x80000006:
		return (struct cpuid){.ecx = 1024 << 16 | 8 << 12 | 64};
	case 0x80000007:
		return (struct cpuid){.edx = feature_word(leaf, 0, EDX)};
	case 0x80000008:
		return (struct cpuid){.eax = 48 << 8 | CPU_PHYS_BITS};
	case 0x80000021:
		/* AMD APM volume 3, E.4.24: LFENCE serializes, null selectors clear the base, no
		 * speculative return stack overflow. */
		return (struct cpuid){.eax = cpu_is_amd() ? BIT(2) | BIT(6) | BIT(29) : 0};
	}
	return (struct cpuid){0};
}

struct cpuid cpuid_get(uint32_t leaf, uint32_t subleaf, const struct x86_state *state,
		       unsigned apic_id, unsigned n_cpus)
{
	if (leaf >> 28 == 8)
		return extended_leaf(leaf);
	if (leaf >> 28 == 4)
		return hypervisor_leaf(leaf);
	switch (leaf) {
	case 0:
		return vendor_leaf(0x16);
	case 1:
		return leaf_1(state, apic_id, n_cpus);
	case 4:
		return leaf_4(subleaf);
	case 6:
		return (struct cpuid){.eax = BIT(2)}; /* APIC timer always runs */
	case 7:
		if (subleaf == 0)
			return (struct cpuid){.ebx = feature_word(7, 0, EBX),
					      .ecx = feature_word(7, 0, ECX),
					      .edx = feature_word(7, 0, EDX)};
		break;
	case 0xb:
		return leaf_b(subleaf, apic_id, n_cpus);
	case 0xd:
		return leaf_d(subleaf, state);
	case 0x15:
		return (struct cpuid){.eax = 1, .ebx = 1, .ecx = TSC_HZ};
	case 0x16:
		return (struct cpuid){.eax = TSC_HZ / 1000000, .ebx = TSC_HZ / 1000000};
	}
	return (struct cpuid){0};
}
