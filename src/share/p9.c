/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of 9P2000.L: the table of them, parsing and replies. */
#include <errno.h>
#include "share/p9_int.h"

enum {
	TFLUSH = 108,
	RLERROR = 7,
	TVERSION = 100,
	NOTAG = 0xffff,
};

enum {
	FID = 1,     /* begins with one, which must be there */
	OPEN = 2,    /* and be open */
	CHANGES = 4, /* the folder */
};

static int do_version(struct p9 *p9, struct p9_call *c);

/* The client may do without; Linux then has no extended attributes, and no ACLs. */
static int do_unsupported(struct p9 *p9, struct p9_call *c)
{
	return EOPNOTSUPP;
}

static int do_nothing(struct p9 *p9, struct p9_call *c)
{
	return 0;
}

/* The replies' types are one more. */
static const struct handler {
	uint8_t type, flags;
	int (*serve)(struct p9 *p9, struct p9_call *c);
} handlers[] = {
	{8, FID, p9_do_statfs},
	{12, FID, p9_do_lopen},
	{14, FID | CHANGES, p9_do_lcreate},
	{16, FID | CHANGES, p9_do_symlink},
	{18, FID | CHANGES, p9_do_mknod},
	{20, FID | CHANGES, p9_do_rename},
	{22, FID, p9_do_readlink},
	{24, FID, p9_do_getattr},
	{26, FID | CHANGES, p9_do_setattr},
	{30, FID, do_unsupported}, /* Txattrwalk */
	{32, FID, do_unsupported}, /* Txattrcreate */
	{40, FID | OPEN, p9_do_readdir},
	{50, FID | OPEN, p9_do_fsync},
	{52, FID | OPEN, p9_do_lock},
	{54, FID | OPEN, p9_do_getlock},
	{70, FID | CHANGES, p9_do_link},
	{72, FID | CHANGES, p9_do_mkdir},
	{74, FID | CHANGES, p9_do_renameat},
	{76, FID | CHANGES, p9_do_unlinkat},
	{TVERSION, 0, do_version},
	{102, 0, do_unsupported}, /* Tauth: who has the device is let in */
	{104, 0, p9_do_attach},
	{TFLUSH, 0, do_nothing}, /* what it was to wait for has been answered */
	{110, FID, p9_do_walk},
	{116, FID | OPEN, p9_do_read},
	{118, FID | OPEN | CHANGES, p9_do_write},
	{120, FID, p9_do_clunk},
	{122, FID, p9_do_remove},
};

void p9_get_string(struct p9_call *c, char *to, size_t max)
{
	size_t len = message_get(&c->m, 2);

	to[0] = '\0';
	if (len > max || len > (size_t)(c->m.end - c->m.at) || memchr(c->m.at, '\0', len)) {
		c->m.bad = true;
		return;
	}
	memcpy(to, c->m.at, len);
	to[len] = '\0';
	c->m.at += len;
}

void p9_get_name(struct p9_call *c, char *to, bool walk)
{
	p9_get_string(c, to, TREE_MAX_NAME);
	if (!tree_name_is_good(to) && !(walk && !strcmp(to, "..")))
		c->m.bad = true;
}

void p9_put_string(struct p9_call *c, const char *text)
{
	size_t len = strlen(text);

	message_put(&c->m, len, 2);
	message_put_bytes(&c->m, text, len);
}

void p9_put_qid(struct p9_call *c, const struct p9 *p9, mode_t mode, dev_t device, uint64_t inode)
{
	message_put(&c->m, S_ISDIR(mode) ? 0x80 : S_ISLNK(mode) ? 0x02 : 0, 1);
	message_put(&c->m, 0, 4);
	message_put(&c->m, tree_inode(&p9->tree, device, inode), 8);
}

/* A client that says so starts anew. */
static int do_version(struct p9 *p9, struct p9_call *c)
{
	uint32_t msize = message_get(&c->m, 4);
	char version[32];

	p9_get_string(c, version, sizeof(version) - 1);
	if (c->m.bad || msize < P9_MIN_MSIZE)
		return EINVAL;
	p9_reset(p9);
	g_mutex_lock(&p9->lock);
	p9->msize = msize = MIN(msize, P9_MAX_MSIZE);
	g_mutex_unlock(&p9->lock);
	message_put(&c->m, msize, 4);
	p9_put_string(c, strcmp(version, "9P2000.L") ? "unknown" : "9P2000.L");
	return 0;
}

static const struct handler *find_handler(uint8_t type)
{
	for (size_t i = 0; i < G_N_ELEMENTS(handlers); i++)
		if (handlers[i].type == type)
			return &handlers[i];
	return NULL;
}

static int serve(struct p9 *p9, struct p9_call *c, uint8_t type)
{
	const struct handler *handler = find_handler(type);
	int status = 0;

	if (!handler)
		return EOPNOTSUPP;
	if (handler->flags & CHANGES && p9->tree.read_only)
		return EROFS;
	if (handler->flags & FID) {
		c->fid = message_get(&c->m, 4);
		status = c->m.bad ? EINVAL : p9_fid_get(p9, c->fid, &c->place);
	}
	if (!status && handler->flags & OPEN && !c->place.open)
		status = EBADF;
	if (!status)
		status = handler->serve(p9, c);
	p9_place_clear(&c->place);
	return status;
}

static void put_header(struct p9_call *c, uint8_t type, uint16_t tag)
{
	le32_store(c->m.reply, c->m.reply_len + c->m.data_len);
	c->m.reply[4] = type;
	le16_store(c->m.reply + 5, tag);
}

/* Reads the message's header; false where it has none, or no error could be told. */
static bool begin(struct p9 *p9, struct message *m, size_t copied)
{
	uint32_t size;

	if (copied < P9_HEADER)
		return false;
	size = le32_load(m->request);
	if (size < P9_HEADER || size > m->size)
		return false;
	m->size = size;
	m->at = m->request + P9_HEADER;
	m->end = m->request + MIN(copied, size);
	g_mutex_lock(&p9->lock);
	m->room = MIN(m->room, p9->msize);
	g_mutex_unlock(&p9->lock);
	m->reply_len = P9_HEADER;
	return m->room >= P9_HEADER + 4;
}

static uint32_t answer(struct p9 *p9, struct p9_call *c)
{
	uint8_t type = c->m.request[4];
	int status = serve(p9, c, type);

	if (!status && c->m.reply_len + c->m.data_len > c->m.room)
		status = EMSGSIZE;
	if (status) {
		c->m.reply_len = P9_HEADER;
		c->m.data_len = 0;
		message_put(&c->m, status, 4);
	}
	put_header(c, status ? RLERROR : type + 1, le16_load(c->m.request + 5));
	message_send(&c->m);
	return c->m.reply_len + c->m.data_len;
}

uint32_t p9_serve(struct p9 *p9, const struct iovec *out, unsigned n_out, const struct iovec *in,
		  unsigned n_in)
{
	struct p9_call *c = g_malloc(sizeof(*c));
	uint32_t len;

	c->place = (struct p9_place){0};
	len = begin(p9, &c->m, message_init(&c->m, out, n_out, in, n_in)) ? answer(p9, c) : 0;
	g_free(c);
	return len;
}

uint32_t p9_flushed(const struct iovec *in, unsigned n_in, uint16_t tag)
{
	uint8_t reply[P9_HEADER] = {P9_HEADER, 0, 0, 0, TFLUSH + 1, tag, tag >> 8};

	return message_scatter(in, n_in, reply, sizeof(reply)) == sizeof(reply) ? sizeof(reply) : 0;
}

uint16_t p9_tag(const struct iovec *out, unsigned n_out)
{
	uint8_t header[P9_HEADER];

	return message_gather(out, n_out, header, sizeof(header)) == sizeof(header) ? le16_load(header + 5) : NOTAG;
}

bool p9_is_flush(const struct iovec *out, unsigned n_out, uint16_t *tag)
{
	uint8_t message[P9_HEADER + 2];

	if (message_gather(out, n_out, message, sizeof(message)) < sizeof(message) || message[4] != TFLUSH)
		return false;
	*tag = le16_load(message + P9_HEADER);
	return true;
}

static void free_place(gpointer place)
{
	p9_place_clear(place);
	g_free(place);
}

struct p9 *p9_new(const char *path, bool read_only, GError **error)
{
	struct p9 *p9 = g_new0(struct p9, 1);

	if (!tree_init(&p9->tree, path, read_only, error)) {
		g_free(p9);
		return NULL;
	}
	p9->msize = P9_MAX_MSIZE;
	g_mutex_init(&p9->lock);
	p9->fids = g_hash_table_new_full(NULL, NULL, NULL, free_place);
	return p9;
}

void p9_free(struct p9 *p9)
{
	if (!p9)
		return;
	g_hash_table_unref(p9->fids);
	tree_fini(&p9->tree);
	g_mutex_clear(&p9->lock);
	g_free(p9);
}

void p9_reset(struct p9 *p9)
{
	GHashTable *old;

	g_mutex_lock(&p9->lock);
	old = p9->fids;
	p9->fids = g_hash_table_new_full(NULL, NULL, NULL, free_place);
	p9->msize = P9_MAX_MSIZE;
	g_mutex_unlock(&p9->lock);
	g_hash_table_unref(old);
}
