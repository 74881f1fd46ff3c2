/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What messages do in a folder: list, make, rename, remove. Names are single ones, checked where they are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/p9_int.h"

#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC)

/* The call's place is a folder, whose descriptor can be used with names. */
static int folder_fd(const struct p9_call *c)
{
	return c->place.node->fd;
}

static int put_qid_at(struct p9 *p9, struct p9_call *c, const char *name)
{
	struct stat st;

	if (fstatat(folder_fd(c), name, &st, AT_SYMLINK_NOFOLLOW))
		return errno;
	p9_put_qid(c, p9, st.st_mode, st.st_dev, st.st_ino);
	return 0;
}

/* Makes a file and opens it; one that is there already is opened as Tlopen would. */
static int create(struct p9 *p9, struct p9_call *c, int flags, mode_t mode, struct p9_place *place)
{
	int fd = openat(folder_fd(c), c->names[0], O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | (flags & OPEN_FLAGS),
			mode & 01777);
	bool made = fd >= 0;
	int status = 0;

	if (made)
		status = p9_open_new(p9, fd, &place->open);
	else if (errno != EEXIST || flags & O_EXCL)
		status = errno;
	if (!status) {
		struct p9_open *open = place->open;

		status = p9_node_walk(p9, &c->place, c->names[0], place);
		place->open = open;
	}
	return status || made ? status : p9_node_open(p9, place->node, flags & OPEN_FLAGS, &place->open);
}

/* fid of the folder, which becomes the file's; name, flags, mode, group. */
int p9_do_lcreate(struct p9 *p9, struct p9_call *c)
{
	struct p9_place place = {0};
	uint32_t flags, mode;
	int status;

	p9_get_name(c, c->names[0], false);
	flags = p9_get(c, 4);
	mode = p9_get(c, 4);
	if (c->bad || c->place.open)
		return EINVAL;
	status = create(p9, c, flags, mode, &place);
	if (!status)
		status = put_qid_at(p9, c, c->names[0]);
	if (!status)
		status = p9_fid_replace(p9, c->fid, &place);
	p9_place_clear(&place);
	p9_put(c, 0, 4);
	return status;
}

/* struct linux_dirent64's types are the high nibble of a mode. */
static bool put_entry(struct p9 *p9, struct p9_call *c, const struct dirent64 *entry, uint32_t limit)
{
	size_t len = strlen(entry->d_name);

	if (c->reply_len + P9_QID_SIZE + 8 + 1 + 2 + len > limit)
		return false;
	p9_put_qid(c, p9, (mode_t)entry->d_type << 12, p9->device, entry->d_ino);
	p9_put(c, entry->d_off, 8);
	p9_put(c, entry->d_type, 1);
	p9_put_string(c, entry->d_name);
	return true;
}

/* Entries that fit; *n: how many bytes of them were read. */
static int list(struct p9 *p9, struct p9_call *c, uint32_t limit, ssize_t *n)
{
	char buf[16384] __attribute__((aligned(8)));

	*n = getdents64(c->place.open->fd, buf, MIN(sizeof(buf), limit));
	/* Less room than an entry of the host's takes. */
	if (*n < 0)
		return errno;
	for (ssize_t at = 0; at < *n;) {
		const struct dirent64 *entry = (const struct dirent64 *)(buf + at);

		if (!put_entry(p9, c, entry, limit))
			break;
		at += entry->d_reclen;
	}
	return 0;
}

/* offset, which an entry told or which is 0; count. */
int p9_do_readdir(struct p9 *p9, struct p9_call *c)
{
	uint64_t offset = p9_get(c, 8);
	uint32_t count = p9_get(c, 4), begin = c->reply_len + 4;
	struct p9_open *open = c->place.open;
	ssize_t n;
	int status;

	if (c->bad || c->room < begin)
		return EINVAL;
	if (c->place.node->type != S_IFDIR)
		return ENOTDIR;
	count = MIN(MIN(count, c->room - begin), sizeof(c->reply) - begin);
	p9_put(c, 0, 4);
	g_mutex_lock(&open->lock);
	status = lseek(open->fd, offset, SEEK_SET) < 0 ? errno : list(p9, c, begin + count, &n);
	g_mutex_unlock(&open->lock);
	/* There are entries, but none fits. */
	if (!status && n && c->reply_len == begin)
		status = EINVAL;
	le32_store(c->reply + begin - 4, c->reply_len - begin);
	return status;
}

/* name, mode, group */
int p9_do_mkdir(struct p9 *p9, struct p9_call *c)
{
	uint32_t mode;

	p9_get_name(c, c->names[0], false);
	mode = p9_get(c, 4);
	if (c->bad)
		return EINVAL;
	return mkdirat(folder_fd(c), c->names[0], mode & 01777) ? errno : put_qid_at(p9, c, c->names[0]);
}

/* name, target, group */
int p9_do_symlink(struct p9 *p9, struct p9_call *c)
{
	char target[P9_MAX_TARGET + 1];

	p9_get_name(c, c->names[0], false);
	p9_get_string(c, target, P9_MAX_TARGET);
	if (c->bad)
		return EINVAL;
	return symlinkat(target, folder_fd(c), c->names[0]) ? errno : put_qid_at(p9, c, c->names[0]);
}

/* name, mode, major, minor, group. A FIFO and a socket are the guest's own; a device would be the host's. */
int p9_do_mknod(struct p9 *p9, struct p9_call *c)
{
	uint32_t mode;

	p9_get_name(c, c->names[0], false);
	mode = p9_get(c, 4);
	if (c->bad)
		return EINVAL;
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return EPERM;
	return mknodat(folder_fd(c), c->names[0], mode & (S_IFMT | 01777), 0) ? errno
									      : put_qid_at(p9, c, c->names[0]);
}

/* fid of what is linked to, name */
int p9_do_link(struct p9 *p9, struct p9_call *c)
{
	uint32_t fid = p9_get(c, 4);
	struct p9_place from;
	char path[32];
	int status;

	p9_get_name(c, c->names[0], false);
	if (c->bad)
		return EINVAL;
	status = p9_fid_get(p9, fid, &from);
	if (status)
		return status;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", from.node->fd);
	if (linkat(AT_FDCWD, path, folder_fd(c), c->names[0], AT_SYMLINK_FOLLOW))
		status = errno;
	p9_place_clear(&from);
	return status;
}

/* Whether a place's name still leads to it: by these messages the client means the file, not the name. */
static int check_name(const struct p9_place *place)
{
	struct stat st, now;

	if (!place->parent)
		return EBUSY;
	if (fstat(place->node->fd, &st) || fstatat(place->parent->fd, place->name, &now, AT_SYMLINK_NOFOLLOW))
		return errno;
	return st.st_dev == now.st_dev && st.st_ino == now.st_ino ? 0 : ESTALE;
}

/* The fid goes, whether the file does or not. */
int p9_do_remove(struct p9 *p9, struct p9_call *c)
{
	const struct p9_place *place = &c->place;
	int status = p9->read_only ? EROFS : check_name(place);

	if (!status && unlinkat(place->parent->fd, place->name, place->node->type == S_IFDIR ? AT_REMOVEDIR : 0))
		status = errno;
	p9_fid_remove(p9, c->fid);
	return status;
}

/* fid of the folder that it goes to, name */
int p9_do_rename(struct p9 *p9, struct p9_call *c)
{
	uint32_t fid = p9_get(c, 4);
	struct p9_place to, moved;
	int status;

	p9_get_name(c, c->names[0], false);
	if (c->bad)
		return EINVAL;
	status = p9_fid_get(p9, fid, &to);
	if (status)
		return status;
	status = check_name(&c->place);
	if (!status && renameat(c->place.parent->fd, c->place.name, to.node->fd, c->names[0]))
		status = errno;
	if (!status && !c->place.open) {
		moved = (struct p9_place){
			.node = p9_node_ref(c->place.node),
			.parent = p9_node_ref(to.node),
			.name = g_ref_string_new(c->names[0]),
		};
		p9_fid_replace(p9, c->fid, &moved);
		p9_place_clear(&moved);
	}
	p9_place_clear(&to);
	return status;
}

/* old name, fid of the new folder, new name */
int p9_do_renameat(struct p9 *p9, struct p9_call *c)
{
	struct p9_place to;
	uint32_t fid;
	int status;

	p9_get_name(c, c->names[0], false);
	fid = p9_get(c, 4);
	p9_get_name(c, c->names[1], false);
	if (c->bad)
		return EINVAL;
	status = p9_fid_get(p9, fid, &to);
	if (status)
		return status;
	if (renameat(folder_fd(c), c->names[0], to.node->fd, c->names[1]))
		status = errno;
	p9_place_clear(&to);
	return status;
}

/* name, flags */
int p9_do_unlinkat(struct p9 *p9, struct p9_call *c)
{
	uint32_t flags;

	p9_get_name(c, c->names[0], false);
	flags = p9_get(c, 4);
	if (c->bad)
		return EINVAL;
	return unlinkat(folder_fd(c), c->names[0], flags & AT_REMOVEDIR) ? errno : 0;
}
