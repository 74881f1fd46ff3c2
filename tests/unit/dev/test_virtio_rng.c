/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio_driver.h"

#define ID_RNG	    0x10441af4u
#define NEEDS_RESET 64
#define BOUND	    256u /* of a request: what more it asks for, the driver asks for again */
#define MARK	    0x5a

static void put(struct driver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags)
{
	set_desc(ram(d, DESC_AT), i, addr, len, flags, i + 1);
}

static void mark(struct driver *d)
{
	memset(ram(d, DATA_AT), MARK, 0x10000);
}

/* How many bytes from `at` on, up to the last that is not as it was marked. */
static unsigned written(struct driver *d, uint64_t at, unsigned room)
{
	const uint8_t *bytes = ram(d, at);

	while (room && bytes[room - 1] == MARK)
		room--;
	return room;
}

/* Random bytes may end in marks, but five only once in 2^40. */
static void assert_written(struct driver *d, uint64_t at, unsigned n, unsigned room)
{
	g_assert_cmpuint(written(d, at, room), <=, n);
	if (n >= 8)
		g_assert_cmpuint(written(d, at, room), >, n - 5);
}

static void test_lengths(void)
{
	static const uint32_t lengths[] = {1, 8, 64, BOUND - 1, BOUND, BOUND + 1, 4096, RAM_SIZE - DATA_AT};
	uint8_t before[8];
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_rng_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, ID_RNG);
	g_assert_cmphex(device_features(&d) & 0xffffff, ==, 0);
	g_assert_cmpuint(common_read(&d, 0x12, 2), ==, 1);
	start(&d, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
		mark(&d);
		put(&d, 0, DATA_AT, lengths[i], DESC_WRITE);
		offer(&d, 0);
		kick(&d);
		g_assert_cmpuint(wait_used(&d, &len), ==, 0);
		g_assert_cmpuint(len, ==, MIN(lengths[i], BOUND));
		assert_written(&d, DATA_AT, len, 0x10000);
		/* Others each time. */
		if (i)
			g_assert_cmpint(memcmp(ram(&d, DATA_AT), before, 8), !=, 0);
		memcpy(before, ram(&d, DATA_AT), 8);
	}
	driver_fini(&d);
}

/* One request of several buffers, and several requests. */
static void test_buffers(void)
{
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_rng_class, 0, false);
	start(&d, 0);
	mark(&d);
	for (unsigned i = 0; i < 4; i++)
		put(&d, i, DATA_AT + 0x1000 * i, 100, i < 3 ? DESC_WRITE | DESC_NEXT : DESC_WRITE);
	for (unsigned i = 4; i < 8; i++)
		put(&d, i, DATA_AT + 0x1000 * i, 10 * i, DESC_WRITE);
	offer(&d, 0);
	for (unsigned i = 4; i < 8; i++)
		offer(&d, i);
	kick(&d);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	g_assert_cmpuint(len, ==, BOUND);
	for (unsigned i = 0; i < 4; i++)
		assert_written(&d, DATA_AT + 0x1000 * i, (const unsigned[]){100, 100, 56, 0}[i], 0x1000);
	for (unsigned i = 4; i < 8; i++) {
		g_assert_cmpuint(wait_used(&d, &len), ==, i);
		g_assert_cmpuint(len, ==, 10 * i);
		assert_written(&d, DATA_AT + 0x1000 * i, len, 0x1000);
	}
	driver_fini(&d);
}

/* What the device is only to read stays as it is, and comes back. */
static void test_read_only(void)
{
	static const unsigned heads[] = {0, 1, 3};
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_rng_class, 0, false);
	start(&d, 0);
	mark(&d);
	put(&d, 0, DATA_AT, 64, 0);
	put(&d, 1, DATA_AT + 0x1000, 64, DESC_NEXT);
	put(&d, 2, DATA_AT + 0x2000, 64, DESC_WRITE);
	put(&d, 3, DATA_AT + 0x3000, 0, DESC_WRITE);
	for (unsigned i = 0; i < G_N_ELEMENTS(heads); i++)
		offer(&d, heads[i]);
	kick(&d);
	for (unsigned i = 0; i < G_N_ELEMENTS(heads); i++) {
		g_assert_cmpuint(wait_used(&d, &len), ==, heads[i]);
		g_assert_cmpuint(len, ==, heads[i] == 1 ? 64 : 0);
	}
	assert_written(&d, DATA_AT, 0, 0x2000);
	assert_written(&d, DATA_AT + 0x2000, 64, 0xe000);
	driver_fini(&d);
}

/* Buffers that are no RAM: the device stops, nothing is written, and works again after a reset. */
static void test_hostile(void)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{DATA_AT, UINT32_MAX}, {RAM_SIZE - 16, 32}, {RAM_SIZE, 1}, {-16ull, 32}, {0xfee00000, 64},
	};
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_rng_class, 0, false);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		start(&d, 0);
		mark(&d);
		/* The first buffer is good, but is not filled before the whole chain is looked at. */
		put(&d, 0, DATA_AT, 64, DESC_WRITE | DESC_NEXT);
		put(&d, 1, bad[i].addr, bad[i].len, DESC_WRITE);
		offer(&d, 0);
		kick(&d);
		g_assert_cmphex(status(&d), ==, 15 | NEEDS_RESET);
		assert_written(&d, DATA_AT, 0, 0x10000);
		g_assert_cmpuint(used_index(&d), ==, 0);
	}
	start(&d, 0);
	put(&d, 0, DATA_AT, 64, DESC_WRITE);
	offer(&d, 0);
	kick(&d);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	g_assert_cmpuint(len, ==, 64);
	driver_fini(&d);
}

/* A driver that gives a buffer again as fast as it is filled does not hold its processor up for ever. */
static void test_refill(void)
{
	struct driver d;

	driver_init(&d, &virtio_rng_class, 0, false);
	start(&d, 0);
	put(&d, 0, DATA_AT, 64, DESC_WRITE);
	d.refill = 599;
	offer(&d, 0);
	kick(&d);
	g_assert_cmpuint(msi_count(&d), <, 300);
	clock_step(d.env.clock, 1000000);
	g_assert_cmpuint(msi_count(&d), ==, 600);
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-rng/lengths", test_lengths);
	g_test_add_func("/virtio-rng/buffers", test_buffers);
	g_test_add_func("/virtio-rng/read-only", test_read_only);
	g_test_add_func("/virtio-rng/hostile", test_hostile);
	g_test_add_func("/virtio-rng/refill", test_refill);
	return g_test_run();
}
