/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conversion. What the source's map says is nothing stays nothing; of the rest whole granules of
 * zeroes are found and left out. Where both sides are files of one file system that shares
 * blocks, ranges are cloned, not copied; copy_file_range() would do that, too, but elsewhere it
 * copies without a look at the bytes, and zeroes would take space.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "block/format.h"
#include "block/sweep.h"

/* Zeroes of less are written: many small holes cost more than they save. */
#define GRANULE	  (64u << 10)
#define MAX_ALIGN (4u << 20)

struct conversion {
	struct image *source, *target;
	struct sweep_map map; /* of the source */
	bool compress;
	bool blank; /* the target reads as zeroes where nothing was written */
	uint64_t granule;
	_Atomic bool clones; /* as far as is known */
};

static bool is_nothing(const struct image_extent *extent)
{
	return extent->kind == IMAGE_UNALLOCATED || extent->kind == IMAGE_ZERO;
}

static uint64_t skip_nothing(void *opaque, uint64_t offset)
{
	struct conversion *c = opaque;
	uint64_t size = image_size(c->source), at = offset;
	struct image_extent extent;

	if (!c->blank)
		return 0;
	/* A piece meets what cannot be read, and tells of it. */
	while (at < size && !sweep_map(&c->map, at, size - at, &extent) && is_nothing(&extent))
		at += extent.len;
	return at - offset;
}

/* Shares the blocks of both files, where their file system can. */
static bool clone_range(struct conversion *c, const struct image_extent *extent, uint64_t offset)
{
	struct file_clone_range range = {.src_offset = extent->file_offset,
					 .src_length = extent->len};
	struct image *target = c->target;
	uint64_t at;

	if (!c->clones)
		return false;
	if (extent->kind != IMAGE_DATA || extent->file_offset == IMAGE_NO_OFFSET || c->compress ||
	    !target->format->locate || image_data(extent->image)->fd < 0 || image_data(target)->fd < 0 ||
	    !target->format->locate(target, offset, extent->len, true, &at))
		return false;
	range.dest_offset = at;
	range.src_fd = image_data(extent->image)->fd;
	if (ioctl(image_data(target)->fd, FICLONERANGE, &range) == 0)
		return true;
	/* EINVAL: only that this range is not of whole blocks. */
	if (errno != EINVAL)
		c->clones = false;
	return false;
}

/* A granule, or all up to the end of what is not zero, or of what is. */
static uint64_t measure_run(const uint8_t *buffer, uint64_t len, uint64_t granule, bool *zero)
{
	uint64_t run = MIN(granule, len);

	*zero = span_is_zero(SPAN(buffer, run));
	while (run < len) {
		uint64_t more = MIN(granule, len - run);

		if (span_is_zero(SPAN(buffer + run, more)) != *zero)
			break;
		run += more;
	}
	return run;
}

static int write_data(struct conversion *c, uint64_t offset, const uint8_t *buffer, uint64_t len)
{
	int status = 0;

	if (!c->compress)
		return image_write(c->target, offset, SPAN(buffer, len));
	for (uint64_t done = 0; done < len && !status; done += c->granule) {
		uint64_t n = MIN(c->granule, len - done);

		status = image_write_compressed(c->target, offset + done, SPAN(buffer + done, n));
	}
	return status;
}

static int write_nothing(struct conversion *c, uint64_t offset, uint64_t len)
{
	return c->blank ? 0 : image_zero(c->target, offset, len, true);
}

static bool write_runs(struct conversion *c, uint64_t offset, const uint8_t *buffer, uint64_t len,
		       GError **error)
{
	for (uint64_t done = 0; done < len;) {
		/* Up to the granule's end, if it begins in the midst of one. */
		uint64_t first = c->granule - (offset + done) % c->granule;
		bool zero;
		uint64_t run =
			first < c->granule
				? measure_run(buffer + done, MIN(first, len - done), first, &zero)
				: measure_run(buffer + done, len - done, c->granule, &zero);
		int status = zero ? write_nothing(c, offset + done, run)
				  : write_data(c, offset + done, buffer + done, run);

		if (status)
			return sweep_fail(c->target, "written", offset + done, status, error);
		done += run;
	}
	return true;
}

/* Compressed clusters are written whole: what is around a hole in them, too. */
static bool copy_piece(struct conversion *c, uint64_t offset, uint64_t len, uint8_t *buffer,
		       GError **error)
{
	int status = image_read(c->source, offset, SPAN(buffer, len));

	if (status)
		return sweep_fail(c->source, "read", offset, status, error);
	return write_runs(c, offset, buffer, len, error);
}

static bool convert_piece(void *opaque, uint64_t offset, uint64_t len, uint8_t *buffer,
			  GError **error)
{
	struct conversion *c = opaque;
	struct image_extent extent;

	if (c->compress)
		return copy_piece(c, offset, len, buffer, error);
	for (uint64_t end = offset + len; offset < end; offset += extent.len) {
		int status = sweep_map(&c->map, offset, end - offset, &extent);

		if (status)
			return sweep_fail(c->source, "read", offset, status, error);
		if (!is_nothing(&extent)) {
			if (!clone_range(c, &extent, offset) &&
			    !copy_piece(c, offset, extent.len, buffer, error))
				return false;
			continue;
		}
		status = write_nothing(c, offset, extent.len);
		if (status)
			return sweep_fail(c->target, "written", offset, status, error);
	}
	return true;
}

static bool check_target(struct conversion *c, GError **error)
{
	if (c->compress && !c->target->format->write_compressed)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "format %s compresses nothing; leave out --compress, or choose qcow2",
			    c->target->format->name);
	else if (c->compress && c->target->data)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' has its data in a file of their own, which has none that are "
			    "compressed; leave out --compress, or data_file",
			    image_path(c->target));
	else if (image_size(c->target) < image_size(c->source))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is smaller than '%s'; enlarge it with: viv disk resize",
			    image_path(c->target), image_path(c->source));
	else
		return true;
	return false;
}

static bool fill_target(struct conversion *c, const struct job_watch *watch, GError **error)
{
	struct sweep sweep = {
		.size = image_size(c->source),
		.opaque = c,
		.skip = skip_nothing,
		.piece = convert_piece,
	};
	struct image_info info;
	bool filled;
	int status;

	if (!check_target(c, error))
		return false;
	image_info(c->target, &info);
	c->granule = c->compress ? MAX(info.cluster_size, IMAGE_SECTOR_SIZE) : GRANULE;
	/* No two workers in one cluster. */
	sweep.align = CLAMP(info.cluster_size, c->granule, MAX_ALIGN);
	image_info_clear(&info);
	sweep_map_init(&c->map, c->source);
	filled = sweep_run(&sweep, watch, error);
	sweep_map_fini(&c->map);
	if (!filled)
		return false;
	status = image_flush(c->target);
	return !status || sweep_fail(c->target, "written out", 0, status, error);
}

/* Whether a new image reads as zeroes; an encrypted one does not, where nothing tells what is
 * written from what is not. */
static bool is_blank(struct image *image)
{
	uint64_t size = image_size(image), at = 0;
	struct image_extent extent;

	while (at < size && !image_map(image, at, size - at, &extent) && is_nothing(&extent))
		at += extent.len;
	return at == size;
}

static bool open_target(struct conversion *c, const struct job_convert *convert, GError **error)
{
	struct image_create create = convert->target;
	struct image_open how = {.path = create.path,
				 .format = create.format,
				 .secret = create.secret,
				 .no_backing = true};

	if (!create.size)
		create.size = image_size(c->source);
	if (!convert->existing && !image_create(&create, error))
		return false;
	c->target = image_open(&how, error);
	c->blank = c->target && !convert->existing && is_blank(c->target);
	return c->target != NULL;
}

/* A half of an image is worse than nothing. */
static void remove_files(struct image *image)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(names, g_strdup(image_path(image)));
	if (image->format->list_files)
		image->format->list_files(image, names);
	for (guint i = 0; i < names->len; i++)
		g_unlink(names->pdata[i]);
}

bool job_convert(const struct job_convert *convert, const struct job_watch *watch, GError **error)
{
	struct conversion c = {.compress = convert->compress, .clones = true};
	struct image_open how = convert->source;
	bool made = false;

	how.read_only = true;
	c.source = image_open(&how, error);
	if (!c.source)
		return false;
	if (open_target(&c, convert, error))
		made = fill_target(&c, watch, error);
	if (!made && c.target && !convert->existing)
		remove_files(c.target);
	image_close(c.target);
	image_close(c.source);
	return made;
}
