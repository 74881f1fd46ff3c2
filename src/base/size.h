/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes as users write them: a number and K, M, G or T. */
#ifndef VIV_BASE_SIZE_H
#define VIV_BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes; a number without a suffix counts units of 1 << `shift`. False: not a size, or none of 64
 * bits. */
bool size_parse(const char *text, unsigned shift, uint64_t *size);
/* "1.5 GiB", "0 bytes"; freed by the caller. */
char *size_format(uint64_t size);

#endif
