/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues (virtio 1.2, sections 2.7 and 2.8), the device's side: queue.c has the split ones and
 * what both have in common, packed.c the packed ones. Devices see no difference.
 *
 * The rings are guest RAM, which the guest may write at any moment and fill with anything.
 * Every index and descriptor is read once into a private copy; the copy is checked and used.
 * No walk is longer than the ring or QUEUE_MAX_BUFFERS, and buffers are RAM or the queue is broken:
 * a descriptor never reaches a device's registers.
 *
 * Under the device's lock.
 */
#ifndef VIV_DEV_VIRTIO_QUEUE_H
#define VIV_DEV_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem/iov.h"
#include "mem/mem.h"
#include "state/state.h"

#define QUEUE_SIZE	  256u /* of devices that ask for no other */
#define QUEUE_MAX_SIZE	  1024u
#define QUEUE_MAX_BUFFERS 256u /* of a chain; one that is longer breaks the queue */
#define QUEUE_NO_VECTOR	  0xffff

struct virtqueue {
	/* What the driver set. */
	uint16_t size, vector;
	bool enabled;
	/* gpa. Of a packed queue: the ring, and what driver and device say of events. */
	uint64_t desc, avail, used;
	/* How far we are. Of a packed queue, descriptors modulo two laps of the ring: in the first
	 * lap the wrap counter is 1. */
	uint16_t next_avail, next_used;
	uint16_t signalled; /* next_used when the driver was last interrupted, if... */
	bool signalled_valid;
	/* What follows from the above, once queue_map() has agreed to it. */
	struct mem *mem;
	struct queue_features {
		bool packed, event_idx, indirect;
	} features; /* negotiated */
	uint8_t *desc_hva, *avail_hva, *used_hva;
	/* Used, but not published, which no lock is given up for. */
	uint16_t n_put, put_flags;
};

/* `queues` is an array of them in `type`. */
#define QUEUE_FIELDS(type, queues)                                                             \
	STATE_FIELD_EACH(type, queues, size), STATE_FIELD_EACH(type, queues, vector),          \
		STATE_FIELD_EACH(type, queues, enabled), STATE_FIELD_EACH(type, queues, desc), \
		STATE_FIELD_EACH(type, queues, avail), STATE_FIELD_EACH(type, queues, used),   \
		STATE_FIELD_EACH(type, queues, next_avail),                                    \
		STATE_FIELD_EACH(type, queues, next_used),                                     \
		STATE_FIELD_EACH(type, queues, signalled),                                     \
		STATE_FIELD_EACH(type, queues, signalled_valid)

/* Buffers of one request, as host memory: first what the device reads, then what it writes. */
struct queue_chain {
	uint32_t head; /* its name for queue_put(): descriptor or id, and places in the ring << 16 */
	unsigned n_out, n_in;
	struct iovec iov[QUEUE_MAX_BUFFERS];
};

enum queue_result {
	QUEUE_EMPTY,
	QUEUE_CHAIN,
	QUEUE_BROKEN, /* the driver wrote nonsense; the queue is of no more use until reset */
};

void queue_reset(struct virtqueue *queue, uint16_t max_size);
bool queue_size_is_good(uint16_t size, uint16_t max_size, bool packed);
/* Whether loaded state can be lived with. */
bool queue_check(const struct virtqueue *queue, uint16_t max_size, bool packed);
/* Finds the rings; false, unless their size is one, and they are aligned and all in RAM. */
bool queue_map(struct virtqueue *queue, struct mem *mem, const struct queue_features *features);
enum queue_result queue_pop(struct virtqueue *queue, struct queue_chain *chain);
/* Undoes the last queue_pop() that is not undone. */
void queue_unpop(struct virtqueue *queue, uint32_t head);
/* Asks to be told of the next buffer; false if one has come already. */
bool queue_arm(struct virtqueue *queue);
/* Gives a chain back, with `len` bytes written to it, once queue_publish() shows all such at once. */
void queue_put(struct virtqueue *queue, uint32_t head, uint32_t len);
void queue_publish(struct virtqueue *queue);
/* Whether the driver wants an interrupt for what was published since the last one. */
bool queue_should_interrupt(struct virtqueue *queue);

#endif
