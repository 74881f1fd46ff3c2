/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A rate limit: so many bits a second in each direction, after which frames wait on the cable. Loop thread. */
#ifndef VIV_NET_RATE_H
#define VIV_NET_RATE_H

#include <glib.h>
#include <stdint.h>

struct net_port;
struct rate;

/* The port's next filter; lives as long as frames pass. NULL context: who tests calls net_run(). */
struct rate *rate_new(GMainContext *context, struct net_port *port, uint64_t bits_per_s);
void rate_free(struct rate *rate);

/* A bucket of tokens, each a bit; it may be in debt for one frame. */
struct rate_bucket {
	uint64_t bits_per_s;
	int64_t tokens, max;
	int64_t filled_us;
};
void rate_bucket_init(struct rate_bucket *bucket, uint64_t bits_per_s, int64_t now_us);
/* Takes them if the bucket is not in debt and returns 0, or returns when it is out of debt. */
int64_t rate_bucket_take(struct rate_bucket *bucket, uint64_t bits, int64_t now_us);

#endif
