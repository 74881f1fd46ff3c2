/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM gigabit Ethernet controller: PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual (317453, "SDM" below), with the 88E1011 PHY that is in it; seen in this folder only.
 * e1000.c has the registers and interrupts, e1000_phy.c the PHY, e1000_receive.c and e1000_transmit.c the rings.
 *
 * A frame that finds no receive descriptor waits on the cable, which stands for the packet buffer.
 * Delays of single interrupts (RDTR, RADV, TIDV, TADV) are kept and not waited for; the ITR is what
 * holds interrupts down. Checksums of received frames are left to the driver (IXSM); those of sent
 * ones and TCP segmentation are not.
 */
#ifndef VIV_DEV_E1000_E1000_INT_H
#define VIV_DEV_E1000_E1000_INT_H

#include "dev/nic/at93c46.h"
#include "dev/pci/pci.h"
#include "net/net.h"

enum {
	DESC_SIZE = 16,
	/* A packet before its segmentation: what an IP length can say, and headers. */
	TX_MAX = 65536 + 256,
	VLAN_LEN = 4,
	ADDRS_LEN = 12,
	PHY_REGS = 32,
	RA_WORDS = 32,
	MTA_WORDS = 128,
	VFTA_WORDS = 128,
	N_STATS = 64,
};

/* Section 13.4, as far as more than one file needs it. */
enum {
	CTRL_VME = 1 << 30,

	INT_TXDW = 1 << 0,
	INT_TXQE = 1 << 1,
	INT_LSC = 1 << 2,
	INT_RXDMT0 = 1 << 4,
	INT_RXT0 = 1 << 7,
	INT_MDAC = 1 << 9,
	INT_ALL = 0x1ffff,

	RAH_AV = 1u << 31,
	RAH_AS = 3 << 16,
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
struct e1000_regs {
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
	struct e1000_regs r;
	uint8_t tx_packet[TX_MAX];
};

/* All under the device's lock but e1000_receive(), which the cable calls. */
void e1000_set_causes(struct e1000 *nic, uint32_t causes);
/* Section 13.7: counters stop at their highest value. */
void e1000_count(struct e1000 *nic, unsigned stat, uint32_t n);
void e1000_count64(struct e1000 *nic, unsigned low, uint32_t n);
/* The counter of a length, FCS included, among six neighbours: 64, to 127, 255, 511, 1023, longer. */
unsigned e1000_size_class(size_t len);

void e1000_phy_reset(struct e1000 *nic);
uint16_t e1000_phy_read(const struct e1000 *nic, unsigned reg);
void e1000_phy_write(struct e1000 *nic, unsigned reg, uint16_t value);

bool e1000_receive(void *opaque, const uint8_t *frame, size_t len,
		   const struct net_offload *offload);

/* From TDH to TDT, or as far as a turn goes; the timer goes on with the rest. */
void e1000_transmit(struct e1000 *nic);
void e1000_transmit_later(struct e1000 *nic);
void e1000_tx_timer(void *opaque);

#endif
