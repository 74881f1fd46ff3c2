/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state is the file's own, against the rule: exit() and signal handlers pass no
 * argument, and a process has one controlling terminal.
 */
#include "stream/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"

static struct termios saved;	    /* constant while raw_fd is not -1 */
static atomic_int raw_fd = -1;	    /* the terminal to give back */
static bool restore_at_exit_is_set; /* loop thread */

/* tcsetattr() by a background process would be answered with SIGTTOU, which stops it. */
static int set_attributes(int fd, const struct termios *attributes)
{
	sigset_t ttou, before;
	int result;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &before);
	do
		result = tcsetattr(fd, TCSANOW, attributes);
	while (result < 0 && errno == EINTR);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

void terminal_restore(void)
{
	int errno_before = errno, fd = atomic_exchange(&raw_fd, -1);

	if (fd >= 0)
		set_attributes(fd, &saved);
	errno = errno_before;
}

bool terminal_raw(int fd, GError **error)
{
	struct termios attributes;

	if (!isatty(fd))
		return true;
	g_assert(atomic_load(&raw_fd) == -1);
	if (!restore_at_exit_is_set) {
		atexit(terminal_restore);
		restore_at_exit_is_set = true;
	}
	if (tcgetattr(fd, &saved) < 0)
		goto fail;
	attributes = saved;
	cfmakeraw(&attributes);
	/* First, so that a signal in between restores. */
	atomic_store(&raw_fd, fd);
	if (set_attributes(fd, &attributes) == 0)
		return true;
	atomic_store(&raw_fd, -1);
fail:
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "cannot put the terminal into raw mode: %s; run without a terminal on standard "
		    "input if it has none of its own",
		    g_strerror(errno));
	return false;
}
