/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/iov.h"

#include <string.h>

#include "mem/mem.h"

uint64_t iov_len(const struct iovec *iov, unsigned n)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

size_t iov_read(const struct iovec *iov, unsigned n, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t run = MIN(iov[i].iov_len, len - done);

		memcpy((uint8_t *)buf + done, iov[i].iov_base, run);
		done += run;
	}
	return done;
}

static void written(struct mem *mem, const void *hva, size_t len)
{
	mem_written(mem, (const uint8_t *)hva - mem->base, len);
}

size_t iov_write(struct mem *mem, const struct iovec *iov, unsigned n, const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t run = MIN(iov[i].iov_len, len - done);

		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, run);
		written(mem, iov[i].iov_base, run);
		done += run;
	}
	return done;
}

void iov_written(struct mem *mem, const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		written(mem, iov[i].iov_base, iov[i].iov_len);
}

void iov_cut_front(struct iovec **iov, unsigned *n, uint64_t len)
{
	while (*n && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
}

void iov_cut_back(struct iovec *iov, unsigned *n, uint64_t len)
{
	while (*n && len >= iov[*n - 1].iov_len)
		len -= iov[--*n].iov_len;
	if (*n)
		iov[*n - 1].iov_len -= len;
}
