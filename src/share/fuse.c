/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of FUSE (Linux's include/uapi/linux/fuse.h): the table of them, parsing and replies. */
#include <errno.h>

#include "share/fuse_int.h"

enum {
	OUT_HEADER = sizeof(struct fuse_out_header),
	PAGE_SIZE = 4096,
	/* A request of more pages would not fit into a virtqueue, with its headers. */
	MAX_PAGES = 252,
	MINOR = 31, /* of the protocol's version 7: what came later is not here */
};

#define FEATURES                                                                                               \
	(FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | \
	 FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES)

enum {
	NODE = 1,    /* is about a file, which must be known */
	OPEN = 2,    /* begins with a handle, which must be known */
	CHANGES = 4, /* the folder */
	SILENT = 8,  /* has no reply */
};

/* A client that says so starts anew. One of another major version is told ours, and tries again. */
static int do_init(struct fuse *fuse, struct fuse_call *c)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = MINOR,
		.max_write = MAX_PAGES * PAGE_SIZE,
		.time_gran = 1,
		.max_pages = MAX_PAGES,
	};
	uint32_t major = message_get(&c->m, 4);

	message_get(&c->m, 4);
	out.max_readahead = message_get(&c->m, 4);
	out.flags = message_get(&c->m, 4) & FEATURES;
	if (c->m.bad)
		return EINVAL;
	if (major < FUSE_KERNEL_VERSION)
		return EPROTO;
	fuse_reset(fuse);
	message_put_bytes(&c->m, &out, sizeof(out));
	return 0;
}

static int do_destroy(struct fuse *fuse, struct fuse_call *c)
{
	fuse_reset(fuse);
	return 0;
}

static int do_forget(struct fuse *fuse, struct fuse_call *c)
{
	fuse_inode_forget(fuse, c->header.nodeid, message_get(&c->m, 8));
	return 0;
}

/* As many as are in the private copy; Linux sends none over virtio. */
static int do_batch_forget(struct fuse *fuse, struct fuse_call *c)
{
	uint32_t count = message_get(&c->m, 4);

	message_get(&c->m, 4);
	for (uint32_t i = 0; i < count && !c->m.bad; i++) {
		uint64_t id = message_get(&c->m, 8);

		fuse_inode_forget(fuse, id, message_get(&c->m, 8));
	}
	return 0;
}

/* What was to be interrupted will be over soon. */
static int do_nothing(struct fuse *fuse, struct fuse_call *c)
{
	return 0;
}

/* What is not here is ENOSYS, after which Linux asks no more: it judges by modes itself (ACCESS), keeps locks to itself
 * (GETLK...), has no extended attributes, and has nothing to flush. */
static const struct handler {
	uint8_t flags;
	int (*serve)(struct fuse *fuse, struct fuse_call *c);
} handlers[] = {
	[FUSE_LOOKUP] = {NODE, fuse_do_lookup},
	[FUSE_FORGET] = {SILENT, do_forget},
	[FUSE_GETATTR] = {NODE, fuse_do_getattr},
	[FUSE_SETATTR] = {NODE | CHANGES, fuse_do_setattr},
	[FUSE_READLINK] = {NODE, fuse_do_readlink},
	[FUSE_SYMLINK] = {NODE | CHANGES, fuse_do_symlink},
	[FUSE_MKNOD] = {NODE | CHANGES, fuse_do_mknod},
	[FUSE_MKDIR] = {NODE | CHANGES, fuse_do_mkdir},
	[FUSE_UNLINK] = {NODE | CHANGES, fuse_do_unlink},
	[FUSE_RMDIR] = {NODE | CHANGES, fuse_do_rmdir},
	[FUSE_RENAME] = {NODE | CHANGES, fuse_do_rename},
	[FUSE_LINK] = {NODE | CHANGES, fuse_do_link},
	[FUSE_OPEN] = {NODE, fuse_do_open},
	[FUSE_READ] = {OPEN, fuse_do_read},
	[FUSE_WRITE] = {OPEN | CHANGES, fuse_do_write},
	[FUSE_STATFS] = {NODE, fuse_do_statfs},
	[FUSE_RELEASE] = {OPEN, fuse_do_release},
	[FUSE_FSYNC] = {OPEN, fuse_do_fsync},
	[FUSE_INIT] = {0, do_init},
	[FUSE_OPENDIR] = {NODE, fuse_do_opendir},
	[FUSE_READDIR] = {NODE | OPEN, fuse_do_readdir},
	[FUSE_RELEASEDIR] = {OPEN, fuse_do_release},
	[FUSE_FSYNCDIR] = {OPEN, fuse_do_fsync},
	[FUSE_CREATE] = {NODE | CHANGES, fuse_do_create},
	[FUSE_INTERRUPT] = {SILENT, do_nothing},
	[FUSE_DESTROY] = {0, do_destroy},
	[FUSE_BATCH_FORGET] = {SILENT, do_batch_forget},
	[FUSE_FALLOCATE] = {OPEN | CHANGES, fuse_do_fallocate},
	[FUSE_READDIRPLUS] = {NODE | OPEN, fuse_do_readdirplus},
	[FUSE_RENAME2] = {NODE | CHANGES, fuse_do_rename2},
	[FUSE_LSEEK] = {OPEN, fuse_do_lseek},
	[FUSE_COPY_FILE_RANGE] = {OPEN | CHANGES, fuse_do_copy},
};

const char *fuse_get_string(struct fuse_call *c)
{
	const char *string = (const char *)c->m.at;
	const uint8_t *end = memchr(c->m.at, '\0', c->m.end - c->m.at);

	if (!end) {
		c->m.bad = true;
		return "";
	}
	c->m.at = end + 1;
	return string;
}

const char *fuse_get_name(struct fuse_call *c)
{
	const char *name = fuse_get_string(c);

	if (!tree_name_is_good(name))
		c->m.bad = true;
	return name;
}

/* Finds what the message is about. */
static int find(struct fuse *fuse, struct fuse_call *c, uint8_t flags)
{
	int status = 0;
	uint64_t handle;

	if (flags & CHANGES && fuse->tree.read_only)
		return EROFS;
	if (flags & NODE)
		status = fuse_inode_get(fuse, c->header.nodeid, &c->node);
	if (status || !(flags & OPEN))
		return status;
	if ((size_t)(c->m.end - c->m.at) < sizeof(handle))
		return EINVAL;
	memcpy(&handle, c->m.at, sizeof(handle));
	return fuse_handle_get(fuse, handle, &c->open);
}

static uint32_t answer(struct fuse *fuse, struct fuse_call *c, const struct handler *handler)
{
	struct fuse_out_header out = {.unique = c->header.unique};
	int status = handler ? find(fuse, c, handler->flags) : ENOSYS;

	if (!status)
		status = handler->serve(fuse, c);
	tree_node_unref(c->node);
	tree_open_unref(c->open);
	if (handler && handler->flags & SILENT)
		return 0;
	if (!status && c->m.reply_len + c->m.data_len > c->m.room)
		status = EMSGSIZE;
	if (status) {
		c->m.reply_len = OUT_HEADER;
		c->m.data_len = 0;
		out.error = -status;
	}
	out.len = c->m.reply_len + c->m.data_len;
	memcpy(c->m.reply, &out, sizeof(out));
	message_send(&c->m);
	return out.len;
}

static const struct handler *find_handler(uint32_t opcode)
{
	return opcode < G_N_ELEMENTS(handlers) && handlers[opcode].serve ? &handlers[opcode] : NULL;
}

/* Reads the message's header; false where it has none, or no error could be told. */
static bool begin(struct fuse_call *c, size_t copied)
{
	struct message *m = &c->m;
	const struct handler *handler;

	if (copied < sizeof(c->header))
		return false;
	memcpy(&c->header, m->request, sizeof(c->header));
	if (c->header.len < sizeof(c->header) || c->header.len > m->size)
		return false;
	m->size = c->header.len;
	m->at = m->request + sizeof(c->header);
	m->end = m->request + MIN(copied, m->size);
	m->reply_len = OUT_HEADER;
	handler = find_handler(c->header.opcode);
	return m->room >= OUT_HEADER || (handler && handler->flags & SILENT);
}

uint32_t fuse_serve(struct fuse *fuse, const struct iovec *out, unsigned n_out, const struct iovec *in, unsigned n_in)
{
	struct fuse_call *c = g_malloc(sizeof(*c));
	uint32_t len = 0;

	c->node = NULL;
	c->open = NULL;
	if (begin(c, message_init(&c->m, out, n_out, in, n_in)))
		len = answer(fuse, c, find_handler(c->header.opcode));
	g_free(c);
	return len;
}
