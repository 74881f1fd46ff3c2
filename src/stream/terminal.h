/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's terminal in raw mode while a guest's console is attached to it.
 *
 * Whatever ends the program must give the terminal back. terminal_raw() covers exit();
 * for signals the caller has terminal_restore(), which is safe in a signal handler: the
 * loop calls it on SIGTERM, SIGHUP and SIGINT, and the owner of SIGSEGV, SIGBUS and SIGABRT
 * calls it before it lets a crash take its course.
 */
#ifndef VIV_STREAM_TERMINAL_H
#define VIV_STREAM_TERMINAL_H

#include <glib.h>
#include <stdbool.h>

/* Makes `fd` raw: every byte passes as it is, both ways. A descriptor that is no terminal is
 * left alone, and that is no error. One terminal at a time; loop thread. */
bool terminal_raw(int fd, GError **error);
/* Gives back what terminal_raw() found; any thread, any number of times, in signal handlers. */
void terminal_restore(void);

#endif
