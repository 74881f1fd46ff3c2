/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the bytes of a transfer are in memory: a part of some vectors. A value; owns nothing. */
#ifndef VIV_BLOCK_SPAN_H
#define VIV_BLOCK_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct span {
	const struct iovec *iov;
	unsigned n_iov;
	size_t skip;  /* bytes of the first vector that come before; less than it has */
	uint64_t len; /* no more than what the vectors have after them */
};

/* All of some vectors, empty ones among them or not. */
struct span span_all(const struct iovec *iov, unsigned n_iov);
/* `len` bytes of it, from the from-th on; they are there. */
struct span span_part(struct span span, uint64_t from, uint64_t len);
/* Its first vectors, up to `max`; returns how many. */
unsigned span_iov(struct span span, struct iovec *out, unsigned max);
void span_load(struct span from, void *to);	   /* span->len bytes out of it */
void span_store(struct span to, const void *from); /* into it */
void span_zero(struct span to);
/* Whether each vector's address and length is a multiple of `align`. */
bool span_is_aligned(struct span span, unsigned align);
bool span_is_zero(struct span span);

/* The span of one buffer, which lives as long as the vector that the macro makes: the enclosing
 * block. */
#define SPAN(buf, bytes) \
	((struct span){.iov = &(struct iovec){(void *)(buf), (bytes)}, .n_iov = 1, .len = (bytes)})

#endif
