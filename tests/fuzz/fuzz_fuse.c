/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of FUSE to a shared folder that holds a file, a folder, a link and a FIFO: a length, an opcode, a file's number and
 * what follows, each. Whatever they do, what lies beside the folder stays as it was.
 */
#include "folder.h"
#include "fuzz.h"
#include "share/fuse_int.h"

/* One message; how many bytes of the input it took. */
static size_t send_one(struct fuse *fuse, const uint8_t *data, size_t len)
{
	uint8_t message[512] = {0}, reply[4096];
	size_t n = MIN((size_t)data[0] + 2, len - 1), room = data[0] % 16 ? sizeof(reply) : data[0];
	struct fuse_in_header header = {.opcode = data[1], .nodeid = n > 1 ? data[2] : 0};
	size_t body = n > 2 ? n - 2 : 0;

	header.len = sizeof(header) + body;
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), data + 3, body);
	g_assert_cmpuint(fuse_serve(fuse, &(struct iovec){message, header.len}, 1, &(struct iovec){reply, room}, 1), <=, room);
	return 1 + n;
}

/* Numbers are what an input can name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char outer[] = "/dev/shm/viv-fuzz-fuse-XXXXXX";
	g_autofree char *folder = make_folder(outer);
	struct fuse *fuse = fuse_new(folder, false, NULL);

	g_assert_nonnull(fuse);
	fuse->next = FUSE_ROOT_ID + 1;
	while (len >= 2) {
		size_t n = send_one(fuse, data, len);

		data += n;
		len -= n;
	}
	fuse_free(fuse);
	check_and_remove(outer);
	return 0;
}
