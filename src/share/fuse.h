/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FUSE, as Linux speaks it to virtiofs, a message at a time, without threads or queues. Seen in this folder and by its tests. Any thread. */
#ifndef VIV_SHARE_FUSE_H
#define VIV_SHARE_FUSE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct fuse;

struct fuse *fuse_new(const char *path, bool read_only, GError **error);
void fuse_free(struct fuse *fuse);
/* Closes what the client has open, and forgets what it knows. */
void fuse_reset(struct fuse *fuse);

/* Bytes of reply; 0: no message, none that has a reply, or no room. Vectors have at most SHARE_MAX_IOV members; who has more
 * loses the rest. */
uint32_t fuse_serve(struct fuse *fuse, const struct iovec *out, unsigned n_out, const struct iovec *in, unsigned n_in);

#endif
