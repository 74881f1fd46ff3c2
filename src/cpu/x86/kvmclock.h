/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's paravirtual clock (Linux documentation, virt/kvm/x86/msr): pages in the guest's
 * memory that relate its TSC to the VM's clock. Every engine offers it, with its own TSC.
 */
#ifndef VIV_CPU_X86_KVMCLOCK_H
#define VIV_CPU_X86_KVMCLOCK_H

#include "clock/clock.h"
#include "mem/mem.h"

#define MSR_KVM_WALL_CLOCK_NEW	0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u

/* The guest's TSC stood at `tsc` when the VM's clock stood at `ns`, and runs at `khz`. */
struct kvmclock {
	uint64_t tsc;
	int64_t ns;
	uint64_t khz;
};

/* What a write of the MSR does; false: #GP. */
bool kvmclock_write_time(struct mem *mem, uint64_t msr, const struct kvmclock *now);
bool kvmclock_write_wall(struct mem *mem, uint64_t msr, const struct clock *clock);

#endif
