/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's virtual clock, the only time its devices know, and the timers on it.
 *
 * Virtual time is nanoseconds since the VM's power-on; it stands still while
 * the clock is stopped. The clock of a running VM follows CLOCK_MONOTONIC; a
 * manual clock moves only by clock_step(), so tests are exact.
 *
 * Threads: clock_now_ns(), timer_set() and timer_cancel() from any thread.
 * Timers fire on the thread that calls clock_run_due() (the loop thread), with
 * the timer's lock (its device's) held and the clock's own lock not held.
 * timer_init() and timer_fini() belong to the owner's set-up and tear-down.
 * Locks: timer's lock -> clock's lock, so a device arms timers from anywhere.
 */
#ifndef VIV_CLOCK_CLOCK_H
#define VIV_CLOCK_CLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct clock;

#define TIMER_NEVER INT64_MAX

struct timer {
	struct clock *clock;
	GMutex *lock; /* taken around fire(); may be NULL */
	void (*fire)(void *opaque);
	void *opaque;
	int64_t deadline_ns; /* TIMER_NEVER: not armed. Under the clock's lock. */
	GSequenceIter *position; /* in the clock's order; NULL when not armed */
};

/* The wall-clock time at which a manual clock's 0 ns lies: 2023-11-14 22:13:20 UTC. */
#define CLOCK_MANUAL_EPOCH_NS (1700000000ll * 1000000000ll)

struct clock *clock_new(void);        /* stopped, at 0 ns */
struct clock *clock_new_manual(void); /* at 0 ns, moved by clock_step() */
void clock_free(struct clock *clock);

void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
int64_t clock_now_ns(const struct clock *clock);
/* Sets the time of a stopped or manual clock, as a restored snapshot does. */
void clock_set_ns(struct clock *clock, int64_t now_ns);
/* Moves a manual clock forward and fires what falls due, each at its own time, in order. */
void clock_step(struct clock *clock, int64_t ns);

/* A timerfd that becomes readable when a timer is due; the loop thread polls it
 * and calls clock_run_due(), which re-arms it. A manual clock's is never readable. */
int clock_fd(const struct clock *clock);
void clock_run_due(struct clock *clock);

/* Wall-clock nanoseconds since 1970 (UTC), for the real-time clock and nothing else. */
int64_t clock_wall_ns(const struct clock *clock);

void timer_init(struct timer *timer, struct clock *clock, GMutex *lock, void (*fire)(void *),
		void *opaque);
/* The timer is not armed and fire() is not running when this returns. Called without the
 * timer's lock, not from fire(); a timer of zero bytes is left alone. */
void timer_fini(struct timer *timer);
/* Arms the timer, or moves it, to an absolute virtual time; a past time fires at once. */
void timer_set(struct timer *timer, int64_t deadline_ns);
void timer_cancel(struct timer *timer);

#endif
