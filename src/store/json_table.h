/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON files of the store, as tables: a row is a member of an object and where its value goes. Files are
 * hostile. */
#ifndef VIV_STORE_JSON_TABLE_H
#define VIV_STORE_JSON_TABLE_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_MAX_FILE (64 << 10)

enum json_kind {
	JSON_STRING,  /* char *, owned */
	JSON_NUMBER,  /* uint64_t, up to INT64_MAX */
	JSON_BOOL,    /* bool */
	JSON_STRINGS, /* GPtrArray * of char *, made by whoever reads */
};

struct json_member {
	const char *name;
	enum json_kind kind;
	bool required; /* of a string: and not empty */
	size_t offset;
};

/* Members that no row knows are let be: a later viv's. `file` is for errors. */
bool json_load(const char *file, const char *text, size_t len, const struct json_member *members,
	       size_t n_members, void *target, GError **error);
JsonObject *json_save(const struct json_member *members, size_t n_members, const void *from);
/* As text, with a newline at its end. The object is taken. */
char *json_text(JsonObject *object);
void json_clear(const struct json_member *members, size_t n_members, void *target);

#endif
