/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The port on which firmware made for virtual machines tells what it does, byte by byte; reading it shows that it
 * is there.
 */
#include "dev/device.h"
#include "stream/stream.h"

#define PRESENT 0xe9

struct debugcon {
	struct device device;
	struct stream *stream;
};

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	return PRESENT;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct debugcon *con = opaque;
	uint8_t byte = value;

	if (con->stream)
		stream_write(con->stream, &byte, 1);
}

static const struct bus_ops port_ops = {port_read, port_write, 1, 1};

static bool debugcon_init(struct device *device, const struct device_config *config, GError **error)
{
	((struct debugcon *)device)->stream = config->stream;
	return device_map(device, BUS_PIO, config->base, 1, &port_ops, error);
}

static void debugcon_reset(struct device *device)
{
}

static const struct state_table debugcon_state = {
	.name = "debugcon",
	.version = 1,
	.object_size = sizeof(struct debugcon),
};

const struct device_class debugcon_class = {
	.name = "debugcon",
	.document = "Bochs and QEMU: the debug port",
	.size = sizeof(struct debugcon),
	.state = &debugcon_state,
	.init = debugcon_init,
	.reset = debugcon_reset,
};
