/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/block.h"

#include <errno.h>
#include <limits.h>

#include "base/host_clock.h"
#include "block/ring.h"

/* More find no work on one disk: the host's own queue is as deep. */
#define WORKERS 4

struct queue {
	struct block_request *first, **last;
};

struct block {
	char *name; /* NULL: none */
	struct image *image;
	GThreadPool *workers;
	struct ring *ring; /* NULL: there is none */
	GMutex *gate;	   /* the options' */
	bool no_discard;
	bool direct;

	GMutex lock; /* of the rest */
	GCond idle, no_located, timer_wake;
	unsigned in_flight;
	unsigned located;   /* of them, on the ring: the format knows nothing of them */
	unsigned exclusive; /* of them, discards and the like: what is located may not stay so */
	unsigned draining;
	struct block_stats stats;

	/* Requests that the limits hold, and the thread that lets them go. */
	struct throttle throttle;
	struct queue held[BLOCK_N_WAYS]; /* of reads and of writes */
	enum block_way turn;		 /* whose is first, where both may go */
	GThread *timer;			 /* NULL: there never was a limit */
	bool closing;
};

static enum block_way way_of(const struct block_request *request)
{
	return request->op == BLOCK_READ ? BLOCK_READS : BLOCK_WRITES;
}

/* Bytes that move. */
static uint64_t bytes_of(const struct block_request *request)
{
	return request->op == BLOCK_READ || request->op == BLOCK_WRITE ? request->len : 0;
}

static bool is_exclusive(const struct block_request *request)
{
	return request->op == BLOCK_DISCARD || request->op == BLOCK_WRITE_ZEROES;
}

static int run_request(struct block *block, const struct block_request *request)
{
	struct image *image = block->image;
	struct span span = span_all(request->iov, request->n_iov);

	if (span.len != request->len && (request->op == BLOCK_READ || request->op == BLOCK_WRITE))
		return -EINVAL;
	switch (request->op) {
	case BLOCK_READ:
		return image_read(image, request->offset, span);
	case BLOCK_WRITE:
		return image_write(image, request->offset, span);
	case BLOCK_FLUSH:
		return image_flush(image);
	case BLOCK_DISCARD:
		return block->no_discard ? 0 : image_discard(image, request->offset, request->len);
	case BLOCK_WRITE_ZEROES:
		return image_zero(image, request->offset, request->len, !block->no_discard);
	case BLOCK_N_OPS:
		break;
	}
	g_assert_not_reached();
}

/* The end of a request: what is counted of it is read before done(), which may free it. */
static void finish(struct block *block, struct block_request *request, int status,
		   unsigned *share)
{
	struct block_count *count = &block->stats.ops[request->op];
	uint64_t bytes = status ? 0 : request->len;
	int64_t ns = host_clock_ns(CLOCK_MONOTONIC) - request->start_ns;

	request->done(request, status);
	g_mutex_lock(&block->lock);
	count->requests++;
	count->bytes += bytes;
	count->errors += status != 0;
	count->ns += ns;
	if (share && --*share == 0)
		g_cond_broadcast(&block->no_located);
	if (--block->in_flight == 0)
		g_cond_broadcast(&block->idle);
	g_mutex_unlock(&block->lock);
}

static void work(gpointer data, gpointer opaque)
{
	struct block_request *request = data;
	struct block *block = opaque;
	bool exclusive = is_exclusive(request);

	if (exclusive) {
		g_mutex_lock(&block->lock);
		while (block->located)
			g_cond_wait(&block->no_located, &block->lock);
		g_mutex_unlock(&block->lock);
	}
	if (block->gate)
		g_mutex_lock(block->gate);
	finish(block, request, run_request(block, request), exclusive ? &block->exclusive : NULL);
	if (block->gate)
		g_mutex_unlock(block->gate);
}

/* What the kernel did not do as a whole is done again by a worker: it has the right end, or the
 * right error. */
static void ring_done(void *opaque, struct block_request *request, int result)
{
	struct block *block = opaque;

	if (result >= 0 && (uint64_t)result == request->len) {
		finish(block, request, 0, &block->located);
		return;
	}
	g_mutex_lock(&block->lock);
	if (--block->located == 0)
		g_cond_broadcast(&block->no_located);
	g_mutex_unlock(&block->lock);
	g_thread_pool_push(block->workers, request, NULL);
}

/* The kernel hands writes to the page cache to threads of its own, on ext4 and others: ours are
 * nearer. */
static bool suits_ring(const struct block *block, const struct block_request *request)
{
	return request->op == BLOCK_READ || (request->op == BLOCK_WRITE && block->direct);
}

/* Whether the ring can do it: then it counts as located from now on. Under the lock, so that no
 * discard comes in between. */
static bool locate(struct block *block, struct block_request *request)
{
	struct span span = span_all(request->iov, request->n_iov);

	if (!block->ring || block->exclusive || !suits_ring(block, request) ||
	    span.len != request->len || span.len > INT32_MAX || request->n_iov > IOV_MAX ||
	    !image_locate(block->image, request->offset, span, request->op == BLOCK_WRITE,
			  &request->fd, &request->file_offset))
		return false;
	block->located++;
	block->stats.by_ring++;
	return true;
}

static void start(struct block *block, struct block_request *request)
{
	bool located;

	g_mutex_lock(&block->lock);
	located = locate(block, request);
	if (is_exclusive(request))
		block->exclusive++;
	g_mutex_unlock(&block->lock);
	if (located)
		ring_push(block->ring, request);
	else
		/* An error says that no new thread could be started: the request stands in the
		 * queue of those that run. */
		g_thread_pool_push(block->workers, request, NULL);
}

/* Under the lock. */
static void hold(struct block *block, struct block_request *request)
{
	struct queue *queue = &block->held[way_of(request)];

	request->next = NULL;
	*queue->last = request;
	queue->last = &request->next;
	block->stats.held++;
	g_cond_signal(&block->timer_wake);
}

/* Under the lock: the next request that may go; NULL with the nanoseconds until one may, or
 * INT64_MAX. */
static struct block_request *let_go(struct block *block, int64_t *wait)
{
	int64_t now = host_clock_ns(CLOCK_MONOTONIC);

	*wait = INT64_MAX;
	for (unsigned i = 0; i < 2; i++) {
		enum block_way way = i ? BLOCK_READS + BLOCK_WRITES - block->turn : block->turn;
		struct queue *queue = &block->held[way];
		struct block_request *request = queue->first;
		int64_t ns = request && !block->draining
				     ? throttle_wait(&block->throttle, way, now)
				     : 0;

		if (request && !ns) {
			queue->first = request->next;
			if (!queue->first)
				queue->last = &queue->first;
			block->stats.held--;
			block->turn = BLOCK_READS + BLOCK_WRITES - way;
			throttle_charge(&block->throttle, way, bytes_of(request));
			return request;
		}
		if (request)
			*wait = MIN(*wait, ns);
	}
	return NULL;
}

static gpointer timer_main(gpointer data)
{
	struct block *block = data;

	g_mutex_lock(&block->lock);
	while (!block->closing) {
		int64_t wait;
		struct block_request *request = let_go(block, &wait);

		if (request) {
			g_mutex_unlock(&block->lock);
			start(block, request);
			g_mutex_lock(&block->lock);
		} else if (wait == INT64_MAX) {
			g_cond_wait(&block->timer_wake, &block->lock);
		} else {
			g_cond_wait_until(&block->timer_wake, &block->lock,
					  g_get_monotonic_time() + wait / 1000 + 1);
		}
	}
	g_mutex_unlock(&block->lock);
	return NULL;
}

void block_set_limits(struct block *block, const struct block_limits *limits)
{
	g_mutex_lock(&block->lock);
	throttle_init(&block->throttle, limits, host_clock_ns(CLOCK_MONOTONIC));
	if (!block->timer && throttle_is_on(&block->throttle))
		block->timer = g_thread_new("disk-limits", timer_main, block);
	g_cond_signal(&block->timer_wake);
	g_mutex_unlock(&block->lock);
}

void block_get_limits(struct block *block, struct block_limits *limits)
{
	g_mutex_lock(&block->lock);
	*limits = block->throttle.limits;
	g_mutex_unlock(&block->lock);
}

struct block *block_open(const struct block_options *options, GError **error)
{
	struct image *image = image_open(&options->image, error);
	struct block *block;

	if (!image)
		return NULL;
	block = g_new0(struct block, 1);
	block->name = g_strdup(options->name);
	block->image = image;
	block->gate = options->gate;
	block->no_discard = options->no_discard;
	block->direct = options->image.direct;
	block->turn = BLOCK_READS;
	for (unsigned way = 0; way < BLOCK_N_WAYS; way++)
		block->held[way].last = &block->held[way].first;
	g_mutex_init(&block->lock);
	g_cond_init(&block->idle);
	g_cond_init(&block->no_located);
	g_cond_init(&block->timer_wake);
	/* A pool whose threads are shared between pools is made without asking the host. */
	block->workers = g_thread_pool_new(work, block, WORKERS, FALSE, NULL);
	/* The kernel would not wait for the gate. */
	if (!options->gate && !options->workers_only)
		block->ring = ring_new(ring_done, block);
	block_set_limits(block, &options->limits);
	return block;
}

void block_close(struct block *block)
{
	if (!block)
		return;
	block_drain(block);
	if (block->timer) {
		g_mutex_lock(&block->lock);
		block->closing = true;
		g_cond_signal(&block->timer_wake);
		g_mutex_unlock(&block->lock);
		g_thread_join(block->timer);
	}
	ring_free(block->ring);
	g_thread_pool_free(block->workers, FALSE, TRUE);
	image_close(block->image);
	g_cond_clear(&block->timer_wake);
	g_cond_clear(&block->no_located);
	g_cond_clear(&block->idle);
	g_mutex_clear(&block->lock);
	g_free(block->name);
	g_free(block);
}

uint64_t block_size(const struct block *block)
{
	return image_size(block->image);
}

bool block_read_only(const struct block *block)
{
	return image_read_only(block->image);
}

const char *block_name(const struct block *block)
{
	return block->name;
}

const struct image *block_image(const struct block *block)
{
	return block->image;
}

void block_submit(struct block *block, struct block_request *request)
{
	bool held = false;

	request->start_ns = host_clock_ns(CLOCK_MONOTONIC);
	g_mutex_lock(&block->lock);
	block->in_flight++;
	if (throttle_is_on(&block->throttle) && request->op != BLOCK_FLUSH) {
		enum block_way way = way_of(request);

		held = !block->draining &&
		       (block->held[way].first ||
			throttle_wait(&block->throttle, way, request->start_ns));
		if (held)
			hold(block, request);
		else
			throttle_charge(&block->throttle, way, bytes_of(request));
	}
	g_mutex_unlock(&block->lock);
	if (!held)
		start(block, request);
}

void block_plug(struct block *block)
{
	if (block->ring)
		ring_plug(block->ring);
}

void block_unplug(struct block *block)
{
	if (block->ring)
		ring_unplug(block->ring);
}

void block_get_stats(struct block *block, struct block_stats *stats)
{
	g_mutex_lock(&block->lock);
	*stats = block->stats;
	stats->in_flight = block->in_flight;
	g_mutex_unlock(&block->lock);
}

void block_drain(struct block *block)
{
	if (block->ring)
		ring_kick(block->ring);
	g_mutex_lock(&block->lock);
	block->draining++;
	g_cond_signal(&block->timer_wake);
	while (block->in_flight)
		g_cond_wait(&block->idle, &block->lock);
	block->draining--;
	g_mutex_unlock(&block->lock);
}
