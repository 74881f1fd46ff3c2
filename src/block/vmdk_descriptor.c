/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMDK's descriptor: a text of keys and values, lines of extents, and a "disk database". */
#include "block/vmdk_int.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"

char *vmdk_load_descriptor(struct file *file, bool *sparse, uint64_t *at, GError **error)
{
	uint8_t head[S_BYTES];
	uint64_t offset = 0, len = file->size;
	g_autofree char *text = NULL;
	int status = file_load(file, 0, head, sizeof(head));

	*sparse = !status && !memcmp(head, "KDMV", 4);
	if (*sparse) {
		offset = le64_load(head + S_DESCRIPTOR_AT);
		len = le64_load(head + S_DESCRIPTOR_SIZE);
		if (!offset || !len)
			return g_strdup("");
		offset = MIN(offset, INT64_MAX / IMAGE_SECTOR_SIZE) * IMAGE_SECTOR_SIZE;
		len = MIN(len, INT64_MAX / IMAGE_SECTOR_SIZE) * IMAGE_SECTOR_SIZE;
	}
	if (!status && (len > VMDK_MAX_DESCRIPTOR || offset > file->size)) {
		image_reject(error,
			     "vmdk disk '%s' does not begin as a VMDK image does; name its format, "
			     "or restore it from a copy",
			     file->name);
		return NULL;
	}
	text = g_malloc0(len + 1);
	if (!status)
		status = file_load(file, offset, text, len);
	*at = offset;
	if (!status)
		return g_steal_pointer(&text);
	image_fail(file->name, status, "cannot read its descriptor", error);
	return NULL;
}

/* The start of the line "KEY=..."'s value, blanks around the sign or not. */
static const char *find_value(const char *descriptor, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = descriptor; line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\r\n");
		if (!g_ascii_strncasecmp(line, key, len)) {
			const char *at = line + len + strspn(line + len, " \t");

			if (*at == '=')
				return at + 1 + strspn(at + 1, " \t");
		}
	}
	return NULL;
}

char *vmdk_value(const char *descriptor, const char *key)
{
	const char *at = find_value(descriptor, key);

	if (!at)
		return NULL;
	if (*at == '"')
		return g_strndup(at + 1, strcspn(at + 1, "\"\r\n"));
	return g_strchomp(g_strndup(at, strcspn(at, "\r\n")));
}

/* ---- extents ---- */

static void free_line(void *data)
{
	struct extent_line *line = data;

	g_free(line->name);
	g_free(line);
}

/* The next word, of which `*at` is the start, and then what is behind it. */
static char *take_word(const char **at)
{
	const char *start = *at + strspn(*at, " \t");
	size_t len = strcspn(start, " \t\r\n");

	*at = start + len;
	return g_strndup(start, len);
}

static bool take_number(const char **at, uint64_t *value)
{
	g_autofree char *word = take_word(at);

	return g_ascii_string_to_unsigned(word, 10, 0, INT64_MAX / IMAGE_SECTOR_SIZE, value, NULL);
}

static bool parse_extent(const char *at, struct extent_line *line)
{
	static const char *const flat[] = {"FLAT", "VMFS", NULL};
	g_autofree char *access = take_word(&at), *type = NULL;

	line->read_only = strcmp(access, "RW") != 0;
	if (!take_number(&at, &line->size) || !line->size)
		return false;
	type = take_word(&at);
	line->sparse = !strcmp(type, "SPARSE");
	line->zero = !strcmp(type, "ZERO");
	at += strspn(at, " \t");
	if (line->zero)
		return true;
	if ((!line->sparse && !g_strv_contains(flat, type)) || *at++ != '"')
		return false;
	line->name = g_strndup(at, strcspn(at, "\"\r\n"));
	at += strlen(line->name);
	if (*at++ != '"')
		return false;
	at += strspn(at, " \t");
	return line->sparse || !*at || *at == '\r' || *at == '\n' ||
	       take_number(&at, &line->offset);
}

GPtrArray *vmdk_extent_lines(const char *descriptor, const char *path, GError **error)
{
	g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(free_line);

	for (const char *at = descriptor; at; at = strchr(at, '\n')) {
		struct extent_line *line;

		at += strspn(at, " \t\r\n");
		if (strncmp(at, "RW ", 3) && strncmp(at, "RDONLY ", 7) &&
		    strncmp(at, "NOACCESS ", 9))
			continue;
		line = g_new0(struct extent_line, 1);
		g_ptr_array_add(lines, line);
		if (!parse_extent(at, line) || *at == 'N') {
			image_reject(error,
				     "vmdk disk '%s' has an extent that is not supported: '%.*s'; "
				     "convert it with its own program",
				     path, (int)MIN(strcspn(at, "\r\n"), 100), at);
			return NULL;
		}
		if (lines->len > VMDK_MAX_EXTENTS) {
			image_reject(error, "vmdk disk '%s' has more than %u extents", path,
				     VMDK_MAX_EXTENTS);
			return NULL;
		}
	}
	if (lines->len)
		return g_steal_pointer(&lines);
	image_reject(error,
		     "vmdk disk '%s' has a descriptor without extents; restore it from a copy",
		     path);
	return NULL;
}

/* A number in place of the digits at `at`, which is in the text. */
static void put_number(GString *text, const char *at, uint64_t value)
{
	g_autofree char *digits = g_strdup_printf("%" G_GUINT64_FORMAT, value);
	gsize where = at - text->str;

	g_string_erase(text, where, strspn(at, "0123456789"));
	g_string_insert(text, where, digits);
}

static uint64_t number_of(const char *descriptor, const char *key)
{
	g_autofree char *value = vmdk_value(descriptor, key);

	return value ? g_ascii_strtoull(value, NULL, 10) : 0;
}

char *vmdk_descriptor_of_size(const char *descriptor, uint64_t sectors)
{
	GString *text = g_string_new(descriptor);
	uint64_t heads = number_of(descriptor, "ddb.geometry.heads");
	uint64_t per_track = number_of(descriptor, "ddb.geometry.sectors");
	const char *at = find_value(text->str, "ddb.geometry.cylinders");

	if (at && heads && heads <= 255 && per_track && per_track <= 255)
		put_number(text, at + (*at == '"'), sectors / heads / per_track);
	for (at = text->str; at; at = strchr(at, '\n')) {
		at += strspn(at, " \t\r\n");
		if (strncmp(at, "RW ", 3))
			continue;
		put_number(text, at + 3 + strspn(at + 3, " \t"), sectors);
		break;
	}
	return g_string_free(text, FALSE);
}

/* ---- parents ---- */

char *vmdk_cid_of(const char *path, const char *name, GError **error)
{
	g_autofree char *parent = image_resolve_backing(path, name);
	struct file *file = file_open(parent, FILE_READ_ONLY | FILE_NO_LOCK, error);
	g_autofree char *text = NULL;
	char *cid = NULL;
	uint64_t at;
	bool sparse;

	text = file ? vmdk_load_descriptor(file, &sparse, &at, error) : NULL;
	if (text) {
		cid = vmdk_value(text, "CID");
		if (!cid)
			image_reject(error, "disk '%s' is no VMDK image with a content id", parent);
	}
	file_close(file);
	return cid;
}

/* ---- making one ---- */

static const char *option(const struct image_create *create, const char *name)
{
	return image_option(create, &block_format_vmdk, name);
}

char *vmdk_make_descriptor(const struct image_create *create, const char *type,
			   const char *parent_cid, const char *extents)
{
	GString *text = g_string_new("# Disk DescriptorFile\nversion=1\n");
	const char *adapter = option(create, "adapter_type");
	unsigned heads = !strcmp(adapter, "ide") ? 16 : 255, sectors = 63;
	uint64_t cylinders = create->size / IMAGE_SECTOR_SIZE / heads / sectors;

	g_string_append_printf(text, "CID=%08x\nparentCID=%s\ncreateType=\"%s\"\n",
			       g_random_int() & 0xfffffffe, parent_cid ? parent_cid : "ffffffff",
			       type);
	if (create->backing)
		g_string_append_printf(text, "parentFileNameHint=\"%s\"\n", create->backing);
	g_string_append_printf(text, "\n# Extent description\n%s\n", extents);
	g_string_append_printf(text,
			       "# The Disk Data Base\n#DDB\n\n"
			       "ddb.virtualHWVersion = \"%s\"\n"
			       "ddb.geometry.cylinders = \"%" G_GUINT64_FORMAT "\"\n"
			       "ddb.geometry.heads = \"%u\"\n"
			       "ddb.geometry.sectors = \"%u\"\n"
			       "ddb.adapterType = \"%s\"\n"
			       "ddb.toolsVersion = \"%s\"\n",
			       option(create, "hwversion"), cylinders, heads, sectors, adapter,
			       option(create, "toolsversion"));
	return g_string_free(text, FALSE);
}
