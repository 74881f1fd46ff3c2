/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv vsock: standard input and output on a vsock port of the guest's. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "cli/relay.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "vm/client.h"

#define CONNECT_S 10

/* The VM's socket, connected; -1 with the error set. */
static int connect_vm(const char *name, GError **error)
{
	struct client *client = client_open(name, error);
	g_autoptr(JsonObject) status = client ? client_call(client, "status", NULL, error) : NULL;
	const char *path = status ? json_object_get_string_member_with_default(status, "vsock", "none") : NULL;
	int fd;

	client_close(client);
	if (!path)
		return -1;
	if (!strcmp(path, "none")) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "VM '%s' has no vsock; start it with --vsock 3", name);
		return -1;
	}
	fd = local_socket_connect(path, CONNECT_S);
	if (fd < 0)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "VM '%s': cannot connect to its vsock at %s: %s; try again",
			    name, path, g_strerror(errno));
	return fd;
}

/* The VM's answer to our line, byte by byte: the guest's bytes follow it. */
static bool read_answer(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char answer[32] = "";
	size_t len = 0;

	while (len < sizeof(answer) - 1 && !memchr(answer, '\n', len)) {
		ssize_t n = read(fd, answer + len, 1);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n < 0)
			poll(&poll_fd, 1, -1);
		else
			len += n;
	}
	return g_str_has_prefix(answer, "OK ");
}

static bool ask_for(int fd, const char *name, unsigned port, GError **error)
{
	g_autofree char *line = g_strdup_printf("CONNECT %u\n", port);

	if (relay_write(fd, line, strlen(line)) && read_answer(fd))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "VM '%s': nobody in the guest listens at vsock port %u; start there what is to answer", name, port);
	return false;
}

static int vsock_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME PORT",
		.min_words = 2,
		.max_words = 2,
		.text = "Connects standard input and output to a vsock port of a running VM's guest, which\n"
			"was started with --vsock. As a proxy of ssh's, where the guest's sshd listens there:\n"
			"  ssh -o ProxyCommand='viv vsock NAME 22' user@NAME\n",
	};
	const char *words[USAGE_MAX_WORDS];
	GError *error = NULL;
	guint64 port;
	int status, fd;
	bool good;

	if (!usage_parse(&usage, argc, argv, NULL, words, &status))
		return status;
	if (!g_ascii_string_to_unsigned(words[1], 10, 0, UINT32_MAX, &port, NULL)) {
		g_set_error(&error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is no port; write a number", words[1]);
		return report_error(error);
	}
	signal(SIGPIPE, SIG_IGN);
	fd = connect_vm(words[0], &error);
	if (fd < 0)
		return report_error(error);
	good = ask_for(fd, words[0], port, &error);
	if (!good)
		status = report_error(error);
	else
		status = relay_run(fd) ? EXIT_STATUS_OK : EXIT_STATUS_HOST;
	close(fd);
	return status;
}

const struct verb verb_vsock = {"vsock", "connect to a vsock port of a VM's guest", vsock_main};
