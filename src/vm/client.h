/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks a running VM by its control socket, and waits for the answers: for the verbs. */
#ifndef VIV_VM_CLIENT_H
#define VIV_VM_CLIENT_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

struct client;

/* The VM of that name; the error says where there is none. */
struct client *client_open(const char *name, GError **error);
void client_close(struct client *client);

/* What the command returned; the error is the VM's own, or that it does not answer. `arguments` is
 * taken and may be NULL. */
JsonObject *client_call(struct client *client, const char *command, JsonObject *arguments,
			GError **error);
/* A request's line, without its end; the answer's. */
char *client_exchange(struct client *client, const char *line, GError **error);
/* Waits for the VM's end, at most so many seconds (-1: for good); whether it has come. */
bool client_wait_end(struct client *client, int seconds);

#endif
