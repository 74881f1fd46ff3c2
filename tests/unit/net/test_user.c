/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of a few packets, and sockets of the host's loopback. */
#include "net/user.h"

#include <unistd.h>

#include "base/error.h"
#include "frames.h"

struct rig {
	GMainContext *context;
	struct user_net *net;
	struct frames_end guest;
	int host_fd; /* UDP, on loopback */
	unsigned host_port;
};

static void rig_init(struct rig *rig, const struct user_config *config)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(address);

	rig->context = g_main_context_new();
	rig->net = user_net_new(rig->context, config);
	frames_init(&rig->guest, rig->context, 0x56);
	net_join(rig->guest.port, user_net_port(rig->net));
	rig->host_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	g_assert_cmpint(bind(rig->host_fd, (struct sockaddr *)&address, len), ==, 0);
	g_assert_cmpint(getsockname(rig->host_fd, (struct sockaddr *)&address, &len), ==, 0);
	rig->host_port = ntohs(address.sin_port);
}

static void rig_fini(struct rig *rig)
{
	close(rig->host_fd);
	frames_fini(&rig->guest);
	user_net_free(rig->net);
	g_main_context_unref(rig->context);
}

static void run_pending(struct rig *rig)
{
	while (g_main_context_iteration(rig->context, FALSE))
		;
}

/* RFC 2131. */
static void send_dhcp(struct rig *rig, uint8_t type)
{
	uint8_t message[300] = {1, 1, 6, 0, 1, 2, 3, 4};
	struct frames_packet packet = {"0.0.0.0", "255.255.255.255", PACKET_UDP,     68, 67,
				       0,	  message,	     sizeof(message)};
	uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, type, 50, 4, 10, 1, 2, 15, 255};

	memcpy(message + 28, rig->guest.mac, 6);
	memcpy(message + 236, options, sizeof(options));
	frames_send(&rig->guest, &packet);
}

static const uint8_t *find_option(const uint8_t *message, size_t len, uint8_t option)
{
	for (size_t at = 240; at + 1 < len && message[at] != 255; at += message[at] ? 2 + message[at + 1] : 1)
		if (message[at] == option)
			return message + at + 2;
	return NULL;
}

static void test_dhcp(void)
{
	const char *const search[] = {"example.org", NULL};
	struct user_config config;
	const uint8_t *answer;
	struct rig rig;
	size_t len = 0;

	user_config_init(&config);
	inet_aton("10.1.2.0", &config.network);
	config.hostname = "wanderer";
	config.search = search;
	config.bootfile = "ipxe.efi";
	rig_init(&rig, &config);
	send_dhcp(&rig, 1);
	while (!rig.guest.frames->len)
		g_main_context_iteration(rig.context, TRUE);
	answer = frames_find_udp(&rig.guest, 67, &len);
	g_assert_nonnull(answer);
	g_assert_cmpmem(answer + 16, 4, "\x0a\1\2\x0f", 4);
	g_assert_cmpint(find_option(answer, len, 53)[0], ==, 2);
	g_assert_cmpmem(find_option(answer, len, 3), 4, "\x0a\1\2\2", 4);
	g_assert_cmpmem(find_option(answer, len, 6), 4, "\x0a\1\2\3", 4);
	g_assert_cmpmem(find_option(answer, len, 12), 8, "wanderer", 8);
	g_assert_cmpmem(find_option(answer, len, 119), 13, "\7example\3org\0", 13);
	g_assert_cmpstr((const char *)answer + 108, ==, "ipxe.efi");
	rig_fini(&rig);
}

static void meet_gateway(struct rig *rig)
{
	frames_send_arp(&rig->guest, 1, rig->guest.mac, "10.0.2.15", "10.0.2.2");
	while (!rig->guest.frames->len)
		g_main_context_iteration(rig->context, TRUE);
	memcpy(rig->guest.peer, frames_get(&rig->guest, 0) + 6, 6);
	g_ptr_array_set_size(rig->guest.frames, 0);
}

/* To the host's loopback by the gateway's address, and back. */
static void test_udp(void)
{
	struct frames_packet packet = {"10.0.2.15", "10.0.2.2", PACKET_UDP, 4000, 0, 0, "hello", 5};
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	struct user_config config;
	const uint8_t *answer;
	char text[100];
	struct rig rig;
	size_t len = 0;

	user_config_init(&config);
	rig_init(&rig, &config);
	meet_gateway(&rig);
	packet.to_port = rig.host_port;
	frames_send(&rig.guest, &packet);
	run_pending(&rig);
	g_assert_cmpint(
		recvfrom(rig.host_fd, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len),
		==, 5);
	g_assert_cmpint(sendto(rig.host_fd, "welcome", 7, 0, (struct sockaddr *)&from, from_len), ==, 7);
	while (!rig.guest.frames->len)
		g_main_context_iteration(rig.context, TRUE);
	answer = frames_find_udp(&rig.guest, rig.host_port, &len);
	g_assert_cmpmem(answer, len, "welcome", 7);
	rig_fini(&rig);
}

/* Nothing leaves a restricted network, nor reaches the host where it is hidden. */
static void test_restricted(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct frames_packet packet = {"10.0.2.15", "10.0.2.2", PACKET_UDP, 4000, 0, 0, "hello", 5};
		struct user_config config;
		struct rig rig;
		char text[100];

		user_config_init(&config);
		config.restricted = i == 0;
		config.no_host = i == 1;
		rig_init(&rig, &config);
		meet_gateway(&rig);
		packet.to_port = rig.host_port;
		frames_send(&rig.guest, &packet);
		run_pending(&rig);
		g_assert_cmpint(recv(rig.host_fd, text, sizeof(text), MSG_DONTWAIT), ==, -1);
		rig_fini(&rig);
	}
}

static void test_forward(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct user_forward forward, again;
	g_autoptr(GError) error = NULL;
	struct user_config config;
	const uint8_t *got = NULL;
	struct rig rig;
	size_t len = 0;

	user_config_init(&config);
	config.restricted = true;
	rig_init(&rig, &config);
	meet_gateway(&rig);
	g_assert_true(user_forward_parse(&forward, "0:53/udp", &error));
	g_assert_true(user_net_forward(rig.net, &forward, &error));
	g_assert_cmpuint(forward.host_port, !=, 0);
	to.sin_addr = forward.host;
	to.sin_port = htons(forward.host_port);
	g_assert_cmpint(sendto(rig.host_fd, "knock", 5, 0, (struct sockaddr *)&to, sizeof(to)), ==, 5);
	while (!got) {
		g_main_context_iteration(rig.context, TRUE);
		/* It asks who has the guest's address. */
		if (rig.guest.frames->len && frames_get(&rig.guest, 0)[13] == 6) {
			frames_send_arp(&rig.guest, 2, rig.guest.mac, "10.0.2.15", "10.0.2.2");
			g_ptr_array_set_size(rig.guest.frames, 0);
		}
		got = frames_find_udp(&rig.guest, rig.host_port, &len);
	}
	g_assert_cmpmem(got, len, "knock", 5);
	again = forward;
	g_assert_false(user_net_forward(rig.net, &again, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_HOST);
	g_assert_nonnull(strstr(error->message, "in use"));
	rig_fini(&rig);
}

static void test_parse_forward(void)
{
	static const char *const wrong[] = {"",	      "80",	   ":",		 "80:",	 "80:0",
					    "1:2:3",  "70000:80",  "80:80/sctp", "a:80", "127.0.0.1:80:80:80",
					    "80:80/", "::1:80:80", "-1:80"};
	struct user_forward forward;

	g_assert_true(user_forward_parse(&forward, "127.0.0.2:8080:80", NULL));
	g_assert_cmphex(ntohl(forward.host.s_addr), ==, 0x7f000002);
	g_assert_true(forward.host_port == 8080 && forward.guest_port == 80 && !forward.udp);
	g_assert_true(user_forward_parse(&forward, "0:22/tcp", NULL));
	g_assert_cmphex(ntohl(forward.host.s_addr), ==, INADDR_LOOPBACK);
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
		g_assert_false(user_forward_parse(&forward, wrong[i], NULL));
}

/* Packets that were good before a few of their bytes were others. */
static void test_hostile(void)
{
	static const char *const addresses[][2] = {{"10.0.2.15", "10.0.2.2"},
						   {"fec0::15", "fec0::2"},
						   {"10.0.2.15", "10.0.2.3"},
						   {"10.0.2.15", "255.255.255.255"}};
	static const uint8_t protocols[] = {PACKET_TCP, PACKET_UDP, PACKET_ICMP, PACKET_ICMPV6, 44, 50};
	g_autoptr(GRand) random = g_rand_new_with_seed(1);
	static const unsigned ports[] = {9, 53, 67, 69};
	uint8_t frame[2048], payload[600] = {};
	struct user_config config;
	struct rig rig;

	user_config_init(&config);
	config.restricted = true; /* so that none reaches a network that is not the test's */
	config.tftp = "/nowhere";
	rig_init(&rig, &config);
	meet_gateway(&rig);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned pair = g_rand_int_range(random, 0, 4);
		struct frames_packet packet = {addresses[pair][0],
					       addresses[pair][1],
					       protocols[g_rand_int_range(random, 0, 6)],
					       1000,
					       ports[g_rand_int_range(random, 0, 4)],
					       g_rand_int(random),
					       payload,
					       g_rand_int_range(random, 0, 600)};
		size_t len = frames_make(&rig.guest, &packet, frame);

		for (int n = g_rand_int_range(random, 0, 4); n > 0; n--)
			frame[g_rand_int_range(random, 12, MIN(len, 100))] = g_rand_int(random);
		net_send(rig.guest.port, frame, len);
		run_pending(&rig);
		g_ptr_array_set_size(rig.guest.frames, 0);
	}
	rig_fini(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/user/dhcp", test_dhcp);
	g_test_add_func("/user/udp", test_udp);
	g_test_add_func("/user/restricted", test_restricted);
	g_test_add_func("/user/forward", test_forward);
	g_test_add_func("/user/parse-forward", test_parse_forward);
	g_test_add_func("/user/hostile", test_hostile);
	return g_test_run();
}
