/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/control/disks.h"

#include <string.h>

#include "base/error.h"
#include "block/block.h"
#include "vm/vm.h"

static void add_limits(JsonObject *object, struct block *block)
{
	JsonObject *answer = json_object_new();
	struct block_limits limits;
	const char *name;

	block_get_limits(block, &limits);
	for (unsigned i = 0; (name = block_limit_name(i)); i++)
		json_object_set_int_member(answer, name,
					   *block_find_limit(&limits, name, strlen(name)));
	json_object_set_object_member(object, "limits", answer);
}

static void add_count(JsonObject *object, const char *name, const struct block_count *count)
{
	JsonObject *answer = json_object_new();

	json_object_set_int_member(answer, "requests", count->requests);
	json_object_set_int_member(answer, "bytes", count->bytes);
	json_object_set_int_member(answer, "errors", count->errors);
	json_object_set_int_member(answer, "total_ns", count->ns);
	json_object_set_object_member(object, name, answer);
}

static JsonObject *describe(struct block *block)
{
	static const char *const names[BLOCK_N_OPS] = {
		[BLOCK_READ] = "read",	     [BLOCK_WRITE] = "write",	    [BLOCK_FLUSH] = "flush",
		[BLOCK_DISCARD] = "discard", [BLOCK_WRITE_ZEROES] = "zero",
	};
	const struct image *image = block_image(block);
	g_autofree char *file = g_filename_display_name(image_path(image));
	JsonObject *object = json_object_new();
	struct block_stats stats;

	block_get_stats(block, &stats);
	json_object_set_string_member(object, "name", block_name(block));
	json_object_set_string_member(object, "file", file);
	json_object_set_string_member(object, "format", image_format_name_of(image));
	json_object_set_int_member(object, "size", block_size(block));
	json_object_set_boolean_member(object, "read_only", block_read_only(block));
	json_object_set_int_member(object, "in_flight", stats.in_flight);
	json_object_set_int_member(object, "held", stats.held);
	for (unsigned i = 0; i < BLOCK_N_OPS; i++)
		add_count(object, names[i], &stats.ops[i]);
	add_limits(object, block);
	return object;
}

bool run_disks(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	const GPtrArray *disks = vm_disks(vm);
	JsonArray *array = json_array_new();

	for (unsigned i = 0; i < disks->len; i++)
		json_array_add_object_element(array, describe(disks->pdata[i]));
	json_object_set_array_member(answer, "disks", array);
	return true;
}

static struct block *find_disk(struct vm *vm, const char *name, GError **error)
{
	g_autoptr(GString) known = g_string_new(NULL);
	const GPtrArray *disks = vm_disks(vm);

	for (unsigned i = 0; i < disks->len; i++) {
		if (!strcmp(block_name(disks->pdata[i]), name))
			return disks->pdata[i];
		g_string_append_printf(known, "%s%s", i ? ", " : "", block_name(disks->pdata[i]));
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is no disk of this VM; it has: %s",
		    name, known->len ? known->str : "none");
	return NULL;
}

/* What is not named stays. */
bool run_limit(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	struct block *block =
		find_disk(vm, json_object_get_string_member(arguments, "disk"), error);
	struct block_limits limits;
	const char *name;

	if (!block)
		return false;
	block_get_limits(block, &limits);
	for (unsigned i = 0; (name = block_limit_name(i)); i++)
		if (json_object_has_member(arguments, name))
			*block_find_limit(&limits, name, strlen(name)) =
				json_object_get_int_member(arguments, name);
	block_set_limits(block, &limits);
	add_limits(answer, block);
	return true;
}
