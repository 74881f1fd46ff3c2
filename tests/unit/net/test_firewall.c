/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real packets, between a guest's end of a cable with a firewall, and a peer's. */
#include "net/firewall.h"

#include "base/error.h"
#include "frames.h"

#define GUEST	"192.0.2.15"
#define PEER	"192.0.2.1"
#define GUEST6	"2001:db8::15"
#define PEER6	"2001:db8::1"
#define SECONDS 1000000ll

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static int64_t now_us;

static int64_t get_now(void)
{
	return now_us;
}

struct rig {
	struct frames_end guest, peer;
	struct firewall *firewall;
};

static struct firewall_rules *make_rules(const char *text)
{
	struct firewall_rules *rules = firewall_rules_new();
	g_autoptr(GError) error = NULL;

	firewall_rules_add_text(rules, text, &error);
	g_assert_no_error(error);
	return rules;
}

static void rig_init(struct rig *rig, const char *rules_text, const char *own)
{
	struct firewall_rules *rules = make_rules(rules_text);
	struct firewall_config config = {.now_us = get_now};
	struct firewall_address address;

	now_us = SECONDS;
	frames_init(&rig->guest, NULL, 0x15);
	frames_init(&rig->peer, NULL, 0x01);
	memcpy(rig->guest.peer, rig->peer.mac, 6);
	memcpy(rig->peer.peer, rig->guest.mac, 6);
	memcpy(config.mac, rig->guest.mac, 6);
	if (own) {
		g_assert_true(firewall_address_parse(&address, own));
		config.addresses = &address;
		config.n_addresses = 1;
	}
	rig->firewall = firewall_new(rig->guest.port, &config, rules);
	firewall_rules_unref(rules);
	net_join(rig->guest.port, rig->peer.port);
}

static void rig_fini(struct rig *rig)
{
	frames_fini(&rig->guest);
	frames_fini(&rig->peer);
	firewall_free(rig->firewall);
}

static bool arrives(struct frames_end *from, struct frames_end *to, const uint8_t *frame, size_t len)
{
	g_ptr_array_set_size(to->frames, 0);
	net_send(from->port, frame, len);
	net_run(from->port);
	return to->frames->len == 1;
}

static bool packet_arrives(struct frames_end *from, struct frames_end *to, const struct frames_packet *packet)
{
	uint8_t frame[2048];

	return arrives(from, to, frame, frames_make(from, packet, frame));
}

static bool leaves(struct rig *rig, const struct frames_packet *packet)
{
	return packet_arrives(&rig->guest, &rig->peer, packet);
}

static bool enters(struct rig *rig, const struct frames_packet *packet)
{
	return packet_arrives(&rig->peer, &rig->guest, packet);
}

/* From the guest, or to it. */
#define OUT4(protocol, port)  {GUEST, PEER, protocol, 5000, port, SYN}
#define OUT6(protocol, port)  {GUEST6, PEER6, protocol, 5000, port, SYN}
#define IN4(protocol, port)   {PEER, GUEST, protocol, 5000, port, SYN}
#define IN6(protocol, port)   {PEER6, GUEST6, protocol, 5000, port, SYN}
#define ECHO4(from, to)	      {from, to, PACKET_ICMP, 8, 77}
#define ECHO6(from, to)	      {from, to, PACKET_ICMPV6, 128, 77}

/* Each kind of rule lets pass what it says, and nothing beside it. */
static const struct {
	const char *rules;
	struct frames_packet passes, dropped;
} matrix[] = {
	{"allow out", OUT4(PACKET_TCP, 443), IN4(PACKET_TCP, 443)},
	{"allow in", IN4(PACKET_UDP, 53), OUT4(PACKET_UDP, 53)},
	{"allow any:icmp", ECHO4(PEER, GUEST), IN4(PACKET_UDP, 53)},
	{"allow in:tcp", IN4(PACKET_TCP, 22), IN4(PACKET_UDP, 22)},
	{"allow in:udp", IN4(PACKET_UDP, 22), IN4(PACKET_TCP, 22)},
	{"allow out:icmp", ECHO4(GUEST, PEER), OUT4(PACKET_TCP, 1)},
	{"allow out:icmp", ECHO6(GUEST6, PEER6), ECHO6(PEER6, GUEST6)},
	{"allow in:any", IN4(47, 0), OUT4(47, 0)},
	{"allow out:tcp:443", OUT4(PACKET_TCP, 443), OUT4(PACKET_TCP, 444)},
	{"allow out:tcp:443", OUT6(PACKET_TCP, 443), OUT6(PACKET_UDP, 443)},
	{"allow out:any:53", OUT4(PACKET_UDP, 53), OUT4(PACKET_UDP, 5353)},
	{"allow out:any:53", OUT4(PACKET_TCP, 53), OUT4(47, 53)},
	{"allow in:tcp:1000-2000", IN4(PACKET_TCP, 1000), IN4(PACKET_TCP, 999)},
	{"allow in:tcp:1000-2000", IN4(PACKET_TCP, 2000), IN4(PACKET_TCP, 2001)},
	{"allow out:any:any:192.0.2.0/31", OUT4(PACKET_TCP, 1), {GUEST, "192.0.2.2", PACKET_TCP, 1, 1, SYN}},
	{"allow out:any:any:0.0.0.0/0", OUT4(PACKET_TCP, 1), OUT6(PACKET_TCP, 1)},
	{"allow out:any:any:::/0", OUT6(PACKET_TCP, 1), OUT4(PACKET_TCP, 1)},
	{"allow in:tcp:22:192.0.2.1", IN4(PACKET_TCP, 22), {"192.0.2.3", GUEST, PACKET_TCP, 1, 22, SYN}},
	{"allow in:tcp:22:2001:db8::/127", IN6(PACKET_TCP, 22), {"2001:db8::2", GUEST6, PACKET_TCP, 1, 22, SYN}},
	{"allow out:tcp:443:2001:db8::/32", OUT6(PACKET_TCP, 443), {GUEST6, "2001:db9::1", PACKET_TCP, 1, 443, SYN}},
	{"deny out:tcp:25\nallow out", OUT4(PACKET_TCP, 26), OUT4(PACKET_TCP, 25)},
	{"allow out:udp:53\ndeny out:udp\nallow out", OUT4(PACKET_UDP, 53), OUT4(PACKET_UDP, 54)},
};

static void test_matrix(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(matrix); i++) {
		g_autofree char *rules = g_strdup_printf("default-deny # nothing else\n\n%s", matrix[i].rules);
		bool out = g_str_has_prefix(matrix[i].passes.from, "192.0.2.15") || !strcmp(matrix[i].passes.from, GUEST6);
		bool dropped_out = g_str_has_prefix(matrix[i].dropped.from, "192.0.2.15") ||
				   !strcmp(matrix[i].dropped.from, GUEST6);
		struct rig rig;

		g_test_message("%s", matrix[i].rules);
		rig_init(&rig, rules, NULL);
		g_assert_false((dropped_out ? leaves : enters)(&rig, &matrix[i].dropped));
		g_assert_true((out ? leaves : enters)(&rig, &matrix[i].passes));
		g_assert_cmpuint(firewall_count(rig.firewall, FIREWALL_PASSED), ==, 1);
		g_assert_cmpuint(firewall_count(rig.firewall, FIREWALL_DENIED), ==, 1);
		rig_fini(&rig);
	}
}

/* The same, where what is not denied passes. */
static void test_default_allow(void)
{
	const struct frames_packet mail = OUT4(PACKET_TCP, 25), web = OUT4(PACKET_TCP, 80), ssh = IN4(PACKET_TCP, 22);
	struct rig rig;
	uint64_t packets;

	rig_init(&rig, "deny out:tcp:25", NULL);
	g_assert_false(leaves(&rig, &mail));
	g_assert_false(leaves(&rig, &mail));
	g_assert_true(leaves(&rig, &web));
	g_assert_true(enters(&rig, &ssh));
	g_assert_cmpstr(firewall_rule(rig.firewall, 0, &packets), ==, "deny out:tcp:25");
	g_assert_cmpuint(packets, ==, 2);
	rig_fini(&rig);
}

/* Answers pass, and errors about what was sent; nothing that only looks like them. */
static void test_state(void)
{
	struct frames_packet syn = OUT4(PACKET_TCP, 443), answer = {PEER, GUEST, PACKET_TCP, 443, 5000, SYN | ACK},
			     other = {PEER, GUEST, PACKET_TCP, 443, 5001, ACK},
			     opens = {PEER, GUEST, PACKET_TCP, 443, 5000, SYN}, query = OUT4(PACKET_UDP, 53),
			     reply = {PEER, GUEST, PACKET_UDP, 53, 5000}, echo = ECHO4(GUEST, PEER),
			     echo_reply = {PEER, GUEST, PACKET_ICMP, 0, 77}, other_echo = {PEER, GUEST, PACKET_ICMP, 0, 78};
	struct rig rig;

	rig_init(&rig, "default-deny\nallow out:tcp:443\nallow out:udp:53\nallow out:icmp", NULL);
	g_assert_false(enters(&rig, &answer));
	g_assert_true(leaves(&rig, &syn));
	g_assert_true(enters(&rig, &answer));
	g_assert_false(enters(&rig, &other));
	g_assert_false(enters(&rig, &opens));
	g_assert_false(enters(&rig, &reply));
	g_assert_true(leaves(&rig, &query));
	g_assert_true(enters(&rig, &reply));
	g_assert_true(leaves(&rig, &echo));
	g_assert_true(enters(&rig, &echo_reply));
	g_assert_false(enters(&rig, &other_echo));
	g_assert_cmpuint(firewall_connections(rig.firewall), ==, 3);
	/* Silence ends them. */
	now_us += 200 * SECONDS;
	g_assert_false(enters(&rig, &reply));
	g_assert_false(enters(&rig, &echo_reply));
	g_assert_true(enters(&rig, &answer));
	now_us += 90000 * SECONDS;
	g_assert_false(enters(&rig, &answer));
	g_assert_cmpuint(firewall_connections(rig.firewall), ==, 0);
	rig_fini(&rig);
}

/* One that was broken off is kept for what is still under way, and not for a day. */
static void test_closed(void)
{
	struct frames_packet syn = IN4(PACKET_TCP, 22), answer = {GUEST, PEER, PACKET_TCP, 22, 5000, SYN | ACK},
			     rst = {GUEST, PEER, PACKET_TCP, 22, 5000, RST};
	struct rig rig;

	rig_init(&rig, "default-deny\nallow in:tcp:22", NULL);
	g_assert_true(enters(&rig, &syn));
	g_assert_true(leaves(&rig, &answer));
	g_assert_true(leaves(&rig, &rst));
	now_us += 130 * SECONDS;
	g_assert_false(leaves(&rig, &answer));
	rig_fini(&rig);
}

/* RFC 792: an error carries the beginning of the packet that it is about. */
static void test_icmp_errors(void)
{
	struct frames_packet query = OUT4(PACKET_UDP, 53), other = OUT4(PACKET_UDP, 54);
	uint8_t quoted[2048];
	struct frames_packet error = {"198.51.100.1", GUEST, PACKET_ICMP, 3, 0, 0, quoted + 14, 28};
	struct rig rig;

	rig_init(&rig, "default-deny\nallow out:udp:53", NULL);
	frames_make(&rig.guest, &query, quoted);
	g_assert_false(enters(&rig, &error));
	g_assert_true(leaves(&rig, &query));
	g_assert_true(enters(&rig, &error));
	error.len = 27;
	g_assert_false(enters(&rig, &error));
	error.len = 28;
	frames_make(&rig.guest, &other, quoted);
	g_assert_false(enters(&rig, &error));
	rig_fini(&rig);
}

static void test_bounded(void)
{
	struct frames_packet packet = {GUEST, PEER, PACKET_TCP, 0, 0, SYN}, answer = {PEER, GUEST, PACKET_TCP, 80, 1, SYN | ACK};
	struct rig rig;

	rig_init(&rig, "default-deny\nallow out", NULL);
	packet.from_port = 1;
	packet.to_port = 80;
	g_assert_true(leaves(&rig, &packet));
	g_assert_true(enters(&rig, &answer));
	for (unsigned i = 0; i < FIREWALL_MAX_CONNECTIONS + 100; i++) {
		packet.from_port = 1000 + i / 1000;
		packet.to_port = 1000 + i % 1000;
		g_assert_true(leaves(&rig, &packet));
	}
	g_assert_cmpuint(firewall_connections(rig.firewall), ==, FIREWALL_MAX_CONNECTIONS);
	g_assert_cmpuint(firewall_count(rig.firewall, FIREWALL_EVICTED), ==, 101);
	/* Who was answered keeps its place. */
	g_assert_true(enters(&rig, &answer));
	rig_fini(&rig);
}

static void test_replaced(void)
{
	struct frames_packet syn = OUT4(PACKET_TCP, 443), answer = {PEER, GUEST, PACKET_TCP, 443, 5000, SYN | ACK};
	struct firewall_rules *rules;
	struct rig rig;

	rig_init(&rig, "default-deny\nallow out", NULL);
	g_assert_true(leaves(&rig, &syn));
	rules = make_rules("default-deny");
	firewall_set_rules(rig.firewall, rules);
	firewall_rules_unref(rules);
	g_assert_false(enters(&rig, &answer));
	g_assert_false(leaves(&rig, &syn));
	firewall_set_rules(rig.firewall, NULL);
	g_assert_true(enters(&rig, &answer));
	rig_fini(&rig);
}

/* Sets bytes of a frame that is good else. */
static bool changed_arrives(struct rig *rig, const struct frames_packet *packet, bool out, unsigned at, uint16_t value)
{
	struct frames_end *from = out ? &rig->guest : &rig->peer, *to = out ? &rig->peer : &rig->guest;
	uint8_t frame[2048] = {};
	size_t len = frames_make(from, packet, frame);

	be16_store(frame + at, value);
	return arrives(from, to, frame, len);
}

static void test_fragments(void)
{
	struct frames_packet web = OUT4(PACKET_TCP, 443), big = {GUEST, PEER, PACKET_UDP, 1, 53, 0, FRAMES_BROADCAST, 6};
	struct rig rig;

	rig_init(&rig, "default-deny\nallow out:tcp:443", NULL);
	g_assert_true(changed_arrives(&rig, &web, true, 20, 0x2000)); /* the first has the ports */
	g_assert_false(changed_arrives(&rig, &web, true, 20, 0x0010));
	g_assert_false(changed_arrives(&rig, &web, true, 20, 0x0001)); /* into the headers */
	rig_fini(&rig);
	rig_init(&rig, "deny out:udp:53", NULL);
	g_assert_false(changed_arrives(&rig, &big, true, 20, 0x0010));
	g_assert_true(changed_arrives(&rig, &web, true, 20, 0x0010));
	rig_fini(&rig);
	rig_init(&rig, "default-deny\nallow out:udp", NULL);
	g_assert_true(changed_arrives(&rig, &big, true, 20, 0x0010));
	rig_fini(&rig);
}

static void test_malformed(void)
{
	struct frames_packet web = OUT4(PACKET_TCP, 443);
	struct rig rig;

	rig_init(&rig, "allow out\ndefault-allow", NULL);
	g_assert_false(changed_arrives(&rig, &web, true, 16, 47));	    /* total length */
	g_assert_false(changed_arrives(&rig, &web, true, 14, 0x4f00));	    /* header's length */
	g_assert_false(changed_arrives(&rig, &web, true, 46, 0xf002));	    /* TCP's */
	g_assert_cmpuint(firewall_count(rig.firewall, FIREWALL_MALFORMED), ==, 3);
	rig_fini(&rig);
}

/* What is no IP, and what is hidden in a VLAN. */
static void test_others(void)
{
	uint8_t frame[100] = {[12] = 0x88, [13] = 0xcc};
	struct frames_packet web = OUT4(PACKET_TCP, 443);
	struct rig rig;
	size_t len;

	rig_init(&rig, "default-deny\nallow any", NULL);
	g_assert_false(arrives(&rig.guest, &rig.peer, frame, 60));
	frames_send_arp(&rig.guest, 1, rig.guest.mac, GUEST, PEER);
	net_run(rig.guest.port);
	g_assert_cmpuint(rig.peer.frames->len, ==, 1);
	len = frames_make(&rig.guest, &web, frame);
	memmove(frame + 16, frame + 12, len - 12);
	be16_store(frame + 12, 0x8100);
	g_assert_false(arrives(&rig.guest, &rig.peer, frame, len + 4));
	rig_fini(&rig);
}

/* RFC 2131: its fixed part, and the type. */
static size_t make_ack(const uint8_t *mac, const char *address, uint8_t *out)
{
	memset(out, 0, 300);
	out[0] = 2;
	inet_pton(AF_INET, address, out + 16);
	memcpy(out + 28, mac, 6);
	memcpy(out + 236, "\x63\x82\x53\x63\x35\1\5\xff", 8);
	return 300;
}

static const struct frames_packet discover = {"0.0.0.0", "255.255.255.255", PACKET_UDP, 68, 67, 0, "x", 1};

static void test_dhcp_passes(void)
{
	struct frames_packet offer = {PEER, "255.255.255.255", PACKET_UDP, 67, 68, 0, "x", 1},
			     way_out = {GUEST, "198.51.100.9", PACKET_UDP, 68, 67, 0, "x", 1},
			     rogue = {GUEST, "255.255.255.255", PACKET_UDP, 67, 68, 0, "x", 1};
	struct rig rig;

	rig_init(&rig, "default-deny", NULL);
	g_assert_true(leaves(&rig, &discover));
	g_assert_true(enters(&rig, &offer));
	g_assert_false(leaves(&rig, &way_out));
	g_assert_false(leaves(&rig, &rogue));
	rig_fini(&rig);
}

/* Its address is the one that DHCP gave. */
static void test_spoof4(void)
{
	uint8_t message[300];
	struct frames_packet web = OUT4(PACKET_TCP, 443), spoofed = {"192.0.2.16", PEER, PACKET_TCP, 1, 443, SYN},
			     ack = {PEER, GUEST, PACKET_UDP, 67, 68, 0, message, 300},
			     server = {GUEST, "192.0.2.9", PACKET_UDP, 67, 68, 0, message, 300};
	uint8_t own[6];
	struct rig rig;

	rig_init(&rig, "no-spoof", NULL);
	memcpy(own, rig.guest.mac, 6);
	g_assert_true(leaves(&rig, &discover));
	g_assert_false(leaves(&rig, &web));
	make_ack(rig.peer.mac, GUEST, message);
	g_assert_true(enters(&rig, &ack)); /* another's lease */
	g_assert_false(leaves(&rig, &web));
	make_ack(own, GUEST, message);
	g_assert_true(enters(&rig, &ack));
	g_assert_true(leaves(&rig, &web));
	g_assert_false(leaves(&rig, &spoofed));
	g_assert_false(leaves(&rig, &server));
	rig.guest.mac[5] ^= 1;
	g_assert_false(leaves(&rig, &web));
	rig.guest.mac[5] ^= 1;
	/* The next lease takes the last one's place. */
	make_ack(own, "192.0.2.16", message);
	g_assert_true(enters(&rig, &ack));
	g_assert_false(leaves(&rig, &web));
	g_assert_true(leaves(&rig, &spoofed));
	rig_fini(&rig);
}

static void test_spoof_given(void)
{
	struct frames_packet web = OUT4(PACKET_TCP, 443), ack = {PEER, GUEST, PACKET_UDP, 67, 68}, spoofed = web;
	uint8_t message[300];
	struct rig rig;

	rig_init(&rig, "no-spoof", GUEST);
	g_assert_true(leaves(&rig, &web));
	make_ack(rig.guest.mac, "192.0.2.99", message);
	ack.payload = message;
	ack.len = sizeof(message);
	g_assert_true(enters(&rig, &ack));
	spoofed.from = "192.0.2.99";
	g_assert_false(leaves(&rig, &spoofed));
	rig_fini(&rig);
}

static bool arp_leaves(struct rig *rig, const uint8_t *mac, const char *from)
{
	g_ptr_array_set_size(rig->peer.frames, 0);
	frames_send_arp(&rig->guest, 2, mac, from, PEER);
	net_run(rig->guest.port);
	return rig->peer.frames->len == 1;
}

static void test_spoof_arp(void)
{
	struct rig rig;

	rig_init(&rig, "no-spoof", GUEST);
	g_assert_true(arp_leaves(&rig, rig.guest.mac, GUEST));
	g_assert_true(arp_leaves(&rig, rig.guest.mac, "0.0.0.0"));
	g_assert_false(arp_leaves(&rig, rig.guest.mac, PEER));
	g_assert_false(arp_leaves(&rig, rig.peer.mac, GUEST));
	g_assert_cmpuint(firewall_count(rig.firewall, FIREWALL_SPOOFED), ==, 2);
	rig_fini(&rig);
}

/* Neighbour discovery: type, target, and an option with a link-layer address. */
static bool nd_passes(struct rig *rig, bool out, unsigned type, const char *from, const char *target,
		      const uint8_t *mac)
{
	uint8_t body[24] = {[16] = type == 135 ? 1 : 2, [17] = 1};
	struct frames_packet packet = {from, "ff02::1", PACKET_ICMPV6, type, 0, 0, body, mac ? 24 : 16};

	inet_pton(AF_INET6, target, body);
	if (mac)
		memcpy(body + 18, mac, 6);
	return (out ? leaves : enters)(rig, &packet);
}

/* Addresses are those that it claimed and nobody else has (RFC 6620). */
static void test_spoof6(void)
{
	struct frames_packet web = OUT6(PACKET_TCP, 443), spoofed = {PEER6, GUEST6, PACKET_TCP, 1, 443, SYN},
			     advert = {"fe80::15", "ff02::1", PACKET_ICMPV6, 134, 0, 0, "01234567", 8};
	uint8_t *mac;
	struct rig rig;

	rig_init(&rig, "no-spoof", NULL);
	mac = rig.guest.mac;
	g_assert_false(leaves(&rig, &web));
	g_assert_true(nd_passes(&rig, true, 135, "::", GUEST6, NULL));
	g_assert_false(leaves(&rig, &web)); /* the owner may still answer */
	now_us += SECONDS;
	g_assert_true(leaves(&rig, &web));
	g_assert_true(nd_passes(&rig, true, 136, GUEST6, GUEST6, mac));
	g_assert_true(nd_passes(&rig, true, 135, GUEST6, PEER6, mac));
	g_assert_false(nd_passes(&rig, true, 136, GUEST6, PEER6, mac));
	g_assert_false(nd_passes(&rig, true, 136, GUEST6, GUEST6, rig.peer.mac));
	g_assert_false(nd_passes(&rig, true, 135, GUEST6, PEER6, rig.peer.mac));
	g_assert_false(leaves(&rig, &advert));
	/* Another has this one. */
	g_assert_true(nd_passes(&rig, true, 135, "::", PEER6, NULL));
	g_assert_true(nd_passes(&rig, false, 136, PEER6, PEER6, rig.peer.mac));
	now_us += SECONDS;
	g_assert_false(leaves(&rig, &spoofed));
	rig_fini(&rig);
}

static void test_discovery_passes(void)
{
	struct rig rig;

	rig_init(&rig, "default-deny", NULL);
	g_assert_true(nd_passes(&rig, true, 135, GUEST6, PEER6, rig.guest.mac));
	g_assert_true(nd_passes(&rig, false, 136, PEER6, PEER6, rig.peer.mac));
	rig_fini(&rig);
}

/* A source route leads somewhere else than the rules saw. */
static void test_source_routes(void)
{
	uint8_t frame[100] = {}, options[] = {0x83, 3, 4, 0};
	struct frames_packet web = OUT4(PACKET_TCP, 443);
	struct rig rig;
	size_t len;

	rig_init(&rig, "default-deny\nallow out", NULL);
	len = frames_make(&rig.guest, &web, frame);
	memmove(frame + 38, frame + 34, len - 34);
	memcpy(frame + 34, options, 4);
	frame[14] = 0x46;
	be16_store(frame + 16, be16_load(frame + 16) + 4);
	g_assert_false(arrives(&rig.guest, &rig.peer, frame, len + 4));
	frame[34] = 1; /* no operation */
	frame[35] = 1;
	frame[36] = 1;
	g_assert_true(arrives(&rig.guest, &rig.peer, frame, len + 4));
	rig_fini(&rig);
}

static void test_syntax(void)
{
	static const char *const wrong[][2] = {
		{"allow", "''"},		{"permit out", "'permit'"},	{"allow up", "'up'"},
		{"allow out:sctp", "'sctp'"},	{"allow out:tcp:0", "'0'"},	{"allow out:tcp:65536", "'65536'"},
		{"allow out:tcp:9-8", "'9-8'"}, {"allow out:tcp:a", "'a'"},	{"allow out:icmp:1", "'1'"},
		{"allow out:tcp::", "''"},	{"allow out:tcp:1:", "''"},	{"allow out:tcp:1:1.2.3", "'1.2.3'"},
		{"allow out:tcp:1:10.0.0.1/8", "'10.0.0.1/8'"},			{"allow out:tcp:1:::/129", "/129"},
		{"allow out:tcp:1:10.0.0.0/33", "/33"},				{"default-deny\ndefault-allow", "line 2"},
		{"# x\n\ndeny out:tcp:80:1.2.3.4/x", "line 3"},			{"d\xc3\xa9ny out", "ASCII"},
	};
	struct firewall_rules *rules;

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autoptr(GError) error = NULL;

		rules = firewall_rules_new();
		g_test_message("%s", wrong[i][0]);
		g_assert_false(firewall_rules_add_text(rules, wrong[i][0], &error));
		g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
		g_assert_nonnull(strstr(error->message, wrong[i][1]));
		firewall_rules_unref(rules);
	}
	rules = firewall_rules_new();
	g_assert_true(firewall_rules_check(rules, NULL));
	g_assert_true(firewall_rules_add(rules, " allow\tout:tcp:any:::1/128 # loop", NULL));
	g_assert_false(firewall_rules_check(rules, NULL));
	g_assert_true(firewall_rules_add(rules, "default-deny", NULL));
	g_assert_true(firewall_rules_check(rules, NULL));
	while (rules && firewall_rules_add(rules, "deny in", NULL))
		;
	firewall_rules_unref(rules);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/firewall/matrix", test_matrix);
	g_test_add_func("/firewall/default-allow", test_default_allow);
	g_test_add_func("/firewall/state", test_state);
	g_test_add_func("/firewall/closed", test_closed);
	g_test_add_func("/firewall/icmp-errors", test_icmp_errors);
	g_test_add_func("/firewall/bounded", test_bounded);
	g_test_add_func("/firewall/replaced", test_replaced);
	g_test_add_func("/firewall/fragments", test_fragments);
	g_test_add_func("/firewall/malformed", test_malformed);
	g_test_add_func("/firewall/others", test_others);
	g_test_add_func("/firewall/dhcp", test_dhcp_passes);
	g_test_add_func("/firewall/spoof4", test_spoof4);
	g_test_add_func("/firewall/spoof-given", test_spoof_given);
	g_test_add_func("/firewall/spoof-arp", test_spoof_arp);
	g_test_add_func("/firewall/spoof6", test_spoof6);
	g_test_add_func("/firewall/discovery", test_discovery_passes);
	g_test_add_func("/firewall/source-routes", test_source_routes);
	g_test_add_func("/firewall/syntax", test_syntax);
	return g_test_run();
}
