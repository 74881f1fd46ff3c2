/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * High-precision event timers (IA-PC HPET specification 1.0a): a counter of 100 MHz and three
 * timers, each with a comparator of 64 bits, periodic if wanted. They do not take the place of the
 * 8254 and the MC146818 (LEG_RT_CAP is 0), nor send messages: their interrupts are lines 20 to 23
 * of the IOAPIC, as the ICH9's.
 *
 * Nothing counts: the counter is the virtual clock's ticks and an offset. A timer that is late by
 * several periods interrupts once.
 */
#include "dev/chipset/hpet.h"

#include "base/muldiv.h"
#include "dev/device.h"

#define N_TIMERS  HPET_TIMERS
#define SPACE	  0x400
#define TICK_NS	  10
#define PERIOD_FS 10000000ull /* of the counter, in 10^-15 s */
#define ROUTES	  0x00f00000u /* lines that timers can have */
/* A shorter period would keep the host busy. */
#define MIN_WAKE_NS 20000

/* Section 2.3.3 on. */
enum {
	GCAP_ID = 0x000,
	GEN_CONF = 0x010,
	GEN_CONF_ENABLE = 1 << 0,
	GINTR_STA = 0x020,
	MAIN_CNT = 0x0f0,
	TIMER_0 = 0x100,
	TIMER_SPACE = 0x20,
	TIMER_CONF = 0x00,
	TIMER_COMP = 0x08,

	CONF_LEVEL = 1 << 1,
	CONF_INT_ENB = 1 << 2,
	CONF_PERIODIC = 1 << 3,
	CONF_PER_CAP = 1 << 4,
	CONF_SIZE_CAP = 1 << 5,
	CONF_VAL_SET = 1 << 6,
	CONF_32MODE = 1 << 8,
	CONF_ROUTE_SHIFT = 9,
	CONF_ROUTE = 0x1f << CONF_ROUTE_SHIFT,
	CONF_WRITABLE =
		CONF_LEVEL | CONF_INT_ENB | CONF_PERIODIC | CONF_VAL_SET | CONF_32MODE | CONF_ROUTE,
};

#define CAPABILITIES   (PERIOD_FS << 32 | HPET_ID)
#define CONF_READ_ONLY ((uint64_t)ROUTES << 32 | CONF_PER_CAP | CONF_SIZE_CAP)

struct hpet_timer {
	uint32_t conf; /* what can be written */
	uint64_t comparator, period;
	int64_t due; /* the clock's tick of the next match; TIMER_NEVER */
	struct irq_line line;
};

struct hpet {
	struct device device;
	struct timer timer;
	bool enabled;
	uint64_t base; /* the counter, less the clock's tick while it is enabled */
	uint8_t status;
	struct hpet_timer timers[N_TIMERS];
};

static int64_t now_tick(const struct hpet *hpet)
{
	return clock_now_ns(hpet->device.env->clock) / TICK_NS;
}

static uint64_t counter(const struct hpet *hpet)
{
	return hpet->base + (hpet->enabled ? now_tick(hpet) : 0);
}

static uint64_t timer_mask(const struct hpet_timer *t)
{
	return t->conf & CONF_32MODE ? UINT32_MAX : UINT64_MAX;
}

/* `ticks` from a tick on, or never if that is too far away to be told. */
static int64_t tick_after(int64_t tick, uint64_t ticks)
{
	return ticks <= (uint64_t)(INT64_MAX - tick) ? tick + (int64_t)ticks : TIMER_NEVER;
}

/* A match is when the counter comes to equal the comparator, in as many bits as the timer has. */
static void schedule(struct hpet *hpet, struct hpet_timer *t)
{
	uint64_t distance = (t->comparator - counter(hpet) - 1) & timer_mask(t);

	t->due = hpet->enabled ? tick_after(tick_after(now_tick(hpet), distance), 1) : TIMER_NEVER;
}

static void show_line(struct hpet *hpet, unsigned n)
{
	struct hpet_timer *t = &hpet->timers[n];
	unsigned line = (t->conf & CONF_ROUTE) >> CONF_ROUTE_SHIFT;
	bool high = hpet->enabled && t->conf & CONF_INT_ENB && hpet->status >> n & 1 &&
		    ROUTES >> line & 1;

	if (t->line.level && (!high || t->line.line != line))
		irq_line_set(&t->line, false);
	if (!high)
		return;
	if (t->line.line != line)
		irq_line_init(&t->line, hpet->device.env->bus, line);
	irq_line_set(&t->line, true);
}

/* Its next match is reckoned from the last one, so that no time is lost. */
static void match(struct hpet *hpet, unsigned n, int64_t now)
{
	struct hpet_timer *t = &hpet->timers[n];
	uint64_t step = t->period & timer_mask(t);

	if (t->conf & CONF_PERIODIC && step) {
		uint64_t steps = (uint64_t)(now - t->due) / step + 1;

		t->comparator = (t->comparator + steps * step) & timer_mask(t);
		t->due = tick_after(t->due, steps * step);
	} else {
		schedule(hpet, t);
	}
	hpet->status |= 1 << n;
	show_line(hpet, n);
	/* An edge is all that there is of it. */
	if (!(t->conf & CONF_LEVEL)) {
		hpet->status &= ~(1 << n);
		show_line(hpet, n);
	}
}

static void update(struct hpet *hpet)
{
	int64_t now = now_tick(hpet), next = TIMER_NEVER;

	for (unsigned i = 0; i < N_TIMERS; i++) {
		struct hpet_timer *t = &hpet->timers[i];

		if (t->due <= now)
			match(hpet, i, now);
		if (t->conf & CONF_INT_ENB)
			next = MIN(next, t->due);
	}
	if (next != TIMER_NEVER)
		next = MAX(muldiv_ceil(next, TICK_NS, 1),
			   clock_now_ns(hpet->device.env->clock) + MIN_WAKE_NS);
	timer_set(&hpet->timer, next);
}

static void on_timer(void *opaque)
{
	update(opaque);
}

static uint64_t timer_read(const struct hpet_timer *t, unsigned reg)
{
	switch (reg) {
	case TIMER_CONF:
		return t->conf | CONF_READ_ONLY;
	case TIMER_COMP:
		return t->comparator & timer_mask(t);
	}
	return 0;
}

static uint64_t register_read(const struct hpet *hpet, unsigned reg)
{
	if (reg >= TIMER_0)
		return reg < TIMER_0 + N_TIMERS * TIMER_SPACE
			       ? timer_read(&hpet->timers[(reg - TIMER_0) / TIMER_SPACE],
					    reg % TIMER_SPACE)
			       : 0;
	switch (reg) {
	case GCAP_ID:
		return CAPABILITIES;
	case GEN_CONF:
		return hpet->enabled;
	case GINTR_STA:
		return hpet->status;
	case MAIN_CNT:
		return counter(hpet);
	}
	return 0;
}

/* A route that there is not leaves the old one. */
static void conf_write(struct hpet *hpet, unsigned n, uint32_t value)
{
	struct hpet_timer *t = &hpet->timers[n];
	unsigned line = (value & CONF_ROUTE) >> CONF_ROUTE_SHIFT;

	if (!(ROUTES >> line & 1))
		value = (value & ~CONF_ROUTE) | (t->conf & CONF_ROUTE);
	t->conf = value & CONF_WRITABLE;
	if (!(t->conf & CONF_LEVEL))
		hpet->status &= ~(1 << n);
	schedule(hpet, t);
	show_line(hpet, n);
}

/* Section 2.3.9.2: a periodic timer's period; with VAL_SET, its next match besides. */
static void comparator_write(struct hpet *hpet, struct hpet_timer *t, uint64_t value)
{
	bool periodic = t->conf & CONF_PERIODIC;

	value &= timer_mask(t);
	if (periodic)
		t->period = value;
	if (!periodic || t->conf & CONF_VAL_SET)
		t->comparator = value;
	t->conf &= ~CONF_VAL_SET;
	schedule(hpet, t);
}

static void enable(struct hpet *hpet, bool enabled)
{
	if (enabled == hpet->enabled)
		return;
	hpet->base += enabled ? -now_tick(hpet) : now_tick(hpet);
	hpet->enabled = enabled;
}

/* `mask`: the bits that are written, the others of `value` being as they are. */
static void register_write(struct hpet *hpet, unsigned reg, uint64_t value, uint64_t mask)
{
	unsigned n = (reg - TIMER_0) / TIMER_SPACE;

	if (reg >= TIMER_0) {
		if (n < N_TIMERS && reg % TIMER_SPACE == TIMER_CONF)
			conf_write(hpet, n, value);
		else if (n < N_TIMERS && reg % TIMER_SPACE == TIMER_COMP)
			comparator_write(hpet, &hpet->timers[n], value);
		return;
	}
	if (reg == GEN_CONF)
		enable(hpet, value & GEN_CONF_ENABLE);
	else if (reg == GINTR_STA)
		hpet->status &= ~(value & mask);
	else if (reg == MAIN_CNT && !hpet->enabled)
		hpet->base = value;
	for (unsigned i = 0; i < N_TIMERS; i++) {
		if (reg != GINTR_STA)
			schedule(hpet, &hpet->timers[i]);
		show_line(hpet, i);
	}
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
	struct hpet *hpet = opaque;

	update(hpet);
	return offset % size ? 0 : register_read(hpet, offset & ~7ull) >> offset % 8 * 8;
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct hpet *hpet = opaque;
	unsigned reg = offset & ~7ull, shift = offset % 8 * 8;
	uint64_t mask = (size == 8 ? UINT64_MAX : UINT32_MAX) << shift;

	if (offset % size)
		return;
	update(hpet);
	register_write(hpet, reg, (register_read(hpet, reg) & ~mask) | (value << shift & mask),
		       mask);
	update(hpet);
}

static const struct bus_ops hpet_ops = {hpet_read, hpet_write, .min_size = 4, .max_size = 8};

static bool hpet_init(struct device *device, const struct device_config *config, GError **error)
{
	struct hpet *hpet = (struct hpet *)device;

	timer_init(&hpet->timer, device->env->clock, &device->lock, on_timer, hpet);
	for (unsigned i = 0; i < N_TIMERS; i++)
		irq_line_init(&hpet->timers[i].line, device->env->bus, 0);
	return device_map(device, BUS_MMIO, config->base, SPACE, &hpet_ops, error);
}

static void show_lines(struct hpet *hpet)
{
	for (unsigned i = 0; i < N_TIMERS; i++)
		show_line(hpet, i);
	update(hpet);
}

static void hpet_reset(struct device *device)
{
	struct hpet *hpet = (struct hpet *)device;

	hpet->enabled = false;
	hpet->base = 0;
	hpet->status = 0;
	for (unsigned i = 0; i < N_TIMERS; i++) {
		struct hpet_timer *t = &hpet->timers[i];

		t->conf = 0;
		t->comparator = UINT64_MAX;
		t->period = 0;
		t->due = TIMER_NEVER;
	}
	show_lines(hpet);
}

static void hpet_post_load(struct device *device)
{
	show_lines((struct hpet *)device);
}

static void hpet_fini(struct device *device)
{
	timer_fini(&((struct hpet *)device)->timer);
}

#define TIMER_FIELDS(n)                                                                           \
	STATE_FIELD(struct hpet, timers[n].conf), STATE_FIELD(struct hpet, timers[n].comparator), \
		STATE_FIELD(struct hpet, timers[n].period),                                       \
		STATE_FIELD(struct hpet, timers[n].due)

static const struct state_field hpet_fields[] = {
	STATE_FIELD(struct hpet, enabled),
	STATE_FIELD(struct hpet, base),
	STATE_FIELD(struct hpet, status),
	TIMER_FIELDS(0),
	TIMER_FIELDS(1),
	TIMER_FIELDS(2),
};

static bool hpet_check(const void *object)
{
	const struct hpet *hpet = object;

	for (unsigned i = 0; i < N_TIMERS; i++)
		if (hpet->timers[i].conf & ~CONF_WRITABLE || hpet->timers[i].due < 0)
			return false;
	return !(hpet->status >> N_TIMERS);
}

static const struct state_table hpet_state = {
	.name = "hpet",
	.version = 1,
	.object_size = sizeof(struct hpet),
	.fields = hpet_fields,
	.n_fields = G_N_ELEMENTS(hpet_fields),
	.check = hpet_check,
};

const struct device_class hpet_class = {
	.name = "hpet",
	.document = "IA-PC HPET 1.0a",
	.size = sizeof(struct hpet),
	.state = &hpet_state,
	.init = hpet_init,
	.reset = hpet_reset,
	.post_load = hpet_post_load,
	.fini = hpet_fini,
};
