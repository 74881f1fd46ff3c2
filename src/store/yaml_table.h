/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * YAML files that users write, as tables: a row is a key of a mapping and where its value goes. Errors name
 * the file, the line and what is wrong there. A key that no row knows is an error, since it is a slip of the
 * hand.
 */
#ifndef VIV_STORE_YAML_TABLE_H
#define VIV_STORE_YAML_TABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#define YAML_MAX_FILE (256 << 10)

struct yaml {
	yaml_document_t document;
	const char *file; /* for errors; not owned */
};

struct yaml_key {
	const char *name;
	bool required;
	/* `at` is the key's value. */
	bool (*take)(struct yaml *yaml, yaml_node_t *at, void *target, GError **error);
	size_t offset; /* of the member, which yaml_take_*() below set */
};

bool yaml_load(struct yaml *yaml, const char *file, const char *text, size_t len, GError **error);
void yaml_unload(struct yaml *yaml);
yaml_node_t *yaml_root(struct yaml *yaml); /* NULL: the file is empty */

/* The value of a mapping's key; NULL: it is none, or has none of that name. */
yaml_node_t *yaml_get(struct yaml *yaml, yaml_node_t *at, const char *name);
/* `target` of each row's take() is `target` + its offset. */
bool yaml_take_mapping(struct yaml *yaml, yaml_node_t *at, const struct yaml_key *keys, size_t n_keys,
		       void *target, GError **error);
bool yaml_take_string(struct yaml *yaml, yaml_node_t *at, void *target,
		      GError **error); /* char *, freed before */
bool yaml_take_size(struct yaml *yaml, yaml_node_t *at, void *target, GError **error);	 /* uint64_t, bytes */
bool yaml_take_number(struct yaml *yaml, yaml_node_t *at, void *target, GError **error); /* uint64_t */
bool yaml_take_decimal(struct yaml *yaml, yaml_node_t *at, void *target,
		       GError **error); /* double, not negative */
bool yaml_take_strings(struct yaml *yaml, yaml_node_t *at, void *target,
		       GError **error); /* GPtrArray *, appended to */
/* Calls `each` for each node of a sequence. */
bool yaml_take_sequence(struct yaml *yaml, yaml_node_t *at,
			bool (*each)(struct yaml *yaml, yaml_node_t *at, void *target, GError **error),
			void *target, GError **error);
G_GNUC_PRINTF(4, 5)
bool yaml_refuse(struct yaml *yaml, yaml_node_t *at, GError **error, const char *format, ...);

#endif
