/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes between a device and the host: a serial port's other end.
 *
 * Both directions are fixed-size rings, so a slow host never blocks the guest and
 * a flooding guest never fills the host's memory. The device side runs on vCPU
 * threads; the host side runs on the loop thread.
 *
 * A device writes with stream_write() (bytes that do not fit in time are dropped
 * and counted) and reads with stream_read(); the readable callback is called on the
 * loop thread when bytes have arrived for it.
 */
#ifndef VIV_STREAM_STREAM_H
#define VIV_STREAM_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

/* Not connected to anything: output can be taken with stream_host_read(), input
 * given with stream_host_write(); for tests and for front ends that come and go. */
struct stream *stream_new(void);
/*
 * Connected to file descriptors served by the main context (the loop thread's).
 * `escape`: a byte that is not passed on but calls `on_escape` (Ctrl-] leaves); -1 for none.
 * End of file on `in_fd` ends input and nothing else.
 */
struct stream *stream_new_fd(GMainContext *context, int in_fd, int out_fd, int escape,
			     void (*on_escape)(void *opaque), void *opaque);
/* Writes out what is queued, for at most a second, and frees. Does not close the descriptors. */
void stream_free(struct stream *stream);

/* Device side. */
size_t stream_read(struct stream *stream, uint8_t *buf, size_t len);
size_t stream_write(struct stream *stream, const uint8_t *buf, size_t len);
void stream_set_readable(struct stream *stream, void (*readable)(void *opaque), void *opaque);

/* Host side. */
size_t stream_host_read(struct stream *stream, uint8_t *buf, size_t len);
size_t stream_host_write(struct stream *stream, const uint8_t *buf, size_t len);

#endif
