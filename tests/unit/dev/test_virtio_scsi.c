/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio_driver.h"

#include "base/be.h"

#define DISK_SIZE (8u << 20)
#define BLOCKS	  (DISK_SIZE / 512)
#define CD_SIZE	  (2u << 20)

/* Response in STATUS_AT's page; rings of the control queue, and its buffers. */
#define RESPONSE_SIZE 108
#define CONTROL_AT    0x30000u
#define TMF_AT	      0x34000u

enum { DISK = 0, CD = 1 };
enum { GOOD = 0, S_OVERRUN = 0x100, S_BAD_TARGET = 0x300, S_REJECTED = 11 };

/* A command's end: GOOD, the response in bits 15..8, or key, code and qualifier of sense data. */
#define SENSE(key, asc) ((key) << 16 | (asc))

static void put_header(struct driver *d, unsigned target, const uint8_t cdb[16])
{
	uint8_t header[51] = {1, target, 0x40};

	memcpy(header + 19, cdb, 16);
	mem_write(d->env.mem, HEADER_AT, header, sizeof(header));
	memset(ram(d, STATUS_AT), 0xff, RESPONSE_SIZE);
}

static void put_chain(struct driver *d, uint32_t len, bool in)
{
	uint8_t *table = ram(d, DESC_AT);

	set_desc(table, 0, HEADER_AT, 51, DESC_NEXT, len && !in ? 1 : 2);
	set_desc(table, 1, DATA_AT, len, (in ? DESC_WRITE : 0) | (in ? 0 : DESC_NEXT), 2);
	set_desc(table, 2, STATUS_AT, RESPONSE_SIZE, DESC_WRITE | (len && in ? DESC_NEXT : 0), 1);
}

static uint32_t ending(struct driver *d)
{
	const uint8_t *response = ram(d, STATUS_AT);

	if (response[11])
		return response[11] << 8;
	if (response[10] == 0)
		return GOOD;
	g_assert_cmpuint(response[10], ==, 2);
	g_assert_cmpuint(le32_load(response), ==, 18);
	return SENSE(response[12 + 2], be16_load(response + 12 + 12));
}

static uint32_t command_len(struct driver *d, unsigned target, const uint8_t cdb[16], uint32_t len,
			    bool in, uint32_t *moved)
{
	uint32_t written;

	put_header(d, target, cdb);
	put_chain(d, len, in);
	offer(d, 0);
	kick(d);
	g_assert_cmpuint(wait_used(d, &written), ==, 0);
	*moved = len - le32_load(ram(d, STATUS_AT) + 4);
	if (in && ending(d) == GOOD)
		g_assert_cmpuint(written, ==, RESPONSE_SIZE + *moved);
	return ending(d);
}

#define CDB(...) ((const uint8_t[16]){__VA_ARGS__})

/* `len` bytes in. */
static uint32_t in(struct driver *d, unsigned target, uint32_t len, const uint8_t *cdb)
{
	uint32_t moved;

	return command_len(d, target, cdb, len, true, &moved);
}

static uint32_t out(struct driver *d, unsigned target, uint32_t len, const uint8_t *cdb)
{
	uint32_t moved;

	return command_len(d, target, cdb, len, false, &moved);
}

static void scsi_init(struct driver *d, bool read_only)
{
	driver_init(d, &virtio_scsi_class, DISK_SIZE, read_only);
	d->queue = 2;
	start(d, 0);
}

static void test_config(void)
{
	struct driver d;
	uint32_t moved;
	uint64_t at;

	scsi_init(&d, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10481af4);
	at = d.structure[4];
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at, 4), ==, 1);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 20, 4), ==, 96);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 24, 4), ==, 32);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, at + 30, 2), ==, 7);
	g_assert_cmphex(in(&d, 2, 36, CDB(0x12, 0, 0, 0, 36)), ==, S_BAD_TARGET);
	g_assert_cmphex(command_len(&d, DISK, CDB(0x12, 0, 0, 0, 36), 96, true, &moved), ==, GOOD);
	g_assert_cmpuint(moved, ==, 36);
	g_assert_true(!memcmp(ram(&d, DATA_AT + 8), "VIV     HARDDISK", 16));
	g_assert_cmphex(in(&d, CD, 36, CDB(0x12, 0, 0, 0, 36)), ==, GOOD);
	g_assert_cmphex(be16_load(ram(&d, DATA_AT)), ==, 0x0580);
	g_assert_cmphex(in(&d, DISK, 35, CDB(0x12, 0, 0, 0, 36)), ==, S_OVERRUN);
	/* Not logical unit 0, of three kinds of address. */
	for (unsigned i = 2; i < 5; i++) {
		put_header(&d, DISK, CDB(0x12, 0, 0, 0, 36));
		*ram(&d, HEADER_AT + i) |= 1;
		offer(&d, 0);
		kick(&d);
		wait_used(&d, &moved);
		g_assert_cmphex(ending(&d), ==, S_BAD_TARGET);
	}
	driver_fini(&d);
}

static void test_inquiry(void)
{
	struct driver d;
	uint8_t *data;

	scsi_init(&d, false);
	data = ram(&d, DATA_AT);
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 1, 0x00, 0, 255)), ==, GOOD);
	g_assert_cmphex(be64_load(data + 2), ==, 0x0006008083b0b1b2);
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 1, 0x80, 0, 255)), ==, GOOD);
	g_assert_true(!memcmp(data + 4, "viv-02.0-0", 10));
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 1, 0x83, 0, 255)), ==, GOOD);
	g_assert_cmphex(be32_load(data + 4), ==, 0x02010012);
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 1, 0xb0, 0, 255)), ==, GOOD);
	g_assert_cmpuint(be64_load(data + 36), ==, 1 << 15);
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 1, 0xb1, 0, 255)), ==, GOOD);
	g_assert_cmphex(be16_load(data + 4), ==, 1);
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 1, 0xb2, 0, 255)), ==, GOOD);
	g_assert_cmphex(data[5], ==, 0x80);
	g_assert_cmphex(in(&d, CD, 255, CDB(0x12, 1, 0xb0, 0, 255)), ==, SENSE(5, 0x2400));
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x12, 0, 1, 0, 255)), ==, SENSE(5, 0x2400));
	g_assert_cmphex(in(&d, DISK, 16, CDB(0xa0, [9] = 16)), ==, GOOD);
	g_assert_cmphex(be64_load(data), ==, 8ull << 32);
	g_assert_cmphex(in(&d, DISK, 8, CDB(0xff)), ==, SENSE(5, 0x2000));
	g_assert_cmphex(in(&d, DISK, 18, CDB(0x03, 0, 0, 0, 18)), ==, GOOD);
	g_assert_cmphex(data[2], ==, 0);
	driver_fini(&d);
}

static void test_capacity(void)
{
	struct driver d;
	uint8_t *data;

	scsi_init(&d, false);
	data = ram(&d, DATA_AT);
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x00)), ==, GOOD);
	g_assert_cmphex(in(&d, DISK, 8, CDB(0x25)), ==, GOOD);
	g_assert_cmpuint(be32_load(data), ==, BLOCKS - 1);
	g_assert_cmpuint(be32_load(data + 4), ==, 512);
	g_assert_cmphex(in(&d, DISK, 32, CDB(0x9e, 0x10, [13] = 32)), ==, GOOD);
	g_assert_cmpuint(be64_load(data), ==, BLOCKS - 1);
	g_assert_cmphex(data[14], ==, 0x80);
	g_assert_cmphex(in(&d, DISK, 32, CDB(0x9e, 0x11, [13] = 32)), ==, SENSE(5, 0x2400));
	/* Caching, of 6 and 10 bytes; all pages; what can be changed; what is saved. */
	g_assert_cmphex(in(&d, DISK, 64, CDB(0x1a, 0, 0x08, 0, 64)), ==, GOOD);
	g_assert_cmphex(be32_load(data), ==, 0x17001000);
	g_assert_cmphex(be32_load(data + 4), ==, 0x08120400);
	g_assert_cmphex(in(&d, DISK, 255, CDB(0x5a, 0, 0x3f, [8] = 255)), ==, GOOD);
	g_assert_cmphex(be64_load(data), ==, 0x0032001000000000);
	g_assert_cmphex(in(&d, DISK, 64, CDB(0x1a, 0, 0x48, 0, 64)), ==, GOOD);
	g_assert_cmphex(be32_load(data + 4), ==, 0x08120000);
	g_assert_cmphex(in(&d, DISK, 64, CDB(0x1a, 0, 0xc8, 0, 64)), ==, SENSE(5, 0x3900));
	g_assert_cmphex(in(&d, DISK, 64, CDB(0x1a, 0, 0x33, 0, 64)), ==, SENSE(5, 0x2400));
	driver_fini(&d);

	scsi_init(&d, true);
	data = ram(&d, DATA_AT);
	g_assert_cmphex(in(&d, DISK, 64, CDB(0x1a, 0, 0x08, 0, 64)), ==, GOOD);
	g_assert_cmphex(data[2], ==, 0x90);
	g_assert_cmphex(out(&d, DISK, 512, CDB(0x2a, [8] = 1)), ==, SENSE(7, 0x2700));
	g_assert_cmphex(out(&d, DISK, 24, CDB(0x42, [8] = 24)), ==, SENSE(7, 0x2700));
	g_assert_cmphex(in(&d, DISK, 512, CDB(0x28, [8] = 1)), ==, GOOD);
	driver_fini(&d);
}

static void fill(struct driver *d, unsigned len, unsigned seed)
{
	for (unsigned i = 0; i < len; i++)
		*ram(d, DATA_AT + i) = i * 13 + i / 512 + seed;
}

static void assert_filled(struct driver *d, unsigned len, unsigned seed)
{
	for (unsigned i = 0; i < len; i++)
		g_assert_cmpuint(*ram(d, DATA_AT + i), ==, (uint8_t)(i * 13 + i / 512 + seed));
	memset(ram(d, DATA_AT), 0, len);
}

static void test_read_write(void)
{
	struct driver d;
	uint32_t moved;

	scsi_init(&d, false);
	fill(&d, 8192, 1);
	g_assert_cmphex(out(&d, DISK, 8192, CDB(0x2a, 0, 0, 0, 0, 16, 0, 0, 16)), ==, GOOD);
	g_assert_cmphex(out(&d, DISK, 0, CDB(0x35)), ==, GOOD);
	memset(ram(&d, DATA_AT), 0, 8192);
	*ram(&d, DATA_AT + 8192) = 0x77;
	/* By each size of command; and into more room than is needed. */
	g_assert_cmphex(in(&d, DISK, 8192, CDB(0x08, 0, 0, 16, 16)), ==, GOOD);
	assert_filled(&d, 8192, 1);
	g_assert_cmphex(in(&d, DISK, 8192, CDB(0x28, 0, 0, 0, 0, 16, 0, 0, 16)), ==, GOOD);
	assert_filled(&d, 8192, 1);
	g_assert_cmphex(in(&d, DISK, 8192, CDB(0xa8, [5] = 16, [9] = 16)), ==, GOOD);
	assert_filled(&d, 8192, 1);
	g_assert_cmphex(command_len(&d, DISK, CDB(0x88, [9] = 16, [13] = 16), 9000, true, &moved),
			==, GOOD);
	g_assert_cmpuint(moved, ==, 8192);
	g_assert_cmpuint(*ram(&d, DATA_AT + 8192), ==, 0x77);
	assert_filled(&d, 8192, 1);
	fill(&d, 1024, 9);
	g_assert_cmphex(out(&d, DISK, 1024, CDB(0x0a, 0, 0, 1, 2)), ==, GOOD);
	g_assert_cmphex(out(&d, DISK, 512, CDB(0xaa, 8, [5] = 3, [9] = 1)), ==, GOOD);
	g_assert_cmphex(out(&d, DISK, 512, CDB(0x8a, 8, [9] = 4, [13] = 1)), ==, GOOD);
	g_assert_cmphex(in(&d, DISK, 1024, CDB(0x28, [5] = 1, [8] = 2)), ==, GOOD);
	assert_filled(&d, 1024, 9);
	g_assert_cmphex(in(&d, DISK, 512, CDB(0x28, [5] = 4, [8] = 1)), ==, GOOD);
	assert_filled(&d, 512, 9);
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x28)), ==, GOOD);

	/* No blocks in READ(6) are 256. */
	g_assert_cmphex(in(&d, DISK, 255 * 512, CDB(0x08)), ==, S_OVERRUN);
	g_assert_cmphex(in(&d, DISK, 256 * 512, CDB(0x08)), ==, GOOD);
	g_assert_cmphex(in(&d, DISK, 512, CDB(0x28, 0, 0, 0, BLOCKS >> 8, 0, 0, 0, 1)), ==,
			SENSE(5, 0x2100));
	g_assert_cmphex(in(&d, DISK, 512, CDB(0x88, 0, 0x80, [13] = 1)), ==, SENSE(5, 0x2100));
	g_assert_cmphex(in(&d, DISK, 512, CDB(0x28, 0x20, [8] = 1)), ==, SENSE(5, 0x2400));
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x2f, [8] = 1)), ==, GOOD);
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x8f, [6] = 1, [13] = 1)), ==, SENSE(5, 0x2100));
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x2f, 2, [8] = 1)), ==, SENSE(5, 0x2400));
	driver_fini(&d);
}

static void put_range(struct driver *d, unsigned i, uint64_t lba, uint32_t n)
{
	be16_store(ram(d, DATA_AT), 6 + 16 * (i + 1));
	be16_store(ram(d, DATA_AT + 2), 16 * (i + 1));
	be64_store(ram(d, DATA_AT + 8 + 16 * i), lba);
	be32_store(ram(d, DATA_AT + 8 + 16 * i + 8), n);
}

static void assert_zero(struct driver *d, unsigned lba)
{
	memset(ram(d, DATA_AT), 0x77, 512);
	g_assert_cmphex(in(d, DISK, 512, CDB(0x28, [5] = lba, [8] = 1)), ==, GOOD);
	for (unsigned i = 0; i < 512; i++)
		g_assert_cmpuint(*ram(d, DATA_AT + i), ==, 0);
}

static void test_unmap(void)
{
	struct driver d;

	scsi_init(&d, false);
	fill(&d, 16 << 10, 3);
	g_assert_cmphex(out(&d, DISK, 16 << 10, CDB(0x2a, [8] = 32)), ==, GOOD);
	put_range(&d, 0, 0, 8);
	put_range(&d, 1, 3, 0);
	put_range(&d, 2, BLOCKS - 1, 2);
	g_assert_cmphex(out(&d, DISK, 56, CDB(0x42, [8] = 56)), ==, SENSE(5, 0x2100));
	g_assert_cmphex(in(&d, DISK, 4096, CDB(0x28, [8] = 8)), ==, GOOD);
	assert_filled(&d, 4096, 3);
	put_range(&d, 0, 0, 8);
	put_range(&d, 1, 3, 0);
	put_range(&d, 2, 16, 8);
	g_assert_cmphex(out(&d, DISK, 56, CDB(0x42, [8] = 56)), ==, GOOD);
	assert_zero(&d, 7);
	assert_zero(&d, 16);
	put_range(&d, 256, 0, 1);
	g_assert_cmphex(out(&d, DISK, 8 + 257 * 16, CDB(0x42, [7] = 0x11)), ==, SENSE(5, 0x2600));
	g_assert_cmphex(out(&d, DISK, 4, CDB(0x42, [8] = 56)), ==, SENSE(5, 0x1a00));
	put_range(&d, 2, 16, 8);
	g_assert_cmphex(out(&d, DISK, 20, CDB(0x42, [8] = 56)), ==, SENSE(5, 0x1a00));

	memset(ram(&d, DATA_AT), 0, 512);
	g_assert_cmphex(out(&d, DISK, 512, CDB(0x41, 8, [5] = 8, [8] = 2)), ==, GOOD);
	assert_zero(&d, 9);
	g_assert_cmphex(out(&d, DISK, 0, CDB(0x93, 1, [9] = 10, [13] = 2)), ==, GOOD);
	assert_zero(&d, 11);
	g_assert_cmphex(in(&d, DISK, 512, CDB(0x28, [5] = 12, [8] = 1)), ==, GOOD);
	g_assert_cmpuint(*ram(&d, DATA_AT), ==, (uint8_t)(12 * 512 * 13 + 12 + 3));
	g_assert_cmphex(out(&d, DISK, 512, CDB(0x93, [13] = 2)), ==, SENSE(5, 0x2600));
	g_assert_cmphex(out(&d, DISK, 0, CDB(0x93, 1, [12] = 0x80, [13] = 1)), ==,
			SENSE(5, 0x2100));
	g_assert_cmphex(out(&d, DISK, 0, CDB(0x93, 1)), ==, SENSE(5, 0x2400));
	driver_fini(&d);
}

static void test_cd(void)
{
	g_autofree char *path = g_strdup("/tmp/viv-cd-XXXXXX");
	struct block_options options = {.image.path = path, .image.format = "raw", .image.read_only = true};
	int fd = g_mkstemp(path);
	struct block *medium;
	struct driver d;
	uint8_t *data;

	g_assert_cmpint(ftruncate(fd, CD_SIZE), ==, 0);
	g_assert_cmpint(pwrite(fd, "CD001", 5, 5 * 2048), ==, 5);
	close(fd);
	medium = block_open(&options, NULL);
	unlink(path);
	scsi_init(&d, false);
	data = ram(&d, DATA_AT);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, SENSE(2, 0x3a01));
	g_assert_false(device_set_medium(d.device, DISK, medium));
	g_assert_false(device_set_medium(d.device, 2, medium));
	g_assert_true(device_set_medium(d.device, CD, medium));
	g_assert_cmphex(in(&d, CD, 36, CDB(0x12, 0, 0, 0, 36)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 8, CDB(0x4a, 1, 0, 0, 0x10, [8] = 8)), ==, GOOD);
	g_assert_cmphex(be64_load(data), ==, 0x0006041002020000);
	g_assert_cmphex(in(&d, CD, 8, CDB(0x4a, 1, 0, 0, 0x10, [8] = 8)), ==, GOOD);
	g_assert_cmphex(data[4], ==, 0);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, SENSE(6, 0x2800));
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 8, CDB(0x25)), ==, GOOD);
	g_assert_cmphex(be64_load(data), ==, (CD_SIZE / 2048 - 1ull) << 32 | 2048);
	g_assert_cmphex(in(&d, CD, 2048, CDB(0x28, [5] = 5, [8] = 1)), ==, GOOD);
	g_assert_cmpstr((char *)data, ==, "CD001");
	g_assert_cmphex(in(&d, CD, 2048, CDB(0xa8, [4] = 4, [9] = 1)), ==, SENSE(5, 0x2100));
	g_assert_cmphex(out(&d, CD, 2048, CDB(0x2a, [8] = 1)), ==, SENSE(5, 0x2000));
	g_assert_cmphex(in(&d, CD, 20, CDB(0x43, 0, [8] = 20)), ==, GOOD);
	g_assert_cmphex(be32_load(data), ==, 0x00120101);
	g_assert_cmphex(be32_load(data + 16), ==, CD_SIZE / 2048);
	g_assert_cmphex(in(&d, CD, 20, CDB(0x43, 2, 0, 0, 0, 0, 0xaa, 0, 20)), ==, GOOD);
	g_assert_cmphex(be32_load(data + 8), ==, 0x000f31); /* block 1174: 0 min, 15 s, 49 */
	g_assert_cmphex(in(&d, CD, 8, CDB(0x46, 0, [8] = 8)), ==, GOOD);
	g_assert_cmphex(be16_load(data + 6), ==, 8);
	g_assert_cmphex(in(&d, CD, 34, CDB(0x51, [8] = 34)), ==, GOOD);
	memset(data, 0, 2048);
	g_assert_cmphex(in(&d, CD, 2048, CDB(0xbe, 0, [5] = 5, [8] = 1, 0x10)), ==, GOOD);
	g_assert_cmpstr((char *)data, ==, "CD001");
	g_assert_cmphex(in(&d, CD, 2352, CDB(0xbe, 0, [5] = 5, [8] = 1, 0xf8)), ==,
			SENSE(5, 0x2400));
	g_assert_cmphex(in(&d, CD, 2048, CDB(0xbe, 0, [4] = 4, [8] = 1, 0x10)), ==,
			SENSE(5, 0x2100));
	g_assert_cmphex(in(&d, CD, 8, CDB(0xbd, [9] = 8)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 12, CDB(0x43, 0, [8] = 12, 0x40)), ==, GOOD); /* sessions */
	g_assert_cmphex(be32_load(data), ==, 0x000a0101);
	g_assert_cmphex(in(&d, CD, 28, CDB(0x5a, 0, 0x2a, [8] = 28)), ==, GOOD);
	/* Locked, unlocked, opened and closed. */
	g_assert_cmphex(in(&d, CD, 0, CDB(0x1e, [4] = 1)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x1b, [4] = 2)), ==, SENSE(5, 0x5302));
	g_assert_cmphex(in(&d, CD, 0, CDB(0x1e)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x1b, [4] = 2)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, SENSE(2, 0x3a02));
	g_assert_cmphex(in(&d, CD, 0, CDB(0x1b, [4] = 3)), ==, GOOD);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, SENSE(6, 0x2800));
	g_assert_true(device_set_medium(d.device, CD, NULL));
	g_assert_cmphex(in(&d, CD, 18, CDB(0x03, 0, 0, 0, 18)), ==, GOOD);
	g_assert_cmphex(data[2] << 16 | be16_load(data + 12), ==, SENSE(6, 0x2800));
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, SENSE(2, 0x3a01));
	driver_fini(&d);
	block_close(medium);
}

/* The control queue, number 0, beside the request queue. */
static void set_up_control(struct driver *d)
{
	common_write(d, 0x16, 0, 2);
	common_write(d, 0x18, 16, 2);
	for (unsigned i = 0; i < 3; i++)
		common_write(d, 0x20 + 8 * i, CONTROL_AT + i * 0x1000, 4);
	common_write(d, 0x1c, 1, 2);
	memset(ram(d, CONTROL_AT), 0, 0x4000);
}

/* Makes request number `n` (from 0 on) available and tells of it. */
static void kick_control(struct driver *d, uint16_t n, uint32_t len, uint32_t reply_len)
{
	set_desc(ram(d, CONTROL_AT), 0, TMF_AT, len, DESC_NEXT, 1);
	set_desc(ram(d, CONTROL_AT), 1, TMF_AT + 0x100, reply_len, DESC_WRITE, 0);
	memset(ram(d, TMF_AT + 0x100), 0xff, reply_len);
	__atomic_store_n((uint16_t *)ram(d, CONTROL_AT + 0x1002), n + 1, __ATOMIC_RELEASE);
	bus_write(d->env.bus, BUS_MMIO, d->structure[2], 0, 2);
}

static unsigned functions_done(struct driver *d)
{
	return __atomic_load_n((uint16_t *)ram(d, CONTROL_AT + 0x2002), __ATOMIC_ACQUIRE);
}

static void put_function(struct driver *d, uint32_t subtype, unsigned target)
{
	uint8_t *request = ram(d, TMF_AT);

	memset(request, 0, 24);
	le32_store(request + 4, subtype);
	request[8] = 1;
	request[9] = target;
}

static void test_control(void)
{
	struct driver d;
	uint16_t n = 0;

	scsi_init(&d, false);
	set_up_control(&d);
	put_function(&d, 5, DISK);
	kick_control(&d, n++, 24, 1);
	g_assert_cmpuint(functions_done(&d), ==, n);
	g_assert_cmpuint(*ram(&d, TMF_AT + 0x100), ==, 0);
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x00)), ==, SENSE(6, 0x2903));
	g_assert_cmphex(in(&d, DISK, 0, CDB(0x00)), ==, GOOD);
	put_function(&d, 6, DISK); /* QUERY TASK */
	kick_control(&d, n++, 24, 1);
	g_assert_cmpuint(*ram(&d, TMF_AT + 0x100), ==, S_REJECTED);
	put_function(&d, 0, 5);
	kick_control(&d, n++, 24, 1);
	g_assert_cmpuint(*ram(&d, TMF_AT + 0x100), ==, 3);
	/* Asynchronous notification, of no events. */
	memset(ram(&d, TMF_AT), 0, 24);
	le32_store(ram(&d, TMF_AT), 2);
	*ram(&d, TMF_AT + 4) = 1;
	kick_control(&d, n++, 16, 5);
	g_assert_cmpuint(functions_done(&d), ==, n);
	g_assert_cmpuint(le32_load(ram(&d, TMF_AT + 0x100)), ==, 0);
	g_assert_cmpuint(*ram(&d, TMF_AT + 0x104), ==, 0);
	le32_store(ram(&d, TMF_AT), 77);
	kick_control(&d, n++, 16, 5);
	g_assert_cmphex(status(&d) & 0x40, ==, 0x40);
	driver_fini(&d);
}

/* A function waits for what is in flight and holds up the rest; a reset waits for both. */
static void test_in_flight(void)
{
	struct driver d;

	scsi_init(&d, false);
	for (unsigned round = 0; round < 4; round++) {
		set_up_control(&d);
		put_header(&d, DISK, CDB(0x28, [8] = 64));
		put_chain(&d, 64 * 512, true);
		g_mutex_lock(&d.gate);
		for (unsigned i = 0; i < 8; i++)
			offer(&d, 0);
		kick(&d);
		put_function(&d, 0, DISK);
		kick_control(&d, 0, 24, 1);
		put_header(&d, DISK, CDB(0x00));
		offer(&d, 0);
		kick(&d);
		g_assert_cmpuint(functions_done(&d), ==, 0);
		g_assert_cmpuint(used_index(&d), ==, 0);
		if (round % 2)
			common_write(&d, 0x14, 0, 1);
		g_mutex_unlock(&d.gate);
		block_drain(d.block);
		g_assert_cmpuint(functions_done(&d), ==, round % 2 ? 0 : 1);
		g_assert_cmpuint(used_index(&d), ==, round % 2 ? 0 : 9);
		g_assert_cmpuint(*ram(&d, TMF_AT + 0x100), ==, 0);
		start(&d, 0);
	}
	driver_fini(&d);
}

static void test_broken(void)
{
	struct driver d;

	for (unsigned i = 0; i < 3; i++) {
		scsi_init(&d, false);
		put_header(&d, DISK, CDB(0x00));
		put_chain(&d, 0, true);
		if (i == 0) /* no room for a response */
			set_desc(ram(&d, DESC_AT), 2, STATUS_AT, RESPONSE_SIZE - 1, DESC_WRITE, 0);
		else if (i == 1) /* half a header */
			set_desc(ram(&d, DESC_AT), 0, HEADER_AT, 50, DESC_NEXT, 2);
		else { /* data of both directions */
			set_desc(ram(&d, DESC_AT), 0, HEADER_AT, 52, DESC_NEXT, 2);
			set_desc(ram(&d, DESC_AT), 2, STATUS_AT, RESPONSE_SIZE + 1, DESC_WRITE, 0);
		}
		offer(&d, 0);
		kick(&d);
		g_assert_cmphex(status(&d) & 0x40, ==, 0x40);
		start(&d, 0);
		g_assert_cmphex(in(&d, DISK, 0, CDB(0x00)), ==, GOOD);
		driver_fini(&d);
	}
}

/* A response in pieces of a byte, which do not fit its header and data beside it but in an indirect
 * table. */
static void test_pieces(void)
{
	struct driver d;
	uint8_t *table;
	uint32_t len;

	scsi_init(&d, false);
	start(&d, F_INDIRECT);
	table = ram(&d, INDIRECT_AT);
	put_header(&d, DISK, CDB(0x12, 0, 0, 0, 36));
	set_desc(table, 0, HEADER_AT, 51, DESC_NEXT, 1);
	for (unsigned i = 0; i < RESPONSE_SIZE; i++)
		set_desc(table, 1 + i, STATUS_AT + i, 1, DESC_NEXT | DESC_WRITE, 2 + i);
	set_desc(table, RESPONSE_SIZE + 1, DATA_AT, 36, DESC_WRITE, 0);
	set_desc(ram(&d, DESC_AT), 0, INDIRECT_AT, 16 * (RESPONSE_SIZE + 2), DESC_INDIRECT, 0);
	offer(&d, 0);
	kick(&d);
	wait_used(&d, &len);
	g_assert_cmpuint(len, ==, RESPONSE_SIZE + 36);
	g_assert_cmphex(ending(&d), ==, GOOD);
	g_assert_true(!memcmp(ram(&d, DATA_AT + 8), "VIV     HARDDISK", 16));
	driver_fini(&d);
}

static void test_saved(void)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	struct driver d;

	scsi_init(&d, false);
	g_assert_cmphex(in(&d, CD, 0, CDB(0x1b, [4] = 2)), ==, GOOD);
	device_save(d.device, 0, saved);
	device_reset(d.device);
	reader = (struct state_reader){saved->data, saved->len, 0};
	g_assert_true(device_load(d.device, 0, &reader, NULL));
	g_assert_cmphex(in(&d, CD, 0, CDB(0x00)), ==, SENSE(2, 0x3a02));
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-scsi/config", test_config);
	g_test_add_func("/virtio-scsi/inquiry", test_inquiry);
	g_test_add_func("/virtio-scsi/capacity", test_capacity);
	g_test_add_func("/virtio-scsi/read-write", test_read_write);
	g_test_add_func("/virtio-scsi/unmap", test_unmap);
	g_test_add_func("/virtio-scsi/cd", test_cd);
	g_test_add_func("/virtio-scsi/control", test_control);
	g_test_add_func("/virtio-scsi/in-flight", test_in_flight);
	g_test_add_func("/virtio-scsi/broken", test_broken);
	g_test_add_func("/virtio-scsi/pieces", test_pieces);
	g_test_add_func("/virtio-scsi/saved", test_saved);
	return g_test_run();
}
