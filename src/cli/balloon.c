/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv balloon: how much of its memory a guest uses, and is left with. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "vm/client.h"

#define WAIT_MS 1000 /* for the guest's statistics, which are asked for first */
#define STEP_MS 20

static bool set_json(void *target, const char *value, GError **error)
{
	return *(bool *)target = true;
}

/* Asks, and again until the guest has answered what the first asking asked of it; NULL with the error set. */
static JsonObject *get_balloon(struct client *client, JsonObject *arguments, GError **error)
{
	JsonObject *answer = client_call(client, "balloon", arguments, error);
	gint64 before = answer ? json_object_get_int_member_with_default(answer, "updates", 0) : 0;

	for (unsigned ms = 0; answer && ms < WAIT_MS && json_object_get_boolean_member_with_default(answer, "driver", FALSE) &&
			      json_object_get_int_member_with_default(answer, "updates", 0) == before;
	     ms += STEP_MS) {
		json_object_unref(answer);
		g_usleep(1000 * STEP_MS);
		answer = client_call(client, "balloon", NULL, error);
	}
	return answer;
}

static void print_size(JsonObject *object, const char *member, const char *what)
{
	g_autofree char *text = NULL;

	if (!json_object_has_member(object, member))
		return;
	text = size_format(json_object_get_int_member(object, member));
	printf("%-22s %s\n", what, text);
}

static void print_balloon(JsonObject *answer)
{
	JsonObject *statistics = json_object_get_object_member(answer, "statistics");

	if (!json_object_get_boolean_member_with_default(answer, "driver", FALSE))
		printf("The guest has no driver for its balloon, as yet.\n");
	print_size(answer, "target", "to be left with");
	print_size(answer, "actual", "is left with");
	print_size(answer, "reported", "reported as unused");
	print_size(statistics, "total", "guest: total");
	print_size(statistics, "free", "guest: free");
	print_size(statistics, "available", "guest: available");
	print_size(statistics, "caches", "guest: caches");
}

static int show(const char *name, JsonObject *arguments, bool json)
{
	GError *error = NULL;
	struct client *client = client_open(name, &error);
	g_autoptr(JsonObject) answer = NULL;
	g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
	g_autofree char *text = NULL;

	if (!client) {
		json_object_unref(arguments);
		return report_error(error);
	}
	answer = get_balloon(client, arguments, &error);
	client_close(client);
	if (!answer)
		return report_error(error);
	json_node_set_object(node, answer);
	text = json_to_string(node, FALSE);
	if (json)
		puts(text);
	else
		print_balloon(answer);
	return EXIT_STATUS_OK;
}

static int balloon_main(int argc, char **argv)
{
	static const struct option_row rows[] = {{"json", 0, NULL, "all of it, as JSON", set_json}};
	static const struct usage usage = {
		.words = "NAME [SIZE]",
		.min_words = 1,
		.max_words = 2,
		.text = "Tells how much of its memory a running VM uses, which was started with --balloon. With SIZE,\n"
			"like 512M, the guest is to be left with so much; it gives back the rest as it can.\n",
		.rows = rows,
		.n_rows = G_N_ELEMENTS(rows),
	};
	const char *words[USAGE_MAX_WORDS];
	JsonObject *arguments;
	bool json = false;
	uint64_t size;
	int status;

	if (!usage_parse(&usage, argc, argv, &json, words, &status))
		return status;
	if (words[1] && (!size_parse(words[1], 20, &size) || size > INT64_MAX))
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						"'%s' is not a size; write it like 512M or 2G", words[1]));
	arguments = json_object_new();
	if (words[1])
		json_object_set_int_member(arguments, "size", size);
	return show(words[0], arguments, json);
}

const struct verb verb_balloon = {"balloon", "how much memory a VM's guest uses", balloon_main};
