/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What messages do to a file: find, open, read, write, attributes, locks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
	char tree[P9_MAX_NAME + 1];
	int status;

	c->fid = p9_get(c, 4);
	p9_get(c, 4);
	p9_get_string(c, c->names[0], P9_MAX_NAME);
	p9_get_string(c, tree, P9_MAX_NAME);
	if (c->bad)
		return EINVAL;
	if (tree[0] && strcmp(tree, "/"))
		return ENOENT;
	root.node = p9_node_ref(p9->root);
	status = put_qid_of(p9, c, p9->root->fd);
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

		status = p9_node_walk(p9, place, c->names[*walked], &next);
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
	uint32_t newfid = p9_get(c, 4);
	unsigned n = p9_get(c, 2), walked;
	struct p9_place place;
	int status;

	for (unsigned i = 0; i < MIN(n, P9_MAX_WALK); i++)
		p9_get_name(c, c->names[i], true);
	if (c->bad || n > P9_MAX_WALK)
		return EINVAL;
	if (c->place.open)
		return EBUSY;
	p9_place_copy(&place, &c->place);
	p9_put(c, 0, 2);
	status = walk(p9, c, &place, n, &walked);
	if (status && walked)
		status = 0;
	else if (!status && newfid == c->fid)
		status = p9_fid_replace(p9, newfid, &place);
	else if (!status)
		status = p9_fid_add(p9, newfid, &place);
	p9_place_clear(&place);
	le16_store(c->reply + P9_HEADER, walked);
	return status;
}

int p9_do_clunk(struct p9 *p9, struct p9_call *c)
{
	return p9_fid_remove(p9, c->fid);
}

/* Linux's flags on this host, which are the protocol's; O_CREAT is Tlcreate's. */
int p9_do_lopen(struct p9 *p9, struct p9_call *c)
{
	uint32_t flags = p9_get(c, 4);
	struct p9_place place;
	int status;

	if (c->bad || c->place.open)
		return EINVAL;
	if (p9->read_only && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
		return EROFS;
	p9_place_copy(&place, &c->place);
	status = p9_node_open(p9, place.node, flags & (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY),
			      &place.open);
	if (!status)
		status = put_qid_of(p9, c, place.open->fd);
	if (!status)
		status = p9_fid_replace(p9, c->fid, &place);
	p9_place_clear(&place);
	p9_put(c, 0, 4);
	return status;
}

/* Straight into the room behind the reply's header. */
int p9_do_read(struct p9 *p9, struct p9_call *c)
{
	uint64_t offset = p9_get(c, 8);
	uint32_t count = p9_get(c, 4);
	ssize_t n;

	if (c->bad || c->room < RREAD_HEADER)
		return EINVAL;
	count = MIN(count, c->room - RREAD_HEADER);
	n = preadv(c->place.open->fd, c->slice, p9_slice(c, c->in, c->n_in, RREAD_HEADER, count), offset);
	if (n < 0)
		return errno;
	p9_put(c, n, 4);
	c->data_len = n;
	return 0;
}

int p9_do_write(struct p9 *p9, struct p9_call *c)
{
	uint64_t offset = p9_get(c, 8);
	uint32_t count = p9_get(c, 4);
	ssize_t n;

	if (c->bad || count > c->size - TWRITE_HEADER)
		return EINVAL;
	n = pwritev(c->place.open->fd, c->slice, p9_slice(c, c->out, c->n_out, TWRITE_HEADER, count), offset);
	if (n < 0)
		return errno;
	p9_put(c, n, 4);
	return 0;
}

int p9_do_fsync(struct p9 *p9, struct p9_call *c)
{
	bool data = c->at < c->end && p9_get(c, 4);

	return (data ? fdatasync : fsync)(c->place.open->fd) ? errno : 0;
}

static void put_time(struct p9_call *c, struct timespec time)
{
	p9_put(c, time.tv_sec, 8);
	p9_put(c, time.tv_nsec, 8);
}

int p9_do_getattr(struct p9 *p9, struct p9_call *c)
{
	enum { BASIC = 0x7ff };
	struct stat st;

	if (fstat(c->place.node->fd, &st))
		return errno;
	p9_put(c, BASIC, 8);
	p9_put_qid(c, p9, st.st_mode, st.st_dev, st.st_ino);
	p9_put(c, st.st_mode, 4);
	p9_put(c, st.st_uid, 4);
	p9_put(c, st.st_gid, 4);
	p9_put(c, st.st_nlink, 8);
	p9_put(c, st.st_rdev, 8);
	p9_put(c, st.st_size, 8);
	p9_put(c, st.st_blksize, 8);
	p9_put(c, st.st_blocks, 8);
	put_time(c, st.st_atim);
	put_time(c, st.st_mtim);
	put_time(c, st.st_ctim);
	put_time(c, (struct timespec){0}); /* of birth; and what is kept for later: */
	p9_put(c, 0, 8);
	p9_put(c, 0, 8);
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
	struct timespec time = {.tv_sec = p9_get(c, 8)};

	time.tv_nsec = p9_get(c, 8);
	if (!(valid & set))
		time.tv_nsec = UTIME_OMIT;
	else if (!(valid & to))
		time.tv_nsec = UTIME_NOW;
	return time;
}

static int set_owner(const struct p9_node *node, uid_t uid, gid_t gid)
{
	int status = fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);

	return status && errno != EPERM ? errno : 0;
}

static int set_size(struct p9 *p9, struct p9_node *node, uint64_t size)
{
	struct p9_open *open;
	struct p9_place place = {0};
	int status;

	if (node->type != S_IFREG)
		return EINVAL;
	status = p9_node_open(p9, node, O_WRONLY, &open);
	if (status)
		return status;
	status = ftruncate(open->fd, size) ? errno : 0;
	place.open = open;
	p9_place_clear(&place);
	return status;
}

/* A symbolic link has no mode. What has one loses none of its folder's bits but the guest's to set. */
static int set_mode(const struct p9_node *node, uint32_t mode)
{
	char path[32];

	if (node->type == S_IFLNK)
		return EOPNOTSUPP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", node->fd);
	return chmod(path, mode & (node->type == S_IFDIR ? 03777 : 01777)) ? errno : 0;
}

static int set_times(const struct p9_node *node, const struct timespec times[2])
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", node->fd);
	return utimensat(AT_FDCWD, path, times, 0) ? errno : 0;
}

int p9_do_setattr(struct p9 *p9, struct p9_call *c)
{
	struct p9_node *node = c->place.node;
	uint32_t valid = p9_get(c, 4), mode = p9_get(c, 4), uid = p9_get(c, 4), gid = p9_get(c, 4);
	uint64_t size = p9_get(c, 8);
	struct timespec times[2];
	int status = 0;

	times[0] = get_time(c, valid, SET_ATIME, SET_ATIME_TO);
	times[1] = get_time(c, valid, SET_MTIME, SET_MTIME_TO);
	if (c->bad)
		return EINVAL;
	if (valid & (SET_UID | SET_GID))
		status = set_owner(node, valid & SET_UID ? uid : -1u, valid & SET_GID ? gid : -1u);
	if (!status && valid & SET_SIZE)
		status = set_size(p9, node, size);
	if (!status && valid & SET_MODE)
		status = set_mode(node, mode);
	if (!status && valid & (SET_ATIME | SET_MTIME))
		status = set_times(node, times);
	return status;
}

int p9_do_statfs(struct p9 *p9, struct p9_call *c)
{
	struct statfs st;

	if (fstatfs(c->place.node->fd, &st))
		return errno;
	p9_put(c, FILE_SYSTEM_9P, 4);
	p9_put(c, st.f_bsize, 4);
	p9_put(c, st.f_blocks, 8);
	p9_put(c, st.f_bfree, 8);
	p9_put(c, st.f_bavail, 8);
	p9_put(c, st.f_files, 8);
	p9_put(c, st.f_ffree, 8);
	p9_put(c, 0, 8);
	p9_put(c, P9_MAX_NAME, 4);
	return 0;
}

int p9_do_readlink(struct p9 *p9, struct p9_call *c)
{
	char target[P9_MAX_TARGET + 1];
	ssize_t n = readlinkat(c->place.node->fd, "", target, P9_MAX_TARGET);

	if (n < 0)
		return errno == ENOENT ? EINVAL : errno;
	target[n] = '\0';
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
	uint8_t type = p9_get(c, 1);

	if (flags)
		p9_get(c, 4);
	*lock = (struct flock){.l_whence = SEEK_SET};
	lock->l_start = p9_get(c, 8);
	lock->l_len = p9_get(c, 8);
	if (c->bad || type >= G_N_ELEMENTS(lock_types))
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
		p9_put(c, P9_LOCK_SUCCESS, 1);
	else
		p9_put(c, errno == EAGAIN || errno == EACCES ? P9_LOCK_BLOCKED : P9_LOCK_ERROR, 1);
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
	p9_put(c, type, 1);
	p9_put(c, lock.l_start, 8);
	p9_put(c, lock.l_len, 8);
	p9_put(c, 0, 4);
	p9_put_string(c, "");
	return 0;
}
