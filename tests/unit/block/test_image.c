/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spans, host files and what images of all formats share; a format's own test speaks of the rest.
 */
#include "block/image.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "block/file.h"

#include "folder.h"

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

static void test_span(void)
{
	uint8_t a[3] = {1, 2, 3}, b[5] = {4, 5, 6, 7, 8}, out[8];
	struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 5}}, pieces[3];
	struct span all = span_all(iov, 3);

	g_assert_cmpuint(all.len, ==, 8);
	span_load(span_part(all, 2, 4), out);
	g_assert_cmpmem(out, 4, "\3\4\5\6", 4);
	g_assert_cmpuint(span_iov(span_part(all, 2, 4), pieces, 3), ==, 2);
	g_assert_cmpuint(pieces[0].iov_len, ==, 1);
	g_assert_cmpuint(pieces[1].iov_len, ==, 3);
	span_store(span_part(span_part(all, 1, 7), 4, 2), "xy");
	g_assert_cmpmem(b, 5, "\4\5xy\10", 5);
	g_assert_false(span_is_zero(all));
	span_zero(span_part(all, 0, 7));
	g_assert_true(span_is_zero(span_part(all, 0, 7)));
	g_assert_false(span_is_zero(all));
	g_assert_cmpuint(span_part(all, 8, 0).len, ==, 0);
}

/* Past the page cache, at offsets and lengths that only a buffer makes fit. */
static void test_direct(struct fixture *f, const void *data)
{
	g_autofree char *path = g_build_filename(f->folder, "direct", NULL);
	g_autoptr(GError) error = NULL;
	struct file *file = file_open(path, FILE_CREATE | FILE_DIRECT, &error);
	uint8_t in[10000], out[10000];

	if (!file) {
		g_test_skip(error->message);
		return;
	}
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = i * 7 + i / 256;
	g_assert_cmpint(file_store(file, 700, out, 9001), ==, 0);
	g_assert_cmpuint(file->size, ==, 9701);
	g_assert_cmpint(file_store(file, 5000, out, 3), ==, 0);
	memcpy(out + 4300, out, 3);
	g_assert_cmpint(file_load(file, 700, in, 10000), ==, 0);
	g_assert_cmpmem(in, 9001, out, 9001);
	for (size_t i = 9001; i < sizeof(in); i++)
		g_assert_cmpuint(in[i], ==, 0);
	file_close(file);
	file = file_open(path, FILE_READ_ONLY, NULL);
	g_assert_cmpuint(file->size, ==, 9701);
	file_close(file);
}

static gpointer extend(gpointer data)
{
	struct file *file = data;
	uint8_t buf[512] = {};

	for (unsigned i = 0; i < 20000; i++)
		g_assert_cmpint(file_store(file, i * sizeof(buf), buf, sizeof(buf)), ==, 0);
	return NULL;
}

/* What is past the end reads as zeroes also where the end is just moving. */
static void test_moving_end(struct fixture *f, const void *data)
{
	g_autofree char *path = g_build_filename(f->folder, "moving", NULL);
	struct file *file = file_open(path, FILE_CREATE, NULL);
	GThread *thread = g_thread_new("extend", extend, file);
	uint8_t buf[512];

	while (file->size < 20000 * sizeof(buf))
		g_assert_cmpint(file_load(file, file->size, buf, sizeof(buf)), ==, 0);
	g_thread_join(thread);
	file_close(file);
}

static void test_file_zero(struct fixture *f, const void *data)
{
	g_autofree char *path = g_build_filename(f->folder, "zero", NULL);
	struct file *file = file_open(path, FILE_CREATE, NULL);
	uint8_t buf[8192];
	uint64_t run;
	bool zero;

	memset(buf, 0x55, sizeof(buf));
	g_assert_cmpint(file_store(file, 0, buf, sizeof(buf)), ==, 0);
	g_assert_cmpint(file_zero(file, 4096, 1 << 20, true), ==, 0);
	g_assert_cmpuint(file->size, ==, 4096 + (1 << 20));
	g_assert_cmpint(file_load(file, 0, buf, sizeof(buf)), ==, 0);
	g_assert_cmpuint(buf[4095], ==, 0x55);
	g_assert_true(span_is_zero(SPAN(buf + 4096, 4096)));
	g_assert_cmpint(file->ops->map(file, 0, 1 << 20, &run, &zero), ==, 0);
	g_assert_true(!zero || run == 1 << 20);
	g_assert_cmpint(file->ops->map(file, 8192, 1 << 20, &run, &zero), ==, 0);
	g_assert_true(run <= 1 << 20 && run > 0);
	file_close(file);
}

static void test_formats_of_paths(void)
{
	g_assert_cmpstr(image_format_of_path("a.b/disk.IMG"), ==, "raw");
	g_assert_cmpstr(image_format_of_path("disk"), ==, "raw");
	for (unsigned i = 0; image_format_name(i); i++) {
		g_autofree char *path = g_strdup_printf("disk.%s", image_format_name(i));

		g_assert_cmpstr(image_format_of_path(path), ==, image_format_name(i));
	}
}

static void expect_no_image(const struct image_create *create, const char *part)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(image_create(create, &error));
	g_assert_true(g_error_matches(error, VIV_ERROR, VIV_ERROR_INPUT));
	g_assert_nonnull(strstr(error->message, part));
}

static void test_create(struct fixture *f, const void *data)
{
	static const char *const falloc[] = {"preallocation=falloc", NULL},
				 *const bad_value[] = {"preallocation=some", NULL},
				 *const bad_name[] = {"colour=red", NULL};
	g_autofree char *path = g_build_filename(f->folder, "disk.raw", NULL);
	struct image_create create = {
		.path = path, .format = "raw", .size = 1 << 20, .options = bad_name};
	struct image_info info;
	struct image *image;

	expect_no_image(
		&create,
		"'colour=red' is no option of format raw; it has: preallocation=off|falloc|full");
	create.options = bad_value;
	expect_no_image(&create, "use off, falloc or full");
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	create.options = falloc;
	g_assert_true(image_create(&create, NULL));
	expect_no_image(&create, "remove it first");
	create.size = 100;
	expect_no_image(&create, "multiple of 512");
	create.size = 4096;
	create.backing = path;
	expect_no_image(&create, "has no backing images");

	image = image_open(&(struct image_open){.path = path}, NULL);
	g_assert_cmpuint(image_size(image), ==, 1 << 20);
	image_info(image, &info);
	g_assert_cmpstr(info.format, ==, "raw");
	g_assert_cmpuint(info.size, ==, 1 << 20);
	image_info_clear(&info);
	g_assert_true(image_resize(image, 2 << 20, NULL));
	g_assert_cmpint(image_write(image, (2 << 20) - 512, SPAN(f->folder, 0)), ==, 0);
	g_assert_cmpint(image_zero(image, 2 << 20, 512, true), ==, -EINVAL);
	image_close(image);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/span", test_span);
	g_test_add("/file/direct", struct fixture, NULL, set_up, test_direct, tear_down);
	g_test_add("/file/moving-end", struct fixture, NULL, set_up, test_moving_end, tear_down);
	g_test_add("/file/zero", struct fixture, NULL, set_up, test_file_zero, tear_down);
	g_test_add_func("/image/formats-of-paths", test_formats_of_paths);
	g_test_add("/image/create", struct fixture, NULL, set_up, test_create, tear_down);
	return g_test_run();
}
