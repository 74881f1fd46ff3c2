/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder to be shared, which holds a file, a folder, a link and a FIFO, and a file beside it that must stay as it was. */
#ifndef VIV_TESTS_FUZZ_FOLDER_H
#define VIV_TESTS_FUZZ_FOLDER_H

#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void make_file(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	g_assert_cmpint(write(fd, "content", 7), ==, 7);
	close(fd);
}

/* `outer`: a template for mkdtemp(). The working directory is the fuzzer's, which finds its inputs by it. */
static inline char *make_folder(char *outer)
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

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void check_and_remove(const char *outer)
{
	g_autofree char *beside = g_build_filename(outer, "beside", NULL), *content = NULL;
	struct stat st;

	g_assert_cmpint(lstat(beside, &st), ==, 0);
	g_assert_true(st.st_nlink == 1);
	g_assert_true(g_file_get_contents(beside, &content, NULL, NULL));
	g_assert_cmpstr(content, ==, "content");
	nftw(outer, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
