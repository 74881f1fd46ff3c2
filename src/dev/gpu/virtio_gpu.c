/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPU device, 2D: virtio 1.2, section 5.7. Requests come by two queues, which are served alike, and
 * are carried out at once.
 */
#include <string.h>

#include "dev/gpu/gpu_int.h"

#define GPU_F_EDID (1ull << 1)

enum { CONTROL_QUEUE, CURSOR_QUEUE, N_QUEUES };

/* struct virtio_gpu_config: events read and clear, scanouts, capability sets. */
enum { CONFIG_NUM_SCANOUTS = 8 };

enum {
	HEADER_FLAGS = 4,
	FLAG_FENCE = 1,
	HEADER_FENCE_ID = 8,
	HEADER_CTX_ID = 16,
};

enum {
	CMD_GET_DISPLAY_INFO = 0x0100,
	CMD_RESOURCE_CREATE_2D,
	CMD_RESOURCE_UNREF,
	CMD_SET_SCANOUT,
	CMD_RESOURCE_FLUSH,
	CMD_TRANSFER_TO_HOST_2D,
	CMD_RESOURCE_ATTACH_BACKING,
	CMD_RESOURCE_DETACH_BACKING,
	CMD_GET_EDID = 0x010a,
	CMD_UPDATE_CURSOR = 0x0300,
	CMD_MOVE_CURSOR,
};

/* Bytes that are copied before others get their turn. */
#define COPY_MAX (32ull << 20)

/* Each takes `size` bytes and returns the response's type. */
static const struct {
	uint32_t type;
	unsigned size;
	uint32_t (*run)(struct gpu_request *request);
} commands[] = {
	{CMD_GET_DISPLAY_INFO, 24, gpu_get_display_info},
	{CMD_RESOURCE_CREATE_2D, 40, gpu_resource_create_2d},
	{CMD_RESOURCE_UNREF, 32, gpu_resource_unref},
	{CMD_SET_SCANOUT, 48, gpu_set_scanout},
	{CMD_RESOURCE_FLUSH, 48, gpu_resource_flush},
	{CMD_TRANSFER_TO_HOST_2D, 56, gpu_transfer_to_host_2d},
	{CMD_RESOURCE_ATTACH_BACKING, 32, gpu_attach_backing},
	{CMD_RESOURCE_DETACH_BACKING, 32, gpu_detach_backing},
	{CMD_GET_EDID, 32, gpu_get_edid},
	{CMD_UPDATE_CURSOR, 56, gpu_update_cursor},
	{CMD_MOVE_CURSOR, 56, gpu_move_cursor},
};

static uint32_t run(struct gpu_request *request)
{
	struct queue_chain *chain = &request->gpu->chain;

	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (commands[i].type != gpu_word(request, 0))
			continue;
		request->more = chain->iov;
		request->n_more = chain->n_out;
		if (iov_len(chain->iov, chain->n_out) < commands[i].size)
			return RESP_ERR_UNSPEC;
		iov_cut_front(&request->more, &request->n_more, commands[i].size);
		return commands[i].run(request);
	}
	return RESP_ERR_UNSPEC;
}

/* Section 5.7.6.7: the response has the request's fence. */
static void serve(struct virtio_gpu *gpu, unsigned queue)
{
	struct queue_chain *chain = &gpu->chain;
	struct gpu_request request = {.gpu = gpu, .response_len = HEADER_SIZE};
	struct iovec *in = chain->iov + chain->n_out;
	uint8_t *response = request.response;
	size_t written;

	iov_read(chain->iov, chain->n_out, request.bytes, sizeof(request.bytes));
	/* `in` stands where it was: a command cuts off what the driver sent at the front. */
	le32_store(response, run(&request));
	if (gpu_word(&request, HEADER_FLAGS) & FLAG_FENCE) {
		le32_store(response + HEADER_FLAGS, FLAG_FENCE);
		le64_store(response + HEADER_FENCE_ID, le64_load(request.bytes + HEADER_FENCE_ID));
		le32_store(response + HEADER_CTX_ID, gpu_word(&request, HEADER_CTX_ID));
	}
	written = iov_write(gpu_mem(gpu), in, chain->n_in, response, request.response_len);
	virtio_push(&gpu->virtio, queue, chain->head, written);
}

static void gpu_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_gpu *gpu = (struct virtio_gpu *)virtio;

	gpu->copied = 0;
	for (unsigned i = 0; i < QUEUE_SIZE && gpu->copied < COPY_MAX; i++) {
		if (!virtio_pop(virtio, queue, &gpu->chain))
			return;
		serve(gpu, queue);
	}
	virtio_leave(virtio, queue);
}

static void gpu_driver_reset(struct virtio *virtio)
{
	struct virtio_gpu *gpu = (struct virtio_gpu *)virtio;

	memset(gpu->id, 0, sizeof(gpu->id));
	gpu_screen_reset(gpu);
}

static const struct virtio_ops gpu_ops = {
	.id = 16,
	.class_code = 0x038000,
	.n_queues = N_QUEUES,
	.notify = gpu_notify,
	.reset = gpu_driver_reset,
};

static bool gpu_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_gpu *gpu = (struct virtio_gpu *)device;

	gpu->display = config->display;
	gpu->bank = mem_bank_new(device->env->mem, GPU_BANK_SIZE, error);
	le32_store(gpu->config + CONFIG_NUM_SCANOUTS, 1);
	return gpu->bank && virtio_init(&gpu->virtio, &gpu_ops, GPU_F_EDID, gpu->config,
					sizeof(gpu->config), config, error);
}

static void gpu_post_load(struct device *device)
{
	virtio_post_load(device);
	gpu_screen_post_load((struct virtio_gpu *)device);
}

static void gpu_fini(struct device *device)
{
	gpu_screen_fini((struct virtio_gpu *)device);
	virtio_fini(device);
}

static bool gpu_check(const void *object)
{
	return virtio_check(object) && gpu_resources_check(object) && gpu_screen_check(object);
}

#define FIELD(member) STATE_FIELD(struct virtio_gpu, member)

static const struct state_field gpu_fields[] = {
	VIRTIO_FIELDS(struct virtio_gpu, virtio),
	FIELD(id),
	FIELD(format),
	FIELD(width),
	FIELD(height),
	FIELD(at),
	FIELD(n_entries),
	FIELD(entries_at),
	FIELD(taken),
	FIELD(scanout),
	FIELD(shown.x),
	FIELD(shown.y),
	FIELD(shown.width),
	FIELD(shown.height),
	FIELD(cursor),
	FIELD(cursor_x),
	FIELD(cursor_y),
};

static const struct state_table gpu_state = {
	.name = "virtio-gpu",
	.version = 1,
	.object_size = sizeof(struct virtio_gpu),
	.fields = gpu_fields,
	.n_fields = G_N_ELEMENTS(gpu_fields),
	.check = gpu_check,
};

const struct device_class virtio_gpu_class = {
	.name = "virtio-gpu",
	.document = "OASIS virtio 1.2, section 5.7",
	.size = sizeof(struct virtio_gpu),
	.state = &gpu_state,
	.init = gpu_init,
	.reset = virtio_reset,
	.post_load = gpu_post_load,
	.fini = gpu_fini,
};
