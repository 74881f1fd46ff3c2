/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed rings: laps, events, state, and drivers that break them. With the entropy device, which
 * answers at once, and a disk. */
#include "virtio_driver.h"

#define DISK_SIZE (1u << 20)

enum { NEEDS_RESET = 64, RING = 5, EVENT_DISABLE = 1, EVENT_DESC = 2, EVENT_WRAP = 1 << 15 };

/* A ring of RING places, which is no power of two. */
static void restart(struct driver *d, uint64_t features)
{
	g_assert_true(negotiate(d, features | F_VERSION_1 | F_PACKED));
	d->queue_size = d->ring_size = RING;
	memset(ram(d, DESC_AT), 0, HEADER_AT - DESC_AT);
	common_write(d, 0x18, RING, 2);
	g_assert_cmpuint(common_read(d, 0x18, 2), ==, RING);
	for (unsigned i = 0; i < 3; i++)
		common_write(d, 0x20 + 8 * i,
			     (const uint32_t[]){RING_AT, DRIVER_EVENT_AT, DEVICE_EVENT_AT}[i], 4);
	common_write(d, 0x1a, 0, 2);
	common_write(d, 0x1c, 1, 2);
	common_write(d, 0x14, 15, 1);
	g_assert_cmpuint(status(d), ==, 15);
}

static void rng_init(struct driver *d, uint64_t features)
{
	driver_init(d, &virtio_rng_class, 0, false);
	restart(d, features);
}

/* A chain of `n` buffers of `len` bytes each. */
static void ask(struct driver *d, uint16_t id, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++)
		set_desc(ram(d, DESC_AT), id + i, DATA_AT + 0x1000 * i, len,
			 DESC_WRITE | (i + 1 < n ? DESC_NEXT : 0), id + i + 1);
	offer(d, id);
}

static void test_laps(void)
{
	struct driver d;
	uint32_t len;

	rng_init(&d, 0);
	for (unsigned i = 0; i < 100; i++) {
		unsigned n = 1 + i % 3;

		ask(&d, i * 7 % 200, n, 8 + i);
		ask(&d, i * 7 % 200 + 10, 2, 8);
		kick(&d);
		g_assert_cmpuint(wait_used(&d, &len), ==, i * 7 % 200);
		g_assert_cmpuint(len, ==, MIN(n * (8 + i), 256));
		g_assert_cmpuint(wait_used(&d, &len), ==, i * 7 % 200 + 10);
		g_assert_cmpuint(len, ==, 16);
		g_assert_false(next_is_used(&d));
	}
	driver_fini(&d);
}

/* What the driver says of events, and the device. */
static void test_events(void)
{
	struct driver d;
	uint8_t *driver_event, *device_event;

	rng_init(&d, F_EVENT_IDX);
	driver_event = ram(&d, DRIVER_EVENT_AT);
	device_event = ram(&d, DEVICE_EVENT_AT);
	le32_store(driver_event, EVENT_DISABLE << 16);
	ask(&d, 0, 1, 8);
	kick(&d);
	g_assert_cmpuint(msi_count(&d), ==, 0);
	g_assert_cmphex(le32_load(device_event), ==, EVENT_DESC << 16 | EVENT_WRAP | 1);
	le32_store(driver_event, 0);
	ask(&d, 0, 1, 8);
	kick(&d);
	g_assert_cmpuint(msi_count(&d), ==, 1);
	/* Place 1 of the second lap: the fifth from here. */
	le32_store(driver_event, EVENT_DESC << 16 | 1);
	for (unsigned i = 0; i < 20; i++) {
		ask(&d, 0, 1, 8);
		kick(&d);
		/* And again two laps later. */
		g_assert_cmpuint(msi_count(&d), ==, 1 + (i >= 4) + (i >= 14));
	}
	/* Off the ring's end, and into the middle of a chain. */
	le32_store(driver_event, UINT32_MAX ^ 1 << 16);
	ask(&d, 0, 1, 8);
	kick(&d);
	restart(&d, F_EVENT_IDX);
	ask(&d, 0, 1, 8);
	kick(&d);
	le32_store(driver_event, EVENT_DESC << 16 | EVENT_WRAP | 2);
	g_assert_cmpuint(status(&d), ==, 15);
	d.n_msi = 0;
	ask(&d, 0, 3, 8);
	kick(&d);
	g_assert_cmpuint(msi_count(&d), ==, 1);
	driver_fini(&d);
}

/* Without the event index, the only wish is none. */
static void test_suppression(void)
{
	struct driver d;

	rng_init(&d, 0);
	for (unsigned flags = 0; flags < 4; flags++) {
		d.n_msi = 0;
		le32_store(ram(&d, DRIVER_EVENT_AT), flags << 16 | 4);
		ask(&d, 0, 1, 8);
		kick(&d);
		g_assert_cmpuint(msi_count(&d), ==, flags != EVENT_DISABLE);
	}
	g_assert_cmphex(le32_load(ram(&d, DEVICE_EVENT_AT)), ==, 0);
	driver_fini(&d);
}

static void test_state(void)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	struct driver a, b;
	uint32_t len;
	uint8_t *at;

	rng_init(&a, 0);
	driver_init(&b, &virtio_rng_class, 0, false);
	for (unsigned i = 0; i < 7; i++) {
		ask(&a, 1, 1, 8);
		kick(&a);
		wait_used(&a, &len);
	}
	device_save(a.device, 0, saved);
	memcpy(b.env.mem->base, a.env.mem->base, RAM_SIZE);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(b.device, 0, &reader, NULL));
	b.features = a.features;
	b.queue_size = b.ring_size = RING;
	b.avail_at = b.used_at = a.used_at;
	ask(&b, 3, 4, 8);
	kick(&b);
	g_assert_cmpuint(wait_used(&b, &len), ==, 3);
	g_assert_cmpuint(len, ==, 32);

	/* Past the second lap. */
	at = memmem(saved->data, saved->len, "queues[].next_avail", 19);
	g_assert_nonnull(at);
	g_assert_cmpuint(le16_load(at + 19 + 5), ==, 7);
	le16_store(at + 19 + 5, 2 * RING);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_false(device_load(b.device, 0, &reader, NULL));
	driver_fini(&a);
	driver_fini(&b);
}

static uint8_t *ring(struct driver *d, unsigned i)
{
	return ram(d, RING_AT + 16 * i);
}

static void set_ring(struct driver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags)
{
	le64_store(ring(d, i), addr);
	le32_store(ring(d, i) + 8, len);
	le16_store(ring(d, i) + 14, flags | DESC_AVAIL);
}

static void no_end(struct driver *d)
{
	for (unsigned i = 0; i < RING; i++)
		set_ring(d, i, DATA_AT, 8, DESC_WRITE | DESC_NEXT);
}

static void no_end_of_empty(struct driver *d)
{
	for (unsigned i = 0; i < RING; i++)
		set_ring(d, i, DATA_AT, 0, DESC_WRITE | DESC_NEXT);
}

static void outside_ram(struct driver *d)
{
	set_ring(d, 0, RAM_SIZE - 4, 8, DESC_WRITE);
}

static void read_after_write(struct driver *d)
{
	set_ring(d, 0, DATA_AT, 8, DESC_WRITE | DESC_NEXT);
	set_ring(d, 1, DATA_AT, 8, 0);
}

static void indirect_not_negotiated(struct driver *d)
{
	set_ring(d, 0, INDIRECT_AT, 16, DESC_INDIRECT);
}

static void indirect_after_next(struct driver *d)
{
	set_ring(d, 0, DATA_AT, 8, DESC_NEXT);
	set_ring(d, 1, INDIRECT_AT, 16, DESC_INDIRECT);
}

static void indirect_with_next(struct driver *d)
{
	set_ring(d, 0, INDIRECT_AT, 16, DESC_INDIRECT | DESC_NEXT);
}

static void indirect_too_long(struct driver *d)
{
	set_ring(d, 0, INDIRECT_AT, 16 * 257, DESC_INDIRECT);
}

static void indirect_odd(struct driver *d)
{
	set_ring(d, 0, INDIRECT_AT, 24, DESC_INDIRECT);
}

static const struct {
	void (*spoil)(struct driver *d);
	uint64_t features;
} hostile[] = {
	{no_end},
	{no_end_of_empty},
	{outside_ram},
	{read_after_write},
	{indirect_not_negotiated},
	{indirect_after_next, F_INDIRECT},
	{indirect_with_next, F_INDIRECT},
	{indirect_too_long, F_INDIRECT},
	{indirect_odd, F_INDIRECT},
};

static void assert_broken(struct driver *d, void (*spoil)(struct driver *d), uint64_t features)
{
	uint32_t len;

	restart(d, features);
	spoil(d);
	kick(d);
	g_assert_cmphex(status(d), ==, 15 | NEEDS_RESET);
	restart(d, features);
	ask(d, 2, 2, 8);
	kick(d);
	g_assert_cmpuint(wait_used(d, &len), ==, 2);
	g_assert_cmpuint(len, ==, 16);
}

static void test_hostile(void)
{
	struct driver d;

	rng_init(&d, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++)
		assert_broken(&d, hostile[i].spoil, hostile[i].features);
	driver_fini(&d);
}

/* Rings that are not in RAM, or not aligned, or of a size that only a packed one has. */
static void test_bad_rings(void)
{
	static const struct {
		unsigned reg;
		uint32_t at;
	} bad[] = {
		{0x20, RING_AT + 8}, {0x20, RAM_SIZE - 64},	  {0x28, DRIVER_EVENT_AT + 2},
		{0x28, RAM_SIZE},    {0x30, DEVICE_EVENT_AT + 2}, {0x30, 0xe0000000},
	};
	struct driver d;

	rng_init(&d, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_true(negotiate(&d, F_VERSION_1 | F_PACKED));
		common_write(&d, 0x18, RING, 2);
		common_write(&d, 0x20, RING_AT, 4);
		common_write(&d, 0x28, DRIVER_EVENT_AT, 4);
		common_write(&d, 0x30, DEVICE_EVENT_AT, 4);
		common_write(&d, bad[i].reg, bad[i].at, 4);
		common_write(&d, 0x1c, 1, 2);
		g_assert_cmpuint(common_read(&d, 0x1c, 2), ==, 0);
		g_assert_true(status(&d) & NEEDS_RESET);
	}
	/* Sized while packed rings were asked for, which then were not. */
	reset(&d);
	common_write(&d, 0x14, 3, 1);
	common_write(&d, 0x08, 1, 4);
	common_write(&d, 0x0c, (F_VERSION_1 | F_PACKED) >> 32, 4);
	common_write(&d, 0x18, RING, 2);
	common_write(&d, 0x0c, F_VERSION_1 >> 32, 4);
	common_write(&d, 0x14, 11, 1);
	common_write(&d, 0x20, DESC_AT, 4);
	common_write(&d, 0x28, AVAIL_AT, 4);
	common_write(&d, 0x30, USED_AT, 4);
	common_write(&d, 0x1c, 1, 2);
	g_assert_cmpuint(common_read(&d, 0x1c, 2), ==, 0);
	g_assert_true(status(&d) & NEEDS_RESET);
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-packed/laps", test_laps);
	g_test_add_func("/virtio-packed/events", test_events);
	g_test_add_func("/virtio-packed/suppression", test_suppression);
	g_test_add_func("/virtio-packed/state", test_state);
	g_test_add_func("/virtio-packed/hostile", test_hostile);
	g_test_add_func("/virtio-packed/bad-rings", test_bad_rings);
	return g_test_run();
}
