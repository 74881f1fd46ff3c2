/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APICs as Linux drives them, on a manual clock (SDM volume 3, chapter 11). */
#include "cpu/x86/lapic.h"

#define N_APICS 3

enum {
	EOI = 0xb0,
	LDR = 0xd0,
	SVR = 0xf0,
	ESR = 0x280,
	ICR = 0x300,
	ICR_HIGH = 0x310,
	LVT_TIMER = 0x320,
	INITIAL = 0x380,
	CURRENT = 0x390,
	DIVIDE = 0x3e0
};
enum { ONE_SHOT = 0, PERIODIC = 1 << 17, TSC_DEADLINE = 2 << 17, MASKED = 1 << 16 };
enum {
	LOWEST = 1 << 8,
	SMI = 2 << 8,
	NMI = 4 << 8,
	INIT = 5 << 8,
	SIPI = 6 << 8,
	LOGICAL = 1 << 11,
	ASSERT = 1 << 14,
	LEVEL = 1 << 15,
	ALL_BUT_SELF = 3 << 18
};

struct rig {
	struct bus *bus;
	struct clock *clock;
	struct lapic_set *set;
	struct lapic *apic[N_APICS];
	int eoi; /* the last vector that the IOAPIC was told, or -1 */
};

static void on_eoi(void *opaque, uint8_t vector)
{
	((struct rig *)opaque)->eoi = vector;
}

static void rig_init(struct rig *r)
{
	r->bus = bus_new();
	r->clock = clock_new_manual();
	r->set = lapic_set_new(r->bus, r->clock, N_APICS);
	r->eoi = -1;
	bus_set_eoi_sink(r->bus, on_eoi, r);
	for (unsigned i = 0; i < N_APICS; i++) {
		r->apic[i] = lapic_get(r->set, i);
		lapic_mmio_write(r->apic[i], SVR, 0x1ff);
		lapic_mmio_write(r->apic[i], LDR, 1u << (24 + i));
		lapic_mmio_write(r->apic[i], DIVIDE, 0xb);
	}
}

static void rig_fini(struct rig *r)
{
	lapic_set_free(r->set);
	clock_free(r->clock);
	bus_free(r->bus);
}

/* The vector that the APIC gives a processor with interrupts enabled, or -1. */
static int take(struct lapic *apic)
{
	uint8_t vector = 0;

	if (!lapic_pending(apic, LAPIC_ACCEPT_ALL))
		return -1;
	g_assert_cmpint(lapic_take(apic, LAPIC_ACCEPT_ALL, &vector), ==, LAPIC_EVENT_INTERRUPT);
	return vector;
}

static void msi(struct rig *r, uint8_t dest, uint32_t data)
{
	bus_msi(r->bus, 0xfee00000 | (uint32_t)dest << 12 | (data & LOGICAL ? 1 << 2 : 0),
		data & ~LOGICAL);
}

static void test_messages(void)
{
	struct rig r;

	rig_init(&r);
	msi(&r, 1, 0x41);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	g_assert_cmpint(take(r.apic[1]), ==, 0x41);
	msi(&r, 0xff, 0x42);
	for (unsigned i = 0; i < N_APICS; i++)
		g_assert_cmpint(lapic_pending(r.apic[i], LAPIC_ACCEPT_ALL), ==, i != 1);
	/* One of a higher class interrupts; of the same class it waits for the end. */
	msi(&r, 1, 0x51);
	g_assert_cmpint(take(r.apic[1]), ==, 0x51);
	lapic_mmio_write(r.apic[1], EOI, 0);
	g_assert_cmpint(take(r.apic[1]), ==, -1);
	lapic_mmio_write(r.apic[1], EOI, 0);
	g_assert_cmpint(take(r.apic[1]), ==, 0x42);
	rig_fini(&r);
}

static void test_logical(void)
{
	struct rig r;

	rig_init(&r);
	msi(&r, 6, LOGICAL | 0x41);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	g_assert_cmpint(take(r.apic[1]), ==, 0x41);
	g_assert_cmpint(take(r.apic[2]), ==, 0x41);
	/* Of those named, one takes a lowest-priority message, and none that is switched off. */
	lapic_mmio_write(r.apic[0], SVR, 0xff);
	msi(&r, 7, LOGICAL | LOWEST | 0x61);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	g_assert_cmpint(take(r.apic[1]), ==, 0x61);
	g_assert_cmpint(take(r.apic[2]), ==, -1);
	rig_fini(&r);
}

static void test_level(void)
{
	struct rig r;

	rig_init(&r);
	msi(&r, 0, 0x41);
	g_assert_cmpint(take(r.apic[0]), ==, 0x41);
	lapic_mmio_write(r.apic[0], EOI, 0);
	g_assert_cmpint(r.eoi, ==, -1);
	msi(&r, 0, LEVEL | 0x41);
	g_assert_cmpint(take(r.apic[0]), ==, 0x41);
	lapic_mmio_write(r.apic[0], EOI, 0);
	g_assert_cmpint(r.eoi, ==, 0x41);
	rig_fini(&r);
}

static void test_ipi(void)
{
	struct rig r;
	uint8_t vector = 0;

	rig_init(&r);
	lapic_mmio_write(r.apic[0], ICR_HIGH, 2u << 24);
	lapic_mmio_write(r.apic[0], ICR, ASSERT | 0x71);
	g_assert_cmpint(take(r.apic[2]), ==, 0x71);
	lapic_mmio_write(r.apic[0], ICR, ALL_BUT_SELF | NMI | ASSERT);
	g_assert_false(lapic_pending(r.apic[0], LAPIC_ACCEPT_ALL));
	g_assert_false(lapic_pending(r.apic[1], LAPIC_ACCEPT_ALL & ~LAPIC_ACCEPT_NMI));
	g_assert_cmpint(lapic_take(r.apic[1], LAPIC_ACCEPT_NMI, &vector), ==, LAPIC_EVENT_NMI);
	/* Linux's start of a processor: INIT, its end, SIPI; the last may come before the first is
	 * seen. */
	lapic_mmio_write(r.apic[0], ICR, LEVEL | ASSERT | INIT);
	lapic_mmio_write(r.apic[0], ICR, LEVEL | INIT);
	lapic_mmio_write(r.apic[0], ICR, SIPI | 0x9a);
	g_assert_cmpint(lapic_take(r.apic[2], LAPIC_ACCEPT_INIT, &vector), ==, LAPIC_EVENT_INIT);
	g_assert_cmpint(lapic_take(r.apic[2], LAPIC_ACCEPT_INIT, &vector), ==, LAPIC_EVENT_SIPI);
	g_assert_cmpuint(vector, ==, 0x9a);
	/* An SMI comes before INIT, and both wait while the processor is in system-management mode.
	 */
	lapic_mmio_write(r.apic[0], ICR, ASSERT | SMI);
	lapic_mmio_write(r.apic[0], ICR, LEVEL | ASSERT | INIT);
	g_assert_false(lapic_pending(r.apic[2], LAPIC_ACCEPT_INTERRUPT | LAPIC_ACCEPT_NMI));
	g_assert_cmpint(lapic_take(r.apic[2], LAPIC_ACCEPT_ALL, &vector), ==, LAPIC_EVENT_SMI);
	g_assert_cmpint(lapic_take(r.apic[2], LAPIC_ACCEPT_ALL, &vector), ==, LAPIC_EVENT_INIT);
	g_assert_false(lapic_pending(r.apic[2], LAPIC_ACCEPT_ALL));
	/* INIT forgets none. */
	lapic_mmio_write(r.apic[0], ICR, ASSERT | SMI);
	lapic_mmio_write(r.apic[0], ICR, LEVEL | ASSERT | INIT);
	g_assert_cmpint(lapic_take(r.apic[2], LAPIC_ACCEPT_INIT, &vector), ==, LAPIC_EVENT_INIT);
	g_assert_cmpint(lapic_take(r.apic[2], LAPIC_ACCEPT_ALL, &vector), ==, LAPIC_EVENT_SMI);
	/* The pin is the boot processor's. */
	bus_smi(r.bus);
	g_assert_false(lapic_pending(r.apic[1], LAPIC_ACCEPT_ALL));
	g_assert_cmpint(lapic_take(r.apic[0], LAPIC_ACCEPT_ALL, &vector), ==, LAPIC_EVENT_SMI);
	rig_fini(&r);
}

static void test_illegal_vector(void)
{
	struct rig r;

	rig_init(&r);
	msi(&r, 0, 15);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	lapic_mmio_write(r.apic[0], ESR, 0);
	g_assert_cmpuint(lapic_mmio_read(r.apic[0], ESR), ==, 1 << 6);
	rig_fini(&r);
}

static void test_count(void)
{
	struct rig r;

	rig_init(&r);
	lapic_mmio_write(r.apic[0], LVT_TIMER, ONE_SHOT | 0x41);
	lapic_mmio_write(r.apic[0], INITIAL, 1000);
	clock_step(r.clock, 400);
	g_assert_cmpuint(lapic_mmio_read(r.apic[0], CURRENT), ==, 600);
	clock_step(r.clock, 599);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	clock_step(r.clock, 1);
	g_assert_cmpint(take(r.apic[0]), ==, 0x41);
	g_assert_cmpuint(lapic_mmio_read(r.apic[0], CURRENT), ==, 0);
	lapic_mmio_write(r.apic[0], EOI, 0);
	/* A count goes on when the mode turns periodic. */
	lapic_mmio_write(r.apic[0], INITIAL, 1000);
	lapic_mmio_write(r.apic[0], LVT_TIMER, PERIODIC | 0x42);
	for (unsigned i = 0; i < 3; i++) {
		clock_step(r.clock, 1000);
		g_assert_cmpint(take(r.apic[0]), ==, 0x42);
		lapic_mmio_write(r.apic[0], EOI, 0);
	}
	lapic_mmio_write(r.apic[0], LVT_TIMER, PERIODIC | MASKED | 0x42);
	clock_step(r.clock, 1000);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	rig_fini(&r);
}

static void test_deadline(void)
{
	struct rig r;

	rig_init(&r);
	clock_step(r.clock, 5000);
	lapic_set_tsc_deadline(r.apic[0], 6000);
	g_assert_cmpuint(lapic_tsc_deadline(r.apic[0]), ==, 0); /* not in this mode */
	lapic_mmio_write(r.apic[0], LVT_TIMER, TSC_DEADLINE | 0x41);
	lapic_set_tsc_deadline(r.apic[0], 6000);
	clock_step(r.clock, 999);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	clock_step(r.clock, 1);
	g_assert_cmpint(take(r.apic[0]), ==, 0x41);
	g_assert_cmpuint(lapic_tsc_deadline(r.apic[0]), ==, 0);
	lapic_mmio_write(r.apic[0], EOI, 0);
	/* The past fires at once; what never comes does not. */
	lapic_set_tsc_deadline(r.apic[0], 1);
	clock_step(r.clock, 0);
	g_assert_cmpint(take(r.apic[0]), ==, 0x41);
	lapic_mmio_write(r.apic[0], EOI, 0);
	lapic_set_tsc_deadline(r.apic[0], UINT64_MAX);
	clock_step(r.clock, 1000000);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	g_assert_cmpuint(lapic_tsc_deadline(r.apic[0]), ==, UINT64_MAX);
	/* Leaving the mode disarms. */
	lapic_set_tsc_deadline(r.apic[0], 2000000);
	lapic_mmio_write(r.apic[0], LVT_TIMER, ONE_SHOT | 0x41);
	clock_step(r.clock, 2000000);
	g_assert_cmpint(take(r.apic[0]), ==, -1);
	rig_fini(&r);
}

/* SDM volume 3, figure 11-27. */
static void test_modes(void)
{
	struct rig r;
	uint64_t base, id = 99;

	rig_init(&r);
	base = lapic_base(r.apic[1]);
	g_assert_false(lapic_msr_read(r.apic[1], 0x802, &id));
	g_assert_false(lapic_set_base(r.apic[1], (base & ~APIC_BASE_EN) | APIC_BASE_EXTD));
	g_assert_true(lapic_set_base(r.apic[1], base | APIC_BASE_EXTD));
	g_assert_true(lapic_msr_read(r.apic[1], 0x802, &id));
	g_assert_cmpuint(id, ==, 1);
	g_assert_false(lapic_msr_write(r.apic[1], 0x802, 5));
	g_assert_false(lapic_msr_write(r.apic[1], 0x80b, 1));
	g_assert_true(lapic_msr_write(r.apic[1], 0x83f, 0x55));
	g_assert_cmpint(take(r.apic[1]), ==, 0x55);
	g_assert_false(lapic_set_base(r.apic[1], base));
	g_assert_true(lapic_set_base(r.apic[1], base & ~APIC_BASE_EN));
	g_assert_false(lapic_set_base(r.apic[1], base | APIC_BASE_EXTD));
	g_assert_true(lapic_set_base(r.apic[1], base));
	rig_fini(&r);
}

static void test_save(void)
{
	g_autoptr(GByteArray) before = g_byte_array_new();
	g_autoptr(GByteArray) after = g_byte_array_new();
	struct state_reader reader;
	struct rig r, other;

	rig_init(&r);
	rig_init(&other);
	lapic_mmio_write(r.apic[0], LVT_TIMER, PERIODIC | 0x42);
	lapic_mmio_write(r.apic[0], INITIAL, 1000);
	msi(&r, 0, 0x31);
	lapic_save(r.apic[0], before);
	reader = (struct state_reader){.data = before->data, .len = before->len};
	g_assert_true(lapic_load(other.apic[0], &reader, NULL));
	lapic_save(other.apic[0], after);
	g_assert_cmpmem(before->data, before->len, after->data, after->len);
	g_assert_cmpint(take(other.apic[0]), ==, 0x31);
	clock_step(other.clock, 1000);
	g_assert_cmpint(take(other.apic[0]), ==, 0x42);
	rig_fini(&r);
	rig_fini(&other);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lapic/messages", test_messages);
	g_test_add_func("/lapic/logical", test_logical);
	g_test_add_func("/lapic/level", test_level);
	g_test_add_func("/lapic/ipi", test_ipi);
	g_test_add_func("/lapic/illegal vector", test_illegal_vector);
	g_test_add_func("/lapic/count", test_count);
	g_test_add_func("/lapic/deadline", test_deadline);
	g_test_add_func("/lapic/modes", test_modes);
	g_test_add_func("/lapic/save", test_save);
	return g_test_run();
}
