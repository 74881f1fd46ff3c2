/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New VMDK images: the descriptor, and the extents beside it where they are files of their own. */
#include "block/vmdk_int.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

struct kind {
	const char *name;
	bool flat, split, stream;
};

static const struct kind kinds[] = {
	{"monolithicSparse"},
	{"monolithicFlat", .flat = true},
	{"twoGbMaxExtentSparse", .split = true},
	{"twoGbMaxExtentFlat", .flat = true, .split = true},
	{"streamOptimized", .stream = true},
};

#define SPLIT ((2ull << 30) / IMAGE_SECTOR_SIZE)

static bool check_word(const char *option, const char *value, GError **error)
{
	for (const char *at = value; *at; at++)
		if (!g_ascii_isalnum(*at))
			return image_reject(error, "%s=%s: write letters and digits only", option,
					    value);
	return true;
}

static const struct kind *find_kind(const struct image_create *create, GError **error)
{
	static const char *const words[] = {"hwversion", "toolsversion"};
	static const char *const adapters[] = {"ide", "lsilogic", "buslogic", "legacyESX", NULL};
	const char *name = image_option(create, &block_format_vmdk, "subformat");
	const char *adapter = image_option(create, &block_format_vmdk, "adapter_type");

	for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
		if (!check_word(words[i], image_option(create, &block_format_vmdk, words[i]),
				error))
			return NULL;
	if (!g_strv_contains(adapters, adapter)) {
		image_reject(error, "adapter_type=%s: write ide, lsilogic, buslogic or legacyESX",
			     adapter);
		return NULL;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	image_reject(error,
		     "subformat=%s: write monolithicSparse, monolithicFlat, twoGbMaxExtentSparse, "
		     "twoGbMaxExtentFlat or streamOptimized",
		     name);
	return NULL;
}

/* "disk-s001.vmdk" of "disk.vmdk", beside it. */
static char *extent_path(const char *path, const struct kind *kind, unsigned i)
{
	const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
	int len = dot && (!slash || dot > slash) ? dot - path : (int)strlen(path);

	if (!kind->split)
		return g_strdup_printf("%.*s-flat%s", len, path, path + len);
	return g_strdup_printf("%.*s-%c%03u%s", len, path, kind->flat ? 'f' : 's', i + 1,
			       path + len);
}

static bool make_extent(const struct image_create *create, const struct kind *kind,
			const char *path, uint64_t sectors, bool zero_grains, GError **error)
{
	struct file *file =
		file_open(path, FILE_CREATE | (create->replace ? FILE_REPLACE : 0), error);
	int status;

	if (!file)
		return false;
	status = kind->flat ? file->ops->set_size(file, sectors * IMAGE_SECTOR_SIZE)
			    : vmdk_create_sparse(file, sectors, zero_grains, NULL);
	if (!status)
		status = file->ops->flush(file);
	file_close(file);
	/* A file that was there before is not ours to remove. */
	if (status && !create->replace)
		g_unlink(path);
	return !status || image_fail(path, status, "cannot be written", error);
}

/* Also makes the extents that are files of their own; their paths are added to `made`. */
static bool make_extents(const struct image_create *create, const struct kind *kind,
			 bool zero_grains, GString *lines, GPtrArray *made, GError **error)
{
	uint64_t left = create->size / IMAGE_SECTOR_SIZE, most = kind->split ? SPLIT : left;

	for (unsigned i = 0; left; i++) {
		uint64_t sectors = MIN(left, most);
		bool alone = !kind->split && !kind->flat;
		g_autofree char *path =
			alone ? g_strdup(create->path) : extent_path(create->path, kind, i);
		g_autofree char *name = g_path_get_basename(path);

		g_string_append_printf(lines, "RW %" G_GUINT64_FORMAT " %s \"%s\"%s\n", sectors,
				       kind->flat ? "FLAT" : "SPARSE", name,
				       kind->flat ? " 0" : "");
		if (!alone && !make_extent(create, kind, path, sectors, zero_grains, error))
			return false;
		if (!alone)
			g_ptr_array_add(made, g_steal_pointer(&path));
		left -= sectors;
	}
	return true;
}

static bool check_create(const struct image_create *create, const struct kind *kind, GError **error)
{
	g_autofree char *name = g_path_get_basename(create->path);
	uint64_t sectors = create->size / IMAGE_SECTOR_SIZE;

	if (create->backing && strcmp(create->backing_format, "vmdk"))
		return image_reject(error,
				    "format vmdk stands on images of its own format only, and '%s' "
				    "is %s; choose qcow2",
				    create->backing, create->backing_format);
	if (create->backing && (kind->flat || kind->stream))
		return image_reject(error, "subformat %s has no backing image", kind->name);
	if (strpbrk(name, "\"\r\n") || (create->backing && strpbrk(create->backing, "\"\r\n")))
		return image_reject(error, "a VMDK image's name has no quotes and line ends");
	if (create->backing && strlen(create->backing) > 4096)
		return image_reject(error, "the backing image's name is too long");
	if (kind->split ? sectors > SPLIT * VMDK_MAX_EXTENTS : !kind->flat && sectors > VMDK_MAX_SPARSE)
		return image_reject(error, "subformat %s ends at %s; choose another, or qcow2",
				    kind->name, kind->split ? "1 TiB" : "2 TiB");
	return true;
}

static bool write_descriptor(struct file *file, const struct image_create *create,
			     const struct kind *kind, bool zero_grains, const char *text,
			     GError **error)
{
	uint64_t sectors = create->size / IMAGE_SECTOR_SIZE;
	int status;

	if (kind->stream)
		status = vmdk_create_stream(file, sectors, text);
	else if (kind->flat || kind->split)
		status = file_store(file, 0, text, strlen(text));
	else
		status = vmdk_create_sparse(file, sectors, zero_grains, text);
	return !status || image_fail(create->path, status, "cannot be written", error);
}

bool vmdk_create(struct file *file, const struct image_create *create, GError **error)
{
	const struct kind *kind = find_kind(create, error);
	g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GString) lines = g_string_new(NULL);
	g_autofree char *cid = NULL, *text = NULL;
	bool zero_grains, good;

	if (!kind || !check_create(create, kind, error) ||
	    !image_option_bool(create, &block_format_vmdk, "zeroed_grain", &zero_grains, error))
		return false;
	if (create->backing) {
		cid = vmdk_cid_of(create->path, create->backing, error);
		if (!cid)
			return false;
	}
	good = make_extents(create, kind, zero_grains, lines, made, error);
	text = vmdk_make_descriptor(create, kind->name, cid, lines->str);
	good = good && write_descriptor(file, create, kind, zero_grains, text, error);
	for (guint i = 0; i < made->len && !good && !create->replace; i++)
		g_unlink(g_ptr_array_index(made, i));
	return good;
}
