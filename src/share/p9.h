/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 9P2000.L, a message at a time, without threads or queues. Seen in this folder and by its tests. Any thread. */
#ifndef VIV_SHARE_P9_H
#define VIV_SHARE_P9_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct p9;

struct p9 *p9_new(const char *path, bool read_only, GError **error);
void p9_free(struct p9 *p9);
/* Closes what the client has open. */
void p9_reset(struct p9 *p9);

/* A message's tag; 0xffff where it is too short for one. */
uint16_t p9_tag(const struct iovec *out, unsigned n_out);
/* Whether it is Tflush, and of what tag. */
bool p9_is_flush(const struct iovec *out, unsigned n_out, uint16_t *tag);
/* Bytes of reply; 0: no message, or no room. Vectors have at most SHARE_MAX_IOV members; who has more loses the rest. */
uint32_t p9_serve(struct p9 *p9, const struct iovec *out, unsigned n_out, const struct iovec *in,
		  unsigned n_in);
/* Rflush. */
uint32_t p9_flushed(const struct iovec *in, unsigned n_in, uint16_t tag);

#endif
