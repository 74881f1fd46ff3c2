/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of 9P2000.L to a shared folder that holds a file, a folder, a link and a FIFO: a length, a type and what
 * follows, each. Whatever they do, what lies beside the folder stays as it was.
 */
#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/le.h"
#include "fuzz.h"
#include "share/p9.h"

static void make_file(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	g_assert_cmpint(write(fd, "content", 7), ==, 7);
	close(fd);
}

/* The working directory is the fuzzer's, which finds its inputs by it. */
static char *make_folder(char *outer)
{
	char *folder;
	int fd;

	g_assert_nonnull(g_mkdtemp(outer));
	folder = g_build_filename(outer, "shared", NULL);
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	fd = open(folder, O_PATH | O_CLOEXEC);
	make_file(fd, "file");
	make_file(fd, "../beside");
	g_assert_cmpint(mkdirat(fd, "folder", 0700), ==, 0);
	g_assert_cmpint(symlinkat("../beside", fd, "link"), ==, 0);
	g_assert_cmpint(mkfifoat(fd, "fifo", 0600), ==, 0);
	close(fd);
	return folder;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

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
	g_autofree char *folder = make_folder(outer), *beside = g_build_filename(outer, "beside", NULL), *content = NULL;
	struct p9 *p9 = p9_new(folder, false, NULL);
	struct stat st;

	g_assert_nonnull(p9);
	while (len >= 2) {
		size_t n = send_one(p9, data, len);

		data += n;
		len -= n;
	}
	p9_free(p9);
	g_assert_cmpint(lstat(beside, &st), ==, 0);
	g_assert_true(st.st_nlink == 1);
	g_assert_true(g_file_get_contents(beside, &content, NULL, NULL));
	g_assert_cmpstr(content, ==, "content");
	nftw(outer, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
