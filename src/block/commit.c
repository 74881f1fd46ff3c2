/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commit. Of the two images only one has a new content at any time: the backing image is safe on
 * the disk before the other is emptied, so that a power cut leaves a chain that reads the same.
 */
#include "base/error.h"
#include "block/format.h"
#include "block/sweep.h"

struct commit {
	struct image *top, *base;
	struct sweep_map map; /* of the first */
};

static uint64_t skip_unallocated(void *opaque, uint64_t offset)
{
	struct commit *c = opaque;
	uint64_t size = image_size(c->top), at = offset;
	struct image_extent extent;

	while (at < size && !sweep_map(&c->map, at, size - at, &extent) &&
	       extent.kind == IMAGE_UNALLOCATED)
		at += extent.len;
	return at - offset;
}

static int commit_extent(struct commit *c, uint64_t offset, const struct image_extent *extent,
			 uint8_t *buffer)
{
	int status;

	if (extent->kind == IMAGE_UNALLOCATED)
		return 0;
	if (extent->kind == IMAGE_ZERO)
		return image_zero(c->base, offset, extent->len, true);
	status = image_read(c->top, offset, SPAN(buffer, extent->len));
	return status ? status : image_write(c->base, offset, SPAN(buffer, extent->len));
}

static bool commit_piece(void *opaque, uint64_t offset, uint64_t len, uint8_t *buffer,
			 GError **error)
{
	struct commit *c = opaque;
	struct image_extent extent;

	for (uint64_t end = offset + len; offset < end; offset += extent.len) {
		int status = sweep_map(&c->map, offset, end - offset, &extent);

		if (!status)
			status = commit_extent(c, offset, &extent, buffer);
		if (status)
			return sweep_fail(c->top, "committed", offset, status, error);
	}
	return true;
}

static bool open_base(struct commit *c, const struct image_open *top, GError **error)
{
	struct image *image = c->top;
	g_autofree char *path = NULL;
	struct image_open how = {
		.format = image->backing_format, .secret = top->secret, .direct = top->direct};

	if (!image->backing_name) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' has no backing image to commit to", top->path);
		return false;
	}
	path = image_resolve_backing(top->path, image->backing_name);
	how.path = path;
	if (!how.format)
		how.format = image_format_of_path(path);
	c->base = image_open(&how, error);
	if (!c->base)
		return false;
	return image_size(c->base) >= image_size(image) ||
	       image_resize(c->base, image_size(image), error);
}

static bool empty_top(struct commit *c, GError **error)
{
	int status = image_flush(c->base);

	if (status)
		return sweep_fail(c->base, "written out", 0, status, error);
	if (c->top->format->empty)
		status = c->top->format->empty(c->top);
	if (!status)
		status = image_flush(c->top);
	return !status || sweep_fail(c->top, "emptied", 0, status, error);
}

bool job_commit(const struct image_open *top, const struct job_watch *watch, GError **error)
{
	struct image_open how = *top;
	struct commit c = {};
	struct sweep sweep = {.opaque = &c, .skip = skip_unallocated, .piece = commit_piece};
	bool done = false;

	/* Without its chain, whose next image is to be written. */
	how.read_only = false;
	how.no_backing = true;
	c.top = image_open(&how, error);
	if (!c.top)
		return false;
	sweep.size = image_size(c.top);
	sweep_map_init(&c.map, c.top);
	if (open_base(&c, &how, error))
		done = sweep_run(&sweep, watch, error) && empty_top(&c, error);
	sweep_map_fini(&c.map);
	image_close(c.base);
	image_close(c.top);
	return done;
}
