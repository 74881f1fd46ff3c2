/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/firewall.h"

#include <string.h>

#include "net/firewall_int.h"

struct firewall {
	struct firewall_rules *rules; /* NULL: all passes */
	struct connections *connections;
	struct source source;
	int64_t (*now_us)(void);
	uint64_t counts[FIREWALL_N_COUNTS];
	uint64_t *packets; /* a rule each */
};

/* What there is no network without, RFC 4861: it does not come from beyond the cable, since its hop limit would be
 * less than 255. And reports of who listens to which group. */
static bool is_discovery(const struct packet *packet, const uint8_t *frame)
{
	int type = packet_icmp_type(packet, frame);
	uint8_t hops = frame[packet->l3 + 7];

	if (packet->kind != PACKET_IPV6)
		return false;
	return (type >= 133 && type <= 137 && hops == 255) ||
	       (((type >= 130 && type <= 132) || type == 143) && hops == 1);
}

/* The guest's questions go to everybody, so that they are no way out to a host of its choice. */
static bool is_dhcp(const struct packet *packet, const uint8_t *frame, enum net_direction direction)
{
	static const uint8_t everybody[4] = {255, 255, 255, 255};
	/* RFC 8415, 7.1: All_DHCP_Relay_Agents_and_Servers. */
	static const uint8_t servers[16] = {0xff, 2, [13] = 1, [15] = 2};
	const uint8_t *ip = frame + packet->l3;
	bool v6 = packet->kind == PACKET_IPV6;
	unsigned client = v6 ? 546 : 68, server = v6 ? 547 : 67;

	if (direction == NET_IN)
		return packet_is_udp(packet, frame, server, client);
	return packet_is_udp(packet, frame, client, server) &&
	       (v6 ? !memcmp(ip + 24, servers, 16) : !memcmp(ip + 16, everybody, 4));
}

static uint8_t get_tcp_flags(const struct packet *packet, const uint8_t *frame)
{
	return packet->protocol == PACKET_TCP && packet->l4 ? frame[packet->l4 + 13] : 0;
}

static bool belongs(struct firewall *firewall, const struct packet *packet, const uint8_t *frame,
		    enum net_direction direction, const struct flow *flow, int64_t now_us)
{
	struct flow quoted;

	if (flow_get_quoted(packet, frame, direction, &quoted))
		return connections_have(firewall->connections, &quoted, now_us);
	return packet->l4 &&
	       connections_pass(firewall->connections, flow, direction, get_tcp_flags(packet, frame), now_us);
}

static bool allows_ip(struct firewall *firewall, const struct packet *packet, const uint8_t *frame,
		      enum net_direction direction, int64_t now_us)
{
	bool allow = !firewall->rules->deny;
	struct flow flow;
	int index;

	if (is_discovery(packet, frame) || is_dhcp(packet, frame, direction))
		return true;
	flow_get(packet, frame, direction, &flow);
	if (belongs(firewall, packet, frame, direction, &flow, now_us))
		return true;
	index = rules_match(firewall->rules, &flow, direction, packet->fragment && !packet->l4);
	if (index >= 0) {
		firewall->packets[index]++;
		allow = g_array_index(firewall->rules->rules, struct rule, index).allow;
	}
	if (allow && packet->l4 &&
	    connections_open(firewall->connections, &flow, direction, get_tcp_flags(packet, frame), now_us))
		firewall->counts[FIREWALL_EVICTED]++;
	return allow;
}

static enum firewall_count judge(struct firewall *firewall, enum net_direction direction,
				 const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	int64_t now_us = firewall->now_us();
	bool allow, own = true;
	struct packet packet;

	if (!packet_parse(&packet, frame, len, offload->gso != NET_GSO_NONE) || packet.source_routed)
		return FIREWALL_MALFORMED;
	/* Addresses are learnt in any case: rules may come later. */
	if (direction == NET_IN)
		source_learn(&firewall->source, &packet, frame);
	else
		own = source_check(&firewall->source, &packet, frame, now_us);
	if (!firewall->rules)
		return FIREWALL_PASSED;
	if (firewall->rules->no_spoof && !own)
		return FIREWALL_SPOOFED;
	switch (packet.kind) {
	case PACKET_ARP:
		allow = true;
		break;
	case PACKET_OTHER:
		allow = !firewall->rules->deny;
		break;
	default:
		allow = allows_ip(firewall, &packet, frame, direction, now_us);
	}
	return allow && !(packet.tagged && firewall->rules->deny) ? FIREWALL_PASSED : FIREWALL_DENIED;
}

static enum net_verdict look(void *opaque, enum net_direction direction, const uint8_t *frame, size_t len,
			     const struct net_offload *offload)
{
	struct firewall *firewall = opaque;
	enum firewall_count count;

	count = judge(firewall, direction, frame, len, offload);
	firewall->counts[count]++;
	return count == FIREWALL_PASSED || !firewall->rules ? NET_PASS : NET_DROP;
}

struct firewall *firewall_new(struct net_port *port, const struct firewall_config *config,
			      struct firewall_rules *rules)
{
	struct firewall *firewall = g_new0(struct firewall, 1);

	firewall->connections = connections_new();
	firewall->now_us = config->now_us ? config->now_us : g_get_monotonic_time;
	source_init(&firewall->source, config);
	firewall_set_rules(firewall, rules);
	net_add_filter(port, &(struct net_filter){look, firewall});
	return firewall;
}

void firewall_free(struct firewall *firewall)
{
	if (!firewall)
		return;
	firewall_rules_unref(firewall->rules);
	connections_free(firewall->connections);
	g_free(firewall->packets);
	g_free(firewall);
}

void firewall_set_rules(struct firewall *firewall, struct firewall_rules *rules)
{
	struct firewall_rules *old = firewall->rules;

	firewall->rules = firewall_rules_ref(rules);
	firewall_rules_unref(old);
	connections_clear(firewall->connections);
	g_free(firewall->packets);
	firewall->packets = g_new0(uint64_t, firewall_n_rules(firewall) + 1);
	memset(firewall->counts, 0, sizeof(firewall->counts));
}

const char *firewall_count_name(enum firewall_count count)
{
	static const char *const names[] = {
		[FIREWALL_PASSED] = "passed",	    [FIREWALL_DENIED] = "denied",
		[FIREWALL_MALFORMED] = "malformed", [FIREWALL_SPOOFED] = "spoofed",
		[FIREWALL_EVICTED] = "evicted",
	};

	return names[count];
}

uint64_t firewall_count(const struct firewall *firewall, enum firewall_count count)
{
	return firewall->counts[count];
}

unsigned firewall_connections(const struct firewall *firewall)
{
	return connections_count(firewall->connections);
}

unsigned firewall_n_rules(const struct firewall *firewall)
{
	return firewall->rules ? firewall->rules->rules->len : 0;
}

const char *firewall_rule(const struct firewall *firewall, unsigned index, uint64_t *packets)
{
	*packets = firewall->packets[index];
	return g_array_index(firewall->rules->rules, struct rule, index).text;
}

bool firewall_denies(const struct firewall *firewall)
{
	return firewall->rules && firewall->rules->deny;
}

bool firewall_checks_sources(const struct firewall *firewall)
{
	return firewall->rules && firewall->rules->no_spoof;
}
