/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux does: clockevents of i8253.c, TSC calibration of arch/x86/kernel/tsc.c. */
#include "dev/table.h"

#include "rig.h"

#define HZ 1193182

enum { CH0 = 0x40, CH2 = 0x42, CONTROL = 0x43, PORT61 = 0x61 };

static struct rig *setup(void)
{
	return rig_new(&i8254_class, &(struct device_config){0});
}

/* To the first nanosecond of `tick`. */
static void step_to_tick(struct rig *rig, int64_t tick)
{
	int64_t ns = (tick * S + HZ - 1) / HZ;

	clock_step(rig->env.clock, ns - clock_now_ns(rig->env.clock));
}

static void program(struct rig *rig, unsigned channel, uint8_t control, uint16_t count)
{
	rig_out8(rig, CONTROL, control);
	rig_out8(rig, CH0 + channel, count);
	rig_out8(rig, CH0 + channel, count >> 8);
}

static uint16_t read_count(struct rig *rig, unsigned channel)
{
	uint8_t low;

	rig_out8(rig, CONTROL, channel << 6);
	low = rig_in8(rig, CH0 + channel);
	return rig_in8(rig, CH0 + channel) << 8 | low;
}

static uint8_t read_status(struct rig *rig, unsigned channel)
{
	rig_out8(rig, CONTROL, 0xe0 | 2 << channel);
	return rig_in8(rig, CH0 + channel);
}

static unsigned rises(struct rig *rig)
{
	unsigned n = 0;

	for (const char *p = rig->log->str; *p; p++)
		n += *p == '+';
	g_string_truncate(rig->log, 0);
	return n;
}

static void test_periodic(void)
{
	struct rig *rig = setup();
	unsigned latch = (HZ + 125) / 250;

	program(rig, 0, 0x34, latch);
	rises(rig);
	/* The count is loaded a tick after the write, and its cycle ends on a rise. */
	step_to_tick(rig, latch);
	g_assert_cmpuint(rises(rig), ==, 0);
	step_to_tick(rig, latch + 1);
	g_assert_cmpuint(rises(rig), ==, 1);
	step_to_tick(rig, 1 + 250 * latch);
	g_assert_cmpuint(rises(rig), ==, 249);
	g_assert_cmpuint(read_count(rig, 0), ==, latch);
	step_to_tick(rig, 1 + 251 * latch - 1);
	g_assert_cmpuint(read_count(rig, 0), ==, 1);
	g_assert_cmphex(read_status(rig, 0), ==, 0x34);

	/* Shut down as pit_shutdown() does: silence. */
	program(rig, 0, 0x30, 0);
	rises(rig);
	clock_step(rig->env.clock, 20 * MS);
	g_assert_cmpuint(rises(rig), ==, 0);
	rig_free(rig);
}

static void test_oneshot(void)
{
	struct rig *rig = setup();

	rig_out8(rig, CONTROL, 0x38);
	for (unsigned i = 0; i < 3; i++) {
		int64_t start = i * 100000;

		step_to_tick(rig, start);
		rises(rig);
		rig_out8(rig, CH0, 0xe8);
		rig_out8(rig, CH0, 0x03);
		step_to_tick(rig, start + 1001);
		g_assert_cmpuint(rises(rig), ==, 0);
		g_assert_cmphex(read_status(rig, 0) & 0x80, ==, 0);
		step_to_tick(rig, start + 50000);
		g_assert_cmpuint(rises(rig), ==, 1);
		g_assert_cmphex(read_status(rig, 0), ==, 0xb8);
	}
	rig_free(rig);
}

static void test_square_wave(void)
{
	struct rig *rig = setup();

	/* Odd: high for 3 ticks, low for 2; the count goes by twos from 4. */
	program(rig, 0, 0x36, 5);
	for (unsigned i = 0; i < 15; i++) {
		static const uint8_t counts[] = {4, 2, 0, 4, 2};

		step_to_tick(rig, 1 + i);
		g_assert_cmpuint(read_status(rig, 0) >> 7, ==, i % 5 < 3);
		g_assert_cmpuint(read_count(rig, 0), ==, counts[i % 5]);
	}
	/* A new count takes over at the end of the half. */
	step_to_tick(rig, 17);
	program(rig, 0, 0x36, 100);
	step_to_tick(rig, 17 + 1 + 10);
	rig_out8(rig, CH0, 20);
	rig_out8(rig, CH0, 0);
	g_assert_cmphex(read_status(rig, 0) & 0x40, ==, 0x40);
	step_to_tick(rig, 18 + 49);
	g_assert_cmphex(read_status(rig, 0) & 0xc0, ==, 0xc0);
	for (unsigned i = 0; i < 60; i++) {
		step_to_tick(rig, 18 + 50 + i);
		g_assert_cmpuint(read_status(rig, 0) >> 6, ==, i / 10 % 2 ? 2 : 0);
	}
	rig_free(rig);
}

static void test_rate_change(void)
{
	struct rig *rig = setup();

	program(rig, 0, 0x34, 100);
	step_to_tick(rig, 51);
	rises(rig);
	rig_out8(rig, CH0, 30);
	rig_out8(rig, CH0, 0);
	step_to_tick(rig, 100);
	g_assert_cmpuint(rises(rig), ==, 0);
	step_to_tick(rig, 101);
	g_assert_cmpuint(rises(rig), ==, 1);
	step_to_tick(rig, 101 + 300);
	g_assert_cmpuint(rises(rig), ==, 10);
	rig_free(rig);
}

/* An edge that was due when the VM was stopped is not lost, nor doubled. */
static void test_restore_due_edge(void)
{
	struct rig *a = setup(), *b = setup();

	program(a, 0, 0x34, 1000);
	clock_set_ns(a->env.clock, MS);
	rig_clone(b, a);
	clock_run_due(b->env.clock);
	g_assert_cmpuint(rises(b), ==, 1);
	clock_run_due(b->env.clock);
	g_assert_cmpuint(rises(b), ==, 0);
	rig_free(a);
	rig_free(b);
}

/* quick_pit_calibrate(): count 0 in mode 0, then the high byte is watched falling. */
static void test_quick_calibration(void)
{
	struct rig *rig = setup();

	rig_out8(rig, PORT61, (rig_in8(rig, PORT61) & ~0x02) | 0x01);
	rig_out8(rig, CONTROL, 0xb0);
	rig_out8(rig, CH2, 0xff);
	rig_out8(rig, CH2, 0xff);
	for (unsigned i = 0; i < 0x80; i++) {
		step_to_tick(rig, 1 + 256 * i);
		rig_in8(rig, CH2);
		g_assert_cmphex(rig_in8(rig, CH2), ==, 0xff - i);
	}
	rig_free(rig);
}

/* pit_calibrate_tsc(): 10 ms on channel 2, then OUT shows at port 61h. */
static void test_calibration(void)
{
	struct rig *rig = setup();
	unsigned latch = HZ / 100;

	rig_out8(rig, PORT61, (rig_in8(rig, PORT61) & ~0x02) | 0x01);
	program(rig, 2, 0xb0, latch);
	step_to_tick(rig, latch);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x21, ==, 0x01);
	step_to_tick(rig, latch + 1);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x21, ==, 0x21);
	/* It counts on, past zero. */
	step_to_tick(rig, latch + 11);
	g_assert_cmphex(read_count(rig, 2), ==, 0xfff6);
	rig_free(rig);
}

static void test_gate(void)
{
	struct rig *rig = setup();

	/* Mode 0: the gate holds the count. */
	rig_out8(rig, PORT61, 1);
	program(rig, 2, 0xb0, 1000);
	step_to_tick(rig, 101);
	rig_out8(rig, PORT61, 0);
	step_to_tick(rig, 5000);
	g_assert_cmpuint(read_count(rig, 2), ==, 900);
	rig_out8(rig, PORT61, 1);
	step_to_tick(rig, 5000 + 899);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0);
	step_to_tick(rig, 5000 + 900);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0x20);

	/* Mode 1: its rising edge starts a pulse, and starts it anew. */
	rig_out8(rig, PORT61, 0);
	program(rig, 2, 0xb2, 100);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0x20);
	step_to_tick(rig, 7000);
	rig_out8(rig, PORT61, 1);
	step_to_tick(rig, 7050);
	rig_out8(rig, PORT61, 0);
	rig_out8(rig, PORT61, 1);
	step_to_tick(rig, 7149);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0);
	step_to_tick(rig, 7150);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0x20);

	/* Mode 3: low forces the output high, and the rising edge starts a cycle. */
	program(rig, 2, 0xb6, 100);
	step_to_tick(rig, 8000 + 60);
	rig_out8(rig, PORT61, 0);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0x20);
	rig_out8(rig, PORT61, 1);
	step_to_tick(rig, 8060 + 49);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0x20);
	step_to_tick(rig, 8060 + 50);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0x20, ==, 0);
	rig_free(rig);
}

static void test_bcd(void)
{
	struct rig *rig = setup();

	program(rig, 0, 0x31, 0x1000);
	step_to_tick(rig, 1 + 1);
	g_assert_cmphex(read_count(rig, 0), ==, 0x0999);
	step_to_tick(rig, 1 + 1001);
	g_assert_cmphex(read_count(rig, 0), ==, 0x9999);
	program(rig, 0, 0x35, 0);
	step_to_tick(rig, 1002 + 1 + 1);
	g_assert_cmphex(read_count(rig, 0), ==, 0x9999);
	rig_free(rig);
}

static void test_latches(void)
{
	struct rig *rig = setup();

	program(rig, 0, 0x34, 1000);
	g_assert_cmphex(read_status(rig, 0), ==, 0xf4); /* null count: not loaded yet */
	step_to_tick(rig, 101);
	/* Both latched: status first, then the count of that moment, low byte first. */
	rig_out8(rig, CONTROL, 0xc2);
	step_to_tick(rig, 201);
	rig_out8(rig, CONTROL, 0xc2);
	g_assert_cmphex(rig_in8(rig, CH0), ==, 0xb4);
	g_assert_cmphex(rig_in8(rig, CH0), ==, 900 & 0xff);
	g_assert_cmphex(rig_in8(rig, CH0), ==, 900 >> 8);
	/* Unlatched, the count is live. */
	g_assert_cmphex(rig_in8(rig, CH0), ==, 800 & 0xff);
	g_assert_cmphex(rig_in8(rig, CH0), ==, 800 >> 8);

	/* One byte only. */
	rig_out8(rig, CONTROL, 0x24);
	rig_out8(rig, CH0, 2);
	step_to_tick(rig, 202);
	g_assert_cmphex(rig_in8(rig, CH0), ==, 2);
	g_assert_cmphex(rig_in8(rig, CH0), ==, 2);
	rig_free(rig);
}

static void test_port61(void)
{
	struct rig *rig = setup();
	unsigned toggles = 0;
	uint8_t last = 0;

	rig_out8(rig, PORT61, 0xfe);
	g_assert_cmphex(rig_in8(rig, PORT61) & 0xcf, ==, 0x0e);
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t now = rig_in8(rig, PORT61) & 0x10;

		toggles += now != last;
		last = now;
		clock_step(rig->env.clock, 1000);
	}
	g_assert_cmpuint(toggles, ==, 1000 * 1000 / 15085);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i8254/periodic", test_periodic);
	g_test_add_func("/i8254/oneshot", test_oneshot);
	g_test_add_func("/i8254/square-wave", test_square_wave);
	g_test_add_func("/i8254/rate-change", test_rate_change);
	g_test_add_func("/i8254/restore-due-edge", test_restore_due_edge);
	g_test_add_func("/i8254/quick-calibration", test_quick_calibration);
	g_test_add_func("/i8254/calibration", test_calibration);
	g_test_add_func("/i8254/gate", test_gate);
	g_test_add_func("/i8254/bcd", test_bcd);
	g_test_add_func("/i8254/latches", test_latches);
	g_test_add_func("/i8254/port61", test_port61);
	return g_test_run();
}
