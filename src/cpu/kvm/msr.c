/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs that come to us, and the guest's time under KVM (docs/adr/0012).
 *
 * The guest's TSC is the host's, scaled to TSC_HZ where the hardware can. While run() runs, KVM has
 * it. When run() is left its distance from the VM's clock is noted; if the clock stood still
 * before run() comes back, the TSC is set back by as much.
 */
#include "cpu/x86/msr.h"

#include <sys/ioctl.h>
#include <time.h>

#include "base/error.h"
#include "base/host_clock.h"
#include "base/muldiv.h"
#include "cpu/kvm/kvm_int.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/kvmclock.h"

enum {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC_FIRST = 0x800,
	MSR_X2APIC_LAST = 0x83f,
};

#define TSC_KHZ (TSC_HZ / 1000)
/* The clock's two readings lie apart by less; a stop lasts longer, or does not matter. */
#define CLOCK_NOISE_NS 20000

/* The MSRs that KVM would keep itself. Those of the x2APIC come without being asked for, as KVM has
 * no APIC of ours. */
bool kvm_filter_msrs(struct kvm_vm *vm)
{
	static uint8_t deny[1];
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges =
			{
				{.base = MSR_APIC_BASE, .nmsrs = 1},
				{.base = MSR_TSC_DEADLINE, .nmsrs = 1},
				{.base = MSR_KVM_WALL_CLOCK_NEW, .nmsrs = 2},
			},
	};

	for (unsigned i = 0; i < 3; i++) {
		filter.ranges[i].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
		filter.ranges[i].bitmap = deny;
	}
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter) == 0;
}

static uint64_t read_tsc(struct kvm_vcpu *v)
{
	uint64_t tsc = 0;

	if (!kvm_msr_get(v, MSR_TSC, &tsc))
		kvm_refuse(v, "to read the TSC");
	return tsc;
}

static int64_t clock_lag(const struct kvm_vcpu *v)
{
	return host_clock_ns(CLOCK_MONOTONIC) - clock_now_ns(v->env->clock);
}

bool kvm_tsc_init(struct kvm_vcpu *v, GError **error)
{
	int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);

	/* Asked for in vain, the frequency that KVM tells would not be the one that it has. */
	if (ioctl(v->vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0) {
		(void)ioctl(v->fd, KVM_SET_TSC_KHZ, TSC_KHZ);
		khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	}
	if (khz <= 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the host's KVM does not know its TSC's frequency; use --engine soft");
		return false;
	}
	v->tsc_khz = khz;
	return true;
}

static void write_tsc(struct kvm_vcpu *v)
{
	v->clock_lag_ns = clock_lag(v);
	if (!kvm_msr_set(v, MSR_TSC, clock_now_ns(v->env->clock) + v->tsc_offset))
		kvm_refuse(v, "to set the TSC");
}

void kvm_tsc_sample(struct kvm_vcpu *v)
{
	v->clock_lag_ns = clock_lag(v);
	v->tsc_offset = read_tsc(v) - clock_now_ns(v->env->clock);
}

static bool write_system_time(struct kvm_vcpu *v, uint64_t value)
{
	struct kvmclock now = {
		.tsc = read_tsc(v),
		.ns = clock_now_ns(v->env->clock),
		.khz = v->tsc_khz,
	};

	v->kvm_system_time = value;
	return kvmclock_write_time(v->env->mem, value, &now);
}

void kvm_tsc_resume(struct kvm_vcpu *v)
{
	if (llabs(clock_lag(v) - v->clock_lag_ns) <= CLOCK_NOISE_NS)
		return;
	write_tsc(v);
	/* Some KVMs have the guest read the host's TSC as it is: the page still tells the time. */
	(void)write_system_time(v, v->kvm_system_time);
}

void kvm_tsc_load(struct kvm_vcpu *v, uint64_t offset)
{
	v->tsc_offset = v->lapic_tsc_offset = offset;
	lapic_set_tsc_offset(v->lapic, offset);
	write_tsc(v);
	/* The engine before may have had another frequency. A page that has gone was the guest's
	 * doing. */
	(void)write_system_time(v, v->kvm_system_time);
}

/* Moves the APIC's deadline along with the offset it is counted by. What makes it later comes
 * first, so that it cannot seem to have passed meanwhile. */
void kvm_tsc_rebase_lapic(struct kvm_vcpu *v)
{
	int64_t moved = v->tsc_offset - v->lapic_tsc_offset;
	uint64_t deadline = lapic_tsc_deadline(v->lapic);

	if (deadline && moved > 0)
		lapic_set_tsc_deadline(v->lapic, deadline + moved);
	lapic_set_tsc_offset(v->lapic, v->tsc_offset);
	if (deadline && moved < 0)
		lapic_set_tsc_deadline(v->lapic, deadline + moved);
	v->lapic_tsc_offset = v->tsc_offset;
}

/* The APIC counts by the VM's clock at TSC_HZ, the guest by the TSC it has. */
static uint64_t read_deadline(struct kvm_vcpu *v)
{
	uint64_t deadline = lapic_tsc_deadline(v->lapic);
	uint64_t now = clock_now_ns(v->env->clock) + v->lapic_tsc_offset;

	return deadline ? read_tsc(v) + muldiv_floor(deadline - now, v->tsc_khz, TSC_KHZ) : 0;
}

static void write_deadline(struct kvm_vcpu *v, uint64_t value)
{
	uint64_t now = clock_now_ns(v->env->clock) + v->lapic_tsc_offset;

	if (value)
		value = now + muldiv_ceil(value - read_tsc(v), TSC_KHZ, v->tsc_khz);
	lapic_set_tsc_deadline(v->lapic, value);
}

bool kvm_user_msr_read(struct kvm_vcpu *v, uint32_t index, uint64_t *value)
{
	if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
		return lapic_msr_read(v->lapic, index, value);
	switch (index) {
	case MSR_APIC_BASE:
		*value = lapic_base(v->lapic);
		return true;
	case MSR_TSC_DEADLINE:
		*value = read_deadline(v);
		return true;
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = v->kvm_wall_clock;
		return true;
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = v->kvm_system_time;
		return true;
	}
	return msr_read_constant(v->model, index, value);
}

bool kvm_user_msr_write(struct kvm_vcpu *v, uint32_t index, uint64_t value)
{
	if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
		return lapic_msr_write(v->lapic, index, value);
	switch (index) {
	case MSR_APIC_BASE:
		return lapic_set_base(v->lapic, value);
	case MSR_TSC_DEADLINE:
		write_deadline(v, value);
		return true;
	case MSR_KVM_WALL_CLOCK_NEW:
		v->kvm_wall_clock = value;
		return kvmclock_write_wall(v->env->mem, value, v->env->clock);
	case MSR_KVM_SYSTEM_TIME_NEW:
		return write_system_time(v, value);
	}
	return msr_write_constant(v->model, index, value);
}
