/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"

bool local_socket_check(const char *path, GError **error)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (*path && strlen(path) <= max)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "a socket's path has 1 to %zu bytes, which '%s' has not; write another", max,
		    path);
	return false;
}

/* A listener's queue may be full: what a non-blocking connect() fails of, and poll() cannot wait
 * for. */
static int connect_to(const struct sockaddr_un *address, int timeout_s)
{
	struct timeval timeout = {.tv_sec = timeout_s};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (timeout_s ? 0 : SOCK_NONBLOCK), 0);
	int error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
	    fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* A socket that nobody listens on any more is what a run that was killed left behind. */
static void remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = connect_to(address, 0);
	if (fd >= 0)
		close(fd);
	else if (errno == ECONNREFUSED)
		unlink(address->sun_path);
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	return address;
}

int local_socket_listen(const char *path, int backlog, GError **error)
{
	struct sockaddr_un address = address_of(path);
	int fd;

	if (!local_socket_check(path, error))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		remove_stale(&address);
		fchmod(fd, 0600); /* the socket's file will be the user's alone */
		if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)) &&
		    !listen(fd, backlog))
			return fd;
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "cannot listen at unix:%s: %s; check the path, and that nobody else uses it",
		    path, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int local_socket_connect(const char *path, int timeout_s)
{
	struct sockaddr_un address = address_of(path);

	if (strlen(path) < sizeof(address.sun_path))
		return connect_to(&address, timeout_s);
	errno = ENAMETOOLONG;
	return -1;
}

int local_socket_accept(int listen_fd)
{
	return accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
