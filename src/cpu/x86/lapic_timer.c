/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's timer (SDM volume 3, 11.5.4): it counts nanoseconds divided by 1..128, or waits for a TSC. */
#include "cpu/x86/lapic_int.h"

static unsigned divisor_shift(const struct lapic *a)
{
	unsigned code = (a->divide & 3) | (a->divide >> 1 & 4);

	return (code + 1) & 7;
}

enum lapic_timer_mode lapic_timer_mode(const struct lapic *a)
{
	return a->lvt[0] >> 17 & 3;
}

static int64_t timer_period_ns(const struct lapic *a)
{
	return (int64_t)a->initial_count << divisor_shift(a);
}

void lapic_timer_arm(struct lapic *a, int64_t deadline_ns)
{
	a->timer_deadline_ns = deadline_ns;
	if (deadline_ns == NO_DEADLINE)
		timer_cancel(&a->timer);
	else
		timer_set(&a->timer, deadline_ns);
}

void lapic_timer_start(struct lapic *a)
{
	int64_t now = clock_now_ns(a->set->clock);

	lapic_timer_arm(a, a->initial_count ? now + timer_period_ns(a) : NO_DEADLINE);
}

static void start_deadline(struct lapic *a)
{
	int64_t now = clock_now_ns(a->set->clock);
	uint64_t tsc = now + a->tsc_offset;
	uint64_t left = a->tsc_deadline > tsc ? a->tsc_deadline - tsc : 0;

	if (!a->tsc_deadline || left > (uint64_t)(NO_DEADLINE - now))
		lapic_timer_arm(a, NO_DEADLINE);
	else
		lapic_timer_arm(a, now + left);
}

uint32_t lapic_timer_count(const struct lapic *a)
{
	int64_t left;

	if (a->timer_deadline_ns == NO_DEADLINE || lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
		return 0;
	left = a->timer_deadline_ns - clock_now_ns(a->set->clock);
	return MAX(left, 0) >> divisor_shift(a);
}

/* With the lock held. */
static void timer_fire(void *opaque)
{
	struct lapic *a = opaque;
	int64_t now = clock_now_ns(a->set->clock), period = timer_period_ns(a);

	if (lapic_timer_mode(a) == TIMER_PERIODIC && period) {
		/* Ticks that fell due together are one interrupt. */
		int64_t next = a->timer_deadline_ns + period;

		if (next <= now)
			next = now + period - (now - a->timer_deadline_ns) % period;
		lapic_timer_arm(a, next);
	} else {
		a->timer_deadline_ns = NO_DEADLINE;
		if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
			a->tsc_deadline = 0;
	}
	lapic_timer_accept(a);
}

void lapic_timer_init(struct lapic *a)
{
	timer_init(&a->timer, a->set->clock, &a->lock, timer_fire, a);
}

uint64_t lapic_tsc_deadline(struct lapic *a)
{
	uint64_t v;

	g_mutex_lock(&a->lock);
	v = a->tsc_deadline;
	g_mutex_unlock(&a->lock);
	return v;
}

void lapic_set_tsc_deadline(struct lapic *a, uint64_t deadline)
{
	g_mutex_lock(&a->lock);
	if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE) {
		a->tsc_deadline = deadline;
		start_deadline(a);
	}
	g_mutex_unlock(&a->lock);
}

void lapic_set_tsc_offset(struct lapic *a, uint64_t offset)
{
	g_mutex_lock(&a->lock);
	a->tsc_offset = offset;
	if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
		start_deadline(a);
	g_mutex_unlock(&a->lock);
}
