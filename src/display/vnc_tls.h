/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS for VNC: VeNCrypt (RFB security type 19), subtypes X509None and X509Vnc, in front of a server
 * that speaks RFB in the clear.
 *
 * The server's library has TLS for WebSockets only, so this is a relay: it greets a viewer, makes the TLS session,
 * introduces itself to the server on a socket of its own as a viewer would, and carries bytes
 * from then on. A password is the server's to ask for, inside the session.
 *
 * Threads: the functions on the loop thread. A viewer has two threads of its own, one a direction, which wait on
 * it and on nothing else.
 */
#ifndef VIV_DISPLAY_VNC_TLS_H
#define VIV_DISPLAY_VNC_TLS_H

#include <gio/gio.h>
#include <stdbool.h>

struct vnc_tls;

/* The certificate and its key in a PEM file; NULL with an error that tells how to make one. */
GTlsCertificate *vnc_tls_load(const char *path, GError **error);

/* Takes over a listening socket. `serve` is given the server's end of each viewer's connection, which becomes its own,
 * on any thread. */
struct vnc_tls *vnc_tls_new(GMainContext *context, int listen_fd, GTlsCertificate *certificate, bool password,
			    void (*serve)(void *opaque, int fd), void *opaque);
/* Ends all connections. */
void vnc_tls_free(struct vnc_tls *tls);

#endif
