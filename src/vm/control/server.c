/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing more is read from a peer that has not taken its answers yet, so what it can have us
 * keep is bounded; one that takes none for some seconds loses its place.
 */
#include "vm/control/server.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/local_socket.h"
#include "vm/control/session.h"

enum {
	MAX_PEERS = 16,
	BACKLOG = 16,
	PATIENCE_S = 10, /* for a peer that takes no answers */
};

struct peer {
	struct control_server *server; /* NULL: the place is free */
	int fd;
	struct control_session *session;
	GByteArray *out; /* what the socket has not taken yet */
	bool last;	 /* nothing more is wanted from it */
	GSource *source, *patience;
};

struct control_server {
	GMainContext *context;
	struct vm *vm;
	int listen_fd;
	GSource *listen_source;
	struct peer peers[MAX_PEERS];
};

static void drop_source(GSource **source)
{
	if (!*source)
		return;
	g_source_destroy(*source);
	g_source_unref(*source);
	*source = NULL;
}

static GSource *start(GSource *source, GMainContext *context, GSourceFunc callback, void *opaque)
{
	g_source_set_callback(source, callback, opaque, NULL);
	g_source_attach(source, context);
	return source;
}

static void disconnect(struct peer *peer)
{
	drop_source(&peer->source);
	drop_source(&peer->patience);
	control_session_free(peer->session);
	g_byte_array_unref(peer->out);
	close(peer->fd);
	peer->server = NULL;
}

static gboolean on_impatience(gpointer peer)
{
	disconnect(peer);
	return G_SOURCE_REMOVE;
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer opaque);

/* Waits for the peer to take what is left, or to say more. */
static void wait_for(struct peer *peer)
{
	GMainContext *context = peer->server->context;

	drop_source(&peer->source);
	drop_source(&peer->patience);
	peer->source = start(g_unix_fd_source_new(peer->fd, peer->out->len ? G_IO_OUT : G_IO_IN),
			     context, G_SOURCE_FUNC(on_ready), peer);
	if (peer->out->len)
		peer->patience = start(g_timeout_source_new_seconds(PATIENCE_S), context,
				       on_impatience, peer);
}

static void flush(struct peer *peer)
{
	ssize_t n = 0;

	while (peer->out->len) {
		n = send(peer->fd, peer->out->data, peer->out->len, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		g_byte_array_remove_range(peer->out, 0, n);
	}
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || (!peer->out->len && peer->last))
		disconnect(peer);
	else
		wait_for(peer);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer opaque)
{
	struct peer *peer = opaque;
	uint8_t bytes[4096];
	ssize_t n;

	if (!peer->out->len) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n > 0)
			peer->last = !control_session_input(peer->session, bytes, n, peer->out);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			peer->last = true;
	}
	flush(peer);
	/* wait_for() has put another source in this one's place. */
	return G_SOURCE_REMOVE;
}

static bool has_left(const struct peer *peer)
{
	struct pollfd poll_fd = {.fd = peer->fd};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP;
}

/* A peer may have left and its place be wanted again before the loop has noticed. */
static struct peer *find_place(struct control_server *server)
{
	for (unsigned i = 0; i < MAX_PEERS; i++) {
		if (!server->peers[i].server)
			return &server->peers[i];
	}
	for (unsigned i = 0; i < MAX_PEERS; i++) {
		if (!has_left(&server->peers[i]))
			continue;
		disconnect(&server->peers[i]);
		return &server->peers[i];
	}
	return NULL;
}

static gboolean on_connection(gint listen_fd, GIOCondition condition, gpointer opaque)
{
	static const char full[] =
		"{\"error\":{\"message\":\"too many connections; close one\"}}\n";
	struct control_server *server = opaque;
	int fd = local_socket_accept(listen_fd);
	struct peer *peer;

	if (fd < 0)
		return G_SOURCE_CONTINUE;
	peer = find_place(server);
	if (!peer) {
		send(fd, full, strlen(full), MSG_NOSIGNAL);
		close(fd);
		return G_SOURCE_CONTINUE;
	}
	*peer = (struct peer){
		.server = server,
		.fd = fd,
		.session = control_session_new(server->vm),
		.out = g_byte_array_new(),
	};
	wait_for(peer);
	return G_SOURCE_CONTINUE;
}

struct control_server *control_server_new(const char *path, GMainContext *context, struct vm *vm,
					  GError **error)
{
	int fd = local_socket_listen(path, BACKLOG, error);
	struct control_server *server;

	if (fd < 0)
		return NULL;
	server = g_new0(struct control_server, 1);
	server->context = context;
	server->vm = vm;
	server->listen_fd = fd;
	server->listen_source = start(g_unix_fd_source_new(fd, G_IO_IN), context,
				      G_SOURCE_FUNC(on_connection), server);
	return server;
}

void control_server_free(struct control_server *server)
{
	if (!server)
		return;
	for (unsigned i = 0; i < MAX_PEERS; i++) {
		if (server->peers[i].server)
			disconnect(&server->peers[i]);
	}
	drop_source(&server->listen_source);
	close(server->listen_fd);
	g_free(server);
}
