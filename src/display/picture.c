/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/picture.h"

#include <png.h>

#include "base/error.h"

/* Screens are mostly areas of one colour: more effort gives little for it. */
enum { COMPRESSION_LEVEL = 3 };

static void append(png_structp png, png_bytep bytes, png_size_t len)
{
	g_byte_array_append(png_get_io_ptr(png), bytes, len);
}

static void flush(png_structp png)
{
}

/* Only memory could be wanting, for which GLib does not return either. */
static G_NORETURN void on_error(png_structp png, png_const_charp message)
{
	g_error("libpng: %s", message);
}

GByteArray *picture_to_png(const struct display_picture *picture)
{
	GByteArray *out = g_byte_array_new();
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, NULL);
	png_infop info = png_create_info_struct(png);

	g_assert(png && info);
	png_set_write_fn(png, out, append, flush);
	png_set_compression_level(png, COMPRESSION_LEVEL);
	png_set_IHDR(png, info, picture->width, picture->height, 8, PNG_COLOR_TYPE_RGB,
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	/* 0x00RRGGBB is blue, green, red and a filler in memory. */
	png_set_filler(png, 0, PNG_FILLER_AFTER);
	png_set_bgr(png);
	for (unsigned y = 0; y < picture->height; y++)
		png_write_row(png, (png_const_bytep)(picture->pixels + (size_t)y * picture->width));
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	return out;
}

bool picture_write_png(const struct display_picture *picture, const char *path, GError **error)
{
	g_autoptr(GByteArray) bytes = picture_to_png(picture);
	g_autoptr(GError) cause = NULL;

	if (g_file_set_contents(path, (const char *)bytes->data, bytes->len, &cause))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot write the picture '%s': %s", path,
		    cause->message);
	return false;
}
