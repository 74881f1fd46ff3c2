/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ethernet cables. A port is one end of a cable: that of a guest's network card, or of what the
 * card is connected to, be it a network of the host, a switch, or the card of another guest. What
 * is sent into one end arrives at the other, in order.
 *
 * A frame is whole, from the destination's address to the payload's end, without preamble and FCS.
 * The cable pads short ones to NET_FRAME_MIN, as a sender does on the wire.
 *
 * A frame may come with work left to do: a checksum to complete, a packet of TCP or UDP to cut into
 * segments. A receiver says what of that it takes; for others the cable does it. What a sender says
 * of it may be a guest's and is checked: a frame that it does not fit is dropped.
 *
 * A port may have filters, which see all frames that pass it, before their receiver: those it sends from its
 * own first filter to its last, those it gets the other way round.
 *
 * Threads: net_send(), net_send_offload(), net_receive_more(), net_set_offloads(), net_has_room(),
 * net_link() and net_dropped() from any thread, with the device's lock held or not; they never wait, and
 * accept NULL, a socket without a cable. All else on the loop thread, and so come the receivers' calls,
 * without locks held.
 */
#ifndef VIV_NET_NET_H
#define VIV_NET_NET_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_FRAME_MIN 60u
#define NET_FRAME_MAX 16384u
/* Of one that is to be cut: 64 KiB and its Ethernet header with two tags. */
#define NET_GSO_FRAME_MAX (65536u + 22u)
#define NET_QUEUE_LEN	  1024u	     /* frames on their way in one direction */
#define NET_QUEUE_BYTES	  (4u << 20) /* and their bytes */
#define NET_ADDR_LEN	  6u

/* Values and meaning as in virtio 1.2, section 5.1.6, struct virtio_net_hdr. */
enum net_offload_flag {
	NET_NEEDS_CSUM = 1, /* the sum from csum_start on goes csum_offset bytes behind it */
	NET_DATA_VALID = 2, /* sums were looked at already */
};
enum net_gso { NET_GSO_NONE = 0, NET_GSO_TCPV4 = 1, NET_GSO_TCPV6 = 4, NET_GSO_UDP_L4 = 5 };

/* All zero: an ordinary frame. */
struct net_offload {
	uint8_t flags;
	uint8_t gso;	     /* other than NONE: NET_NEEDS_CSUM is set */
	uint16_t header_len; /* a hint */
	uint16_t gso_size;   /* payload a segment */
	uint16_t csum_start, csum_offset;
};

/* What a receiver does itself. One that takes packets uncut, but not CSUM, gets them with their sum
 * completed. */
enum net_can {
	NET_CAN_CSUM = 1,
	NET_CAN_TSO4 = 2,
	NET_CAN_TSO6 = 4,
	NET_CAN_USO = 8,
};

struct net_port;

/* Who takes what arrives at a port; neither joins, unjoins nor frees ports. */
struct net_receiver {
	/* False: no room now. The frame waits, and all that follow it, until net_receive_more().
	 * `offload` has no more in it than the receiver takes. */
	bool (*receive)(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload);
	/* May be called where nothing changed. NULL: of no interest. */
	void (*link_changed)(void *opaque, bool up);
	void *opaque;
	unsigned offloads; /* enum net_can; until net_set_offloads() */
	/* Since net_has_room() said no, there is some again. NULL: it is not asked. */
	void (*room)(void *opaque);
};

enum net_direction { NET_OUT, NET_IN, NET_N_DIRECTIONS }; /* from the port; to it */
enum net_verdict {
	NET_PASS,
	NET_DROP,
	NET_WAIT, /* until net_receive_more() of the port; the frame is shown again then */
};

/* Looks at frames that pass a port, on the loop thread; `offload` is what is left to do. */
struct net_filter {
	enum net_verdict (*look)(void *opaque, enum net_direction direction, const uint8_t *frame, size_t len,
				 const struct net_offload *offload);
	void *opaque;
};
#define NET_MAX_FILTERS 4u

/* The loop of `context` carries the frames; NULL: only net_run() does. */
struct net_port *net_port_new(GMainContext *context);
/* Pulls the cable first. */
void net_port_free(struct net_port *port);
/* NULL: nobody; what arrives is dropped. Copied. */
void net_set_receiver(struct net_port *port, const struct net_receiver *receiver);
/* Behind those there are; for good. Before frames pass. */
void net_add_filter(struct net_port *port, const struct net_filter *filter);

/* Copies the frame. Dropped and counted where the link is down, the queue full or the length none
 * of a frame. */
void net_send(struct net_port *port, const uint8_t *frame, size_t len);
/* The same for one in pieces, which are copied once, with work left to do. */
void net_send_offload(struct net_port *port, const struct iovec *iov, unsigned n_iov,
		      const struct net_offload *offload);
/* False: enough is under way; a sender that can wait had better, until its receiver's room(). True of a
 * link that is down, which takes everything. */
bool net_has_room(struct net_port *port);
/* What this port's receiver takes from now on, by enum net_can. */
void net_set_offloads(struct net_port *port, unsigned offloads);
/* The receiver that refused a frame has room again. */
void net_receive_more(struct net_port *port);
/* Up: the port is joined to another, and neither was taken down. */
bool net_link(struct net_port *port);
/* What was sent from here and did not arrive. */
uint64_t net_dropped(struct net_port *port);

/* A cable between two ports that have none. */
void net_join(struct net_port *a, struct net_port *b);
/* Pulls the cable, if there is one; what is under way is lost. */
void net_unjoin(struct net_port *port);
/* What a user's command does to the link of a port that stays joined. */
void net_set_enabled(struct net_port *port, bool enabled);
/* Hands on what is under way in both directions, as the loop does. */
void net_run(struct net_port *port);

#endif
