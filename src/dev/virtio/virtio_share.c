/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/virtio/virtio_share.h"

/* Linux has at most so many in a queue, and the folder's threads fewer in work. */
#define MAX_REQUESTS QUEUE_SIZE

struct share_chain {
	struct virtio_share *device;
	struct share_chain *next_free;
	unsigned queue;
	struct queue_chain chain;
	struct share_request io;
};

static void run(struct virtio_share *s);

/* On a worker. What has no room for a reply may want none. */
static void request_done(struct share_request *io, uint32_t len)
{
	struct share_chain *request = io->opaque;
	struct virtio_share *s = request->device;
	GMutex *lock = &s->virtio.pci.device.lock;
	struct iovec *in = request->chain.iov + request->chain.n_out;
	unsigned n = request->chain.n_in;

	iov_cut_back(in, &n, iov_len(in, n) - len);
	iov_written(s->virtio.pci.device.env->mem, in, n);
	g_mutex_lock(lock);
	if (!len && request->chain.n_in)
		virtio_break(&s->virtio);
	virtio_push(&s->virtio, request->queue, request->chain.head, len);
	request->next_free = s->free;
	s->free = request;
	virtio_end(&s->virtio);
	run(s);
	g_mutex_unlock(lock);
}

/* Takes what waits in a queue, under the lock. Where no request is free, the next one to finish goes on. */
static void run_queue(struct virtio_share *s, unsigned queue)
{
	while (s->free) {
		struct share_chain *request = s->free;
		struct queue_chain *chain = &request->chain;

		if (!virtio_pop(&s->virtio, queue, chain))
			return;
		s->free = request->next_free;
		request->queue = queue;
		request->io = (struct share_request){
			.out = chain->iov,
			.n_out = chain->n_out,
			.in = chain->iov + chain->n_out,
			.n_in = chain->n_in,
			.done = request_done,
			.opaque = request,
		};
		virtio_begin(&s->virtio);
		share_submit(s->share, &request->io);
	}
}

static void run(struct virtio_share *s)
{
	for (unsigned i = 0; i < s->virtio.n_queues; i++)
		run_queue(s, i);
}

void virtio_share_notify(struct virtio *virtio, unsigned queue)
{
	run_queue((struct virtio_share *)virtio, queue);
}

void virtio_share_forget(struct virtio *virtio)
{
	share_reset(((struct virtio_share *)virtio)->share);
}

void virtio_share_init(struct virtio_share *s, struct share *share)
{
	s->share = share;
	s->chains = g_new0(struct share_chain, MAX_REQUESTS);
	for (unsigned i = 0; i < MAX_REQUESTS; i++) {
		s->chains[i].device = s;
		s->chains[i].next_free = s->free;
		s->free = &s->chains[i];
	}
}

void virtio_share_drain(struct device *device)
{
	share_drain(((struct virtio_share *)device)->share);
}

void virtio_share_fini(struct device *device)
{
	virtio_fini(device);
	g_free(((struct virtio_share *)device)->chains);
}
