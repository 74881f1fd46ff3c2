/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON-GLib takes more than JSON (comments, assignments, several values) and parses by recursion
 * without a bound, so a text is looked at before: only characters that JSON has outside of strings,
 * one array or object, no deeper than anything here is, and in strings no character 0, which would
 * end a C string, nor half a surrogate pair, which is no UTF-8. What passes may still be no JSON;
 * that is the parser's to say.
 */
#include "store/json_input.h"

#include <stdbool.h>
#include <string.h>

#define MAX_DEPTH 16 /* of arrays and objects in each other */

/* The UTF-16 unit that is escaped at `at`, or -1. */
static int unit_at(const char *at, const char *end)
{
	int unit = 0;

	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return -1;
	for (unsigned i = 2; i < 6; i++) {
		if (!g_ascii_isxdigit(at[i]))
			return -1;
		unit = unit << 4 | g_ascii_xdigit_value(at[i]);
	}
	return unit;
}

static bool is_surrogate(int unit, int half)
{
	return (unit & 0xfc00) == half;
}

/* The length of what a backslash begins; 0 where it is no character, or character 0. */
static size_t escape_len(const char *at, const char *end)
{
	int unit = unit_at(at, end);

	if (end - at >= 2 && at[1] != 'u')
		return 2;
	if (unit <= 0 || is_surrogate(unit, 0xdc00))
		return 0;
	if (!is_surrogate(unit, 0xd800))
		return 6;
	return is_surrogate(unit_at(at + 6, end), 0xdc00) ? 12 : 0;
}

/* The character after the string that begins at `at`, or NULL. */
static const char *skip_string(const char *at, const char *end)
{
	size_t len;

	for (at++; at < end && *at != '"'; at += len) {
		len = *at == '\\' ? escape_len(at, end) : 1;
		if ((unsigned char)*at < ' ' || !len)
			return NULL;
	}
	return at < end ? at + 1 : NULL;
}

/* One array or object, and nothing after it, which json-glib would lose the memory of. */
static bool may_be_json(const char *at, const char *end)
{
	int depth = 0;
	bool begun = false;

	while (at && at < end) {
		if (g_ascii_isspace(*at)) {
			at++;
			continue;
		}
		if (begun && depth <= 0)
			return false;
		begun = true;
		if (*at == '"') {
			at = skip_string(at, end);
			continue;
		}
		if (!g_ascii_isalnum(*at) && !memchr("{}[]:,+-.", *at, 9))
			return false;
		if (*at == '{' || *at == '[')
			depth++;
		else if (*at == '}' || *at == ']')
			depth--;
		if (depth > MAX_DEPTH)
			return false;
		at++;
	}
	return at != NULL;
}

JsonNode *json_input(const char *text, size_t len)
{
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	JsonNode *root;

	if (!g_utf8_validate(text, len, NULL) || !may_be_json(text, text + len) ||
	    !json_parser_load_from_data(parser, text, len, NULL))
		return NULL;
	root = json_parser_get_root(parser);
	return root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_ref(root) : NULL;
}
