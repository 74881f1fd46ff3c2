/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a running VM is asked for by its control socket: a table, the one home of each command's
 * name, arguments and meaning. Dispatch, the command `help`, `viv monitor --help` and the checks of
 * what a peer sends read the rows.
 */
#ifndef VIV_VM_CONTROL_COMMAND_H
#define VIV_VM_CONTROL_COMMAND_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;

enum control_type {
	CONTROL_STRING,
	CONTROL_PATH, /* a string: a file's absolute path */
	CONTROL_INTEGER,
	CONTROL_BOOLEAN,
	CONTROL_N_TYPES
};

struct control_argument {
	const char *name;
	enum control_type type;
	bool optional;
	int64_t min, max; /* of an integer */
};

#define CONTROL_MAX_ARGUMENTS 9

struct control_command {
	const char *name;
	const char *help;
	/* On the loop thread, which it does not block. `arguments` holds those that the row names,
	 * of their types and ranges, the mandatory ones at least. Adds members to `answer`, an
	 * empty object, or fails with the error set. */
	bool (*run)(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
	struct control_argument
		arguments[CONTROL_MAX_ARGUMENTS]; /* up to the first without a name */
};

extern const struct control_command control_commands[];
extern const size_t control_n_commands;

const char *control_type_name(enum control_type type);
/* Checks the arguments and runs the command; NULL with the error set. `arguments` may be NULL. */
JsonObject *control_execute(struct vm *vm, const char *name, JsonObject *arguments, GError **error);
/* The rows for a human, a line or two each. */
void control_append_help(GString *out);

#endif
