/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests, devices and time do to the local APICs, in steps of eight bytes: operation, APIC, register (two bytes,
 * little-endian), value (four). In the end each is saved, and one that is loaded from that is saved as the same.
 */
#include "base/le.h"
#include "cpu/x86/lapic.h"

#include "fuzz.h"

enum { N_APICS = 3, STEP_LEN = 8, MSRS_AT = 0x800, N_MSRS = 0x40, MAX_STEP_NS = 1000 };

struct step {
	struct bus *bus;
	struct clock *clock;
	struct lapic *apic;
	uint16_t reg;
	uint32_t value;
};

static void mmio_read(const struct step *s)
{
	lapic_mmio_read(s->apic, s->reg & 0xffc);
}

static void mmio_write(const struct step *s)
{
	lapic_mmio_write(s->apic, s->reg & 0xffc, s->value);
}

static void msr_read(const struct step *s)
{
	uint64_t value;

	lapic_msr_read(s->apic, MSRS_AT + s->reg % N_MSRS, &value);
}

/* The upper half is the ICR's destination. */
static void msr_write(const struct step *s)
{
	lapic_msr_write(s->apic, MSRS_AT + s->reg % N_MSRS, (uint64_t)(s->reg >> 8) << 32 | s->value);
}

static void set_base(const struct step *s)
{
	lapic_set_base(s->apic, APIC_DEFAULT_BASE | s->reg << 8 | s->value);
}

static void set_deadline(const struct step *s)
{
	lapic_set_tsc_deadline(s->apic, s->value);
	lapic_tsc_deadline(s->apic);
}

static void set_offset(const struct step *s)
{
	lapic_set_tsc_offset(s->apic, (int64_t)(int32_t)s->value);
}

static void set_cr8(const struct step *s)
{
	lapic_set_cr8(s->apic, s->value & 15);
	lapic_cr8(s->apic);
}

/* The value's highest bits are the address's lowest: how the destination is meant. */
static void message(const struct step *s)
{
	bus_msi(s->bus, APIC_DEFAULT_BASE | (uint64_t)s->reg << 4 | (s->value >> 24 & 12), s->value & 0xffff);
}

static void line(const struct step *s)
{
	bus_set_intr(s->bus, s->value & 1);
}

static void smi(const struct step *s)
{
	bus_smi(s->bus);
}

static void pass_time(const struct step *s)
{
	clock_step(s->clock, s->value % MAX_STEP_NS);
}

static void take(const struct step *s)
{
	uint8_t vector;
	bool pending = lapic_pending(s->apic, s->value & LAPIC_ACCEPT_ALL);
	enum lapic_event event = lapic_take(s->apic, s->value & LAPIC_ACCEPT_ALL, &vector);

	/* There is no 8259 to say which interrupt it has. */
	g_assert_true(pending || event == LAPIC_EVENT_NONE);
}

static void reset(const struct step *s)
{
	lapic_reset(s->apic);
}

/* What it would be saved as, but for one byte. */
static void load(const struct step *s)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;

	lapic_save(s->apic, saved);
	saved->data[s->reg % saved->len] ^= s->value;
	reader = (struct state_reader){saved->data, saved->len};
	lapic_load(s->apic, &reader, NULL);
}

static void (*const operations[])(const struct step *s) = {
	mmio_read, mmio_write, msr_read, msr_write, set_base,  set_deadline, set_offset, set_cr8,
	message,   line,       smi,	 take,	    pass_time, reset,	     load,
};

static void assert_saved_same(struct lapic *apic, struct lapic *fresh)
{
	g_autoptr(GByteArray) saved = g_byte_array_new(), again = g_byte_array_new();
	struct state_reader reader;

	lapic_save(apic, saved);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(lapic_load(fresh, &reader, NULL));
	lapic_save(fresh, again);
	g_assert_cmpmem(saved->data, saved->len, again->data, again->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bus *bus = bus_new(), *other_bus = bus_new();
	struct clock *clock = clock_new_manual();
	struct lapic_set *set = lapic_set_new(bus, clock, N_APICS), *other = lapic_set_new(other_bus, clock, N_APICS);

	for (size_t at = 0; len - at >= STEP_LEN; at += STEP_LEN) {
		struct step step = {
			.bus = bus,
			.clock = clock,
			.apic = lapic_get(set, data[at + 1] % N_APICS),
			.reg = le16_load(data + at + 2),
			.value = le32_load(data + at + 4),
		};

		operations[data[at] % G_N_ELEMENTS(operations)](&step);
	}
	for (unsigned i = 0; i < N_APICS; i++)
		assert_saved_same(lapic_get(set, i), lapic_get(other, i));
	lapic_set_free(set);
	lapic_set_free(other);
	clock_free(clock);
	bus_free(bus);
	bus_free(other_bus);
	return 0;
}
