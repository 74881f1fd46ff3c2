/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's clocks. Devices never read them: they have the VM's (clock/clock.h). */
#ifndef VIV_BASE_HOST_CLOCK_H
#define VIV_BASE_HOST_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t host_clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

#endif
