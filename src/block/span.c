/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/span.h"

#include <glib.h>
#include <string.h>

struct span span_all(const struct iovec *iov, unsigned n_iov)
{
	struct span span = {.iov = iov, .n_iov = n_iov};

	for (unsigned i = 0; i < n_iov; i++)
		span.len += iov[i].iov_len;
	return span;
}

struct span span_part(struct span span, uint64_t from, uint64_t len)
{
	g_assert(from <= span.len && len <= span.len - from);
	from += span.skip;
	while (span.n_iov && from >= span.iov->iov_len) {
		from -= span.iov->iov_len;
		span.iov++;
		span.n_iov--;
	}
	span.skip = from;
	span.len = len;
	return span;
}

unsigned span_iov(struct span span, struct iovec *out, unsigned max)
{
	unsigned n = 0;

	for (; span.len && n < max; span.iov++) {
		size_t len = MIN(span.iov->iov_len - span.skip, span.len);

		if (len)
			out[n++] = (struct iovec){(uint8_t *)span.iov->iov_base + span.skip, len};
		span.len -= len;
		span.skip = 0;
	}
	return n;
}

/* Takes the first piece off; false: there is none. */
static bool take(struct span *span, struct iovec *piece)
{
	if (!span_iov(*span, piece, 1))
		return false;
	*span = span_part(*span, piece->iov_len, span->len - piece->iov_len);
	return true;
}

void span_load(struct span from, void *to)
{
	uint8_t *at = to;

	for (struct iovec piece; take(&from, &piece); at += piece.iov_len)
		memcpy(at, piece.iov_base, piece.iov_len);
}

void span_store(struct span to, const void *from)
{
	const uint8_t *at = from;

	for (struct iovec piece; take(&to, &piece); at += piece.iov_len)
		memcpy(piece.iov_base, at, piece.iov_len);
}

void span_zero(struct span to)
{
	for (struct iovec piece; take(&to, &piece);)
		memset(piece.iov_base, 0, piece.iov_len);
}

bool span_is_aligned(struct span span, unsigned align)
{
	if (align == 1)
		return true;
	for (struct iovec piece; take(&span, &piece);)
		if ((uintptr_t)piece.iov_base % align || piece.iov_len % align)
			return false;
	return true;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	/* The first bytes by themselves; then each equals the one that many before it. */
	size_t head = MIN(len, 16);

	for (size_t i = 0; i < head; i++)
		if (bytes[i])
			return false;
	return !memcmp(bytes, bytes + head, len - head);
}

bool span_is_zero(struct span span)
{
	for (struct iovec piece; take(&span, &piece);)
		if (!is_zero(piece.iov_base, piece.iov_len))
			return false;
	return true;
}
