/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/block.h"

#include <errno.h>

#include "base/error.h"
#include "block/format.h"

/* More find no work on one disk: the host's own queue is as deep. */
#define WORKERS 4

static const struct block_format *const formats[] = {&block_format_raw};

struct block {
	const struct block_format *format;
	void *image;
	uint64_t size;
	bool read_only;
	GThreadPool *workers;
	GMutex *gate; /* the options' */
	GMutex lock; /* guards in_flight */
	GCond idle;
	unsigned in_flight;
};

static const struct block_format *find_format(const char *name, GError **error)
{
	g_autoptr(GString) known = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
		if (!g_strcmp0(formats[i]->name, name))
			return formats[i];
	known = g_string_new(formats[0]->name);
	for (size_t i = 1; i < G_N_ELEMENTS(formats); i++)
		g_string_append_printf(known, ", %s", formats[i]->name);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "disk format '%s' is not known; use one of: %s", name, known->str);
	return NULL;
}

/* 0, or what is wrong with a request on this disk. */
static int check_request(const struct block *block, const struct block_request *request)
{
	if (request->op == BLOCK_FLUSH)
		return 0;
	if (request->op != BLOCK_READ && block->read_only)
		return -EROFS;
	if (request->offset % BLOCK_SECTOR_SIZE || request->len % BLOCK_SECTOR_SIZE)
		return -EINVAL;
	if (request->offset > block->size || request->len > block->size - request->offset)
		return -EINVAL;
	return 0;
}

static int run_request(struct block *block, const struct block_request *request)
{
	const struct block_format *format = block->format;
	int (*const run[])(void *, const struct block_request *) = {
		[BLOCK_READ] = format->read,
		[BLOCK_WRITE] = format->write,
		[BLOCK_FLUSH] = format->flush,
		[BLOCK_DISCARD] = format->discard,
		[BLOCK_WRITE_ZEROES] = format->write_zeroes,
	};
	int status = check_request(block, request);

	return status ? status : run[request->op](block->image, request);
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
	const struct block_format *format = find_format(options->format, error);
	struct block *block;
	uint64_t size;
	void *image;

	if (!format)
		return NULL;
	image = format->open(options, &size, error);
	if (!image)
		return NULL;
	block = g_new0(struct block, 1);
	block->format = format;
	block->image = image;
	block->size = size;
	block->read_only = options->read_only;
	block->gate = options->gate;
	g_mutex_init(&block->lock);
	g_cond_init(&block->idle);
	/* A pool whose threads are shared between pools is made without asking the host. */
	block->workers = g_thread_pool_new(work, block, WORKERS, FALSE, NULL);
	return block;
}

void block_close(struct block *block)
{
	static const struct block_request flush = {.op = BLOCK_FLUSH};

	if (!block)
		return;
	block_drain(block);
	g_thread_pool_free(block->workers, FALSE, TRUE);
	if (!block->read_only)
		run_request(block, &flush);
	block->format->close(block->image);
	g_cond_clear(&block->idle);
	g_mutex_clear(&block->lock);
	g_free(block);
}

uint64_t block_size(const struct block *block)
{
	return block->size;
}

bool block_read_only(const struct block *block)
{
	return block->read_only;
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
