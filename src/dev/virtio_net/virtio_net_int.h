/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network card: virtio 1.2, section 5.1, with what it leaves to the other end of the cable:
 * checksums and segments.
 *
 * Frames are sent from where the driver has them, and copied once, onto the cable. They arrive on
 * the loop thread, which writes them to the driver's buffers under the device's lock. One that
 * finds no buffers waits on the cable until the driver tells of some.
 */
#ifndef VIV_DEV_VIRTIO_NET_VIRTIO_NET_INT_H
#define VIV_DEV_VIRTIO_NET_VIRTIO_NET_INT_H

#include "dev/virtio/virtio_pci.h"
#include "net/net.h"

/* Section 5.1.3. */
#define NET_F_CSUM		  (1ull << 0)
#define NET_F_GUEST_CSUM	  (1ull << 1)
#define NET_F_CTRL_GUEST_OFFLOADS (1ull << 2)
#define NET_F_MTU		  (1ull << 3)
#define NET_F_MAC		  (1ull << 5)
#define NET_F_GUEST_TSO4	  (1ull << 7)
#define NET_F_GUEST_TSO6	  (1ull << 8)
#define NET_F_HOST_TSO4		  (1ull << 11)
#define NET_F_HOST_TSO6		  (1ull << 12)
#define NET_F_MRG_RXBUF		  (1ull << 15)
#define NET_F_STATUS		  (1ull << 16)
#define NET_F_CTRL_VQ		  (1ull << 17)
#define NET_F_CTRL_RX		  (1ull << 18)
#define NET_F_CTRL_VLAN		  (1ull << 19)
#define NET_F_CTRL_RX_EXTRA	  (1ull << 20)
#define NET_F_MQ		  (1ull << 22)
#define NET_F_CTRL_MAC_ADDR	  (1ull << 23)
#define NET_F_SPEED_DUPLEX	  (1ull << 63)

#define NET_F_GUEST_OFFLOADS (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6)

/* struct virtio_net_config, section 5.1.4. */
enum {
	CONFIG_MAC = 0,
	CONFIG_STATUS = 6,
	CONFIG_STATUS_LINK_UP = 1,
	CONFIG_MAX_PAIRS = 8,
	CONFIG_MTU = 10,
	CONFIG_SPEED = 12, /* Mb/s */
	CONFIG_DUPLEX = 16,
	CONFIG_FULL_DUPLEX = 1,
	CONFIG_SIZE = 20,
};

/* struct virtio_net_hdr, section 5.1.6, before each frame. */
enum {
	HEADER_FLAGS = 0,
	HEADER_GSO = 1,
	HEADER_LEN = 2,
	HEADER_GSO_SIZE = 4,
	HEADER_CSUM_START = 6,
	HEADER_CSUM_OFFSET = 8,
	HEADER_N_BUFFERS = 10,
	HEADER_SIZE = 12,
};

/* Commands of class RX, section 5.1.6.5.1. */
enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST, RX_N_MODES };

#define MAX_PAIRS	16
#define MAX_ADDRS	64
#define STEERING_SLOTS	256
#define FLOW_HEADER_MAX 128 /* of a frame, what a flow is seen by */

struct addr_table {
	uint8_t n;
	bool overflow; /* the driver had more */
	uint8_t addrs[MAX_ADDRS * NET_ADDR_LEN];
};

struct virtio_net {
	struct virtio virtio;
	struct net_port *net;
	unsigned max_pairs;
	uint8_t own_mac[NET_ADDR_LEN];
	uint16_t mtu;		     /* 0: not said */
	uint8_t config[CONFIG_SIZE]; /* follows from these and what follows */

	bool link_up;
	/* What the driver set. */
	uint8_t mac[NET_ADDR_LEN];
	uint16_t pairs;		 /* that frames are received by */
	uint64_t guest_offloads; /* of NET_F_GUEST_OFFLOADS */
	bool modes[RX_N_MODES];
	struct addr_table unicast, multicast;
	uint32_t vlans[4096 / 32];

	/* By which pair a flow was sent last, and so is received. */
	uint8_t steering[STEERING_SLOTS];
	uint32_t waiting; /* a bit a pair whose frames the cable had no room for */
	struct queue_chain chain;
};

static inline struct mem *guest_mem(const struct virtio_net *nic)
{
	return nic->virtio.pci.device.env->mem;
}

/* Section 5.1.2: receiveq1, transmitq1, and so on. */
static inline unsigned receive_queue(unsigned pair)
{
	return 2 * pair;
}

static inline bool is_transmit_queue(unsigned queue)
{
	return queue & 1;
}

static inline unsigned control_queue(const struct virtio_net *nic)
{
	return 2 * (virtio_has(&nic->virtio, NET_F_MQ) ? nic->max_pairs : 1);
}

/* All under the lock. */
void virtio_net_update_config(struct virtio_net *nic);
void virtio_net_apply_offloads(struct virtio_net *nic);
void virtio_net_control(struct virtio_net *nic);
void virtio_net_transmit(struct virtio_net *nic, unsigned queue);
/* The cable has room again. */
void virtio_net_transmit_more(struct virtio_net *nic);
/* False: no room now. */
bool virtio_net_receive(struct virtio_net *nic, const uint8_t *frame, size_t len,
			const struct net_offload *offload);
/* The slot of a frame's flow, the same both ways. */
unsigned virtio_net_flow_slot(const uint8_t *frame, size_t len);

#endif
