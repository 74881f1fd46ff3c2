/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processor models: their table, what users write, and CPUID as each tells it. That instructions go
 * with it is for tests/guest/models.c. */
#include <string.h>

#include "base/error.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/model.h"

static struct x86_model parse(const char *text)
{
	g_autoptr(GError) error = NULL;
	struct x86_model m;

	g_assert_true(x86_model_parse(&m, text, &error));
	g_assert_no_error(error);
	return m;
}

static struct cpuid leaf(const struct x86_model *m, uint32_t n)
{
	struct x86_state reset;

	x86_state_reset(&reset, true);
	return cpuid_get(m, n, 0, &reset, 0, 1);
}

/* Each model stands on what its features need, and parses, or says what the host lacks. */
static void test_table(void)
{
	const char *name;

	for (unsigned n = 0; (name = x86_model_name(n)); n++) {
		g_autoptr(GError) error = NULL;
		struct x86_model m, whole;

		if (!x86_model_parse(&m, name, &error)) {
			g_assert_nonnull(strstr(error->message, "cannot be had on this host"));
			continue;
		}
		g_assert_cmpstr(m.name, ==, name);
		whole = m;
		for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
			if (m.has[f])
				feature_add(whole.has, f);
		g_assert_cmpmem(whole.has, sizeof(whole.has), m.has, sizeof(m.has));
		g_assert_cmpuint(strlen(m.vendor), ==, 12);
		for (unsigned i = 0; i < n; i++)
			g_assert_cmpstr(x86_model_name(i), !=, name);
	}
}

static void test_features(void)
{
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++) {
		g_auto(GStrv) needs = g_strsplit(feature_get(f)->needs, " ", 0);
		const char *name = feature_get(f)->name;

		g_assert_cmpuint(feature_find(name, strlen(name)), ==, f);
		for (char **need = needs; *need; need++)
			g_assert_cmpuint(feature_find(*need, strlen(*need)), !=, F_BASE);
	}
}

static void test_changes(void)
{
	struct x86_model m = parse("v2,-sse2");

	g_assert_false(m.has[F_SSE2] || m.has[F_SSE3] || m.has[F_SSE42]);
	g_assert_true(m.has[F_SSE] && m.has[F_LM]);
	m = parse("pentium,+lahf_lm");
	g_assert_true(m.has[F_LM] && m.has[F_PAE] && m.has[F_LAHF64]);
	g_assert_false(m.has[F_SSE]);
	m = parse("pentium3,-mmx,+sse");
	g_assert_true(m.has[F_SSE] && m.has[F_MMX]);
	m = parse("pentium3,+sse,-mmx");
	g_assert_false(m.has[F_SSE] || m.has[F_MMX]);
	m = parse("host");
	g_assert_false(m.exact);
	g_assert_cmpmem(&m, sizeof(m), x86_model_host(), sizeof(m));
	g_assert_true(parse("host,-avx").has[F_SSE42]);
	/* What an engine may add, and what not. */
	g_assert_false(parse("host").hides || parse("default,+avx").hides);
	g_assert_true(parse("host,-avx").hides && parse("v1").hides);
	g_assert_cmphex(parse("host,-avx").xcr0_mask, ==, XCR0_X87 | XCR0_SSE);
}

static void test_errors(void)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = {
		{"", "'' is not a processor model"},
		{"v9", "'v9' is not a processor model"},
		{",+avx", "'' is not a processor model"},
		{"v1,", "'' neither adds nor takes away"},
		{"v1,avx", "'avx' neither adds nor takes away"},
		{"v1,+", "no feature ''"},
		{"v1,+avx9", "no feature 'avx9'"},
		{"v1,-fpu", "every model has it"},
		{"v1,+avx512f", "cannot be had on this host; add ,-avx512f"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		struct x86_model m = {.name = "untouched"};

		if (feature_available(F_AVX512F) && strstr(cases[i].text, "avx512"))
			continue;
		g_assert_false(x86_model_parse(&m, cases[i].text, &error));
		g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
		g_assert_nonnull(strstr(error->message, cases[i].wanted));
		g_assert_cmpstr(m.name, ==, "untouched");
	}
}

/* Words by hand, from the parts' documentation. */
static void test_cpuid(void)
{
	struct x86_model m = parse("486");

	g_assert_cmphex(leaf(&m, 0).eax, ==, 1);
	g_assert_cmphex(leaf(&m, 0).ebx, ==, 0x756e6547);
	g_assert_cmphex(leaf(&m, 0).edx, ==, 0x49656e69);
	g_assert_cmphex(leaf(&m, 0).ecx, ==, 0x6c65746e);
	g_assert_cmphex(leaf(&m, 1).eax, ==, 0x480);
	g_assert_cmphex(leaf(&m, 1).edx, ==, 0xb);
	g_assert_cmphex(leaf(&m, 1).ecx, ==, 0);
	g_assert_cmphex(leaf(&m, 1).ebx, ==, 0);
	g_assert_cmphex(m.cr4_mask, ==, CR4_VME | CR4_PVI | CR4_PSE);
	g_assert_cmphex(m.efer_mask, ==, 0);
	/* Intel's give the last basic leaf for any beyond it. */
	g_assert_cmphex(leaf(&m, 0x80000000).eax, ==, 0x480);
	g_assert_cmphex(leaf(&m, 7).edx, ==, 0xb);
	g_assert_cmphex(leaf(&m, 0x40000000).ebx, ==, 0);

	m = parse("pentium");
	g_assert_cmphex(leaf(&m, 1).eax >> 8 & 0xf, ==, 5);
	g_assert_cmphex(leaf(&m, 1).edx, ==, 0x1bf);

	m = parse("pentium3");
	g_assert_cmphex(leaf(&m, 1).edx, ==, 0x383fbff);
	g_assert_cmphex(leaf(&m, 2).eax & 0xff, ==, 1);

	m = parse("core2");
	g_assert_cmphex(leaf(&m, 1).ecx, ==, 0x80002201);
	g_assert_cmphex(leaf(&m, 0x80000001).edx, ==, 0x20100800);
	g_assert_cmphex(leaf(&m, 0x80000008).eax & 0xff, ==, CPU_PHYS_BITS);
	g_assert_cmphex(m.efer_mask, ==, EFER_SCE | EFER_LME | EFER_NXE);
	g_assert_cmphex(m.rflags_mask & RFLAGS_ID, ==, RFLAGS_ID);
	g_assert_cmphex(parse("core2,-cpuid").rflags_mask & RFLAGS_ID, ==, 0);

	m = parse("opteron");
	g_assert_true(m.is_amd);
	g_assert_cmphex(leaf(&m, 1).eax, ==, leaf(&m, 0x80000001).eax);
	g_assert_cmphex(leaf(&m, 7).ebx, ==, 0);
	g_assert_cmphex(leaf(&m, 2).eax, ==, 0);
	g_assert_cmphex(leaf(&m, 0x40000000).ebx, ==, 0x4b4d564b);
}

static void test_help(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	const char *name;

	x86_model_append_help(text);
	for (unsigned n = 0; (name = x86_model_name(n)); n++) {
		g_autofree char *line = g_strdup_printf("\n  %s ", name);

		g_assert_nonnull(strstr(text->str, line));
	}
	for (enum insn_feature f = F_BASE + 1; f < F_N_FEATURES; f++)
		g_assert_nonnull(strstr(text->str, feature_get(f)->name));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/model/table", test_table);
	g_test_add_func("/model/features", test_features);
	g_test_add_func("/model/changes", test_changes);
	g_test_add_func("/model/errors", test_errors);
	g_test_add_func("/model/cpuid", test_cpuid);
	g_test_add_func("/model/help", test_help);
	return g_test_run();
}
