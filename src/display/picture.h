/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A picture as a PNG file, 8 bits a colour. */
#ifndef VIV_DISPLAY_PICTURE_H
#define VIV_DISPLAY_PICTURE_H

#include "display/display.h"

/* The file's bytes, the caller's. */
GByteArray *picture_to_png(const struct display_picture *picture);
/* Replaces the file at `path` once all of it is written. */
bool picture_write_png(const struct display_picture *picture, const char *path, GError **error);

#endif
