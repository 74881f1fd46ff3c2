/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "powercut.h"

#include <errno.h>
#include <string.h>

#include "block/format.h"

enum { SECTOR = 512 };

/* A write since the last flush, or a change of the size (no data). */
struct step {
	uint64_t offset, len; /* or the size */
	uint8_t *data;	      /* NULL: of the size */
};

struct powercut {
	struct powercut *power; /* whose of these it is that count: of several, one disk's */
	GMutex lock;
	uint64_t count, cut_at;
	bool dead;
	GRand *rand;
	uint8_t *now, *safe; /* the bytes as they are read; as they are safe */
	uint64_t capacity, safe_size, size;
	GArray *steps; /* of struct step */
};

struct powercut_file {
	struct file file;
	struct powercut *disk;
};

static void clear_step(void *data)
{
	g_free(((struct step *)data)->data);
}

struct powercut *powercut_new(uint32_t seed)
{
	struct powercut *disk = g_new0(struct powercut, 1);

	disk->power = disk;
	g_mutex_init(&disk->lock);
	disk->rand = g_rand_new_with_seed(seed);
	disk->steps = g_array_new(FALSE, FALSE, sizeof(struct step));
	g_array_set_clear_func(disk->steps, clear_step);
	disk->power->cut_at = POWERCUT_NEVER;
	return disk;
}

struct powercut *powercut_beside(struct powercut *disk, uint32_t seed)
{
	struct powercut *other = powercut_new(seed);

	other->power = disk;
	return other;
}

void powercut_free(struct powercut *disk)
{
	g_array_unref(disk->steps);
	g_rand_free(disk->rand);
	g_free(disk->now);
	g_free(disk->safe);
	g_mutex_clear(&disk->lock);
	g_free(disk);
}

static void reserve(struct powercut *disk, uint64_t size)
{
	uint64_t capacity = MAX(disk->capacity, 1 << 20);

	while (capacity < size)
		capacity *= 2;
	if (capacity == disk->capacity)
		return;
	disk->now = g_realloc(disk->now, capacity);
	disk->safe = g_realloc(disk->safe, capacity);
	memset(disk->now + disk->capacity, 0, capacity - disk->capacity);
	memset(disk->safe + disk->capacity, 0, capacity - disk->capacity);
	disk->capacity = capacity;
}

/* Whether the step is taken; at the cut, that it is begun. */
static bool begin_step(struct powercut *disk)
{
	if (disk->power->dead)
		return false;
	disk->power->count++;
	disk->power->dead = disk->power->count >= disk->power->cut_at;
	return true;
}

static void apply(uint8_t *bytes, uint64_t *size, const struct step *step)
{
	if (step->data) {
		memcpy(bytes + step->offset, step->data, step->len);
		*size = MAX(*size, step->offset + step->len);
		return;
	}
	if (step->len < *size)
		memset(bytes + step->len, 0, *size - step->len);
	*size = step->len;
}

static int take_step(struct file *file, struct step step)
{
	struct powercut *disk = ((struct powercut_file *)file)->disk;
	int status = -EIO;

	if (step.offset + step.len > POWERCUT_MAX_SIZE) {
		clear_step(&step);
		return -ENOSPC;
	}
	g_mutex_lock(&disk->power->lock);
	if (begin_step(disk)) {
		reserve(disk, step.offset + step.len);
		apply(disk->now, &disk->size, &step);
		g_array_append_val(disk->steps, step);
		file->size = disk->size;
		status = disk->power->dead ? -EIO : 0;
	} else {
		clear_step(&step);
	}
	g_mutex_unlock(&disk->power->lock);
	return status;
}

static int powercut_read(struct file *file, uint64_t offset, struct span span)
{
	struct powercut *disk = ((struct powercut_file *)file)->disk;
	uint64_t there;

	g_mutex_lock(&disk->power->lock);
	there = offset < disk->size ? MIN(span.len, disk->size - offset) : 0;
	span_zero(span_part(span, there, span.len - there));
	if (there)
		span_store(span_part(span, 0, there), disk->now + offset);
	g_mutex_unlock(&disk->power->lock);
	return 0;
}

static int powercut_write(struct file *file, uint64_t offset, struct span span)
{
	struct step step = {.offset = offset, .len = span.len, .data = g_malloc(MAX(span.len, 1))};

	span_load(span, step.data);
	return take_step(file, step);
}

static int powercut_zero(struct file *file, uint64_t offset, uint64_t len, bool punch)
{
	return take_step(file, (struct step){.offset = offset, .len = len, .data = g_malloc0(len)});
}

static int powercut_set_size(struct file *file, uint64_t size)
{
	return take_step(file, (struct step){.len = size});
}

static void make_safe(struct powercut *disk)
{
	for (guint i = 0; i < disk->steps->len; i++)
		apply(disk->safe, &disk->safe_size, &g_array_index(disk->steps, struct step, i));
	g_array_set_size(disk->steps, 0);
}

static int powercut_flush(struct file *file)
{
	struct powercut *disk = ((struct powercut_file *)file)->disk;
	int status = -EIO;

	g_mutex_lock(&disk->power->lock);
	if (begin_step(disk) && !disk->power->dead) {
		make_safe(disk);
		status = 0;
	}
	g_mutex_unlock(&disk->power->lock);
	return status;
}

static int powercut_map(struct file *file, uint64_t offset, uint64_t len, uint64_t *run, bool *zero)
{
	*run = len;
	*zero = false;
	return 0;
}

static uint64_t powercut_allocated(struct file *file)
{
	return file->size;
}

static void powercut_close(struct file *file)
{
	g_free(file);
}

static const struct file_ops powercut_ops = {
	.read = powercut_read,
	.write = powercut_write,
	.flush = powercut_flush,
	.set_size = powercut_set_size,
	.zero = powercut_zero,
	.map = powercut_map,
	.allocated = powercut_allocated,
	.close = powercut_close,
};

struct file *powercut_open(struct powercut *disk, bool read_only)
{
	struct powercut_file *f = g_new0(struct powercut_file, 1);

	f->disk = disk;
	f->file = (struct file){.ops = &powercut_ops,
				.name = g_strdup("memory"),
				.size = disk->size,
				.read_only = read_only,
				.fd = -1,
				.align = 1};
	return &f->file;
}

void powercut_at(struct powercut *disk, uint64_t steps)
{
	disk->power->cut_at = steps == POWERCUT_NEVER ? steps : disk->power->count + steps;
}

bool powercut_is_dead(const struct powercut *disk)
{
	return disk->power->dead;
}

uint64_t powercut_steps(const struct powercut *disk)
{
	return disk->power->count;
}

/* Some sectors of a step, each with the chance of keep/4. */
static void survive(struct powercut *disk, const struct step *step, unsigned keep)
{
	uint64_t end = step->offset + step->len;

	if (!step->data) {
		if (g_rand_int(disk->rand) % 4 < keep)
			apply(disk->safe, &disk->safe_size, step);
		return;
	}
	for (uint64_t at = step->offset, next; at < end; at = next) {
		next = MIN(end, (at / SECTOR + 1) * SECTOR);
		if (g_rand_int(disk->rand) % 4 < keep)
			apply(disk->safe, &disk->safe_size,
			      &(struct step){at, next - at, step->data + (at - step->offset)});
	}
}

void powercut_restore(struct powercut *disk)
{
	/* Nothing, all, or a part of each; in order, or in another. */
	unsigned keep = g_rand_int(disk->rand) % 5;
	bool shuffled = g_rand_boolean(disk->rand);

	for (guint i = 0, n = disk->steps->len; i < n; i++) {
		struct step *steps = (struct step *)disk->steps->data;
		guint other = shuffled ? i + g_rand_int(disk->rand) % (n - i) : i;
		struct step step = steps[other];

		steps[other] = steps[i];
		steps[i] = step;
		survive(disk, &step, keep);
	}
	g_array_set_size(disk->steps, 0);
	memcpy(disk->now, disk->safe, disk->capacity);
	disk->size = disk->safe_size;
	disk->power->dead = false;
	disk->power->cut_at = POWERCUT_NEVER;
}

GBytes *powercut_save(struct powercut *disk)
{
	make_safe(disk);
	return g_bytes_new(disk->now, disk->size);
}

void powercut_load(struct powercut *disk, GBytes *saved)
{
	gsize len;
	const void *bytes = g_bytes_get_data(saved, &len);

	reserve(disk, len);
	memset(disk->now, 0, disk->capacity);
	memset(disk->safe, 0, disk->capacity);
	if (len) {
		memcpy(disk->now, bytes, len);
		memcpy(disk->safe, bytes, len);
	}
	disk->size = disk->safe_size = len;
	g_array_set_size(disk->steps, 0);
	disk->power->dead = false;
	disk->power->cut_at = POWERCUT_NEVER;
}

struct image *image_of_file(const char *format, struct file *file, struct image *backing,
			    bool read_only, GError **error)
{
	const struct block_format *row = image_find_format(format, error);
	struct image_open how = {
		.path = file->name, .format = format, .read_only = read_only, .damaged = true};
	struct image *image = g_malloc0(row->object_size);

	image->format = row;
	image->file = file;
	image->read_only = read_only;
	image->backing = backing;
	if (row->open(image, &how, error))
		return image;
	image->read_only = true;
	image->backing = NULL;
	image_close(image);
	return NULL;
}
