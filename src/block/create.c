/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New images: the options that users name, and the chain's part of it. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "block/format.h"

/* The value in "name=value"; NULL: it is of another name. */
static const char *value_of(const char *option, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(option, name, len) && option[len] == '=' ? option + len + 1 : NULL;
}

static const struct image_option *find_row(const struct block_format *format, const char *option)
{
	for (const struct image_option *row = format->options; row->name; row++)
		if (value_of(option, row->name))
			return row;
	return NULL;
}

const char *image_option(const struct image_create *create, const struct block_format *format,
			 const char *name)
{
	const char *value = NULL;

	for (const char *const *option = create->options; option && *option; option++)
		value = value_of(*option, name) ? value_of(*option, name) : value;
	for (const struct image_option *row = format->options; !value && row->name; row++)
		if (!strcmp(row->name, name))
			value = row->value;
	return value;
}

bool image_option_bool(const struct image_create *create, const struct block_format *format,
		       const char *name, bool *value, GError **error)
{
	const char *text = image_option(create, format, name);

	*value = !g_strcmp0(text, "on");
	if (*value || !text || !strcmp(text, "off"))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s=%s: write on or off", name, text);
	return false;
}

bool image_option_size(const struct image_create *create, const struct block_format *format,
		       const char *name, uint64_t *value, GError **error)
{
	const char *text = image_option(create, format, name);

	*value = 0;
	if (!text || size_parse(text, 0, value))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "%s=%s is not a size; write it like 65536 or 64K", name, text);
	return false;
}

static bool check_options(const struct image_create *create, const struct block_format *format,
			  GError **error)
{
	g_autoptr(GString) known = g_string_new(NULL);
	const char *const *option = create->options;

	while (option && *option && find_row(format, *option))
		option++;
	if (!option || !*option)
		return true;
	for (const struct image_option *row = format->options; row->name; row++)
		g_string_append_printf(known, "%s%s=%s", known->len ? ", " : "", row->name,
				       row->metavar);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is no option of format %s; it has: %s",
		    *option, format->name, known->len ? known->str : "none");
	return false;
}

/* The backing image has to be there: its size is that of the new one, where nothing else is said.
 */
static bool look_at_backing(struct image_create *create, const struct block_format *format,
			    GError **error)
{
	g_autofree char *path = NULL;
	struct image_open how = {
		.format = create->backing_format, .read_only = true, .no_lock = true};
	struct image *backing;

	if (!create->backing)
		return true;
	if (!format->has_backing) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "format %s has no backing images; choose one that has: qcow2",
			    format->name);
		return false;
	}
	path = image_resolve_backing(create->path, create->backing);
	how.path = path;
	backing = image_open(&how, error);
	if (!backing)
		return false;
	create->backing_format = image_format(backing)->name;
	if (!create->size)
		create->size = image_size(backing);
	image_close(backing);
	return true;
}

static bool check_size(const struct image_create *create, GError **error)
{
	if (create->size && create->size <= INT64_MAX && create->size % IMAGE_SECTOR_SIZE == 0)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "a disk cannot have %" G_GUINT64_FORMAT
		    " bytes; give a size that is a multiple of %u",
		    create->size, IMAGE_SECTOR_SIZE);
	return false;
}

bool image_create(const struct image_create *wanted, GError **error)
{
	struct image_create create = *wanted;
	const struct block_format *format = image_find_format(create.format, error);
	unsigned flags = FILE_CREATE | (create.replace ? FILE_REPLACE : 0);
	struct file *file;
	bool made;

	if (!format || !check_options(&create, format, error) ||
	    !look_at_backing(&create, format, error) || !check_size(&create, error))
		return false;
	if (!format->create) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "images of format %s are only read; choose another", format->name);
		return false;
	}
	file = file_open(create.path, flags, error);
	if (!file)
		return false;
	made = format->create(file, &create, error);
	if (made && file->ops->flush(file) < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s' cannot be written out",
			    create.path);
		made = false;
	}
	file_close(file);
	/* A file that was there before is not ours to remove. */
	if (!made && !create.replace)
		g_unlink(create.path);
	return made;
}
