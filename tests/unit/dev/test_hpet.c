/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timers as Linux sets them: clock source, one shot, periodic. */
#include "dev/table.h"
#include "rig.h"

#define BASE 0xfed00000ull

enum { ID = 0, CONF = 0x10, STATUS = 0x20, COUNTER = 0xf0, LINE = 20 };
enum { LEVEL = 2, ENABLE = 4, PERIODIC = 8, SET = 0x40, MODE32 = 0x100, ROUTE = LINE << 9 };

static unsigned conf(unsigned n)
{
	return 0x100 + 0x20 * n;
}

static uint64_t get(struct rig *rig, unsigned reg, unsigned size)
{
	return bus_read(rig->env.bus, BUS_MMIO, BASE + reg, size);
}

static void set(struct rig *rig, unsigned reg, uint64_t value, unsigned size)
{
	bus_write(rig->env.bus, BUS_MMIO, BASE + reg, value, size);
}

static struct rig *setup(void)
{
	return rig_new_row(rig_row_of(&hpet_class));
}

static void test_counter(void)
{
	struct rig *rig = setup();

	g_assert_cmphex(get(rig, ID, 8), ==, 0x0098968080862201ull);
	g_assert_cmphex(get(rig, ID + 4, 4), ==, 10000000);
	clock_step(rig->env.clock, S);
	g_assert_cmphex(get(rig, COUNTER, 8), ==, 0);
	set(rig, COUNTER, 0xfffffff0, 8);
	set(rig, CONF, 1, 4);
	clock_step(rig->env.clock, 200);
	g_assert_cmphex(get(rig, COUNTER, 8), ==, 0x100000004);
	g_assert_cmphex(get(rig, COUNTER + 4, 4), ==, 1);
	set(rig, COUNTER, 0, 8); /* not while it runs */
	g_assert_cmphex(get(rig, COUNTER, 4), ==, 4);
	set(rig, CONF, 0, 4);
	clock_step(rig->env.clock, S);
	g_assert_cmphex(get(rig, COUNTER, 8), ==, 0x100000004);
	rig_free(rig);
}

static void test_one_shot(void)
{
	struct rig *rig = setup();

	set(rig, CONF, 1, 4);
	set(rig, conf(1), ENABLE | ROUTE | MODE32, 4);
	set(rig, conf(1) + 8, 100000, 4); /* 1 ms */
	clock_step(rig->env.clock, MS - 1);
	rig_assert_log(rig, "");
	clock_step(rig->env.clock, 1);
	rig_assert_log(rig, "+20 -20 ");
	g_assert_cmphex(get(rig, STATUS, 4), ==, 0);
	/* Again when 32 bits have wrapped. */
	clock_step(rig->env.clock, (1ll << 32) * 10 - 1);
	rig_assert_log(rig, "");
	clock_step(rig->env.clock, 1);
	rig_assert_log(rig, "+20 -20 ");
	rig_free(rig);
}

static void test_periodic(void)
{
	struct rig *rig = setup();

	set(rig, CONF, 1, 4);
	set(rig, conf(0), ENABLE | ROUTE | PERIODIC | SET, 4);
	set(rig, conf(0) + 8, 200000, 8);
	g_assert_cmphex(get(rig, conf(0), 4) & SET, ==, 0);
	set(rig, conf(0) + 8, 100000, 8);
	g_assert_cmpuint(get(rig, conf(0) + 8, 8), ==, 200000);
	clock_step(rig->env.clock, 2 * MS);
	rig_assert_log(rig, "+20 -20 ");
	clock_step(rig->env.clock, 3 * MS);
	rig_assert_log(rig, "+20 -20 +20 -20 +20 -20 ");
	g_assert_cmpuint(get(rig, conf(0) + 8, 8), ==, 600000);
	rig_free(rig);
}

static void test_level(void)
{
	struct rig *rig = setup();

	set(rig, CONF, 1, 4);
	set(rig, conf(2), ENABLE | LEVEL | ROUTE, 4);
	set(rig, conf(2) + 8, 100, 8);
	clock_step(rig->env.clock, MS);
	rig_assert_log(rig, "+20 ");
	g_assert_cmphex(get(rig, STATUS, 4), ==, 4);
	/* Another line; one that is not to be had. */
	set(rig, conf(2), ENABLE | LEVEL | 23 << 9, 4);
	rig_assert_log(rig, "-20 +23 ");
	set(rig, conf(2), ENABLE | LEVEL | 2 << 9, 4);
	rig_assert_log(rig, "");
	g_assert_cmphex(get(rig, conf(2), 8), ==, 0x00f0000000000030ull | ENABLE | LEVEL | 23 << 9);
	set(rig, STATUS, 3, 4);
	rig_assert_log(rig, "");
	set(rig, STATUS, 4, 4);
	rig_assert_log(rig, "-23 ");
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/hpet/counter", test_counter);
	g_test_add_func("/hpet/one-shot", test_one_shot);
	g_test_add_func("/hpet/periodic", test_periodic);
	g_test_add_func("/hpet/level", test_level);
	return g_test_run();
}
