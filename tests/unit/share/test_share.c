/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests on the share's own threads; what Tflush waits for. */
#include "client.h"
#include "share/share.h"

struct message {
	struct share_request request;
	uint8_t out[4096], in[4096];
	struct iovec out_iov, in_iov;
	unsigned order; /* of the reply; from 1 */
};

static GMutex lock;
static unsigned n_done;

static void on_done(struct share_request *request, uint32_t len)
{
	struct message *m = request->opaque;

	g_mutex_lock(&lock);
	m->order = ++n_done;
	g_assert_cmpuint(len, ==, le32_load(m->in));
	g_mutex_unlock(&lock);
}

static void send(struct share *share, struct message *m, uint8_t type, uint16_t tag, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	m->out_iov = (struct iovec){m->out, make_message(m->out, type, tag, format, args)};
	va_end(args);
	m->in_iov = (struct iovec){m->in, sizeof(m->in)};
	m->order = 0;
	m->request = (struct share_request){&m->out_iov, &m->in_iov, 1, 1, on_done, m};
	share_submit(share, &m->request);
}

static void test_many(void)
{
	g_autofree char *path = g_dir_make_tmp("viv-share-XXXXXX", NULL);
	struct share *share = share_open(path, SHARE_9P, false, NULL);
	static struct message m[100];

	g_assert_nonnull(share);
	send(share, &m[0], TATTACH, 1, "44ss4", 0, UINT32_MAX, "", "", 0);
	share_drain(share);
	for (unsigned i = 1; i < G_N_ELEMENTS(m); i++)
		send(share, &m[i], i % 2 ? TGETATTR : TWALK, i, i % 2 ? "48" : "442", 0, i % 2 ? 0ull : (uint64_t)i, 0);
	share_drain(share);
	for (unsigned i = 1; i < G_N_ELEMENTS(m); i++) {
		g_assert_cmpuint(m[i].in[4], ==, (i % 2 ? TGETATTR : TWALK) + 1);
		g_assert_cmpuint(le16_load(m[i].in + 5), ==, i);
	}
	share_reset(share);
	send(share, &m[0], TCLUNK, 1, "4", 2);
	share_drain(share);
	g_assert_cmpuint(le32_load(m[0].in + 7), ==, EBADF);
	share_close(share);
	remove_tree(path);
}

static void test_flush(void)
{
	g_autofree char *path = g_dir_make_tmp("viv-share-XXXXXX", NULL);
	struct share *share = share_open(path, SHARE_9P, false, NULL);
	static struct message m[5];

	n_done = 0;
	/* Of what is not in flight: at once. */
	send(share, &m[0], TFLUSH, 9, "2", 7);
	share_drain(share);
	g_assert_cmpuint(m[0].in[4], ==, TFLUSH + 1);
	/* Of itself, too. */
	send(share, &m[0], TFLUSH, 9, "2", 9);
	share_drain(share);
	g_assert_cmpuint(m[0].order, ==, 2);
	/* Of what was sent just before, and of a flush: each is answered, whoever comes first. */
	for (unsigned i = 0; i < 2000; i++) {
		n_done = 0;
		send(share, &m[0], TATTACH, 1, "44ss4", i, UINT32_MAX, "", "", 0);
		send(share, &m[1], TFLUSH, 2, "2", 1);
		send(share, &m[2], TFLUSH, 3, "2", 1);
		send(share, &m[3], TFLUSH, 4, "2", 2);
		share_drain(share);
		g_assert_cmpuint(n_done, ==, 4);
		g_assert_cmpuint(m[1].order, >, m[0].order);
		g_assert_cmpuint(m[2].order, >, m[0].order);
		g_assert_cmpuint(m[3].order, >, m[1].order);
		g_assert_cmpuint(le16_load(m[2].in + 5), ==, 3);
	}
	share_close(share);
	remove_tree(path);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/share/many", test_many);
	g_test_add_func("/share/flush", test_flush);
	return g_test_run();
}
