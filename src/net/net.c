/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/net.h"

#include <string.h>

/* The shortest thing with two addresses and a type. */
#define HEADER_LEN 14u

struct frame {
	size_t len;
	uint8_t bytes[];
};

struct port_source {
	GSource source;
	struct net_port *port;
};

struct net_port {
	struct port_source *source; /* NULL: net_run() only */
	/* The loop thread's. */
	struct net_port *peer;
	struct net_receiver receiver; /* receive NULL: nobody */
	bool enabled;
	/* Under the lock. Only the loop thread takes frames away. */
	GMutex lock;
	bool link;
	struct frame *queue[NET_QUEUE_LEN]; /* towards the peer */
	unsigned first, count;
	uint64_t dropped;
};

static void wake(struct net_port *port)
{
	if (port->source)
		g_source_set_ready_time(&port->source->source, 0);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	g_source_set_ready_time(source, -1);
	net_run(((struct port_source *)source)->port);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {.dispatch = dispatch};

struct net_port *net_port_new(GMainContext *context)
{
	struct net_port *port = g_new0(struct net_port, 1);

	g_mutex_init(&port->lock);
	port->enabled = true;
	if (context) {
		port->source = (struct port_source *)g_source_new(&source_funcs,
								  sizeof(struct port_source));
		port->source->port = port;
		g_source_attach(&port->source->source, context);
	}
	return port;
}

void net_port_free(struct net_port *port)
{
	if (!port)
		return;
	net_unjoin(port);
	if (port->source) {
		g_source_destroy(&port->source->source);
		g_source_unref(&port->source->source);
	}
	g_mutex_clear(&port->lock);
	g_free(port);
}

void net_set_receiver(struct net_port *port, const struct net_receiver *receiver)
{
	if (port)
		port->receiver = receiver ? *receiver : (struct net_receiver){};
}

void net_send(struct net_port *port, const uint8_t *bytes, size_t len)
{
	struct frame *frame;
	size_t padded = MAX(len, NET_FRAME_MIN);

	if (!port)
		return;
	g_mutex_lock(&port->lock);
	if (!port->link || port->count == NET_QUEUE_LEN || len < HEADER_LEN ||
	    len > NET_FRAME_MAX) {
		port->dropped++;
	} else {
		frame = g_malloc(sizeof(*frame) + padded);
		frame->len = padded;
		memcpy(frame->bytes, bytes, len);
		memset(frame->bytes + len, 0, padded - len);
		port->queue[(port->first + port->count++) % NET_QUEUE_LEN] = frame;
		wake(port);
	}
	g_mutex_unlock(&port->lock);
}

void net_receive_more(struct net_port *port)
{
	if (port)
		wake(port);
}

bool net_link(struct net_port *port)
{
	bool link;

	if (!port)
		return false;
	g_mutex_lock(&port->lock);
	link = port->link;
	g_mutex_unlock(&port->lock);
	return link;
}

uint64_t net_dropped(struct net_port *port)
{
	uint64_t dropped;

	if (!port)
		return 0;
	g_mutex_lock(&port->lock);
	dropped = port->dropped;
	g_mutex_unlock(&port->lock);
	return dropped;
}

/* The loop thread's: takes the frame at the head away. */
static void drop_head(struct net_port *port, bool arrived)
{
	struct frame *frame;

	g_mutex_lock(&port->lock);
	frame = port->queue[port->first];
	port->first = (port->first + 1) % NET_QUEUE_LEN;
	port->count--;
	port->dropped += !arrived;
	g_mutex_unlock(&port->lock);
	g_free(frame);
}

static unsigned queued(struct net_port *port)
{
	unsigned count;

	g_mutex_lock(&port->lock);
	count = port->count;
	g_mutex_unlock(&port->lock);
	return count;
}

/* What is under way when it begins, and no more: answers to it wait for the next turn. */
static void deliver(struct net_port *from)
{
	const struct net_receiver *receiver = &from->peer->receiver;

	for (unsigned n = queued(from); n > 0; n--) {
		const struct frame *frame = from->queue[from->first];

		if (receiver->receive &&
		    !receiver->receive(receiver->opaque, frame->bytes, frame->len))
			return;
		drop_head(from, receiver->receive != NULL);
	}
}

void net_run(struct net_port *port)
{
	if (!port->peer)
		return;
	deliver(port);
	deliver(port->peer);
}

static void set_link(struct net_port *port, bool link)
{
	g_mutex_lock(&port->lock);
	port->link = link;
	g_mutex_unlock(&port->lock);
	while (!link && queued(port))
		drop_head(port, false);
	if (port->receiver.link_changed)
		port->receiver.link_changed(port->receiver.opaque, link);
}

static void update_link(struct net_port *port)
{
	struct net_port *peer = port->peer;
	bool link = peer && port->enabled && peer->enabled;

	set_link(port, link);
	if (peer)
		set_link(peer, link);
}

void net_join(struct net_port *a, struct net_port *b)
{
	g_assert(a != b && !a->peer && !b->peer);
	a->peer = b;
	b->peer = a;
	update_link(a);
}

void net_unjoin(struct net_port *port)
{
	struct net_port *peer = port->peer;

	if (!peer)
		return;
	port->peer = peer->peer = NULL;
	update_link(port);
	update_link(peer);
}

void net_set_enabled(struct net_port *port, bool enabled)
{
	port->enabled = enabled;
	update_link(port);
}
