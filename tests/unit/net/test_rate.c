/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/rate.h"

#include "frames.h"

static void test_bucket(void)
{
	struct rate_bucket bucket;
	int64_t now_us = 1000, when_us;
	uint64_t sent = 0;

	rate_bucket_init(&bucket, 8000000, now_us); /* a megabyte a second, 50000 bytes at once */
	while (!(when_us = rate_bucket_take(&bucket, 1000 * 8, now_us)))
		sent += 1000;
	g_assert_cmpuint(sent, ==, 51000);
	g_assert_cmpint(when_us, ==, now_us + 1001);
	/* A whole second, as the sender is told to. */
	for (sent = 0; now_us < 1001000; now_us = when_us)
		while (!(when_us = rate_bucket_take(&bucket, 1000 * 8, now_us)))
			sent += 1000;
	g_assert_cmpuint(sent, >, 980000);
	g_assert_cmpuint(sent, <=, 1001000);
	/* Silence does not add up, nor does a clock that has run for long overflow. */
	now_us += INT64_MAX / 2;
	g_assert_cmpint(rate_bucket_take(&bucket, 0, now_us), ==, 0);
	g_assert_cmpint(bucket.tokens, ==, 400000);
}

/* Frames wait, and go on by themselves. */
static void test_waits(void)
{
	GMainContext *context = g_main_context_new();
	struct frames_end a, b;
	uint8_t frame[1000] = {};
	struct rate *rate;
	int64_t start_us = g_get_monotonic_time(), took_us;

	frames_init(&a, context, 1);
	frames_init(&b, context, 2);
	rate = rate_new(context, a.port, 8000000);
	net_join(a.port, b.port);
	for (unsigned i = 0; i < 100; i++)
		net_send(a.port, frame, sizeof(frame));
	while (b.frames->len < 100)
		g_main_context_iteration(context, TRUE);
	took_us = g_get_monotonic_time() - start_us;
	g_assert_cmpint(took_us, >=, 48000); /* for what is more than the burst */
	frames_fini(&a);
	frames_fini(&b);
	rate_free(rate);
	g_main_context_unref(context);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/rate/bucket", test_bucket);
	g_test_add_func("/rate/waits", test_waits);
	return g_test_run();
}
