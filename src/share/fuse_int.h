/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FUSE server's parts: inodes and handles (fuse_inode.c), messages (fuse.c), and what they do (fuse_file.c, fuse_folder.c). */
#ifndef VIV_SHARE_FUSE_INT_H
#define VIV_SHARE_FUSE_INT_H

#include <linux/fuse.h>
#include <string.h>

#include "share/fuse.h"
#include "share/message.h"
#include "share/tree.h"

struct fuse {
	struct tree tree;
	GMutex lock; /* guards what follows */
	GHashTable *inodes;  /* number -> struct fuse_inode */
	GHashTable *by_file; /* the same by the host's numbers: a file has one inode, whatever its names */
	GHashTable *handles; /* number -> struct fuse_handle */
	uint64_t next;	     /* number; none is used twice */
};

/* A message being answered. */
struct fuse_call {
	struct message m;
	struct fuse_in_header header;
	struct tree_node *node; /* the header's, and */
	struct tree_open *open; /* the handle's, which its body begins with: of messages that say so */
};

/* A string of the private copy; "" and m.bad where none ends. */
const char *fuse_get_string(struct fuse_call *c);
/* The name of something in a folder: no path, not "." and not "..". */
const char *fuse_get_name(struct fuse_call *c);

/*
 * Inodes and handles, by the client's numbers for them. What is found is counted, so that another thread may forget it
 * meanwhile; getting returns 0 or an errno.
 */
int fuse_inode_get(struct fuse *fuse, uint64_t id, struct tree_node **node);
/* The client is told of a file once more, by the number that is returned; takes the node over. */
uint64_t fuse_inode_add(struct fuse *fuse, struct tree_node *node, const struct stat *st);
/* The client has forgotten that it was told, so many times. */
void fuse_inode_forget(struct fuse *fuse, uint64_t id, uint64_t times);
int fuse_handle_get(struct fuse *fuse, uint64_t id, struct tree_open **open);
/* Takes it over. */
uint64_t fuse_handle_add(struct fuse *fuse, struct tree_open *open);
void fuse_handle_remove(struct fuse *fuse, uint64_t id);

/* Parts of replies. An entry takes the node over, and tells the client of it. A handle takes the file over. */
int fuse_make_entry(struct fuse *fuse, struct tree_node *node, struct fuse_entry_out *entry);
void fuse_put_handle(struct fuse *fuse, struct fuse_call *c, struct tree_open *open);

/* Handlers: 0, or an errno. */
int fuse_do_getattr(struct fuse *fuse, struct fuse_call *c);
int fuse_do_setattr(struct fuse *fuse, struct fuse_call *c);
int fuse_do_readlink(struct fuse *fuse, struct fuse_call *c);
int fuse_do_open(struct fuse *fuse, struct fuse_call *c);
int fuse_do_opendir(struct fuse *fuse, struct fuse_call *c);
int fuse_do_release(struct fuse *fuse, struct fuse_call *c);
int fuse_do_read(struct fuse *fuse, struct fuse_call *c);
int fuse_do_write(struct fuse *fuse, struct fuse_call *c);
int fuse_do_fsync(struct fuse *fuse, struct fuse_call *c);
int fuse_do_lseek(struct fuse *fuse, struct fuse_call *c);
int fuse_do_fallocate(struct fuse *fuse, struct fuse_call *c);
int fuse_do_copy(struct fuse *fuse, struct fuse_call *c);
int fuse_do_statfs(struct fuse *fuse, struct fuse_call *c);
int fuse_do_lookup(struct fuse *fuse, struct fuse_call *c);
int fuse_do_create(struct fuse *fuse, struct fuse_call *c);
int fuse_do_mkdir(struct fuse *fuse, struct fuse_call *c);
int fuse_do_mknod(struct fuse *fuse, struct fuse_call *c);
int fuse_do_symlink(struct fuse *fuse, struct fuse_call *c);
int fuse_do_link(struct fuse *fuse, struct fuse_call *c);
int fuse_do_unlink(struct fuse *fuse, struct fuse_call *c);
int fuse_do_rmdir(struct fuse *fuse, struct fuse_call *c);
int fuse_do_rename(struct fuse *fuse, struct fuse_call *c);
int fuse_do_rename2(struct fuse *fuse, struct fuse_call *c);
int fuse_do_readdir(struct fuse *fuse, struct fuse_call *c);
int fuse_do_readdirplus(struct fuse *fuse, struct fuse_call *c);

#endif
