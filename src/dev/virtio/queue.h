/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues (virtio 1.2, section 2.7), the device's side.
 *
 * The rings are guest RAM, which the guest may write at any moment and fill with anything.
 * Every index and descriptor is read once into a private copy; the copy is checked and used.
 * No walk is longer than QUEUE_MAX_SIZE, and buffers are RAM or the queue is broken:
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

#define QUEUE_MAX_SIZE	128u
#define QUEUE_NO_VECTOR 0xffff

struct virtqueue {
	/* What the driver set. */
	uint16_t size, vector;
	bool enabled;
	uint64_t desc, avail, used; /* gpa */
	/* How far we are. */
	uint16_t next_avail, next_used;
	uint16_t signalled; /* next_used when the driver was last interrupted, if... */
	bool signalled_valid;
	/* What follows from the above, once queue_map() has agreed to it. */
	struct mem *mem;
	bool event_idx, indirect; /* negotiated */
	uint8_t *desc_hva, *avail_hva, *used_hva;
};

#define QUEUE_FIELDS(type, queue)                                                        \
	STATE_FIELD(type, queue.size), STATE_FIELD(type, queue.vector),                  \
		STATE_FIELD(type, queue.enabled), STATE_FIELD(type, queue.desc),         \
		STATE_FIELD(type, queue.avail), STATE_FIELD(type, queue.used),           \
		STATE_FIELD(type, queue.next_avail), STATE_FIELD(type, queue.next_used), \
		STATE_FIELD(type, queue.signalled), STATE_FIELD(type, queue.signalled_valid)

/* Buffers of one request, as host memory: first what the device reads, then what it writes. */
struct queue_chain {
	uint16_t head;
	unsigned n_out, n_in;
	struct iovec iov[QUEUE_MAX_SIZE];
};

enum queue_result {
	QUEUE_EMPTY,
	QUEUE_CHAIN,
	QUEUE_BROKEN, /* the driver wrote nonsense; the queue is of no more use until reset */
};

void queue_reset(struct virtqueue *queue);
/* Finds the rings; false, unless they are aligned and all in RAM. */
bool queue_map(struct virtqueue *queue, struct mem *mem, bool event_idx, bool indirect);
enum queue_result queue_pop(struct virtqueue *queue, struct queue_chain *chain);
/* Asks to be told of the next buffer; false if one has come already. */
bool queue_arm(struct virtqueue *queue);
/* Gives a chain back, with `len` bytes written to it. */
void queue_push(struct virtqueue *queue, uint16_t head, uint32_t len);
/* Whether the driver wants an interrupt for what was pushed since the last one. */
bool queue_should_interrupt(struct virtqueue *queue);

#endif
