/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lapic.c and lapic_timer.c share. */
#ifndef VIV_CPU_X86_LAPIC_INT_H
#define VIV_CPU_X86_LAPIC_INT_H

#include "cpu/x86/lapic.h"

/* Register numbers: the MMIO offset divided by 16, which is also the x2APIC MSR minus 800h. */
enum lapic_register {
	APIC_ID = 0x02, APIC_VERSION = 0x03, APIC_TPR = 0x08, APIC_APR = 0x09, APIC_PPR = 0x0a,
	APIC_EOI = 0x0b, APIC_LDR = 0x0d, APIC_DFR = 0x0e, APIC_SVR = 0x0f, APIC_ISR = 0x10,
	APIC_TMR = 0x18, APIC_IRR = 0x20, APIC_ESR = 0x28, APIC_ICR = 0x30, APIC_ICR_HIGH = 0x31,
	APIC_LVT_TIMER = 0x32, APIC_LVT_THERMAL = 0x33, APIC_LVT_PERF = 0x34, APIC_LVT_LINT0 = 0x35,
	APIC_LVT_LINT1 = 0x36, APIC_LVT_ERROR = 0x37, APIC_TIMER_INITIAL = 0x38,
	APIC_TIMER_CURRENT = 0x39, APIC_TIMER_DIVIDE = 0x3e, APIC_SELF_IPI = 0x3f,
};

enum delivery_mode {
	DELIVERY_FIXED = 0, DELIVERY_LOWEST = 1, DELIVERY_SMI = 2, DELIVERY_NMI = 4,
	DELIVERY_INIT = 5, DELIVERY_SIPI = 6, DELIVERY_EXTINT = 7,
};

enum lapic_timer_mode { TIMER_ONE_SHOT = 0, TIMER_PERIODIC = 1, TIMER_TSC_DEADLINE = 2 };

#define LVT_MASKED      (1u << 16)
#define SVR_ENABLED     (1u << 8)
#define ESR_RECV_VECTOR (1u << 6)
#define N_LVT           6
#define VERSION         (0x14 | (N_LVT - 1) << 16)
#define NO_DEADLINE     INT64_MAX

struct lapic {
	struct lapic_set *set;
	unsigned id;
	GMutex lock;
	struct timer timer;
	void (*wake)(void *opaque);
	void *wake_opaque;
	bool absent, no_x2apic; /* as the processor's model has it */

	/* Below: under the lock, and saved. */
	uint64_t base;
	uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
	uint32_t isr[8], tmr[8], irr[8];
	uint64_t icr;
	uint32_t lvt[N_LVT];
	uint32_t initial_count, divide;
	uint64_t tsc_deadline, tsc_offset;
	int64_t timer_deadline_ns; /* when the count reaches 0 next; NO_DEADLINE: it stands */
	bool nmi, init, sipi, extint, smi;
	uint8_t sipi_vector;
};

struct lapic_set {
	struct bus *bus;
	struct clock *clock;
	unsigned n;
	struct lapic apic[];
};

/* lapic_timer.c; all under the lock, but the first. */
void lapic_timer_init(struct lapic *a);
enum lapic_timer_mode lapic_timer_mode(const struct lapic *a);
void lapic_timer_arm(struct lapic *a, int64_t deadline_ns);
/* From the initial count on. */
void lapic_timer_start(struct lapic *a);
uint32_t lapic_timer_count(const struct lapic *a);

/* lapic.c: the timer has run out. Under the lock. */
void lapic_timer_accept(struct lapic *a);

#endif
