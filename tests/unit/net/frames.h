/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of networks: one end of a cable that makes packets as a guest or its peer would, and keeps those
 * that arrive. */
#ifndef VIV_TESTS_FRAMES_H
#define VIV_TESTS_FRAMES_H

#include <arpa/inet.h>
#include <glib.h>
#include <string.h>

#include "base/be.h"
#include "net/frame.h"
#include "net/net.h"
#include "net/packet.h"

#define FRAMES_BROADCAST "\xff\xff\xff\xff\xff\xff"

struct frames_end {
	struct net_port *port;
	GPtrArray *frames; /* GBytes */
	uint8_t mac[6], peer[6];
};

/* What a packet is made of; addresses as text. */
struct frames_packet {
	const char *from, *to;
	uint8_t protocol;
	unsigned from_port, to_port; /* for ICMP: type, identifier */
	uint8_t flags;		     /* TCP's */
	const void *payload;
	size_t len;
};

static inline bool frames_keep(void *opaque, const uint8_t *frame, size_t len,
			       const struct net_offload *offload)
{
	g_ptr_array_add(((struct frames_end *)opaque)->frames, g_bytes_new(frame, len));
	return true;
}

static inline void frames_init(struct frames_end *end, GMainContext *context, uint8_t last_of_mac)
{
	struct net_receiver receiver = {.receive = frames_keep, .opaque = end};
	uint8_t mac[] = {0x52, 0x54, 0, 0, 0, last_of_mac};

	*end = (struct frames_end){.port = net_port_new(context),
				   .frames = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref)};
	memcpy(end->mac, mac, 6);
	memset(end->peer, 0xff, 6);
	net_set_receiver(end->port, &receiver);
}

static inline void frames_fini(struct frames_end *end)
{
	net_port_free(end->port);
	g_ptr_array_unref(end->frames);
}

static inline const uint8_t *frames_get(const struct frames_end *end, unsigned index)
{
	return g_bytes_get_data(end->frames->pdata[index], NULL);
}

/* IP and what is in it; returns the frame's length. `out` holds 2048. */
static inline size_t frames_make(const struct frames_end *end, const struct frames_packet *p, uint8_t *out)
{
	bool v6 = strchr(p->from, ':') != NULL;
	unsigned header = p->protocol == PACKET_TCP ? 20 : 8, l3 = 14, l4 = l3 + (v6 ? 40 : 20);
	uint8_t pseudo[] = {0, p->protocol, (header + p->len) >> 8, header + p->len};
	uint8_t *ip = out + l3, *up = out + l4;
	unsigned sum_at = p->protocol == PACKET_TCP ? 16 : p->protocol == PACKET_UDP ? 6 : 2;
	uint16_t sum;

	memset(out, 0, l4 + header);
	memcpy(out, end->peer, 6);
	memcpy(out + 6, end->mac, 6);
	be16_store(out + 12, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
	if (v6) {
		ip[0] = 0x60;
		be16_store(ip + 4, header + p->len);
		ip[6] = p->protocol;
		ip[7] = 255;
		g_assert_cmpint(inet_pton(AF_INET6, p->from, ip + 8), ==, 1);
		g_assert_cmpint(inet_pton(AF_INET6, p->to, ip + 24), ==, 1);
	} else {
		ip[0] = 0x45;
		be16_store(ip + 2, 20 + header + p->len);
		ip[8] = 64;
		ip[9] = p->protocol;
		g_assert_cmpint(inet_pton(AF_INET, p->from, ip + 12), ==, 1);
		g_assert_cmpint(inet_pton(AF_INET, p->to, ip + 16), ==, 1);
		be16_store(ip + 10, ~frame_sum(ip, 20, 0));
	}
	switch (p->protocol) {
	case PACKET_TCP:
		up[12] = 5 << 4;
		up[13] = p->flags;
		be16_store(up + 14, 65535);
		/* fall through */
	case PACKET_UDP:
		be16_store(up, p->from_port);
		be16_store(up + 2, p->to_port);
		if (p->protocol == PACKET_UDP)
			be16_store(up + 4, header + p->len);
		break;
	default:
		up[0] = p->from_port;
		be16_store(up + 4, p->to_port);
	}
	if (p->len)
		memcpy(up + header, p->payload, p->len);
	sum = frame_sum(up, header + p->len, 0);
	if (p->protocol != PACKET_ICMP)
		sum = frame_sum(pseudo, 4, frame_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8, sum));
	be16_store(up + sum_at, ~sum);
	return l4 + header + p->len;
}

static inline void frames_send(struct frames_end *end, const struct frames_packet *packet)
{
	uint8_t frame[2048];

	net_send(end->port, frame, frames_make(end, packet, frame));
}

/* The payload of a UDP datagram that arrived over IPv4, from this port; NULL: there is none. */
static inline const uint8_t *frames_find_udp(const struct frames_end *end, unsigned from_port, size_t *len)
{
	for (unsigned i = 0; i < end->frames->len; i++) {
		const uint8_t *frame = frames_get(end, i);

		if (be16_load(frame + 12) == ETHERTYPE_IPV4 && frame[23] == PACKET_UDP &&
		    be16_load(frame + 34) == from_port) {
			*len = be16_load(frame + 38) - 8;
			return frame + 42;
		}
	}
	return NULL;
}

static inline void frames_send_arp(struct frames_end *end, unsigned operation, const uint8_t *mac,
				   const char *from, const char *to)
{
	uint8_t frame[42] = {};

	memcpy(frame, end->peer, 6);
	memcpy(frame + 6, end->mac, 6);
	be16_store(frame + 12, ETHERTYPE_ARP);
	memcpy(frame + 14, "\0\1\x08\0\6\4", 6);
	be16_store(frame + 20, operation);
	memcpy(frame + 22, mac, 6);
	inet_pton(AF_INET, from, frame + 28);
	inet_pton(AF_INET, to, frame + 38);
	net_send(end->port, frame, sizeof(frame));
}

#endif
