/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/yaml_table.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"

#define MAX_DEPTH 16 /* libyaml and the destruction of its documents recurse */

bool yaml_refuse(struct yaml *yaml, yaml_node_t *at, GError **error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s:%zu: %s", yaml->file,
		    at ? at->start_mark.line + 1 : (size_t)1, text);
	return false;
}

static bool check_depth(struct yaml *yaml, const char *text, size_t len, GError **error)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool more = true, good = true;
	int depth = 0;

	if (!yaml_parser_initialize(&parser))
		return yaml_refuse(yaml, NULL, error, "out of memory");
	yaml_parser_set_input_string(&parser, (const uint8_t *)text, len);
	while (more && good && yaml_parser_parse(&parser, &event)) {
		depth += event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
		depth -= event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
		if (depth > MAX_DEPTH)
			good = false;
		/* One line could be a billion. */
		if (event.type == YAML_ALIAS_EVENT)
			good = false;
		more = event.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	if (good && parser.error != YAML_NO_ERROR)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s:%zu: not YAML: %s", yaml->file,
			    parser.problem_mark.line + 1, parser.problem ? parser.problem : "");
	else if (!good)
		yaml_refuse(yaml, NULL, error,
			    "nested more than %d deep, or with aliases, which this file never is", MAX_DEPTH);
	good &= parser.error == YAML_NO_ERROR;
	yaml_parser_delete(&parser);
	return good;
}

bool yaml_load(struct yaml *yaml, const char *file, const char *text, size_t len, GError **error)
{
	yaml_parser_t parser;
	bool done;

	yaml->file = file;
	if (!check_depth(yaml, text, len, error))
		return false;
	if (!yaml_parser_initialize(&parser))
		return yaml_refuse(yaml, NULL, error, "out of memory");
	yaml_parser_set_input_string(&parser, (const uint8_t *)text, len);
	done = yaml_parser_load(&parser, &yaml->document);
	if (!done)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s:%zu: not YAML: %s", file,
			    parser.problem_mark.line + 1, parser.problem ? parser.problem : "");
	yaml_parser_delete(&parser);
	return done;
}

void yaml_unload(struct yaml *yaml)
{
	yaml_document_delete(&yaml->document);
}

yaml_node_t *yaml_root(struct yaml *yaml)
{
	return yaml_document_get_root_node(&yaml->document);
}

static const char *scalar(yaml_node_t *at)
{
	const char *text = at->type == YAML_SCALAR_NODE ? (const char *)at->data.scalar.value : NULL;

	return text && strlen(text) == at->data.scalar.length ? text : NULL;
}

static bool take_pair(struct yaml *yaml, yaml_node_pair_t *pair, const struct yaml_key *keys, size_t n_keys,
		      void *target, GError **error)
{
	yaml_node_t *key = yaml_document_get_node(&yaml->document, pair->key);
	yaml_node_t *value = yaml_document_get_node(&yaml->document, pair->value);
	const char *name = scalar(key);
	g_autoptr(GString) known = g_string_new(NULL);

	for (size_t i = 0; i < n_keys; i++) {
		if (name && !strcmp(keys[i].name, name)) {
			if (keys[i].take(yaml, value, (char *)target + keys[i].offset, error))
				return true;
			g_prefix_error(error, "%s: ", name);
			return false;
		}
		g_string_append_printf(known, "%s%s", i ? ", " : "", keys[i].name);
	}
	return yaml_refuse(yaml, key, error, "'%s' is nothing to set here; there are: %s", name ? name : "",
			   known->str);
}

yaml_node_t *yaml_get(struct yaml *yaml, yaml_node_t *at, const char *name)
{
	if (!at || at->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = at->data.mapping.pairs.start; pair < at->data.mapping.pairs.top; pair++)
		if (!g_strcmp0(scalar(yaml_document_get_node(&yaml->document, pair->key)), name))
			return yaml_document_get_node(&yaml->document, pair->value);
	return NULL;
}

bool yaml_take_mapping(struct yaml *yaml, yaml_node_t *at, const struct yaml_key *keys, size_t n_keys,
		       void *target, GError **error)
{
	if (!at || at->type != YAML_MAPPING_NODE)
		return yaml_refuse(yaml, at, error, "something is missing; write lines like %s: ...",
				   keys[0].name);
	for (yaml_node_pair_t *pair = at->data.mapping.pairs.start; pair < at->data.mapping.pairs.top; pair++)
		if (!take_pair(yaml, pair, keys, n_keys, target, error))
			return false;
	for (size_t i = 0; i < n_keys; i++)
		if (keys[i].required && !yaml_get(yaml, at, keys[i].name))
			return yaml_refuse(yaml, at, error, "%s is missing", keys[i].name);
	return true;
}

bool yaml_take_string(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	const char *text = scalar(at);

	if (!text || !g_utf8_validate(text, -1, NULL))
		return yaml_refuse(yaml, at, error, "a text is wanted");
	g_free(*(char **)target);
	*(char **)target = g_strdup(text);
	return true;
}

bool yaml_take_size(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	const char *text = scalar(at);

	return (text && size_parse(text, 20, target)) ||
	       yaml_refuse(yaml, at, error, "'%s' is not a size; write it like 512M or 2G", text ? text : "");
}

bool yaml_take_number(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	const char *text = scalar(at);
	guint64 number;

	if (!text || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &number, NULL))
		return yaml_refuse(yaml, at, error, "'%s' is not a number", text ? text : "");
	*(uint64_t *)target = number;
	return true;
}

bool yaml_take_decimal(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	const char *text = scalar(at);
	char *end = NULL;
	double number = text ? g_ascii_strtod(text, &end) : 0;

	if (!text || end == text || *end || !isfinite(number) || number < 0)
		return yaml_refuse(yaml, at, error, "'%s' is not a number like 0.05", text ? text : "");
	*(double *)target = number;
	return true;
}

bool yaml_take_sequence(struct yaml *yaml, yaml_node_t *at,
			bool (*each)(struct yaml *yaml, yaml_node_t *at, void *target, GError **error),
			void *target, GError **error)
{
	if (at->type != YAML_SEQUENCE_NODE)
		return yaml_refuse(yaml, at, error, "a list is wanted; begin each line with -");
	for (yaml_node_item_t *item = at->data.sequence.items.start; item < at->data.sequence.items.top;
	     item++)
		if (!each(yaml, yaml_document_get_node(&yaml->document, *item), target, error))
			return false;
	return true;
}

static bool take_one(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	char *text = NULL;

	if (!yaml_take_string(yaml, at, &text, error))
		return false;
	g_ptr_array_add(target, text);
	return true;
}

bool yaml_take_strings(struct yaml *yaml, yaml_node_t *at, void *target, GError **error)
{
	return yaml_take_sequence(yaml, at, take_one, *(GPtrArray **)target, error);
}
