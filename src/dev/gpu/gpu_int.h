/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the virtio GPU device (virtio 1.2, section 5.7): virtio_gpu.c is the device and
 * takes requests, gpu_resource.c has resources and the guest memory behind them, gpu_screen.c what
 * is shown.
 *
 * Functions that carry out a request return the response's type.
 */
#ifndef VIV_DEV_GPU_GPU_INT_H
#define VIV_DEV_GPU_GPU_INT_H

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"
#include "display/display.h"

/* struct virtio_gpu_ctrl_hdr. */
enum { HEADER_SIZE = 24 };

enum {
	RESP_OK_NODATA = 0x1100,
	RESP_OK_DISPLAY_INFO,
	RESP_OK_EDID = 0x1104,
	RESP_ERR_UNSPEC = 0x1200,
	RESP_ERR_OUT_OF_MEMORY,
	RESP_ERR_INVALID_SCANOUT_ID,
	RESP_ERR_INVALID_RESOURCE_ID,
	RESP_ERR_INVALID_CONTEXT_ID,
	RESP_ERR_INVALID_PARAMETER,
};

enum {
	GPU_WIDTH = 1280, /* what the screen likes best */
	GPU_HEIGHT = 800,
	GPU_MAX_RESOURCES = 128,
	GPU_REQUEST_MAX = 56,			   /* the longest, without entries */
	GPU_RESPONSE_MAX = HEADER_SIZE + 8 + 1024, /* an EDID */
};

/* What the host has for resources: their pixels, and lists of the guest memory behind them. */
#define GPU_BANK_SIZE (256ull << 20)

/* Places of a pixel's bytes; `a` 4: there is no alpha. */
struct gpu_format {
	uint32_t id;
	uint8_t r, g, b, a;
};

struct gpu_rect {
	uint32_t x, y, width, height;
};

struct virtio_gpu {
	struct virtio virtio;
	struct display *display;
	struct mem_bank *bank;
	uint8_t config[16]; /* struct virtio_gpu_config */
	struct queue_chain chain;
	uint64_t copied; /* since the queues had their turn */

	/* Resources: id 0 is a free place; `at` and `entries_at` are offsets in the bank. */
	uint32_t id[GPU_MAX_RESOURCES], format[GPU_MAX_RESOURCES];
	uint32_t width[GPU_MAX_RESOURCES], height[GPU_MAX_RESOURCES];
	uint64_t at[GPU_MAX_RESOURCES];
	uint32_t n_entries[GPU_MAX_RESOURCES];
	uint64_t entries_at[GPU_MAX_RESOURCES];

	bool taken;	       /* the screen is ours */
	uint32_t scanout;      /* the resource; 0: black */
	struct gpu_rect shown; /* of it */
	uint32_t cursor;       /* the resource; 0: none */
	int32_t cursor_x, cursor_y;

	/* Rows of the screen that are to be drawn. */
	unsigned dirty_first, dirty_end;
};

struct gpu_request {
	struct virtio_gpu *gpu;
	uint8_t bytes[GPU_REQUEST_MAX];
	/* What follows the part that each request of its type has. */
	struct iovec *more;
	unsigned n_more;
	uint8_t response[GPU_RESPONSE_MAX];
	size_t response_len;
};

static inline struct mem *gpu_mem(const struct virtio_gpu *gpu)
{
	return gpu->virtio.pci.device.env->mem;
}

static inline uint32_t gpu_word(const struct gpu_request *request, unsigned offset)
{
	return le32_load(request->bytes + offset);
}

/* The rectangle that follows the header in some requests. */
static inline struct gpu_rect gpu_request_rect(const struct gpu_request *request)
{
	return (struct gpu_rect){gpu_word(request, 24), gpu_word(request, 28),
				 gpu_word(request, 32), gpu_word(request, 36)};
}

/* Whether there is something of it, and all of that within `width` times `height`. */
static inline bool gpu_rect_fits(const struct gpu_rect *rect, uint32_t width, uint32_t height)
{
	return rect->width && rect->height && rect->x <= width && rect->width <= width - rect->x &&
	       rect->y <= height && rect->height <= height - rect->y;
}

/* A resource's place in the arrays; -1: there is none of that id. */
int gpu_find_resource(const struct virtio_gpu *gpu, uint32_t id);
const struct gpu_format *gpu_resource_format(const struct virtio_gpu *gpu, unsigned resource);
const uint8_t *gpu_resource_row(const struct virtio_gpu *gpu, unsigned resource, uint32_t y);
bool gpu_resources_check(const struct virtio_gpu *gpu);

uint32_t gpu_resource_create_2d(struct gpu_request *request);
uint32_t gpu_resource_unref(struct gpu_request *request);
uint32_t gpu_attach_backing(struct gpu_request *request);
uint32_t gpu_detach_backing(struct gpu_request *request);
uint32_t gpu_transfer_to_host_2d(struct gpu_request *request);
uint32_t gpu_resource_flush(struct gpu_request *request);

void gpu_screen_reset(struct virtio_gpu *gpu);
void gpu_screen_post_load(struct virtio_gpu *gpu);
void gpu_screen_fini(struct virtio_gpu *gpu);
bool gpu_screen_check(const struct virtio_gpu *gpu);
/* Rows of a resource have changed; it is about to go. */
void gpu_resource_changed(struct virtio_gpu *gpu, unsigned resource, uint32_t first_row,
			  uint32_t n);
void gpu_resource_goes(struct virtio_gpu *gpu, unsigned resource);

uint32_t gpu_get_display_info(struct gpu_request *request);
uint32_t gpu_get_edid(struct gpu_request *request);
uint32_t gpu_set_scanout(struct gpu_request *request);
uint32_t gpu_update_cursor(struct gpu_request *request);
uint32_t gpu_move_cursor(struct gpu_request *request);

#endif
