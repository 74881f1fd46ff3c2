/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix stream sockets that only the user can reach, non-blocking and closed on exec. Errors
 * name the path and say what to do.
 */
#ifndef VIV_BASE_LOCAL_SOCKET_H
#define VIV_BASE_LOCAL_SOCKET_H

#include <glib.h>
#include <stdbool.h>

/* Whether a socket's address can hold the path. */
bool local_socket_check(const char *path, GError **error);
/* Listens at the path, mode 0600, in place of a socket there that nobody listens on any more; -1
 * with the error set. Who closes the descriptor removes the path. */
int local_socket_listen(const char *path, int backlog, GError **error);
/* Connects, where many want to after at most so many seconds; -1 with errno set. */
int local_socket_connect(const char *path, int timeout_s);
/* The next connection, of any kind of socket, or -1. */
int local_socket_accept(int listen_fd);

#endif
