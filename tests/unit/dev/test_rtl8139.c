/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nic_rig.h"

#define PORTS PCI_IO_FIRST
#define BAR   (PCI_MEM_FIRST + (1 << 17))
#define LINE  i440fx_gsi(2, 0)

/* Guest RAM. */
#define RING  0x100000u
#define FRAME 0x200000u

enum {
	IDR = 0x00,
	MAR = 0x08,
	TSD = 0x10,
	TSAD = 0x20,
	RBSTART = 0x30,
	CR = 0x37,
	CAPR = 0x38,
	CBR = 0x3a,
	IMR = 0x3c,
	ISR = 0x3e,
	TCR = 0x40,
	RCR = 0x44,
	TCTR = 0x48,
	CR9346 = 0x50,
	CONFIG1 = 0x52,
	TIMERINT = 0x54,
	MSR = 0x58,
	TSAD_STATUS = 0x60,
	BMCR = 0x62,
	BMSR = 0x64,

	BUFE = 1,
	TE = 4,
	RE = 8,
	RST = 16,
	ROK = 1,
	TOK = 4,
	TER = 8,
	LINK = 0x20,
	TIMEOUT = 0x4000,
	AAP = 1,
	APM = 2,
	AM = 4,
	AB = 8,
	WRAP = 0x80,
};

static uint32_t in(struct nic_rig *n, unsigned reg, unsigned size)
{
	return bus_read(n->rig->env.bus, BUS_PIO, PORTS + reg, size);
}

static void out(struct nic_rig *n, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(n->rig->env.bus, BUS_PIO, PORTS + reg, value, size);
}

static void start(struct nic_rig *n, uint32_t rcr)
{
	out(n, CR, RST, 1);
	g_assert_cmphex(in(n, CR, 1), ==, BUFE);
	out(n, CR, TE | RE, 1);
	out(n, RBSTART, RING, 4);
	out(n, RCR, rcr, 4);
	out(n, ISR, 0xffff, 2);
	out(n, IMR, 0xffff, 2);
}

/* As the pins of the EEPROM go: chip select, clock and data in; data out in bit 0. */
static uint16_t eeprom_read(struct nic_rig *n, unsigned word)
{
	uint32_t instruction = 6 << 6 | word, value = 0;

	out(n, CR9346, 0x80, 1);
	out(n, CR9346, 0x88, 1);
	for (int i = 10; i >= 0; i--) { /* with zeros before the start bit, as Linux does */
		uint8_t di = (instruction >> i & 1) << 1;

		out(n, CR9346, 0x88 | di, 1);
		out(n, CR9346, 0x8c | di, 1);
	}
	out(n, CR9346, 0x88, 1);
	for (unsigned i = 0; i < 16; i++) {
		out(n, CR9346, 0x8c, 1);
		value = value << 1 | (in(n, CR9346, 1) & 1);
		out(n, CR9346, 0x88, 1);
	}
	out(n, CR9346, 0, 1);
	return value;
}

static void test_probe(void)
{
	struct nic_rig n;

	nic_rig_init(&n, &rtl8139_class);
	g_assert_cmphex(eeprom_read(&n, 0), ==, 0x8129);
	for (unsigned i = 0; i < 3; i++)
		g_assert_cmphex(eeprom_read(&n, 7 + i), ==, le16_load(nic_mac + 2 * i));
	g_assert_cmphex(in(&n, IDR, 4), ==, 0x12005452);
	g_assert_cmphex(in(&n, IDR + 4, 2), ==, 0x5634);
	g_assert_cmphex(in(&n, TCR, 4) & 0x7cc00000, ==, 0x74000000);
	g_assert_cmphex(bus_read(n.rig->env.bus, BUS_MMIO, BAR + TCR, 4), ==, in(&n, TCR, 4));
	g_assert_cmphex(in(&n, BMSR, 2), ==, 0x782d);
	/* Another address, and back what the EEPROM has. */
	out(&n, IDR, 0x11111110, 4);
	g_assert_cmphex(in(&n, IDR, 4), ==, 0x11111110);
	out(&n, CR9346, 0x40, 1);
	g_assert_cmphex(in(&n, IDR, 4), ==, 0x12005452);
	g_assert_cmphex(in(&n, CR9346, 1) & 0xc0, ==, 0);
	/* Configuration is locked. */
	out(&n, CONFIG1, 0xf3, 1);
	g_assert_cmphex(in(&n, CONFIG1, 1), ==, 0x0c);
	out(&n, CR9346, 0xc0, 1);
	out(&n, CONFIG1, 0xf3, 1);
	g_assert_cmphex(in(&n, CONFIG1, 1), ==, 0xff);
	nic_rig_fini(&n);
}

static void test_send(void)
{
	struct nic_rig n;
	const uint8_t *frame;
	size_t len;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, 0);
	nic_make_frame(nic_ram(&n, FRAME), 1514, nic_broadcast);
	for (unsigned i = 0; i < 6; i++) {
		g_assert_cmphex(in(&n, TSD + 4 * (i % 4), 4) & 0x2000, ==, 0x2000);
		out(&n, TSAD + 4 * (i % 4), FRAME, 4);
		out(&n, TSD + 4 * (i % 4), 3 << 16 | (1500 + i), 4);
		g_assert_true(rig_line(n.rig, LINE));
		g_assert_cmphex(in(&n, ISR, 2), ==, TOK);
		out(&n, ISR, TOK, 2);
		g_assert_false(rig_line(n.rig, LINE));
		g_assert_cmphex(in(&n, TSD + 4 * (i % 4), 4), ==, 0x0003a000 | (1500 + i));
	}
	g_assert_cmphex(in(&n, TSAD_STATUS, 2), ==, 0xf00f);
	g_assert_cmpuint(nic_frames(&n), ==, 6);
	for (unsigned i = 0; i < 6; i++) {
		frame = nic_frame(&n, i, &len);
		g_assert_cmpmem(frame, len, nic_ram(&n, FRAME), 1500 + i);
	}
	/* Given while the transmitter is off: later, in bytes. */
	out(&n, CR, RE, 1);
	out(&n, TSD, 60, 1);
	out(&n, TSD + 1, 0, 1);
	g_assert_cmpuint(nic_frames(&n), ==, 6);
	out(&n, CR, RE | TE, 1);
	g_assert_cmpuint(nic_frames(&n), ==, 7);
	/* Where there is no RAM, and more than there may be. */
	out(&n, ISR, 0xffff, 2);
	out(&n, TSAD, 0xfff00000, 4);
	out(&n, TSD, 60, 4);
	g_assert_cmphex(in(&n, ISR, 2), ==, TER);
	g_assert_cmphex(in(&n, TSD, 4), ==, 0x40000000 | 0x2000 | 60);
	out(&n, TSAD, FRAME, 4);
	out(&n, TSD, 0x1fff, 4);
	g_assert_cmpuint(nic_frames(&n), ==, 8);
	nic_frame(&n, 7, &len);
	g_assert_cmpuint(len, ==, 1792);
	nic_rig_fini(&n);
}

/* What a driver does for one frame of the ring; its length without FCS. */
static unsigned take(struct nic_rig *n, unsigned *at, unsigned ring, uint16_t *status)
{
	const uint8_t *header = nic_ram(n, RING + *at);
	unsigned len = le16_load(header + 2);

	g_assert_cmphex(in(n, CR, 1) & BUFE, ==, 0);
	*status = le16_load(header);
	*at = (*at + 4 + len + 3) / 4 * 4 % ring;
	out(n, CAPR, *at - 16, 2);
	return len - 4;
}

static void test_receive(void)
{
	struct nic_rig n;
	uint8_t frame[1514];
	uint16_t status;
	unsigned at = 0, start_at;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, APM | AB | WRAP);
	nic_make_frame(frame, sizeof(frame), nic_mac);
	for (unsigned i = 0; i < 50; i++) {
		unsigned len = 60 + i * 29;

		nic_arrive(&n, frame, len);
		g_assert_cmphex(in(&n, ISR, 2), ==, ROK);
		g_assert_true(rig_line(n.rig, LINE));
		start_at = at;
		/* In one piece, even past the end. */
		g_assert_cmpmem(nic_ram(&n, RING + at + 4), len, frame, len);
		g_assert_cmphex(le32_load(nic_ram(&n, RING + at + 4 + len)), ==,
				frame_fcs(frame, len));
		g_assert_cmpuint(take(&n, &at, 8192, &status), ==, len);
		g_assert_cmphex(status, ==, 0x4001);
		g_assert_cmphex(in(&n, ISR, 2), ==, 0);
		g_assert_false(rig_line(n.rig, LINE));
		g_assert_cmphex(in(&n, CR, 1) & BUFE, ==, BUFE);
		g_assert_cmpuint(in(&n, CBR, 2), ==, at);
	}
	g_assert_cmpuint(at, !=, start_at);
	/* Five are all that 8 KiB hold; the sixth waits. */
	memcpy(frame, nic_broadcast, 6);
	for (unsigned i = 0; i < 6; i++)
		nic_arrive(&n, frame, 1514);
	/* Acknowledged before they are all read: said again. */
	out(&n, ISR, 0xffff, 2);
	g_assert_cmphex(in(&n, ISR, 2), ==, ROK);
	g_assert_true(rig_line(n.rig, LINE));
	for (unsigned i = 0; i < 6; i++) {
		g_assert_cmpuint(take(&n, &at, 8192, &status), ==, 1514);
		g_assert_cmphex(status, ==, 0x2001);
		net_run(n.rig->net);
	}
	g_assert_cmphex(in(&n, CR, 1) & BUFE, ==, BUFE);
	/* Too long for it. */
	nic_arrive(&n, nic_ram(&n, RING), 1523);
	g_assert_cmphex(in(&n, CR, 1) & BUFE, ==, BUFE);
	nic_rig_fini(&n);
}

/* Without WRAP a frame goes on at the ring's start. */
static void test_wrap(void)
{
	struct nic_rig n;
	uint8_t frame[1514];
	uint16_t status;
	unsigned at = 0, first;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, APM | AB);
	nic_make_frame(frame, sizeof(frame), nic_broadcast);
	for (unsigned i = 0; i < 5; i++) {
		nic_arrive(&n, frame, 1514);
		take(&n, &at, 8192, &status);
	}
	memset(nic_ram(&n, RING + 8192), 0x5a, 2048);
	nic_arrive(&n, frame, 1514);
	first = 8192 - at - 4;
	g_assert_cmpmem(nic_ram(&n, RING + at + 4), first, frame, first);
	g_assert_cmpmem(nic_ram(&n, RING), 1514 - first, frame + first, 1514 - first);
	g_assert_cmphex(*nic_ram(&n, RING + 8192), ==, 0x5a);
	nic_rig_fini(&n);
}

static bool arrives(struct nic_rig *n, const uint8_t *to)
{
	uint8_t frame[60];
	bool any;

	nic_make_frame(frame, sizeof(frame), to);
	nic_arrive(n, frame, sizeof(frame));
	any = !(in(n, CR, 1) & BUFE);
	out(n, CAPR, in(n, CBR, 2) - 16, 2);
	return any;
}

static void test_filters(void)
{
	static const uint8_t other[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x57};
	static const uint8_t group[] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
	unsigned bit = frame_hash(group) >> 26;
	struct nic_rig n;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, 0);
	g_assert_false(arrives(&n, nic_mac) || arrives(&n, nic_broadcast));
	out(&n, RCR, APM | AM, 4);
	g_assert_true(arrives(&n, nic_mac));
	g_assert_false(arrives(&n, other) || arrives(&n, nic_broadcast) || arrives(&n, group));
	out(&n, MAR + bit / 8, 1 << bit % 8, 1);
	g_assert_true(arrives(&n, group));
	out(&n, RCR, AB, 4);
	g_assert_true(arrives(&n, nic_broadcast));
	g_assert_false(arrives(&n, group));
	out(&n, RCR, AAP, 4);
	g_assert_true(arrives(&n, other) && arrives(&n, group) && arrives(&n, nic_broadcast));
	out(&n, CR, TE, 1);
	g_assert_false(arrives(&n, other));
	nic_rig_fini(&n);
}

/* A frame sent in loop-back comes in and does not go out. */
static void test_loopback(void)
{
	struct nic_rig n;
	uint16_t status;
	unsigned at = 0;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, AB);
	out(&n, TCR, 3 << 17, 4);
	nic_make_frame(nic_ram(&n, FRAME), 100, nic_broadcast);
	out(&n, TSAD, FRAME, 4);
	out(&n, TSD, 100, 4);
	g_assert_cmphex(in(&n, ISR, 2), ==, ROK | TOK);
	g_assert_cmpuint(take(&n, &at, 8192, &status), ==, 100);
	g_assert_cmpuint(nic_frames(&n), ==, 0);
	nic_rig_fini(&n);
}

static void test_link(void)
{
	struct nic_rig n;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, 0);
	g_assert_cmphex(in(&n, MSR, 1) & 4, ==, 0);
	net_set_enabled(n.rig->net_end, false);
	g_assert_cmphex(in(&n, ISR, 2), ==, LINK);
	g_assert_cmphex(in(&n, MSR, 1) & 4, ==, 4);
	g_assert_cmphex(in(&n, BMSR, 2), ==, 0x7809);
	nic_rig_fini(&n);
}

static void test_timer(void)
{
	struct nic_rig n;

	nic_rig_init(&n, &rtl8139_class);
	start(&n, 0);
	clock_step(n.rig->env.clock, 3 * MS);
	out(&n, TCTR, 0, 4);
	g_assert_cmpuint(in(&n, TCTR, 4), ==, 0);
	out(&n, TIMERINT, 33000, 4);
	clock_step(n.rig->env.clock, MS - 1);
	g_assert_cmpuint(in(&n, TCTR, 4), ==, 32999);
	g_assert_false(rig_line(n.rig, LINE));
	clock_step(n.rig->env.clock, 1);
	g_assert_cmpuint(in(&n, TCTR, 4), ==, 33000);
	g_assert_cmphex(in(&n, ISR, 2), ==, TIMEOUT);
	out(&n, ISR, TIMEOUT, 2);
	/* The counter comes round after 130 seconds. */
	clock_step(n.rig->env.clock, 130 * S);
	g_assert_cmphex(in(&n, ISR, 2), ==, 0);
	clock_step(n.rig->env.clock, S);
	g_assert_cmphex(in(&n, ISR, 2), ==, TIMEOUT);
	nic_rig_fini(&n);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/rtl8139/probe", test_probe);
	g_test_add_func("/rtl8139/send", test_send);
	g_test_add_func("/rtl8139/receive", test_receive);
	g_test_add_func("/rtl8139/wrap", test_wrap);
	g_test_add_func("/rtl8139/filters", test_filters);
	g_test_add_func("/rtl8139/loopback", test_loopback);
	g_test_add_func("/rtl8139/link", test_link);
	g_test_add_func("/rtl8139/timer", test_timer);
	return g_test_run();
}
