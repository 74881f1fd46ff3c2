/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/offload.h"

#include <string.h>

#include "base/be.h"
#include "net/frame.h"
#include "net/net.h"
#include "net/packet.h"

/* Keeps the work for one packet down: of 64 KiB by the smallest segment size Linux knows for TCP. */
#define MAX_SEGMENTS 1365u

/* Of the headers, what is changed. */
#define IP_CHANGED  6u
#define TCP_CHANGED 14u
#define UDP_CHANGED 8u

#define IPV6_HEADER 40u
#define TCP_FIN_PSH 0x09

void offload_insert_sum(const struct offload_sum *sum, uint8_t *packet, size_t len)
{
	size_t end = sum->end ? MIN(sum->end, len) : len;
	uint16_t value;

	if (!sum->wanted || sum->first >= end || sum->place + 2 > len)
		return;
	value = ~frame_sum(packet + sum->first, end - sum->first, 0);
	/* UDP's zero is "none" (RFC 768), and 0xffff the same number to all others. */
	be16_store(packet + sum->place, value ? value : 0xffff);
}

static void fix_ip(const struct offload *o, uint8_t *ip, size_t len, unsigned index)
{
	if (o->ipv4) {
		be16_store(ip + 2, len);
		be16_store(ip + 4, be16_load(ip + 4) + index);
	} else {
		be16_store(ip + 4, len - IPV6_HEADER);
	}
}

static void fix_l4(const struct offload *o, uint8_t *l4, size_t len, size_t at, bool last)
{
	if (o->tcp) {
		be32_store(l4 + 4, be32_load(l4 + 4) + at);
		if (!last)
			l4[13] &= ~TCP_FIN_PSH;
	} else {
		be16_store(l4 + 4, len);
	}
}

static bool can_cut(const struct offload *o, size_t len)
{
	unsigned l4_end = o->l4.first + (o->tcp ? TCP_CHANGED : UDP_CHANGED);
	unsigned changed = MAX(MAX(o->ip.first + IP_CHANGED, l4_end), o->l4.place + 2);

	return o->mss && o->header_len + o->mss <= NET_FRAME_MAX && o->header_len <= len &&
	       changed <= o->header_len && (len - o->header_len) / o->mss <= MAX_SEGMENTS;
}

size_t offload_segment(const struct offload *o, const uint8_t *packet, size_t len, unsigned index,
		       uint8_t *out)
{
	uint64_t at = (uint64_t)index * o->mss, payload = len - o->header_len;
	size_t part;

	if (!can_cut(o, len) || at >= payload)
		return 0;
	part = MIN(o->mss, payload - at);
	len = o->header_len + part;
	memcpy(out, packet, o->header_len);
	memcpy(out + o->header_len, packet + o->header_len + at, part);
	fix_ip(o, out + o->ip.first, len - o->ip.first, index);
	fix_l4(o, out + o->l4.first, len - o->l4.first, at, at + part == payload);
	be16_store(out + o->l4.place, frame_sum(out + o->l4.place, 2, len - o->l4.first));
	offload_insert_sum(&o->ip, out, len);
	offload_insert_sum(&o->l4, out, len);
	return len;
}

/* What each way to cut is for. */
static bool find_packet(const struct net_offload *o, const uint8_t *frame, size_t len, struct packet *packet)
{
	if (!packet_parse(packet, frame, len, true) || !packet->l4 || packet->fragment ||
	    packet->l4 != o->csum_start)
		return false;
	switch (o->gso) {
	case NET_GSO_TCPV4:
		return packet->kind == PACKET_IPV4 && packet->protocol == PACKET_TCP && o->csum_offset == 16;
	case NET_GSO_TCPV6:
		return packet->kind == PACKET_IPV6 && packet->protocol == PACKET_TCP && o->csum_offset == 16;
	case NET_GSO_UDP_L4:
		return packet->protocol == PACKET_UDP && o->csum_offset == 6;
	default:
		return false;
	}
}

static void make_plan(const struct net_offload *o, const struct packet *packet, const uint8_t *frame,
		      struct offload *plan)
{
	*plan = (struct offload){
		.ip = {packet->kind == PACKET_IPV4, packet->l3, packet->l3 + 10, packet->l4},
		.l4 = {true, packet->l4, packet->l4 + o->csum_offset, 0},
		.ipv4 = packet->kind == PACKET_IPV4,
		.tcp = packet->protocol == PACKET_TCP,
		.header_len = packet->l4 + packet_l4_header_len(packet, frame),
		.mss = o->gso_size,
	};
}

bool offload_check(const struct net_offload *o, const uint8_t *frame, size_t len)
{
	struct packet packet;
	struct offload plan;

	if (o->flags & NET_NEEDS_CSUM && o->csum_start + o->csum_offset + 2u > len)
		return false;
	if (o->gso == NET_GSO_NONE)
		return true;
	if (!(o->flags & NET_NEEDS_CSUM) || !find_packet(o, frame, len, &packet))
		return false;
	make_plan(o, &packet, frame, &plan);
	return can_cut(&plan, len) && len > plan.header_len;
}

void offload_plan(const struct net_offload *o, uint8_t *frame, size_t len, struct offload *plan)
{
	struct packet packet;
	bool good = find_packet(o, frame, len, &packet);

	g_assert(good);
	make_plan(o, &packet, frame, plan);
	if (plan->ipv4)
		be16_store(frame + plan->ip.place, 0);
	be16_store(frame + plan->l4.place, packet_pseudo_sum(&packet, frame));
}

void offload_complete(const struct net_offload *o, uint8_t *frame, size_t len)
{
	struct offload_sum sum = {o->flags & NET_NEEDS_CSUM, o->csum_start, o->csum_start + o->csum_offset,
				  0};

	offload_insert_sum(&sum, frame, len);
}
