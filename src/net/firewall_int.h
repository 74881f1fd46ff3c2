/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firewall's parts: rules, connections, the guest's own addresses. */
#ifndef VIV_NET_FIREWALL_INT_H
#define VIV_NET_FIREWALL_INT_H

#include "net/firewall.h"
#include "net/net.h"
#include "net/packet.h"

/* Who talks to whom, the same for both directions. All bytes count: no padding, and what is not used is zero. */
struct flow {
	uint8_t local[16], remote[16];	  /* the guest is local; of IPv4: four */
	uint16_t local_port, remote_port; /* of ICMP's echo: the identifier, and zero */
	uint8_t v6, protocol;
};
G_STATIC_ASSERT(sizeof(struct flow) == 38);

/* Of an IP packet; ports are zero where there are none. */
void flow_get(const struct packet *packet, const uint8_t *frame, enum net_direction direction,
	      struct flow *flow);
/* Of the packet that an error by ICMP is about; false: it is no error, or none about a flow. */
bool flow_get_quoted(const struct packet *packet, const uint8_t *frame, enum net_direction direction,
		     struct flow *flow);
/* ICMP's type, of either; -1: it is none. */
int packet_icmp_type(const struct packet *packet, const uint8_t *frame);
/* Whether it is UDP between these ports. */
bool packet_is_udp(const struct packet *packet, const uint8_t *frame, unsigned from, unsigned to);

struct rule {
	char *text;
	bool allow;
	bool directions[NET_N_DIRECTIONS];
	enum { RULE_ANY, RULE_TCP, RULE_UDP, RULE_ICMP } protocol;
	bool has_ports;
	uint16_t first_port, last_port;
	bool has_net;
	struct firewall_address net;
	unsigned prefix;
};

struct firewall_rules {
	gint n_refs;
	GArray *rules; /* struct rule */
	bool has_policy, deny, no_spoof;
};

/* Its number among the rules; -1: none fits. `later_fragment`: the ports are not known. */
int rules_match(const struct firewall_rules *rules, const struct flow *flow, enum net_direction direction,
		bool later_fragment);

struct connections;

struct connections *connections_new(void);
void connections_free(struct connections *connections);
void connections_clear(struct connections *connections);
unsigned connections_count(const struct connections *connections);
/* Whether the packet belongs to one; its time starts anew. `tcp_flags`: zero for others. */
bool connections_pass(struct connections *connections, const struct flow *flow, enum net_direction direction,
		      uint8_t tcp_flags, int64_t now_us);
bool connections_have(struct connections *connections, const struct flow *flow, int64_t now_us);
/* One that a rule let through; whether another was forgotten for it. */
bool connections_open(struct connections *connections, const struct flow *flow, enum net_direction opener,
		      uint8_t tcp_flags, int64_t now_us);

#define SOURCE_MAX_ADDRESSES 16u

/* The addresses that the guest may send from. */
struct source {
	uint8_t mac[6];
	bool given;
	struct source_address {
		struct firewall_address address;
		int64_t usable_us; /* 0: no such; from then on */
	} addresses[SOURCE_MAX_ADDRESSES];
	unsigned next; /* to be replaced */
};

void source_init(struct source *source, const struct firewall_config *config);
/* Whether the guest may send it; learns which addresses it claims. */
bool source_check(struct source *source, const struct packet *packet, const uint8_t *frame, int64_t now_us);
/* Learns from what it is sent. */
void source_learn(struct source *source, const struct packet *packet, const uint8_t *frame);

#endif
