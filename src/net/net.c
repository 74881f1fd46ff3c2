/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/net.h"

#include <stdatomic.h>
#include <string.h>

#include "net/offload.h"

/* The shortest thing with two addresses and a type. */
#define HEADER_LEN 14u

struct frame {
	size_t len;
	struct net_offload offload;
	unsigned n_seen; /* filters that let it pass */
	unsigned n_cut; /* segments of it that have arrived */
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
	struct net_filter filters[NET_MAX_FILTERS];
	unsigned n_filters;
	_Atomic unsigned offloads; /* that the receiver takes */
	/* Under the lock. Only the loop thread takes frames away. */
	GMutex lock;
	bool link;
	struct frame *queue[NET_QUEUE_LEN]; /* towards the peer */
	unsigned first, count;
	size_t bytes;
	uint64_t dropped;
	bool waits; /* its sender, for room */
};

/* What is under way when senders that can wait begin to, and when they end. Little, for frames in a queue
 * are late, and enough for a few packets of 64 KiB. */
enum { FULL_FRAMES = 256, FULL_BYTES = 512 << 10, ROOM_FRAMES = FULL_FRAMES / 2, ROOM_BYTES = FULL_BYTES / 2 };

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
	if (!port)
		return;
	port->receiver = receiver ? *receiver : (struct net_receiver){};
	atomic_store(&port->offloads, port->receiver.offloads);
}

void net_add_filter(struct net_port *port, const struct net_filter *filter)
{
	g_assert(port->n_filters < NET_MAX_FILTERS);
	port->filters[port->n_filters++] = *filter;
}

void net_set_offloads(struct net_port *port, unsigned offloads)
{
	if (port)
		atomic_store(&port->offloads, offloads);
}

/* Under the lock. */
static bool has_room(const struct net_port *port, size_t len)
{
	return port->link && port->count < NET_QUEUE_LEN && port->bytes + len <= NET_QUEUE_BYTES;
}

/* Copies outside the lock, since a frame may be long. NULL: no frame. */
static struct frame *copy_frame(const struct iovec *iov, unsigned n_iov, const struct net_offload *offload)
{
	size_t max = offload->gso == NET_GSO_NONE ? NET_FRAME_MAX : NET_GSO_FRAME_MAX, len = 0, padded;
	struct frame *frame;

	for (unsigned i = 0; i < n_iov; i++) {
		if (iov[i].iov_len > max - len)
			return NULL;
		len += iov[i].iov_len;
	}
	if (len < HEADER_LEN)
		return NULL;
	padded = MAX(len, NET_FRAME_MIN);
	frame = g_malloc(sizeof(*frame) + padded);
	*frame = (struct frame){.offload = *offload};
	frame->offload.flags &= NET_NEEDS_CSUM | NET_DATA_VALID;
	for (unsigned i = 0; i < n_iov; i++) {
		if (iov[i].iov_len)
			memcpy(frame->bytes + frame->len, iov[i].iov_base, iov[i].iov_len);
		frame->len += iov[i].iov_len;
	}
	if (!offload_check(&frame->offload, frame->bytes, len)) {
		g_free(frame);
		return NULL;
	}
	memset(frame->bytes + len, 0, padded - len);
	frame->len = padded;
	return frame;
}

void net_send_offload(struct net_port *port, const struct iovec *iov, unsigned n_iov,
		      const struct net_offload *offload)
{
	struct frame *frame = NULL;
	bool room;

	if (!port)
		return;
	g_mutex_lock(&port->lock);
	room = has_room(port, 0);
	g_mutex_unlock(&port->lock);
	if (room)
		frame = copy_frame(iov, n_iov, offload);
	g_mutex_lock(&port->lock);
	if (frame && has_room(port, frame->len)) {
		port->queue[(port->first + port->count++) % NET_QUEUE_LEN] = frame;
		port->bytes += frame->len;
		frame = NULL;
		wake(port);
	} else {
		port->dropped++;
	}
	g_mutex_unlock(&port->lock);
	g_free(frame);
}

void net_send(struct net_port *port, const uint8_t *bytes, size_t len)
{
	static const struct net_offload none;
	struct iovec iov = {(void *)bytes, len};

	net_send_offload(port, &iov, 1, &none);
}

bool net_has_room(struct net_port *port)
{
	bool full;

	if (!port)
		return true;
	g_mutex_lock(&port->lock);
	full = port->count >= FULL_FRAMES || port->bytes >= FULL_BYTES;
	port->waits = port->waits || full;
	g_mutex_unlock(&port->lock);
	return !full;
}

/* The loop thread's, after frames have gone. */
static void tell_of_room(struct net_port *port)
{
	bool tell;

	g_mutex_lock(&port->lock);
	tell = port->waits && port->count < ROOM_FRAMES && port->bytes < ROOM_BYTES;
	port->waits = port->waits && !tell;
	g_mutex_unlock(&port->lock);
	if (tell && port->receiver.room)
		port->receiver.room(port->receiver.opaque);
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
	port->bytes -= frame->len;
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

static bool takes_segmented(const struct net_offload *offload, unsigned can)
{
	switch (offload->gso) {
	case NET_GSO_TCPV4:
		return can & NET_CAN_TSO4;
	case NET_GSO_TCPV6:
		return can & NET_CAN_TSO6;
	case NET_GSO_UDP_L4:
		return can & NET_CAN_USO;
	default:
		return true;
	}
}

/* Hands on the segments, as far as there is room. */
static bool deliver_cut(struct frame *frame, const struct net_receiver *receiver, unsigned can)
{
	struct net_offload valid = {.flags = can & NET_CAN_CSUM ? NET_DATA_VALID : 0};
	uint8_t segment[NET_FRAME_MAX];
	struct offload plan;
	size_t len;

	offload_plan(&frame->offload, frame->bytes, frame->len, &plan);
	while ((len = offload_segment(&plan, frame->bytes, frame->len, frame->n_cut, segment))) {
		if (len < NET_FRAME_MIN) {
			memset(segment + len, 0, NET_FRAME_MIN - len);
			len = NET_FRAME_MIN;
		}
		if (!receiver->receive(receiver->opaque, segment, len, &valid))
			return false;
		frame->n_cut++;
	}
	return true;
}

static bool deliver_frame(struct net_port *to, struct frame *frame)
{
	const struct net_receiver *receiver = &to->receiver;
	unsigned can = atomic_load(&to->offloads);

	if (!receiver->receive)
		return true;
	/* What has been begun is ended that way. */
	if (frame->n_cut || !takes_segmented(&frame->offload, can))
		return deliver_cut(frame, receiver, can);
	if (!(can & NET_CAN_CSUM)) {
		offload_complete(&frame->offload, frame->bytes, frame->len);
		frame->offload = (struct net_offload){};
	}
	return receiver->receive(receiver->opaque, frame->bytes, frame->len, &frame->offload);
}

/* Those of the sender's port, then the receiver's. */
static enum net_verdict filter_frame(struct net_port *from, struct frame *frame)
{
	const struct net_port *to = from->peer;

	while (frame->n_seen < from->n_filters + to->n_filters) {
		bool out = frame->n_seen < from->n_filters;
		const struct net_filter *filter =
			out ? &from->filters[frame->n_seen]
			    : &to->filters[from->n_filters + to->n_filters - 1 - frame->n_seen];
		enum net_verdict verdict = filter->look(filter->opaque, out ? NET_OUT : NET_IN, frame->bytes,
							frame->len, &frame->offload);

		if (verdict != NET_PASS)
			return verdict;
		frame->n_seen++;
	}
	return NET_PASS;
}

/* What is under way when it begins, and no more: answers to it wait for the next turn. */
static void deliver(struct net_port *from)
{
	for (unsigned n = queued(from); n > 0; n--) {
		struct frame *frame = from->queue[from->first];
		enum net_verdict verdict = filter_frame(from, frame);

		if (verdict == NET_WAIT)
			return;
		if (verdict == NET_PASS && !deliver_frame(from->peer, frame))
			return;
		drop_head(from, verdict == NET_PASS && from->peer->receiver.receive);
	}
}

void net_run(struct net_port *port)
{
	if (!port->peer)
		return;
	deliver(port);
	deliver(port->peer);
	tell_of_room(port);
	tell_of_room(port->peer);
}

static void set_link(struct net_port *port, bool link)
{
	g_mutex_lock(&port->lock);
	port->link = link;
	g_mutex_unlock(&port->lock);
	while (!link && queued(port))
		drop_head(port, false);
	tell_of_room(port);
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
