/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/packet.h"

#include <string.h>

#include "base/be.h"
#include "net/frame.h"

#define ADDRESSES_LEN  12u
#define TAG_LEN	       4u
#define MAX_TAGS       2u
#define ETHERTYPE_VLAN 0x8100u /* IEEE 802.1Q */
#define ETHERTYPE_QINQ 0x88a8u

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u

/* RFC 8200: extension headers. */
enum {
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51, /* RFC 4302 */
	IPV6_NO_NEXT = 59,
	IPV6_DESTINATION = 60,
	IPV6_FRAGMENT_LEN = 8,
};
/* What begins within the first so many bytes could change the headers after they were looked at (RFC 1858). */
#define FIRST_FRAGMENT_MIN 64u
/* More than any system sends. */
#define MAX_EXTENSIONS 8u

static bool parse_arp(struct packet *p, const uint8_t *frame, size_t len)
{
	static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4}; /* RFC 826 */

	p->kind = PACKET_ARP;
	return p->l3 + PACKET_ARP_LEN <= len && !memcmp(frame + p->l3, ethernet_ipv4, sizeof(ethernet_ipv4));
}

unsigned packet_l4_header_len(const struct packet *p, const uint8_t *frame)
{
	return p->protocol == PACKET_TCP ? frame[p->l4 + 12] >> 4 << 2 : PACKET_UDP_HEADER;
}

static bool check_l4(const struct packet *p, const uint8_t *frame)
{
	unsigned room = p->end - p->l4;

	switch (p->protocol) {
	case PACKET_TCP:
		return room >= PACKET_TCP_HEADER && packet_l4_header_len(p, frame) >= PACKET_TCP_HEADER &&
		       packet_l4_header_len(p, frame) <= room;
	case PACKET_UDP:
		return room >= PACKET_UDP_HEADER;
	case PACKET_ICMP:
	case PACKET_ICMPV6:
		return room >= PACKET_ICMP_HEADER;
	default:
		return true;
	}
}

/* RFC 791, 3.1: loose and strict source and record route. */
static bool has_source_route(const uint8_t *options, unsigned len)
{
	for (unsigned at = 0; at < len && options[at];) {
		if (options[at] == 131 || options[at] == 137)
			return true;
		if (options[at] != 1 && (at + 1 == len || options[at + 1] < 2))
			return false;
		at += options[at] == 1 ? 1 : options[at + 1];
	}
	return false;
}

/* RFC 791, 3.1. */
static bool parse_ipv4(struct packet *p, const uint8_t *frame, size_t len, bool segmented)
{
	const uint8_t *ip = frame + p->l3;
	unsigned header, total, offset;

	p->kind = PACKET_IPV4;
	if (p->l3 + IPV4_HEADER > len || ip[0] >> 4 != 4)
		return false;
	header = (ip[0] & 15) * 4;
	total = segmented ? len - p->l3 : be16_load(ip + 2);
	if (header < IPV4_HEADER || total < header || p->l3 + total > len)
		return false;
	p->end = p->l3 + total;
	p->source_routed = has_source_route(ip + IPV4_HEADER, header - IPV4_HEADER);
	p->protocol = ip[9];
	offset = be16_load(ip + 6);
	p->fragment = offset & 0x3fff;
	if (offset & 0x1fff)
		return (offset & 0x1fff) * 8 >= FIRST_FRAGMENT_MIN;
	p->l4 = p->l3 + header;
	return check_l4(p, frame);
}

/* Goes past one extension header; false at an upper layer's, or where it does not fit. */
static bool skip_extension(struct packet *p, const uint8_t *frame, unsigned *at, unsigned *later)
{
	const uint8_t *header = frame + *at;
	unsigned len;

	if (*at + 8 > p->end)
		return false;
	switch (p->protocol) {
	case IPV6_HOP_BY_HOP:
	case IPV6_ROUTING:
	case IPV6_DESTINATION:
		p->source_routed |= p->protocol == IPV6_ROUTING && header[3];
		len = (header[1] + 1) * 8;
		break;
	case IPV6_AUTHENTICATION:
		len = (header[1] + 2) * 4;
		break;
	case IPV6_FRAGMENT:
		len = IPV6_FRAGMENT_LEN;
		p->fragment |= (be16_load(header + 2) & 0xfff9) != 0;
		*later = be16_load(header + 2) & 0xfff8;
		break;
	default:
		return false;
	}
	if (*at + len > p->end)
		return false;
	p->protocol = header[0];
	*at += len;
	return true;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPV6_HOP_BY_HOP || protocol == IPV6_ROUTING || protocol == IPV6_FRAGMENT ||
	       protocol == IPV6_AUTHENTICATION || protocol == IPV6_DESTINATION;
}

static bool parse_ipv6(struct packet *p, const uint8_t *frame, size_t len, bool segmented)
{
	unsigned at = p->l3 + IPV6_HEADER;
	unsigned later = 0;

	p->kind = PACKET_IPV6;
	if (at > len || frame[p->l3] >> 4 != 6)
		return false;
	p->end = segmented ? len : at + be16_load(frame + p->l3 + 4);
	if (p->end > len)
		return false;
	p->protocol = frame[p->l3 + 6];
	for (unsigned n = 0; n < MAX_EXTENSIONS && !later && skip_extension(p, frame, &at, &later); n++)
		;
	if (later)
		return later >= FIRST_FRAGMENT_MIN;
	if (is_extension(p->protocol))
		return false;
	if (p->protocol == IPV6_NO_NEXT)
		return true;
	p->l4 = at;
	return check_l4(p, frame);
}

bool packet_parse(struct packet *p, const uint8_t *frame, size_t len, bool segmented)
{
	*p = (struct packet){.l3 = ADDRESSES_LEN + 2};
	if (p->l3 > len)
		return false;
	p->ethertype = be16_load(frame + ADDRESSES_LEN);
	for (unsigned n = 0; n < MAX_TAGS; n++) {
		if (p->ethertype != ETHERTYPE_VLAN && p->ethertype != ETHERTYPE_QINQ)
			break;
		p->tagged = true;
		p->l3 += TAG_LEN;
		if (p->l3 > len)
			return false;
		p->ethertype = be16_load(frame + p->l3 - 2);
	}
	switch (p->ethertype) {
	case ETHERTYPE_ARP:
		return parse_arp(p, frame, len);
	case ETHERTYPE_IPV4:
		return parse_ipv4(p, frame, len, segmented);
	case ETHERTYPE_IPV6:
		return parse_ipv6(p, frame, len, segmented);
	default:
		return true;
	}
}

uint16_t packet_pseudo_sum(const struct packet *p, const uint8_t *frame)
{
	unsigned first = p->kind == PACKET_IPV4 ? 12 : 8, len = p->kind == PACKET_IPV4 ? 8 : 32;

	return frame_sum(frame + p->l3 + first, len, p->protocol);
}
