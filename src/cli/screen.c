/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv screenshot, text, type, key and mouse: a running VM's screen, and a hand on its keyboard and mouse. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/types.h"
#include "cli/verb.h"
#include "vm/client.h"

#define POLL_MS	       100
#define DEFAULT_WAIT_S 60
#define MAX_WAIT_S     86400

static int screenshot_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME FILE",
		.min_words = 2,
		.max_words = 2,
		.text = "Writes what a running VM's screen shows to FILE, as PNG.\n",
	};
	const char *words[USAGE_MAX_WORDS];
	g_autofree char *path = NULL;
	JsonObject *arguments;
	int status;

	if (!usage_parse(&usage, argc, argv, NULL, words, &status))
		return status;
	path = remote_path(words[1], &status);
	if (!path)
		return status;
	arguments = json_object_new();
	json_object_set_string_member(arguments, "file", path);
	return remote_call(words[0], "screenshot", arguments, false);
}

struct text_options {
	const char *wait; /* NULL: no */
	guint64 timeout_s;
};

static bool set_wait(void *target, const char *value, GError **error)
{
	((struct text_options *)target)->wait = value;
	return true;
}

static bool set_timeout(void *target, const char *value, GError **error)
{
	struct text_options *options = target;

	if (g_ascii_string_to_unsigned(value, 10, 1, MAX_WAIT_S, &options->timeout_s, NULL))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is not a number of seconds; write 1 to %d", value, MAX_WAIT_S);
	return false;
}

static const struct option_row text_rows[] = {
	{"wait", 0, "TEXT", "first wait until TEXT stands on the screen", set_wait},
	{"timeout", 0, "SECONDS", "with --wait: give up after so long; without it: 60", set_timeout},
};

/* The screen's text; NULL with the error set. A screen of graphics has none. */
static char *get_text(struct client *client, GError **error)
{
	g_autoptr(JsonObject) answer = client_call(client, "text", NULL, error);

	return answer ? g_strdup(json_object_get_string_member(answer, "text")) : NULL;
}

/* While it waits, a screen of graphics is none that has the text yet. */
static char *wait_for_text(struct client *client, const struct text_options *options, GError **error)
{
	gint64 deadline = g_get_monotonic_time() + (gint64)options->timeout_s * G_USEC_PER_SEC;

	for (;;) {
		g_autoptr(GError) refusal = NULL;
		char *text = get_text(client, &refusal);

		if (text && strstr(text, options->wait))
			return text;
		if (refusal && !g_error_matches(refusal, VIV_ERROR, VIV_ERROR_INPUT)) {
			g_propagate_error(error, g_steal_pointer(&refusal));
			return NULL;
		}
		if (g_get_monotonic_time() >= deadline) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
				    "'%s' did not appear in %" G_GUINT64_FORMAT " s; %s%s", options->wait,
				    options->timeout_s, text ? "the screen says:\n" : "", text ? text : refusal->message);
			g_free(text);
			return NULL;
		}
		g_free(text);
		g_usleep(POLL_MS * 1000);
	}
}

static int text_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME",
		.min_words = 1,
		.max_words = 1,
		.text = "Prints the text screen of a running VM.\n",
		.rows = text_rows,
		.n_rows = G_N_ELEMENTS(text_rows),
	};
	struct text_options options = {.timeout_s = DEFAULT_WAIT_S};
	const char *words[USAGE_MAX_WORDS];
	struct client *client;
	g_autofree char *text = NULL;
	GError *error = NULL;
	int status;

	if (!usage_parse(&usage, argc, argv, &options, words, &status))
		return status;
	client = client_open(words[0], &error);
	if (client)
		text = options.wait ? wait_for_text(client, &options, &error) : get_text(client, &error);
	client_close(client);
	if (!text)
		return report_error(error);
	fputs(text, stdout);
	return EXIT_STATUS_OK;
}

/* NAME and one string, which the command of the verb's name takes as its argument. */
static int string_main(int argc, char **argv, const struct usage *usage, const char *argument)
{
	const char *words[USAGE_MAX_WORDS];
	JsonObject *arguments;
	int status;

	if (!usage_parse(usage, argc, argv, NULL, words, &status))
		return status;
	if (!g_utf8_validate(words[1], -1, NULL))
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						"that is not in UTF-8; write it so"));
	arguments = json_object_new();
	json_object_set_string_member(arguments, argument, words[1]);
	return remote_call(words[0], argv[0], arguments, false);
}

static int type_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME TEXT",
		.min_words = 2,
		.max_words = 2,
		.text = "Presses the keys for TEXT, which a US keyboard must have, in a running VM. A\n"
			"newline in it is the Enter key, as in viv type web $'root\\n'.\n"
			"\n"
			"viv type ls is another thing: it lists instance types.\n",
	};

	/* A VM of that name is typed at with what is to be typed. */
	if (argc >= 2 && !strcmp(argv[1], "ls") && (argc == 2 || argv[2][0] == '-'))
		return types_ls_main(argc - 1, argv + 1);
	return string_main(argc, argv, &usage, "text");
}

static int key_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME KEYS",
		.min_words = 2,
		.max_words = 2,
		.text = "Presses keys together in a running VM: ctrl-alt-del, f10, enter, shift-a.\n",
	};

	return string_main(argc, argv, &usage, "keys");
}

static bool set_click(void *target, const char *value, GError **error)
{
	json_object_set_string_member(target, "click", value);
	return true;
}

static bool set_relative(void *target, const char *value, GError **error)
{
	json_object_set_boolean_member(target, "relative", TRUE);
	return true;
}

static bool add_number(JsonObject *arguments, const char *name, const char *value, GError **error)
{
	gint64 number;

	if (!g_ascii_string_to_signed(value, 10, INT_MIN, INT_MAX, &number, NULL)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is not a number", value);
		return false;
	}
	json_object_set_int_member(arguments, name, number);
	return true;
}

static bool set_wheel(void *target, const char *value, GError **error)
{
	return add_number(target, "wheel", value, error);
}

static const struct option_row mouse_rows[] = {
	{"click", 0, "BUTTON", "press a button, once there: left, right or middle", set_click},
	{"wheel", 0, "NOTCHES", "turn the wheel: up, or down where negative", set_wheel},
	{"relative", 0, NULL, "X and Y say by how much, not where to", set_relative},
};

static int mouse_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME [X Y]",
		.min_words = 1,
		.max_words = 3,
		.text = "Moves the pointer of a running VM to the pixel X, Y of its screen. Negative numbers\n"
			"go behind --, as in viv mouse --relative -- web -5 3.\n",
		.rows = mouse_rows,
		.n_rows = G_N_ELEMENTS(mouse_rows),
	};
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(JsonObject) arguments = json_object_new();
	GError *error = NULL;
	int status;

	if (!usage_parse(&usage, argc, argv, arguments, words, &status))
		return status;
	if (words[1] && !words[2])
		error = g_error_new(VIV_ERROR, VIV_ERROR_INPUT, "Y is missing; write viv mouse NAME X Y");
	else if (words[1] && add_number(arguments, "x", words[1], &error))
		add_number(arguments, "y", words[2], &error);
	if (error)
		return report_error(error);
	return remote_call(words[0], "mouse", g_steal_pointer(&arguments), false);
}

const struct verb verb_screenshot = {"screenshot", "write a VM's screen as a PNG file", screenshot_main};
const struct verb verb_text = {"text", "print a VM's text screen", text_main};
const struct verb verb_type = {"type", "press keys for a text in a VM", type_main};
const struct verb verb_key = {"key", "press keys together in a VM", key_main};
const struct verb verb_mouse = {"mouse", "move a VM's pointer, click, turn the wheel", mouse_main};
