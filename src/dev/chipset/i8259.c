/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two 8259A interrupt controllers as a PC wires them: the second one's INT is the first
 * one's IR2, and the edge/level control registers of the PIIX (290550, 2.5.5) choose
 * each line's trigger mode in place of ICW1's LTIM.
 *
 * An edge is latched in IRR until it is acknowledged, also if the line falls before, so
 * that a pulse is not lost; a level request is its line. The lines carry assertion, not
 * voltage. Lines 0, 1 and 3..15 of the bus are the request inputs.
 */
#include "dev/table.h"

enum {
	PIC_MASTER = 0x20,
	PIC_SLAVE = 0xa0,
	ELCR_BASE = 0x4d0,
	CASCADE = 2, /* the master's input that the slave's INT drives */
	SPURIOUS = 7,

	ICW1_IC4 = 0x01,
	ICW1_SNGL = 0x02,
	ICW1_INIT = 0x10,
	ICW4_AEOI = 0x02,
	ICW4_SFNM = 0x10,

	OCW2_LEVEL = 0x07,
	OCW3 = 0x08,
	OCW3_RIS = 0x01,
	OCW3_RR = 0x02,
	OCW3_P = 0x04,
	OCW3_SMM = 0x20,
	OCW3_ESMM = 0x40,
	POLL_INT = 0x80,
};

/* OCW2's R, SL and EOI bits. */
enum ocw2 {
	OCW2_ROTATE_AEOI_CLEAR,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_SPECIFIC_EOI,
	OCW2_ROTATE_AEOI_SET,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_SPECIFIC_EOI,
};

/* Which initialization word a write to the odd port is. */
enum { ICW_NONE, ICW2, ICW3, ICW4 };

struct chip {
	uint8_t irr, isr, imr;
	uint8_t pins;	/* request inputs, outside reset's reach */
	uint8_t elcr;	/* inputs that are level-triggered */
	uint8_t base;	/* ICW2: vector of IR0 */
	uint8_t lowest; /* the input of lowest priority */
	uint8_t next_icw;
	bool icw4_needed, single;
	bool aeoi, rotate_aeoi, sfnm, special_mask;
	bool read_isr, poll;
};

struct i8259 {
	struct device device;
	struct chip chips[2]; /* master, slave */
	bool intr;	      /* the INTR pin as last reported */
};

static bool is_master(const struct i8259 *pic, const struct chip *chip)
{
	return chip == &pic->chips[0];
}

/* Of the inputs in `mask`, the one of highest priority, as its distance from the top; 8: none. */
static unsigned priority_of(const struct chip *chip, uint8_t mask)
{
	unsigned p = 0;

	while (p < 8 && !(mask & 1 << ((chip->lowest + 1 + p) & 7)))
		p++;
	return p;
}

static unsigned input_of(const struct chip *chip, unsigned priority)
{
	return (chip->lowest + 1 + priority) & 7;
}

/* The input that the chip would have acknowledged, or -1. */
static int requested(const struct i8259 *pic, const struct chip *chip)
{
	uint8_t in_service = chip->isr;
	unsigned request = priority_of(chip, chip->irr & ~chip->imr);

	if (chip->special_mask)
		in_service &= ~chip->imr;
	/* Special fully nested: the slave may interrupt its own service. */
	if (chip->sfnm && is_master(pic, chip))
		in_service &= ~(1 << CASCADE);
	return request < priority_of(chip, in_service) ? (int)input_of(chip, request) : -1;
}

static void set_bit(uint8_t *mask, unsigned bit, bool on)
{
	*mask = on ? *mask | 1 << bit : *mask & ~(1 << bit);
}

/* Propagates requests: slave to master to processor. */
static void update(struct i8259 *pic)
{
	bool intr;

	set_bit(&pic->chips[0].irr, CASCADE, requested(pic, &pic->chips[1]) >= 0);
	intr = requested(pic, &pic->chips[0]) >= 0;
	if (intr != pic->intr) {
		pic->intr = intr;
		bus_set_intr(pic->device.env->bus, intr);
	}
}

static void set_pin(void *opaque, unsigned pin, bool level)
{
	struct i8259 *pic = opaque;
	struct chip *chip = &pic->chips[pin / 8];
	uint8_t bit = 1 << (pin % 8);

	g_mutex_lock(&pic->device.lock);
	if (chip->elcr & bit)
		set_bit(&chip->irr, pin % 8, level);
	else if (level && !(chip->pins & bit))
		chip->irr |= bit;
	set_bit(&chip->pins, pin % 8, level);
	update(pic);
	g_mutex_unlock(&pic->device.lock);
}

static void acknowledge(struct chip *chip, unsigned input)
{
	uint8_t bit = 1 << input;

	if (!(chip->elcr & bit))
		chip->irr &= ~bit;
	if (!chip->aeoi)
		chip->isr |= bit;
	else if (chip->rotate_aeoi)
		chip->lowest = input;
}

/* The INTA cycles; a request that went away meanwhile answers as IR7, without a service bit. */
static int acknowledge_vector(void *opaque)
{
	struct i8259 *pic = opaque;
	struct chip *chip = &pic->chips[0];
	int input, vector;

	g_mutex_lock(&pic->device.lock);
	input = requested(pic, chip);
	if (input >= 0)
		acknowledge(chip, input);
	if (input == CASCADE) {
		chip = &pic->chips[1];
		input = requested(pic, chip);
		if (input >= 0)
			acknowledge(chip, input);
	}
	vector = chip->base + (input < 0 ? SPURIOUS : input);
	update(pic);
	g_mutex_unlock(&pic->device.lock);
	return vector;
}

/* The poll command's read: an acknowledge by software. */
static uint8_t poll(struct i8259 *pic, struct chip *chip)
{
	int input = requested(pic, chip);

	chip->poll = false;
	if (input < 0)
		return 0;
	acknowledge(chip, input);
	update(pic);
	return POLL_INT | input;
}

static void write_icw1(struct chip *chip, uint8_t value)
{
	*chip = (struct chip){
		.pins = chip->pins,
		.elcr = chip->elcr,
		.irr = chip->pins & chip->elcr,
		.base = chip->base,
		.lowest = 7,
		.next_icw = ICW2,
		.icw4_needed = value & ICW1_IC4,
		.single = value & ICW1_SNGL,
	};
}

static void write_next_icw(struct chip *chip, uint8_t value)
{
	switch (chip->next_icw) {
	case ICW2:
		chip->base = value & 0xf8;
		chip->next_icw = !chip->single ? ICW3 : chip->icw4_needed ? ICW4 : ICW_NONE;
		break;
	case ICW3: /* the cascade is wired, not programmed */
		chip->next_icw = chip->icw4_needed ? ICW4 : ICW_NONE;
		break;
	case ICW4:
		chip->aeoi = value & ICW4_AEOI;
		chip->sfnm = value & ICW4_SFNM;
		chip->next_icw = ICW_NONE;
		break;
	}
}

/* Ends the service of highest priority; the special mask mode hides masked ones. */
static void end_of_interrupt(struct chip *chip, bool rotate)
{
	unsigned p = priority_of(chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
	unsigned input = input_of(chip, p);

	if (p == 8)
		return;
	chip->isr &= ~(1 << input);
	if (rotate)
		chip->lowest = input;
}

static void write_ocw2(struct chip *chip, uint8_t value)
{
	unsigned level = value & OCW2_LEVEL;
	enum ocw2 command = value >> 5;

	switch (command) {
	case OCW2_ROTATE_AEOI_CLEAR:
	case OCW2_ROTATE_AEOI_SET:
		chip->rotate_aeoi = command == OCW2_ROTATE_AEOI_SET;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		end_of_interrupt(chip, command == OCW2_ROTATE_EOI);
		break;
	case OCW2_SPECIFIC_EOI:
		chip->isr &= ~(1 << level);
		break;
	case OCW2_ROTATE_SPECIFIC_EOI:
		chip->isr &= ~(1 << level);
		chip->lowest = level;
		break;
	case OCW2_SET_PRIORITY:
		chip->lowest = level;
		break;
	case OCW2_NOP:
		break;
	}
}

static void write_ocw3(struct chip *chip, uint8_t value)
{
	if (value & OCW3_P)
		chip->poll = true;
	if (value & OCW3_RR)
		chip->read_isr = value & OCW3_RIS;
	if (value & OCW3_ESMM)
		chip->special_mask = value & OCW3_SMM;
}

static uint64_t chip_read(struct i8259 *pic, struct chip *chip, uint64_t offset)
{
	if (chip->poll)
		return poll(pic, chip);
	if (offset)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static void chip_write(struct i8259 *pic, struct chip *chip, uint64_t offset, uint8_t value)
{
	if (offset && chip->next_icw)
		write_next_icw(chip, value);
	else if (offset)
		chip->imr = value;
	else if (value & ICW1_INIT)
		write_icw1(chip, value);
	else if (value & OCW3)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
	update(pic);
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i8259 *pic = opaque;

	return chip_read(pic, &pic->chips[0], offset);
}

static void master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8259 *pic = opaque;

	chip_write(pic, &pic->chips[0], offset, value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i8259 *pic = opaque;

	return chip_read(pic, &pic->chips[1], offset);
}

static void slave_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8259 *pic = opaque;

	chip_write(pic, &pic->chips[1], offset, value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((struct i8259 *)opaque)->chips[offset].elcr;
}

/* The timer, the keyboard, the cascade, the real-time clock and the FPU are always edges. */
static const uint8_t elcr_writable[2] = {0xf8, 0xde};

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8259 *pic = opaque;
	struct chip *chip = &pic->chips[offset];

	chip->elcr = value & elcr_writable[offset];
	chip->irr = (chip->irr & ~chip->elcr) | (chip->pins & chip->elcr);
	update(pic);
}

static const struct bus_ops master_ops = {master_read, master_write, 1, 1};
static const struct bus_ops slave_ops = {slave_read, slave_write, 1, 1};
static const struct bus_ops elcr_ops = {elcr_read, elcr_write, 1, 1};

static bool i8259_init(struct device *device, const struct device_config *config, GError **error)
{
	struct bus *bus = device->env->bus;

	if (!device_map(device, BUS_PIO, PIC_MASTER, 2, &master_ops, error) ||
	    !device_map(device, BUS_PIO, PIC_SLAVE, 2, &slave_ops, error) ||
	    !device_map(device, BUS_PIO, ELCR_BASE, 2, &elcr_ops, error))
		return false;
	for (unsigned line = 0; line < 16; line++) {
		if (line != CASCADE)
			bus_line_attach(bus, line, set_pin, device, line);
	}
	bus_set_intr_source(bus, acknowledge_vector, device);
	return true;
}

static void i8259_reset(struct device *device)
{
	struct i8259 *pic = (struct i8259 *)device;

	for (unsigned i = 0; i < 2; i++) {
		write_icw1(&pic->chips[i], 0);
		pic->chips[i].next_icw = ICW_NONE;
		pic->chips[i].base = 0;
		pic->chips[i].elcr = 0;
		pic->chips[i].irr = 0;
	}
	update(pic);
}

static void i8259_post_load(struct device *device)
{
	struct i8259 *pic = (struct i8259 *)device;

	update(pic);
	bus_set_intr(device->env->bus, pic->intr);
}

static bool i8259_check(const void *object)
{
	const struct i8259 *pic = object;

	for (unsigned i = 0; i < 2; i++) {
		const struct chip *chip = &pic->chips[i];

		if (chip->lowest > 7 || chip->next_icw > ICW4 || chip->base & 7 ||
		    chip->elcr & ~elcr_writable[i])
			return false;
	}
	return true;
}

#define FIELD(member) STATE_FIELD(struct i8259, member)
#define CHIP_FIELDS(i)                                                                         \
	FIELD(chips[i].irr), FIELD(chips[i].isr), FIELD(chips[i].imr), FIELD(chips[i].pins),   \
		FIELD(chips[i].elcr), FIELD(chips[i].base), FIELD(chips[i].lowest),            \
		FIELD(chips[i].next_icw), FIELD(chips[i].icw4_needed), FIELD(chips[i].single), \
		FIELD(chips[i].aeoi), FIELD(chips[i].rotate_aeoi), FIELD(chips[i].sfnm),       \
		FIELD(chips[i].special_mask), FIELD(chips[i].read_isr), FIELD(chips[i].poll)

static const struct state_field i8259_fields[] = {CHIP_FIELDS(0), CHIP_FIELDS(1)};

static const struct state_table i8259_state = {
	.name = "i8259",
	.version = 1,
	.object_size = sizeof(struct i8259),
	.fields = i8259_fields,
	.n_fields = G_N_ELEMENTS(i8259_fields),
	.check = i8259_check,
};

const struct device_class i8259_class = {
	.name = "i8259",
	.document = "Intel 8259A data sheet (231468); PIIX (290550) for the ELCR",
	.size = sizeof(struct i8259),
	.state = &i8259_state,
	.init = i8259_init,
	.reset = i8259_reset,
	.post_load = i8259_post_load,
};
