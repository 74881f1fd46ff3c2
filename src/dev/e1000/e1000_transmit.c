/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sending: the ring of descriptors, offloads, and turns that end. */
#include <string.h>

#include "base/be.h"
#include "base/le.h"
#include "dev/e1000/e1000_int.h"
#include "net/frame.h"
#include "net/offload.h"

enum {
	TX_BUDGET = 128,     /* descriptors a turn: the rest is for the timer */
	TX_AGAIN_NS = 10000, /* when it goes on: others have had the device meanwhile */

	TCTL_EN = 1 << 1,
};

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
	e1000_count(nic, STAT_TPT, 1);
	e1000_count(nic, STAT_GPTC, 1);
	e1000_count(nic, STAT_PTC64 + e1000_size_class(len), 1);
	e1000_count64(nic, STAT_TOTL, len);
	e1000_count64(nic, STAT_GOTCL, len);
	if (frame_is_broadcast(frame))
		e1000_count(nic, STAT_BPTC, 1);
	else if (frame_is_group(frame))
		e1000_count(nic, STAT_MPTC, 1);
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
	e1000_count(nic, STAT_TSCTC, 1);
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

void e1000_transmit_later(struct e1000 *nic)
{
	timer_set(&nic->tx_timer, clock_now_ns(nic->pci.device.env->clock) + TX_AGAIN_NS);
}

/* Heads and tails past the ring's end would never meet. */
void e1000_transmit(struct e1000 *nic)
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
		e1000_transmit_later(nic);
	e1000_set_causes(nic, causes);
}

void e1000_tx_timer(void *opaque)
{
	struct e1000 *nic = opaque;

	if (nic->r.tx_left)
		e1000_transmit(nic);
}
