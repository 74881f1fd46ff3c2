/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of what a Linux bzImage carries: the formats the kernel's own
 * build can produce, told apart by their magic as its decompressor stubs are.
 * The data is hostile; output and working memory are bounded.
 */
#ifndef VIV_FIRMWARE_UNPACK_H
#define VIV_FIRMWARE_UNPACK_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* The name of the format `data` begins as, or NULL. */
const char *unpack_format_name(const uint8_t *data, size_t len);

/*
 * Unpacks the first stream, member or frame in `data`; what follows it is ignored,
 * since the kernel's build appends the unpacked size. Fails where the format is
 * unknown, the data is damaged or cut short, or more than `max` bytes would come out.
 * The message is for the caller to prefix with the file's name.
 */
GBytes *unpack(const uint8_t *data, size_t len, size_t max, GError **error);

#endif
