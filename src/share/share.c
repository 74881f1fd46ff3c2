/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "share/share.h"

#include "base/le.h"
#include "share/fuse.h"
#include "share/p9.h"

/* More find no work in one folder. */
#define WORKERS 4

/* A request in flight, until its done() has returned; which flushes are to be answered then. */
struct flight {
	struct flight *next, *waiting, *next_waiting;
	struct share_request *request;
	uint16_t tag; /* 9P's */
};

struct share {
	/* One of them. */
	struct p9 *p9;
	struct fuse *fuse;
	GThreadPool *workers;
	GMutex lock; /* guards what follows */
	GCond idle;
	struct flight *flights; /* newest first */
};

static void append(struct flight **list, struct flight *flights)
{
	while (*list)
		list = &(*list)->next_waiting;
	*list = flights;
}

/* The reply; the flushes that waited for it are the caller's. */
static struct flight *end(struct share *share, struct flight *flight, uint32_t len)
{
	struct flight **at = &share->flights, *waiting;

	flight->request->done(flight->request, len);
	g_mutex_lock(&share->lock);
	while (*at != flight)
		at = &(*at)->next;
	*at = flight->next;
	waiting = flight->waiting;
	if (!share->flights)
		g_cond_broadcast(&share->idle);
	g_mutex_unlock(&share->lock);
	g_free(flight);
	return waiting;
}

/* And then those of the flushes that waited for it, and of those that waited for these. */
static void finish(struct share *share, struct flight *flight, uint32_t len)
{
	struct flight *waiting = end(share, flight, len);

	while ((flight = waiting)) {
		struct share_request *flush = flight->request;

		waiting = flight->next_waiting;
		append(&waiting, end(share, flight, p9_flushed(flush->in, flush->n_in, flight->tag)));
	}
}

/* Tflush: its reply says that none to the older request follows, so it comes when that one has been given. */
static bool wait_for(struct share *share, struct flight *flush, uint16_t tag)
{
	struct flight *older;

	g_mutex_lock(&share->lock);
	for (older = flush->next; older && older->tag != tag; older = older->next)
		;
	if (older)
		append(&older->waiting, flush);
	g_mutex_unlock(&share->lock);
	return older;
}

static void work(gpointer data, gpointer opaque)
{
	struct flight *flight = data;
	struct share_request *request = flight->request;
	struct share *share = opaque;
	uint16_t tag;

	if (share->fuse)
		finish(share, flight,
		       fuse_serve(share->fuse, request->out, request->n_out, request->in, request->n_in));
	else if (!p9_is_flush(request->out, request->n_out, &tag) || !wait_for(share, flight, tag))
		finish(share, flight, p9_serve(share->p9, request->out, request->n_out, request->in, request->n_in));
}

struct share *share_open(const char *path, enum share_protocol protocol, bool read_only, GError **error)
{
	struct share *share = g_new0(struct share, 1);

	if (protocol == SHARE_FUSE)
		share->fuse = fuse_new(path, read_only, error);
	else
		share->p9 = p9_new(path, read_only, error);
	if (!share->fuse && !share->p9) {
		g_free(share);
		return NULL;
	}
	g_mutex_init(&share->lock);
	g_cond_init(&share->idle);
	share->workers = g_thread_pool_new(work, share, WORKERS, FALSE, NULL);
	return share;
}

void share_close(struct share *share)
{
	if (!share)
		return;
	share_drain(share);
	g_thread_pool_free(share->workers, FALSE, TRUE);
	fuse_free(share->fuse);
	p9_free(share->p9);
	g_cond_clear(&share->idle);
	g_mutex_clear(&share->lock);
	g_free(share);
}

void share_submit(struct share *share, struct share_request *request)
{
	struct flight *flight = g_new(struct flight, 1);

	*flight = (struct flight){.request = request};
	if (share->p9)
		flight->tag = p9_tag(request->out, request->n_out);
	g_mutex_lock(&share->lock);
	flight->next = share->flights;
	share->flights = flight;
	g_mutex_unlock(&share->lock);
	/* An error says that no new thread could be started: those that run will take it. */
	g_thread_pool_push(share->workers, flight, NULL);
}

void share_drain(struct share *share)
{
	g_mutex_lock(&share->lock);
	while (share->flights)
		g_cond_wait(&share->idle, &share->lock);
	g_mutex_unlock(&share->lock);
}

void share_reset(struct share *share)
{
	if (share->fuse)
		fuse_reset(share->fuse);
	else
		p9_reset(share->p9);
}
