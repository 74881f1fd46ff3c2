/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a 4K request to a disk costs: disk FILE FORMAT ring|workers cached|direct read|write DEPTH
 * SECONDS keeps DEPTH random requests in flight, each submitted by the done() of one before it, as
 * devices do; prints requests a second and the process's CPU time for each, in microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/host_clock.h"
#include "block/block.h"

#define REQUEST	  4096
#define MAX_DEPTH 256

struct bench {
	struct block *block;
	uint64_t seed; /* under the lock, as the rest is */
	int64_t end_ns;
	uint64_t done, failed;
	GMutex lock;
};

struct slot {
	struct bench *bench;
	struct block_request request;
	struct iovec iov;
};

static void submit(struct slot *slot)
{
	struct bench *bench = slot->bench;
	uint64_t at;

	g_mutex_lock(&bench->lock);
	bench->seed = bench->seed * 6364136223846793005ull + 1442695040888963407ull;
	at = (bench->seed >> 20) % (block_size(bench->block) / REQUEST);
	g_mutex_unlock(&bench->lock);
	slot->request.offset = at * REQUEST;
	block_submit(bench->block, &slot->request);
}

static void on_done(struct block_request *request, int status)
{
	struct slot *slot = request->opaque;
	struct bench *bench = slot->bench;

	g_mutex_lock(&bench->lock);
	bench->done++;
	bench->failed += status != 0;
	g_mutex_unlock(&bench->lock);
	if (host_clock_ns(CLOCK_MONOTONIC) < bench->end_ns)
		submit(slot);
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	static struct slot slots[MAX_DEPTH];
	struct bench bench = {.seed = 1};
	g_autoptr(GError) error = NULL;
	unsigned depth;
	int64_t start;
	double cpu, seconds;

	if (argc != 8) {
		fprintf(stderr, "usage: disk FILE FORMAT ring|workers cached|direct read|write "
				"DEPTH SECONDS\n");
		return 2;
	}
	bench.block =
		block_open(&(struct block_options){.image.path = argv[1],
						   .image.format = argv[2],
						   .image.direct = !strcmp(argv[4], "direct"),
						   .workers_only = !strcmp(argv[3], "workers")},
			   &error);
	if (!bench.block) {
		fprintf(stderr, "%s\n", error->message);
		return 1;
	}
	depth = CLAMP(atoi(argv[6]), 1, MAX_DEPTH);
	start = host_clock_ns(CLOCK_MONOTONIC);
	bench.end_ns = start + (int64_t)(atof(argv[7]) * 1e9);
	cpu = cpu_seconds();
	block_plug(bench.block);
	for (unsigned i = 0; i < depth; i++) {
		slots[i] = (struct slot){
			.bench = &bench,
			.request = {.op = strcmp(argv[5], "read") ? BLOCK_WRITE : BLOCK_READ,
				    .len = REQUEST,
				    .iov = &slots[i].iov,
				    .n_iov = 1,
				    .done = on_done,
				    .opaque = &slots[i]},
			.iov = {aligned_alloc(REQUEST, REQUEST), REQUEST},
		};
		memset(slots[i].iov.iov_base, i + 1, REQUEST);
		submit(&slots[i]);
	}
	block_unplug(bench.block);
	block_drain(bench.block);
	seconds = (host_clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
	cpu = cpu_seconds() - cpu;
	printf("%.0f requests/s, %.2f us of CPU each%s\n", bench.done / seconds,
	       cpu * 1e6 / bench.done, bench.failed ? "; some failed" : "");
	block_close(bench.block);
	return bench.failed != 0;
}
