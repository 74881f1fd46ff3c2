/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h's set_debug() by KVM_SET_GUEST_DEBUG: points are the processor's debug registers (SDM
 * volume 3, 18.2), which KVM keeps apart from the guest's own. So there are four of them, each of
 * 1, 2, 4 or 8 aligned bytes, and none for reads alone. A step is over when the instruction is;
 * where it raised an exception, at the handler's first TF-less stop KVM makes, which may be later.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm_int.h"

#define N_REGISTERS 4
#define DR6_HITS    0xf
#define DR7_FIXED   0x400

/* The processor's R/W field; negative: it has no such breakpoint. */
static const int8_t kinds[] = {
	[ENGINE_POINT_EXECUTE] = 0,
	[ENGINE_POINT_WRITE] = 1,
	[ENGINE_POINT_READ] = -1,
	[ENGINE_POINT_ACCESS] = 3,
};

struct registers {
	struct kvm_guest_debug debug;
	struct engine_point point[N_REGISTERS]; /* what each stands for */
	unsigned n;
};

static bool add_register(struct registers *r, const struct engine_point *point, uint64_t address,
			 unsigned size)
{
	static const uint8_t lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
	unsigned n = r->n;

	if (n == N_REGISTERS)
		return false;
	r->debug.arch.debugreg[n] = address;
	r->debug.arch.debugreg[7] |=
		2ull << (2 * n) | (uint64_t)(kinds[point->kind] | lengths[size] << 2)
					  << (16 + 4 * n);
	r->point[r->n++] = *point;
	return true;
}

static bool add_point(struct registers *r, const struct engine_point *point)
{
	uint64_t address = point->address, left = point->len;

	if (kinds[point->kind] < 0)
		return false;
	if (point->kind == ENGINE_POINT_EXECUTE)
		return add_register(r, point, address, 1);
	while (left) {
		unsigned size = 8;

		while (size > left || address % size)
			size /= 2;
		if (!add_register(r, point, address, size))
			return false;
		address += size;
		left -= size;
	}
	return true;
}

bool kvm_debug_set(struct kvm_vcpu *v, const struct engine_debug *debug)
{
	struct registers r = {.debug.arch.debugreg[7] = DR7_FIXED};

	for (unsigned i = 0; i < debug->n_points; i++)
		if (!add_point(&r, &debug->points[i]))
			return false;
	if (debug->step || r.n)
		r.debug.control |= KVM_GUESTDBG_ENABLE;
	if (debug->step)
		r.debug.control |= KVM_GUESTDBG_SINGLESTEP;
	if (r.n)
		r.debug.control |= KVM_GUESTDBG_USE_HW_BP;
	if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &r.debug) < 0)
		return false;
	v->debug.step = debug->step;
	memcpy(v->debug.point, r.point, sizeof(r.point));
	v->debug.n = r.n;
	return true;
}

/* The bits of DR6 that tell; an instruction's breakpoint may come without. */
static uint64_t hits(const struct kvm_vcpu *v)
{
	uint64_t dr6 = v->run->debug.arch.dr6;

	for (unsigned i = 0; i < v->debug.n && !(dr6 & DR6_HITS); i++)
		if (v->debug.point[i].kind == ENGINE_POINT_EXECUTE &&
		    v->debug.point[i].address == v->run->debug.arch.pc)
			dr6 |= 1u << i;
	return dr6 & DR6_HITS;
}

void kvm_debug_stopped(struct kvm_vcpu *v)
{
	uint64_t dr6 = hits(v);

	v->debug.stop = (struct engine_stop){.is_point = false};
	for (unsigned i = 0; i < v->debug.n; i++) {
		if (!(dr6 >> i & 1))
			continue;
		v->debug.stop = (struct engine_stop){.is_point = true, .point = v->debug.point[i]};
		return;
	}
}
