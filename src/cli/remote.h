/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs that ask something of a running VM share: words besides options, and the call. */
#ifndef VIV_CLI_REMOTE_H
#define VIV_CLI_REMOTE_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "base/option.h"

#define USAGE_MAX_WORDS 3

struct usage {
	const char *words; /* as in NAME [DRIVE] */
	unsigned min_words, max_words;
	const char *text;	       /* what it does; ended lines */
	const struct option_row *rows; /* besides --help */
	size_t n_rows;
	void (*append_help)(GString *out); /* what stands at the end of --help; NULL: nothing */
};

/* Takes a verb's command line apart: `target` is the rows', absent words are NULL. False with the
 * exit status, where that was all: help or an error was printed. */
bool usage_parse(const struct usage *usage, int argc, char **argv, void *target,
		 const char *words[USAGE_MAX_WORDS], int *status);

/* A file's absolute path for the VM; NULL with the exit status, the error printed, where JSON cannot hold it. */
char *remote_path(const char *file, int *status);
/* Runs one command, waits for the VM's end where that is what it brings, and prints the error if
 * there is one. The exit status. `arguments` is taken and may be NULL. */
int remote_call(const char *name, const char *command, JsonObject *arguments, bool ends);

#endif
