/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/net.h"

#include <string.h>

#include "base/be.h"
#include "net/frame.h"

/* One end, and who listens there. */
struct end {
	struct net_port *port;
	GByteArray *first; /* bytes of each frame: the 15th, which numbers it */
	size_t last_len;
	struct net_offload last_offload;
	bool sums_hold; /* of IPv4 and TCP, in all that arrived */
	unsigned room;	/* frames it takes before it refuses */
	unsigned echo;	/* so many it sends back */
	unsigned changes;
	bool up;
};

/* Ethernet, IPv4 and TCP without options: 54 bytes. */
static bool ipv4_tcp_sums_hold(const uint8_t *frame, size_t len)
{
	unsigned total = be16_load(frame + 16);
	uint8_t pseudo[] = {0, 6, (total - 20) >> 8, total - 20};

	return len >= 54 && total + 14 <= len && frame_sum(frame + 14, 20, 0) == 0xffff &&
	       frame_sum(frame + 34, total - 20, frame_sum(pseudo, 4, frame_sum(frame + 26, 8, 0))) == 0xffff;
}

static bool on_receive(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	struct end *end = opaque;

	if (!end->room)
		return false;
	end->room--;
	end->last_len = len;
	end->last_offload = *offload;
	end->sums_hold &= ipv4_tcp_sums_hold(frame, len);
	g_byte_array_append(end->first, frame + 14, 1);
	if (end->echo) {
		end->echo--;
		net_send(end->port, frame, len);
	}
	return true;
}

static void on_link(void *opaque, bool up)
{
	struct end *end = opaque;

	end->changes++;
	end->up = up;
}

static void end_init(struct end *end, GMainContext *context)
{
	struct net_receiver receiver = {on_receive, on_link, end};

	*end = (struct end){.port = net_port_new(context),
			    .first = g_byte_array_new(),
			    .room = UINT_MAX,
			    .sums_hold = true};
	net_set_receiver(end->port, &receiver);
}

static void end_fini(struct end *end)
{
	net_port_free(end->port);
	g_byte_array_unref(end->first);
}

static void send(struct end *end, uint8_t number, size_t len)
{
	uint8_t frame[NET_FRAME_MAX + 1];

	memset(frame, 0xee, sizeof(frame));
	frame[14] = number;
	net_send(end->port, frame, len);
}

static void assert_got(struct end *end, const void *numbers, size_t n)
{
	g_assert_cmpmem(end->first->data, end->first->len, numbers, n);
	g_byte_array_set_size(end->first, 0);
}

static void test_both_ways(void)
{
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_join(a.port, b.port);
	send(&a, 1, 100);
	send(&a, 2, NET_FRAME_MAX);
	send(&b, 3, 20);
	assert_got(&b, "", 0);
	net_run(b.port);
	assert_got(&b, "\1\2", 2);
	g_assert_cmpuint(b.last_len, ==, NET_FRAME_MAX);
	assert_got(&a, "\3", 1);
	g_assert_cmpuint(a.last_len, ==, NET_FRAME_MIN);
	send(&a, 4, 13);
	send(&a, 5, NET_FRAME_MAX + 1);
	net_run(a.port);
	assert_got(&b, "", 0);
	g_assert_cmpuint(net_dropped(a.port), ==, 2);
	end_fini(&a);
	end_fini(&b);
}

static bool padding_is_zero(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	for (size_t i = 20; i < len; i++)
		g_assert_cmphex(frame[i], ==, 0);
	return true;
}

/* What lies behind a short frame is nobody's business. */
static void test_padding(void)
{
	struct net_receiver receiver = {.receive = padding_is_zero};
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_set_receiver(b.port, &receiver);
	net_join(a.port, b.port);
	/* The allocator has bytes of another frame at hand. */
	send(&a, 1, 60);
	net_unjoin(a.port);
	net_join(a.port, b.port);
	send(&a, 1, 20);
	net_run(a.port);
	end_fini(&a);
	end_fini(&b);
}

static void test_link(void)
{
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	g_assert_false(net_link(a.port));
	send(&a, 1, 60);
	g_assert_cmpuint(net_dropped(a.port), ==, 1);
	net_join(a.port, b.port);
	g_assert_true(a.up && b.up && net_link(a.port) && net_link(b.port));
	send(&a, 2, 60);
	net_set_enabled(b.port, false);
	g_assert_true(!a.up && !b.up && !net_link(a.port) && !net_link(b.port));
	/* What was under way is lost. */
	g_assert_cmpuint(net_dropped(a.port), ==, 2);
	net_set_enabled(a.port, false);
	net_set_enabled(b.port, true);
	g_assert_false(a.up);
	net_set_enabled(a.port, true);
	g_assert_true(a.up && b.up);
	net_run(a.port);
	assert_got(&b, "", 0);
	end_fini(&a);
	g_assert_false(b.up);
	send(&b, 3, 60);
	g_assert_cmpuint(net_dropped(b.port), ==, 1);
	end_fini(&b);
}

/* A receiver without room loses nothing until the cable is full; then the newest. */
static void test_no_room(void)
{
	struct end a, b;
	uint8_t expected[NET_QUEUE_LEN];

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_join(a.port, b.port);
	b.room = 3;
	for (unsigned i = 0; i < NET_QUEUE_LEN; i++) {
		send(&a, i, 60);
		expected[i] = i;
	}
	send(&a, 77, 60);
	g_assert_cmpuint(net_dropped(a.port), ==, 1);
	net_run(a.port);
	assert_got(&b, expected, 3);
	b.room = UINT_MAX;
	send(&a, 0, 60);
	net_run(b.port);
	g_assert_cmpuint(b.first->len, ==, NET_QUEUE_LEN - 2);
	g_assert_cmpmem(b.first->data, NET_QUEUE_LEN - 3, expected + 3, NET_QUEUE_LEN - 3);
	end_fini(&a);
	end_fini(&b);
}

/* Two that answer each other for ever let the loop go on. */
static void test_echo(void)
{
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_join(a.port, b.port);
	a.echo = b.echo = UINT_MAX;
	send(&a, 1, 60);
	net_run(a.port);
	assert_got(&b, "\1", 1);
	assert_got(&a, "\1", 1);
	net_run(a.port);
	assert_got(&b, "\1", 1);
	assert_got(&a, "\1", 1);
	end_fini(&a);
	end_fini(&b);
}

static gpointer send_many(gpointer data)
{
	for (unsigned i = 0; i < 100; i++)
		send(data, i, 60);
	return NULL;
}

/* Frames from another thread wake the loop, and so does room. */
static void test_loop(void)
{
	GMainContext *context = g_main_context_new();
	struct end a, b;
	GThread *thread;

	end_init(&a, context);
	end_init(&b, context);
	net_join(a.port, b.port);
	b.room = 40;
	thread = g_thread_new("guest", send_many, &a);
	while (b.room)
		g_main_context_iteration(context, TRUE);
	g_thread_join(thread);
	while (g_main_context_iteration(context, FALSE))
		;
	g_assert_cmpuint(b.first->len, ==, 40);
	b.room = UINT_MAX;
	net_receive_more(b.port);
	while (b.first->len < 100)
		g_main_context_iteration(context, TRUE);
	for (unsigned i = 0; i < 100; i++)
		g_assert_cmpuint(b.first->data[i], ==, i);
	end_fini(&a);
	end_fini(&b);
	g_main_context_unref(context);
}

/* A TCP segment of `payload` bytes whose sums are left to others. */
static void send_tcp(struct end *end, size_t payload, const struct net_offload *offload)
{
	uint8_t headers[54] = {[12] = 8, [14] = 0x45, [22] = 64, [23] = 6, [26] = 10, [30] = 10, [46] = 0x50};
	g_autofree uint8_t *data = g_malloc(payload + 1);
	struct iovec iov[] = {{headers, 20}, {headers + 20, 34}, {NULL, 0}, {data, payload}};
	uint8_t pseudo[] = {0, 6, (payload + 20) >> 8, payload + 20};

	for (size_t i = 0; i < payload; i++)
		data[i] = i * 7;
	be16_store(headers + 16, 40 + payload);
	be16_store(headers + 24, ~frame_sum(headers + 14, 20, 0));
	be16_store(headers + 50, frame_sum(pseudo, 4, frame_sum(headers + 26, 8, 0)));
	net_send_offload(end->port, iov, G_N_ELEMENTS(iov), offload);
}

static const struct net_offload tso = {
	.flags = NET_NEEDS_CSUM, .gso = NET_GSO_TCPV4, .gso_size = 1000, .csum_start = 34, .csum_offset = 16};
static const struct net_offload csum = {.flags = NET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};

/* The cable does what the receiver does not, and nothing else. */
static void test_offload(void)
{
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_join(a.port, b.port);
	send_tcp(&a, 500, &csum);
	send_tcp(&a, 60000, &tso);
	net_run(a.port);
	g_assert_cmpuint(b.first->len, ==, 61);
	g_assert_cmpuint(b.last_len, ==, 1054);
	g_assert_cmpuint(b.last_offload.flags, ==, 0);
	g_assert_true(b.sums_hold);
	net_set_offloads(b.port, NET_CAN_CSUM);
	send_tcp(&a, 500, &csum);
	net_run(a.port);
	g_assert_cmpuint(b.last_offload.csum_start, ==, 34);
	g_assert_false(b.sums_hold);
	b.sums_hold = true;
	send_tcp(&a, 2000, &tso);
	net_run(a.port);
	g_assert_cmpuint(b.last_offload.flags, ==, NET_DATA_VALID);
	g_assert_true(b.sums_hold);
	net_set_offloads(b.port, NET_CAN_CSUM | NET_CAN_TSO4);
	send_tcp(&a, 60000, &tso);
	net_run(a.port);
	g_assert_cmpuint(b.first->len, ==, 61 + 1 + 2 + 1);
	g_assert_cmpuint(b.last_len, ==, 60054);
	g_assert_cmpmem(&b.last_offload, sizeof(tso), &tso, sizeof(tso));
	end_fini(&a);
	end_fini(&b);
}

/* A receiver that fills up between segments gets the others later, each once, cut to the end. */
static void test_cut_waits(void)
{
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_join(a.port, b.port);
	b.room = 3;
	send_tcp(&a, 4500, &tso);
	net_run(a.port);
	g_assert_cmpuint(b.first->len, ==, 3);
	b.room = UINT_MAX;
	net_set_offloads(b.port, NET_CAN_CSUM | NET_CAN_TSO4);
	net_run(a.port);
	g_assert_cmpuint(b.first->len, ==, 5);
	g_assert_cmpuint(b.last_len, ==, 554);
	g_assert_true(b.sums_hold);
	end_fini(&a);
	end_fini(&b);
}

/* A guest's lies. */
static void test_offload_refused(void)
{
	struct net_offload wrong[10];
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_set_offloads(b.port, NET_CAN_CSUM | NET_CAN_TSO4 | NET_CAN_TSO6 | NET_CAN_USO);
	net_join(a.port, b.port);
	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++)
		wrong[i] = tso;
	wrong[0].gso_size = 0;
	wrong[1].gso_size = 1;
	wrong[2].flags = 0;
	wrong[3].gso = NET_GSO_TCPV6;
	wrong[4].gso = NET_GSO_UDP_L4;
	wrong[5].gso = 0x81;
	wrong[6].csum_start = 33;
	wrong[7].csum_offset = 15;
	wrong[8] = (struct net_offload){
		.flags = NET_NEEDS_CSUM, .csum_start = UINT16_MAX, .csum_offset = UINT16_MAX};
	wrong[9].gso_size = UINT16_MAX;
	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++)
		send_tcp(&a, 5000, &wrong[i]);
	send_tcp(&a, 0, &tso);
	send_tcp(&a, 17000, &csum);
	send_tcp(&a, 70000, &tso);
	net_run(a.port);
	g_assert_cmpuint(b.first->len, ==, 0);
	g_assert_cmpuint(net_dropped(a.port), ==, G_N_ELEMENTS(wrong) + 3);
	end_fini(&a);
	end_fini(&b);
}

static void test_bytes_bound(void)
{
	unsigned fit = NET_QUEUE_BYTES / 60054;
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	net_join(a.port, b.port);
	for (unsigned i = 0; i < fit + 10; i++)
		send_tcp(&a, 60000, &tso);
	g_assert_cmpuint(net_dropped(a.port), ==, 10);
	net_run(a.port);
	g_assert_cmpuint(b.first->len, ==, fit * 60);
	send_tcp(&a, 60000, &tso);
	g_assert_cmpuint(net_dropped(a.port), ==, 10);
	end_fini(&a);
	end_fini(&b);
}

struct filter_log {
	char text[64]; /* a letter for each look: upper case on the way out */
	enum net_verdict verdict;
};

struct lettered {
	struct filter_log *log;
	char letter;
};

static enum net_verdict on_look(void *opaque, enum net_direction direction, const uint8_t *frame, size_t len,
				const struct net_offload *offload)
{
	struct lettered *filter = opaque;
	char look[] = {filter->letter, 0};

	if (direction == NET_OUT)
		look[0] = g_ascii_toupper(look[0]);
	g_strlcat(filter->log->text, look, sizeof(filter->log->text));
	return filter->letter == 'b' ? filter->log->verdict : NET_PASS;
}

/* Filters stand between their port and the cable, in order; one that waits is asked again, those before it not. */
static void test_filters(void)
{
	struct filter_log log = {};
	struct lettered lettered[] = {{&log, 'a'}, {&log, 'b'}, {&log, 'c'}};
	struct end a, b;

	end_init(&a, NULL);
	end_init(&b, NULL);
	for (unsigned i = 0; i < 3; i++)
		net_add_filter(a.port, &(struct net_filter){on_look, &lettered[i]});
	net_join(a.port, b.port);
	send(&a, 1, 60);
	send(&b, 2, 60);
	net_run(a.port);
	g_assert_cmpstr(log.text, ==, "ABCcba");
	assert_got(&b, "\1", 1);
	assert_got(&a, "\2", 1);
	log = (struct filter_log){.verdict = NET_WAIT};
	send(&a, 3, 60);
	send(&a, 4, 60);
	net_run(a.port);
	g_assert_cmpstr(log.text, ==, "AB");
	log.verdict = NET_PASS;
	net_run(a.port);
	g_assert_cmpstr(log.text, ==, "ABBCABC");
	assert_got(&b, "\3\4", 2);
	log = (struct filter_log){.verdict = NET_DROP};
	send(&b, 5, 60);
	net_run(a.port);
	g_assert_cmpstr(log.text, ==, "cb");
	assert_got(&a, "", 0);
	g_assert_cmpuint(net_dropped(b.port), ==, 1);
	end_fini(&a);
	end_fini(&b);
}

static void on_room(void *opaque)
{
	++*(unsigned *)opaque;
}

/* A sender that waits is told once, when some of what is under way has arrived or is lost. */
static void test_room(void)
{
	unsigned told = 0, n = 0;
	struct net_receiver sender = {.room = on_room, .opaque = &told};
	struct net_port *port = net_port_new(NULL);
	uint8_t frame[1500] = {};
	struct end end;

	end_init(&end, NULL);
	net_set_receiver(port, &sender);
	net_join(port, end.port);
	end.room = 0;
	while (net_has_room(port) && n++ < NET_QUEUE_LEN)
		net_send(port, frame, sizeof(frame));
	g_assert_cmpuint(n, >, 100);
	g_assert_cmpuint(n, <, NET_QUEUE_LEN);
	net_run(port);
	end.room = 1;
	net_run(port);
	g_assert_cmpuint(told, ==, 0);
	end.room = UINT_MAX;
	net_run(port);
	g_assert_cmpuint(told, ==, 1);
	g_assert_true(net_has_room(port));
	for (unsigned i = 0; i < n; i++)
		net_send(port, frame, sizeof(frame));
	g_assert_false(net_has_room(port));
	net_set_enabled(port, false);
	g_assert_cmpuint(told, ==, 2);
	g_assert_true(net_has_room(port));
	g_assert_true(net_has_room(NULL));
	net_port_free(port);
	end_fini(&end);
}

static void test_no_cable(void)
{
	net_send(NULL, (const uint8_t *)"", 0);
	net_receive_more(NULL);
	net_set_receiver(NULL, NULL);
	net_port_free(NULL);
	g_assert_false(net_link(NULL));
	g_assert_cmpuint(net_dropped(NULL), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/net/both-ways", test_both_ways);
	g_test_add_func("/net/padding", test_padding);
	g_test_add_func("/net/link", test_link);
	g_test_add_func("/net/no-room", test_no_room);
	g_test_add_func("/net/echo", test_echo);
	g_test_add_func("/net/loop", test_loop);
	g_test_add_func("/net/offload", test_offload);
	g_test_add_func("/net/cut-waits", test_cut_waits);
	g_test_add_func("/net/offload-refused", test_offload_refused);
	g_test_add_func("/net/bytes-bound", test_bytes_bound);
	g_test_add_func("/net/filters", test_filters);
	g_test_add_func("/net/room", test_room);
	g_test_add_func("/net/no-cable", test_no_cable);
	return g_test_run();
}
