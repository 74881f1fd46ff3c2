/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv disk stat and limit: disks of a running VM. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "block/throttle.h"
#include "cli/disk.h"
#include "vm/client.h"

static const struct option_row stat_rows[] = {DISK_ROW_JSON};

static const struct usage stat_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Tells what the disks of a running VM have done since it was started: requests,\n"
		"bytes, errors, and the mean time that a request took.\n",
	.rows = stat_rows,
	.n_rows = G_N_ELEMENTS(stat_rows),
};

static void print_disk(JsonObject *disk)
{
	static const char *const ops[] = {"read", "write", "zero", "discard", "flush"};

	printf("%s: %s, %s%s\n", json_object_get_string_member(disk, "name"),
	       json_object_get_string_member(disk, "file"),
	       json_object_get_string_member(disk, "format"),
	       json_object_get_boolean_member(disk, "read_only") ? ", read-only" : "");
	for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
		JsonObject *count = json_object_get_object_member(disk, ops[i]);
		int64_t n = json_object_get_int_member(count, "requests");
		int64_t ns = json_object_get_int_member(count, "total_ns");
		g_autofree char *bytes = size_format(json_object_get_int_member(count, "bytes"));

		if (n)
			printf("  %-8s %10" PRId64 " requests, %12s, %" PRId64
			       " errors, %.3f ms each\n",
			       ops[i], n, bytes, json_object_get_int_member(count, "errors"),
			       ns / 1e6 / n);
	}
	printf("  now      %10" PRId64 " in flight, %" PRId64 " of them held by limits\n",
	       json_object_get_int_member(disk, "in_flight"),
	       json_object_get_int_member(disk, "held"));
}

static int stat_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	g_autoptr(JsonObject) answer = NULL;
	struct client *client;
	GError *error = NULL;
	JsonArray *disks;
	int status;

	if (!usage_parse(&stat_usage, argc, argv, &options, words, &status))
		return status;
	client = client_open(words[0], &error);
	answer = client ? client_call(client, "disks", NULL, &error) : NULL;
	client_close(client);
	if (!answer)
		return report_error(error);
	disks = json_object_get_array_member(answer, "disks");
	if (options.json) {
		JsonNode *node = json_node_new(JSON_NODE_ARRAY);

		json_node_set_array(node, disks);
		disk_print_json(node);
		return EXIT_STATUS_OK;
	}
	for (unsigned i = 0; i < json_array_get_length(disks); i++)
		print_disk(json_array_get_object_element(disks, i));
	return EXIT_STATUS_OK;
}

static bool add_limit(JsonObject *arguments, const char *word, GError **error)
{
	const char *equals = strchr(word, '=');
	g_autofree char *name = g_strndup(word, equals ? equals - word : 0);
	struct block_limits limits;
	uint64_t value;

	if (!equals || !block_find_limit(&limits, name, strlen(name)))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is no limit; write iops=N or bps=SIZE, with -rd, -wr or -burst "
			    "before the =",
			    word);
	else if (!size_parse(equals + 1, 0, &value) || value > INT64_MAX)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is not a number; write it like 500 or 20M", word);
	else
		json_object_set_int_member(arguments, name, value);
	return !*error;
}

static const struct usage limit_usage = {
	.words = "NAME DISK LIMIT[,...]",
	.min_words = 3,
	.max_words = 3,
	.text = "Limits DISK of a running VM, as `viv disk stat` names it: iops=N requests and\n"
		"bps=SIZE bytes a second, reads and writes together; iops-rd, iops-wr, bps-rd and\n"
		"bps-wr those alone; iops-burst and bps-burst as much at once, after a time of "
		"less.\n"
		"0 is no limit; those that are not named stay.\n",
};

static int limit_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_auto(GStrv) limits = NULL;
	JsonObject *arguments;
	GError *error = NULL;
	int status;

	if (!usage_parse(&limit_usage, argc, argv, NULL, words, &status))
		return status;
	arguments = json_object_new();
	json_object_set_string_member(arguments, "disk", words[1]);
	limits = g_strsplit(words[2], ",", 0);
	for (char **limit = limits; *limit; limit++) {
		if (add_limit(arguments, *limit, &error))
			continue;
		json_object_unref(arguments);
		return report_error(error);
	}
	return remote_call(words[0], "limit", arguments, false);
}

const struct verb disk_stat = {"stat", "tell what a running VM's disks have done", stat_main};
const struct verb disk_limit = {"limit", "limit a running VM's disk", limit_main};
