/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User mode: a network of the guest's own, behind which libslirp opens the user's sockets for each
 * connection, without any right of root's. It answers DHCP and DNS, and lets hosts reach the guest by
 * forwarded ports.
 *
 * Threads: the loop's.
 */
#ifndef VIV_NET_USER_H
#define VIV_NET_USER_H

#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct net_port;
struct user_net;

#define USER_NET_MTU_MIN     576u /* RFC 791 */
#define USER_NET_MTU_DEFAULT 1500u
#define USER_NET_MTU_MAX     9000u
#define USER_NET_PREFIX_MIN  8u
#define USER_NET_PREFIX_MAX  27u /* of which the guest is number 15 */

struct user_forward {
	bool udp;
	struct in_addr host;
	uint16_t host_port; /* 0: a free one */
	uint16_t guest_port;
};

struct user_config {
	struct in_addr network; /* in network order, like all of these */
	unsigned prefix;
	bool restricted; /* the guest reaches nothing but answers to forwards */
	bool no_host;	 /* the gateway's address is not the host's loopback */
	bool no_ipv6;
	unsigned mtu;
	const char *hostname;	   /* NULL: DHCP gives none */
	const char *const *search; /* DNS; NULL: none */
	const char *tftp;	   /* folder served by TFTP; NULL: none */
	const char *bootfile;	   /* in it; NULL: none */
};

/* 10.0.2.0/24: gateway and host 2, DNS 3, guest 15. */
void user_config_init(struct user_config *config);
struct user_net *user_net_new(GMainContext *context, const struct user_config *config);
void user_net_free(struct user_net *net);
/* The other end of the card's cable; the network's. */
struct net_port *user_net_port(struct user_net *net);
/* The address that DHCP gives to the guest. */
struct in_addr user_net_guest(const struct user_net *net);
/* Sets the port where it was 0. */
bool user_net_forward(struct user_net *net, struct user_forward *forward, GError **error);
/* [ADDRESS:]HOSTPORT:GUESTPORT[/udp|/tcp] */
bool user_forward_parse(struct user_forward *forward, const char *text, GError **error);

#endif
