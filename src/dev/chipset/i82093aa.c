/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82093AA IOAPIC (290566) with the EOI register that version 20h added (ICH, 290655).
 *
 * The board's wiring, which the MADT must tell: bus line 0, the timer, arrives at pin 2
 * (an interrupt source override), every other line at the pin of its number; nothing is on
 * pin 0, and line 2 does not exist. Lines carry assertion, so the polarity bit is
 * kept for the guest and changes nothing.
 *
 * Messages leave as the local APICs' MSI format (SDM volume 3, 11.11), whose decoder they share.
 */
#include "base/le.h"
#include "dev/table.h"

#define MSI_BASE 0xfee00000ull

enum {
	IOAPIC_LEN = 0x1000,
	PINS = 24,
	TIMER_PIN = 2,

	IOREGSEL = 0x00,
	IOWIN = 0x10,
	IOEOI = 0x40,

	IOAPICID = 0x00,
	IOAPICVER = 0x01,
	IOAPICARB = 0x02,
	IOREDTBL = 0x10, /* two registers a pin */
	IOREDTBL_END = IOREDTBL + 2 * PINS,

	VERSION = (PINS - 1) << 16 | 0x20,
	ID_MASK = 0x0f000000,

	/* Redirection table entry, low half. */
	RTE_VECTOR = 0xff,
	RTE_DELMOD_SHIFT = 8,
	RTE_DELMOD = 7 << RTE_DELMOD_SHIFT,
	RTE_DESTMOD = 1 << 11,
	RTE_POLARITY = 1 << 13,
	RTE_REMOTE_IRR = 1 << 14,
	RTE_LEVEL = 1 << 15,
	RTE_MASKED = 1 << 16,
	RTE_WRITABLE =
		RTE_VECTOR | RTE_DELMOD | RTE_DESTMOD | RTE_POLARITY | RTE_LEVEL | RTE_MASKED,
	DEST_SHIFT = 24, /* in the high half */

	DELMOD_FIXED = 0,
	DELMOD_LOWEST = 1,

	MSI_DEST_SHIFT = 12,
	MSI_DESTMOD = 1 << 2,
	MSI_ASSERT = 1 << 14,
	MSI_LEVEL = 1 << 15,
};

struct i82093aa {
	struct device device;
	uint8_t ioregsel;
	uint32_t id;
	uint32_t pins; /* asserted inputs, outside reset's reach */
	uint32_t rte_low[PINS], rte_high[PINS];
};

static void send(struct i82093aa *ioapic, unsigned pin)
{
	uint32_t low = ioapic->rte_low[pin];
	uint64_t dest = ioapic->rte_high[pin] >> DEST_SHIFT;

	bus_msi(ioapic->device.env->bus,
		MSI_BASE | dest << MSI_DEST_SHIFT | (low & RTE_DESTMOD ? MSI_DESTMOD : 0),
		(low & (RTE_VECTOR | RTE_DELMOD)) | MSI_ASSERT | (low & RTE_LEVEL ? MSI_LEVEL : 0));
}

/* Only fixed and lowest-priority interrupts are ended; the others are edges whatever is set. */
static bool is_level(uint32_t low)
{
	unsigned delmod = (low & RTE_DELMOD) >> RTE_DELMOD_SHIFT;

	return low & RTE_LEVEL && (delmod == DELMOD_FIXED || delmod == DELMOD_LOWEST);
}

/* Sends a level-triggered pin's message if it is due. */
static void serve_level(struct i82093aa *ioapic, unsigned pin)
{
	uint32_t low = ioapic->rte_low[pin];

	if (!is_level(low) || low & (RTE_MASKED | RTE_REMOTE_IRR) || !(ioapic->pins & 1u << pin))
		return;
	ioapic->rte_low[pin] |= RTE_REMOTE_IRR;
	send(ioapic, pin);
}

static void set_pin(void *opaque, unsigned pin, bool level)
{
	struct i82093aa *ioapic = opaque;
	bool rises;

	g_mutex_lock(&ioapic->device.lock);
	rises = level && !(ioapic->pins & 1u << pin);
	ioapic->pins = level ? ioapic->pins | 1u << pin : ioapic->pins & ~(1u << pin);
	/* An edge while masked is lost (3.2.4, interrupt mask). */
	if (is_level(ioapic->rte_low[pin]))
		serve_level(ioapic, pin);
	else if (rises && !(ioapic->rte_low[pin] & RTE_MASKED))
		send(ioapic, pin);
	g_mutex_unlock(&ioapic->device.lock);
}

static void end_of_interrupt(struct i82093aa *ioapic, uint8_t vector)
{
	for (unsigned pin = 0; pin < PINS; pin++) {
		uint32_t low = ioapic->rte_low[pin];

		if ((low & RTE_VECTOR) != vector || !is_level(low) || !(low & RTE_REMOTE_IRR))
			continue;
		ioapic->rte_low[pin] &= ~RTE_REMOTE_IRR;
		serve_level(ioapic, pin);
	}
}

static void on_eoi(void *opaque, uint8_t vector)
{
	struct i82093aa *ioapic = opaque;

	g_mutex_lock(&ioapic->device.lock);
	end_of_interrupt(ioapic, vector);
	g_mutex_unlock(&ioapic->device.lock);
}

static uint32_t register_read(const struct i82093aa *ioapic)
{
	unsigned reg = ioapic->ioregsel;

	if (reg >= IOREDTBL && reg < IOREDTBL_END) {
		unsigned pin = (reg - IOREDTBL) / 2;

		return reg % 2 ? ioapic->rte_high[pin] : ioapic->rte_low[pin];
	}
	switch (reg) {
	case IOAPICID:
	case IOAPICARB:
		return ioapic->id;
	case IOAPICVER:
		return VERSION;
	default:
		return 0;
	}
}

static void rte_low_write(struct i82093aa *ioapic, unsigned pin, uint32_t value)
{
	uint32_t low = (value & RTE_WRITABLE) | (ioapic->rte_low[pin] & RTE_REMOTE_IRR);

	/* Becoming an edge forgets a message under way; guests of older parts end interrupts so. */
	if (!is_level(low))
		low &= ~RTE_REMOTE_IRR;
	ioapic->rte_low[pin] = low;
	serve_level(ioapic, pin);
}

static void register_write(struct i82093aa *ioapic, uint32_t value)
{
	unsigned reg = ioapic->ioregsel, pin = (reg - IOREDTBL) / 2;

	if (reg == IOAPICID)
		ioapic->id = value & ID_MASK;
	else if (reg < IOREDTBL || reg >= IOREDTBL_END)
		return;
	else if (reg % 2)
		ioapic->rte_high[pin] = value & 0xffu << DEST_SHIFT;
	else
		rte_low_write(ioapic, pin, value);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i82093aa *ioapic = opaque;

	switch (offset) {
	case IOREGSEL:
		return ioapic->ioregsel;
	case IOWIN:
		return register_read(ioapic);
	default:
		return 0;
	}
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i82093aa *ioapic = opaque;

	switch (offset) {
	case IOREGSEL:
		ioapic->ioregsel = value;
		break;
	case IOWIN:
		register_write(ioapic, value);
		break;
	case IOEOI:
		end_of_interrupt(ioapic, value);
		break;
	}
}

static const struct bus_ops ioapic_ops = {ioapic_read, ioapic_write, 4, 4};

static bool i82093aa_init(struct device *device, const struct device_config *config, GError **error)
{
	struct bus *bus = device->env->bus;

	if (!device_map(device, BUS_MMIO, config->base, IOAPIC_LEN, &ioapic_ops, error))
		return false;
	for (unsigned line = 0; line < PINS; line++) {
		if (line != TIMER_PIN)
			bus_line_attach(bus, line, set_pin, device, line ? line : TIMER_PIN);
	}
	bus_set_eoi_sink(bus, on_eoi, device);
	return true;
}

static void i82093aa_reset(struct device *device)
{
	struct i82093aa *ioapic = (struct i82093aa *)device;

	ioapic->ioregsel = 0;
	ioapic->id = 0;
	for (unsigned pin = 0; pin < PINS; pin++) {
		ioapic->rte_low[pin] = RTE_MASKED;
		ioapic->rte_high[pin] = 0;
	}
}

static bool i82093aa_check(const void *object)
{
	const struct i82093aa *ioapic = object;

	for (unsigned pin = 0; pin < PINS; pin++) {
		uint32_t low = ioapic->rte_low[pin];

		if (low & ~(RTE_WRITABLE | RTE_REMOTE_IRR) ||
		    (low & RTE_REMOTE_IRR && !is_level(low)))
			return false;
	}
	return !(ioapic->id & ~ID_MASK) && !(ioapic->pins >> PINS);
}

static const struct state_field i82093aa_fields[] = {
	STATE_FIELD(struct i82093aa, ioregsel), STATE_FIELD(struct i82093aa, id),
	STATE_FIELD(struct i82093aa, pins),	STATE_FIELD(struct i82093aa, rte_low),
	STATE_FIELD(struct i82093aa, rte_high),
};

static const struct state_table i82093aa_state = {
	.name = "i82093aa",
	.version = 1,
	.object_size = sizeof(struct i82093aa),
	.fields = i82093aa_fields,
	.n_fields = G_N_ELEMENTS(i82093aa_fields),
	.check = i82093aa_check,
};

const struct device_class i82093aa_class = {
	.name = "i82093aa",
	.document = "Intel 82093AA data sheet (290566); ICH (290655) for the EOI register",
	.size = sizeof(struct i82093aa),
	.state = &i82093aa_state,
	.init = i82093aa_init,
	.reset = i82093aa_reset,
};
