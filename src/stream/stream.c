/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors are never read or written where that could block the thread: input is
 * read when poll() says so; output goes to a socket with MSG_DONTWAIT, to a terminal
 * through an open file description of our own that is non-blocking, and to anything
 * else after poll() in pieces that a pipe takes whole.
 *
 * A device that finds the output ring full empties it itself instead of waiting for the
 * loop thread to do it: the loop thread may be waiting for the very device lock the
 * caller holds.
 *
 * A stream that listens has its client's connection as both descriptors. Output drops the
 * connection only from the poll's point of view (`out_open`): closing it is the loop thread's. A
 * device that waits for a connection which is closed meanwhile waits in vain, and no longer.
 */
#include "stream/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/local_socket.h"
#include "stream/ring.h"

enum {
	STALL_MS = 100,	 /* how long a full ring holds the guest up, once */
	CLOSE_MS = 1000, /* how long stream_free() lets the host take the rest */
	GATHER_US = 1000, /* for which output gathers: a guest writes byte by byte */
};

_Static_assert(STREAM_ROOM == RING_SIZE, "what there is ever room for");

struct host_source {
	GSource source;
	struct stream *stream;
};

struct stream {
	GMutex lock; /* guards the rings, the callbacks, and all up to `keeps` */
	struct ring in, out;
	void (*readable)(void *opaque);
	void *readable_opaque;
	void (*changed)(void *opaque);
	void *changed_opaque;
	size_t wanted_room; /* 0: nobody waits for any */
	uint16_t columns, rows; /* 0: not known */
	bool stalled;
	uint64_t dropped;

	int out_fd;
	int own_fd; /* our description of a terminal, to close; else -1 */
	bool out_open, out_socket;
	bool keeps; /* the last of what is written while out_open is not set */

	/* The loop thread's. */
	struct host_source *source; /* NULL without descriptors */
	int in_fd;
	bool in_open;
	gpointer in_tag, out_tag, hup_tag; /* set while polled */
	int listen_fd; /* -1: none */
	gpointer listen_tag;
	char *listen_path;
	int escape;
	void (*on_escape)(void *opaque);
	void *escape_opaque;
};

struct stream *stream_new(void)
{
	struct stream *stream = g_new0(struct stream, 1);

	g_mutex_init(&stream->lock);
	stream->in_fd = stream->out_fd = stream->own_fd = stream->listen_fd = -1;
	return stream;
}

static bool poll_out(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

static ssize_t write_piece(struct stream *stream, const uint8_t *buf, size_t len)
{
	if (stream->out_socket)
		return send(stream->out_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!poll_out(stream->out_fd, 0)) {
		errno = EAGAIN;
		return -1;
	}
	return write(stream->out_fd, buf, MIN(len, PIPE_BUF));
}

static void drop_out(struct stream *stream, size_t len)
{
	stream->dropped += len;
	ring_drop(&stream->out, len);
}

/* Writes what the host takes without blocking; under the lock. */
static void drain_out(struct stream *stream)
{
	size_t len;

	while (stream->out_open && ring_used(&stream->out)) {
		const uint8_t *buf = ring_peek(&stream->out, &len);
		ssize_t n = write_piece(stream, buf, len);

		if (n > 0) {
			ring_drop(&stream->out, n);
			stream->stalled = false;
		} else if (n < 0 && errno == EAGAIN) {
			return;
		} else if (n == 0 || errno != EINTR) {
			stream->out_open = false;
			if (!stream->keeps)
				drop_out(stream, ring_used(&stream->out));
		}
	}
}

/* Empties a full output ring, waiting as long as the host is given; drops and retakes the lock. */
static void make_room(struct stream *stream)
{
	int fd = stream->out_fd;

	drain_out(stream);
	if (ring_room(&stream->out) || !stream->out_open || stream->stalled)
		return;
	g_mutex_unlock(&stream->lock);
	poll_out(fd, STALL_MS);
	g_mutex_lock(&stream->lock);
	drain_out(stream);
	stream->stalled = !ring_room(&stream->out);
}

/* Has the loop thread look at rings and descriptors, in a while. */
static void kick_host(struct stream *stream, unsigned delay_us)
{
	if (stream->source)
		g_source_set_ready_time(&stream->source->source,
					delay_us ? g_get_monotonic_time() + delay_us : 0);
}

/* The last of what is written, for who connects next; under the lock. */
static void keep_out(struct stream *stream, const uint8_t *buf, size_t len)
{
	size_t over = len > RING_SIZE ? len - RING_SIZE : 0;

	stream->dropped += over;
	if (len - over > ring_room(&stream->out))
		drop_out(stream, len - over - ring_room(&stream->out));
	ring_put(&stream->out, buf + over, len - over);
}

size_t stream_write(struct stream *stream, const uint8_t *buf, size_t len)
{
	size_t done = 0;
	bool kick;

	g_mutex_lock(&stream->lock);
	if (stream->keeps && !stream->out_open) {
		keep_out(stream, buf, len);
		g_mutex_unlock(&stream->lock);
		return len;
	}
	kick = !ring_used(&stream->out);
	/* A connected stream whose reader is gone has nobody to keep bytes for. */
	while (done < len && (stream->out_open || stream->out_fd < 0)) {
		done += ring_put(&stream->out, buf + done, len - done);
		if (done == len)
			break;
		make_room(stream);
		if (!ring_room(&stream->out))
			break;
		/* It may have been empty for a moment, and the loop thread have seen that. */
		kick = true;
	}
	stream->dropped += len - done;
	if (kick && done)
		kick_host(stream, GATHER_US);
	g_mutex_unlock(&stream->lock);
	return done;
}

size_t stream_read(struct stream *stream, uint8_t *buf, size_t len)
{
	bool was_full;

	g_mutex_lock(&stream->lock);
	was_full = !ring_room(&stream->in);
	len = ring_get(&stream->in, buf, len);
	if (was_full && len)
		kick_host(stream, 0);
	g_mutex_unlock(&stream->lock);
	return len;
}

void stream_set_readable(struct stream *stream, void (*readable)(void *opaque), void *opaque)
{
	g_mutex_lock(&stream->lock);
	stream->readable = readable;
	stream->readable_opaque = opaque;
	g_mutex_unlock(&stream->lock);
}

/* Where nobody keeps bytes for anybody there is room for all. */
static bool has_room(const struct stream *stream, size_t len)
{
	bool waits = stream->out_open || (stream->out_fd < 0 && !stream->keeps);

	return !waits || ring_room(&stream->out) >= len;
}

bool stream_has_room(struct stream *stream, size_t len)
{
	bool room;

	g_mutex_lock(&stream->lock);
	room = has_room(stream, MIN(len, RING_SIZE));
	stream->wanted_room = room ? 0 : MIN(len, RING_SIZE);
	g_mutex_unlock(&stream->lock);
	return room;
}

bool stream_connected(struct stream *stream)
{
	bool connected;

	g_mutex_lock(&stream->lock);
	connected = stream->out_open || !stream->keeps;
	g_mutex_unlock(&stream->lock);
	return connected;
}

bool stream_size(struct stream *stream, uint16_t *columns, uint16_t *rows)
{
	g_mutex_lock(&stream->lock);
	*columns = stream->columns;
	*rows = stream->rows;
	g_mutex_unlock(&stream->lock);
	return *columns && *rows;
}

void stream_set_changed(struct stream *stream, void (*changed)(void *opaque), void *opaque)
{
	g_mutex_lock(&stream->lock);
	stream->changed = changed;
	stream->changed_opaque = opaque;
	g_mutex_unlock(&stream->lock);
}

/* Without our lock: the device takes its own. */
static void tell_changed(struct stream *stream)
{
	void (*changed)(void *opaque);
	void *opaque;

	g_mutex_lock(&stream->lock);
	changed = stream->changed;
	opaque = stream->changed_opaque;
	g_mutex_unlock(&stream->lock);
	if (changed)
		changed(opaque);
}

/* Whoever waits for room, where there is enough now. */
static void tell_room(struct stream *stream)
{
	bool tell;

	g_mutex_lock(&stream->lock);
	tell = stream->wanted_room && has_room(stream, stream->wanted_room);
	if (tell)
		stream->wanted_room = 0;
	g_mutex_unlock(&stream->lock);
	if (tell)
		tell_changed(stream);
}

uint64_t stream_dropped(struct stream *stream)
{
	uint64_t dropped;

	g_mutex_lock(&stream->lock);
	dropped = stream->dropped;
	g_mutex_unlock(&stream->lock);
	return dropped;
}

size_t stream_host_read(struct stream *stream, uint8_t *buf, size_t len)
{
	g_mutex_lock(&stream->lock);
	len = ring_get(&stream->out, buf, len);
	g_mutex_unlock(&stream->lock);
	tell_room(stream);
	return len;
}

void stream_host_resize(struct stream *stream, uint16_t columns, uint16_t rows)
{
	g_mutex_lock(&stream->lock);
	stream->columns = columns;
	stream->rows = rows;
	g_mutex_unlock(&stream->lock);
	tell_changed(stream);
}

size_t stream_host_write(struct stream *stream, const uint8_t *buf, size_t len)
{
	void (*readable)(void *opaque);
	void *opaque;

	g_mutex_lock(&stream->lock);
	len = ring_put(&stream->in, buf, len);
	readable = stream->readable;
	opaque = stream->readable_opaque;
	g_mutex_unlock(&stream->lock);
	/* Without our lock: the device takes its own and calls stream_read(). */
	if (len && readable)
		readable(opaque);
	return len;
}

/* Hands input on, keeping escape bytes back. */
static void take_input(struct stream *stream, const uint8_t *buf, size_t len)
{
	const uint8_t *at, *end = buf + len;

	while (stream->escape >= 0 && (at = memchr(buf, stream->escape, end - buf))) {
		stream_host_write(stream, buf, at - buf);
		stream->on_escape(stream->escape_opaque);
		buf = at + 1;
	}
	stream_host_write(stream, buf, end - buf);
}

static size_t in_room(struct stream *stream)
{
	size_t room;

	g_mutex_lock(&stream->lock);
	room = ring_room(&stream->in);
	g_mutex_unlock(&stream->lock);
	return room;
}

static void fill_in(struct stream *stream)
{
	uint8_t buf[4096];
	ssize_t n = read(stream->in_fd, buf, MIN(sizeof(buf), in_room(stream)));

	if (n > 0)
		take_input(stream, buf, n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		stream->in_open = false;
}

/*
 * A descriptor nobody waits for must leave the poll set altogether: with no event asked for,
 * poll() still reports a hang-up, again and again.
 */
static void poll_when(struct stream *stream, gpointer *tag, int fd, GIOCondition events,
		      bool wanted)
{
	GSource *source = &stream->source->source;

	if (wanted && !*tag) {
		*tag = g_source_add_unix_fd(source, fd, events);
	} else if (!wanted && *tag) {
		g_source_remove_unix_fd(source, *tag);
		*tag = NULL;
	}
}

static void update_polls(struct stream *stream)
{
	bool pending;

	g_mutex_lock(&stream->lock);
	pending = ring_used(&stream->out) && stream->out_open;
	g_mutex_unlock(&stream->lock);
	poll_when(stream, &stream->in_tag, stream->in_fd, G_IO_IN,
		  stream->in_open && in_room(stream));
	poll_when(stream, &stream->out_tag, stream->out_fd, G_IO_OUT, pending);
	/* A client that has shut its sending side down may still listen. */
	poll_when(stream, &stream->hup_tag, stream->in_fd, G_IO_HUP,
		  stream->listen_fd >= 0 && stream->in_fd >= 0 && !stream->in_open);
	poll_when(stream, &stream->listen_tag, stream->listen_fd, G_IO_IN, stream->listen_fd >= 0);
}

static void disconnect(struct stream *stream)
{
	int fd = stream->in_fd;

	g_mutex_lock(&stream->lock);
	stream->out_open = stream->stalled = false;
	stream->out_fd = -1;
	g_mutex_unlock(&stream->lock);
	stream->in_open = false;
	stream->in_fd = -1;
	update_polls(stream);
	close(fd);
	tell_changed(stream);
}

static bool hung_up(const struct stream *stream)
{
	struct pollfd poll_fd = {.fd = stream->in_fd};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP;
}

static bool is_gone(struct stream *stream)
{
	bool out_open;

	g_mutex_lock(&stream->lock);
	out_open = stream->out_open;
	g_mutex_unlock(&stream->lock);
	return !out_open || (!stream->in_open && hung_up(stream));
}

/* One client at a time; the rest is turned away. */
static void accept_client(struct stream *stream)
{
	int fd = local_socket_accept(stream->listen_fd);

	if (fd < 0)
		return;
	/* It may have left after our poll, and come again. */
	if (stream->in_fd >= 0 && hung_up(stream)) {
		fill_in(stream);
		disconnect(stream);
	}
	if (stream->in_fd >= 0) {
		close(fd);
		return;
	}
	stream->in_fd = fd;
	stream->in_open = true;
	g_mutex_lock(&stream->lock);
	stream->out_fd = fd;
	stream->out_open = stream->out_socket = true;
	drain_out(stream);
	g_mutex_unlock(&stream->lock);
	tell_changed(stream);
}

static void serve_clients(struct stream *stream)
{
	if (stream->in_fd >= 0 && is_gone(stream))
		disconnect(stream);
	if (stream->listen_tag &&
	    g_source_query_unix_fd(&stream->source->source, stream->listen_tag))
		accept_client(stream);
}

static gboolean host_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	struct stream *stream = ((struct host_source *)source)->stream;

	/* Before the rings are looked at, so that a kick meanwhile is not lost. */
	g_source_set_ready_time(source, -1);
	g_mutex_lock(&stream->lock);
	drain_out(stream);
	g_mutex_unlock(&stream->lock);
	if (stream->in_tag && g_source_query_unix_fd(source, stream->in_tag) && in_room(stream))
		fill_in(stream);
	if (stream->listen_fd >= 0)
		serve_clients(stream);
	tell_room(stream);
	update_polls(stream);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs host_funcs = {.dispatch = host_dispatch};

/* A terminal's descriptor is shared with the shell: ours is another, made non-blocking. */
static int open_own_terminal(int fd)
{
	char path[64];

	if (ttyname_r(fd, path, sizeof(path)))
		return -1;
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void connect_out(struct stream *stream, int fd)
{
	struct stat st;

	stream->own_fd = open_own_terminal(fd);
	stream->out_fd = stream->own_fd >= 0 ? stream->own_fd : fd;
	stream->out_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	stream->out_open = true;
}

static void attach(struct stream *stream, GMainContext *context)
{
	stream->source =
		(struct host_source *)g_source_new(&host_funcs, sizeof(struct host_source));
	stream->source->stream = stream;
	update_polls(stream);
	g_source_attach(&stream->source->source, context);
}

struct stream *stream_new_fd(GMainContext *context, int in_fd, int out_fd, int escape,
			     void (*on_escape)(void *opaque), void *opaque)
{
	struct stream *stream = stream_new();

	stream->in_fd = in_fd;
	stream->in_open = in_fd >= 0;
	if (out_fd >= 0)
		connect_out(stream, out_fd);
	stream->escape = escape;
	stream->on_escape = on_escape;
	stream->escape_opaque = opaque;
	attach(stream, context);
	return stream;
}

struct stream *stream_new_listen(GMainContext *context, const char *path, GError **error)
{
	int fd = local_socket_listen(path, 1, error);
	struct stream *stream;

	if (fd < 0)
		return NULL;
	stream = stream_new();
	stream->listen_fd = fd;
	stream->listen_path = g_strdup(path);
	stream->keeps = true;
	stream->escape = -1;
	attach(stream, context);
	return stream;
}

void stream_free(struct stream *stream)
{
	int64_t deadline, left;

	if (!stream)
		return;
	if (stream->source) {
		g_source_destroy(&stream->source->source);
		g_source_unref(&stream->source->source);
	}
	deadline = g_get_monotonic_time() + CLOSE_MS * 1000;
	drain_out(stream);
	while (stream->out_open && ring_used(&stream->out) &&
	       (left = deadline - g_get_monotonic_time()) > 0) {
		poll_out(stream->out_fd, left / 1000 + 1);
		drain_out(stream);
	}
	if (stream->own_fd >= 0)
		close(stream->own_fd);
	if (stream->listen_fd >= 0) {
		if (stream->in_fd >= 0)
			close(stream->in_fd);
		close(stream->listen_fd);
		unlink(stream->listen_path);
		g_free(stream->listen_path);
	}
	g_mutex_clear(&stream->lock);
	g_free(stream);
}
