/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig.h"

static void on_line(void *opaque, unsigned pin, bool level)
{
	struct rig *rig = opaque;

	rig->levels = level ? rig->levels | 1u << pin : rig->levels & ~(1u << pin);
	g_string_append_printf(rig->log, "%c%u ", level ? '+' : '-', pin);
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct rig *rig = opaque;

	g_string_append_printf(rig->log, "msi:%" G_GINT64_MODIFIER "x:%x ", addr, data);
}

static void on_intr(void *opaque, bool level)
{
	((struct rig *)opaque)->intr = level;
}

static void on_request(void *opaque, enum bus_request request)
{
	struct rig *rig = opaque;

	g_string_append(rig->log, request == BUS_REQUEST_RESET ? "reset " : "poweroff ");
	bus_request_take(rig->env.bus);
}

struct rig *rig_new(const struct device_class *class, const struct device_config *config)
{
	struct rig *rig = g_new0(struct rig, 1);
	struct device_config complete = *config;

	rig->env.bus = bus_new();
	rig->env.clock = clock_new_manual();
	rig->env.mem = mem_new(MEM_MIN_SIZE, NULL);
	rig->stream = stream_new();
	rig->log = g_string_new(NULL);
	for (unsigned i = 0; i < BUS_LINES; i++) {
		bus_line_attach(rig->env.bus, i, on_line, rig, i);
		irq_line_init(&rig->sources[i], rig->env.bus, i);
	}
	bus_set_msi_sink(rig->env.bus, on_msi, rig);
	bus_set_intr_sink(rig->env.bus, on_intr, rig);
	bus_set_request_sink(rig->env.bus, on_request, rig);
	complete.stream = rig->stream;
	complete.ram_size = MEM_MIN_SIZE;
	rig->device = device_new(class, &rig->env, &complete, NULL);
	g_assert_nonnull(rig->device);
	g_string_truncate(rig->log, 0);
	return rig;
}

void rig_free(struct rig *rig)
{
	device_free(rig->device);
	stream_free(rig->stream);
	mem_free(rig->env.mem);
	clock_free(rig->env.clock);
	bus_free(rig->env.bus);
	g_string_free(rig->log, TRUE);
	g_free(rig);
}

uint8_t rig_in8(struct rig *rig, uint16_t port)
{
	return bus_read(rig->env.bus, BUS_PIO, port, 1);
}

void rig_out8(struct rig *rig, uint16_t port, uint8_t value)
{
	bus_write(rig->env.bus, BUS_PIO, port, value, 1);
}

uint32_t rig_in32(struct rig *rig, uint16_t port)
{
	return bus_read(rig->env.bus, BUS_PIO, port, 4);
}

void rig_out16(struct rig *rig, uint16_t port, uint16_t value)
{
	bus_write(rig->env.bus, BUS_PIO, port, value, 2);
}

void rig_assert_log(struct rig *rig, const char *expected)
{
	g_assert_cmpstr(rig->log->str, ==, expected);
	g_string_truncate(rig->log, 0);
}

bool rig_line(const struct rig *rig, unsigned line)
{
	return rig->levels >> line & 1;
}
