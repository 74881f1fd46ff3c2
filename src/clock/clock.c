/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time is CLOCK_MONOTONIC plus an offset while running and a stored value while not, both
 * atomics, so that reading it takes no lock. A reader that races with clock_stop() may see
 * a time a little past the stop; whoever stops the clock has stopped the vCPUs first.
 *
 * Firing takes the timer's lock, then the clock's. Between choosing the first timer and
 * holding its lock it may be cancelled or moved, so it stays in the order until both are
 * held and is then looked at again; `firing` keeps timer_fini() waiting meanwhile.
 */
#include "clock/clock.h"

#include <stdatomic.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/host_clock.h"

#define NS_PER_S 1000000000ll

/* Timers fired by one clock_run_due(), after which the loop thread gets its turn. */
#define RUN_DUE_MAX 256

struct clock {
	bool manual;
	int fd;
	_Atomic bool running;
	_Atomic int64_t offset_ns;  /* virtual - CLOCK_MONOTONIC, while running */
	_Atomic int64_t stopped_ns; /* virtual time, while not running */

	GMutex lock;
	GCond fired;
	GSequence *order;     /* armed timers, earliest first; equal ones as armed */
	struct timer *firing; /* chosen or in fire() */
	int64_t armed_ns;     /* what the timerfd is set to; TIMER_NEVER: nothing */
};

static struct clock *new_clock(bool manual)
{
	struct clock *clock = g_new0(struct clock, 1);

	clock->manual = manual;
	clock->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (clock->fd < 0)
		g_error("cannot create a timer descriptor: %s; raise the limit of open files",
			g_strerror(errno));
	g_mutex_init(&clock->lock);
	g_cond_init(&clock->fired);
	clock->order = g_sequence_new(NULL);
	clock->armed_ns = TIMER_NEVER;
	return clock;
}

struct clock *clock_new(void)
{
	return new_clock(false);
}

struct clock *clock_new_manual(void)
{
	return new_clock(true);
}

void clock_free(struct clock *clock)
{
	if (!clock)
		return;
	g_assert(g_sequence_is_empty(clock->order));
	g_sequence_free(clock->order);
	g_cond_clear(&clock->fired);
	g_mutex_clear(&clock->lock);
	close(clock->fd);
	g_free(clock);
}

int64_t clock_now_ns(const struct clock *clock)
{
	if (atomic_load_explicit(&clock->running, memory_order_acquire))
		return host_clock_ns(CLOCK_MONOTONIC) + atomic_load(&clock->offset_ns);
	return atomic_load(&clock->stopped_ns);
}

int64_t clock_wall_ns(const struct clock *clock)
{
	return clock->manual ? CLOCK_MANUAL_EPOCH_NS + clock_now_ns(clock)
			     : host_clock_ns(CLOCK_REALTIME);
}

static struct timer *first_timer(struct clock *clock)
{
	GSequenceIter *first = g_sequence_get_begin_iter(clock->order);

	return g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
}

/* Sets the timerfd to the first deadline. Under the clock's lock. */
static void arm_fd(struct clock *clock)
{
	struct timer *first = first_timer(clock);
	struct itimerspec spec = {0};
	int64_t host = 0;

	clock->armed_ns = TIMER_NEVER;
	if (first && atomic_load(&clock->running)) {
		clock->armed_ns = first->deadline_ns;
		if (__builtin_sub_overflow(first->deadline_ns, atomic_load(&clock->offset_ns),
					   &host))
			host = INT64_MAX;
		/* Zero would disarm; any past time fires at once. */
		host = MAX(host, 1);
	}
	spec.it_value.tv_sec = host / NS_PER_S;
	spec.it_value.tv_nsec = host % NS_PER_S;
	if (timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		g_assert_not_reached();
}

void clock_start(struct clock *clock)
{
	g_assert(!clock->manual);
	g_mutex_lock(&clock->lock);
	if (!atomic_load(&clock->running)) {
		atomic_store(&clock->offset_ns,
			     atomic_load(&clock->stopped_ns) - host_clock_ns(CLOCK_MONOTONIC));
		atomic_store_explicit(&clock->running, true, memory_order_release);
		arm_fd(clock);
	}
	g_mutex_unlock(&clock->lock);
}

void clock_stop(struct clock *clock)
{
	g_assert(!clock->manual);
	g_mutex_lock(&clock->lock);
	if (atomic_load(&clock->running)) {
		atomic_store(&clock->stopped_ns, clock_now_ns(clock));
		atomic_store_explicit(&clock->running, false, memory_order_release);
		arm_fd(clock);
	}
	g_mutex_unlock(&clock->lock);
}

void clock_set_ns(struct clock *clock, int64_t now_ns)
{
	g_assert(!atomic_load(&clock->running));
	atomic_store(&clock->stopped_ns, now_ns);
}

int clock_fd(const struct clock *clock)
{
	return clock->fd;
}

static void disarm(struct timer *timer)
{
	if (timer->position)
		g_sequence_remove(timer->position);
	timer->position = NULL;
	timer->deadline_ns = TIMER_NEVER;
}

/* Fires `timer` if it is still due at `limit_ns`. Takes and releases the clock's lock. */
static void fire_one(struct clock *clock, struct timer *timer, int64_t limit_ns)
{
	bool due;

	clock->firing = timer;
	g_mutex_unlock(&clock->lock);
	if (timer->lock)
		g_mutex_lock(timer->lock);
	g_mutex_lock(&clock->lock);
	due = timer->position && timer->deadline_ns <= limit_ns;
	if (due) {
		/* A manual clock stands at each timer's own time while that one fires. */
		if (clock->manual && timer->deadline_ns > atomic_load(&clock->stopped_ns))
			atomic_store(&clock->stopped_ns, timer->deadline_ns);
		disarm(timer);
	}
	g_mutex_unlock(&clock->lock);
	if (due)
		timer->fire(timer->opaque);
	if (timer->lock)
		g_mutex_unlock(timer->lock);
	g_mutex_lock(&clock->lock);
	clock->firing = NULL;
	g_cond_broadcast(&clock->fired);
}

/* Fires what is due at `limit_ns`, at most `max` timers. Under the clock's lock. */
static void fire_due(struct clock *clock, int64_t limit_ns, unsigned max)
{
	for (unsigned n = 0; n < max; n++) {
		struct timer *first = first_timer(clock);

		if (!first || first->deadline_ns > limit_ns)
			break;
		fire_one(clock, first, limit_ns);
	}
}

void clock_run_due(struct clock *clock)
{
	uint64_t expirations;

	/* Only quiets the descriptor; nothing to read is as good. */
	if (read(clock->fd, &expirations, sizeof(expirations)) < 0)
		g_assert(errno == EAGAIN);
	g_mutex_lock(&clock->lock);
	if (clock->manual || atomic_load(&clock->running)) {
		fire_due(clock, clock_now_ns(clock), RUN_DUE_MAX);
		arm_fd(clock);
	}
	g_mutex_unlock(&clock->lock);
}

void clock_step(struct clock *clock, int64_t ns)
{
	int64_t end = clock_now_ns(clock) + ns;

	g_assert(clock->manual && ns >= 0);
	g_mutex_lock(&clock->lock);
	fire_due(clock, end, UINT_MAX);
	atomic_store(&clock->stopped_ns, end);
	g_mutex_unlock(&clock->lock);
}

void timer_init(struct timer *timer, struct clock *clock, GMutex *lock, void (*fire)(void *),
		void *opaque)
{
	*timer = (struct timer){
		.clock = clock,
		.lock = lock,
		.fire = fire,
		.opaque = opaque,
		.deadline_ns = TIMER_NEVER,
	};
}

void timer_fini(struct timer *timer)
{
	struct clock *clock = timer->clock;

	if (!clock)
		return;
	g_mutex_lock(&clock->lock);
	disarm(timer);
	while (clock->firing == timer)
		g_cond_wait(&clock->fired, &clock->lock);
	/* fire() may have armed it again while we waited. */
	disarm(timer);
	g_mutex_unlock(&clock->lock);
	timer->clock = NULL;
}

static int compare_deadlines(const void *a, const void *b, void *data)
{
	int64_t x = ((const struct timer *)a)->deadline_ns;
	int64_t y = ((const struct timer *)b)->deadline_ns;

	return (x > y) - (x < y);
}

void timer_set(struct timer *timer, int64_t deadline_ns)
{
	struct clock *clock = timer->clock;

	g_mutex_lock(&clock->lock);
	disarm(timer);
	if (deadline_ns != TIMER_NEVER) {
		timer->deadline_ns = deadline_ns;
		timer->position =
			g_sequence_insert_sorted(clock->order, timer, compare_deadlines, NULL);
		/* A later deadline needs no system call: the early wake-up re-arms. */
		if (deadline_ns < clock->armed_ns && atomic_load(&clock->running))
			arm_fd(clock);
	}
	g_mutex_unlock(&clock->lock);
}

void timer_cancel(struct timer *timer)
{
	timer_set(timer, TIMER_NEVER);
}
