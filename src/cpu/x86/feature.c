/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/feature.h"

#include <cpuid.h>
#include <string.h>

#include "cpu/x86/state.h"

#define NO_LEAF	 FEATURE_NO_LEAF
#define EAX	 CPUID_EAX
#define EBX	 CPUID_EBX
#define ECX	 CPUID_ECX
#define EDX	 CPUID_EDX
#define XCR0_YMM (XCR0_SSE | XCR0_AVX)
#define XCR0_ZMM (XCR0_YMM | XCR0_AVX512)
#define OWN	 FEATURE_OWN
#define HOST	 FEATURE_HOST
#define NONE	 FEATURE_NONE

static const struct feature features[F_N_FEATURES] = {
#define FEATURE(id, ...) [id] = {__VA_ARGS__},
#include "cpu/x86/features.inc"
#undef FEATURE
};

const struct feature *feature_get(enum insn_feature feature)
{
	g_assert(feature > F_BASE && feature < F_N_FEATURES);
	return &features[feature];
}

enum insn_feature feature_find(const char *name, size_t len)
{
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		if (strlen(features[f].name) == len && !memcmp(features[f].name, name, len))
			return f;
	return F_BASE;
}

/* What the host's operating system has enabled. */
static uint64_t host_xcr0(void)
{
	uint32_t r[4], low, high;

	__cpuid(1, r[EAX], r[EBX], r[ECX], r[EDX]);
	if (!(r[ECX] & 1 << 27)) /* OSXSAVE */
		return 0;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static bool host_has(const struct feature *f)
{
	uint32_t r[4];

	return __get_cpuid_count(f->leaf, f->subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) &&
	       (r[f->reg] >> f->bit & 1) && !(f->host_xcr0 & ~host_xcr0());
}

/* Asked once: where the host is a VM, its CPUID is slow. */
static gpointer find_available(gpointer unused)
{
	static bool available[F_N_FEATURES];

	available[F_BASE] = true;
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		available[f] = features[f].source == OWN ||
			       (features[f].source == HOST && host_has(&features[f]));
	return available;
}

bool feature_available(enum insn_feature feature)
{
	static GOnce once = G_ONCE_INIT;

	return ((const bool *)g_once(&once, find_available, NULL))[feature];
}

/* Whether a blank-separated list has the name. */
static bool names(const char *list, const char *name)
{
	for (size_t len; *list; list += len + (list[len] == ' ')) {
		len = strcspn(list, " ");
		if (strlen(name) == len && !memcmp(list, name, len))
			return true;
	}
	return false;
}

void feature_add(bool set[F_N_FEATURES], enum insn_feature feature)
{
	set[feature] = true;
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		if (!set[f] && names(features[feature].needs, features[f].name))
			feature_add(set, f);
}

void feature_remove(bool set[F_N_FEATURES], enum insn_feature feature)
{
	set[feature] = false;
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		if (set[f] && names(features[f].needs, features[feature].name))
			feature_remove(set, f);
}
