/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file server, message by message. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client.h"
#include "share/p9.h"

#define NOFID UINT32_MAX
#define ROOT  0u

struct fixture {
	char *outer, *folder; /* the shared one lies in the outer one */
	struct p9 *p9;
	uint8_t message[MAX_MESSAGE], reply[MAX_MESSAGE];
	uint32_t reply_len;
};

static char *in(struct fixture *f, const char *name)
{
	static char *last;

	g_free(last);
	return last = g_build_filename(f->folder, name, NULL);
}

/* The message in pieces, as a driver may give it. */
static uint32_t serve(struct fixture *f, uint32_t len, uint32_t room)
{
	struct iovec out[] = {{f->message, MIN(len, 5)}, {f->message + 5, len - MIN(len, 5)}};
	struct iovec reply[] = {{f->reply, MIN(room, 9)}, {f->reply + 9, room - MIN(room, 9)}};

	memset(f->reply, 0xee, sizeof(f->reply));
	return f->reply_len = p9_serve(f->p9, out, 2, reply, 2);
}

/* 0, or the errno of the answer. */
static int call(struct fixture *f, uint8_t type, const char *format, ...)
{
	va_list args;
	uint32_t len;

	va_start(args, format);
	len = make_message(f->message, type, 0x1234, format, args);
	va_end(args);
	g_assert_cmpuint(serve(f, len, sizeof(f->reply)), >=, 7);
	g_assert_cmpuint(le32_load(f->reply), ==, f->reply_len);
	g_assert_cmphex(le16_load(f->reply + 5), ==, 0x1234);
	if (f->reply[4] == 7)
		return le32_load(f->reply + 7);
	g_assert_cmpuint(f->reply[4], ==, type + 1);
	return 0;
}

static void open_folder(struct fixture *f, bool read_only)
{
	f->p9 = p9_new(f->folder, read_only, NULL);
	g_assert_nonnull(f->p9);
	g_assert_cmpint(call(f, TVERSION, "4s", 65536, "9P2000.L"), ==, 0);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, 65536);
	g_assert_cmpmem(f->reply + 11, 10, "\10\0009P2000.L", 10);
	g_assert_cmpint(call(f, TATTACH, "44ss4", ROOT, NOFID, "root", "", 0), ==, 0);
	g_assert_cmphex(f->reply[7], ==, 0x80);
}

static void setup(struct fixture *f, gconstpointer data)
{
	f->outer = g_dir_make_tmp("viv-p9-XXXXXX", NULL);
	f->folder = g_build_filename(f->outer, "shared", NULL);
	g_mkdir(f->folder, 0755);
	open_folder(f, false);
}

static void teardown(struct fixture *f, gconstpointer data)
{
	p9_free(f->p9);
	remove_tree(f->outer);
	g_free(f->outer);
	g_free(f->folder);
}

/* A fid for a name in the root. */
static int walk(struct fixture *f, uint32_t fid, const char *name)
{
	return call(f, TWALK, "442s", ROOT, fid, 1, name);
}

static void assert_file(struct fixture *f, const char *name, const char *content)
{
	g_autofree char *found = NULL;

	g_assert_true(g_file_get_contents(in(f, name), &found, NULL, NULL));
	g_assert_cmpstr(found, ==, content);
}

static void put_file(struct fixture *f, const char *name, const char *content)
{
	g_assert_true(g_file_set_contents(in(f, name), content, -1, NULL));
}

static void test_write_and_read(struct fixture *f, gconstpointer data)
{
	struct stat st;

	call(f, TWALK, "442", ROOT, 1, 0);
	g_assert_cmpint(call(f, TLCREATE, "4s444", 1, "file", O_RDWR, 06600, 0), ==, 0);
	g_assert_cmpint(call(f, TWRITE, "484d", 1, 3ull, 5, "hello", 5), ==, 0);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, 5);
	/* More than there is. */
	g_assert_cmpint(call(f, TWRITE, "484d", 1, 0ull, 6, "hello", 5), ==, EINVAL);
	assert_file(f, "file", "");
	g_assert_cmpint(call(f, TREAD, "484", 1, 0ull, 100), ==, 0);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, 8);
	g_assert_cmpuint(f->reply_len, ==, 11 + 8);
	g_assert_cmpmem(f->reply + 11, 8, "\0\0\0hello", 8);
	g_assert_cmpint(call(f, TREAD, "484", 1, 8ull, 100), ==, 0);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, 0);
	g_assert_cmpint(call(f, TFSYNC, "44", 1, 0), ==, 0);
	g_assert_cmpint(call(f, TFSYNC, "4", 1), ==, 0);
	g_assert_cmpint(call(f, TGETATTR, "48", 1, 0x7ffull), ==, 0);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmpuint(f->reply_len, ==, 7 + 153);
	g_assert_cmphex(le64_load(f->reply + 7), ==, 0x7ff);
	g_assert_cmpuint(le64_load(f->reply + 7 + 8 + 5), ==, st.st_ino);
	g_assert_cmphex(le32_load(f->reply + 28), ==, 0100600);
	g_assert_cmpuint(le32_load(f->reply + 32), ==, st.st_uid);
	g_assert_cmpuint(le64_load(f->reply + 56), ==, 8);
	g_assert_cmpint(call(f, TCLUNK, "4", 1), ==, 0);
	g_assert_cmpint(call(f, TREAD, "484", 1, 0ull, 100), ==, EBADF);
	g_assert_cmpint(call(f, TCLUNK, "4", 1), ==, EBADF);
}

static void test_open(struct fixture *f, gconstpointer data)
{
	put_file(f, "file", "content");
	g_assert_cmpint(walk(f, 1, "file"), ==, 0);
	g_assert_cmpint(call(f, TREAD, "484", 1, 0ull, 1), ==, EBADF);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDONLY), ==, 0);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDONLY), ==, EINVAL);
	g_assert_cmpint(call(f, TWRITE, "484d", 1, 0ull, 1, "x", 1), ==, EBADF);
	/* Unlinked, it can still be read. */
	g_assert_cmpint(call(f, TUNLINKAT, "4s4", ROOT, "file", 0), ==, 0);
	g_assert_cmpint(call(f, TREAD, "484", 1, 0ull, 100), ==, 0);
	g_assert_cmpmem(f->reply + 11, 7, "content", 7);
	/* Made where it is there: opened, unless it is to be new. */
	put_file(f, "again", "content");
	call(f, TWALK, "442", ROOT, 2, 0);
	g_assert_cmpint(call(f, TLCREATE, "4s444", 2, "again", O_RDWR | O_EXCL, 0600, 0), ==, EEXIST);
	g_assert_cmpint(call(f, TLCREATE, "4s444", 2, "again", O_RDWR | O_APPEND, 0600, 0), ==, 0);
	g_assert_cmpint(call(f, TWRITE, "484d", 2, 0ull, 1, "!", 1), ==, 0);
	assert_file(f, "again", "content!");
	g_assert_cmpint(walk(f, 3, "again"), ==, 0);
	g_assert_cmpint(call(f, TLOPEN, "44", 3, O_RDWR | O_TRUNC), ==, 0);
	assert_file(f, "again", "");
}

static void test_walk(struct fixture *f, gconstpointer data)
{
	uint8_t qid[13];

	g_mkdir(in(f, "a"), 0755);
	g_mkdir(in(f, "a/b"), 0755);
	put_file(f, "a/b/c", "deep");
	g_assert_cmpint(call(f, TWALK, "442sss", ROOT, 1, 3, "a", "b", "c"), ==, 0);
	g_assert_cmpuint(f->reply_len, ==, 9 + 3 * 13);
	g_assert_cmpuint(le16_load(f->reply + 7), ==, 3);
	g_assert_cmphex(f->reply[9], ==, 0x80);
	g_assert_cmphex(f->reply[9 + 26], ==, 0);
	/* Half-way: no fid. */
	g_assert_cmpint(call(f, TWALK, "442sss", ROOT, 2, 3, "a", "none", "c"), ==, 0);
	g_assert_cmpuint(le16_load(f->reply + 7), ==, 1);
	g_assert_cmpint(call(f, TCLUNK, "4", 2), ==, EBADF);
	g_assert_cmpint(walk(f, 2, "none"), ==, ENOENT);
	g_assert_cmpint(call(f, TWALK, "442s", 1, 2, 1, "x"), ==, ENOTDIR);
	g_assert_cmpint(walk(f, 1, "a"), ==, EINVAL);
	g_assert_cmpint(walk(f, NOFID, "a"), ==, EINVAL);
	g_assert_cmpint(call(f, TWALK, "442", 9, 2, 0), ==, EBADF);
	/* In place, and a copy. */
	g_assert_cmpint(walk(f, 3, "a"), ==, 0);
	g_assert_cmpint(call(f, TWALK, "442s", 3, 3, 1, "b"), ==, 0);
	g_assert_cmpint(call(f, TWALK, "442", 3, 4, 0), ==, 0);
	g_assert_cmpint(call(f, TWALK, "442s", 4, 5, 1, "c"), ==, 0);
	g_assert_cmpint(call(f, TWALK, "442ss", 4, 6, 2, "..", ".."), ==, 0);
	memcpy(qid, f->reply + 9 + 13, sizeof(qid));
	call(f, TGETATTR, "48", ROOT, 0ull);
	g_assert_cmpmem(qid, sizeof(qid), f->reply + 15, sizeof(qid));
}

static int set_attr(struct fixture *f, uint32_t fid, uint32_t valid, uint32_t mode, uint32_t uid, uint64_t size,
		    uint64_t mtime)
{
	return call(f, TSETATTR, "4444488888", fid, valid, mode, uid, 0, size, 0ull, 0ull, mtime, 5ull);
}

/* Nothing leads out. */
static void test_confinement(struct fixture *f, gconstpointer data)
{
	g_autofree char *outside = g_build_filename(f->outer, "outside", NULL);
	g_autofree char *moved = g_build_filename(f->outer, "moved", NULL);
	struct stat st;

	g_mkdir(outside, 0755);
	g_assert_cmpint(symlink("../outside", in(f, "link")), ==, 0);
	g_assert_cmpint(symlink("/etc/passwd", in(f, "passwd")), ==, 0);
	g_assert_cmpint(call(f, TWALK, "442ss", ROOT, 1, 2, "..", "outside"), ==, 0);
	g_assert_cmpuint(le16_load(f->reply + 7), ==, 1); /* the root itself, which has none such */
	for (const char *const *name = (const char *const[]){"../outside", "/etc", "a/b", ".", "", NULL}; *name; name++) {
		g_assert_cmpint(walk(f, 1, *name), ==, EINVAL);
		g_assert_cmpint(call(f, TMKDIR, "4s44", ROOT, *name, 0755, 0), ==, EINVAL);
		g_assert_cmpint(call(f, TUNLINKAT, "4s4", ROOT, *name, AT_REMOVEDIR), ==, EINVAL);
	}
	g_assert_cmpint(call(f, TMKDIR, "4s44", ROOT, "..", 0755, 0), ==, EINVAL);
	g_assert_cmpint(call(f, TWALK, "4422d", ROOT, 1, 1, 3, "a\0b", 3), ==, EINVAL);
	/* A symbolic link is itself, not what it points to. */
	g_assert_cmpint(walk(f, 1, "link"), ==, 0);
	g_assert_cmphex(f->reply[9], ==, 0x02);
	g_assert_cmpint(call(f, TWALK, "442s", 1, 2, 1, "x"), ==, ENOTDIR);
	g_assert_cmpint(call(f, TMKDIR, "4s44", 1, "made", 0755, 0), ==, ENOTDIR);
	g_assert_cmpint(walk(f, 3, "passwd"), ==, 0);
	g_assert_cmpint(call(f, TLOPEN, "44", 3, O_RDONLY), ==, ELOOP);
	g_assert_cmpint(set_attr(f, 3, 1, 0777, 0, 0, 0), ==,
			EOPNOTSUPP);
	call(f, TWALK, "442", ROOT, 4, 0);
	g_assert_cmpint(call(f, TLCREATE, "4s444", 4, "passwd", O_RDONLY, 0600, 0), ==, ELOOP);
	/* A folder that somebody moves away leads to nothing above. */
	g_mkdir(in(f, "inner"), 0755);
	g_assert_cmpint(walk(f, 5, "inner"), ==, 0);
	g_assert_cmpint(rename(in(f, "inner"), moved), ==, 0);
	g_assert_cmpint(call(f, TWALK, "442s", 5, 6, 1, ".."), ==, ENOENT);
	g_assert_cmpint(lstat(outside, &st), ==, 0);
	g_assert_cmpuint(st.st_nlink, ==, 2);
}

/* What does things when it is opened is not opened. */
static void test_special_files(struct fixture *f, gconstpointer data)
{
	struct stat st;

	g_assert_cmpint(mkfifo(in(f, "fifo"), 0600), ==, 0);
	g_assert_cmpint(walk(f, 1, "fifo"), ==, 0);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDONLY), ==, ENXIO);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDWR), ==, ENXIO);
	call(f, TWALK, "442", ROOT, 2, 0);
	g_assert_cmpint(call(f, TLCREATE, "4s444", 2, "fifo", O_RDWR, 0600, 0), ==, ENXIO);
	g_assert_cmpint(call(f, TMKNOD, "4s4444", ROOT, "null", S_IFCHR | 0600, 1, 3, 0), ==, EPERM);
	g_assert_cmpint(call(f, TMKNOD, "4s4444", ROOT, "disk", S_IFBLK | 0600, 8, 0, 0), ==, EPERM);
	g_assert_cmpint(call(f, TMKNOD, "4s4444", ROOT, "pipe", S_IFIFO | 0600, 0, 0, 0), ==, 0);
	g_assert_cmpint(lstat(in(f, "pipe"), &st), ==, 0);
	g_assert_true(S_ISFIFO(st.st_mode));
	g_assert_cmpint(lstat(in(f, "null"), &st), ==, -1);
}

static void test_setattr(struct fixture *f, gconstpointer data)
{
	struct stat st;

	put_file(f, "file", "content");
	g_assert_cmpint(walk(f, 1, "file"), ==, 0);
	g_assert_cmpint(set_attr(f, 1, 1 | 8, 06641, 0, 3, 0), ==, 0);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmphex(st.st_mode, ==, 0100641);
	assert_file(f, "file", "con");
	g_assert_cmpint(set_attr(f, 1, 0x20 | 0x100, 0, 0, 0, 1000), ==, 0);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmpint(st.st_mtim.tv_sec, ==, 1000);
	g_assert_cmpint(st.st_mtim.tv_nsec, ==, 5);
	g_assert_cmpint(set_attr(f, 1, 0x20, 0, 0, 0, 1000), ==, 0);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmpint(st.st_mtim.tv_sec, >, 1000);
	/* Where the host refuses, it comes to nothing. */
	g_assert_cmpint(set_attr(f, 1, 2, 0, st.st_uid + 1, 0, 0), ==, 0);
	g_assert_cmpint(set_attr(f, ROOT, 8, 0, 0, 0, 0), ==, EINVAL);
	g_assert_cmpint(call(f, TSETATTR, "444", 1, 1, 0), ==, EINVAL);
}

static void test_names(struct fixture *f, gconstpointer data)
{
	g_autofree char *back = NULL;
	struct stat st;
	char target[16];

	g_assert_cmpint(call(f, TMKDIR, "4s44", ROOT, "dir", 0755, 0), ==, 0);
	g_assert_cmphex(f->reply[7], ==, 0x80);
	g_assert_cmpint(call(f, TMKDIR, "4s44", ROOT, "dir", 0755, 0), ==, EEXIST);
	g_assert_cmpint(call(f, TSYMLINK, "4ss4", ROOT, "link", "/any where", 0), ==, 0);
	g_assert_cmpint(readlink(in(f, "link"), target, sizeof(target)), ==, 10);
	g_assert_cmpint(walk(f, 1, "link"), ==, 0);
	g_assert_cmpint(call(f, TREADLINK, "4", 1), ==, 0);
	g_assert_cmpmem(f->reply + 7, 12, "\12\0/any where", 12);
	g_assert_cmpint(call(f, TREADLINK, "4", ROOT), ==, EINVAL);
	put_file(f, "file", "content");
	g_assert_cmpint(walk(f, 2, "file"), ==, 0);
	g_assert_cmpint(walk(f, 3, "dir"), ==, 0);
	g_assert_cmpint(call(f, TLINK, "44s", 3, 2, "hard"), ==, 0);
	assert_file(f, "dir/hard", "content");
	g_assert_cmpint(call(f, TRENAMEAT, "4s4s", ROOT, "file", 3, "moved"), ==, 0);
	assert_file(f, "dir/moved", "content");
	/* By fid: the file that was meant, or none. */
	g_assert_cmpint(call(f, TRENAME, "44s", 2, ROOT, "back"), ==, ENOENT);
	g_assert_cmpint(call(f, TWALK, "442s", 3, 4, 1, "moved"), ==, 0);
	g_assert_cmpint(call(f, TRENAME, "44s", 4, ROOT, "back"), ==, 0);
	assert_file(f, "back", "content");
	g_assert_cmpint(call(f, TRENAME, "44s", ROOT, 3, "root"), ==, EBUSY);
	put_file(f, "other", "precious");
	back = g_build_filename(f->folder, "back", NULL);
	g_assert_cmpint(rename(in(f, "other"), back), ==, 0);
	g_assert_cmpint(call(f, TREMOVE, "4", 4), ==, ESTALE);
	assert_file(f, "back", "precious");
	g_assert_cmpint(call(f, TCLUNK, "4", 4), ==, EBADF);
	g_assert_cmpint(walk(f, 4, "back"), ==, 0);
	g_assert_cmpint(call(f, TREMOVE, "4", 4), ==, 0);
	g_assert_cmpint(stat(in(f, "back"), &st), ==, -1);
	g_assert_cmpint(call(f, TUNLINKAT, "4s4", ROOT, "dir", 0), ==, EISDIR);
	g_assert_cmpint(call(f, TUNLINKAT, "4s4", ROOT, "dir", AT_REMOVEDIR), ==, ENOTEMPTY);
	g_assert_cmpint(call(f, TUNLINKAT, "4s4", 3, "hard", 0), ==, 0);
	g_assert_cmpint(call(f, TUNLINKAT, "4s4", ROOT, "dir", AT_REMOVEDIR), ==, 0);
	g_assert_cmpint(call(f, TREMOVE, "4", ROOT), ==, EBUSY);
}

/* Every name once, also where a reply holds few of them. */
static void test_readdir(struct fixture *f, gconstpointer data)
{
	enum { N = 500 };
	unsigned seen[N] = {0}, n = 0, replies = 0;
	uint64_t offset = 0;

	for (unsigned i = 0; i < N; i++) {
		g_autofree char *name = g_strdup_printf("some-file-%u", i);

		put_file(f, name, "");
	}
	call(f, TWALK, "442", ROOT, 1, 0);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDONLY | O_DIRECTORY), ==, 0);
	g_assert_cmpint(call(f, TREAD, "484", 1, 0ull, 100), ==, EISDIR);
	for (;; replies++) {
		const uint8_t *at = f->reply + 11;

		g_assert_cmpint(call(f, TREADDIR, "484", 1, offset, 1000), ==, 0);
		g_assert_cmpuint(f->reply_len, ==, 11 + le32_load(f->reply + 7));
		g_assert_cmpuint(f->reply_len, <=, 11 + 1000);
		if (f->reply_len == 11)
			break;
		while (at < f->reply + f->reply_len) {
			g_autofree char *name = g_strndup((const char *)at + 24, le16_load(at + 22));
			unsigned i;

			offset = le64_load(at + 13);
			if (sscanf(name, "some-file-%u", &i) == 1) {
				g_assert_cmpuint(at[21], ==, 8);
				seen[i]++;
			}
			n++;
			at += 24 + le16_load(at + 22);
		}
	}
	g_assert_cmpuint(replies, >, 10);
	g_assert_cmpuint(n, ==, N + 2);
	for (unsigned i = 0; i < N; i++)
		g_assert_cmpuint(seen[i], ==, 1);
	g_assert_cmpint(call(f, TREADDIR, "484", 1, 0ull, 10), ==, EINVAL);
}

static void test_locks(struct fixture *f, gconstpointer data)
{
	put_file(f, "file", "content");
	for (unsigned fid = 1; fid < 3; fid++) {
		g_assert_cmpint(walk(f, fid, "file"), ==, 0);
		g_assert_cmpint(call(f, TLOPEN, "44", fid, O_RDWR), ==, 0);
	}
	g_assert_cmpint(call(f, TLOCK, "414884s", 1, 1, 0, 0ull, 4ull, 1, "host"), ==, 0);
	g_assert_cmpuint(f->reply[7], ==, 0);
	g_assert_cmpint(call(f, TLOCK, "414884s", 2, 1, 1, 0ull, 0ull, 2, "host"), ==, 0);
	g_assert_cmpuint(f->reply[7], ==, 1); /* blocked */
	g_assert_cmpint(call(f, TGETLOCK, "41884s", 2, 1, 2ull, 0ull, 2, "host"), ==, 0);
	g_assert_cmpuint(f->reply[7], ==, 1);
	g_assert_cmpuint(le64_load(f->reply + 8), ==, 0);
	g_assert_cmpuint(le64_load(f->reply + 16), ==, 4);
	g_assert_cmpint(call(f, TCLUNK, "4", 1), ==, 0);
	g_assert_cmpint(call(f, TLOCK, "414884s", 2, 1, 1, 0ull, 0ull, 2, "host"), ==, 0);
	g_assert_cmpuint(f->reply[7], ==, 0);
	g_assert_cmpint(call(f, TLOCK, "414884s", 2, 3, 1, 0ull, 0ull, 2, "host"), ==, EINVAL);
}

static void test_read_only(struct fixture *f, gconstpointer data)
{
	put_file(f, "file", "content");
	p9_free(f->p9);
	open_folder(f, true);
	g_assert_cmpint(walk(f, 1, "file"), ==, 0);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDWR), ==, EROFS);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDONLY | O_TRUNC), ==, EROFS);
	g_assert_cmpint(call(f, TLOPEN, "44", 1, O_RDONLY), ==, 0);
	g_assert_cmpint(call(f, TREAD, "484", 1, 0ull, 100), ==, 0);
	g_assert_cmpint(call(f, TWRITE, "484d", 1, 0ull, 1, "x", 1), ==, EROFS);
	g_assert_cmpint(call(f, TLCREATE, "4s444", ROOT, "new", O_RDWR, 0600, 0), ==, EROFS);
	g_assert_cmpint(call(f, TMKDIR, "4s44", ROOT, "new", 0700, 0), ==, EROFS);
	g_assert_cmpint(call(f, TSYMLINK, "4ss4", ROOT, "new", "x", 0), ==, EROFS);
	g_assert_cmpint(call(f, TMKNOD, "4s4444", ROOT, "new", S_IFREG, 0, 0, 0), ==, EROFS);
	g_assert_cmpint(call(f, TLINK, "44s", ROOT, 1, "new"), ==, EROFS);
	g_assert_cmpint(call(f, TRENAME, "44s", 1, ROOT, "new"), ==, EROFS);
	g_assert_cmpint(call(f, TRENAMEAT, "4s4s", ROOT, "file", ROOT, "new"), ==, EROFS);
	g_assert_cmpint(call(f, TUNLINKAT, "4s4", ROOT, "file", 0), ==, EROFS);
	g_assert_cmpint(set_attr(f, 1, 1, 0, 0, 0, 0), ==, EROFS);
	g_assert_cmpint(call(f, TREMOVE, "4", 1), ==, EROFS);
	g_assert_cmpint(call(f, TCLUNK, "4", 1), ==, EBADF);
	assert_file(f, "file", "content");
}

static void test_session(struct fixture *f, gconstpointer data)
{
	g_assert_cmpint(call(f, TVERSION, "4s", 8192, "9P2000.u"), ==, 0);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, 8192);
	g_assert_cmpmem(f->reply + 11, 9, "\7\0unknown", 9);
	/* The old session's fids are gone. */
	g_assert_cmpint(call(f, TCLUNK, "4", ROOT), ==, EBADF);
	g_assert_cmpint(call(f, TVERSION, "4s", 100, "9P2000.L"), ==, EINVAL);
	g_assert_cmpint(call(f, TVERSION, "4s", 4 << 20, "9P2000.L"), ==, 0);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, 512 << 10);
	g_assert_cmpint(call(f, TATTACH, "44ss4", 7, NOFID, "", "/", 0), ==, 0);
	g_assert_cmpint(call(f, TATTACH, "44ss4", 7, NOFID, "", "/", 0), ==, EINVAL);
	g_assert_cmpint(call(f, TATTACH, "44ss4", 8, NOFID, "", "/etc", 0), ==, ENOENT);
	g_assert_cmpint(call(f, 102, "4ss4", 9, "", "", 0), ==, EOPNOTSUPP);
	g_assert_cmpint(call(f, TXATTRWALK, "44s", 7, 8, "user.x"), ==, EOPNOTSUPP);
	g_assert_cmpint(call(f, 200, ""), ==, EOPNOTSUPP);
	g_assert_cmpint(call(f, TFLUSH, "2", 3), ==, 0);
	g_assert_cmpint(call(f, TSTATFS, "4", 7), ==, 0);
	g_assert_cmphex(le32_load(f->reply + 7), ==, 0x01021997);
	g_assert_cmpuint(f->reply_len, ==, 7 + 60);
}

/* No message, no room. */
static void test_framing(struct fixture *f, gconstpointer data)
{
	static const uint8_t stat_root[] = {11, 0, 0, 0, TSTATFS, 1, 0, 0, 0, 0, 0};
	uint16_t tag;

	memcpy(f->message, stat_root, sizeof(stat_root));
	g_assert_cmpuint(serve(f, 11, 100), ==, 67);
	g_assert_cmpuint(serve(f, 11, 66), ==, 11); /* too little: an error */
	g_assert_cmpuint(le32_load(f->reply + 7), ==, EMSGSIZE);
	g_assert_cmpuint(serve(f, 11, 10), ==, 0);
	g_assert_cmphex(f->reply[0], ==, 0xee);
	g_assert_cmpuint(serve(f, 10, 100), ==, 0); /* shorter than it says */
	g_assert_cmpuint(serve(f, 3, 100), ==, 0);
	f->message[0] = 9; /* the fid cut */
	g_assert_cmpuint(serve(f, 11, 100), ==, 11);
	g_assert_cmpuint(le32_load(f->reply + 7), ==, EINVAL);
	f->message[0] = 6;
	g_assert_cmpuint(serve(f, 11, 100), ==, 0);
	g_assert_false(p9_is_flush(&(struct iovec){f->message, 11}, 1, &tag));
	f->message[4] = TFLUSH;
	g_assert_true(p9_is_flush(&(struct iovec){f->message, 11}, 1, &tag));
	g_assert_false(p9_is_flush(&(struct iovec){f->message, 8}, 1, &tag));
}

/* A client that opens all it can leaves the process some descriptors, and gets them back. */
static void test_limits(struct fixture *f, gconstpointer data)
{
	struct rlimit limit, few = {64, 64};
	unsigned n = 1;
	int fd, status;

	p9_free(f->p9);
	getrlimit(RLIMIT_NOFILE, &limit);
	few.rlim_max = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	open_folder(f, false);
	put_file(f, "file", "content");
	while ((status = walk(f, n, "file")) == 0)
		n++;
	g_assert_cmpint(status, ==, ENFILE);
	g_assert_cmpuint(n, >, 20);
	/* Low numbers stay for who uses select(). */
	if (limit.rlim_max >= 4096) {
		few.rlim_cur = 4096;
		setrlimit(RLIMIT_NOFILE, &few);
		p9_free(f->p9);
		open_folder(f, false);
		for (n = 1; walk(f, n, "file") == 0; n++)
			;
		fd = dup(0);
		g_assert_true(n > 1024 && fd < 100);
		close(fd);
	}
	fd = dup(0);
	g_assert_cmpint(fd, >=, 0);
	close(fd);
	g_assert_cmpint(call(f, TCLUNK, "4", 1), ==, 0);
	g_assert_cmpint(walk(f, 1, "file"), ==, 0);
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void test_no_folder(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(p9_new("/nowhere", false, &error));
	g_assert_cmpstr(error->message, ==,
			"cannot share '/nowhere': No such file or directory; name a folder that you can read");
	g_clear_error(&error);
	g_assert_null(p9_new("/dev/null", false, &error));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *f, gconstpointer data);
	} tests[] = {
		{"write-and-read", test_write_and_read},
		{"open", test_open},
		{"walk", test_walk},
		{"confinement", test_confinement},
		{"special-files", test_special_files},
		{"setattr", test_setattr},
		{"names", test_names},
		{"readdir", test_readdir},
		{"locks", test_locks},
		{"read-only", test_read_only},
		{"session", test_session},
		{"framing", test_framing},
		{"limits", test_limits},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strconcat("/p9/", tests[i].name, NULL);

		g_test_add(path, struct fixture, NULL, setup, tests[i].run, teardown);
	}
	g_test_add_func("/p9/no-folder", test_no_folder);
	return g_test_run();
}
