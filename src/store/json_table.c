/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/json_table.h"

#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "store/json_input.h"

static bool refuse(GError **error, const char *file, const char *name, const char *what)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged: \"%s\" %s", file, name, what);
	return false;
}

static bool take_strings(JsonNode *node, GPtrArray *to)
{
	JsonArray *array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

	for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
		JsonNode *element = json_array_get_element(array, i);

		if (json_node_get_value_type(element) != G_TYPE_STRING)
			return false;
		g_ptr_array_add(to, g_strdup(json_node_get_string(element)));
	}
	return array;
}

static bool take(const char *file, const struct json_member *row, JsonNode *node, void *member,
		 GError **error)
{
	GType type = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;

	switch (row->kind) {
	case JSON_STRING:
		if (type != G_TYPE_STRING || (row->required && !*json_node_get_string(node)))
			return refuse(error, file, row->name, "is no text");
		g_free(*(char **)member);
		*(char **)member = g_strdup(json_node_get_string(node));
		return true;
	case JSON_NUMBER:
		if (type != G_TYPE_INT64 || json_node_get_int(node) < 0)
			return refuse(error, file, row->name, "is no number");
		*(uint64_t *)member = json_node_get_int(node);
		return true;
	case JSON_BOOL:
		if (type != G_TYPE_BOOLEAN)
			return refuse(error, file, row->name, "is neither true nor false");
		*(bool *)member = json_node_get_boolean(node);
		return true;
	case JSON_STRINGS:
		return take_strings(node, *(GPtrArray **)member) ||
		       refuse(error, file, row->name, "is no list of texts");
	}
	g_assert_not_reached();
}

static bool take_all(const char *file, JsonObject *object, const struct json_member *members,
		     size_t n_members, void *target, GError **error)
{
	for (const struct json_member *row = members; row < members + n_members; row++) {
		JsonNode *node = json_object_get_member(object, row->name);

		if (!node && row->required)
			return refuse(error, file, row->name, "is missing");
		if (node && !take(file, row, node, (char *)target + row->offset, error))
			return false;
	}
	return true;
}

bool json_load(const char *file, const char *text, size_t len, const struct json_member *members,
	       size_t n_members, void *target, GError **error)
{
	g_autoptr(JsonNode) root = json_input(text, len);

	if (!root) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged: it is not JSON", file);
		return false;
	}
	return take_all(file, json_node_get_object(root), members, n_members, target, error);
}

static JsonNode *save_one(const struct json_member *row, const void *member)
{
	JsonNode *node = json_node_alloc();
	JsonArray *array;

	switch (row->kind) {
	case JSON_STRING:
		return json_node_init_string(node, *(char *const *)member);
	case JSON_NUMBER:
		return json_node_init_int(node, *(const uint64_t *)member);
	case JSON_BOOL:
		return json_node_init_boolean(node, *(const bool *)member);
	case JSON_STRINGS:
		array = json_array_new();
		for (unsigned i = 0; i < (*(GPtrArray *const *)member)->len; i++)
			json_array_add_string_element(array, (*(GPtrArray *const *)member)->pdata[i]);
		json_node_init_array(node, array);
		json_array_unref(array);
		return node;
	}
	g_assert_not_reached();
}

JsonObject *json_save(const struct json_member *members, size_t n_members, const void *from)
{
	JsonObject *object = json_object_new();

	for (const struct json_member *row = members; row < members + n_members; row++) {
		const void *member = (const char *)from + row->offset;

		if (row->kind != JSON_STRING || *(char *const *)member)
			json_object_set_member(object, row->name, save_one(row, member));
	}
	return object;
}

char *json_text(JsonObject *object)
{
	g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
	g_autofree char *text = NULL;

	json_node_take_object(root, object);
	text = json_to_string(root, TRUE);
	return g_strconcat(text, "\n", NULL);
}

void json_clear(const struct json_member *members, size_t n_members, void *target)
{
	for (const struct json_member *row = members; row < members + n_members; row++) {
		void *member = (char *)target + row->offset;

		if (row->kind == JSON_STRING)
			g_clear_pointer((char **)member, g_free);
		else if (row->kind == JSON_STRINGS)
			g_clear_pointer((GPtrArray **)member, g_ptr_array_unref);
	}
}
