/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv ls: the user's running VMs. What dead ones left behind is removed on the way. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/remote.h"
#include "cli/verb.h"
#include "store/vms.h"
#include "vm/client.h"
#include "vm/runtime_dir.h"

struct ls_options {
	bool json, all;
};

static bool set_json(void *target, const char *value, GError **error)
{
	return ((struct ls_options *)target)->json = true;
}

static bool set_all(void *target, const char *value, GError **error)
{
	return ((struct ls_options *)target)->all = true;
}

static const struct option_row ls_rows[] = {
	{"all", 'a', NULL, "VMs of the store that do not run, too", set_all},
	{"json", 0, NULL, "one JSON array, for programs", set_json},
};

static const struct usage ls_usage = {
	.words = "",
	.text = "Lists your running VMs: name, state (running, paused, debugged, or unknown\n"
		"where a VM does not answer), process, engine, processors, memory, and the\n"
		"time since the start.\n",
	.rows = ls_rows,
	.n_rows = G_N_ELEMENTS(ls_rows),
};

/* NULL: it has ended meanwhile. One that does not answer has a name and no more. */
static JsonObject *ask(const char *name)
{
	g_autoptr(GError) error = NULL;
	struct client *client = client_open(name, NULL);
	JsonObject *status = client ? client_call(client, "status", NULL, &error) : NULL;

	if (client && !status && !client_wait_end(client, 0)) {
		status = json_object_new();
		json_object_set_string_member(status, "name", name);
		json_object_set_string_member(status, "state", "unknown");
	}
	client_close(client);
	return status;
}

static bool is_listed(const GPtrArray *all, const char *name)
{
	for (unsigned i = 0; i < all->len; i++)
		if (!strcmp(json_object_get_string_member_with_default(all->pdata[i], "name", ""), name))
			return true;
	return false;
}

/* Those of the store that no process is. */
static bool add_stopped(GPtrArray *all, GError **error)
{
	g_autoptr(GPtrArray) damaged = g_ptr_array_new_with_free_func(g_free), vms = NULL;
	struct store *store = store_open(error);

	if (!store)
		return false;
	vms = vms_list(store, damaged);
	for (unsigned i = 0; i < vms->len; i++) {
		const struct vm_def *vm = vms->pdata[i];
		JsonObject *status;

		if (is_listed(all, vm->name))
			continue;
		status = json_object_new();
		json_object_set_string_member(status, "name", vm->name);
		json_object_set_string_member(status, "state", "stopped");
		json_object_set_int_member(status, "cpus", vm->cpus);
		json_object_set_int_member(status, "memory", vm->memory);
		json_object_set_string_member(status, "image", vm->image);
		g_ptr_array_add(all, status);
	}
	for (unsigned i = 0; i < damaged->len; i++)
		fprintf(stderr, "viv: %s\n", (char *)damaged->pdata[i]);
	store_close(store);
	return true;
}

static void print_json(GPtrArray *all)
{
	g_autoptr(JsonArray) array = json_array_new();
	g_autoptr(JsonNode) root = json_node_new(JSON_NODE_ARRAY);
	g_autofree char *text = NULL;

	for (unsigned i = 0; i < all->len; i++)
		json_array_add_object_element(array, json_object_ref(all->pdata[i]));
	json_node_set_array(root, array);
	text = json_to_string(root, FALSE);
	puts(text);
}

static const char *get_string(JsonObject *status, const char *member)
{
	return json_object_get_string_member_with_default(status, member, "-");
}

static int64_t get_int(JsonObject *status, const char *member)
{
	return json_object_get_int_member_with_default(status, member, 0);
}

static void print_table(GPtrArray *all)
{
	printf("%-20s %-9s %8s %-7s %4s %9s %10s\n", "NAME", "STATE", "PID", "ENGINE", "CPUS",
	       "MEMORY", "UPTIME");
	for (unsigned i = 0; i < all->len; i++) {
		JsonObject *status = all->pdata[i];
		int64_t uptime = get_int(status, "uptime_ms") / 1000;

		printf("%-20s %-9s %8" PRId64 " %-7s %4" PRId64 " %5" PRId64 " MiB %4" PRId64
		       ":%02d:%02d\n",
		       get_string(status, "name"), get_string(status, "state"),
		       get_int(status, "pid"), get_string(status, "engine"),
		       get_int(status, "cpus"), get_int(status, "memory") >> 20, uptime / 3600,
		       (int)(uptime / 60 % 60), (int)(uptime % 60));
	}
}

static int ls_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct ls_options options = {0};
	g_autoptr(GPtrArray) names = NULL, all = NULL;
	g_autofree char *folder = NULL;
	GError *error = NULL;
	int status;

	if (!usage_parse(&ls_usage, argc, argv, &options, words, &status))
		return status;
	folder = runtime_dir_open(&error);
	names = folder ? runtime_dir_list(folder, &error) : NULL;
	if (!names)
		return report_error(error);
	all = g_ptr_array_new_with_free_func((GDestroyNotify)json_object_unref);
	for (unsigned i = 0; i < names->len; i++) {
		JsonObject *one = ask(names->pdata[i]);

		if (one)
			g_ptr_array_add(all, one);
	}
	if (options.all && !add_stopped(all, &error))
		return report_error(error);
	if (options.json)
		print_json(all);
	else
		print_table(all);
	return EXIT_STATUS_OK;
}

const struct verb verb_ls = {"ls", "list running VMs", ls_main};
