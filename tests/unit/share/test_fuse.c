/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FUSE server, message by message, as Linux's virtiofs speaks. */
#include <dirent.h>
#include <linux/fuse.h>
#include <sys/resource.h>

#include "client.h"
#include "share/fuse.h"

#define ROOT	 FUSE_ROOT_ID
#define IN_SIZE	 sizeof(struct fuse_in_header)
#define OUT_SIZE sizeof(struct fuse_out_header)
#define BODY(f)	 ((void *)((f)->reply + OUT_SIZE))

struct fixture {
	char *outer, *folder; /* the shared one lies in the outer one */
	struct fuse *fuse;
	uint8_t message[MAX_MESSAGE], reply[MAX_MESSAGE];
	uint32_t body_len; /* of the reply */
};

static char *in(struct fixture *f, const char *name)
{
	static char *last;

	g_free(last);
	return last = g_build_filename(f->folder, name, NULL);
}

/* The message in pieces, as a driver may give it; `len` bytes of the reply. */
static uint32_t serve(struct fixture *f, uint32_t len, uint32_t room)
{
	struct iovec out[] = {{f->message, MIN(len, 43)}, {f->message + 43, len - MIN(len, 43)}};
	struct iovec reply[] = {{f->reply, MIN(room, 9)}, {f->reply + 9, room - MIN(room, 9)}};

	memset(f->reply, 0xee, sizeof(f->reply));
	return fuse_serve(f->fuse, out, 2, reply, 2);
}

static uint32_t make(struct fixture *f, uint32_t opcode, uint64_t node, const void *body, size_t len)
{
	struct fuse_in_header header = {.len = IN_SIZE + len, .opcode = opcode, .unique = 0x1234, .nodeid = node};

	memcpy(f->message, &header, IN_SIZE);
	memcpy(f->message + IN_SIZE, body, len);
	return header.len;
}

/* A structure and what follows it: 0, or the errno of the answer. */
static int call(struct fixture *f, uint32_t opcode, uint64_t node, const void *body, size_t len, const void *more,
		size_t more_len)
{
	const struct fuse_out_header *out = (void *)f->reply;
	uint32_t n = make(f, opcode, node, body, len);

	memcpy(f->message + n, more, more_len);
	((struct fuse_in_header *)f->message)->len += more_len;
	n = serve(f, n + more_len, sizeof(f->reply));
	g_assert_cmpuint(n, ==, out->len);
	g_assert_cmphex(out->unique, ==, 0x1234);
	f->body_len = n - OUT_SIZE;
	if (out->error)
		g_assert_cmpuint(f->body_len, ==, 0);
	return -out->error;
}

#define CALL(f, opcode, node, ...) \
	call(f, opcode, node, &(__VA_ARGS__), sizeof(__VA_ARGS__), "", 0)
#define CALL_NAME(f, opcode, node, name, ...) \
	call(f, opcode, node, &(__VA_ARGS__), sizeof(__VA_ARGS__), name, strlen(name) + 1)

static int call_name(struct fixture *f, uint32_t opcode, uint64_t node, const char *name)
{
	return call(f, opcode, node, name, strlen(name) + 1, "", 0);
}

/* The number of a name; 0: there is none. */
static uint64_t lookup(struct fixture *f, uint64_t node, const char *name)
{
	const struct fuse_entry_out *entry = BODY(f);

	if (call_name(f, FUSE_LOOKUP, node, name))
		return 0;
	g_assert_cmpuint(f->body_len, ==, sizeof(*entry));
	return entry->nodeid;
}

static int open_node(struct fixture *f, uint32_t opcode, uint64_t node, uint32_t flags, uint64_t *handle)
{
	const struct fuse_open_out *out = BODY(f);
	int status = CALL(f, opcode, node, (struct fuse_open_in){.flags = flags});

	if (!status)
		*handle = out->fh;
	return status;
}

static int write_at(struct fixture *f, uint64_t handle, uint64_t offset, const char *text, uint32_t size)
{
	struct fuse_write_in in = {.fh = handle, .offset = offset, .size = size};

	return call(f, FUSE_WRITE, 0, &in, sizeof(in), text, strlen(text));
}

static int read_at(struct fixture *f, uint64_t handle, uint64_t offset, uint32_t size)
{
	return CALL(f, FUSE_READ, 0, (struct fuse_read_in){.fh = handle, .offset = offset, .size = size});
}

static void forget(struct fixture *f, uint64_t node, uint64_t times)
{
	uint32_t len = make(f, FUSE_FORGET, node, &times, sizeof(times));

	g_assert_cmpuint(serve(f, len, 0), ==, 0);
}

static int init(struct fixture *f, uint32_t major)
{
	return CALL(f, FUSE_INIT, 0, (struct fuse_init_in){.major = major, .minor = 38, .flags = 0x7fffffff});
}

static void open_folder(struct fixture *f, bool read_only)
{
	const struct fuse_init_out *out = BODY(f);

	f->fuse = fuse_new(f->folder, read_only, NULL);
	g_assert_nonnull(f->fuse);
	g_assert_cmpint(init(f, 7), ==, 0);
	g_assert_cmpuint(f->body_len, ==, sizeof(*out));
	g_assert_cmpuint(out->major, ==, 7);
	g_assert_cmpuint(out->max_write, ==, out->max_pages * 4096);
	g_assert_cmphex(out->flags & (FUSE_POSIX_LOCKS | FUSE_WRITEBACK_CACHE | FUSE_EXPORT_SUPPORT), ==, 0);
}

static void setup(struct fixture *f, gconstpointer data)
{
	f->outer = g_dir_make_tmp("viv-fuse-XXXXXX", NULL);
	f->folder = g_build_filename(f->outer, "shared", NULL);
	g_mkdir(f->folder, 0755);
	open_folder(f, false);
}

static void teardown(struct fixture *f, gconstpointer data)
{
	fuse_free(f->fuse);
	remove_tree(f->outer);
	g_free(f->outer);
	g_free(f->folder);
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

static void test_init(struct fixture *f, gconstpointer data)
{
	uint64_t node;

	put_file(f, "file", "");
	node = lookup(f, ROOT, "file");
	g_assert_cmpint(init(f, 6), ==, EPROTO);
	g_assert_cmpint(init(f, 8), ==, 0);
	g_assert_cmpuint(*(uint32_t *)BODY(f), ==, 7);
	/* What was known is no more. */
	g_assert_cmpint(CALL(f, FUSE_GETATTR, node, (struct fuse_getattr_in){0}), ==, ESTALE);
	g_assert_cmpint(call(f, FUSE_INIT, 0, "", 0, "", 0), ==, EINVAL);
	g_assert_cmpint(call(f, FUSE_GETXATTR, ROOT, "", 0, "", 0), ==, ENOSYS);
	g_assert_cmpint(call(f, 4711, ROOT, "", 0, "", 0), ==, ENOSYS);
	g_assert_cmpint(call(f, FUSE_DESTROY, 0, "", 0, "", 0), ==, 0);
}

static void test_write_and_read(struct fixture *f, gconstpointer data)
{
	const struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} *made = BODY(f);
	const struct fuse_attr_out *attr = BODY(f);
	uint64_t node, handle = 0;
	struct stat st;

	g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, ROOT, "file", (struct fuse_create_in){.flags = O_RDWR, .mode = 06600}), ==, 0);
	g_assert_cmpuint(f->body_len, ==, sizeof(*made));
	node = made->entry.nodeid;
	handle = made->open.fh;
	g_assert_cmpint(write_at(f, handle, 3, "hello", 5), ==, 0);
	g_assert_cmpuint(((struct fuse_write_out *)BODY(f))->size, ==, 5);
	/* More than there is. */
	g_assert_cmpint(write_at(f, handle, 0, "hello", 6), ==, EINVAL);
	g_assert_cmpint(read_at(f, handle, 0, 100), ==, 0);
	g_assert_cmpmem(BODY(f), f->body_len, "\0\0\0hello", 8);
	g_assert_cmpint(read_at(f, handle, 8, 100), ==, 0);
	g_assert_cmpuint(f->body_len, ==, 0);
	g_assert_cmpint(CALL(f, FUSE_FSYNC, node, (struct fuse_fsync_in){handle, 1}), ==, 0);
	g_assert_cmpint(CALL(f, FUSE_GETATTR, node, (struct fuse_getattr_in){0}), ==, 0);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmpuint(attr->attr.ino, ==, st.st_ino);
	g_assert_cmphex(attr->attr.mode, ==, 0100600);
	g_assert_cmpuint(attr->attr.size, ==, 8);
	g_assert_cmpint(CALL(f, FUSE_LSEEK, node, (struct fuse_lseek_in){.fh = handle, .whence = SEEK_HOLE}), ==, 0);
	g_assert_cmpuint(((struct fuse_lseek_out *)BODY(f))->offset, ==, 8);
	g_assert_cmpint(CALL(f, FUSE_LSEEK, node, (struct fuse_lseek_in){.fh = handle, .whence = SEEK_SET}), ==, EINVAL);
	g_assert_cmpint(CALL(f, FUSE_FALLOCATE, node, (struct fuse_fallocate_in){.fh = handle, .length = 100}), ==, EOPNOTSUPP);
	g_assert_cmpint(CALL(f, FUSE_COPY_FILE_RANGE, node, (struct fuse_copy_file_range_in){
		.fh_in = handle, .off_in = 3, .fh_out = handle, .off_out = 50, .len = 5}), ==, 0);
	g_assert_cmpint(read_at(f, handle, 50, 6), ==, 0);
	g_assert_cmpmem(BODY(f), f->body_len, "hello", 5);
	g_assert_cmpint(CALL(f, FUSE_FALLOCATE, node, (struct fuse_fallocate_in){.fh = handle, .offset = 3, .length = 3,
		.mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE}), ==, 0);
	g_assert_cmpint(read_at(f, handle, 0, 8), ==, 0);
	g_assert_cmpmem(BODY(f), f->body_len, "\0\0\0\0\0\0lo", 8);
	g_assert_cmpint(CALL(f, FUSE_RELEASE, node, (struct fuse_release_in){.fh = handle}), ==, 0);
	g_assert_cmpint(read_at(f, handle, 0, 1), ==, EBADF);
	g_assert_cmpint(CALL(f, FUSE_RELEASE, node, (struct fuse_release_in){.fh = handle}), ==, EBADF);
}

static void test_open(struct fixture *f, gconstpointer data)
{
	struct fuse_create_in create = {.flags = O_RDWR | O_EXCL, .mode = 0600};
	uint64_t node, handle = 0;

	put_file(f, "file", "content");
	node = lookup(f, ROOT, "file");
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDONLY, &handle), ==, 0);
	g_assert_cmpint(write_at(f, handle, 0, "x", 1), ==, EBADF);
	g_assert_cmpint(open_node(f, FUSE_OPENDIR, node, O_RDONLY, &handle), ==, ENOTDIR);
	/* Unlinked, it can still be read. */
	g_assert_cmpint(call_name(f, FUSE_UNLINK, ROOT, "file"), ==, 0);
	g_assert_cmpint(read_at(f, handle, 0, 100), ==, 0);
	g_assert_cmpmem(BODY(f), f->body_len, "content", 7);
	/* Made where it is there: opened, unless it is to be new. */
	put_file(f, "again", "content");
	g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, ROOT, "again", create), ==, EEXIST);
	create.flags = O_RDWR | O_TRUNC;
	g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, ROOT, "again", create), ==, 0);
	assert_file(f, "again", "");
	/* What does something when it is opened. */
	g_assert_cmpint(mkfifo(in(f, "fifo"), 0600), ==, 0);
	g_assert_cmpint(open_node(f, FUSE_OPEN, lookup(f, ROOT, "fifo"), O_RDONLY, &handle), ==, ENXIO);
	g_assert_cmpint(open_node(f, FUSE_OPEN, 4711, O_RDONLY, &handle), ==, ESTALE);
}

/* A file has one number, and keeps it until it has been forgotten as often as it was told. */
static void test_numbers(struct fixture *f, gconstpointer data)
{
	struct {
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[2];
	} batch = {{2}};
	g_autofree char *hard = g_build_filename(f->folder, "hard", NULL);
	uint64_t node, other;

	put_file(f, "file", "content");
	g_assert_cmpint(link(in(f, "file"), hard), ==, 0);
	node = lookup(f, ROOT, "file");
	g_assert_cmpuint(lookup(f, ROOT, "hard"), ==, node);
	g_assert_cmpuint(lookup(f, ROOT, "file"), ==, node);
	forget(f, node, 2);
	g_assert_cmpint(CALL(f, FUSE_GETATTR, node, (struct fuse_getattr_in){0}), ==, 0);
	forget(f, node, 1);
	g_assert_cmpint(CALL(f, FUSE_GETATTR, node, (struct fuse_getattr_in){0}), ==, ESTALE);
	/* Which is used for nothing else. */
	other = lookup(f, ROOT, "file");
	g_assert_cmpuint(other, !=, node);
	batch.one[0] = (struct fuse_forget_one){node, 5};
	batch.one[1] = (struct fuse_forget_one){other, UINT64_MAX};
	g_assert_cmpuint(serve(f, make(f, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch)), 0), ==, 0);
	g_assert_cmpint(CALL(f, FUSE_GETATTR, other, (struct fuse_getattr_in){0}), ==, ESTALE);
	forget(f, ROOT, 100);
	g_assert_cmpint(CALL(f, FUSE_GETATTR, ROOT, (struct fuse_getattr_in){0}), ==, 0);
}

/* Nothing leads out. */
static void test_confinement(struct fixture *f, gconstpointer data)
{
	static const char *const names[] = {"../outside", "/etc", "a/b", ".", "..", ""};
	g_autofree char *outside = g_build_filename(f->outer, "outside", NULL);
	struct fuse_mkdir_in folder = {.mode = 0755};
	struct fuse_rename_in rename = {.newdir = ROOT};
	uint64_t node, handle = 0;

	g_mkdir(outside, 0755);
	g_assert_cmpint(symlink("../outside", in(f, "link")), ==, 0);
	put_file(f, "file", "content");
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		char two[64] = "file";
		size_t len = 5 + g_strlcpy(two + 5, names[i], sizeof(two) - 5) + 1;

		g_assert_cmpint(call_name(f, FUSE_LOOKUP, ROOT, names[i]), ==, EINVAL);
		g_assert_cmpint(call_name(f, FUSE_RMDIR, ROOT, names[i]), ==, EINVAL);
		g_assert_cmpint(call_name(f, FUSE_UNLINK, ROOT, names[i]), ==, EINVAL);
		g_assert_cmpint(CALL_NAME(f, FUSE_MKDIR, ROOT, names[i], folder), ==, EINVAL);
		g_assert_cmpint(CALL_NAME(f, FUSE_MKNOD, ROOT, names[i], (struct fuse_mknod_in){.mode = S_IFREG | 0600}), ==, EINVAL);
		g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, ROOT, names[i], (struct fuse_create_in){.flags = O_RDWR}), ==, EINVAL);
		g_assert_cmpint(CALL_NAME(f, FUSE_LINK, ROOT, names[i], (struct fuse_link_in){lookup(f, ROOT, "file")}), ==, EINVAL);
		g_assert_cmpint(call(f, FUSE_RENAME, ROOT, &rename, sizeof(rename), two, len), ==, EINVAL);
		g_assert_cmpint(call(f, FUSE_SYMLINK, ROOT, names[i], strlen(names[i]) + 1, "x", 2), ==, EINVAL);
	}
	/* No end. */
	g_assert_cmpint(call(f, FUSE_LOOKUP, ROOT, "file", 4, "", 0), ==, EINVAL);
	/* A symbolic link is itself, not what it points to. */
	node = lookup(f, ROOT, "link");
	g_assert_cmphex(((struct fuse_entry_out *)BODY(f))->attr.mode & S_IFMT, ==, S_IFLNK);
	g_assert_cmpint(call_name(f, FUSE_LOOKUP, node, "x"), ==, ENOTDIR);
	g_assert_cmpint(CALL_NAME(f, FUSE_MKDIR, node, "made", folder), ==, ENOTDIR);
	g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, node, "made", (struct fuse_create_in){.flags = O_RDWR}), ==, ENOTDIR);
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDONLY, &handle), ==, ELOOP);
	g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, ROOT, "link", (struct fuse_create_in){.flags = O_RDWR}), ==, ELOOP);
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, (struct fuse_setattr_in){.valid = FATTR_SIZE}), ==, EINVAL);
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, (struct fuse_setattr_in){.valid = FATTR_MODE}), ==, EOPNOTSUPP);
	g_assert_cmpint(g_rmdir(outside), ==, 0);
}

static void test_make_and_rename(struct fixture *f, gconstpointer data)
{
	struct fuse_rename2_in rename = {.newdir = ROOT, .flags = RENAME_NOREPLACE};
	g_autofree char *long_name = g_strnfill(300, 'x');
	uint64_t folder;
	struct stat st;

	g_assert_cmpint(CALL_NAME(f, FUSE_MKDIR, ROOT, "folder", (struct fuse_mkdir_in){.mode = 06755}), ==, 0);
	folder = ((struct fuse_entry_out *)BODY(f))->nodeid;
	g_assert_cmpint(stat(in(f, "folder"), &st), ==, 0);
	g_assert_cmphex(st.st_mode & 07777, ==, 0755);
	g_assert_cmpint(CALL_NAME(f, FUSE_MKNOD, folder, "file", (struct fuse_mknod_in){.mode = S_IFREG | 06644}), ==, 0);
	g_assert_cmpint(CALL_NAME(f, FUSE_MKNOD, folder, "null", (struct fuse_mknod_in){.mode = S_IFCHR | 0666, .rdev = 0x103}), ==, EPERM);
	g_assert_cmpint(call(f, FUSE_SYMLINK, folder, "sym", 4, "../target", 10), ==, 0);
	g_assert_cmpint(call(f, FUSE_READLINK, lookup(f, folder, "sym"), "", 0, "", 0), ==, 0);
	g_assert_cmpmem(BODY(f), f->body_len, "../target", 9);
	g_assert_cmpint(CALL_NAME(f, FUSE_LINK, ROOT, "hard", (struct fuse_link_in){lookup(f, folder, "file")}), ==, 0);
	g_assert_cmpuint(((struct fuse_entry_out *)BODY(f))->attr.nlink, ==, 2);
	g_assert_cmpint(call(f, FUSE_RENAME2, folder, &rename, sizeof(rename), "file\0hard", 10), ==, EEXIST);
	g_assert_cmpint(call(f, FUSE_RENAME2, folder, &rename, sizeof(rename), "file\0moved", 11), ==, 0);
	g_assert_cmpint(stat(in(f, "moved"), &st), ==, 0);
	rename.flags = 1 << 2; /* WHITEOUT would make a device */
	g_assert_cmpint(call(f, FUSE_RENAME2, ROOT, &rename, sizeof(rename), "moved\0x", 8), ==, EINVAL);
	g_assert_cmpint(call(f, FUSE_RENAME, ROOT, &folder, 8, "moved\0x", 8), ==, 0);
	g_assert_cmpint(stat(in(f, "folder/x"), &st), ==, 0);
	g_assert_cmpint(call_name(f, FUSE_RMDIR, ROOT, "folder"), ==, ENOTEMPTY);
	g_assert_cmpint(call_name(f, FUSE_UNLINK, folder, "x"), ==, 0);
	g_assert_cmpint(call_name(f, FUSE_UNLINK, folder, "sym"), ==, 0);
	g_assert_cmpint(call_name(f, FUSE_RMDIR, ROOT, "folder"), ==, 0);
	g_assert_cmpint(call_name(f, FUSE_LOOKUP, ROOT, long_name), ==, ENAMETOOLONG);
}

static void test_attributes(struct fixture *f, gconstpointer data)
{
	struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_MTIME | FATTR_SIZE | FATTR_UID, .mode = 04711, .mtime = 1234,
				      .mtimensec = 5, .size = 3, .uid = 12345};
	uint64_t node, handle = 0;
	struct stat st;

	put_file(f, "file", "content");
	node = lookup(f, ROOT, "file");
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, set), ==, 0);
	g_assert_cmpuint(((struct fuse_attr_out *)BODY(f))->attr.size, ==, 3);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmphex(st.st_mode & 07777, ==, 0711);
	g_assert_cmpint(st.st_mtim.tv_sec, ==, 1234);
	g_assert_cmpint(st.st_mtim.tv_nsec, ==, 5);
	assert_file(f, "file", "con");
	/* Through what is open, though the mode forbids it: as root that shows only by the handle. */
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDONLY, &handle), ==, 0);
	set = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = handle, .size = 1};
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, set), ==, EINVAL);
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDWR, &handle), ==, 0);
	set.fh = handle;
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, set), ==, 0);
	assert_file(f, "file", "c");
	set = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_MTIME_NOW};
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, set), ==, 0);
	g_assert_cmpint(stat(in(f, "file"), &st), ==, 0);
	g_assert_cmpint(st.st_mtim.tv_sec, >, 1234);
	g_assert_cmpint(call(f, FUSE_STATFS, ROOT, "", 0, "", 0), ==, 0);
	g_assert_cmpuint(f->body_len, ==, sizeof(struct fuse_statfs_out));
}

/* All names in the folder, each once, `size` bytes a message; those with a number are looked up, and forgotten again. */
static GHashTable *list(struct fixture *f, uint32_t opcode, uint32_t size)
{
	size_t plus = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
	GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	uint64_t handle = 0, offset = 0;
	g_autofree uint8_t *reply = g_malloc(sizeof(f->reply));

	g_assert_cmpint(open_node(f, FUSE_OPENDIR, ROOT, O_RDONLY, &handle), ==, 0);
	for (;;) {
		g_assert_cmpint(CALL(f, opcode, ROOT, (struct fuse_read_in){.fh = handle, .offset = offset, .size = size}), ==, 0);
		g_assert_cmpuint(f->body_len, <=, size);
		if (!f->body_len)
			break;
		memcpy(reply, BODY(f), f->body_len);
		for (uint32_t at = 0, n = f->body_len; at < n;) {
			const struct fuse_entry_out *entry = (void *)(reply + at);
			const struct fuse_dirent *name = (void *)(reply + at + plus);

			g_assert_true(g_hash_table_add(names, g_strndup(name->name, name->namelen)));
			if (plus && entry->nodeid) {
				g_assert_cmpuint(entry->attr.ino, ==, name->ino);
				forget(f, entry->nodeid, 1);
			} else if (plus) {
				g_assert_cmpint(name->name[0], ==, '.');
			}
			offset = name->off;
			at += plus + FUSE_DIRENT_SIZE(name);
		}
	}
	g_assert_cmpint(CALL(f, FUSE_RELEASEDIR, ROOT, (struct fuse_release_in){.fh = handle}), ==, 0);
	return names;
}

static void test_list(struct fixture *f, gconstpointer data)
{
	for (unsigned i = 0; i < 300; i++) {
		g_autofree char *name = g_strdup_printf("a file of number %u", i);

		put_file(f, name, "");
	}
	for (unsigned i = 0; i < 4; i++) {
		GHashTable *names = list(f, i & 1 ? FUSE_READDIRPLUS : FUSE_READDIR, i & 2 ? 512 : 60000);

		g_assert_cmpuint(g_hash_table_size(names), ==, 302);
		g_hash_table_unref(names);
	}
}

static void test_read_only(struct fixture *f, gconstpointer data)
{
	uint64_t node, handle = 0;

	put_file(f, "file", "content");
	fuse_free(f->fuse);
	open_folder(f, true);
	node = lookup(f, ROOT, "file");
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDWR, &handle), ==, EROFS);
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDONLY | O_TRUNC, &handle), ==, EROFS);
	g_assert_cmpint(open_node(f, FUSE_OPEN, node, O_RDONLY, &handle), ==, 0);
	g_assert_cmpint(read_at(f, handle, 0, 3), ==, 0);
	g_assert_cmpint(write_at(f, handle, 0, "x", 1), ==, EROFS);
	g_assert_cmpint(call_name(f, FUSE_UNLINK, ROOT, "file"), ==, EROFS);
	g_assert_cmpint(CALL_NAME(f, FUSE_MKDIR, ROOT, "new", (struct fuse_mkdir_in){0}), ==, EROFS);
	g_assert_cmpint(CALL_NAME(f, FUSE_CREATE, ROOT, "new", (struct fuse_create_in){0}), ==, EROFS);
	g_assert_cmpint(CALL(f, FUSE_SETATTR, node, (struct fuse_setattr_in){0}), ==, EROFS);
	assert_file(f, "file", "content");
}

/* Where descriptors become few, the client is to keep no names; where none is left, it is told so. */
static void test_limit(struct fixture *f, gconstpointer data)
{
	const struct fuse_entry_out *entry = BODY(f);
	struct rlimit limit, low;
	unsigned told = 0, kept = 0;
	int status = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	low = (struct rlimit){80, limit.rlim_max};
	g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	fuse_free(f->fuse);
	open_folder(f, false);
	for (unsigned i = 0; i < 60 && !status; i++) {
		g_autofree char *name = g_strdup_printf("%u", i);

		put_file(f, name, "");
		status = call_name(f, FUSE_LOOKUP, ROOT, name);
		told += !status;
		kept += !status && entry->entry_valid;
	}
	g_assert_cmpint(status, ==, ENFILE);
	g_assert_cmpuint(told, ==, 39);
	g_assert_cmpuint(kept, ==, 19);
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void test_nonsense(struct fixture *f, gconstpointer data)
{
	uint32_t len = make(f, FUSE_GETATTR, ROOT, "", 0), *size = (uint32_t *)f->message;

	for (uint32_t i = 0; i < len; i++)
		g_assert_cmpuint(serve(f, i, sizeof(f->reply)), ==, 0);
	g_assert_cmpuint(serve(f, len, OUT_SIZE - 1), ==, 0);
	/* Room for an error. */
	g_assert_cmpuint(serve(f, len, OUT_SIZE), ==, OUT_SIZE);
	g_assert_cmpint(((struct fuse_out_header *)f->reply)->error, ==, -EMSGSIZE);
	*size = len - 1;
	g_assert_cmpuint(serve(f, len, sizeof(f->reply)), ==, 0);
	*size = len + 1;
	g_assert_cmpuint(serve(f, len, sizeof(f->reply)), ==, 0);
	for (uint32_t opcode = 0; opcode < 60; opcode++) {
		len = make(f, opcode, ROOT, "", 0);
		serve(f, len, sizeof(f->reply));
		len = make(f, opcode, ROOT, "\377\377\377\377\377\377\377\377\377\377", 10);
		serve(f, len, sizeof(f->reply));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add("/fuse/" #name, struct fixture, NULL, setup, test_##name, teardown)
	ADD(init);
	ADD(write_and_read);
	ADD(open);
	ADD(numbers);
	ADD(confinement);
	ADD(make_and_rename);
	ADD(attributes);
	ADD(list);
	ADD(read_only);
	ADD(limit);
	ADD(nonsense);
	return g_test_run();
}
