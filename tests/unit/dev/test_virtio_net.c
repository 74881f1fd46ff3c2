/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio network card, by its driver on one side and what is at the cable's other end. */
#include "base/be.h"
#include "net/net.h"
#include "virtio_driver.h"

#define F_CSUM		 (1ull << 0)
#define F_GUEST_CSUM	 (1ull << 1)
#define F_GUEST_OFFLOADS (1ull << 2)
#define F_GUEST_TSO4	 (1ull << 7)
#define F_HOST_TSO4	 (1ull << 11)
#define F_MRG_RXBUF	 (1ull << 15)
#define F_STATUS	 (1ull << 16)
#define F_CTRL_VQ	 (1ull << 17)
#define F_CTRL_RX	 (1ull << 18)
#define F_CTRL_VLAN	 (1ull << 19)
#define F_MQ		 (1ull << 22)
#define F_CTRL_MAC_ADDR	 (1ull << 23)
#define F_RING_RESET	 (1ull << 40)
#define F_SPEED_DUPLEX	 (1ull << 63)

enum { RX, TX, RX2, TX2, MQ_CONTROL, CONTROL = 2, HEADER = 12, NEEDS_RESET = 64 };
enum { TCP_AT = 34, TCP_PAYLOAD_AT = 54 };

/* Buffers to receive into, COMMAND_AT's to control. */
#define BUFFER_AT(i) (0xa00000u + 0x20000u * (i))
#define COMMAND_AT   0x30000u

static const uint8_t own_mac[] = {0x52, 0x54, 0, 1, 2, 3};

/* The cable's other end: what arrived last, and how much. */
static struct far {
	bool refuses;
	unsigned n;
	size_t len, bytes;
	uint8_t frame[70000];
	struct net_offload offload;
} far;

static bool far_receive(void *opaque, const uint8_t *frame, size_t len,
			const struct net_offload *offload)
{
	if (far.refuses)
		return false;
	far.n++;
	far.len = len;
	far.bytes += len;
	memcpy(far.frame, frame, len);
	far.offload = *offload;
	return true;
}

static void listen_far(struct driver *d, unsigned offloads)
{
	struct net_receiver receiver = {.receive = far_receive, .offloads = offloads};

	memset(&far, 0, sizeof(far));
	net_set_receiver(d->net_end, &receiver);
}

/* Queues up to `last`. */
static void bring_up(struct driver *d, uint64_t features, unsigned last)
{
	if (packed_rings())
		features |= F_PACKED;
	g_assert_true(negotiate(d, features | F_VERSION_1));
	for (unsigned queue = 0; queue <= last; queue++) {
		use_queue(d, queue);
		set_up_queue(d, 16);
	}
	common_write(d, 0x14, 15, 1);
	g_assert_cmpuint(status(d), ==, 15);
}

static void nic_init(struct driver *d, uint64_t features, unsigned last)
{
	driver_init(d, &virtio_net_class, 0, false);
	listen_far(d, 0);
	bring_up(d, features, last);
}

static uint8_t *device_config(struct driver *d, uint8_t config[20])
{
	for (unsigned i = 0; i < 20; i++)
		config[i] = bus_read(d->env.bus, BUS_MMIO, d->structure[4] + i, 1);
	return config;
}

static void test_config(void)
{
	struct driver d;
	uint8_t config[20];

	driver_init(&d, &virtio_net_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10411af4);
	g_assert_cmphex(config_read(&d, 8, 4) >> 8, ==, 0x020000);
	g_assert_cmpuint(common_read(&d, 0x12, 2), ==, 5);
	device_config(&d, config);
	g_assert_cmpmem(config, 6, own_mac, 6);
	g_assert_cmpuint(le16_load(config + 6), ==, 1);
	g_assert_cmpuint(le16_load(config + 8), ==, 2);
	g_assert_cmpuint(le32_load(config + 12), ==, 10000);
	g_assert_cmpuint(config[16], ==, 1);
	g_assert_cmphex(device_features(&d) & (1 << 3), ==, 0); /* no MTU was set */
	driver_fini(&d);
}

/* A frame of TCP, IPv4; its bytes tell their places. */
static size_t make_tcp(uint8_t *frame, size_t payload, uint16_t port)
{
	memset(frame, 0, TCP_PAYLOAD_AT);
	memcpy(frame, own_mac, 6);
	frame[6] = 2;
	be16_store(frame + 12, 0x0800);
	frame[14] = 0x45;
	be16_store(frame + 16, MIN(40 + payload, 65535));
	frame[22] = 64;
	frame[23] = 6;
	be32_store(frame + 26, 0x0a000001);
	be32_store(frame + 30, 0x0a000002);
	be16_store(frame + TCP_AT, port);
	be16_store(frame + TCP_AT + 2, 80);
	frame[TCP_AT + 12] = 0x50;
	for (size_t i = 0; i < payload; i++)
		frame[TCP_PAYLOAD_AT + i] = i % 251;
	return TCP_PAYLOAD_AT + payload;
}

static bool arrived(struct driver *d)
{
	return used_index(d) != d->used_idx;
}

/* Sends from DATA_AT, with the header in front; the queue is the current one. */
static void send_frame(struct driver *d, size_t len, const struct net_offload *offload)
{
	uint8_t *header = ram(d, HEADER_AT);
	uint32_t used_len;

	memset(header, 0, HEADER);
	header[0] = offload->flags;
	header[1] = offload->gso;
	le16_store(header + 4, offload->gso_size);
	le16_store(header + 6, offload->csum_start);
	le16_store(header + 8, offload->csum_offset);
	set_desc(ram(d, d->base + DESC_AT), 0, HEADER_AT, HEADER, DESC_NEXT, 1);
	set_desc(ram(d, d->base + DESC_AT), 1, DATA_AT, 20, DESC_NEXT, 2);
	set_desc(ram(d, d->base + DESC_AT), 2, DATA_AT + 20, len - 20, 0, 0);
	offer(d, 0);
	kick(d);
	g_assert_cmpuint(wait_used(d, &used_len), ==, 0);
	g_assert_cmpuint(used_len, ==, 0);
	net_run(d->net);
}

static const struct net_offload no_offload;

static void test_send(void)
{
	struct driver d;
	size_t len;

	nic_init(&d, 0, TX);
	len = make_tcp(ram(&d, DATA_AT), 1000, 1);
	for (unsigned i = 0; i < 40; i++) {
		send_frame(&d, len, &no_offload);
		g_assert_cmpuint(far.n, ==, i + 1);
		g_assert_cmpmem(far.frame, far.len, ram(&d, DATA_AT), len);
	}
	/* Header and frame in one piece, or in bytes. */
	memmove(ram(&d, DATA_AT + HEADER), ram(&d, DATA_AT), len);
	memset(ram(&d, DATA_AT), 0, HEADER);
	for (unsigned first = 1; first < 20; first += 6) {
		set_desc(ram(&d, d.base + DESC_AT), 0, DATA_AT, first, DESC_NEXT, 1);
		set_desc(ram(&d, d.base + DESC_AT), 1, DATA_AT + first, HEADER + len - first, 0, 0);
		offer(&d, 0);
		kick(&d);
		net_run(d.net);
		g_assert_cmpmem(far.frame, far.len, ram(&d, DATA_AT + HEADER), len);
	}
	g_assert_cmpuint(far.n, ==, 44);
	driver_fini(&d);
}

/* What the other end does not take stays with the driver, for the greater part. */
static void test_send_waits(void)
{
	struct driver d;
	unsigned n = 0;
	uint32_t len;

	nic_init(&d, F_CSUM | F_HOST_TSO4, TX);
	make_tcp(ram(&d, DATA_AT + HEADER), 1446, 1);
	far.refuses = true;
	set_desc(ram(&d, d.base + DESC_AT), 0, DATA_AT, HEADER + 1500, 0, 0);
	memset(ram(&d, DATA_AT), 0, HEADER);
	while (n < 1000) {
		offer(&d, 0);
		kick(&d);
		net_run(d.net);
		n++;
		if (!arrived(&d))
			break;
		wait_used(&d, &len);
	}
	g_assert_cmpuint(n, <, 400);
	g_assert_cmpuint(far.n, ==, 0);
	far.refuses = false;
	net_run(d.net);
	net_run(d.net);
	g_assert_true(arrived(&d));
	g_assert_cmpuint(far.n, ==, n);
	g_assert_cmpuint(net_dropped(d.net), ==, 0);
	/* Nor does a reset, or a link that goes down, leave it waiting. */
	for (unsigned round = 0; round < 2; round++) {
		far.refuses = true;
		bring_up(&d, 0, TX);
		set_desc(ram(&d, d.base + DESC_AT), 0, DATA_AT, HEADER + 1500, 0, 0);
		for (unsigned i = 0; i < 1000; i++) {
			offer(&d, 0);
			kick(&d);
			if (!arrived(&d))
				break;
			wait_used(&d, &len);
		}
		g_assert_false(arrived(&d));
		far.refuses = false;
		if (round) {
			net_set_enabled(d.net_end, false);
			g_assert_true(arrived(&d));
			net_set_enabled(d.net_end, true);
		}
	}
	driver_fini(&d);
}

/* The sum of TCP's pseudo-header, as a driver leaves it. */
static uint16_t pseudo_sum(const uint8_t *frame, size_t len)
{
	uint32_t sum = 6 + len - TCP_AT;

	for (unsigned i = 26; i < 34; i += 2)
		sum += be16_load(frame + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void assert_tcp_sum(const uint8_t *frame, size_t len)
{
	uint32_t sum = pseudo_sum(frame, len);

	for (size_t i = TCP_AT; i < len; i += 2)
		sum += i + 1 < len ? be16_load(frame + i) : frame[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	g_assert_cmphex(sum, ==, 0xffff);
}

static void test_send_offload(void)
{
	struct net_offload offload = {
		.flags = NET_NEEDS_CSUM, .csum_start = TCP_AT, .csum_offset = 16};
	struct driver d;
	size_t len;

	nic_init(&d, F_CSUM | F_HOST_TSO4, TX);
	len = make_tcp(ram(&d, DATA_AT), 999, 1);
	be16_store(ram(&d, DATA_AT + TCP_AT + 16), pseudo_sum(ram(&d, DATA_AT), len));
	send_frame(&d, len, &offload);
	g_assert_cmpuint(far.n, ==, 1);
	assert_tcp_sum(far.frame, far.len);
	/* Cut for who cannot take it whole. */
	len = make_tcp(ram(&d, DATA_AT), 50000, 1);
	offload.gso = NET_GSO_TCPV4;
	offload.gso_size = 1448;
	listen_far(&d, 0);
	send_frame(&d, len, &offload);
	g_assert_cmpuint(far.n, ==, 35);
	g_assert_cmpuint(far.bytes, ==, 50000 + 35 * TCP_PAYLOAD_AT);
	assert_tcp_sum(far.frame, far.len);
	/* Whole for who can. */
	listen_far(&d, NET_CAN_CSUM | NET_CAN_TSO4);
	send_frame(&d, len, &offload);
	g_assert_cmpuint(far.n, ==, 1);
	g_assert_cmpmem(far.frame, far.len, ram(&d, DATA_AT), len);
	g_assert_cmpuint(far.offload.gso, ==, NET_GSO_TCPV4);
	g_assert_cmpuint(far.offload.gso_size, ==, 1448);
	/* What was not negotiated, or is none, is not sent. */
	offload.gso = NET_GSO_TCPV6;
	send_frame(&d, len, &offload);
	offload.gso = 99;
	send_frame(&d, len, &offload);
	g_assert_cmpuint(far.n, ==, 1);
	bring_up(&d, 0, TX);
	len = make_tcp(ram(&d, DATA_AT), 100, 1);
	offload.gso = 0;
	send_frame(&d, len, &offload);
	g_assert_cmpuint(far.n, ==, 2);
	g_assert_cmpuint(far.offload.flags, ==, 0);
	driver_fini(&d);
}

/* Gives buffers `first` up to before `end` of `len` bytes, and tells of them. */
static void give(struct driver *d, unsigned first, unsigned end, uint32_t len)
{
	for (unsigned i = first; i < end; i++) {
		set_desc(ram(d, d->base + DESC_AT), i, BUFFER_AT(i), len, DESC_WRITE, 0);
		offer(d, i);
	}
	kick(d);
	net_run(d->net);
}

static void send_far(struct driver *d, const uint8_t *frame, size_t len)
{
	net_send(d->net_end, frame, len);
	net_run(d->net);
}

static void test_receive(void)
{
	static uint8_t frame[9000];
	struct driver d;
	uint32_t len;

	nic_init(&d, 0, RX);
	make_tcp(frame, 1000, 1);
	give(&d, 0, 4, 2048);
	send_far(&d, frame, 1054);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	g_assert_cmpuint(len, ==, HEADER + 1054);
	g_assert_cmpmem(ram(&d, BUFFER_AT(0) + HEADER), 1054, frame, 1054);
	g_assert_cmpuint(le16_load(ram(&d, BUFFER_AT(0) + 10)), ==, 1);
	/* Too long for a buffer: lost, and the buffer is there for the next. */
	send_far(&d, frame, 3000);
	g_assert_false(arrived(&d));
	for (unsigned i = 0; i < 5; i++)
		send_far(&d, frame, 60 + i);
	for (unsigned i = 1; i < 4; i++) {
		g_assert_cmpuint(wait_used(&d, &len), ==, i);
		g_assert_cmpuint(len, ==, HEADER + 60 + i - 1);
	}
	/* The fourth and fifth wait for buffers. */
	g_assert_false(arrived(&d));
	give(&d, 4, 6, 2048);
	for (unsigned i = 4; i < 6; i++) {
		g_assert_cmpuint(wait_used(&d, &len), ==, i);
		g_assert_cmpuint(len, ==, HEADER + 60 + i - 1);
	}
	driver_fini(&d);
}

static void test_merged_buffers(void)
{
	static uint8_t frame[9000];
	uint8_t got[9000 + HEADER];
	struct driver d;
	uint32_t len;
	size_t at = 0;

	nic_init(&d, F_MRG_RXBUF, RX);
	make_tcp(frame, 8000, 1);
	give(&d, 0, 3, 1000);
	send_far(&d, frame, 4000);
	/* Not enough: none of them is used yet. */
	g_assert_false(arrived(&d));
	give(&d, 3, 5, 1000);
	for (unsigned i = 0; i < 5; i++) {
		g_assert_cmpuint(wait_used(&d, &len), ==, i);
		g_assert_cmpuint(len, ==, i < 4 ? 1000 : 12);
		memcpy(got + at, ram(&d, BUFFER_AT(i)), len);
		at += len;
	}
	g_assert_cmpmem(got + HEADER, at - HEADER, frame, 4000);
	g_assert_cmpuint(le16_load(got + 10), ==, 5);
	g_assert_false(arrived(&d));
	/* The header in pieces. */
	set_desc(ram(&d, DESC_AT), 0, BUFFER_AT(0), 11, DESC_WRITE | DESC_NEXT, 1);
	set_desc(ram(&d, DESC_AT), 1, BUFFER_AT(1), 1, DESC_WRITE | DESC_NEXT, 2);
	set_desc(ram(&d, DESC_AT), 2, BUFFER_AT(2), 100, DESC_WRITE, 0);
	offer(&d, 0);
	give(&d, 3, 4, 1000);
	send_far(&d, frame, 200);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	g_assert_cmpuint(len, ==, 112);
	g_assert_cmpuint(*ram(&d, BUFFER_AT(0) + 10), ==, 2);
	g_assert_cmpuint(*ram(&d, BUFFER_AT(1)), ==, 0);
	g_assert_cmpuint(wait_used(&d, &len), ==, 3);
	g_assert_cmpuint(len, ==, 100);
	driver_fini(&d);
}

/* Packets that the driver takes whole, and as many segments when it does not. */
static void test_receive_offload(void)
{
	struct net_offload offload = {.flags = NET_NEEDS_CSUM,
				      .gso = NET_GSO_TCPV4,
				      .gso_size = 1000,
				      .csum_start = TCP_AT,
				      .csum_offset = 16};
	static uint8_t frame[60000];
	struct iovec iov = {frame, make_tcp(frame, 20000, 1)};
	struct driver d;
	uint32_t len;

	nic_init(&d, F_GUEST_CSUM | F_GUEST_TSO4 | F_MRG_RXBUF, RX);
	give(&d, 0, 1, 65536);
	net_send_offload(d.net_end, &iov, 1, &offload);
	net_run(d.net);
	wait_used(&d, &len);
	g_assert_cmpuint(len, ==, HEADER + iov.iov_len);
	g_assert_cmpuint(ram(&d, BUFFER_AT(0))[0], ==, NET_NEEDS_CSUM);
	g_assert_cmpuint(ram(&d, BUFFER_AT(0))[1], ==, NET_GSO_TCPV4);
	g_assert_cmpuint(le16_load(ram(&d, BUFFER_AT(0) + 4)), ==, 1000);
	g_assert_cmpuint(le16_load(ram(&d, BUFFER_AT(0) + 6)), ==, TCP_AT);
	/* Segments need checksums. */
	for (unsigned round = 0; round < 2; round++) {
		bring_up(&d, F_MRG_RXBUF | (round ? F_GUEST_TSO4 : 0), RX);
		give(&d, 0, 5, 65536);
		net_send_offload(d.net_end, &iov, 1, &offload);
		net_run(d.net);
		for (unsigned i = 0; i < 5; i++) {
			g_assert_cmpuint(wait_used(&d, &len), ==, i);
			g_assert_cmpuint(len, ==, HEADER + TCP_PAYLOAD_AT + 1000);
			g_assert_cmpuint(ram(&d, BUFFER_AT(i))[0], ==, 0);
			assert_tcp_sum(ram(&d, BUFFER_AT(i) + HEADER), len - HEADER);
		}
	}
	driver_fini(&d);
}

/* A command of the control queue; its answer. */
static unsigned control(struct driver *d, unsigned class, unsigned command, const void *data,
			size_t len)
{
	unsigned before = d->queue;
	uint32_t used_len;

	use_queue(d, common_read(d, 0x12, 2) == 5 && d->features & F_MQ ? MQ_CONTROL : CONTROL);
	ram(d, COMMAND_AT)[0] = class;
	ram(d, COMMAND_AT)[1] = command;
	memcpy(ram(d, COMMAND_AT + 2), data, len);
	*ram(d, STATUS_AT) = 0xff;
	set_desc(ram(d, d->base + DESC_AT), 0, COMMAND_AT, 2 + len, DESC_NEXT, 1);
	set_desc(ram(d, d->base + DESC_AT), 1, STATUS_AT, 1, DESC_WRITE, 0);
	offer(d, 0);
	kick(d);
	g_assert_cmpuint(wait_used(d, &used_len), ==, 0);
	g_assert_cmpuint(used_len, ==, 1);
	use_queue(d, before);
	return *ram(d, STATUS_AT);
}

/* Whether a frame to this address, with this tag (0: none), comes. */
static bool comes(struct driver *d, const uint8_t *addr, unsigned vid)
{
	uint8_t frame[100] = {};
	uint32_t len;
	bool came;

	memcpy(frame, addr, 6);
	be16_store(frame + 12, vid ? 0x8100 : 0x0800);
	be16_store(frame + 14, vid);
	give(d, 0, 1, 2048);
	send_far(d, frame, sizeof(frame));
	came = arrived(d);
	if (!came) {
		/* What always comes takes the buffer. */
		memset(frame, 0xff, 6);
		be16_store(frame + 12, 0);
		send_far(d, frame, sizeof(frame));
	}
	wait_used(d, &len);
	return came;
}

static void test_filters(void)
{
	static const uint8_t other[] = {2, 0, 0, 0, 0, 1}, group[] = {1, 0, 0x5e, 0, 0, 1},
			     broadcast[] = {255, 255, 255, 255, 255, 255};
	uint8_t table[8 + 12] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1},
			  off = 0, on = 1;
	struct driver d;
	uint8_t *many = g_malloc0(8 + 65 * 6);

	nic_init(&d, F_CTRL_VQ | F_CTRL_RX | F_CTRL_VLAN | F_CTRL_MAC_ADDR, CONTROL);
	use_queue(&d, RX);
	g_assert_true(comes(&d, other, 0) && comes(&d, other, 5));
	g_assert_cmpuint(control(&d, 0, 0, &off, 1), ==, 0);
	g_assert_true(comes(&d, own_mac, 0) && comes(&d, broadcast, 0));
	g_assert_false(comes(&d, other, 0));
	g_assert_false(comes(&d, group, 0));
	g_assert_false(comes(&d, own_mac, 5));
	g_assert_cmpuint(control(&d, 2, 0, (uint8_t[]){5, 0}, 2), ==, 0);
	g_assert_true(comes(&d, own_mac, 5));
	g_assert_false(comes(&d, own_mac, 37));
	g_assert_cmpuint(control(&d, 2, 1, (uint8_t[]){5, 0}, 2), ==, 0);
	g_assert_false(comes(&d, own_mac, 5));
	g_assert_cmpuint(control(&d, 0, 1, &on, 1), ==, 0);
	g_assert_true(comes(&d, group, 0));
	g_assert_cmpuint(control(&d, 0, 1, &off, 1), ==, 0);
	g_assert_cmpuint(control(&d, 1, 0, table, sizeof(table)), ==, 0);
	g_assert_true(comes(&d, group, 0) && comes(&d, other, 0));
	/* More than there is room for: all pass. */
	le32_store(many, 0);
	le32_store(many + 4, 65);
	g_assert_cmpuint(control(&d, 1, 0, many, 8 + 65 * 6), ==, 0);
	g_assert_true(comes(&d, group, 0));
	g_assert_false(comes(&d, other, 0));
	g_assert_cmpuint(control(&d, 1, 1, other, 6), ==, 0);
	g_assert_true(comes(&d, other, 0));
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[4], 1), ==, 2);
	/* None of these is a command. */
	g_assert_cmpuint(control(&d, 0, 0, "", 0), ==, 1);
	g_assert_cmpuint(control(&d, 0, 2, &on, 1), ==, 1);
	g_assert_cmpuint(control(&d, 1, 0, table, sizeof(table) - 1), ==, 1);
	g_assert_cmpuint(control(&d, 1, 0, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), ==, 1);
	g_assert_cmpuint(control(&d, 2, 0, (uint8_t[]){0, 16}, 2), ==, 1);
	g_assert_cmpuint(control(&d, 4, 0, (uint8_t[]){2, 0}, 2), ==, 1);
	g_assert_cmpuint(control(&d, 77, 0, &on, 1), ==, 1);
	/* The driver's reset undoes it all. */
	bring_up(&d, F_CTRL_VQ, CONTROL);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[4], 1), ==, 0x52);
	g_free(many);
	driver_fini(&d);
}

/* A flow comes back by the pair that it was sent by. */
static void test_pairs(void)
{
	struct driver d;
	uint8_t frame[200], back[200];
	uint32_t used_len;
	size_t len;

	nic_init(&d, F_CTRL_VQ | F_MQ, MQ_CONTROL);
	g_assert_cmpuint(control(&d, 4, 0, (uint8_t[]){3, 0}, 2), ==, 1);
	g_assert_cmpuint(control(&d, 4, 0, (uint8_t[]){0, 0}, 2), ==, 1);
	g_assert_cmpuint(control(&d, 4, 0, (uint8_t[]){2, 0}, 2), ==, 0);
	for (unsigned queue = RX; queue <= RX2; queue += 2) {
		use_queue(&d, queue);
		give(&d, 0, 8, 2048);
	}
	for (unsigned i = 0; i < 4; i++) {
		unsigned pair = i % 2;

		use_queue(&d, 2 * pair + 1);
		len = make_tcp(ram(&d, DATA_AT), 100, 1000 + pair);
		send_frame(&d, len, &no_offload);
		len = make_tcp(frame, 100, 1000 + pair);
		memcpy(back, frame, len);
		memcpy(back + 26, frame + 30, 4);
		memcpy(back + 30, frame + 26, 4);
		memcpy(back + TCP_AT, frame + TCP_AT + 2, 2);
		memcpy(back + TCP_AT + 2, frame + TCP_AT, 2);
		use_queue(&d, 2 * pair);
		g_assert_false(arrived(&d));
		send_far(&d, back, len);
		g_assert_true(arrived(&d));
		wait_used(&d, &used_len);
	}
	driver_fini(&d);
}

static void test_link(void)
{
	struct driver d;
	uint8_t config[20];
	unsigned n, generation;

	nic_init(&d, F_STATUS, RX);
	n = msi_count(&d);
	generation = common_read(&d, 0x15, 1);
	net_set_enabled(d.net_end, false);
	g_assert_cmpuint(msi_count(&d), ==, n + 1);
	g_assert_cmphex(d.last_msi, ==, 0x41);
	g_assert_cmpuint(common_read(&d, 0x15, 1), !=, generation);
	g_assert_cmpuint(le16_load(device_config(&d, config) + 6), ==, 0);
	net_set_enabled(d.net_end, false);
	g_assert_cmpuint(msi_count(&d), ==, n + 1);
	net_set_enabled(d.net_end, true);
	g_assert_cmpuint(le16_load(device_config(&d, config) + 6), ==, 1);
	g_assert_cmpuint(msi_count(&d), ==, n + 2);
	driver_fini(&d);
}

static void test_guest_offloads(void)
{
	struct net_offload offload = {
		.flags = NET_NEEDS_CSUM, .csum_start = TCP_AT, .csum_offset = 16};
	uint8_t frame[200], bits[8] = {};
	struct iovec iov = {frame, make_tcp(frame, 100, 1)};
	struct driver d;
	uint32_t len;

	nic_init(&d, F_CTRL_VQ | F_GUEST_CSUM | F_GUEST_OFFLOADS, CONTROL);
	use_queue(&d, RX);
	give(&d, 0, 2, 2048);
	g_assert_cmpuint(control(&d, 5, 0, bits, 8), ==, 0);
	net_send_offload(d.net_end, &iov, 1, &offload);
	net_run(d.net);
	wait_used(&d, &len);
	g_assert_cmpuint(ram(&d, BUFFER_AT(0))[0], ==, 0);
	bits[0] = 1 << 1;
	g_assert_cmpuint(control(&d, 5, 0, bits, 8), ==, 0);
	net_send_offload(d.net_end, &iov, 1, &offload);
	net_run(d.net);
	wait_used(&d, &len);
	g_assert_cmpuint(ram(&d, BUFFER_AT(1))[0], ==, NET_NEEDS_CSUM);
	bits[0] = 1 << 7;
	g_assert_cmpuint(control(&d, 5, 0, bits, 8), ==, 1);
	driver_fini(&d);
}

/* One queue begins anew, and the other goes on. */
static void test_queue_reset(void)
{
	struct driver d;
	uint8_t frame[60] = {};
	uint32_t len;

	nic_init(&d, F_RING_RESET, TX);
	use_queue(&d, RX);
	give(&d, 0, 4, 2048);
	send_far(&d, frame, 60);
	wait_used(&d, &len);
	common_write(&d, 0x16, RX, 2);
	common_write(&d, 0x3a, 1, 2);
	g_assert_cmpuint(common_read(&d, 0x3a, 2), ==, 0);
	g_assert_cmpuint(common_read(&d, 0x1c, 2), ==, 0);
	send_far(&d, frame, 60);
	d.avail_idx = d.used_idx = d.avail_at = d.used_at = 0;
	set_up_queue(&d, 8);
	give(&d, 0, 4, 2048);
	send_far(&d, frame, 60);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	use_queue(&d, TX);
	send_frame(&d, make_tcp(ram(&d, DATA_AT), 100, 1), &no_offload);
	g_assert_cmpuint(far.n, ==, 1);
	driver_fini(&d);
}

static void assert_broken(struct driver *d, unsigned queue, uint32_t len, uint16_t flags)
{
	uint8_t frame[60] = {};

	bring_up(d, 0, TX);
	use_queue(d, queue);
	set_desc(ram(d, d->base + DESC_AT), 0, BUFFER_AT(0), len, flags, 0);
	offer(d, 0);
	kick(d);
	send_far(d, frame, 60);
	g_assert_cmphex(status(d), ==, 15 | NEEDS_RESET);
}

static void test_broken(void)
{
	struct driver d;

	nic_init(&d, 0, TX);
	assert_broken(&d, TX, HEADER - 1, 0);
	assert_broken(&d, TX, 100, DESC_WRITE);
	assert_broken(&d, RX, HEADER - 1, DESC_WRITE);
	assert_broken(&d, RX, 2048, 0);
	bring_up(&d, 0, TX);
	send_frame(&d, make_tcp(ram(&d, DATA_AT), 100, 1), &no_offload);
	g_assert_cmpuint(far.n, ==, 1);
	driver_fini(&d);
}

/* Filters, offloads and the waiting frame of a restored card. */
static void test_state(void)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	struct driver a, b;
	uint8_t off = 0, frame[100] = {2};
	uint32_t len;

	nic_init(&a, F_CTRL_VQ | F_CTRL_RX | F_STATUS, CONTROL);
	driver_init(&b, &virtio_net_class, 0, false);
	use_queue(&a, RX);
	give(&a, 0, 2, 2048);
	g_assert_cmpuint(control(&a, 0, 0, &off, 1), ==, 0);
	device_save(a.device, 0, saved);
	memcpy(b.env.mem->base, a.env.mem->base, RAM_SIZE);
	net_set_enabled(b.net_end, false);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(b.device, 0, &reader, NULL));
	/* Its cable is out, which the driver is told. */
	g_assert_cmphex(b.last_msi, ==, 0x41);
	net_set_enabled(b.net_end, true);
	b.features = a.features;
	b.current = a.current;
	send_far(&b, frame, 100);
	g_assert_false(arrived(&b));
	memcpy(frame, own_mac, 6);
	send_far(&b, frame, 100);
	g_assert_cmpuint(wait_used(&b, &len), ==, 0);
	driver_fini(&a);
	driver_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-net/config", test_config);
	g_test_add_func("/virtio-net/send", test_send);
	g_test_add_func("/virtio-net/send-offload", test_send_offload);
	g_test_add_func("/virtio-net/send-waits", test_send_waits);
	g_test_add_func("/virtio-net/receive", test_receive);
	g_test_add_func("/virtio-net/merged-buffers", test_merged_buffers);
	g_test_add_func("/virtio-net/receive-offload", test_receive_offload);
	g_test_add_func("/virtio-net/filters", test_filters);
	g_test_add_func("/virtio-net/pairs", test_pairs);
	g_test_add_func("/virtio-net/link", test_link);
	g_test_add_func("/virtio-net/guest-offloads", test_guest_offloads);
	g_test_add_func("/virtio-net/queue-reset", test_queue_reset);
	g_test_add_func("/virtio-net/broken", test_broken);
	g_test_add_func("/virtio-net/state", test_state);
	return g_test_run();
}
