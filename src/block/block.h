/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk of a VM: requests in, completions out. Reads and writes of bytes that stand in a file of
 * the host as they are go there by io_uring, where the host lets us; the rest is done on an image
 * by synchronous format code (block/image.h) on worker threads.
 *
 * Threads: block_submit() from any thread, never blocks on I/O. A request's done() runs on a
 * thread of the disk. The caller owns the request and its buffers until then. Requests in flight
 * together are carried out in any order. Each is checked against the disk: one past its end,
 * unaligned, or writing to a read-only disk ends with an error.
 * Durability: a completed write may be lost by a power cut until a flush that was
 * submitted after its completion has completed.
 */
#ifndef VIV_BLOCK_BLOCK_H
#define VIV_BLOCK_BLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "block/image.h"
#include "block/throttle.h"

#define BLOCK_SECTOR_SIZE IMAGE_SECTOR_SIZE

struct block;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES, BLOCK_N_OPS };

struct block_request {
	enum block_op op;
	uint64_t offset; /* bytes; a multiple of the sector size */
	uint64_t len;	 /* bytes; for read and write the sum of the iovecs */
	const struct iovec *iov;
	unsigned n_iov;
	/* status: 0 or a negative errno. */
	void (*done)(struct block_request *request, int status);
	void *opaque;

	/* The disk's own, while it is in flight. */
	struct block_request *next;
	int64_t start_ns;
	int fd; /* of the file where its bytes stand */
	uint64_t file_offset;
};

struct block_stats {
	struct block_count {
		uint64_t requests, bytes, errors; /* that have ended; bytes of those without error */
		uint64_t ns;			  /* from submission to end, all together */
	} ops[BLOCK_N_OPS];
	uint64_t by_ring; /* requests that needed no worker */
	unsigned in_flight, held; /* now; by the limits, of those */
};

struct block_options {
	struct image_open image;
	const char *name; /* by which users know it; NULL: none */
	GMutex *gate; /* held while a request is carried out and its done() runs; NULL: none */
	bool no_discard;   /* discards succeed and do nothing */
	bool workers_only; /* no io_uring */
	struct block_limits limits;
};

/* The image is locked against other VMs: one writer or many readers. A disk that cannot be
 * written is refused, not quietly opened read-only. */
struct block *block_open(const struct block_options *options, GError **error);
/* Waits for what is in flight, flushes and closes. */
void block_close(struct block *block);
uint64_t block_size(const struct block *block); /* bytes, a multiple of the sector size */
bool block_read_only(const struct block *block);
void block_submit(struct block *block, struct block_request *request);
/* Between them requests may wait, so that they go to the host together. They nest; both are cheap. */
void block_plug(struct block *block);
void block_unplug(struct block *block);
/* From now on, for what waits, too. Flushes are never held; a discard is one write of no bytes. */
void block_set_limits(struct block *block, const struct block_limits *limits);
void block_get_limits(struct block *block, struct block_limits *limits);
void block_get_stats(struct block *block, struct block_stats *stats);
const char *block_name(const struct block *block);
const struct image *block_image(const struct block *block);
/* Returns once no request is in flight and every done() has returned; the limits do not hold
 * what is in flight then. The caller holds no lock that a done() takes. */
void block_drain(struct block *block);

#endif
