/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's arch/x86/kernel/i8259.c does: IRQ 0 at 30h, IRQ 8 at 38h. */
#include "dev/table.h"

#include "rig.h"

enum { MASTER = 0x20, MASTER_IMR = 0x21, SLAVE = 0xa0, SLAVE_IMR = 0xa1, ELCR1 = 0x4d0 };

static void program(struct rig *rig, uint8_t icw4)
{
	rig_out8(rig, MASTER_IMR, 0xff);
	rig_out8(rig, MASTER, 0x11);
	rig_out8(rig, MASTER_IMR, 0x30);
	rig_out8(rig, MASTER_IMR, 0x04);
	rig_out8(rig, MASTER_IMR, icw4);
	rig_out8(rig, SLAVE, 0x11);
	rig_out8(rig, SLAVE_IMR, 0x38);
	rig_out8(rig, SLAVE_IMR, 0x02);
	rig_out8(rig, SLAVE_IMR, 0x01);
	rig_out8(rig, MASTER_IMR, 0);
	rig_out8(rig, SLAVE_IMR, 0);
}

static struct rig *setup(uint8_t icw4)
{
	struct rig *rig = rig_new(&i8259_class, &(struct device_config){0});

	program(rig, icw4);
	return rig;
}

static void line(struct rig *rig, unsigned number, bool level)
{
	irq_line_set(&rig->sources[number], level);
}

static void pulse(struct rig *rig, unsigned number)
{
	irq_line_pulse(&rig->sources[number]);
}

static int ack(struct rig *rig)
{
	return bus_intr_ack(rig->env.bus);
}

static uint8_t isr(struct rig *rig, uint16_t chip)
{
	rig_out8(rig, chip, 0x0b);
	return rig_in8(rig, chip);
}

static uint8_t irr(struct rig *rig, uint16_t chip)
{
	rig_out8(rig, chip, 0x0a);
	return rig_in8(rig, chip);
}

static void test_probe(void)
{
	struct rig *rig = setup(1);

	rig_out8(rig, SLAVE_IMR, 0xff);
	rig_out8(rig, MASTER_IMR, 0xfb);
	g_assert_cmphex(rig_in8(rig, MASTER_IMR), ==, 0xfb);
	g_assert_false(rig->intr);
	rig_free(rig);
}

static void test_priorities(void)
{
	struct rig *rig = setup(1);

	pulse(rig, 3);
	g_assert_true(rig->intr);
	g_assert_cmphex(ack(rig), ==, 0x33);
	g_assert_false(rig->intr);
	/* Lower waits, higher interrupts the service. */
	pulse(rig, 5);
	g_assert_false(rig->intr);
	g_assert_cmphex(irr(rig, MASTER), ==, 0x20);
	pulse(rig, 1);
	g_assert_true(rig->intr);
	g_assert_cmphex(ack(rig), ==, 0x31);
	g_assert_cmphex(isr(rig, MASTER), ==, 0x0a);
	rig_out8(rig, MASTER, 0x61);
	rig_out8(rig, MASTER, 0x20);
	g_assert_cmphex(isr(rig, MASTER), ==, 0);
	g_assert_cmphex(ack(rig), ==, 0x35);
	rig_free(rig);
}

static void test_slave(void)
{
	struct rig *rig = setup(1);

	pulse(rig, 14);
	g_assert_cmphex(irr(rig, MASTER), ==, 0x04);
	g_assert_cmphex(ack(rig), ==, 0x3e);
	g_assert_cmphex(isr(rig, MASTER), ==, 0x04);
	g_assert_cmphex(isr(rig, SLAVE), ==, 0x40);
	/* A higher one of the slave waits for the master's EOI. */
	pulse(rig, 8);
	g_assert_false(rig->intr);
	pulse(rig, 0);
	g_assert_cmphex(ack(rig), ==, 0x30);
	rig_out8(rig, MASTER, 0x60);
	rig_out8(rig, SLAVE, 0x66);
	rig_out8(rig, MASTER, 0x62);
	g_assert_cmphex(ack(rig), ==, 0x38);

	/* ... except in special fully nested mode. */
	program(rig, 0x11);
	pulse(rig, 14);
	g_assert_cmphex(ack(rig), ==, 0x3e);
	pulse(rig, 8);
	g_assert_true(rig->intr);
	g_assert_cmphex(ack(rig), ==, 0x38);
	rig_free(rig);
}

static void test_spurious(void)
{
	struct rig *rig = setup(1);

	pulse(rig, 5);
	rig_out8(rig, MASTER_IMR, 0x20);
	g_assert_false(rig->intr);
	g_assert_cmphex(ack(rig), ==, 0x37);
	g_assert_cmphex(isr(rig, MASTER), ==, 0);
	rig_out8(rig, MASTER_IMR, 0);
	g_assert_cmphex(ack(rig), ==, 0x35);
	rig_free(rig);
}

static void test_level(void)
{
	struct rig *rig = setup(1);

	rig_out16(rig, ELCR1, 0xffff);
	g_assert_cmphex(rig_in8(rig, ELCR1), ==, 0xf8);
	g_assert_cmphex(rig_in8(rig, ELCR1 + 1), ==, 0xde);
	line(rig, 10, true);
	g_assert_cmphex(ack(rig), ==, 0x3a);
	g_assert_false(rig->intr);
	rig_out8(rig, SLAVE, 0x62);
	rig_out8(rig, MASTER, 0x62);
	g_assert_true(rig->intr);
	/* Gone before the acknowledge: no request is left. */
	line(rig, 10, false);
	g_assert_false(rig->intr);
	g_assert_cmphex(ack(rig), ==, 0x37);

	/* A line that is high through ICW1: only level requests survive it. */
	line(rig, 11, true);
	line(rig, 1, true);
	program(rig, 1);
	g_assert_cmphex(ack(rig), ==, 0x3b);
	g_assert_cmphex(irr(rig, MASTER), ==, 0);
	rig_free(rig);
}

static void test_auto_eoi(void)
{
	struct rig *rig = setup(3);

	pulse(rig, 1);
	g_assert_cmphex(ack(rig), ==, 0x31);
	g_assert_cmphex(isr(rig, MASTER), ==, 0);
	pulse(rig, 6);
	g_assert_cmphex(ack(rig), ==, 0x36);
	/* Rotating: the one served goes to the bottom. */
	rig_out8(rig, MASTER, 0x80);
	pulse(rig, 4);
	g_assert_cmphex(ack(rig), ==, 0x34);
	pulse(rig, 4);
	pulse(rig, 6);
	g_assert_cmphex(ack(rig), ==, 0x36);
	rig_free(rig);
}

static void test_rotation(void)
{
	struct rig *rig = setup(1);

	rig_out8(rig, MASTER, 0xc3); /* IR3 lowest */
	pulse(rig, 3);
	pulse(rig, 4);
	g_assert_cmphex(ack(rig), ==, 0x34);
	rig_out8(rig, MASTER, 0xa0); /* rotate on EOI: IR4 lowest */
	pulse(rig, 4);
	g_assert_cmphex(ack(rig), ==, 0x33);
	rig_out8(rig, MASTER, 0xe0); /* on specific EOI of IR0: IR0 lowest; IR3 still in service */
	g_assert_cmphex(isr(rig, MASTER), ==, 0x08);
	pulse(rig, 1);
	g_assert_cmphex(ack(rig), ==, 0x31);
	rig_free(rig);
}

static void test_special_mask(void)
{
	struct rig *rig = setup(1);

	pulse(rig, 1);
	g_assert_cmphex(ack(rig), ==, 0x31);
	pulse(rig, 5);
	rig_out8(rig, MASTER_IMR, 0x02);
	g_assert_false(rig->intr);
	rig_out8(rig, MASTER, 0x68);
	g_assert_true(rig->intr);
	g_assert_cmphex(ack(rig), ==, 0x35);
	/* The unspecific EOI passes over the masked one. */
	rig_out8(rig, MASTER, 0x20);
	g_assert_cmphex(isr(rig, MASTER), ==, 0x02);
	rig_out8(rig, MASTER, 0x48);
	rig_out8(rig, MASTER, 0x20);
	g_assert_cmphex(isr(rig, MASTER), ==, 0);
	rig_free(rig);
}

static void test_poll(void)
{
	struct rig *rig = setup(1);

	rig_out8(rig, MASTER, 0x0c);
	g_assert_cmphex(rig_in8(rig, MASTER), ==, 0);
	pulse(rig, 6);
	rig_out8(rig, MASTER, 0x0c);
	g_assert_cmphex(rig_in8(rig, MASTER), ==, 0x86);
	g_assert_cmphex(isr(rig, MASTER), ==, 0x40);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i8259/probe", test_probe);
	g_test_add_func("/i8259/priorities", test_priorities);
	g_test_add_func("/i8259/slave", test_slave);
	g_test_add_func("/i8259/spurious", test_spurious);
	g_test_add_func("/i8259/level", test_level);
	g_test_add_func("/i8259/auto-eoi", test_auto_eoi);
	g_test_add_func("/i8259/rotation", test_rotation);
	g_test_add_func("/i8259/special-mask", test_special_mask);
	g_test_add_func("/i8259/poll", test_poll);
	return g_test_run();
}
