/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drivers that break their rings, on a disk. */
#include "virtio_driver.h"

#define DISK_SIZE (1u << 20)

enum { NEEDS_RESET = 64 };

static void good_chain(struct driver *d)
{
	uint8_t *table = ram(d, DESC_AT);

	memset(ram(d, HEADER_AT), 0, 16);
	set_desc(table, 0, HEADER_AT, 16, DESC_NEXT, 1);
	set_desc(table, 1, DATA_AT, 512, DESC_NEXT | DESC_WRITE, 2);
	set_desc(table, 2, STATUS_AT, 1, DESC_WRITE, 0);
}

static void loop(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, DATA_AT, 512, DESC_NEXT | DESC_WRITE, 1);
}

static void loop_of_empty(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, DATA_AT, 0, DESC_NEXT, 1);
}

static void next_outside(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, DATA_AT, 512, DESC_NEXT | DESC_WRITE, 16);
	set_desc(ram(d, DESC_AT), 16, STATUS_AT, 1, DESC_WRITE, 0);
}

static void buffer_outside_ram(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, RAM_SIZE - 256, 512, DESC_NEXT | DESC_WRITE, 2);
}

static void buffer_is_device(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, d->structure[1], 16, DESC_NEXT | DESC_WRITE, 2);
}

static void buffer_wraps(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, -4096ull, 8192, DESC_NEXT | DESC_WRITE, 2);
}

static void huge_length(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 1, DATA_AT, 0xffffffff, DESC_NEXT | DESC_WRITE, 2);
}

static void read_after_write(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 2, STATUS_AT, 1, 0, 0);
}

static void short_header(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 0, HEADER_AT, 15, DESC_NEXT, 1);
}

static void no_status(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 0, HEADER_AT, 16, 0, 0);
}

static void index_jumps(struct driver *d)
{
	d->avail_idx += 16;
}

static void index_goes_back(struct driver *d)
{
	d->avail_idx -= 2;
}

static void head_outside(struct driver *d)
{
	memset(ram(d, AVAIL_AT + 4), 0xff, 32);
	le16_store(ram(d, AVAIL_AT + 2), ++d->avail_idx);
}

static void indirect_in_indirect(struct driver *d)
{
	set_desc(ram(d, INDIRECT_AT), 0, INDIRECT_AT, 16, DESC_INDIRECT, 0);
	set_desc(ram(d, DESC_AT), 0, INDIRECT_AT, 16, DESC_INDIRECT, 0);
}

static void indirect_loop(struct driver *d)
{
	set_desc(ram(d, INDIRECT_AT), 0, HEADER_AT, 16, DESC_NEXT, 0);
	set_desc(ram(d, DESC_AT), 0, INDIRECT_AT, 32, DESC_INDIRECT, 0);
}

static void indirect_odd_length(struct driver *d)
{
	memcpy(ram(d, INDIRECT_AT), ram(d, DESC_AT), 48);
	set_desc(ram(d, DESC_AT), 0, INDIRECT_AT, 56, DESC_INDIRECT, 0);
}

static void indirect_empty(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 0, INDIRECT_AT, 0, DESC_INDIRECT, 0);
}

static void indirect_too_long(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 0, INDIRECT_AT, 16 << 20, DESC_INDIRECT, 0);
}

static void indirect_outside(struct driver *d)
{
	set_desc(ram(d, DESC_AT), 0, RAM_SIZE - 16, 32, DESC_INDIRECT, 0);
}

static void indirect_with_next(struct driver *d)
{
	memcpy(ram(d, INDIRECT_AT), ram(d, DESC_AT), 48);
	set_desc(ram(d, DESC_AT), 0, INDIRECT_AT, 48, DESC_INDIRECT | DESC_NEXT, 1);
}

static const struct {
	const char *name;
	void (*spoil)(struct driver *d);
} hostile[] = {
	{"loop", loop},
	{"loop-of-empty", loop_of_empty},
	{"next-outside", next_outside},
	{"buffer-outside-ram", buffer_outside_ram},
	{"buffer-is-device", buffer_is_device},
	{"buffer-wraps", buffer_wraps},
	{"huge-length", huge_length},
	{"read-after-write", read_after_write},
	{"short-header", short_header},
	{"no-status", no_status},
	{"index-jumps", index_jumps},
	{"index-goes-back", index_goes_back},
	{"head-outside", head_outside},
	{"indirect-in-indirect", indirect_in_indirect},
	{"indirect-loop", indirect_loop},
	{"indirect-odd-length", indirect_odd_length},
	{"indirect-empty", indirect_empty},
	{"indirect-too-long", indirect_too_long},
	{"indirect-outside", indirect_outside},
	{"indirect-with-next", indirect_with_next},
};

/* The device says so, once, stops, and works again after a reset. */
static void test_hostile(gconstpointer index)
{
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, F_INDIRECT);
	good_chain(&d);
	hostile[GPOINTER_TO_SIZE(index)].spoil(&d);
	offer(&d, 0);
	kick(&d);
	g_assert_cmphex(status(&d), ==, 15 | NEEDS_RESET);
	g_assert_cmpuint(msi_count(&d), ==, 1);
	g_assert_cmphex(d.last_msi, ==, 0x41);
	good_chain(&d);
	kick(&d);
	block_drain(d.block);
	g_assert_cmpuint(used_index(&d), ==, 0);

	start(&d, 0);
	good_chain(&d);
	offer(&d, 0);
	kick(&d);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	g_assert_cmpuint(len, ==, 513);
	driver_fini(&d);
}

/* Rings that are not in RAM, or not aligned, cannot be enabled. */
static void test_bad_rings(void)
{
	static const struct {
		unsigned reg;
		uint64_t at;
	} bad[] = {
		{0x20, DESC_AT + 8},	{0x20, RAM_SIZE - 64}, {0x20, -16ull},
		{0x28, AVAIL_AT + 1},	{0x28, RAM_SIZE - 8},  {0x28, 0xe0000000},
		{0x30, USED_AT + 2},	{0x30, RAM_SIZE - 64}, {0x30, -4ull},
		{0x30, 0x100000000ull},
	};
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_true(negotiate(&d, F_VERSION_1));
		common_write(&d, 0x18, 16, 2);
		common_write(&d, 0x20, DESC_AT, 4);
		common_write(&d, 0x28, AVAIL_AT, 4);
		common_write(&d, 0x30, USED_AT, 4);
		common_write(&d, bad[i].reg, bad[i].at, 4);
		common_write(&d, bad[i].reg + 4, bad[i].at >> 32, 4);
		common_write(&d, 0x1c, 1, 2);
		g_assert_cmpuint(common_read(&d, 0x1c, 2), ==, 0);
		g_assert_true(status(&d) & NEEDS_RESET);
	}
	/* Sizes that are none are not taken. */
	g_assert_true(negotiate(&d, F_VERSION_1));
	for (unsigned size = 0; size < 0x10000; size += 3) {
		common_write(&d, 0x18, size, 2);
		g_assert_cmpuint(common_read(&d, 0x18, 2), <=, 256);
		g_assert_cmpuint(common_read(&d, 0x18, 2), !=, 0);
	}
	driver_fini(&d);
}

/* Every register at every size, before and after the device is up. */
static void test_register_sweep(void)
{
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint64_t at = 0; at<0x4000; at += at % 0x1000> 0x100 ? 61 : 1) {
			for (unsigned size = 1; size <= 8; size *= 2) {
				bus_read(d.env.bus, BUS_MMIO, d.structure[1] + at, size);
				bus_write(d.env.bus, BUS_MMIO, d.structure[1] + at,
					  0x0101010101010101ull * (at + pass * 128 + 1), size);
			}
		}
		start(&d, 0);
	}
	driver_fini(&d);
}

/* Drivers are to use each member's width, but iPXE's reads less. */
static void test_narrow_reads(void)
{
	struct driver d;
	uint64_t features;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	features = device_features(&d);
	common_write(&d, 0, 0, 4);
	g_assert_cmphex(common_read(&d, 4, 2), ==, features & 0xffff);
	g_assert_cmphex(common_read(&d, 6, 2), ==, features >> 16 & 0xffff);
	g_assert_cmphex(common_read(&d, 7, 1), ==, features >> 24 & 0xff);
	g_assert_cmphex(common_read(&d, 6, 4), ==, 0);
	driver_fini(&d);
}

/* Not a bus master: the rings are out of reach. */
static void test_no_master(void)
{
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, 0);
	good_chain(&d);
	config_write(&d, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	offer(&d, 0);
	kick(&d);
	block_drain(d.block);
	g_assert_cmpuint(used_index(&d), ==, 0);
	driver_fini(&d);
}

/* A stream that lies about the rings leaves a device that wants a reset. */
static void test_hostile_state(void)
{
	struct driver d;
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	uint8_t *at;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	start(&d, 0);
	device_save(d.device, 0, saved);
	at = memmem(saved->data, saved->len, "queues[].desc", 13);
	g_assert_nonnull(at);
	le64_store(at + 13 + 5, 0xfffff000);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(d.device, 0, &reader, NULL));
	g_assert_true(status(&d) & NEEDS_RESET);
	good_chain(&d);
	offer(&d, 0);
	kick(&d);
	at = memmem(saved->data, saved->len, "queues[].size", 13);
	le16_store(at + 13 + 5, 15);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_false(device_load(d.device, 0, &reader, NULL));
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(hostile); i++) {
		g_autofree char *path = g_strconcat("/virtio/hostile/", hostile[i].name, NULL);

		g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_hostile);
	}
	g_test_add_func("/virtio/bad-rings", test_bad_rings);
	g_test_add_func("/virtio/register-sweep", test_register_sweep);
	g_test_add_func("/virtio/narrow-reads", test_narrow_reads);
	g_test_add_func("/virtio/no-master", test_no_master);
	g_test_add_func("/virtio/hostile-state", test_hostile_state);
	return g_test_run();
}
