/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/offload.h"

#include <string.h>

#include "base/be.h"
#include "net/frame.h"
#include "net/net.h"

/* Keeps the number of segments down; TCP never goes below 536 (RFC 879) but for odd paths. */
#define MSS_MIN 48u

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

	return o->mss >= MSS_MIN && o->header_len + o->mss <= NET_FRAME_MAX &&
	       o->header_len <= len && changed <= o->header_len;
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
