/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What messages do to a file: find, open, read, write, attributes, locks. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "share/p9_int.h"

enum {
	RREAD_HEADER = P9_HEADER + 4,
	TWRITE_HEADER = P9_HEADER + 16,
	FILE_SYSTEM_9P = 0x01021997,
};

static int put_qid_of(struct p9 *p9, struct p9_call *c, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return errno;
	p9_put_qid(c, p9, st.st_mode, st.st_dev, st.st_ino);
	return 0;
}

/* fid, afid, user's name, tree, user's number. There is one tree. */
int p9_do_attach(struct p9 *p9, struct p9_call *c)
{
	struct p9_place root = {0};
	char tree[TREE_MAX_NAME + 1];
	int status;

	c->fid = message_get(&c->m, 4);
	message_get(&c->m, 4);
	p9_get_string(c, c->names[0], TREE_MAX_NAME);
	p9_get_string(c, tree, TREE_MAX_NAME);
	if (c->m.bad)
		return EINVAL;
	if (tree[0] && strcmp(tree, "/"))
		return ENOENT;
	root.node = tree_node_ref(p9->tree.root);
	status = put_qid_of(p9, c, p9->tree.root->fd);
	if (!status)
		status = p9_fid_add(p9, c->fid, &root);
	p9_place_clear(&root);
	return status;
}

/* Goes on from *place as far as names lead; the qids of the way are in the reply. */
static int walk(struct p9 *p9, struct p9_call *c, struct p9_place *place, unsigned n, unsigned *walked)
{
	int status = 0;

	for (*walked = 0; *walked < n; ++*walked) {
		struct p9_place next;

		status = p9_place_walk(place, c->names[*walked], &next);
		if (status)
			break;
		p9_place_clear(place);
		*place = next;
		status = put_qid_of(p9, c, place->node->fd);
		if (status)
			break;
	}
	return status;
}

/* fid, newfid, names. A walk that gets nowhere is an error; one that gets half-way says how far, and makes no fid. */
int p9_do_walk(struct p9 *p9, struct p9_call *c)
{
	uint32_t newfid = message_get(&c->m, 4);
	unsigned n = message_get(&c->m, 2), walked;
	struct p9_place place;
	int status;

	for (unsigned i = 0; i < MIN(n, P9_MAX_WALK); i++)
		p9_get_name(c, c->names[i], true);
	if (c->m.bad || n > P9_MAX_WALK)
		return EINVAL;
	if (c->place.open)
		return EBUSY;
	p9_place_copy(&place, &c->place);
	message_put(&c->m, 0, 2);
	status = walk(p9, c, &place, n, &walked);
	if (status && walked)
		status = 0;
	else if (!status && newfid == c->fid)
		status = p9_fid_replace(p9, newfid, &place);
	else if (!status)
		status = p9_fid_add(p9, newfid, &place);
	p9_place_clear(&place);
	le16_store(c->m.reply + P9_HEADER, walked);
	return status;
}

int p9_do_clunk(struct p9 *p9, struct p9_call *c)
{
	return p9_fid_remove(p9, c->fid);
}

/* Linux's flags on this host, which are the protocol's; O_CREAT is Tlcreate's. */
int p9_do_lopen(struct p9 *p9, struct p9_call *c)
{
	uint32_t flags = message_get(&c->m, 4);
	struct p9_place place;
	int status;

	if (c->m.bad || c->place.open)
		return EINVAL;
	p9_place_copy(&place, &c->place);
	status = tree_node_open(place.node, flags, &place.open);
	if (!status)
		status = put_qid_of(p9, c, place.open->fd);
	if (!status)
		status = p9_fid_replace(p9, c->fid, &place);
	p9_place_clear(&place);
	message_put(&c->m, 0, 4);
	return status;
}

/* Straight into the room behind the reply's header. */
int p9_do_read(struct p9 *p9, struct p9_call *c)
{
	uint64_t offset = message_get(&c->m, 8);
	uint32_t count = message_get(&c->m, 4);
	ssize_t n;

	if (c->m.bad || c->m.room < RREAD_HEADER)
		return EINVAL;
	count = MIN(count, c->m.room - RREAD_HEADER);
	n = preadv(c->place.open->fd, c->m.slice, message_slice(&c->m, c->m.in, c->m.n_in, RREAD_HEADER, count), offset);
	if (n < 0)
		return errno;
	message_put(&c->m, n, 4);
	c->m.data_len = n;
	return 0;
}

int p9_do_write(struct p9 *p9, struct p9_call *c)
{
	uint64_t offset = message_get(&c->m, 8);
	uint32_t count = message_get(&c->m, 4);
	ssize_t n;

	if (c->m.bad || count > c->m.size - TWRITE_HEADER)
		return EINVAL;
	n = pwritev(c->place.open->fd, c->m.slice, message_slice(&c->m, c->m.out, c->m.n_out, TWRITE_HEADER, count), offset);
	if (n < 0)
		return errno;
	message_put(&c->m, n, 4);
	return 0;
}

int p9_do_fsync(struct p9 *p9, struct p9_call *c)
{
	bool data = c->m.at < c->m.end && message_get(&c->m, 4);

	return (data ? fdatasync : fsync)(c->place.open->fd) ? errno : 0;
}

static void put_time(struct p9_call *c, struct timespec time)
{
	message_put(&c->m, time.tv_sec, 8);
	message_put(&c->m, time.tv_nsec, 8);
}

int p9_do_getattr(struct p9 *p9, struct p9_call *c)
{
	enum { BASIC = 0x7ff };
	struct stat st;

	if (fstat(c->place.node->fd, &st))
		return errno;
	message_put(&c->m, BASIC, 8);
	p9_put_qid(c, p9, st.st_mode, st.st_dev, st.st_ino);
	message_put(&c->m, st.st_mode, 4);
	message_put(&c->m, st.st_uid, 4);
	message_put(&c->m, st.st_gid, 4);
	message_put(&c->m, st.st_nlink, 8);
	message_put(&c->m, st.st_rdev, 8);
	message_put(&c->m, st.st_size, 8);
	message_put(&c->m, st.st_blksize, 8);
	message_put(&c->m, st.st_blocks, 8);
	put_time(c, st.st_atim);
	put_time(c, st.st_mtim);
	put_time(c, st.st_ctim);
	put_time(c, (struct timespec){0}); /* of birth; and what is kept for later: */
	message_put(&c->m, 0, 8);
	message_put(&c->m, 0, 8);
	return 0;
}

enum {
	SET_MODE = 1 << 0,
	SET_UID = 1 << 1,
	SET_GID = 1 << 2,
	SET_SIZE = 1 << 3,
	SET_ATIME = 1 << 4,
	SET_MTIME = 1 << 5,
	SET_ATIME_TO = 1 << 7,
	SET_MTIME_TO = 1 << 8,
};

static struct timespec get_time(struct p9_call *c, uint32_t valid, uint32_t set, uint32_t to)
{
	struct timespec time = {.tv_sec = message_get(&c->m, 8)};

	time.tv_nsec = message_get(&c->m, 8);
	if (!(valid & set))
		time.tv_nsec = UTIME_OMIT;
	else if (!(valid & to))
		time.tv_nsec = UTIME_NOW;
	return time;
}

int p9_do_setattr(struct p9 *p9, struct p9_call *c)
{
	struct tree_node *node = c->place.node;
	uint32_t valid = message_get(&c->m, 4), mode = message_get(&c->m, 4), uid = message_get(&c->m, 4), gid = message_get(&c->m, 4);
	uint64_t size = message_get(&c->m, 8);
	struct timespec times[2];
	int status = 0;

	times[0] = get_time(c, valid, SET_ATIME, SET_ATIME_TO);
	times[1] = get_time(c, valid, SET_MTIME, SET_MTIME_TO);
	if (c->m.bad)
		return EINVAL;
	if (valid & (SET_UID | SET_GID))
		status = tree_set_owner(node, valid & SET_UID ? uid : -1u, valid & SET_GID ? gid : -1u);
	if (!status && valid & SET_SIZE)
		status = tree_set_size(node, size);
	if (!status && valid & SET_MODE)
		status = tree_set_mode(node, mode);
	if (!status && valid & (SET_ATIME | SET_MTIME))
		status = tree_set_times(node, times);
	return status;
}

int p9_do_statfs(struct p9 *p9, struct p9_call *c)
{
	struct statfs st;

	if (fstatfs(c->place.node->fd, &st))
		return errno;
	message_put(&c->m, FILE_SYSTEM_9P, 4);
	message_put(&c->m, st.f_bsize, 4);
	message_put(&c->m, st.f_blocks, 8);
	message_put(&c->m, st.f_bfree, 8);
	message_put(&c->m, st.f_bavail, 8);
	message_put(&c->m, st.f_files, 8);
	message_put(&c->m, st.f_ffree, 8);
	message_put(&c->m, 0, 8);
	message_put(&c->m, TREE_MAX_NAME, 4);
	return 0;
}

int p9_do_readlink(struct p9 *p9, struct p9_call *c)
{
	char target[TREE_MAX_TARGET + 1];
	int status = tree_readlink(c->place.node, target);

	if (status)
		return status;
	p9_put_string(c, target);
	return 0;
}

/*
 * Locks are the host's, of what is open (F_OFD_SETLK), so that other VMs and programs of the host heed them. Nobody waits
 * here: a client that wants to tries again.
 */
enum { P9_LOCK_READ, P9_LOCK_WRITE, P9_LOCK_NONE };
enum { P9_LOCK_SUCCESS, P9_LOCK_BLOCKED, P9_LOCK_ERROR };

static const short lock_types[] = {[P9_LOCK_READ] = F_RDLCK, [P9_LOCK_WRITE] = F_WRLCK, [P9_LOCK_NONE] = F_UNLCK};

static bool get_lock(struct p9_call *c, struct flock *lock, bool flags)
{
	uint8_t type = message_get(&c->m, 1);

	if (flags)
		message_get(&c->m, 4);
	*lock = (struct flock){.l_whence = SEEK_SET};
	lock->l_start = message_get(&c->m, 8);
	lock->l_len = message_get(&c->m, 8);
	if (c->m.bad || type >= G_N_ELEMENTS(lock_types))
		return false;
	lock->l_type = lock_types[type];
	return true;
}

int p9_do_lock(struct p9 *p9, struct p9_call *c)
{
	struct flock lock;

	if (!get_lock(c, &lock, true))
		return EINVAL;
	if (fcntl(c->place.open->fd, F_OFD_SETLK, &lock) == 0)
		message_put(&c->m, P9_LOCK_SUCCESS, 1);
	else
		message_put(&c->m, errno == EAGAIN || errno == EACCES ? P9_LOCK_BLOCKED : P9_LOCK_ERROR, 1);
	return 0;
}

int p9_do_getlock(struct p9 *p9, struct p9_call *c)
{
	struct flock lock;
	unsigned type = P9_LOCK_READ;

	if (!get_lock(c, &lock, false))
		return EINVAL;
	if (fcntl(c->place.open->fd, F_OFD_GETLK, &lock))
		return errno;
	while (lock_types[type] != lock.l_type)
		type++;
	message_put(&c->m, type, 1);
	message_put(&c->m, lock.l_start, 8);
	message_put(&c->m, lock.l_len, 8);
	message_put(&c->m, 0, 4);
	p9_put_string(c, "");
	return 0;
}
