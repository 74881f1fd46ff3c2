/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the command line, as tables. A row names the option, says what it
 * is for and sets it; parsing, `--help` and the errors read the rows.
 *
 * Options are written --name VALUE, --name=VALUE, -n VALUE or -nVALUE. A row without
 * a metavar takes no value.
 */
#ifndef VIV_BASE_OPTION_H
#define VIV_BASE_OPTION_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct option_row {
	const char *name;
	char letter;	     /* 0: has no short form */
	const char *metavar; /* NULL: a flag */
	const char *help;
	/* `value` is NULL for a flag. The error is what is wrong with the value and
	 * what to write instead; the option's name is put before it. */
	bool (*set)(void *target, const char *value, GError **error);
};

struct option_group {
	const struct option_row *rows;
	size_t n_rows;
	void *target;
};

/*
 * Sets what argv[1] .. argv[argc - 1] say. Arguments that are no options are an error;
 * messages name the argument and refer to `help_command`.
 */
bool option_parse(const struct option_group *groups, size_t n_groups, int argc, char **argv,
		  const char *help_command, GError **error);
/* The same, but words that are no options are appended to `words`, whose elements are the caller's
 * argv. */
bool option_parse_words(const struct option_group *groups, size_t n_groups, int argc, char **argv,
			const char *help_command, GPtrArray *words, GError **error);
/* Appends copies of the words of argv that set rows of groups[0], but not those that `except` (NULL ends) names; for a
 * command line that was parsed well. */
void option_select(const struct option_group *groups, size_t n_groups, int argc, char **argv, const char *const *except,
		   GPtrArray *selected);
/* The rows of a group for `--help`, a line or more each. */
void option_append_help(GString *out, const struct option_group *group);

#endif
