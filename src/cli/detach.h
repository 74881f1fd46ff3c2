/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that goes on in the background once it has started. Until then it has the caller's
 * standard error and exit status: whatever is wrong is said as in the foreground.
 */
#ifndef VIV_CLI_DETACH_H
#define VIV_CLI_DETACH_H

#include <glib.h>
#include <stdbool.h>

/*
 * Before there are threads. Returns true in the new process, in a session of its own, with `fd` for
 * the calls below. Where the program was called it returns false, once one of these was
 * made, with the exit status.
 */
bool detach_fork(int *fd, int *status, GError **error);
/* It has started: the caller prints the name and ends well. Standard input and outputs are
 * nobody's. */
void detach_ready(int fd, const char *name);
/* It has failed, and said why. */
void detach_fail(int fd, int status);

#endif
