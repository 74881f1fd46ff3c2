/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM gigabit Ethernet controller: PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual (317453, "SDM" below), with the 88E1011 PHY that is in it.
 *
 * A frame that finds no receive descriptor waits on the cable, which stands for the packet buffer.
 * Delays of single interrupts (RDTR, RADV, TIDV, TADV) are kept and not waited for; the ITR is what
 * holds interrupts down. Checksums of received frames are left to the driver (IXSM); those of sent
 * ones and TCP segmentation are not.
 */
#include <stdlib.h>

#include "base/le.h"
#include "dev/nic/at93c46.h"
#include "dev/pci/pci.h"
#include "dev/table.h"
#include "net/frame.h"
#include "net/net.h"
#include "net/offload.h"

enum {
	BAR_LEN = 0x20000,
	IO_LEN = 64,
	IOADDR = 0,
	IODATA = 4,

	DESC_SIZE = 16,
	TX_BUDGET = 128,     /* descriptors a turn: the rest is for the timer */
	TX_AGAIN_NS = 10000, /* when it goes on: others have had the device meanwhile */
	/* A packet before its segmentation: what an IP length can say, and headers. */
	TX_MAX = 65536 + 256,
	MAX_STANDARD = 1518, /* with a VLAN tag, without FCS */
	VLAN_LEN = 4,
	ADDRS_LEN = 12,
	ITR_UNIT_NS = 256,
	PHY_REGS = 32,
	PHY_ADDR = 1,
	RA_WORDS = 32,
	MTA_WORDS = 128,
	VFTA_WORDS = 128,
	N_STATS = 64,
};

/* Section 13.4. */
enum {
	STATS = 0x4000,
	MTA = 0x5200,
	RA = 0x5400,
	VFTA = 0x5600,

	CTRL_SLU = 1 << 6,
	CTRL_FD = 1 << 0,
	CTRL_RST = 1 << 26,
	CTRL_VME = 1 << 30,
	CTRL_PHY_RST = 1u << 31,

	STATUS_FD = 1 << 0,
	STATUS_LU = 1 << 1,
	STATUS_1000 = 2 << 6 | 2 << 8, /* SPEED and ASDV */

	EECD_SK = 1 << 0,
	EECD_CS = 1 << 1,
	EECD_DI = 1 << 2,
	EECD_DO = 1 << 3,
	EECD_REQ = 1 << 6,
	EECD_GNT = 1 << 7,
	EECD_PRES = 1 << 8,
	EECD_WRITABLE = EECD_SK | EECD_CS | EECD_DI | 3 << 4 | EECD_REQ,

	EERD_START = 1 << 0,
	EERD_DONE = 1 << 4,
	EERD_ADDR_SHIFT = 8,
	EERD_DATA_SHIFT = 16,

	MDIC_REG_SHIFT = 16,
	MDIC_PHY_SHIFT = 21,
	MDIC_OP_WRITE = 1 << 26,
	MDIC_OP_READ = 2 << 26,
	MDIC_READY = 1 << 28,
	MDIC_INTERRUPT = 1 << 29,
	MDIC_ERROR = 1 << 30,

	INT_TXDW = 1 << 0,
	INT_TXQE = 1 << 1,
	INT_LSC = 1 << 2,
	INT_RXDMT0 = 1 << 4,
	INT_RXT0 = 1 << 7,
	INT_MDAC = 1 << 9,
	INT_ALL = 0x1ffff,

	RCTL_EN = 1 << 1,
	RCTL_UPE = 1 << 3,
	RCTL_MPE = 1 << 4,
	RCTL_LPE = 1 << 5,
	RCTL_RDMTS_SHIFT = 8,
	RCTL_MO_SHIFT = 12,
	RCTL_BAM = 1 << 15,
	RCTL_BSIZE_SHIFT = 16,
	RCTL_VFE = 1 << 18,
	RCTL_BSEX = 1 << 25,
	RCTL_SECRC = 1 << 26,

	TCTL_EN = 1 << 1,

	RAH_AV = 1u << 31,
	RAH_AS = 3 << 16,

	RING_LEN = 0xfff80,
	RING_BASE = 0xfffffff0,
};

/* Receive descriptor status, section 3.2.3.1. */
enum { RXD_DD = 1 << 0, RXD_EOP = 1 << 1, RXD_IXSM = 1 << 2, RXD_VP = 1 << 3 };

/* Transmit descriptors, sections 3.3.3 to 3.3.7: the second dword's command and type, and others'
 * fields. */
enum {
	TXD_EOP = 1 << 24,
	TXD_IC = 1 << 26,  /* legacy: insert checksum */
	TXD_TSE = 1 << 26, /* data and context: segment */
	TXD_RS = 1 << 27,
	TXD_DEXT = 1 << 29,
	TXD_VLE = 1 << 30,
	TXD_TYPE = 0xf << 20,
	TXD_TYPE_CONTEXT = 0 << 20,
	TXD_TYPE_DATA = 1 << 20,
	TXD_LEGACY_LEN = 0xffff,
	TXD_DATA_LEN = 0xfffff,
	TXD_STATUS = 12, /* offset of the byte */
	TXD_DD = 1 << 0,
	TXD_POPTS = 13, /* the same of a data descriptor's options, a legacy one's CSS */
	POPTS_IXSM = 1 << 0,
	POPTS_TXSM = 1 << 1,
	TXD_SPECIAL = 14,
	CONTEXT_TCP = 1 << 24,
	CONTEXT_IP = 1 << 25,
};

/* Statistics, section 13.7: 0x4000 + 4 times this. */
enum {
	STAT_MPC = 0x10 / 4,
	STAT_PRC64 = 0x5c / 4, /* and five more, of longer ones */
	STAT_GPRC = 0x74 / 4,
	STAT_BPRC = 0x78 / 4,
	STAT_MPRC = 0x7c / 4,
	STAT_GPTC = 0x80 / 4,
	STAT_GORCL = 0x88 / 4,
	STAT_GOTCL = 0x90 / 4,
	STAT_RNBC = 0xa0 / 4,
	STAT_ROC = 0xac / 4,
	STAT_TORL = 0xc0 / 4,
	STAT_TOTL = 0xc8 / 4,
	STAT_TPR = 0xd0 / 4,
	STAT_TPT = 0xd4 / 4,
	STAT_PTC64 = 0xd8 / 4,
	STAT_MPTC = 0xf0 / 4,
	STAT_BPTC = 0xf4 / 4,
	STAT_TSCTC = 0xf8 / 4,
};

/* IEEE 802.3 22.2.4, and the 88E1011's own. */
enum {
	PHY_CONTROL = 0,
	PHY_CONTROL_RESTART = 1 << 9,
	PHY_CONTROL_RESET = 1 << 15,
	PHY_STATUS = 1,
	PHY_STATUS_LINK = 1 << 2,
	PHY_STATUS_NEGOTIATED = 1 << 5,
	PHY_PARTNER = 5,
	PHY_EXPANSION = 6,
	PHY_1000T_STATUS = 10,
	PHY_SPECIFIC_STATUS = 17,
};

/*
 * Section 13.3, by offset: the bits that are kept, and functions that are told of a write (of all
 * bits) and that read instead of what is kept. Struct, look-up and state are made from these rows.
 */
#define REGS(X)                                                         \
	X(0x0000, ctrl, ~(CTRL_RST | CTRL_PHY_RST), ctrl_written, NULL) \
	X(0x0008, status, 0, NULL, status_read)                         \
	X(0x0010, eecd, EECD_WRITABLE, eecd_written, eecd_read)         \
	X(0x0014, eerd, 0, eerd_written, NULL)                          \
	X(0x0018, ctrl_ext, UINT32_MAX, NULL, NULL)                     \
	X(0x0020, mdic, 0, mdic_written, NULL)                          \
	X(0x0028, fcal, UINT32_MAX, NULL, NULL)                         \
	X(0x002c, fcah, 0xffff, NULL, NULL)                             \
	X(0x0030, fct, 0xffff, NULL, NULL)                              \
	X(0x0038, vet, 0xffff, NULL, NULL)                              \
	X(0x00c0, icr, 0, icr_written, icr_read)                        \
	X(0x00c4, itr, 0xffff, NULL, NULL)                              \
	X(0x00c8, ics, 0, ics_written, NULL)                            \
	X(0x00d0, ims, 0, ims_written, NULL)                            \
	X(0x00d8, imc, 0, imc_written, NULL)                            \
	X(0x0100, rctl, UINT32_MAX, rx_written, NULL)                   \
	X(0x0170, fcttv, 0xffff, NULL, NULL)                            \
	X(0x0178, txcw, UINT32_MAX, NULL, NULL)                         \
	X(0x0400, tctl, UINT32_MAX, tx_written, NULL)                   \
	X(0x0410, tipg, UINT32_MAX, NULL, NULL)                         \
	X(0x0458, ait, 0xffff, NULL, NULL)                              \
	X(0x0e00, ledctl, UINT32_MAX, NULL, NULL)                       \
	X(0x1000, pba, 0xffff, NULL, NULL)                              \
	X(0x2160, fcrtl, 0x8000fff8, NULL, NULL)                        \
	X(0x2168, fcrth, 0xfff8, NULL, NULL)                            \
	X(0x2800, rdbal, RING_BASE, NULL, NULL)                         \
	X(0x2804, rdbah, UINT32_MAX, NULL, NULL)                        \
	X(0x2808, rdlen, RING_LEN, NULL, NULL)                          \
	X(0x2810, rdh, 0xffff, NULL, NULL)                              \
	X(0x2818, rdt, 0xffff, rx_written, NULL)                        \
	X(0x2820, rdtr, 0xffff, NULL, NULL)                             \
	X(0x2828, rxdctl, UINT32_MAX, NULL, NULL)                       \
	X(0x282c, radv, 0xffff, NULL, NULL)                             \
	X(0x2c00, rsrpd, 0xfff, NULL, NULL)                             \
	X(0x3000, txdmac, 1, NULL, NULL)                                \
	X(0x3800, tdbal, RING_BASE, NULL, NULL)                         \
	X(0x3804, tdbah, UINT32_MAX, NULL, NULL)                        \
	X(0x3808, tdlen, RING_LEN, NULL, NULL)                          \
	X(0x3810, tdh, 0xffff, NULL, NULL)                              \
	X(0x3818, tdt, 0xffff, tx_written, NULL)                        \
	X(0x3820, tidv, 0xffff, NULL, NULL)                             \
	X(0x3828, txdctl, UINT32_MAX, NULL, NULL)                       \
	X(0x382c, tadv, 0xffff, NULL, NULL)                             \
	X(0x3830, tspmt, UINT32_MAX, NULL, NULL)                        \
	X(0x5000, rxcsum, 0x7ff, NULL, NULL)                            \
	X(0x5800, wuc, UINT32_MAX, NULL, NULL)                          \
	X(0x5808, wufc, UINT32_MAX, NULL, NULL)                         \
	X(0x5820, manc, UINT32_MAX, NULL, NULL)

#define REG_MEMBER(offset, name, writable, written, read) uint32_t name;

/* What CTRL.RST puts back. */
struct regs {
	REGS(REG_MEMBER)
	uint32_t ra[RA_WORDS], mta[MTA_WORDS], vfta[VFTA_WORDS], stats[N_STATS];
	uint32_t context[2][4]; /* for checksums and for segmentation, as their descriptors came */
	int64_t next_irq_ns;	/* ITR: not before */
	bool tx_left;		/* the timer is to go on with the ring */
	/* A packet whose last descriptor has not come yet. */
	bool tx_open;
	bool tx_segment;
	uint8_t tx_popts;
	uint32_t tx_len; /* above TX_MAX: too long, or not in RAM; goes nowhere */
};

struct e1000 {
	struct pci_device pci;
	struct net_port *net;
	uint8_t mac[NET_ADDR_LEN];
	struct timer tx_timer, irq_timer;
	uint32_t ioaddr;
	struct at93c46 eeprom;
	uint16_t phy[PHY_REGS];
	struct regs r;
	uint8_t tx_packet[TX_MAX];
};

static void update_irq(struct e1000 *nic)
{
	int64_t now;

	if (!(nic->r.icr & nic->r.ims)) {
		timer_cancel(&nic->irq_timer);
		pci_set_intx(&nic->pci, false);
		return;
	}
	if (nic->pci.intx)
		return;
	now = clock_now_ns(nic->pci.device.env->clock);
	if (now < nic->r.next_irq_ns) {
		timer_set(&nic->irq_timer, nic->r.next_irq_ns);
		return;
	}
	nic->r.next_irq_ns = now + nic->r.itr * ITR_UNIT_NS;
	pci_set_intx(&nic->pci, true);
}

static void on_irq_timer(void *opaque)
{
	update_irq(opaque);
}

static void set_causes(struct e1000 *nic, uint32_t causes)
{
	nic->r.icr |= causes;
	update_irq(nic);
}

/* Section 13.7: they stop at their highest value. */
static void count(struct e1000 *nic, unsigned stat, uint32_t n)
{
	uint32_t *value = &nic->r.stats[stat];

	*value = n > UINT32_MAX - *value ? UINT32_MAX : *value + n;
}

static void count64(struct e1000 *nic, unsigned low, uint32_t n)
{
	uint64_t value = (uint64_t)nic->r.stats[low + 1] << 32 | nic->r.stats[low];

	value = n > UINT64_MAX - value ? UINT64_MAX : value + n;
	nic->r.stats[low] = value;
	nic->r.stats[low + 1] = value >> 32;
}

/* The counter of a length, FCS included, among six neighbours: 64, to 127, 255, 511, 1023, longer.
 */
static unsigned size_class(size_t len)
{
	unsigned class = 0;

	for (size_t limit = 64; class < 5 && len > limit; class ++)
		limit = limit == 64 ? 127 : limit * 2 + 1;
	return class;
}

/* Receiving */

static bool is_tagged(const struct e1000 *nic, const uint8_t *frame)
{
	return be16_load(frame + ADDRS_LEN) == (nic->r.vet & 0xffff);
}

static bool passes_vlan_filter(const struct e1000 *nic, const uint8_t *frame)
{
	unsigned vid = be16_load(frame + ADDRS_LEN + 2) & 0xfff;

	return !(nic->r.rctl & RCTL_VFE) || !is_tagged(nic, frame) ||
	       nic->r.vfta[vid / 32] >> vid % 32 & 1;
}

static bool matches_exactly(const struct e1000 *nic, const uint8_t *addr)
{
	for (unsigned i = 0; i < RA_WORDS; i += 2) {
		uint32_t high = nic->r.ra[i + 1];

		if (high & RAH_AV && !(high & RAH_AS) && le32_load(addr) == nic->r.ra[i] &&
		    le16_load(addr + 4) == (high & 0xffff))
			return true;
	}
	return false;
}

/* Section 13.5.1: 12 bits of the address, from where RCTL.MO says. */
static bool matches_hash(const struct e1000 *nic, const uint8_t *addr)
{
	static const uint8_t shifts[] = {4, 3, 2, 0};
	unsigned hash = le16_load(addr + 4) >> shifts[nic->r.rctl >> RCTL_MO_SHIFT & 3] & 0xfff;

	return nic->r.mta[hash / 32] >> hash % 32 & 1;
}

static bool passes_filters(const struct e1000 *nic, const uint8_t *frame)
{
	uint32_t rctl = nic->r.rctl;

	if (!passes_vlan_filter(nic, frame))
		return false;
	if (rctl & RCTL_BAM && frame_is_broadcast(frame))
		return true;
	if (rctl & (frame_is_group(frame) ? RCTL_MPE : RCTL_UPE) || matches_exactly(nic, frame))
		return true;
	return frame_is_group(frame) && matches_hash(nic, frame);
}

static void count_received(struct e1000 *nic, const uint8_t *frame, size_t len)
{
	count(nic, STAT_TPR, 1);
	count(nic, STAT_GPRC, 1);
	count(nic, STAT_PRC64 + size_class(len), 1);
	count64(nic, STAT_TORL, len);
	count64(nic, STAT_GORCL, len);
	if (frame_is_broadcast(frame))
		count(nic, STAT_BPRC, 1);
	else if (frame_is_group(frame))
		count(nic, STAT_MPRC, 1);
}

static unsigned rx_buffer_size(const struct e1000 *nic)
{
	unsigned size = 2048 >> (nic->r.rctl >> RCTL_BSIZE_SHIFT & 3);

	/* With BSEX sixteen times as much, except that the first of the four does not exist. */
	return nic->r.rctl & RCTL_BSEX && size < 2048 ? size * 16 : size;
}

/* What goes to RAM: without the tag that goes to the descriptor, with the FCS unless it is
 * stripped. */
static size_t make_packet(const struct e1000 *nic, const uint8_t *frame, size_t len, bool strip_tag,
			  uint8_t *packet)
{
	size_t skip = strip_tag ? VLAN_LEN : 0;

	memcpy(packet, frame, ADDRS_LEN);
	memcpy(packet + ADDRS_LEN, frame + ADDRS_LEN + skip, len - ADDRS_LEN - skip);
	if (nic->r.rctl & RCTL_SECRC)
		return len - skip;
	le32_store(packet + len - skip, frame_fcs(frame, len));
	return len - skip + FRAME_FCS_LEN;
}

/* The descriptors it takes are free. Length, checksum, status, errors and tag are written at once.
 */
static void store_packet(struct e1000 *nic, const uint8_t *packet, size_t len, uint8_t status,
			 uint16_t tag)
{
	struct mem *mem = nic->pci.device.env->mem;
	unsigned n = nic->r.rdlen / DESC_SIZE, size = rx_buffer_size(nic);
	unsigned start = nic->r.rxcsum & 0xff;
	uint16_t sum = start < len ? frame_sum(packet + start, len - start, 0) : 0;

	for (size_t at = 0; at < len; at += size) {
		uint64_t desc =
			((uint64_t)nic->r.rdbah << 32 | nic->r.rdbal) + nic->r.rdh * DESC_SIZE;
		size_t part = MIN(size, len - at);
		uint8_t addr[8], done[8] = {};

		if (mem_read(mem, desc, addr, sizeof(addr)))
			mem_write(mem, le64_load(addr), packet + at, part);
		le16_store(done, part);
		le16_store(done + 2, GUINT16_SWAP_LE_BE(sum));
		done[4] = status | (at + part == len ? RXD_EOP : 0);
		le16_store(done + 6, tag);
		mem_write(mem, desc + sizeof(addr), done, sizeof(done));
		nic->r.rdh = (nic->r.rdh + 1) % n;
	}
}

static bool receive(struct e1000 *nic, const uint8_t *frame, size_t len)
{
	uint8_t packet[NET_FRAME_MAX + FRAME_FCS_LEN], status = RXD_DD | RXD_IXSM;
	unsigned n = nic->r.rdlen / DESC_SIZE, wanted, free;
	bool tagged = nic->r.ctrl & CTRL_VME && is_tagged(nic, frame);
	uint16_t tag = tagged ? be16_load(frame + ADDRS_LEN + 2) : 0;
	size_t packet_len;

	if (!(nic->r.rctl & RCTL_EN) || !pci_is_master(&nic->pci) || !passes_filters(nic, frame))
		return true;
	if (!(nic->r.rctl & RCTL_LPE) && len > MAX_STANDARD) {
		count(nic, STAT_ROC, 1);
		return true;
	}
	packet_len = make_packet(nic, frame, len, tagged, packet);
	wanted = (packet_len + rx_buffer_size(nic) - 1) / rx_buffer_size(nic);
	if (nic->r.rdh >= n || nic->r.rdt >= n || wanted >= n) {
		count(nic, STAT_MPC, 1);
		return true;
	}
	free = (nic->r.rdt + n - nic->r.rdh) % n;
	if (wanted > free) {
		count(nic, STAT_RNBC, 1);
		return false;
	}
	count_received(nic, frame, len + FRAME_FCS_LEN);
	store_packet(nic, packet, packet_len, status | (tagged ? RXD_VP : 0), tag);
	/* RDMTS: a half, a quarter, an eighth of the ring. */
	free -= wanted;
	set_causes(nic,
		   INT_RXT0 | (free <= n >> ((nic->r.rctl >> RCTL_RDMTS_SHIFT & 3) + 1) ? INT_RXDMT0
											: 0));
	return true;
}

static bool on_receive(void *opaque, const uint8_t *frame, size_t len)
{
	struct e1000 *nic = opaque;
	bool taken;

	g_mutex_lock(&nic->pci.device.lock);
	taken = receive(nic, frame, len);
	g_mutex_unlock(&nic->pci.device.lock);
	return taken;
}

static void on_link(void *opaque, bool up)
{
	struct e1000 *nic = opaque;

	g_mutex_lock(&nic->pci.device.lock);
	set_causes(nic, INT_LSC);
	g_mutex_unlock(&nic->pci.device.lock);
}

/* Sending */

static void send_frame(struct e1000 *nic, const uint8_t *frame, size_t len, const uint8_t *tag)
{
	uint8_t tagged[NET_FRAME_MAX];

	if (len <= ADDRS_LEN || len > NET_FRAME_MAX - VLAN_LEN)
		return;
	if (tag) {
		memcpy(tagged, frame, ADDRS_LEN);
		memcpy(tagged + ADDRS_LEN, tag, VLAN_LEN);
		memcpy(tagged + ADDRS_LEN + VLAN_LEN, frame + ADDRS_LEN, len - ADDRS_LEN);
		frame = tagged;
		len += VLAN_LEN;
	}
	net_send(nic->net, frame, len);
	len = MAX(len, NET_FRAME_MIN) + FRAME_FCS_LEN;
	count(nic, STAT_TPT, 1);
	count(nic, STAT_GPTC, 1);
	count(nic, STAT_PTC64 + size_class(len), 1);
	count64(nic, STAT_TOTL, len);
	count64(nic, STAT_GOTCL, len);
	if (frame_is_broadcast(frame))
		count(nic, STAT_BPTC, 1);
	else if (frame_is_group(frame))
		count(nic, STAT_MPTC, 1);
}

/* The fields of a context descriptor, section 3.3.6, whose ends are last bytes. */
static struct offload get_offload(const struct e1000 *nic)
{
	const uint32_t *c = nic->r.context[nic->r.tx_segment];
	unsigned ipcse = c[0] >> 16, tucse = c[1] >> 16;

	return (struct offload){
		.ip = {nic->r.tx_popts & POPTS_IXSM, c[0] & 0xff, c[0] >> 8 & 0xff,
		       ipcse ? ipcse + 1 : 0},
		.l4 = {nic->r.tx_popts & POPTS_TXSM, c[1] & 0xff, c[1] >> 8 & 0xff,
		       tucse ? tucse + 1 : 0},
		.ipv4 = c[2] & CONTEXT_IP,
		.tcp = c[2] & CONTEXT_TCP,
		.header_len = c[3] >> 8 & 0xff,
		.mss = c[3] >> 16,
	};
}

static void send_segments(struct e1000 *nic, const struct offload *offload, const uint8_t *tag)
{
	uint8_t segment[NET_FRAME_MAX];
	unsigned n = 0;
	size_t len;

	while ((len = offload_segment(offload, nic->tx_packet, nic->r.tx_len, n, segment))) {
		send_frame(nic, segment, len, tag);
		n++;
	}
	count(nic, STAT_TSCTC, 1);
}

/* `desc` is the packet's last descriptor. */
static void send_packet(struct e1000 *nic, const uint8_t *desc)
{
	uint32_t command = le32_load(desc + 8);
	uint8_t vlan[VLAN_LEN], *tag = NULL;
	struct offload offload = get_offload(nic);
	/* A legacy descriptor's own: its CSS and CSO. */
	struct offload_sum legacy = {command & TXD_IC, desc[TXD_POPTS], command >> 16 & 0xff, 0};

	if (nic->r.ctrl & CTRL_VME && command & TXD_VLE) {
		be16_store(vlan, nic->r.vet);
		be16_store(vlan + 2, le16_load(desc + TXD_SPECIAL));
		tag = vlan;
	}
	if (nic->r.tx_segment) {
		send_segments(nic, &offload, tag);
		return;
	}
	if (command & TXD_DEXT) {
		offload_insert_sum(&offload.ip, nic->tx_packet, nic->r.tx_len);
		offload_insert_sum(&offload.l4, nic->tx_packet, nic->r.tx_len);
	} else {
		offload_insert_sum(&legacy, nic->tx_packet, nic->r.tx_len);
	}
	send_frame(nic, nic->tx_packet, nic->r.tx_len, tag);
}

static void gather(struct e1000 *nic, uint64_t gpa, uint32_t len)
{
	if (len > TX_MAX || nic->r.tx_len > TX_MAX - len ||
	    !mem_read(nic->pci.device.env->mem, gpa, nic->tx_packet + nic->r.tx_len, len))
		nic->r.tx_len = TX_MAX + 1;
	else
		nic->r.tx_len += len;
}

static void take_data(struct e1000 *nic, const uint8_t *desc)
{
	uint32_t command = le32_load(desc + 8);
	bool extended = command & TXD_DEXT;

	if (!nic->r.tx_open) {
		nic->r.tx_open = true;
		nic->r.tx_len = 0;
		/* Only the first one's count, section 3.3.7. */
		nic->r.tx_segment = extended && command & TXD_TSE;
		nic->r.tx_popts = extended ? desc[TXD_POPTS] : 0;
	}
	gather(nic, le64_load(desc), command & (extended ? TXD_DATA_LEN : TXD_LEGACY_LEN));
	if (!(command & TXD_EOP))
		return;
	if (nic->r.tx_len <= TX_MAX)
		send_packet(nic, desc);
	nic->r.tx_open = false;
}

static void take_context(struct e1000 *nic, const uint8_t *desc)
{
	uint32_t *context = nic->r.context[!!(le32_load(desc + 8) & TXD_TSE)];

	for (unsigned i = 0; i < 4; i++)
		context[i] = le32_load(desc + 4 * i);
}

/* The descriptor at TDH; false: it is not in RAM. */
static bool take_descriptor(struct e1000 *nic, uint32_t *causes)
{
	uint64_t gpa = ((uint64_t)nic->r.tdbah << 32 | nic->r.tdbal) + nic->r.tdh * DESC_SIZE;
	struct mem *mem = nic->pci.device.env->mem;
	uint8_t desc[DESC_SIZE];
	uint32_t command;

	if (!mem_read(mem, gpa, desc, sizeof(desc)))
		return false;
	command = le32_load(desc + 8);
	if (!(command & TXD_DEXT) || (command & TXD_TYPE) == TXD_TYPE_DATA)
		take_data(nic, desc);
	else if ((command & TXD_TYPE) == TXD_TYPE_CONTEXT)
		take_context(nic, desc);
	if (command & TXD_RS) {
		desc[TXD_STATUS] |= TXD_DD;
		mem_write(mem, gpa + TXD_STATUS, desc + TXD_STATUS, 1);
		*causes |= INT_TXDW;
	}
	return true;
}

static void go_on_later(struct e1000 *nic)
{
	timer_set(&nic->tx_timer, clock_now_ns(nic->pci.device.env->clock) + TX_AGAIN_NS);
}

/* From TDH to TDT, or as far as a turn goes. Heads and tails past the ring's end would never meet.
 */
static void transmit(struct e1000 *nic)
{
	unsigned n = nic->r.tdlen / DESC_SIZE, budget = TX_BUDGET;
	uint32_t causes = 0;

	nic->r.tx_left = false;
	if (!(nic->r.tctl & TCTL_EN) || !pci_is_master(&nic->pci) || nic->r.tdh >= n ||
	    nic->r.tdt >= n || nic->r.tdh == nic->r.tdt)
		return;
	while (nic->r.tdh != nic->r.tdt && budget && take_descriptor(nic, &causes)) {
		nic->r.tdh = (nic->r.tdh + 1) % n;
		budget--;
	}
	if (nic->r.tdh == nic->r.tdt)
		causes |= INT_TXQE;
	nic->r.tx_left = !budget && nic->r.tdh != nic->r.tdt;
	if (nic->r.tx_left)
		go_on_later(nic);
	set_causes(nic, causes);
}

static void on_tx_timer(void *opaque)
{
	struct e1000 *nic = opaque;

	if (nic->r.tx_left)
		transmit(nic);
}

/* PHY */

static const struct phy_row {
	uint16_t reset, writable;
} phy_rows[PHY_REGS] = {
	[PHY_CONTROL] = {0x1140, 0x7dc0}, /* 1000 Mb/s, full duplex, negotiates */
	[PHY_STATUS] = {0x7949},
	[2] = {0x0141}, /* identifier */
	[3] = {0x0c20},
	[4] = {0x0de1, 0xffff},	 /* advertisement */
	[7] = {0x2001, 0xffff},	 /* next page */
	[9] = {0x0300, 0xffff},	 /* 1000BASE-T control */
	[15] = {0x3000},	 /* extended status */
	[16] = {0x0068, 0xffff}, /* specific control */
	[18] = {0, 0xffff},	 /* interrupts that are never raised */
	[20] = {0x0d60, 0xffff}, /* extended specific control */
	[29] = {0, 0xffff},	 /* page of the next */
	[30] = {0, 0xffff},
};

static void phy_reset(struct e1000 *nic)
{
	for (unsigned i = 0; i < PHY_REGS; i++)
		nic->phy[i] = phy_rows[i].reset;
}

/* A partner that can do all that we can, once there is one. */
static uint16_t phy_read(const struct e1000 *nic, unsigned reg)
{
	static const uint16_t while_linked[PHY_REGS] = {
		[PHY_STATUS] = PHY_STATUS_LINK | PHY_STATUS_NEGOTIATED,
		[PHY_PARTNER] = 0x45e1,
		[PHY_EXPANSION] = 0x0001,
		[PHY_1000T_STATUS] = 0x3c00,
		[PHY_SPECIFIC_STATUS] = 0xac00, /* 1000 Mb/s, full duplex, resolved, link */
	};

	return nic->phy[reg] | (net_link(nic->net) ? while_linked[reg] : 0);
}

static void phy_write(struct e1000 *nic, unsigned reg, uint16_t value)
{
	bool restarted = reg == PHY_CONTROL && value & (PHY_CONTROL_RESET | PHY_CONTROL_RESTART);

	if (reg == PHY_CONTROL && value & PHY_CONTROL_RESET)
		phy_reset(nic);
	else
		nic->phy[reg] = (nic->phy[reg] & ~phy_rows[reg].writable) |
				(value & phy_rows[reg].writable);
	/* Negotiated in no time. */
	if (restarted && net_link(nic->net))
		set_causes(nic, INT_LSC);
}

/* Registers */

static void reset_registers(struct e1000 *nic)
{
	timer_cancel(&nic->tx_timer);
	timer_cancel(&nic->irq_timer);
	nic->r = (struct regs){
		.ctrl = CTRL_FD | CTRL_SLU,
		.vet = 0x8100,
		.ledctl = 0x07068302,
		.pba = 0x00100030,
		.txcw = 0xc000,
		.ra = {le32_load(nic->mac), RAH_AV | le16_load(nic->mac + 4)},
	};
	at93c46_reset(&nic->eeprom);
	update_irq(nic);
}

static void ctrl_written(struct e1000 *nic, uint32_t value)
{
	if (value & CTRL_PHY_RST)
		phy_reset(nic);
	if (value & CTRL_RST)
		reset_registers(nic);
}

static uint32_t status_read(struct e1000 *nic)
{
	return STATUS_FD | STATUS_1000 | (net_link(nic->net) ? STATUS_LU : 0);
}

static uint32_t eecd_read(struct e1000 *nic)
{
	return nic->r.eecd | EECD_PRES | (nic->r.eecd & EECD_REQ ? EECD_GNT : 0) |
	       (nic->eeprom.data_out ? EECD_DO : 0);
}

static void eecd_written(struct e1000 *nic, uint32_t value)
{
	at93c46_set_pins(&nic->eeprom, value & EECD_CS, value & EECD_SK, value & EECD_DI);
}

static void eerd_written(struct e1000 *nic, uint32_t value)
{
	uint32_t word = nic->eeprom.words[value >> EERD_ADDR_SHIFT & (AT93C46_WORDS - 1)];

	if (value & EERD_START)
		nic->r.eerd = word << EERD_DATA_SHIFT | (value & 0xff00) | EERD_DONE;
}

static void mdic_written(struct e1000 *nic, uint32_t value)
{
	unsigned reg = value >> MDIC_REG_SHIFT & 31;

	value &= ~(MDIC_READY | MDIC_ERROR);
	if ((value >> MDIC_PHY_SHIFT & 31) != PHY_ADDR)
		value |= MDIC_ERROR;
	else if (value & MDIC_OP_WRITE)
		phy_write(nic, reg, value);
	else if (value & MDIC_OP_READ)
		value = (value & 0xffff0000) | phy_read(nic, reg);
	nic->r.mdic = value | MDIC_READY;
	if (value & MDIC_INTERRUPT)
		set_causes(nic, INT_MDAC);
}

static uint32_t icr_read(struct e1000 *nic)
{
	uint32_t value = nic->r.icr;

	nic->r.icr = 0;
	update_irq(nic);
	return value;
}

static void icr_written(struct e1000 *nic, uint32_t value)
{
	nic->r.icr &= ~value;
	update_irq(nic);
}

static void ics_written(struct e1000 *nic, uint32_t value)
{
	set_causes(nic, value & INT_ALL);
}

static void ims_written(struct e1000 *nic, uint32_t value)
{
	nic->r.ims |= value & INT_ALL;
	update_irq(nic);
}

static void imc_written(struct e1000 *nic, uint32_t value)
{
	nic->r.ims &= ~value;
	update_irq(nic);
}

/* RCTL and RDT: there may be room now, or nobody who wants the frames that wait. */
static void rx_written(struct e1000 *nic, uint32_t value)
{
	net_receive_more(nic->net);
}

static void tx_written(struct e1000 *nic, uint32_t value)
{
	/* One that the timer is to go on with is longer by what was added. */
	if (!nic->r.tx_left)
		transmit(nic);
}

/* Cleared by being read; those of 64 bits by their upper halves. */
static uint32_t stats_read(struct e1000 *nic, unsigned index)
{
	uint32_t value = nic->r.stats[index];
	unsigned low = index & ~1u;
	bool wide = low == STAT_GORCL || low == STAT_GOTCL || low == STAT_TORL || low == STAT_TOTL;

	if (!wide)
		nic->r.stats[index] = 0;
	else if (index > low)
		nic->r.stats[index] = nic->r.stats[low] = 0;
	return value;
}

static const struct reg {
	uint32_t offset, at, writable;
	void (*written)(struct e1000 *nic, uint32_t value);
	uint32_t (*read)(struct e1000 *nic);
} reg_rows[] = {
#define REG_ROW(offset, name, writable, written, read) \
	{offset, offsetof(struct e1000, r.name), writable, written, read},
	REGS(REG_ROW)
#undef REG_ROW
};

static int compare_reg(const void *key, const void *element)
{
	return *(const uint32_t *)key - (int)((const struct reg *)element)->offset;
}

static const struct reg *find_reg(uint32_t offset)
{
	return bsearch(&offset, reg_rows, G_N_ELEMENTS(reg_rows), sizeof(reg_rows[0]), compare_reg);
}

/* The element of a table of registers; NULL: none is there. */
static uint32_t *find_element(struct e1000 *nic, uint32_t offset)
{
	if (offset % 4)
		return NULL;
	if (offset >= MTA && offset < MTA + sizeof(nic->r.mta))
		return &nic->r.mta[(offset - MTA) / 4];
	if (offset >= RA && offset < RA + sizeof(nic->r.ra))
		return &nic->r.ra[(offset - RA) / 4];
	if (offset >= VFTA && offset < VFTA + sizeof(nic->r.vfta))
		return &nic->r.vfta[(offset - VFTA) / 4];
	return NULL;
}

static uint64_t e1000_read(void *opaque, uint64_t offset, unsigned size)
{
	struct e1000 *nic = opaque;
	const struct reg *reg = find_reg(offset);
	const uint32_t *element;

	if (reg)
		return reg->read ? reg->read(nic) : *(uint32_t *)((uint8_t *)nic + reg->at);
	if (offset % 4 == 0 && offset >= STATS && offset < STATS + sizeof(nic->r.stats))
		return stats_read(nic, (offset - STATS) / 4);
	element = find_element(nic, offset);
	return element ? *element : 0;
}

static void e1000_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct e1000 *nic = opaque;
	const struct reg *reg = find_reg(offset);
	uint32_t *kept = reg ? (uint32_t *)((uint8_t *)nic + reg->at) : find_element(nic, offset);
	uint32_t writable = reg ? reg->writable : UINT32_MAX;

	if (!kept)
		return;
	*kept = (*kept & ~writable) | (value & writable);
	if (reg && reg->written)
		reg->written(nic, value);
}

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
	struct e1000 *nic = opaque;

	if (offset == IOADDR)
		return nic->ioaddr;
	return offset == IODATA ? e1000_read(nic, nic->ioaddr, size) : 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct e1000 *nic = opaque;

	if (offset == IOADDR)
		nic->ioaddr = value;
	else if (offset == IODATA)
		e1000_write(nic, nic->ioaddr, value, size);
}

static const struct bus_ops mem_ops = {e1000_read, e1000_write, 4, 4};
static const struct bus_ops io_ops = {io_read, io_write, 4, 4};

/* Section 5.6, table 5-2. */
static void fill_eeprom(struct e1000 *nic)
{
	uint16_t *words = nic->eeprom.words, sum = 0;

	for (unsigned i = 0; i < 3; i++)
		words[i] = le16_load(nic->mac + 2 * i);
	words[0x0a] = 0x400b; /* initialization control 1, with the signature */
	words[0x0b] = 0x001e; /* the header's identifiers */
	words[0x0c] = 0x8086;
	words[0x0d] = 0x100e;
	words[0x0e] = 0x8086;
	words[0x0f] = 0x3040; /* initialization control 2: pauses either way */
	for (unsigned i = 0; i < AT93C46_WORDS - 1; i++)
		sum += words[i];
	words[AT93C46_WORDS - 1] = 0xbaba - sum;
}

static const struct pci_ids e1000_ids = {
	.vendor = 0x8086,
	.device = 0x100e,
	.subsystem_vendor = 0x8086,
	.subsystem = 0x001e,
	.class_code = 0x020000,
	.revision = 2,
	.interrupt_pin = 1,
};

static bool e1000_init(struct device *device, const struct device_config *config, GError **error)
{
	struct e1000 *nic = (struct e1000 *)device;
	struct net_receiver receiver = {on_receive, on_link, nic};

	if (!pci_device_init(&nic->pci, &e1000_ids, NULL, config, error))
		return false;
	pci_add_bar(&nic->pci, 0, PCI_BAR_MEM32, BAR_LEN, &mem_ops);
	pci_add_bar(&nic->pci, 2, PCI_BAR_IO, IO_LEN, &io_ops);
	timer_init(&nic->tx_timer, device->env->clock, &device->lock, on_tx_timer, nic);
	timer_init(&nic->irq_timer, device->env->clock, &device->lock, on_irq_timer, nic);
	memcpy(nic->mac, config->mac, sizeof(nic->mac));
	fill_eeprom(nic);
	nic->net = config->net;
	net_set_receiver(nic->net, &receiver);
	return true;
}

static void e1000_reset(struct device *device)
{
	struct e1000 *nic = (struct e1000 *)device;

	pci_device_reset(&nic->pci);
	nic->ioaddr = 0;
	phy_reset(nic);
	reset_registers(nic);
}

static void e1000_post_load(struct device *device)
{
	struct e1000 *nic = (struct e1000 *)device;

	pci_device_post_load(&nic->pci);
	timer_cancel(&nic->tx_timer);
	timer_cancel(&nic->irq_timer);
	if (nic->r.tx_left)
		go_on_later(nic);
	update_irq(nic);
	net_receive_more(nic->net);
}

static void e1000_fini(struct device *device)
{
	struct e1000 *nic = (struct e1000 *)device;

	net_set_receiver(nic->net, NULL);
	timer_fini(&nic->tx_timer);
	timer_fini(&nic->irq_timer);
	pci_device_fini(&nic->pci);
}

static bool e1000_check(const void *object)
{
	const struct e1000 *nic = object;

	return pci_device_check(&nic->pci) && nic->r.tx_len <= TX_MAX + 1;
}

#define REG_FIELD(offset, name, writable, written, read) STATE_FIELD(struct e1000, r.name),

static const struct state_field e1000_fields[] = {
	PCI_DEVICE_FIELDS(struct e1000, pci),
	AT93C46_FIELDS(struct e1000, eeprom),
	REGS(REG_FIELD) STATE_FIELD(struct e1000, ioaddr),
	STATE_FIELD(struct e1000, phy),
	STATE_FIELD(struct e1000, r.ra),
	STATE_FIELD(struct e1000, r.mta),
	STATE_FIELD(struct e1000, r.vfta),
	STATE_FIELD(struct e1000, r.stats),
	STATE_FIELD(struct e1000, r.context),
	STATE_FIELD(struct e1000, r.next_irq_ns),
	STATE_FIELD(struct e1000, r.tx_left),
	STATE_FIELD(struct e1000, r.tx_open),
	STATE_FIELD(struct e1000, r.tx_segment),
	STATE_FIELD(struct e1000, r.tx_popts),
	STATE_FIELD(struct e1000, r.tx_len),
	STATE_FIELD(struct e1000, tx_packet),
};

static const struct state_table e1000_state = {
	.name = "e1000",
	.version = 1,
	.object_size = sizeof(struct e1000),
	.fields = e1000_fields,
	.n_fields = G_N_ELEMENTS(e1000_fields),
	.check = e1000_check,
};

const struct device_class e1000_class = {
	.name = "e1000",
	.document = "Intel PCI/PCI-X Family of Gigabit Ethernet Controllers SDM (317453), 82540EM",
	.size = sizeof(struct e1000),
	.state = &e1000_state,
	.init = e1000_init,
	.reset = e1000_reset,
	.post_load = e1000_post_load,
	.fini = e1000_fini,
};
