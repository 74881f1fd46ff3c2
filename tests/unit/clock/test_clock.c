/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clock/clock.h"

#include <poll.h>
#include <stdatomic.h>

struct probe {
	struct timer timer;
	GMutex lock;
	struct clock *clock;
	unsigned fires;
	int64_t fired_at;
	int64_t period;
	GString *order;
	char name;
};

static void on_fire(void *opaque)
{
	struct probe *p = opaque;

	p->fires++;
	p->fired_at = clock_now_ns(p->clock);
	if (p->order)
		g_string_append_c(p->order, p->name);
	if (p->period)
		timer_set(&p->timer, p->fired_at + p->period);
}

static void probe_init(struct probe *p, struct clock *clock)
{
	*p = (struct probe){.clock = clock};
	g_mutex_init(&p->lock);
	timer_init(&p->timer, clock, &p->lock, on_fire, p);
}

static void test_manual(void)
{
	struct clock *clock = clock_new_manual();
	struct probe p[3];
	g_autoptr(GString) order = g_string_new(NULL);

	for (int i = 0; i < 3; i++) {
		probe_init(&p[i], clock);
		p[i].order = order;
		p[i].name = 'a' + i;
	}
	timer_set(&p[0].timer, 300);
	timer_set(&p[1].timer, 100);
	timer_set(&p[2].timer, 100);
	clock_step(clock, 99);
	g_assert_cmpstr(order->str, ==, "");
	g_assert_cmpint(clock_now_ns(clock), ==, 99);
	clock_step(clock, 1000);
	g_assert_cmpstr(order->str, ==, "bca");
	g_assert_cmpint(p[0].fired_at, ==, 300);
	g_assert_cmpint(p[1].fired_at, ==, 100);
	g_assert_cmpint(clock_now_ns(clock), ==, 1099);

	/* Periodic from fire(), moved, cancelled, in the past. */
	p[0].period = 10;
	p[0].fires = 0;
	timer_set(&p[0].timer, 1100);
	timer_set(&p[1].timer, 1150);
	timer_cancel(&p[1].timer);
	timer_set(&p[2].timer, 1);
	g_string_truncate(order, 0);
	clock_step(clock, 51);
	g_assert_cmpuint(p[0].fires, ==, 6);
	g_assert_cmpstr(order->str, ==, "caaaaaa");
	g_assert_cmpint(clock_wall_ns(clock), ==, CLOCK_MANUAL_EPOCH_NS + 1150);
	for (int i = 0; i < 3; i++)
		timer_fini(&p[i].timer);
	timer_fini(&p[0].timer);
	clock_free(clock);
}

/* Waits in poll(), as the loop thread does. */
static void wait_and_run(struct clock *clock)
{
	struct pollfd fd = {.fd = clock_fd(clock), .events = POLLIN};

	g_assert_cmpint(poll(&fd, 1, 10000), ==, 1);
	clock_run_due(clock);
}

static void test_real(void)
{
	struct clock *clock = clock_new();
	struct pollfd fd = {.fd = clock_fd(clock), .events = POLLIN};
	struct probe early, late;

	probe_init(&early, clock);
	probe_init(&late, clock);
	g_assert_cmpint(clock_now_ns(clock), ==, 0);
	clock_set_ns(clock, 5000);
	timer_set(&late.timer, 2000000);
	timer_set(&early.timer, 6000);
	/* Stopped: nothing is due, whatever is asked. */
	clock_run_due(clock);
	g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
	g_assert_cmpuint(early.fires, ==, 0);
	clock_start(clock);
	while (!early.fires)
		wait_and_run(clock);
	while (!late.fires)
		wait_and_run(clock);
	g_assert_cmpint(late.fired_at, >=, 2000000);
	g_assert_cmpuint(early.fires, ==, 1);

	/* A far timer is moved near; a past one fires at once. */
	timer_set(&late.timer, INT64_MAX - 1);
	timer_set(&late.timer, 1);
	wait_and_run(clock);
	g_assert_cmpuint(late.fires, ==, 2);

	clock_stop(clock);
	g_assert_cmpint(clock_now_ns(clock), ==, clock_now_ns(clock));
	timer_fini(&early.timer);
	timer_fini(&late.timer);
	clock_free(clock);
}

/* A timer that is always due leaves the loop thread its turn. */
static void test_always_due(void)
{
	struct clock *clock = clock_new();
	struct probe p;

	probe_init(&p, clock);
	p.period = -3600000000000;
	clock_start(clock);
	timer_set(&p.timer, 0);
	clock_run_due(clock);
	g_assert_cmpuint(p.fires, >, 1);
	wait_and_run(clock);
	timer_fini(&p.timer);
	clock_free(clock);
}

struct race {
	struct clock *clock;
	atomic_bool stop;
};

static gpointer run_loop(gpointer opaque)
{
	struct race *race = opaque;

	while (!atomic_load(&race->stop))
		clock_run_due(race->clock);
	return NULL;
}

/* What timer_cancel() under the lock promises: no fire() after it. */
static void test_cancel_race(void)
{
	struct race race = {.clock = clock_new()};
	struct probe *p;
	GThread *loop;

	clock_start(race.clock);
	loop = g_thread_new("loop", run_loop, &race);
	for (int i = 0; i < 2000; i++) {
		unsigned fires;

		p = g_new(struct probe, 1);
		probe_init(p, race.clock);
		p->period = 1;
		g_mutex_lock(&p->lock);
		timer_set(&p->timer, 0);
		g_mutex_unlock(&p->lock);
		if (i % 2)
			g_thread_yield();
		g_mutex_lock(&p->lock);
		timer_cancel(&p->timer);
		fires = p->fires;
		g_mutex_unlock(&p->lock);
		if (i % 4 == 0)
			g_thread_yield();
		g_mutex_lock(&p->lock);
		g_assert_cmpuint(p->fires, ==, fires);
		timer_set(&p->timer, 0);
		g_mutex_unlock(&p->lock);
		timer_fini(&p->timer);
		g_mutex_clear(&p->lock);
		/* A fire() that outlived timer_fini() would now be seen. */
		memset(p, 0xff, sizeof(*p));
		g_free(p);
	}
	atomic_store(&race.stop, true);
	g_thread_join(loop);
	clock_free(race.clock);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/clock/manual", test_manual);
	g_test_add_func("/clock/real", test_real);
	g_test_add_func("/clock/always-due", test_always_due);
	g_test_add_func("/clock/cancel-race", test_cancel_race);
	return g_test_run();
}
