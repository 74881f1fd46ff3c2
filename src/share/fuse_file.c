/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What messages do to a file: open, read, write, attributes. */
#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "share/fuse_int.h"

enum {
	READ_DATA = sizeof(struct fuse_out_header),
	WRITE_DATA = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
	MAX_COPY = 16 << 20, /* at once: a worker is to come back soon */
	VALID = 1,	     /* seconds for which the client believes what it was told */
};

/* The lower half of st_rdev is a device as the kernel encodes it, and the protocol. */
static void make_attr(const struct fuse *fuse, const struct stat *st, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = tree_inode(&fuse->tree, st->st_dev, st->st_ino),
		.size = st->st_size,
		.blocks = st->st_blocks,
		.atime = st->st_atim.tv_sec,
		.mtime = st->st_mtim.tv_sec,
		.ctime = st->st_ctim.tv_sec,
		.atimensec = st->st_atim.tv_nsec,
		.mtimensec = st->st_mtim.tv_nsec,
		.ctimensec = st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.blksize = st->st_blksize,
	};
}

/* Linux drops at once what it may believe for no time, and so gives descriptors back. */
int fuse_make_entry(struct fuse *fuse, struct tree_node *node, struct fuse_entry_out *entry)
{
	struct stat st;
	int status = fstat(node->fd, &st) ? errno : 0;

	if (status) {
		tree_node_unref(node);
		return status;
	}
	*entry = (struct fuse_entry_out){
		.entry_valid = tree_is_crowded(&fuse->tree) ? 0 : VALID,
		.attr_valid = VALID,
	};
	make_attr(fuse, &st, &entry->attr);
	entry->nodeid = fuse_inode_add(fuse, node, &st);
	return 0;
}

void fuse_put_handle(struct fuse *fuse, struct fuse_call *c, struct tree_open *open)
{
	struct fuse_open_out out = {.fh = fuse_handle_add(fuse, open)};

	message_put_bytes(&c->m, &out, sizeof(out));
}

static int put_attr(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_attr_out out = {.attr_valid = VALID};
	struct stat st;

	if (fstat(c->node->fd, &st))
		return errno;
	make_attr(fuse, &st, &out.attr);
	message_put_bytes(&c->m, &out, sizeof(out));
	return 0;
}

int fuse_do_getattr(struct fuse *fuse, struct fuse_call *c)
{
	return put_attr(fuse, c);
}

/* Who has the file open for writing may cut it off, whatever its mode. */
static int set_size(struct fuse *fuse, struct tree_node *node, const struct fuse_setattr_in *in)
{
	struct tree_open *open;
	int status;

	if (!(in->valid & FATTR_FH))
		return tree_set_size(node, in->size);
	status = fuse_handle_get(fuse, in->fh, &open);
	if (status)
		return status;
	status = ftruncate(open->fd, in->size) ? errno : 0;
	tree_open_unref(open);
	return status;
}

static struct timespec make_time(bool set, bool now, uint64_t seconds, uint32_t ns)
{
	return (struct timespec){.tv_sec = seconds, .tv_nsec = !set ? UTIME_OMIT : now ? UTIME_NOW : ns};
}

int fuse_do_setattr(struct fuse *fuse, struct fuse_call *c)
{
	struct timespec times[2];
	struct fuse_setattr_in in;
	uint32_t valid;
	int status = 0;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad)
		return EINVAL;
	valid = in.valid;
	times[0] = make_time(valid & FATTR_ATIME, valid & FATTR_ATIME_NOW, in.atime, in.atimensec);
	times[1] = make_time(valid & FATTR_MTIME, valid & FATTR_MTIME_NOW, in.mtime, in.mtimensec);
	if (valid & (FATTR_UID | FATTR_GID))
		status = tree_set_owner(c->node, valid & FATTR_UID ? in.uid : -1u, valid & FATTR_GID ? in.gid : -1u);
	if (!status && valid & FATTR_SIZE)
		status = set_size(fuse, c->node, &in);
	if (!status && valid & FATTR_MODE)
		status = tree_set_mode(c->node, in.mode);
	if (!status && valid & (FATTR_ATIME | FATTR_MTIME))
		status = tree_set_times(c->node, times);
	return status ? status : put_attr(fuse, c);
}

int fuse_do_readlink(struct fuse *fuse, struct fuse_call *c)
{
	char target[TREE_MAX_TARGET + 1];
	int status = tree_readlink(c->node, target);

	if (!status)
		message_put_bytes(&c->m, target, strlen(target));
	return status;
}

/* Linux's flags on this host, which are the protocol's. */
static int open_node(struct fuse *fuse, struct fuse_call *c, int more)
{
	struct fuse_open_in in;
	struct tree_open *open;
	int status;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad)
		return EINVAL;
	status = tree_node_open(c->node, in.flags | more, &open);
	if (!status)
		fuse_put_handle(fuse, c, open);
	return status;
}

int fuse_do_open(struct fuse *fuse, struct fuse_call *c)
{
	return open_node(fuse, c, 0);
}

int fuse_do_opendir(struct fuse *fuse, struct fuse_call *c)
{
	return open_node(fuse, c, O_DIRECTORY);
}

int fuse_do_release(struct fuse *fuse, struct fuse_call *c)
{
	fuse_handle_remove(fuse, message_get(&c->m, 8));
	return 0;
}

/* Straight into the room behind the reply's header. */
int fuse_do_read(struct fuse *fuse, struct fuse_call *c)
{
	struct message *m = &c->m;
	struct fuse_read_in in;
	uint32_t size;
	ssize_t n;

	message_get_bytes(m, &in, sizeof(in));
	if (m->bad)
		return EINVAL;
	size = MIN(in.size, m->room - READ_DATA);
	n = preadv(c->open->fd, m->slice, message_slice(m, m->in, m->n_in, READ_DATA, size), in.offset);
	if (n < 0)
		return errno;
	m->data_len = n;
	return 0;
}

int fuse_do_write(struct fuse *fuse, struct fuse_call *c)
{
	struct message *m = &c->m;
	struct fuse_write_in in;
	struct fuse_write_out out = {0};
	ssize_t n;

	message_get_bytes(m, &in, sizeof(in));
	if (m->bad || in.size > m->size - WRITE_DATA)
		return EINVAL;
	n = pwritev(c->open->fd, m->slice, message_slice(m, m->out, m->n_out, WRITE_DATA, in.size), in.offset);
	if (n < 0)
		return errno;
	out.size = n;
	message_put_bytes(m, &out, sizeof(out));
	return 0;
}

int fuse_do_fsync(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_fsync_in in;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad)
		return EINVAL;
	return (in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync : fsync)(c->open->fd) ? errno : 0;
}

/* Only what looks for holes: the client keeps the position. */
int fuse_do_lseek(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_lseek_in in;
	off_t at;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad || (in.whence != SEEK_DATA && in.whence != SEEK_HOLE))
		return EINVAL;
	at = lseek(c->open->fd, in.offset, in.whence);
	if (at < 0)
		return errno;
	message_put(&c->m, at, 8);
	return 0;
}

/* Only holes: to allocate much, the guest would need no more than to say so, and the host long, and all of its memory on a tmpfs. */
int fuse_do_fallocate(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_fallocate_in in;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad)
		return EINVAL;
	if (in.mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return EOPNOTSUPP;
	return fallocate(c->open->fd, in.mode, in.offset, in.length) ? errno : 0;
}

int fuse_do_copy(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = {0};
	struct tree_open *to;
	off_t from_at, to_at;
	ssize_t n;
	int status;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad || in.flags)
		return EINVAL;
	status = fuse_handle_get(fuse, in.fh_out, &to);
	if (status)
		return status;
	from_at = in.off_in;
	to_at = in.off_out;
	n = copy_file_range(c->open->fd, &from_at, to->fd, &to_at, MIN(in.len, MAX_COPY), 0);
	status = n < 0 ? errno : 0;
	tree_open_unref(to);
	out.size = MAX(n, 0);
	message_put_bytes(&c->m, &out, sizeof(out));
	return status;
}

int fuse_do_statfs(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_statfs_out out = {0};
	struct statfs st;

	if (fstatfs(c->node->fd, &st))
		return errno;
	out.st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = st.f_bsize,
		.frsize = st.f_frsize,
		.namelen = TREE_MAX_NAME,
	};
	message_put_bytes(&c->m, &out, sizeof(out));
	return 0;
}
