/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator against the interpreter without end: random programs, on which engine_pair.h
 * says what is compared. Not a target of libFuzzer: its inputs are the numbers of the cases, each
 * reproducible by the seed that is printed. What differs is reduced to the parts that matter.
 */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "engine_pair.h"

#define CASE_SECONDS 120 /* of CPU time; one that takes longer hangs */
#define MAX_REPORTS  10
#define MAX_INSNS    30

static gint64 option_seed = -1, option_first, option_count;
static int option_seconds;
static gboolean option_whole;
static const GOptionEntry options[] = {
	{"seed", 0, 0, G_OPTION_ARG_INT64, &option_seed, "which random numbers (else by the clock)",
	 "N"},
	{"first", 0, 0, G_OPTION_ARG_INT64, &option_first, "the case to begin with", "N"},
	{"count", 0, 0, G_OPTION_ARG_INT64, &option_count, "end after so many cases", "N"},
	{"seconds", 0, 0, G_OPTION_ARG_INT, &option_seconds, "end after so many seconds", "N"},
	{"whole", 0, 0, G_OPTION_ARG_NONE, &option_whole, "do not reduce what differs", NULL},
	{NULL},
};

struct test_case {
	struct insn_program program;
	struct pair_options options;
};

static void make_case(struct test_case *c, uint32_t seed, uint64_t number)
{
	static const unsigned thresholds[] = {1, 1, 1, 2, 3};

	sample_seed(seed, number >> 32, number);
	sample_set_mode(INSN_MODE_64);
	memset(host_data, 0, HOST_DATA_SIZE);
	sample_data();
	c->options = (struct pair_options){
		.privilege = below(PAIR_N_PRIVILEGES),
		.threshold = thresholds[below(G_N_ELEMENTS(thresholds))],
		.place = number % PAIR_PLACES,
		.rewritten = one_in(4),
	};
	insn_program_make(&c->program, one_in(4) ? 1 : 1 + below(MAX_INSNS));
}

static enum pair_result try_case(struct engine_pair *pair, const struct test_case *c, GString *why)
{
	g_string_truncate(why, 0);
	return engine_pair_try(pair, &c->program, &c->options, why);
}

/* Replaces parts by NOPs, as long as there is a difference. */
static void reduce(struct engine_pair *pair, struct test_case *c, GString *why)
{
	g_autoptr(GString) other = g_string_new(NULL);
	struct insn_program *p = &c->program;

	for (unsigned i = p->n_parts; i-- > 0;) {
		struct program_part *part = &p->parts[i];
		g_autofree uint8_t *saved = g_memdup2(p->bytes + part->start, part->len);

		if (!strcmp(part->name, "end"))
			continue;
		memset(p->bytes + part->start, 0x90, part->len);
		if (try_case(pair, c, other) == PAIR_DIFFERENT) {
			g_string_assign(why, other->str);
			part->name = "-";
		} else {
			memcpy(p->bytes + part->start, saved, part->len);
		}
	}
}

static void report(const struct test_case *c, uint32_t seed, uint64_t number, GString *why)
{
	static const char *const privileges[] = {"user", "supervisor",
						 "supervisor with SMAP and AC"};
	const struct insn_program *p = &c->program;

	for (unsigned i = 0; i < p->n_parts; i++)
		if (strcmp(p->parts[i].name, "-")) {
			struct insn_program one = {.offset = p->offset, .n_parts = 1};

			one.parts[0] = p->parts[i];
			memcpy(one.bytes, p->bytes, p->len);
			insn_program_describe(&one, why);
		}
	printf("case %" G_GUINT64_FORMAT " of seed %u, %s, threshold %u%s: %s\n", number, seed,
	       privileges[c->options.privilege], c->options.threshold,
	       c->options.rewritten ? ", rewritten" : "", why->str);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GString) why = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autofree struct test_case *c = g_new0(struct test_case, 1);
	uint64_t number, totals[PAIR_DIFFERENT + 1] = {0};
	gint64 start = g_get_monotonic_time();
	struct engine_pair *pair;
	char epitaph[80];
	uint32_t seed;
	const struct itimerval hangs = {.it_value.tv_sec = CASE_SECONDS};

	g_option_context_add_main_entries(context, options, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error)) {
		fprintf(stderr, "fuzz_jit: %s\n", error->message);
		return 2;
	}
	seed = option_seed >= 0 ? (uint32_t)option_seed : (uint32_t)g_get_real_time();
	host_init();
	host_set_epitaph(epitaph);
	pair = engine_pair_new();
	for (number = option_first; !option_count || number - option_first < (uint64_t)option_count;
	     number++) {
		enum pair_result result;

		setitimer(ITIMER_PROF, &hangs, NULL);
		if (option_seconds && number % 16 == 0 &&
		    g_get_monotonic_time() - start > (gint64)option_seconds * G_USEC_PER_SEC)
			break;
		g_snprintf(epitaph, sizeof(epitaph),
			   "died in case %" G_GUINT64_FORMAT " of seed %u\n", number, seed);
		make_case(c, seed, number);
		result = try_case(pair, c, why);
		totals[result]++;
		if (result != PAIR_DIFFERENT)
			continue;
		if (!option_whole)
			reduce(pair, c, why);
		report(c, seed, number, why);
		if (totals[PAIR_DIFFERENT] >= MAX_REPORTS) {
			number++;
			break;
		}
	}
	printf("seed %u, cases %" G_GINT64_FORMAT " to %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT
	       " agree, %" G_GUINT64_FORMAT " prove nothing, %" G_GUINT64_FORMAT " differ\n",
	       seed, option_first, number - 1, totals[PAIR_SAME], totals[PAIR_NOTHING],
	       totals[PAIR_DIFFERENT]);
	engine_pair_free(pair);
	return totals[PAIR_DIFFERENT] != 0;
}
