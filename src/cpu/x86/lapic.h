/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs (Intel SDM volume 3, chapter 11): xAPIC and x2APIC mode, timer with
 * one-shot, periodic and TSC-deadline modes, IPIs, LINT pins, MSI reception.
 * They serve every engine; which one runs the processor they do not know.
 *
 * The guest's TSC counts the nanoseconds of the VM's clock plus an offset that WRMSR
 * moves, so it runs at exactly 1 GHz whatever the host's does. An engine whose
 * guest has another TSC converts (docs/adr/0012).
 *
 * Threads: register accesses on the vCPU's own thread, messages and lines from any. Each
 * APIC has a lock, last in the order device -> interrupt controller -> APIC, and
 * may call its wake function with its lock held.
 */
#ifndef VIV_CPU_X86_LAPIC_H
#define VIV_CPU_X86_LAPIC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "clock/clock.h"
#include "state/state.h"

struct lapic;
struct lapic_set;

#define APIC_DEFAULT_BASE 0xfee00000ull
#define APIC_BASE_BSP     (1ull << 8)
#define APIC_BASE_EXTD    (1ull << 10)
#define APIC_BASE_EN      (1ull << 11)

enum lapic_event {
	LAPIC_EVENT_NONE,
	LAPIC_EVENT_SMI,
	LAPIC_EVENT_NMI,
	LAPIC_EVENT_INIT,
	LAPIC_EVENT_SIPI, /* with its vector */
	LAPIC_EVENT_INTERRUPT,
};

/* What the processor would take now; a bit each. INIT is SIPI, too. */
enum {
	LAPIC_ACCEPT_INTERRUPT = 1 << 0,
	LAPIC_ACCEPT_NMI = 1 << 1,
	LAPIC_ACCEPT_SMI = 1 << 2,
	LAPIC_ACCEPT_INIT = 1 << 3,
	LAPIC_ACCEPT_ALL = 15,
};

/* All APICs of a VM, ids 0..n-1; takes the bus's MSI, SMI and 8259 INTR sinks. */
struct lapic_set *lapic_set_new(struct bus *bus, struct clock *clock, unsigned n);
void lapic_set_free(struct lapic_set *set);
struct lapic *lapic_get(struct lapic_set *set, unsigned id);
/* Whether the processor has an APIC, and one that knows x2APIC mode; both, unless told. An engine
 * says so for its model, before the vCPU runs. */
void lapic_set_kinds(struct lapic *apic, bool has_apic, bool has_x2apic);
void lapic_reset(struct lapic *apic);
void lapic_save(struct lapic *apic, GByteArray *out);
bool lapic_load(struct lapic *apic, struct state_reader *reader, GError **error);

/* Called from any thread when the APIC may have something to deliver; must not call back. */
void lapic_set_wake(struct lapic *apic, void (*wake)(void *opaque), void *opaque);

/* The xAPIC page, while it is enabled: 4-byte registers at 16-byte strides. */
uint32_t lapic_mmio_read(struct lapic *apic, unsigned offset);
void lapic_mmio_write(struct lapic *apic, unsigned offset, uint32_t value);
/* MSRs 800h..83Fh; false: #GP (also when not in x2APIC mode). */
bool lapic_msr_read(struct lapic *apic, uint32_t msr, uint64_t *value);
bool lapic_msr_write(struct lapic *apic, uint32_t msr, uint64_t value);
/* IA32_APIC_BASE; false: #GP. */
uint64_t lapic_base(const struct lapic *apic);
bool lapic_set_base(struct lapic *apic, uint64_t value);
/* IA32_TSC_DEADLINE, in guest TSC ticks, and the guest TSC's offset against the clock. */
uint64_t lapic_tsc_deadline(struct lapic *apic);
void lapic_set_tsc_deadline(struct lapic *apic, uint64_t deadline);
void lapic_set_tsc_offset(struct lapic *apic, uint64_t offset);
/* CR8: the task priority's class. */
uint64_t lapic_cr8(const struct lapic *apic);
void lapic_set_cr8(struct lapic *apic, uint64_t cr8);

/* Whether lapic_take() would give something; cheap, any thread. */
bool lapic_pending(struct lapic *apic, unsigned accept);
/* Takes the most important event: what and, for INTERRUPT and SIPI, its vector. A spurious
 * 8259 or APIC interrupt is an INTERRUPT like any other. */
enum lapic_event lapic_take(struct lapic *apic, unsigned accept, uint8_t *vector);

#endif
