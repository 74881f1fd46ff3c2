/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's drivers/input/serio/i8042.c does when nothing is plugged in. */
#include "dev/table.h"

#include "rig.h"

enum { DATA = 0x60, STATUS = 0x64, PORT92 = 0x92 };

static struct rig *setup(void)
{
	return rig_new(&i8042_class, &(struct device_config){0});
}

static uint8_t command(struct rig *rig, uint8_t code)
{
	rig_out8(rig, STATUS, code);
	g_assert_cmphex(rig_in8(rig, STATUS) & 0x01, ==, 0x01);
	return rig_in8(rig, DATA);
}

static void test_probe(void)
{
	struct rig *rig = setup();
	uint8_t ctr;

	g_assert_cmphex(rig_in8(rig, STATUS) & 0x13, ==, 0x10);
	g_assert_cmphex(command(rig, 0xaa), ==, 0x55);
	g_assert_cmphex(rig_in8(rig, STATUS) & 0x01, ==, 0);
	ctr = command(rig, 0x20);
	g_assert_cmphex(ctr, ==, 0x30);
	rig_out8(rig, STATUS, 0x60);
	rig_out8(rig, DATA, ctr | 0x44);
	g_assert_cmphex(command(rig, 0x20), ==, 0x74);
	g_assert_cmphex(rig_in8(rig, STATUS) & 0x04, ==, 0x04);
	g_assert_cmphex(command(rig, 0xab), ==, 0);

	/* i8042_check_aux(): the loop, then disable and enable. */
	rig_out8(rig, STATUS, 0xd3);
	rig_out8(rig, DATA, 0x5a);
	g_assert_cmphex(rig_in8(rig, STATUS) & 0x21, ==, 0x21);
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0x5a);
	g_assert_cmphex(command(rig, 0xa9), ==, 0);
	rig_out8(rig, STATUS, 0xa8);
	g_assert_cmphex(command(rig, 0x20) & 0x20, ==, 0);
	rig_out8(rig, STATUS, 0xa7);
	g_assert_cmphex(command(rig, 0x20) & 0x20, ==, 0x20);
	rig_free(rig);
}

/* What atkbd and psmouse hear: a time-out. */
static void test_no_devices(void)
{
	struct rig *rig = setup();

	rig_out8(rig, STATUS, 0x60);
	rig_out8(rig, DATA, 0x47);
	rig_out8(rig, DATA, 0xf2);
	g_assert_cmphex(rig_in8(rig, STATUS) & 0x61, ==, 0x41);
	rig_assert_log(rig, "+1 ");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0xfe);
	rig_assert_log(rig, "-1 ");
	rig_out8(rig, STATUS, 0xd4);
	rig_out8(rig, DATA, 0xf2);
	g_assert_cmphex(rig_in8(rig, STATUS) & 0x61, ==, 0x61);
	rig_assert_log(rig, "+12 ");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0xfe);
	rig_assert_log(rig, "-12 ");
	rig_free(rig);
}

static void test_reset(void)
{
	struct rig *rig = setup();

	rig_out8(rig, STATUS, 0xff);
	rig_assert_log(rig, "");
	rig_out8(rig, STATUS, 0xfe);
	rig_assert_log(rig, "reset ");
	rig_out8(rig, STATUS, 0xd1);
	rig_out8(rig, DATA, 0xdf);
	rig_assert_log(rig, "");
	rig_out8(rig, STATUS, 0xd1);
	rig_out8(rig, DATA, 0xde);
	rig_assert_log(rig, "reset ");
	rig_out8(rig, PORT92, 0x03);
	rig_out8(rig, PORT92, 0x03);
	rig_assert_log(rig, "reset ");
	rig_free(rig);
}

static bool is_open(struct rig *rig)
{
	return atomic_load(&rig->env.mem->a20_mask) >> 20 & 1;
}

static void test_a20(void)
{
	struct rig *rig = setup();

	g_assert_true(is_open(rig));
	g_assert_cmphex(rig_in8(rig, PORT92), ==, 0x02);
	g_assert_cmphex(command(rig, 0xd0) & 0x03, ==, 0x03);
	rig_out8(rig, PORT92, 0);
	g_assert_false(is_open(rig));
	g_assert_cmphex(command(rig, 0xd0) & 0x03, ==, 0x01);
	rig_out8(rig, STATUS, 0xd1);
	rig_out8(rig, DATA, 0xdf);
	g_assert_true(is_open(rig));
	g_assert_cmphex(rig_in8(rig, PORT92), ==, 0x02);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i8042/probe", test_probe);
	g_test_add_func("/i8042/no-devices", test_no_devices);
	g_test_add_func("/i8042/reset", test_reset);
	g_test_add_func("/i8042/a20", test_a20);
	return g_test_run();
}
