/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/images.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "store/disk_copy.h"
#include "store/json_table.h"
#include "store/vms.h"

#define IMAGES_LOCK "images" /* of what is there: shared by who makes a VM of one */

void image_ref_clear(struct image_ref *image)
{
	manifest_fini(&image->manifest);
	g_clear_pointer(&image->folder, g_free);
	g_clear_pointer(&image->disk, g_free);
}

static void free_ref(void *item)
{
	image_ref_clear(item);
	g_free(item);
}

static bool parse_version(const char *text, guint64 *version)
{
	return g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT32, version, NULL) && text[0] != '0' &&
	       text[0] != '+';
}

uint64_t images_newest(const struct store *store, const char *name)
{
	g_autofree char *folder = g_build_filename(store->images, name, NULL);
	g_autoptr(GPtrArray) names = store_list(folder);
	guint64 version, best = 0;

	for (unsigned i = 0; i < names->len; i++)
		if (parse_version(names->pdata[i], &version))
			best = MAX(best, version);
	return best;
}

static char *folder_of(const struct store *store, const char *name, uint64_t version)
{
	return g_strdup_printf("%s/%s/%" G_GUINT64_FORMAT, store->images, name, version);
}

static bool load(const struct store *store, const char *name, uint64_t version, struct image_ref *image,
		 GError **error)
{
	g_autofree char *path = NULL, *text = NULL;
	size_t len;

	*image = (struct image_ref){.folder = folder_of(store, name, version)};
	manifest_init(&image->manifest);
	path = g_build_filename(image->folder, MANIFEST_FILE, NULL);
	text = store_read(path, JSON_MAX_FILE, &len, error);
	if (!text || !manifest_parse(&image->manifest, path, text, len, error))
		goto fail;
	if (strcmp(image->manifest.name, name) || image->manifest.version != version) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is damaged: it calls itself %s:%" G_GUINT64_FORMAT, path,
			    image->manifest.name, image->manifest.version);
		goto fail;
	}
	image->disk = g_build_filename(image->folder, image->manifest.file, NULL);
	return true;
fail:
	image_ref_clear(image);
	return false;
}

bool images_find(const struct store *store, const char *ref, struct image_ref *image, GError **error)
{
	g_auto(GStrv) words = g_strsplit(ref, ":", 2);
	const char *name = words[0] ? words[0] : "";
	g_autofree char *folder = NULL;
	guint64 version = 0;

	if (!store_name_check(name, error))
		return false;
	if (words[1] && !parse_version(words[1], &version)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is no image; write NAME or NAME:VERSION",
			    ref);
		return false;
	}
	if (!version)
		version = images_newest(store, name);
	folder = folder_of(store, name, version);
	if (!version || !g_file_test(folder, G_FILE_TEST_IS_DIR)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "there is no image '%s'; `viv image ls` lists them", ref);
		return false;
	}
	return load(store, name, version, image, error);
}

bool images_has(const struct store *store, const char *ref)
{
	struct image_ref image;
	bool has = images_find(store, ref, &image, NULL);

	if (has)
		image_ref_clear(&image);
	return has;
}

static int compare_refs(gconstpointer a, gconstpointer b)
{
	const struct manifest *one = &(*(struct image_ref *const *)a)->manifest;
	const struct manifest *two = &(*(struct image_ref *const *)b)->manifest;
	int order = strcmp(one->name, two->name);

	return order ? order : (one->version > two->version) - (one->version < two->version);
}

static void list_versions(const struct store *store, const char *name, GPtrArray *all, GPtrArray *damaged)
{
	g_autofree char *folder = g_build_filename(store->images, name, NULL);
	g_autoptr(GPtrArray) versions = store_list(folder);
	guint64 version;

	for (unsigned i = 0; i < versions->len; i++) {
		struct image_ref *image = g_new(struct image_ref, 1);
		g_autoptr(GError) error = NULL;

		if (parse_version(versions->pdata[i], &version) &&
		    load(store, name, version, image, &error)) {
			g_ptr_array_add(all, image);
			continue;
		}
		if (error)
			g_ptr_array_add(damaged, g_strdup(error->message));
		g_free(image);
	}
}

GPtrArray *images_list(const struct store *store, GPtrArray *damaged)
{
	g_autoptr(GPtrArray) names = store_list(store->images);
	GPtrArray *all = g_ptr_array_new_with_free_func(free_ref);

	for (unsigned i = 0; i < names->len; i++)
		if (store_name_check(names->pdata[i], NULL))
			list_versions(store, names->pdata[i], all, damaged);
	g_ptr_array_sort(all, compare_refs);
	return all;
}

static bool write_manifest(const char *folder, const struct manifest *manifest, GError **error)
{
	g_autofree char *path = g_build_filename(folder, MANIFEST_FILE, NULL);
	g_autofree char *text = json_text(manifest_json(manifest));

	return store_write(path, text, strlen(text), 0600, error);
}

/* Nobody is to write into it by mistake: overlays stand on it. */
static bool protect(const char *disk, GError **error)
{
	if (g_chmod(disk, 0400) == 0)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot protect '%s': %s", disk, g_strerror(errno));
	return false;
}

static bool publish(const struct store *store, struct store_work *work, struct manifest *manifest,
		    GError **error)
{
	g_autofree char *folder = NULL;

	manifest->version = images_newest(store, manifest->name) + 1;
	folder = folder_of(store, manifest->name, manifest->version);
	return write_manifest(work->path, manifest, error) && store_put(work, folder, error);
}

bool images_add(const struct store *store, struct store_work *work, struct manifest *manifest,
		struct steps *steps, struct image_ref *image, GError **error)
{
	g_autofree char *disk = g_build_filename(work->path, manifest->file, NULL);
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	bool done;
	int lock;

	g_free(manifest->created);
	manifest->created = g_date_time_format_iso8601(now);
	g_free(manifest->sha256);
	manifest->sha256 = disk_digest(disk, steps, error);
	if (!manifest->sha256 || !protect(disk, error))
		return false;
	lock = store_lock(store, IMAGES_LOCK, STORE_EXCLUSIVE, NULL, error);
	done = lock >= 0 && publish(store, work, manifest, error);
	store_unlock(lock);
	return done && load(store, manifest->name, manifest->version, image, error);
}

bool images_update(const struct image_ref *image, GError **error)
{
	return write_manifest(image->folder, &image->manifest, error);
}

bool images_verify(const struct image_ref *image, struct steps *steps, GError **error)
{
	g_autofree char *digest = disk_digest(image->disk, steps, error);

	if (!digest)
		return false;
	if (!strcmp(digest, image->manifest.sha256))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "image %s:%" G_GUINT64_FORMAT
		    " is damaged: its disk's checksum is %s, not %s; remove it and get it again",
		    image->manifest.name, image->manifest.version, digest, image->manifest.sha256);
	return false;
}

/* With the lock. */
static bool remove_one(const struct store *store, const struct image_ref *image, GError **error)
{
	g_autofree char *parent = g_path_get_dirname(image->folder);
	g_autofree char *user = vms_user_of(store, image->manifest.name, image->manifest.version);

	if (user) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "image %s:%" G_GUINT64_FORMAT
			    " is in use: the disk of VM '%s' stands on it; first viv rm %s",
			    image->manifest.name, image->manifest.version, user, user);
		return false;
	}
	if (!store_remove(image->folder, error))
		return false;
	rmdir(parent); /* the last version's */
	return true;
}

bool images_remove(const struct store *store, const struct image_ref *image, GError **error)
{
	int lock = store_lock(store, IMAGES_LOCK, STORE_EXCLUSIVE, NULL, error);
	bool done = lock >= 0 && remove_one(store, image, error);

	store_unlock(lock);
	return done;
}

static void sweep(const struct store *store, GPtrArray *told)
{
	g_autoptr(GPtrArray) names = store_list(store->images);
	unsigned n = store_sweep(store->images) + store_sweep(store->vms);

	for (unsigned i = 0; i < names->len; i++) {
		g_autofree char *folder = g_build_filename(store->images, names->pdata[i], NULL);

		n += store_sweep(folder);
	}
	if (n)
		g_ptr_array_add(told, g_strdup_printf("%u half-made folder%s", n, n > 1 ? "s" : ""));
}

bool images_gc(const struct store *store, GPtrArray *told, GError **error)
{
	g_autoptr(GPtrArray) damaged = g_ptr_array_new_with_free_func(g_free), all = NULL;
	int lock = store_lock(store, IMAGES_LOCK, STORE_EXCLUSIVE, NULL, error);

	if (lock < 0)
		return false;
	sweep(store, told);
	all = images_list(store, damaged);
	for (unsigned i = 0; i < all->len; i++) {
		struct image_ref *image = all->pdata[i];
		const struct manifest *m = &image->manifest;

		if (m->version != images_newest(store, m->name) && remove_one(store, image, NULL))
			g_ptr_array_add(told,
					g_strdup_printf("image %s:%" G_GUINT64_FORMAT, m->name, m->version));
	}
	store_unlock(lock);
	return true;
}
