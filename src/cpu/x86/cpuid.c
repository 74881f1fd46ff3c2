/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/cpuid.h"

#include <cpuid.h>
#include <glib.h>
#include <string.h>

#define BIT(n) (1u << (n))

struct cpuid cpuid_feature_bits(const bool set[F_N_FEATURES], uint32_t leaf, uint32_t subleaf)
{
	uint32_t r[4] = {0};

	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++) {
		const struct feature *row = feature_get(f);

		if (set[f] && row->leaf == leaf && row->subleaf == subleaf)
			r[row->reg] |= 1u << row->bit;
	}
	return (struct cpuid){r[CPUID_EAX], r[CPUID_EBX], r[CPUID_ECX], r[CPUID_EDX]};
}

/* Asked once: where the host is a VM, its CPUID is slow. */
static gpointer find_components(gpointer unused)
{
	static struct xsave_component components[XSAVE_N_COMPONENTS];
	uint64_t all = x86_model_host()->xcr0_mask;
	uint32_t size, offset, ecx, edx;

	for (unsigned i = 2; i < XSAVE_N_COMPONENTS; i++) {
		if (!(all >> i & 1) || !__get_cpuid_count(0xd, i, &size, &offset, &ecx, &edx))
			continue;
		g_assert(offset >= XSAVE_HEADER_END && size <= XSAVE_PART_MAX &&
			 offset + size <= XSAVE_MAX_SIZE);
		components[i] = (struct xsave_component){offset, size};
	}
	return components;
}

const struct xsave_component *cpuid_xsave_component(unsigned n)
{
	static GOnce once = G_ONCE_INIT;

	g_assert(n < XSAVE_N_COMPONENTS);
	return (const struct xsave_component *)g_once(&once, find_components, NULL) + n;
}

unsigned cpuid_xsave_size(uint64_t components, bool compacted)
{
	unsigned size = XSAVE_HEADER_END;

	for (unsigned i = 2; i < XSAVE_N_COMPONENTS; i++) {
		const struct xsave_component *c = cpuid_xsave_component(i);

		if (components >> i & 1)
			size = compacted ? size + c->size : MAX(size, c->offset + c->size);
	}
	return size;
}

static struct cpuid vendor_leaf(const struct x86_model *m, uint32_t max_leaf)
{
	struct cpuid r = {.eax = max_leaf};

	memcpy(&r.ebx, m->vendor, 4);
	memcpy(&r.edx, m->vendor + 4, 4);
	memcpy(&r.ecx, m->vendor + 8, 4);
	return r;
}

/* Multi-threading is the bit by which systems of more than one processor go by their APIC ids. */
static struct cpuid leaf_1(const struct x86_model *m, const struct x86_state *state,
			   unsigned apic_id, unsigned n_cpus)
{
	struct cpuid r = cpuid_feature_bits(m->has, 1, 0);

	r.eax = m->signature;
	if (m->has[F_APIC])
		r.ebx |= apic_id << 24 | MIN(n_cpus, 255) << 16;
	if (m->has[F_CLFLUSH])
		r.ebx |= 8 << 8;
	if (n_cpus > 1 && m->has[F_SSE2])
		r.edx |= BIT(28);
	if (state->cr4 & CR4_OSXSAVE)
		r.ecx |= BIT(27);
	return r;
}

/* Caches and TLBs as a list of descriptors (SDM volume 2, table 3-12): "as leaf 4 says", or those of a
 * Pentium III: 16K+16K L1, 256K L2. */
static struct cpuid leaf_2(const struct x86_model *m)
{
	if (m->max_leaf >= 4)
		return (struct cpuid){.eax = 0x00ff01};
	return (struct cpuid){.eax = 0x03020101, .edx = 0x0c040882};
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

static struct cpuid leaf_d(const struct x86_model *m, uint32_t subleaf,
			   const struct x86_state *state)
{
	const struct xsave_component *c;
	struct cpuid r = cpuid_feature_bits(m->has, 0xd, subleaf);

	if (!m->has[F_XSAVE])
		return (struct cpuid){0};
	switch (subleaf) {
	case 0:
		return (struct cpuid){.eax = m->xcr0_mask,
				      .ebx = cpuid_xsave_size(state->xcr0, false),
				      .ecx = cpuid_xsave_size(m->xcr0_mask, false)};
	case 1:
		r.ebx = cpuid_xsave_size(state->xcr0, true);
		return r;
	}
	if (subleaf >= XSAVE_N_COMPONENTS || !(m->xcr0_mask >> subleaf & 1))
		return (struct cpuid){0};
	c = cpuid_xsave_component(subleaf);
	return (struct cpuid){.eax = c->size, .ebx = c->offset};
}

static struct cpuid brand_leaf(const struct x86_model *m, unsigned part)
{
	char brand[48] = "";
	struct cpuid r;

	g_snprintf(brand, sizeof(brand), "Vivarium software CPU, %s",
		   m->exact ? m->name : "x86-64");
	memcpy(&r, brand + 16 * part, 16);
	return r;
}

/* Leaves by which Linux knows KVM's clock (its documentation's kvm/x86/cpuid): CLOCKSOURCE2, no I/O
 * delay needed, stable clock. Our clock keeps that contract. */
static struct cpuid hypervisor_leaf(const struct x86_model *m, uint32_t leaf)
{
	if (!m->has[F_HYPERVISOR])
		return (struct cpuid){0};
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

static struct cpuid extended_leaf(const struct x86_model *m, uint32_t leaf)
{
	struct cpuid r = cpuid_feature_bits(m->has, leaf, 0);

	switch (leaf) {
	case 0x80000000:
		return vendor_leaf(m, m->max_extended_leaf);
	case 0x80000001:
		r.eax = m->is_amd ? m->signature : 0;
		return r;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		return brand_leaf(m, leaf - 0x80000002);
	case 0x80000006:
		return (struct cpuid){.ecx = 1024 << 16 | 8 << 12 | 64};
	case 0x80000008:
		return (struct cpuid){.eax = 48 << 8 | CPU_PHYS_BITS};
	case 0x80000021:
		/* AMD APM volume 3, E.4.24: LFENCE serializes, null selectors clear the base, no
		 * speculative return stack overflow. */
		return (struct cpuid){.eax = BIT(2) | BIT(6) | BIT(29)};
	}
	return r;
}

static struct cpuid basic_leaf(const struct x86_model *m, uint32_t leaf, uint32_t subleaf,
			       const struct x86_state *state, unsigned apic_id, unsigned n_cpus)
{
	switch (leaf) {
	case 0:
		return vendor_leaf(m, m->max_leaf);
	case 1:
		return leaf_1(m, state, apic_id, n_cpus);
	case 2:
		return m->is_amd ? (struct cpuid){0} : leaf_2(m);
	case 4:
		return leaf_4(subleaf);
	case 7:
		if (subleaf == 0) {
			struct cpuid r = cpuid_feature_bits(m->has, 7, 0);

			r.eax = 1; /* the last subleaf */
			return r;
		}
		break;
	case 0xb:
		return leaf_b(subleaf, apic_id, n_cpus);
	case 0xd:
		return leaf_d(m, subleaf, state);
	case 0x15:
		return (struct cpuid){.eax = 1, .ebx = 1, .ecx = TSC_HZ};
	case 0x16:
		return (struct cpuid){.eax = TSC_HZ / 1000000, .ebx = TSC_HZ / 1000000};
	}
	return cpuid_feature_bits(m->has, leaf, subleaf);
}

struct cpuid cpuid_get(const struct x86_model *m, uint32_t leaf, uint32_t subleaf,
		       const struct x86_state *state, unsigned apic_id, unsigned n_cpus)
{
	if (leaf >> 28 == 4)
		return hypervisor_leaf(m, leaf);
	if (leaf >> 28 == 8 && leaf <= m->max_extended_leaf)
		return extended_leaf(m, leaf);
	/* Beyond the last leaf Intel's processors give the last basic one's data, AMD's nothing (SDM volume
	 * 2, CPUID). */
	if (leaf > m->max_leaf && m->is_amd)
		return (struct cpuid){0};
	return basic_leaf(m, MIN(leaf, m->max_leaf), subleaf, state, apic_id, n_cpus);
}
