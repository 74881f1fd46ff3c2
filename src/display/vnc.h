/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VNC server (RFB, RFC 6143) for a VM's screen, keyboard and pointer.
 *
 * The library that speaks the protocol blocks while it writes, so it has a thread of its own, and a
 * client that does not read holds up other clients at most. The loop thread brings the picture up
 * to date and copies what changed, thirty times a second while somebody is connected, and gives
 * input to the guest.
 *
 * Threads: the functions on the loop thread, which runs `context`.
 */
#ifndef VIV_DISPLAY_VNC_H
#define VIV_DISPLAY_VNC_H

#include <gio/gio.h>

#include "display/display.h"
#include "display/input.h"

struct vnc;

/*
 * Serves connections to `listen_fd`, a listening stream socket that becomes the server's. Who may
 * connect is the socket's business; `password`, of which the protocol takes 8 characters and does
 * not hide them well, is asked for if it is not NULL. With a certificate all connections are TLS
 * sessions (VeNCrypt); without, nothing is encrypted. NULL with the error set where the host
 * has no libvncserver.
 */
struct vnc *vnc_new(GMainContext *context, struct display *display, struct input *input,
		    int listen_fd, const char *password, GTlsCertificate *certificate,
		    GError **error);
void vnc_free(struct vnc *vnc);

#endif
