/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <png.h>
#include <unistd.h>

#include "base/error.h"
#include "display/picture.h"

enum { WIDTH = 37, HEIGHT = 5 };

static void test_pixels(void)
{
	uint32_t pixels[WIDTH * HEIGHT], decoded[WIDTH * HEIGHT];
	struct display_picture picture = {pixels, WIDTH, HEIGHT};
	png_image image = {.version = PNG_IMAGE_VERSION};
	g_autoptr(GByteArray) bytes = NULL;

	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		pixels[i] = i * 0x012345 & 0xffffff;
	bytes = picture_to_png(&picture);
	g_assert_true(png_image_begin_read_from_memory(&image, bytes->data, bytes->len));
	g_assert_cmpuint(image.width, ==, WIDTH);
	g_assert_cmpuint(image.height, ==, HEIGHT);
	image.format = PNG_FORMAT_BGRA;
	g_assert_true(png_image_finish_read(&image, NULL, decoded, 0, NULL));
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		g_assert_cmphex(decoded[i], ==, 0xff000000 | pixels[i]);
}

static void test_file(void)
{
	uint32_t pixel = 0x123456;
	struct display_picture picture = {&pixel, 1, 1};
	g_autofree char *dir = g_dir_make_tmp("viv-picture-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "screen.png", NULL);
	g_autoptr(GByteArray) bytes = picture_to_png(&picture);
	g_autoptr(GError) error = NULL;
	g_autofree char *read = NULL;
	gsize len;

	g_assert_true(picture_write_png(&picture, path, NULL));
	g_assert_true(g_file_get_contents(path, &read, &len, NULL));
	g_assert_cmpmem(read, len, bytes->data, bytes->len);
	unlink(path);
	rmdir(dir);
	g_assert_false(picture_write_png(&picture, path, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_HOST);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/picture/pixels", test_pixels);
	g_test_add_func("/picture/file", test_file);
	return g_test_run();
}
