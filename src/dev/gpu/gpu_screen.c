/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one screen: a scanout and a cursor on it. The driver takes it over with its first scanout and
 * gives it back when it resets the device.
 *
 * What is shown is the scanout's resource as it is, so a transfer into it is seen at the next
 * refresh, and RESOURCE_FLUSH, which follows each, has nothing left to do.
 */
#include <string.h>

#include "dev/gpu/gpu_int.h"
#include "display/edid.h"

enum {
	DISPLAY_ONE_SIZE = 24,
	DISPLAY_ONE_ENABLED = 16,
	DISPLAY_INFO_SIZE = HEADER_SIZE + 16 * DISPLAY_ONE_SIZE,
	EDID_LENGTH = HEADER_SIZE,
	EDID_BYTES = HEADER_SIZE + 8,
};

static void mark_rows(struct virtio_gpu *gpu, int64_t first, int64_t end)
{
	first = CLAMP(first, 0, gpu->shown.height);
	end = CLAMP(end, 0, gpu->shown.height);
	if (first >= end)
		return;
	if (gpu->dirty_first >= gpu->dirty_end) {
		gpu->dirty_first = first;
		gpu->dirty_end = end;
	}
	gpu->dirty_first = MIN(gpu->dirty_first, first);
	gpu->dirty_end = MAX(gpu->dirty_end, end);
}

/* Whatever was marked when the screen had another size. */
static void mark_all(struct virtio_gpu *gpu)
{
	gpu->dirty_first = 0;
	gpu->dirty_end = gpu->shown.height;
}

static void mark_cursor(struct virtio_gpu *gpu)
{
	int i = gpu_find_resource(gpu, gpu->cursor);

	if (i >= 0)
		mark_rows(gpu, gpu->cursor_y, (int64_t)gpu->cursor_y + gpu->height[i]);
}

void gpu_resource_changed(struct virtio_gpu *gpu, unsigned resource, uint32_t first_row, uint32_t n)
{
	int64_t first = (int64_t)first_row - gpu->shown.y;

	if (gpu->id[resource] == gpu->scanout)
		mark_rows(gpu, first, first + n);
	if (gpu->id[resource] == gpu->cursor)
		mark_cursor(gpu);
}

void gpu_resource_goes(struct virtio_gpu *gpu, unsigned resource)
{
	if (gpu->id[resource] == gpu->cursor) {
		mark_cursor(gpu);
		gpu->cursor = 0;
	}
	if (gpu->id[resource] == gpu->scanout) {
		gpu->scanout = 0;
		mark_all(gpu);
	}
}

uint32_t gpu_get_display_info(struct gpu_request *request)
{
	uint8_t *one = request->response + HEADER_SIZE;

	le32_store(one + 8, GPU_WIDTH);
	le32_store(one + 12, GPU_HEIGHT);
	le32_store(one + DISPLAY_ONE_ENABLED, 1);
	request->response_len = DISPLAY_INFO_SIZE;
	return RESP_OK_DISPLAY_INFO;
}

uint32_t gpu_get_edid(struct gpu_request *request)
{
	if (gpu_word(request, 24) != 0)
		return RESP_ERR_INVALID_SCANOUT_ID;
	le32_store(request->response + EDID_LENGTH, EDID_SIZE);
	edid_make(request->response + EDID_BYTES, GPU_WIDTH, GPU_HEIGHT);
	request->response_len = GPU_RESPONSE_MAX;
	return RESP_OK_EDID;
}

static void draw_cursor(const struct virtio_gpu *gpu, unsigned y, uint32_t *line)
{
	int i = gpu_find_resource(gpu, gpu->cursor);
	int64_t row = (int64_t)y - gpu->cursor_y;
	const struct gpu_format *format;
	const uint8_t *pixel;

	if (i < 0 || row < 0 || row >= gpu->height[i])
		return;
	format = gpu_resource_format(gpu, i);
	pixel = gpu_resource_row(gpu, i, row);
	for (int64_t x = gpu->cursor_x; x < (int64_t)gpu->cursor_x + gpu->width[i];
	     x++, pixel += 4) {
		unsigned shown = format->a == 4 ? 0 : 255 - pixel[format->a];
		unsigned r, g, b;

		if (x < 0 || x >= gpu->shown.width)
			continue;
		/* Colours are multiplied by alpha already. */
		r = pixel[format->r] + (line[x] >> 16 & 0xff) * shown / 255;
		g = pixel[format->g] + (line[x] >> 8 & 0xff) * shown / 255;
		b = pixel[format->b] + (line[x] & 0xff) * shown / 255;
		line[x] = MIN(r, 255) << 16 | MIN(g, 255) << 8 | MIN(b, 255);
	}
}

static void draw_line(const struct virtio_gpu *gpu, int resource, unsigned y, uint32_t *line)
{
	const struct gpu_format *format;
	const uint8_t *pixel;

	if (resource < 0) {
		memset(line, 0, gpu->shown.width * sizeof(*line));
		return;
	}
	format = gpu_resource_format(gpu, resource);
	pixel = gpu_resource_row(gpu, resource, gpu->shown.y + y) + gpu->shown.x * 4ull;
	if (format->b == 0 && format->r == 2) {
		for (unsigned x = 0; x < gpu->shown.width; x++)
			line[x] = le32_load(pixel + 4 * x) & 0xffffff;
	} else {
		for (unsigned x = 0; x < gpu->shown.width; x++, pixel += 4)
			line[x] = pixel[format->r] << 16 | pixel[format->g] << 8 | pixel[format->b];
	}
	draw_cursor(gpu, y, line);
}

static void gpu_update(void *opaque, struct display *display)
{
	struct virtio_gpu *gpu = opaque;
	int resource = gpu_find_resource(gpu, gpu->scanout);
	g_autofree uint32_t *line = g_new(uint32_t, gpu->shown.width);

	if (display_set_size(display, gpu->shown.width, gpu->shown.height))
		mark_all(gpu);
	for (unsigned y = gpu->dirty_first; y < gpu->dirty_end; y++) {
		draw_line(gpu, resource, y, line);
		display_put_line(display, y, line);
	}
	gpu->dirty_first = gpu->dirty_end = 0;
}

static void take_screen(struct virtio_gpu *gpu)
{
	struct display_source source = {
		.update = gpu_update, .opaque = gpu, .lock = &gpu->virtio.pci.device.lock};

	gpu->taken = true;
	if (gpu->display)
		display_set_source(gpu->display, &source);
}

static void give_screen_back(struct virtio_gpu *gpu)
{
	gpu->taken = false;
	if (gpu->display)
		display_drop_source(gpu->display, gpu);
}

uint32_t gpu_set_scanout(struct gpu_request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	struct gpu_rect rect = gpu_request_rect(request);
	uint32_t scanout = gpu_word(request, 40), id = gpu_word(request, 44);
	int i = gpu_find_resource(gpu, id);

	if (scanout != 0)
		return RESP_ERR_INVALID_SCANOUT_ID;
	if (id && i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (id && !gpu_rect_fits(&rect, gpu->width[i], gpu->height[i]))
		return RESP_ERR_INVALID_PARAMETER;
	gpu->scanout = id;
	/* Without a resource the screen is dark, but no other one. */
	if (id)
		gpu->shown = rect;
	mark_all(gpu);
	if (id && !gpu->taken)
		take_screen(gpu);
	return RESP_OK_NODATA;
}

/* struct virtio_gpu_cursor_pos, then what only an update reads: the resource. The position is the
 * image's. */
static void place_cursor(struct gpu_request *request, uint32_t resource)
{
	struct virtio_gpu *gpu = request->gpu;

	mark_cursor(gpu);
	gpu->cursor = resource;
	gpu->cursor_x = gpu_word(request, 28);
	gpu->cursor_y = gpu_word(request, 32);
	mark_cursor(gpu);
}

uint32_t gpu_update_cursor(struct gpu_request *request)
{
	uint32_t id = gpu_word(request, 40);

	if (id && gpu_find_resource(request->gpu, id) < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	place_cursor(request, id);
	return RESP_OK_NODATA;
}

uint32_t gpu_move_cursor(struct gpu_request *request)
{
	place_cursor(request, request->gpu->cursor);
	return RESP_OK_NODATA;
}

void gpu_screen_reset(struct virtio_gpu *gpu)
{
	gpu->scanout = gpu->cursor = 0;
	gpu->cursor_x = gpu->cursor_y = 0;
	gpu->shown = (struct gpu_rect){0, 0, GPU_WIDTH, GPU_HEIGHT};
	mark_all(gpu);
	give_screen_back(gpu);
}

void gpu_screen_post_load(struct virtio_gpu *gpu)
{
	if (gpu->taken)
		take_screen(gpu);
	else
		give_screen_back(gpu);
	mark_all(gpu);
}

void gpu_screen_fini(struct virtio_gpu *gpu)
{
	give_screen_back(gpu);
}

bool gpu_screen_check(const struct virtio_gpu *gpu)
{
	int scanout = gpu_find_resource(gpu, gpu->scanout);

	if (gpu->scanout && scanout < 0)
		return false;
	return gpu_rect_fits(&gpu->shown, scanout < 0 ? DISPLAY_MAX_WIDTH : gpu->width[scanout],
			     scanout < 0 ? DISPLAY_MAX_HEIGHT : gpu->height[scanout]);
}
