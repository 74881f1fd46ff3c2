/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What messages do in a folder: list, make, rename, remove. Names are single ones, checked where they are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/p9_int.h"

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

/* fid of the folder, which becomes the file's; name, flags, mode, group. */
int p9_do_lcreate(struct p9 *p9, struct p9_call *c)
{
	struct p9_place place = {0};
	uint32_t flags, mode;
	int status;

	p9_get_name(c, c->names[0], false);
	flags = message_get(&c->m, 4);
	mode = message_get(&c->m, 4);
	if (c->m.bad || c->place.open)
		return EINVAL;
	status = tree_create(c->place.node, c->names[0], flags, mode, &place.node, &place.open);
	place.parent = tree_node_ref(c->place.node);
	place.name = g_ref_string_new(c->names[0]);
	if (!status)
		status = put_qid_at(p9, c, c->names[0]);
	if (!status)
		status = p9_fid_replace(p9, c->fid, &place);
	p9_place_clear(&place);
	message_put(&c->m, 0, 4);
	return status;
}

/* struct linux_dirent64's types are the high nibble of a mode. */
static bool put_entry(struct p9 *p9, struct p9_call *c, const struct dirent64 *entry, uint32_t limit)
{
	size_t len = strlen(entry->d_name);

	if (c->m.reply_len + P9_QID_SIZE + 8 + 1 + 2 + len > limit)
		return false;
	p9_put_qid(c, p9, (mode_t)entry->d_type << 12, p9->tree.device, entry->d_ino);
	message_put(&c->m, entry->d_off, 8);
	message_put(&c->m, entry->d_type, 1);
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
	uint64_t offset = message_get(&c->m, 8);
	uint32_t count = message_get(&c->m, 4), begin = c->m.reply_len + 4;
	struct tree_open *open = c->place.open;
	ssize_t n;
	int status;

	if (c->m.bad || c->m.room < begin)
		return EINVAL;
	if (c->place.node->type != S_IFDIR)
		return ENOTDIR;
	count = MIN(MIN(count, c->m.room - begin), sizeof(c->m.reply) - begin);
	message_put(&c->m, 0, 4);
	g_mutex_lock(&open->lock);
	status = lseek(open->fd, offset, SEEK_SET) < 0 ? errno : list(p9, c, begin + count, &n);
	g_mutex_unlock(&open->lock);
	/* There are entries, but none fits. */
	if (!status && n && c->m.reply_len == begin)
		status = EINVAL;
	le32_store(c->m.reply + begin - 4, c->m.reply_len - begin);
	return status;
}

static int make_node(struct p9 *p9, struct p9_call *c, int (*make)(struct tree_node *, const char *, mode_t))
{
	uint32_t mode;
	int status;

	p9_get_name(c, c->names[0], false);
	mode = message_get(&c->m, 4);
	if (c->m.bad)
		return EINVAL;
	status = make(c->place.node, c->names[0], mode);
	return status ? status : put_qid_at(p9, c, c->names[0]);
}

/* name, mode, group */
int p9_do_mkdir(struct p9 *p9, struct p9_call *c)
{
	return make_node(p9, c, tree_mkdir);
}

/* name, target, group */
int p9_do_symlink(struct p9 *p9, struct p9_call *c)
{
	char target[TREE_MAX_TARGET + 1];
	int status;

	p9_get_name(c, c->names[0], false);
	p9_get_string(c, target, TREE_MAX_TARGET);
	if (c->m.bad)
		return EINVAL;
	status = tree_symlink(c->place.node, c->names[0], target);
	return status ? status : put_qid_at(p9, c, c->names[0]);
}

/* name, mode, major, minor, group */
int p9_do_mknod(struct p9 *p9, struct p9_call *c)
{
	return make_node(p9, c, tree_mknod);
}

/* fid of what is linked to, name */
int p9_do_link(struct p9 *p9, struct p9_call *c)
{
	uint32_t fid = message_get(&c->m, 4);
	struct p9_place from;
	int status;

	p9_get_name(c, c->names[0], false);
	if (c->m.bad)
		return EINVAL;
	status = p9_fid_get(p9, fid, &from);
	if (status)
		return status;
	status = tree_link(from.node, c->place.node, c->names[0]);
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
	int status = p9->tree.read_only ? EROFS : check_name(place);

	if (!status && unlinkat(place->parent->fd, place->name, place->node->type == S_IFDIR ? AT_REMOVEDIR : 0))
		status = errno;
	p9_fid_remove(p9, c->fid);
	return status;
}

/* fid of the folder that it goes to, name */
int p9_do_rename(struct p9 *p9, struct p9_call *c)
{
	uint32_t fid = message_get(&c->m, 4);
	struct p9_place to, moved;
	int status;

	p9_get_name(c, c->names[0], false);
	if (c->m.bad)
		return EINVAL;
	status = p9_fid_get(p9, fid, &to);
	if (status)
		return status;
	status = check_name(&c->place);
	if (!status && renameat(c->place.parent->fd, c->place.name, to.node->fd, c->names[0]))
		status = errno;
	if (!status && !c->place.open) {
		moved = (struct p9_place){
			.node = tree_node_ref(c->place.node),
			.parent = tree_node_ref(to.node),
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
	fid = message_get(&c->m, 4);
	p9_get_name(c, c->names[1], false);
	if (c->m.bad)
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
	flags = message_get(&c->m, 4);
	if (c->m.bad)
		return EINVAL;
	return unlinkat(folder_fd(c), c->names[0], flags & AT_REMOVEDIR) ? errno : 0;
}
