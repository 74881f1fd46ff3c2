/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recipes and catalogues of instance types. */
#include <string.h>

#include "store/recipe.h"
#include "store/types.h"

static void test_recipe(void)
{
	static const char text[] =
		"extends: debian\nsize: 20G\nuser: ops\npackages: [nginx, postgresql-15]\n"
		"files:\n  - {path: /etc/motd, content: hello}\ncommands:\n  - systemctl enable nginx\n";
	struct recipe *base = recipe_find(&(struct store){.config = (char *)"/nonexistent"}, "debian", NULL);
	g_autoptr(GError) error = NULL;
	struct recipe *recipe = recipe_parse(NULL, "web.yaml", text, strlen(text), &error);
	const struct recipe_file *file;

	g_assert_no_error(error);
	g_assert_cmpuint(recipe->size, ==, 20ull << 30);
	g_assert_cmpstr(recipe->user, ==, "ops");
	g_assert_cmpstr(recipe->kernel, ==, base->kernel);
	g_assert_cmpuint(recipe->packages->len, ==, base->packages->len + 2);
	g_assert_cmpstr(recipe->packages->pdata[base->packages->len], ==, "nginx");
	g_assert_cmpuint(recipe->commands->len, ==, base->commands->len + 1);
	file = recipe->files->pdata[recipe->files->len - 1];
	g_assert_cmpstr(file->path, ==, "/etc/motd");
	g_assert_cmpstr(file->mode, ==, "0644");
	g_assert_cmpstr(g_checksum_get_string(recipe->digest), !=, g_checksum_get_string(base->digest));
	recipe_free(recipe);
	recipe_free(base);
}

static void test_recipe_refused(void)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"a: [", "r.yaml:"},
		{"extends: debian\nsiez: 4G\n", "r.yaml:2: 'siez'"},
		{"extends: debian\nsize: big\n", "size: r.yaml:2: 'big'"},
		{"extends: debian\nsize: 1M\n", "between"},
		{"extends: nothing\n", "no recipe 'nothing'"},
		{"extends: ../../etc/passwd\n", "no name"},
		{"packages: [nano]\n", "kernel or packages"},
		{"extends: debian\npackages: ['a;b']\n", "no name of a package"},
		{"extends: debian\npackages: ['--x']\n", "no name of a package"},
		{"extends: debian\npackages: nano\n", "a list is wanted"},
		{"extends: debian\nsuite: '$(id)'\n", "no name"},
		{"extends: debian\nfiles: [{path: etc/x, content: y}]\n", "absolute path"},
		{"extends: debian\nfiles: [{path: /a/../b, content: y}]\n", "absolute path"},
		{"extends: debian\nfiles: [{path: /a}]\n", "content is missing"},
		{"extends: debian\nfiles: [{path: /a, content: y, mode: rwx}]\n", "no mode"},
		{"a: &a [1]\nb: *a\n", "aliases"},
		{"[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]", "nested"},
		{"just text", "is missing"},
		{"", "is missing"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(recipe_parse(NULL, "r.yaml", rows[i].text, strlen(rows[i].text), &error));
		if (!strstr(error->message, rows[i].says))
			g_error("%s: %s", rows[i].text, error->message);
	}
}

static void test_types(void)
{
	static const char text[] =
		"- {name: tiny, family: burst, cpus: 1, memory: 64M, disk: 1G, network: 5M}\n"
		"- {name: small, family: general, cpus: 3, memory: 2G, disk: 20G}\n";
	g_autoptr(GPtrArray) types = types_load(&(struct store){.config = (char *)"/nonexistent"}, NULL);
	g_autoptr(GError) error = NULL;
	unsigned n = types->len;

	g_assert_true(types_parse(types, "t", text, strlen(text), NULL));
	g_assert_cmpuint(types->len, ==, n + 1);
	g_assert_cmpuint(types_find(types, "tiny", NULL)->network, ==, 5000000);
	g_assert_cmpuint(types_find(types, "small", NULL)->cpus, ==, 3);
	g_assert_cmpuint(types_find(types, "small", NULL)->iops, ==, 0);
	g_assert_null(types_find(types, "huge", &error));
	g_assert_nonnull(strstr(error->message, "tiny"));
}

static void test_types_refused(void)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"- {name: a, family: b, cpus: 1, memory: 1G, disk: 1G}", "no family"},
		{"- {name: a, family: cpu, cpus: 0, memory: 1G, disk: 1G}", "cpus"},
		{"- {name: a, family: cpu, cpus: 1, memory: 1K, disk: 1G}", "memory"},
		{"- {name: a, family: cpu, cpus: 1, memory: 1G, disk: 1G, price: -1}", "'-1'"},
		{"- {name: a, family: cpu, cpus: 1, memory: 1G, disk: 1G, price: nan}", "'nan'"},
		{"- {name: a, family: cpu, cpus: 1, memory: 1G, disk: 1G, network: fast}", "no rate"},
		{"- {name: a}", "family is missing"},
		{"name: a", "a list is wanted"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) types = types_new();
		g_autoptr(GError) error = NULL;

		g_assert_false(types_parse(types, "t", rows[i].text, strlen(rows[i].text), &error));
		if (!strstr(error->message, rows[i].says))
			g_error("%s: %s", rows[i].text, error->message);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/recipe", test_recipe);
	g_test_add_func("/recipe-refused", test_recipe_refused);
	g_test_add_func("/types", test_types);
	g_test_add_func("/types-refused", test_types_refused);
	return g_test_run();
}
