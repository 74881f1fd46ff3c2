/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU against the host's processor without end: single instructions of every row in
 * all operand forms, and short blocks of user-level code, in 64-bit and in 32-bit mode, on each
 * engine of the table below. Not a target of libFuzzer: its inputs are the numbers of the cases,
 * each reproducible by the seed that is printed.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "cpu/x86/mmu.h"
#include "insn_block.h"

static struct guest interpreted, translated;

/* A new way to run guest code is a row. */
static const struct guest_engine engines[] = {
	{"T0, one by one", &interpreted, 1, false, false, guest_run_steps},
	{"T0, in blocks", &interpreted, 1, false, false, guest_run_blocks},
	{"T1", &translated, 12, true, true, guest_run_blocks},
};

#define CASE_SECONDS 60 /* of CPU time; one that takes longer hangs */
#define MAX_REPORTS  20

static gint64 option_seed = -1, option_first, option_count;
static int option_seconds;
static gboolean option_show;
static const GOptionEntry options[] = {
	{"seed", 0, 0, G_OPTION_ARG_INT64, &option_seed, "which random numbers (else by the clock)",
	 "N"},
	{"first", 0, 0, G_OPTION_ARG_INT64, &option_first, "the case to begin with", "N"},
	{"count", 0, 0, G_OPTION_ARG_INT64, &option_count, "end after so many cases", "N"},
	{"show", 0, 0, G_OPTION_ARG_NONE, &option_show, "print the blocks that agree, too", NULL},
	{"seconds", 0, 0, G_OPTION_ARG_INT, &option_seconds, "end after so many seconds", "N"},
	{NULL},
};

struct totals {
	uint64_t result[COMPARISON_DIFFERENT + 1];
};

static enum comparison try_sample(GString *why)
{
	struct host_registers r;
	struct sample s;
	enum comparison result;

	do
		s = (struct sample){.row = insn_row_get(below(insn_table_size()))};
	while (!sample_is_testable(s.row));
	if (!sample_make(&s, &r))
		return COMPARISON_NOTHING;
	if (one_in(8))
		mmu_flush(interpreted.cpu);
	result = insn_compare_sample(engines, G_N_ELEMENTS(engines), &s, &r, why);
	if (result != COMPARISON_DIFFERENT && !option_show)
		return result;
	g_string_append_printf(why, "\n  %s (%s)", s.row->name, s.row->encoding);
	for (unsigned i = 0; i < s.insn.len; i++)
		g_string_append_printf(why, " %02x", s.bytes[i]);
	return result;
}

static bool differs(const struct insn_block *block, const uint8_t *data)
{
	g_autoptr(GString) why = g_string_new(NULL);

	memcpy(host_data, data, HOST_DATA_SIZE);
	return insn_compare(engines, G_N_ELEMENTS(engines), &block->code, why) ==
	       COMPARISON_DIFFERENT;
}

/* Makes NOPs of the instructions without which there is still a difference. */
static void reduce(struct insn_block *block, const uint8_t *data)
{
	for (unsigned n = block->n; n-- > 0;) {
		struct block_insn *insn = &block->insn[n];
		uint8_t bytes[BLOCK_MAX_BYTES];

		memcpy(bytes, block->bytes, sizeof(bytes));
		memset(block->bytes + insn->start, 0x90, insn->len);
		insn->gone = differs(block, data);
		if (!insn->gone)
			memcpy(block->bytes, bytes, sizeof(bytes));
	}
}

static enum comparison try_block(GString *why)
{
	static struct insn_block block;
	enum comparison result;
	g_autofree uint8_t *data = NULL;

	insn_block_make(&block);
	data = g_memdup2(host_data, HOST_DATA_SIZE);
	if (one_in(8))
		mmu_flush(interpreted.cpu);
	result = insn_compare(engines, G_N_ELEMENTS(engines), &block.code, why);
	if (result == COMPARISON_DIFFERENT)
		reduce(&block, data);
	if (result == COMPARISON_DIFFERENT || option_show)
		insn_block_describe(&block, why);
	return result;
}

static void run_case(uint32_t seed, uint64_t number, struct totals *totals)
{
	g_autoptr(GString) why = g_string_new(NULL);
	enum comparison result;

	memset(host_data, 0, HOST_DATA_SIZE);
	sample_seed(seed, number >> 32, number);
	sample_set_mode(one_in(3) ? INSN_MODE_32 : INSN_MODE_64);
	result = one_in(2) ? try_sample(why) : try_block(why);
	totals->result[result]++;
	if (result == COMPARISON_DIFFERENT || option_show)
		printf("case %" G_GUINT64_FORMAT " of seed %u, %d-bit: %s\n", number, seed,
		       sample_mode() == INSN_MODE_64 ? 64 : 32, why->str);
}

static void print_totals(const struct totals *totals, uint32_t seed, uint64_t first, uint64_t end)
{
	printf("seed %u, cases %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT
	       " agree, %" G_GUINT64_FORMAT " agree on an exception, %" G_GUINT64_FORMAT
	       " prove nothing, %" G_GUINT64_FORMAT " differ\n",
	       seed, first, end - 1, totals->result[COMPARISON_SAME],
	       totals->result[COMPARISON_FAULT], totals->result[COMPARISON_NOTHING],
	       totals->result[COMPARISON_DIFFERENT]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	struct totals totals = {0};
	gint64 start = g_get_monotonic_time();
	char epitaph[80];
	uint64_t number;
	uint32_t seed;
	const struct itimerval hangs = {.it_value.tv_sec = CASE_SECONDS};

	g_option_context_add_main_entries(context, options, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error)) {
		fprintf(stderr, "fuzz_insn: %s\n", error->message);
		return 2;
	}
	seed = option_seed >= 0 ? (uint32_t)option_seed : (uint32_t)g_get_real_time();
	host_init();
	host_set_epitaph(epitaph);
	guest_init(&interpreted, &engine_interp);
	guest_init(&translated, &engine_soft);
	for (number = option_first; !option_count || number - option_first < (uint64_t)option_count;
	     number++) {
		if (number % 4096 == 0) {
			setitimer(ITIMER_PROF, &hangs, NULL);
			if (option_seconds && g_get_monotonic_time() - start >
						      (gint64)option_seconds * G_USEC_PER_SEC)
				break;
		}
		g_snprintf(epitaph, sizeof(epitaph),
			   "died in case %" G_GUINT64_FORMAT " of seed %u\n", number, seed);
		run_case(seed, number, &totals);
		if (totals.result[COMPARISON_DIFFERENT] >= MAX_REPORTS) {
			number++;
			break;
		}
	}
	print_totals(&totals, seed, option_first, number);
	return totals.result[COMPARISON_DIFFERENT] != 0;
}
