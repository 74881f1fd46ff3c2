/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resources: pictures that the host keeps, and guest memory that their pixels are copied from.
 *
 * Both pixels and lists of guest memory lie in the device's bank, which bounds them and is saved
 * with the VM. So a list can be a state stream's, too, and its entries are checked when they are
 * used.
 */
#include <string.h>

#include "dev/gpu/gpu_int.h"

enum {
	MAX_ENTRIES = 16384, /* of guest memory behind a resource */
	ENTRY_SIZE = 16,     /* struct virtio_gpu_mem_entry: address, length, padding */
	ENTRY_LENGTH = 8,
};

static const struct gpu_format formats[] = {
	{1, 2, 1, 0, 3},   /* B8G8R8A8 */
	{2, 2, 1, 0, 4},   /* B8G8R8X8 */
	{3, 1, 2, 3, 0},   /* A8R8G8B8 */
	{4, 1, 2, 3, 4},   /* X8R8G8B8 */
	{67, 0, 1, 2, 3},  /* R8G8B8A8 */
	{68, 3, 2, 1, 4},  /* X8B8G8R8 */
	{121, 3, 2, 1, 0}, /* A8B8G8R8 */
	{134, 0, 1, 2, 4}, /* R8G8B8X8 */
};

static const struct gpu_format *find_format(uint32_t id)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++)
		if (formats[i].id == id)
			return &formats[i];
	return NULL;
}

int gpu_find_resource(const struct virtio_gpu *gpu, uint32_t id)
{
	for (int i = 0; id && i < GPU_MAX_RESOURCES; i++)
		if (gpu->id[i] == id)
			return i;
	return -1;
}

const struct gpu_format *gpu_resource_format(const struct virtio_gpu *gpu, unsigned resource)
{
	return find_format(gpu->format[resource]);
}

const uint8_t *gpu_resource_row(const struct virtio_gpu *gpu, unsigned resource, uint32_t y)
{
	return mem_bank_data(gpu->bank) + gpu->at[resource] +
	       (uint64_t)y * gpu->width[resource] * 4;
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
		for (unsigned i = 0; i < GPU_MAX_RESOURCES; i++) {
			candidate = step_over(candidate, len, gpu->at[i], pixel_bytes(gpu, i));
			candidate =
				step_over(candidate, len, gpu->entries_at[i], entry_bytes(gpu, i));
		}
	} while (candidate != before);
	*at = candidate;
	return len <= GPU_BANK_SIZE && candidate <= GPU_BANK_SIZE - len;
}

uint32_t gpu_resource_create_2d(struct gpu_request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	uint32_t id = gpu_word(request, 24), format = gpu_word(request, 28);
	uint32_t width = gpu_word(request, 32), height = gpu_word(request, 36);
	uint64_t at;
	int i = 0;

	if (!id || gpu_find_resource(gpu, id) >= 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (!find_format(format) || !width || width > DISPLAY_MAX_WIDTH || !height ||
	    height > DISPLAY_MAX_HEIGHT)
		return RESP_ERR_INVALID_PARAMETER;
	while (i < GPU_MAX_RESOURCES && gpu->id[i])
		i++;
	if (i == GPU_MAX_RESOURCES || !allocate(gpu, (uint64_t)width * height * 4, &at))
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

uint32_t gpu_resource_unref(struct gpu_request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	int i = gpu_find_resource(gpu, gpu_word(request, 24));

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	gpu_resource_goes(gpu, i);
	gpu->id[i] = 0;
	return RESP_OK_NODATA;
}

uint32_t gpu_attach_backing(struct gpu_request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	int i = gpu_find_resource(gpu, gpu_word(request, 24));
	uint32_t n = gpu_word(request, 28);
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

uint32_t gpu_detach_backing(struct gpu_request *request)
{
	int i = gpu_find_resource(request->gpu, gpu_word(request, 24));

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

/* Entries are checked here and nowhere before: what they name can come from a state stream, too.
 * `from` never goes back: an offset that could wrap lies past the end of any list. */
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
		if (!mem_read(gpu_mem(backing->gpu), le64_load(entry) + skip, to, part))
			return false;
		from += part;
		to += part;
		len -= part;
	}
	return true;
}

uint32_t gpu_transfer_to_host_2d(struct gpu_request *request)
{
	struct virtio_gpu *gpu = request->gpu;
	struct gpu_rect rect = gpu_request_rect(request);
	uint64_t offset = le64_load(request->bytes + 40), stride, first, bytes;
	int i = gpu_find_resource(gpu, gpu_word(request, 48));
	struct backing backing = {.gpu = gpu};
	bool good = true;

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	if (!gpu_rect_fits(&rect, gpu->width[i], gpu->height[i]))
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
	gpu_resource_changed(gpu, i, rect.y, rect.height);
	return good ? RESP_OK_NODATA : RESP_ERR_INVALID_PARAMETER;
}

uint32_t gpu_resource_flush(struct gpu_request *request)
{
	struct gpu_rect rect = gpu_request_rect(request);
	int i = gpu_find_resource(request->gpu, gpu_word(request, 40));

	if (i < 0)
		return RESP_ERR_INVALID_RESOURCE_ID;
	return gpu_rect_fits(&rect, request->gpu->width[i], request->gpu->height[i])
		       ? RESP_OK_NODATA
		       : RESP_ERR_INVALID_PARAMETER;
}

static bool is_in_bank(uint64_t at, uint64_t len)
{
	return len <= GPU_BANK_SIZE && at <= GPU_BANK_SIZE - len;
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

bool gpu_resources_check(const struct virtio_gpu *gpu)
{
	for (unsigned i = 0; i < GPU_MAX_RESOURCES; i++)
		if (!resource_is_good(gpu, i))
			return false;
	return true;
}
