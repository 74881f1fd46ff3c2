/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int open_pty(int *master)
{
	*master = posix_openpt(O_RDWR | O_NOCTTY);
	g_assert_cmpint(grantpt(*master), ==, 0);
	g_assert_cmpint(unlockpt(*master), ==, 0);
	return open(ptsname(*master), O_RDWR | O_NOCTTY);
}

static tcflag_t local_flags(int fd)
{
	struct termios attributes;

	g_assert_cmpint(tcgetattr(fd, &attributes), ==, 0);
	return attributes.c_lflag;
}

static void test_raw_and_back(void)
{
	int master, slave = open_pty(&master);
	tcflag_t before = local_flags(slave);

	g_assert_true(before & (ICANON | ECHO | ISIG));
	g_assert_true(terminal_raw(slave, NULL));
	g_assert_false(local_flags(slave) & (ICANON | ECHO | ISIG));
	terminal_restore();
	g_assert_cmpuint(local_flags(slave), ==, before);
	terminal_restore();
	close(slave);
	close(master);
}

static void test_no_terminal(void)
{
	int fds[2];

	g_assert_cmpint(pipe(fds), ==, 0);
	g_assert_true(terminal_raw(fds[0], NULL));
	terminal_restore();
	close(fds[0]);
	close(fds[1]);
}

static void on_signal(int number)
{
	terminal_restore();
	_exit(0);
}

enum ending { BY_EXIT, BY_SIGNAL };

/* A child leaves the terminal raw and ends; the terminal must be as it was. */
static void test_ending(gconstpointer opaque)
{
	enum ending ending = GPOINTER_TO_INT(opaque);
	int master, slave = open_pty(&master), status;
	tcflag_t before = local_flags(slave);
	pid_t child = fork();

	if (child == 0) {
		signal(SIGTERM, on_signal);
		if (!terminal_raw(slave, NULL) || local_flags(slave) == before)
			_exit(1);
		if (ending == BY_SIGNAL)
			raise(SIGTERM);
		exit(0);
	}
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_assert_cmpint(status, ==, 0);
	g_assert_cmpuint(local_flags(slave), ==, before);
	close(slave);
	close(master);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/terminal/raw-and-back", test_raw_and_back);
	g_test_add_func("/terminal/no-terminal", test_no_terminal);
	g_test_add_data_func("/terminal/exit", GINT_TO_POINTER(BY_EXIT), test_ending);
	g_test_add_data_func("/terminal/signal", GINT_TO_POINTER(BY_SIGNAL), test_ending);
	return g_test_run();
}
