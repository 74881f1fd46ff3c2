/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file server's parts: fids (p9_fid.c), messages (p9.c), and what they do to files (p9_file.c, p9_folder.c). */
#ifndef VIV_SHARE_P9_INT_H
#define VIV_SHARE_P9_INT_H

#include <dirent.h>
#include <string.h>

#include "base/le.h"
#include "share/p9.h"
#include "share/share.h"

enum {
	P9_HEADER = 7, /* size[4] type[1] tag[2] */
	P9_QID_SIZE = 13,
	P9_MAX_NAME = 255,
	P9_MAX_TARGET = 4095,
	P9_MAX_WALK = 16,
	P9_MAX_MSIZE = 512 << 10,
	P9_MIN_MSIZE = 4096,
	P9_MAX_REQUEST = 8192, /* without the data of Twrite; a Twalk of 16 names is the longest */
	P9_MAX_REPLY = 32768,  /* without the data of Rread */
};

#define P9_NOFID UINT32_MAX

/* A file of the host's, by a descriptor that only names it (O_PATH). */
struct p9_node {
	gatomicrefcount refs;
	struct p9 *p9;
	int fd;
	mode_t type; /* S_IFMT's bits */
};

/* The same opened. */
struct p9_open {
	gatomicrefcount refs;
	struct p9 *p9;
	int fd;
	GMutex lock; /* of a folder's offset */
};

/* What a fid stands for. `parent` and `name`: where it was found; NULL: the root. */
struct p9_place {
	struct p9_node *node, *parent;
	char *name; /* a GRefString */
	struct p9_open *open; /* NULL: not open */
};

struct p9 {
	struct p9_node *root;
	dev_t device; /* the root's */
	uint64_t root_inode;
	bool read_only;
	gint n_fds, max_fds;
	GMutex lock; /* guards what follows */
	GHashTable *fids; /* number -> struct p9_place */
	uint32_t msize;
};

/* A message being answered: a private copy, and the reply as far as it is made. */
struct p9_call {
	const struct iovec *out, *in;
	unsigned n_out, n_in;
	uint32_t size;		/* the message's, data and all */
	uint64_t room;		/* for the reply */
	const uint8_t *at, *end; /* what of the copy is still to be read */
	bool bad;		/* it ended too early, or a string is none */
	struct p9_place place;	/* of the fid that the message begins with */
	uint32_t fid;
	uint32_t reply_len;	/* so far, header and all */
	uint32_t data_len;	/* Rread's, which lies in the room already */
	uint8_t request[P9_MAX_REQUEST], reply[P9_MAX_REPLY];
	char names[P9_MAX_WALK][P9_MAX_NAME + 1];
	struct iovec slice[SHARE_MAX_IOV];
};

/* The next of the message; zero and c->bad past its end. */
uint64_t p9_get(struct p9_call *c, unsigned bytes);
/* A string without NUL, at most max characters and at least one, into max + 1 bytes. */
void p9_get_string(struct p9_call *c, char *to, size_t max);
/* The name of something in a folder: no path, not "." and, unless `walk`, not "..". */
void p9_get_name(struct p9_call *c, char *to, bool walk);
/* Appends to the reply, which has room for all that is not a list. */
void p9_put(struct p9_call *c, uint64_t value, unsigned bytes);
void p9_put_string(struct p9_call *c, const char *text);
void p9_put_qid(struct p9_call *c, const struct p9 *p9, mode_t mode, dev_t device, uint64_t inode);
/* len bytes of a vector from `from` on, as c->slice; how many members. */
unsigned p9_slice(struct p9_call *c, const struct iovec *iov, unsigned n, size_t from, size_t len);

/*
 * Fids. What is looked up is counted, so that another thread may clunk it meanwhile; p9_place_clear() ends that.
 * All return 0 or an errno.
 */
int p9_node_new(struct p9 *p9, int fd, struct p9_node **node);
struct p9_node *p9_node_ref(struct p9_node *node);
void p9_node_unref(struct p9_node *node);
int p9_open_new(struct p9 *p9, int fd, struct p9_open **open);
void p9_place_clear(struct p9_place *place);
void p9_place_copy(struct p9_place *to, const struct p9_place *from);
int p9_fid_get(struct p9 *p9, uint32_t fid, struct p9_place *place);
/* A new fid, which takes the place over when that goes well. */
int p9_fid_add(struct p9 *p9, uint32_t fid, struct p9_place *place);
/* The same for a fid that is there, and not open. */
int p9_fid_replace(struct p9 *p9, uint32_t fid, struct p9_place *place);
int p9_fid_remove(struct p9 *p9, uint32_t fid);
/* The child of that name, or the root's own parent, which is the root. */
int p9_node_walk(struct p9 *p9, const struct p9_place *from, const char *name, struct p9_place *to);
/* Opens what a node names, a regular file or a folder. */
int p9_node_open(struct p9 *p9, struct p9_node *node, int flags, struct p9_open **open);

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
