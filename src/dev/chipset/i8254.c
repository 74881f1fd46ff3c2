/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 programmable interval timer and port 61h, which holds channel 2's gate and shows
 * its output (PIIX, 290550, 2.5.4).
 *
 * Nothing counts: a channel remembers at which tick of the 1.193182 MHz clock its counter
 * was loaded, and its count and output are functions of the ticks since. Only the rising
 * edges of channel 0's output need a timer, since they are interrupts; the line is shown
 * low just before each, so that the falling edge costs no timer of its own.
 */
#include "dev/table.h"

#include "base/muldiv.h"

#define PIT_HZ 1193182
#define NS     1000000000ll

enum {
	PIT_BASE = 0x40,
	PIT_CONTROL = 3, /* offset */

	CW_BCD = 0x01,
	CW_READ_BACK = 3, /* in the channel field */
	RW_LATCH = 0,
	RW_LSB = 1,
	RW_MSB = 2,
	RW_WORD = 3,
	READ_BACK_NO_COUNT = 0x20,
	READ_BACK_NO_STATUS = 0x10,
	STATUS_OUT = 0x80,
	STATUS_NULL = 0x40,

	NMI_SC = 0x61,
	NMI_SC_GATE2 = 0x01,
	NMI_SC_WRITABLE = 0x0f,
	NMI_SC_REFRESH = 0x10,
	NMI_SC_OUT2 = 0x20,
	REFRESH_NS = 15085, /* 18 ticks, channel 1's classic divisor */
};

struct channel {
	uint8_t mode, rw;
	bool bcd, gate;
	bool running;	     /* the counting element has been loaded */
	bool next_pending;   /* `next` awaits its cue: a trigger, or the end of a cycle */
	uint32_t count;	     /* N, 1 to 65536, in effect */
	uint32_t next;	     /* N as written */
	int64_t start;	     /* tick at which N was or will be loaded */
	int64_t held;	     /* ticks counted when the gate stopped counting */
	int64_t switch_tick; /* when a pending count takes over in modes 2 and 3 */
	uint8_t write_lsb;
	bool write_msb_next, read_msb_next;
	bool count_latched, status_latched;
	uint16_t count_latch;
	uint8_t status_latch;
};

struct i8254 {
	struct device device;
	struct timer timer;
	struct irq_line irq;
	struct channel channels[3];
	uint8_t nmi_sc;
	bool out0;	  /* channel 0's output as the line has it */
	int64_t irq_tick; /* the next rising edge of channel 0; TIMER_NEVER: none */
};

static int64_t now_tick(const struct i8254 *pit)
{
	return muldiv_floor(clock_now_ns(pit->device.env->clock), PIT_HZ, NS);
}

static bool is_periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5 take the gate's rising edge for a trigger and ignore its level. */
static bool is_triggered(const struct channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* Ticks since the load; negative: not loaded yet. */
static int64_t elapsed(const struct channel *c, int64_t tick)
{
	return c->gate || is_triggered(c) ? tick - c->start : c->held;
}

/* Mode 3: how long a cycle's high half lasts. */
static int64_t high_half(int64_t count)
{
	return (count + 1) / 2;
}

static bool output(const struct channel *c, int64_t tick)
{
	int64_t n = c->count, t = elapsed(c, tick);

	if (!c->running || t < 0)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return t >= n;
	case 2:
		return !c->gate || t % n != n - 1;
	case 3:
		return !c->gate || t % n < high_half(n);
	default:
		return t != n;
	}
}

/* The counting element, in binary. */
static uint32_t counting(const struct channel *c, int64_t tick)
{
	int64_t n = c->count, t = elapsed(c, tick), in_half;
	int64_t modulus = c->bcd ? 10000 : 65536;

	if (!c->running)
		return 0;
	t = MAX(t, 0);
	switch (c->mode) {
	case 2:
		return (n - t % n) % modulus;
	case 3: /* by twos, from N or, where N is odd, from N - 1 */
		in_half = t % n < high_half(n) ? t % n : t % n - high_half(n);
		return ((n & ~1ll) - 2 * in_half) % modulus;
	default:
		return (uint32_t)((n - t % modulus + modulus) % modulus);
	}
}

static uint32_t from_bcd(uint16_t v)
{
	return (v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

static uint16_t to_bcd(uint32_t v)
{
	return v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

static uint16_t count_register(const struct channel *c, int64_t tick)
{
	return c->bcd ? to_bcd(counting(c, tick)) : counting(c, tick);
}

/* Lets a pending count of a periodic mode take over once its cycle has come. */
static void settle(struct channel *c, int64_t tick)
{
	int64_t phase;

	if (!c->next_pending || !c->running || !c->gate || !is_periodic(c) || tick < c->switch_tick)
		return;
	phase = (c->switch_tick - c->start) % c->count;
	/* Mode 3 switches at either half; the second one begins with the output low. */
	c->start = c->switch_tick - (c->mode == 3 && phase ? high_half(c->next) : 0);
	c->count = c->next;
	c->next_pending = false;
}

/* The next end of a cycle, or in mode 3 of half a cycle. */
static int64_t cycle_end(const struct channel *c, int64_t tick)
{
	int64_t t = tick - c->start, n = c->count;

	if (t < 0)
		return c->start;
	if (c->mode == 3 && t % n < high_half(n))
		return tick - t % n + high_half(n);
	return tick - t % n + n;
}

/* The first rising edge of the output after `tick`, if nothing is written meanwhile. */
static int64_t next_rise(const struct channel *c, int64_t tick)
{
	int64_t n = c->count, t = elapsed(c, tick), at;

	if (!c->running || !c->gate)
		return TIMER_NEVER;
	if (is_periodic(c))
		return t < 0 ? c->start + n : tick - t % n + n;
	at = c->start + n + (c->mode >= 4);
	return at > tick ? at : TIMER_NEVER;
}

/* Delivers channel 0's edge if its time has come. */
static void catch_up(struct i8254 *pit, int64_t tick)
{
	settle(&pit->channels[0], tick);
	if (tick < pit->irq_tick)
		return;
	irq_line_set(&pit->irq, false);
	irq_line_set(&pit->irq, true);
	pit->out0 = true;
	pit->irq_tick = next_rise(&pit->channels[0], tick);
}

/* Shows channel 0's output on the line and arms the timer for its next rising edge. */
static void update_irq(struct i8254 *pit, int64_t tick)
{
	struct channel *c = &pit->channels[0];
	int64_t wake;

	pit->out0 = output(c, tick);
	irq_line_set(&pit->irq, pit->out0);
	pit->irq_tick = next_rise(c, tick);
	wake = pit->irq_tick;
	if (c->next_pending && is_periodic(c))
		wake = MIN(wake, MAX(c->switch_tick, tick + 1));
	timer_set(&pit->timer, wake == TIMER_NEVER ? TIMER_NEVER : muldiv_ceil(wake, NS, PIT_HZ));
}

static void on_timer(void *opaque)
{
	struct i8254 *pit = opaque;
	int64_t tick = now_tick(pit);

	catch_up(pit, tick);
	update_irq(pit, tick);
}

static void load(struct channel *c, int64_t tick, uint32_t count)
{
	c->count = count;
	c->start = tick;
	c->held = 0;
	c->running = true;
	c->next_pending = false;
}

static void set_gate(struct channel *c, int64_t tick, bool gate)
{
	if (gate == c->gate)
		return;
	settle(c, tick);
	if (!gate)
		c->held = MAX(tick - c->start, 0);
	c->gate = gate;
	if (!gate)
		return;
	if (c->mode == 0 || c->mode == 4)
		c->start = tick - c->held;
	else if (c->running || c->next_pending)
		load(c, tick, c->next_pending ? c->next : c->count);
}

static void write_count(struct channel *c, int64_t tick, uint16_t value)
{
	uint32_t count = c->bcd ? from_bcd(value) : value;

	if (!count)
		count = c->bcd ? 10000 : 65536;
	if (is_triggered(c) || (is_periodic(c) && c->running)) {
		c->next = count;
		c->next_pending = true;
		c->switch_tick = cycle_end(c, tick);
	} else {
		/* The counter is loaded by the clock pulse after the write. */
		load(c, tick + 1, count);
	}
}

static void write_channel(struct channel *c, int64_t tick, uint8_t value)
{
	settle(c, tick);
	if (c->rw == RW_LSB) {
		write_count(c, tick, value);
	} else if (c->rw == RW_MSB) {
		write_count(c, tick, value << 8);
	} else if (c->write_msb_next) {
		c->write_msb_next = false;
		write_count(c, tick, value << 8 | c->write_lsb);
	} else {
		c->write_msb_next = true;
		c->write_lsb = value;
		/* Mode 0: half a count stops the old one. */
		if (c->mode == 0)
			c->running = false;
	}
}

static uint8_t read_channel(struct channel *c, int64_t tick)
{
	bool msb = c->rw == RW_WORD ? c->read_msb_next : c->rw == RW_MSB;
	uint16_t value;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status_latch;
	}
	value = c->count_latched ? c->count_latch : count_register(c, tick);
	if (c->rw == RW_WORD)
		c->read_msb_next = !c->read_msb_next;
	/* A latched word is kept until both its bytes are read. */
	if (c->rw != RW_WORD || msb)
		c->count_latched = false;
	return msb ? value >> 8 : value;
}

static void latch_count(struct channel *c, int64_t tick)
{
	if (c->count_latched)
		return;
	c->count_latched = true;
	c->count_latch = count_register(c, tick);
}

static void latch_status(struct channel *c, int64_t tick)
{
	bool null = !c->running || c->next_pending || elapsed(c, tick) < 0;

	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status_latch = (output(c, tick) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) |
			  c->rw << 4 | c->mode << 1 | c->bcd;
}

static void read_back(struct i8254 *pit, int64_t tick, uint8_t value)
{
	for (unsigned i = 0; i < 3; i++) {
		if (!(value & 2 << i))
			continue;
		settle(&pit->channels[i], tick);
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(&pit->channels[i], tick);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(&pit->channels[i], tick);
	}
}

static void write_control(struct i8254 *pit, int64_t tick, uint8_t value)
{
	struct channel *c;

	if (value >> 6 == CW_READ_BACK) {
		read_back(pit, tick, value);
		return;
	}
	c = &pit->channels[value >> 6];
	settle(c, tick);
	if ((value >> 4 & 3) == RW_LATCH) {
		latch_count(c, tick);
		return;
	}
	*c = (struct channel){
		.gate = c->gate,
		.rw = value >> 4 & 3,
		/* Modes 6 and 7 are 2 and 3. */
		.mode = (value >> 1 & 7) > 5 ? (value >> 1 & 3) : (value >> 1 & 7),
		.bcd = value & CW_BCD,
		.count = 1,
		.next = 1,
	};
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i8254 *pit = opaque;
	int64_t tick = now_tick(pit);

	if (offset == PIT_CONTROL)
		return 0xff;
	settle(&pit->channels[offset], tick);
	return read_channel(&pit->channels[offset], tick);
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8254 *pit = opaque;
	int64_t tick = now_tick(pit);

	catch_up(pit, tick);
	if (offset == PIT_CONTROL)
		write_control(pit, tick, value);
	else
		write_channel(&pit->channels[offset], tick, value);
	if (offset == 0 || (offset == PIT_CONTROL && value >> 6 == 0))
		update_irq(pit, tick);
}

static uint64_t nmi_sc_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i8254 *pit = opaque;
	int64_t ns = clock_now_ns(pit->device.env->clock), tick = now_tick(pit);

	settle(&pit->channels[2], tick);
	return pit->nmi_sc | (ns / REFRESH_NS & 1 ? NMI_SC_REFRESH : 0) |
	       (output(&pit->channels[2], tick) ? NMI_SC_OUT2 : 0);
}

static void nmi_sc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8254 *pit = opaque;

	pit->nmi_sc = value & NMI_SC_WRITABLE;
	set_gate(&pit->channels[2], now_tick(pit), value & NMI_SC_GATE2);
}

static const struct bus_ops pit_ops = {pit_read, pit_write, 1, 1};
static const struct bus_ops nmi_sc_ops = {nmi_sc_read, nmi_sc_write, 1, 1};

static bool i8254_init(struct device *device, const struct device_config *config, GError **error)
{
	struct i8254 *pit = (struct i8254 *)device;

	irq_line_init(&pit->irq, device->env->bus, 0);
	timer_init(&pit->timer, device->env->clock, &device->lock, on_timer, pit);
	return device_map(device, BUS_PIO, PIT_BASE, 4, &pit_ops, error) &&
	       device_map(device, BUS_PIO, NMI_SC, 1, &nmi_sc_ops, error);
}

static void i8254_reset(struct device *device)
{
	struct i8254 *pit = (struct i8254 *)device;

	for (unsigned i = 0; i < 3; i++) {
		pit->channels[i] = (struct channel){
			.gate = i != 2,
			.rw = RW_WORD,
			.count = 1,
			.next = 1,
		};
	}
	pit->nmi_sc = 0;
	update_irq(pit, now_tick(pit));
}

static void i8254_post_load(struct device *device)
{
	struct i8254 *pit = (struct i8254 *)device;

	irq_line_set(&pit->irq, pit->out0);
	/* on_timer() finds out for what, if anything. */
	timer_set(&pit->timer, 0);
}

static void i8254_fini(struct device *device)
{
	struct i8254 *pit = (struct i8254 *)device;

	timer_fini(&pit->timer);
	if (pit->irq.bus)
		irq_line_set(&pit->irq, false);
}

static bool tick_is_sane(int64_t tick)
{
	return tick > INT64_MIN / 4 && tick < INT64_MAX / 4;
}

static bool i8254_check(const void *object)
{
	const struct i8254 *pit = object;

	for (unsigned i = 0; i < 3; i++) {
		const struct channel *c = &pit->channels[i];

		if (c->mode > 5 || c->rw < RW_LSB || c->rw > RW_WORD || !c->count || !c->next ||
		    c->count > 65536 || c->next > 65536 || !tick_is_sane(c->start) ||
		    !tick_is_sane(c->held) || !tick_is_sane(c->switch_tick) ||
		    c->gate != (i != 2 || pit->nmi_sc & NMI_SC_GATE2))
			return false;
	}
	return !(pit->nmi_sc & ~NMI_SC_WRITABLE);
}

#define FIELD(member) STATE_FIELD(struct i8254, member)
#define CHANNEL_FIELDS(i)                                                                   \
	FIELD(channels[i].mode), FIELD(channels[i].rw), FIELD(channels[i].bcd),             \
		FIELD(channels[i].gate), FIELD(channels[i].running),                        \
		FIELD(channels[i].next_pending), FIELD(channels[i].count),                  \
		FIELD(channels[i].next), FIELD(channels[i].start), FIELD(channels[i].held), \
		FIELD(channels[i].switch_tick), FIELD(channels[i].write_lsb),               \
		FIELD(channels[i].write_msb_next), FIELD(channels[i].read_msb_next),        \
		FIELD(channels[i].count_latched), FIELD(channels[i].status_latched),        \
		FIELD(channels[i].count_latch), FIELD(channels[i].status_latch)

static const struct state_field i8254_fields[] = {
	CHANNEL_FIELDS(0), CHANNEL_FIELDS(1), CHANNEL_FIELDS(2),
	FIELD(nmi_sc),	   FIELD(out0),	      FIELD(irq_tick),
};

static const struct state_table i8254_state = {
	.name = "i8254",
	.version = 1,
	.object_size = sizeof(struct i8254),
	.fields = i8254_fields,
	.n_fields = G_N_ELEMENTS(i8254_fields),
	.check = i8254_check,
};

const struct device_class i8254_class = {
	.name = "i8254",
	.document = "Intel 8254 data sheet (231164); PIIX (290550) for port 61h",
	.size = sizeof(struct i8254),
	.state = &i8254_state,
	.init = i8254_init,
	.reset = i8254_reset,
	.post_load = i8254_post_load,
	.fini = i8254_fini,
};
