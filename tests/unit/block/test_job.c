/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conversion, comparison, commit and rebase, by several threads, on images with a known content. */
#include "block/job.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"

#include "folder.h"

#define DISK_SIZE (16u << 20)
#define PIECE	  65536u

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

static char *path_of(struct fixture *f, const char *name)
{
	return g_build_filename(f->folder, name, NULL);
}

/* Pieces that `seed` chooses, with bytes that tell seed and piece; every fifth of zeroes. */
static void write_pieces(struct image *image, unsigned seed)
{
	g_autofree uint8_t *bytes = g_malloc(PIECE);

	for (unsigned i = 0; i < image_size(image) / PIECE; i++) {
		if ((i * 7 + seed) % 3)
			continue;
		for (unsigned k = 0; k < PIECE; k++)
			bytes[k] = i % 5 ? seed + i + k / 512 : 0;
		g_assert_cmpint(image_write(image, i * (uint64_t)PIECE, SPAN(bytes, PIECE)), ==, 0);
	}
}

static void make(struct fixture *f, const char *name, const char *backing, unsigned seed)
{
	g_autofree char *path = path_of(f, name);
	struct image_create create = {.path = path,
				      .format = image_format_of_path(path),
				      .size = backing ? 0 : DISK_SIZE,
				      .backing = backing,
				      .backing_format =
					      backing ? image_format_of_path(backing) : NULL};
	struct image *image;

	g_assert_true(image_create(&create, NULL));
	image = image_open(&(struct image_open){.path = path}, NULL);
	write_pieces(image, seed);
	image_close(image);
}

static struct image *open_to_read(struct fixture *f, const char *name)
{
	g_autofree char *path = path_of(f, name);
	struct image *image =
		image_open(&(struct image_open){.path = path, .read_only = true}, NULL);

	g_assert_nonnull(image);
	return image;
}

static void expect_first_difference(struct fixture *f, const char *a, const char *b, uint64_t at)
{
	struct image *first = open_to_read(f, a), *second = open_to_read(f, b);
	uint64_t where = 0;

	g_assert_true(job_compare(first, second, NULL, &where, NULL));
	g_assert_cmpuint(where, ==, at);
	image_close(first);
	image_close(second);
}

static void expect_alike(struct fixture *f, const char *a, const char *b)
{
	expect_first_difference(f, a, b, UINT64_MAX);
}

static bool convert(struct fixture *f, const char *from, const char *to, bool compress,
		    const struct job_watch *watch, GError **error)
{
	g_autofree char *source = path_of(f, from), *target = path_of(f, to);
	struct job_convert job = {
		.source.path = source,
		.target = {.path = target, .format = image_format_of_path(target)},
		.compress = compress};

	return job_convert(&job, watch, error);
}

static void test_convert(struct fixture *f, const void *data)
{
	make(f, "a.raw", NULL, 1);
	g_assert_true(convert(f, "a.raw", "b.qcow2", false, NULL, NULL));
	g_assert_true(convert(f, "b.qcow2", "c.qcow2", true, NULL, NULL));
	g_assert_true(convert(f, "c.qcow2", "d.raw", false, NULL, NULL));
	expect_alike(f, "a.raw", "b.qcow2");
	expect_alike(f, "b.qcow2", "c.qcow2");
	expect_alike(f, "a.raw", "d.raw");
}

static void test_convert_a_chain(struct fixture *f, const void *data)
{
	make(f, "a.qcow2", NULL, 1);
	make(f, "b.qcow2", "a.qcow2", 2);
	make(f, "c.qcow2", "b.qcow2", 3);
	g_assert_true(convert(f, "c.qcow2", "d.raw", false, NULL, NULL));
	expect_alike(f, "c.qcow2", "d.raw");
}

static bool refuse(void *opaque, uint64_t done, uint64_t total)
{
	g_assert_cmpuint(done, <=, total);
	return false;
}

/* A watch that says no at once, or at the end, when it is too late. */
static void test_interrupted(struct fixture *f, const void *data)
{
	g_autofree char *target = path_of(f, "b.qcow2");
	struct job_watch watch = {refuse, NULL};
	g_autoptr(GError) error = NULL;
	bool made;

	make(f, "a.raw", NULL, 1);
	made = convert(f, "a.raw", "b.qcow2", true, &watch, &error);
	g_assert_true(made == !error);
	g_assert_true(made == g_file_test(target, G_FILE_TEST_EXISTS));
}

static void test_compare(struct fixture *f, const void *data)
{
	g_autofree char *path = path_of(f, "b.raw");
	uint8_t byte[512] = {[17] = 1};
	struct image *image;

	make(f, "a.raw", NULL, 1);
	g_assert_true(convert(f, "a.raw", "b.raw", false, NULL, NULL));
	image = image_open(&(struct image_open){.path = path}, NULL);
	g_assert_true(image_resize(image, DISK_SIZE + (1 << 20), NULL));
	expect_alike(f, "a.raw", "a.raw");
	g_assert_cmpint(image_write(image, DISK_SIZE + 1024, SPAN(byte, 512)), ==, 0);
	image_close(image);
	expect_first_difference(f, "a.raw", "b.raw", DISK_SIZE + 1024 + 17);
}

static void test_commit(struct fixture *f, const void *data)
{
	g_autofree char *top = path_of(f, "b.qcow2");
	struct image_extent extent;
	struct image *image;

	make(f, "a.qcow2", NULL, 1);
	make(f, "b.qcow2", "a.qcow2", 2);
	g_assert_true(convert(f, "b.qcow2", "expected.raw", false, NULL, NULL));
	g_assert_true(job_commit(&(struct image_open){.path = top}, NULL, NULL));
	expect_alike(f, "expected.raw", "a.qcow2");
	expect_alike(f, "expected.raw", "b.qcow2");
	image = open_to_read(f, "b.qcow2");
	g_assert_cmpint(image_map(image, 0, DISK_SIZE, &extent), ==, 0);
	g_assert_cmpuint(extent.depth, ==, 1);
	image_close(image);
}

static void rebase_to(struct fixture *f, const char *backing)
{
	g_autofree char *top = path_of(f, "b.qcow2");

	g_assert_true(
		job_rebase(&(struct image_open){.path = top}, backing, NULL, true, NULL, NULL));
	expect_alike(f, "expected.raw", "b.qcow2");
}

static void test_rebase(struct fixture *f, const void *data)
{
	make(f, "a.qcow2", NULL, 1);
	make(f, "other.qcow2", NULL, 4);
	make(f, "b.qcow2", "a.qcow2", 2);
	g_assert_true(convert(f, "b.qcow2", "expected.raw", false, NULL, NULL));
	rebase_to(f, "other.qcow2");
	rebase_to(f, NULL);
	rebase_to(f, "a.qcow2");
}

/* An image cannot be its own backing image, at whatever remove. */
static void test_rebase_refused(struct fixture *f, const void *data)
{
	g_autofree char *base = path_of(f, "a.qcow2");
	g_autoptr(GError) error = NULL;

	make(f, "a.qcow2", NULL, 1);
	make(f, "b.qcow2", "a.qcow2", 2);
	g_assert_false(job_rebase(&(struct image_open){.path = base}, "b.qcow2", NULL, true, NULL,
				  &error));
	g_assert_true(g_error_matches(error, VIV_ERROR, VIV_ERROR_INPUT));
	g_assert_nonnull(strstr(error->message, "in use"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/job/convert", struct fixture, NULL, set_up, test_convert, tear_down);
	g_test_add("/job/convert-a-chain", struct fixture, NULL, set_up, test_convert_a_chain,
		   tear_down);
	g_test_add("/job/interrupted", struct fixture, NULL, set_up, test_interrupted, tear_down);
	g_test_add("/job/compare", struct fixture, NULL, set_up, test_compare, tear_down);
	g_test_add("/job/commit", struct fixture, NULL, set_up, test_commit, tear_down);
	g_test_add("/job/rebase", struct fixture, NULL, set_up, test_rebase, tear_down);
	g_test_add("/job/rebase-refused", struct fixture, NULL, set_up, test_rebase_refused,
		   tear_down);
	return g_test_run();
}
