/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/verb.h"

#define MAX_REPORT 256

/* A session's leader could get a terminal by opening it, so it is not the one that goes on. */
static bool go_on_in_grandchild(void)
{
	pid_t pid;

	setsid();
	pid = fork();
	if (pid > 0)
		_exit(0);
	return pid == 0;
}

/* A byte of exit status, then the name. */
static int await_report(int fd)
{
	char report[MAX_REPORT] = {0};
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(report) - 1) {
		n = read(fd, report + len, sizeof(report) - 1 - len);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		len += MAX(n, 0);
	}
	if (!len) {
		fprintf(stderr, "viv: the process of the VM died before it had started\n");
		return EXIT_STATUS_HOST;
	}
	if (report[0] == EXIT_STATUS_OK)
		printf("%s\n", report + 1);
	return (uint8_t)report[0];
}

static bool fail(GError **error)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "--detach: the host gives no process: %s; end others, or leave it out",
		    g_strerror(errno));
	return false;
}

bool detach_fork(int *fd, int *status, GError **error)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail(error);
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return fail(error);
	}
	if (pid == 0) {
		close(fds[0]);
		if (!go_on_in_grandchild())
			_exit(EXIT_STATUS_HOST);
		*fd = fds[1];
		return true;
	}
	close(fds[1]);
	waitpid(pid, NULL, 0);
	*status = await_report(fds[0]);
	close(fds[0]);
	return false;
}

static void report(int fd, int status, const char *name)
{
	g_autofree char *text = g_strdup_printf("%c%s", status, name);

	while (write(fd, text, 1 + strlen(name)) < 0 && errno == EINTR)
		;
	close(fd);
}

void detach_ready(int fd, const char *name)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int standard = STDIN_FILENO; null >= 0 && standard <= STDERR_FILENO; standard++)
		dup2(null, standard);
	if (null >= 0)
		close(null);
	report(fd, EXIT_STATUS_OK, name);
}

void detach_fail(int fd, int status)
{
	report(fd, status, "");
}
