/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernels that were unpacked before, in a folder of the user's: unpacking takes about as much time as a third of
 * the boot. A file is named after the SHA-256 of what was packed, comes into the folder complete, and
 * is not written again, so that one may be mapped while others come and go.
 *
 * It is no more than a cache: where the folder cannot be used, nothing is found and nothing is kept. What
 * others could have written is not used. Any thread.
 */
#ifndef VIV_FIRMWARE_KERNEL_CACHE_H
#define VIV_FIRMWARE_KERNEL_CACHE_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* The folder keeps so many kernels, those used last. */
#define KERNEL_CACHE_MAX 8

/* What `len` packed bytes are found by. Free with g_free(). */
char *kernel_cache_key(const uint8_t *packed, size_t len);
/* What was kept, mapped; or NULL. */
GBytes *kernel_cache_find(const char *folder, const char *key);
void kernel_cache_keep(const char *folder, const char *key, GBytes *unpacked);

#endif
