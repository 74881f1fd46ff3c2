/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Little-endian loads and stores on unaligned bytes, and bit-field extraction.
 * The host is x86-64, so a plain copy is the little-endian form.
 */
#ifndef VIV_BASE_LE_H
#define VIV_BASE_LE_H

#include <stdint.h>
#include <string.h>

#define LE_ACCESSORS(bits)                                                                         \
	static inline uint##bits##_t le##bits##_load(const void *p)                                \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		memcpy(&v, p, sizeof(v));                                                          \
		return v;                                                                          \
	}                                                                                          \
	static inline void le##bits##_store(void *p, uint##bits##_t v)                             \
	{                                                                                          \
		memcpy(p, &v, sizeof(v));                                                          \
	}

LE_ACCESSORS(16)
LE_ACCESSORS(32)
LE_ACCESSORS(64)
#undef LE_ACCESSORS

/* Bits hi..lo of v, shifted down. */
static inline uint64_t bits_get(uint64_t v, unsigned hi, unsigned lo)
{
	return (v >> lo) & (~0ull >> (63 - (hi - lo)));
}

#endif
