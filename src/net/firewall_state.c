/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections, in a table that has an end: where it is full, the one goes that has been silent for longest,
 * of those first that were never answered, so that asking much does not end others' talk.
 */
#include <string.h>

#include "net/firewall_int.h"

#define SECOND 1000000ll

/* The sender has nothing more to say, or breaks off. */
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

struct connection {
	struct flow flow; /* the key */
	enum net_direction opener;
	bool answered, closing;
	int64_t end_us;
	GList link; /* of its queue */
};

struct connections {
	GHashTable *table; /* struct flow in struct connection */
	GQueue queues[2];  /* not answered and answered, silent longest first */
};

/* Timeouts in seconds; RFC 5382 and 4787 want at least two hours and two minutes for answered ones. */
static int64_t timeout_us(const struct connection *c)
{
	switch (c->flow.protocol) {
	case PACKET_TCP:
		return (c->closing ? 120 : c->answered ? 86400 : 60) * SECOND;
	case PACKET_ICMP:
	case PACKET_ICMPV6:
		return 30 * SECOND;
	default:
		return (c->answered ? 180 : 30) * SECOND;
	}
}

static guint hash_flow(gconstpointer key)
{
	const uint8_t *bytes = key;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < sizeof(struct flow); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash ^ hash >> 32;
}

static gboolean same_flow(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct flow));
}

struct connections *connections_new(void)
{
	struct connections *connections = g_new0(struct connections, 1);

	connections->table = g_hash_table_new_full(hash_flow, same_flow, NULL, g_free);
	return connections;
}

void connections_clear(struct connections *connections)
{
	g_queue_init(&connections->queues[0]);
	g_queue_init(&connections->queues[1]);
	g_hash_table_remove_all(connections->table);
}

void connections_free(struct connections *connections)
{
	if (!connections)
		return;
	g_hash_table_unref(connections->table);
	g_free(connections);
}

unsigned connections_count(const struct connections *connections)
{
	return g_hash_table_size(connections->table);
}

static void forget(struct connections *connections, struct connection *c)
{
	g_queue_unlink(&connections->queues[c->answered], &c->link);
	g_hash_table_remove(connections->table, &c->flow);
}

static struct connection *find(struct connections *connections, const struct flow *flow, int64_t now_us)
{
	struct connection *c = g_hash_table_lookup(connections->table, flow);

	if (!c || c->end_us > now_us)
		return c;
	forget(connections, c);
	return NULL;
}

static void touch(struct connections *connections, struct connection *c, bool answered, uint8_t tcp_flags,
		  int64_t now_us)
{
	g_queue_unlink(&connections->queues[c->answered], &c->link);
	c->answered |= answered;
	c->closing |= (tcp_flags & (TCP_FIN | TCP_RST)) != 0;
	c->end_us = now_us + timeout_us(c);
	g_queue_push_tail_link(&connections->queues[c->answered], &c->link);
}

bool connections_pass(struct connections *connections, const struct flow *flow, enum net_direction direction,
		      uint8_t tcp_flags, int64_t now_us)
{
	struct connection *c = find(connections, flow, now_us);

	/* Who answers does not open a connection of its own. */
	if (!c || (direction != c->opener && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN))
		return false;
	touch(connections, c, direction != c->opener, tcp_flags, now_us);
	return true;
}

bool connections_have(struct connections *connections, const struct flow *flow, int64_t now_us)
{
	return find(connections, flow, now_us) != NULL;
}

bool connections_open(struct connections *connections, const struct flow *flow, enum net_direction opener,
		      uint8_t tcp_flags, int64_t now_us)
{
	struct connection *c = find(connections, flow, now_us);
	bool full = g_hash_table_size(connections->table) == FIREWALL_MAX_CONNECTIONS;

	if (c)
		forget(connections, c);
	else if (full)
		forget(connections,
		       g_queue_peek_head(&connections->queues[connections->queues[0].length == 0]));
	c = g_new0(struct connection, 1);
	c->flow = *flow;
	c->opener = opener;
	c->link.data = c;
	g_hash_table_insert(connections->table, &c->flow, c);
	g_queue_push_tail_link(&connections->queues[0], &c->link);
	touch(connections, c, false, tcp_flags, now_us);
	return full;
}
