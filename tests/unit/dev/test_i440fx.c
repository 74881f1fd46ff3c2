/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory controller as SeaBIOS uses it: the BIOS in its ROM, copied into RAM and locked there; SMRAM. */
#include <string.h>

#include "dev/table.h"

enum { PAM0 = 0x59, SMRAM = 0x72, ROM_SIZE = 0x40000 };

struct board {
	struct mem *mem;
	struct bus *bus;
};

static void config_write8(struct board *b, unsigned reg, uint8_t value)
{
	bus_write(b->bus, BUS_PIO, 0xcf8, 0x80000000u | (reg & 0xfc), 4);
	bus_write(b->bus, BUS_PIO, 0xcfc + (reg & 3), value, 1);
}

static uint8_t config_read8(struct board *b, unsigned reg)
{
	bus_write(b->bus, BUS_PIO, 0xcf8, 0x80000000u | (reg & 0xfc), 4);
	return bus_read(b->bus, BUS_PIO, 0xcfc + (reg & 3), 1);
}

/* As the processors do: memory where it answers, else the bus. */
static uint8_t read8(struct board *b, uint64_t gpa)
{
	uint8_t byte;

	return mem_read(b->mem, gpa, &byte, 1) ? byte : bus_read(b->bus, BUS_MMIO, gpa, 1);
}

static void write8(struct board *b, uint64_t gpa, uint8_t byte)
{
	if (!mem_write(b->mem, gpa, &byte, 1))
		bus_write(b->bus, BUS_MMIO, gpa, byte, 1);
}

static struct device *new_bridge(struct board *b, struct device_env *env, bool rom)
{
	struct device_config config = {0};
	struct device *bridge;

	*env = (struct device_env){.mem = mem_new(MEM_MIN_SIZE, NULL), .bus = bus_new()};
	b->mem = env->mem;
	b->bus = env->bus;
	if (rom) {
		config.bios = mem_bank_new(env->mem, ROM_SIZE, NULL);
		memset(mem_bank_data(config.bios), 0x22, ROM_SIZE - 0x20000);
		memset(mem_bank_data(config.bios) + ROM_SIZE - 0x20000, 0xb1, 0x20000);
	}
	bridge = device_new(&i440fx_class, env, &config, NULL);
	g_assert_nonnull(bridge);
	return bridge;
}

static void free_bridge(struct device *bridge, struct device_env *env)
{
	device_free(bridge);
	bus_free(env->bus);
	mem_free(env->mem);
}

static void test_shadow(void)
{
	struct device_env env;
	struct board b;
	struct device *bridge = new_bridge(&b, &env, true);

	g_assert_cmphex(read8(&b, 0xfffff), ==, 0xb1);
	g_assert_cmphex(read8(&b, 0xe0000), ==, 0xb1);
	g_assert_cmphex(read8(&b, 0xdffff), ==, 0xff);
	write8(&b, 0xf0000, 1);
	/* Writes to RAM, reads from the ROM: how it is copied onto itself. */
	config_write8(&b, PAM0, 0x20);
	write8(&b, 0xf0000, 2);
	g_assert_cmphex(read8(&b, 0xf0000), ==, 0xb1);
	config_write8(&b, PAM0, 0x10);
	g_assert_cmphex(read8(&b, 0xf0000), ==, 2);
	write8(&b, 0xf0000, 3);
	g_assert_cmphex(read8(&b, 0xf0000), ==, 2);
	config_write8(&b, PAM0, 0x30);
	write8(&b, 0xf0000, 4);
	g_assert_cmphex(read8(&b, 0xf0000), ==, 4);
	/* 16 KiB each: CC000h is PAM2's upper half. */
	config_write8(&b, PAM0 + 2, 0x30);
	write8(&b, 0xcc000, 5);
	g_assert_cmphex(read8(&b, 0xcc000), ==, 5);
	write8(&b, 0xcbfff, 6);
	write8(&b, 0xd0000, 6);
	g_assert_cmphex(read8(&b, 0xcbfff), ==, 0xff);
	g_assert_cmphex(read8(&b, 0xd0000), ==, 0xff);
	device_reset(bridge);
	g_assert_cmphex(read8(&b, 0xf0000), ==, 0xb1);
	g_assert_cmphex(read8(&b, 0xcc000), ==, 0xff);
	free_bridge(bridge, &env);
}

static void test_no_rom(void)
{
	struct device_env env;
	struct board b;
	struct device *bridge = new_bridge(&b, &env, false);

	g_assert_cmphex(read8(&b, 0xf0000), ==, 0xff);
	config_write8(&b, PAM0, 0x30);
	g_assert_cmphex(read8(&b, 0xf0000), ==, 0);
	free_bridge(bridge, &env);
}

static void test_smram(void)
{
	struct device_env env;
	struct board b;
	struct device *bridge = new_bridge(&b, &env, false);

	g_assert_false(mem_is_ram(b.mem, 0xa0000));
	config_write8(&b, SMRAM, 0x48);
	g_assert_cmphex(config_read8(&b, SMRAM), ==, 0x4a);
	g_assert_true(mem_is_ram(b.mem, 0xbffff));
	config_write8(&b, SMRAM, 0x40);
	g_assert_false(mem_is_ram(b.mem, 0xbffff));
	/* Locked: closed, and only D_CLS can be changed. */
	config_write8(&b, SMRAM, 0x58);
	g_assert_cmphex(config_read8(&b, SMRAM), ==, 0x1a);
	config_write8(&b, SMRAM, 0x68);
	g_assert_cmphex(config_read8(&b, SMRAM), ==, 0x3a);
	g_assert_false(mem_is_ram(b.mem, 0xa0000));
	device_reset(bridge);
	g_assert_cmphex(config_read8(&b, SMRAM), ==, 0x02);
	free_bridge(bridge, &env);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i440fx/shadow", test_shadow);
	g_test_add_func("/i440fx/no-rom", test_no_rom);
	g_test_add_func("/i440fx/smram", test_smram);
	return g_test_run();
}
