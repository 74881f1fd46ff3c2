/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv type ls: the catalogue of instance types. */
#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "cli/remote.h"
#include "cli/sub.h"
#include "cli/types.h"
#include "cli/verb.h"
#include "store/types.h"

static bool set_json(void *target, const char *value, GError **error)
{
	return *(bool *)target = true;
}

static const struct option_row rows[] = {{"json", 0, NULL, "one JSON array, for programs", set_json}};

static const struct usage usage = {
	.words = "",
	.text = "Lists the types that --type of viv run and viv create takes: processors, memory, disk,\n"
		"limits of network (bits a second) and disk (requests and bytes a second), and price an\n"
		"hour. types.yaml in viv's configuration folder adds to them.\n",
	.rows = rows,
	.n_rows = G_N_ELEMENTS(rows),
};

static void print_table(const GPtrArray *types)
{
	printf("%-14s %-8s %4s %9s %9s %10s %6s %11s %8s\n", "NAME", "FAMILY", "CPUS", "MEMORY", "DISK",
	       "NETWORK", "IOPS", "IO/S", "PRICE/H");
	for (unsigned i = 0; i < types->len; i++) {
		const struct instance_type *t = types->pdata[i];
		g_autofree char *memory = size_format(t->memory), *disk = size_format(t->disk),
				*io = size_format(t->io);

		printf("%-14s %-8s %4" PRIu64 " %9s %9s %5" PRIu64 " Mbit %6" PRIu64 " %11s %8.3f\n", t->name,
		       t->family, t->cpus, memory, disk, t->network / 1000000, t->iops, io, t->price);
	}
}

static void print_json(const GPtrArray *types)
{
	JsonArray *array = json_array_new();

	for (unsigned i = 0; i < types->len; i++) {
		const struct instance_type *t = types->pdata[i];
		JsonObject *one = json_object_new();

		json_object_set_string_member(one, "name", t->name);
		json_object_set_string_member(one, "family", t->family);
		json_object_set_int_member(one, "cpus", t->cpus);
		json_object_set_int_member(one, "memory", t->memory);
		json_object_set_int_member(one, "disk", t->disk);
		json_object_set_int_member(one, "network", t->network);
		json_object_set_int_member(one, "iops", t->iops);
		json_object_set_int_member(one, "io", t->io);
		json_object_set_double_member(one, "price", t->price);
		json_array_add_object_element(array, one);
	}
	sub_print_json_array(array);
}

int types_ls_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(GPtrArray) types = NULL;
	bool json = false;
	GError *error = NULL;
	struct store *store;
	int status;

	argv[0] = (char *)"type ls";
	if (!usage_parse(&usage, argc, argv, &json, words, &status))
		return status;
	store = store_open(&error);
	types = store ? types_load(store, &error) : NULL;
	store_close(store);
	if (!types)
		return report_error(error);
	if (json)
		print_json(types);
	else
		print_table(types);
	return EXIT_STATUS_OK;
}
