/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NE2000 Ethernet card: a National DP8390D (data sheet of July 1995) with 16 KiB of memory behind a
 * data port, on ISA or, as Realtek's RTL8029AS, on PCI.
 *
 * The card's own addresses are 16 bits: the PROM with the card's address lies at 0, each byte
 * twice; the memory of 256-byte pages at 0x4000. What lies nowhere reads as ones. A frame that has
 * no room in the ring waits on the cable. PRX comes back where it is acknowledged before the ring
 * is empty: here frames may come much faster than 10 Mb/s, and drivers that stop after so many
 * would leave the rest for ever.
 */
#include "base/le.h"
#include "dev/pci/pci.h"
#include "dev/table.h"
#include "net/frame.h"
#include "net/net.h"

enum {
	IO_LEN = 32,
	DATA_PORT = 0x10,
	RESET_PORT = 0x18,

	PROM_LEN = 32,
	PROM_MARK = 0x57, /* "W": 16-bit card */
	RAM_START = 0x4000,
	RAM_LEN = 0x4000,
	PAGE_LEN = 256,
	HEADER_LEN = 4,
	FRAME_MAX = 1518,

	N_PAGES = 4,
	PAGE_REGS = 16,
};

/* Registers that are kept, by the page they are read or written in. */
enum {
	CR = 0x00,
	/* Page 0, written. */
	PSTART = 0x01,
	PSTOP = 0x02,
	BNRY = 0x03, /* read, too */
	TPSR = 0x04,
	TBCR = 0x05,
	ISR = 0x07, /* read, too */
	RSAR = 0x08,
	RBCR = 0x0a,
	RCR = 0x0c,
	TCR = 0x0d,
	DCR = 0x0e,
	IMR = 0x0f,
	/* Page 0, read. */
	TSR = 0x04,
	CRDA = 0x08,
	ID_8029 = 0x0a, /* two bytes, where a DP8390 has nothing */
	RSR = 0x0c,
	/* Page 1. */
	PAR = 0x01,
	CURR = 0x07,
	MAR = 0x08,

	CR_STP = 1 << 0,
	CR_STA = 1 << 1,
	CR_TXP = 1 << 2,
	CR_RD = 7 << 3,
	CR_RD_READ = 1 << 3,
	CR_RD_WRITE = 2 << 3,
	CR_RD_ABORT = 4 << 3,
	CR_PAGE_SHIFT = 6,

	ISR_PRX = 1 << 0,
	ISR_PTX = 1 << 1,
	ISR_RDC = 1 << 6,
	ISR_RST = 1 << 7,

	RCR_AB = 1 << 2,
	RCR_AM = 1 << 3,
	RCR_PRO = 1 << 4,
	RCR_MON = 1 << 5,

	RSR_PRX = 1 << 0,
	RSR_PHY = 1 << 5,

	TCR_LOOPBACK = 3 << 1,
	TSR_PTX = 1 << 0,
	DCR_WTS = 1 << 0,
};

struct ne2000 {
	struct pci_device pci; /* of which the ISA card has but the device */
	bool on_pci;
	struct irq_line irq; /* the ISA card's */
	struct net_port *net;
	uint8_t prom[PROM_LEN];
	uint8_t cr, isr, bnry, tsr, rsr;
	bool prx_again;		  /* PRX came back, for frames that had been told of */
	uint8_t page0[PAGE_REGS]; /* as written; page 2 shows some */
	uint8_t page1[PAGE_REGS];
	uint16_t remote_addr, remote_left;
	uint8_t ram[RAM_LEN];
};

static void update_irq(struct ne2000 *nic)
{
	bool level = nic->isr & nic->page0[IMR] & ~ISR_RST;

	if (nic->on_pci)
		pci_set_intx(&nic->pci, level);
	else
		irq_line_set(&nic->irq, level);
}

static void set_causes(struct ne2000 *nic, uint8_t causes)
{
	nic->isr |= causes;
	update_irq(nic);
}

static uint8_t memory_read(const struct ne2000 *nic, uint16_t addr)
{
	if (addr < PROM_LEN)
		return nic->prom[addr];
	return addr >= RAM_START && addr < RAM_START + RAM_LEN ? nic->ram[addr - RAM_START] : 0xff;
}

static void memory_write(struct ne2000 *nic, uint16_t addr, uint8_t value)
{
	if (addr >= RAM_START && addr < RAM_START + RAM_LEN)
		nic->ram[addr - RAM_START] = value;
}

/* Receiving */

/*
 * In pages; false: PSTART, PSTOP and CURR make no ring. A BNRY that is not in it is Linux's for the
 * page before the first, which is the last.
 */
static bool get_ring(const struct ne2000 *nic, unsigned *len, unsigned *used)
{
	unsigned start = nic->page0[PSTART], stop = nic->page0[PSTOP], curr = nic->page1[CURR];
	unsigned bnry = nic->bnry >= start && nic->bnry < stop ? nic->bnry : stop - 1;

	if (start >= stop || curr < start || curr >= stop)
		return false;
	*len = stop - start;
	*used = (curr + *len - bnry) % *len;
	return true;
}

/* Drivers keep BNRY at the page they read next, or, as the data sheet has it, at the one before. */
static bool has_frames(const struct ne2000 *nic)
{
	unsigned len, used;

	return get_ring(nic, &len, &used) && used > 1;
}

static bool passes_filter(const struct ne2000 *nic, const uint8_t *frame)
{
	uint8_t rcr = nic->page0[RCR];
	uint32_t hash;

	if (rcr & RCR_MON)
		return false;
	if (frame_is_broadcast(frame))
		return rcr & (RCR_AB | RCR_PRO);
	if (!frame_is_group(frame))
		return rcr & RCR_PRO || memcmp(frame, nic->page1 + PAR, NET_ADDR_LEN) == 0;
	hash = frame_hash(frame) >> 26;
	return rcr & RCR_AM && nic->page1[MAR + hash / 8] >> hash % 8 & 1;
}

static void store(struct ne2000 *nic, const uint8_t *bytes, size_t len, unsigned next_page)
{
	uint16_t addr = nic->page1[CURR] * PAGE_LEN;

	for (size_t i = 0; i < len; i++) {
		memory_write(nic, addr++, bytes[i]);
		if (addr == nic->page0[PSTOP] * PAGE_LEN)
			addr = nic->page0[PSTART] * PAGE_LEN;
	}
	nic->page1[CURR] = next_page;
}

static bool receive(struct ne2000 *nic, const uint8_t *frame, size_t len)
{
	uint8_t packet[HEADER_LEN + FRAME_MAX + FRAME_FCS_LEN];
	size_t total = HEADER_LEN + len + FRAME_FCS_LEN;
	unsigned pages = (total + PAGE_LEN - 1) / PAGE_LEN, ring, used, next;

	if (nic->cr & CR_STP || nic->page0[TCR] & TCR_LOOPBACK || len > FRAME_MAX ||
	    !passes_filter(nic, frame) || !get_ring(nic, &ring, &used) || pages >= ring)
		return true;
	/* CURR never reaches BNRY from behind: that would be an empty ring. */
	if (used + pages >= ring)
		return false;
	next = nic->page0[PSTART] + (nic->page1[CURR] - nic->page0[PSTART] + pages) % ring;
	nic->rsr = RSR_PRX | (frame_is_group(frame) ? RSR_PHY : 0);
	packet[0] = nic->rsr;
	packet[1] = next;
	le16_store(packet + 2, len + FRAME_FCS_LEN);
	memcpy(packet + HEADER_LEN, frame, len);
	le32_store(packet + HEADER_LEN + len, frame_fcs(frame, len));
	store(nic, packet, total, next);
	nic->prx_again = false;
	set_causes(nic, ISR_PRX);
	return true;
}

static bool on_receive(void *opaque, const uint8_t *frame, size_t len,
		   const struct net_offload *offload)
{
	struct ne2000 *nic = opaque;
	bool taken;

	g_mutex_lock(&nic->pci.device.lock);
	taken = receive(nic, frame, len);
	g_mutex_unlock(&nic->pci.device.lock);
	return taken;
}

/* Sending: the whole frame at once. */
static void transmit(struct ne2000 *nic)
{
	uint16_t addr = nic->page0[TPSR] * PAGE_LEN, len = le16_load(nic->page0 + TBCR);
	uint8_t frame[FRAME_MAX];

	for (unsigned i = 0; i < MIN(len, FRAME_MAX); i++)
		frame[i] = memory_read(nic, addr + i);
	if (len <= FRAME_MAX && !(nic->page0[TCR] & TCR_LOOPBACK))
		net_send(nic->net, frame, len);
	nic->tsr = TSR_PTX;
	set_causes(nic, ISR_PTX);
}

/* The data port */

static void advance(struct ne2000 *nic)
{
	if (++nic->remote_addr == nic->page0[PSTOP] * PAGE_LEN)
		nic->remote_addr = nic->page0[PSTART] * PAGE_LEN;
	if (--nic->remote_left == 0)
		set_causes(nic, ISR_RDC);
}

/* As wide as DCR says, whatever the access: a byte read from a 16-bit card is half of what it took.
 */
static unsigned transfer_len(const struct ne2000 *nic)
{
	return MIN(nic->page0[DCR] & DCR_WTS ? 2 : 1, nic->remote_left);
}

static uint16_t data_read(struct ne2000 *nic)
{
	uint16_t value = 0;

	if ((nic->cr & CR_RD) != CR_RD_READ)
		return 0xffff;
	for (unsigned i = 0, n = transfer_len(nic); i < n; i++) {
		value |= memory_read(nic, nic->remote_addr) << 8 * i;
		advance(nic);
	}
	return value;
}

static void data_write(struct ne2000 *nic, uint16_t value)
{
	if ((nic->cr & CR_RD) != CR_RD_WRITE)
		return;
	for (unsigned i = 0, n = transfer_len(nic); i < n; i++) {
		memory_write(nic, nic->remote_addr, value >> 8 * i);
		advance(nic);
	}
}

/* Registers */

static void reset(struct ne2000 *nic)
{
	nic->cr = CR_STP | CR_RD_ABORT;
	nic->isr = ISR_RST;
	nic->page0[IMR] = 0;
	nic->page0[TCR] = 0;
	nic->tsr = 0;
	nic->remote_left = 0;
	update_irq(nic);
}

static void cr_written(struct ne2000 *nic, uint8_t value)
{
	uint8_t remote = value & CR_RD;

	nic->cr = value & ~CR_TXP;
	if (value & CR_STP) {
		nic->isr |= ISR_RST;
		return;
	}
	nic->isr &= ~ISR_RST;
	if ((remote == CR_RD_READ || remote == CR_RD_WRITE) && !nic->remote_left)
		set_causes(nic, ISR_RDC);
	if (value & CR_TXP)
		transmit(nic);
	net_receive_more(nic->net);
}

static void isr_written(struct ne2000 *nic, uint8_t value)
{
	nic->isr &= ~(value & ~ISR_RST);
	if (nic->isr & ISR_PRX || !has_frames(nic))
		return;
	nic->prx_again = true;
	nic->isr |= ISR_PRX;
}

static void bnry_written(struct ne2000 *nic, uint8_t value)
{
	nic->bnry = value;
	/* An edge-triggered line that stayed high for nothing would never rise again. */
	if (nic->prx_again && !has_frames(nic))
		nic->isr &= ~ISR_PRX;
	net_receive_more(nic->net);
}

static void page0_written(struct ne2000 *nic, unsigned reg, uint8_t value)
{
	nic->page0[reg] = value;
	switch (reg) {
	case BNRY:
		bnry_written(nic, value);
		break;
	case ISR:
		isr_written(nic, value);
		break;
	case RSAR:
	case RSAR + 1:
		nic->remote_addr = le16_load(nic->page0 + RSAR);
		break;
	case RBCR:
	case RBCR + 1:
		nic->remote_left = le16_load(nic->page0 + RBCR);
		break;
	}
	update_irq(nic);
}

static uint8_t page0_read(const struct ne2000 *nic, unsigned reg)
{
	switch (reg) {
	case BNRY:
		return nic->bnry;
	case TSR:
		return nic->tsr;
	case ISR:
		return nic->isr;
	case CRDA:
		return nic->remote_addr;
	case CRDA + 1:
		return nic->remote_addr >> 8;
	case ID_8029:
		return nic->on_pci ? 'P' : 0xff;
	case ID_8029 + 1:
		return nic->on_pci ? 'C' : 0xff;
	case RSR:
		return nic->rsr;
	default:
		return 0; /* counters of errors, and the FIFO */
	}
}

/* Page 2 shows what was written to page 0; page 3 is the 8029's, whose configuration is all zeros.
 */
static uint8_t reg_read(const struct ne2000 *nic, unsigned reg)
{
	if (reg == CR)
		return nic->cr;
	switch (nic->cr >> CR_PAGE_SHIFT) {
	case 0:
		return page0_read(nic, reg);
	case 1:
		return nic->page1[reg];
	case 2:
		return nic->page0[reg];
	default:
		return 0;
	}
}

static void reg_write(struct ne2000 *nic, unsigned reg, uint8_t value)
{
	if (reg == CR)
		cr_written(nic, value);
	else if (nic->cr >> CR_PAGE_SHIFT == 0)
		page0_written(nic, reg, value);
	else if (nic->cr >> CR_PAGE_SHIFT == 1)
		nic->page1[reg] = value;
}

static uint64_t ne2000_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ne2000 *nic = opaque;
	uint16_t value = 0;

	if (offset >= DATA_PORT && offset < RESET_PORT)
		return data_read(nic);
	if (offset >= RESET_PORT) {
		reset(nic);
		return 0;
	}
	for (unsigned i = 0; i < size && offset + i < DATA_PORT; i++)
		value |= reg_read(nic, offset + i) << 8 * i;
	return value;
}

static void ne2000_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ne2000 *nic = opaque;

	if (offset >= DATA_PORT && offset < RESET_PORT)
		data_write(nic, value);
	for (unsigned i = 0; i < size && offset + i < DATA_PORT; i++)
		reg_write(nic, offset + i, value >> 8 * i);
}

static const struct bus_ops port_ops = {ne2000_read, ne2000_write, 1, 2};

/* Each byte twice, as a 16-bit card's 8-bit PROM reads. */
static void fill_prom(struct ne2000 *nic, const uint8_t *mac)
{
	for (unsigned i = 0; i < PROM_LEN; i++) {
		unsigned at = i / 2;

		nic->prom[i] = at < NET_ADDR_LEN ? mac[at] : at >= 14 ? PROM_MARK : 0;
	}
}

static void connect(struct ne2000 *nic, const struct device_config *config)
{
	struct net_receiver receiver = {.receive = on_receive, .opaque = nic};

	fill_prom(nic, config->mac);
	nic->net = config->net;
	net_set_receiver(nic->net, &receiver);
}

static bool ne2000_init(struct device *device, const struct device_config *config, GError **error)
{
	struct ne2000 *nic = (struct ne2000 *)device;

	if (!device_map(device, BUS_PIO, config->base, IO_LEN, &port_ops, error))
		return false;
	irq_line_init(&nic->irq, device->env->bus, config->irq);
	connect(nic, config);
	return true;
}

static bool rtl8029_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {
		.vendor = 0x10ec,
		.device = 0x8029,
		.subsystem_vendor = 0x10ec,
		.subsystem = 0x8029,
		.class_code = 0x020000,
		.interrupt_pin = 1,
	};
	struct ne2000 *nic = (struct ne2000 *)device;

	if (!pci_device_init(&nic->pci, &ids, NULL, config, error))
		return false;
	pci_add_bar(&nic->pci, 0, PCI_BAR_IO, IO_LEN, &port_ops);
	nic->on_pci = true;
	connect(nic, config);
	return true;
}

static void ne2000_reset(struct device *device)
{
	struct ne2000 *nic = (struct ne2000 *)device;

	if (nic->on_pci)
		pci_device_reset(&nic->pci);
	memset(nic->page0, 0, sizeof(nic->page0));
	memset(nic->page1, 0, sizeof(nic->page1));
	memset(nic->ram, 0, sizeof(nic->ram));
	nic->bnry = nic->rsr = 0;
	nic->prx_again = false;
	nic->remote_addr = 0;
	reset(nic);
}

static void ne2000_post_load(struct device *device)
{
	struct ne2000 *nic = (struct ne2000 *)device;

	if (nic->on_pci)
		pci_device_post_load(&nic->pci);
	update_irq(nic);
	net_receive_more(nic->net);
}

static void ne2000_fini(struct device *device)
{
	struct ne2000 *nic = (struct ne2000 *)device;

	net_set_receiver(nic->net, NULL);
	if (nic->on_pci)
		pci_device_fini(&nic->pci);
}

static bool rtl8029_check(const void *object)
{
	return pci_device_check(&((const struct ne2000 *)object)->pci);
}

#define NE2000_FIELDS                                                                             \
	STATE_FIELD(struct ne2000, cr), STATE_FIELD(struct ne2000, isr),                          \
		STATE_FIELD(struct ne2000, bnry), STATE_FIELD(struct ne2000, tsr),                \
		STATE_FIELD(struct ne2000, rsr), STATE_FIELD(struct ne2000, prx_again),           \
		STATE_FIELD(struct ne2000, page0), STATE_FIELD(struct ne2000, page1),             \
		STATE_FIELD(struct ne2000, remote_addr), STATE_FIELD(struct ne2000, remote_left), \
		STATE_FIELD(struct ne2000, ram)

static const struct state_field ne2000_fields[] = {NE2000_FIELDS};

static const struct state_field rtl8029_fields[] = {
	PCI_DEVICE_FIELDS(struct ne2000, pci),
	NE2000_FIELDS,
};

static const struct state_table ne2000_state = {
	.name = "ne2000",
	.version = 1,
	.object_size = sizeof(struct ne2000),
	.fields = ne2000_fields,
	.n_fields = G_N_ELEMENTS(ne2000_fields),
};

static const struct state_table rtl8029_state = {
	.name = "rtl8029",
	.version = 1,
	.object_size = sizeof(struct ne2000),
	.fields = rtl8029_fields,
	.n_fields = G_N_ELEMENTS(rtl8029_fields),
	.check = rtl8029_check,
};

const struct device_class ne2000_class = {
	.name = "ne2000",
	.document = "National DP8390D data sheet; Novell NE2000",
	.size = sizeof(struct ne2000),
	.state = &ne2000_state,
	.init = ne2000_init,
	.reset = ne2000_reset,
	.post_load = ne2000_post_load,
	.fini = ne2000_fini,
};

const struct device_class rtl8029_class = {
	.name = "rtl8029",
	.document = "Realtek RTL8029AS data sheet; National DP8390D",
	.size = sizeof(struct ne2000),
	.state = &rtl8029_state,
	.init = rtl8029_init,
	.reset = ne2000_reset,
	.post_load = ne2000_post_load,
	.fini = ne2000_fini,
};
