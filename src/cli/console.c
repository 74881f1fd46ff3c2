/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv console: this terminal on the serial port of a VM that has it at a socket. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "cli/relay.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "stream/terminal.h"
#include "vm/client.h"

#define LEAVE	  0x1d /* Ctrl-] */
#define CONNECT_S 10

static const struct usage console_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Connects this terminal to the serial port of a running VM, started with\n"
		"--serial unix:PATH. Ctrl-] leaves; the VM goes on. What the guest printed\n"
		"last while nobody was connected comes first.\n",
};

enum console_end { CONSOLE_GOES_ON, CONSOLE_LEFT, CONSOLE_CLOSED };

static void on_signal(int number)
{
	terminal_restore();
	signal(number, SIG_DFL);
	raise(number); /* delivered when the handler returns */
}

static enum console_end from_vm(int fd)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return CONSOLE_GOES_ON;
	return n > 0 && relay_write(STDOUT_FILENO, bytes, n) ? CONSOLE_GOES_ON : CONSOLE_CLOSED;
}

/* At the end of input nothing ends: `open` is cleared. */
static enum console_end to_vm(int fd, bool is_terminal, bool *open)
{
	char bytes[4096];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	const char *leave = is_terminal && n > 0 ? memchr(bytes, LEAVE, n) : NULL;

	if (n <= 0) {
		*open = n < 0 && (errno == EAGAIN || errno == EINTR);
		return CONSOLE_GOES_ON;
	}
	if (!relay_write(fd, bytes, leave ? leave - bytes : n))
		return CONSOLE_CLOSED;
	return leave ? CONSOLE_LEFT : CONSOLE_GOES_ON;
}

static enum console_end copy(int fd)
{
	bool is_terminal = isatty(STDIN_FILENO), open = true;
	enum console_end end = CONSOLE_GOES_ON;

	while (end == CONSOLE_GOES_ON) {
		struct pollfd fds[] = {
			{.fd = fd, .events = POLLIN},
			{.fd = open ? STDIN_FILENO : -1, .events = POLLIN},
		};

		if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			end = from_vm(fd);
		if (end == CONSOLE_GOES_ON && fds[1].revents)
			end = to_vm(fd, is_terminal, &open);
	}
	return end;
}

/* The serial port's socket, connected; -1 with the error set. */
static int connect_serial(const char *name, GError **error)
{
	struct client *client = client_open(name, error);
	g_autoptr(JsonObject) status = client ? client_call(client, "status", NULL, error) : NULL;
	const char *serial =
		status ? json_object_get_string_member_with_default(status, "serial", "") : NULL;
	int fd = -1;

	client_close(client);
	if (!serial)
		return -1;
	if (!g_str_has_prefix(serial, "unix:")) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "VM '%s' has its serial port at %s; start it with --serial unix:PATH",
			    name, serial);
		return -1;
	}
	fd = local_socket_connect(serial + strlen("unix:"), CONNECT_S);
	if (fd < 0)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "VM '%s': cannot connect to its serial port at %s: %s; try again", name,
			    serial, g_strerror(errno));
	return fd;
}

static int console_main(int argc, char **argv)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM};
	const char *words[USAGE_MAX_WORDS];
	enum console_end end;
	GError *error = NULL;
	int status, fd;

	if (!usage_parse(&console_usage, argc, argv, NULL, words, &status))
		return status;
	fd = connect_serial(words[0], &error);
	if (fd < 0)
		return report_error(error);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		signal(signals[i], on_signal);
	if (!terminal_raw(STDIN_FILENO, &error)) {
		close(fd);
		return report_error(error);
	}
	end = copy(fd);
	terminal_restore();
	close(fd);
	fprintf(stderr, end == CONSOLE_LEFT ? "\nviv: left the console by Ctrl-]\n"
					    : "viv: the console closed: the VM has ended, or "
					      "another console is connected\n");
	return EXIT_STATUS_OK;
}

const struct verb verb_console = {"console", "this terminal on a VM's serial port", console_main};
