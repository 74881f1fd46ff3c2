/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw format: a file or a host block device, byte for byte.
 *
 * A power cut loses what was not flushed and nothing else: there is no metadata.
 */
#include "block/format.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

struct raw {
	int fd;
};

enum { IOV_BATCH = 64, ZERO_BATCH = 64 << 10 };

typedef ssize_t (*transfer_fn)(int fd, const struct iovec *iov, int n_iov, off_t offset);

/* Up to IOV_BATCH vectors of what follows the first `skip` bytes of the request's. */
static int cut_iov(const struct block_request *request, uint64_t skip, struct iovec *out)
{
	int n = 0;

	for (unsigned i = 0; i < request->n_iov && n < IOV_BATCH; i++) {
		struct iovec iov = request->iov[i];

		if (skip >= iov.iov_len) {
			skip -= iov.iov_len;
			continue;
		}
		out[n++] = (struct iovec){(uint8_t *)iov.iov_base + skip, iov.iov_len - skip};
		skip = 0;
	}
	return n;
}

/* preadv() and pwritev() may do less than asked; the end of the file, which is there only
 * if somebody cut it while we run, is an error. */
static int transfer(const struct raw *raw, const struct block_request *request, transfer_fn fn)
{
	struct iovec iov[IOV_BATCH];
	uint64_t done = 0;

	while (done < request->len) {
		int n_iov = cut_iov(request, done, iov);
		ssize_t n = fn(raw->fd, iov, n_iov, request->offset + done);

		if (n > 0)
			done += n;
		else if (n == 0)
			return -EIO;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int raw_read(void *image, const struct block_request *request)
{
	return transfer(image, request, preadv);
}

static int raw_write(void *image, const struct block_request *request)
{
	return transfer(image, request, pwritev);
}

static int raw_flush(void *image, const struct block_request *request)
{
	const struct raw *raw = image;

	return fdatasync(raw->fd) < 0 ? -errno : 0;
}

static int allocate(const struct raw *raw, int mode, const struct block_request *request)
{
	int result;

	if (!request->len)
		return 0;
	do
		result = fallocate(raw->fd, mode | FALLOC_FL_KEEP_SIZE, request->offset,
				   request->len);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : 0;
}

/* A file system that keeps the space has done what a discard promises: nothing. */
static int raw_discard(void *image, const struct block_request *request)
{
	int status = allocate(image, FALLOC_FL_PUNCH_HOLE, request);

	return status == -EOPNOTSUPP ? 0 : status;
}

static int raw_write_zeroes(void *image, const struct block_request *request)
{
	static const uint8_t zeroes[ZERO_BATCH];
	int status = allocate(image, FALLOC_FL_ZERO_RANGE, request);

	if (status != -EOPNOTSUPP)
		return status;
	status = 0;
	for (uint64_t done = 0; done < request->len && !status; done += ZERO_BATCH) {
		uint64_t len = MIN(request->len - done, ZERO_BATCH);
		struct iovec iov = {(void *)zeroes, len};
		struct block_request piece = {
			.offset = request->offset + done, .len = len, .iov = &iov, .n_iov = 1};

		status = transfer(image, &piece, pwritev);
	}
	return status;
}

static bool host_size(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKGETSIZE64, size) == 0;
	*size = st->st_size;
	return true;
}

static bool get_size(const struct raw *raw, const char *path, uint64_t *size, GError **error)
{
	struct stat st;

	if (fstat(raw->fd, &st) < 0 || !host_size(raw->fd, &st, size)) {
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
	if (*size == 0 || *size % BLOCK_SECTOR_SIZE) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "raw disk '%s' has %" G_GUINT64_FORMAT
			    " bytes, which is not a whole number of %u-byte sectors; if it really "
			    "is a raw image, extend it with: truncate -s %%%u '%s'",
			    path, *size, BLOCK_SECTOR_SIZE, BLOCK_SECTOR_SIZE, path);
		return false;
	}
	return true;
}

/* Open-file-description locks go with the descriptor, not with the process: they hold
 * against a second disk of this VM, too. */
static bool lock_image(const struct raw *raw, const struct block_options *options, GError **error)
{
	struct flock lock = {.l_type = options->read_only ? F_RDLCK : F_WRLCK,
			     .l_whence = SEEK_SET};

	if (fcntl(raw->fd, F_OFD_SETLK, &lock) == 0)
		return true;
	if (errno == EAGAIN || errno == EACCES)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is in use by another virtual machine; stop that one first, "
			    "or give this one its own copy",
			    options->path);
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "disk '%s': cannot lock it: %s; put it on a file system with locks",
			    options->path, g_strerror(errno));
	return false;
}

static void raw_close(void *image)
{
	struct raw *raw = image;

	close(raw->fd);
	g_free(raw);
}

static int open_image(const struct block_options *options, GError **error)
{
	/* A FIFO that nobody writes to would not return. */
	int fd = open(options->path,
		      (options->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (!options->read_only && (errno == EACCES || errno == EROFS || errno == EPERM))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' cannot be written: %s; make it writable, or attach it "
			    "read-only",
			    options->path, g_strerror(errno));
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' cannot be opened: %s; check the path", options->path,
			    g_strerror(errno));
	return -1;
}

static void *raw_open(const struct block_options *options, uint64_t *size, GError **error)
{
	int fd = open_image(options, error);
	struct raw *raw;

	if (fd < 0)
		return NULL;
	raw = g_new(struct raw, 1);
	raw->fd = fd;
	if (get_size(raw, options->path, size, error) && lock_image(raw, options, error))
		return raw;
	raw_close(raw);
	return NULL;
}

const struct block_format block_format_raw = {
	.name = "raw",
	.open = raw_open,
	.close = raw_close,
	.read = raw_read,
	.write = raw_write,
	.flush = raw_flush,
	.discard = raw_discard,
	.write_zeroes = raw_write_zeroes,
};
