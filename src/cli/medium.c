/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv eject and viv insert: CDs and floppy disks of a running VM. */
#include "cli/remote.h"
#include "cli/verb.h"

static const struct usage eject_usage = {
	.words = "NAME [DRIVE]",
	.min_words = 1,
	.max_words = 2,
	.text = "Takes the medium out of DRIVE, cd0 or floppy0, of a running VM; without DRIVE:\n"
		"cd0.\n",
};

static const struct usage insert_usage = {
	.words = "NAME FILE [DRIVE]",
	.min_words = 2,
	.max_words = 3,
	.text = "Puts the image FILE into DRIVE, cd0 or floppy0, of a running VM, in place of\n"
		"what is there; without DRIVE: cd0. The guest sees the medium change.\n",
};

static void add_drive(JsonObject *arguments, const char *drive)
{
	if (drive)
		json_object_set_string_member(arguments, "drive", drive);
}

static int eject_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	JsonObject *arguments;
	int status;

	if (!usage_parse(&eject_usage, argc, argv, NULL, words, &status))
		return status;
	arguments = json_object_new();
	add_drive(arguments, words[1]);
	return remote_call(words[0], "eject", arguments, false);
}

static int insert_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_autofree char *path = NULL;
	JsonObject *arguments;
	int status;

	if (!usage_parse(&insert_usage, argc, argv, NULL, words, &status))
		return status;
	path = remote_path(words[1], &status);
	if (!path)
		return status;
	arguments = json_object_new();
	json_object_set_string_member(arguments, "file", path);
	add_drive(arguments, words[2]);
	return remote_call(words[0], "insert", arguments, false);
}

const struct verb verb_eject = {"eject", "take a CD or floppy disk out of a VM's drive",
				eject_main};
const struct verb verb_insert = {"insert", "put a CD or floppy disk into a VM's drive",
				 insert_main};
