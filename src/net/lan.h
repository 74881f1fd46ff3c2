/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A private network: the machines of one user that name the same folder, without a process of its own. Each
 * member listens at a socket in the folder and connects to those that are there when it comes; between any
 * two there is one connection, and a message on it is a frame with its offloads. Members send to the one
 * that a MAC was heard from, to all where it was not, and pass nothing on.
 *
 * Other members may die, lie or stall: what one does not take is queued up to a bound and then lost, what
 * is no message ends the connection, and a MAC stays with the member that was heard from it as long as that
 * goes on sending.
 *
 * Threads: the loop's.
 */
#ifndef VIV_NET_LAN_H
#define VIV_NET_LAN_H

#include <glib.h>

struct net_port;
struct lan;

#define LAN_MAX_PEERS	  256u
#define LAN_MAX_PEER_MACS 64u	     /* learnt of one; others are sent to as unknown ones are */
#define LAN_QUEUE_BYTES	  (4u << 20) /* towards one */

/* Makes the folder, in one that is the user's alone. */
struct lan *lan_new(GMainContext *context, const char *folder, GError **error);
void lan_free(struct lan *lan);
/* The other end of the card's cable; the network's. */
struct net_port *lan_port(struct lan *lan);
unsigned lan_n_peers(const struct lan *lan);
/* Where this member listens. */
const char *lan_path(const struct lan *lan);

/* A message, little-endian: version, offload as in struct net_offload, frame. */
#define LAN_VERSION    0x3176u /* "v1" */
#define LAN_HEADER_LEN 12u

#endif
