/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/engine_choose.h"

#include <string.h>

#include "base/error.h"

static void test_rule(void)
{
	static const struct {
		double mips;
		const struct engine *engine;
		const char *says;
	} cases[] = {
		{0.6, &engine_soft, "0.6 MIPS, below"},
		{199, &engine_soft, "199 MIPS, below"},
		{200, &engine_kvm, "200 MIPS, above"},
		{6000, &engine_kvm, "6000 MIPS, above"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct engine_choice choice;

		engine_choose_by(&choice, cases[i].mips, NULL);
		g_assert_true(choice.engine == cases[i].engine);
		g_assert_nonnull(strstr(choice.reason, cases[i].says));
		g_assert_null(strchr(choice.reason, '\n'));
		g_free(choice.reason);
	}
}

static void test_no_kvm(void)
{
	g_autoptr(GError) error = g_error_new(VIV_ERROR, VIV_ERROR_HOST, "no such luck");
	struct engine_choice choice;

	engine_choose_by(&choice, 0, error);
	g_assert_true(choice.engine == &engine_soft);
	g_assert_nonnull(strstr(choice.reason, "no such luck"));
	g_free(choice.reason);
}

/* The measured program's loop is what runs: no engine manages a thousand instructions a cycle. Sanitizers on a
 * busy host have no lower bound. */
static void test_measure_soft(void)
{
	GError *error = NULL;
	double mips = engine_measure(&engine_soft, &error);

	g_assert_no_error(error);
	g_assert_cmpfloat(mips, >, 0);
	g_assert_cmpfloat(mips, <, 100000);
}

static void test_choose(void)
{
	struct engine_choice choice;

	engine_choose(&choice);
	g_test_message("%s", choice.reason);
	if (choice.engine == &engine_kvm)
		g_assert_cmpfloat(choice.kvm_mips, >=, ENGINE_KVM_MIN_MIPS);
	else
		g_assert_cmpfloat(choice.kvm_mips, <, ENGINE_KVM_MIN_MIPS);
	g_free(choice.reason);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/engine-choose/rule", test_rule);
	g_test_add_func("/engine-choose/no-kvm", test_no_kvm);
	g_test_add_func("/engine-choose/measure-soft", test_measure_soft);
	g_test_add_func("/engine-choose/choose", test_choose);
	return g_test_run();
}
