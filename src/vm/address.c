/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/local_socket.h"

#define BACKLOG 4

struct address {
	const char *path; /* a Unix socket's, in the text; NULL: `inet` */
	struct sockaddr_in inet;
};

/* A port is reachable by every user of the host at the least, so it stays on the host. */
static bool parse_tcp(const char *text, struct sockaddr_in *inet, GError **error)
{
	const char *colon = strrchr(text, ':');
	g_autofree char *host = g_strndup(text, colon ? colon - text : 0);
	guint64 port;

	*inet = (struct sockaddr_in){.sin_family = AF_INET};
	if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL) ||
	    !inet_aton(host, &inet->sin_addr)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'tcp:%s' is not an address; write it like tcp:127.0.0.1:1234", text);
		return false;
	}
	if (ntohl(inet->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "%s is not this host's own; whoever connects owns the guest, so only "
			    "127.0.0.1 is served",
			    host);
		return false;
	}
	inet->sin_port = htons(port);
	return true;
}

static bool parse_address(const char *text, struct address *address, GError **error)
{
	*address = (struct address){0};
	if (g_str_has_prefix(text, "unix:")) {
		address->path = text + strlen("unix:");
		return local_socket_check(address->path, error);
	}
	if (g_str_has_prefix(text, "tcp:"))
		return parse_tcp(text + strlen("tcp:"), &address->inet, error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is not an address; write unix:PATH or tcp:127.0.0.1:PORT", text);
	return false;
}

bool address_check(const char *address, GError **error)
{
	struct address unused;

	return parse_address(address, &unused, error);
}

static int listen_tcp(const struct sockaddr_in *inet, const char *text, GError **error)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (!bind(fd, (const struct sockaddr *)inet, sizeof(*inet)) && !listen(fd, BACKLOG))
			return fd;
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "cannot listen at %s: %s", text,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int address_listen(const char *text, GError **error)
{
	struct address address;

	if (!parse_address(text, &address, error))
		return -1;
	return address.path ? local_socket_listen(address.path, BACKLOG, error)
			    : listen_tcp(&address.inet, text, error);
}

const char *address_path(const char *address)
{
	return g_str_has_prefix(address, "unix:") ? address + strlen("unix:") : NULL;
}

void address_close(const char *address, int fd)
{
	if (fd < 0)
		return;
	close(fd);
	if (address_path(address))
		unlink(address_path(address));
}
