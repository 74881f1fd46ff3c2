/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viv monitor: commands for a running VM, a line each, from a human or a pipe. Which type a value
 * has the VM itself says, so that a monitor of another version knows its commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "vm/client.h"
#include "vm/control/command.h"

struct monitor_options {
	bool json;
};

static bool set_json(void *target, const char *value, GError **error)
{
	return ((struct monitor_options *)target)->json = true;
}

static const struct option_row monitor_rows[] = {
	{"json", 0, NULL, "lines are JSON as the socket speaks it, both ways", set_json},
};

static const char text[] =
	"Reads commands for a running VM from standard input, a line each, and prints what\n"
	"they return. Values with spaces are quoted as in a shell: insert file='a disk.img'\n"
	"Ends with status 1 where a command failed.\n"
	"\n"
	"Commands:\n";

static bool is_blank(const char *line)
{
	return !line[strspn(line, " \t")];
}

/* The row of a command's argument, as the VM's `help` returned it; NULL: none. */
static const char *find_type(JsonObject *help, const char *command, const char *name)
{
	JsonArray *commands = json_object_get_array_member(help, "commands");

	for (guint i = 0; i < json_array_get_length(commands); i++) {
		JsonObject *row = json_array_get_object_element(commands, i);
		JsonArray *arguments = json_object_get_array_member(row, "arguments");

		if (strcmp(json_object_get_string_member(row, "name"), command))
			continue;
		for (guint a = 0; a < json_array_get_length(arguments); a++) {
			JsonObject *argument = json_array_get_object_element(arguments, a);

			if (!strcmp(json_object_get_string_member(argument, "name"), name))
				return json_object_get_string_member(argument, "type");
		}
	}
	return NULL;
}

static bool refuse(GError **error, const char *word, const char *want)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is not %s", word, want);
	return false;
}

/* A word NAME=VALUE. The VM complains of names and values that it does not know. */
static bool add_argument(JsonObject *arguments, JsonObject *help, const char *command,
			 const char *word, GError **error)
{
	const char *equals = strchr(word, '=');
	g_autofree char *name = equals ? g_strndup(word, equals - word) : NULL;
	const char *type = name ? find_type(help, command, name) : NULL;
	gint64 number;

	if (!name)
		return refuse(error, word, "written NAME=VALUE");
	if (!g_strcmp0(type, control_type_name(CONTROL_INTEGER))) {
		if (!g_ascii_string_to_signed(equals + 1, 10, G_MININT64, G_MAXINT64, &number,
					      NULL))
			return refuse(error, word, "a whole number");
		json_object_set_int_member(arguments, name, number);
	} else if (!g_strcmp0(type, control_type_name(CONTROL_BOOLEAN))) {
		if (strcmp(equals + 1, "true") && strcmp(equals + 1, "false"))
			return refuse(error, word, "true or false");
		json_object_set_boolean_member(arguments, name, equals[1] == 't');
	} else if (!g_strcmp0(type, control_type_name(CONTROL_PATH))) {
		g_autofree char *path = g_canonicalize_filename(equals + 1, NULL);

		json_object_set_string_member(arguments, name, path);
	} else {
		json_object_set_string_member(arguments, name, equals + 1);
	}
	return true;
}

static void print_member(JsonObject *answer, const char *name, JsonNode *value, gpointer opaque)
{
	g_autofree char *as_json = json_to_string(value, FALSE);

	if (json_node_get_value_type(value) == G_TYPE_STRING)
		printf("%s: %s\n", name, json_node_get_string(value));
	else
		printf("%s: %s\n", name, as_json);
}

static void print_help(JsonObject *help)
{
	JsonArray *commands = json_object_get_array_member(help, "commands");

	for (guint i = 0; i < json_array_get_length(commands); i++) {
		JsonObject *row = json_array_get_object_element(commands, i);
		JsonArray *arguments = json_object_get_array_member(row, "arguments");

		fputs(json_object_get_string_member(row, "name"), stdout);
		for (guint a = 0; a < json_array_get_length(arguments); a++) {
			JsonObject *one = json_array_get_object_element(arguments, a);

			printf(json_object_get_boolean_member(one, "optional") ? " [%s=%s]"
									       : " %s=%s",
			       json_object_get_string_member(one, "name"),
			       json_object_get_string_member(one, "type"));
		}
		printf(": %s\n", json_object_get_string_member(row, "help"));
	}
}

static bool run_line(struct client *client, JsonObject *help, const char *line, GError **error)
{
	g_auto(GStrv) words = NULL;
	g_autoptr(JsonObject) arguments = json_object_new();
	g_autoptr(JsonObject) answer = NULL;

	if (!g_utf8_validate(line, -1, NULL))
		return refuse(error, "the line", "UTF-8");
	if (!g_shell_parse_argv(line, NULL, &words, error))
		return false;
	if (!strcmp(words[0], "help")) {
		print_help(help);
		return true;
	}
	for (char **word = words + 1; *word; word++) {
		if (!add_argument(arguments, help, words[0], *word, error))
			return false;
	}
	answer = client_call(client, words[0], json_object_ref(arguments), error);
	if (!answer)
		return false;
	json_object_foreach_member(answer, print_member, NULL);
	return true;
}

static bool pass_line(struct client *client, const char *line, GError **error)
{
	g_autofree char *answer = client_exchange(client, line, error);

	if (answer)
		puts(answer);
	return answer != NULL;
}

/* Until the end of input. False: a line failed. */
static bool run_lines(struct client *client, JsonObject *help)
{
	bool good = true, prompts = help && isatty(STDIN_FILENO);
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	for (;;) {
		g_autoptr(GError) error = NULL;

		if (prompts)
			printf("viv> ");
		fflush(stdout);
		len = getline(&line, &size, stdin);
		if (len < 0)
			break;
		line[strcspn(line, "\n")] = '\0';
		if (is_blank(line))
			continue;
		if (!(help ? run_line(client, help, line, &error)
			   : pass_line(client, line, &error))) {
			fprintf(stderr, "viv: %s\n", error->message);
			good = false;
			if (client_wait_end(client, 0))
				break;
		}
	}
	free(line);
	return good;
}

static int monitor_main(int argc, char **argv)
{
	g_autoptr(GString) page = g_string_new(text);
	const struct usage usage = {
		.words = "NAME",
		.min_words = 1,
		.max_words = 1,
		.text = (control_append_help(page), page->str),
		.rows = monitor_rows,
		.n_rows = G_N_ELEMENTS(monitor_rows),
	};
	const char *words[USAGE_MAX_WORDS];
	struct monitor_options options = {0};
	g_autoptr(JsonObject) help = NULL;
	struct client *client;
	GError *error = NULL;
	int status;

	if (!usage_parse(&usage, argc, argv, &options, words, &status))
		return status;
	client = client_open(words[0], &error);
	if (client && !options.json)
		help = client_call(client, "help", NULL, &error);
	if (error)
		status = report_error(error);
	else
		status = run_lines(client, help) ? EXIT_STATUS_OK : EXIT_STATUS_HOST;
	client_close(client);
	return status;
}

const struct verb verb_monitor = {"monitor", "commands for a VM, from standard input",
				  monitor_main};
