/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's message as it is answered, whatever its protocol: numbers are little-endian, and follow one another.
 * Its beginning is read once, into a private copy; data stays where it is. Seen in this folder only. One thread.
 */
#ifndef VIV_SHARE_MESSAGE_H
#define VIV_SHARE_MESSAGE_H

#include <stdbool.h>

#include "share/share.h"

enum {
	MESSAGE_MAX_REQUEST = 8192, /* without data to be written; 9P's Twalk of 16 names is the longest */
	MESSAGE_MAX_REPLY = 32768,  /* without data that was read */
};

struct message {
	const struct iovec *out, *in;
	unsigned n_out, n_in;
	uint32_t size;		 /* data and all */
	uint64_t room;		 /* for the reply */
	const uint8_t *at, *end; /* what of the copy is still to be read */
	bool bad;		 /* it ended too early, or a string is none */
	uint32_t reply_len;	 /* so far, header and all */
	uint32_t data_len;	 /* of the reply, which lies in the room already */
	uint8_t request[MESSAGE_MAX_REQUEST], reply[MESSAGE_MAX_REPLY];
	struct iovec slice[SHARE_MAX_IOV];
};

/* The copy, and room; how much was copied. Protocols set size, at, end and reply_len, once they know the header. */
size_t message_init(struct message *m, const struct iovec *out, unsigned n_out, const struct iovec *in, unsigned n_in);
/* The next of the message; zero and m->bad past its end. */
uint64_t message_get(struct message *m, unsigned bytes);
void message_get_bytes(struct message *m, void *to, size_t len);
/* Appends to the reply, which has room for all that is not a list. */
void message_put(struct message *m, uint64_t value, unsigned bytes);
void message_put_bytes(struct message *m, const void *from, size_t len);
/* `len` bytes of a vector from `from` on, as m->slice; how many members. */
unsigned message_slice(struct message *m, const struct iovec *iov, unsigned n, size_t from, size_t len);
/* The reply, once it is made. */
void message_send(struct message *m);

/* Copy from and to a vector, as far as that goes. */
size_t message_gather(const struct iovec *iov, unsigned n, void *buf, size_t len);
size_t message_scatter(const struct iovec *iov, unsigned n, const void *buf, size_t len);

#endif
