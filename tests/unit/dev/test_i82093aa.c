/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's arch/x86/kernel/apic/io_apic.c does. */
#include "dev/table.h"

#include "rig.h"

#define BASE 0xfec00000ull

enum { LEVEL = 1 << 15, MASKED = 1 << 16, REMOTE_IRR = 1 << 14, LOGICAL = 1 << 11 };

static struct rig *setup(void)
{
	return rig_new(&i82093aa_class, &(struct device_config){.base = BASE});
}

static uint32_t get(struct rig *rig, uint8_t reg)
{
	bus_write(rig->env.bus, BUS_MMIO, BASE, reg, 4);
	return bus_read(rig->env.bus, BUS_MMIO, BASE + 0x10, 4);
}

static void set(struct rig *rig, uint8_t reg, uint32_t value)
{
	bus_write(rig->env.bus, BUS_MMIO, BASE, reg, 4);
	bus_write(rig->env.bus, BUS_MMIO, BASE + 0x10, value, 4);
}

static void program(struct rig *rig, unsigned pin, uint32_t low, uint8_t dest)
{
	set(rig, 0x11 + 2 * pin, (uint32_t)dest << 24);
	set(rig, 0x10 + 2 * pin, low);
}

/* Only the messages of the log. */
static void assert_messages(struct rig *rig, const char *expected)
{
	g_auto(GStrv) words = g_strsplit(rig->log->str, " ", 0);
	g_autoptr(GString) messages = g_string_new(NULL);

	for (char **word = words; *word; word++) {
		if (g_str_has_prefix(*word, "msi:"))
			g_string_append_printf(messages, "%s ", *word + 4);
	}
	g_string_truncate(rig->log, 0);
	g_assert_cmpstr(messages->str, ==, expected);
}

static void test_registers(void)
{
	struct rig *rig = setup();

	g_assert_cmphex(get(rig, 1), ==, 0x00170020);
	set(rig, 0, 0xff000000);
	g_assert_cmphex(get(rig, 0), ==, 0x0f000000);
	g_assert_cmphex(get(rig, 0x10), ==, MASKED);
	set(rig, 0x10 + 2 * 23, 0xffffffff);
	g_assert_cmphex(get(rig, 0x10 + 2 * 23), ==, 0x0001afff);
	set(rig, 0x11 + 2 * 23, 0xffffffff);
	g_assert_cmphex(get(rig, 0x11 + 2 * 23), ==, 0xff000000);
	set(rig, 0x40, 0xffffffff);
	g_assert_cmphex(get(rig, 0x40), ==, 0);
	rig_free(rig);
}

static void test_edge(void)
{
	struct rig *rig = setup();

	/* The timer's line arrives at pin 2. */
	program(rig, 2, 0x30, 0);
	program(rig, 4, 0x34 | LOGICAL, 0x03);
	irq_line_pulse(&rig->sources[0]);
	irq_line_pulse(&rig->sources[2]);
	irq_line_pulse(&rig->sources[4]);
	assert_messages(rig, "fee00000:4030 fee03004:4034 ");
	/* Masked, an edge is lost. */
	program(rig, 4, 0x34 | MASKED, 1);
	irq_line_set(&rig->sources[4], true);
	program(rig, 4, 0x34, 1);
	assert_messages(rig, "");
	irq_line_set(&rig->sources[4], false);
	irq_line_set(&rig->sources[4], true);
	assert_messages(rig, "fee01000:4034 ");
	/* ExtINT and NMI carry their delivery mode. */
	program(rig, 5, 0x700, 0);
	program(rig, 6, 0x400, 0);
	irq_line_pulse(&rig->sources[5]);
	irq_line_pulse(&rig->sources[6]);
	assert_messages(rig, "fee00000:4700 fee00000:4400 ");
	rig_free(rig);
}

static void test_level(void)
{
	struct rig *rig = setup();

	program(rig, 16, 0x51 | LEVEL, 0);
	irq_line_set(&rig->sources[16], true);
	assert_messages(rig, "fee00000:c051 ");
	g_assert_cmphex(get(rig, 0x30), ==, 0x51 | LEVEL | REMOTE_IRR);
	/* In service: once is enough, whatever the line does. */
	irq_line_set(&rig->sources[16], false);
	irq_line_set(&rig->sources[16], true);
	set(rig, 0x30, 0x51 | LEVEL);
	assert_messages(rig, "");
	/* Another vector's end is none of its business; its own finds the line still high. */
	bus_eoi(rig->env.bus, 0x52);
	assert_messages(rig, "");
	bus_eoi(rig->env.bus, 0x51);
	assert_messages(rig, "fee00000:c051 ");
	irq_line_set(&rig->sources[16], false);
	bus_write(rig->env.bus, BUS_MMIO, BASE + 0x40, 0x51, 4);
	g_assert_cmphex(get(rig, 0x30), ==, 0x51 | LEVEL);
	assert_messages(rig, "");

	/* Masked it waits; unmasked it comes. */
	program(rig, 16, 0x51 | LEVEL | MASKED, 0);
	irq_line_set(&rig->sources[16], true);
	assert_messages(rig, "");
	program(rig, 16, 0x51 | LEVEL, 0);
	assert_messages(rig, "fee00000:c051 ");

	/* The old way to end one: edge and back. */
	set(rig, 0x30, 0x51 | MASKED);
	g_assert_cmphex(get(rig, 0x30), ==, 0x51 | MASKED);
	set(rig, 0x30, 0x51 | LEVEL);
	assert_messages(rig, "fee00000:c051 ");
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i82093aa/registers", test_registers);
	g_test_add_func("/i82093aa/edge", test_edge);
	g_test_add_func("/i82093aa/level", test_level);
	return g_test_run();
}
