/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/rate.h"

#include "net/net.h"

/* Of time at full speed, which a sender that paused makes up for. */
#define BURST_US 50000
#define SECOND	 1000000

struct rate {
	GSource *timer; /* NULL: none */
	struct net_port *port;
	struct rate_bucket buckets[NET_N_DIRECTIONS];
};

void rate_bucket_init(struct rate_bucket *bucket, uint64_t bits_per_s, int64_t now_us)
{
	*bucket = (struct rate_bucket){
		.bits_per_s = bits_per_s, .max = bits_per_s * BURST_US / SECOND, .filled_us = now_us};
	bucket->tokens = bucket->max;
}

/* In whole microseconds, up to the time that fills it from the deepest debt. */
static void fill(struct rate_bucket *bucket, int64_t now_us)
{
	__int128 bits = (__int128)(now_us - bucket->filled_us) * bucket->bits_per_s / SECOND;

	if (!bits)
		return;
	bucket->tokens = bits > bucket->max - bucket->tokens ? bucket->max : bucket->tokens + (int64_t)bits;
	bucket->filled_us = now_us;
}

int64_t rate_bucket_take(struct rate_bucket *bucket, uint64_t bits, int64_t now_us)
{
	fill(bucket, now_us);
	if (bucket->tokens < 0)
		return now_us + (int64_t)((__int128)-bucket->tokens * SECOND / bucket->bits_per_s) + 1;
	bucket->tokens -= bits;
	return 0;
}

static gboolean on_time(gpointer rate)
{
	g_source_set_ready_time(((struct rate *)rate)->timer, -1);
	net_receive_more(((struct rate *)rate)->port);
	return G_SOURCE_CONTINUE;
}

static enum net_verdict look(void *opaque, enum net_direction direction, const uint8_t *frame, size_t len,
			     const struct net_offload *offload)
{
	struct rate *rate = opaque;
	int64_t when_us = rate_bucket_take(&rate->buckets[direction], len * 8, g_get_monotonic_time());
	int64_t set_us;

	if (!when_us)
		return NET_PASS;
	if (rate->timer) {
		set_us = g_source_get_ready_time(rate->timer);
		g_source_set_ready_time(rate->timer, set_us < 0 ? when_us : MIN(set_us, when_us));
	}
	return NET_WAIT;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	return callback(data);
}

static GSourceFuncs timer_funcs = {.dispatch = dispatch};

struct rate *rate_new(GMainContext *context, struct net_port *port, uint64_t bits_per_s)
{
	struct rate *rate = g_new0(struct rate, 1);

	rate->port = port;
	for (unsigned i = 0; i < NET_N_DIRECTIONS; i++)
		rate_bucket_init(&rate->buckets[i], bits_per_s, g_get_monotonic_time());
	if (context) {
		rate->timer = g_source_new(&timer_funcs, sizeof(GSource));
		g_source_set_callback(rate->timer, on_time, rate, NULL);
		g_source_attach(rate->timer, context);
	}
	net_add_filter(port, &(struct net_filter){look, rate});
	return rate;
}

void rate_free(struct rate *rate)
{
	if (!rate)
		return;
	if (rate->timer) {
		g_source_destroy(rate->timer);
		g_source_unref(rate->timer);
	}
	g_free(rate);
}
