/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/virtio/queue.h"

#include <string.h>

#include "base/le.h"

/* Layouts: virtio 1.2, sections 2.7.5, 2.7.6 and 2.7.8. */
enum {
	DESC_SIZE = 16,
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,

	AVAIL_FLAGS = 0,
	AVAIL_NO_INTERRUPT = 1,
	AVAIL_IDX = 2,
	AVAIL_RING = 4, /* and used_event behind it */

	USED_IDX = 2,
	USED_RING = 4, /* and avail_event behind it */
	USED_ELEM = 8,
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* Where descriptors come from: the queue's table or an indirect one. */
struct desc_table {
	const uint8_t *hva;
	uint32_t n;
};

/* One load each, that the compiler neither tears nor repeats. */
static uint16_t load16(const uint8_t *p, int order)
{
	return __atomic_load_n((const uint16_t *)p, order);
}

/* An indirect table may lie anywhere. */
typedef uint64_t unaligned64 __attribute__((aligned(1)));

static struct desc load_desc(const uint8_t *p)
{
	uint64_t rest = *(const volatile unaligned64 *)(p + 8);

	return (struct desc){
		.addr = *(const volatile unaligned64 *)p,
		.len = rest,
		.flags = rest >> 32,
		.next = rest >> 48,
	};
}

static void store16(struct virtqueue *queue, uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)p, value, __ATOMIC_RELEASE);
	mem_written(queue->mem, p - queue->mem->base, 2);
}

void queue_reset(struct virtqueue *queue)
{
	*queue = (struct virtqueue){.size = QUEUE_MAX_SIZE, .vector = QUEUE_NO_VECTOR};
}

static uint8_t *find_ring(struct mem *mem, uint64_t gpa, uint64_t len, unsigned alignment)
{
	return gpa % alignment ? NULL : mem_range(mem, gpa, len);
}

bool queue_map(struct virtqueue *queue, struct mem *mem, bool event_idx, bool indirect)
{
	uint64_t size = queue->size;

	queue->mem = mem;
	queue->event_idx = event_idx;
	queue->indirect = indirect;
	queue->desc_hva = find_ring(mem, queue->desc, DESC_SIZE * size, 16);
	queue->avail_hva = find_ring(mem, queue->avail, AVAIL_RING + 2 * size + 2, 2);
	queue->used_hva = find_ring(mem, queue->used, USED_RING + USED_ELEM * size + 2, 4);
	return queue->desc_hva && queue->avail_hva && queue->used_hva;
}

/* Adds a descriptor's buffer; false where it is no such thing. */
static bool add_buffer(struct virtqueue *queue, struct queue_chain *chain, const struct desc *desc)
{
	unsigned n = chain->n_out + chain->n_in;
	bool write = desc->flags & DESC_WRITE;
	uint8_t *hva;

	if (n == QUEUE_MAX_SIZE)
		return false;
	/* Section 2.7.4.2: what the device reads comes first. */
	if (!write && chain->n_in)
		return false;
	if (!desc->len)
		return true;
	hva = mem_range(queue->mem, desc->addr, desc->len);
	if (!hva)
		return false;
	chain->iov[n] = (struct iovec){hva, desc->len};
	if (write)
		chain->n_in++;
	else
		chain->n_out++;
	return true;
}

/* Section 2.7.5.3: the table an indirect descriptor, the chain's only one, names. */
static bool enter_indirect(struct virtqueue *queue, const struct desc *desc,
			   struct desc_table *table)
{
	if (!queue->indirect || desc->flags & DESC_NEXT || desc->len % DESC_SIZE || !desc->len ||
	    desc->len / DESC_SIZE > QUEUE_MAX_SIZE)
		return false;
	table->hva = mem_range(queue->mem, desc->addr, desc->len);
	table->n = desc->len / DESC_SIZE;
	return table->hva;
}

/* A chain has no more members than its table: a longer walk is a loop. */
static bool walk_chain(struct virtqueue *queue, struct queue_chain *chain)
{
	struct desc_table table = {queue->desc_hva, queue->size};
	struct desc desc = load_desc(table.hva + DESC_SIZE * chain->head);

	if (desc.flags & DESC_INDIRECT) {
		if (!enter_indirect(queue, &desc, &table))
			return false;
		desc = load_desc(table.hva);
	}
	for (unsigned walked = 1; walked <= table.n; walked++) {
		if (desc.flags & DESC_INDIRECT || !add_buffer(queue, chain, &desc))
			return false;
		if (!(desc.flags & DESC_NEXT))
			return true;
		if (desc.next >= table.n)
			return false;
		desc = load_desc(table.hva + DESC_SIZE * desc.next);
	}
	return false;
}

/* Buffers that wait, or -1 where the driver's index is impossible. */
static int waiting(const struct virtqueue *queue)
{
	uint16_t n = load16(queue->avail_hva + AVAIL_IDX, __ATOMIC_ACQUIRE) - queue->next_avail;

	return n <= queue->size ? n : -1;
}

enum queue_result queue_pop(struct virtqueue *queue, struct queue_chain *chain)
{
	int n = waiting(queue);
	const uint8_t *entry;

	if (n <= 0)
		return n ? QUEUE_BROKEN : QUEUE_EMPTY;
	entry = queue->avail_hva + AVAIL_RING + 2 * (queue->next_avail % queue->size);
	chain->head = load16(entry, __ATOMIC_RELAXED);
	chain->n_out = chain->n_in = 0;
	if (chain->head >= queue->size || !walk_chain(queue, chain))
		return QUEUE_BROKEN;
	queue->next_avail++;
	return QUEUE_CHAIN;
}

bool queue_arm(struct virtqueue *queue)
{
	/* Without the event index the driver always tells. */
	if (queue->event_idx)
		store16(queue, queue->used_hva + USED_RING + USED_ELEM * queue->size,
			queue->next_avail);
	/* Our wish before the index: the driver writes its index before it looks for the wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return waiting(queue) == 0;
}

void queue_push(struct virtqueue *queue, uint16_t head, uint32_t len)
{
	unsigned slot = queue->next_used % queue->size;
	uint8_t *entry = queue->used_hva + USED_RING + USED_ELEM * slot;

	le32_store(entry, head);
	le32_store(entry + 4, len);
	mem_written(queue->mem, entry - queue->mem->base, USED_ELEM);
	store16(queue, queue->used_hva + USED_IDX, ++queue->next_used);
}

/* Section 2.7.7.2 and 2.7.10. */
bool queue_should_interrupt(struct virtqueue *queue)
{
	uint16_t before = queue->signalled, event;
	bool valid = queue->signalled_valid;

	/* The used index before the driver's wish, as the driver does it the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queue->event_idx)
		return !(load16(queue->avail_hva + AVAIL_FLAGS, __ATOMIC_RELAXED) &
			 AVAIL_NO_INTERRUPT);
	event = load16(queue->avail_hva + AVAIL_RING + 2 * queue->size, __ATOMIC_RELAXED);
	queue->signalled = queue->next_used;
	queue->signalled_valid = true;
	/* Whether next_used has stepped over `event` since `before`. */
	return !valid ||
	       (uint16_t)(queue->next_used - event - 1) < (uint16_t)(queue->next_used - before);
}
