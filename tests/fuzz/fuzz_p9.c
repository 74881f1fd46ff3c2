/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of 9P2000.L to a shared folder that holds a file, a folder, a link and a FIFO: a length, a type and what
 * follows, each. Whatever they do, what lies beside the folder stays as it was.
 */
#include "base/le.h"
#include "folder.h"
#include "fuzz.h"
#include "share/p9.h"

/* One message; how many bytes of the input it took. */
static size_t send_one(struct p9 *p9, const uint8_t *data, size_t len)
{
	uint8_t message[512] = {0}, reply[4096];
	size_t n = MIN((size_t)data[0] + 1, len - 1), room = data[0] % 16 ? sizeof(reply) : data[0];

	memcpy(message + 4, data + 1, 1);
	memcpy(message + 7, data + 2, n - 1);
	le32_store(message, 7 + n - 1);
	g_assert_cmpuint(p9_serve(p9, &(struct iovec){message, 7 + n - 1}, 1, &(struct iovec){reply, room}, 1), <=, room);
	return 1 + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char outer[] = "/dev/shm/viv-fuzz-p9-XXXXXX";
	g_autofree char *folder = make_folder(outer);
	struct p9 *p9 = p9_new(folder, false, NULL);

	g_assert_nonnull(p9);
	while (len >= 2) {
		size_t n = send_one(p9, data, len);

		data += n;
		len -= n;
	}
	p9_free(p9);
	check_and_remove(outer);
	return 0;
}
