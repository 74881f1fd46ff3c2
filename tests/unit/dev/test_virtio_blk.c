/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio_driver.h"

#define DISK_SIZE (8u << 20)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

#define F_FLUSH (1ull << 9)

static void put_header(struct driver *d, uint32_t type, uint64_t sector)
{
	le32_store(ram(d, HEADER_AT), type);
	le32_store(ram(d, HEADER_AT + 4), 0);
	le64_store(ram(d, HEADER_AT + 8), sector);
	*ram(d, STATUS_AT) = 0xff;
}

/* Header, data, status: descriptors 0 to 2 of `table`. */
static void put_chain(struct driver *d, uint8_t *table, uint64_t data, uint32_t len, bool in)
{
	set_desc(table, 0, HEADER_AT, 16, DESC_NEXT, len ? 1 : 2);
	set_desc(table, 1, data, len, DESC_NEXT | (in ? DESC_WRITE : 0), 2);
	set_desc(table, 2, STATUS_AT, 1, DESC_WRITE, 0);
}

/* One request, to its end; its status, and in `*written` what the used ring says. */
static uint8_t request_len(struct driver *d, uint32_t type, uint64_t sector, uint32_t len,
			   uint32_t *written)
{
	put_header(d, type, sector);
	put_chain(d, ram(d, DESC_AT), DATA_AT, len, type == T_IN || type == T_GET_ID);
	offer(d, 0);
	kick(d);
	g_assert_cmpuint(wait_used(d, written), ==, 0);
	return *ram(d, STATUS_AT);
}

static uint8_t request(struct driver *d, uint32_t type, uint64_t sector, uint32_t len)
{
	uint32_t written;

	return request_len(d, type, sector, len, &written);
}

static void test_config(void)
{
	struct driver d;
	uint64_t at;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10421af4);
	g_assert_cmphex(config_read(&d, PCI_REVISION_ID, 1), ==, 1);
	at = d.structure[4];
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at, 8), ==, DISK_SIZE / 512);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 12, 4), ==, 254);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 20, 4), ==, 512);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 24, 4), ==, 3 | 8 << 16);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 28, 4), ==, 128);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 34, 2), ==, 2);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 0x800, 4), ==, 0);
	g_assert_false(device_features(&d) & 1 << 5);
	driver_fini(&d);

	driver_init(&d, &virtio_blk_class, DISK_SIZE, true);
	g_assert_true(device_features(&d) & 1 << 5);
	start(&d, 0);
	g_assert_cmpuint(request(&d, T_OUT, 0, 512), ==, S_IOERR);
	g_assert_cmpuint(request(&d, T_DISCARD, 0, 16), ==, S_UNSUPP);
	g_assert_cmpuint(request(&d, T_IN, 0, 512), ==, S_OK);
	driver_fini(&d);
}

static void test_negotiation(void)
{
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	g_assert_true(device_features(&d) & F_VERSION_1);
	/* No driver without version 1, nor with features that were not offered. */
	g_assert_false(negotiate(&d, 0));
	g_assert_false(negotiate(&d, F_VERSION_1 | 1ull << 60));
	common_write(&d, 0x14, 15, 1);
	g_assert_false(status(&d) & 4);
	g_assert_true(negotiate(&d, F_VERSION_1 | F_FLUSH));
	/* Fixed from here on. */
	common_write(&d, 0x08, 0, 4);
	common_write(&d, 0x0c, 0, 4);
	g_assert_cmphex(common_read(&d, 0x0c, 4), ==, F_FLUSH);

	g_assert_cmpuint(common_read(&d, 0x12, 2), ==, 2);
	set_up_queue(&d, 16);
	g_assert_cmpuint(common_read(&d, 0x18, 2), ==, 16);
	common_write(&d, 0x18, 8, 2); /* enabled: stands still */
	g_assert_cmpuint(common_read(&d, 0x18, 2), ==, 16);
	common_write(&d, 0x1a, 77, 2);
	g_assert_cmphex(common_read(&d, 0x1a, 2), ==, 0xffff);
	common_write(&d, 0x16, 2, 2);
	g_assert_cmpuint(common_read(&d, 0x18, 2), ==, 0);
	driver_fini(&d);
}

static void test_read_write(void)
{
	struct driver d;
	uint32_t written;
	unsigned before;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, F_FLUSH);
	for (unsigned i = 0; i < 8192; i++)
		*ram(&d, DATA_AT + i) = i * 13 + 5;
	before = msi_count(&d);
	g_assert_cmpuint(request_len(&d, T_OUT, 100, 8192, &written), ==, S_OK);
	g_assert_cmpuint(written, ==, 1);
	g_assert_cmpuint(request(&d, T_FLUSH, 0, 0), ==, S_OK);
	memset(ram(&d, DATA_AT), 0, 8192);
	g_assert_cmpuint(request_len(&d, T_IN, 101, 7680, &written), ==, S_OK);
	g_assert_cmpuint(written, ==, 7681);
	for (unsigned i = 0; i < 7680; i++)
		g_assert_cmpuint(*ram(&d, DATA_AT + i), ==, (uint8_t)((i + 512) * 13 + 5));
	block_drain(d.block);
	g_assert_cmpuint(msi_count(&d), ==, before + 3);
	g_assert_cmphex(d.last_msi, ==, 0x40);

	g_assert_cmpuint(request_len(&d, T_GET_ID, 0, 20, &written), ==, S_OK);
	g_assert_cmpstr((char *)ram(&d, DATA_AT), ==, "viv-02.0");
	g_assert_cmpuint(request(&d, 99, 0, 512), ==, S_UNSUPP);
	/* Off the disk's end, and so far off that bytes come round to its start. */
	g_assert_cmpuint(request(&d, T_IN, DISK_SIZE / 512 - 1, 1024), ==, S_IOERR);
	g_assert_cmpuint(request(&d, T_OUT, 1ull << 55, 512), ==, S_IOERR);
	g_assert_cmpuint(request(&d, T_IN, 0, 511), ==, S_IOERR);
	driver_fini(&d);
}

static uint8_t range_request(struct driver *d, uint32_t type, uint64_t sector, uint32_t n,
			     uint32_t flags)
{
	le64_store(ram(d, DATA_AT), sector);
	le32_store(ram(d, DATA_AT + 8), n);
	le32_store(ram(d, DATA_AT + 12), flags);
	return request(d, type, 0, 16);
}

static void test_ranges(void)
{
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, 0); /* no FLUSH: each write flushes by itself */
	memset(ram(&d, DATA_AT), 0x77, 4096);
	g_assert_cmpuint(request(&d, T_OUT, 0, 4096), ==, S_OK);
	g_assert_cmpuint(range_request(&d, T_WRITE_ZEROES, 1, 2, 1), ==, S_OK);
	g_assert_cmpuint(request(&d, T_IN, 0, 4096), ==, S_OK);
	for (unsigned i = 0; i < 4096; i++)
		g_assert_cmphex(*ram(&d, DATA_AT + i), ==, i / 512 == 1 || i / 512 == 2 ? 0 : 0x77);
	g_assert_cmpuint(range_request(&d, T_DISCARD, 8, 8, 0), ==, S_OK);
	g_assert_cmpuint(range_request(&d, T_DISCARD, 8, 8, 1), ==, S_UNSUPP);
	g_assert_cmpuint(range_request(&d, T_WRITE_ZEROES, 8, 8, 2), ==, S_UNSUPP);
	g_assert_cmpuint(range_request(&d, T_DISCARD, DISK_SIZE / 512, 8, 0), ==, S_IOERR);
	g_assert_cmpuint(range_request(&d, T_DISCARD, -8ull, 8, 0), ==, S_IOERR);
	g_assert_cmpuint(range_request(&d, T_WRITE_ZEROES, 0, 0xffffffff, 0), ==, S_IOERR);
	g_assert_cmpuint(request(&d, T_DISCARD, 0, 32), ==, S_IOERR);
	driver_fini(&d);
}

/* Header and data in pieces, the status byte behind data, all in an indirect table. */
static void test_indirect(void)
{
	struct driver d;
	uint8_t *table;
	uint32_t len;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, F_INDIRECT | F_EVENT_IDX);
	put_header(&d, T_IN, 0);
	table = ram(&d, INDIRECT_AT);
	memset(ram(&d, DATA_AT), 0xff, 1024);
	set_desc(table, 0, HEADER_AT, 5, DESC_NEXT, 3);
	set_desc(table, 3, HEADER_AT + 5, 11, DESC_NEXT, 1);
	set_desc(table, 1, DATA_AT, 100, DESC_NEXT | DESC_WRITE, 2);
	set_desc(table, 2, DATA_AT + 100, 413, DESC_WRITE, 0);
	set_desc(ram(&d, DESC_AT), 7, INDIRECT_AT, 64, DESC_INDIRECT, 0);
	offer(&d, 7);
	kick(&d);
	g_assert_cmpuint(wait_used(&d, &len), ==, 7);
	g_assert_cmpuint(len, ==, 513);
	g_assert_cmphex(*ram(&d, DATA_AT + 511), ==, 0);
	g_assert_cmphex(*ram(&d, DATA_AT + 512), ==, S_OK);
	g_assert_cmphex(*ram(&d, DATA_AT + 513), ==, 0xff);
	driver_fini(&d);
}

/* Two queues at once. */
static void test_queues(void)
{
	enum { ROUNDS = 300 };
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	g_assert_true(negotiate(&d, F_VERSION_1 | 1 << 12 | (packed_rings() ? F_PACKED : 0)));
	for (unsigned queue = 0; queue < 2; queue++) {
		use_queue(&d, queue);
		set_up_queue(&d, 16);
	}
	common_write(&d, 0x14, 15, 1);
	put_header(&d, T_IN, 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned queue = 0; queue < 2; queue++) {
			use_queue(&d, queue);
			for (unsigned i = 0; i < 5; i++) {
				put_chain(&d, ram(&d, d.base + DESC_AT + 48 * i), DATA_AT, 512, true);
				for (unsigned j = 0; j < 2; j++)
					le16_store(ram(&d, d.base + DESC_AT + 48 * i + 16 * j + 14),
						   3 * i + j + 1);
				offer(&d, 3 * i);
			}
			kick(&d);
		}
		for (unsigned queue = 0; queue < 2; queue++) {
			use_queue(&d, queue);
			for (unsigned i = 0; i < 5; i++) {
				wait_used(&d, &len);
				g_assert_cmpuint(len, ==, 513);
			}
		}
	}
	block_drain(d.block);
	driver_fini(&d);
}

/* With the event index, interrupts come only where the driver asked for one. */
static void test_event_index(void)
{
	struct driver d;
	unsigned before;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, F_EVENT_IDX);
	g_assert_cmpuint(request(&d, T_IN, 0, 512), ==, S_OK); /* the first always interrupts */
	block_drain(d.block);
	before = msi_count(&d);
	le16_store(ram(&d, AVAIL_AT + 4 + 2 * 16), 3); /* used_event: the fourth */
	for (unsigned i = 1; i < 4; i++) {
		put_chain(&d, ram(&d, DESC_AT), DATA_AT, 512, true);
		offer(&d, 0);
		kick(&d);
		block_drain(d.block);
		g_assert_cmpuint(used_index(&d), ==, i + 1);
		g_assert_cmpuint(msi_count(&d), ==, before + (i == 3));
		/* avail_event: tell us of the next. */
		g_assert_cmpuint(le16_load(ram(&d, USED_AT + 4 + 8 * 16)), ==, i + 1);
		d.used_idx++;
	}
	driver_fini(&d);
}

static void test_intx(void)
{
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	config_write(&d, find_msix(&d) + 2, 0, 2);
	start(&d, 0);
	g_assert_cmpuint(request(&d, T_IN, 0, 512), ==, S_OK);
	block_drain(d.block);
	g_assert_true(d.level);
	g_assert_cmpuint(msi_count(&d), ==, 0);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[3], 1), ==, 1);
	g_assert_false(d.level);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[3], 1), ==, 0);
	driver_fini(&d);
}

/* Many requests under way, each with a buffer of its own, then a reset: it ends, and nothing
 * reaches the guest after it. */
static void test_reset_in_flight(void)
{
	enum { REQUESTS = 16, PART = 256 << 10, TABLE = 3 * 16 };
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	for (unsigned round = 0; round < 50; round++) {
		start(&d, F_INDIRECT);
		put_header(&d, T_IN, 0);
		for (unsigned i = 0; i < REQUESTS; i++) {
			put_chain(&d, ram(&d, INDIRECT_AT + TABLE * i), DATA_AT + PART * i, PART,
				  true);
			set_desc(ram(&d, DESC_AT), i, INDIRECT_AT + TABLE * i, TABLE, DESC_INDIRECT,
				 0);
			offer(&d, i);
		}
		kick(&d);
		reset(&d);
		memset(ram(&d, DATA_AT), 0x5a, REQUESTS * PART);
		memset(ram(&d, USED_AT), 0x5a, 4096);
		block_drain(d.block);
		for (unsigned i = 0; i < REQUESTS * PART; i += 4096)
			g_assert_cmphex(*ram(&d, DATA_AT + i), ==, 0x5a);
		g_assert_cmphex(le16_load(ram(&d, USED_AT + 2)), ==, 0x5a5a);
	}
	driver_fini(&d);
}

/* The window in configuration space, as firmware reads the capacity. */
static void test_pci_window(void)
{
	struct driver d;
	unsigned at;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	at = config_read(&d, PCI_CAPABILITIES, 1);
	while (config_read(&d, at, 1) != PCI_CAP_ID_VENDOR || config_read(&d, at + 3, 1) != 5)
		at = config_read(&d, at + 1, 1);
	config_write(&d, at + 4, 4, 1);
	config_write(&d, at + 8, 0x2000, 4);
	config_write(&d, at + 12, 4, 4);
	g_assert_cmpuint(config_read(&d, at + 16, 4), ==, DISK_SIZE / 512);
	config_write(&d, at + 8, 0x14, 4);
	config_write(&d, at + 12, 1, 4);
	config_write(&d, at + 16, 1, 1);
	g_assert_cmpuint(status(&d), ==, 1);
	/* Settings that are none. */
	config_write(&d, at + 8, 0xfffffffc, 4);
	config_read(&d, at + 16, 4);
	config_write(&d, at + 12, 0x80000000, 4);
	config_write(&d, at + 16, 0xff, 4);
	config_write(&d, at + 4, 0xff, 1);
	config_read(&d, at + 16, 4);
	driver_fini(&d);
}

static void test_state(void)
{
	struct driver a, b;
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;

	driver_init(&a, &virtio_blk_class, DISK_SIZE, false);
	driver_init(&b, &virtio_blk_class, DISK_SIZE, false);
	start(&a, F_EVENT_IDX);
	for (unsigned i = 0; i < 5; i++) {
		le16_store(ram(&a, AVAIL_AT + 4 + 2 * 16), i); /* used_event: tell of this one */
		g_assert_cmpuint(request(&a, T_IN, 0, 512), ==, S_OK);
	}
	/* Saved with work in flight: it is complete in the saved RAM. */
	put_chain(&a, ram(&a, DESC_AT), DATA_AT, 1 << 20, true);
	offer(&a, 0);
	kick(&a);
	device_save(a.device, 0, saved);
	g_assert_cmpuint(used_index(&a), ==, 6);
	memcpy(b.env.mem->base, a.env.mem->base, RAM_SIZE);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(b.device, 0, &reader, NULL));
	b.queue_size = 16;
	b.avail_idx = b.used_idx = 6;
	g_assert_cmpuint(status(&b), ==, 15);
	g_assert_cmpuint(request(&b, T_IN, 0, 512), ==, S_OK);
	driver_fini(&a);
	driver_fini(&b);
}

/* A driver that fills the queue as fast as it is emptied: the device does others' work in between,
 * and forgets nothing, not even where it is saved there. */
static void test_refill(void)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	struct driver a, b;
	uint16_t left;

	driver_init(&a, &virtio_blk_class, DISK_SIZE, false);
	driver_init(&b, &virtio_blk_class, DISK_SIZE, false);
	start(&a, 0);
	put_header(&a, T_GET_ID, 0);
	put_chain(&a, ram(&a, DESC_AT), DATA_AT, 20, true);
	a.refill = 599;
	offer(&a, 0);
	kick(&a);
	g_assert_cmpuint(used_index(&a), <, 300);
	device_save(a.device, 0, saved);
	memcpy(b.env.mem->base, a.env.mem->base, RAM_SIZE);
	clock_step(a.env.clock, 1000000);
	g_assert_cmpuint(used_index(&a), ==, 600);

	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(b.device, 0, &reader, NULL));
	left = used_index(&b);
	clock_step(b.env.clock, 1000000);
	g_assert_cmpuint(used_index(&b), ==, left + 1);
	driver_fini(&a);
	driver_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-blk/config", test_config);
	g_test_add_func("/virtio-blk/negotiation", test_negotiation);
	g_test_add_func("/virtio-blk/read-write", test_read_write);
	g_test_add_func("/virtio-blk/ranges", test_ranges);
	g_test_add_func("/virtio-blk/indirect", test_indirect);
	g_test_add_func("/virtio-blk/queues", test_queues);
	g_test_add_func("/virtio-blk/intx", test_intx);
	g_test_add_func("/virtio-blk/reset-in-flight", test_reset_in_flight);
	g_test_add_func("/virtio-blk/pci-window", test_pci_window);
	/* They look at the rings. */
	if (!packed_rings()) {
		g_test_add_func("/virtio-blk/event-index", test_event_index);
		g_test_add_func("/virtio-blk/state", test_state);
		g_test_add_func("/virtio-blk/refill", test_refill);
	}
	return g_test_run();
}
