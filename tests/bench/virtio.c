/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a kick costs: virtio devices, driven as a driver would by one thread, on split and packed
 * rings. build/tests/bench/virtio [SECONDS]
 */
#include <stdio.h>

#include "base/be.h"
#include "virtio_driver.h"

enum { RING = 16, DISK_SIZE = 64 << 20, HEADER_LEN = 12, BURST = 16, BUFFER = 4096 };
enum { RX, TX };

#define F_CSUM	    (1ull << 0)
#define F_OFFLOADS  (1ull << 1 | 1ull << 7) /* GUEST_CSUM, GUEST_TSO4 */
#define F_HOST_TSO4 (1ull << 11)
#define F_MRG_RXBUF (1ull << 15)

static double seconds = 0.5;

static void bring_up(struct driver *d, uint64_t features, unsigned last, bool packed)
{
	g_assert_true(negotiate(d, features | F_VERSION_1 | F_EVENT_IDX | (packed ? F_PACKED : 0)));
	for (unsigned queue = 0; queue <= last; queue++) {
		use_queue(d, queue);
		set_up_queue(d, RING);
	}
	common_write(d, 0x14, 15, 1);
	use_queue(d, 0);
}

static void take_used(struct driver *d, unsigned n)
{
	uint32_t len;

	while (n--)
		wait_used(d, &len);
}

/* Runs `round`, of `ops` operations, for a while. */
static void measure(struct driver *d, const char *name, void (*round)(struct driver *d),
		    unsigned ops, uint64_t bytes)
{
	int64_t start = g_get_monotonic_time(), end = start + seconds * 1e6, now;
	uint64_t n = 0;
	double ns;

	do {
		for (unsigned i = 0; i < 16; i++)
			round(d);
		n += 16;
		now = g_get_monotonic_time();
	} while (now < end);
	ns = (now - start) * 1e3 / (n * ops);
	printf("%-28s %-6s %9.0f ns", name, is_packed(d) ? "packed" : "split", ns);
	if (bytes)
		printf(" %8.2f Gb/s", bytes * 8 / ns);
	printf("\n");
}

static void kick_rng(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 0, DATA_AT, 8, DESC_WRITE, 0);
	offer(d, 0);
	kick(d);
	take_used(d, 1);
}

static void offer_read(struct driver *d, unsigned i)
{
	le32_store(ram(d, HEADER_AT), 0);
	le64_store(ram(d, HEADER_AT + 8),
		   g_random_int_range(0, DISK_SIZE / BUFFER) * (BUFFER / 512));
	set_desc(ram(d, DESC_AT), 3 * i, HEADER_AT, 16, DESC_NEXT, 3 * i + 1);
	set_desc(ram(d, DESC_AT), 3 * i + 1, DATA_AT + i * BUFFER, BUFFER, DESC_NEXT | DESC_WRITE,
		 3 * i + 2);
	set_desc(ram(d, DESC_AT), 3 * i + 2, STATUS_AT, 1, DESC_WRITE, 0);
	offer(d, 3 * i);
}

static void read_one(struct driver *d)
{
	offer_read(d, 0);
	kick(d);
	take_used(d, 1);
}

static void read_five(struct driver *d)
{
	for (unsigned i = 0; i < 5; i++)
		offer_read(d, i);
	kick(d);
	take_used(d, 5);
}

static bool far_receive(void *opaque, const uint8_t *frame, size_t len,
			const struct net_offload *offload)
{
	return true;
}

static void listen_far(struct driver *d)
{
	struct net_receiver receiver = {.receive = far_receive,
					.offloads = NET_CAN_CSUM | NET_CAN_TSO4};

	net_set_receiver(d->net_end, &receiver);
}

/* TCP, IPv4. */
static size_t make_frame(uint8_t *frame, size_t payload)
{
	memset(frame, 0, 54 + payload);
	memcpy(frame, (uint8_t[]){0x52, 0x54, 0, 1, 2, 3, 2}, 7);
	be16_store(frame + 12, 0x0800);
	frame[14] = 0x45;
	be16_store(frame + 16, MIN(40 + payload, 65535));
	frame[23] = 6;
	frame[46] = 0x50;
	return 54 + payload;
}

static const struct net_offload tso = {NET_NEEDS_CSUM, NET_GSO_TCPV4, .gso_size = 1448,
				       .csum_start = 34, .csum_offset = 16};

static void send_burst(struct driver *d, size_t payload, const struct net_offload *offload)
{
	uint8_t *header = ram(d, HEADER_AT);

	header[0] = offload->flags;
	header[1] = offload->gso;
	le16_store(header + 4, offload->gso_size);
	le16_store(header + 6, offload->csum_start);
	le16_store(header + 8, offload->csum_offset);
	use_queue(d, TX);
	for (unsigned i = 0; i < BURST / 2; i++) {
		set_desc(ram(d, d->base + DESC_AT), 2 * i, HEADER_AT, HEADER_LEN, DESC_NEXT,
			 2 * i + 1);
		set_desc(ram(d, d->base + DESC_AT), 2 * i + 1, DATA_AT, 54 + payload, 0, 0);
		offer(d, 2 * i);
	}
	kick(d);
	take_used(d, BURST / 2);
	net_run(d->net);
	use_queue(d, RX);
}

static void send_small(struct driver *d)
{
	send_burst(d, 1446, &(struct net_offload){});
}

static void send_large(struct driver *d)
{
	send_burst(d, 64000, &tso);
}

static void receive_burst(struct driver *d, size_t payload, const struct net_offload *offload,
			  unsigned n)
{
	struct iovec iov = {ram(d, DATA_AT), 54 + payload};
	unsigned buffers = (HEADER_LEN + iov.iov_len + BUFFER - 1) / BUFFER * n;

	for (unsigned i = 0; i < buffers; i++) {
		set_desc(ram(d, DESC_AT), i, 0x200000 + i * BUFFER, BUFFER, DESC_WRITE, 0);
		offer(d, i);
	}
	kick(d);
	for (unsigned i = 0; i < n; i++)
		net_send_offload(d->net_end, &iov, 1, offload);
	net_run(d->net);
	take_used(d, buffers);
}

static void receive_small(struct driver *d)
{
	receive_burst(d, 1446, &(struct net_offload){}, BURST);
}

static void receive_large(struct driver *d)
{
	receive_burst(d, 64000, &tso, 1);
}

static void bench_net(bool packed)
{
	struct driver d;

	driver_init(&d, &virtio_net_class, 0, false);
	listen_far(&d);
	bring_up(&d, F_CSUM | F_HOST_TSO4 | F_OFFLOADS | F_MRG_RXBUF, TX, packed);
	make_frame(ram(&d, DATA_AT), 64000);
	measure(&d, "net send 1500", send_small, BURST / 2, 1500);
	measure(&d, "net receive 1500", receive_small, BURST, 1500);
	measure(&d, "net send 64000, uncut", send_large, BURST / 2, 64000);
	measure(&d, "net receive 64000, uncut", receive_large, 1, 64000);
	driver_fini(&d);
}

static void bench_others(bool packed)
{
	struct driver d;

	driver_init(&d, &virtio_rng_class, 0, false);
	bring_up(&d, 0, 0, packed);
	measure(&d, "rng 8 bytes", kick_rng, 1, 0);
	driver_fini(&d);
	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	bring_up(&d, 1 << 9, 0, packed);
	measure(&d, "blk read 4 KiB, one", read_one, 1, 0);
	measure(&d, "blk read 4 KiB, five", read_five, 5, 0);
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = g_ascii_strtod(argv[1], NULL);
	for (unsigned packed = 0; packed < 2; packed++) {
		bench_others(packed);
		bench_net(packed);
	}
	return 0;
}
