/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/control/command.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

#define HELP_COLUMN 34

static const char *const type_names[CONTROL_N_TYPES] = {
	[CONTROL_STRING] = "string",
	[CONTROL_PATH] = "path",
	[CONTROL_INTEGER] = "integer",
	[CONTROL_BOOLEAN] = "boolean",
};

const char *control_type_name(enum control_type type)
{
	return type_names[type];
}

static const struct control_command *find_command(const char *name)
{
	for (size_t i = 0; i < control_n_commands; i++) {
		if (!strcmp(control_commands[i].name, name))
			return &control_commands[i];
	}
	return NULL;
}

static bool is_last(const struct control_command *command, unsigned i)
{
	return i == CONTROL_MAX_ARGUMENTS || !command->arguments[i].name;
}

static const struct control_argument *find_argument(const struct control_command *command,
						    const char *name)
{
	for (unsigned i = 0; !is_last(command, i); i++) {
		if (!strcmp(command->arguments[i].name, name))
			return &command->arguments[i];
	}
	return NULL;
}

static bool check_value(const struct control_argument *argument, JsonNode *value, GError **error)
{
	static const GType types[CONTROL_N_TYPES] = {
		[CONTROL_STRING] = G_TYPE_STRING,
		[CONTROL_PATH] = G_TYPE_STRING,
		[CONTROL_INTEGER] = G_TYPE_INT64,
		[CONTROL_BOOLEAN] = G_TYPE_BOOLEAN,
	};
	int64_t number;

	if (!JSON_NODE_HOLDS_VALUE(value) ||
	    json_node_get_value_type(value) != types[argument->type])
		return viv_refuse(error, "'%s' is of type %s", argument->name,
			      type_names[argument->type]);
	if (argument->type == CONTROL_PATH && !g_path_is_absolute(json_node_get_string(value)))
		return viv_refuse(error, "'%s' is an absolute path: it begins with /", argument->name);
	if (argument->type != CONTROL_INTEGER)
		return true;
	number = json_node_get_int(value);
	if (number < argument->min || number > argument->max)
		return viv_refuse(error, "'%s' is from %" PRId64 " to %" PRId64, argument->name,
			      argument->min, argument->max);
	return true;
}

static bool check_arguments(const struct control_command *command, JsonObject *arguments,
			    GError **error)
{
	JsonObjectIter iter;
	const char *name;
	JsonNode *value;

	json_object_iter_init(&iter, arguments);
	while (json_object_iter_next(&iter, &name, &value)) {
		const struct control_argument *argument = find_argument(command, name);

		if (!argument)
			return viv_refuse(error, "'%s' has no argument '%s'; `help` lists them",
				      command->name, name);
		if (!check_value(argument, value, error))
			return false;
	}
	for (unsigned i = 0; !is_last(command, i); i++) {
		const struct control_argument *argument = &command->arguments[i];

		if (!argument->optional && !json_object_has_member(arguments, argument->name))
			return viv_refuse(error, "'%s' needs the argument '%s'", command->name,
				      argument->name);
	}
	return true;
}

JsonObject *control_execute(struct vm *vm, const char *name, JsonObject *arguments, GError **error)
{
	const struct control_command *command = find_command(name);
	g_autoptr(JsonObject) given = arguments ? json_object_ref(arguments) : json_object_new();
	g_autoptr(JsonObject) answer = json_object_new();

	if (!command) {
		viv_refuse(error, "there is no command '%s'; `help` lists them", name);
		return NULL;
	}
	if (!check_arguments(command, given, error) || !command->run(vm, given, answer, error))
		return NULL;
	return g_steal_pointer(&answer);
}

void control_append_help(GString *out)
{
	for (size_t i = 0; i < control_n_commands; i++) {
		const struct control_command *command = &control_commands[i];
		g_autoptr(GString) left = g_string_new(command->name);

		for (unsigned a = 0; !is_last(command, a); a++) {
			const struct control_argument *argument = &command->arguments[a];

			g_string_append_printf(left, argument->optional ? " [%s=%s]" : " %s=%s",
					       argument->name, type_names[argument->type]);
		}
		g_string_append_printf(out, "  %-*s %s\n", HELP_COLUMN, left->str, command->help);
	}
}
