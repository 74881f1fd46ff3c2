/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/manifest.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "block/image.h"
#include "store/json_table.h"
#include "store/store.h"

#define SCHEMA	     1
#define ARCHITECTURE "x86_64"
#define SHA256_LEN   64

#define ROW(name, kind, required)                                      \
	{                                                              \
#name, kind, required, offsetof(struct manifest, name) \
	}
static const struct json_member members[] = {
	ROW(schema, JSON_NUMBER, true),	      ROW(name, JSON_STRING, true),
	ROW(version, JSON_NUMBER, true),      ROW(description, JSON_STRING, false),
	ROW(architecture, JSON_STRING, true), ROW(firmware, JSON_STRINGS, true),
	ROW(min_memory, JSON_NUMBER, false),  ROW(size, JSON_NUMBER, true),
	ROW(file, JSON_STRING, true),	      ROW(format, JSON_STRING, true),
	ROW(sha256, JSON_STRING, true),	      ROW(origin, JSON_STRING, false),
	ROW(created, JSON_STRING, false),     ROW(sealed, JSON_BOOL, false),
	ROW(cloud_init, JSON_BOOL, false),    ROW(user, JSON_STRING, false),
	ROW(recipe, JSON_STRING, false),
};

void manifest_init(struct manifest *manifest)
{
	*manifest = (struct manifest){
		.schema = SCHEMA,
		.architecture = g_strdup(ARCHITECTURE),
		.firmware = g_ptr_array_new_with_free_func(g_free),
	};
}

void manifest_fini(struct manifest *manifest)
{
	json_clear(members, G_N_ELEMENTS(members), manifest);
}

static bool refuse(GError **error, const char *file, const char *name, const char *value)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged: \"%s\" is '%s'", file, name, value);
	return false;
}

static bool check_firmware(const struct manifest *manifest, const char *file, GError **error)
{
	for (unsigned i = 0; i < manifest->firmware->len; i++)
		if (strcmp(manifest->firmware->pdata[i], "bios") &&
		    strcmp(manifest->firmware->pdata[i], "uefi"))
			return refuse(error, file, "firmware", manifest->firmware->pdata[i]);
	return manifest->firmware->len || refuse(error, file, "firmware", "");
}

/* cloud-init and `viv ssh` get it: what useradd(8) takes. */
static bool is_user(const char *user)
{
	size_t len = strspn(user, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return len && len <= 32 && !user[len] && user[0] != '-';
}

static bool check(const struct manifest *manifest, const char *file, GError **error)
{
	if (manifest->schema != SCHEMA) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' has schema %" G_GUINT64_FORMAT "; this viv reads %d", file,
			    manifest->schema, SCHEMA);
		return false;
	}
	if (!store_name_check(manifest->name, NULL))
		return refuse(error, file, "name", manifest->name);
	if (!manifest->version || manifest->version > G_MAXINT32)
		return refuse(error, file, "version", "out of range");
	if (strcmp(manifest->architecture, ARCHITECTURE)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is for %s; viv runs " ARCHITECTURE, file,
			    manifest->architecture);
		return false;
	}
	if (!store_name_check(manifest->file, NULL))
		return refuse(error, file, "file", manifest->file);
	if (!image_find_format(manifest->format, NULL))
		return refuse(error, file, "format", manifest->format);
	if (strlen(manifest->sha256) != SHA256_LEN ||
	    manifest->sha256[strspn(manifest->sha256, "0123456789abcdef")])
		return refuse(error, file, "sha256", manifest->sha256);
	if (manifest->user && !is_user(manifest->user))
		return refuse(error, file, "user", manifest->user);
	return check_firmware(manifest, file, error);
}

bool manifest_parse(struct manifest *manifest, const char *file, const char *text, size_t len, GError **error)
{
	return json_load(file, text, len, members, G_N_ELEMENTS(members), manifest, error) &&
	       check(manifest, file, error);
}

JsonObject *manifest_json(const struct manifest *manifest)
{
	return json_save(members, G_N_ELEMENTS(members), manifest);
}
