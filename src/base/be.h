/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Big-endian loads and stores on unaligned bytes, as SCSI has them. */
#ifndef VIV_BASE_BE_H
#define VIV_BASE_BE_H

#include <stdint.h>
#include <string.h>

#define BE_ACCESSORS(bits)                                             \
	static inline uint##bits##_t be##bits##_load(const void *p)    \
	{                                                              \
		uint##bits##_t v;                                      \
		memcpy(&v, p, sizeof(v));                              \
		return __builtin_bswap##bits(v);                       \
	}                                                              \
	static inline void be##bits##_store(void *p, uint##bits##_t v) \
	{                                                              \
		v = __builtin_bswap##bits(v);                          \
		memcpy(p, &v, sizeof(v));                              \
	}

BE_ACCESSORS(16)
BE_ACCESSORS(32)
BE_ACCESSORS(64)
#undef BE_ACCESSORS

#endif
