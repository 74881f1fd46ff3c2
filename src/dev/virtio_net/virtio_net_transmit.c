/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sending: section 5.1.6.2. */
#include "base/le.h"
#include "dev/virtio_net/virtio_net_int.h"

/* With ECN, a segment's flags would have to differ from the packet's. Not offered; the bit is
 * ignored. */
enum { GSO_ECN = 0x80 };

/* Which features let a driver say what. Work of other kinds is refused. */
static bool read_header(const struct virtio_net *nic, const uint8_t header[HEADER_SIZE],
			struct net_offload *offload)
{
	const struct virtio *virtio = &nic->virtio;

	*offload = (struct net_offload){
		.flags = virtio_has(virtio, NET_F_CSUM) ? header[HEADER_FLAGS] & NET_NEEDS_CSUM : 0,
		.gso = header[HEADER_GSO] & ~GSO_ECN,
		.header_len = le16_load(header + HEADER_LEN),
		.gso_size = le16_load(header + HEADER_GSO_SIZE),
		.csum_start = le16_load(header + HEADER_CSUM_START),
		.csum_offset = le16_load(header + HEADER_CSUM_OFFSET),
	};
	switch (offload->gso) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCPV4:
		return virtio_has(virtio, NET_F_HOST_TSO4);
	case NET_GSO_TCPV6:
		return virtio_has(virtio, NET_F_HOST_TSO6);
	default:
		return false;
	}
}

/* Section 5.1.6.5.6.2: a flow is received by the pair that it is sent by. */
static void learn_flow(struct virtio_net *nic, const struct iovec *iov, unsigned n_iov,
		       unsigned pair)
{
	uint8_t start[FLOW_HEADER_MAX];
	size_t len = iov_read(iov, n_iov, start, sizeof(start));

	nic->steering[virtio_net_flow_slot(start, len)] = pair;
}

static bool transmit(struct virtio_net *nic, unsigned queue)
{
	struct queue_chain *chain = &nic->chain;
	struct iovec *iov = chain->iov;
	unsigned n_iov = chain->n_out;
	uint8_t header[HEADER_SIZE];
	struct net_offload offload;

	if (iov_read(iov, n_iov, header, HEADER_SIZE) < HEADER_SIZE)
		return false;
	iov_cut_front(&iov, &n_iov, HEADER_SIZE);
	if (read_header(nic, header, &offload)) {
		net_send_offload(nic->net, iov, n_iov, &offload);
		if (nic->pairs > 1)
			learn_flow(nic, iov, n_iov, queue / 2);
	}
	return true;
}

/* Frames that would find no room stay in the queue: the driver, which sees them as not sent yet,
 * slows down, where a loss would cost it more. */
void virtio_net_transmit(struct virtio_net *nic, unsigned queue)
{
	struct virtio *virtio = &nic->virtio;
	unsigned i;

	for (i = 0; i < QUEUE_SIZE; i++) {
		if (!net_has_room(nic->net)) {
			nic->waiting |= 1u << queue / 2;
			break;
		}
		if (!virtio_pop(virtio, queue, &nic->chain))
			break;
		if (!transmit(nic, queue)) {
			virtio_break(virtio);
			return;
		}
		virtio_put(virtio, queue, nic->chain.head, 0);
	}
	virtio_publish(virtio, queue);
	if (i == QUEUE_SIZE)
		virtio_leave(virtio, queue);
}

void virtio_net_transmit_more(struct virtio_net *nic)
{
	uint32_t waiting = nic->waiting;

	nic->waiting = 0;
	for (unsigned pair = 0; pair < nic->max_pairs; pair++) {
		if (waiting >> pair & 1)
			virtio_net_transmit(nic, 2 * pair + 1);
	}
}
