/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus/bus.h"

#include <stdatomic.h>

/* Registers of bytes, and a log of the accesses as they arrive. */
struct regs {
	uint8_t bytes[16];
	GString *log;
};

static uint64_t regs_read(void *opaque, uint64_t offset, unsigned size)
{
	struct regs *r = opaque;
	uint64_t value = ~0ull;

	g_string_append_printf(r->log, "r%u@%u ", size, (unsigned)offset);
	memcpy(&value, r->bytes + offset, size);
	return value;
}

static void regs_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct regs *r = opaque;

	g_string_append_printf(r->log, "w%u@%u=%" G_GINT64_MODIFIER "x ", size, (unsigned)offset,
			       value);
	memcpy(r->bytes + offset, &value, size);
}

static const struct bus_ops any_ops = {regs_read, regs_write, 0, 0};
static const struct bus_ops byte_ops = {regs_read, regs_write, 1, 1};
static const struct bus_ops dword_ops = {regs_read, regs_write, 4, 4};

static void assert_log(struct regs *r, const char *expected)
{
	g_assert_cmpstr(r->log->str, ==, expected);
	g_string_truncate(r->log, 0);
}

static void regs_init(struct regs *r)
{
	*r = (struct regs){.log = g_string_new(NULL)};
	for (int i = 0; i < 16; i++)
		r->bytes[i] = i;
}

static void test_map(void)
{
	struct bus *bus = bus_new();
	struct regs r;

	regs_init(&r);
	g_assert_true(bus_map(bus, BUS_MMIO, 0x1000, 16, &any_ops, &r, NULL));
	g_assert_true(bus_map(bus, BUS_MMIO, 0x1010, 16, &any_ops, &r, NULL));
	g_assert_true(bus_map(bus, BUS_MMIO, 0xff0, 16, &any_ops, &r, NULL));
	g_assert_false(bus_map(bus, BUS_MMIO, 0x100f, 1, &any_ops, &r, NULL));
	g_assert_false(bus_map(bus, BUS_MMIO, 0xfef, 2, &any_ops, &r, NULL));
	g_assert_false(bus_map(bus, BUS_MMIO, 0, 0x2000, &any_ops, &r, NULL));
	g_assert_false(bus_map(bus, BUS_MMIO, 0x4000, 0, &any_ops, &r, NULL));
	g_assert_false(bus_map(bus, BUS_MMIO, UINT64_MAX, 2, &any_ops, &r, NULL));
	g_assert_true(bus_map(bus, BUS_MMIO, UINT64_MAX, 1, &any_ops, &r, NULL));
	g_assert_false(bus_map(bus, BUS_PIO, 0xffff, 2, &any_ops, &r, NULL));
	g_assert_true(bus_map(bus, BUS_PIO, 0x1000, 1, &any_ops, &r, NULL));

	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x1002, 2), ==, 0x0302);
	bus_unmap(bus, BUS_MMIO, 0x1000);
	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x1002, 2), ==, 0xffff);
	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x1010, 1), ==, 0);
	g_assert_true(bus_map(bus, BUS_MMIO, 0x1000, 16, &any_ops, &r, NULL));
	g_string_free(r.log, TRUE);
	bus_free(bus);
}

static void test_sizes(void)
{
	struct bus *bus = bus_new();
	struct regs r;

	regs_init(&r);
	g_assert_true(bus_map(bus, BUS_PIO, 0x20, 4, &byte_ops, &r, NULL));
	g_assert_true(bus_map(bus, BUS_MMIO, 0x40, 8, &dword_ops, &r, NULL));
	g_assert_true(bus_map(bus, BUS_PIO, 0x80, 8, &any_ops, &r, NULL));

	g_assert_cmphex(bus_read(bus, BUS_PIO, 0x20, 4), ==, 0x03020100);
	assert_log(&r, "r1@0 r1@1 r1@2 r1@3 ");
	bus_write(bus, BUS_PIO, 0x21, 0xffffbbaa, 2);
	assert_log(&r, "w1@1=aa w1@2=bb ");

	/* Off the end of a region, and below its first port. */
	g_assert_cmphex(bus_read(bus, BUS_PIO, 0x23, 2), ==, 0xff03);
	g_assert_cmphex(bus_read(bus, BUS_PIO, 0x1e, 4), ==, 0xaa00ffff);
	g_assert_cmphex(bus_read(bus, BUS_PIO, 0xfffe, 4), ==, 0xffffffff);
	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x7000, 8), ==, UINT64_MAX);
	r.log = g_string_truncate(r.log, 0);

	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x45, 1), ==, 5);
	assert_log(&r, "r4@4 ");
	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x46, 2), ==, 0x0706);
	assert_log(&r, "r4@4 ");
	g_assert_cmphex(bus_read(bus, BUS_MMIO, 0x43, 2), ==, 0xffff);
	bus_write(bus, BUS_MMIO, 0x44, 1, 2);
	assert_log(&r, "");
	bus_write(bus, BUS_MMIO, 0x40, 0x1122334455667788, 8);
	assert_log(&r, "w4@0=55667788 w4@4=11223344 ");

	bus_write(bus, BUS_PIO, 0x80, UINT64_MAX, 2);
	assert_log(&r, "w2@0=ffff ");
	g_string_free(r.log, TRUE);
	bus_free(bus);
}

static void on_region(void *opaque, uint64_t base, uint64_t len)
{
	g_string_append_printf(opaque, "%" G_GINT64_MODIFIER "x+%u ", base, (unsigned)len);
}

static void test_for_each(void)
{
	struct bus *bus = bus_new();
	g_autoptr(GString) told = g_string_new(NULL);

	g_assert_true(bus_map(bus, BUS_PIO, 0x80, 8, &any_ops, NULL, NULL));
	g_assert_true(bus_map(bus, BUS_PIO, 0x20, 4, &any_ops, NULL, NULL));
	g_assert_true(bus_map(bus, BUS_MMIO, 0x50, 4, &any_ops, NULL, NULL));
	bus_for_each_region(bus, BUS_PIO, on_region, told);
	g_assert_cmpstr(told->str, ==, "20+4 80+8 ");
	bus_free(bus);
}

static uint64_t locked_read(void *opaque, uint64_t offset, unsigned size)
{
	g_assert_false(g_mutex_trylock(opaque));
	return 0;
}

static void locked_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	g_assert_false(g_mutex_trylock(opaque));
}

static void test_lock(void)
{
	static const struct bus_ops ops = {locked_read, locked_write, 1, 1};
	struct bus *bus = bus_new();
	GMutex lock;

	g_mutex_init(&lock);
	g_assert_true(bus_map(bus, BUS_PIO, 0, 4, &ops, &lock, &lock));
	g_assert_cmpuint(bus_read(bus, BUS_PIO, 0, 4), ==, 0);
	bus_write(bus, BUS_PIO, 0, 0, 1);
	g_assert_true(g_mutex_trylock(&lock));
	g_mutex_unlock(&lock);
	g_mutex_clear(&lock);
	bus_free(bus);
}

struct mapper {
	struct bus *bus;
	atomic_bool stop;
};

static uint64_t constant_read(void *opaque, uint64_t offset, unsigned size)
{
	return 0x42;
}

static const struct bus_ops constant_ops = {constant_read, locked_write, 1, 1};

static gpointer remap(gpointer opaque)
{
	struct mapper *m = opaque;

	while (!atomic_load(&m->stop)) {
		g_assert_true(bus_map(m->bus, BUS_MMIO, 0x100, 16, &constant_ops, m, NULL));
		bus_unmap(m->bus, BUS_MMIO, 0x100);
	}
	return NULL;
}

/* A neighbour coming and going disturbs no look-up. */
static void test_concurrent_map(void)
{
	struct mapper m = {.bus = bus_new()};
	GThread *thread;

	g_assert_true(bus_map(m.bus, BUS_MMIO, 0x200, 16, &constant_ops, &m, NULL));
	thread = g_thread_new("mapper", remap, &m);
	for (int i = 0; i < 200000; i++) {
		uint64_t value = bus_read(m.bus, BUS_MMIO, 0x108, 1);

		g_assert_cmphex(bus_read(m.bus, BUS_MMIO, 0x204, 1), ==, 0x42);
		g_assert_true(value == 0x42 || value == 0xff);
	}
	atomic_store(&m.stop, true);
	g_thread_join(thread);
	bus_free(m.bus);
}

static void on_line(void *opaque, unsigned pin, bool level)
{
	g_string_append_printf(opaque, "%u%c ", pin, level ? '+' : '-');
}

static void test_lines(void)
{
	struct bus *bus = bus_new();
	g_autoptr(GString) log = g_string_new(NULL);
	struct irq_line a, b;

	bus_line_attach(bus, 5, on_line, log, 50);
	bus_line_attach(bus, 5, on_line, log, 51);
	irq_line_init(&a, bus, 5);
	irq_line_init(&b, bus, 5);
	irq_line_set(&a, true);
	irq_line_set(&a, true);
	irq_line_set(&b, true);
	irq_line_set(&a, false);
	g_assert_cmpstr(log->str, ==, "50+ 51+ ");
	irq_line_pulse(&a);
	irq_line_set(&b, false);
	irq_line_set(&b, false);
	g_assert_cmpstr(log->str, ==, "50+ 51+ 50- 51- ");
	irq_line_pulse(&a);
	g_assert_cmpstr(log->str, ==, "50+ 51+ 50- 51- 50+ 51+ 50- 51- ");
	bus_free(bus);
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	g_string_append_printf(opaque, "msi %" G_GINT64_MODIFIER "x=%x ", addr, data);
}

static void on_eoi(void *opaque, uint8_t vector)
{
	g_string_append_printf(opaque, "eoi %u ", vector);
}

static void on_intr(void *opaque, bool level)
{
	g_string_append_printf(opaque, "intr %d ", level);
}

static int on_ack(void *opaque)
{
	return 0x31;
}

static void on_request(void *opaque, enum bus_request request)
{
	g_string_append_printf(opaque, "request %d ", request);
}

static void test_messages(void)
{
	struct bus *bus = bus_new();
	g_autoptr(GString) log = g_string_new(NULL);

	/* Nobody there yet. */
	bus_msi(bus, 0xfee00000, 1);
	bus_eoi(bus, 1);
	bus_set_intr(bus, true);
	g_assert_cmpint(bus_intr_ack(bus), ==, -1);

	bus_set_msi_sink(bus, on_msi, log);
	bus_set_eoi_sink(bus, on_eoi, log);
	bus_set_intr_sink(bus, on_intr, log);
	bus_set_intr_source(bus, on_ack, log);
	bus_set_request_sink(bus, on_request, log);
	bus_msi(bus, 0xfee01000, 0x41);
	bus_eoi(bus, 0x41);
	bus_set_intr(bus, true);
	g_assert_cmpint(bus_intr_ack(bus), ==, 0x31);
	bus_request(bus, BUS_REQUEST_RESET);
	bus_request(bus, BUS_REQUEST_POWEROFF);
	g_assert_cmpint(bus_request_take(bus), ==, BUS_REQUEST_RESET);
	g_assert_cmpint(bus_request_take(bus), ==, BUS_REQUEST_NONE);
	bus_request(bus, BUS_REQUEST_POWEROFF);
	g_assert_cmpstr(log->str, ==, "msi fee01000=41 eoi 65 intr 1 request 1 request 2 ");
	bus_free(bus);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bus/map", test_map);
	g_test_add_func("/bus/sizes", test_sizes);
	g_test_add_func("/bus/for-each", test_for_each);
	g_test_add_func("/bus/lock", test_lock);
	g_test_add_func("/bus/concurrent-map", test_concurrent_map);
	g_test_add_func("/bus/lines", test_lines);
	g_test_add_func("/bus/messages", test_messages);
	return g_test_run();
}
