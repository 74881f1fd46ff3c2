/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that are a command of the same name and no more: viv kill, pause, resume and reset
 * NAME. */
#include <string.h>

#include "cli/remote.h"
#include "cli/verb.h"

static const struct plain {
	const char *name;
	bool ends; /* the VM, which is waited for */
	const char *text;
} plains[] = {
	{"kill", true, "Ends a running VM at once, like pulling the plug.\n"},
	{"pause", false, "Holds a running VM and its clock, until `viv resume`.\n"},
	{"resume", false, "Lets a paused VM run on. Its clock has stood still meanwhile.\n"},
	{"reset", false,
	 "Starts a running VM again from power-on, its kernel loaded anew.\n"
	 "A paused one stays paused.\n"},
};

static int plain_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	const struct plain *plain = plains;
	struct usage usage = {.words = "NAME", .min_words = 1, .max_words = 1};
	int status;

	while (strcmp(plain->name, argv[0]))
		plain++;
	usage.text = plain->text;
	if (!usage_parse(&usage, argc, argv, NULL, words, &status))
		return status;
	return remote_call(words[0], plain->name, NULL, plain->ends);
}

const struct verb verb_kill = {"kill", "end a VM at once, like pulling the plug", plain_main};
const struct verb verb_pause = {"pause", "hold a VM and its clock", plain_main};
const struct verb verb_resume = {"resume", "let a paused VM run on", plain_main};
const struct verb verb_reset = {"reset", "start a VM again from power-on", plain_main};
