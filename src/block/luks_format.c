/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The luks format: a raw disk behind a LUKS header of version 1, as `cryptsetup` has it.
 *
 * A power cut loses what was not flushed and nothing else: there is no metadata but the header,
 * which does not change.
 */
#include "block/format.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/luks.h"

struct luks_image {
	struct image image;
	struct luks *luks; /* NULL: opened without its passphrase, to be looked at */
	uint64_t payload;
};

static struct luks_image *of(struct image *image)
{
	return (struct luks_image *)image;
}

static bool luks_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	return len >= 8 && !memcmp(head, "LUKS\xba\xbe\0\1", 8);
}

static bool open_luks(struct image *image, const struct image_open *how, GError **error)
{
	struct luks_image *l = of(image);
	uint64_t size = image->file->size;

	if (!luks_find(image->file, 0, &l->payload, error))
		return false;
	if (!how->secret && !how->no_lock) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is encrypted; name a file that holds its passphrase with "
			    "--secret, or "
			    "with secret= of --disk",
			    how->path);
		return false;
	}
	if (how->secret) {
		l->luks = luks_open(image->file, 0, how->secret, error);
		if (!l->luks)
			return false;
	}
	image->size =
		size > l->payload ? (size - l->payload) / IMAGE_SECTOR_SIZE * IMAGE_SECTOR_SIZE : 0;
	return true;
}

static void close_luks(struct image *image)
{
	luks_free(of(image)->luks);
}

static int read_luks(struct image *image, uint64_t offset, struct span span)
{
	const struct luks_image *l = of(image);

	return l->luks ? luks_read(l->luks, image->file, l->payload + offset, offset, span)
		       : -EACCES;
}

static int write_luks(struct image *image, uint64_t offset, struct span span)
{
	const struct luks_image *l = of(image);

	return l->luks ? luks_write(l->luks, image->file, l->payload + offset, offset, span)
		       : -EACCES;
}

static int flush_luks(struct image *image)
{
	return image->file->ops->flush(image->file);
}

static int map_luks(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent)
{
	extent->kind = IMAGE_DATA;
	extent->len = len;
	return 0;
}

static bool set_size(struct file *file, uint64_t size, GError **error)
{
	int status = file->ops->set_size(file, size);

	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': cannot be made %" G_GUINT64_FORMAT " bytes long: %s",
			    file->name, size, g_strerror(-status));
	return !status;
}

static bool resize_luks(struct image *image, uint64_t size, GError **error)
{
	if (!set_size(image->file, of(image)->payload + size, error))
		return false;
	image->size = size;
	return true;
}

static bool create_luks(struct file *file, const struct image_create *create, GError **error)
{
	const char *ms = image_option(create, &block_format_luks, "iter-time");
	uint64_t guess_ms;

	if (!create->secret || !*create->secret ||
	    !g_ascii_string_to_unsigned(ms, 10, 1, 60000, &guess_ms, NULL)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    create->secret && *create->secret
				    ? "iter-time: write milliseconds, 1 to 60000"
				    : "a disk of format luks needs a passphrase; name a file "
				      "that holds it with --secret");
		return false;
	}
	return set_size(file, luks_header_len() + create->size, error) &&
	       luks_format(file, 0, create->secret, guess_ms, error);
}

static void info_luks(struct image *image, struct image_info *info)
{
	info->encrypted = true;
}

static const char *const luks_extensions[] = {"luks", NULL};

static const struct image_option luks_options[] = {
	{"iter-time", "MS", "time that one guess at the passphrase takes", "2000"},
	{},
};

const struct block_format block_format_luks = {
	.name = "luks",
	.title = "an encrypted raw disk",
	.extensions = luks_extensions,
	.options = luks_options,
	.object_size = sizeof(struct luks_image),
	.looks_like = luks_looks_like,
	.open = open_luks,
	.close = close_luks,
	.read = read_luks,
	.write = write_luks,
	.flush = flush_luks,
	.map = map_luks,
	.create = create_luks,
	.resize = resize_luks,
	.info = info_luks,
};
