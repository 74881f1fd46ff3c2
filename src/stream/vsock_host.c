/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/vsock_host.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/high_fd.h"
#include "base/local_socket.h"

enum {
	MAX_CALLERS = 16, /* who have not said which port yet; the oldest makes room for a new one */
	MAX_LINE = 32,
	MAX_EVENTS = 64,
};

/* Of what epoll watches: whose it is << 32, and the sink's id or the caller's number. */
enum { OF_SINK, OF_CALLER, OF_LISTENER };

struct caller {
	int fd; /* -1: none */
	char line[MAX_LINE];
	unsigned len;
};

struct vsock_host {
	char *path;
	int listen_fd, epoll_fd;
	GSource *source;
	struct vsock_host_sink sink;
	bool has_sink;
	struct caller callers[MAX_CALLERS];
	unsigned next_caller;
};

static void watch(struct vsock_host *host, int fd, uint64_t key, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = key};

	if (epoll_ctl(host->epoll_fd, EPOLL_CTL_MOD, fd, &event) && errno == ENOENT)
		epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void vsock_host_watch(struct vsock_host *host, int fd, uint32_t id, bool in, bool out)
{
	watch(host, fd, (uint64_t)OF_SINK << 32 | id, EPOLLONESHOT | (in ? EPOLLIN : 0) | (out ? EPOLLOUT : 0));
}

int vsock_host_connect(struct vsock_host *host, uint32_t port)
{
	g_autofree char *path = g_strdup_printf("%s_%u", host->path, port);

	return high_fd(local_socket_connect(path, 0));
}

static void drop_caller(struct caller *caller)
{
	if (caller->fd >= 0)
		close(caller->fd);
	caller->fd = -1;
	caller->len = 0;
}

static void accept_caller(struct vsock_host *host)
{
	struct caller *caller = &host->callers[host->next_caller];
	int fd = local_socket_accept(host->listen_fd);

	if (fd < 0)
		return;
	drop_caller(caller);
	caller->fd = fd;
	watch(host, fd, (uint64_t)OF_CALLER << 32 | host->next_caller, EPOLLIN);
	host->next_caller = (host->next_caller + 1) % MAX_CALLERS;
}

/* Its line, and nothing of what may come behind it. False: there will be none. */
static bool read_line(struct caller *caller)
{
	while (caller->len < MAX_LINE) {
		ssize_t n = recv(caller->fd, caller->line + caller->len, 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		if (caller->line[caller->len++] == '\n')
			return true;
	}
	return false;
}

static bool parse_line(struct caller *caller, uint32_t *port)
{
	static const char command[] = "CONNECT ";
	guint64 number;

	caller->line[caller->len - 1] = '\0';
	if (strncasecmp(caller->line, command, strlen(command)) ||
	    !g_ascii_string_to_unsigned(caller->line + strlen(command), 10, 0, UINT32_MAX, &number, NULL))
		return false;
	*port = number;
	return true;
}

static void serve_caller(struct vsock_host *host, unsigned i)
{
	struct caller *caller = &host->callers[i];
	uint32_t port;
	int fd = caller->fd;

	if (fd < 0)
		return;
	if (!read_line(caller)) {
		drop_caller(caller);
	} else if (caller->len && caller->line[caller->len - 1] == '\n') {
		if (!parse_line(caller, &port) || !host->has_sink) {
			drop_caller(caller);
			return;
		}
		caller->fd = -1;
		drop_caller(caller);
		epoll_ctl(host->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		host->sink.incoming(host->sink.opaque, high_fd(fd), port);
	}
}

static gboolean on_events(gint fd, GIOCondition condition, gpointer opaque)
{
	struct vsock_host *host = opaque;
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(host->epoll_fd, events, MAX_EVENTS, 0);

	for (int i = 0; i < n; i++) {
		uint32_t id = events[i].data.u64;

		switch (events[i].data.u64 >> 32) {
		case OF_SINK:
			if (host->has_sink)
				host->sink.ready(host->sink.opaque, id);
			break;
		case OF_CALLER:
			serve_caller(host, id);
			break;
		case OF_LISTENER:
			accept_caller(host);
			break;
		}
	}
	return G_SOURCE_CONTINUE;
}

struct vsock_host *vsock_host_new(GMainContext *context, const char *path, GError **error)
{
	int listen_fd = local_socket_listen(path, 64, error);
	struct vsock_host *host;

	if (listen_fd < 0)
		return NULL;
	host = g_new0(struct vsock_host, 1);
	host->path = g_strdup(path);
	host->listen_fd = listen_fd;
	for (unsigned i = 0; i < MAX_CALLERS; i++)
		host->callers[i].fd = -1;
	host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (host->epoll_fd < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot watch sockets: %s; raise the limit of open "
			    "files (ulimit -n)", g_strerror(errno));
		vsock_host_free(host);
		return NULL;
	}
	watch(host, listen_fd, (uint64_t)OF_LISTENER << 32, EPOLLIN);
	host->source = g_unix_fd_source_new(host->epoll_fd, G_IO_IN);
	g_source_set_callback(host->source, G_SOURCE_FUNC(on_events), host, NULL);
	g_source_attach(host->source, context);
	return host;
}

void vsock_host_free(struct vsock_host *host)
{
	if (!host)
		return;
	if (host->source) {
		g_source_destroy(host->source);
		g_source_unref(host->source);
	}
	for (unsigned i = 0; i < MAX_CALLERS; i++)
		drop_caller(&host->callers[i]);
	if (host->epoll_fd >= 0)
		close(host->epoll_fd);
	close(host->listen_fd);
	unlink(host->path);
	g_free(host->path);
	g_free(host);
}

void vsock_host_set_sink(struct vsock_host *host, const struct vsock_host_sink *sink)
{
	host->has_sink = sink;
	if (sink)
		host->sink = *sink;
}
