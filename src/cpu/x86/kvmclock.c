/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/kvmclock.h"

#define SYSTEM_TIME_ENABLE 1ull
#define PVCLOCK_TSC_STABLE 1 /* the same on all vCPUs */

/* In guest memory: ns = system_time + ((tsc - tsc_timestamp) << tsc_shift) * mul / 2^32. */
struct pvclock {
	uint32_t version, pad0;
	uint64_t tsc_timestamp;
	int64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad[2];
};

/* Picks the shift that leaves the factor all its 32 bits. */
static void set_scale(struct pvclock *page, uint64_t khz)
{
	int shift = 0;

	while ((1000000ull << (32 - shift)) / khz > UINT32_MAX)
		shift++;
	while ((1000000ull << (32 - shift)) / khz < 1u << 31)
		shift--;
	page->tsc_shift = shift;
	page->tsc_to_system_mul = (1000000ull << (32 - shift)) / khz;
}

bool kvmclock_write_time(struct mem *mem, uint64_t msr, const struct kvmclock *now)
{
	uint64_t gpa = msr & ~SYSTEM_TIME_ENABLE;
	struct pvclock page = {
		.tsc_timestamp = now->tsc,
		.system_time = now->ns,
		.flags = PVCLOCK_TSC_STABLE,
	};
	uint32_t version;

	if (!(msr & SYSTEM_TIME_ENABLE))
		return true;
	if (!mem_read(mem, gpa, &version, sizeof(version)))
		return false;
	/* Even, and another one: a reader that was stopped half-way reads again. */
	page.version = (version & ~1u) + 2;
	set_scale(&page, now->khz);
	return mem_write(mem, gpa, &page, sizeof(page));
}

bool kvmclock_write_wall(struct mem *mem, uint64_t msr, const struct clock *clock)
{
	int64_t boot = clock_wall_ns(clock) - clock_now_ns(clock);
	uint32_t wall[3] = {2, boot / 1000000000, boot % 1000000000};

	return mem_write(mem, msr, wall, sizeof(wall));
}
