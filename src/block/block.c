/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/block.h"

#include <errno.h>

/* More find no work on one disk: the host's own queue is as deep. */
#define WORKERS 4

struct block {
	struct image *image;
	GThreadPool *workers;
	GMutex *gate; /* the options' */
	GMutex lock;  /* guards in_flight */
	GCond idle;
	unsigned in_flight;
};

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
		return image_discard(image, request->offset, request->len);
	case BLOCK_WRITE_ZEROES:
		return image_zero(image, request->offset, request->len, false);
	}
	g_assert_not_reached();
}

static void work(gpointer data, gpointer opaque)
{
	struct block_request *request = data;
	struct block *block = opaque;

	if (block->gate)
		g_mutex_lock(block->gate);
	request->done(request, run_request(block, request));
	if (block->gate)
		g_mutex_unlock(block->gate);
	g_mutex_lock(&block->lock);
	if (--block->in_flight == 0)
		g_cond_broadcast(&block->idle);
	g_mutex_unlock(&block->lock);
}

struct block *block_open(const struct block_options *options, GError **error)
{
	struct image *image = image_open(&options->image, error);
	struct block *block;

	if (!image)
		return NULL;
	block = g_new0(struct block, 1);
	block->image = image;
	block->gate = options->gate;
	g_mutex_init(&block->lock);
	g_cond_init(&block->idle);
	/* A pool whose threads are shared between pools is made without asking the host. */
	block->workers = g_thread_pool_new(work, block, WORKERS, FALSE, NULL);
	return block;
}

void block_close(struct block *block)
{
	if (!block)
		return;
	block_drain(block);
	g_thread_pool_free(block->workers, FALSE, TRUE);
	image_close(block->image);
	g_cond_clear(&block->idle);
	g_mutex_clear(&block->lock);
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

void block_submit(struct block *block, struct block_request *request)
{
	g_mutex_lock(&block->lock);
	block->in_flight++;
	g_mutex_unlock(&block->lock);
	/* An error says that no new thread could be started: the request stands in the queue
	 * of those that run. */
	g_thread_pool_push(block->workers, request, NULL);
}

void block_drain(struct block *block)
{
	g_mutex_lock(&block->lock);
	while (block->in_flight)
		g_cond_wait(&block->idle, &block->lock);
	g_mutex_unlock(&block->lock);
}
