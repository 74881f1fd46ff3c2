/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/be.h"
#include "nic_rig.h"

#define BAR   PCI_MEM_FIRST
#define LINE  i440fx_gsi(2, 0)
#define PORTS (PCI_IO_FIRST + 0x200) /* BAR 2 */

/* Guest RAM. */
#define TX_RING 0x10000u
#define RX_RING 0x20000u
#define TX_DATA 0x100000u
#define RX_DATA 0x200000u

enum {
	CTRL = 0x0000,
	STATUS = 0x0008,
	EECD = 0x0010,
	EERD = 0x0014,
	MDIC = 0x0020,
	VET = 0x0038,
	ICR = 0x00c0,
	ITR = 0x00c4,
	ICS = 0x00c8,
	IMS = 0x00d0,
	IMC = 0x00d8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	RDBAL = 0x2800,
	RDBAH = 0x2804,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDBAH = 0x3804,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	GPRC = 0x4074,
	ROC = 0x40ac,
	GPTC = 0x4080,
	GOTCL = 0x4090,
	GOTCH = 0x4094,
	PTC64 = 0x40d8,
	RXCSUM = 0x5000,
	MTA = 0x5200,
	RA = 0x5400,
	VFTA = 0x5600,

	TXDW = 0x01,
	TXQE = 0x02,
	LSC = 0x04,
	RXDMT0 = 0x10,
	RXT0 = 0x80,

	RX_EN = 1 << 1,
	UPE = 1 << 3,
	MPE = 1 << 4,
	LPE = 1 << 5,
	BAM = 1 << 15,
	VFE = 1 << 18,
	BUF_256 = 3 << 16,
	SECRC = 1 << 26,

	EOP = 0x01,
	IC = 0x04,
	TSE = 0x04,
	RS = 0x08,
	DEXT = 0x20,
	VLE = 0x40,
};

static uint32_t rd(struct nic_rig *n, uint32_t reg)
{
	return bus_read(n->rig->env.bus, BUS_MMIO, BAR + reg, 4);
}

static void wr(struct nic_rig *n, uint32_t reg, uint32_t value)
{
	bus_write(n->rig->env.bus, BUS_MMIO, BAR + reg, value, 4);
}

static uint16_t phy_read(struct nic_rig *n, unsigned reg)
{
	wr(n, MDIC, 2 << 26 | 1 << 21 | reg << 16);
	g_assert_cmphex(rd(n, MDIC) >> 28, ==, 1);
	return rd(n, MDIC);
}

/* Microwire: start bit, opcode and address, then data, a clock each. */
static uint16_t eeprom_read(struct nic_rig *n, unsigned word)
{
	uint32_t instruction = 6 << 6 | word, value = 0;

	wr(n, EECD, 0x40);
	g_assert_cmphex(rd(n, EECD) & 0x80, ==, 0x80);
	wr(n, EECD, 0x42);
	for (int i = 8; i >= 0; i--) {
		uint32_t di = (instruction >> i & 1) << 2;

		wr(n, EECD, 0x42 | di);
		wr(n, EECD, 0x43 | di);
		wr(n, EECD, 0x42 | di);
	}
	g_assert_cmphex(rd(n, EECD) & 8, ==, 0);
	for (unsigned i = 0; i < 16; i++) {
		wr(n, EECD, 0x43);
		value = value << 1 | (rd(n, EECD) >> 3 & 1);
		wr(n, EECD, 0x42);
	}
	wr(n, EECD, 0);
	return value;
}

static void test_probe(void)
{
	struct nic_rig n;
	uint16_t sum = 0;

	nic_rig_init(&n, &e1000_class);
	g_assert_cmphex(rd(&n, STATUS) & 0xc3, ==, 0x83);
	for (unsigned i = 0; i < 64; i++) {
		uint16_t word = eeprom_read(&n, i);

		sum += word;
		wr(&n, EERD, i << 8 | 1);
		g_assert_cmphex(rd(&n, EERD), ==, (uint32_t)word << 16 | i << 8 | 0x10);
	}
	g_assert_cmphex(sum, ==, 0xbaba);
	for (unsigned i = 0; i < 3; i++)
		g_assert_cmphex(eeprom_read(&n, i), ==, le16_load(nic_mac + 2 * i));
	g_assert_cmphex(rd(&n, RA), ==, 0x12005452);
	g_assert_cmphex(rd(&n, RA + 4), ==, 0x80005634);
	g_assert_cmphex(phy_read(&n, 2), ==, 0x0141);
	g_assert_cmphex(phy_read(&n, 3), ==, 0x0c20);
	wr(&n, MDIC, 2 << 26 | 2 << 21 | 2 << 16); /* nobody's address */
	g_assert_cmphex(rd(&n, MDIC) >> 28, ==, 5);
	/* Through ports. */
	bus_write(n.rig->env.bus, BUS_PIO, PORTS, RA, 4);
	g_assert_cmphex(rig_in32(n.rig, PORTS + 4), ==, 0x12005452);
	bus_write(n.rig->env.bus, BUS_PIO, PORTS + 4, 0x77777777, 4);
	g_assert_cmphex(rd(&n, RA), ==, 0x77777777);
	wr(&n, CTRL, 1 << 26);
	g_assert_cmphex(rd(&n, CTRL) & 1 << 26, ==, 0);
	g_assert_cmphex(rd(&n, RA), ==, 0x12005452);
	g_assert_cmphex(rd(&n, 0x1f000), ==, 0);
	nic_rig_fini(&n);
}

/* Rings of `n_desc` descriptors, all of the receiver's free but one; interrupts on. */
static void start(struct nic_rig *n, unsigned n_desc, uint32_t rctl)
{
	wr(n, TDBAL, TX_RING);
	wr(n, TDLEN, n_desc * 16);
	wr(n, TCTL, 1 << 1 | 1 << 3);
	for (unsigned i = 0; i < n_desc; i++) {
		memset(nic_ram(n, RX_RING + 16 * i), 0, 16);
		le64_store(nic_ram(n, RX_RING + 16 * i), RX_DATA + 2048 * i);
	}
	wr(n, RDBAL, RX_RING);
	wr(n, RDLEN, n_desc * 16);
	wr(n, RCTL, rctl | RX_EN);
	wr(n, RDT, n_desc - 1);
	rd(n, ICR);
	wr(n, IMS, 0x1ffff);
}

static void set_desc(struct nic_rig *n, unsigned i, uint64_t addr, uint32_t lower, uint32_t upper)
{
	uint8_t *desc = nic_ram(n, TX_RING + 16 * i);

	le64_store(desc, addr);
	le32_store(desc + 8, lower);
	le32_store(desc + 12, upper);
}

static void test_send(void)
{
	struct nic_rig n;
	const uint8_t *frame;
	size_t len;

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, 0);
	nic_make_frame(nic_ram(&n, TX_DATA), 1000, nic_broadcast);
	for (unsigned turn = 0; turn < 5; turn++) {
		unsigned first = turn * 2 % 8;

		/* In two parts. */
		set_desc(&n, first, TX_DATA, 300, 0);
		set_desc(&n, first + 1, TX_DATA + 300, (EOP | RS) << 24 | 700, 0);
		wr(&n, TDT, (first + 2) % 8);
		g_assert_cmpuint(rd(&n, TDH), ==, (first + 2) % 8);
		g_assert_true(rig_line(n.rig, LINE));
		g_assert_cmphex(rd(&n, ICR), ==, TXDW | TXQE);
		g_assert_false(rig_line(n.rig, LINE));
		g_assert_cmphex(rd(&n, ICR), ==, 0);
		g_assert_cmphex(*nic_ram(&n, TX_RING + 16 * first + 12), ==, 0);
		g_assert_cmphex(*nic_ram(&n, TX_RING + 16 * first + 28), ==, 1);
	}
	g_assert_cmpuint(nic_frames(&n), ==, 5);
	for (unsigned i = 0; i < 5; i++) {
		frame = nic_frame(&n, i, &len);
		g_assert_cmpmem(frame, len, nic_ram(&n, TX_DATA), 1000);
	}
	g_assert_cmpuint(rd(&n, GPTC), ==, 5);
	g_assert_cmpuint(rd(&n, GPTC), ==, 0);
	g_assert_cmpuint(rd(&n, GOTCL), ==, 5 * 1004);
	g_assert_cmpuint(rd(&n, GOTCL), ==, 5 * 1004);
	g_assert_cmpuint(rd(&n, GOTCH), ==, 0);
	g_assert_cmpuint(rd(&n, GOTCL), ==, 0);
	g_assert_cmpuint(rd(&n, PTC64 + 16), ==, 5); /* 512 to 1023 */
	nic_rig_fini(&n);
}

static void test_tag(void)
{
	struct nic_rig n;
	const uint8_t *frame;
	size_t len;

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, BAM);
	wr(&n, CTRL, 1 << 30); /* VME */
	nic_make_frame(nic_ram(&n, TX_DATA), 100, nic_broadcast);
	set_desc(&n, 0, TX_DATA, (EOP | VLE) << 24 | 100, 0x1234u << 16);
	wr(&n, TDT, 1);
	g_assert_cmpuint(nic_frames(&n), ==, 1);
	frame = nic_frame(&n, 0, &len);
	g_assert_cmpuint(len, ==, 104);
	g_assert_cmphex(be32_load(frame + 12), ==, 0x81001234);
	g_assert_cmpmem(frame + 16, 88, nic_ram(&n, TX_DATA + 12), 88);
	/* And back. */
	nic_arrive(&n, frame, len);
	g_assert_cmphex(le16_load(nic_ram(&n, RX_RING + 8)), ==, 104);
	g_assert_cmphex(le16_load(nic_ram(&n, RX_RING + 14)), ==, 0x1234);
	g_assert_cmphex(*nic_ram(&n, RX_RING + 12), ==, 0x0f);
	g_assert_cmpmem(nic_ram(&n, RX_DATA), 100, nic_ram(&n, TX_DATA), 100);
	/* Filtered by its number. */
	wr(&n, RCTL, RX_EN | BAM | VFE);
	nic_arrive(&n, frame, len);
	g_assert_cmpuint(rd(&n, RDH), ==, 1);
	wr(&n, VFTA + 4 * (0x234 / 32), 1u << 0x234 % 32);
	nic_arrive(&n, frame, len);
	g_assert_cmpuint(rd(&n, RDH), ==, 2);
	nic_rig_fini(&n);
}

/* Ethernet, IPv4 and a transport header, as a driver leaves them to a card. */
static uint8_t *make_ip(struct nic_rig *n, uint8_t protocol, size_t header, size_t payload,
			bool with_len)
{
	uint8_t *frame = nic_ram(n, TX_DATA), *ip = frame + 14, *l4 = ip + 20;
	static const uint8_t addrs[] = {10, 0, 0, 1, 10, 0, 0, 2};
	uint8_t pseudo[] = {0, protocol, 0, 0};

	nic_make_frame(frame, 34 + header + payload, nic_broadcast);
	frame[12] = 0x08;
	frame[13] = 0x00;
	memset(ip, 0, 20 + header);
	ip[0] = 0x45;
	be16_store(ip + 4, 0xfffe); /* identification */
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, addrs, 8);
	if (with_len) {
		be16_store(ip + 2, 20 + header + payload);
		be16_store(pseudo + 2, header + payload);
	}
	be16_store(l4 + (protocol == 6 ? 16 : 6), frame_sum(pseudo, 4, frame_sum(addrs, 8, 0)));
	return l4;
}

static void assert_sums(const uint8_t *frame, size_t len)
{
	uint8_t pseudo[] = {0, frame[23], (len - 34) >> 8, len - 34};

	g_assert_cmphex(frame_sum(frame + 14, 20, 0), ==, 0xffff);
	g_assert_cmphex(
		frame_sum(frame + 34, len - 34, frame_sum(pseudo, 4, frame_sum(frame + 26, 8, 0))),
		==, 0xffff);
}

static void set_context(struct nic_rig *n, unsigned i, unsigned sum_at, uint32_t command,
			uint32_t upper)
{
	set_desc(n, i, (14 | 24 << 8 | 33 << 16) | (uint64_t)(34 | sum_at << 8) << 32, command,
		 upper);
}

static void test_checksums(void)
{
	struct nic_rig n;
	const uint8_t *frame;
	size_t len;

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, 0);
	make_ip(&n, 17, 8, 101, true);
	set_context(&n, 0, 40, DEXT << 24, 0);
	set_desc(&n, 1, TX_DATA, DEXT << 24 | 1 << 20 | 50, 3 << 8);
	set_desc(&n, 2, TX_DATA + 50, (DEXT | EOP) << 24 | 1 << 20 | 93, 0);
	wr(&n, TDT, 3);
	g_assert_cmpuint(nic_frames(&n), ==, 1);
	frame = nic_frame(&n, 0, &len);
	g_assert_cmpuint(len, ==, 143);
	assert_sums(frame, len);
	nic_forget(&n);

	/* A legacy descriptor's one sum, of the header. */
	set_desc(&n, 3, TX_DATA, (EOP | IC) << 24 | 40 << 16 | 143, 34 << 8);
	wr(&n, TDT, 4);
	nic_frames(&n);
	frame = nic_frame(&n, 0, &len);
	g_assert_cmphex(be16_load(frame + 40), !=, be16_load(nic_ram(&n, TX_DATA + 40)));
	/* Places that are not in the frame. */
	set_desc(&n, 4, TX_DATA, (EOP | IC) << 24 | 60u << 16 | 61, 34 << 8);
	set_desc(&n, 5, TX_DATA, (EOP | IC) << 24 | 40 << 16 | 61, 61 << 8);
	wr(&n, TDT, 6);
	g_assert_cmpuint(nic_frames(&n), ==, 3);
	for (unsigned i = 1; i < 3; i++) {
		frame = nic_frame(&n, i, &len);
		g_assert_cmpmem(frame, len, nic_ram(&n, TX_DATA), 61);
	}
	nic_rig_fini(&n);
}

static void test_segmentation(void)
{
	struct nic_rig n;
	uint8_t *tcp;

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, 0);
	tcp = make_ip(&n, 6, 20, 4000, false);
	be32_store(tcp + 4, 0xfffffff0);
	tcp[12] = 5 << 4;
	tcp[13] = 0x19; /* ACK, PSH, FIN */
	set_context(&n, 0, 50, (DEXT | TSE | 3) << 24 | 4000, 1460u << 16 | 54 << 8);
	set_desc(&n, 1, TX_DATA, (DEXT | TSE) << 24 | 1 << 20 | 54, 3 << 8);
	set_desc(&n, 2, TX_DATA + 54, (DEXT | TSE | EOP | RS) << 24 | 1 << 20 | 4000, 0);
	wr(&n, TDT, 3);
	g_assert_cmpuint(nic_frames(&n), ==, 3);
	for (unsigned i = 0; i < 3; i++) {
		size_t len, payload = i == 2 ? 4000 - 2 * 1460 : 1460;
		const uint8_t *frame = nic_frame(&n, i, &len);

		g_assert_cmpuint(len, ==, 54 + payload);
		g_assert_cmpuint(be16_load(frame + 16), ==, len - 14);
		g_assert_cmphex(be16_load(frame + 18), ==, (uint16_t)(0xfffe + i));
		g_assert_cmphex(be32_load(frame + 38), ==, 0xfffffff0 + i * 1460);
		g_assert_cmphex(frame[47], ==, i == 2 ? 0x19 : 0x10);
		assert_sums(frame, len);
		g_assert_cmpmem(frame + 54, payload, nic_ram(&n, TX_DATA + 54 + i * 1460), payload);
	}
	nic_forget(&n);
	/* Segments too small, headers that reach out of the packet, too much of it. */
	set_context(&n, 3, 50, (DEXT | TSE | 3) << 24 | 4000, 1u << 16 | 54 << 8);
	set_desc(&n, 4, TX_DATA, (DEXT | TSE | EOP) << 24 | 1 << 20 | 4054, 3 << 8);
	wr(&n, TDT, 5);
	set_context(&n, 5, 254, (DEXT | TSE | 3) << 24 | 4000, 1460u << 16 | 255 << 8);
	set_desc(&n, 6, TX_DATA, (DEXT | TSE | EOP) << 24 | 1 << 20 | 4054, 3 << 8);
	wr(&n, TDT, 7);
	set_context(&n, 7, 50, (DEXT | TSE | 3) << 24 | 4000, 1460u << 16 | 54 << 8);
	set_desc(&n, 0, TX_DATA, (DEXT | TSE | EOP) << 24 | 1 << 20 | 100000, 3 << 8);
	wr(&n, TDT, 1);
	set_desc(&n, 1, TX_DATA, (DEXT | TSE) << 24 | 1 << 20 | 60000, 3 << 8);
	set_desc(&n, 2, TX_DATA, (DEXT | TSE | EOP) << 24 | 1 << 20 | 6000, 3 << 8);
	wr(&n, TDT, 3);
	g_assert_cmpuint(rd(&n, TDH), ==, 3);
	g_assert_cmpuint(nic_frames(&n), ==, 0);
	nic_rig_fini(&n);
}

static void test_receive(void)
{
	struct nic_rig n;
	uint8_t frame[1856];

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, BAM);
	nic_make_frame(frame, sizeof(frame), nic_mac);
	for (unsigned i = 0; i < 7; i++) {
		uint8_t *desc = nic_ram(&n, RX_RING + 16 * i);

		nic_arrive(&n, frame, 200 + i);
		g_assert_cmpuint(le16_load(desc + 8), ==, 204 + i);
		g_assert_cmphex(desc[12], ==, 0x07);
		g_assert_cmphex(desc[13], ==, 0);
		g_assert_cmpmem(nic_ram(&n, RX_DATA + 2048 * i), 200 + i, frame, 200 + i);
		g_assert_cmphex(le32_load(nic_ram(&n, RX_DATA + 2048 * i + 200 + i)), ==,
				frame_fcs(frame, 200 + i));
		g_assert_true(rig_line(n.rig, LINE));
		/* Half of the ring is left, or less. */
		g_assert_cmphex(rd(&n, ICR), ==, i < 2 ? RXT0 : RXT0 | RXDMT0);
	}
	/* No descriptor: they wait. */
	nic_arrive(&n, frame, 300);
	nic_arrive(&n, frame, 301);
	g_assert_cmphex(rd(&n, ICR), ==, 0);
	wr(&n, RDT, 1);
	net_run(n.rig->net);
	g_assert_cmpuint(rd(&n, RDH), ==, 1);
	g_assert_cmpuint(le16_load(nic_ram(&n, RX_RING + 16 * 7 + 8)), ==, 304);
	g_assert_cmpuint(le16_load(nic_ram(&n, RX_RING + 8)), ==, 305);
	g_assert_cmpuint(rd(&n, GPRC), ==, 9);
	/* Too long, unless that is allowed: then in several descriptors. */
	wr(&n, RDT, 0);
	nic_arrive(&n, frame, 1519);
	g_assert_cmpuint(rd(&n, ROC), ==, 1);
	wr(&n, RCTL, RX_EN | LPE | BUF_256 | SECRC);
	nic_arrive(&n, frame, 520);
	g_assert_cmpuint(rd(&n, RDH), ==, 4);
	for (unsigned i = 1; i < 4; i++) {
		g_assert_cmpuint(le16_load(nic_ram(&n, RX_RING + 16 * i + 8)), ==, i < 3 ? 256 : 8);
		g_assert_cmphex(*nic_ram(&n, RX_RING + 16 * i + 12), ==, i < 3 ? 5 : 7);
	}
	/* More than the ring ever has: nothing waits behind it. */
	nic_arrive(&n, frame, 1856);
	g_assert_cmpuint(rd(&n, RDH), ==, 4);
	nic_arrive(&n, frame, 60);
	g_assert_cmpuint(rd(&n, RDH), ==, 5);
	nic_rig_fini(&n);
}

static bool arrives(struct nic_rig *n, const uint8_t *to)
{
	uint32_t head = rd(n, RDH);
	uint8_t frame[60];

	nic_make_frame(frame, sizeof(frame), to);
	nic_arrive(n, frame, sizeof(frame));
	wr(n, RDT, (head + 7) % 8);
	return rd(n, RDH) != head;
}

static void test_filters(void)
{
	static const uint8_t other[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x57};
	static const uint8_t group[] = {0x01, 0x00, 0x5e, 0x00, 0x12, 0xa3};
	/* Section 13.5.1: bits 47:36, 46:35, 45:34 and 43:32 of the address. */
	static const uint16_t hashes[] = {0xa31, 0x462, 0x8c4, 0x312};
	struct nic_rig n;

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, 0);
	g_assert_true(arrives(&n, nic_mac));
	g_assert_false(arrives(&n, other) || arrives(&n, group) || arrives(&n, nic_broadcast));
	wr(&n, RCTL, RX_EN | BAM);
	g_assert_true(arrives(&n, nic_broadcast));
	g_assert_false(arrives(&n, group));
	wr(&n, RCTL, RX_EN | UPE);
	g_assert_true(arrives(&n, other));
	g_assert_false(arrives(&n, group));
	wr(&n, RCTL, RX_EN | MPE);
	g_assert_true(arrives(&n, group));
	g_assert_false(arrives(&n, other));
	for (unsigned mo = 0; mo < 4; mo++) {
		wr(&n, RCTL, RX_EN | mo << 12);
		g_assert_false(arrives(&n, group));
		wr(&n, MTA + 4 * (hashes[mo] / 32), 1u << hashes[mo] % 32);
		g_assert_true(arrives(&n, group));
		wr(&n, MTA + 4 * (hashes[mo] / 32), 0);
	}
	/* A second address. */
	wr(&n, RCTL, RX_EN);
	wr(&n, RA + 8, le32_load(other));
	wr(&n, RA + 12, le16_load(other + 4));
	g_assert_false(arrives(&n, other));
	wr(&n, RA + 12, 1u << 31 | 1 << 16 | le16_load(other + 4)); /* for the source's */
	g_assert_false(arrives(&n, other));
	wr(&n, RA + 12, 1u << 31 | le16_load(other + 4));
	g_assert_true(arrives(&n, other));
	/* Off: dropped, and not kept. */
	wr(&n, RCTL, UPE);
	g_assert_false(arrives(&n, nic_mac));
	wr(&n, RCTL, RX_EN);
	net_run(n.rig->net);
	g_assert_true(arrives(&n, nic_mac));
	nic_rig_fini(&n);
}

static void test_interrupts(void)
{
	struct nic_rig n;

	nic_rig_init(&n, &e1000_class);
	rd(&n, ICR);
	wr(&n, ICS, LSC);
	g_assert_false(rig_line(n.rig, LINE));
	wr(&n, IMS, LSC);
	g_assert_true(rig_line(n.rig, LINE));
	wr(&n, IMC, LSC);
	g_assert_false(rig_line(n.rig, LINE));
	wr(&n, IMS, LSC | RXT0);
	g_assert_cmphex(rd(&n, IMS), ==, LSC | RXT0);
	wr(&n, ICR, LSC);
	g_assert_false(rig_line(n.rig, LINE));

	/* No two within ITR times 256 ns: here a millisecond. */
	wr(&n, ITR, 3906);
	wr(&n, ICS, RXT0);
	g_assert_true(rig_line(n.rig, LINE));
	g_assert_cmphex(rd(&n, ICR), ==, RXT0);
	wr(&n, ICS, LSC);
	g_assert_false(rig_line(n.rig, LINE));
	clock_step(n.rig->env.clock, MS / 2);
	g_assert_false(rig_line(n.rig, LINE));
	clock_step(n.rig->env.clock, MS / 2);
	g_assert_true(rig_line(n.rig, LINE));
	g_assert_cmphex(rd(&n, ICR), ==, LSC);
	/* Gone before its time: no interrupt. */
	wr(&n, ICS, LSC);
	rd(&n, ICR);
	clock_step(n.rig->env.clock, 2 * MS);
	g_assert_false(rig_line(n.rig, LINE));
	wr(&n, ICS, LSC);
	g_assert_true(rig_line(n.rig, LINE));
	nic_rig_fini(&n);
}

static void test_link(void)
{
	struct nic_rig n;

	nic_rig_init(&n, &e1000_class);
	start(&n, 8, BAM);
	g_assert_cmphex(phy_read(&n, 1) & 0x24, ==, 0x24);
	net_set_enabled(n.rig->net_end, false);
	g_assert_true(rig_line(n.rig, LINE));
	g_assert_cmphex(rd(&n, ICR), ==, LSC);
	g_assert_cmphex(rd(&n, STATUS) & 2, ==, 0);
	g_assert_cmphex(phy_read(&n, 1) & 0x24, ==, 0);
	g_assert_cmphex(phy_read(&n, 17) & 0x400, ==, 0);
	net_set_enabled(n.rig->net_end, true);
	g_assert_cmphex(rd(&n, ICR), ==, LSC);
	g_assert_cmphex(rd(&n, STATUS) & 2, ==, 2);
	/* Negotiated again, and reset. */
	wr(&n, MDIC, 1 << 26 | 1 << 21 | 4 << 16 | 0x01e1);
	g_assert_cmphex(phy_read(&n, 4), ==, 0x01e1);
	wr(&n, MDIC, 1 << 26 | 1 << 21 | 0 << 16 | 0x1340);
	g_assert_cmphex(phy_read(&n, 0), ==, 0x1140);
	g_assert_cmphex(rd(&n, ICR), ==, LSC);
	wr(&n, MDIC, 1 << 26 | 1 << 21 | 0 << 16 | 0x9140);
	g_assert_cmphex(phy_read(&n, 4), ==, 0x0de1);
	nic_rig_fini(&n);
}

/* A long ring is worked off a part at a time, and a save in between loses nothing. */
static void test_turns(void)
{
	struct nic_rig n, other;

	nic_rig_init(&n, &e1000_class);
	nic_rig_init(&other, &e1000_class);
	start(&n, 512, 0);
	nic_make_frame(nic_ram(&n, TX_DATA), 60, nic_broadcast);
	for (unsigned i = 0; i < 512; i += 2) {
		set_desc(&n, i, TX_DATA, 20, 0);
		set_desc(&n, i + 1, TX_DATA + 20, EOP << 24 | 40, 0);
	}
	wr(&n, TDT, 301);
	g_assert_cmpuint(rd(&n, TDH), ==, 128);
	wr(&n, TDT, 303);
	g_assert_cmpuint(rd(&n, TDH), ==, 128);
	clock_step(n.rig->env.clock, 10000);
	g_assert_cmpuint(rd(&n, TDH), ==, 256);
	rig_clone(other.rig, n.rig);
	memcpy(nic_ram(&other, 0), nic_ram(&n, 0), MEM_MIN_SIZE);
	clock_step(n.rig->env.clock, 10000);
	clock_step(other.rig->env.clock, 10000);
	g_assert_cmpuint(rd(&n, TDH), ==, 303);
	g_assert_cmpuint(rd(&other, TDH), ==, 303);
	g_assert_cmpuint(nic_frames(&n), ==, nic_frames(&other));
	nic_forget(&other);
	/* The packet begun. */
	wr(&other, TDT, 304);
	g_assert_cmpuint(nic_frames(&other), ==, 1);
	nic_rig_fini(&n);
	nic_rig_fini(&other);
}

/* Rings and descriptors that make no sense, in all places. */
static void test_nonsense(void)
{
	static const uint32_t where[] = {RDBAL, RDBAH, RDLEN, RDH,  RDT,  TDBAL,  TDBAH, TDLEN,
					 TDH,	TDT,   RCTL,  TCTL, CTRL, RXCSUM, VET,	 ITR};
	GRand *rand = g_rand_new_with_seed(4);
	struct nic_rig n;
	uint8_t frame[2000];

	nic_rig_init(&n, &e1000_class);
	nic_make_frame(frame, sizeof(frame), nic_mac);
	for (unsigned round = 0; round < 200; round++) {
		start(&n, 8 << g_rand_int_range(rand, 0, 4), g_rand_int(rand));
		for (unsigned i = 0; i < 64; i++)
			set_desc(&n, i, g_rand_boolean(rand) ? TX_DATA : g_rand_int(rand),
				 g_rand_int(rand), g_rand_int(rand));
		for (unsigned i = 0; i < 20; i++) {
			unsigned which = g_rand_int_range(rand, 0, G_N_ELEMENTS(where));
			bool small = g_rand_boolean(rand);

			if (g_rand_int_range(rand, 0, 4) == 0)
				wr(&n, where[which],
				   small ? g_rand_int(rand) % 64 : g_rand_int(rand));
			wr(&n, TDT, g_rand_int_range(rand, 0, 64));
			nic_arrive(&n, frame, g_rand_int_range(rand, 14, sizeof(frame)));
			clock_step(n.rig->env.clock, MS);
		}
		nic_forget(&n);
	}
	g_rand_free(rand);
	nic_rig_fini(&n);
}

static void test_no_cable(void)
{
	struct rig_row row = *rig_row_of(&e1000_class);
	struct nic_rig n = {};

	row.net = false;
	n.rig = rig_new_row(&row);
	start(&n, 8, BAM);
	g_assert_cmphex(rd(&n, STATUS) & 2, ==, 0);
	set_desc(&n, 0, TX_DATA, (EOP | RS) << 24 | 60, 0);
	wr(&n, TDT, 1);
	g_assert_cmphex(rd(&n, ICR), ==, TXDW | TXQE);
	rig_free(n.rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/e1000/probe", test_probe);
	g_test_add_func("/e1000/send", test_send);
	g_test_add_func("/e1000/tag", test_tag);
	g_test_add_func("/e1000/checksums", test_checksums);
	g_test_add_func("/e1000/segmentation", test_segmentation);
	g_test_add_func("/e1000/receive", test_receive);
	g_test_add_func("/e1000/filters", test_filters);
	g_test_add_func("/e1000/interrupts", test_interrupts);
	g_test_add_func("/e1000/link", test_link);
	g_test_add_func("/e1000/turns", test_turns);
	g_test_add_func("/e1000/nonsense", test_nonsense);
	g_test_add_func("/e1000/no-cable", test_no_cable);
	return g_test_run();
}
