/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For the guest: vsock listen PORT | connect PORT. Copies between the connection and its own input and output. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

static int connected(int listens, unsigned port)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = listens ? VMADDR_CID_ANY : VMADDR_CID_HOST,
		.svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0)
		fail("socket");
	if (!listens)
		return connect(fd, (struct sockaddr *)&address, sizeof(address)) ? fail("connect") : fd;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		fail("listen");
	fprintf(stderr, "listening\n");
	return accept(fd, NULL, NULL);
}

/* False at the end. */
static int copy(int from, int to)
{
	static char bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));

	for (ssize_t done = 0, m; done < n; done += m)
		if ((m = write(to, bytes + done, n - done)) <= 0)
			fail("write");
	return n > 0;
}

int main(int argc, char **argv)
{
	int fd = connected(!strcmp(argv[1], "listen"), atoi(argv[2]));
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};

	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents && !copy(fd, 1))
			return 0;
		if (fds[1].revents && !copy(0, fd)) {
			shutdown(fd, SHUT_WR);
			fds[1].fd = -1;
		}
	}
	return 1;
}
