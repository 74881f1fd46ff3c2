/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/trace.h"

#include <string.h>

#include "base/error.h"

static int64_t now(const void *clock)
{
	return *(const int64_t *)clock;
}

static void test_lines(void)
{
	int64_t time = 12000000345;
	char *text = NULL;
	size_t size;
	struct trace trace = {.to = open_memstream(&text, &size), .now_ns = now, .clock = &time};

	trace.on[TRACE_cpu_cr3] = trace.on[TRACE_blk_done] = true;
	trace_cpu_cr3(&trace, 3, 0x1000, 0x2000);
	trace_cpu_mode(&trace, 3, 1, 2);
	trace_cpu_cr3(NULL, 3, 0x1000, 0x2000);
	trace_blk_done(&trace, TRACE_NO_VCPU, 1, 512, -5);
	fclose(trace.to);
	g_assert_cmpstr(text, ==,
			"[   12.000000345] 3 cpu_cr3: from 1000 to 2000\n"
			"[   12.000000345] - blk_done: operation 1 at 512, status -5\n");
	free(text);
}

static unsigned count(const bool *on)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TRACE_N; i++)
		n += on[i];
	return n;
}

static void test_names(void)
{
	bool on[TRACE_N] = {false};

	g_assert_true(trace_enable(on, "cpu_cr3", NULL));
	g_assert_true(on[TRACE_cpu_cr3]);
	g_assert_cmpuint(count(on), ==, 1);
	g_assert_true(trace_enable(on, "jit_flush,blk_*", NULL));
	g_assert_true(on[TRACE_cpu_cr3] && on[TRACE_jit_flush] && on[TRACE_blk_request] &&
		      on[TRACE_blk_done]);
	g_assert_cmpuint(count(on), ==, 4);
	g_assert_true(trace_enable(on, "*", NULL));
	g_assert_cmpuint(count(on), ==, TRACE_N);
}

static void test_wrong_names(void)
{
	static const char *const wrong[] = {"", "cpu", "cpu_*,", "jit_flush,nothing", "*x"};

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autoptr(GError) error = NULL;
		bool on[TRACE_N];

		g_assert_false(trace_enable(on, wrong[i], &error));
		g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
		g_assert_nonnull(strstr(error->message, "--trace help"));
	}
}

static void test_help(void)
{
	g_autoptr(GString) help = g_string_new(NULL);

	trace_append_help(help);
	g_assert_nonnull(strstr(help->str, "  cpu_exception      an exception is delivered\n"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/trace/lines", test_lines);
	g_test_add_func("/trace/names", test_names);
	g_test_add_func("/trace/wrong-names", test_wrong_names);
	g_test_add_func("/trace/help", test_help);
	return g_test_run();
}
