/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs of guest RAM as host memory: what devices make of descriptors and page lists. Any thread. */
#ifndef VIV_MEM_IOV_H
#define VIV_MEM_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct mem;

uint64_t iov_len(const struct iovec *iov, unsigned n);
/* Copy from and to the vector's start, and say how much. */
size_t iov_read(const struct iovec *iov, unsigned n, void *buf, size_t len);
/* The writers' side tells mem of it. */
size_t iov_write(struct mem *mem, const struct iovec *iov, unsigned n, const void *buf, size_t len);
void iov_written(struct mem *mem, const struct iovec *iov, unsigned n);
/* Take `len` bytes off one end, at most what there is; the front moves *iov and *n on. */
void iov_cut_front(struct iovec **iov, unsigned *n, uint64_t len);
void iov_cut_back(struct iovec *iov, unsigned *n, uint64_t len);

#endif
