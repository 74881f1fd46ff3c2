/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile image of one format, FORMAT, and what a guest and `viv disk` do with it. A row of
 * `fuzz_formats` in meson.build makes it a target of the format's name.
 *
 * The input: a byte of flags, the file's size in sectors (16 bits) and chunks of it
 * (sector: 16 bits; length: 16 bits; bytes), up to one without bytes; then operations. Where a
 * checksum would keep everything else from being looked at, it is made right.
 * The image's other files are a copy of the first, whatever they are called: no file of the host
 * is opened.
 */
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/le.h"
#include "block/format.h"
#include "block/vhdx_int.h"

#include "fuzz.h"

#define STRING(name)  STRING_(name)
#define STRING_(name) #name

enum { MAX_SIZE = 16 << 20, MAX_FILES = 4, MAX_OPERATIONS = 64, MAX_LEN = 256 << 10 };
#define LARGE (8ull << 30) /* bytes of a disk */

struct input {
	const uint8_t *at, *end;
};

struct memory {
	struct file file;
	uint8_t *bytes; /* zeroes from `used` on */
	uint64_t used;
};

/* What files are in, zeroes where none is: to allocate so much each time takes longer than the
 * rest. */
static uint8_t places[MAX_FILES][MAX_SIZE];
static unsigned n_files; /* each in the next place; they go in any order, at the end */
/* Of the image under test, for its other files; and how many are still open. */
static const struct memory *original;
static unsigned n_open;

static uint64_t take(struct input *in, unsigned size)
{
	uint64_t value = 0;
	unsigned n = MIN(size, (size_t)(in->end - in->at));

	if (n) /* no input at all has no address either */
		memcpy(&value, in->at, n);
	in->at += n;
	return value;
}

/* ---- a file in memory ---- */

static int memory_read(struct file *file, uint64_t offset, struct span span)
{
	uint64_t there = offset < file->size ? MIN(span.len, file->size - offset) : 0;

	span_zero(span_part(span, there, span.len - there));
	if (there)
		span_store(span_part(span, 0, there), ((struct memory *)file)->bytes + offset);
	return 0;
}

static int memory_write(struct file *file, uint64_t offset, struct span span)
{
	struct memory *memory = (struct memory *)file;

	g_assert_false(file->read_only);
	if (offset > MAX_SIZE || span.len > MAX_SIZE - offset)
		return -ENOSPC;
	span_load(span, memory->bytes + offset);
	memory->used = MAX(memory->used, offset + span.len);
	file->size = MAX(file->size, offset + span.len);
	return 0;
}

static int memory_flush(struct file *file)
{
	return 0;
}

static int memory_set_size(struct file *file, uint64_t size)
{
	g_assert_false(file->read_only);
	if (size > MAX_SIZE)
		return -ENOSPC;
	if (size < file->size)
		memset(((struct memory *)file)->bytes + size, 0, file->size - size);
	file->size = size;
	return 0;
}

static int memory_zero(struct file *file, uint64_t offset, uint64_t len, bool punch)
{
	g_assert_true(!file->read_only && offset <= file->size && len <= file->size - offset);
	memset(((struct memory *)file)->bytes + offset, 0, len);
	return 0;
}

static int memory_map(struct file *file, uint64_t offset, uint64_t len, uint64_t *run, bool *zero)
{
	*run = len;
	*zero = false;
	return 0;
}

static uint64_t memory_allocated(struct file *file)
{
	return file->size;
}

static void memory_close(struct file *file)
{
	struct memory *memory = (struct memory *)file;

	memset(memory->bytes, 0, memory->used);
	g_free(memory);
	n_open--;
}

static const struct file_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.flush = memory_flush,
	.set_size = memory_set_size,
	.zero = memory_zero,
	.map = memory_map,
	.allocated = memory_allocated,
	.close = memory_close,
};

static struct memory *memory_new(const char *name, bool read_only)
{
	struct memory *memory = g_new0(struct memory, 1);

	memory->bytes = places[n_files++];
	memory->file = (struct file){.ops = &memory_ops,
				     .name = g_strdup(name),
				     .read_only = read_only,
				     .fd = -1,
				     .align = 1};
	n_open++;
	return memory;
}

struct file *__wrap_file_open(const char *name, unsigned flags, GError **error);

struct file *__wrap_file_open(const char *name, unsigned flags, GError **error)
{
	struct memory *memory;

	if (n_files == MAX_FILES) {
		image_reject(error, "enough files");
		return NULL;
	}
	memory = memory_new(name, flags & FILE_READ_ONLY);
	memory->file.size = MIN(original->file.size, 512 << 10);
	memory->used = memory->file.size;
	memcpy(memory->bytes, original->bytes, memory->used);
	return &memory->file;
}

/* ---- checksums ---- */

static void seal_vhd(uint8_t *at, size_t len, unsigned field)
{
	uint32_t sum = 0;

	be32_store(at + field, 0);
	for (size_t i = 0; i < len; i++)
		sum += at[i];
	be32_store(at + field, ~sum);
}

static void seal_vhdx(uint8_t *at, const char *signature, size_t len)
{
	if (!memcmp(at, signature, 4))
		le32_store(at + 4, vhdx_checksum(at, len, 4));
}

static void seal(struct memory *memory)
{
	uint8_t *bytes = memory->bytes;
	uint64_t size = memory->file.size;

	for (uint64_t at = 0; at + 1024 <= MIN(size, 8192); at += 512) {
		if (!memcmp(bytes + at, "conectix", 8))
			seal_vhd(bytes + at, 512, 64);
		if (!memcmp(bytes + at, "cxsparse", 8))
			seal_vhd(bytes + at, 1024, 36);
	}
	if (size >= 512 && !memcmp(bytes + size - 512, "conectix", 8))
		seal_vhd(bytes + size - 512, 512, 64);
	if (size < VHDX_MIB || memcmp(bytes, "vhdxfile", 8))
		return;
	seal_vhdx(bytes + HEADER_AT, "head", VHDX_PAGE);
	seal_vhdx(bytes + HEADER_2_AT, "head", VHDX_PAGE);
	seal_vhdx(bytes + REGIONS_AT, "regi", REGION_TABLE_BYTES);
	seal_vhdx(bytes + REGIONS_2_AT, "regi", REGION_TABLE_BYTES);
	for (uint64_t at = VHDX_MIB; at + VHDX_PAGE <= size; at += VHDX_PAGE) {
		uint32_t len = le32_load(bytes + at + 8);

		if (len >= 64 && len <= size - at)
			seal_vhdx(bytes + at, "loge", len);
	}
}

/* ---- the image ---- */

static struct image *open_image(struct memory *memory, bool read_only)
{
	const struct block_format *format = image_find_format(STRING(FORMAT), NULL);
	struct image_open how = {.path = "memory", .read_only = read_only, .damaged = true};
	struct image *image = g_malloc0(format->object_size);

	image->format = format;
	image->file = &memory->file;
	image->read_only = memory->file.read_only = read_only;
	if (format->open(image, &how, NULL) && image->size && image->size <= INT64_MAX &&
	    image->size % IMAGE_SECTOR_SIZE == 0)
		return image;
	image->read_only = true;
	image_close(image);
	return NULL;
}

static uint8_t buffer[MAX_LEN];

/* It looks at every block of the disk, of which a large one may have 64 million: once an input. */
static void check(struct image *image, enum image_repair repair, unsigned *n_large)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};

	if (image_size(image) > LARGE && (*n_large)++)
		return;
	image_check(image, image->read_only ? IMAGE_REPAIR_NOTHING : repair, &report, NULL);
}

static void look(struct image *image)
{
	struct image_info info;

	image_info(image, &info);
	image_info_clear(&info);
}

static void operate(struct image *image, struct input *in, unsigned *n_large)
{
	unsigned op = take(in, 1);
	uint64_t sectors = image_size(image) / IMAGE_SECTOR_SIZE;
	uint64_t first = take(in, 5) % sectors, n = take(in, 2) % (MAX_LEN / IMAGE_SECTOR_SIZE);
	uint64_t at = first * IMAGE_SECTOR_SIZE,
		 len = MIN(n + 1, sectors - first) * IMAGE_SECTOR_SIZE;
	struct image_extent extent;
	uint64_t offset;

	switch (op % 10) {
	case 0:
	case 1:
		image_read(image, at, SPAN(buffer, len));
		break;
	case 2:
	case 3:
		memset(buffer, op, len);
		image_write(image, at, SPAN(buffer, len));
		break;
	case 4:
		image_zero(image, at, len, op & 16);
		break;
	case 5:
		image_discard(image, at, len);
		break;
	case 6:
		if (image_map(image, at, image_size(image) - at, &extent) == 0)
			g_assert_true(extent.len && extent.len <= image_size(image) - at);
		break;
	case 7:
		if (image->format->locate)
			image->format->locate(image, at, len, op & 16, &offset);
		break;
	case 8:
		check(image, op & 16 ? IMAGE_REPAIR_ALL : IMAGE_REPAIR_LEAKS, n_large);
		break;
	case 9:
		if (op & 16)
			image_flush(image);
		else if (op & 32 && !image->read_only)
			image_resize(image, image_size(image) + len, NULL);
		else
			look(image);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = {data, data + len};
	struct memory *memory = memory_new("memory", false);
	unsigned flags = take(&in, 1), n_large = 0;
	uint64_t size = take(&in, 2) * IMAGE_SECTOR_SIZE;
	struct image *image;

	memory->file.size = MIN(size, MAX_SIZE);
	for (;;) {
		uint64_t at = take(&in, 2) * IMAGE_SECTOR_SIZE, n = take(&in, 2);

		n = MIN(n, (size_t)(in.end - in.at));
		if (!n)
			break;
		memory_write(&memory->file, at, SPAN(in.at, n));
		in.at += n;
	}
	if (flags & 2) {
		memory->used = MAX(memory->used, memory->file.size);
		seal(memory);
	}
	original = memory;
	image = open_image(memory, flags & 1);
	for (unsigned i = 0; image && i < MAX_OPERATIONS && in.at < in.end; i++)
		operate(image, &in, &n_large);
	image_close(image);
	g_assert_cmpuint(n_open, ==, 0);
	n_files = 0;
	return 0;
}
