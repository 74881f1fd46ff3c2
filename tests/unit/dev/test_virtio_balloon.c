/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/stat.h>

#include "dev/virtio/virtio_balloon.h"
#include "virtio_driver.h"

enum { INFLATE, DEFLATE, STATS, REPORTING, N_QUEUES };

#define F_STATS	    2u
#define F_REPORTING 32u
#define PAGE_AT(i)  (0x700000u + 4096 * (i))
#define OUT_AT	    0x300000u

static unsigned n_written; /* code that was dropped */

static void on_written(void *opaque, uint64_t gpa, uint64_t len)
{
	n_written++;
}

static void on_protect(void *opaque, uint64_t gpa)
{
}

static void nothing(void *opaque)
{
}

static void start_queues(struct driver *d, uint64_t features)
{
	g_assert_true(negotiate(d, F_VERSION_1 | features | (packed_rings() ? F_PACKED : 0)));
	for (unsigned i = 0; i < N_QUEUES; i++) {
		use_queue(d, i);
		set_up_queue(d, 16);
	}
	common_write(d, 0x14, 15, 1);
	g_assert_cmpuint(status(d), ==, 15);
}

static void fill_pages(struct driver *d)
{
	for (unsigned i = 0; i < 16; i++)
		memset(ram(d, PAGE_AT(i)), 0xaa, 4096);
}

/* Bit i: page i still has what it had. */
static unsigned kept(struct driver *d)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < 16; i++) {
		const uint8_t *page = ram(d, PAGE_AT(i));

		g_assert_true(page[0] == page[4095]);
		bits |= (page[0] == 0xaa) << i;
	}
	return bits;
}

static void put(struct driver *d, unsigned queue, const void *bytes, uint32_t len)
{
	memcpy(ram(d, OUT_AT), bytes, len);
	use_queue(d, queue);
	set_desc(ram(d, d->base + DESC_AT), 0, OUT_AT, len, 0, 0);
	offer(d, 0);
	kick(d);
}

static void test_inflate(void)
{
	static const uint32_t pages[] = {
		PAGE_AT(3) >> 12, PAGE_AT(2) >> 12, PAGE_AT(1) >> 12, /* downwards */
		PAGE_AT(8) >> 12, PAGE_AT(9) >> 12,		      /* upwards */
		PAGE_AT(9) >> 12, PAGE_AT(15) >> 12,
		0xfee00, UINT32_MAX, RAM_SIZE >> 12, /* no RAM */
	};
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_balloon_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10451af4);
	g_assert_cmphex(device_features(&d) & 63, ==, 38);
	mem_add_listener(d.env.mem, &(struct mem_listener){on_written, on_protect, nothing, nothing, &d, NULL});
	start_queues(&d, 0);
	fill_pages(&d);
	mem_add_code_lines(d.env.mem, PAGE_AT(2), 1);
	n_written = 0;
	put(&d, INFLATE, pages, sizeof(pages));
	wait_used(&d, &len);
	g_assert_cmphex(kept(&d), ==, 0xffff & ~0x830e);
	g_assert_cmpuint(n_written, ==, 1);
	g_assert_cmphex(mem_code_lines(d.env.mem, PAGE_AT(2)), ==, 0);
	g_assert_true(mem_is_dirty(d.env.mem, PAGE_AT(9)));
	/* Taking them out is using them. */
	put(&d, DEFLATE, pages, 8);
	wait_used(&d, &len);
	mem_remove_listener(d.env.mem, &d);
	driver_fini(&d);
}

/* What the host has of the file. */
static uint64_t host_bytes(struct driver *d)
{
	struct stat st;

	g_assert_cmpint(fstat(d->env.mem->fd, &st), ==, 0);
	return st.st_blocks * 512;
}

static void test_reporting(void)
{
	struct balloon_status balloon;
	uint64_t before;
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_balloon_class, 0, false);
	/* Without statistics, Linux has it in their queue's place. */
	for (unsigned queue = STATS; queue <= REPORTING; queue++) {
		start_queues(&d, queue == STATS ? F_REPORTING : F_REPORTING | F_STATS);
		fill_pages(&d);
		before = host_bytes(&d);
		use_queue(&d, queue);
		set_desc(ram(&d, d.base + DESC_AT), 0, PAGE_AT(4), 4 * 4096, DESC_WRITE | DESC_NEXT, 1);
		set_desc(ram(&d, d.base + DESC_AT), 1, PAGE_AT(9) + 1, 3 * 4096, DESC_WRITE, 0);
		offer(&d, 0);
		kick(&d);
		wait_used(&d, &len);
		/* Before somebody looks, which takes them again. */
		g_assert_cmpuint(host_bytes(&d), ==, before - 6 * 4096);
		g_assert_cmphex(kept(&d), ==, 0xffff & ~0x0cf0);
		virtio_balloon_get(d.device, &balloon);
		g_assert_cmpuint(balloon.reported, ==, 7 * 4096);
	}
	driver_fini(&d);
}

static void test_target(void)
{
	struct balloon_status balloon;
	struct driver d;
	unsigned n;

	driver_init(&d, &virtio_balloon_class, 0, false);
	virtio_balloon_get(d.device, &balloon);
	g_assert_false(balloon.has_driver);
	start_queues(&d, 0);
	n = msi_count(&d);
	virtio_balloon_set_target(d.device, 8 << 20);
	g_assert_cmpuint(msi_count(&d), ==, n + 1);
	g_assert_cmpuint(d.last_msi, ==, 0x41);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[4], 4), ==, 2048);
	bus_write(d.env.bus, BUS_MMIO, d.structure[4], 1, 4); /* the device's */
	bus_write(d.env.bus, BUS_MMIO, d.structure[4] + 4, 1000, 4);
	virtio_balloon_get(d.device, &balloon);
	g_assert_true(balloon.has_driver);
	g_assert_cmpuint(balloon.target, ==, 8 << 20);
	g_assert_cmpuint(balloon.actual, ==, 4096000);
	start_queues(&d, 0);
	virtio_balloon_get(d.device, &balloon);
	g_assert_cmpuint(balloon.target, ==, 8 << 20);
	g_assert_cmpuint(balloon.actual, ==, 0);
	driver_fini(&d);
}

static void put_stats(struct driver *d, uint64_t free, uint64_t total)
{
	uint8_t stats[32] = {0};

	le16_store(stats, BALLOON_FREE);
	le64_store(stats + 2, free);
	le16_store(stats + 10, 0x7777); /* of the future */
	le16_store(stats + 20, BALLOON_TOTAL);
	le64_store(stats + 22, total);
	put(d, STATS, stats, sizeof(stats));
}

static void test_statistics(void)
{
	struct balloon_status balloon;
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_balloon_class, 0, false);
	start_queues(&d, F_STATS);
	virtio_balloon_get(d.device, &balloon);
	g_assert_cmpuint(balloon.n_updates, ==, 0);
	g_assert_cmphex(balloon.statistics[BALLOON_FREE], ==, UINT64_MAX);
	put_stats(&d, 1000, 5000);
	g_assert_cmpuint(used_index(&d), ==, d.used_idx);
	kick(&d); /* says nothing new */
	virtio_balloon_get(d.device, &balloon);
	g_assert_cmpuint(balloon.n_updates, ==, 1);
	g_assert_cmpuint(balloon.statistics[BALLOON_FREE], ==, 1000);
	g_assert_cmpuint(balloon.statistics[BALLOON_TOTAL], ==, 5000);
	g_assert_cmphex(balloon.statistics[BALLOON_CACHES], ==, UINT64_MAX);
	/* By that it has got its buffer back. */
	wait_used(&d, &len);
	put_stats(&d, 2000, 5000);
	virtio_balloon_get(d.device, &balloon);
	g_assert_cmpuint(balloon.n_updates, ==, 2);
	g_assert_cmpuint(balloon.statistics[BALLOON_FREE], ==, 2000);
	/* Linux gives its buffer, and kicks, before it is up. */
	g_assert_true(negotiate(&d, F_VERSION_1 | F_STATS | (packed_rings() ? F_PACKED : 0)));
	for (unsigned i = 0; i < N_QUEUES; i++) {
		use_queue(&d, i);
		set_up_queue(&d, 16);
	}
	put_stats(&d, 3000, 5000);
	common_write(&d, 0x14, 15, 1);
	virtio_balloon_get(d.device, &balloon);
	g_assert_cmpuint(balloon.statistics[BALLOON_FREE], ==, 3000);
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-balloon/inflate", test_inflate);
	g_test_add_func("/virtio-balloon/reporting", test_reporting);
	g_test_add_func("/virtio-balloon/target", test_target);
	g_test_add_func("/virtio-balloon/statistics", test_statistics);
	return g_test_run();
}
