/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/relay.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

bool relay_write(int fd, const char *bytes, size_t len)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n > 0) {
			bytes += n;
			len -= n;
		} else if (errno == EAGAIN) {
			poll(&poll_fd, 1, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

enum copied { COPIED, COPIED_ALL, COPY_FAILED };

static enum copied copy(int from, int to)
{
	char bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? COPIED : COPY_FAILED;
	if (n == 0)
		return COPIED_ALL;
	return relay_write(to, bytes, n) ? COPIED : COPY_FAILED;
}

/*
 * Who has sent all may still listen, on either side, until its socket is closed (POLLHUP, which poll() always tells).
 */
bool relay_run(int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	bool in_ended = false, out_ended = false;

	while (!in_ended || !out_ended) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents) {
			enum copied copied = in_ended ? COPIED_ALL : copy(fd, STDOUT_FILENO);

			if (copied == COPY_FAILED)
				return false;
			in_ended = copied == COPIED_ALL;
			if (in_ended && fds[0].revents & POLLHUP)
				return true;
			fds[0].events = in_ended ? 0 : POLLIN;
		}
		if (fds[1].revents && copy(STDIN_FILENO, fd) != COPIED) {
			shutdown(fd, SHUT_WR);
			out_ended = true;
			fds[1].fd = -1;
		}
	}
	return true;
}
