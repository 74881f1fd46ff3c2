/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only qcow2 has. Power cuts are test_power_cut.c's, other programs' images
 * test_qcow2_oracle.c's. */
#include "block/image.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "block/format.h"

#include "folder.h"

enum { MIB = 1 << 20 };

struct fixture {
	char *folder;
};

static void set_up(struct fixture *f, const void *data)
{
	f->folder = folder_new();
}

static void tear_down(struct fixture *f, const void *data)
{
	folder_free(f->folder);
}

static char *make(struct fixture *f, const char *name, uint64_t size, const char *backing,
		  const char *options)
{
	char *path = g_build_filename(f->folder, name, NULL);
	g_auto(GStrv) list = g_strsplit(options, ",", 0);
	struct image_create create = {.path = path,
				      .format = "qcow2",
				      .size = size,
				      .backing = backing,
				      .options = (const char *const *)list};
	g_autoptr(GError) error = NULL;

	image_create(&create, &error);
	g_assert_no_error(error);
	return path;
}

static struct image *open_image(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct image *image = image_open(&(struct image_open){.path = path}, &error);

	g_assert_no_error(error);
	return image;
}

static void put(struct image *image, uint64_t offset, uint64_t len, uint8_t value)
{
	g_autofree uint8_t *buf = g_malloc(len);

	memset(buf, value, len);
	g_assert_cmpint(image_write(image, offset, SPAN(buf, len)), ==, 0);
}

static void expect(struct image *image, uint64_t offset, uint64_t len, uint8_t value)
{
	g_autofree uint8_t *buf = g_malloc(len), *want = g_malloc(len);

	memset(want, value, len);
	g_assert_cmpint(image_read(image, offset, SPAN(buf, len)), ==, 0);
	g_assert_cmpmem(buf, len, want, len);
}

/* What a clone is: little on the disk, and all that its base has. */
static void test_overlay(struct fixture *f, const void *data)
{
	g_autofree char *base = make(f, "base.qcow2", 64 * MIB, NULL, "");
	g_autofree char *path = NULL;
	struct image *image = open_image(base);
	struct image_extent extent;
	struct stat st;

	put(image, 3 * MIB, 200000 / 512 * 512, 0xb5);
	image_close(image);
	path = make(f, "clone.qcow2", 0, "base.qcow2", "");
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_blocks * 512, <, 200 << 10);
	image = open_image(path);
	g_assert_cmpuint(image_size(image), ==, 64 * MIB);
	expect(image, 3 * MIB, 4096, 0xb5);
	put(image, 3 * MIB + 4096, 512, 0xc5);
	expect(image, 3 * MIB, 4096, 0xb5);
	expect(image, 3 * MIB + 4096, 512, 0xc5);
	expect(image, 3 * MIB + 4608, 65536, 0xb5);
	g_assert_cmpint(image_map(image, 3 * MIB, MIB, &extent), ==, 0);
	g_assert_cmpuint(extent.depth, ==, 0);
	g_assert_cmpuint(extent.len, ==, 65536);
	g_assert_cmpint(image_map(image, 3 * MIB + 65536, MIB, &extent), ==, 0);
	g_assert_cmpuint(extent.depth, ==, 1);
	image_close(image);
	image = open_image(path);
	expect(image, 3 * MIB + 4096, 512, 0xc5);
	expect(image, 3 * MIB + 4608, 65536, 0xb5);
	image_close(image);
	image = open_image(base);
	expect(image, 3 * MIB, 65536, 0xb5);
	image_close(image);
}

/* Several threads, each with sectors of its own in the same clusters. */
enum { THREADS = 4, PASSES = 400, SHARED = 4 * MIB };

struct worker {
	struct image *image;
	unsigned id;
	uint8_t values[SHARED / IMAGE_SECTOR_SIZE]; /* of its sectors, each id-th of THREADS */
};

static void rewrite(struct worker *w, GRand *rand, unsigned pass)
{
	unsigned i = g_rand_int(rand) % (SHARED / IMAGE_SECTOR_SIZE / THREADS) * THREADS + w->id;
	uint8_t value = pass % 5 ? 1 + pass % 255 : 0;

	if (value)
		put(w->image, i * IMAGE_SECTOR_SIZE, IMAGE_SECTOR_SIZE, value);
	else
		g_assert_cmpint(
			image_zero(w->image, i * IMAGE_SECTOR_SIZE, IMAGE_SECTOR_SIZE, true), ==,
			0);
	w->values[i] = value;
}

static gpointer work(gpointer data)
{
	struct worker *w = data;
	GRand *rand = g_rand_new_with_seed(w->id);
	uint64_t offset;

	for (unsigned pass = 0; pass < PASSES; pass++) {
		unsigned i =
			g_rand_int(rand) % (SHARED / IMAGE_SECTOR_SIZE / THREADS) * THREADS + w->id;

		rewrite(w, rand, pass);
		expect(w->image, i * IMAGE_SECTOR_SIZE, IMAGE_SECTOR_SIZE, w->values[i]);
		w->image->format->locate(w->image, i * IMAGE_SECTOR_SIZE, IMAGE_SECTOR_SIZE, true,
					 &offset);
		/* Whole clusters that nobody else writes come and go. */
		if (pass % 3 == 0)
			put(w->image, SHARED + w->id * MIB + pass % 16 * 65536, 65536, pass);
		if (pass % 7 == 0)
			g_assert_cmpint(image_discard(w->image, SHARED + w->id * MIB, MIB), ==, 0);
		if (pass % 20 == 0)
			g_assert_cmpint(image_flush(w->image), ==, 0);
	}
	g_rand_free(rand);
	return NULL;
}

static void test_threads(struct fixture *f, const void *options)
{
	g_autofree char *path = make(f, "disk.qcow2", SHARED + THREADS * MIB, NULL, options);
	struct image *image = open_image(path);
	struct worker *workers = g_new0(struct worker, THREADS);
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};
	GThread *threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].image = image;
		workers[i].id = i;
		threads[i] = g_thread_new("worker", work, &workers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		g_thread_join(threads[i]);
	image_close(image);
	image = open_image(path);
	for (unsigned i = 0; i < SHARED / IMAGE_SECTOR_SIZE; i++)
		expect(image, i * IMAGE_SECTOR_SIZE, IMAGE_SECTOR_SIZE,
		       workers[i % THREADS].values[i]);
	g_assert_true(image_check(image, IMAGE_REPAIR_NOTHING, &report, NULL));
	g_assert_cmpuint(report.errors + report.leaks, ==, 0);
	image_close(image);
	g_free(workers);
}

/* All of them write to one new cluster at once. */
struct racer {
	struct image *image;
	unsigned id;
	pthread_barrier_t *start;
};

enum { RACES = 300 };

static gpointer race(gpointer data)
{
	struct racer *r = data;

	for (unsigned i = 0; i < RACES; i++) {
		pthread_barrier_wait(r->start);
		put(r->image, i * 65536 + r->id * 8192, 8192, r->id + 1);
	}
	return NULL;
}

static void test_race(struct fixture *f, const void *data)
{
	g_autofree char *base = make(f, "base.qcow2", RACES * 65536, NULL, "");
	struct image *image = open_image(base);
	g_autofree char *path = NULL;
	struct racer racers[THREADS];
	GThread *threads[THREADS];
	pthread_barrier_t start;

	put(image, 0, RACES * 65536, 0xbb);
	image_close(image);
	path = make(f, "disk.qcow2", 0, base, "");
	image = open_image(path);
	pthread_barrier_init(&start, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){image, i, &start};
		threads[i] = g_thread_new("racer", race, &racers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		g_thread_join(threads[i]);
	pthread_barrier_destroy(&start);
	for (unsigned i = 0; i < RACES * THREADS; i++)
		expect(image, i / THREADS * 65536 + i % THREADS * 8192, 8192, i % THREADS + 1);
	for (unsigned i = 0; i < RACES; i++)
		expect(image, i * 65536 + THREADS * 8192, 65536 - THREADS * 8192, 0xbb);
	image_close(image);
}

static void expect_refusal(const char *path, const char *bytes, gsize len, const char *part)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(g_file_set_contents(path, bytes, len, NULL));
	g_assert_null(image_open(&(struct image_open){.path = path}, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	if (!strstr(error->message, path) || !strstr(error->message, part))
		g_error("'%s' does not say '%s'", error->message, part);
}

/* Headers that are refused, and how: a byte at an offset. */
static void test_refusals(struct fixture *f, const void *data)
{
	static const struct {
		unsigned offset;
		uint8_t value;
		const char *part;
	} rows[] = {
		{0, 'q', "it does not begin as one does"},
		{7, 9, "version 9 is not known"},
		{23, 8, "clusters of 2^8 bytes; they have 512 bytes to 2 MiB"},
		{23, 22, "clusters of 2^22 bytes"},
		{35, 3, "encryption method 3 is not known"},
		{35, 2, "its LUKS header"},
		{36, 1, "an L1 table of"},
		{41, 1, "its L1 table"},
		{47, 1, "its L1 table"},
		{49, 1, "its refcount table"},
		{59, 0, "its refcount table (0 clusters"},
		{63, 1, "its snapshot table (1 snapshots at 0x0)"},
		{79, 2, "is damaged: it was found corrupt before"},
		{79, 4, "its data are in another file"},
		{79, 8, "compression type 0 is not known"},
		{78, 1, "features that are not known here: unnamed ones (bits 0x100)"},
		{99, 7, "refcounts of 2^7 bits"},
		{103, 0, "a header of 0 bytes"},
		{103, 113, "a header of 113 bytes"},
	};
	g_autofree char *path = make(f, "disk.qcow2", 64 * MIB, NULL, "");
	g_autofree char *bytes = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		char was = bytes[rows[i].offset];

		bytes[rows[i].offset] = rows[i].value;
		expect_refusal(path, bytes, len, rows[i].part);
		bytes[rows[i].offset] = was;
	}
}

/* An L2 entry that leads out of the file: found when it is used, and from then on nothing is
 * written. */
static void test_found_corrupt(struct fixture *f, const void *data)
{
	g_autofree char *path = make(f, "disk.qcow2", 64 * MIB, NULL, "");
	struct image *image = open_image(path);
	g_autofree char *bytes = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};
	uint8_t buf[512] = {};
	gsize len;

	put(image, 0, 65536, 0xaa);
	put(image, MIB, 65536, 0xbb);
	image_close(image);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	/* The L2 table is the first cluster that was allocated. */
	bytes[4 * 65536 + 7] = 0x10;
	bytes[4 * 65536 + 6] = 0x02;
	g_assert_true(g_file_set_contents(path, bytes, len, NULL));
	image = open_image(path);
	g_assert_cmpint(image_write(image, 0, SPAN(buf, 512)), ==, -EIO);
	g_assert_cmpint(image_write(image, 8 * MIB, SPAN(buf, 512)), ==, -EIO);
	expect(image, MIB, 65536, 0xbb);
	image_close(image);
	g_assert_null(image_open(&(struct image_open){.path = path}, &error));
	g_assert_nonnull(strstr(error->message, "mend it with 'viv disk check --repair all'"));
	image = image_open(&(struct image_open){.path = path, .damaged = true}, NULL);
	g_assert_true(image_check(image, IMAGE_REPAIR_ALL, &report, NULL));
	g_assert_cmpuint(report.errors, >, 0);
	g_assert_cmpuint(report.errors, ==, report.errors_fixed);
	put(image, 0, 512, 1);
	image_close(image);
	image = open_image(path);
	expect(image, 0, 512, 1);
	expect(image, 512, 65536, 0);
	expect(image, MIB, 65536, 0xbb);
	image_close(image);
}

static void expect_error(GError *error, const char *part)
{
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	if (!strstr(error->message, part))
		g_error("'%s' does not say '%s'", error->message, part);
	g_error_free(error);
}

/* Its file is as locked, as needed and as full of holes as the image's own would be. */
static void test_data_file(struct fixture *f, const void *options)
{
	g_autofree char *path = make(f, "disk.qcow2", 64 * MIB, NULL, options);
	g_autofree char *data = g_build_filename(f->folder, "disk.data", NULL);
	struct image *image = open_image(path);
	struct image_info info;
	struct stat st;
	GError *error = NULL;
	uint64_t offset;
	int fd;

	put(image, 8 * MIB, MIB, 0xaa);
	g_assert_true(image_locate(image, 8 * MIB, SPAN(data, 512), true, &fd, &offset));
	g_assert_cmpuint(offset, ==, 8 * MIB);
	g_assert_cmpint(stat(data, &st), ==, 0);
	g_assert_cmpint(st.st_blocks, >=, MIB / 512);
	image_info(image, &info);
	g_assert_cmpstr(info.data_name, ==, "disk.data");
	g_assert_cmpuint(info.allocated, >, MIB);
	image_info_clear(&info);
	g_assert_cmpint(image_discard(image, 8 * MIB, MIB), ==, 0);
	expect(image, 8 * MIB, MIB, 0);
	g_assert_cmpint(stat(data, &st), ==, 0);
	g_assert_cmpint(st.st_blocks, <, 256);
	g_assert_false(image_snapshots(image)->create(image, "s", &error));
	expect_error(g_steal_pointer(&error), "nothing can be shared");
	g_assert_null(image_open(&(struct image_open){.path = data}, &error));
	expect_error(g_steal_pointer(&error), "in use");
	if (strstr(options, "raw")) {
		g_assert_false(image_set_backing(image, "base", "raw", &error));
		expect_error(g_steal_pointer(&error), "data_file_raw");
	}
	image_close(image);
	g_unlink(data);
	g_assert_null(image_open(&(struct image_open){.path = path}, &error));
	expect_error(g_steal_pointer(&error), "needs its data file 'disk.data'");
}

/* A cluster that has its data at the place of another is found when it is used, and by a check. */
static void test_data_elsewhere(struct fixture *f, const void *data)
{
	g_autofree char *path = make(f, "disk.qcow2", 64 * MIB, NULL, "data_file=disk.data");
	struct image *image = open_image(path);
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};
	g_autofree char *bytes = NULL;
	uint8_t buf[512];
	gsize len;

	put(image, 0, 4 * 65536, 0xaa);
	image_close(image);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	bytes[4 * 65536 + 2 * 8 + 5] = 3;
	g_assert_true(g_file_set_contents(path, bytes, len, NULL));
	image = open_image(path);
	expect(image, 0, 2 * 65536, 0xaa);
	g_assert_cmpint(image_read(image, 2 * 65536, SPAN(buf, 512)), ==, -EIO);
	image_close(image);
	image = image_open(&(struct image_open){.path = path, .damaged = true}, NULL);
	g_assert_true(image_check(image, IMAGE_REPAIR_ALL, &report, NULL));
	g_assert_cmpuint(report.errors, ==, 1);
	g_assert_cmpuint(report.errors_fixed, ==, 1);
	expect(image, 2 * 65536, 65536, 0);
	expect(image, 3 * 65536, 65536, 0xaa);
	image_close(image);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/qcow2/threads/64K", struct fixture, "", set_up, test_threads, tear_down);
	g_test_add("/qcow2/threads/512", struct fixture, "cluster_size=512", set_up, test_threads,
		   tear_down);
	g_test_add("/qcow2/threads/extended", struct fixture, "extended_l2=on", set_up,
		   test_threads, tear_down);
	g_test_add("/qcow2/threads/data-file", struct fixture, "data_file=disk.data", set_up,
		   test_threads, tear_down);
	g_test_add("/qcow2/threads/raw-data-file", struct fixture,
		   "data_file=disk.data,data_file_raw=on,cluster_size=512", set_up, test_threads,
		   tear_down);
	g_test_add("/qcow2/data-file/plain", struct fixture, "data_file=disk.data", set_up,
		   test_data_file, tear_down);
	g_test_add("/qcow2/data-file/raw", struct fixture, "data_file=disk.data,data_file_raw=on",
		   set_up, test_data_file, tear_down);
	g_test_add("/qcow2/data-file/elsewhere", struct fixture, NULL, set_up, test_data_elsewhere,
		   tear_down);
	g_test_add("/qcow2/race", struct fixture, NULL, set_up, test_race, tear_down);
	g_test_add("/qcow2/refusals", struct fixture, NULL, set_up, test_refusals, tear_down);
	g_test_add("/qcow2/found-corrupt", struct fixture, NULL, set_up, test_found_corrupt,
		   tear_down);
	g_test_add("/qcow2/overlay", struct fixture, NULL, set_up, test_overlay, tear_down);
	return g_test_run();
}
