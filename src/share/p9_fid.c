/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fids, and the host's files that they stand for. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/high_fd.h"
#include "share/p9_int.h"

#define MAX_FIDS 65536

/* Takes a descriptor's place among those that this folder may use; the guest is told of the limit as of the host's. */
static bool take_fd(struct p9 *p9)
{
	if (g_atomic_int_add(&p9->n_fds, 1) < p9->max_fds)
		return true;
	g_atomic_int_add(&p9->n_fds, -1);
	return false;
}

static void give_fd(struct p9 *p9, int fd)
{
	close(fd);
	g_atomic_int_add(&p9->n_fds, -1);
}

/* These own the descriptor, and close it also where they fail. */
int p9_node_new(struct p9 *p9, int fd, struct p9_node **node)
{
	struct stat st;
	int status = fstat(fd, &st) ? errno : take_fd(p9) ? 0 : ENFILE;

	if (status) {
		close(fd);
		return status;
	}
	*node = g_new0(struct p9_node, 1);
	g_atomic_ref_count_init(&(*node)->refs);
	(*node)->p9 = p9;
	(*node)->fd = high_fd(fd);
	(*node)->type = st.st_mode & S_IFMT;
	return 0;
}

struct p9_node *p9_node_ref(struct p9_node *node)
{
	if (node)
		g_atomic_ref_count_inc(&node->refs);
	return node;
}

void p9_node_unref(struct p9_node *node)
{
	if (!node || !g_atomic_ref_count_dec(&node->refs))
		return;
	give_fd(node->p9, node->fd);
	g_free(node);
}

int p9_open_new(struct p9 *p9, int fd, struct p9_open **open)
{
	if (!take_fd(p9)) {
		close(fd);
		return ENFILE;
	}
	*open = g_new0(struct p9_open, 1);
	g_atomic_ref_count_init(&(*open)->refs);
	(*open)->p9 = p9;
	(*open)->fd = high_fd(fd);
	g_mutex_init(&(*open)->lock);
	return 0;
}

static void open_unref(struct p9_open *open)
{
	if (!open || !g_atomic_ref_count_dec(&open->refs))
		return;
	give_fd(open->p9, open->fd);
	g_mutex_clear(&open->lock);
	g_free(open);
}

void p9_place_clear(struct p9_place *place)
{
	p9_node_unref(place->node);
	p9_node_unref(place->parent);
	if (place->name)
		g_ref_string_release(place->name);
	open_unref(place->open);
	*place = (struct p9_place){0};
}

void p9_place_copy(struct p9_place *to, const struct p9_place *from)
{
	*to = *from;
	p9_node_ref(to->node);
	p9_node_ref(to->parent);
	if (to->name)
		g_ref_string_acquire(to->name);
	if (to->open)
		g_atomic_ref_count_inc(&to->open->refs);
}

static struct p9_place *find(struct p9 *p9, uint32_t fid)
{
	return g_hash_table_lookup(p9->fids, GUINT_TO_POINTER(fid));
}

int p9_fid_get(struct p9 *p9, uint32_t fid, struct p9_place *place)
{
	struct p9_place *found;

	g_mutex_lock(&p9->lock);
	found = find(p9, fid);
	if (found)
		p9_place_copy(place, found);
	g_mutex_unlock(&p9->lock);
	return found ? 0 : EBADF;
}

int p9_fid_add(struct p9 *p9, uint32_t fid, struct p9_place *place)
{
	int status = fid == P9_NOFID ? EINVAL : 0;

	g_mutex_lock(&p9->lock);
	if (find(p9, fid))
		status = EINVAL;
	else if (g_hash_table_size(p9->fids) >= MAX_FIDS)
		status = ENFILE;
	if (!status) {
		g_hash_table_insert(p9->fids, GUINT_TO_POINTER(fid), g_memdup2(place, sizeof(*place)));
		*place = (struct p9_place){0};
	}
	g_mutex_unlock(&p9->lock);
	return status;
}

int p9_fid_replace(struct p9 *p9, uint32_t fid, struct p9_place *place)
{
	struct p9_place old = {0}, *found;
	int status = 0;

	g_mutex_lock(&p9->lock);
	found = find(p9, fid);
	if (!found)
		status = EBADF;
	else if (found->open)
		status = EINVAL;
	if (!status) {
		old = *found;
		*found = *place;
		*place = (struct p9_place){0};
	}
	g_mutex_unlock(&p9->lock);
	p9_place_clear(&old);
	return status;
}

int p9_fid_remove(struct p9 *p9, uint32_t fid)
{
	gpointer value = NULL;
	bool found;

	g_mutex_lock(&p9->lock);
	found = g_hash_table_steal_extended(p9->fids, GUINT_TO_POINTER(fid), NULL, &value);
	g_mutex_unlock(&p9->lock);
	if (!found)
		return EBADF;
	p9_place_clear(value);
	g_free(value);
	return 0;
}

/* By a single name that the caller has checked; openat2() keeps to it. */
static int open_child(int dir_fd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

/* Whether a folder is the root or lies below it, as far up as a path can name. */
static bool is_beneath(const struct p9 *p9, int fd)
{
	int at = fcntl(fd, F_DUPFD_CLOEXEC, 0), above;
	struct stat st, before = {0};

	for (unsigned i = 0; i < 4096 / 2 && at >= 0 && fstat(at, &st) == 0; i++) {
		bool is_root = st.st_dev == p9->device && st.st_ino == p9->root_inode;

		if (is_root || (i && st.st_dev == before.st_dev && st.st_ino == before.st_ino)) {
			close(at);
			return is_root;
		}
		before = st;
		above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = above;
	}
	if (at >= 0)
		close(at);
	return false;
}

/* A folder that somebody has moved out of the root meanwhile leads up to nothing of the guest's. */
static int open_parent(const struct p9 *p9, int dir_fd)
{
	int fd = openat(dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && !is_beneath(p9, fd)) {
		close(fd);
		fd = -1;
		errno = ENOENT;
	}
	return fd;
}

static bool is_root(const struct p9 *p9, const struct p9_node *node)
{
	struct stat st;

	return fstat(node->fd, &st) == 0 && st.st_dev == p9->device && st.st_ino == p9->root_inode;
}

int p9_node_walk(struct p9 *p9, const struct p9_place *from, const char *name, struct p9_place *to)
{
	bool up = !strcmp(name, "..");
	int fd, status;

	if (from->node->type != S_IFDIR)
		return ENOTDIR;
	if (up && is_root(p9, from->node)) {
		*to = (struct p9_place){.node = p9_node_ref(p9->root)};
		return 0;
	}
	fd = up ? open_parent(p9, from->node->fd) : open_child(from->node->fd, name);
	if (fd < 0)
		return errno;
	*to = (struct p9_place){0};
	status = p9_node_new(p9, fd, &to->node);
	if (status || up)
		return status;
	to->parent = p9_node_ref(from->node);
	to->name = g_ref_string_new(name);
	return 0;
}

int p9_node_open(struct p9 *p9, struct p9_node *node, int flags, struct p9_open **open_)
{
	char path[32];
	int fd;

	/* Others do things when they are opened. */
	if (node->type != S_IFREG && node->type != S_IFDIR)
		return node->type == S_IFLNK ? ELOOP : ENXIO;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", node->fd);
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? errno : p9_open_new(p9, fd, open_);
}
