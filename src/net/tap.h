/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap interface of the host, made here or given, with offloads passing both ways. Threads: the loop's.
 */
#ifndef VIV_NET_TAP_H
#define VIV_NET_TAP_H

#include <glib.h>

struct net_port;
struct tap;

struct tap_config {
	const char *name;   /* NULL: the kernel chooses, vivN */
	const char *bridge; /* that it becomes a port of, made where it is not there; NULL: none */
};

/* The error says which `ip` commands make what is missing, where the user may not. */
struct tap *tap_new(GMainContext *context, const struct tap_config *config, GError **error);
void tap_free(struct tap *tap);
/* The other end of the card's cable; the tap's. */
struct net_port *tap_port(struct tap *tap);
/* The interface's name. */
const char *tap_name(const struct tap *tap);

#endif
