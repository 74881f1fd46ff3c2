/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/types.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "store/builtin.h"
#include "store/yaml_table.h"

#define CATALOGUE   "types.yaml"
#define MIN_MEMORY  (16ull << 20)
#define MAX_MEMORY  (16ull << 40)
#define MAX_CPUS    1024
#define MAX_DECIMAL 1e9

static void free_type(void *item)
{
	struct instance_type *type = item;

	g_free(type->name);
	g_free(type->family);
	g_free(type);
}

GPtrArray *types_new(void)
{
	return g_ptr_array_new_with_free_func(free_type);
}

/* Bits, of which there are 1000 in a K. */
static bool take_rate(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	g_autofree char *text = NULL;
	static const char suffixes[] = "KMG";
	uint64_t scale = 1;
	guint64 number;
	size_t len;

	if (!yaml_take_string(yaml, at, &text, error))
		return false;
	len = strlen(text);
	for (unsigned i = 0, power = 1000; len && i < 3; i++, power *= 1000)
		if (g_ascii_toupper(text[len - 1]) == suffixes[i])
			scale = power;
	if (scale > 1)
		text[len - 1] = '\0';
	if (!g_ascii_string_to_unsigned(text, 10, 1, 1000000, &number, NULL))
		return yaml_refuse(yaml, at, error, "'%s' is no rate; write it like 100M or 1G", text);
	*(uint64_t *)target = number * scale;
	return true;
}

#define ROW(name, required, take)                                           \
	{                                                                   \
#name, required, take, offsetof(struct instance_type, name) \
	}
static const struct yaml_key keys[] = {
	ROW(name, true, yaml_take_string),    ROW(family, true, yaml_take_string),
	ROW(cpus, true, yaml_take_number),    ROW(memory, true, yaml_take_size),
	ROW(disk, true, yaml_take_size),      ROW(network, false, take_rate),
	ROW(iops, false, yaml_take_number),   ROW(io, false, yaml_take_size),
	ROW(price, false, yaml_take_decimal),
};

static bool check(struct yaml *yaml, yaml_node_t *at, const struct instance_type *type, GError **error)
{
	static const char *const families[] = {"general", "cpu", "memory", "burst", NULL};

	if (!store_name_check(type->name, error))
		return false;
	if (!g_strv_contains(families, type->family))
		return yaml_refuse(yaml, at, error, "'%s' is no family; write general, cpu, memory or burst",
				   type->family);
	if (!type->cpus || type->cpus > MAX_CPUS)
		return yaml_refuse(yaml, at, error, "cpus: write 1 to %d", MAX_CPUS);
	if (type->memory < MIN_MEMORY || type->memory > MAX_MEMORY || type->memory % 4096)
		return yaml_refuse(yaml, at, error, "memory: write it like 512M or 2G");
	if (type->disk % 512)
		return yaml_refuse(yaml, at, error, "disk: write it like 20G");
	return type->price <= MAX_DECIMAL || yaml_refuse(yaml, at, error, "price: that much?");
}

static bool add_type(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	struct instance_type *type = g_new0(struct instance_type, 1);
	GPtrArray *types = target;

	if (!yaml_take_mapping(yaml, at, keys, G_N_ELEMENTS(keys), type, error) ||
	    !check(yaml, at, type, error)) {
		free_type(type);
		return false;
	}
	for (unsigned i = 0; i < types->len; i++) {
		if (strcmp(((struct instance_type *)types->pdata[i])->name, type->name))
			continue;
		free_type(types->pdata[i]);
		types->pdata[i] = type;
		return true;
	}
	g_ptr_array_add(types, type);
	return true;
}

bool types_parse(GPtrArray *types, const char *file, const char *text, size_t len, GError **error)
{
	struct yaml yaml;
	yaml_node_t *root;
	bool done;

	if (!yaml_load(&yaml, file, text, len, error))
		return false;
	root = yaml_root(&yaml);
	done = !root || yaml_take_sequence(&yaml, root, add_type, types, error);
	yaml_unload(&yaml);
	return done;
}

GPtrArray *types_load(const struct store *store, GError **error)
{
	const char *text = builtin_find(CATALOGUE)->text;
	g_autofree char *path = g_build_filename(store->config, CATALOGUE, NULL), *own = NULL;
	g_autoptr(GPtrArray) types = types_new();
	size_t len;

	if (!types_parse(types, CATALOGUE, text, strlen(text), error))
		return NULL;
	if (!g_file_test(path, G_FILE_TEST_EXISTS))
		return g_steal_pointer(&types);
	own = store_read(path, YAML_MAX_FILE, &len, error);
	return own && types_parse(types, path, own, len, error) ? g_steal_pointer(&types) : NULL;
}

const struct instance_type *types_find(const GPtrArray *types, const char *name, GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (unsigned i = 0; i < types->len; i++) {
		const struct instance_type *type = types->pdata[i];

		if (!strcmp(type->name, name))
			return type;
		g_string_append_printf(names, "%s%s", i ? ", " : "", type->name);
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "there is no type '%s'; there are: %s", name,
		    names->str);
	return NULL;
}
