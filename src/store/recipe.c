/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/recipe.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "store/builtin.h"
#include "store/yaml_table.h"

#define MAX_EXTENDS 8
#define MIN_DISK    (1ull << 30)
#define MAX_DISK    (16ull << 40)
#define SUFFIX	    ".yaml"

static bool take_package(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	g_autofree char *name = NULL;

	if (!yaml_take_string(yaml, at, &name, error))
		return false;
	/* Policy manual 5.6.1; `=VERSION` and `/SUITE` are apt's. */
	if (!g_ascii_isalnum(name[0]) || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.=:~/")])
		return yaml_refuse(yaml, at, error, "'%s' is no name of a package", name);
	g_ptr_array_add(target, g_steal_pointer(&name));
	return true;
}

static bool take_packages(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	return yaml_take_sequence(yaml, at, take_package, *(GPtrArray **)target, error);
}

/* One package of a key that wants just one, or a suite's name. */
static bool take_word(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	g_autofree char *word = NULL;

	if (!yaml_take_string(yaml, at, &word, error))
		return false;
	if (!g_ascii_isalnum(word[0]) || word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789+-._")])
		return yaml_refuse(yaml, at, error, "'%s' is no name", word);
	g_free(*(char **)target);
	*(char **)target = g_steal_pointer(&word);
	return true;
}

static void free_file(void *item)
{
	struct recipe_file *file = item;

	g_free(file->path);
	g_free(file->content);
	g_free(file->mode);
	g_free(file);
}

static bool is_plain_path(const char *path)
{
	g_autofree char *canonical = g_canonicalize_filename(path, "/");

	return path[0] == '/' && path[1] && !strcmp(canonical, path) && !strchr(path, '\n');
}

static bool take_file(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	static const struct yaml_key keys[] = {
		{"path", true, yaml_take_string, offsetof(struct recipe_file, path)},
		{"content", true, yaml_take_string, offsetof(struct recipe_file, content)},
		{"mode", false, yaml_take_string, offsetof(struct recipe_file, mode)},
	};
	struct recipe_file *file = g_new0(struct recipe_file, 1);

	g_ptr_array_add(target, file);
	if (!yaml_take_mapping(yaml, at, keys, G_N_ELEMENTS(keys), file, error))
		return false;
	if (!file->mode)
		file->mode = g_strdup("0644");
	if (!is_plain_path(file->path))
		return yaml_refuse(yaml, at, error, "'%s' is no absolute path without dots", file->path);
	if (strlen(file->mode) > 5 || file->mode[strspn(file->mode, "01234567")] || !*file->mode)
		return yaml_refuse(yaml, at, error, "'%s' is no mode; write it like \"0644\"", file->mode);
	return true;
}

static bool take_files(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	return yaml_take_sequence(yaml, at, take_file, *(GPtrArray **)target, error);
}

static const struct yaml_key keys[] = {
	{"description", false, yaml_take_string, offsetof(struct recipe, description)},
	{"extends", false, yaml_take_string, offsetof(struct recipe, extends)},
	{"suite", false, take_word, offsetof(struct recipe, suite)},
	{"kernel", false, take_word, offsetof(struct recipe, kernel)},
	{"user", false, take_word, offsetof(struct recipe, user)},
	{"size", false, yaml_take_size, offsetof(struct recipe, size)},
	{"min_memory", false, yaml_take_size, offsetof(struct recipe, min_memory)},
	{"packages", false, take_packages, offsetof(struct recipe, packages)},
	{"files", false, take_files, offsetof(struct recipe, files)},
	{"commands", false, yaml_take_strings, offsetof(struct recipe, commands)},
};

static bool find_text(const struct store *store, const char *name, char **file, char **text, size_t *len,
		      GError **error)
{
	g_autofree char *leaf = g_strconcat(name, SUFFIX, NULL);
	const struct builtin *builtin = builtin_find(leaf);
	g_autofree char *path = store ? g_build_filename(store->config, "recipes", leaf, NULL) : NULL;

	if (!store_name_check(name, error))
		return false;
	if (path && g_file_test(path, G_FILE_TEST_EXISTS)) {
		*text = store_read(path, YAML_MAX_FILE, len, error);
		*file = g_steal_pointer(&path);
		return *text != NULL;
	}
	if (!builtin) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "there is no recipe '%s'; write one as '%s'",
			    name, path ? path : leaf);
		return false;
	}
	*file = g_strdup_printf("(built-in) %s", leaf);
	*text = g_strdup(builtin->text);
	*len = strlen(*text);
	return true;
}

static bool add_text(struct recipe *recipe, const struct store *store, const char *file, const char *text,
		     size_t len, unsigned depth, GError **error);

static bool add_named(struct recipe *recipe, const struct store *store, const char *name, unsigned depth,
		      GError **error)
{
	g_autofree char *file = NULL, *text = NULL;
	size_t len;

	return find_text(store, name, &file, &text, &len, error) &&
	       add_text(recipe, store, file, text, len, depth, error);
}

/* What it extends comes first: a key with one value is the extending recipe's. */
static bool add_text(struct recipe *recipe, const struct store *store, const char *file, const char *text,
		     size_t len, unsigned depth, GError **error)
{
	g_autofree char *extends = NULL;
	struct yaml yaml;
	yaml_node_t *root, *at;
	bool done = true;

	if (!yaml_load(&yaml, file, text, len, error))
		return false;
	root = yaml_root(&yaml);
	at = yaml_get(&yaml, root, "extends");
	if (at && depth == MAX_EXTENDS)
		done = yaml_refuse(&yaml, at, error, "more than %d recipes extend each other", MAX_EXTENDS);
	else if (at)
		done = yaml_take_string(&yaml, at, &extends, error) &&
		       add_named(recipe, store, extends, depth + 1, error);
	done = done && yaml_take_mapping(&yaml, root, keys, G_N_ELEMENTS(keys), recipe, error);
	g_checksum_update(recipe->digest, (const guchar *)text, len);
	yaml_unload(&yaml);
	return done;
}

static struct recipe *new_recipe(void)
{
	struct recipe *recipe = g_new0(struct recipe, 1);

	recipe->packages = g_ptr_array_new_with_free_func(g_free);
	recipe->commands = g_ptr_array_new_with_free_func(g_free);
	recipe->files = g_ptr_array_new_with_free_func(free_file);
	recipe->digest = g_checksum_new(G_CHECKSUM_SHA256);
	return recipe;
}

static bool check(const struct recipe *recipe, const char *file, GError **error)
{
	if (!recipe->packages->len || !recipe->kernel)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "%s: kernel or packages is missing; write them, or extends: debian", file);
	else if (recipe->size < MIN_DISK || recipe->size > MAX_DISK)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s: size: give between %lluG and %lluT", file,
			    MIN_DISK >> 30, MAX_DISK >> 40);
	else
		return true;
	return false;
}

struct recipe *recipe_parse(const struct store *store, const char *file, const char *text, size_t len,
			    GError **error)
{
	struct recipe *recipe = new_recipe();

	if (add_text(recipe, store, file, text, len, 0, error) && check(recipe, file, error))
		return recipe;
	recipe_free(recipe);
	return NULL;
}

struct recipe *recipe_find(const struct store *store, const char *name, GError **error)
{
	g_autofree char *file = NULL, *text = NULL;
	size_t len;

	return find_text(store, name, &file, &text, &len, error) ? recipe_parse(store, file, text, len, error)
								 : NULL;
}

void recipe_free(struct recipe *recipe)
{
	if (!recipe)
		return;
	g_free(recipe->description);
	g_free(recipe->extends);
	g_free(recipe->suite);
	g_free(recipe->kernel);
	g_free(recipe->user);
	g_ptr_array_unref(recipe->packages);
	g_ptr_array_unref(recipe->commands);
	g_ptr_array_unref(recipe->files);
	g_checksum_free(recipe->digest);
	g_free(recipe);
}

bool recipe_exists(const struct store *store, const char *name)
{
	g_autofree char *leaf = g_strconcat(name, SUFFIX, NULL);
	g_autofree char *path = g_build_filename(store->config, "recipes", leaf, NULL);

	return store_name_check(name, NULL) &&
	       (g_file_test(path, G_FILE_TEST_EXISTS) || (builtin_find(leaf) && strcmp(name, "types")));
}
