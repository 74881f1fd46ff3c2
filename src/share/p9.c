/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of 9P2000.L: the table of them, parsing and replies. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
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
static const struct message {
	uint8_t type, flags;
	int (*serve)(struct p9 *p9, struct p9_call *c);
} messages[] = {
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

static size_t gather(const struct iovec *iov, unsigned n, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t run = MIN(iov[i].iov_len, len - done);

		memcpy((uint8_t *)buf + done, iov[i].iov_base, run);
		done += run;
	}
	return done;
}

static void scatter(const struct iovec *iov, unsigned n, const void *buf, size_t len)
{
	for (size_t i = 0, done = 0; i < n && done < len; i++) {
		size_t run = MIN(iov[i].iov_len, len - done);

		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, run);
		done += run;
	}
}

static uint64_t length(const struct iovec *iov, unsigned n)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

unsigned p9_slice(struct p9_call *c, const struct iovec *iov, unsigned n, size_t from, size_t len)
{
	unsigned to = 0;

	for (unsigned i = 0; i < n && len; i++) {
		size_t skip = MIN(from, iov[i].iov_len), run = MIN(iov[i].iov_len - skip, len);

		from -= skip;
		len -= run;
		if (run)
			c->slice[to++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, run};
	}
	return to;
}

uint64_t p9_get(struct p9_call *c, unsigned bytes)
{
	uint64_t value = 0;

	if (c->end - c->at < bytes) {
		c->bad = true;
		return 0;
	}
	memcpy(&value, c->at, bytes);
	c->at += bytes;
	return value;
}

void p9_get_string(struct p9_call *c, char *to, size_t max)
{
	size_t len = p9_get(c, 2);

	to[0] = '\0';
	if (len > max || len > (size_t)(c->end - c->at) || memchr(c->at, '\0', len)) {
		c->bad = true;
		return;
	}
	memcpy(to, c->at, len);
	to[len] = '\0';
	c->at += len;
}

void p9_get_name(struct p9_call *c, char *to, bool walk)
{
	p9_get_string(c, to, P9_MAX_NAME);
	if (!to[0] || strchr(to, '/') || !strcmp(to, ".") || (!walk && !strcmp(to, "..")))
		c->bad = true;
}

void p9_put(struct p9_call *c, uint64_t value, unsigned bytes)
{
	g_assert(c->reply_len + bytes <= sizeof(c->reply));
	memcpy(c->reply + c->reply_len, &value, bytes);
	c->reply_len += bytes;
}

void p9_put_string(struct p9_call *c, const char *text)
{
	size_t len = strlen(text);

	g_assert(c->reply_len + 2 + len <= sizeof(c->reply));
	p9_put(c, len, 2);
	memcpy(c->reply + c->reply_len, text, len);
	c->reply_len += len;
}

/* The path is the inode, but for what is mounted below the folder: that has the same inodes once more. */
void p9_put_qid(struct p9_call *c, const struct p9 *p9, mode_t mode, dev_t device, uint64_t inode)
{
	p9_put(c, S_ISDIR(mode) ? 0x80 : S_ISLNK(mode) ? 0x02 : 0, 1);
	p9_put(c, 0, 4);
	p9_put(c, inode ^ ((device - p9->device) * 0x9e3779b97f4a7c15ull), 8);
}

/* A client that says so starts anew. */
static int do_version(struct p9 *p9, struct p9_call *c)
{
	uint32_t msize = p9_get(c, 4);
	char version[32];

	p9_get_string(c, version, sizeof(version) - 1);
	if (c->bad || msize < P9_MIN_MSIZE)
		return EINVAL;
	p9_reset(p9);
	g_mutex_lock(&p9->lock);
	p9->msize = msize = MIN(msize, P9_MAX_MSIZE);
	g_mutex_unlock(&p9->lock);
	p9_put(c, msize, 4);
	p9_put_string(c, strcmp(version, "9P2000.L") ? "unknown" : "9P2000.L");
	return 0;
}

static const struct message *find_message(uint8_t type)
{
	for (size_t i = 0; i < G_N_ELEMENTS(messages); i++)
		if (messages[i].type == type)
			return &messages[i];
	return NULL;
}

static int serve(struct p9 *p9, struct p9_call *c, uint8_t type)
{
	const struct message *message = find_message(type);
	int status = 0;

	if (!message)
		return EOPNOTSUPP;
	if (message->flags & CHANGES && p9->read_only)
		return EROFS;
	if (message->flags & FID) {
		c->fid = p9_get(c, 4);
		status = c->bad ? EINVAL : p9_fid_get(p9, c->fid, &c->place);
	}
	if (!status && message->flags & OPEN && !c->place.open)
		status = EBADF;
	if (!status)
		status = message->serve(p9, c);
	p9_place_clear(&c->place);
	return status;
}

static void put_header(struct p9_call *c, uint8_t type, uint16_t tag)
{
	le32_store(c->reply, c->reply_len + c->data_len);
	c->reply[4] = type;
	le16_store(c->reply + 5, tag);
}

/* Reads the message's header; false where it has none, or no error could be told. */
static bool begin(struct p9 *p9, struct p9_call *c)
{
	size_t copied = gather(c->out, c->n_out, c->request, sizeof(c->request));

	if (copied < P9_HEADER)
		return false;
	c->size = le32_load(c->request);
	if (c->size < P9_HEADER || c->size > length(c->out, c->n_out))
		return false;
	c->at = c->request + P9_HEADER;
	c->end = c->request + MIN(copied, c->size);
	g_mutex_lock(&p9->lock);
	c->room = MIN(length(c->in, c->n_in), p9->msize);
	g_mutex_unlock(&p9->lock);
	c->reply_len = P9_HEADER;
	return c->room >= P9_HEADER + 4;
}

static uint32_t answer(struct p9 *p9, struct p9_call *c)
{
	uint8_t type = c->request[4];
	int status = serve(p9, c, type);

	if (!status && c->reply_len + c->data_len > c->room)
		status = EMSGSIZE;
	if (status) {
		c->reply_len = P9_HEADER;
		c->data_len = 0;
		p9_put(c, status, 4);
	}
	put_header(c, status ? RLERROR : type + 1, le16_load(c->request + 5));
	scatter(c->in, c->n_in, c->reply, c->reply_len);
	return c->reply_len + c->data_len;
}

uint32_t p9_serve(struct p9 *p9, const struct iovec *out, unsigned n_out, const struct iovec *in,
		  unsigned n_in)
{
	struct p9_call *c = g_malloc(sizeof(*c));
	uint32_t len;

	/* All but the buffers. */
	memset(c, 0, offsetof(struct p9_call, request));
	c->out = out;
	c->n_out = MIN(n_out, SHARE_MAX_IOV);
	c->in = in;
	c->n_in = MIN(n_in, SHARE_MAX_IOV);
	len = begin(p9, c) ? answer(p9, c) : 0;
	g_free(c);
	return len;
}

uint32_t p9_flushed(const struct iovec *in, unsigned n_in, uint16_t tag)
{
	uint8_t reply[P9_HEADER] = {P9_HEADER, 0, 0, 0, TFLUSH + 1, tag, tag >> 8};

	if (length(in, n_in) < sizeof(reply))
		return 0;
	scatter(in, n_in, reply, sizeof(reply));
	return sizeof(reply);
}

uint16_t p9_tag(const struct iovec *out, unsigned n_out)
{
	uint8_t header[P9_HEADER];

	return gather(out, n_out, header, sizeof(header)) == sizeof(header) ? le16_load(header + 5) : NOTAG;
}

bool p9_is_flush(const struct iovec *out, unsigned n_out, uint16_t *tag)
{
	uint8_t message[P9_HEADER + 2];

	if (gather(out, n_out, message, sizeof(message)) < sizeof(message) || message[4] != TFLUSH)
		return false;
	*tag = le16_load(message + P9_HEADER);
	return true;
}

static void free_place(gpointer place)
{
	p9_place_clear(place);
	g_free(place);
}

/* Not more than half of what the process may open, so that a guest leaves the rest of it some. */
static gint fd_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) ? 512 : MIN(limit.rlim_cur / 2, 65536);
}

struct p9 *p9_new(const char *path, bool read_only, GError **error)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct p9 *p9;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || faccessat(fd, ".", R_OK | X_OK, 0)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "cannot share '%s': %s; name a folder that you can read", path, g_strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	p9 = g_new0(struct p9, 1);
	p9->device = st.st_dev;
	p9->root_inode = st.st_ino;
	p9->read_only = read_only;
	p9->max_fds = fd_limit();
	p9->msize = P9_MAX_MSIZE;
	g_mutex_init(&p9->lock);
	p9->fids = g_hash_table_new_full(NULL, NULL, NULL, free_place);
	if (p9_node_new(p9, fd, &p9->root)) {
		p9_free(p9);
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot share '%s': no descriptor is left; "
			    "raise the limit of open files (ulimit -n)", path);
		return NULL;
	}
	return p9;
}

void p9_free(struct p9 *p9)
{
	if (!p9)
		return;
	g_hash_table_unref(p9->fids);
	p9_node_unref(p9->root);
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
