/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes of host files by io_uring: a thread that gives the kernel all that has come
 * together by one system call, and takes what is done from it. Seen in this folder only.
 *
 * The ring is the thread's own: those who push leave their request in a list and, where the thread
 * sleeps, wake it. So a vCPU never copies what the page cache holds, and the kernel needs to
 * interrupt nobody.
 *
 * Threads: any; done() runs on the ring's.
 */
#ifndef VIV_BLOCK_RING_H
#define VIV_BLOCK_RING_H

#include <stdbool.h>

struct block_request;
struct ring;

/* `result`: bytes, fewer than asked for perhaps, or a negative errno. */
typedef void (*ring_done_fn)(void *opaque, struct block_request *request, int result);

/* NULL: the kernel, or who watches over this process, has none for us. */
struct ring *ring_new(ring_done_fn done, void *opaque);
/* Nothing is in flight. NULL is fine. */
void ring_free(struct ring *ring);
/* A read or write at request->fd and request->file_offset. */
void ring_push(struct ring *ring, struct block_request *request);
/* Between them what is pushed waits, so that it goes together. They nest. */
void ring_plug(struct ring *ring);
void ring_unplug(struct ring *ring);
/* What waits goes now. */
void ring_kick(struct ring *ring);

#endif
