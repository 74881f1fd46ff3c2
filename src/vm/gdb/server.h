/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket that a gdb connects to, one at a time. While one is connected it has the guest in
 * hand: connecting stops the guest, losing the connection lets it run on. Loop thread.
 */
#ifndef VIV_VM_GDB_SERVER_H
#define VIV_VM_GDB_SERVER_H

#include <glib.h>
#include <stdbool.h>

#include "vm/gdb/session.h"

struct gdb_server;

/* Listens at an address that was checked (vm/address.h). It, target and context outlive the server. */
struct gdb_server *gdb_server_new(const char *address, GMainContext *context,
				  const struct gdb_target *target, GError **error);
void gdb_server_free(struct gdb_server *server);

/* A vCPU may have stopped. */
void gdb_server_poll(struct gdb_server *server);
/* The VM has ended: tells gdb by this stop reply, W or X, and closes the connection. */
void gdb_server_end(struct gdb_server *server, const char *reply);

#endif
