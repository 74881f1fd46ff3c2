/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/manifest.h"

#include <string.h>

#include "store/json_table.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GOOD(more)                                                                                         \
	"{\"schema\": 1, \"name\": \"web\", \"version\": 3, \"architecture\": \"x86_64\", \"firmware\": "  \
	"[\"uefi\"], "                                                                                     \
	"\"size\": 1048576, \"file\": \"disk.qcow2\", \"format\": \"qcow2\", \"sha256\": \"" SHA "\"" more \
	"}"

static void test_round_trip(void)
{
	static const char text[] = GOOD(", \"sealed\": true, \"user\": \"debian\", \"later\": {\"a\": [1]}");
	struct manifest one, two;
	g_autofree char *saved = NULL;
	GError *error = NULL;

	manifest_init(&one);
	g_assert_true(manifest_parse(&one, "m", text, strlen(text), &error));
	g_assert_no_error(error);
	saved = json_text(manifest_json(&one));
	manifest_init(&two);
	g_assert_true(manifest_parse(&two, "m", saved, strlen(saved), &error));
	g_assert_cmpuint(two.version, ==, 3);
	g_assert_cmpstr(two.firmware->pdata[0], ==, "uefi");
	g_assert_true(two.sealed);
	g_assert_false(two.cloud_init);
	g_assert_cmpstr(two.user, ==, "debian");
	g_assert_null(two.description);
	manifest_fini(&one);
	manifest_fini(&two);
}

/* Each is the good one with one thing wrong, and what the error says of it. */
static void test_refused(void)
{
	static const struct {
		const char *from, *to, *says;
	} rows[] = {
		{"{\"schema\"", "[\"schema\"", "JSON"},
		{"\"schema\": 1", "\"schema\": 2", "schema 2"},
		{"\"schema\": 1, ", "", "\"schema\" is missing"},
		{"\"web\"", "\"../web\"", "\"name\""},
		{"\"web\"", "7", "\"name\" is no text"},
		{"\"version\": 3", "\"version\": 0", "\"version\""},
		{"\"version\": 3", "\"version\": -3", "\"version\""},
		{"x86_64", "riscv64", "riscv64"},
		{"[\"uefi\"]", "[]", "\"firmware\""},
		{"[\"uefi\"]", "[\"coreboot\"]", "coreboot"},
		{"[\"uefi\"]", "[1]", "\"firmware\""},
		{"[\"uefi\"]", "\"uefi\"", "\"firmware\""},
		{"disk.qcow2", "/etc/shadow", "\"file\""},
		{"disk.qcow2", "..", "\"file\""},
		{"\"format\": \"qcow2\"", "\"format\": \"nbd\"", "\"format\""},
		{"0123456789abcdef\"", "0123456789abcdeg\"", "\"sha256\""},
		{SHA, "", "\"sha256\""},
		{"\"size\": 1048576", "\"size\": 1048576, \"user\": \"-oProxyCommand=x\"", "\"user\""},
		{"\"size\": 1048576", "\"size\": true", "\"size\""},
	};
	static const char good[] = GOOD("");

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *at = strstr(good, rows[i].from);
		g_autofree char *text = g_strdup_printf("%.*s%s%s", (int)(at - good), good, rows[i].to,
							at + strlen(rows[i].from));
		g_autoptr(GError) error = NULL;
		struct manifest manifest;

		manifest_init(&manifest);
		g_assert_false(manifest_parse(&manifest, "the file", text, strlen(text), &error));
		g_assert_nonnull(strstr(error->message, rows[i].says));
		g_assert_nonnull(strstr(error->message, "the file"));
		manifest_fini(&manifest);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/round-trip", test_round_trip);
	g_test_add_func("/refused", test_refused);
	return g_test_run();
}
