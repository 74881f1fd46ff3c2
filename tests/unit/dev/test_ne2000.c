/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nic_rig.h"

enum {
	CR = 0,
	PSTART = 1,
	PSTOP = 2,
	BNRY = 3,
	TPSR = 4,
	TSR = 4,
	TBCR = 5,
	ISR = 7,
	RSAR = 8,
	RBCR = 10,
	RSR = 12,
	RCR = 12,
	TCR = 13,
	DCR = 14,
	IMR = 15,
	PAR = 1,
	CURR = 7,
	MAR = 8,
	DATA = 0x10,
	RESET = 0x1f,

	PAGE0 = 0x22,
	PAGE1 = 0x62,
	STOP = 0x21,
	READ = 0x0a,
	WRITE = 0x12,
	SEND = 0x26,
	PRX = 1,
	PTX = 2,
	RDC = 0x40,
	RST = 0x80,

	FIRST_PAGE = 0x46,
	END_PAGE = 0x80,
};

/* The card on ISA and on PCI. */
struct card {
	const struct device_class *class;
	uint16_t ports;
	unsigned line;
};

static const struct card cards[] = {
	{&ne2000_class, 0x300, 9},
	{&rtl8029_class, PCI_IO_FIRST, PCI_GSI_BASE + 1},
};

static uint8_t in(struct nic_rig *n, const struct card *card, unsigned reg)
{
	return rig_in8(n->rig, card->ports + reg);
}

static void out(struct nic_rig *n, const struct card *card, unsigned reg, uint8_t value)
{
	rig_out8(n->rig, card->ports + reg, value);
}

static void set_dma(struct nic_rig *n, const struct card *card, uint16_t addr, uint16_t len,
		    uint8_t command)
{
	out(n, card, RBCR, len);
	out(n, card, RBCR + 1, len >> 8);
	out(n, card, RSAR, addr);
	out(n, card, RSAR + 1, addr >> 8);
	out(n, card, CR, command);
}

static void dma_read(struct nic_rig *n, const struct card *card, uint16_t addr, uint8_t *bytes,
		     uint16_t len)
{
	out(n, card, ISR, RDC);
	set_dma(n, card, addr, len, READ);
	for (unsigned i = 0; i < len; i += 2) {
		g_assert_cmphex(in(n, card, ISR) & RDC, ==, 0);
		le16_store(bytes + i, bus_read(n->rig->env.bus, BUS_PIO, card->ports + DATA, 2));
	}
	g_assert_cmphex(in(n, card, ISR) & RDC, ==, RDC);
}

static void dma_write(struct nic_rig *n, const struct card *card, uint16_t addr,
		      const uint8_t *bytes, uint16_t len)
{
	set_dma(n, card, addr, len, WRITE);
	for (unsigned i = 0; i < len; i += 2)
		rig_out16(n->rig, card->ports + DATA, le16_load(bytes + i));
	g_assert_cmphex(in(n, card, ISR) & RDC, ==, RDC);
	out(n, card, ISR, RDC);
}

static void start(struct nic_rig *n, const struct card *card, uint8_t rcr)
{
	nic_rig_init(n, card->class);
	in(n, card, RESET);
	g_assert_cmphex(in(n, card, ISR), ==, RST);
	out(n, card, CR, STOP);
	out(n, card, DCR, 0x49);
	out(n, card, PSTART, FIRST_PAGE);
	out(n, card, PSTOP, END_PAGE);
	out(n, card, BNRY, FIRST_PAGE);
	out(n, card, RCR, rcr);
	out(n, card, CR, 0x61);
	for (unsigned i = 0; i < 6; i++)
		out(n, card, PAR + i, nic_mac[i]);
	out(n, card, CURR, FIRST_PAGE + 1);
	out(n, card, CR, PAGE0);
	out(n, card, ISR, 0xff);
	out(n, card, IMR, PRX | PTX);
	g_assert_cmphex(in(n, card, ISR), ==, 0);
}

static void test_probe(gconstpointer data)
{
	const struct card *card = data;
	uint8_t prom[32];
	struct nic_rig n;

	start(&n, card, 0);
	dma_read(&n, card, 0, prom, sizeof(prom));
	for (unsigned i = 0; i < 6; i++)
		g_assert_true(prom[2 * i] == nic_mac[i] && prom[2 * i + 1] == nic_mac[i]);
	g_assert_cmphex(prom[28] & prom[30], ==, 0x57);
	g_assert_cmphex(in(&n, card, 0x0a), ==, card->line == 9 ? 0xff : 0x50);
	g_assert_cmphex(in(&n, card, 0x0b), ==, card->line == 9 ? 0xff : 0x43);
	/* A byte of each word, as the driver of the PCI card reads. */
	set_dma(&n, card, 0, 32, READ);
	for (unsigned i = 0; i < 6; i++)
		g_assert_cmphex(in(&n, card, DATA), ==, nic_mac[i]);
	/* Nothing to move is done at once. */
	out(&n, card, ISR, 0xff);
	set_dma(&n, card, 0, 0, READ);
	g_assert_cmphex(in(&n, card, ISR), ==, RDC);
	/* Memory, in bytes, and where there is none. */
	out(&n, card, DCR, 0x48);
	set_dma(&n, card, 0x7fff, 2, WRITE);
	out(&n, card, DATA, 0x12);
	out(&n, card, DATA, 0x34);
	set_dma(&n, card, 0x7fff, 2, READ);
	g_assert_cmphex(in(&n, card, DATA), ==, 0x12);
	out(&n, card, PSTOP, 0);
	set_dma(&n, card, 0x8000, 1, READ);
	g_assert_cmphex(in(&n, card, DATA), ==, 0xff);
	nic_rig_fini(&n);
}

static void test_send(gconstpointer data)
{
	const struct card *card = data;
	uint8_t frame[1514];
	struct nic_rig n;
	size_t len;

	start(&n, card, 0);
	nic_make_frame(frame, sizeof(frame), nic_broadcast);
	dma_write(&n, card, 0x4000, frame, sizeof(frame));
	out(&n, card, TPSR, 0x40);
	out(&n, card, TBCR, sizeof(frame) & 0xff);
	out(&n, card, TBCR + 1, sizeof(frame) >> 8);
	out(&n, card, CR, SEND);
	g_assert_true(rig_line(n.rig, card->line));
	g_assert_cmphex(in(&n, card, ISR), ==, PTX);
	g_assert_cmphex(in(&n, card, TSR), ==, 1);
	g_assert_cmphex(in(&n, card, CR), ==, PAGE0);
	out(&n, card, ISR, PTX);
	g_assert_false(rig_line(n.rig, card->line));
	g_assert_cmpuint(nic_frames(&n), ==, 1);
	g_assert_cmpmem(nic_frame(&n, 0, &len), len, frame, sizeof(frame));
	/* In loop-back, and too long: nothing goes out. */
	out(&n, card, TCR, 2);
	out(&n, card, CR, SEND);
	out(&n, card, TCR, 0);
	out(&n, card, TBCR + 1, 0xff);
	out(&n, card, CR, SEND);
	g_assert_cmpuint(nic_frames(&n), ==, 1);
	nic_rig_fini(&n);
}

/* Takes the frame at `page` as a driver does; the next one's page. */
static uint8_t take(struct nic_rig *n, const struct card *card, uint8_t page, const uint8_t *frame,
		    size_t len)
{
	uint8_t bytes[1526];
	uint8_t next;

	dma_read(n, card, page * 256, bytes, (4 + len + 4 + 1) & ~1u);
	next = bytes[1];
	g_assert_cmpuint(le16_load(bytes + 2), ==, len + 4);
	g_assert_cmpmem(bytes + 4, len, frame, len);
	g_assert_cmphex(le32_load(bytes + 4 + len), ==, frame_fcs(frame, len));
	out(n, card, CR, PAGE0);
	out(n, card, BNRY, next - 1); /* as Linux does, also before the first */
	return next;
}

static uint8_t get_curr(struct nic_rig *n, const struct card *card)
{
	uint8_t curr;

	out(n, card, CR, PAGE1);
	curr = in(n, card, CURR);
	out(n, card, CR, PAGE0);
	return curr;
}

static void test_receive(gconstpointer data)
{
	const struct card *card = data;
	uint8_t frame[1514], page = FIRST_PAGE + 1;
	struct nic_rig n;

	start(&n, card, 4);
	nic_make_frame(frame, sizeof(frame), nic_mac);
	for (unsigned i = 0; i < 60; i++) {
		size_t len = 60 + i * 24;

		nic_arrive(&n, frame, len);
		g_assert_true(rig_line(n.rig, card->line));
		g_assert_cmphex(in(&n, card, ISR) & PRX, ==, PRX);
		g_assert_cmphex(in(&n, card, RSR), ==, 1);
		page = take(&n, card, page, frame, len);
		g_assert_cmphex(page, ==, get_curr(&n, card));
		out(&n, card, ISR, PRX);
		g_assert_false(rig_line(n.rig, card->line));
	}
	/* Nine of six pages are what the ring holds of 58; the tenth waits. */
	for (unsigned i = 0; i < 10; i++)
		nic_arrive(&n, frame, 1500);
	/* Acknowledged too early: said again, until the ring is empty. */
	out(&n, card, ISR, PRX);
	g_assert_true(rig_line(n.rig, card->line));
	for (unsigned i = 0; i < 9; i++)
		page = take(&n, card, page, frame, 1500);
	g_assert_cmphex(page, ==, get_curr(&n, card));
	g_assert_false(rig_line(n.rig, card->line));
	net_run(n.rig->net);
	g_assert_true(rig_line(n.rig, card->line));
	page = take(&n, card, page, frame, 1500);
	/* Of three pages 18: with one more the ring would look empty. */
	for (unsigned i = 0; i < 19; i++)
		nic_arrive(&n, frame, 600);
	for (unsigned i = 0; i < 18; i++)
		page = take(&n, card, page, frame, 600);
	g_assert_cmphex(page, ==, get_curr(&n, card));
	nic_rig_fini(&n);
}

static bool arrives(struct nic_rig *n, const struct card *card, const uint8_t *to)
{
	uint8_t curr = get_curr(n, card), frame[60];

	nic_make_frame(frame, sizeof(frame), to);
	nic_arrive(n, frame, sizeof(frame));
	out(n, card, BNRY, curr);
	return get_curr(n, card) != curr;
}

static void test_filters(gconstpointer data)
{
	static const uint8_t other[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x57};
	static const uint8_t group[] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
	const struct card *card = data;
	struct nic_rig n;

	start(&n, card, 0);
	g_assert_true(arrives(&n, card, nic_mac));
	g_assert_false(arrives(&n, card, other) || arrives(&n, card, nic_broadcast) ||
		       arrives(&n, card, group));
	out(&n, card, RCR, 4);
	g_assert_true(arrives(&n, card, nic_broadcast));
	out(&n, card, RCR, 8);
	g_assert_false(arrives(&n, card, group));
	out(&n, card, CR, PAGE1);
	out(&n, card, MAR + 3, 0x80); /* bit 31 is that group's */
	out(&n, card, CR, PAGE0);
	g_assert_true(arrives(&n, card, group));
	out(&n, card, RCR, 0x10);
	g_assert_true(arrives(&n, card, other));
	out(&n, card, RCR, 0x30); /* monitor: looked at, not kept */
	g_assert_false(arrives(&n, card, nic_mac));
	out(&n, card, RCR, 0x10);
	out(&n, card, ISR, 0xff);
	/* Stopped. */
	out(&n, card, CR, STOP);
	g_assert_cmphex(in(&n, card, ISR), ==, RST);
	nic_arrive(&n, nic_ram(&n, 0), 60);
	g_assert_cmphex(in(&n, card, ISR), ==, RST);
	nic_rig_fini(&n);
}

/* Rings that are none: what comes is dropped, and nothing waits. */
static void test_no_ring(gconstpointer data)
{
	static const uint8_t rings[][3] = {
		{0, 0, 0}, {0x80, 0x46, 0x50}, {0x46, 0x80, 0x80}, {0x46, 0x47, 0x46}};
	const struct card *card = data;
	struct nic_rig n;
	uint8_t frame[60];

	start(&n, card, 0x10);
	nic_make_frame(frame, sizeof(frame), nic_mac);
	for (unsigned i = 0; i < G_N_ELEMENTS(rings); i++) {
		out(&n, card, PSTART, rings[i][0]);
		out(&n, card, PSTOP, rings[i][1]);
		out(&n, card, CR, PAGE1);
		out(&n, card, CURR, rings[i][2]);
		out(&n, card, CR, PAGE0);
		nic_arrive(&n, frame, sizeof(frame));
		g_assert_cmphex(in(&n, card, ISR) & PRX, ==, 0);
	}
	nic_rig_fini(&n);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(gconstpointer card);
	} tests[] = {{"probe", test_probe},
		     {"send", test_send},
		     {"receive", test_receive},
		     {"filters", test_filters},
		     {"no-ring", test_no_ring}};

	g_test_init(&argc, &argv, NULL);
	for (unsigned c = 0; c < G_N_ELEMENTS(cards); c++) {
		for (unsigned t = 0; t < G_N_ELEMENTS(tests); t++) {
			g_autofree char *path =
				g_strdup_printf("/%s/%s", cards[c].class->name, tests[t].name);

			g_test_add_data_func(path, &cards[c], tests[t].run);
		}
	}
	return g_test_run();
}
