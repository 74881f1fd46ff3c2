/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/option.h"

#include <string.h>

#include "base/error.h"

#define HELP_COLUMN 28

/* An argument taken apart. */
struct argument {
	const struct option_row *row;
	void *target;
	const char *value; /* written in the same argument, or NULL */
};

static bool matches(const struct option_row *row, const char *word, struct argument *argument)
{
	if (word[1] != '-') {
		argument->value = word[2] ? word + 2 : NULL;
		return row->letter && row->letter == word[1];
	}
	size_t len = strcspn(word + 2, "=");

	argument->value = word[2 + len] ? word + 2 + len + 1 : NULL;
	return strlen(row->name) == len && !memcmp(row->name, word + 2, len);
}

static bool find(const struct option_group *groups, size_t n_groups, const char *word,
		 struct argument *argument)
{
	for (const struct option_group *group = groups; group < groups + n_groups; group++) {
		for (size_t i = 0; i < group->n_rows; i++) {
			if (!matches(&group->rows[i], word, argument))
				continue;
			argument->row = &group->rows[i];
			argument->target = group->target;
			return true;
		}
	}
	return false;
}

static bool set(const struct argument *argument, GError **error)
{
	const struct option_row *row = argument->row;

	if (row->metavar && !argument->value) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "--%s needs a value: --%s %s",
			    row->name, row->name, row->metavar);
		return false;
	}
	if (!row->metavar && argument->value) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "--%s takes no value", row->name);
		return false;
	}
	if (row->set(argument->target, argument->value, error))
		return true;
	g_prefix_error(error, "--%s: ", row->name);
	return false;
}

/* A lone - is a word, and so is a negative number. */
static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] && !g_ascii_isdigit(word[1]);
}

bool option_parse_words(const struct option_group *groups, size_t n_groups, int argc, char **argv,
			const char *help_command, GPtrArray *words, GError **error)
{
	struct argument argument;

	for (int i = 1; i < argc; i++) {
		if (!is_option(argv[i])) {
			g_ptr_array_add(words, argv[i]);
			continue;
		}
		if (!find(groups, n_groups, argv[i], &argument)) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "unknown option '%s'; `%s` lists the options", argv[i],
				    help_command);
			return false;
		}
		if (argument.row->metavar && !argument.value && i + 1 < argc)
			argument.value = argv[++i];
		if (!set(&argument, error))
			return false;
	}
	return true;
}

void option_select(const struct option_group *groups, size_t n_groups, int argc, char **argv, const char *const *except,
		   GPtrArray *selected)
{
	const struct option_row *first = groups[0].rows, *end = first + groups[0].n_rows;
	struct argument argument;

	for (int i = 1; i < argc; i++) {
		if (!is_option(argv[i]) || !find(groups, n_groups, argv[i], &argument))
			continue;
		bool more = argument.row->metavar && !argument.value && i + 1 < argc;
		bool wanted = argument.row >= first && argument.row < end && !g_strv_contains(except, argument.row->name);

		if (wanted)
			g_ptr_array_add(selected, g_strdup(argv[i]));
		if (wanted && more)
			g_ptr_array_add(selected, g_strdup(argv[i + 1]));
		i += more;
	}
}

bool option_parse(const struct option_group *groups, size_t n_groups, int argc, char **argv,
		  const char *help_command, GError **error)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();

	if (!option_parse_words(groups, n_groups, argc, argv, help_command, words, error))
		return false;
	if (!words->len)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is no option, and there is nothing else to name here; see `%s`",
		    (const char *)words->pdata[0], help_command);
	return false;
}

void option_append_help(GString *out, const struct option_group *group)
{
	for (const struct option_row *row = group->rows; row < group->rows + group->n_rows; row++) {
		g_autofree char *letter =
			row->letter ? g_strdup_printf("-%c, ", row->letter) : g_strdup("    ");
		g_autofree char *left = g_strdup_printf("  %s--%s %s", letter, row->name,
							row->metavar ? row->metavar : "");
		g_auto(GStrv) lines = g_strsplit(row->help, "\n", -1);

		for (char **line = lines; *line; line++)
			g_string_append_printf(out, "%-*s %s\n", HELP_COLUMN,
					       line == lines ? left : "", *line);
	}
}
