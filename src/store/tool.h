/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs of the distribution, run for what they do well. */
#ifndef VIV_STORE_TOOL_H
#define VIV_STORE_TOOL_H

#include <glib.h>
#include <stdbool.h>

/* Where the steps of a long work are told: by step on a terminal in one line that changes, else a line each.
 */
struct steps {
	const char *what; /* "building debian" */
	bool quiet, terminal;
	gint64 start_us;
	char *step;
};
void steps_begin(struct steps *steps, const char *what, bool quiet);
/* `percent` below 0: it is not known. */
void steps_tell(struct steps *steps, const char *step, int percent);
void steps_end(struct steps *steps);

/* Whether they are all installed; the error names the packages of those that are not. NULL ends. */
bool tool_check(const char *const *names, GError **error);
/*
 * Runs `argv` and waits; its standard output is returned in `output` where that is not NULL. What it prints
 * else is in the error where it fails, and at the end of the file `log` where that is not NULL. `on_line`
 * sees each line of its standard error.
 */
struct tool {
	const char *const *argv;
	const char *log;
	void (*on_line)(void *opaque, const char *line);
	void *opaque;
};
bool tool_run(const struct tool *tool, char **output, GError **error);

#endif
