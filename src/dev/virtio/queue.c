/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/virtio/queue.h"

#include <string.h>

#include "base/le.h"
#include "dev/virtio/virtio_int.h"

/* Layouts: virtio 1.2, sections 2.7.6 and 2.7.8. */
enum {
	AVAIL_FLAGS = 0,
	AVAIL_NO_INTERRUPT = 1,
	AVAIL_IDX = 2,
	AVAIL_RING = 4, /* and used_event behind it */

	USED_IDX = 2,
	USED_RING = 4, /* and avail_event behind it */
	USED_ELEM = 8,
};

/* One load each, that the compiler neither tears nor repeats. */
static uint16_t load16(const uint8_t *p, int order)
{
	return __atomic_load_n((const uint16_t *)p, order);
}

static struct queue_desc load_desc(const struct queue_table *table, unsigned index)
{
	const uint8_t *p = table->hva + DESC_SIZE * index;
	uint64_t rest = queue_load64(p + DESC_LEN);

	return (struct queue_desc){queue_load64(p), rest, rest >> 32, rest >> 48};
}

static void store16(struct virtqueue *queue, uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)p, value, __ATOMIC_RELEASE);
	mem_written(queue->mem, p - queue->mem->base, 2);
}

void queue_reset(struct virtqueue *queue, uint16_t max_size)
{
	*queue = (struct virtqueue){.size = max_size, .vector = QUEUE_NO_VECTOR};
}

bool queue_size_is_good(uint16_t size, uint16_t max_size, bool packed)
{
	return size && size <= max_size && (packed || !(size & (size - 1)));
}

bool queue_check(const struct virtqueue *queue, uint16_t max_size, bool packed)
{
	unsigned laps = 2 * queue->size;

	if (!queue->enabled)
		return queue_size_is_good(queue->size, max_size, true);
	return queue_size_is_good(queue->size, max_size, packed) &&
	       (!packed ||
		(queue->next_avail < laps && queue->next_used < laps && queue->signalled < laps));
}

static uint8_t *find_ring(struct mem *mem, uint64_t gpa, uint64_t len, unsigned alignment)
{
	return gpa % alignment ? NULL : mem_range(mem, gpa, len);
}

bool queue_map(struct virtqueue *queue, struct mem *mem, const struct queue_features *features)
{
	uint64_t size = queue->size, avail_len = AVAIL_RING + 2 * size + 2,
		 used_len = USED_RING + USED_ELEM * size + 2;

	queue->mem = mem;
	queue->features = *features;
	queue->n_put = 0;
	if (features->packed)
		avail_len = used_len = PACKED_EVENT_SIZE;
	queue->desc_hva = find_ring(mem, queue->desc, DESC_SIZE * size, 16);
	queue->avail_hva = find_ring(mem, queue->avail, avail_len, features->packed ? 4 : 2);
	queue->used_hva = find_ring(mem, queue->used, used_len, 4);
	return queue_size_is_good(queue->size, QUEUE_MAX_SIZE, features->packed) &&
	       queue->desc_hva && queue->avail_hva && queue->used_hva;
}

bool queue_add_buffer(struct virtqueue *queue, struct queue_chain *chain,
		      const struct queue_desc *desc)
{
	unsigned n = chain->n_out + chain->n_in;
	bool write = desc->flags & DESC_WRITE;
	uint8_t *hva;

	if (n == QUEUE_MAX_BUFFERS)
		return false;
	/* Sections 2.7.4.2 and 2.8.17: what the device reads comes first. */
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

/* Sections 2.7.5.3 and 2.8.7. */
bool queue_enter_indirect(struct virtqueue *queue, const struct queue_desc *desc,
			  struct queue_table *table)
{
	if (!queue->features.indirect || desc->flags & DESC_NEXT || desc->len % DESC_SIZE ||
	    !desc->len || desc->len / DESC_SIZE > QUEUE_MAX_BUFFERS)
		return false;
	table->hva = mem_range(queue->mem, desc->addr, desc->len);
	table->n = desc->len / DESC_SIZE;
	return table->hva;
}

/* A chain has no more members than its table: a longer walk is a loop. */
static bool walk_chain(struct virtqueue *queue, struct queue_chain *chain, unsigned head)
{
	struct queue_table table = {queue->desc_hva, queue->size};
	struct queue_desc desc = load_desc(&table, head);

	if (desc.flags & DESC_INDIRECT) {
		if (!queue_enter_indirect(queue, &desc, &table))
			return false;
		desc = load_desc(&table, 0);
	}
	for (unsigned walked = 1; walked <= table.n; walked++) {
		if (desc.flags & DESC_INDIRECT || !queue_add_buffer(queue, chain, &desc))
			return false;
		if (!(desc.flags & DESC_NEXT))
			return true;
		if (desc.name >= table.n)
			return false;
		desc = load_desc(&table, desc.name);
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
	const uint8_t *entry;
	uint16_t head;
	int n;

	chain->n_out = chain->n_in = 0;
	if (queue->features.packed)
		return packed_pop(queue, chain);
	n = waiting(queue);
	if (n <= 0)
		return n ? QUEUE_BROKEN : QUEUE_EMPTY;
	entry = queue->avail_hva + AVAIL_RING + 2 * (queue->next_avail % queue->size);
	head = load16(entry, __ATOMIC_RELAXED);
	if (head >= queue->size || !walk_chain(queue, chain, head))
		return QUEUE_BROKEN;
	chain->head = 1 << 16 | head;
	queue->next_avail++;
	return QUEUE_CHAIN;
}

void queue_unpop(struct virtqueue *queue, uint32_t head)
{
	if (queue->features.packed)
		packed_unpop(queue, head);
	else
		queue->next_avail--;
}

bool queue_arm(struct virtqueue *queue)
{
	if (queue->features.packed)
		return packed_arm(queue);
	/* Without the event index the driver always tells. */
	if (queue->features.event_idx)
		store16(queue, queue->used_hva + USED_RING + USED_ELEM * queue->size,
			queue->next_avail);
	/* Our wish before the index: the driver writes its index before it looks for the wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return waiting(queue) == 0;
}

void queue_put(struct virtqueue *queue, uint32_t head, uint32_t len)
{
	unsigned slot = (uint16_t)(queue->next_used + queue->n_put) % queue->size;
	uint8_t *entry = queue->used_hva + USED_RING + USED_ELEM * slot;

	if (queue->features.packed) {
		packed_put(queue, head, len);
		return;
	}
	le32_store(entry, (uint16_t)head);
	le32_store(entry + 4, len);
	mem_written(queue->mem, entry - queue->mem->base, USED_ELEM);
	queue->n_put++;
}

void queue_publish(struct virtqueue *queue)
{
	if (queue->features.packed) {
		packed_publish(queue);
	} else {
		queue->next_used += queue->n_put;
		store16(queue, queue->used_hva + USED_IDX, queue->next_used);
	}
	queue->n_put = 0;
}

static unsigned distance(unsigned from, unsigned to, unsigned laps)
{
	return (to + laps - from % laps) % laps;
}

bool queue_event_passed(unsigned event, unsigned before, unsigned now, unsigned laps)
{
	return distance(event + 1, now, laps) < distance(before, now, laps);
}

/* Section 2.7.7.2 and 2.7.10. */
bool queue_should_interrupt(struct virtqueue *queue)
{
	uint16_t before = queue->signalled, event;
	bool valid = queue->signalled_valid;

	/* The used index before the driver's wish, as the driver does it the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (queue->features.packed)
		return packed_should_interrupt(queue);
	if (!queue->features.event_idx)
		return !(load16(queue->avail_hva + AVAIL_FLAGS, __ATOMIC_RELAXED) &
			 AVAIL_NO_INTERRUPT);
	event = load16(queue->avail_hva + AVAIL_RING + 2 * queue->size, __ATOMIC_RELAXED);
	queue->signalled = queue->next_used;
	queue->signalled_valid = true;
	return !valid || queue_event_passed(event, before, queue->next_used, 1 << 16);
}
