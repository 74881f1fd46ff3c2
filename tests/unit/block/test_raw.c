/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define DISK_SIZE (4u << 20)

/* A temporary image; its path, to be freed and removed by image_free(). */
static char *image_new(uint64_t size)
{
	char *path = NULL;
	int fd = g_file_open_tmp("viv-raw-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(ftruncate(fd, size), ==, 0);
	close(fd);
	return path;
}

static void image_free(char *path)
{
	g_unlink(path);
	g_free(path);
}

static struct block *open_raw(const char *path, bool read_only, GError **error)
{
	return block_open(
		&(struct block_options){.image.path = path, .image.format = "raw", .image.read_only = read_only},
		error);
}

struct waiter {
	GMutex lock;
	GCond cond;
	unsigned done;
	int status;
};

static void on_done(struct block_request *request, int status)
{
	struct waiter *waiter = request->opaque;

	g_mutex_lock(&waiter->lock);
	waiter->done++;
	waiter->status = status;
	g_cond_signal(&waiter->cond);
	g_mutex_unlock(&waiter->lock);
}

static int run(struct block *block, enum block_op op, uint64_t offset, uint64_t len,
	       const struct iovec *iov, unsigned n_iov)
{
	struct waiter waiter = {};
	struct block_request request = {.op = op,
					.offset = offset,
					.len = len,
					.iov = iov,
					.n_iov = n_iov,
					.done = on_done,
					.opaque = &waiter};

	block_submit(block, &request);
	g_mutex_lock(&waiter.lock);
	while (!waiter.done)
		g_cond_wait(&waiter.cond, &waiter.lock);
	g_mutex_unlock(&waiter.lock);
	block_drain(block);
	return waiter.status;
}

/* Vectors of odd lengths, more of them than one system call is given. */
static void test_vectors(void)
{
	char *path = image_new(DISK_SIZE);
	struct block *block = open_raw(path, false, NULL);
	g_autofree uint8_t *out = g_malloc(512 * 300), *in = g_malloc0(512 * 300);
	struct iovec write_iov[300], read_iov[2] = {{in, 7}, {in + 7, 512 * 300 - 7}};

	g_assert_cmpuint(block_size(block), ==, DISK_SIZE);
	for (unsigned i = 0; i < 512 * 300; i++)
		out[i] = i * 31 + (i >> 8);
	for (unsigned i = 0; i < 300; i++)
		write_iov[i] = (struct iovec){out + 512 * i, 512};
	write_iov[0].iov_len = 500;
	write_iov[1] = (struct iovec){out + 500, 524};
	g_assert_cmpint(run(block, BLOCK_WRITE, 1536, 512 * 300, write_iov, 300), ==, 0);
	g_assert_cmpint(run(block, BLOCK_FLUSH, 0, 0, NULL, 0), ==, 0);
	g_assert_cmpint(run(block, BLOCK_READ, 1536, 512 * 300, read_iov, 2), ==, 0);
	g_assert_cmpmem(in, 512 * 300, out, 512 * 300);
	block_close(block);
	image_free(path);
}

static void test_zeroes_and_discard(void)
{
	char *path = image_new(DISK_SIZE);
	struct block *block = open_raw(path, false, NULL);
	g_autofree uint8_t *buf = g_malloc(DISK_SIZE);
	struct iovec iov = {buf, DISK_SIZE};
	uint64_t hole = 1 << 20;
	struct stat st;

	memset(buf, 0x55, DISK_SIZE);
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, DISK_SIZE, &iov, 1), ==, 0);
	g_assert_cmpint(run(block, BLOCK_WRITE_ZEROES, 512, 70000 / 512 * 512, NULL, 0), ==, 0);
	g_assert_cmpint(run(block, BLOCK_DISCARD, hole, hole, NULL, 0), ==, 0);
	g_assert_cmpint(run(block, BLOCK_DISCARD, hole, 0, NULL, 0), ==, 0);
	g_assert_cmpint(run(block, BLOCK_READ, 0, DISK_SIZE, &iov, 1), ==, 0);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		if (i < hole || i >= 2 * hole)
			g_assert_cmpuint(buf[i], ==,
					 i >= 512 && i < 512 + 70000 / 512 * 512 ? 0 : 0x55);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_size, ==, DISK_SIZE);
	block_close(block);
	image_free(path);
}

static void test_bad_requests(void)
{
	char *path = image_new(DISK_SIZE);
	struct block *block = open_raw(path, false, NULL);
	uint8_t buf[1024] = {};
	struct iovec iov = {buf, 1024};

	g_assert_cmpint(run(block, BLOCK_READ, DISK_SIZE - 512, 1024, &iov, 1), ==, -EINVAL);
	g_assert_cmpint(run(block, BLOCK_WRITE, -512ull, 1024, &iov, 1), ==, -EINVAL);
	g_assert_cmpint(run(block, BLOCK_DISCARD, 512, -512ull, NULL, 0), ==, -EINVAL);
	g_assert_cmpint(run(block, BLOCK_READ, 512, -512ull, &iov, 1), ==, -EINVAL);
	g_assert_cmpint(run(block, BLOCK_READ, 100, 1024, &iov, 1), ==, -EINVAL);
	g_assert_cmpint(run(block, BLOCK_READ, 0, 100, &iov, 1), ==, -EINVAL);
	/* An image that somebody cut behind our back. */
	g_assert_cmpint(truncate(path, 512), ==, 0);
	g_assert_cmpint(run(block, BLOCK_READ, 0, 1024, &iov, 1), ==, -EIO);
	block_close(block);

	g_assert_cmpint(truncate(path, DISK_SIZE), ==, 0);
	block = open_raw(path, true, NULL);
	g_assert_true(block_read_only(block));
	g_assert_cmpint(run(block, BLOCK_READ, 0, 1024, &iov, 1), ==, 0);
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 1024, &iov, 1), ==, -EROFS);
	g_assert_cmpint(run(block, BLOCK_DISCARD, 0, 1024, NULL, 0), ==, -EROFS);
	block_close(block);
	image_free(path);
}

static void test_drain(void)
{
	enum { N = 500 };
	char *path = image_new(DISK_SIZE);
	struct block *block = open_raw(path, false, NULL);
	struct waiter waiter = {};
	g_autofree struct block_request *requests = g_new0(struct block_request, N);
	uint8_t buf[512] = {};
	struct iovec iov = {buf, 512};

	for (int round = 0; round < 20; round++) {
		waiter.done = 0;
		for (int i = 0; i < N; i++) {
			requests[i] = (struct block_request){.op = BLOCK_WRITE,
							     .offset = 512 * i,
							     .len = 512,
							     .iov = &iov,
							     .n_iov = 1,
							     .done = on_done,
							     .opaque = &waiter};
			block_submit(block, &requests[i]);
		}
		block_drain(block);
		g_assert_cmpuint(waiter.done, ==, N);
	}
	block_close(block);
	image_free(path);
}

static void expect_refusal(const char *path, bool read_only, const char *part)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(open_raw(path, read_only, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, path));
	g_assert_nonnull(strstr(error->message, part));
}

static void test_refusals(void)
{
	char *path = image_new(DISK_SIZE + 100), *empty = image_new(0);
	g_autoptr(GError) error = NULL;

	expect_refusal(path, false, "not a whole number of 512-byte sectors");
	expect_refusal(empty, false, "not a whole number");
	expect_refusal("/dev/null", false, "neither a file nor a block device");
	expect_refusal("/nonexistent/disk", false, "cannot be opened");
	expect_refusal("/", false, "cannot be opened");
	g_assert_null(block_open(&(struct block_options){.image.path = path, .image.format = "qcow9"}, &error));
	g_assert_nonnull(strstr(error->message, "'qcow9' is not known; use one of: raw"));
	image_free(empty);
	image_free(path);
}

static void test_not_writable(void)
{
	char *path = image_new(DISK_SIZE);

	if (geteuid() == 0) {
		g_test_skip("root may write any file");
	} else {
		g_assert_cmpint(chmod(path, 0400), ==, 0);
		expect_refusal(path, false, "attach it read-only");
	}
	image_free(path);
}

static void test_lock(void)
{
	char *path = image_new(DISK_SIZE);
	struct block *first = open_raw(path, false, NULL), *second;

	expect_refusal(path, false, "in use by another virtual machine or program");
	expect_refusal(path, true, "in use by another virtual machine or program");
	block_close(first);
	first = open_raw(path, true, NULL);
	second = open_raw(path, true, NULL);
	g_assert_nonnull(first);
	g_assert_nonnull(second);
	expect_refusal(path, false, "in use by another virtual machine or program");
	block_close(first);
	block_close(second);
	first = open_raw(path, false, NULL);
	g_assert_nonnull(first);
	block_close(first);
	image_free(path);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/raw/vectors", test_vectors);
	g_test_add_func("/raw/zeroes-and-discard", test_zeroes_and_discard);
	g_test_add_func("/raw/bad-requests", test_bad_requests);
	g_test_add_func("/raw/drain", test_drain);
	g_test_add_func("/raw/refusals", test_refusals);
	g_test_add_func("/raw/not-writable", test_not_writable);
	g_test_add_func("/raw/lock", test_lock);
	return g_test_run();
}
