/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The networks that a VM's cards are on: for each card a cable, its filters (capture, firewall, rate limit, seen from
 * the card), and what is at the cable's other end. Loop thread.
 */
#ifndef VIV_VM_NETS_H
#define VIV_VM_NETS_H

#include <json-glib/json-glib.h>

#include "vm/config.h"

struct nets;

/* As the configuration says; the error names the option. */
struct nets *nets_new(const struct vm_config *config, GMainContext *context, GError **error);
/* When the cards have gone. */
void nets_free(struct nets *nets);
/* The card's end of its cable; NULL: it has none. */
struct net_port *nets_port(const struct nets *nets, unsigned index);

/* An array of the cards: what they are, what they are on, which ports are forwarded. */
JsonArray *nets_describe(const struct nets *nets);
/* The rules of all cards, and for each card what became of frames and rules. */
void nets_describe_firewall(const struct nets *nets, JsonObject *answer);
/* New rules for all cards, in the lines of net/firewall.h; none: everything passes. */
bool nets_set_firewall(struct nets *nets, const char *text, GError **error);
/* NULL: ends the capture. */
bool nets_capture(struct nets *nets, const char *path, GError **error);
void nets_describe_capture(const struct nets *nets, JsonObject *answer);

#endif
