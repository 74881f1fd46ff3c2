/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/remote.h"

#include <stdio.h>

#include "base/error.h"
#include "cli/verb.h"
#include "vm/client.h"

#define END_S 30 /* in which a VM flushes and closes its disks */

static bool set_help(void *target, const char *value, GError **error)
{
	return *(bool *)target = true;
}

static const struct option_row help_rows[] = {{"help", 'h', NULL, "this page", set_help}};

static void print_help(const struct usage *usage, const char *verb,
		       const struct option_group groups[2])
{
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_printf(text, "Usage: viv %s %s%s\n\n%s\nOptions:\n", verb,
			       usage->n_rows ? "[OPTIONS] " : "", usage->words, usage->text);
	for (unsigned i = 0; i < 2; i++)
		option_append_help(text, &groups[i]);
	if (usage->append_help)
		usage->append_help(text);
	fputs(text->str, stdout);
}

static bool check_words(const struct usage *usage, const char *verb, const GPtrArray *words,
			GError **error)
{
	if (words->len < usage->min_words)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "something is missing; write viv %s %s", verb, usage->words);
	else if (words->len > usage->max_words)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is one word too many; write viv %s %s",
			    (const char *)words->pdata[usage->max_words], verb, usage->words);
	else
		return true;
	return false;
}

bool usage_parse(const struct usage *usage, int argc, char **argv, void *target,
		 const char *words[USAGE_MAX_WORDS], int *status)
{
	bool help = false;
	const struct option_group groups[] = {
		{usage->rows, usage->n_rows, target},
		{help_rows, G_N_ELEMENTS(help_rows), &help},
	};
	g_autofree char *help_command = g_strdup_printf("viv %s --help", argv[0]);
	g_autoptr(GPtrArray) found = g_ptr_array_new();
	GError *error = NULL;

	if (!option_parse_words(groups, G_N_ELEMENTS(groups), argc, argv, help_command, found,
				&error) ||
	    (!help && !check_words(usage, argv[0], found, &error))) {
		*status = report_error(error);
		return false;
	}
	if (help) {
		print_help(usage, argv[0], groups);
		*status = EXIT_STATUS_OK;
		return false;
	}
	for (unsigned i = 0; i < USAGE_MAX_WORDS; i++)
		words[i] = i < found->len ? found->pdata[i] : NULL;
	return true;
}

char *remote_path(const char *file, int *status)
{
	g_autofree char *path = g_canonicalize_filename(file, NULL);

	if (g_utf8_validate(path, -1, NULL))
		return g_steal_pointer(&path);
	*status = report_error(
		g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
			    "the file's path is not in UTF-8, which JSON needs; give it another"));
	return NULL;
}

int remote_call(const char *name, const char *command, JsonObject *arguments, bool ends)
{
	GError *error = NULL;
	struct client *client = client_open(name, &error);
	g_autoptr(JsonObject) given = arguments;
	g_autoptr(JsonObject) answer =
		client ? client_call(client, command, g_steal_pointer(&given), &error) : NULL;

	if (answer && ends && !client_wait_end(client, END_S))
		g_set_error(&error, VIV_ERROR, VIV_ERROR_HOST,
			    "VM '%s' has not ended within %d seconds; end its process", name,
			    END_S);
	client_close(client);
	return error ? report_error(error) : EXIT_STATUS_OK;
}
