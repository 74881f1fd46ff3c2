/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/control/session.h"

#include <string.h>

#include "base/error.h"
#include "store/json_input.h"
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
	g_autoptr(JsonNode) root = json_input(text, len);
	g_autoptr(GError) error = NULL;
	JsonObject *request = root ? json_node_get_object(root) : NULL, *result = NULL;
	JsonNode *id = request ? json_object_get_member(request, "id") : NULL;

	if (!request) {
		g_set_error(&error, VIV_ERROR, VIV_ERROR_INPUT,
			    "not a request; write a line of JSON like {\"execute\": \"help\"}");
	} else if (check_members(request, &error)) {
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
