/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/gdb/server.h"

#include <errno.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "vm/address.h"

struct gdb_server {
	GMainContext *context;
	const struct gdb_target *target;
	const char *address;
	int listen_fd, fd; /* -1: none */
	GSource *listen_source, *source;
	struct gdb_session *session;
	GByteArray *out; /* what the socket has not taken yet */
};

static GSource *watch(struct gdb_server *server, int fd, GIOCondition condition,
		      GUnixFDSourceFunc callback)
{
	GSource *source = g_unix_fd_source_new(fd, condition);

	g_source_set_callback(source, G_SOURCE_FUNC(callback), server, NULL);
	g_source_attach(source, server->context);
	return source;
}

static void unwatch(GSource **source)
{
	if (!*source)
		return;
	g_source_destroy(*source);
	g_source_unref(*source);
	*source = NULL;
}

static void disconnect(struct gdb_server *server)
{
	unwatch(&server->source);
	g_clear_pointer(&server->session, gdb_session_free);
	g_byte_array_set_size(server->out, 0);
	if (server->fd >= 0)
		close(server->fd);
	server->fd = -1;
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer opaque);

/* Sends what can be sent. As long as something is left, nothing more is read from gdb. */
static void flush(struct gdb_server *server)
{
	ssize_t n = 0;

	while (server->out->len) {
		n = send(server->fd, server->out->data, server->out->len, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		g_byte_array_remove_range(server->out, 0, n);
	}
	if ((n < 0 && errno != EAGAIN && errno != EINTR) ||
	    (!server->out->len && gdb_session_is_over(server->session))) {
		disconnect(server);
		return;
	}
	unwatch(&server->source);
	server->source = watch(server, server->fd, server->out->len ? G_IO_OUT : G_IO_IN, on_ready);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer opaque)
{
	struct gdb_server *server = opaque;
	uint8_t bytes[4096];
	ssize_t n;

	if (!server->out->len) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n > 0) {
			gdb_session_input(server->session, bytes, n, server->out);
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			disconnect(server);
			return G_SOURCE_REMOVE;
		}
	}
	flush(server);
	/* flush() has put another source in this one's place. */
	return G_SOURCE_REMOVE;
}

static gboolean on_connection(gint listen_fd, GIOCondition condition, gpointer opaque)
{
	struct gdb_server *server = opaque;
	int fd = local_socket_accept(listen_fd), on = 1;

	if (fd < 0)
		return G_SOURCE_CONTINUE;
	if (server->session) {
		close(fd);
		return G_SOURCE_CONTINUE;
	}
	if (!address_path(server->address))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	server->fd = fd;
	server->target->hold(server->target->opaque);
	server->session = gdb_session_new(server->target);
	server->source = watch(server, fd, G_IO_IN, on_ready);
	return G_SOURCE_CONTINUE;
}

struct gdb_server *gdb_server_new(const char *address, GMainContext *context,
				  const struct gdb_target *target, GError **error)
{
	struct gdb_server *server = g_new0(struct gdb_server, 1);

	server->context = context;
	server->target = target;
	server->fd = -1;
	server->out = g_byte_array_new();
	server->listen_fd = -1;
	server->address = address;
	server->listen_fd = address_listen(address, error);
	if (server->listen_fd < 0) {
		g_prefix_error(error, "--gdb: ");
		gdb_server_free(server);
		return NULL;
	}
	server->listen_source = watch(server, server->listen_fd, G_IO_IN, on_connection);
	return server;
}

void gdb_server_free(struct gdb_server *server)
{
	if (!server)
		return;
	disconnect(server);
	unwatch(&server->listen_source);
	address_close(server->address, server->listen_fd);
	g_byte_array_unref(server->out);
	g_free(server);
}

void gdb_server_poll(struct gdb_server *server)
{
	if (!server->session)
		return;
	gdb_session_poll(server->session, server->out);
	if (server->out->len)
		flush(server);
}

void gdb_server_end(struct gdb_server *server, const char *reply)
{
	if (!server->session)
		return;
	gdb_session_end(server->session, reply, server->out);
	flush(server);
}
