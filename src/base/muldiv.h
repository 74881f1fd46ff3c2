/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * value * mul / div without overflow on the way, for clock rates; div > 0. A result
 * that does not fit becomes the nearest that does.
 */
#ifndef VIV_BASE_MULDIV_H
#define VIV_BASE_MULDIV_H

#include <stdint.h>

static inline int64_t muldiv_clamp(__int128 v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

/* Rounded towards minus infinity: ticks that have passed in some time. */
static inline int64_t muldiv_floor(int64_t value, int64_t mul, int64_t div)
{
	__int128 product = (__int128)value * mul;

	return muldiv_clamp(product / div - (product % div < 0));
}

/* Rounded towards plus infinity: the first time at which so many ticks have passed. */
static inline int64_t muldiv_ceil(int64_t value, int64_t mul, int64_t div)
{
	__int128 product = (__int128)value * mul;

	return muldiv_clamp(product / div + (product % div > 0));
}

#endif
