/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPU device, 2D: virtio 1.2, section 5.7. One screen, which the driver takes over with its first
 * scanout and gives back when it resets the device.
 *
 * The host's side of resources, and the lists of guest memory behind them, lie in a bank of memory,
 * which bounds them and is saved with the VM. What is shown is the scanout's resource as it is, so
 * a transfer into it is seen at the next refresh, and RESOURCE_FLUSH, which follows each, has
 * nothing left to do.
 */
#include <string.h>

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"
#include "display/display.h"
#include "display/edid.h"

#define GPU_F_EDID (1ull << 1)

enum { CONTROL_QUEUE, CURSOR_QUEUE, N_QUEUES };

/* struct virtio_gpu_config: events read and clear, scanouts, capability sets. */
enum { CONFIG_NUM_SCANOUTS = 8, CONFIG_SIZE = 16 };

/* struct virtio_gpu_ctrl_hdr. */
enum {
	HEADER_FLAGS = 4,
	FLAG_FENCE = 1,
	HEADER_FENCE_ID = 8,
	HEADER_CTX_ID = 16,
	HEADER_SIZE = 24,
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
	PREFERRED_WIDTH = 1280,
	PREFERRED_HEIGHT = 800,
	MAX_RESOURCES = 128,
	MAX_ENTRIES = 16384, /* of guest memory behind a resource */
	ENTRY_SIZE = 16,     /* struct virtio_gpu_mem_entry: address, length, padding */
	ENTRY_LENGTH = 8,

	REQUEST_MAX = 56, /* the longest, without entries */
	RECT_SIZE = 16,
	DISPLAY_ONE_SIZE = 24,
	DISPLAY_ONE_ENABLED = 16,
	DISPLAY_INFO_SIZE = HEADER_SIZE + 16 * DISPLAY_ONE_SIZE,
	EDID_LENGTH = HEADER_SIZE,
	EDID_BYTES = HEADER_SIZE + 8,
	EDID_RESPONSE_SIZE = EDID_BYTES + 1024,
	RESPONSE_MAX = EDID_RESPONSE_SIZE,
};

/* The bank: resources' pixels and lists. */
#define BANK_SIZE (256ull << 20)
/* Bytes that are copied before others get their turn. */
#define COPY_MAX (32ull << 20)

/* Places of a pixel's bytes; `a` 4: there is no alpha. */
static const struct format {
	uint32_t id;
	uint8_t r, g, b, a;
} formats[] = {
	{1, 2, 1, 0, 3},   /* B8G8R8A8 */
	{2, 2, 1, 0, 4},   /* B8G8R8X8 */
	{3, 1, 2, 3, 0},   /* A8R8G8B8 */
	{4, 1, 2, 3, 4},   /* X8R8G8B8 */
	{67, 0, 1, 2, 3},  /* R8G8B8A8 */
	{68, 3, 2, 1, 4},  /* X8B8G8R8 */
	{121, 3, 2, 1, 0}, /* A8B8G8R8 */
	{134, 0, 1, 2, 4}, /* R8G8B8X8 */
};

struct rect {
	uint32_t x, y, width, height;
};

struct virtio_gpu {
	struct virtio virtio;
	struct display *display;
	struct mem_bank *bank;
	uint8_t config[CONFIG_SIZE];
	struct queue_chain chain;
	uint64_t copied; /* since the queues had their turn */

	/* Resources: id 0 is a free place; `at` and `entries_at` are offsets in the bank. */
	uint32_t id[MAX_RESOURCES], format[MAX_RESOURCES];
	uint32_t width[MAX_RESOURCES], height[MAX_RESOURCES];
	uint64_t at[MAX_RESOURCES];
	uint32_t n_entries[MAX_RESOURCES];
	uint64_t entries_at[MAX_RESOURCES];

	bool taken;	  /* the screen is ours */
	uint32_t scanout; /* the resource; 0: black */
	uint32_t rect[4]; /* struct rect of it that is shown */
	uint32_t cursor;  /* the resource; 0: none */
	int32_t cursor_x, cursor_y;

	/* Rows of the screen that are to be drawn. */
	unsigned dirty_first, dirty_end;
};

struct request {
	struct virtio_gpu *gpu;
	uint8_t bytes[REQUEST_MAX];
	/* What follows the part that each request of its type has. */
	struct iovec *more;
	unsigned n_more;
	uint8_t response[RESPONSE_MAX];
	size_t response_len;
};

static struct mem *guest_mem(const struct virtio_gpu *gpu)
{
	return gpu->virtio.pci.device.env->mem;
}

static uint32_t word(const struct request *request, unsigned offset)
{
	return le32_load(request->bytes + offset);
}

static struct rect load_rect(const void *bytes)
{
	const uint8_t *p = bytes;

	return (struct rect){le32_load(p), le32_load(p + 4), le32_load(p + 8), le32_load(p + 12)};
}

static struct rect scanout_rect(const struct virtio_gpu *gpu)
{
	return (struct rect){gpu->rect[0], gpu->rect[1], gpu->rect[2], gpu->rect[3]};
}

static bool rect_fits(const struct rect *rect, uint32_t width, uint32_t height)
{
	return rect->width && rect->height && rect->x <= width && rect->width <= width - rect->x &&
	       rect->y <= height && rect->height <= height - rect->y;
}

static const struct format *find_format(uint32_t id)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++)
		if (formats[i].id == id)
			return &formats[i];
	return NULL;
}

/* Resources. */

static int find_resource(const struct virtio_gpu *gpu, uint32_t id)
{
	for (int i = 0; id && i < MAX_RESOURCES; i++)
		if (gpu->id[i] == id)
			return i;
	return -1;
}

static uint64_t pixel_bytes(const struct virtio_gpu *gpu, unsigned i)
{
	return gpu->id[i] ? (uint64_t)gpu->width[i] * gpu->height[i] * 4 : 0;
}

static uint64_t entry_bytes(const struct virtio_gpu *gpu, unsigned i)
{
	return gpu->id[i] ? (uint64_t)gpu->n_entries[i] * ENTRY_SIZE : 0;
}

static uint64_t step_over(uint64_t candidate, uint64_t len, uint64_t at, uint64_t taken)
{
	return taken && candidate < at + taken && at < candidate + len ? at + taken : candidate;
}

/* The first place in the bank that is free. Each round but the last steps over a block. */
static bool allocate(const struct virtio_gpu *gpu, uint64_t len, uint64_t *at)
{
	uint64_t candidate = 0, before;

	do {
		before = candidate;
		for (unsigned i = 0; i < MAX_RESOURCES; i++) {
			candidate = step_over(candidate, len, gpu->at[i], pixel_bytes(gpu, i));
			candidate =
				step_over(candidate, len, gpu->entries_at[i], entry_bytes(gpu, i));
		}
	} while (candidate != before);
	*at = candidate;
	return len <= BANK_SIZE && candidate <= BANK_SIZE - len;
}

static void mark_rows(struct virtio_gpu *gpu, int64_t first, int64_t end)
{
	first = CLAMP(first, 0, gpu->rect[3]);
	end = CLAMP(end, 0, gpu->rect[3]);
	if (first >= end)
		return;
	if (gpu->dirty_first >= gpu->dirty_end) {
		gpu->dirty_first = first;
		gpu->dirty_end = end;
	}
	gpu->dirty_first = MIN(gpu->dirty_first, first);
	gpu->dirty_end = MAX(gpu->dirty_end, end);
}

static void mark_all(struct virtio_gpu *gpu)
{
	mark_rows(gpu, 0, gpu->rect[3]);
}

static void mark_cursor(struct virtio_gpu *gpu)
{
	int i = find_resource(gpu, gpu->cursor);

	if (i >= 0)
		mark_rows(gpu, gpu->cursor_y, (int64_t)gpu->cursor_y + gpu->height[i]);
}

static uint32_t create_2d(struct request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	uint32_t id = word(request, 24), format = word(request, 28);
	uint32_t width = word(request, 32), height = word(request, 36);
	uint64_t at;
	int i = 0;

	if (!id || find_resource(gpu, id) >= 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (!find_format(format) || !width || width > DISPLAY_MAX_WIDTH || !height ||
	    height > DISPLAY_MAX_HEIGHT)
		return RESP_ERR_INVALID_PARAMETER;
	while (i < MAX_RESOURCES && gpu->id[i])
		i++;
	if (i == MAX_RESOURCES || !allocate(gpu, (uint64_t)width * height * 4, &at))
		return RESP_ERR_OUT_OF_MEMORY;
	gpu->id[i] = id;
	gpu->format[i] = format;
	gpu->width[i] = width;
	gpu->height[i] = height;
	gpu->at[i] = at;
	gpu->n_entries[i] = 0;
	memset(mem_bank_data(gpu->bank) + at, 0, pixel_bytes(gpu, i));
	mem_bank_written(gpu->bank, at, pixel_bytes(gpu, i));
	gpu->copied += pixel_bytes(gpu, i);
	return RESP_OK_NODATA;
}

static uint32_t unref(struct request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	uint32_t id = word(request, 24);
	int i = find_resource(gpu, id);

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (gpu->cursor == id) {
		mark_cursor(gpu);
		gpu->cursor = 0;
	}
	if (gpu->scanout == id) {
		gpu->scanout = 0;
		mark_all(gpu);
	}
	gpu->id[i] = 0;
	return RESP_OK_NODATA;
}

static uint32_t attach_backing(struct request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	int i = find_resource(gpu, word(request, 24));
	uint32_t n = word(request, 28);
	uint64_t len = (uint64_t)n * ENTRY_SIZE, at;

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (n > MAX_ENTRIES || gpu->n_entries[i])
		return RESP_ERR_INVALID_PARAMETER;
	if (!allocate(gpu, len, &at))
		return RESP_ERR_OUT_OF_MEMORY;
	if (iov_read(request->more, request->n_more, mem_bank_data(gpu->bank) + at, len) < len)
		return RESP_ERR_INVALID_PARAMETER;
	mem_bank_written(gpu->bank, at, len);
	gpu->n_entries[i] = n;
	gpu->entries_at[i] = at;
	return RESP_OK_NODATA;
}

static uint32_t detach_backing(struct request *request)
{
	int i = find_resource(request->gpu, word(request, 24));

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	request->gpu->n_entries[i] = 0;
	return RESP_OK_NODATA;
}

/* A place in the list of guest memory behind a resource; it only moves on. */
struct backing {
	const struct virtio_gpu *gpu;
	const uint8_t *entries;
	unsigned i, n;
	uint64_t entry_at; /* where entry i begins */
};

/* Entries are checked here and nowhere before: what they name can come from a state stream, too. */
static bool copy_from_backing(struct backing *backing, uint64_t from, uint8_t *to, uint64_t len)
{
	while (len) {
		const uint8_t *entry = backing->entries + (size_t)backing->i * ENTRY_SIZE;
		uint64_t entry_len, skip, part;

		if (backing->i == backing->n)
			return false;
		entry_len = le32_load(entry + ENTRY_LENGTH);
		if (from >= backing->entry_at + entry_len) {
			backing->entry_at += entry_len;
			backing->i++;
			continue;
		}
		skip = from - backing->entry_at;
		part = MIN(len, entry_len - skip);
		if (!mem_read(guest_mem(backing->gpu), le64_load(entry) + skip, to, part))
			return false;
		from += part;
		to += part;
		len -= part;
	}
	return true;
}

static uint32_t transfer_to_host(struct request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	struct rect rect = load_rect(request->bytes + 24);
	uint64_t offset = le64_load(request->bytes + 40), stride, first, bytes;
	int i = find_resource(gpu, word(request, 48));
	struct backing backing = {.gpu = gpu};
	bool good = true;

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (!rect_fits(&rect, gpu->width[i], gpu->height[i]) || offset > UINT32_MAX)
		return RESP_ERR_INVALID_PARAMETER;
	backing.entries = mem_bank_data(gpu->bank) + gpu->entries_at[i];
	backing.n = gpu->n_entries[i];
	stride = gpu->width[i] * 4ull;
	first = gpu->at[i] + rect.y * stride + rect.x * 4ull;
	bytes = (rect.height - 1) * stride + rect.width * 4ull;
	for (uint32_t row = 0; good && row < rect.height; row++)
		good = copy_from_backing(&backing, offset + row * stride,
					 mem_bank_data(gpu->bank) + first + row * stride,
					 rect.width * 4ull);
	mem_bank_written(gpu->bank, first, bytes);
	gpu->copied += bytes;
	if (gpu->id[i] == gpu->scanout)
		mark_rows(gpu, (int64_t)rect.y - gpu->rect[1],
			  (int64_t)rect.y + rect.height - gpu->rect[1]);
	if (gpu->id[i] == gpu->cursor)
		mark_cursor(gpu);
	return good ? RESP_OK_NODATA : RESP_ERR_INVALID_PARAMETER;
}

static uint32_t flush(struct request *request)
{
	struct rect rect = load_rect(request->bytes + 24);
	int i = find_resource(request->gpu, word(request, 40));

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	return rect_fits(&rect, request->gpu->width[i], request->gpu->height[i])
		       ? RESP_OK_NODATA
		       : RESP_ERR_INVALID_PARAMETER;
}

/* The screen. */

static uint32_t get_display_info(struct request *request)
{
	uint8_t *one = request->response + HEADER_SIZE;

	le32_store(one + 8, PREFERRED_WIDTH);
	le32_store(one + 12, PREFERRED_HEIGHT);
	le32_store(one + DISPLAY_ONE_ENABLED, 1);
	request->response_len = DISPLAY_INFO_SIZE;
	return RESP_OK_DISPLAY_INFO;
}

static uint32_t get_edid(struct request *request)
{
	if (word(request, 24) != 0)
		return RESP_ERR_INVALID_SCANOUT_ID;
	le32_store(request->response + EDID_LENGTH, EDID_SIZE);
	edid_make(request->response + EDID_BYTES, PREFERRED_WIDTH, PREFERRED_HEIGHT);
	request->response_len = EDID_RESPONSE_SIZE;
	return RESP_OK_EDID;
}

static void draw_cursor(const struct virtio_gpu *gpu, unsigned y, uint32_t *line)
{
	int i = find_resource(gpu, gpu->cursor);
	int64_t row = (int64_t)y - gpu->cursor_y;
	const struct format *format;
	const uint8_t *pixel;

	if (i < 0 || row < 0 || row >= gpu->height[i])
		return;
	format = find_format(gpu->format[i]);
	pixel = mem_bank_data(gpu->bank) + gpu->at[i] + row * gpu->width[i] * 4;
	for (int64_t x = gpu->cursor_x; x < (int64_t)gpu->cursor_x + gpu->width[i];
	     x++, pixel += 4) {
		unsigned shown = format->a == 4 ? 0 : 255 - pixel[format->a];
		unsigned r, g, b;

		if (x < 0 || x >= gpu->rect[2])
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
	struct rect rect = scanout_rect(gpu);
	const struct format *format;
	const uint8_t *pixel;

	if (resource < 0) {
		memset(line, 0, rect.width * sizeof(*line));
		return;
	}
	format = find_format(gpu->format[resource]);
	pixel = mem_bank_data(gpu->bank) + gpu->at[resource] +
		((uint64_t)(rect.y + y) * gpu->width[resource] + rect.x) * 4;
	if (format->b == 0 && format->r == 2) {
		for (unsigned x = 0; x < rect.width; x++)
			line[x] = le32_load(pixel + 4 * x) & 0xffffff;
	} else {
		for (unsigned x = 0; x < rect.width; x++, pixel += 4)
			line[x] = pixel[format->r] << 16 | pixel[format->g] << 8 | pixel[format->b];
	}
	draw_cursor(gpu, y, line);
}

static void gpu_update(void *opaque, struct display *display)
{
	struct virtio_gpu *gpu = opaque;
	struct rect rect = scanout_rect(gpu);
	int resource = find_resource(gpu, gpu->scanout);
	g_autofree uint32_t *line = g_new(uint32_t, rect.width);

	if (display_set_size(display, rect.width, rect.height))
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

static uint32_t set_scanout(struct request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	struct rect rect = load_rect(request->bytes + 24);
	uint32_t scanout = word(request, 40), id = word(request, 44);
	int i = find_resource(gpu, id);

	if (scanout != 0)
		return RESP_ERR_INVALID_SCANOUT_ID;
	if (id && i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (id && !rect_fits(&rect, gpu->width[i], gpu->height[i]))
		return RESP_ERR_INVALID_PARAMETER;
	gpu->scanout = id;
	/* Without a resource the screen is dark, but no other one. */
	if (id)
		memcpy(gpu->rect, &rect, sizeof(gpu->rect));
	gpu->dirty_first = gpu->dirty_end = 0;
	mark_all(gpu);
	if (id && !gpu->taken)
		take_screen(gpu);
	return RESP_OK_NODATA;
}

/* struct virtio_gpu_cursor_pos, then what only an update reads: the resource. The position is the
 * image's. */
static void place_cursor(struct request *request, uint32_t resource)
{
	struct virtio_gpu *gpu = request->gpu;

	mark_cursor(gpu);
	gpu->cursor = resource;
	gpu->cursor_x = word(request, 28);
	gpu->cursor_y = word(request, 32);
	mark_cursor(gpu);
}

static uint32_t update_cursor(struct request *request)
{
	uint32_t id = word(request, 40);

	if (id && find_resource(request->gpu, id) < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	place_cursor(request, id);
	return RESP_OK_NODATA;
}

static uint32_t move_cursor(struct request *request)
{
	place_cursor(request, request->gpu->cursor);
	return RESP_OK_NODATA;
}

/* Each takes `size` bytes and returns the response's type. */
static const struct {
	uint32_t type;
	unsigned size;
	uint32_t (*run)(struct request *request);
} commands[] = {
	{CMD_GET_DISPLAY_INFO, 24, get_display_info},
	{CMD_RESOURCE_CREATE_2D, 40, create_2d},
	{CMD_RESOURCE_UNREF, 32, unref},
	{CMD_SET_SCANOUT, 48, set_scanout},
	{CMD_RESOURCE_FLUSH, 48, flush},
	{CMD_TRANSFER_TO_HOST_2D, 56, transfer_to_host},
	{CMD_RESOURCE_ATTACH_BACKING, 32, attach_backing},
	{CMD_RESOURCE_DETACH_BACKING, 32, detach_backing},
	{CMD_GET_EDID, 32, get_edid},
	{CMD_UPDATE_CURSOR, 56, update_cursor},
	{CMD_MOVE_CURSOR, 56, move_cursor},
};

static uint32_t run(struct request *request)
{
	struct queue_chain *chain = &request->gpu->chain;

	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (commands[i].type != word(request, 0))
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
	struct request request = {.gpu = gpu, .response_len = HEADER_SIZE};
	struct iovec *in = chain->iov + chain->n_out;
	uint8_t *response = request.response;
	size_t written;

	iov_read(chain->iov, chain->n_out, request.bytes, sizeof(request.bytes));
	/* `in` stands where it was: a command cuts off what the driver sent at the front. */
	le32_store(response, run(&request));
	if (word(&request, HEADER_FLAGS) & FLAG_FENCE) {
		le32_store(response + HEADER_FLAGS, FLAG_FENCE);
		le64_store(response + HEADER_FENCE_ID, le64_load(request.bytes + HEADER_FENCE_ID));
		le32_store(response + HEADER_CTX_ID, word(&request, HEADER_CTX_ID));
	}
	written = iov_write(guest_mem(gpu), in, chain->n_in, response, request.response_len);
	virtio_push(&gpu->virtio, queue, chain->head, written);
}

static void gpu_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_gpu *gpu = (struct virtio_gpu *)virtio;

	gpu->copied = 0;
	for (unsigned i = 0; i < QUEUE_MAX_SIZE && gpu->copied < COPY_MAX; i++) {
		if (!virtio_pop(virtio, queue, &gpu->chain))
			return;
		serve(gpu, queue);
	}
	virtio_leave(virtio, queue);
}

static void gpu_driver_reset(struct virtio *virtio)
{
	static const uint32_t first_rect[4] = {0, 0, PREFERRED_WIDTH, PREFERRED_HEIGHT};
	struct virtio_gpu *gpu = (struct virtio_gpu *)virtio;

	memset(gpu->id, 0, sizeof(gpu->id));
	gpu->scanout = gpu->cursor = 0;
	gpu->cursor_x = gpu->cursor_y = 0;
	memcpy(gpu->rect, first_rect, sizeof(gpu->rect));
	give_screen_back(gpu);
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
	gpu->bank = mem_bank_new(device->env->mem, BANK_SIZE, error);
	le32_store(gpu->config + CONFIG_NUM_SCANOUTS, 1);
	return gpu->bank && virtio_init(&gpu->virtio, &gpu_ops, GPU_F_EDID, gpu->config,
					CONFIG_SIZE, config, error);
}

static void gpu_post_load(struct device *device)
{
	struct virtio_gpu *gpu = (struct virtio_gpu *)device;

	virtio_post_load(device);
	if (gpu->taken)
		take_screen(gpu);
	else
		give_screen_back(gpu);
	gpu->dirty_first = gpu->dirty_end = 0;
	mark_all(gpu);
}

static void gpu_fini(struct device *device)
{
	give_screen_back((struct virtio_gpu *)device);
	virtio_fini(device);
}

static bool is_in_bank(uint64_t at, uint64_t len)
{
	return len <= BANK_SIZE && at <= BANK_SIZE - len;
}

static bool resource_is_good(const struct virtio_gpu *gpu, unsigned i)
{
	return !gpu->id[i] ||
	       (find_format(gpu->format[i]) && gpu->width[i] &&
		gpu->width[i] <= DISPLAY_MAX_WIDTH && gpu->height[i] &&
		gpu->height[i] <= DISPLAY_MAX_HEIGHT &&
		is_in_bank(gpu->at[i], pixel_bytes(gpu, i)) && gpu->n_entries[i] <= MAX_ENTRIES &&
		is_in_bank(gpu->entries_at[i], entry_bytes(gpu, i)));
}

static bool gpu_check(const void *object)
{
	const struct virtio_gpu *gpu = object;
	struct rect rect = scanout_rect(gpu);
	int scanout = find_resource(gpu, gpu->scanout);

	for (unsigned i = 0; i < MAX_RESOURCES; i++)
		if (!resource_is_good(gpu, i))
			return false;
	return virtio_check(object) && (!gpu->scanout || scanout >= 0) &&
	       rect_fits(&rect, scanout < 0 ? DISPLAY_MAX_WIDTH : gpu->width[scanout],
			 scanout < 0 ? DISPLAY_MAX_HEIGHT : gpu->height[scanout]);
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
	FIELD(rect),
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
