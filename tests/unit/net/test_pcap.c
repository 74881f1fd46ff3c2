/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file, block by block, as draft-ietf-opsawg-pcapng has them. */
#include "net/pcap.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "frames.h"

static const uint8_t *find_block(const GByteArray *file, uint32_t type, unsigned n)
{
	for (size_t at = 0; at < file->len;) {
		uint32_t len = le32_load(file->data + at + 4);

		g_assert_cmpuint(len % 4, ==, 0);
		g_assert_cmpuint(at + len, <=, file->len);
		g_assert_cmpuint(le32_load(file->data + at + len - 4), ==, len);
		if (le32_load(file->data + at) == type && !n--)
			return file->data + at;
		at += len;
	}
	return NULL;
}

static void test_file(void)
{
	g_autofree char *path = NULL, *text = NULL;
	struct pcap *pcap = pcap_new();
	g_autoptr(GByteArray) file = NULL;
	g_autoptr(GError) error = NULL;
	struct frames_end a, b;
	const uint8_t *block;
	uint8_t frame[61];
	uint64_t time_ns;
	gsize len;

	close(g_file_open_tmp("pcap-XXXXXX", &path, NULL));
	frames_init(&a, NULL, 1);
	frames_init(&b, NULL, 2);
	pcap_watch(pcap, a.port, "net0");
	pcap_watch(pcap, b.port, "net1");
	net_join(a.port, b.port);
	memset(frame, 0x5a, sizeof(frame));
	net_send(a.port, frame, 61);
	net_run(a.port);
	g_assert_true(pcap_start(pcap, path, &error));
	net_send(a.port, frame, 61);
	net_run(a.port);
	g_assert_cmpuint(pcap_frames(pcap), ==, 2);
	pcap_stop(pcap);
	net_send(a.port, frame, 61);
	net_run(a.port);
	g_assert_cmpuint(b.frames->len, ==, 3);
	g_assert_true(g_file_get_contents(path, &text, &len, NULL));
	file = g_byte_array_new_take((guint8 *)g_steal_pointer(&text), len);

	g_assert_cmphex(le32_load(file->data), ==, 0x0a0d0d0a);
	g_assert_cmphex(le32_load(file->data + 8), ==, 0x1a2b3c4d);
	block = find_block(file, 1, 1);
	g_assert_cmpuint(le16_load(block + 8), ==, 1);
	g_assert_cmpmem(block + 20, 4, "net1", 4);
	g_assert_cmpuint(block[28], ==, 9); /* 10^-9 s */
	g_assert_null(find_block(file, 1, 2));
	block = find_block(file, 6, 0);
	g_assert_cmpuint(le32_load(block + 8), ==, 0);
	time_ns = (uint64_t)le32_load(block + 12) << 32 | le32_load(block + 16);
	g_assert_cmpint(llabs((int64_t)time_ns / 1000000000 - time(NULL)), <, 100);
	g_assert_cmpuint(le32_load(block + 20), ==, 61);
	g_assert_cmpmem(block + 28, 61, frame, 61);
	g_assert_cmpuint(le32_load(block + 28 + 64 + 4), ==, 2); /* outbound */
	block = find_block(file, 6, 1);
	g_assert_cmpuint(le32_load(block + 8), ==, 1);
	g_assert_cmpuint(le32_load(block + 28 + 64 + 4), ==, 1);
	g_assert_null(find_block(file, 6, 2));

	g_assert_false(pcap_start(pcap, "/nowhere/at/all", &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	frames_fini(&a);
	frames_fini(&b);
	pcap_free(pcap);
	g_unlink(path);
}

/* A reader that does not read: the cable goes on, memory has an end, and so has the capture. */
static void test_stuck(void)
{
	g_autofree char *folder = g_dir_make_tmp("pcap-XXXXXX", NULL),
			*path = g_build_filename(folder, "fifo", NULL);
	g_autofree uint8_t *frame = g_malloc0(NET_FRAME_MAX);
	struct pcap *pcap = pcap_new();
	g_autoptr(GError) error = NULL;
	struct frames_end a, b;
	int reader;

	g_assert_cmpint(mkfifo(path, 0600), ==, 0);
	frames_init(&a, NULL, 1);
	frames_init(&b, NULL, 2);
	net_set_receiver(b.port, NULL);
	pcap_watch(pcap, a.port, "net0");
	net_join(a.port, b.port);
	g_assert_false(pcap_start(pcap, path, &error));
	g_assert_nonnull(strstr(error->message, "reads from the pipe first"));
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	g_assert_true(pcap_start(pcap, path, NULL));
	for (unsigned i = 0; i < 4000; i++) {
		net_send(a.port, frame, NET_FRAME_MAX);
		net_run(a.port);
	}
	g_assert_cmpuint(pcap_dropped(pcap), >, 0);
	pcap_free(pcap);
	frames_fini(&a);
	frames_fini(&b);
	close(reader);
	g_unlink(path);
	g_rmdir(folder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pcap/file", test_file);
	g_test_add_func("/pcap/stuck", test_stuck);
	return g_test_run();
}
