/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations on an image of each format, against a model, with power cuts: what was flushed
 * is there afterwards, a sector written since has its old bytes or new ones, `check` finds nothing
 * worse than lost space and gives that back.
 *
 * Usage: test_power_cut [--every]: at some step of a round of operations, or at every one.
 */
#include <string.h>

#include "block/format.h"
#include "block/vmdk_int.h"
#include "powercut.h"

enum {
	SECTOR = IMAGE_SECTOR_SIZE,
	ROUND = 24, /* operations from a flush to a cut */
	MAX_SNAPSHOTS = 3,
	N_OPERATIONS = 100000, /* of all rows; with --every of each */
};

/* Which images: rows that a format's author adds to. */
static const struct variant {
	const char *format, *options; /* of create, with commas */
	uint64_t size;
	bool backing;
	unsigned write_max; /* sectors */
	bool resize;	    /* its size changes, too; that of no other is safe under power cuts */
	bool grows;	    /* from a quarter of the size; a VMDK with the smallest tables */
	bool unnamed;	    /* the backing image is opened with it, but it does not name it */
	unsigned rounds; /* after which the image is made anew: most of it has its place by then; 0:
			    never */
} variants[] = {
	{"raw", "", 256 << 10, false, 64},
	{"qcow2", "", 4 << 20, false, 300, .resize = true},
	{"qcow2", "", 4 << 20, true, 300, .resize = true},
	{"qcow2", "cluster_size=512", 300 << 9, true, 40, .resize = true},
	{"qcow2", "cluster_size=512,refcount_bits=64", 600 << 9, false, 40, .resize = true},
	{"qcow2", "cluster_size=1K,refcount_bits=1", 512 << 10, true, 40, .resize = true},
	{"qcow2", "cluster_size=4K,compat=0.10", 1 << 20, false, 60, .resize = true},
	{"qcow2", "cluster_size=4K,compat=0.10", 1 << 20, true, 60, .resize = true},
	{"qcow2", "cluster_size=16K,extended_l2=on", 1 << 20, true, 60, .resize = true},
	{"qcow2", "cluster_size=4K,compression_type=zstd,refcount_bits=8", 1 << 20, true, 60,
	 .resize = true},
	{"qcow2", "data_file=data", 4 << 20, false, 300, .resize = true},
	{"qcow2", "data_file=data,cluster_size=4K", 1 << 20, true, 60, .resize = true},
	{"qcow2", "data_file=data,cluster_size=16K,extended_l2=on", 1 << 20, true, 60, .resize = true},
	{"qcow2", "data_file=data,data_file_raw=on,cluster_size=4K", 1 << 20, false, 60,
	 .resize = true},
	{"vdi", "", 4 << 20, false, 400, .rounds = 3},
	{"vdi", "static=on", 3 << 20, false, 400, .rounds = 3},
	{"vhd", "", 6 << 20, false, 400, .rounds = 3},
	{"vhd", "", 6 << 20, true, 400, .unnamed = true, .rounds = 3},
	{"vhd", "subformat=fixed", 1 << 20, false, 300},
	{"vhdx", "block_size=1M", 4 << 20, false, 400, .rounds = 3},
	{"vhdx", "block_size=1M", 4 << 20, true, 400, .unnamed = true, .rounds = 3},
	{"vhdx", "block_size=1M,subformat=fixed", 3 << 20, false, 400, .rounds = 3},
	{"vmdk", "", 2 << 20, false, 300},
	{"vmdk", "", 2 << 20, true, 300, .unnamed = true},
	{"vmdk", "", 2 << 20, false, 60, .grows = true, .rounds = 3},
	{"vmdk", "zeroed_grain=on", 2 << 20, true, 300, .unnamed = true},
};

/* What a sector may have: the values since the last flush, the safe one first. 0: zeroes. */
struct sector {
	GArray *values; /* of uint32_t */
};

struct snapshot {
	char *name;	  /* NULL: the row is free */
	uint32_t *values; /* of all sectors */
	uint64_t now;	  /* sectors */
	bool maybe;	  /* whether it was made, or removed, is not known */
};

struct model {
	const struct variant *variant;
	GRand *rand;
	struct powercut *disk, *base; /* base: of the backing image; NULL: none */
	struct powercut *data;	      /* the data file; NULL: none */
	struct image *image;
	uint64_t n;	     /* sectors, at most */
	uint64_t now, maybe; /* of the disk; after a cut while that changed: one or the other */
	struct sector *sectors;
	uint32_t next; /* value */
	uint64_t operations;
	struct snapshot snapshots[MAX_SNAPSHOTS];
};

static void fill(uint8_t *bytes, uint64_t sector, uint32_t value)
{
	uint32_t words[SECTOR / 4];

	for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
		words[i] = value ? value + (i % 7 ? 0 : (uint32_t)sector << 8) : 0;
	memcpy(bytes, words, SECTOR);
}

static uint32_t last_value(const struct model *m, uint64_t sector)
{
	GArray *values = m->sectors[sector].values;

	return g_array_index(values, uint32_t, values->len - 1);
}

/* The value whose bytes these are; false: none that the sector may have. */
static bool find_value(const struct model *m, uint64_t sector, const uint8_t *bytes,
		       uint32_t *value)
{
	GArray *values = m->sectors[sector].values;
	uint8_t want[SECTOR];

	for (guint i = values->len; i--;) {
		*value = g_array_index(values, uint32_t, i);
		fill(want, sector, *value);
		if (!memcmp(want, bytes, SECTOR))
			return true;
	}
	return false;
}

static void may_be(struct model *m, uint64_t sector, uint32_t value)
{
	g_array_append_val(m->sectors[sector].values, value);
}

static void is(struct model *m, uint64_t sector, uint32_t value)
{
	g_array_set_size(m->sectors[sector].values, 0);
	may_be(m, sector, value);
}

static void all_safe(struct model *m)
{
	for (uint64_t i = 0; i < m->n; i++)
		is(m, i, last_value(m, i));
}

/* What is not of the disk will read as zeroes when it is. */
static void has_size(struct model *m, uint64_t sectors)
{
	m->now = m->maybe = sectors;
	for (uint64_t i = sectors; i < m->n; i++)
		is(m, i, 0);
}

/* What formats open by themselves is the data file of the model that is tested. */
static struct powercut *data_file;

struct file *__wrap_file_open(const char *name, unsigned flags, GError **error);

struct file *__wrap_file_open(const char *name, unsigned flags, GError **error)
{
	return powercut_open(data_file, flags & FILE_READ_ONLY);
}

static void restore(struct model *m)
{
	if (m->data)
		powercut_restore(m->data);
	powercut_restore(m->disk);
}

static void open_image(struct model *m)
{
	g_autoptr(GError) error = NULL;
	struct image *backing = NULL;

	if (m->base)
		backing = image_of_file("raw", powercut_open(m->base, true), NULL, true, NULL);
	m->image = image_of_file(m->variant->format, powercut_open(m->disk, false), backing, false,
				 &error);
	g_assert_no_error(error);
	g_assert_cmpstr(m->image->damage, ==, NULL);
	g_assert_true(image_size(m->image) == m->now * SECTOR ||
		      image_size(m->image) == m->maybe * SECTOR);
	has_size(m, image_size(m->image) / SECTOR);
}

/* Grains of 4 KiB, 128 to a table: the directory has no more tables than the first. */
static void make_tables_small(struct file *file)
{
	static const uint8_t grain[] = {8, 0}, entries[] = {128, 0};

	g_assert_cmpint(file_store(file, S_GRAIN_SIZE, grain, sizeof(grain)), ==, 0);
	g_assert_cmpint(file_store(file, S_ENTRIES, entries, sizeof(entries)), ==, 0);
}

static void create_image(struct model *m)
{
	const struct block_format *format = image_find_format(m->variant->format, NULL);
	g_auto(GStrv) options = g_strsplit(m->variant->options, ",", 0);
	bool named = m->base && !m->variant->unnamed;
	struct image_create create = {.path = "memory",
				      .format = m->variant->format,
				      .size = m->now * SECTOR,
				      .options = (const char *const *)options,
				      .backing = named ? "base" : NULL,
				      .backing_format = named ? "raw" : NULL};
	struct file *file = powercut_open(m->disk, false);
	g_autoptr(GError) error = NULL;

	format->create(file, &create, &error);
	g_assert_no_error(error);
	if (m->variant->grows)
		make_tables_small(file);
	g_assert_cmpint(file->ops->flush(file), ==, 0);
	file_close(file);
}

/* The backing image has half the disk. */
static void make_base(struct model *m)
{
	g_autofree uint8_t *bytes = g_malloc(m->n / 2 * SECTOR);
	g_autoptr(GBytes) all = NULL;

	for (uint64_t i = 0; i < m->n / 2; i++) {
		is(m, i, ++m->next);
		fill(bytes + i * SECTOR, i, m->next);
	}
	all = g_bytes_new_static(bytes, m->n / 2 * SECTOR);
	m->base = powercut_new(0);
	powercut_load(m->base, all);
}

static struct model *model_new(const struct variant *variant, uint32_t seed)
{
	struct model *m = g_new0(struct model, 1);

	m->variant = variant;
	m->rand = g_rand_new_with_seed(seed);
	m->disk = powercut_new(seed);
	m->n = variant->size / SECTOR;
	m->now = m->maybe = variant->grows ? m->n / 4 : m->n;
	m->sectors = g_new0(struct sector, m->n);
	for (uint64_t i = 0; i < m->n; i++) {
		m->sectors[i].values = g_array_new(FALSE, FALSE, sizeof(uint32_t));
		is(m, i, 0);
	}
	if (variant->backing)
		make_base(m);
	if (strstr(variant->options, "data_file"))
		m->data = data_file = powercut_beside(m->disk, seed + 1);
	create_image(m);
	return m;
}

static void forget_snapshot(struct snapshot *snapshot)
{
	g_free(snapshot->name);
	g_free(snapshot->values);
	*snapshot = (struct snapshot){};
}

static void model_free(struct model *m)
{
	for (unsigned i = 0; i < MAX_SNAPSHOTS; i++)
		forget_snapshot(&m->snapshots[i]);
	for (uint64_t i = 0; i < m->n; i++)
		g_array_unref(m->sectors[i].values);
	g_free(m->sectors);
	if (m->data)
		powercut_free(m->data);
	powercut_free(m->disk);
	if (m->base)
		powercut_free(m->base);
	g_rand_free(m->rand);
	g_free(m);
}

/* The operations; each is told what it changes before it is done, and whether it was after. */

static void pick(struct model *m, uint64_t *first, uint64_t *n)
{
	*n = 1 + g_rand_int(m->rand) % (g_rand_int(m->rand) % 4 ? 8 : m->variant->write_max);
	*first = g_rand_int(m->rand) % m->now;
	*n = MIN(*n, m->now - *first);
}

static bool done(const struct model *m, int status)
{
	if (!powercut_is_dead(m->disk))
		g_assert_cmpint(status, ==, 0);
	return !status;
}

static void write_sectors(struct model *m, uint64_t first, uint64_t n,
			  int (*write)(struct image *, uint64_t, struct span))
{
	g_autofree uint8_t *bytes = g_malloc(n * SECTOR);

	m->next++;
	for (uint64_t i = 0; i < n; i++) {
		fill(bytes + i * SECTOR, first + i, m->next);
		may_be(m, first + i, m->next);
	}
	done(m, write(m->image, first * SECTOR, SPAN(bytes, n * SECTOR)));
}

static void op_write(struct model *m)
{
	uint64_t first, n;

	pick(m, &first, &n);
	write_sectors(m, first, n, image_write);
}

static void op_write_compressed(struct model *m)
{
	struct image_info info;
	uint64_t first, n;

	if (!m->image->format->write_compressed)
		return;
	image_info(m->image, &info);
	n = info.cluster_size / SECTOR;
	image_info_clear(&info);
	first = g_rand_int(m->rand) % ((m->now + n - 1) / n) * n;
	write_sectors(m, first, MIN(n, m->now - first), image_write_compressed);
}

static void op_read(struct model *m)
{
	g_autofree uint8_t *bytes = NULL;
	uint64_t first, n;
	uint32_t value;

	pick(m, &first, &n);
	bytes = g_malloc(n * SECTOR);
	if (!done(m, image_read(m->image, first * SECTOR, SPAN(bytes, n * SECTOR))))
		return;
	for (uint64_t i = 0; i < n && !powercut_is_dead(m->disk); i++) {
		g_assert_true(find_value(m, first + i, bytes + i * SECTOR, &value));
		g_assert_cmpuint(value, ==, last_value(m, first + i));
	}
}

static void op_zero(struct model *m)
{
	uint64_t first, n;

	pick(m, &first, &n);
	for (uint64_t i = 0; i < n; i++)
		may_be(m, first + i, 0);
	done(m, image_zero(m->image, first * SECTOR, n * SECTOR, g_rand_boolean(m->rand)));
}

static void op_discard(struct model *m)
{
	g_autofree uint8_t *bytes = NULL;
	uint64_t first, n;
	uint32_t value;

	pick(m, &first, &n);
	bytes = g_malloc(n * SECTOR);
	for (uint64_t i = 0; i < n; i++) {
		value = last_value(m, first + i);
		may_be(m, first + i, 0);
		may_be(m, first + i, value);
	}
	if (!done(m, image_discard(m->image, first * SECTOR, n * SECTOR)) ||
	    powercut_is_dead(m->disk))
		return;
	g_assert_cmpint(image_read(m->image, first * SECTOR, SPAN(bytes, n * SECTOR)), ==, 0);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t old = last_value(m, first + i);

		g_assert_true(find_value(m, first + i, bytes + i * SECTOR, &value));
		g_assert_true(value == 0 || value == old);
		may_be(m, first + i, value);
	}
}

static void op_flush(struct model *m)
{
	if (done(m, image_flush(m->image)))
		all_safe(m);
}

/* To m->maybe, by what flushes, too. */
static void changed_size(struct model *m, bool done)
{
	g_assert_true(done || powercut_is_dead(m->disk));
	if (!done)
		return;
	all_safe(m);
	has_size(m, m->maybe);
}

static void op_resize(struct model *m)
{
	if (!(m->variant->resize || m->variant->grows) || g_rand_int(m->rand) % 4)
		return;
	m->maybe = 1 + g_rand_int(m->rand) % m->n;
	if (m->variant->grows && m->maybe <= m->now) {
		m->maybe = m->now;
		return;
	}
	changed_size(m, image_resize(m->image, m->maybe * SECTOR, NULL));
}

static void create_snapshot(struct model *m, struct snapshot *s)
{
	s->name = g_strdup_printf("s%u", ++m->next);
	s->values = g_new(uint32_t, m->n);
	for (uint64_t i = 0; i < m->n; i++)
		s->values[i] = last_value(m, i);
	s->now = m->now;
	s->maybe = !image_snapshots(m->image)->create(m->image, s->name, NULL);
	if (!s->maybe)
		all_safe(m);
	g_assert_true(!s->maybe || powercut_is_dead(m->disk));
}

static void apply_snapshot(struct model *m, struct snapshot *s)
{
	for (uint64_t i = 0; i < m->n; i++)
		may_be(m, i, s->values[i]);
	m->maybe = s->now;
	changed_size(m, image_snapshots(m->image)->apply(m->image, s->name, NULL));
}

static void remove_snapshot(struct model *m, struct snapshot *s)
{
	s->maybe = true;
	if (image_snapshots(m->image)->remove(m->image, s->name, NULL))
		forget_snapshot(s);
	else
		g_assert_true(powercut_is_dead(m->disk));
}

static void op_snapshot(struct model *m)
{
	struct snapshot *s = &m->snapshots[g_rand_int(m->rand) % MAX_SNAPSHOTS];

	if (!image_snapshots(m->image) || m->data || strstr(m->variant->options, "refcount_bits=1,") ||
	    g_str_has_suffix(m->variant->options, "refcount_bits=1"))
		return;
	if (!s->name)
		create_snapshot(m, s);
	else if (!s->maybe && g_rand_boolean(m->rand))
		apply_snapshot(m, s);
	else if (!s->maybe)
		remove_snapshot(m, s);
}

static void (*const operations[])(struct model *m) = {
	op_write,    op_write,	op_write,   op_write, op_read,
	op_read,     op_zero,	op_discard, op_flush, op_write_compressed,
	op_snapshot, op_resize,
};

static void verify_sectors(struct model *m)
{
	g_autofree uint8_t *bytes = g_malloc(m->now * SECTOR);

	g_assert_cmpint(image_read(m->image, 0, SPAN(bytes, m->now * SECTOR)), ==, 0);
	for (uint64_t i = 0; i < m->now; i++) {
		uint32_t value;

		if (!find_value(m, i, bytes + i * SECTOR, &value))
			g_error("sector %" G_GUINT64_FORMAT " has 0x%08x of neither then nor now",
				i, *(uint32_t *)(bytes + i * SECTOR));
		is(m, i, value);
	}
}

static void verify_snapshots(struct model *m)
{
	g_autoptr(GPtrArray) list = NULL;

	if (!image_snapshots(m->image))
		return;
	list = image_snapshots(m->image)->list(m->image);
	for (unsigned i = 0; i < MAX_SNAPSHOTS; i++) {
		struct snapshot *s = &m->snapshots[i];
		bool there = false;

		if (!s->name)
			continue;
		for (guint j = 0; j < list->len; j++)
			there |= !strcmp(((struct image_snapshot *)list->pdata[j])->name, s->name);
		g_assert_true(there || s->maybe);
		s->maybe = false;
		if (!there)
			forget_snapshot(s);
	}
}

static void print_messages(const struct image_check *report)
{
	for (guint i = 0; i < report->messages->len; i++)
		g_test_message("%s", (char *)report->messages->pdata[i]);
}

static void check(struct model *m, enum image_repair repair, bool without_leaks)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};
	g_autoptr(GError) error = NULL;

	if (!m->image->format->check)
		return;
	image_check(m->image, repair, &report, &error);
	g_assert_no_error(error);
	if (report.errors || (without_leaks && report.leaks))
		print_messages(&report);
	g_assert_cmpuint(report.errors, ==, 0);
	g_assert_true(!without_leaks || !report.leaks);
}

static void verify(struct model *m)
{
	open_image(m);
	check(m, IMAGE_REPAIR_NOTHING, false);
	verify_sectors(m);
	verify_snapshots(m);
	if (g_rand_int(m->rand) % 3 == 0) {
		check(m, IMAGE_REPAIR_LEAKS, false);
		check(m, IMAGE_REPAIR_NOTHING, true);
	}
	image_close(m->image);
}

/* Whatever it got to do, nothing is worse than before. */
static void mend_until_cut(struct model *m)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};

	if (!image_find_format(m->variant->format, NULL)->check)
		return;
	open_image(m);
	powercut_at(m->disk, 1 + g_rand_int(m->rand) % 8);
	image_check(m->image, IMAGE_REPAIR_ALL, &report, NULL);
	image_close(m->image);
	restore(m);
	verify(m);
}

/* To a cut after `cut` steps, or after the last operation; whether it came before that. */
static bool run_round(struct model *m, uint64_t cut)
{
	bool early, orderly = g_rand_int(m->rand) % 4 == 0;

	open_image(m);
	powercut_at(m->disk, cut);
	for (unsigned i = 0; i < ROUND && !powercut_is_dead(m->disk); i++, m->operations++)
		operations[g_rand_int(m->rand) % G_N_ELEMENTS(operations)](m);
	early = powercut_is_dead(m->disk);
	if (!early) /* else it is closed as the host does when it goes */
		powercut_at(m->disk, orderly ? POWERCUT_NEVER : 1);
	image_close(m->image);
	if (!early && orderly)
		all_safe(m);
	restore(m);
	if (g_rand_int(m->rand) % 4 == 0)
		mend_until_cut(m);
	verify(m);
	return early;
}

static bool goes_on(const struct model *m, unsigned rounds)
{
	return m->operations < N_OPERATIONS / G_N_ELEMENTS(variants) &&
	       (!m->variant->rounds || rounds < m->variant->rounds);
}

static void test_variant(const void *data)
{
	for (uint64_t total = 0; total < N_OPERATIONS / G_N_ELEMENTS(variants);) {
		struct model *m = model_new(data, g_test_rand_int());

		for (unsigned i = 0; goes_on(m, i); i++)
			run_round(m, 1 + g_rand_int(m->rand) % 150);
		total += m->operations;
		model_free(m);
	}
}

static void copy_snapshots(const struct snapshot *from, struct snapshot *to, uint64_t n)
{
	for (unsigned i = 0; i < MAX_SNAPSHOTS; i++) {
		forget_snapshot(&to[i]);
		if (!from[i].name)
			continue;
		to[i].name = g_strdup(from[i].name);
		to[i].now = from[i].now;
		to[i].values = g_memdup2(from[i].values, n * sizeof(*from[i].values));
	}
}

/* Each round again and again, with the power cut one step later each time. */
static uint64_t run_every_step(const struct variant *variant)
{
	struct model *m = model_new(variant, g_test_rand_int());
	uint64_t total;

	for (unsigned i = 0; goes_on(m, i); i++) {
		g_autoptr(GBytes) bytes = powercut_save(m->disk);
		g_autoptr(GBytes) data = m->data ? powercut_save(m->data) : NULL;
		g_autofree uint32_t *values = g_new(uint32_t, m->n);
		GRand *rand = g_rand_copy(m->rand);
		uint64_t now = m->now;
		struct snapshot snapshots[MAX_SNAPSHOTS] = {};

		copy_snapshots(m->snapshots, snapshots, m->n);
		for (uint64_t j = 0; j < m->n; j++)
			values[j] = last_value(m, j);
		for (uint64_t cut = 1; run_round(m, cut); cut++) {
			powercut_load(m->disk, bytes);
			if (m->data)
				powercut_load(m->data, data);
			copy_snapshots(snapshots, m->snapshots, m->n);
			for (uint64_t j = 0; j < m->n; j++)
				is(m, j, values[j]);
			m->now = m->maybe = now;
			g_rand_free(m->rand);
			m->rand = g_rand_copy(rand);
		}
		for (unsigned j = 0; j < MAX_SNAPSHOTS; j++)
			forget_snapshot(&snapshots[j]);
		g_rand_free(rand);
	}
	total = m->operations;
	model_free(m);
	return total;
}

static void test_every_step(const void *data)
{
	for (uint64_t total = 0; total < N_OPERATIONS;)
		total += run_every_step(data);
}

int main(int argc, char **argv)
{
	bool every;

	g_test_init(&argc, &argv, NULL);
	every = argc == 2 && !strcmp(argv[1], "--every");
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
		g_autofree char *path = g_strdup_printf(
			"/power-cut/%s/%s%s%s", variants[i].format, variants[i].options,
			*variants[i].options ? "" : "plain",
			variants[i].backing ? "/backed" : variants[i].grows ? "/growing" : "");

		g_test_add_data_func(path, &variants[i], every ? test_every_step : test_variant);
	}
	return g_test_run();
}
