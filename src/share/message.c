/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "share/message.h"

#include <string.h>

size_t message_gather(const struct iovec *iov, unsigned n, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t run = MIN(iov[i].iov_len, len - done);

		memcpy((uint8_t *)buf + done, iov[i].iov_base, run);
		done += run;
	}
	return done;
}

size_t message_scatter(const struct iovec *iov, unsigned n, const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t run = MIN(iov[i].iov_len, len - done);

		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, run);
		done += run;
	}
	return done;
}

static uint64_t length(const struct iovec *iov, unsigned n)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

size_t message_init(struct message *m, const struct iovec *out, unsigned n_out, const struct iovec *in, unsigned n_in)
{
	/* All but the buffers. */
	memset(m, 0, offsetof(struct message, request));
	m->out = out;
	m->n_out = MIN(n_out, SHARE_MAX_IOV);
	m->in = in;
	m->n_in = MIN(n_in, SHARE_MAX_IOV);
	m->size = MIN(length(m->out, m->n_out), UINT32_MAX);
	m->room = length(m->in, m->n_in);
	return message_gather(m->out, m->n_out, m->request, sizeof(m->request));
}

uint64_t message_get(struct message *m, unsigned bytes)
{
	uint64_t value = 0;

	message_get_bytes(m, &value, bytes);
	return value;
}

void message_get_bytes(struct message *m, void *to, size_t len)
{
	if ((size_t)(m->end - m->at) < len) {
		m->bad = true;
		memset(to, 0, len);
		return;
	}
	memcpy(to, m->at, len);
	m->at += len;
}

void message_put(struct message *m, uint64_t value, unsigned bytes)
{
	message_put_bytes(m, &value, bytes);
}

void message_put_bytes(struct message *m, const void *from, size_t len)
{
	g_assert(m->reply_len + len <= sizeof(m->reply));
	memcpy(m->reply + m->reply_len, from, len);
	m->reply_len += len;
}

unsigned message_slice(struct message *m, const struct iovec *iov, unsigned n, size_t from, size_t len)
{
	unsigned to = 0;

	for (unsigned i = 0; i < n && len; i++) {
		size_t skip = MIN(from, iov[i].iov_len), run = MIN(iov[i].iov_len - skip, len);

		from -= skip;
		len -= run;
		if (run)
			m->slice[to++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, run};
	}
	return to;
}

void message_send(struct message *m)
{
	message_scatter(m->in, m->n_in, m->reply, m->reply_len);
}
