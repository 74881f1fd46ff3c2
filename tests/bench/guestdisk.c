/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs in a guest: how fast a disk is, past the guest's page cache. The disk is overwritten. */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AREA	    (512ull << 20) /* of the disk that is used */
#define SMALL	    4096u
#define LARGE	    (1u << 20)
#define MAX_THREADS 16

struct work {
	const char *name;
	bool write, random;
	size_t size;
	unsigned threads, count; /* requests of all threads */
};

struct worker {
	const struct work *work;
	int fd;
	unsigned number;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *work_main(void *data)
{
	struct worker *worker = data;
	const struct work *work = worker->work;
	char *buf = aligned_alloc(4096, work->size);
	uint64_t seed = worker->number + 1, slots = AREA / work->size;

	memset(buf, worker->number + 1, work->size);
	for (unsigned i = worker->number; i < work->count; i += work->threads) {
		uint64_t at;
		ssize_t n;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		at = (work->random ? (seed >> 20) % slots : i % slots) * work->size;
		n = work->write ? pwrite(worker->fd, buf, work->size, at)
				: pread(worker->fd, buf, work->size, at);
		if (n != (ssize_t)work->size) {
			perror("diskbench");
			exit(1);
		}
	}
	free(buf);
	return NULL;
}

static void measure(const struct work *work, int fd)
{
	struct worker workers[MAX_THREADS];
	pthread_t threads[MAX_THREADS];
	double start = now(), seconds;

	for (unsigned i = 0; i < work->threads; i++) {
		workers[i] = (struct worker){work, fd, i};
		pthread_create(&threads[i], NULL, work_main, &workers[i]);
	}
	for (unsigned i = 0; i < work->threads; i++)
		pthread_join(threads[i], NULL);
	seconds = now() - start;
	if (work->size == SMALL)
		printf("diskbench %s: %.0f IOPS\n", work->name, work->count / seconds);
	else
		printf("diskbench %s: %.0f MiB/s\n", work->name, work->count / seconds);
}

int main(int argc, char **argv)
{
	static const struct work works[] = {
		{"sequential write", true, false, LARGE, 1, 512},
		{"sequential read", false, false, LARGE, 1, 1024},
		{"4K random read", false, true, SMALL, 1, 8000},
		{"4K random read, 16 at once", false, true, SMALL, 16, 20000},
		{"4K random write", true, true, SMALL, 1, 8000},
		{"4K random write, 16 at once", true, true, SMALL, 16, 20000},
	};
	int fd = open(argc > 1 ? argv[1] : "/dev/vda", O_RDWR | O_DIRECT);

	if (fd < 0) {
		perror("diskbench");
		return 1;
	}
	for (unsigned i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		measure(&works[i], fd);
	fsync(fd);
	return 0;
}
