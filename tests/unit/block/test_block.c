/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk's requests: the ring, what excludes it, limits, counts. */
#include "block/block.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK_SIZE (4u << 20)
#define SLOT	  4096u
#define N_SLOTS	  (DISK_SIZE / SLOT)

struct fixture {
	char *path;
	struct block *block;
};

struct kind {
	const char *format;
	bool direct;
};

static const struct kind raw = {"raw", false}, raw_direct = {"raw", true}, qcow2 = {"qcow2", false},
			 qcow2_direct = {"qcow2", true};

static void set_up(struct fixture *f, const void *data)
{
	const struct kind *kind = data;
	struct block_options options = {.image.format = kind->format, .image.direct = kind->direct};
	struct image_create create = {.format = kind->format, .size = DISK_SIZE, .replace = true};

	close(g_file_open_tmp("viv-block-XXXXXX", &f->path, NULL));
	options.image.path = create.path = f->path;
	g_assert_true(image_create(&create, NULL));
	f->block = block_open(&options, NULL);
	/* On a file system that has nothing but its cache. */
	if (!f->block) {
		options.image.direct = false;
		f->block = block_open(&options, NULL);
	}
}

static void tear_down(struct fixture *f, const void *data)
{
	block_close(f->block);
	g_unlink(f->path);
	g_free(f->path);
}

struct job {
	struct block_request request;
	struct iovec iov;
	int status;
};

static void on_done(struct block_request *request, int status)
{
	struct job *job = request->opaque;

	job->status = status;
}

static void start(struct block *block, struct job *job, enum block_op op, uint64_t offset,
		  void *buf, size_t len)
{
	*job = (struct job){.iov = {buf, len}, .status = 1};
	job->request = (struct block_request){.op = op,
					      .offset = offset,
					      .len = len,
					      .iov = &job->iov,
					      .n_iov = buf ? 1 : 0,
					      .done = on_done,
					      .opaque = job};
	block_submit(block, &job->request);
}

static int run(struct block *block, enum block_op op, uint64_t offset, void *buf, size_t len)
{
	struct job job;

	start(block, &job, op, offset, buf, len);
	block_drain(block);
	return job.status;
}

/* A piece of the disk, and what it holds. */
struct slot {
	uint8_t byte;
	bool torn; /* zeroed and written at once: some of both */
	struct job job, other;
};

static void start_slot(struct fixture *f, struct slot *slot, unsigned i, uint8_t *buf, GRand *rand)
{
	unsigned dice = g_rand_int_range(rand, 0, 200);

	slot->other.status = 0;
	if (dice < 100) {
		start(f->block, &slot->job, BLOCK_READ, i * SLOT, buf, SLOT);
		return;
	}
	slot->torn = dice < 104;
	slot->byte = dice < 198 ? g_rand_int_range(rand, 1, 256) : 0;
	if (slot->byte) {
		memset(buf, slot->byte, SLOT);
		start(f->block, &slot->job, BLOCK_WRITE, i * SLOT, buf, SLOT);
	}
	if (!slot->byte || slot->torn)
		start(f->block, slot->byte ? &slot->other : &slot->job, BLOCK_WRITE_ZEROES,
		      i * SLOT, NULL, SLOT);
}

static void check_slot(const struct slot *slot, const uint8_t *buf)
{
	g_assert_cmpint(slot->job.status, ==, 0);
	g_assert_cmpint(slot->other.status, ==, 0);
	if (slot->job.request.op != BLOCK_READ)
		return;
	for (unsigned k = 0; k < SLOT; k += 511)
		g_assert_true(buf[k] == slot->byte || (slot->torn && !buf[k]));
}

/* All slots' requests together, so that zeroes, which take clusters away, and what is with the
 * kernel meet; on some slots both at once, which must not touch another's. */
static void test_together(struct fixture *f, const void *data)
{
	uint8_t *buf = aligned_alloc(SLOT, DISK_SIZE);
	g_autofree struct slot *slots = g_new0(struct slot, N_SLOTS);
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	struct block_stats stats;

	for (unsigned round = 0; round < 25; round++) {
		block_plug(f->block);
		for (unsigned i = 0; i < N_SLOTS; i++) {
			start_slot(f, &slots[i], i, buf + i * SLOT, rand);
			if (i % 16 != 15)
				continue;
			block_unplug(f->block);
			block_plug(f->block);
		}
		block_unplug(f->block);
		block_drain(f->block);
		for (unsigned i = 0; i < N_SLOTS; i++)
			check_slot(&slots[i], buf + i * SLOT);
	}
	block_get_stats(f->block, &stats);
	g_assert_cmpuint(stats.ops[BLOCK_READ].requests + stats.ops[BLOCK_WRITE].requests, >,
			 24 * N_SLOTS);
	g_test_message("%" G_GUINT64_FORMAT " requests by the ring", stats.by_ring);
	free(buf);
}

/* What the kernel does not do as a whole a worker ends: a file that was cut, and what is past a
 * disk's end. */
static void test_errors(struct fixture *f, const void *data)
{
	uint8_t *buf = aligned_alloc(SLOT, 2 * SLOT);
	struct block_stats stats;

	g_assert_cmpint(run(f->block, BLOCK_READ, DISK_SIZE - SLOT, buf, SLOT), ==, 0);
	g_assert_cmpint(run(f->block, BLOCK_READ, DISK_SIZE - SLOT, buf, 2 * SLOT), ==, -EINVAL);
	g_assert_cmpint(run(f->block, BLOCK_READ, 1, buf, SLOT), ==, -EINVAL);
	g_assert_cmpint(truncate(f->path, DISK_SIZE - SLOT - 512), ==, 0);
	g_assert_cmpint(run(f->block, BLOCK_READ, DISK_SIZE - 2 * SLOT, buf, 2 * SLOT), ==, -EIO);
	g_assert_cmpint(run(f->block, BLOCK_READ, DISK_SIZE - SLOT, buf, SLOT), ==, -EIO);
	block_get_stats(f->block, &stats);
	g_assert_cmpuint(stats.ops[BLOCK_READ].requests, ==, 5);
	g_assert_cmpuint(stats.ops[BLOCK_READ].errors, ==, 4);
	g_assert_cmpuint(stats.ops[BLOCK_READ].bytes, ==, SLOT);
	g_assert_cmpuint(stats.ops[BLOCK_READ].ns, >, 0);
	g_assert_cmpuint(stats.in_flight, ==, 0);
	free(buf);
}

/* At one request a second fifty would outlast the test: a drain does not wait for that. */
static void test_limits(struct fixture *f, const void *data)
{
	struct block_limits limits = {.rate[BLOCK_REQUESTS][BLOCK_BOTH] = 1};
	static uint8_t buf[SLOT];
	struct job jobs[50];
	struct block_stats stats;
	int64_t then = g_get_monotonic_time();

	block_set_limits(f->block, &limits);
	for (unsigned i = 0; i < 50; i++)
		start(f->block, &jobs[i], i % 2 ? BLOCK_READ : BLOCK_WRITE, 0, buf, SLOT);
	block_get_stats(f->block, &stats);
	g_assert_cmpuint(stats.held, >=, 40);
	g_assert_cmpuint(stats.in_flight, >=, stats.held);
	block_drain(f->block);
	block_get_stats(f->block, &stats);
	g_assert_cmpuint(stats.held, ==, 0);
	g_assert_cmpuint(stats.in_flight, ==, 0);
	/* A flush is never held, a limit that goes lets go. */
	start(f->block, &jobs[0], BLOCK_READ, 0, buf, SLOT);
	g_assert_cmpint(run(f->block, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
	block_set_limits(f->block, &(struct block_limits){});
	g_assert_cmpint(run(f->block, BLOCK_READ, 0, buf, SLOT), ==, 0);
	g_assert_cmpint(g_get_monotonic_time() - then, <, 20 * G_USEC_PER_SEC);
}

/* The timer thread lets go what its time has come for, by itself. */
static void test_timer(struct fixture *f, const void *data)
{
	struct block_limits limits = {.rate[BLOCK_REQUESTS][BLOCK_READS] = 500,
				      .burst[BLOCK_REQUESTS] = 1};
	static uint8_t buf[SLOT];
	int64_t then = g_get_monotonic_time();
	struct job jobs[50];
	struct block_stats stats;

	block_set_limits(f->block, &limits);
	for (unsigned i = 0; i < 50; i++)
		start(f->block, &jobs[i], BLOCK_READ, 0, buf, SLOT);
	do
		block_get_stats(f->block, &stats);
	while (stats.in_flight);
	g_assert_cmpint(g_get_monotonic_time() - then, >=, 49 * G_USEC_PER_SEC / 500);
}

static void test_throttle(void)
{
	const struct block_limits limits = {
		.rate[BLOCK_REQUESTS] = {[BLOCK_BOTH] = 100, [BLOCK_WRITES] = 10},
		.rate[BLOCK_BYTES] = {[BLOCK_READS] = 1000},
		.burst[BLOCK_REQUESTS] = 5,
	};
	struct throttle throttle;
	int64_t now = 1000000000;

	throttle_init(&throttle, &(struct block_limits){}, now);
	g_assert_false(throttle_is_on(&throttle));
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_READS, now), ==, 0);
	throttle_init(&throttle, &limits, now);
	g_assert_true(throttle_is_on(&throttle));
	for (unsigned i = 0; i < 5; i++) {
		g_assert_cmpint(throttle_wait(&throttle, BLOCK_WRITES, now), ==, 0);
		throttle_charge(&throttle, BLOCK_WRITES, 1 << 20);
	}
	/* Ten writes a second, a hundred of both. */
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_WRITES, now) / 1000000, ==, 100);
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_READS, now) / 1000000, ==, 10);
	now += 10000000;
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_READS, now), ==, 0);
	/* A large read is a debt. */
	throttle_charge(&throttle, BLOCK_READS, 2100);
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_READS, now) / 1000000, ==, 2001);
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_WRITES, now) / 1000000, <, 100);
	/* However long nothing comes, no more than the burst is kept. */
	now += 1000000000000;
	for (unsigned i = 0; i < 5; i++)
		throttle_charge(&throttle, BLOCK_WRITES, 0);
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_WRITES, now), ==, 0);
	for (unsigned i = 0; i < 5; i++)
		throttle_charge(&throttle, BLOCK_WRITES, 0);
	g_assert_cmpint(throttle_wait(&throttle, BLOCK_WRITES, now), >, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/throttle", test_throttle);
	g_test_add("/block/together/raw", struct fixture, &raw, set_up, test_together, tear_down);
	g_test_add("/block/together/raw-direct", struct fixture, &raw_direct, set_up, test_together,
		   tear_down);
	g_test_add("/block/together/qcow2", struct fixture, &qcow2, set_up, test_together,
		   tear_down);
	g_test_add("/block/together/qcow2-direct", struct fixture, &qcow2_direct, set_up,
		   test_together, tear_down);
	g_test_add("/block/errors", struct fixture, &raw, set_up, test_errors, tear_down);
	g_test_add("/block/limits", struct fixture, &raw, set_up, test_limits, tear_down);
	g_test_add("/block/timer", struct fixture, &raw, set_up, test_timer, tear_down);
	return g_test_run();
}
