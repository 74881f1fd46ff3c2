/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw format: a file or a host block device, byte for byte.
 *
 * A power cut loses what was not flushed and nothing else: there is no metadata.
 */
#include "block/format.h"

#include <errno.h>

#include "base/error.h"

static bool raw_open(struct image *image, const struct image_open *how, GError **error)
{
	uint64_t size = image->file->size;

	if (size == 0 || size % IMAGE_SECTOR_SIZE) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "raw disk '%s' has %" G_GUINT64_FORMAT
			    " bytes, which is not a whole number of %u-byte sectors; if it really "
			    "is a raw image, extend it with: truncate -s %%%u '%s'",
			    how->path, size, IMAGE_SECTOR_SIZE, IMAGE_SECTOR_SIZE, how->path);
		return false;
	}
	image->size = size;
	return true;
}

static void raw_close(struct image *image)
{
}

static int raw_read(struct image *image, uint64_t offset, struct span span)
{
	return image->file->ops->read(image->file, offset, span);
}

static int raw_write(struct image *image, uint64_t offset, struct span span)
{
	return image->file->ops->write(image->file, offset, span);
}

static int raw_flush(struct image *image)
{
	return image->file->ops->flush(image->file);
}

/* A file system that keeps the space has done what a discard promises: nothing. */
static int raw_discard(struct image *image, uint64_t offset, uint64_t len)
{
	int status = image->file->ops->zero(image->file, offset, len, true);

	return status == -EOPNOTSUPP ? 0 : status;
}

static int raw_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	return file_zero(image->file, offset, len, unmap);
}

static int raw_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent)
{
	bool zero;
	int status = image->file->ops->map(image->file, offset, len, &extent->len, &zero);

	extent->kind = zero ? IMAGE_ZERO : IMAGE_DATA;
	extent->file_offset = offset;
	return status;
}

static bool raw_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
		       uint64_t *file_offset)
{
	*file_offset = offset;
	return true;
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

static bool raw_create(struct file *file, const struct image_create *create, GError **error)
{
	const char *preallocation = image_option(create, &block_format_raw, "preallocation");
	int status = 0;

	if (!set_size(file, create->size, error))
		return false;
	if (!g_strcmp0(preallocation, "falloc"))
		status = file->ops->zero(file, 0, create->size, false);
	else if (!g_strcmp0(preallocation, "full"))
		status = file_write_zeroes(file, 0, create->size);
	else if (g_strcmp0(preallocation, "off")) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "preallocation=%s is not known; use off, falloc or full",
			    preallocation);
		return false;
	}
	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': cannot take its space: %s", file->name,
			    g_strerror(-status));
	return !status;
}

static bool raw_resize(struct image *image, uint64_t size, GError **error)
{
	if (!set_size(image->file, size, error))
		return false;
	image->size = size;
	return true;
}

static const char *const raw_extensions[] = {"raw", "img", NULL};

static const struct image_option raw_options[] = {
	{"preallocation", "off|falloc|full",
	 "take the space now: falloc reserves it, full writes it", "off"},
	{},
};

const struct block_format block_format_raw = {
	.name = "raw",
	.title = "bytes of the disk as they are",
	.extensions = raw_extensions,
	.options = raw_options,
	.object_size = sizeof(struct image),
	.open = raw_open,
	.close = raw_close,
	.read = raw_read,
	.write = raw_write,
	.flush = raw_flush,
	.discard = raw_discard,
	.write_zeroes = raw_write_zeroes,
	.map = raw_map,
	.locate = raw_locate,
	.create = raw_create,
	.resize = raw_resize,
};
