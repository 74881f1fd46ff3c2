/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket device: virtio 1.2, section 5.10. Stream sockets between ports of the guest's and sockets of the host's
 * (stream/vsock_host.h).
 *
 * What goes to the guest is made when the driver gives a buffer for it: `busy` has the connections that have something to send,
 * and `resets` what is left of those that ended. From the host's socket straight to the buffer, and the other way round;
 * only what the host's socket does not take at once waits here, never more than the guest was promised room for
 * (buf_alloc, section 5.10.6.3).
 *
 * Connections do not survive a restore: the guest is told to drop its own (section 5.10.6.7).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"
#include "stream/vsock_host.h"

#define F_STREAM (1ull << 0)

enum { RX_QUEUE, TX_QUEUE, EVENT_QUEUE, N_QUEUES };

/* struct virtio_vsock_hdr, section 5.10.6. */
enum {
	HDR_SRC_CID = 0,
	HDR_DST_CID = 8,
	HDR_SRC_PORT = 16,
	HDR_DST_PORT = 20,
	HDR_LEN = 24,
	HDR_TYPE = 28,
	HDR_OP = 30,
	HDR_FLAGS = 32,
	HDR_BUF_ALLOC = 36,
	HDR_FWD_CNT = 40,
	HDR_SIZE = 44,

	TYPE_STREAM = 1,
	SHUTDOWN_RECEIVE = 1,
	SHUTDOWN_SEND = 2,
	SHUTDOWN_BOTH = 3,
};

enum op { OP_INVALID, OP_REQUEST, OP_RESPONSE, OP_RST, OP_SHUTDOWN, OP_RW, OP_CREDIT_UPDATE, OP_CREDIT_REQUEST, N_OPS };

enum { EVENT_TRANSPORT_RESET = 0 };

#define HOST_CID	2
#define BUF_ALLOC	(256u << 10) /* of the guest's bytes, a connection */
#define MAX_PACKET	(64u << 10)
#define MAX_CONNECTIONS 512
/* Of resets that wait to be sent: while there are so many, no more of the guest's packets are looked at. */
#define MANY_RESETS	512
#define FIRST_HOST_PORT (1u << 30)

struct connection {
	uint32_t guest_port, host_port;
	uint32_t id;
	int fd;
	bool open;	 /* else the guest has not answered yet */
	bool readable;	 /* the host's socket, as far as is known */
	bool host_ended; /* it has sent all */
	bool busy;	 /* on the list */
	bool asked;	 /* for room, and not got any yet */
	uint8_t wants;	 /* bits of ops that are to be sent */
	uint8_t host_shutdown, guest_shutdown;
	/* Modulo 2^32. The guest's room, and what it has consumed of what was sent. */
	uint32_t peer_alloc, peer_forwarded, sent;
	/* What the host has taken of the guest's bytes, and as far as the guest knows. */
	uint32_t forwarded, told;
	GByteArray *waiting; /* the guest's bytes; NULL: none */
};

struct ports {
	uint32_t guest, host;
};

struct virtio_vsock {
	struct virtio virtio;
	struct vsock_host *host; /* NULL: nobody is there */
	uint32_t cid;
	uint8_t config[8];
	GHashTable *by_ports, *by_id; /* the first one owns the connections */
	GQueue busy;
	GArray *resets; /* struct ports */
	uint32_t next_id, next_port;
	uint32_t n_connections; /* for a restore */
	bool tell_reset;
	bool held; /* the guest's packets, for too many resets */
	struct queue_chain chain;
};

static guint hash_ports(gconstpointer key)
{
	const struct connection *c = key;

	return c->guest_port * 31 + c->host_port;
}

static gboolean equal_ports(gconstpointer a, gconstpointer b)
{
	const struct connection *x = a, *y = b;

	return x->guest_port == y->guest_port && x->host_port == y->host_port;
}

static struct connection *find(struct virtio_vsock *vsock, struct ports ports)
{
	struct connection key = {.guest_port = ports.guest, .host_port = ports.host};

	return g_hash_table_lookup(vsock->by_ports, &key);
}

static void add_reset(struct virtio_vsock *vsock, struct ports ports)
{
	g_array_append_val(vsock->resets, ports);
}

static struct ports ports_of(const struct connection *c)
{
	return (struct ports){c->guest_port, c->host_port};
}

static void end_connection(struct virtio_vsock *vsock, struct connection *c)
{
	if (c->busy)
		g_queue_remove(&vsock->busy, c);
	g_hash_table_remove(vsock->by_id, GUINT_TO_POINTER(c->id));
	g_hash_table_remove(vsock->by_ports, c);
	vsock->n_connections--;
	close(c->fd);
	if (c->waiting)
		g_byte_array_unref(c->waiting);
	g_free(c);
}

static void reset_connection(struct virtio_vsock *vsock, struct connection *c)
{
	add_reset(vsock, ports_of(c));
	end_connection(vsock, c);
}

/* Takes the socket over; NULL where there are too many. */
static struct connection *add_connection(struct virtio_vsock *vsock, struct ports ports, int fd)
{
	struct connection *c;

	if (vsock->n_connections >= MAX_CONNECTIONS) {
		close(fd);
		return NULL;
	}
	c = g_new0(struct connection, 1);
	c->guest_port = ports.guest;
	c->host_port = ports.host;
	c->fd = fd;
	c->id = vsock->next_id++;
	g_hash_table_add(vsock->by_ports, c);
	g_hash_table_insert(vsock->by_id, GUINT_TO_POINTER(c->id), c);
	vsock->n_connections++;
	return c;
}

/* Has ready() called for what is not known yet. */
static void watch(struct virtio_vsock *vsock, struct connection *c)
{
	bool in = c->open && !c->readable && !c->host_ended && !(c->guest_shutdown & SHUTDOWN_RECEIVE);

	vsock_host_watch(vsock->host, c->fd, c->id, in, c->waiting);
}

static uint32_t credit(const struct connection *c)
{
	uint32_t used = c->sent - c->peer_forwarded;

	return used < c->peer_alloc ? c->peer_alloc - used : 0;
}

static bool can_read(const struct connection *c)
{
	return c->open && c->readable && !c->host_ended && !(c->guest_shutdown & SHUTDOWN_RECEIVE);
}

static void make_busy(struct virtio_vsock *vsock, struct connection *c)
{
	bool starves = can_read(c) && !credit(c);

	if (starves && !c->asked)
		c->wants |= 1 << OP_CREDIT_REQUEST;
	c->asked = starves;
	if (!c->busy && (c->wants || (can_read(c) && credit(c)))) {
		g_queue_push_tail(&vsock->busy, c);
		c->busy = true;
	}
}

/* Packets to the guest. */
static void give(struct virtio_vsock *vsock, enum op op, struct ports ports, const struct connection *c, uint32_t len,
		 uint32_t flags)
{
	struct mem *mem = vsock->virtio.pci.device.env->mem;
	struct queue_chain *chain = &vsock->chain;
	struct iovec *in = chain->iov + chain->n_out;
	unsigned n = chain->n_in;
	uint8_t header[HDR_SIZE] = {0};

	le64_store(header + HDR_SRC_CID, HOST_CID);
	le64_store(header + HDR_DST_CID, vsock->cid);
	le32_store(header + HDR_SRC_PORT, ports.host);
	le32_store(header + HDR_DST_PORT, ports.guest);
	le32_store(header + HDR_LEN, len);
	le16_store(header + HDR_TYPE, TYPE_STREAM);
	le16_store(header + HDR_OP, op);
	le32_store(header + HDR_FLAGS, flags);
	le32_store(header + HDR_BUF_ALLOC, c ? BUF_ALLOC : 0);
	le32_store(header + HDR_FWD_CNT, c ? c->forwarded : 0);
	iov_cut_back(in, &n, iov_len(in, n) - HDR_SIZE - len);
	iov_written(mem, in, n);
	iov_write(mem, in, n, header, sizeof(header));
	virtio_push(&vsock->virtio, RX_QUEUE, chain->head, HDR_SIZE + len);
}

/* The host's bytes, as many as it has, the guest has room for and the buffer holds; 0: none now, or no more at all. */
static uint32_t read_host(struct virtio_vsock *vsock, struct connection *c)
{
	struct queue_chain chain = {.n_in = vsock->chain.n_in};
	struct iovec *in = chain.iov;
	unsigned n = chain.n_in;
	uint64_t room;
	ssize_t len;

	memcpy(in, vsock->chain.iov + vsock->chain.n_out, n * sizeof(*in));
	iov_cut_front(&in, &n, HDR_SIZE);
	room = iov_len(in, n);
	iov_cut_back(in, &n, room - MIN(MIN(room, credit(c)), MAX_PACKET));
	len = n ? readv(c->fd, in, n) : 0;
	if (len > 0)
		return len;
	c->readable = false;
	if (n && (len == 0 || (errno != EAGAIN && errno != EINTR))) {
		struct pollfd fd = {.fd = c->fd};

		/* Who has only ended its own side may still listen. */
		c->host_ended = true;
		c->host_shutdown = poll(&fd, 1, 0) > 0 && fd.revents & (POLLHUP | POLLERR) ? SHUTDOWN_BOTH : SHUTDOWN_SEND;
		c->wants |= 1 << OP_SHUTDOWN;
	}
	watch(vsock, c);
	return 0;
}

/* One packet of a connection's; false: it has none to send. */
static bool send_one(struct virtio_vsock *vsock, struct connection *c)
{
	static const enum op order[] = {OP_REQUEST, OP_RESPONSE, OP_CREDIT_UPDATE, OP_CREDIT_REQUEST};
	uint32_t len;

	for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
		if (!(c->wants & 1 << order[i]))
			continue;
		c->wants &= ~(1 << order[i]);
		c->told = c->forwarded;
		give(vsock, order[i], ports_of(c), c, 0, 0);
		return true;
	}
	len = can_read(c) && credit(c) ? read_host(vsock, c) : 0;
	if (len) {
		c->sent += len;
		c->told = c->forwarded;
		give(vsock, OP_RW, ports_of(c), c, len, 0);
		return true;
	}
	if (!(c->wants & 1 << OP_SHUTDOWN))
		return false;
	c->wants &= ~(1 << OP_SHUTDOWN);
	give(vsock, OP_SHUTDOWN, ports_of(c), c, 0, c->host_shutdown);
	return true;
}

static bool pop_rx(struct virtio_vsock *vsock)
{
	struct queue_chain *chain = &vsock->chain;

	if (!virtio_pop(&vsock->virtio, RX_QUEUE, chain))
		return false;
	if (iov_len(chain->iov + chain->n_out, chain->n_in) > HDR_SIZE)
		return true;
	virtio_break(&vsock->virtio);
	return false;
}

/* The connection whose turn it is. */
static void send_busy(struct virtio_vsock *vsock)
{
	struct connection *c = g_queue_pop_head(&vsock->busy);

	c->busy = false;
	if (!send_one(vsock, c))
		virtio_unpop(&vsock->virtio, RX_QUEUE, vsock->chain.head);
	make_busy(vsock, c);
}

static void send_reset(struct virtio_vsock *vsock)
{
	give(vsock, OP_RST, g_array_index(vsock->resets, struct ports, 0), NULL, 0, 0);
	g_array_remove_index(vsock->resets, 0);
}

/* Fills the driver's buffers, for a while. */
static void pump(struct virtio_vsock *vsock)
{
	for (unsigned i = 0; vsock->resets->len || !g_queue_is_empty(&vsock->busy); i++) {
		if (i == QUEUE_SIZE) {
			virtio_leave(&vsock->virtio, RX_QUEUE);
			return;
		}
		if (!pop_rx(vsock))
			return;
		if (vsock->resets->len)
			send_reset(vsock);
		else
			send_busy(vsock);
	}
}

/* What the guest's end, or both, means for the host's socket, once the guest's bytes are out. */
static void end_sides(struct virtio_vsock *vsock, struct connection *c)
{
	if (c->waiting)
		return;
	if (c->guest_shutdown == SHUTDOWN_BOTH)
		reset_connection(vsock, c);
	else if (c->guest_shutdown & SHUTDOWN_SEND)
		shutdown(c->fd, SHUT_WR);
}

static void took(struct connection *c, uint32_t len)
{
	c->forwarded += len;
	/* The guest hears of it by what is sent anyway, or when it would soon have to wait. */
	if (c->forwarded - c->told >= BUF_ALLOC / 4)
		c->wants |= 1 << OP_CREDIT_UPDATE;
}

/* -1: the host listens no more. */
static ssize_t send_host(struct connection *c, const struct iovec *iov, unsigned n)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	ssize_t len = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	return len < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : len;
}

/* Writes what waits; false: the connection has ended. */
static bool flush(struct virtio_vsock *vsock, struct connection *c)
{
	ssize_t len;

	if (!c->waiting)
		return true;
	len = send_host(c, &(struct iovec){c->waiting->data, c->waiting->len}, 1);
	if (len < 0) {
		reset_connection(vsock, c);
		return false;
	}
	took(c, len);
	g_byte_array_remove_range(c->waiting, 0, len);
	if (c->waiting->len)
		return true;
	g_clear_pointer(&c->waiting, g_byte_array_unref);
	if (c->guest_shutdown == SHUTDOWN_BOTH) {
		reset_connection(vsock, c);
		return false;
	}
	end_sides(vsock, c);
	return true;
}

/* Packets of the guest's. */
struct packet {
	struct ports ports;
	uint32_t len, flags;
	uint16_t type, op;
	const struct iovec *data; /* len bytes */
	unsigned n_data;
};

static void take_response(struct virtio_vsock *vsock, struct connection *c, const struct packet *p)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

	if (c->open || send_host(c, &(struct iovec){line, len}, 1) != len) {
		reset_connection(vsock, c);
		return;
	}
	c->open = true;
	watch(vsock, c);
}

static void take_rst(struct virtio_vsock *vsock, struct connection *c, const struct packet *p)
{
	end_connection(vsock, c);
}

static void take_shutdown(struct virtio_vsock *vsock, struct connection *c, const struct packet *p)
{
	c->guest_shutdown |= p->flags & SHUTDOWN_BOTH;
	if (c->guest_shutdown & SHUTDOWN_RECEIVE)
		shutdown(c->fd, SHUT_RD);
	end_sides(vsock, c);
}

/* What the socket does not take waits. More than the guest was promised room for is none of its business. */
static void take_rw(struct virtio_vsock *vsock, struct connection *c, const struct packet *p)
{
	unsigned queued = c->waiting ? c->waiting->len : 0;
	ssize_t len = 0;

	if (!c->open || c->guest_shutdown & SHUTDOWN_SEND || p->len > BUF_ALLOC - queued) {
		reset_connection(vsock, c);
		return;
	}
	if (!queued && p->len)
		len = send_host(c, p->data, p->n_data);
	if (len < 0) {
		reset_connection(vsock, c);
		return;
	}
	took(c, len);
	if (len == p->len)
		return;
	if (!c->waiting)
		c->waiting = g_byte_array_new();
	g_byte_array_set_size(c->waiting, queued + p->len);
	iov_read(p->data, p->n_data, c->waiting->data + queued, p->len);
	g_byte_array_remove_range(c->waiting, queued, len);
	watch(vsock, c);
}

static void take_credit_update(struct virtio_vsock *vsock, struct connection *c, const struct packet *p)
{
}

static void take_credit_request(struct virtio_vsock *vsock, struct connection *c, const struct packet *p)
{
	c->wants |= 1 << OP_CREDIT_UPDATE;
}

/* What else comes for a connection that is there ends it; that makes no sense. */
static void (*const takes[N_OPS])(struct virtio_vsock *, struct connection *, const struct packet *) = {
	[OP_RESPONSE] = take_response,
	[OP_RST] = take_rst,
	[OP_SHUTDOWN] = take_shutdown,
	[OP_RW] = take_rw,
	[OP_CREDIT_UPDATE] = take_credit_update,
	[OP_CREDIT_REQUEST] = take_credit_request,
};

/* The guest connects; NULL: nobody listens. */
static struct connection *take_request(struct virtio_vsock *vsock, struct ports ports)
{
	int fd = vsock->host ? vsock_host_connect(vsock->host, ports.host) : -1;
	struct connection *c = fd >= 0 ? add_connection(vsock, ports, fd) : NULL;

	if (!c)
		return NULL;
	c->open = true;
	c->wants = 1 << OP_RESPONSE;
	watch(vsock, c);
	return c;
}

static void take_packet(struct virtio_vsock *vsock, const struct packet *p, uint32_t alloc, uint32_t forwarded)
{
	struct connection *c = find(vsock, p->ports);
	uint32_t id;

	if (!c && p->op == OP_REQUEST && p->type == TYPE_STREAM)
		c = take_request(vsock, p->ports);
	else if (c && (p->type != TYPE_STREAM || p->op >= N_OPS || !takes[p->op])) {
		reset_connection(vsock, c);
		return;
	}
	if (!c) {
		if (p->op != OP_RST)
			add_reset(vsock, p->ports);
		return;
	}
	id = c->id;
	c->peer_alloc = alloc;
	c->peer_forwarded = forwarded;
	if (p->op != OP_REQUEST)
		takes[p->op](vsock, c, p);
	c = g_hash_table_lookup(vsock->by_id, GUINT_TO_POINTER(id));
	if (c)
		make_busy(vsock, c);
}

/* Addresses that are not this device's are dropped. */
static void take_chain(struct virtio_vsock *vsock, struct queue_chain *chain)
{
	struct iovec *out = chain->iov;
	unsigned n = chain->n_out;
	uint8_t header[HDR_SIZE];
	struct packet p;

	if (iov_read(out, n, header, sizeof(header)) < sizeof(header)) {
		virtio_break(&vsock->virtio);
		return;
	}
	if (le64_load(header + HDR_SRC_CID) != vsock->cid || le64_load(header + HDR_DST_CID) != HOST_CID)
		return;
	p = (struct packet){
		.ports = {le32_load(header + HDR_SRC_PORT), le32_load(header + HDR_DST_PORT)},
		.len = le32_load(header + HDR_LEN),
		.flags = le32_load(header + HDR_FLAGS),
		.type = le16_load(header + HDR_TYPE),
		.op = le16_load(header + HDR_OP),
	};
	iov_cut_front(&out, &n, HDR_SIZE);
	if (p.len > iov_len(out, n)) {
		virtio_break(&vsock->virtio);
		return;
	}
	iov_cut_back(out, &n, iov_len(out, n) - p.len);
	p.data = out;
	p.n_data = n;
	take_packet(vsock, &p, le32_load(header + HDR_BUF_ALLOC), le32_load(header + HDR_FWD_CNT));
}

static void take_all(struct virtio_vsock *vsock)
{
	struct queue_chain *chain = &vsock->chain;

	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		vsock->held = vsock->resets->len >= MANY_RESETS;
		if (vsock->held || !virtio_pop(&vsock->virtio, TX_QUEUE, chain))
			return;
		take_chain(vsock, chain);
		virtio_push(&vsock->virtio, TX_QUEUE, chain->head, 0);
	}
	virtio_leave(&vsock->virtio, TX_QUEUE);
}

static void give_event(struct virtio_vsock *vsock)
{
	struct queue_chain *chain = &vsock->chain;
	uint8_t event[4];

	if (!vsock->tell_reset || !virtio_pop(&vsock->virtio, EVENT_QUEUE, chain))
		return;
	vsock->tell_reset = false;
	le32_store(event, EVENT_TRANSPORT_RESET);
	virtio_push(&vsock->virtio, EVENT_QUEUE, chain->head,
		    iov_write(vsock->virtio.pci.device.env->mem, chain->iov + chain->n_out, chain->n_in, event, sizeof(event)));
}

static void vsock_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)virtio;

	switch (queue) {
	case RX_QUEUE:
		pump(vsock);
		if (!vsock->held)
			break;
		/* fall through */
	case TX_QUEUE:
		take_all(vsock);
		pump(vsock);
		break;
	case EVENT_QUEUE:
		give_event(vsock);
		break;
	}
}

/* A port that no connection to that of the guest's has. */
static struct ports choose_ports(struct virtio_vsock *vsock, uint32_t guest_port)
{
	struct ports ports = {guest_port, FIRST_HOST_PORT};

	do
		ports.host = FIRST_HOST_PORT + vsock->next_port++ % FIRST_HOST_PORT;
	while (find(vsock, ports));
	return ports;
}

/* A host's program wants a port of the guest's. */
static void on_incoming(void *opaque, int fd, uint32_t port)
{
	struct virtio_vsock *vsock = opaque;
	GMutex *lock = &vsock->virtio.pci.device.lock;
	struct connection *c = NULL;

	g_mutex_lock(lock);
	if (virtio_runs(&vsock->virtio, RX_QUEUE))
		c = add_connection(vsock, choose_ports(vsock, port), fd);
	else
		close(fd);
	if (c) {
		c->wants = 1 << OP_REQUEST;
		watch(vsock, c);
		make_busy(vsock, c);
		pump(vsock);
	}
	g_mutex_unlock(lock);
}

/* What can be done with a connection's socket; false: it has ended. */
static bool look(struct virtio_vsock *vsock, struct connection *c)
{
	struct pollfd fd = {.fd = c->fd, .events = POLLIN | POLLOUT};
	bool gone;

	if (poll(&fd, 1, 0) < 0)
		return true;
	gone = fd.revents & (POLLHUP | POLLERR);
	if (!c->open && gone) {
		reset_connection(vsock, c);
		return false;
	}
	if (c->open && fd.revents & (POLLIN | POLLHUP | POLLERR))
		c->readable = true;
	if (gone && c->host_ended && c->host_shutdown != SHUTDOWN_BOTH) {
		c->host_shutdown = SHUTDOWN_BOTH;
		c->wants |= 1 << OP_SHUTDOWN;
	}
	if (!flush(vsock, c))
		return false;
	/* Gone for good, it would be reported for ever. */
	if (!gone)
		watch(vsock, c);
	return true;
}

static void on_ready(void *opaque, uint32_t id)
{
	struct virtio_vsock *vsock = opaque;
	GMutex *lock = &vsock->virtio.pci.device.lock;
	struct connection *c;

	g_mutex_lock(lock);
	c = g_hash_table_lookup(vsock->by_id, GUINT_TO_POINTER(id));
	if (c && look(vsock, c))
		make_busy(vsock, c);
	pump(vsock);
	g_mutex_unlock(lock);
}

static void drop_all(struct virtio *virtio)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)virtio;
	GHashTableIter iter;
	gpointer connection;

	while (g_hash_table_iter_init(&iter, vsock->by_id), g_hash_table_iter_next(&iter, NULL, &connection))
		end_connection(vsock, connection);
	g_array_set_size(vsock->resets, 0);
	vsock->tell_reset = vsock->held = false;
}

static const struct virtio_ops vsock_ops = {
	.id = 19,
	.class_code = 0x028000,
	.n_queues = N_QUEUES,
	.notify = vsock_notify,
	.reset = drop_all,
};

static bool vsock_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)device;

	vsock->host = config->vsock;
	vsock->cid = config->cid;
	le64_store(vsock->config, config->cid);
	vsock->by_ports = g_hash_table_new(hash_ports, equal_ports);
	vsock->by_id = g_hash_table_new(NULL, NULL);
	vsock->resets = g_array_new(FALSE, FALSE, sizeof(struct ports));
	if (vsock->host)
		vsock_host_set_sink(vsock->host, &(struct vsock_host_sink){on_incoming, on_ready, vsock});
	return virtio_init(&vsock->virtio, &vsock_ops, F_STREAM, vsock->config, sizeof(vsock->config), config, error);
}

static void vsock_post_load(struct device *device)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)device;
	bool had = vsock->n_connections || vsock->tell_reset;

	vsock->n_connections = g_hash_table_size(vsock->by_id);
	drop_all(&vsock->virtio);
	vsock->tell_reset = had;
	virtio_post_load(device);
}

static void vsock_fini(struct device *device)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)device;

	if (vsock->host)
		vsock_host_set_sink(vsock->host, NULL);
	drop_all(&vsock->virtio);
	g_hash_table_unref(vsock->by_ports);
	g_hash_table_unref(vsock->by_id);
	g_array_unref(vsock->resets);
	virtio_fini(device);
}

static const struct state_field vsock_fields[] = {
	VIRTIO_FIELDS(struct virtio_vsock, virtio),
	STATE_FIELD(struct virtio_vsock, n_connections),
	STATE_FIELD(struct virtio_vsock, tell_reset),
};

static const struct state_table vsock_state = {
	.name = "virtio-vsock",
	.version = 1,
	.object_size = sizeof(struct virtio_vsock),
	.fields = vsock_fields,
	.n_fields = G_N_ELEMENTS(vsock_fields),
	.check = virtio_check,
};

const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.document = "OASIS virtio 1.2, section 5.10",
	.size = sizeof(struct virtio_vsock),
	.state = &vsock_state,
	.init = vsock_init,
	.reset = virtio_reset,
	.post_load = vsock_post_load,
	.fini = vsock_fini,
};
