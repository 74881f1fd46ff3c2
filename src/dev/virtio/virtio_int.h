/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two kinds of virtqueues share. */
#ifndef VIV_DEV_VIRTIO_VIRTIO_INT_H
#define VIV_DEV_VIRTIO_VIRTIO_INT_H

#include "dev/virtio/queue.h"

/* Both kinds of descriptors: 64-bit address, 32-bit length, and two 16-bit members. */
enum {
	DESC_LEN = 8,
	DESC_SIZE = 16,
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,

	PACKED_EVENT_SIZE = 4,
};

struct queue_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, name; /* next, or id */
};

/* Where descriptors come from: the queue's table or an indirect one. */
struct queue_table {
	const uint8_t *hva;
	uint32_t n;
};

/* An indirect table may lie anywhere. */
typedef uint64_t queue_unaligned64 __attribute__((aligned(1)));

static inline uint64_t queue_load64(const uint8_t *p)
{
	return *(const volatile queue_unaligned64 *)p;
}

/* Adds a descriptor's buffer; false where it is no such thing. */
bool queue_add_buffer(struct virtqueue *queue, struct queue_chain *chain,
		      const struct queue_desc *desc);
/* The table that an indirect descriptor, the chain's only one, names. */
bool queue_enter_indirect(struct virtqueue *queue, const struct queue_desc *desc,
			  struct queue_table *table);
/* Whether `event` was stepped over on the way from `before` to `now`, positions being modulo
 * `laps`. */
bool queue_event_passed(unsigned event, unsigned before, unsigned now, unsigned laps);

/* As their namesakes without `packed`. */
enum queue_result packed_pop(struct virtqueue *queue, struct queue_chain *chain);
void packed_unpop(struct virtqueue *queue, uint32_t head);
bool packed_arm(struct virtqueue *queue);
void packed_put(struct virtqueue *queue, uint32_t head, uint32_t len);
void packed_publish(struct virtqueue *queue);
bool packed_should_interrupt(struct virtqueue *queue);

#endif
