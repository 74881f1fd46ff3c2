/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fixed ring of bytes, private to this folder. `head` and `tail` count all
 * bytes ever put and taken; their difference is what is held. No locking.
 */
#ifndef VIV_STREAM_RING_H
#define VIV_STREAM_RING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RING_SIZE 65536u /* a power of two */

struct ring {
	uint8_t data[RING_SIZE];
	size_t head, tail;
};

static inline size_t ring_used(const struct ring *ring)
{
	return ring->head - ring->tail;
}

static inline size_t ring_room(const struct ring *ring)
{
	return RING_SIZE - ring_used(ring);
}

static inline size_t ring_put(struct ring *ring, const uint8_t *buf, size_t len)
{
	size_t at = ring->head % RING_SIZE, run;

	if (len > ring_room(ring))
		len = ring_room(ring);
	run = len < RING_SIZE - at ? len : RING_SIZE - at;
	memcpy(ring->data + at, buf, run);
	memcpy(ring->data, buf + run, len - run);
	ring->head += len;
	return len;
}

/* The longest run of held bytes that lies in one piece. */
static inline const uint8_t *ring_peek(const struct ring *ring, size_t *len)
{
	size_t at = ring->tail % RING_SIZE;

	*len = ring_used(ring) < RING_SIZE - at ? ring_used(ring) : RING_SIZE - at;
	return ring->data + at;
}

static inline void ring_drop(struct ring *ring, size_t len)
{
	ring->tail += len;
}

static inline size_t ring_get(struct ring *ring, uint8_t *buf, size_t len)
{
	size_t done = 0, run;

	while (done < len && ring_used(ring)) {
		const uint8_t *from = ring_peek(ring, &run);

		run = run < len - done ? run : len - done;
		memcpy(buf + done, from, run);
		ring_drop(ring, run);
		done += run;
	}
	return done;
}

#endif
