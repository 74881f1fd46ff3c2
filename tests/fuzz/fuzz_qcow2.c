/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a qcow2 image, in memory: opened, used and mended. So is its data file, whatever it
 * is called: no file of the host is opened.
 *
 * Input: n, then n operations of three bytes (what, where, how much), then the image.
 * make_images.py qcow2 makes the corpus.
 */
#include "fuzz.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "block/format.h"

enum { MAX_FILE = 4 << 20, SECTOR = IMAGE_SECTOR_SIZE, MAX_LEN = 64 << 10 };

struct memory {
	struct file file;
	GByteArray *bytes;
};

static GByteArray *data_bytes; /* of the data file */

static GByteArray *bytes_of(struct file *file)
{
	return ((struct memory *)file)->bytes;
}

static int memory_read(struct file *file, uint64_t offset, struct span span)
{
	GByteArray *bytes = bytes_of(file);
	uint64_t there = offset < bytes->len ? MIN(span.len, bytes->len - offset) : 0;

	span_zero(span_part(span, there, span.len - there));
	if (there)
		span_store(span_part(span, 0, there), bytes->data + offset);
	return 0;
}

static int memory_set_size(struct file *file, uint64_t size)
{
	GByteArray *bytes = bytes_of(file);
	guint old = bytes->len;

	if (size > MAX_FILE)
		return -ENOSPC;
	g_byte_array_set_size(bytes, size);
	if (size > old)
		memset(bytes->data + old, 0, size - old);
	file->size = size;
	return 0;
}

static int memory_write(struct file *file, uint64_t offset, struct span span)
{
	if (offset > MAX_FILE || span.len > MAX_FILE - offset)
		return -ENOSPC;
	if (offset + span.len > file->size)
		memory_set_size(file, offset + span.len);
	span_load(span, bytes_of(file)->data + offset);
	return 0;
}

static int memory_flush(struct file *file)
{
	return 0;
}

static int memory_zero(struct file *file, uint64_t offset, uint64_t len, bool punch)
{
	memset(bytes_of(file)->data + offset, 0, len);
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
	g_free(file); /* the bytes are for the next */
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

static struct file *memory_open(GByteArray *bytes)
{
	struct memory *memory = g_new0(struct memory, 1);

	memory->file = (struct file){.ops = &memory_ops,
				     .name = g_strdup("memory"),
				     .size = bytes->len,
				     .fd = -1,
				     .align = 1};
	memory->bytes = bytes;
	return &memory->file;
}

struct file *__wrap_file_open(const char *name, unsigned flags, GError **error);

struct file *__wrap_file_open(const char *name, unsigned flags, GError **error)
{
	return memory_open(data_bytes);
}

static struct image *open_image(GByteArray *bytes)
{
	struct image_open how = {.path = "memory", .secret = "sesame", .damaged = true};
	const struct block_format *format = image_find_format("qcow2", NULL);
	struct image *image = g_malloc0(format->object_size);

	image->format = format;
	image->file = memory_open(bytes);
	if (format->open(image, &how, NULL) && image->size && image->size <= INT64_MAX &&
	    image->size % SECTOR == 0)
		return image;
	image->read_only = true;
	image_close(image);
	return NULL;
}

struct step {
	uint8_t what, where, how_much;
};

static bool check(struct image *image, enum image_repair repair, uint64_t *errors)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};
	bool ok = image->format->check && image_check(image, repair, &report, NULL);

	*errors = report.errors;
	return ok;
}

static void mend(struct image *image)
{
	uint64_t errors;

	/* Where the space does not end before all is mended, all is. */
	if (check(image, IMAGE_REPAIR_ALL, &errors) && check(image, IMAGE_REPAIR_NOTHING, &errors))
		g_assert_cmpuint(errors, ==, 0);
}

static void use_snapshots(struct image *image, const struct step *step)
{
	const struct image_snapshot_ops *ops = image_snapshots(image);
	const char *name = step->where & 1 ? "a" : "b";

	if (!ops)
		return;
	switch (step->how_much % 4) {
	case 0:
		ops->create(image, name, NULL);
		break;
	case 1:
		ops->apply(image, name, NULL);
		break;
	case 2:
		ops->remove(image, name, NULL);
		break;
	default:
		g_ptr_array_unref(ops->list(image));
	}
}

static void look(struct image *image, uint64_t offset, uint64_t len)
{
	struct image_extent extent;
	struct image_info info;

	image_info(image, &info);
	image_info_clear(&info);
	if (!image_map(image, offset, len, &extent))
		g_assert_true(extent.len > 0 && extent.len <= len);
}

static void run_step(struct image *image, const struct step *step)
{
	static uint8_t bytes[MAX_LEN];
	uint64_t sectors = image->size / SECTOR, errors;
	uint64_t first = step->where < 128 ? step->where % sectors : sectors / 256 * step->where;
	uint64_t offset = first * SECTOR;
	uint64_t len = MIN((step->how_much % 128 + 1) * SECTOR, image->size - offset);

	memset(bytes, step->how_much, len);
	switch (step->what % 12) {
	case 0:
		image_read(image, offset, SPAN(bytes, len));
		break;
	case 1:
	case 2:
		image_write(image, offset, SPAN(bytes, len));
		break;
	case 3:
		image_zero(image, offset, len, step->how_much & 128);
		break;
	case 4:
		image_discard(image, offset, len);
		break;
	case 5:
		image_flush(image);
		break;
	case 6:
		look(image, offset, len);
		break;
	case 7:
		image_write_compressed(image, offset, SPAN(bytes, len));
		break;
	case 8:
		check(image, IMAGE_REPAIR_NOTHING, &errors);
		break;
	case 9:
		mend(image);
		break;
	case 10:
		use_snapshots(image, step);
		break;
	case 11:
		image_resize(image, (step->where + 1) * (uint64_t)step->how_much * SECTOR, NULL);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct step *steps = (const struct step *)(data + 1);
	size_t n = len ? MIN(data[0], (len - 1) / sizeof(*steps)) : 0;
	static const uint8_t text[] = "what stood in the data file before";
	GByteArray *bytes = g_byte_array_new();
	struct image *image;

	if (len > 1 + n * sizeof(*steps))
		g_byte_array_append(bytes, data + 1 + n * sizeof(*steps),
				    MIN(len - 1 - n * sizeof(*steps), MAX_FILE));
	data_bytes = g_byte_array_append(g_byte_array_new(), text, sizeof(text));
	image = open_image(bytes);
	for (size_t i = 0; i < n && image; i++)
		run_step(image, &steps[i]);
	image_close(image);
	image = open_image(bytes);
	if (image)
		mend(image);
	image_close(image);
	g_byte_array_unref(data_bytes);
	g_byte_array_unref(bytes);
	return 0;
}
