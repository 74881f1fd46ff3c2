/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/verb.h"

static const struct verb *const verbs[] = {
	&verb_run,
	&verb_create,
	&verb_start,
	&verb_ssh,
	&verb_ls,
	&verb_stop,
	&verb_kill,
	&verb_pause,
	&verb_resume,
	&verb_reset,
	&verb_eject,
	&verb_insert,
	&verb_screen,
	&verb_screenshot,
	&verb_text,
	&verb_type,
	&verb_key,
	&verb_mouse,
	&verb_console,
	&verb_vsock,
	&verb_agent,
	&verb_balloon,
	&verb_monitor,
	&verb_clone,
	&verb_inspect,
	&verb_rm,
	&verb_image,
	&verb_disk,
	&verb_net,
	&verb_pcap,
	&verb_firewall,
	&verb_doctor,
	&verb_help,
	&verb_version,
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	}
	return NULL;
}

int report_error(GError *error)
{
	int status = g_error_matches(error, VIV_ERROR, VIV_ERROR_INPUT) ? EXIT_STATUS_USAGE
									: EXIT_STATUS_HOST;

	fprintf(stderr, "viv: %s\n", error->message);
	g_error_free(error);
	return status;
}

static int unknown_verb(const char *name)
{
	return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
					"unknown verb '%s'; `viv help` lists the verbs", name));
}

static void list_verbs(FILE *out)
{
	fprintf(out, "Usage: viv VERB [OPTIONS]\n\nVivarium runs whole computers in software.\n\n");
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fprintf(out, "\n`viv VERB --help` explains one.\n");
}

static int help(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2 || !strcmp(argv[1], "--help")) {
		list_verbs(stdout);
		return EXIT_STATUS_OK;
	}
	verb = find_verb(argv[1]);
	if (!verb)
		return unknown_verb(argv[1]);
	return verb->run(2, (char *[]){argv[1], "--help", NULL});
}

const struct verb verb_help = {"help", "list the verbs, or explain one: viv help run", help};

static int version(int argc, char **argv)
{
	printf("viv %s\n", VIV_VERSION);
	return EXIT_STATUS_OK;
}

const struct verb verb_version = {"version", "print the version", version};

/* Standard descriptors that the caller has closed would be given to the next files opened, and
 * the guest's console be a disk. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	fill_standard_descriptors();
	if (argc < 2) {
		list_verbs(stderr);
		return EXIT_STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		argv[1] = "help";
	else if (!strcmp(argv[1], "--version"))
		argv[1] = "version";
	verb = find_verb(argv[1]);
	return verb ? verb->run(argc - 1, argv + 1) : unknown_verb(argv[1]);
}
