/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of `viv disk` share: options, how they open an image, exit statuses. */
#ifndef VIV_CLI_DISK_H
#define VIV_CLI_DISK_H

#include <json-glib/json-glib.h>

#include "block/image.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "cli/verb.h"

struct disk_options {
	const char *format, *target_format; /* NULL: as the names say */
	const char *backing, *backing_format;
	GPtrArray *options;		     /* of const char *, ended by NULL; NULL: none */
	char *secret;			     /* the passphrase */
	const char *create, *apply, *remove; /* names of snapshots */
	enum image_repair repair;
	bool json, progress, force, existing, compress, shrink, unsafe, chain, list, strict;
};

bool disk_set_format(void *target, const char *value, GError **error);
bool disk_set_target_format(void *target, const char *value, GError **error);
bool disk_set_backing(void *target, const char *value, GError **error);
bool disk_set_backing_format(void *target, const char *value, GError **error);
bool disk_set_option(void *target, const char *value, GError **error);
bool disk_set_secret(void *target, const char *value, GError **error);
bool disk_set_json(void *target, const char *value, GError **error);
bool disk_set_progress(void *target, const char *value, GError **error);
bool disk_set_force(void *target, const char *value, GError **error);
void disk_options_fini(struct disk_options *options);

/* Rows that several verbs have. */
#define DISK_ROW_FORMAT                                                             \
	{                                                                           \
		"format", 'f', "FORMAT",                                            \
			"the format of FILE; without it: as its name ends, or raw", \
			disk_set_format                                             \
	}
#define DISK_ROW_OPTION                                                                    \
	{                                                                                  \
		"option", 'o', "NAME=VALUE[,...]",                                         \
			"what the format is told, see below; may be given\nseveral times", \
			disk_set_option                                                    \
	}
#define DISK_ROW_SECRET                                                                 \
	{                                                                               \
		"secret", 0, "FILE",                                                    \
			"the passphrase of an encrypted image, the first line of FILE", \
			disk_set_secret                                                 \
	}
#define DISK_ROW_JSON                                                \
	{                                                            \
		"json", 0, NULL, "JSON, for programs", disk_set_json \
	}
#define DISK_ROW_PROGRESS                                                               \
	{                                                                               \
		"progress", 'p', NULL,                                                  \
			"tell how far it is, even where standard error is no terminal", \
			disk_set_progress                                               \
	}

/* The options of formats, for the help of what makes images. */
void disk_append_formats(GString *out);
/* The format that `name` is of: `format`, or what its extension says. NULL: it is taken for raw but
 * looks like another one, which is an error. */
const char *disk_format_of(const char *name, const char *format, GError **error);
/* As the options say; NULL with the error set. */
struct image *disk_open(const struct disk_options *options, const char *path, struct image_open how,
			GError **error);
bool disk_parse_size(const char *text, uint64_t *size, GError **error);
void disk_print_json(JsonNode *node); /* and frees it */

extern const struct verb disk_create, disk_info, disk_check, disk_resize, disk_convert, disk_map,
	disk_commit, disk_rebase, disk_snapshot, disk_compare, disk_stat, disk_limit;

#endif
