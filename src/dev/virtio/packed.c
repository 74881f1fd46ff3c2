/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueues: virtio 1.2, section 2.8. Driver and device write the same ring of descriptors,
 * each behind the other; two flags of a descriptor say in which lap it was made available, and
 * used.
 */
#include "base/le.h"
#include "dev/virtio/virtio_int.h"

/* Section 2.8.13 and 2.8.14. A descriptor's members are id and flags. */
enum {
	DESC_ID = 12,
	DESC_FLAGS = 14,
	DESC_AVAIL = 1 << 7,
	DESC_USED = 1 << 15,

	EVENT_WRAP = 1 << 15, /* of its offset */
	EVENT_DISABLE = 1,
	EVENT_DESC = 2,
	EVENT_FLAGS = 3,
};

static uint8_t *desc_at(const struct virtqueue *queue, unsigned position)
{
	return queue->desc_hva + DESC_SIZE * (position % queue->size);
}

static unsigned advance(const struct virtqueue *queue, unsigned position, unsigned n)
{
	return (position + n) % (2 * queue->size);
}

static bool wrap_counter(const struct virtqueue *queue, unsigned position)
{
	return position < queue->size;
}

/* Made available in this lap, and not used in it. */
static bool is_available(const struct virtqueue *queue)
{
	uint16_t flags =
		__atomic_load_n((const uint16_t *)(desc_at(queue, queue->next_avail) + DESC_FLAGS),
				__ATOMIC_ACQUIRE);
	bool wrap = wrap_counter(queue, queue->next_avail);

	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static struct queue_desc load_desc(const uint8_t *p)
{
	uint64_t rest = queue_load64(p + DESC_LEN);

	return (struct queue_desc){queue_load64(p), rest, rest >> 48, rest >> 32};
}

/* Section 2.8.7: all of the table, whatever else its descriptors' flags say. */
static bool add_indirect(struct virtqueue *queue, struct queue_chain *chain,
			 const struct queue_desc *desc)
{
	struct queue_table table;

	if (!queue_enter_indirect(queue, desc, &table))
		return false;
	for (unsigned i = 0; i < table.n; i++) {
		struct queue_desc member = load_desc(table.hva + DESC_SIZE * i);

		if (!queue_add_buffer(queue, chain, &member))
			return false;
	}
	return true;
}

/* The chain's length in descriptors; 0: it is none. The last one has the id. */
static unsigned walk_chain(struct virtqueue *queue, struct queue_chain *chain, uint16_t *id)
{
	for (unsigned n = 0; n < queue->size; n++) {
		struct queue_desc desc = load_desc(desc_at(queue, queue->next_avail + n));

		*id = desc.name;
		if (desc.flags & DESC_INDIRECT)
			return n == 0 && add_indirect(queue, chain, &desc);
		if (!queue_add_buffer(queue, chain, &desc))
			return 0;
		if (!(desc.flags & DESC_NEXT))
			return n + 1;
	}
	return 0;
}

enum queue_result packed_pop(struct virtqueue *queue, struct queue_chain *chain)
{
	unsigned n;
	uint16_t id;

	if (!is_available(queue))
		return QUEUE_EMPTY;
	n = walk_chain(queue, chain, &id);
	if (!n)
		return QUEUE_BROKEN;
	chain->head = n << 16 | id;
	queue->next_avail = advance(queue, queue->next_avail, n);
	return QUEUE_CHAIN;
}

void packed_unpop(struct virtqueue *queue, uint32_t head)
{
	queue->next_avail = advance(queue, queue->next_avail, 2 * queue->size - (head >> 16));
}

bool packed_arm(struct virtqueue *queue)
{
	uint32_t wrap = wrap_counter(queue, queue->next_avail) ? EVENT_WRAP : 0;

	if (queue->features.event_idx) {
		__atomic_store_n((uint32_t *)queue->used_hva,
				 queue->next_avail % queue->size | wrap | EVENT_DESC << 16,
				 __ATOMIC_RELAXED);
		mem_written(queue->mem, queue->used, PACKED_EVENT_SIZE);
	}
	/* As of a split queue. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !is_available(queue);
}

static void store_flags(struct virtqueue *queue, unsigned position, uint16_t flags)
{
	uint8_t *desc = desc_at(queue, position);

	__atomic_store_n((uint16_t *)(desc + DESC_FLAGS), flags, __ATOMIC_RELEASE);
	mem_written(queue->mem, desc - queue->mem->base, DESC_SIZE);
}

/* The driver looks at descriptors in the ring's order: the first one's flags show all. */
void packed_put(struct virtqueue *queue, uint32_t head, uint32_t len)
{
	unsigned position = advance(queue, queue->next_used, queue->n_put);
	uint8_t *desc = desc_at(queue, position);
	uint16_t flags = (wrap_counter(queue, position) ? DESC_AVAIL | DESC_USED : 0) |
			 (len ? DESC_WRITE : 0);

	le32_store(desc + DESC_LEN, len);
	le16_store(desc + DESC_ID, head);
	if (queue->n_put)
		store_flags(queue, position, flags);
	else
		queue->put_flags = flags;
	queue->n_put += head >> 16;
}

void packed_publish(struct virtqueue *queue)
{
	store_flags(queue, queue->next_used, queue->put_flags);
	queue->next_used = advance(queue, queue->next_used, queue->n_put);
}

/* Section 2.8.10. */
bool packed_should_interrupt(struct virtqueue *queue)
{
	uint32_t event = __atomic_load_n((const uint32_t *)queue->avail_hva, __ATOMIC_RELAXED);
	unsigned flags = event >> 16 & EVENT_FLAGS, at = event & (EVENT_WRAP - 1);
	uint16_t before = queue->signalled;
	bool valid = queue->signalled_valid;

	if (!(event & EVENT_WRAP))
		at += queue->size;
	queue->signalled = queue->next_used;
	queue->signalled_valid = true;
	if (flags != EVENT_DESC || !queue->features.event_idx)
		return flags != EVENT_DISABLE;
	return !valid || queue_event_passed(at, before, queue->next_used, 2 * queue->size);
}
