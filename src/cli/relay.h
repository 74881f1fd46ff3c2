/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard input and output on a socket. */
#ifndef VIV_CLI_RELAY_H
#define VIV_CLI_RELAY_H

#include <stdbool.h>
#include <stddef.h>

/* All of it, also to a descriptor that does not block. */
bool relay_write(int fd, const char *bytes, size_t len);
/* Copies both ways until both have sent all, or the socket's other end is closed. */
bool relay_run(int fd);

#endif
