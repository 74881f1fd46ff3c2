/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON-GLib takes more than JSON (comments, assignments) and parses by recursion without a bound,
 * so a line is looked at before: only characters that JSON has outside of strings, one array or
 * object, no deeper than we need, and in strings no character 0, which would end a C string, nor
 * half a surrogate pair, which is no UTF-8. What passes may still be no JSON; that is the parser's
 * to say.
 */
#include "vm/control/session.h"

#include <string.h>

#include "base/error.h"
#include "vm/control/command.h"

struct control_session {
	struct vm *vm;
	GByteArray *line; /* what has come of it */
};

struct control_session *control_session_new(struct vm *vm)
{
	struct control_session *session = g_new0(struct control_session, 1);

	session->vm = vm;
	session->line = g_byte_array_new();
	return session;
}

void control_session_free(struct control_session *session)
{
	if (!session)
		return;
	g_byte_array_unref(session->line);
	g_free(session);
}

/* `object` is taken. */
static void answer(GByteArray *out, const char *member, JsonObject *object, JsonNode *id)
{
	g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
	g_autofree char *text = NULL;

	json_node_take_object(root, json_object_new());
	json_object_set_object_member(json_node_get_object(root), member, object);
	if (id)
		json_object_set_member(json_node_get_object(root), "id", json_node_copy(id));
	text = json_to_string(root, FALSE);
	g_byte_array_append(out, (const uint8_t *)text, strlen(text));
	g_byte_array_append(out, (const uint8_t *)"\n", 1);
}

static void answer_error(GByteArray *out, const char *message, JsonNode *id)
{
	JsonObject *object = json_object_new();

	json_object_set_string_member(object, "message", message);
	answer(out, "error", object, id);
}

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
		if (depth > CONTROL_MAX_DEPTH)
			return false;
		at++;
	}
	return at != NULL;
}

static JsonObject *parse(JsonParser *parser, const char *text, size_t len, GError **error)
{
	JsonNode *root;

	if (!g_utf8_validate(text, len, NULL) || !may_be_json(text, text + len) ||
	    !json_parser_load_from_data(parser, text, len, NULL) ||
	    !(root = json_parser_get_root(parser)) || !JSON_NODE_HOLDS_OBJECT(root)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "not a request; write a line of JSON like {\"execute\": \"help\"}");
		return NULL;
	}
	return json_node_get_object(root);
}

static bool check_members(JsonObject *request, GError **error)
{
	g_autoptr(GList) names = json_object_get_members(request);
	JsonNode *execute = json_object_get_member(request, "execute");
	JsonNode *arguments = json_object_get_member(request, "arguments");
	const char *wrong = NULL;

	for (GList *name = names; name && !wrong; name = name->next) {
		if (strcmp(name->data, "execute") && strcmp(name->data, "arguments") &&
		    strcmp(name->data, "id"))
			wrong = "a request has execute, arguments and id, and nothing else";
	}
	if (!execute || json_node_get_value_type(execute) != G_TYPE_STRING)
		wrong = "a request's execute is a string: the command's name";
	else if (arguments && !JSON_NODE_HOLDS_OBJECT(arguments))
		wrong = "a request's arguments are an object";
	if (wrong)
		g_set_error_literal(error, VIV_ERROR, VIV_ERROR_INPUT, wrong);
	return !wrong;
}

static void take_line(struct control_session *session, const char *text, size_t len,
		      GByteArray *out)
{
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	g_autoptr(GError) error = NULL;
	JsonObject *request = parse(parser, text, len, &error), *result = NULL;
	JsonNode *id = request ? json_object_get_member(request, "id") : NULL;

	if (request && check_members(request, &error)) {
		JsonObject *arguments =
			json_object_has_member(request, "arguments")
				? json_object_get_object_member(request, "arguments")
				: NULL;

		result = control_execute(session->vm,
					 json_object_get_string_member(request, "execute"),
					 arguments, &error);
	}
	if (result)
		answer(out, "return", result, id);
	else
		answer_error(out, error->message, id);
}

static bool is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!g_ascii_isspace(text[i]))
			return false;
	}
	return true;
}

bool control_session_input(struct control_session *session, const uint8_t *bytes, size_t len,
			   GByteArray *out)
{
	GByteArray *line = session->line;
	const uint8_t *end;

	while ((end = memchr(bytes, '\n', len))) {
		g_byte_array_append(line, bytes, end - bytes);
		len -= end + 1 - bytes;
		bytes = end + 1;
		if (line->len > CONTROL_MAX_LINE)
			break;
		if (!is_blank((const char *)line->data, line->len))
			take_line(session, (const char *)line->data, line->len, out);
		g_byte_array_set_size(line, 0);
	}
	if (!end)
		g_byte_array_append(line, bytes, len);
	if (line->len <= CONTROL_MAX_LINE)
		return true;
	answer_error(out, "the line is too long; a request has at most 65536 bytes", NULL);
	return false;
}
