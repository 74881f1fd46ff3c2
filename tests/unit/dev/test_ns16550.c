/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's 8250_port.c does. */
#include "dev/table.h"

#include "rig.h"

enum {
	BASE = 0x3f8,
	DATA = BASE,
	IER = BASE + 1,
	IIR = BASE + 2,
	FCR = BASE + 2,
	LCR = BASE + 3,
	MCR = BASE + 4,
	LSR = BASE + 5,
	MSR = BASE + 6,
	SCR = BASE + 7,
};

static struct rig *setup(void)
{
	return rig_new(&ns16550_class, &(struct device_config){.base = BASE, .irq = 4});
}

static void type(struct rig *rig, const char *text)
{
	g_assert_cmpuint(stream_host_write(rig->stream, (const uint8_t *)text, strlen(text)), ==,
			 strlen(text));
}

static void assert_output(struct rig *rig, const char *expected)
{
	char buf[256] = {0};

	stream_host_read(rig->stream, (uint8_t *)buf, sizeof(buf) - 1);
	g_assert_cmpstr(buf, ==, expected);
}

/* 8n1 at 115,200 baud, FIFO with the trigger at 8, interrupts to the PIC. */
static void open_port(struct rig *rig, uint8_t ier)
{
	rig_out8(rig, LCR, 0x83);
	rig_out8(rig, DATA, 1);
	rig_out8(rig, IER, 0);
	rig_out8(rig, LCR, 0x03);
	rig_out8(rig, FCR, 0x81);
	rig_out8(rig, MCR, 0x0b);
	rig_out8(rig, IER, ier);
	rig_in8(rig, MSR);
	g_string_truncate(rig->log, 0);
}

/* autoconfig(), to its verdict of 16550A. */
static void test_autoconfig(void)
{
	struct rig *rig = setup();
	uint8_t status1, status2;

	rig_out8(rig, IER, 0);
	g_assert_cmphex(rig_in8(rig, IER), ==, 0);
	rig_out8(rig, IER, 0x0f);
	g_assert_cmphex(rig_in8(rig, IER), ==, 0x0f);
	rig_out8(rig, IER, 0);
	rig_out8(rig, MCR, 0x1a);
	g_assert_cmphex(rig_in8(rig, MSR) & 0xf0, ==, 0x90);
	rig_out8(rig, MCR, 0);
	rig_out8(rig, LCR, 0xbf);
	rig_out8(rig, FCR, 0);
	rig_out8(rig, LCR, 0);
	rig_out8(rig, FCR, 0x01);
	g_assert_cmphex(rig_in8(rig, IIR) >> 6, ==, 3);

	/* autoconfig_16550a(): no EFR, no 16750's 64 bytes, no XScale UUE bit. */
	rig_out8(rig, LCR, 0x80);
	g_assert_cmphex(rig_in8(rig, IIR), !=, 0);
	rig_out8(rig, LCR, 0xbf);
	g_assert_cmphex(rig_in8(rig, IIR), !=, 0);
	rig_out8(rig, LCR, 0);
	rig_out8(rig, FCR, 0x01);
	status1 = rig_in8(rig, IIR) >> 5;
	rig_out8(rig, FCR, 0x01);
	rig_out8(rig, LCR, 0x80);
	rig_out8(rig, FCR, 0x21);
	status2 = rig_in8(rig, IIR) >> 5;
	rig_out8(rig, LCR, 0);
	g_assert_cmphex(status1, ==, 6);
	g_assert_cmphex(status2, ==, 6);
	rig_out8(rig, IER, 0x40);
	g_assert_cmphex(rig_in8(rig, IER), ==, 0);
	rig_out8(rig, SCR, 0xa5);
	g_assert_cmphex(rig_in8(rig, SCR), ==, 0xa5);
	rig_free(rig);
}

static void test_transmit(void)
{
	struct rig *rig = setup();

	open_port(rig, 0);
	for (const char *p = "Linux version"; *p; p++) {
		g_assert_cmphex(rig_in8(rig, LSR), ==, 0x60);
		rig_out8(rig, DATA, *p);
	}
	assert_output(rig, "Linux version");
	rig_assert_log(rig, "");

	/* serial8250_do_startup()'s THRE test: enabling it raises it, twice. */
	rig_out8(rig, IER, 0x02);
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc2);
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc1);
	rig_out8(rig, IER, 0);
	rig_out8(rig, IER, 0x02);
	rig_assert_log(rig, "+4 -4 +4 ");
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc2);
	rig_assert_log(rig, "-4 ");
	/* A byte: again empty. */
	rig_out8(rig, DATA, 'x');
	rig_assert_log(rig, "+4 ");
	/* One interrupt a burst. */
	rig_out8(rig, DATA, 'y');
	rig_assert_log(rig, "");
	assert_output(rig, "xy");
	rig_free(rig);
}

static void test_receive(void)
{
	struct rig *rig = setup();
	char got[41] = {0};

	open_port(rig, 0x05);
	type(rig, "1234567");
	rig_assert_log(rig, "");
	type(rig, "8");
	rig_assert_log(rig, "+4 ");
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc4);
	type(rig, "9abcdefghijklmnopqrstuvwxyz");
	for (unsigned i = 0; rig_in8(rig, LSR) & 0x01; i++)
		got[i] = rig_in8(rig, DATA);
	g_assert_cmpstr(got, ==, "123456789abcdefghijklmnopqrstuvwxyz");
	rig_assert_log(rig, "-4 ");
	g_assert_cmphex(rig_in8(rig, LSR), ==, 0x60);
	rig_free(rig);
}

static void test_timeout(void)
{
	struct rig *rig = setup();
	int64_t four_characters = 4 * 10 * S / 115200;

	open_port(rig, 0x05);
	type(rig, "a");
	clock_step(rig->env.clock, four_characters - 1000);
	type(rig, "b");
	clock_step(rig->env.clock, four_characters - 1000);
	rig_assert_log(rig, "");
	clock_step(rig->env.clock, 2000);
	rig_assert_log(rig, "+4 ");
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xcc);
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'a');
	rig_assert_log(rig, "-4 ");
	clock_step(rig->env.clock, four_characters + 1000);
	rig_assert_log(rig, "+4 ");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'b');
	clock_step(rig->env.clock, S);
	rig_assert_log(rig, "-4 ");
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc1);
	rig_free(rig);
}

static void test_restore_timeout(void)
{
	struct rig *a = setup(), *b = setup();

	open_port(a, 0x05);
	type(a, "a");
	rig_clone(b, a);
	clock_step(b->env.clock, MS);
	rig_assert_log(b, "+4 ");
	g_assert_cmphex(rig_in8(b, DATA), ==, 'a');
	rig_free(a);
	rig_free(b);
}

/* Without FIFO: one byte at a time, each an interrupt; no time-out. */
static void test_16450(void)
{
	struct rig *rig = setup();

	open_port(rig, 0x05);
	rig_out8(rig, FCR, 0);
	type(rig, "ab");
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0x04);
	rig_assert_log(rig, "+4 ");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'a');
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'b');
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0x01);
	g_assert_cmphex(rig_in8(rig, DATA), ==, 0);
	/* Overrun: the new byte takes the old one's place. */
	rig_out8(rig, MCR, 0x18);
	rig_out8(rig, DATA, 'c');
	rig_out8(rig, DATA, 'd');
	g_assert_cmphex(rig_in8(rig, LSR), ==, 0x63);
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'd');
	g_assert_cmphex(rig_in8(rig, LSR), ==, 0x60);
	rig_free(rig);
}

static void test_loopback(void)
{
	struct rig *rig = setup();

	open_port(rig, 0x0d);
	rig_out8(rig, MCR, 0x18);
	g_string_truncate(rig->log, 0);
	rig_in8(rig, MSR);
	rig_out8(rig, DATA, 'L');
	type(rig, "outside");
	assert_output(rig, "");
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'L');
	g_assert_cmphex(rig_in8(rig, LSR), ==, 0x60);
	/* Overrun: the seventeenth byte is lost, the line status interrupt tells. */
	for (unsigned i = 0; i < 17; i++)
		rig_out8(rig, DATA, i);
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc6);
	g_assert_cmphex(rig_in8(rig, LSR), ==, 0x63);
	g_assert_cmphex(rig_in8(rig, LSR), ==, 0x61);
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmphex(rig_in8(rig, DATA), ==, i);
	/* Modem lines: RTS shows as CTS, the end of OUT1 as the end of a ring. */
	rig_out8(rig, MCR, 0x1e);
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc0);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0xd1);
	rig_out8(rig, MCR, 0x18);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x85);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x80);
	/* Back outside: what was typed meanwhile arrives. */
	rig_out8(rig, MCR, 0x0b);
	g_assert_cmphex(rig_in8(rig, DATA), ==, 'o');
	rig_free(rig);
}

/* The PC wires the interrupt through OUT2. */
static void test_out2(void)
{
	struct rig *rig = setup();

	open_port(rig, 0x02);
	rig_out8(rig, MCR, 0x03);
	rig_assert_log(rig, "-4 ");
	g_assert_cmphex(rig_in8(rig, IIR), ==, 0xc2);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ns16550/autoconfig", test_autoconfig);
	g_test_add_func("/ns16550/transmit", test_transmit);
	g_test_add_func("/ns16550/receive", test_receive);
	g_test_add_func("/ns16550/timeout", test_timeout);
	g_test_add_func("/ns16550/restore-timeout", test_restore_timeout);
	g_test_add_func("/ns16550/16450", test_16450);
	g_test_add_func("/ns16550/loopback", test_loopback);
	g_test_add_func("/ns16550/out2", test_out2);
	return g_test_run();
}
