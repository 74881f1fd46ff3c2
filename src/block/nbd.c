/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk of an NBD server (doc/proto.md of the NBD project), by libnbd.
 *
 * A connection is used by one thread at a time, which waits for its answer no longer than ANSWER_S;
 * there are several where the server says that a flush on one is a flush of all. A connection
 * that is lost, or answers too late, fails what is on it with EIO. It is opened again by whoever
 * needs it next, at growing intervals; until then all fail at once. Writes that were done before
 * the loss, and not flushed, may be gone with the server: the next flush fails, too, and says so.
 */
#include "block/file_int.h"

#include <errno.h>
#include <libnbd.h>
#include <string.h>

#include "base/error.h"
#include "base/host_clock.h"
#include "base/library.h"

#define CONNECTIONS   4
#define CONNECT_S     10
#define ANSWER_S      30
#define MAX_REQUEST   (8u << 20)
#define MIN_BACKOFF_S 1
#define MAX_BACKOFF_S 30

/* What is used of libnbd, which is loaded with the first such disk. */
#define LIBNBD(X)                    \
	X(nbd_add_meta_context)      \
	X(nbd_aio_block_status)      \
	X(nbd_aio_command_completed) \
	X(nbd_aio_connect_uri)       \
	X(nbd_aio_disconnect)        \
	X(nbd_aio_flush)             \
	X(nbd_aio_is_closed)         \
	X(nbd_aio_is_connecting)     \
	X(nbd_aio_is_dead)           \
	X(nbd_aio_is_ready)          \
	X(nbd_aio_pread)             \
	X(nbd_aio_pwrite)            \
	X(nbd_aio_zero)              \
	X(nbd_can_flush)             \
	X(nbd_can_meta_context)      \
	X(nbd_can_multi_conn)        \
	X(nbd_can_zero)              \
	X(nbd_close)                 \
	X(nbd_create)                \
	X(nbd_get_block_size)        \
	X(nbd_get_errno)             \
	X(nbd_get_error)             \
	X(nbd_get_size)              \
	X(nbd_is_read_only)          \
	X(nbd_poll)                  \
	X(nbd_set_uri_allow_local_file)

struct libnbd {
	LIBNBD(LIBRARY_MEMBER)
};

struct connection {
	struct nbd_handle *nbd; /* NULL: there is none now */
	bool busy;
};

struct nbd_file {
	struct file file;
	struct libnbd lib;
	bool can_flush, can_zero, can_map;

	GMutex lock; /* of the rest; connections that are busy are their user's */
	GCond freed;
	struct connection connections[CONNECTIONS];
	unsigned n_connections;
	bool connecting;  /* somebody is; others wait for what comes of it */
	int64_t retry_ns; /* not before this is another connection tried */
	unsigned backoff_s;
	bool dirty; /* something was written that no flush has followed */
	bool lost;  /* and a connection was lost then */
};

static int64_t now_ns(void)
{
	return host_clock_ns(CLOCK_MONOTONIC);
}

/* Lets the connection go on until the deadline; false: it is past, or there was an error. */
static bool poll_until(const struct libnbd *lib, struct nbd_handle *nbd, int64_t deadline_ns)
{
	int64_t left_ms = (deadline_ns - now_ns()) / 1000000;

	return left_ms > 0 && lib->nbd_poll(nbd, MIN(left_ms, INT32_MAX)) >= 0;
}

/* NULL, with libnbd's error as the calling thread's. */
static struct nbd_handle *connect_uri(const struct libnbd *lib, const char *uri)
{
	struct nbd_handle *nbd = lib->nbd_create();
	int64_t deadline = now_ns() + CONNECT_S * 1000000000ll;

	if (!nbd)
		return NULL;
	if (lib->nbd_set_uri_allow_local_file(nbd, true) == 0 &&
	    lib->nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 &&
	    lib->nbd_aio_connect_uri(nbd, uri) == 0) {
		while (lib->nbd_aio_is_connecting(nbd) == 1 && poll_until(lib, nbd, deadline))
			;
		if (lib->nbd_aio_is_ready(nbd) == 1)
			return nbd;
	}
	lib->nbd_close(nbd);
	return NULL;
}

/* Under the lock, which it gives up meanwhile. */
static void reconnect(struct nbd_file *file, struct connection *connection)
{
	struct nbd_handle *nbd;

	connection->busy = file->connecting = true;
	g_mutex_unlock(&file->lock);
	nbd = connect_uri(&file->lib, file->file.name);
	if (nbd && (uint64_t)file->lib.nbd_get_size(nbd) != file->file.size)
		g_clear_pointer(&nbd, file->lib.nbd_close);
	g_mutex_lock(&file->lock);
	connection->nbd = nbd;
	connection->busy = file->connecting = false;
	file->backoff_s = nbd ? MIN_BACKOFF_S : MIN(2 * file->backoff_s, MAX_BACKOFF_S);
	file->retry_ns = nbd ? 0 : now_ns() + file->backoff_s * 1000000000ll;
	g_cond_broadcast(&file->freed);
}

/* Under the lock: a free connection that stands, or else does not; NULL: all are busy. `stands`:
 * some connection does. */
static struct connection *pick(struct nbd_file *file, bool *stands)
{
	struct connection *found = NULL;

	*stands = false;
	for (unsigned i = 0; i < file->n_connections; i++) {
		struct connection *connection = &file->connections[i];

		*stands |= connection->nbd != NULL;
		if (!connection->busy && (!found || !found->nbd))
			found = connection;
	}
	return found;
}

static void release(struct nbd_file *file, struct connection *connection)
{
	connection->busy = false;
	g_cond_broadcast(&file->freed);
}

/* NULL: the server cannot be reached. */
static struct connection *acquire(struct nbd_file *file)
{
	struct connection *connection;
	bool stands;

	g_mutex_lock(&file->lock);
	while (true) {
		connection = pick(file, &stands);
		if (connection && connection->nbd)
			break;
		if (connection && !file->connecting && now_ns() >= file->retry_ns) {
			reconnect(file, connection);
		} else if (stands || file->connecting) {
			g_cond_wait(&file->freed, &file->lock);
		} else {
			connection = NULL;
			break;
		}
	}
	if (connection)
		connection->busy = true;
	g_mutex_unlock(&file->lock);
	return connection;
}

/* What libnbd says of a command that was not even sent, or has failed. */
static int last_error(const struct libnbd *lib)
{
	int err = lib->nbd_get_errno();

	return err > 0 && err != ENOTCONN && err != ESHUTDOWN ? -err : -EIO;
}

/* Waits for a command's end; gives the connection up where that does not come. */
static int finish(struct nbd_file *file, struct connection *connection, int64_t cookie)
{
	int64_t deadline = now_ns() + ANSWER_S * 1000000000ll;
	int done = 0, status;

	while (cookie >= 0 && !done) {
		done = file->lib.nbd_aio_command_completed(connection->nbd, cookie);
		if (!done && !poll_until(&file->lib, connection->nbd, deadline))
			break;
	}
	status = cookie >= 0 && done == 1 ? 0
		 : cookie < 0 || done < 0 ? last_error(&file->lib)
					  : -EIO;
	g_mutex_lock(&file->lock);
	if (status && (!done || file->lib.nbd_aio_is_ready(connection->nbd) != 1)) {
		g_clear_pointer(&connection->nbd, file->lib.nbd_close);
		file->lost |= file->dirty;
		status = -EIO;
	}
	release(file, connection);
	g_mutex_unlock(&file->lock);
	return status;
}

static int transfer(struct nbd_file *file, uint64_t offset, void *buf, size_t len, bool write)
{
	struct connection *connection = acquire(file);
	int64_t cookie;

	if (!connection)
		return -EIO;
	cookie = write ? file->lib.nbd_aio_pwrite(connection->nbd, buf, len, offset,
						  NBD_NULL_COMPLETION, 0)
		       : file->lib.nbd_aio_pread(connection->nbd, buf, len, offset,
						 NBD_NULL_COMPLETION, 0);
	return finish(file, connection, cookie);
}

/* A piece of a transfer, within the disk: of one vector as it is, of several by a buffer. */
static int transfer_piece(struct nbd_file *file, uint64_t offset, struct span span, bool write)
{
	g_autofree uint8_t *buffer = NULL;
	struct iovec iov[2];
	int status;

	if (span_iov(span, iov, 2) == 1)
		return transfer(file, offset, iov->iov_base, iov->iov_len, write);
	buffer = g_malloc(span.len);
	if (write)
		span_load(span, buffer);
	status = transfer(file, offset, buffer, span.len, write);
	if (!write && !status)
		span_store(span, buffer);
	return status;
}

static int transfer_all(struct nbd_file *file, uint64_t offset, struct span span, bool write)
{
	int status = 0;

	for (uint64_t n; span.len && !status; span = span_part(span, n, span.len - n)) {
		n = MIN(span.len, MAX_REQUEST);
		status = transfer_piece(file, offset, span_part(span, 0, n), write);
		offset += n;
	}
	return status;
}

static int nbd_file_read(struct file *base, uint64_t offset, struct span span)
{
	uint64_t there = offset < base->size ? MIN(span.len, base->size - offset) : 0;

	span_zero(span_part(span, there, span.len - there));
	return transfer_all((struct nbd_file *)base, offset, span_part(span, 0, there), false);
}

static void set_dirty(struct nbd_file *file)
{
	g_mutex_lock(&file->lock);
	file->dirty = true;
	g_mutex_unlock(&file->lock);
}

static int nbd_file_write(struct file *base, uint64_t offset, struct span span)
{
	struct nbd_file *file = (struct nbd_file *)base;

	if (offset > base->size || span.len > base->size - offset)
		return -ENOSPC;
	set_dirty(file);
	return transfer_all(file, offset, span, true);
}

static int nbd_file_flush(struct file *base)
{
	struct nbd_file *file = (struct nbd_file *)base;
	struct connection *connection;
	bool lost;
	int status;

	g_mutex_lock(&file->lock);
	lost = file->lost;
	file->dirty = file->lost = false;
	g_mutex_unlock(&file->lock);
	if (!file->can_flush)
		return lost ? -EIO : 0;
	connection = acquire(file);
	status = connection
			 ? finish(file, connection,
				  file->lib.nbd_aio_flush(connection->nbd, NBD_NULL_COMPLETION, 0))
			 : -EIO;
	if (status)
		set_dirty(file);
	return lost ? -EIO : status;
}

static int nbd_file_set_size(struct file *base, uint64_t size)
{
	return size <= base->size ? 0 : -ENOSPC;
}

static int zero_piece(struct nbd_file *file, uint64_t offset, uint64_t len, bool punch)
{
	struct connection *connection = acquire(file);

	if (!connection)
		return -EIO;
	return finish(file, connection,
		      file->lib.nbd_aio_zero(connection->nbd, len, offset, NBD_NULL_COMPLETION,
					     punch ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
}

static int nbd_file_zero(struct file *base, uint64_t offset, uint64_t len, bool punch)
{
	struct nbd_file *file = (struct nbd_file *)base;
	int status = 0;

	if (!file->can_zero)
		return -EOPNOTSUPP;
	set_dirty(file);
	for (uint64_t done = 0, n; done < len && !status; done += n) {
		n = MIN(len - done, 1u << 30);
		status = zero_piece(file, offset + done, n, punch);
	}
	return status == -ENOTSUP ? -EOPNOTSUPP : status;
}

struct found {
	uint64_t run;
	bool zero;
};

static int on_extent(void *opaque, const char *context, uint64_t offset, uint32_t *entries,
		     size_t n_entries, int *error)
{
	struct found *found = opaque;

	/* Lengths and flags in turn; the first is that of `offset`. */
	if (n_entries >= 2 && !strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION)) {
		found->run = entries[0];
		found->zero = entries[1] & LIBNBD_STATE_ZERO;
	}
	return 0;
}

static int nbd_file_map(struct file *base, uint64_t offset, uint64_t len, uint64_t *run, bool *zero)
{
	struct nbd_file *file = (struct nbd_file *)base;
	struct found found = {};
	struct connection *connection = file->can_map ? acquire(file) : NULL;
	nbd_extent_callback callback = {.callback = on_extent, .user_data = &found};
	int status = 0;

	if (connection)
		status = finish(file, connection,
				file->lib.nbd_aio_block_status(
					connection->nbd, MIN(len, 1u << 30), offset, callback,
					NBD_NULL_COMPLETION, LIBNBD_CMD_FLAG_REQ_ONE));
	else if (file->can_map)
		status = -EIO;
	*run = found.run ? MIN(found.run, len) : len;
	*zero = found.run && found.zero;
	return status;
}

static uint64_t nbd_file_allocated(struct file *base)
{
	return base->size;
}

static void nbd_file_close(struct file *base)
{
	struct nbd_file *file = (struct nbd_file *)base;

	for (unsigned i = 0; i < file->n_connections; i++) {
		struct nbd_handle *nbd = file->connections[i].nbd;
		int64_t deadline = now_ns() + 1000000000ll;

		/* Says goodbye, and waits a moment for the server to hear it. */
		if (nbd && file->lib.nbd_aio_disconnect(nbd, 0) == 0)
			while (file->lib.nbd_aio_is_closed(nbd) == 0 &&
			       file->lib.nbd_aio_is_dead(nbd) == 0 &&
			       poll_until(&file->lib, nbd, deadline))
				;
		file->lib.nbd_close(nbd);
	}
	g_cond_clear(&file->freed);
	g_mutex_clear(&file->lock);
	g_free(file);
}

static const struct file_ops nbd_ops = {
	.read = nbd_file_read,
	.write = nbd_file_write,
	.flush = nbd_file_flush,
	.set_size = nbd_file_set_size,
	.zero = nbd_file_zero,
	.map = nbd_file_map,
	.allocated = nbd_file_allocated,
	.close = nbd_file_close,
};

bool file_is_nbd(const char *name)
{
	return g_str_has_prefix(name, "nbd://") || g_str_has_prefix(name, "nbds://") ||
	       g_str_has_prefix(name, "nbd+") || g_str_has_prefix(name, "nbds+");
}

/* What the server offers; false with the error set. */
static bool look_at_server(struct nbd_file *file, struct nbd_handle *nbd, GError **error)
{
	int64_t size = file->lib.nbd_get_size(nbd),
		minimum = file->lib.nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);

	file->can_flush = file->lib.nbd_can_flush(nbd) == 1;
	file->can_zero = file->lib.nbd_can_zero(nbd) == 1;
	file->can_map = file->lib.nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
	file->n_connections = file->lib.nbd_can_multi_conn(nbd) == 1 ? CONNECTIONS : 1;
	file->file.size = MAX(size, 0);
	if (size < 0)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': the server does not tell its size", file->file.name);
	else if (minimum > 512)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s': the server wants requests of %" G_GINT64_FORMAT
			    " bytes or more; tell it to take 512",
			    file->file.name, minimum);
	else if (!file->file.read_only && file->lib.nbd_is_read_only(nbd) == 1)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' cannot be written: its server says so; attach it read-only",
			    file->file.name);
	else
		return true;
	return false;
}

struct file *file_open_nbd(const char *uri, unsigned flags, GError **error)
{
	static const char *const names[] = {LIBNBD(LIBRARY_NAME)};
	struct nbd_handle *nbd;
	struct nbd_file *file;
	struct libnbd lib;

	if (flags & FILE_CREATE) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' cannot be made: it is its server's; to write over it, "
			    "convert with "
			    "--existing",
			    uri);
		return NULL;
	}
	if (!library_load("libnbd.so.0", names, G_N_ELEMENTS(names), &lib, error))
		return NULL;
	nbd = connect_uri(&lib, uri);
	if (!nbd) {
		g_set_error(
			error, VIV_ERROR, VIV_ERROR_INPUT,
			"disk '%s' cannot be opened: %s; check the URI, and that its server runs",
			uri, lib.nbd_get_error() ? lib.nbd_get_error() : "it does not answer");
		return NULL;
	}
	file = g_new0(struct nbd_file, 1);
	g_mutex_init(&file->lock);
	g_cond_init(&file->freed);
	file->lib = lib;
	file->backoff_s = MIN_BACKOFF_S;
	file->connections[0].nbd = nbd;
	file->file = (struct file){
		.ops = &nbd_ops,
		.name = g_strdup(uri),
		.read_only = flags & FILE_READ_ONLY,
		.fd = -1,
		.align = 1,
	};
	if (look_at_server(file, nbd, error))
		return &file->file;
	file->n_connections = 1;
	file_close(&file->file);
	return NULL;
}
