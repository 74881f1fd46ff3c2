/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile driver against a real virtio disk: the input is a program of register accesses
 * and ring contents, one byte of operation and its operands each. Whatever it did, a reset
 * must bring back a device that serves an honest driver.
 */
#include "fuzz.h"

#include "../unit/dev/virtio_driver.h"

#define DISK_SIZE (64u << 10)
#define BAR_SIZE  0x4000u
/* Where programs write: rings, headers and data, all in the first megabytes. */
#define WINDOW_AT 0x10000u

struct program {
	const uint8_t *at, *end;
};

/* Little-endian; zeroes once the program is at its end. */
static uint64_t operand(struct program *p, unsigned size)
{
	uint64_t value = 0;
	unsigned n = MIN(size, (size_t)(p->end - p->at));

	memcpy(&value, p->at, n);
	p->at += n;
	return value;
}

static unsigned operand_size(struct program *p)
{
	return 1 << operand(p, 1) % 4;
}

static void op_mmio_write(struct driver *d, struct program *p)
{
	uint64_t at = d->structure[1] + operand(p, 2) % BAR_SIZE;
	unsigned size = operand_size(p);

	bus_write(d->env.bus, BUS_MMIO, at, operand(p, size), size);
}

static void op_mmio_read(struct driver *d, struct program *p)
{
	uint64_t at = d->structure[1] + operand(p, 2) % BAR_SIZE;

	bus_read(d->env.bus, BUS_MMIO, at, operand_size(p));
}

static void op_config_write(struct driver *d, struct program *p)
{
	unsigned reg = operand(p, 1), size = operand_size(p);

	config_write(d, reg, operand(p, size), size);
}

static void op_config_read(struct driver *d, struct program *p)
{
	unsigned reg = operand(p, 1);

	config_read(d, reg, operand_size(p));
}

static void op_ram_write(struct driver *d, struct program *p)
{
	uint64_t gpa = WINDOW_AT + operand(p, 2);

	for (unsigned n = operand(p, 1); n && p->at < p->end; n--)
		*ram(d, gpa++) = operand(p, 1);
}

/* Bit 0, which is no feature of a disk's, asks for packed rings. */
static void op_start(struct driver *d, struct program *p)
{
	uint32_t features = operand(p, 4);

	driver_probe(d);
	start(d, (features & device_features(d)) | (features & 1 ? F_PACKED : 0));
}

static void op_desc(struct driver *d, struct program *p)
{
	uint8_t i = operand(p, 1), where = operand(p, 1);
	uint64_t addr = operand(p, 8);
	uint32_t len = operand(p, 4);
	uint16_t flags = operand(p, 2), next = operand(p, 2);

	set_desc(ram(d, where & 2 ? RING_AT : where & 1 ? INDIRECT_AT : DESC_AT), i, addr, len, flags,
		 next);
}

static void op_offer(struct driver *d, struct program *p)
{
	offer(d, operand(p, 2));
}

static void op_request(struct driver *d, struct program *p)
{
	uint32_t type = operand(p, 1), sector = operand(p, 2), len = operand(p, 2);
	uint16_t write = operand(p, 1) & DESC_WRITE;

	le32_store(ram(d, HEADER_AT), type);
	le64_store(ram(d, HEADER_AT + 8), sector);
	set_desc(ram(d, DESC_AT), 0, HEADER_AT, 16, DESC_NEXT, 1);
	set_desc(ram(d, DESC_AT), 1, DATA_AT, len, DESC_NEXT | write, 2);
	set_desc(ram(d, DESC_AT), 2, STATUS_AT, 1, DESC_WRITE, 0);
	offer(d, 0);
}

static void op_kick(struct driver *d, struct program *p)
{
	kick(d);
}

static void op_drain(struct driver *d, struct program *p)
{
	block_drain(d->block);
}

/* What was saved can be loaded, and is the same when saved again. */
static void op_save_load(struct driver *d, struct program *p)
{
	g_autoptr(GByteArray) saved = g_byte_array_new(), again = g_byte_array_new();
	struct state_reader reader;

	device_save(d->device, 0, saved);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(d->device, 0, &reader, NULL));
	device_save(d->device, 0, again);
	g_assert_true(saved->len == again->len && !memcmp(saved->data, again->data, saved->len));
}

/* Saved state with one byte of another mind. */
static void op_load_spoilt(struct driver *d, struct program *p)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;

	device_save(d->device, 0, saved);
	saved->data[operand(p, 2) % saved->len] = operand(p, 1);
	reader = (struct state_reader){saved->data, saved->len};
	device_load(d->device, 0, &reader, NULL);
}

static void op_reset(struct driver *d, struct program *p)
{
	device_reset(d->device);
}

static void (*const operations[])(struct driver *d, struct program *p) = {
	op_mmio_write, op_mmio_read, op_config_write, op_config_read, op_ram_write,
	op_start,      op_desc,	     op_offer,	      op_request,     op_kick,
	op_drain,      op_save_load, op_load_spoilt,  op_reset,
};

static void check_alive(struct driver *d)
{
	static const uint8_t read_sector_0[] = {0, 0, 0, 0, 2, 2};
	struct program p = {read_sector_0, read_sector_0 + sizeof(read_sector_0)};
	uint32_t len;

	driver_probe(d);
	start(d, 0);
	op_request(d, &p);
	kick(d);
	g_assert_cmpuint(wait_used(d, &len), ==, 0);
	g_assert_cmpuint(len, ==, 513);
	g_assert_cmpuint(*ram(d, STATUS_AT), ==, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct program program = {data, data + len};
	struct driver d;

	driver_init(&d, &virtio_blk_class, DISK_SIZE, false);
	d.queue_size = d.ring_size = 16;
	while (program.at < program.end)
		operations[operand(&program, 1) % G_N_ELEMENTS(operations)](&d, &program);
	check_alive(&d);
	driver_fini(&d);
	return 0;
}
