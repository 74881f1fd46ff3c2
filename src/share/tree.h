/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared folder and all below it, for servers of any protocol: what keeps a guest inside, and what becomes of owners
 * and modes (share.h) stands here. Names are single ones, which tree_name_is_good() has agreed to.
 * Functions return 0 or an errno, unless they say otherwise. Seen in this folder only. Any thread.
 */
#ifndef VIV_SHARE_TREE_H
#define VIV_SHARE_TREE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum {
	TREE_MAX_NAME = 255,
	TREE_MAX_TARGET = 4095, /* of a symbolic link */
};

struct tree {
	struct tree_node *root;
	dev_t device; /* the root's */
	uint64_t root_inode;
	bool read_only;
	gint n_fds, max_fds;
};

/* A file of the host's, by a descriptor that only names it (O_PATH). */
struct tree_node {
	gatomicrefcount refs;
	struct tree *tree;
	int fd;
	mode_t type; /* S_IFMT's bits */
};

/* The same opened. */
struct tree_open {
	gatomicrefcount refs;
	struct tree *tree;
	int fd;
	GMutex lock; /* of a folder's offset */
};

/* false with the error set: no folder, or not the user's to read. */
bool tree_init(struct tree *tree, const char *path, bool read_only, GError **error);
/* When no node and no open file is left. */
void tree_fini(struct tree *tree);

/* Whether it is something in a folder: no path, not "." and not "..". */
bool tree_name_is_good(const char *name);
/* What clients take for the inode: files of file systems that are mounted below the folder have the root's numbers once more. */
uint64_t tree_inode(const struct tree *tree, dev_t device, uint64_t inode);

/* Whether half of the descriptors are used: who keeps some only to be faster is to keep no more. */
bool tree_is_crowded(const struct tree *tree);

/* These two own the descriptor, and close it also where they fail. */
int tree_node_new(struct tree *tree, int fd, struct tree_node **node);
int tree_open_new(struct tree *tree, int fd, struct tree_open **open);
/* NULL is fine. */
struct tree_node *tree_node_ref(struct tree_node *node);
void tree_node_unref(struct tree_node *node);
struct tree_open *tree_open_ref(struct tree_open *open);
void tree_open_unref(struct tree_open *open);

/* What is in a folder, and what the folder is in; above the root is the root. */
int tree_child(struct tree_node *folder, const char *name, struct tree_node **child);
int tree_parent(struct tree_node *folder, struct tree_node **parent);
/* Opens a regular file or a folder, for what of Linux's flags a guest may ask for. */
int tree_node_open(struct tree_node *node, int flags, struct tree_open **open);
/* Makes a file, unless it is there and O_EXCL is not among the flags, and opens it. */
int tree_create(struct tree_node *folder, const char *name, int flags, mode_t mode, struct tree_node **node,
		struct tree_open **open);

int tree_mkdir(struct tree_node *folder, const char *name, mode_t mode);
/* A FIFO and a socket are the guest's own; a device would be the host's: EPERM. */
int tree_mknod(struct tree_node *folder, const char *name, mode_t mode);
int tree_symlink(struct tree_node *folder, const char *name, const char *target);
int tree_link(struct tree_node *node, struct tree_node *folder, const char *name);
int tree_readlink(struct tree_node *node, char target[TREE_MAX_TARGET + 1]);

/* -1: not to be changed. */
int tree_set_owner(struct tree_node *node, uid_t uid, gid_t gid);
int tree_set_mode(struct tree_node *node, mode_t mode);
int tree_set_size(struct tree_node *node, uint64_t size);
/* As utimensat() has them. */
int tree_set_times(struct tree_node *node, const struct timespec times[2]);

#endif
