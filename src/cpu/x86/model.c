/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/model.h"

#include <cpuid.h>
#include <string.h>

#include "base/error.h"
#include "cpu/x86/state.h"

#define INTEL "GenuineIntel"
#define AMD   "AuthenticAMD"

/*
 * A model has its own features and those of the row it is based on, which stands before it. Numbers
 * are those of a part of that name as its maker's revision guide or specification update has them.
 * The levels are the x86-64 psABI's, with the system features of processors that brought them; they
 * tell the vendor and numbers that `host` does, so that the guest expects what the host's
 * instructions do.
 */
static const struct model_row {
	const char *name, *base;
	const char *vendor;				 /* NULL: the host's */
	uint32_t signature, max_leaf, max_extended_leaf; /* 0: those of `host` */
	const char *features;
	const char *help;
} rows[] = {
	{"486", NULL, INTEL, 0x480, 1, 0, "cpuid fpu vme pse", "Intel 486 DX4, 1994"},
	{"pentium", "486", INTEL, 0x52c, 1, 0, "de tsc msr mce cx8", "Intel Pentium (P54C), 1994"},
	{"pentium-mmx", "pentium", INTEL, 0x543, 1, 0, "mmx",
	 "Intel Pentium with MMX (P55C), 1997"},
	{"pentium2", "pentium-mmx", INTEL, 0x652, 2, 0,
	 "apic sep mtrr pge mca cmov pae pat pse36 fxsr", "Intel Pentium II, 1998"},
	{"pentium3", "pentium2", INTEL, 0x68a, 2, 0, "sse", "Intel Pentium III, 2000"},
	{"core2", "pentium3", INTEL, 0x6fb, 0xa, 0x80000008,
	 "sse2 clflush pni ssse3 cx16 lahf_lm syscall nx lm hypervisor",
	 "Intel Core 2 (65 nm), 2006"},
	{"nehalem", "core2", INTEL, 0x106a5, 0xb, 0x80000008,
	 "sse4_1 sse4_2 popcnt rdtscp nonstop_tsc x2apic", "Intel Core i7-900, 2008"},
	{"haswell", "nehalem", INTEL, 0x306c3, 0xd, 0x80000008,
	 "aes pclmulqdq movbe rdrand xsave xsaveopt avx avx2 fma f16c bmi1 bmi2 abm fsgsbase smep "
	 "erms "
	 "invpcid pcid tsc_deadline_timer pdpe1gb arat",
	 "Intel Core, 4th generation, 2013"},
	{"skylake", "haswell", INTEL, 0x506e3, 0x16, 0x80000008,
	 "rdseed adx smap clflushopt xsavec xsaves 3dnowprefetch", "Intel Core, 6th generation, 2015"},
	{"opteron", NULL, AMD, 0xf5a, 1, 0x80000008,
	 "cpuid fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush "
	 "mmx "
	 "fxsr sse sse2 syscall nx lm hypervisor",
	 "AMD Opteron (K8), 2003"},
	{"zen2", "opteron", AMD, 0x830f10, 0x10, 0x80000021,
	 "pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand x2apic "
	 "tsc_deadline_timer fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt clwb sha_ni "
	 "umip "
	 "rdpid xsaveopt xsavec xsaves lahf_lm abm 3dnowprefetch pdpe1gb rdtscp nonstop_tsc arat",
	 "AMD EPYC, 2nd generation, 2019"},
	{"v1", NULL, NULL, 0, 0, 0,
	 "cpuid fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush "
	 "mmx "
	 "fxsr sse sse2 syscall nx lm hypervisor x2apic tsc_deadline_timer nonstop_tsc arat",
	 "x86-64-v1: every 64-bit processor"},
	{"v2", "v1", NULL, 0, 0, 0, "cx16 lahf_lm popcnt pni ssse3 sse4_1 sse4_2 rdtscp",
	 "x86-64-v2: to SSE4.2, from about 2009 on"},
	{"v3", "v2", NULL, 0, 0, 0,
	 "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave xsaveopt fsgsbase smep pcid invpcid pdpe1gb",
	 "x86-64-v3: to AVX2, from about 2013 on"},
	{"v4", "v3", NULL, 0, 0, 0,
	 "avx512f avx512bw avx512cd avx512dq avx512vl smap clflushopt clwb", "x86-64-v4: AVX-512"},
};

static const struct {
	const char *name, *help;
} of_host[] = {
	{"host", "all that this host and viv can give"},
	{"default", "the same without AVX-512; without --cpu"},
};

static void host_vendor(char vendor[13])
{
	uint32_t max, r[3];

	__cpuid(0, max, r[0], r[2], r[1]);
	memcpy(vendor, r, 12);
}

static void set_masks(struct x86_model *m)
{
	m->cr4_mask = 0;
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		if (m->has[f])
			m->cr4_mask |= feature_get(f)->cr4;
	m->xcr0_mask = XCR0_X87 | XCR0_SSE | (m->has[F_AVX] ? XCR0_AVX : 0) |
		       (m->has[F_AVX512F] ? XCR0_AVX512 : 0);
	m->efer_mask = (m->has[F_SYSCALL] ? EFER_SCE : 0) | (m->has[F_LM] ? EFER_LME : 0) |
		       (m->has[F_NX] ? EFER_NXE : 0);
	m->rflags_mask = RFLAGS_LOADABLE | RFLAGS_FIXED;
	if (!m->has[F_CPUID])
		m->rflags_mask &= ~(uint64_t)RFLAGS_ID;
	if (!m->has[F_VME])
		m->rflags_mask &= ~(uint64_t)(RFLAGS_VIF | RFLAGS_VIP);
}

/* Family, model and stepping are a plain x86-64-v3 part's, not the host's: errata tables go by
 * them. */
static void init_host(struct x86_model *m)
{
	*m = (struct x86_model){.name = "host", .max_leaf = 0x16};
	host_vendor(m->vendor);
	m->is_amd = !strcmp(m->vendor, AMD);
	m->signature = m->is_amd ? 0x830f10 : 0x306c3;
	m->max_extended_leaf = m->is_amd ? 0x80000021 : 0x80000008;
	memset(m->has, true, sizeof(m->has));
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		if (!feature_available(f))
			feature_remove(m->has, f);
	set_masks(m);
}

static gpointer make_host(gpointer unused)
{
	static struct x86_model host;

	init_host(&host);
	return &host;
}

const struct x86_model *x86_model_host(void)
{
	static GOnce once = G_ONCE_INIT;

	return g_once(&once, make_host, NULL);
}

const char *x86_model_name(unsigned n)
{
	unsigned row = n - G_N_ELEMENTS(of_host);

	if (n < G_N_ELEMENTS(of_host))
		return of_host[n].name;
	return row < G_N_ELEMENTS(rows) ? rows[row].name : NULL;
}

static const struct model_row *find_row(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

static void add_features(const struct model_row *row, bool has[F_N_FEATURES])
{
	g_auto(GStrv) names = g_strsplit(row->features, " ", 0);

	if (row->base)
		add_features(find_row(row->base), has);
	for (char **name = names; *name; name++) {
		enum insn_feature f = feature_find(*name, strlen(*name));

		g_assert(f != F_BASE);
		has[f] = true;
	}
}

static bool init_named(struct x86_model *m, const char *name)
{
	const struct model_row *row = find_row(name);

	init_host(m);
	if (!strcmp(name, "host"))
		return true;
	if (!strcmp(name, "default")) {
		m->name = of_host[1].name;
		feature_remove(m->has, F_AVX512F);
		return true;
	}
	if (!row)
		return false;
	m->name = row->name;
	m->exact = m->hides = true;
	if (row->vendor) {
		g_strlcpy(m->vendor, row->vendor, sizeof(m->vendor));
		m->is_amd = !strcmp(m->vendor, AMD);
		m->signature = row->signature;
		m->max_leaf = row->max_leaf;
		m->max_extended_leaf = row->max_extended_leaf;
	}
	memset(m->has, false, sizeof(m->has));
	m->has[F_BASE] = true;
	add_features(row, m->has);
	return true;
}

/* One +FEATURE or -FEATURE. */
static bool change(struct x86_model *m, const char *word, GError **error)
{
	enum insn_feature f = word[0] ? feature_find(word + 1, strlen(word + 1)) : F_BASE;

	if (word[0] != '+' && word[0] != '-') {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' neither adds nor takes away; write +FEATURE or -FEATURE", word);
		return false;
	}
	if (f == F_BASE || f == F_FPU) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    f ? "%s cannot be changed, as every model has it; leave '%s' out"
			      : "there is no feature '%s' (in '%s'); --cpu help lists them",
			    word + 1, word);
		return false;
	}
	if (word[0] == '+') {
		feature_add(m->has, f);
	} else {
		feature_remove(m->has, f);
		m->hides = true;
	}
	return true;
}

static bool check_available(const struct x86_model *m, GError **error)
{
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++) {
		if (!m->has[f] || feature_available(f))
			continue;
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' with %s cannot be had on this host; add ,-%s, or use host",
			    m->name, feature_get(f)->name, feature_get(f)->name);
		return false;
	}
	return true;
}

bool x86_model_parse(struct x86_model *model, const char *text, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, ",", 0);
	struct x86_model m;

	if (!init_named(&m, words[0] ? words[0] : "")) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is not a processor model; --cpu help lists them",
			    words[0] ? words[0] : "");
		return false;
	}
	for (char **word = words + 1; *word; word++)
		if (!change(&m, *word, error))
			return false;
	if (!check_available(&m, error))
		return false;
	set_masks(&m);
	*model = m;
	return true;
}

static gpointer make_default(gpointer unused)
{
	static struct x86_model model;

	g_assert(x86_model_parse(&model, of_host[1].name, NULL));
	return &model;
}

const struct x86_model *x86_model_default(void)
{
	static GOnce once = G_ONCE_INIT;

	return g_once(&once, make_default, NULL);
}

void x86_model_append_help(GString *out)
{
	unsigned column = 0;

	g_string_append(out, "Models (--cpu MODEL[,+FEATURE][,-FEATURE]...):\n");
	for (size_t i = 0; i < G_N_ELEMENTS(of_host); i++)
		g_string_append_printf(out, "  %-12s  %s\n", of_host[i].name, of_host[i].help);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		g_string_append_printf(out, "  %-12s  %s\n", rows[i].name, rows[i].help);
	g_string_append(out, "\nFeatures; those in brackets cannot be had on this host:\n");
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++) {
		const char *name = feature_get(f)->name;
		bool available = feature_available(f);

		if (column + strlen(name) + 3 > 78) {
			g_string_append_c(out, '\n');
			column = 0;
		}
		g_string_append_printf(out, column ? " %s%s%s" : "  %s%s%s", available ? "" : "[",
				       name, available ? "" : "]");
		column += strlen(name) + (column ? 1 : 2) + (available ? 0 : 2);
	}
	g_string_append_c(out, '\n');
}
