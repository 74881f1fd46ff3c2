/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/ring.h"

#include <errno.h>
#include <glib.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/block.h"

/* Requests with the kernel; more wait in the list. The completion queue is twice as long. */
#define DEPTH 128

struct ring {
	struct io_uring uring; /* the thread's own */
	unsigned in_flight;    /* with the kernel; the thread's own */
	uint64_t wakes;	       /* what the kernel reads from wake_fd */
	bool listening;	       /* it does so */
	int wake_fd;
	GThread *thread;
	ring_done_fn done;
	void *opaque;

	GMutex lock; /* of the rest */
	GCond started;
	enum { STARTING, STARTED, REFUSED } state;
	struct block_request *first, **last; /* waiting */
	unsigned plugs;
	bool sleeping, ended;
};

/* As the kernel likes it best; older ones know nothing of that. */
static bool open_uring(struct ring *ring)
{
	return io_uring_queue_init(DEPTH, &ring->uring,
				   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) == 0 ||
	       io_uring_queue_init(DEPTH, &ring->uring, 0) == 0;
}

static void prepare(struct ring *ring, const struct block_request *request)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (request->op == BLOCK_READ)
		io_uring_prep_readv(sqe, request->fd, request->iov, request->n_iov,
				    request->file_offset);
	else
		io_uring_prep_writev(sqe, request->fd, request->iov, request->n_iov,
				     request->file_offset);
	io_uring_sqe_set_data(sqe, (void *)request);
	ring->in_flight++;
}

static void listen_to_wakes(struct ring *ring)
{
	struct io_uring_sqe *sqe;

	if (ring->listening)
		return;
	sqe = io_uring_get_sqe(&ring->uring);
	io_uring_prep_read(sqe, ring->wake_fd, &ring->wakes, sizeof(ring->wakes), 0);
	io_uring_sqe_set_data(sqe, NULL);
	ring->listening = true;
}

/* False: there will be no more. */
static bool take_waiting(struct ring *ring)
{
	bool more;

	g_mutex_lock(&ring->lock);
	/* One entry is for the wakes. */
	while (ring->first && ring->in_flight < DEPTH - 1) {
		prepare(ring, ring->first);
		ring->first = ring->first->next;
	}
	if (!ring->first)
		ring->last = &ring->first;
	ring->sleeping = !ring->first;
	more = !ring->ended;
	g_mutex_unlock(&ring->lock);
	return more;
}

static void reap(struct ring *ring)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
		struct block_request *request = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&ring->uring, cqe);
		if (request) {
			ring->in_flight--;
			ring->done(ring->opaque, request, result);
		} else {
			ring->listening = false;
		}
	}
}

static gpointer ring_main(gpointer data)
{
	struct ring *ring = data;
	bool open = open_uring(ring);

	g_mutex_lock(&ring->lock);
	ring->state = open ? STARTED : REFUSED;
	g_cond_signal(&ring->started);
	g_mutex_unlock(&ring->lock);
	while (open && take_waiting(ring)) {
		int result;

		listen_to_wakes(ring);
		result = io_uring_submit_and_wait(&ring->uring, 1);
		/* The kernel has no memory now: what it did not take stands in the queue still. */
		if (result < 0 && result != -EINTR)
			g_usleep(1000);
		reap(ring);
	}
	if (open)
		io_uring_queue_exit(&ring->uring);
	return NULL;
}

struct ring *ring_new(ring_done_fn done, void *opaque)
{
	struct ring *ring = g_new0(struct ring, 1);

	ring->done = done;
	ring->opaque = opaque;
	ring->last = &ring->first;
	ring->wake_fd = eventfd(0, EFD_CLOEXEC);
	g_mutex_init(&ring->lock);
	g_cond_init(&ring->started);
	ring->thread =
		ring->wake_fd < 0 ? NULL : g_thread_try_new("disk-ring", ring_main, ring, NULL);
	g_mutex_lock(&ring->lock);
	while (ring->thread && ring->state == STARTING)
		g_cond_wait(&ring->started, &ring->lock);
	g_mutex_unlock(&ring->lock);
	if (ring->state == STARTED)
		return ring;
	ring_free(ring);
	return NULL;
}

/* Under the lock. */
static void wake(struct ring *ring)
{
	uint64_t one = 1;

	if (!ring->sleeping)
		return;
	ring->sleeping = false;
	/* The counter does not run over: the thread reads it before it sleeps again. */
	g_assert(write(ring->wake_fd, &one, sizeof(one)) == sizeof(one));
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	if (ring->thread) {
		g_mutex_lock(&ring->lock);
		g_assert(!ring->first);
		ring->ended = true;
		wake(ring);
		g_mutex_unlock(&ring->lock);
		g_thread_join(ring->thread);
	}
	if (ring->wake_fd >= 0)
		close(ring->wake_fd);
	g_cond_clear(&ring->started);
	g_mutex_clear(&ring->lock);
	g_free(ring);
}

void ring_push(struct ring *ring, struct block_request *request)
{
	g_mutex_lock(&ring->lock);
	request->next = NULL;
	*ring->last = request;
	ring->last = &request->next;
	if (!ring->plugs)
		wake(ring);
	g_mutex_unlock(&ring->lock);
}

void ring_plug(struct ring *ring)
{
	g_mutex_lock(&ring->lock);
	ring->plugs++;
	g_mutex_unlock(&ring->lock);
}

/* Of several who plug none waits for another: the first who is through sends all. */
void ring_unplug(struct ring *ring)
{
	g_mutex_lock(&ring->lock);
	ring->plugs--;
	if (ring->first)
		wake(ring);
	g_mutex_unlock(&ring->lock);
}

void ring_kick(struct ring *ring)
{
	g_mutex_lock(&ring->lock);
	if (ring->first)
		wake(ring);
	g_mutex_unlock(&ring->lock);
}
