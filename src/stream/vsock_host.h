/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of a VM's vsock, by Unix sockets, as Firecracker and Cloud Hypervisor have it. A program that wants a port of
 * the guest's connects to PATH and writes "CONNECT PORT\n"; it reads "OK PORT\n" once the guest has taken it.
 * A guest that wants a port of the host's gets to PATH_PORT, where somebody listens.
 *
 * Connections are non-blocking sockets, which are the sink's, the device's: it reads, writes and closes them. All functions but
 * new, set_sink and free from any thread.
 */
#ifndef VIV_STREAM_VSOCK_HOST_H
#define VIV_STREAM_VSOCK_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct vsock_host;

/* On the loop thread, without a lock. */
struct vsock_host_sink {
	/* A program wants the port; the socket is the sink's. */
	void (*incoming)(void *opaque, int fd, uint32_t port);
	/* What vsock_host_watch() asked for has come, or the other end is gone. The socket of that id may be closed
	 * already. */
	void (*ready)(void *opaque, uint32_t id);
	void *opaque;
};

/* The socket is the user's alone; the error does not name who wanted it. */
struct vsock_host *vsock_host_new(GMainContext *context, const char *path, GError **error);
/* Removes the path. NULL is fine. */
void vsock_host_free(struct vsock_host *host);
/* NULL: none, as at the beginning: who connects is turned away. */
void vsock_host_set_sink(struct vsock_host *host, const struct vsock_host_sink *sink);

/* A socket to the host's port, or -1: nobody listens there. */
int vsock_host_connect(struct vsock_host *host, uint32_t port);
/* Has ready() called once, when there is something to read, or room to write, or nobody any more. The first
 * call for a socket introduces it. */
void vsock_host_watch(struct vsock_host *host, int fd, uint32_t id, bool in, bool out);

#endif
