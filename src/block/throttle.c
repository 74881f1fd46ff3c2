/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/throttle.h"

#include <glib.h>
#include <string.h>

static const struct {
	const char *name;
	size_t at;
} limit_rows[] = {
	{"iops", offsetof(struct block_limits, rate[BLOCK_REQUESTS][BLOCK_BOTH])},
	{"iops-rd", offsetof(struct block_limits, rate[BLOCK_REQUESTS][BLOCK_READS])},
	{"iops-wr", offsetof(struct block_limits, rate[BLOCK_REQUESTS][BLOCK_WRITES])},
	{"iops-burst", offsetof(struct block_limits, burst[BLOCK_REQUESTS])},
	{"bps", offsetof(struct block_limits, rate[BLOCK_BYTES][BLOCK_BOTH])},
	{"bps-rd", offsetof(struct block_limits, rate[BLOCK_BYTES][BLOCK_READS])},
	{"bps-wr", offsetof(struct block_limits, rate[BLOCK_BYTES][BLOCK_WRITES])},
	{"bps-burst", offsetof(struct block_limits, burst[BLOCK_BYTES])},
};

const char *block_limit_name(unsigned index)
{
	return index < G_N_ELEMENTS(limit_rows) ? limit_rows[index].name : NULL;
}

uint64_t *block_find_limit(struct block_limits *limits, const char *name, size_t len)
{
	for (size_t i = 0; i < G_N_ELEMENTS(limit_rows); i++)
		if (strlen(limit_rows[i].name) == len && !memcmp(limit_rows[i].name, name, len))
			return (uint64_t *)((char *)limits + limit_rows[i].at);
	return NULL;
}

static double capacity(const struct block_limits *limits, unsigned unit, unsigned way)
{
	uint64_t burst = limits->burst[unit];

	return burst ? burst : MAX(limits->rate[unit][way] / 10.0, 1.0);
}

void throttle_init(struct throttle *throttle, const struct block_limits *limits, int64_t now_ns)
{
	*throttle = (struct throttle){.limits = *limits, .then_ns = now_ns};
	for (unsigned unit = 0; unit < BLOCK_N_UNITS; unit++)
		for (unsigned way = 0; way < BLOCK_N_WAYS; way++)
			throttle->level[unit][way] = capacity(limits, unit, way);
}

bool throttle_is_on(const struct throttle *throttle)
{
	for (unsigned unit = 0; unit < BLOCK_N_UNITS; unit++)
		for (unsigned way = 0; way < BLOCK_N_WAYS; way++)
			if (throttle->limits.rate[unit][way])
				return true;
	return false;
}

static void fill(struct throttle *throttle, int64_t now_ns)
{
	double seconds = MAX(now_ns - throttle->then_ns, 0) / 1e9;

	for (unsigned unit = 0; unit < BLOCK_N_UNITS; unit++) {
		for (unsigned way = 0; way < BLOCK_N_WAYS; way++) {
			double level = throttle->level[unit][way] +
				       throttle->limits.rate[unit][way] * seconds;

			throttle->level[unit][way] =
				MIN(level, capacity(&throttle->limits, unit, way));
		}
	}
	throttle->then_ns = now_ns;
}

/* A request starts with a single unit in the bucket and may take more than there is: large ones
 * need not be cut, and those after it wait for that much longer. */
int64_t throttle_wait(struct throttle *throttle, enum block_way way, int64_t now_ns)
{
	const enum block_way ways[] = {BLOCK_BOTH, way};
	double seconds = 0;

	fill(throttle, now_ns);
	for (unsigned unit = 0; unit < BLOCK_N_UNITS; unit++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
			uint64_t rate = throttle->limits.rate[unit][ways[i]];
			double lack = 1 - throttle->level[unit][ways[i]];

			if (rate && lack > 0)
				seconds = MAX(seconds, lack / rate);
		}
	}
	/* At least so long that the bucket is found filled afterwards. */
	return seconds > 0 ? (int64_t)(MIN(seconds, 3600.0) * 1e9) + 1000 : 0;
}

void throttle_charge(struct throttle *throttle, enum block_way way, uint64_t bytes)
{
	const uint64_t cost[] = {[BLOCK_REQUESTS] = 1, [BLOCK_BYTES] = bytes};

	for (unsigned unit = 0; unit < BLOCK_N_UNITS; unit++) {
		throttle->level[unit][BLOCK_BOTH] -= cost[unit];
		throttle->level[unit][way] -= cost[unit];
	}
}
