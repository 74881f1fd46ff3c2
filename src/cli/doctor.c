/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv doctor: what this host offers, measured, and what `--engine auto` makes of it. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/option.h"
#include "cli/verb.h"
#include "cpu/engine_choose.h"
#include "cpu/x86/model.h"
#include "mem/mem.h"

struct doctor_options {
	bool help, json;
};

struct findings {
	struct engine_choice choice;
	GError *kvm_error, *soft_error; /* NULL: the engine runs */
	double soft_mips;
	long host_cpus;
	uint64_t memory, memory_available,
		address_space; /* in bytes; the last one UINT64_MAX: no limit */
	GString *features;
};

static bool set_help(void *target, const char *value, GError **error)
{
	return ((struct doctor_options *)target)->help = true;
}

static bool set_json(void *target, const char *value, GError **error)
{
	return ((struct doctor_options *)target)->json = true;
}

static const struct option_row rows[] = {
	{"json", 0, NULL, "one JSON object, for programs", set_json},
	{"help", 'h', NULL, "this page", set_help},
};

static void print_help(const struct option_group *group)
{
	g_autoptr(GString) text = g_string_new(
		"Usage: viv doctor [--json]\n"
		"\n"
		"Says what this host offers to guests: whether KVM runs here and how fast, how "
		"fast\n"
		"the software engine is, which of them `viv run --engine auto` takes, and why.\n"
		"\n"
		"Options:\n");

	option_append_help(text, group);
	g_string_append(text, "\nExit status: 0, whatever it found; 2 for a wrong option.\n");
	fputs(text->str, stdout);
}

static void examine(struct findings *f)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	struct rlimit limit;
	double kvm_mips;

	*f = (struct findings){.features = g_string_new(NULL)};
	f->soft_mips = engine_measure(&engine_soft, &f->soft_error);
	kvm_mips = engine_measure(&engine_kvm, &f->kvm_error);
	engine_choose_by(&f->choice, kvm_mips, f->kvm_error);
	f->host_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	f->memory = sysconf(_SC_PHYS_PAGES) * page;
	f->memory_available = sysconf(_SC_AVPHYS_PAGES) * page;
	f->address_space = UINT64_MAX;
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		f->address_space = limit.rlim_cur;
	for (enum insn_feature i = F_BASE + 1; i < F_N_FEATURES; i++)
		if (x86_model_host()->has[i])
			g_string_append_printf(f->features, "%s%s", f->features->len ? " " : "",
					       feature_get(i)->name);
}

static void findings_fini(struct findings *f)
{
	g_clear_error(&f->kvm_error);
	g_clear_error(&f->soft_error);
	g_free(f->choice.reason);
	g_string_free(f->features, TRUE);
}

static void print_engine(const char *name, double mips, const GError *error)
{
	if (error)
		printf("%-10s does not run: %s\n", name, error->message);
	else
		printf("%-10s runs kernel code at %.*f MIPS\n", name, mips < 10, mips);
}

static void print_text(const struct findings *f)
{
	print_engine("kvm", f->choice.kvm_mips, f->kvm_error);
	print_engine("soft", f->soft_mips, f->soft_error);
	printf("%-10s takes %s: %s\n", "auto", f->choice.engine->name, f->choice.reason);
	printf("%-10s %ld processors, %" PRIu64 " MiB of memory, %" PRIu64 " MiB of it free\n",
	       "host", f->host_cpus, f->memory >> 20, f->memory_available >> 20);
	if (f->address_space != UINT64_MAX)
		printf("%-10s %" PRIu64 " MiB of address space a process (ulimit -v)\n", "limit",
		       f->address_space >> 20);
	printf("%-10s up to %u processors, %llu MiB to %llu GiB of memory\n", "guests",
	       f->choice.engine->max_vcpus, MEM_MIN_SIZE >> 20, MEM_MAX_SIZE >> 30);
	printf("%-10s %s\n", "features", f->features->str);
}

static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = *text;

		if (c < 0x20)
			printf("\\u%04x", c);
		else
			printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	putchar('"');
}

static void print_json_engine(const char *name, double mips, const GError *error)
{
	char number[G_ASCII_DTOSTR_BUF_SIZE];

	printf("\"%s\": {\"runs\": %s, \"mips\": %s", name, error ? "false" : "true",
	       g_ascii_formatd(number, sizeof(number), "%.1f", mips));
	if (error) {
		printf(", \"error\": ");
		print_json_string(error->message);
	}
	printf("}, ");
}

static void print_json(const struct findings *f)
{
	g_auto(GStrv) names = g_strsplit(f->features->str, " ", 0);

	printf("{\"engines\": {");
	print_json_engine("kvm", f->choice.kvm_mips, f->kvm_error);
	print_json_engine("soft", f->soft_mips, f->soft_error);
	printf("\"auto\": \"%s\", \"reason\": ", f->choice.engine->name);
	print_json_string(f->choice.reason);
	printf("}, \"host\": {\"processors\": %ld, \"memory\": %" PRIu64
	       ", \"memory_free\": %" PRIu64,
	       f->host_cpus, f->memory, f->memory_available);
	if (f->address_space != UINT64_MAX)
		printf(", \"address_space_limit\": %" PRIu64, f->address_space);
	printf("}, \"guests\": {\"max_processors\": %u, \"min_memory\": %llu, \"max_memory\": "
	       "%llu, "
	       "\"features\": [",
	       f->choice.engine->max_vcpus, MEM_MIN_SIZE, MEM_MAX_SIZE);
	for (size_t i = 0; names[i]; i++)
		printf("%s\"%s\"", i ? ", " : "", names[i]);
	printf("]}}\n");
}

static int doctor_main(int argc, char **argv)
{
	struct doctor_options options = {0};
	const struct option_group group = {rows, G_N_ELEMENTS(rows), &options};
	GError *error = NULL;
	struct findings findings;

	if (!option_parse(&group, 1, argc, argv, "viv doctor --help", &error))
		return report_error(error);
	if (options.help) {
		print_help(&group);
		return EXIT_STATUS_OK;
	}
	examine(&findings);
	if (options.json)
		print_json(&findings);
	else
		print_text(&findings);
	findings_fini(&findings);
	return EXIT_STATUS_OK;
}

const struct verb verb_doctor = {"doctor", "say what this host offers, and which engine suits it",
				 doctor_main};
