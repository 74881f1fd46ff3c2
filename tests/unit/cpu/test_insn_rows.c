/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every row of the instruction table against the host's processor, in 64-bit and in 32-bit mode:
 * random encodings, registers and memory; the same bytes run natively and by cpu_step(), and
 * everything that the instruction could have changed is compared. fuzz_insn goes on without end.
 *
 * VIV_INSN_COUNT samples a row (0: until stopped), VIV_INSN_SEED to start from, VIV_INSN_ROW to
 * try rows of one name only.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/mmu.h"
#include "insn_compare.h"

#define MAX_REPORT 60

static struct guest guest;
static unsigned n_differences;

static void report(const struct sample *s, const char *why)
{
	g_autoptr(GString) line = g_string_new(NULL);

	n_differences++;
	for (unsigned i = 0; i < s->insn.len; i++)
		g_string_append_printf(line, "%02x ", s->bytes[i]);
	g_test_message("%s (%s): %s%s", s->row->name, s->row->encoding, line->str, why);
}

/* True if the instruction ran without an exception. */
static bool run_sample(struct sample *s)
{
	static const struct guest_engine steps = {"cpu_step", &guest, 1,
						  false,      false,  guest_run_steps};
	g_autoptr(GString) why = g_string_new(NULL);
	struct host_registers r;
	enum comparison result;

	if (!sample_make(s, &r))
		return false;
	if (one_in(8))
		mmu_flush(guest.cpu);
	result = insn_compare_sample(&steps, 1, s, &r, why);
	if (result == COMPARISON_DIFFERENT)
		report(s, why->str);
	return result == COMPARISON_SAME;
}

/* Rows that always fault, or whose bytes the decoder takes for another row's, prove nothing. */
static void check_all_ran(const unsigned *ran)
{
	for (size_t i = 0; i < insn_table_size(); i++) {
		const struct insn_row *row = insn_row_get(i);

		/* #GP and #UD at CPL 3. */
		if ((row->flags & IF_CPL0) || !strcmp(row->name, "clac") ||
		    !strcmp(row->name, "stac"))
			continue;
		if (!strcmp(row->name, "prefetchw") && guest.cpu->model->is_amd)
			continue;
		if (sample_is_testable(row) && !ran[i])
			g_error("%s (%s) has never run without an exception", row->name,
				row->encoding);
	}
}

static void test_rows(enum insn_mode mode)
{
	const char *count = g_getenv("VIV_INSN_COUNT"), *seed = g_getenv("VIV_INSN_SEED");
	const char *only = g_getenv("VIV_INSN_ROW");
	uint64_t n = count ? strtoull(count, NULL, 0) : 60;
	uint32_t first = seed ? strtoul(seed, NULL, 0) : 1;
	g_autofree unsigned *ran = g_new0(unsigned, insn_table_size());

	sample_set_mode(mode);
	n_differences = 0;
	for (uint64_t i = 0; (n == 0 || i < n) && n_differences < MAX_REPORT; i++) {
		for (size_t row = 0; row < insn_table_size(); row++) {
			struct sample s = {.row = insn_row_get(row)};

			if (!sample_is_testable(s.row) || (only && strcmp(only, s.row->name)))
				continue;
			/* So that one row's samples do not depend on the others. */
			sample_seed(first, row, i);
			ran[row] += run_sample(&s);
		}
	}
	g_assert_cmpuint(n_differences, ==, 0);
	if (n >= 50 && !only)
		check_all_ran(ran);
}

static void test_rows64(void)
{
	test_rows(INSN_MODE_64);
}

static void test_rows32(void)
{
	test_rows(INSN_MODE_32);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	host_init();
	guest_init(&guest, &engine_interp);
	g_test_add_func("/insn/host/64", test_rows64);
	g_test_add_func("/insn/host/32", test_rows32);
	return g_test_run();
}
