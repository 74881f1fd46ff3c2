/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Receiving: filters, and the ring of buffers. */
#include <string.h>

#include "base/be.h"
#include "base/le.h"
#include "dev/e1000/e1000_int.h"
#include "net/frame.h"

#define MAX_STANDARD 1518 /* with a VLAN tag, without FCS */

/* Section 13.4.22. */
enum {
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
};

/* Receive descriptor status, section 3.2.3.1. */
enum { RXD_DD = 1 << 0, RXD_EOP = 1 << 1, RXD_IXSM = 1 << 2, RXD_VP = 1 << 3 };

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
	e1000_count(nic, STAT_TPR, 1);
	e1000_count(nic, STAT_GPRC, 1);
	e1000_count(nic, STAT_PRC64 + e1000_size_class(len), 1);
	e1000_count64(nic, STAT_TORL, len);
	e1000_count64(nic, STAT_GORCL, len);
	if (frame_is_broadcast(frame))
		e1000_count(nic, STAT_BPRC, 1);
	else if (frame_is_group(frame))
		e1000_count(nic, STAT_MPRC, 1);
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
		e1000_count(nic, STAT_ROC, 1);
		return true;
	}
	packet_len = make_packet(nic, frame, len, tagged, packet);
	wanted = (packet_len + rx_buffer_size(nic) - 1) / rx_buffer_size(nic);
	if (nic->r.rdh >= n || nic->r.rdt >= n || wanted >= n) {
		e1000_count(nic, STAT_MPC, 1);
		return true;
	}
	free = (nic->r.rdt + n - nic->r.rdh) % n;
	if (wanted > free) {
		e1000_count(nic, STAT_RNBC, 1);
		return false;
	}
	count_received(nic, frame, len + FRAME_FCS_LEN);
	store_packet(nic, packet, packet_len, status | (tagged ? RXD_VP : 0), tag);
	/* RDMTS: a half, a quarter, an eighth of the ring. */
	free -= wanted;
	e1000_set_causes(nic,
		   INT_RXT0 | (free <= n >> ((nic->r.rctl >> RCTL_RDMTS_SHIFT & 3) + 1) ? INT_RXDMT0
											: 0));
	return true;
}

bool e1000_receive(void *opaque, const uint8_t *frame, size_t len,
		   const struct net_offload *offload)
{
	struct e1000 *nic = opaque;
	bool taken;

	g_mutex_lock(&nic->pci.device.lock);
	taken = receive(nic, frame, len);
	g_mutex_unlock(&nic->pci.device.lock);
	return taken;
}
