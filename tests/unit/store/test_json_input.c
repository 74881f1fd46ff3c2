/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/json_input.h"

#include <string.h>

static void test_object(void)
{
	const char *text = " {\"a\": [1, {\"b\": \"\\u00e9\\ud83d\\ude00 } // \\\" \"}]}\n";
	g_autoptr(JsonNode) root = json_input(text, strlen(text));

	g_assert_nonnull(root);
	g_assert_true(json_object_has_member(json_node_get_object(root), "a"));
}

/* What JSON-GLib would take, or fall over. */
static void test_refused(void)
{
	static const char *const texts[] = {
		"",
		" ",
		"7",
		"[]",
		"\"\"{}",
		"{}{}",
		"{} 7",
		"{}}",
		"{",
		"{\"a\"}",
		"{/**/}",
		"{\"a\": 1} // x",
		"var a = {}",
		"{\"\\u0000\": 1}",
		"{\"\\ud800\": 1}",
		"{\"\x80\": 1}",
		"{\"a\": \"",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
		g_assert_null(json_input(texts[i], strlen(texts[i])));
	g_assert_null(json_input("{\0}", 3));
}

static void test_deep(void)
{
	enum { LEN = 1 << 20 };
	g_autofree char *text = g_malloc(LEN);

	memset(text, '[', LEN);
	g_assert_null(json_input(text, LEN));
	memset(text, '{', LEN);
	g_assert_null(json_input(text, LEN));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/json-input/object", test_object);
	g_test_add_func("/json-input/refused", test_refused);
	g_test_add_func("/json-input/deep", test_deep);
	return g_test_run();
}
