/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/net.h"

#include <string.h>

/* One end, and who listens there. */
struct end {
	struct net_port *port;
	GByteArray *first; /* bytes of each frame: the 15th, which numbers it */
	size_t last_len;
	unsigned room; /* frames it takes before it refuses */
	unsigned echo; /* so many it sends back */
	unsigned changes;
	bool up;
};

static bool on_receive(void *opaque, const uint8_t *frame, size_t len)
{
	struct end *end = opaque;

	if (!end->room)
		return false;
	end->room--;
	end->last_len = len;
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

	*end = (struct end){
		.port = net_port_new(context), .first = g_byte_array_new(), .room = UINT_MAX};
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

static bool padding_is_zero(void *opaque, const uint8_t *frame, size_t len)
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
	g_test_add_func("/net/no-cable", test_no_cable);
	return g_test_run();
}
