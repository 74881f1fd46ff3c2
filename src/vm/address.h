/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a VM listens for a front end, as users write it: unix:PATH, a socket of the user's alone, or
 * tcp:127.0.0.1:PORT. Other hosts are never served.
 */
#ifndef VIV_VM_ADDRESS_H
#define VIV_VM_ADDRESS_H

#include <glib.h>
#include <stdbool.h>

/* The error says what to write. */
bool address_check(const char *address, GError **error);
/* A listening socket, non-blocking and closed on exec; -1 with the error set. The address was checked. */
int address_listen(const char *address, GError **error);
/* The path of a Unix socket; NULL: it is a port. */
const char *address_path(const char *address);
/* Closes the socket, and removes its path. -1 is fine. */
void address_close(const char *address, int fd);

#endif
