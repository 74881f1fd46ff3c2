/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What messages do in a folder: find, list, make, rename, remove. Names are single ones, checked where they are read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "share/fuse_int.h"

/* The reply of all that finds something or makes it. */
static int put_child(struct fuse *fuse, struct fuse_call *c, const char *name)
{
	struct fuse_entry_out entry;
	struct tree_node *child;
	int status = tree_child(c->node, name, &child);

	if (!status)
		status = fuse_make_entry(fuse, child, &entry);
	if (!status)
		message_put_bytes(&c->m, &entry, sizeof(entry));
	return status;
}

int fuse_do_lookup(struct fuse *fuse, struct fuse_call *c)
{
	const char *name = fuse_get_name(c);

	return c->m.bad ? EINVAL : put_child(fuse, c, name);
}

int fuse_do_create(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_entry_out entry;
	struct fuse_create_in in;
	struct tree_node *node;
	struct tree_open *open;
	const char *name;
	int status;

	message_get_bytes(&c->m, &in, sizeof(in));
	name = fuse_get_name(c);
	if (c->m.bad)
		return EINVAL;
	status = tree_create(c->node, name, in.flags, in.mode, &node, &open);
	if (status)
		return status;
	status = fuse_make_entry(fuse, node, &entry);
	if (status) {
		tree_open_unref(open);
		return status;
	}
	message_put_bytes(&c->m, &entry, sizeof(entry));
	fuse_put_handle(fuse, c, open);
	return 0;
}

/* What both messages begin with is the mode. */
static int make_node(struct fuse *fuse, struct fuse_call *c, size_t in_len,
		     int (*make)(struct tree_node *, const char *, mode_t))
{
	uint32_t in[sizeof(struct fuse_mknod_in) / 4];
	const char *name;
	int status;

	message_get_bytes(&c->m, in, in_len);
	name = fuse_get_name(c);
	if (c->m.bad)
		return EINVAL;
	status = make(c->node, name, in[0]);
	return status ? status : put_child(fuse, c, name);
}

int fuse_do_mkdir(struct fuse *fuse, struct fuse_call *c)
{
	return make_node(fuse, c, sizeof(struct fuse_mkdir_in), tree_mkdir);
}

int fuse_do_mknod(struct fuse *fuse, struct fuse_call *c)
{
	return make_node(fuse, c, sizeof(struct fuse_mknod_in), tree_mknod);
}

int fuse_do_symlink(struct fuse *fuse, struct fuse_call *c)
{
	const char *name = fuse_get_name(c), *target = fuse_get_string(c);
	int status;

	if (c->m.bad)
		return EINVAL;
	status = tree_symlink(c->node, name, target);
	return status ? status : put_child(fuse, c, name);
}

int fuse_do_link(struct fuse *fuse, struct fuse_call *c)
{
	uint64_t id = message_get(&c->m, 8);
	const char *name = fuse_get_name(c);
	struct tree_node *node;
	int status;

	if (c->m.bad)
		return EINVAL;
	status = fuse_inode_get(fuse, id, &node);
	if (status)
		return status;
	status = tree_link(node, c->node, name);
	tree_node_unref(node);
	return status ? status : put_child(fuse, c, name);
}

static int remove_name(struct fuse_call *c, int flags)
{
	const char *name = fuse_get_name(c);

	if (c->m.bad)
		return EINVAL;
	return unlinkat(c->node->fd, name, flags) ? errno : 0;
}

int fuse_do_unlink(struct fuse *fuse, struct fuse_call *c)
{
	return remove_name(c, 0);
}

int fuse_do_rmdir(struct fuse *fuse, struct fuse_call *c)
{
	return remove_name(c, AT_REMOVEDIR);
}

static int rename_to(struct fuse *fuse, struct fuse_call *c, uint64_t id, uint32_t flags)
{
	const char *from = fuse_get_name(c), *to = fuse_get_name(c);
	struct tree_node *folder;
	int status;

	if (c->m.bad || flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return EINVAL;
	status = fuse_inode_get(fuse, id, &folder);
	if (status)
		return status;
	status = renameat2(c->node->fd, from, folder->fd, to, flags) ? errno : 0;
	tree_node_unref(folder);
	return status;
}

int fuse_do_rename(struct fuse *fuse, struct fuse_call *c)
{
	return rename_to(fuse, c, message_get(&c->m, 8), 0);
}

int fuse_do_rename2(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_rename2_in in;

	message_get_bytes(&c->m, &in, sizeof(in));
	return rename_to(fuse, c, in.newdir, in.flags);
}

/* A folder as it is read: what of it goes into the reply, and how far that may reach. */
struct listing {
	bool plus; /* tells of the files, too */
	dev_t device;
	uint32_t limit;
};

/* Number 0 says no more than the name: of "." and "..", of what has gone meanwhile, and of all where there is no more room for it. */
static void put_plus(struct fuse *fuse, struct fuse_call *c, const char *name)
{
	struct fuse_entry_out entry = {0};
	struct tree_node *child;

	if (tree_name_is_good(name) && !tree_is_crowded(&fuse->tree) && tree_child(c->node, name, &child) == 0 &&
	    fuse_make_entry(fuse, child, &entry))
		entry.nodeid = 0;
	message_put_bytes(&c->m, &entry, sizeof(entry));
}

static bool put_name(struct fuse *fuse, struct fuse_call *c, const struct listing *l, const struct dirent64 *entry)
{
	static const uint8_t padding[sizeof(uint64_t)];
	struct fuse_dirent out = {
		.ino = tree_inode(&fuse->tree, l->device, entry->d_ino),
		.off = entry->d_off,
		.namelen = strlen(entry->d_name),
		.type = entry->d_type,
	};
	uint32_t len = FUSE_NAME_OFFSET + out.namelen, whole = FUSE_DIRENT_ALIGN(len);

	if (c->m.reply_len + (l->plus ? sizeof(struct fuse_entry_out) : 0) + whole > l->limit)
		return false;
	if (l->plus)
		put_plus(fuse, c, entry->d_name);
	message_put_bytes(&c->m, &out, FUSE_NAME_OFFSET);
	message_put_bytes(&c->m, entry->d_name, out.namelen);
	message_put_bytes(&c->m, padding, whole - len);
	return true;
}

/* Names that fit; *n: how many bytes of them were read. */
static int list(struct fuse *fuse, struct fuse_call *c, const struct listing *l, ssize_t *n)
{
	char buf[16384] __attribute__((aligned(8)));

	*n = getdents64(c->open->fd, buf, MIN(sizeof(buf), l->limit - c->m.reply_len));
	/* Less room than an entry of the host's takes. */
	if (*n < 0)
		return errno;
	for (ssize_t at = 0; at < *n;) {
		const struct dirent64 *entry = (const struct dirent64 *)(buf + at);

		if (!put_name(fuse, c, l, entry))
			break;
		at += entry->d_reclen;
	}
	return 0;
}

/* From the offset on, which a name told or which is 0. */
static int read_folder(struct fuse *fuse, struct fuse_call *c, bool plus)
{
	struct tree_open *open = c->open;
	uint32_t begin = c->m.reply_len;
	struct listing l = {.plus = plus};
	struct fuse_read_in in;
	struct stat st;
	ssize_t n = 0;
	int status;

	message_get_bytes(&c->m, &in, sizeof(in));
	if (c->m.bad)
		return EINVAL;
	if (fstat(open->fd, &st))
		return errno;
	l.device = st.st_dev;
	l.limit = begin + MIN(MIN(in.size, c->m.room - begin), sizeof(c->m.reply) - begin);
	g_mutex_lock(&open->lock);
	status = lseek(open->fd, in.offset, SEEK_SET) < 0 ? errno : list(fuse, c, &l, &n);
	g_mutex_unlock(&open->lock);
	/* There are names, but none fits. */
	return !status && n && c->m.reply_len == begin ? EINVAL : status;
}

int fuse_do_readdir(struct fuse *fuse, struct fuse_call *c)
{
	return read_folder(fuse, c, false);
}

int fuse_do_readdirplus(struct fuse *fuse, struct fuse_call *c)
{
	return read_folder(fuse, c, true);
}
