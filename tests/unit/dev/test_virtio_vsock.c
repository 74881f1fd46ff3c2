/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/socket.h>

#include "base/local_socket.h"
#include "virtio_driver.h"

enum { RX, TX, EVENT };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

#define RX_AT(i) (0x200000u + 0x2000 * ((i) % 16))
#define TX_AT	 0x300000u
#define ROOM	 (256 << 10)
#define ECHO	 1u /* the host's port */

struct guest {
	struct driver d;
	unsigned n_rx; /* buffers given so far */
	unsigned n_seen;
};

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, alloc, forwarded;
	char data[4096];
};

static void give_buffers(struct guest *g, unsigned n)
{
	struct driver *d = &g->d;

	use_queue(d, RX);
	while (n--) {
		unsigned i = g->n_rx++ % 16;

		/* Header and data apart, as some drivers have them. */
		set_desc(ram(d, d->base + DESC_AT), 2 * i, RX_AT(i), 44, DESC_WRITE | DESC_NEXT, 2 * i + 1);
		set_desc(ram(d, d->base + DESC_AT), 2 * i + 1, RX_AT(i) + 44, 4096, DESC_WRITE, 0);
		offer(d, 2 * i);
	}
	kick(d);
}

static void refill(struct guest *g)
{
	give_buffers(g, 16 - (g->n_rx - g->n_seen));
}

static void guest_start(struct guest *g)
{
	struct driver *d = &g->d;

	*g = (struct guest){0};
	driver_init(d, &virtio_vsock_class, 0, false);
	g_assert_true(negotiate(d, F_VERSION_1 | 1 | (packed_rings() ? F_PACKED : 0)));
	for (unsigned i = 0; i < 3; i++) {
		use_queue(d, i);
		set_up_queue(d, 32);
	}
	common_write(d, 0x14, 15, 1);
	g_assert_cmpuint(status(d), ==, 15);
}

static void send_header(struct guest *g, const struct packet *p, uint32_t len)
{
	struct driver *d = &g->d;
	uint8_t *at = ram(d, TX_AT);
	uint32_t written;

	le64_store(at, p->src_cid ? p->src_cid : 3);
	le64_store(at + 8, p->dst_cid ? p->dst_cid : 2);
	le32_store(at + 16, p->src_port);
	le32_store(at + 20, p->dst_port);
	le32_store(at + 24, p->len);
	le16_store(at + 28, p->type ? p->type : 1);
	le16_store(at + 30, p->op);
	le32_store(at + 32, p->flags);
	le32_store(at + 36, p->alloc ? p->alloc : ROOM);
	le32_store(at + 40, p->forwarded);
	use_queue(d, TX);
	set_desc(ram(d, d->base + DESC_AT), 0, TX_AT, len, 0, 0);
	offer(d, 0);
	kick(d);
	if (!(status(d) & 64))
		wait_used(d, &written);
}

static void send_op(struct guest *g, unsigned op, uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
	send_header(g, &(struct packet){.op = op, .src_port = guest_port, .dst_port = host_port, .flags = flags}, 44);
}

static void send_bytes(struct guest *g, uint32_t guest_port, uint32_t host_port, const void *bytes, uint32_t len)
{
	memcpy(ram(&g->d, TX_AT + 44), bytes, len);
	send_header(g, &(struct packet){.op = RW, .src_port = guest_port, .dst_port = host_port, .len = len}, 44 + len);
}

/* The next packet to the guest; false: there is none. */
static bool receive(struct guest *g, struct packet *p)
{
	struct driver *d = &g->d;
	const uint8_t *at = ram(d, RX_AT(g->n_seen));
	uint32_t len;

	rig_vsock_run(d->vsock, NULL);
	use_queue(d, RX);
	if (used_index(d) == d->used_idx)
		return false;
	g_assert_cmpuint(wait_used(d, &len), ==, 2 * (g->n_seen++ % 16));
	*p = (struct packet){
		.src_cid = le64_load(at),
		.dst_cid = le64_load(at + 8),
		.src_port = le32_load(at + 16),
		.dst_port = le32_load(at + 20),
		.len = le32_load(at + 24),
		.type = le16_load(at + 28),
		.op = le16_load(at + 30),
		.flags = le32_load(at + 32),
		.alloc = le32_load(at + 36),
		.forwarded = le32_load(at + 40),
	};
	g_assert_cmpuint(p->src_cid, ==, 2);
	g_assert_cmpuint(p->dst_cid, ==, 3);
	g_assert_cmpuint(p->type, ==, 1);
	g_assert_cmpuint(len, ==, 44 + p->len);
	memcpy(p->data, at + 44, p->len);
	return true;
}

static void expect(struct guest *g, unsigned op, uint32_t guest_port, uint32_t host_port, struct packet *p)
{
	g_assert_true(receive(g, p));
	g_assert_cmpuint(p->op, ==, op);
	g_assert_cmpuint(p->dst_port, ==, guest_port);
	g_assert_cmpuint(p->src_port, ==, host_port);
}

static void expect_nothing(struct guest *g)
{
	struct packet p;

	g_assert_false(receive(g, &p));
}

static void test_config(void)
{
	struct guest g;

	guest_start(&g);
	g_assert_cmphex(config_read(&g.d, 0, 4), ==, 0x10531af4);
	g_assert_cmpuint(bus_read(g.d.env.bus, BUS_MMIO, g.d.structure[4], 4), ==, 3);
	g_assert_cmpuint(bus_read(g.d.env.bus, BUS_MMIO, g.d.structure[4] + 4, 4), ==, 0);
	driver_fini(&g.d);
}

static void test_guest_connects(void)
{
	struct packet p;
	struct guest g;

	guest_start(&g);
	give_buffers(&g, 8);
	send_op(&g, REQUEST, 1000, ECHO, 0);
	expect(&g, RESPONSE, 1000, ECHO, &p);
	g_assert_cmpuint(p.alloc, ==, ROOM);
	send_bytes(&g, 1000, ECHO, "hello", 5);
	expect(&g, RW, 1000, ECHO, &p);
	g_assert_cmpmem(p.data, p.len, "hello", 5);
	g_assert_cmpuint(p.forwarded, ==, 5);
	send_op(&g, CREDIT_REQUEST, 1000, ECHO, 0);
	expect(&g, CREDIT_UPDATE, 1000, ECHO, &p);
	g_assert_cmpuint(p.forwarded, ==, 5);
	/* It sends no more: the echo's end comes back, and both are through. */
	send_op(&g, SHUTDOWN, 1000, ECHO, 2);
	expect(&g, SHUTDOWN, 1000, ECHO, &p);
	g_assert_cmpuint(p.flags, ==, 3);
	send_op(&g, RST, 1000, ECHO, 0);
	expect_nothing(&g);
	send_bytes(&g, 1000, ECHO, "hello", 5);
	expect(&g, RST, 1000, ECHO, &p);
	driver_fini(&g.d);
}

static void test_guest_closes(void)
{
	struct packet p;
	struct guest g;

	guest_start(&g);
	give_buffers(&g, 8);
	send_op(&g, REQUEST, 1000, ECHO, 0);
	expect(&g, RESPONSE, 1000, ECHO, &p);
	send_op(&g, SHUTDOWN, 1000, ECHO, 3);
	expect(&g, RST, 1000, ECHO, &p);
	expect_nothing(&g);
	/* Nobody listens there. */
	send_op(&g, REQUEST, 1000, 99, 0);
	expect(&g, RST, 1000, 99, &p);
	driver_fini(&g.d);
}

static void test_host_connects(void)
{
	struct packet p;
	struct guest g;
	char bytes[64];
	uint32_t port;
	int fd;

	guest_start(&g);
	give_buffers(&g, 8);
	fd = rig_vsock_call(g.d.vsock, 22);
	send(fd, "early", 5, 0); /* before it is through */
	g_assert_true(receive(&g, &p));
	g_assert_cmpuint(p.op, ==, REQUEST);
	g_assert_cmpuint(p.dst_port, ==, 22);
	port = p.src_port;
	expect_nothing(&g);
	send_op(&g, RESPONSE, 22, port, 0);
	g_snprintf(bytes, sizeof(bytes), "OK %u\n", port);
	{
		char line[64] = {0};

		g_assert_cmpint(recv(fd, line, sizeof(line) - 1, 0), ==, strlen(bytes));
		g_assert_cmpstr(line, ==, bytes);
	}
	expect(&g, RW, 22, port, &p);
	g_assert_cmpmem(p.data, p.len, "early", 5);
	send_bytes(&g, 22, port, "answer", 6);
	g_assert_cmpint(recv(fd, bytes, sizeof(bytes), 0), ==, 6);
	/* Half of it, then all. */
	shutdown(fd, SHUT_WR);
	expect(&g, SHUTDOWN, 22, port, &p);
	g_assert_cmpuint(p.flags, ==, 2);
	send_bytes(&g, 22, port, "more", 4);
	g_assert_cmpint(recv(fd, bytes, sizeof(bytes), 0), ==, 4);
	close(fd);
	expect(&g, SHUTDOWN, 22, port, &p);
	g_assert_cmpuint(p.flags, ==, 3);
	send_bytes(&g, 22, port, "late", 4);
	expect(&g, RST, 22, port, &p);
	/* Refused; and asked for what is no port. */
	fd = rig_vsock_call(g.d.vsock, 23);
	g_assert_true(receive(&g, &p));
	send_op(&g, RST, 23, p.src_port, 0);
	g_assert_cmpint(recv(fd, bytes, sizeof(bytes), 0), ==, 0);
	close(fd);
	for (const char *const *line = (const char *const[]){"CONNECT x\n", "GET 22\n", "CONNECT 4294967296\n", "\n", NULL};
	     *line; line++) {
		fd = local_socket_connect(g.d.vsock->path, 0);
		send(fd, *line, strlen(*line), 0);
		expect_nothing(&g);
		g_assert_cmpint(recv(fd, bytes, sizeof(bytes), 0), ==, 0);
		close(fd);
	}
	driver_fini(&g.d);
}

/* No more is sent than the guest has room for. */
static void test_credit_to_guest(void)
{
	char bytes[5000] = {0};
	struct packet p;
	struct guest g;
	uint32_t port;
	int fd;

	guest_start(&g);
	give_buffers(&g, 16);
	fd = rig_vsock_call(g.d.vsock, 22);
	g_assert_true(receive(&g, &p));
	port = p.src_port;
	send_header(&g, &(struct packet){.op = RESPONSE, .src_port = 22, .dst_port = port, .alloc = 1000}, 44);
	send(fd, bytes, sizeof(bytes), 0);
	expect(&g, RW, 22, port, &p);
	g_assert_cmpuint(p.len, ==, 1000);
	expect(&g, CREDIT_REQUEST, 22, port, &p);
	expect_nothing(&g);
	send_header(&g, &(struct packet){.op = CREDIT_UPDATE, .src_port = 22, .dst_port = port, .alloc = 1000, .forwarded = 400},
		    44);
	expect(&g, RW, 22, port, &p);
	g_assert_cmpuint(p.len, ==, 400);
	expect(&g, CREDIT_REQUEST, 22, port, &p);
	send_header(&g,
		    &(struct packet){.op = CREDIT_UPDATE, .src_port = 22, .dst_port = port, .alloc = 99999, .forwarded = 1400},
		    44);
	expect(&g, RW, 22, port, &p);
	g_assert_cmpuint(p.len, ==, 3600);
	/* A guest that says it has consumed what it has not got has no room. */
	send(fd, bytes, 10, 0);
	send_header(&g,
		    &(struct packet){.op = CREDIT_UPDATE, .src_port = 22, .dst_port = port, .alloc = 1000, .forwarded = 6000},
		    44);
	expect(&g, CREDIT_REQUEST, 22, port, &p);
	expect_nothing(&g);
	close(fd);
	driver_fini(&g.d);
}

/* The guest's bytes wait where the host does not read, but not more than were promised. */
static void test_credit_to_host(void)
{
	static char bytes[4096];
	uint32_t sent = 0, taken = 0;
	struct packet p;
	struct guest g;
	uint32_t port;
	ssize_t n;
	int fd;

	guest_start(&g);
	give_buffers(&g, 16);
	fd = rig_vsock_call(g.d.vsock, 22);
	g_assert_true(receive(&g, &p));
	port = p.src_port;
	send_op(&g, RESPONSE, 22, port, 0);
	g_assert_cmpint(recv(fd, bytes, sizeof(bytes), 0), >, 0);
	for (uint32_t forwarded = 0; sent - forwarded + sizeof(bytes) <= ROOM; sent += sizeof(bytes)) {
		memset(bytes, sent / sizeof(bytes), sizeof(bytes));
		send_bytes(&g, 22, port, bytes, sizeof(bytes));
		while (receive(&g, &p)) {
			g_assert_cmpuint(p.op, ==, CREDIT_UPDATE);
			forwarded = p.forwarded;
		}
		refill(&g);
	}
	g_assert_cmpuint(sent, >, ROOM);
	/* The guest ends; the rest comes all the same, in order. */
	send_op(&g, SHUTDOWN, 22, port, 3);
	expect_nothing(&g);
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) != 0) {
		if (n < 0) {
			rig_vsock_run(g.d.vsock, NULL);
			continue;
		}
		for (ssize_t i = 0; i < n; i++, taken++)
			g_assert_cmphex((uint8_t)bytes[i], ==, (uint8_t)(taken / sizeof(bytes)));
	}
	g_assert_cmpuint(taken, ==, sent);
	do
		g_assert_true(receive(&g, &p));
	while (p.op != RST);
	close(fd);
	driver_fini(&g.d);
}

static void test_too_much(void)
{
	static char bytes[4096];
	struct packet p;
	struct guest g;
	uint32_t port;
	int fd;

	guest_start(&g);
	give_buffers(&g, 16);
	fd = rig_vsock_call(g.d.vsock, 22);
	g_assert_true(receive(&g, &p));
	port = p.src_port;
	send_op(&g, RESPONSE, 22, port, 0);
	for (unsigned i = 0; i < 1000; i++) {
		send_bytes(&g, 22, port, bytes, sizeof(bytes));
		if (receive(&g, &p) && p.op == RST)
			break;
		refill(&g);
	}
	g_assert_cmpuint(p.op, ==, RST);
	close(fd);
	driver_fini(&g.d);
}

/* Answers wait until the driver gives buffers; a guest that asks for more of them waits, too. */
static void test_no_buffers(void)
{
	struct packet p;
	struct guest g;

	guest_start(&g);
	send_op(&g, REQUEST, 1000, ECHO, 0);
	send_op(&g, RW, 7, 8, 0);
	expect_nothing(&g);
	give_buffers(&g, 1);
	expect(&g, RST, 7, 8, &p);
	expect_nothing(&g);
	give_buffers(&g, 1);
	expect(&g, RESPONSE, 1000, ECHO, &p);
	driver_fini(&g.d);
}

static void test_nonsense(void)
{
	struct packet p;
	struct guest g;

	guest_start(&g);
	give_buffers(&g, 16);
	/* Not from here, not to there: nobody's. */
	send_header(&g, &(struct packet){.op = REQUEST, .src_cid = 9, .src_port = 1, .dst_port = ECHO}, 44);
	send_header(&g, &(struct packet){.op = REQUEST, .dst_cid = 9, .src_port = 1, .dst_port = ECHO}, 44);
	expect_nothing(&g);
	/* A kind of socket that there is not, ops that are none. */
	send_header(&g, &(struct packet){.op = REQUEST, .type = 2, .src_port = 1, .dst_port = ECHO}, 44);
	expect(&g, RST, 1, ECHO, &p);
	for (unsigned op = 0; op < 20; op += 9) {
		send_op(&g, REQUEST, 1, ECHO, 0);
		expect(&g, RESPONSE, 1, ECHO, &p);
		send_op(&g, op, 1, ECHO, 0);
		expect(&g, RST, 1, ECHO, &p);
		refill(&g);
	}
	/* Connected already; answered, though nobody asked. */
	send_op(&g, REQUEST, 1, ECHO, 0);
	expect(&g, RESPONSE, 1, ECHO, &p);
	send_op(&g, REQUEST, 1, ECHO, 0);
	expect(&g, RST, 1, ECHO, &p);
	send_op(&g, REQUEST, 1, ECHO, 0);
	expect(&g, RESPONSE, 1, ECHO, &p);
	send_op(&g, RESPONSE, 1, ECHO, 0);
	expect(&g, RST, 1, ECHO, &p);
	/* After its own end. */
	send_op(&g, REQUEST, 1, ECHO, 0);
	expect(&g, RESPONSE, 1, ECHO, &p);
	send_op(&g, SHUTDOWN, 1, ECHO, 2);
	send_bytes(&g, 1, ECHO, "x", 1);
	do
		g_assert_true(receive(&g, &p));
	while (p.op != RST);
	/* More than there is. */
	send_header(&g, &(struct packet){.op = RW, .len = 1}, 44);
	g_assert_cmpuint(status(&g.d) & 64, ==, 64);
	driver_fini(&g.d);
	guest_start(&g);
	send_header(&g, &(struct packet){.op = RW}, 43);
	g_assert_cmpuint(status(&g.d) & 64, ==, 64);
	driver_fini(&g.d);
}

/* A guest that connects without end gets so many. */
static void test_many(void)
{
	unsigned n_open = 0, n_refused = 0;
	struct packet p;
	struct guest g;

	guest_start(&g);
	for (unsigned i = 0; i < 600; i++) {
		refill(&g);
		send_op(&g, REQUEST, 1000 + i, ECHO, 0);
		while (receive(&g, &p)) {
			n_open += p.op == RESPONSE;
			n_refused += p.op == RST;
		}
	}
	g_assert_cmpuint(n_open, ==, 512);
	g_assert_cmpuint(n_refused, >=, 88);
	driver_fini(&g.d);
}

/* After a restore the guest is told that its connections are gone. */
static void test_restore(void)
{
	struct state_reader reader;
	g_autoptr(GByteArray) state = g_byte_array_new();
	struct packet p;
	struct guest g;
	uint32_t len;

	guest_start(&g);
	give_buffers(&g, 8);
	send_op(&g, REQUEST, 1000, ECHO, 0);
	expect(&g, RESPONSE, 1000, ECHO, &p);
	use_queue(&g.d, EVENT);
	set_desc(ram(&g.d, g.d.base + DESC_AT), 0, DATA_AT, 4, DESC_WRITE, 0);
	offer(&g.d, 0);
	kick(&g.d);
	g_assert_cmpuint(used_index(&g.d), ==, 0);
	device_save(g.d.device, 0, state);
	reader = (struct state_reader){state->data, state->len};
	g_assert_true(device_load(g.d.device, 0, &reader, NULL));
	le32_store(ram(&g.d, DATA_AT), 77);
	clock_step(g.d.env.clock, 1000000);
	g_assert_cmpuint(wait_used(&g.d, &len), ==, 0);
	g_assert_cmpuint(len, ==, 4);
	g_assert_cmpuint(le32_load(ram(&g.d, DATA_AT)), ==, 0);
	send_bytes(&g, 1000, ECHO, "x", 1);
	expect(&g, RST, 1000, ECHO, &p);
	driver_fini(&g.d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-vsock/config", test_config);
	g_test_add_func("/virtio-vsock/guest-connects", test_guest_connects);
	g_test_add_func("/virtio-vsock/guest-closes", test_guest_closes);
	g_test_add_func("/virtio-vsock/host-connects", test_host_connects);
	g_test_add_func("/virtio-vsock/credit-to-guest", test_credit_to_guest);
	g_test_add_func("/virtio-vsock/credit-to-host", test_credit_to_host);
	g_test_add_func("/virtio-vsock/too-much", test_too_much);
	g_test_add_func("/virtio-vsock/no-buffers", test_no_buffers);
	g_test_add_func("/virtio-vsock/nonsense", test_nonsense);
	g_test_add_func("/virtio-vsock/many", test_many);
	g_test_add_func("/virtio-vsock/restore", test_restore);
	return g_test_run();
}
