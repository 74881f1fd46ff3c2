/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who talks to whom. */
#include <string.h>

#include "base/be.h"
#include "net/firewall_int.h"

enum {
	/* RFC 792 */
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12,
	/* RFC 4443: errors are below 128 */
	ICMPV6_PARAMETER = 4,
	ICMPV6_ECHO = 128,
	ICMPV6_ECHO_REPLY = 129,
};

/* Addresses and ports as they stand in headers: `from` is the guest's in packets that it sends. */
static void set_addresses(struct flow *flow, const uint8_t *ip, bool v6, enum net_direction direction)
{
	unsigned at = v6 ? 8 : 12, len = v6 ? 16 : 4;
	const uint8_t *from = ip + at, *to = from + len;

	flow->v6 = v6;
	memcpy(flow->local, direction == NET_OUT ? from : to, len);
	memcpy(flow->remote, direction == NET_OUT ? to : from, len);
}

static void set_ports(struct flow *flow, const uint8_t *l4, enum net_direction direction)
{
	bool echo = flow->protocol == PACKET_ICMP     ? l4[0] == ICMP_ECHO || l4[0] == ICMP_ECHO_REPLY
		    : flow->protocol == PACKET_ICMPV6 ? l4[0] == ICMPV6_ECHO || l4[0] == ICMPV6_ECHO_REPLY
						      : false;

	if (echo) {
		flow->local_port = be16_load(l4 + 4);
	} else if (flow->protocol == PACKET_TCP || flow->protocol == PACKET_UDP) {
		flow->local_port = be16_load(l4 + (direction == NET_OUT ? 0 : 2));
		flow->remote_port = be16_load(l4 + (direction == NET_OUT ? 2 : 0));
	}
}

void flow_get(const struct packet *packet, const uint8_t *frame, enum net_direction direction,
	      struct flow *flow)
{
	*flow = (struct flow){.protocol = packet->protocol};
	set_addresses(flow, frame + packet->l3, packet->kind == PACKET_IPV6, direction);
	if (packet->l4)
		set_ports(flow, frame + packet->l4, direction);
}

int packet_icmp_type(const struct packet *packet, const uint8_t *frame)
{
	bool icmp =
		packet->l4 && packet->protocol == (packet->kind == PACKET_IPV6 ? PACKET_ICMPV6 : PACKET_ICMP);

	return icmp ? frame[packet->l4] : -1;
}

bool packet_is_udp(const struct packet *packet, const uint8_t *frame, unsigned from, unsigned to)
{
	return packet->l4 && packet->protocol == PACKET_UDP && be16_load(frame + packet->l4) == from &&
	       be16_load(frame + packet->l4 + 2) == to;
}

static bool is_error(const struct packet *packet, const uint8_t *frame)
{
	int type = packet_icmp_type(packet, frame);

	if (packet->kind == PACKET_IPV6)
		return type >= 1 && type <= ICMPV6_PARAMETER;
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER;
}

/* The quoted packet went the other way. At least eight bytes of its upper layer are there. */
bool flow_get_quoted(const struct packet *packet, const uint8_t *frame, enum net_direction direction,
		     struct flow *flow)
{
	const uint8_t *ip = frame + packet->l4 + PACKET_ICMP_HEADER;
	bool v6 = packet->kind == PACKET_IPV6;
	unsigned room = packet->end - packet->l4 - PACKET_ICMP_HEADER, header;

	if (!is_error(packet, frame) || room < (v6 ? 40 : 20) || ip[0] >> 4 != (v6 ? 6 : 4))
		return false;
	header = v6 ? 40 : (ip[0] & 15) * 4;
	if (header < 20 || room < header + 8 || (!v6 && be16_load(ip + 6) & 0x1fff))
		return false;
	direction = direction == NET_OUT ? NET_IN : NET_OUT;
	*flow = (struct flow){.protocol = v6 ? ip[6] : ip[9]};
	set_addresses(flow, ip, v6, direction);
	set_ports(flow, ip + header, direction);
	return true;
}
