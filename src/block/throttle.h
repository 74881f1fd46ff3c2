/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast a disk may be used: buckets that fill at the rates allowed. One thread at a time. */
#ifndef VIV_BLOCK_THROTTLE_H
#define VIV_BLOCK_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum block_unit { BLOCK_REQUESTS, BLOCK_BYTES, BLOCK_N_UNITS };
enum block_way { BLOCK_BOTH, BLOCK_READS, BLOCK_WRITES, BLOCK_N_WAYS };

struct block_limits {
	uint64_t rate[BLOCK_N_UNITS][BLOCK_N_WAYS]; /* a second; 0: no limit */
	/* What may come at once after a time of less; 0: a tenth of a second's. */
	uint64_t burst[BLOCK_N_UNITS];
};

/* By its name: iops, bps, with -rd or -wr for one way, or -burst. NULL: it is none. */
uint64_t *block_find_limit(struct block_limits *limits, const char *name, size_t len);
/* The index-th of them; NULL: there are no more. */
const char *block_limit_name(unsigned index);

struct throttle {
	struct block_limits limits;
	double level[BLOCK_N_UNITS][BLOCK_N_WAYS]; /* below zero: debts of a large request */
	int64_t then_ns;
};

/* With full buckets. */
void throttle_init(struct throttle *throttle, const struct block_limits *limits, int64_t now_ns);
/* Whether it limits anything. */
bool throttle_is_on(const struct throttle *throttle);
/* Nanoseconds until a request to read or write may start; 0: now. */
int64_t throttle_wait(struct throttle *throttle, enum block_way way, int64_t now_ns);
void throttle_charge(struct throttle *throttle, enum block_way way, uint64_t bytes);

#endif
