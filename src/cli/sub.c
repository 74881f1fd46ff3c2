/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/sub.h"

#include <stdio.h>

#include "base/error.h"
#include "vm/client.h"

static void print_node(JsonNode *node, bool pretty)
{
	g_autofree char *text = json_to_string(node, pretty);

	puts(text);
	json_node_unref(node);
}

void sub_print_json(JsonObject *object)
{
	JsonNode *node = json_node_new(JSON_NODE_OBJECT);

	json_node_take_object(node, object);
	print_node(node, true);
}

void sub_print_json_array(JsonArray *array)
{
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);

	json_node_take_array(node, array);
	print_node(node, true);
}

void sub_print_members(JsonObject *object)
{
	g_autoptr(GList) names = json_object_get_members(object);

	for (GList *name = names; name; name = name->next) {
		JsonNode *node = json_object_get_member(object, name->data);
		g_autofree char *text = json_node_get_value_type(node) == G_TYPE_STRING
						? json_node_dup_string(node)
						: json_to_string(node, FALSE);

		printf("%-16s %s\n", (char *)name->data, text);
	}
	json_object_unref(object);
}

bool sub_is_running(const char *name)
{
	struct client *client = client_open(name, NULL);

	client_close(client);
	return client;
}

bool sub_check_stopped(const char *name, GError **error)
{
	if (!sub_is_running(name))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "VM '%s' runs; end it first: viv stop %s", name, name);
	return false;
}
