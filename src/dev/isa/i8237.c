/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two 8237A DMA controllers of a PC/AT and the page registers at 80h to 8Fh, which give
 * addresses their upper eight bits (IBM PC/AT Technical Reference, DMA).
 *
 * Devices pace transfers, so that single, demand and block mode are the same. Channel 4 is the
 * first controller's way to the bus and carries it whatever it is programmed for: on a board
 * without firmware nobody programs it. No device stands behind a software request or a transfer
 * from memory to memory.
 */
#include "dev/table.h"

#include <string.h>

#include "dev/isa/isa_dma.h"

enum {
	DMA1_BASE = 0x00, /* bytes, channels 0 to 3 */
	DMA1_LEN = 0x10,
	DMA2_BASE = 0xc0, /* words, channels 4 to 7; its registers lie two apart */
	DMA2_LEN = 0x20,
	PAGE_BASE = 0x80,
	N_PAGES = 16,
	N_CONTROLLERS = 2,
	N_CHANNELS = 4, /* a controller */
	CASCADE_CHANNEL = 4,

	/* Below them, address and count of each channel in turn. */
	REG_COMMAND = 0x8,
	REG_STATUS = 0x8,
	REG_SINGLE_MASK = 0xa,
	REG_MODE = 0xb,
	REG_CLEAR_POINTER = 0xc,
	REG_MASTER_CLEAR = 0xd,
	REG_TEMPORARY = 0xd,
	REG_CLEAR_MASK = 0xe,
	REG_ALL_MASK = 0xf,

	COMMAND_DISABLE = 0x04,
	SINGLE_MASK_SET = 0x04,
	MODE_TYPE = 0x0c,
	MODE_WRITE = 0x04, /* to memory */
	MODE_READ = 0x08,
	MODE_AUTOINIT = 0x10,
	MODE_DECREMENT = 0x20,
	MODE_CASCADE = 0xc0,
	ALL = 0x0f, /* channels, a bit each */
};

struct channel {
	uint16_t base_address, base_count;
	uint16_t address, count; /* current */
	uint8_t mode;
};

struct controller {
	struct channel channels[N_CHANNELS];
	uint8_t command;
	uint8_t mask;	/* a bit a channel, as in: */
	uint8_t status; /* terminal counts reached */
	bool high_byte; /* the byte pointer flip-flop */
};

struct isa_dma {
	struct device device;
	struct controller controllers[N_CONTROLLERS];
	uint8_t pages[N_PAGES];
};

/* Register of each channel's page. */
static const uint8_t page_of[ISA_DMA_CHANNELS] = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};

static void master_clear(struct controller *c)
{
	c->command = 0;
	c->status = 0;
	c->mask = ALL;
	c->high_byte = false;
}

static uint8_t read_half(struct controller *c, uint16_t value)
{
	bool high = c->high_byte;

	c->high_byte = !high;
	return high ? value >> 8 : value;
}

static void write_half(struct controller *c, uint16_t *base, uint16_t *current, uint8_t value)
{
	*base = c->high_byte ? (*base & 0xff) | value << 8 : (*base & 0xff00) | value;
	*current = *base;
	c->high_byte = !c->high_byte;
}

static uint8_t read_register(struct controller *c, unsigned reg)
{
	struct channel *channel = &c->channels[reg / 2 % N_CHANNELS];
	uint8_t value;

	if (reg < REG_STATUS)
		return read_half(c, reg % 2 ? channel->count : channel->address);
	switch (reg) {
	case REG_STATUS:
		value = c->status;
		c->status = 0;
		return value;
	case REG_TEMPORARY:
		return 0;
	case REG_ALL_MASK:
		return c->mask | (uint8_t)~ALL;
	default:
		return 0xff;
	}
}

static void write_register(struct controller *c, unsigned reg, uint8_t value)
{
	struct channel *channel = &c->channels[reg / 2 % N_CHANNELS];
	uint8_t bit = 1 << value % N_CHANNELS;

	if (reg < REG_COMMAND) {
		if (reg % 2)
			write_half(c, &channel->base_count, &channel->count, value);
		else
			write_half(c, &channel->base_address, &channel->address, value);
		return;
	}
	switch (reg) {
	case REG_COMMAND:
		c->command = value;
		break;
	case REG_SINGLE_MASK:
		c->mask = value & SINGLE_MASK_SET ? c->mask | bit : c->mask & ~bit;
		break;
	case REG_MODE:
		c->channels[value % N_CHANNELS].mode = value & ~(N_CHANNELS - 1);
		break;
	case REG_CLEAR_POINTER:
		c->high_byte = false;
		break;
	case REG_MASTER_CLEAR:
		master_clear(c);
		break;
	case REG_CLEAR_MASK:
		c->mask = 0;
		break;
	case REG_ALL_MASK:
		c->mask = value & ALL;
		break;
	}
}

static uint64_t dma1_read(void *opaque, uint64_t offset, unsigned size)
{
	return read_register(&((struct isa_dma *)opaque)->controllers[0], offset);
}

static void dma1_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	write_register(&((struct isa_dma *)opaque)->controllers[0], offset, value);
}

static uint64_t dma2_read(void *opaque, uint64_t offset, unsigned size)
{
	return read_register(&((struct isa_dma *)opaque)->controllers[1], offset / 2);
}

static void dma2_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	write_register(&((struct isa_dma *)opaque)->controllers[1], offset / 2, value);
}

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((struct isa_dma *)opaque)->pages[offset];
}

static void page_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	((struct isa_dma *)opaque)->pages[offset] = value;
}

static const struct bus_ops dma1_ops = {dma1_read, dma1_write, 1, 1};
static const struct bus_ops dma2_ops = {dma2_read, dma2_write, 1, 1};
static const struct bus_ops page_ops = {page_read, page_write, 1, 1};

/* Pages do not take part in counting: addresses wrap within 64 KiB, or 128 KiB. */
static uint64_t memory_address(const struct isa_dma *dma, unsigned channel)
{
	uint16_t address =
		dma->controllers[channel / N_CHANNELS].channels[channel % N_CHANNELS].address;
	uint8_t page = dma->pages[page_of[channel]];

	if (channel < CASCADE_CHANNEL)
		return (uint64_t)page << 16 | address;
	return (uint64_t)(page & ~1) << 16 | (uint64_t)address << 1;
}

/* After a transfer; returns whether it was the last. */
static bool count_down(struct controller *c, unsigned index)
{
	struct channel *channel = &c->channels[index];

	channel->address += channel->mode & MODE_DECREMENT ? -1 : 1;
	if (channel->count--)
		return false;
	c->status |= 1 << index;
	if (channel->mode & MODE_AUTOINIT) {
		channel->address = channel->base_address;
		channel->count = channel->base_count;
	} else {
		c->mask |= 1 << index;
	}
	return true;
}

static bool is_ready(const struct controller *c, unsigned index)
{
	return !(c->command & COMMAND_DISABLE) && !(c->mask >> index & 1) &&
	       (c->channels[index].mode & MODE_CASCADE) != MODE_CASCADE;
}

/* One of `in` and `out` is NULL. */
static size_t transfer(struct isa_dma *dma, unsigned channel, const uint8_t *in, uint8_t *out,
		       size_t len, bool *tc)
{
	unsigned index = channel % N_CHANNELS, unit = channel < CASCADE_CHANNEL ? 1 : 2;
	struct controller *c = &dma->controllers[channel / N_CHANNELS];
	uint8_t type = c->channels[index].mode & MODE_TYPE;
	struct mem *mem = dma->device.env->mem;
	size_t done = 0;

	*tc = false;
	if (!is_ready(c, index))
		return 0;
	for (; len - done >= unit && !*tc; done += unit) {
		uint64_t gpa = memory_address(dma, channel);

		if (in && type == MODE_WRITE)
			mem_write(mem, gpa, in + done, unit);
		if (out && (type != MODE_READ || !mem_read(mem, gpa, out + done, unit)))
			memset(out + done, 0xff, unit);
		*tc = count_down(c, index);
	}
	return done;
}

size_t isa_dma_to_memory(struct isa_dma *dma, unsigned channel, const void *data, size_t len,
			 bool *tc)
{
	size_t done;

	g_mutex_lock(&dma->device.lock);
	done = transfer(dma, channel, data, NULL, len, tc);
	g_mutex_unlock(&dma->device.lock);
	return done;
}

size_t isa_dma_from_memory(struct isa_dma *dma, unsigned channel, void *data, size_t len, bool *tc)
{
	size_t done;

	g_mutex_lock(&dma->device.lock);
	done = transfer(dma, channel, NULL, data, len, tc);
	g_mutex_unlock(&dma->device.lock);
	return done;
}

static bool i8237_init(struct device *device, const struct device_config *config, GError **error)
{
	struct isa_dma *dma = (struct isa_dma *)device;

	device->env->isa_dma = dma;
	return device_map(device, BUS_PIO, DMA1_BASE, DMA1_LEN, &dma1_ops, error) &&
	       device_map(device, BUS_PIO, DMA2_BASE, DMA2_LEN, &dma2_ops, error) &&
	       device_map(device, BUS_PIO, PAGE_BASE, N_PAGES, &page_ops, error);
}

static void i8237_reset(struct device *device)
{
	struct isa_dma *dma = (struct isa_dma *)device;

	memset(dma->controllers, 0, sizeof(dma->controllers));
	memset(dma->pages, 0, sizeof(dma->pages));
	for (unsigned i = 0; i < N_CONTROLLERS; i++)
		master_clear(&dma->controllers[i]);
}

static void i8237_fini(struct device *device)
{
	device->env->isa_dma = NULL;
}

#define FIELD(member) STATE_FIELD(struct isa_dma, member)
#define CHANNEL_FIELDS(c, i)                                  \
	FIELD(controllers[c].channels[i].base_address),       \
		FIELD(controllers[c].channels[i].base_count), \
		FIELD(controllers[c].channels[i].address),    \
		FIELD(controllers[c].channels[i].count), FIELD(controllers[c].channels[i].mode)
#define CONTROLLER_FIELDS(c)                                                                    \
	CHANNEL_FIELDS(c, 0), CHANNEL_FIELDS(c, 1), CHANNEL_FIELDS(c, 2), CHANNEL_FIELDS(c, 3), \
		FIELD(controllers[c].command), FIELD(controllers[c].mask),                      \
		FIELD(controllers[c].status), FIELD(controllers[c].high_byte)

static const struct state_field i8237_fields[] = {
	CONTROLLER_FIELDS(0),
	CONTROLLER_FIELDS(1),
	FIELD(pages),
};

static const struct state_table i8237_state = {
	.name = "i8237",
	.version = 1,
	.object_size = sizeof(struct isa_dma),
	.fields = i8237_fields,
	.n_fields = G_N_ELEMENTS(i8237_fields),
};

const struct device_class i8237_class = {
	.name = "i8237",
	.document = "Intel 8237A data sheet (231466); IBM PC/AT Technical Reference",
	.size = sizeof(struct isa_dma),
	.state = &i8237_state,
	.init = i8237_init,
	.reset = i8237_reset,
	.fini = i8237_fini,
};
