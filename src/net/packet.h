/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the headers of a frame stand, by its own bytes, of which none is believed. */
#ifndef VIV_NET_PACKET_H
#define VIV_NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_ARP  0x0806u
#define ETHERTYPE_IPV6 0x86ddu

enum packet_protocol {
	PACKET_ICMP = 1,
	PACKET_TCP = 6,
	PACKET_UDP = 17,
	PACKET_ICMPV6 = 58,
};

#define PACKET_TCP_HEADER  20u
#define PACKET_UDP_HEADER  8u
#define PACKET_ICMP_HEADER 8u
#define PACKET_ARP_LEN	   28u

struct packet {
	enum { PACKET_OTHER, PACKET_ARP, PACKET_IPV4, PACKET_IPV6 } kind;
	uint16_t ethertype; /* behind VLAN tags; below 1536: a length (IEEE 802.3) */
	bool tagged;
	unsigned l3;
	/* Of IP: */
	unsigned l4;	  /* 0: none, as in all fragments but the first */
	unsigned end;	  /* of the datagram; padding follows */
	uint8_t protocol; /* what l4 is, or would be */
	bool fragment;
	bool source_routed; /* its destination is not where it goes */
};

/*
 * False: headers are cut short or contradict each other. What is at `l4` is then complete for TCP, UDP and
 * ICMP, options of TCP included, and ARP is that of IPv4 on Ethernet. `segmented`: the frame is for others to
 * cut, so that lengths in its headers mean nothing.
 */
bool packet_parse(struct packet *packet, const uint8_t *frame, size_t len, bool segmented);
/* The length of the header at `l4`, of TCP and UDP. */
unsigned packet_l4_header_len(const struct packet *packet, const uint8_t *frame);
/* The sum of TCP's and UDP's pseudo-header, without its length (RFC 9293, 3.1; RFC 8200, 8.1). */
uint16_t packet_pseudo_sum(const struct packet *packet, const uint8_t *frame);

#endif
