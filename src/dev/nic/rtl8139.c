/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Realtek RTL8139C fast Ethernet controller: RTL8139C(L) data sheet, rev. 1.4. The mode of four
 * transmit descriptors and one receive ring, which all drivers know; not that of the C+.
 *
 * Registers are bytes that may be read and written at any size; none changes by being read. Those
 * that are computed are brought up to date before a read, and functions follow what a write
 * changed.
 *
 * A frame that the receive ring has no room for waits on the cable, which stands for the FIFO. ROK
 * says that the ring is not empty, and so comes back when it is acknowledged before that: here
 * frames may come much faster than 100 Mb/s, and a driver that stops after so many of them, as
 * Linux's does, would leave the rest until the next interrupt, which nothing might ever cause.
 */
#include "base/le.h"
#include "base/muldiv.h"
#include "dev/nic/at93c46.h"
#include "dev/pci/pci.h"
#include "dev/table.h"
#include "net/frame.h"
#include "net/net.h"

/* Registers. */
enum {
	IDR = 0x00,
	MAR = 0x08,
	TSD = 0x10, /* four */
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
	MPC = 0x4c,
	CR9346 = 0x50,
	CONFIG0 = 0x51,
	CONFIG1 = 0x52,
	TIMERINT = 0x54,
	MSR = 0x58,
	CONFIG3 = 0x59,
	CONFIG4 = 0x5a,
	MULINT = 0x5c,
	TSAD_STATUS = 0x60, /* of all transmit descriptors */
	BMCR = 0x62,
	BMSR = 0x64,
	ANAR = 0x66,
	ANLPAR = 0x68,
	ANER = 0x6a,
	CSCR = 0x74,
	N_REGS = 0x100,

	N_TX = 4,
	TX_MAX = 1792, /* TSD.SIZE may say no more */
	RX_MAX = 1522, /* without FCS, with a tag */
	RX_HEADER = 4,
	CAPR_AHEAD = 16, /* CAPR is so much less than where the driver reads */
};

enum {
	TSD_SIZE = 0x1fff,
	TSD_OWN = 1 << 13,
	TSD_TOK = 1 << 15,
	TSD_THRESHOLD = 0x3f << 16,
	TSD_TABT = 1 << 30,
	TSD_WRITABLE = TSD_SIZE | TSD_OWN | TSD_THRESHOLD,

	CR_BUFE = 1 << 0,
	CR_TE = 1 << 2,
	CR_RE = 1 << 3,
	CR_RST = 1 << 4,

	INT_ROK = 1 << 0,
	INT_TOK = 1 << 2,
	INT_TER = 1 << 3,
	INT_LINK = 1 << 5,
	INT_TIMEOUT = 1 << 14,
	INT_ALL = 0xe07f,

	TCR_HWVERID = 0x74000000, /* RTL8139C */
	TCR_LOOPBACK = 3 << 17,
	TCR_WRITABLE = 0x030707f0,

	RCR_AAP = 1 << 0,
	RCR_APM = 1 << 1,
	RCR_AM = 1 << 2,
	RCR_AB = 1 << 3,
	RCR_WRAP = 1 << 7,
	RCR_RBLEN_SHIFT = 11,

	CR9346_DO = 1 << 0,
	CR9346_DI = 1 << 1,
	CR9346_SK = 1 << 2,
	CR9346_CS = 1 << 3,
	CR9346_MODE = 3 << 6,
	MODE_LOAD = 1 << 6,
	MODE_PROGRAM = 2 << 6,
	MODE_CONFIG = 3 << 6,

	MSR_NO_LINK = 1 << 2,
	MSR_AUX = 1 << 4,
	MSR_WRITABLE = 0xc0,

	BMCR_RESTART = 1 << 9,
	BMCR_RESET = 1 << 15,
	BMSR_LINKED = 0x24, /* and negotiated */

	/* What goes before a frame in the ring. */
	RX_ROK = 1 << 0,
	RX_BAR = 1 << 13,
	RX_PAM = 1 << 14,
	RX_MAR = 1 << 15,
};

/* TCTR counts the PCI clock. */
#define TCTR_HZ 33000000ull
#define NS	1000000000ull

struct rtl8139 {
	struct pci_device pci;
	struct net_port *net;
	uint8_t mac[NET_ADDR_LEN];
	struct timer timer; /* TIMERINT */
	struct at93c46 eeprom;
	uint8_t regs[N_REGS];
	int64_t tctr_zero_ns; /* when TCTR was 0 */
};

static const struct reg_row {
	uint8_t offset, size, n;
	uint32_t reset, writable;
} reg_rows[] = {
	{IDR, 1, NET_ADDR_LEN, 0, 0xff},
	{MAR, 1, 8, 0, 0xff},
	{TSD, 4, N_TX, TSD_OWN, TSD_WRITABLE},
	{TSAD, 4, N_TX, 0, UINT32_MAX},
	{RBSTART, 4, 1, 0, UINT32_MAX},
	{CR, 1, 1, 0, CR_TE | CR_RE},
	{CAPR, 2, 1, (uint16_t)-CAPR_AHEAD, 0xffff},
	{IMR, 2, 1, 0, INT_ALL},
	{TCR, 4, 1, TCR_HWVERID, TCR_WRITABLE},
	{RCR, 4, 1, 0, 0x0f03ffbf},
	{CR9346, 1, 1, 0, CR9346_MODE | CR9346_CS | CR9346_SK | CR9346_DI},
	{CONFIG0, 1, 1, 0, 0},
	{CONFIG1, 1, 1, 0x0c, 0xf3},
	{TIMERINT, 4, 1, 0, UINT32_MAX},
	{MSR, 1, 1, 0, MSR_WRITABLE},
	{CONFIG3, 1, 1, 0, 0x7f},
	{CONFIG4, 1, 1, 0, 0xff},
	{MULINT, 2, 1, 0, 0x0fff},
	{BMCR, 2, 1, 0x3100, 0x3100},
	{BMSR, 2, 1, 0x7809, 0},
	{ANAR, 2, 1, 0x05e1, 0x3fff},
	{CSCR, 2, 1, 0, 0},
};

static uint16_t reg16(const struct rtl8139 *nic, unsigned offset)
{
	return le16_load(nic->regs + offset);
}

static uint32_t reg32(const struct rtl8139 *nic, unsigned offset)
{
	return le32_load(nic->regs + offset);
}

static void update_irq(struct rtl8139 *nic)
{
	pci_set_intx(&nic->pci, reg16(nic, ISR) & reg16(nic, IMR));
}

static void set_causes(struct rtl8139 *nic, uint16_t causes)
{
	le16_store(nic->regs + ISR, reg16(nic, ISR) | causes);
	update_irq(nic);
}

/* Receiving */

static unsigned ring_len(const struct rtl8139 *nic)
{
	return 8192u << (reg32(nic, RCR) >> RCR_RBLEN_SHIFT & 3);
}

static unsigned ring_used(const struct rtl8139 *nic)
{
	return (reg16(nic, CBR) - reg16(nic, CAPR) - CAPR_AHEAD) & (ring_len(nic) - 1);
}

/* What the header says of a frame that is for us; 0: it is not. */
static uint16_t filter(const struct rtl8139 *nic, const uint8_t *frame)
{
	uint32_t rcr = reg32(nic, RCR), hash;

	if (frame_is_broadcast(frame))
		return rcr & (RCR_AB | RCR_AAP) ? RX_ROK | RX_BAR : 0;
	if (frame_is_group(frame)) {
		hash = frame_hash(frame) >> 26;
		if (rcr & RCR_AM && nic->regs[MAR + hash / 8] >> hash % 8 & 1)
			return RX_ROK | RX_MAR;
		return rcr & RCR_AAP ? RX_ROK | RX_MAR : 0;
	}
	if (rcr & RCR_APM && memcmp(frame, nic->regs + IDR, NET_ADDR_LEN) == 0)
		return RX_ROK | RX_PAM;
	return rcr & RCR_AAP ? RX_ROK : 0;
}

/* At the ring's end goes on at its start, or, if the driver left room behind it, just on
 * (RCR.WRAP). */
static void ring_write(struct rtl8139 *nic, const uint8_t *bytes, size_t len)
{
	struct mem *mem = nic->pci.device.env->mem;
	unsigned at = reg16(nic, CBR) & (ring_len(nic) - 1);
	uint64_t base = reg32(nic, RBSTART);
	/* Of 64 KiB there is no end to go past. */
	bool past_end = reg32(nic, RCR) & RCR_WRAP && ring_len(nic) <= UINT16_MAX;
	size_t first = past_end ? len : MIN(len, ring_len(nic) - at);

	mem_write(mem, base + at, bytes, first);
	mem_write(mem, base, bytes + first, len - first);
	le16_store(nic->regs + CBR, (at + len) & (ring_len(nic) - 1));
}

static bool receive(struct rtl8139 *nic, const uint8_t *frame, size_t len)
{
	uint8_t packet[RX_HEADER + RX_MAX + FRAME_FCS_LEN + 3] = {};
	size_t total = (RX_HEADER + len + FRAME_FCS_LEN + 3) & ~3ul;
	uint16_t status = filter(nic, frame);

	if (!(nic->regs[CR] & CR_RE) || !pci_is_master(&nic->pci) || !status || len > RX_MAX)
		return true;
	/* Never quite full, which would be empty. */
	if (ring_used(nic) + total >= ring_len(nic))
		return false;
	le16_store(packet, status);
	le16_store(packet + 2, len + FRAME_FCS_LEN);
	memcpy(packet + RX_HEADER, frame, len);
	le32_store(packet + RX_HEADER + len, frame_fcs(frame, len));
	ring_write(nic, packet, total);
	set_causes(nic, INT_ROK);
	return true;
}

static bool on_receive(void *opaque, const uint8_t *frame, size_t len,
		   const struct net_offload *offload)
{
	struct rtl8139 *nic = opaque;
	bool taken;

	g_mutex_lock(&nic->pci.device.lock);
	taken = receive(nic, frame, len);
	g_mutex_unlock(&nic->pci.device.lock);
	return taken;
}

static void on_link(void *opaque, bool up)
{
	struct rtl8139 *nic = opaque;

	g_mutex_lock(&nic->pci.device.lock);
	set_causes(nic, INT_LINK);
	g_mutex_unlock(&nic->pci.device.lock);
}

static void rx_written(struct rtl8139 *nic)
{
	net_receive_more(nic->net);
}

/* Sending */

static void send_frame(struct rtl8139 *nic, const uint8_t *frame, size_t len)
{
	uint8_t padded[TX_MAX] = {};

	if ((reg32(nic, TCR) & TCR_LOOPBACK) != TCR_LOOPBACK) {
		net_send(nic->net, frame, len);
		return;
	}
	/* No cable to pad it, and none where it could wait. */
	memcpy(padded, frame, len);
	receive(nic, padded, MAX(len, NET_FRAME_MIN));
}

static void send_descriptor(struct rtl8139 *nic, unsigned index)
{
	uint8_t *reg = nic->regs + TSD + 4 * index, frame[TX_MAX];
	uint32_t tsd = le32_load(reg) & TSD_WRITABLE, len = MIN(tsd & TSD_SIZE, TX_MAX);

	if (mem_read(nic->pci.device.env->mem, reg32(nic, TSAD + 4 * index), frame, len)) {
		send_frame(nic, frame, len);
		le32_store(reg, tsd | TSD_OWN | TSD_TOK);
		set_causes(nic, INT_TOK);
	} else {
		le32_store(reg, tsd | TSD_OWN | TSD_TABT);
		set_causes(nic, INT_TER);
	}
}

/* What the driver gave, by clearing OWN, once the transmitter is on. */
static void tx_written(struct rtl8139 *nic)
{
	if (!(nic->regs[CR] & CR_TE) || !pci_is_master(&nic->pci))
		return;
	for (unsigned i = 0; i < N_TX; i++) {
		if (!(reg32(nic, TSD + 4 * i) & TSD_OWN))
			send_descriptor(nic, i);
	}
}

/* The timer */

static uint64_t ticks(const struct rtl8139 *nic)
{
	int64_t ns = clock_now_ns(nic->pci.device.env->clock) - nic->tctr_zero_ns;

	return muldiv_floor(MAX(ns, 0), TCTR_HZ, NS);
}

/* TIMERINT 0: never. Else when TCTR gets there, and again when it has come round. */
static void arm_timer(struct rtl8139 *nic)
{
	uint64_t now = ticks(nic), next = (now & ~(uint64_t)UINT32_MAX) | reg32(nic, TIMERINT);

	if (!reg32(nic, TIMERINT)) {
		timer_cancel(&nic->timer);
		return;
	}
	if (next <= now)
		next += 1ull << 32;
	timer_set(&nic->timer, nic->tctr_zero_ns + muldiv_ceil(next, NS, TCTR_HZ));
}

static void on_timer(void *opaque)
{
	struct rtl8139 *nic = opaque;

	set_causes(nic, INT_TIMEOUT);
	arm_timer(nic);
}

static void tctr_written(struct rtl8139 *nic)
{
	nic->tctr_zero_ns = clock_now_ns(nic->pci.device.env->clock);
	arm_timer(nic);
}

/* Registers */

static void reset_rows(struct rtl8139 *nic, unsigned first, unsigned end)
{
	for (const struct reg_row *row = reg_rows; row < reg_rows + G_N_ELEMENTS(reg_rows); row++) {
		for (unsigned i = 0; i < row->n * row->size; i++) {
			if (row->offset >= first && row->offset < end)
				nic->regs[row->offset + i] = row->reset >> i % row->size * 8;
		}
	}
}

/* The part that CR.RST resets: what sends and receives, not what tells who we are. */
static void reset_traffic(struct rtl8139 *nic)
{
	reset_rows(nic, TSD, CR9346);
	le16_store(nic->regs + CBR, 0);
	le16_store(nic->regs + ISR, 0);
	update_irq(nic);
}

static void load_eeprom(struct rtl8139 *nic)
{
	memcpy(nic->regs + IDR, nic->mac, NET_ADDR_LEN);
}

static void cr_written(struct rtl8139 *nic)
{
	tx_written(nic);
	rx_written(nic);
}

static void isr_written(struct rtl8139 *nic)
{
	if (ring_used(nic))
		nic->regs[ISR] |= INT_ROK;
	update_irq(nic);
}

static void capr_written(struct rtl8139 *nic)
{
	if (!ring_used(nic))
		nic->regs[ISR] &= ~INT_ROK;
	update_irq(nic);
	rx_written(nic);
}

static void cr9346_written(struct rtl8139 *nic)
{
	uint8_t value = nic->regs[CR9346], mode = value & CR9346_MODE;

	at93c46_set_pins(&nic->eeprom, mode == MODE_PROGRAM && value & CR9346_CS, value & CR9346_SK,
			 value & CR9346_DI);
	if (mode == MODE_LOAD) {
		load_eeprom(nic);
		nic->regs[CR9346] = 0;
	}
}

/* What a write to some of the bytes does besides. */
static const struct {
	uint8_t first, end;
	void (*written)(struct rtl8139 *nic);
} effects[] = {
	{TSD, TSD + 4 * N_TX, tx_written},    {CR, CR + 1, cr_written},
	{CAPR, CAPR + 2, capr_written},	      {IMR, ISR + 2, isr_written},
	{RCR, RCR + 4, rx_written},	      {TCTR, TCTR + 4, tctr_written},
	{CR9346, CR9346 + 1, cr9346_written}, {TIMERINT, TIMERINT + 4, arm_timer},
};

/* What follows from other things. */
static void compute(struct rtl8139 *nic)
{
	uint8_t *regs = nic->regs;
	bool link = net_link(nic->net);
	uint16_t all = 0;

	regs[CR] = (regs[CR] & ~CR_BUFE) | (ring_used(nic) ? 0 : CR_BUFE);
	regs[CR9346] = (regs[CR9346] & ~CR9346_DO) | (nic->eeprom.data_out ? CR9346_DO : 0);
	regs[MSR] = (regs[MSR] & MSR_WRITABLE) | MSR_AUX | (link ? 0 : MSR_NO_LINK);
	le32_store(regs + TCTR, ticks(nic));
	le16_store(regs + BMSR, (reg16(nic, BMSR) & ~BMSR_LINKED) | (link ? BMSR_LINKED : 0));
	le16_store(regs + ANLPAR, link ? 0x45e1 : 0);
	le16_store(regs + ANER, link ? 1 : 0);
	for (unsigned i = 0; i < N_TX; i++) {
		uint32_t tsd = reg32(nic, TSD + 4 * i);

		all |= (tsd & TSD_OWN ? 1 : 0) << i | (tsd & TSD_TABT ? 1 : 0) << (4 + i) |
		       (tsd & TSD_TOK ? 1 : 0) << (12 + i);
	}
	le16_store(regs + TSAD_STATUS, all);
}

static uint64_t rtl8139_read(void *opaque, uint64_t offset, unsigned size)
{
	struct rtl8139 *nic = opaque;
	uint8_t bytes[4] = {};

	compute(nic);
	memcpy(bytes, nic->regs + offset, size);
	return le32_load(bytes);
}

/* The bits of a byte that a write sets. */
static uint8_t writable(const struct rtl8139 *nic, unsigned at)
{
	bool config = at == CONFIG0 || at == CONFIG1 || at == CONFIG3 || at == CONFIG4;

	if (config && (nic->regs[CR9346] & CR9346_MODE) != MODE_CONFIG)
		return 0;
	for (const struct reg_row *row = reg_rows; row < reg_rows + G_N_ELEMENTS(reg_rows); row++) {
		if (at >= row->offset && at < row->offset + row->n * row->size)
			return row->writable >> (at - row->offset) % row->size * 8;
	}
	return 0;
}

static void write_byte(struct rtl8139 *nic, unsigned at, uint8_t value)
{
	uint8_t mask = writable(nic, at);

	nic->regs[at] = (nic->regs[at] & ~mask) | (value & mask);
	if (at == ISR || at == ISR + 1)
		nic->regs[at] &= ~value;
	if (at == CR && value & CR_RST)
		reset_traffic(nic);
	if (at == BMCR + 1 && value & (BMCR_RESET | BMCR_RESTART) >> 8)
		set_causes(nic, INT_LINK);
}

static void rtl8139_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct rtl8139 *nic = opaque;

	for (unsigned i = 0; i < size; i++)
		write_byte(nic, offset + i, value >> 8 * i);
	for (unsigned i = 0; i < G_N_ELEMENTS(effects); i++) {
		if (offset < effects[i].end && offset + size > effects[i].first)
			effects[i].written(nic);
	}
}

static const struct bus_ops reg_ops = {rtl8139_read, rtl8139_write, 1, 4};

/* Words 0 to 4 identify, 7 to 9 are the address. */
static void fill_eeprom(struct rtl8139 *nic)
{
	static const uint16_t ids[] = {0x8129, 0x10ec, 0x8139, 0x10ec, 0x8139};

	memcpy(nic->eeprom.words, ids, sizeof(ids));
	for (unsigned i = 0; i < 3; i++)
		nic->eeprom.words[7 + i] = le16_load(nic->mac + 2 * i);
}

static const struct pci_ids rtl8139_ids = {
	.vendor = 0x10ec,
	.device = 0x8139,
	.subsystem_vendor = 0x10ec,
	.subsystem = 0x8139,
	.class_code = 0x020000,
	.revision = 0x10,
	.interrupt_pin = 1,
};

static bool rtl8139_init(struct device *device, const struct device_config *config, GError **error)
{
	struct rtl8139 *nic = (struct rtl8139 *)device;
	struct net_receiver receiver = {on_receive, on_link, nic};

	if (!pci_device_init(&nic->pci, &rtl8139_ids, NULL, config, error))
		return false;
	pci_add_bar(&nic->pci, 0, PCI_BAR_IO, N_REGS, &reg_ops);
	pci_add_bar(&nic->pci, 1, PCI_BAR_MEM32, N_REGS, &reg_ops);
	timer_init(&nic->timer, device->env->clock, &device->lock, on_timer, nic);
	memcpy(nic->mac, config->mac, sizeof(nic->mac));
	fill_eeprom(nic);
	nic->net = config->net;
	net_set_receiver(nic->net, &receiver);
	return true;
}

static void rtl8139_reset(struct device *device)
{
	struct rtl8139 *nic = (struct rtl8139 *)device;

	pci_device_reset(&nic->pci);
	timer_cancel(&nic->timer);
	memset(nic->regs, 0, sizeof(nic->regs));
	reset_rows(nic, 0, N_REGS);
	load_eeprom(nic);
	at93c46_reset(&nic->eeprom);
	nic->tctr_zero_ns = clock_now_ns(device->env->clock);
}

static void rtl8139_post_load(struct device *device)
{
	struct rtl8139 *nic = (struct rtl8139 *)device;

	pci_device_post_load(&nic->pci);
	update_irq(nic);
	arm_timer(nic);
	net_receive_more(nic->net);
}

static void rtl8139_fini(struct device *device)
{
	struct rtl8139 *nic = (struct rtl8139 *)device;

	net_set_receiver(nic->net, NULL);
	timer_fini(&nic->timer);
	pci_device_fini(&nic->pci);
}

static bool rtl8139_check(const void *object)
{
	const struct rtl8139 *nic = object;

	return pci_device_check(&nic->pci) && nic->tctr_zero_ns >= 0 &&
	       nic->tctr_zero_ns <= INT64_MAX / 2;
}

static const struct state_field rtl8139_fields[] = {
	PCI_DEVICE_FIELDS(struct rtl8139, pci),
	AT93C46_FIELDS(struct rtl8139, eeprom),
	STATE_FIELD(struct rtl8139, regs),
	STATE_FIELD(struct rtl8139, tctr_zero_ns),
};

static const struct state_table rtl8139_state = {
	.name = "rtl8139",
	.version = 1,
	.object_size = sizeof(struct rtl8139),
	.fields = rtl8139_fields,
	.n_fields = G_N_ELEMENTS(rtl8139_fields),
	.check = rtl8139_check,
};

const struct device_class rtl8139_class = {
	.name = "rtl8139",
	.document = "Realtek RTL8139C(L) data sheet, rev. 1.4",
	.size = sizeof(struct rtl8139),
	.state = &rtl8139_state,
	.init = rtl8139_init,
	.reset = rtl8139_reset,
	.post_load = rtl8139_post_load,
	.fini = rtl8139_fini,
};
