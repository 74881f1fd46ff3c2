/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig_vsock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/local_socket.h"

static char *echo_path(const struct rig_vsock *vsock)
{
	return g_strconcat(vsock->path, "_1", NULL);
}

struct rig_vsock *rig_vsock_new(void)
{
	struct rig_vsock *vsock = g_new0(struct rig_vsock, 1);
	g_autofree char *echo = NULL;

	vsock->folder = g_dir_make_tmp("viv-rig-XXXXXX", NULL);
	vsock->path = g_build_filename(vsock->folder, "v", NULL);
	vsock->context = g_main_context_new();
	vsock->host = vsock_host_new(vsock->context, vsock->path, NULL);
	g_assert_nonnull(vsock->host);
	echo = echo_path(vsock);
	vsock->listen_fd = local_socket_listen(echo, 4, NULL);
	g_assert_cmpint(vsock->listen_fd, >=, 0);
	memset(vsock->peers, 0xff, sizeof(vsock->peers));
	return vsock;
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void rig_vsock_free(struct rig_vsock *vsock)
{
	g_autofree char *echo = NULL;

	if (!vsock)
		return;
	echo = echo_path(vsock);
	for (unsigned i = 0; i < RIG_VSOCK_PEERS; i++)
		hang_up(&vsock->peers[i]);
	close(vsock->listen_fd);
	unlink(echo);
	vsock_host_free(vsock->host);
	rmdir(vsock->folder);
	g_main_context_unref(vsock->context);
	g_free(vsock->folder);
	g_free(vsock->path);
	g_free(vsock);
}

static void accept_peer(struct rig_vsock *vsock)
{
	int fd = local_socket_accept(vsock->listen_fd);

	for (unsigned i = 1; i < RIG_VSOCK_PEERS && fd >= 0; i++) {
		if (vsock->peers[i] < 0) {
			vsock->peers[i] = fd;
			fd = -1;
		}
	}
	hang_up(&fd);
}

/* The caller only listens. */
static void serve(struct rig_vsock *vsock, unsigned i, GString *log)
{
	char bytes[256];
	ssize_t n = recv(vsock->peers[i], bytes, sizeof(bytes), 0);

	if (n > 0 && log)
		g_string_append_printf(log, "peer%u:%zd:%x ", i, n, bytes[0]);
	if (n == 0)
		hang_up(&vsock->peers[i]);
	else if (n > 0 && i)
		send(vsock->peers[i], bytes, n, MSG_NOSIGNAL);
}

void rig_vsock_run(struct rig_vsock *vsock, GString *log)
{
	for (unsigned turn = 0; turn < 3; turn++) {
		while (g_main_context_iteration(vsock->context, FALSE) && turn++ < 16)
			;
		accept_peer(vsock);
		for (unsigned i = 0; i < RIG_VSOCK_PEERS; i++)
			if (vsock->peers[i] >= 0)
				serve(vsock, i, log);
	}
}

int rig_vsock_call(struct rig_vsock *vsock, unsigned port)
{
	int fd = local_socket_connect(vsock->path, 0);
	char line[32];
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", port);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(send(fd, line, len, 0), ==, len);
	return fd;
}

void rig_vsock_drive(struct rig_vsock *vsock, const uint8_t *bytes)
{
	int *fd = &vsock->peers[bytes[0] / 4 % RIG_VSOCK_PEERS];

	switch (bytes[0] % 4) {
	case 0:
		hang_up(&vsock->peers[0]);
		vsock->peers[0] = rig_vsock_call(vsock, bytes[1]);
		break;
	case 1:
		hang_up(fd);
		break;
	case 2:
		if (*fd >= 0)
			shutdown(*fd, SHUT_WR);
		break;
	case 3:
		if (*fd >= 0)
			send(*fd, bytes, 2, MSG_NOSIGNAL);
		break;
	}
}
