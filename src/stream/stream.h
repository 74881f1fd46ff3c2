/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes between a device and the host: a serial port's other end.
 *
 * Both directions are fixed-size rings, so a slow host never blocks the guest and
 * a flooding guest never fills the host's memory. The device side runs on vCPU
 * threads; the host side runs on the loop thread.
 *
 * A device writes with stream_write() and reads with stream_read(); the readable
 * callback is called on the loop thread when bytes have arrived for it.
 *
 * Output that finds its ring full waits for the host a bounded time, so that a live
 * reader loses nothing; after one such wait was in vain the stream is stalled and
 * drops at once, and counts, until there is room again.
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
 * End of file on `in_fd` ends input and nothing else. Either descriptor may be -1. Their
 * O_NONBLOCK flag, which other programs may share, is left as it is. The program ignores
 * SIGPIPE: a reader that went away ends output and nothing else.
 */
struct stream *stream_new_fd(GMainContext *context, int in_fd, int out_fd, int escape,
			     void (*on_escape)(void *opaque), void *opaque);
/*
 * A Unix socket at `path`, the user's alone, that one client at a time connects to; the error does
 * not name who wanted it. While none is connected the last 64 KiB of output are kept for the next. A
 * client that hangs up ends nothing.
 */
struct stream *stream_new_listen(GMainContext *context, const char *path, GError **error);
/* Writes out what is queued, for at most a second, and frees. Does not close the descriptors it was given. */
void stream_free(struct stream *stream);

/* Device side. */
size_t stream_read(struct stream *stream, uint8_t *buf, size_t len);
size_t stream_write(struct stream *stream, const uint8_t *buf, size_t len);
void stream_set_readable(struct stream *stream, void (*readable)(void *opaque), void *opaque);
/*
 * For devices that can wait instead of losing output: whether all of `len` bytes, at most STREAM_ROOM, would be taken now. If
 * not, changed() is called once they would.
 */
#define STREAM_ROOM 65536u
bool stream_has_room(struct stream *stream, size_t len);
/* Whether somebody is at the other end, as far as the stream can know. */
bool stream_connected(struct stream *stream);
/* Of the terminal at the other end; false: there is none, or it has not said. */
bool stream_size(struct stream *stream, uint16_t *columns, uint16_t *rows);
/* Called on the loop thread, without a lock: one of these three may answer otherwise than before. */
void stream_set_changed(struct stream *stream, void (*changed)(void *opaque), void *opaque);
/* Output bytes dropped so far. */
uint64_t stream_dropped(struct stream *stream);

/* Host side. */
size_t stream_host_read(struct stream *stream, uint8_t *buf, size_t len);
size_t stream_host_write(struct stream *stream, const uint8_t *buf, size_t len);
void stream_host_resize(struct stream *stream, uint16_t columns, uint16_t rows);

#endif
