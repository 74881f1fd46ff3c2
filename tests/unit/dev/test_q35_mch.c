/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host bridge as firmware and Linux use it: configuration through memory, root ports and what is behind them. */
#include "dev/pci/q35_mch.h"

#include <string.h>

#include "dev/table.h"
#include "rig.h"

enum {
	SMRAM = 0x9d,
	ESMRAMC = 0x9e,
	PORT_DEVFN = PCI_DEVFN(28, 1),
	BRIDGE_BUSES = 0x18,
	BRIDGE_MEMORY = 0x20,
	RNG_MSIX_BAR = PCI_BAR_0 + 4,
};
#define WINDOW 0xb0000000ull

static uint64_t config_at(unsigned bus, unsigned devfn, unsigned reg)
{
	return WINDOW + (PCI_ADDRESS(bus, devfn) << 12 | reg);
}

static uint32_t get(struct rig *rig, unsigned bus, unsigned devfn, unsigned reg)
{
	return bus_read(rig->env.bus, BUS_MMIO, config_at(bus, devfn, reg), 4);
}

static void set(struct rig *rig, unsigned bus, unsigned devfn, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(rig->env.bus, BUS_MMIO, config_at(bus, devfn, reg), value, size);
}

static struct rig *setup(void)
{
	struct rig *rig = rig_new(&q35_mch_class, &(struct device_config){0});

	rig_config_write(rig, 0, Q35_PCIEXBAR, WINDOW | Q35_PCIEXBAR_ENABLE);
	return rig;
}

static void test_window(void)
{
	struct rig *rig = setup();
	struct device *port = device_new(&ich9_root_port_class, &rig->env,
					 &(struct device_config){.devfn = PORT_DEVFN}, NULL);

	g_assert_cmphex(get(rig, 0, 0, 0), ==, 0x29c08086);
	g_assert_cmphex(get(rig, 0, 0, PCI_SUBSYSTEM_VENDOR_ID), ==, 0x11001af4);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, 0), ==, 0x29428086);
	g_assert_cmphex(get(rig, 0, 8, 0), ==, 0xffffffff);
	g_assert_cmphex(get(rig, 1, 0, 0), ==, 0xffffffff);
	/* Over two dwords, byte by byte. */
	g_assert_cmphex(get(rig, 0, 0, 2), ==, 0x000629c0);
	/* Past 256 bytes an Express function has nothing, and a conventional one is not there. */
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, 0x100), ==, 0);
	g_assert_cmphex(get(rig, 0, 0, 0x100), ==, 0xffffffff);
	set(rig, 0, PORT_DEVFN, 0xffc, 1, 4);
	/* It moves, shrinks and goes. */
	rig_config_write(rig, 0, Q35_PCIEXBAR, 0xc0000000 | 2 << 1 | 1);
	g_assert_cmphex(get(rig, 0, 0, 0), ==, 0xffffffff);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, 0xc0000000, 4), ==, 0x29c08086);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, 0xc4000000, 4), ==, 0xffffffff);
	rig_config_write(rig, 0, Q35_PCIEXBAR, 0xc0000000 | 3 << 1 | 1);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, 0xc0000000, 4), ==, 0xffffffff);
	device_reset(rig->device);
	device_free(port);
	rig_free(rig);
}

static uint32_t pin_line(struct rig *rig, unsigned bus, unsigned devfn)
{
	return get(rig, bus, devfn, PCI_INTERRUPT_LINE) & 0xff;
}

/* A board without firmware: buses are numbered, windows hold what is behind. */
static void test_assigned(void)
{
	struct rig *rig = setup();
	struct device *port = device_new(&ich9_root_port_class, &rig->env,
					 &(struct device_config){.devfn = PORT_DEVFN}, NULL);
	struct device *empty = device_new(&ich9_root_port_class, &rig->env,
					  &(struct device_config){.devfn = PORT_DEVFN + 1}, NULL);
	struct device_config behind = {.bridge = PORT_DEVFN, .devfn = PCI_DEVFN(2, 0)};
	struct device *rng = device_new(&virtio_rng_class, &rig->env, &behind, NULL);
	uint32_t bar;

	g_assert_true(pci_assign_bars(rig->env.pci, NULL));
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, BRIDGE_BUSES), ==, 0x010100);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN + 1, BRIDGE_BUSES), ==, 0x020200);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, BRIDGE_MEMORY), ==, 0xe000e000);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN + 1, BRIDGE_MEMORY), ==, 0x0000fff0);
	g_assert_cmphex(get(rig, 1, PCI_DEVFN(2, 0), 0), ==, 0x10441af4);
	/* INTA of slot 2 is the port's INTC. */
	g_assert_cmpuint(pin_line(rig, 1, PCI_DEVFN(2, 0)), ==, q35_gsi(28, 2));
	g_assert_cmpuint(pin_line(rig, 0, PORT_DEVFN), ==, q35_gsi(28, 1));
	/* Both have to decode. */
	bar = get(rig, 1, PCI_DEVFN(2, 0), RNG_MSIX_BAR);
	set(rig, 1, PCI_DEVFN(2, 0), PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, bar + 12, 4), ==, 0xffffffff);
	set(rig, 0, PORT_DEVFN, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, bar + 12, 4), ==, 1);
	/* The window ends before; it moves away; the prefetchable one comes. */
	set(rig, 0, PORT_DEVFN, BRIDGE_MEMORY, 0xdff0d000, 4);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, bar + 12, 4), ==, 0xffffffff);
	set(rig, 0, PORT_DEVFN, BRIDGE_MEMORY, 0xf000f000, 4);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, bar + 12, 4), ==, 0xffffffff);
	set(rig, 0, PORT_DEVFN, BRIDGE_MEMORY + 4, 0xe000e000, 4);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, bar + 12, 4), ==, 1);
	set(rig, 0, PORT_DEVFN, BRIDGE_MEMORY + 8, 1, 4); /* above 4 GiB */
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, bar + 12, 4), ==, 0xffffffff);
	/* Another number. */
	set(rig, 0, PORT_DEVFN, BRIDGE_BUSES + 1, 7, 1);
	g_assert_cmphex(get(rig, 1, PCI_DEVFN(2, 0), 0), ==, 0xffffffff);
	g_assert_cmphex(get(rig, 7, PCI_DEVFN(2, 0), 0), ==, 0x10441af4);
	device_reset(port);
	g_assert_cmphex(get(rig, 7, PCI_DEVFN(2, 0), 0), ==, 0xffffffff);
	device_free(rng);
	device_free(empty);
	device_free(port);
	rig_free(rig);
}

static void test_root_port(void)
{
	struct rig *rig = setup();
	struct device *port = device_new(&ich9_root_port_class, &rig->env,
					 &(struct device_config){.devfn = PORT_DEVFN}, NULL);
	unsigned express = get(rig, 0, PORT_DEVFN, PCI_CAPABILITIES) & 0xff;

	g_assert_cmphex(get(rig, 0, PORT_DEVFN, PCI_REVISION_ID) >> 8, ==, 0x060400);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, PCI_CACHE_LINE_SIZE) >> 16 & 0xff, ==, 0x81);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, express) >> 16, ==, 0x42); /* version 2, root port */
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, express) & 0xff, ==, PCI_CAP_ID_EXPRESS);
	g_assert_cmphex(get(rig, 0, PORT_DEVFN, express + 0x10) >> 16, ==, 0x11); /* one lane at 2.5 GT/s */
	device_free(port);
	rig_free(rig);
}

static bool reaches(struct rig *rig, uint64_t gpa)
{
	return mem_is_ram(rig->env.mem, gpa);
}

static void test_memory(void)
{
	struct rig *rig = setup();

	g_assert_false(reaches(rig, 0xf0000));
	rig_config_write(rig, 0, Q35_PAM0, 0x33333330);
	g_assert_true(reaches(rig, 0xf0000) && reaches(rig, 0xc0000) && !reaches(rig, 0xd8000));
	/* SMRAM at A0000h. */
	g_assert_false(reaches(rig, 0xa0000));
	set(rig, 0, 0, SMRAM, 0x4a, 1);
	g_assert_true(reaches(rig, 0xa0000));
	/* TSEG: the last MiB, 2 or 8; closed unless SMRAM is open. */
	set(rig, 0, 0, ESMRAMC, 0x01, 1);
	g_assert_true(reaches(rig, MEM_MIN_SIZE - 1));
	set(rig, 0, 0, SMRAM, 0x0a, 1);
	g_assert_true(reaches(rig, MEM_MIN_SIZE - (1 << 20) - 1) && !reaches(rig, MEM_MIN_SIZE - (1 << 20)) &&
		      !reaches(rig, MEM_MIN_SIZE - 1));
	set(rig, 0, 0, ESMRAMC, 0x05, 1);
	g_assert_true(reaches(rig, MEM_MIN_SIZE - (8 << 20) - 1) && !reaches(rig, MEM_MIN_SIZE - (8 << 20)));
	/* Locked, both in one write. */
	set(rig, 0, 0, SMRAM, 0x1a, 1);
	set(rig, 0, 0, SMRAM, 0x004a, 2);
	g_assert_cmphex(get(rig, 0, 0, SMRAM - 1) >> 8 & 0xffff, ==, 0x3d1a);
	g_assert_false(reaches(rig, 0xa0000) || reaches(rig, MEM_MIN_SIZE - 1));
	device_reset(rig->device);
	g_assert_true(reaches(rig, MEM_MIN_SIZE - 1) && !reaches(rig, 0xf0000));
	rig_free(rig);
}

static void test_reset_register(void)
{
	struct rig *rig = setup();

	rig_out8(rig, 0xcf9, 0x0a);
	rig_assert_log(rig, "");
	rig_out8(rig, 0xcf9, 0x0e);
	rig_assert_log(rig, "reset ");
	g_assert_cmphex(rig_in8(rig, 0xcf9), ==, 0x0e);
	rig_free(rig);
}

static void test_wiring(void)
{
	/* Slot, INTA's line, as SeaBIOS and OVMF know it. */
	static const uint8_t expected[][2] = {{0, 20}, {1, 21}, {3, 23}, {24, 20}, {25, 16}, {28, 16}, {30, 20},
					      {31, 16}};

	for (size_t i = 0; i < G_N_ELEMENTS(expected); i++)
		g_assert_cmpuint(q35_gsi(expected[i][0], 0), ==, expected[i][1]);
	g_assert_cmpuint(q35_gsi(3, 1), ==, 20);
	g_assert_cmpuint(q35_gsi(31, 3), ==, 19);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/q35_mch/window", test_window);
	g_test_add_func("/q35_mch/assigned", test_assigned);
	g_test_add_func("/q35_mch/root-port", test_root_port);
	g_test_add_func("/q35_mch/memory", test_memory);
	g_test_add_func("/q35_mch/reset-register", test_reset_register);
	g_test_add_func("/q35_mch/wiring", test_wiring);
	return g_test_run();
}
