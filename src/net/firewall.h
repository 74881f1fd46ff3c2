/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A firewall between a card and its cable. Rules are lines:
 *
 *	allow|deny DIRECTION[:PROTOCOL[:PORTS[:CIDR]]]	in, out or any; tcp, udp, icmp or any; 80, 1024-2047 or any; any
 *	default-deny, default-allow			where no rule fits; without either: allow
 *	no-spoof					see below
 *
 * and what stands behind # is a comment. A rule is about who opens a connection: ports are the ones
 * connected to, CIDR holds the other side's address, be it the one it goes to or the one it comes from. The
 * first rule that fits counts. What belongs to a connection that was let in or out passes both ways, errors
 * by ICMP included.
 *
 * Without rules all passes. Else dropped are headers that are cut short or contradict each other, source
 * routes, and later fragments where only a rule with ports would let them pass. ARP, neighbour discovery
 * and the guest's questions by DHCP and their answers pass, since without them there is no network; under
 * default-deny nothing else but IP does.
 *
 * no-spoof: the guest sends from the card's MAC, in ARP and neighbour discovery, too, and from its own
 * addresses: those that were given, or those that DHCP gave it and that it has claimed in IPv6 without
 * contradiction (RFC 6620). It is neither DHCP server nor IPv6 router.
 *
 * Threads: the loop's.
 */
#ifndef VIV_NET_FIREWALL_H
#define VIV_NET_FIREWALL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct net_port;
struct firewall;
struct firewall_rules;

#define FIREWALL_MAX_RULES	 1024u
#define FIREWALL_MAX_CONNECTIONS 16384u

struct firewall_address {
	bool v6;
	uint8_t bytes[16]; /* of IPv4: four */
};
bool firewall_address_parse(struct firewall_address *address, const char *text);

struct firewall_rules *firewall_rules_new(void);
struct firewall_rules *firewall_rules_ref(struct firewall_rules *rules);
void firewall_rules_unref(struct firewall_rules *rules);
/* A line; empty ones are fine. */
bool firewall_rules_add(struct firewall_rules *rules, const char *line, GError **error);
/* Lines; the error has the number. */
bool firewall_rules_add_text(struct firewall_rules *rules, const char *text, GError **error);
/* Whether they can have an effect. */
bool firewall_rules_check(const struct firewall_rules *rules, GError **error);
/* Whether the word is one that stands alone in a line. */
bool firewall_is_policy(const char *word);

struct firewall_config {
	uint8_t mac[6];
	const struct firewall_address *addresses; /* the guest's, copied; none: learnt */
	unsigned n_addresses;
	int64_t (*now_us)(void); /* NULL: g_get_monotonic_time() */
};

/* The port's next filter; lives as long as frames pass. NULL rules: none. */
struct firewall *firewall_new(struct net_port *port, const struct firewall_config *config,
			      struct firewall_rules *rules);
void firewall_free(struct firewall *firewall);
/* Open connections are forgotten: what the new rules do not let pass ends. Counts begin anew. */
void firewall_set_rules(struct firewall *firewall, struct firewall_rules *rules);

enum firewall_count {
	FIREWALL_PASSED,
	FIREWALL_DENIED, /* by a rule, or by default */
	FIREWALL_MALFORMED,
	FIREWALL_SPOOFED,
	FIREWALL_EVICTED, /* connections forgotten for others */
	FIREWALL_N_COUNTS,
};
const char *firewall_count_name(enum firewall_count count);
uint64_t firewall_count(const struct firewall *firewall, enum firewall_count count);
unsigned firewall_connections(const struct firewall *firewall);
/* The rules, as lines: those that stand alone and rules, with the number of packets whose fate they decided. */
unsigned firewall_n_rules(const struct firewall *firewall);
const char *firewall_rule(const struct firewall *firewall, unsigned index, uint64_t *packets);
bool firewall_denies(const struct firewall *firewall);
bool firewall_checks_sources(const struct firewall *firewall);

#endif
