/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's rtc-cmos and mc146818-lib do. The rig's clock begins at a Tuesday,
 * 2023-11-14 22:13:20 UTC. */
#include "dev/table.h"

#include "rig.h"

static struct rig *setup(void)
{
	return rig_new(&mc146818_class, &(struct device_config){0});
}

static uint8_t get(struct rig *rig, uint8_t index)
{
	rig_out8(rig, 0x70, index);
	return rig_in8(rig, 0x71);
}

static void set(struct rig *rig, uint8_t index, uint8_t value)
{
	rig_out8(rig, 0x70, index);
	rig_out8(rig, 0x71, value);
}

static void step(struct rig *rig, int64_t ns)
{
	clock_step(rig->env.clock, ns);
}

/* hh mm ss, day of the week, day, month, year, century: as the registers have them. */
static void assert_time(struct rig *rig, const char *expected)
{
	g_autofree char *got = g_strdup_printf(
		"%02x %02x %02x  %x %02x %02x %02x %02x", get(rig, 4), get(rig, 2), get(rig, 0),
		get(rig, 6), get(rig, 7), get(rig, 8), get(rig, 9), get(rig, 0x32));

	g_assert_cmpstr(got, ==, expected);
}

static void test_time(void)
{
	struct rig *rig = setup();

	g_assert_cmphex(get(rig, 0x0d), ==, 0x80);
	assert_time(rig, "22 13 20  3 14 11 23 20");
	step(rig, S - 1);
	assert_time(rig, "22 13 20  3 14 11 23 20");
	step(rig, 1);
	assert_time(rig, "22 13 21  3 14 11 23 20");
	step(rig, (3600 + 46 * 60 + 39) * S);
	assert_time(rig, "00 00 00  4 15 11 23 20");
	/* Binary, then twelve hours. */
	step(rig, 13 * 3600 * S);
	set(rig, 0x0b, 0x06);
	assert_time(rig, "0d 00 00  4 0f 0b 17 14");
	set(rig, 0x0b, 0x00);
	assert_time(rig, "81 00 00  4 15 11 23 20");
	step(rig, 11 * 3600 * S);
	assert_time(rig, "12 00 00  5 16 11 23 20");
	rig_free(rig);
}

/* mc146818_get_time() waits while UIP is set; the time changes only after it was. */
static void test_uip(void)
{
	struct rig *rig = setup();

	step(rig, 10 * S + 500 * MS);
	g_assert_cmphex(get(rig, 0x0a), ==, 0x26);
	step(rig, 499 * MS + 800000);
	g_assert_cmphex(get(rig, 0x0a), ==, 0xa6);
	assert_time(rig, "22 13 30  3 14 11 23 20");
	step(rig, 200000);
	g_assert_cmphex(get(rig, 0x0a), ==, 0x26);
	assert_time(rig, "22 13 31  3 14 11 23 20");
	rig_free(rig);
}

/* mc146818_set_time(): SET, divider in reset, registers, back. */
static void test_set_time(void)
{
	struct rig *rig = setup();
	uint8_t b = get(rig, 0x0b), a = get(rig, 0x0a);

	step(rig, 123 * MS);
	set(rig, 0x0b, b | 0x80);
	set(rig, 0x0a, a | 0x70);
	set(rig, 9, 0x24);
	set(rig, 8, 0x02);
	set(rig, 7, 0x28);
	set(rig, 4, 0x23);
	set(rig, 2, 0x59);
	set(rig, 0, 0x58);
	set(rig, 0x32, 0x20);
	step(rig, 3 * S);
	assert_time(rig, "23 59 58  3 28 02 24 20");
	set(rig, 0x0b, b);
	set(rig, 0x0a, a);
	/* Half a second to the first update; the day of the week is the date's. */
	step(rig, 500 * MS - 1);
	assert_time(rig, "23 59 58  4 28 02 24 20");
	step(rig, 1);
	assert_time(rig, "23 59 59  4 28 02 24 20");
	step(rig, S);
	assert_time(rig, "00 00 00  5 29 02 24 20");

	/* SET alone keeps the second's phase. */
	set(rig, 0x0b, b | 0x80);
	set(rig, 0, 0x30);
	step(rig, 700 * MS);
	set(rig, 0x0b, b);
	step(rig, 300 * MS - 1);
	assert_time(rig, "00 00 30  5 29 02 24 20");
	step(rig, 1);
	assert_time(rig, "00 00 31  5 29 02 24 20");
	/* A register written while time runs, and nonsense in it. */
	set(rig, 2, 0x45);
	assert_time(rig, "00 45 31  5 29 02 24 20");
	set(rig, 8, 0xff);
	get(rig, 7);
	rig_free(rig);
}

static void test_update_interrupt(void)
{
	struct rig *rig = setup();

	set(rig, 0x0b, 0x12);
	step(rig, S - 1);
	rig_assert_log(rig, "");
	step(rig, 1);
	rig_assert_log(rig, "+8 ");
	/* One edge until register C is read. */
	step(rig, 5 * S);
	rig_assert_log(rig, "");
	g_assert_cmphex(get(rig, 0x0c) & 0x90, ==, 0x90);
	rig_assert_log(rig, "-8 ");
	g_assert_cmphex(get(rig, 0x0c), ==, 0);
	step(rig, S);
	rig_assert_log(rig, "+8 ");
	rig_free(rig);
}

static void test_periodic_interrupt(void)
{
	struct rig *rig = setup();
	unsigned n = 0;

	set(rig, 0x0a, 0x26); /* 1,024 Hz */
	set(rig, 0x0b, 0x42);
	for (unsigned ms = 0; ms < 1000; ms++) {
		for (unsigned quarter = 0; quarter < 4; quarter++) {
			step(rig, MS / 4);
			n += (get(rig, 0x0c) & 0xc0) == 0xc0;
		}
	}
	g_assert_cmpuint(n, ==, 1024);
	/* Flags are raised without their enables, and raise no line. */
	set(rig, 0x0b, 0x02);
	g_string_truncate(rig->log, 0);
	step(rig, MS);
	g_assert_cmphex(get(rig, 0x0c) & 0xc0, ==, 0x40);
	set(rig, 0x0a, 0x20);
	step(rig, 10 * MS);
	g_assert_cmphex(get(rig, 0x0c) & 0x40, ==, 0);
	rig_assert_log(rig, "");
	rig_free(rig);
}

static void test_alarm(void)
{
	struct rig *rig = setup();

	set(rig, 5, 0x22);
	set(rig, 3, 0x14);
	set(rig, 1, 0x05);
	get(rig, 0x0c);
	set(rig, 0x0b, 0x22);
	step(rig, 45 * S - 1);
	rig_assert_log(rig, "");
	step(rig, 1);
	rig_assert_log(rig, "+8 ");
	g_assert_cmphex(get(rig, 0x0c) & 0xa0, ==, 0xa0);
	rig_assert_log(rig, "-8 ");
	step(rig, 86400 * S - 1);
	rig_assert_log(rig, "");
	step(rig, 1);
	rig_assert_log(rig, "+8 ");
	get(rig, 0x0c);

	/* Any hour, any minute: every minute. */
	set(rig, 5, 0xff);
	set(rig, 3, 0xc0);
	g_string_truncate(rig->log, 0);
	step(rig, 60 * S);
	rig_assert_log(rig, "+8 ");
	get(rig, 0x0c);
	/* An hour that never is. */
	set(rig, 5, 0x25);
	g_string_truncate(rig->log, 0);
	step(rig, 90000 * S);
	rig_assert_log(rig, "");
	rig_free(rig);
}

static void test_cmos(void)
{
	struct rig *rig = setup();
	unsigned sum = 0;

	g_assert_cmphex(get(rig, 0x15) | get(rig, 0x16) << 8, ==, 640);
	g_assert_cmphex(get(rig, 0x17) | get(rig, 0x18) << 8, ==, 15 * 1024);
	g_assert_cmphex(get(rig, 0x30) | get(rig, 0x31) << 8, ==, 15 * 1024);
	g_assert_cmphex(get(rig, 0x34) | get(rig, 0x35) << 8, ==, 0);
	for (unsigned i = 0x10; i < 0x2e; i++)
		sum += get(rig, i);
	g_assert_cmphex(get(rig, 0x2e) << 8 | get(rig, 0x2f), ==, sum);
	/* The shutdown byte outlives a reset; interrupts do not. */
	set(rig, 0x0f, 0x0a);
	set(rig, 0x0b, 0x72);
	device_reset(rig->device);
	g_assert_cmphex(get(rig, 0x8f), ==, 0x0a);
	g_assert_cmphex(get(rig, 0x0b), ==, 0x02);
	rig_free(rig);
}

static void test_big_memory(void)
{
	struct device_env env = {
		.mem = mem_new(20ull << 30, NULL), .bus = bus_new(), .clock = clock_new_manual()};
	struct rig rig = {.env = env};
	struct device *rtc = device_new(&mc146818_class, &env, &(struct device_config){}, NULL);

	g_assert_cmphex(get(&rig, 0x17) | get(&rig, 0x18) << 8, ==, 0xffff);
	g_assert_cmphex(get(&rig, 0x34) | get(&rig, 0x35) << 8, ==, (3072 - 16) * 16);
	g_assert_cmphex(get(&rig, 0x5b) | get(&rig, 0x5c) << 8 | get(&rig, 0x5d) << 16, ==,
			17 * 16384);
	device_free(rtc);
	clock_free(env.clock);
	bus_free(env.bus);
	mem_free(env.mem);
}

/* What SeaBIOS reads to find drives, and which of them to start from. */
static void test_firmware(void)
{
	const struct rig_row row = {&mc146818_class,
				    {.floppies = {4, 2}, .boot_order = 0x321},
				    .input = true};
	struct rig *rig = rig_new_row(&row);
	uint16_t sum = 0;

	g_assert_cmphex(get(rig, 0x10), ==, 0x42);
	g_assert_cmphex(get(rig, 0x12), ==, 0);
	g_assert_cmphex(get(rig, 0x14), ==, 0x47);
	g_assert_cmphex(get(rig, 0x3d), ==, 0x21);
	g_assert_cmphex(get(rig, 0x38), ==, 0x30);
	for (unsigned i = 0x10; i < 0x2e; i++)
		sum += get(rig, i);
	g_assert_cmphex(get(rig, 0x2e) << 8 | get(rig, 0x2f), ==, sum);
	rig_free(rig);

	rig = setup();
	g_assert_cmphex(get(rig, 0x10), ==, 0);
	g_assert_cmphex(get(rig, 0x14), ==, 0x02);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mc146818/time", test_time);
	g_test_add_func("/mc146818/uip", test_uip);
	g_test_add_func("/mc146818/set-time", test_set_time);
	g_test_add_func("/mc146818/update-interrupt", test_update_interrupt);
	g_test_add_func("/mc146818/periodic-interrupt", test_periodic_interrupt);
	g_test_add_func("/mc146818/alarm", test_alarm);
	g_test_add_func("/mc146818/cmos", test_cmos);
	g_test_add_func("/mc146818/firmware", test_firmware);
	g_test_add_func("/mc146818/big-memory", test_big_memory);
	return g_test_run();
}
