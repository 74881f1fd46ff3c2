/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder of the host's that a guest may use: a file server of one of the two protocols that Linux speaks, FUSE as of virtiofs
 * (its include/uapi/linux/fuse.h) and 9P2000.L (Documentation/filesystems/9p.rst). Bytes in, bytes out; how they travel
 * is the device's.
 *
 * The guest never gets outside of the folder. It names files in a folder by single names, and symbolic links are its
 * own to follow. It reads and writes regular files and lists folders; what else lies there it sees, and may rename
 * and remove.
 *
 * Files are the host user's own: the guest sees the host's owners and modes; a change of owner that the host refuses comes
 * to nothing, without an error, and no file gets a set-user-ID or set-group-ID bit.
 *
 * Threads: any. Requests are worked on by threads of the share's own.
 */
#ifndef VIV_SHARE_SHARE_H
#define VIV_SHARE_SHARE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct share;

enum share_protocol { SHARE_FUSE, SHARE_9P };

/* NULL with the error set: no folder, or not the user's to read. */
struct share *share_open(const char *path, enum share_protocol protocol, bool read_only, GError **error);
/* After share_drain(). NULL is fine. */
void share_close(struct share *share);

#define SHARE_MAX_IOV 1024

/* A message of the client's, and room for the reply. The memory may change under us. */
struct share_request {
	const struct iovec *out, *in; /* at most SHARE_MAX_IOV of each are used */
	unsigned n_out, n_in;
	/* On a worker, which no longer needs the request: `len` bytes of reply; 0: what came was no message, or one
	 * of FUSE that has no reply, or there is no room for a reply. */
	void (*done)(struct share_request *request, uint32_t len);
	void *opaque;
};

void share_submit(struct share *share, struct share_request *request);
void share_drain(struct share *share);
/* Forgets the client: all of its files are closed. While nothing is in flight, but perhaps a done(). */
void share_reset(struct share *share);

#endif
