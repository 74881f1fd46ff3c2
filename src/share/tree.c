/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "share/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/high_fd.h"

#define PROC_FD_SIZE 32
#define OPEN_FLAGS   (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC)

/* Of what O_PATH gives no other way to. */
static const char *proc_fd(char path[PROC_FD_SIZE], int fd)
{
	snprintf(path, PROC_FD_SIZE, "/proc/self/fd/%d", fd);
	return path;
}

bool tree_name_is_good(const char *name)
{
	return name[0] && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

uint64_t tree_inode(const struct tree *tree, dev_t device, uint64_t inode)
{
	return inode ^ ((device - tree->device) * 0x9e3779b97f4a7c15ull);
}

/* Takes a descriptor's place among those that this folder may use; the guest is told of the limit as of the host's. */
static bool take_fd(struct tree *tree)
{
	if (g_atomic_int_add(&tree->n_fds, 1) < tree->max_fds)
		return true;
	g_atomic_int_add(&tree->n_fds, -1);
	return false;
}

static void give_fd(struct tree *tree, int fd)
{
	close(fd);
	g_atomic_int_add(&tree->n_fds, -1);
}

bool tree_is_crowded(const struct tree *tree)
{
	return g_atomic_int_get(&tree->n_fds) > tree->max_fds / 2;
}

int tree_node_new(struct tree *tree, int fd, struct tree_node **node)
{
	struct stat st;
	int status = fstat(fd, &st) ? errno : take_fd(tree) ? 0 : ENFILE;

	if (status) {
		close(fd);
		return status;
	}
	*node = g_new0(struct tree_node, 1);
	g_atomic_ref_count_init(&(*node)->refs);
	(*node)->tree = tree;
	(*node)->fd = high_fd(fd);
	(*node)->type = st.st_mode & S_IFMT;
	return 0;
}

struct tree_node *tree_node_ref(struct tree_node *node)
{
	if (node)
		g_atomic_ref_count_inc(&node->refs);
	return node;
}

void tree_node_unref(struct tree_node *node)
{
	if (!node || !g_atomic_ref_count_dec(&node->refs))
		return;
	give_fd(node->tree, node->fd);
	g_free(node);
}

int tree_open_new(struct tree *tree, int fd, struct tree_open **open)
{
	if (!take_fd(tree)) {
		close(fd);
		return ENFILE;
	}
	*open = g_new0(struct tree_open, 1);
	g_atomic_ref_count_init(&(*open)->refs);
	(*open)->tree = tree;
	(*open)->fd = high_fd(fd);
	g_mutex_init(&(*open)->lock);
	return 0;
}

struct tree_open *tree_open_ref(struct tree_open *open)
{
	if (open)
		g_atomic_ref_count_inc(&open->refs);
	return open;
}

void tree_open_unref(struct tree_open *open)
{
	if (!open || !g_atomic_ref_count_dec(&open->refs))
		return;
	give_fd(open->tree, open->fd);
	g_mutex_clear(&open->lock);
	g_free(open);
}

/* openat2() keeps to the name. */
static int open_child(int dir_fd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

int tree_child(struct tree_node *folder, const char *name, struct tree_node **child)
{
	int fd;

	if (folder->type != S_IFDIR)
		return ENOTDIR;
	fd = open_child(folder->fd, name);
	return fd < 0 ? errno : tree_node_new(folder->tree, fd, child);
}

static bool is_root(const struct tree *tree, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == tree->device && st.st_ino == tree->root_inode;
}

/* Whether a folder is the root or lies below it, as far up as a path can name. */
static bool is_beneath(const struct tree *tree, int fd)
{
	int at = fcntl(fd, F_DUPFD_CLOEXEC, 0), above;
	struct stat st, before = {0};

	for (unsigned i = 0; i < 4096 / 2 && at >= 0 && fstat(at, &st) == 0; i++) {
		bool root = is_root(tree, at);

		if (root || (i && st.st_dev == before.st_dev && st.st_ino == before.st_ino)) {
			close(at);
			return root;
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
int tree_parent(struct tree_node *folder, struct tree_node **parent)
{
	struct tree *tree = folder->tree;
	int fd;

	if (folder->type != S_IFDIR)
		return ENOTDIR;
	if (is_root(tree, folder->fd)) {
		*parent = tree_node_ref(tree->root);
		return 0;
	}
	fd = openat(folder->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (!is_beneath(tree, fd)) {
		close(fd);
		return ENOENT;
	}
	return tree_node_new(tree, fd, parent);
}

int tree_node_open(struct tree_node *node, int flags, struct tree_open **open_)
{
	char path[PROC_FD_SIZE];
	int fd;

	/* Others do things when they are opened. */
	if (node->type != S_IFREG && node->type != S_IFDIR)
		return node->type == S_IFLNK ? ELOOP : ENXIO;
	if (node->tree->read_only && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
		return EROFS;
	fd = open(proc_fd(path, node->fd),
		  (flags & (OPEN_FLAGS | O_DIRECTORY)) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? errno : tree_open_new(node->tree, fd, open_);
}

/* What is there already is opened as any file. */
int tree_create(struct tree_node *folder, const char *name, int flags, mode_t mode, struct tree_node **node,
		struct tree_open **open)
{
	int fd = openat(folder->fd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | (flags & OPEN_FLAGS), mode & 01777);
	struct tree_open *made = NULL;
	int status = 0;

	if (fd >= 0)
		status = tree_open_new(folder->tree, fd, &made);
	else if (errno != EEXIST || flags & O_EXCL)
		status = errno;
	if (!status)
		status = tree_child(folder, name, node);
	if (status) {
		tree_open_unref(made);
		return status;
	}
	if (!made)
		status = tree_node_open(*node, flags & OPEN_FLAGS, &made);
	if (status) {
		tree_node_unref(*node);
		*node = NULL;
		return status;
	}
	*open = made;
	return 0;
}

int tree_mkdir(struct tree_node *folder, const char *name, mode_t mode)
{
	return mkdirat(folder->fd, name, mode & 01777) ? errno : 0;
}

int tree_mknod(struct tree_node *folder, const char *name, mode_t mode)
{
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return EPERM;
	return mknodat(folder->fd, name, mode & (S_IFMT | 01777), 0) ? errno : 0;
}

int tree_symlink(struct tree_node *folder, const char *name, const char *target)
{
	return symlinkat(target, folder->fd, name) ? errno : 0;
}

int tree_link(struct tree_node *node, struct tree_node *folder, const char *name)
{
	char path[PROC_FD_SIZE];

	return linkat(AT_FDCWD, proc_fd(path, node->fd), folder->fd, name, AT_SYMLINK_FOLLOW) ? errno : 0;
}

int tree_readlink(struct tree_node *node, char target[TREE_MAX_TARGET + 1])
{
	ssize_t n = readlinkat(node->fd, "", target, TREE_MAX_TARGET);

	if (n < 0)
		return errno == ENOENT ? EINVAL : errno;
	target[n] = '\0';
	return 0;
}

int tree_set_owner(struct tree_node *node, uid_t uid, gid_t gid)
{
	int status = fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);

	return status && errno != EPERM ? errno : 0;
}

/* A symbolic link has no mode. What has one loses none of its folder's bits but the guest's to set. */
int tree_set_mode(struct tree_node *node, mode_t mode)
{
	char path[PROC_FD_SIZE];

	if (node->type == S_IFLNK)
		return EOPNOTSUPP;
	return chmod(proc_fd(path, node->fd), mode & (node->type == S_IFDIR ? 03777 : 01777)) ? errno : 0;
}

int tree_set_size(struct tree_node *node, uint64_t size)
{
	struct tree_open *open;
	int status;

	if (node->type != S_IFREG)
		return EINVAL;
	status = tree_node_open(node, O_WRONLY, &open);
	if (status)
		return status;
	status = ftruncate(open->fd, size) ? errno : 0;
	tree_open_unref(open);
	return status;
}

int tree_set_times(struct tree_node *node, const struct timespec times[2])
{
	char path[PROC_FD_SIZE];

	return utimensat(AT_FDCWD, proc_fd(path, node->fd), times, 0) ? errno : 0;
}

/* Not more than half of what the process may open, so that a guest leaves the rest of it some. */
static gint fd_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) ? 512 : MIN(limit.rlim_cur / 2, 65536);
}

bool tree_init(struct tree *tree, const char *path, bool read_only, GError **error)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || faccessat(fd, ".", R_OK | X_OK, 0)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "cannot share '%s': %s; name a folder that you can read", path, g_strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	*tree = (struct tree){
		.device = st.st_dev,
		.root_inode = st.st_ino,
		.read_only = read_only,
		.max_fds = fd_limit(),
	};
	if (tree_node_new(tree, fd, &tree->root)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot share '%s': no descriptor is left; "
			    "raise the limit of open files (ulimit -n)", path);
		return false;
	}
	return true;
}

void tree_fini(struct tree *tree)
{
	tree_node_unref(tree->root);
}
