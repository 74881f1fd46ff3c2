/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From where the guest may send. What it was not told is learnt: of IPv4 the address that a DHCP server
 * acknowledges, of IPv6 those for which it looks whether another has them and nobody objects (duplicate
 * address detection, RFC 4862, 5.4; first come, first served, RFC 6620).
 */
#include <string.h>

#include "base/be.h"
#include "net/firewall_int.h"

/* The answer to a claim takes less; the guest waits for a second (RFC 4861, RetransTimer). */
#define CLAIM_US 500000

enum {
	/* RFC 4861, RFC 2710, RFC 3810 */
	MLD_REPORT = 131,
	ROUTER_SOLICITATION = 133,
	ROUTER_ADVERTISEMENT = 134,
	NEIGHBOR_SOLICITATION = 135,
	NEIGHBOR_ADVERTISEMENT = 136,
	REDIRECT = 137,
	MLDV2_REPORT = 143,
	ND_LEN = 24, /* with its target, from 8 on */

	/* RFC 2131 */
	DHCP_SERVER = 67,
	DHCP_CLIENT = 68,
	BOOTREPLY = 2,
	DHCP_LEN = 240,
	DHCP_YIADDR = 16,
	DHCP_CHADDR = 28,
	DHCP_OPTION_TYPE = 53,
	DHCPACK = 5,
};

void source_init(struct source *source, const struct firewall_config *config)
{
	*source = (struct source){.given = config->n_addresses > 0};
	memcpy(source->mac, config->mac, sizeof(source->mac));
	for (unsigned i = 0; i < config->n_addresses && i < SOURCE_MAX_ADDRESSES; i++)
		source->addresses[i] = (struct source_address){config->addresses[i], 1};
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	static const uint8_t zero[16];

	return !memcmp(bytes, zero, len);
}

static struct source_address *find(struct source *source, const uint8_t *bytes, bool v6)
{
	for (unsigned i = 0; i < SOURCE_MAX_ADDRESSES; i++) {
		struct source_address *a = &source->addresses[i];

		if (a->usable_us && a->address.v6 == v6 && !memcmp(a->address.bytes, bytes, v6 ? 16 : 4))
			return a;
	}
	return NULL;
}

static bool is_own(struct source *source, const uint8_t *bytes, bool v6, int64_t now_us)
{
	const struct source_address *a = find(source, bytes, v6);

	return a && a->usable_us <= now_us;
}

static struct source_address *add(struct source *source, const uint8_t *bytes, bool v6, int64_t usable_us)
{
	struct source_address *a = &source->addresses[source->next++ % SOURCE_MAX_ADDRESSES];

	*a = (struct source_address){{.v6 = v6}, usable_us};
	memcpy(a->address.bytes, bytes, v6 ? 16 : 4);
	return a;
}

static bool check_arp(struct source *source, const uint8_t *arp, int64_t now_us)
{
	const uint8_t *mac = arp + 8, *address = arp + 14;

	return !memcmp(mac, source->mac, 6) &&
	       (is_zero(address, 4) || is_own(source, address, false, now_us));
}

static bool check_ipv4(struct source *source, const struct packet *packet, const uint8_t *frame,
		       int64_t now_us)
{
	const uint8_t *address = frame + packet->l3 + 12;

	if (packet->l4 && packet->protocol == PACKET_UDP && be16_load(frame + packet->l4) == DHCP_SERVER)
		return false;
	if (is_zero(address, 4))
		return packet_is_udp(packet, frame, DHCP_CLIENT, DHCP_SERVER);
	return is_own(source, address, false, now_us);
}

/* The link-layer addresses among the options of neighbour discovery are the card's. */
static bool check_nd_options(const struct source *source, const uint8_t *options, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t option = at + 2 <= len ? options[at + 1] * 8 : 0;

		if (!option || at + option > len)
			return false;
		if ((options[at] == 1 || options[at] == 2) && memcmp(options + at + 2, source->mac, 6))
			return false;
		at += option;
	}
	return true;
}

static void claim(struct source *source, const uint8_t *address, int64_t now_us)
{
	if (!source->given && !find(source, address, true))
		add(source, address, true, now_us + CLAIM_US);
}

static bool check_ipv6(struct source *source, const struct packet *packet, const uint8_t *frame,
		       int64_t now_us)
{
	const uint8_t *address = frame + packet->l3 + 8, *icmp = frame + packet->l4;
	unsigned icmp_len = packet->end - packet->l4;
	bool unspecified = is_zero(address, 16);
	int type = packet_icmp_type(packet, frame);

	switch (type) {
	case ROUTER_ADVERTISEMENT:
	case REDIRECT:
		return false;
	case NEIGHBOR_SOLICITATION:
		if (icmp_len < ND_LEN || !check_nd_options(source, icmp + ND_LEN, icmp_len - ND_LEN))
			return false;
		if (unspecified)
			claim(source, icmp + 8, now_us);
		break;
	case NEIGHBOR_ADVERTISEMENT:
		if (icmp_len < ND_LEN || !is_own(source, icmp + 8, true, now_us) ||
		    !check_nd_options(source, icmp + ND_LEN, icmp_len - ND_LEN))
			return false;
		break;
	case ROUTER_SOLICITATION:
		if (!check_nd_options(source, icmp + 8, icmp_len - 8))
			return false;
		break;
	}
	if (unspecified)
		return type == NEIGHBOR_SOLICITATION || type == ROUTER_SOLICITATION || type == MLD_REPORT ||
		       type == MLDV2_REPORT;
	return is_own(source, address, true, now_us);
}

bool source_check(struct source *source, const struct packet *packet, const uint8_t *frame, int64_t now_us)
{
	if (memcmp(frame + 6, source->mac, 6))
		return false;
	switch (packet->kind) {
	case PACKET_ARP:
		return check_arp(source, frame + packet->l3, now_us);
	case PACKET_IPV4:
		return check_ipv4(source, packet, frame, now_us);
	case PACKET_IPV6:
		return check_ipv6(source, packet, frame, now_us);
	default:
		return true;
	}
}

static bool is_ack(const struct source *source, const uint8_t *message, size_t len)
{
	if (len < DHCP_LEN || message[0] != BOOTREPLY || memcmp(message + DHCP_CHADDR, source->mac, 6))
		return false;
	for (size_t at = DHCP_LEN; at + 2 < len && message[at] != 255;) {
		if (message[at] == DHCP_OPTION_TYPE)
			return message[at + 2] == DHCPACK;
		at += message[at] ? 2 + message[at + 1] : 1;
	}
	return false;
}

static void learn_lease(struct source *source, const uint8_t *message, size_t len)
{
	const uint8_t *address = message + DHCP_YIADDR;

	if (!is_ack(source, message, len) || is_zero(address, 4))
		return;
	for (unsigned i = 0; i < SOURCE_MAX_ADDRESSES; i++)
		if (!source->addresses[i].address.v6)
			source->addresses[i].usable_us = 0;
	add(source, address, false, 1);
}

void source_learn(struct source *source, const struct packet *packet, const uint8_t *frame)
{
	struct source_address *lost;

	if (source->given)
		return;
	if (packet->kind == PACKET_IPV4 && packet_is_udp(packet, frame, DHCP_SERVER, DHCP_CLIENT))
		learn_lease(source, frame + packet->l4 + PACKET_UDP_HEADER,
			    packet->end - packet->l4 - PACKET_UDP_HEADER);
	if (packet_icmp_type(packet, frame) != NEIGHBOR_ADVERTISEMENT || packet->end - packet->l4 < ND_LEN)
		return;
	/* The neighbour was first. */
	lost = find(source, frame + packet->l4 + 8, true);
	if (lost)
		lost->usable_us = 0;
}
