/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file server's parts: fids (p9_fid.c), messages (p9.c), and what they do to files (p9_file.c, p9_folder.c). */
#ifndef VIV_SHARE_P9_INT_H
#define VIV_SHARE_P9_INT_H

#include <dirent.h>
#include <string.h>

#include "base/le.h"
#include "share/message.h"
#include "share/p9.h"
#include "share/tree.h"

enum {
	P9_HEADER = 7, /* size[4] type[1] tag[2] */
	P9_QID_SIZE = 13,
	P9_MAX_WALK = 16,
	P9_MAX_MSIZE = 512 << 10,
	P9_MIN_MSIZE = 4096,
};

#define P9_NOFID UINT32_MAX

/* What a fid stands for. `parent` and `name`: where it was found; NULL: the root. */
struct p9_place {
	struct tree_node *node, *parent;
	char *name; /* a GRefString */
	struct tree_open *open; /* NULL: not open */
};

struct p9 {
	struct tree tree;
	GMutex lock; /* guards what follows */
	GHashTable *fids; /* number -> struct p9_place */
	uint32_t msize;
};

struct p9_call {
	struct message m;
	struct p9_place place; /* of the fid that the message begins with */
	uint32_t fid;
	char names[P9_MAX_WALK][TREE_MAX_NAME + 1];
};

/* A string without NUL, at most max characters and at least one, into max + 1 bytes. */
void p9_get_string(struct p9_call *c, char *to, size_t max);
/* The name of something in a folder: no path, not "." and, unless `walk`, not "..". */
void p9_get_name(struct p9_call *c, char *to, bool walk);
/* Append to the reply. */
void p9_put_string(struct p9_call *c, const char *text);
void p9_put_qid(struct p9_call *c, const struct p9 *p9, mode_t mode, dev_t device, uint64_t inode);
/*
 * Fids. What is looked up is counted, so that another thread may clunk it meanwhile; p9_place_clear() ends that.
 * All return 0 or an errno.
 */
void p9_place_clear(struct p9_place *place);
void p9_place_copy(struct p9_place *to, const struct p9_place *from);
int p9_fid_get(struct p9 *p9, uint32_t fid, struct p9_place *place);
/* A new fid, which takes the place over when that goes well. */
int p9_fid_add(struct p9 *p9, uint32_t fid, struct p9_place *place);
/* The same for a fid that is there, and not open. */
int p9_fid_replace(struct p9 *p9, uint32_t fid, struct p9_place *place);
int p9_fid_remove(struct p9 *p9, uint32_t fid);
/* To the child of that name, or by ".." to what it is in. */
int p9_place_walk(const struct p9_place *from, const char *name, struct p9_place *to);

/* Handlers: 0, or an errno for Rlerror. */
int p9_do_attach(struct p9 *p9, struct p9_call *c);
int p9_do_walk(struct p9 *p9, struct p9_call *c);
int p9_do_clunk(struct p9 *p9, struct p9_call *c);
int p9_do_remove(struct p9 *p9, struct p9_call *c);
int p9_do_lopen(struct p9 *p9, struct p9_call *c);
int p9_do_read(struct p9 *p9, struct p9_call *c);
int p9_do_write(struct p9 *p9, struct p9_call *c);
int p9_do_fsync(struct p9 *p9, struct p9_call *c);
int p9_do_getattr(struct p9 *p9, struct p9_call *c);
int p9_do_setattr(struct p9 *p9, struct p9_call *c);
int p9_do_statfs(struct p9 *p9, struct p9_call *c);
int p9_do_readlink(struct p9 *p9, struct p9_call *c);
int p9_do_lock(struct p9 *p9, struct p9_call *c);
int p9_do_getlock(struct p9 *p9, struct p9_call *c);
int p9_do_lcreate(struct p9 *p9, struct p9_call *c);
int p9_do_readdir(struct p9 *p9, struct p9_call *c);
int p9_do_mkdir(struct p9 *p9, struct p9_call *c);
int p9_do_symlink(struct p9 *p9, struct p9_call *c);
int p9_do_mknod(struct p9 *p9, struct p9_call *c);
int p9_do_link(struct p9 *p9, struct p9_call *c);
int p9_do_rename(struct p9 *p9, struct p9_call *c);
int p9_do_renameat(struct p9 *p9, struct p9_call *c);
int p9_do_unlinkat(struct p9 *p9, struct p9_call *c);

#endif
