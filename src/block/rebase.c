/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rebase. Bytes are copied up before the name changes: the image reads the same all the time. */
#include <string.h>

#include "base/error.h"
#include "block/format.h"
#include "block/sweep.h"

struct rebase {
	struct image *top;
	struct sweep_map map;  /* of it; the pieces that are written are not asked for again */
	struct image *backing; /* the new one; NULL: none */
	uint64_t granule;
};

/* What of a range the image does not hold itself: where the chains differ, it does from now on. */
static int copy_up(struct rebase *r, uint64_t offset, uint64_t len, uint8_t *buffer)
{
	uint8_t *other = buffer + SWEEP_PIECE;
	int status = sweep_read(r->top, offset, buffer, len);

	if (!status)
		status = sweep_read(r->backing, offset, other, len);
	for (uint64_t done = 0, n; done < len && !status; done += n) {
		n = MIN(r->granule - (offset + done) % r->granule, len - done);
		if (memcmp(buffer + done, other + done, n))
			status = image_write(r->top, offset + done, SPAN(buffer + done, n));
	}
	return status;
}

static bool rebase_piece(void *opaque, uint64_t offset, uint64_t len, uint8_t *buffer,
			 GError **error)
{
	struct rebase *r = opaque;
	struct image_extent extent;

	for (uint64_t end = offset + len; offset < end; offset += extent.len) {
		int status = sweep_map(&r->map, offset, end - offset, &extent);

		if (!status && (extent.depth || extent.kind == IMAGE_UNALLOCATED))
			status = copy_up(r, offset, extent.len, buffer);
		if (status)
			return sweep_fail(r->top, "copied", offset, status, error);
	}
	return true;
}

static bool open_new(struct rebase *r, const char *name, const char *format, GError **error)
{
	g_autofree char *path = image_resolve_backing(image_path(r->top), name);
	struct image_open how = {.path = path, .format = format, .read_only = true};

	r->backing = image_open(&how, error);
	if (!r->backing)
		g_prefix_error(error, "the new backing image: ");
	return r->backing != NULL;
}

static bool copy_all(struct rebase *r, const struct job_watch *watch, GError **error)
{
	struct sweep sweep = {.size = image_size(r->top), .opaque = r, .piece = rebase_piece};
	struct image_info info;
	bool copied;
	int status;

	image_info(r->top, &info);
	r->granule = CLAMP(info.cluster_size, 4096, SWEEP_PIECE);
	image_info_clear(&info);
	sweep_map_init(&r->map, r->top);
	copied = sweep_run(&sweep, watch, error);
	sweep_map_fini(&r->map);
	if (!copied)
		return false;
	status = image_flush(r->top);
	return !status || sweep_fail(r->top, "written out", 0, status, error);
}

bool job_rebase(const struct image_open *top, const char *backing, const char *backing_format,
		bool content, const struct job_watch *watch, GError **error)
{
	struct image_open how = *top;
	struct rebase r = {};
	bool done;

	how.read_only = false;
	how.no_backing = !content; /* the old one may be gone */
	if (backing && !backing_format)
		backing_format = image_format_of_path(backing);
	r.top = image_open(&how, error);
	if (!r.top)
		return false;
	if (!r.top->format->set_backing) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "format %s has no backing images; convert it to qcow2 first with: viv "
			    "disk convert",
			    r.top->format->name);
		done = false;
	} else {
		done = !content || ((!backing || open_new(&r, backing, backing_format, error)) &&
				    copy_all(&r, watch, error));
	}
	done = done && image_set_backing(r.top, backing, backing_format, error);
	image_close(r.backing);
	image_close(r.top);
	return done;
}
