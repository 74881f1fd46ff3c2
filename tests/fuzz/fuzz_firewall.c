/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A firewall's rules, up to the first zero, and frames to and from the guest: a byte each for direction and the time
 * that passes, two for the length. Rules that are none are replaced by some that look at everything.
 */
#include <glib.h>
#include <string.h>

#include "base/le.h"
#include "net/firewall.h"
#include "net/net.h"

#include "fuzz.h"

enum { OUT = 1, SECONDS = 2, HOURS = 4, TSO = 8 };

static const uint8_t mac[] = {0x52, 0x54, 0, 0, 0, 0x15};
static const char strict[] =
	"default-deny\nno-spoof\nallow out:tcp:80-90:192.0.2.0/25\nallow in:any:53:2001:db8::/33\n"
	"deny any:udp\nallow any:icmp\n";

static int64_t now_us;

static int64_t get_now(void)
{
	return now_us;
}

/* What left bears the card's address, where that is looked at. */
static bool check_source(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	if (*(bool *)opaque)
		g_assert_cmpmem(frame + 6, 6, mac, 6);
	return true;
}

static struct firewall_rules *read_rules(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup((const char *)data, len);
	struct firewall_rules *rules = firewall_rules_new();

	if (firewall_rules_add_text(rules, text, NULL))
		return rules;
	firewall_rules_unref(rules);
	rules = firewall_rules_new();
	g_assert_true(firewall_rules_add_text(rules, strict, NULL));
	return rules;
}

static void send_frames(struct net_port *guest, struct net_port *peer, const uint8_t *data, size_t len)
{
	for (size_t at = 0, part; at + 4 < len; at += 4 + part) {
		struct net_offload offload = {};
		struct iovec iov = {(void *)(data + at + 4), 0};

		part = MIN(le16_load(data + at + 2), len - at - 4);
		iov.iov_len = part;
		now_us += data[at] & HOURS ? 3600000000ll : data[at] & SECONDS ? 1000000 : 1000;
		if (data[at] & TSO)
			offload = (struct net_offload){NET_NEEDS_CSUM, NET_GSO_TCPV4, 0, 500, 34, 16};
		net_send_offload(data[at] & OUT ? guest : peer, &iov, 1, &offload);
		net_run(guest);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct firewall_config config = {.now_us = get_now};
	struct net_port *guest, *peer;
	size_t rules_len = len ? strnlen((const char *)data, len) : 0;
	struct firewall_rules *rules = read_rules(len ? data : (const uint8_t *)"", rules_len);
	struct net_receiver receiver = {.receive = check_source};
	struct firewall *firewall;
	bool strictly;

	guest = net_port_new(NULL);
	peer = net_port_new(NULL);
	now_us = 1000000;
	memcpy(config.mac, mac, sizeof(mac));
	firewall = firewall_new(guest, &config, rules);
	firewall_rules_unref(rules);
	strictly = firewall_checks_sources(firewall);
	receiver.opaque = &strictly;
	net_set_receiver(peer, &receiver);
	net_join(guest, peer);
	if (rules_len < len)
		send_frames(guest, peer, data + rules_len + 1, len - rules_len - 1);
	g_assert_cmpuint(firewall_connections(firewall), <=, FIREWALL_MAX_CONNECTIONS);
	net_port_free(guest);
	net_port_free(peer);
	firewall_free(firewall);
	return 0;
}
