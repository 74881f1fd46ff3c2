/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Receiving: which frames, to which queue, and into which buffers. Section 5.1.6.4. */
#include <string.h>

#include "base/be.h"
#include "base/le.h"
#include "dev/virtio_net/virtio_net_int.h"
#include "net/frame.h"
#include "net/packet.h"

#define ETHERTYPE_AT   12
#define ETHERTYPE_VLAN 0x8100

/* Buffers that a frame is spread over at most; 64 KiB of those for ordinary frames are fewer. */
#define MAX_MERGED 64u

static bool is_in(const struct addr_table *table, const uint8_t *addr)
{
	for (unsigned i = 0; i < table->n; i++) {
		if (memcmp(table->addrs + i * NET_ADDR_LEN, addr, NET_ADDR_LEN) == 0)
			return true;
	}
	return table->overflow;
}

static bool passes_vlan(const struct virtio_net *nic, const uint8_t *frame)
{
	unsigned vid = be16_load(frame + ETHERTYPE_AT + 2) & 0xfff;

	return !virtio_has(&nic->virtio, NET_F_CTRL_VLAN) ||
	       be16_load(frame + ETHERTYPE_AT) != ETHERTYPE_VLAN ||
	       nic->vlans[vid / 32] >> vid % 32 & 1;
}

/* Section 5.1.6.5. Promiscuous until the driver says otherwise, as those without CTRL_RX cannot. */
static bool passes(const struct virtio_net *nic, const uint8_t *frame)
{
	const bool *modes = nic->modes;

	if (modes[RX_PROMISC])
		return true;
	if (!passes_vlan(nic, frame))
		return false;
	if (frame_is_broadcast(frame))
		return !modes[RX_NOBCAST];
	if (frame_is_group(frame))
		return !modes[RX_NOMULTI] && (modes[RX_ALLMULTI] || is_in(&nic->multicast, frame));
	return !modes[RX_NOUNI] &&
	       (modes[RX_ALLUNI] || memcmp(frame, nic->mac, NET_ADDR_LEN) == 0 ||
		is_in(&nic->unicast, frame));
}

static uint32_t fold_addrs(const struct packet *packet, const uint8_t *frame)
{
	bool ipv4 = packet->kind == PACKET_IPV4;
	const uint8_t *addrs = frame + packet->l3 + (ipv4 ? 12 : 8);
	uint32_t fold = 0;

	for (unsigned i = 0; i < (ipv4 ? 8 : 32); i += 4)
		fold ^= be32_load(addrs + i);
	return fold;
}

unsigned virtio_net_flow_slot(const uint8_t *frame, size_t len)
{
	struct packet packet;
	uint32_t flow;

	if (!packet_parse(&packet, frame, MIN(len, FLOW_HEADER_MAX), true) ||
	    (packet.kind != PACKET_IPV4 && packet.kind != PACKET_IPV6))
		return 0;
	flow = fold_addrs(&packet, frame);
	if (packet.l4 && (packet.protocol == PACKET_TCP || packet.protocol == PACKET_UDP))
		flow ^= be16_load(frame + packet.l4) ^ be16_load(frame + packet.l4 + 2);
	/* The upper bits of a product with 2^32 divided by the golden ratio. */
	return flow * 0x9e3779b1u >> 24;
}

static unsigned choose_queue(const struct virtio_net *nic, const uint8_t *frame, size_t len)
{
	return receive_queue(
		nic->pairs > 1 ? nic->steering[virtio_net_flow_slot(frame, len)] % nic->pairs : 0);
}

static void fill_header(const struct net_offload *offload, uint8_t header[HEADER_SIZE])
{
	header[HEADER_FLAGS] = offload->flags;
	header[HEADER_GSO] = offload->gso;
	le16_store(header + HEADER_LEN, offload->header_len);
	le16_store(header + HEADER_GSO_SIZE, offload->gso_size);
	le16_store(header + HEADER_CSUM_START, offload->csum_start);
	le16_store(header + HEADER_CSUM_OFFSET, offload->csum_offset);
	le16_store(header + HEADER_N_BUFFERS, 1);
}

/* A frame on its way into buffers. */
struct delivery {
	struct virtio_net *nic;
	unsigned queue;
	const uint8_t *frame;
	size_t len, done;
	/* What it has gone to, and where their number goes. */
	struct iovec n_buffers[2];
	unsigned n;
	uint32_t heads[MAX_MERGED], lens[MAX_MERGED];
};

/* The two bytes from `at` on, which there are. */
static void find_word(const struct iovec *iov, size_t at, struct iovec word[2])
{
	for (unsigned i = 0; i < 2; i++, at++) {
		while (at >= iov->iov_len)
			at -= iov++->iov_len;
		word[i] = (struct iovec){(uint8_t *)iov->iov_base + at, 1};
	}
}

/* The next part of the frame, the first one with the header before it, to the chain that was
 * popped. */
static void fill_chain(struct delivery *d, const uint8_t header[HEADER_SIZE])
{
	struct queue_chain *chain = &d->nic->chain;
	struct iovec *in = chain->iov + chain->n_out;
	unsigned n_in = chain->n_in;
	size_t before = 0, part;

	if (!d->n) {
		find_word(in, HEADER_N_BUFFERS, d->n_buffers);
		before = iov_write(guest_mem(d->nic), in, n_in, header, HEADER_SIZE);
		iov_cut_front(&in, &n_in, HEADER_SIZE);
	}
	part = iov_write(guest_mem(d->nic), in, n_in, d->frame + d->done, d->len - d->done);
	d->done += part;
	d->heads[d->n] = chain->head;
	d->lens[d->n++] = before + part;
}

static void give_back(struct delivery *d)
{
	while (d->n)
		virtio_unpop(&d->nic->virtio, d->queue, d->heads[--d->n]);
}

static void publish(struct delivery *d)
{
	struct virtio *virtio = &d->nic->virtio;
	uint8_t n[2];

	if (d->n > 1) {
		le16_store(n, d->n);
		iov_write(guest_mem(d->nic), d->n_buffers, 2, n, sizeof(n));
	}
	for (unsigned i = 0; i < d->n; i++)
		virtio_put(virtio, d->queue, d->heads[i], d->lens[i]);
	virtio_publish(virtio, d->queue);
}

/* Buffers too small for the frame are the driver's loss. */
static bool deliver(struct delivery *d, const uint8_t header[HEADER_SIZE])
{
	struct virtio *virtio = &d->nic->virtio;
	const struct queue_chain *chain = &d->nic->chain;
	unsigned max = virtio_has(virtio, NET_F_MRG_RXBUF) ? MAX_MERGED : 1;

	do {
		if (d->n == max || !virtio_pop(virtio, d->queue, &d->nic->chain)) {
			bool too_long = d->n == max;

			give_back(d);
			return too_long;
		}
		if (!d->n && iov_len(chain->iov + chain->n_out, chain->n_in) < HEADER_SIZE) {
			virtio_break(virtio);
			return true;
		}
		fill_chain(d, header);
	} while (d->done < d->len);
	publish(d);
	return true;
}

/* What the cable found the driver to take may have changed since. */
static bool is_taken(const struct virtio_net *nic, const struct net_offload *offload)
{
	uint64_t needed = offload->flags ? NET_F_GUEST_CSUM : 0;

	if (offload->gso != NET_GSO_NONE)
		needed |= offload->gso == NET_GSO_TCPV4 ? NET_F_GUEST_TSO4 : NET_F_GUEST_TSO6;
	return !(needed & ~nic->guest_offloads);
}

bool virtio_net_receive(struct virtio_net *nic, const uint8_t *frame, size_t len,
			const struct net_offload *offload)
{
	struct delivery d = {.nic = nic, .frame = frame, .len = len};
	uint8_t header[HEADER_SIZE];

	if (!passes(nic, frame) || !is_taken(nic, offload))
		return true;
	d.queue = choose_queue(nic, frame, len);
	/* Nobody will ever take it. */
	if (!virtio_runs(&nic->virtio, d.queue))
		return true;
	fill_header(offload, header);
	return deliver(&d, header);
}
