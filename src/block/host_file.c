/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file or a block device of the host.
 *
 * Past the page cache (O_DIRECT) memory, offsets and lengths must be aligned: what is not goes
 * through a buffer, and a write of less than a block reads the rest of it first, under a lock.
 */
#include "block/file_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { IOV_BATCH = 64, DIRECT_ALIGN = 4096, BOUNCE = 1 << 20 };

struct host_file {
	struct file file;
	bool is_device;
	/* Past the page cache, of writes of blocks in part, and of those that move the end: the first may
	 * move it too far, and back. */
	GMutex edges;
	/* What was last found to be data: some file systems look for its end a page at a time. */
	GMutex lock;
	uint64_t data_start, data_end;
};

typedef ssize_t (*transfer_fn)(int fd, const struct iovec *iov, int n_iov, off_t offset);

static void grow(struct file *file, uint64_t end)
{
	uint64_t size = file->size;

	while (end > size && !atomic_compare_exchange_weak(&file->size, &size, end))
		;
}

/* preadv() and pwritev() may do less than asked. */
static int transfer(struct file *file, uint64_t offset, struct span span, transfer_fn fn)
{
	struct iovec iov[IOV_BATCH];

	while (span.len) {
		uint64_t size = file->size; /* before the read: others may move the end meanwhile */
		ssize_t n = fn(file->fd, iov, span_iov(span, iov, IOV_BATCH), offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) { /* the end of the file, which is before where we know it only if
				 somebody cut it */
			if (fn == pwritev || offset < size)
				return -EIO;
			span_zero(span);
			return 0;
		}
		offset += n;
		span = span_part(span, n, span.len - n);
	}
	return 0;
}

/* One piece of a transfer, by a buffer of whole blocks around it; to write under the lock. */
static int bounce(struct file *file, uint64_t offset, struct span span, bool write)
{
	struct host_file *host = (struct host_file *)file;
	uint64_t first = offset / DIRECT_ALIGN * DIRECT_ALIGN;
	size_t len = (offset + span.len - first + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;
	bool partial = offset % DIRECT_ALIGN || span.len % DIRECT_ALIGN;
	uint8_t *buffer = aligned_alloc(DIRECT_ALIGN, len);
	uint64_t old_size = file->size;
	int status = 0;

	if (!buffer)
		return -ENOMEM;
	if (!write || partial)
		status = transfer(file, first, SPAN(buffer, len), preadv);
	if (!status && write) {
		span_load(span, buffer + (offset - first));
		status = transfer(file, first, SPAN(buffer, len), pwritev);
		/* The last block may have moved the end further than was asked. */
		if (!status && !host->is_device && first + len > MAX(old_size, offset + span.len) &&
		    ftruncate(file->fd, MAX(old_size, offset + span.len)) < 0)
			status = -errno;
	} else if (!status) {
		span_store(span, buffer + (offset - first));
	}
	free(buffer);
	return status;
}

static int host_transfer(struct file *file, uint64_t offset, struct span span, bool write)
{
	int status = 0;

	if (offset % file->align == 0 && span_is_aligned(span, file->align))
		return transfer(file, offset, span, write ? pwritev : preadv);
	while (span.len && !status) {
		uint64_t n = MIN(span.len, BOUNCE - offset % DIRECT_ALIGN);

		status = bounce(file, offset, span_part(span, 0, n), write);
		offset += n;
		span = span_part(span, n, span.len - n);
	}
	return status;
}

static int host_read(struct file *file, uint64_t offset, struct span span)
{
	return host_transfer(file, offset, span, false);
}

static int host_write(struct file *file, uint64_t offset, struct span span)
{
	struct host_file *host = (struct host_file *)file;
	bool alone = file->align > 1 && (offset + span.len > file->size || offset % file->align ||
					 !span_is_aligned(span, file->align));
	int status;

	if (alone)
		g_mutex_lock(&host->edges);
	status = host_transfer(file, offset, span, true);
	if (!status)
		grow(file, offset + span.len);
	if (alone)
		g_mutex_unlock(&host->edges);
	return status;
}

static int host_flush(struct file *file)
{
	return fdatasync(file->fd) < 0 ? -errno : 0;
}

/* Before data becomes holes. */
static void forget_data(struct host_file *host)
{
	g_mutex_lock(&host->lock);
	host->data_start = host->data_end = 0;
	g_mutex_unlock(&host->lock);
}

static int host_set_size(struct file *file, uint64_t size)
{
	if (((struct host_file *)file)->is_device)
		return size <= file->size ? 0 : -ENOSPC;
	forget_data((struct host_file *)file);
	if (ftruncate(file->fd, size) < 0)
		return -errno;
	file->size = size;
	return 0;
}

static int host_zero(struct file *file, uint64_t offset, uint64_t len, bool punch)
{
	int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	int result;

	forget_data((struct host_file *)file);
	do
		result = fallocate(file->fd, mode, offset, len);
	while (result < 0 && errno == EINTR);
	if (result < 0 && (errno == ENOSYS || errno == ENODEV))
		return -EOPNOTSUPP;
	return result < 0 ? -errno : 0;
}

/* A file system without holes says that all is data, which is true. */
static void find_run(struct host_file *host, uint64_t offset, uint64_t *end, bool *zero)
{
	off_t data = lseek(host->file.fd, offset, SEEK_DATA), hole;

	*end = UINT64_MAX;
	*zero = data < 0 && errno == ENXIO; /* nothing but a hole up to the end */
	if (data < 0 || host->is_device)
		return;
	*zero = (uint64_t)data > offset;
	hole = *zero ? data : lseek(host->file.fd, offset, SEEK_HOLE);
	if (hole > (off_t)offset)
		*end = hole;
	if (*zero)
		return;
	g_mutex_lock(&host->lock);
	host->data_start = offset;
	host->data_end = *end;
	g_mutex_unlock(&host->lock);
}

static int host_map(struct file *file, uint64_t offset, uint64_t len, uint64_t *run, bool *zero)
{
	struct host_file *host = (struct host_file *)file;
	uint64_t end;

	g_mutex_lock(&host->lock);
	*zero = offset < host->data_start || offset >= host->data_end;
	end = host->data_end;
	g_mutex_unlock(&host->lock);
	if (*zero)
		find_run(host, offset, &end, zero);
	*run = MIN(len, end - offset);
	return 0;
}

static uint64_t host_allocated(struct file *file)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return 0;
	return ((struct host_file *)file)->is_device ? file->size : st.st_blocks * 512ull;
}

static void host_close(struct file *file)
{
	struct host_file *host = (struct host_file *)file;

	close(file->fd);
	g_mutex_clear(&host->edges);
	g_mutex_clear(&host->lock);
	g_free(host);
}

static const struct file_ops host_ops = {
	.read = host_read,
	.write = host_write,
	.flush = host_flush,
	.set_size = host_set_size,
	.zero = host_zero,
	.map = host_map,
	.allocated = host_allocated,
	.close = host_close,
};

static bool get_size(struct host_file *host, GError **error)
{
	const char *path = host->file.name;
	uint64_t size;
	struct stat st;

	if (fstat(host->file.fd, &st) < 0 ||
	    (S_ISBLK(st.st_mode) && ioctl(host->file.fd, BLKGETSIZE64, &size) < 0)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s': cannot get its size: %s",
			    path, g_strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is neither a file nor a block device; name one that is",
			    path);
		return false;
	}
	host->is_device = S_ISBLK(st.st_mode);
	host->file.size = host->is_device ? size : (uint64_t)st.st_size;
	return true;
}

/* Open-file-description locks go with the descriptor, not with the process: they hold
 * against a second disk of this VM, too. */
static bool lock_file(struct host_file *host, GError **error)
{
	struct flock lock = {.l_type = host->file.read_only ? F_RDLCK : F_WRLCK,
			     .l_whence = SEEK_SET};
	const char *path = host->file.name;

	if (fcntl(host->file.fd, F_OFD_SETLK, &lock) == 0)
		return true;
	if (errno == EAGAIN || errno == EACCES)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is in use by another virtual machine or program; end that first, "
			    "or give this one its own copy",
			    path);
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': cannot lock it: %s; put it on a file system with locks",
			    path, g_strerror(errno));
	return false;
}

static void set_open_error(const char *path, unsigned flags, int err, GError **error)
{
	if (flags & FILE_CREATE)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "disk '%s' cannot be made: %s; %s",
			    path, g_strerror(err),
			    err == EEXIST ? "remove it first, or choose another name"
					  : "check the path");
	else if (!(flags & FILE_READ_ONLY) && (err == EACCES || err == EROFS || err == EPERM))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' cannot be written: %s; make it writable, or attach it "
			    "read-only",
			    path, g_strerror(err));
	else if ((flags & FILE_DIRECT) && err == EINVAL)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is on a file system that cannot do without the page cache; "
			    "open it without "
			    "direct I/O",
			    path);
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' cannot be opened: %s; check the path", path,
			    g_strerror(err));
}

struct file *file_open_host(const char *path, unsigned flags, GError **error)
{
	/* A FIFO that nobody writes to would not return. */
	int mode = (flags & FILE_READ_ONLY ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC |
		   (flags & FILE_DIRECT ? O_DIRECT : 0) | (flags & FILE_CREATE ? O_CREAT : 0) |
		   (flags & FILE_CREATE && !(flags & FILE_REPLACE) ? O_EXCL : 0);
	int fd = open(path, mode, 0666);
	struct host_file *host;

	if (fd < 0) {
		set_open_error(path, flags, errno, error);
		return NULL;
	}
	host = g_new0(struct host_file, 1);
	g_mutex_init(&host->edges);
	g_mutex_init(&host->lock);
	host->file = (struct file){
		.ops = &host_ops,
		.name = g_strdup(path),
		.read_only = flags & FILE_READ_ONLY,
		.fd = fd,
		.align = flags & FILE_DIRECT ? DIRECT_ALIGN : 1,
	};
	/* What is replaced is cut only once nobody else is known to use it. */
	if (get_size(host, error) && (flags & FILE_NO_LOCK || lock_file(host, error))) {
		if (!(flags & FILE_REPLACE) || host->is_device ||
		    host_set_size(&host->file, 0) == 0)
			return &host->file;
		set_open_error(path, flags, errno, error);
	}
	file_close(&host->file);
	return NULL;
}
