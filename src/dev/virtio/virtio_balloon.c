/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory balloon: virtio 1.2, section 5.5. What the driver puts into it, or reports as unused, the host gets back;
 * the guest takes it out by using it, and finds zeros.
 *
 * The driver's buffer of statistics stays in its queue, where it has been read; it is given back when somebody wants
 * new ones (section 5.5.6.3).
 */
#include "dev/virtio/virtio_balloon.h"

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"

#define F_STATS_VQ	 (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_PAGE_REPORTING (1ull << 5)

/* Those of features that were not negotiated are not there, and Linux counts on without them. */
enum { INFLATE_QUEUE, DEFLATE_QUEUE, STATS_QUEUE, N_QUEUES = 5 };

/* struct virtio_balloon_config, section 5.5.4. */
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_SIZE = 16 };

/* struct virtio_balloon_stat, section 5.5.6.3: tag and value. */
enum { STAT_SIZE = 10, STAT_VALUE = 2, MAX_STATS = 64 };

#define PAGE_SHIFT 12
/* Of a chain; Linux sends 256. What else there is the guest keeps. */
#define MAX_PAGES 4096
/* Of chains at a time: each may take a while. */
#define MAX_CHAINS 16

struct virtio_balloon {
	struct virtio virtio;
	uint8_t config[CONFIG_SIZE];
	uint64_t reported;
	uint32_t n_updates;
	uint64_t statistics[BALLOON_N_STATISTICS];
	bool stats_read; /* of the buffer that is first in the queue */
	struct queue_chain chain;
};

const char *const balloon_statistic_names[BALLOON_N_STATISTICS] = {
	[BALLOON_SWAP_IN] = "swap_in",
	[BALLOON_SWAP_OUT] = "swap_out",
	[BALLOON_MAJOR_FAULTS] = "major_faults",
	[BALLOON_MINOR_FAULTS] = "minor_faults",
	[BALLOON_FREE] = "free",
	[BALLOON_TOTAL] = "total",
	[BALLOON_AVAILABLE] = "available",
	[BALLOON_CACHES] = "caches",
	[BALLOON_HUGE_ALLOCATIONS] = "huge_allocations",
	[BALLOON_HUGE_FAILURES] = "huge_failures",
};

static struct mem *guest_mem(const struct virtio_balloon *balloon)
{
	return balloon->virtio.pci.device.env->mem;
}

/* Page numbers; neighbours, which Linux has in either order, go at once. */
static void inflate(struct virtio_balloon *balloon, const struct queue_chain *chain)
{
	uint8_t numbers[4 * MAX_PAGES];
	unsigned n = iov_read(chain->iov, chain->n_out, numbers, sizeof(numbers)) / 4;
	uint64_t first = 0, len = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t page = le32_load(numbers + 4 * i);

		if (len && page + 1 == first) {
			first = page;
		} else if (!len || page != first + len) {
			mem_discard(guest_mem(balloon), first << PAGE_SHIFT, len << PAGE_SHIFT);
			first = page;
			len = 0;
		}
		len++;
	}
	mem_discard(guest_mem(balloon), first << PAGE_SHIFT, len << PAGE_SHIFT);
}

/* Section 5.5.6.7: buffers that are the unused pages themselves. */
static void report(struct virtio_balloon *balloon, const struct queue_chain *chain)
{
	for (unsigned i = chain->n_out; i < chain->n_out + chain->n_in; i++) {
		const struct iovec *iov = &chain->iov[i];

		mem_discard(guest_mem(balloon), (uint8_t *)iov->iov_base - guest_mem(balloon)->base, iov->iov_len);
		balloon->reported += iov->iov_len;
	}
}

static void deflate(struct virtio_balloon *balloon, const struct queue_chain *chain)
{
}

static void take_chains(struct virtio_balloon *balloon, unsigned queue,
			void (*take)(struct virtio_balloon *balloon, const struct queue_chain *chain))
{
	for (unsigned i = 0; i < MAX_CHAINS; i++) {
		if (!virtio_pop(&balloon->virtio, queue, &balloon->chain))
			return;
		take(balloon, &balloon->chain);
		virtio_push(&balloon->virtio, queue, balloon->chain.head, 0);
	}
	virtio_leave(&balloon->virtio, queue);
}

static void read_stats(struct virtio_balloon *balloon)
{
	uint8_t stats[STAT_SIZE * MAX_STATS];
	unsigned n;

	if (balloon->stats_read || !virtio_pop(&balloon->virtio, STATS_QUEUE, &balloon->chain))
		return;
	n = iov_read(balloon->chain.iov, balloon->chain.n_out, stats, sizeof(stats)) / STAT_SIZE;
	memset(balloon->statistics, 0xff, sizeof(balloon->statistics));
	for (unsigned i = 0; i < n; i++) {
		unsigned tag = le16_load(stats + STAT_SIZE * i);

		if (tag < BALLOON_N_STATISTICS)
			balloon->statistics[tag] = le64_load(stats + STAT_SIZE * i + STAT_VALUE);
	}
	balloon->n_updates++;
	balloon->stats_read = true;
	virtio_unpop(&balloon->virtio, STATS_QUEUE, balloon->chain.head);
}

static void ask_for_stats(struct virtio_balloon *balloon)
{
	if (!balloon->stats_read || !virtio_has(&balloon->virtio, F_STATS_VQ) ||
	    !virtio_pop(&balloon->virtio, STATS_QUEUE, &balloon->chain))
		return;
	balloon->stats_read = false;
	virtio_push(&balloon->virtio, STATS_QUEUE, balloon->chain.head, 0);
}

static void balloon_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)virtio;

	if (queue == INFLATE_QUEUE)
		take_chains(balloon, queue, inflate);
	else if (queue == DEFLATE_QUEUE)
		take_chains(balloon, queue, deflate);
	else if (queue == STATS_QUEUE && virtio_has(virtio, F_STATS_VQ))
		read_stats(balloon);
	else if (virtio_has(virtio, F_PAGE_REPORTING))
		take_chains(balloon, queue, report);
}

static void balloon_config_write(struct virtio *virtio, unsigned offset, uint8_t value)
{
	if (offset >= CONFIG_ACTUAL && offset < CONFIG_ACTUAL + 4)
		((struct virtio_balloon *)virtio)->config[offset] = value;
}

/* The target stays: it is the user's. */
static void balloon_reset(struct virtio *virtio)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)virtio;

	le32_store(balloon->config + CONFIG_ACTUAL, 0);
	balloon->reported = 0;
	balloon->stats_read = false;
	memset(balloon->statistics, 0xff, sizeof(balloon->statistics));
}

void virtio_balloon_set_target(struct device *device, uint64_t bytes)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;

	g_mutex_lock(&device->lock);
	le32_store(balloon->config + CONFIG_NUM_PAGES, bytes >> PAGE_SHIFT);
	virtio_config_changed(&balloon->virtio);
	g_mutex_unlock(&device->lock);
}

void virtio_balloon_get(struct device *device, struct balloon_status *status)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;

	g_mutex_lock(&device->lock);
	/* Linux gives its buffer before it says that it is up. */
	if (virtio_has(&balloon->virtio, F_STATS_VQ))
		read_stats(balloon);
	status->has_driver = virtio_runs(&balloon->virtio, INFLATE_QUEUE);
	status->target = (uint64_t)le32_load(balloon->config + CONFIG_NUM_PAGES) << PAGE_SHIFT;
	status->actual = (uint64_t)le32_load(balloon->config + CONFIG_ACTUAL) << PAGE_SHIFT;
	status->reported = balloon->reported;
	status->n_updates = balloon->n_updates;
	memcpy(status->statistics, balloon->statistics, sizeof(status->statistics));
	ask_for_stats(balloon);
	g_mutex_unlock(&device->lock);
}

static const struct virtio_ops balloon_ops = {
	.id = 5,
	.class_code = 0x00ff00,
	.n_queues = N_QUEUES,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.config_write = balloon_config_write,
};

static bool balloon_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;

	return virtio_init(&balloon->virtio, &balloon_ops, F_STATS_VQ | F_DEFLATE_ON_OOM | F_PAGE_REPORTING,
			   balloon->config, sizeof(balloon->config), config, error);
}

static const struct state_field balloon_fields[] = {
	VIRTIO_FIELDS(struct virtio_balloon, virtio),
	STATE_FIELD(struct virtio_balloon, config),
	STATE_FIELD(struct virtio_balloon, reported),
	STATE_FIELD(struct virtio_balloon, n_updates),
	STATE_FIELD(struct virtio_balloon, statistics),
	STATE_FIELD(struct virtio_balloon, stats_read),
};

static const struct state_table balloon_state = {
	.name = "virtio-balloon",
	.version = 1,
	.object_size = sizeof(struct virtio_balloon),
	.fields = balloon_fields,
	.n_fields = G_N_ELEMENTS(balloon_fields),
	.check = virtio_check,
};

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.document = "OASIS virtio 1.2, section 5.5",
	.size = sizeof(struct virtio_balloon),
	.state = &balloon_state,
	.init = balloon_init,
	.reset = virtio_reset,
	.post_load = virtio_post_load,
	.fini = virtio_fini,
};
