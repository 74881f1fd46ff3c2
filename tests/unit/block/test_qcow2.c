/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only qcow2 has. Power cuts are test_power_cut.c's, other programs' images
 * tests/integration/test_qcow2.py's. */
#include "block/image.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "block/format.h"

enum { MIB = 1 << 20 };

struct fixture {
	char *folder;
};

static void set_up(struct fixture *f, const void *data)
{
	f->folder = g_dir_make_tmp("viv-qcow2-XXXXXX", NULL);
	g_assert_nonnull(f->folder);
}

static void tear_down(struct fixture *f, const void *data)
{
	g_autoptr(GDir) dir = g_dir_open(f->folder, 0, NULL);

	for (const char *name; (name = g_dir_read_name(dir));) {
		g_autofree char *path = g_build_filename(f->folder, name, NULL);

		g_unlink(path);
	}
	g_rmdir(f->folder);
	g_free(f->folder);
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/qcow2/overlay", struct fixture, NULL, set_up, test_overlay, tear_down);
	return g_test_run();
}
