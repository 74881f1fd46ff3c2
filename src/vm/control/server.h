/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket that a running VM answers at, to several peers at a time. Loop thread. */
#ifndef VIV_VM_CONTROL_SERVER_H
#define VIV_VM_CONTROL_SERVER_H

#include <glib.h>

struct vm;
struct control_server;

/* Listens at `path`. The VM may be freed before the server, where the context does not run in
 * between. */
struct control_server *control_server_new(const char *path, GMainContext *context, struct vm *vm,
					  GError **error);
/* Peers learn of the VM's end by this. Does not remove the path. */
void control_server_free(struct control_server *server);

#endif
