/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block device: virtio 1.2, section 5.2.
 *
 * Requests are taken from a queue on the vCPU that kicks it and carried out by the disk's
 * workers; done() comes on one of those and takes the device's lock. Each queue has as many
 * requests as entries: a driver that claims more of them waits, and the next one to finish
 * goes on with the queue.
 */
#include "block/block.h"

#include <errno.h>

#include "base/error.h"
#include "base/le.h"
#include "dev/virtio/virtio_pci.h"

#define BLK_F_SEG_MAX	   (1ull << 2)
#define BLK_F_RO	   (1ull << 5)
#define BLK_F_BLK_SIZE	   (1ull << 6)
#define BLK_F_FLUSH	   (1ull << 9)
#define BLK_F_TOPOLOGY	   (1ull << 10)
#define BLK_F_MQ	   (1ull << 12)
#define BLK_F_DISCARD	   (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};

enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

/* struct virtio_blk_req's head: type, reserved, sector. */
enum { HEADER_SIZE = 16, HEADER_SECTOR = 8, ID_SIZE = 20 };

/* struct virtio_blk_discard_write_zeroes: sector, number of sectors, flags. */
enum { RANGE_SIZE = 16, RANGE_SECTORS = 8, RANGE_FLAGS = 12, RANGE_UNMAP = 1 };

/* struct virtio_blk_config, section 5.2.4. */
enum {
	CONFIG_CAPACITY = 0,
	CONFIG_SEG_MAX = 12,
	CONFIG_BLK_SIZE = 20,
	CONFIG_PHYSICAL_BLOCK_EXP = 24,
	CONFIG_MIN_IO_SIZE = 26,
	CONFIG_OPT_IO_SIZE = 28,
	CONFIG_NUM_QUEUES = 34,
	CONFIG_MAX_DISCARD_SECTORS = 36,
	CONFIG_MAX_DISCARD_SEG = 40,
	CONFIG_DISCARD_ALIGNMENT = 44,
	CONFIG_MAX_ZEROES_SECTORS = 48,
	CONFIG_MAX_ZEROES_SEG = 52,
	CONFIG_SIZE = 60,
};

/* In sectors: 1 GiB to discard, but what a worker may have to write out, 16 MiB, of zeroes. */
#define MAX_DISCARD (1u << 21)
#define MAX_ZEROES  (1u << 15)
/* Two descriptors are the head's and the status byte's. */
#define SEG_MAX (QUEUE_MAX_BUFFERS - 2)

/* Images lie in file systems of 4 KiB blocks, and are cut into clusters of 64 KiB where they are
 * compact. In sectors, the first a power of two. */
#define PHYSICAL_BLOCK_EXP 3
#define OPT_IO_SIZE	   128

#define MAX_QUEUES 16

struct virtio_blk;

struct blk_request {
	struct virtio_blk *blk;
	struct blk_request *next_free;
	unsigned queue;
	struct queue_chain chain;
	/* The chain without head and status byte. */
	struct iovec *out, *in;
	unsigned n_out, n_in;
	uint8_t *status;
	uint32_t type;
	uint64_t sector;
	struct block_request io;
};

struct virtio_blk {
	struct virtio virtio;
	struct block *block;
	uint8_t config[CONFIG_SIZE];
	char id[ID_SIZE];
	struct blk_request *requests;	      /* QUEUE_SIZE a queue */
	struct blk_request *free[MAX_QUEUES]; /* of a queue's */
};

static struct mem *guest_mem(const struct virtio_blk *blk)
{
	return blk->virtio.pci.device.env->mem;
}

/* Under the lock. */
static void finish(struct blk_request *request, uint8_t status, uint64_t written)
{
	struct virtio_blk *blk = request->blk;

	*request->status = status;
	mem_written(guest_mem(blk), request->status - guest_mem(blk)->base, 1);
	virtio_push(&blk->virtio, request->queue, request->chain.head, MIN(written + 1, UINT32_MAX));
	request->next_free = blk->free[request->queue];
	blk->free[request->queue] = request;
}

static void blk_run(struct virtio_blk *blk, unsigned queue);

/* Section 5.2.6.2: a driver that cannot flush is promised that what is written is safe. */
static bool needs_flush(const struct blk_request *request)
{
	return request->io.op != BLOCK_READ && request->io.op != BLOCK_FLUSH &&
	       !virtio_has(&request->blk->virtio, BLK_F_FLUSH);
}

/* On a worker. */
static void io_done(struct block_request *io, int error)
{
	struct blk_request *request = io->opaque;
	struct virtio_blk *blk = request->blk;
	GMutex *lock = &blk->virtio.pci.device.lock;
	uint64_t written = 0;

	trace_blk_done(blk->virtio.pci.device.env->trace, TRACE_NO_VCPU, io->op, io->offset, error);
	if (io->op == BLOCK_READ) {
		/* Also of a read that failed half-way. */
		iov_written(guest_mem(blk), io->iov, io->n_iov);
		written = io->len;
	}
	g_mutex_lock(lock);
	if (!error && needs_flush(request)) {
		io->op = BLOCK_FLUSH;
		block_submit(blk->block, io);
	} else {
		finish(request, error ? BLK_S_IOERR : BLK_S_OK, written);
		virtio_end(&blk->virtio);
		blk_run(blk, request->queue);
	}
	g_mutex_unlock(lock);
}

static void submit(struct blk_request *request, enum block_op op, uint64_t sector, uint64_t len,
		   const struct iovec *iov, unsigned n_iov)
{
	/* Sectors past any disk's end would come round to its start in bytes. */
	if (sector > block_size(request->blk->block) / BLOCK_SECTOR_SIZE) {
		finish(request, BLK_S_IOERR, 0);
		return;
	}
	request->io = (struct block_request){
		.op = op,
		.offset = sector * BLOCK_SECTOR_SIZE,
		.len = len,
		.iov = iov,
		.n_iov = n_iov,
		.done = io_done,
		.opaque = request,
	};
	trace_blk_request(request->blk->virtio.pci.device.env->trace, TRACE_NO_VCPU, op,
			  request->io.offset, len);
	virtio_begin(&request->blk->virtio);
	block_submit(request->blk->block, &request->io);
}

static void start_read(struct blk_request *request)
{
	submit(request, BLOCK_READ, request->sector, iov_len(request->in, request->n_in),
	       request->in, request->n_in);
}

static void start_write(struct blk_request *request)
{
	submit(request, BLOCK_WRITE, request->sector, iov_len(request->out, request->n_out),
	       request->out, request->n_out);
}

static void start_flush(struct blk_request *request)
{
	submit(request, BLOCK_FLUSH, 0, 0, NULL, 0);
}

static void start_get_id(struct blk_request *request)
{
	struct virtio_blk *blk = request->blk;
	size_t n = iov_write(guest_mem(blk), request->in, request->n_in, blk->id, sizeof(blk->id));

	finish(request, BLK_S_OK, n);
}

/* One range a request, as the configuration says. */
static void start_range(struct blk_request *request, enum block_op op, uint32_t max_sectors,
			uint32_t known_flags)
{
	uint8_t range[RANGE_SIZE];
	uint32_t sectors;

	if (iov_len(request->out, request->n_out) != RANGE_SIZE) {
		finish(request, BLK_S_IOERR, 0);
		return;
	}
	iov_read(request->out, request->n_out, range, sizeof(range));
	sectors = le32_load(range + RANGE_SECTORS);
	if (le32_load(range + RANGE_FLAGS) & ~known_flags)
		finish(request, BLK_S_UNSUPP, 0);
	else if (sectors > max_sectors)
		finish(request, BLK_S_IOERR, 0);
	else
		submit(request, op, le64_load(range), (uint64_t)sectors * BLOCK_SECTOR_SIZE, NULL,
		       0);
}

static void start_discard(struct blk_request *request)
{
	start_range(request, BLOCK_DISCARD, MAX_DISCARD, 0);
}

/* Whether space is given back is ours to say: write_zeroes_may_unmap is 0. */
static void start_write_zeroes(struct blk_request *request)
{
	start_range(request, BLOCK_WRITE_ZEROES, MAX_ZEROES, RANGE_UNMAP);
}

static const struct {
	uint32_t type;
	uint64_t feature; /* offered for it; 0: always there */
	void (*start)(struct blk_request *request);
} types[] = {
	{BLK_T_IN, 0, start_read},
	{BLK_T_OUT, 0, start_write},
	{BLK_T_FLUSH, BLK_F_FLUSH, start_flush},
	{BLK_T_GET_ID, 0, start_get_id},
	{BLK_T_DISCARD, BLK_F_DISCARD, start_discard},
	{BLK_T_WRITE_ZEROES, BLK_F_WRITE_ZEROES, start_write_zeroes},
};

static void start(struct blk_request *request)
{
	const struct virtio *virtio = &request->blk->virtio;

	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		if (types[i].type == request->type &&
		    (!types[i].feature || virtio->features & types[i].feature)) {
			types[i].start(request);
			return;
		}
	}
	finish(request, BLK_S_UNSUPP, 0);
}

/* Head and status byte may be spread over descriptors as the driver likes (section 2.7.4). */
static bool parse(struct blk_request *request)
{
	struct queue_chain *chain = &request->chain;
	uint8_t header[HEADER_SIZE];
	struct iovec *last;

	if (iov_read(chain->iov, chain->n_out, header, sizeof(header)) < sizeof(header) ||
	    !chain->n_in)
		return false;
	request->type = le32_load(header);
	request->sector = le64_load(header + HEADER_SECTOR);
	request->in = chain->iov + chain->n_out;
	request->n_in = chain->n_in;
	request->out = chain->iov;
	request->n_out = chain->n_out;
	last = &request->in[request->n_in - 1];
	request->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	iov_cut_back(request->in, &request->n_in, 1);
	iov_cut_front(&request->out, &request->n_out, HEADER_SIZE);
	return true;
}

/* Takes what waits in the queue, under the lock. A driver can add requests that finish at once as
 * fast as they are taken: they wait for the others from time to time. */
static void take_requests(struct virtio_blk *blk, unsigned queue)
{
	for (unsigned i = 0; blk->free[queue]; i++) {
		struct blk_request *request = blk->free[queue];

		if (i == QUEUE_SIZE) {
			virtio_leave(&blk->virtio, queue);
			return;
		}
		if (!virtio_pop(&blk->virtio, queue, &request->chain))
			return;
		if (!parse(request)) {
			virtio_break(&blk->virtio);
			return;
		}
		blk->free[queue] = request->next_free;
		start(request);
	}
}

static void blk_run(struct virtio_blk *blk, unsigned queue)
{
	block_plug(blk->block);
	take_requests(blk, queue);
	block_unplug(blk->block);
}

static void blk_notify(struct virtio *virtio, unsigned queue)
{
	blk_run((struct virtio_blk *)virtio, queue);
}

static const struct virtio_ops blk_ops = {
	.id = 2,
	.class_code = 0x010000,
	.notify = blk_notify,
};

static void fill_config(struct virtio_blk *blk)
{
	uint8_t *config = blk->config;

	le64_store(config + CONFIG_CAPACITY, block_size(blk->block) / BLOCK_SECTOR_SIZE);
	le32_store(config + CONFIG_SEG_MAX, SEG_MAX);
	le32_store(config + CONFIG_BLK_SIZE, BLOCK_SECTOR_SIZE);
	config[CONFIG_PHYSICAL_BLOCK_EXP] = PHYSICAL_BLOCK_EXP;
	le16_store(config + CONFIG_MIN_IO_SIZE, 1 << PHYSICAL_BLOCK_EXP);
	le32_store(config + CONFIG_OPT_IO_SIZE, OPT_IO_SIZE);
	le16_store(config + CONFIG_NUM_QUEUES, blk->virtio.n_queues);
	le32_store(config + CONFIG_MAX_DISCARD_SECTORS, MAX_DISCARD);
	le32_store(config + CONFIG_MAX_DISCARD_SEG, 1);
	le32_store(config + CONFIG_DISCARD_ALIGNMENT, 8);
	le32_store(config + CONFIG_MAX_ZEROES_SECTORS, MAX_ZEROES);
	le32_store(config + CONFIG_MAX_ZEROES_SEG, 1);
}

static void make_requests(struct virtio_blk *blk)
{
	unsigned n = blk->virtio.n_queues * QUEUE_SIZE;

	blk->requests = g_new0(struct blk_request, n);
	for (unsigned i = 0; i < n; i++) {
		struct blk_request *request = &blk->requests[i];

		request->blk = blk;
		request->queue = i / QUEUE_SIZE;
		request->next_free = blk->free[request->queue];
		blk->free[request->queue] = request;
	}
}

static bool blk_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	uint64_t features =
		BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_TOPOLOGY | BLK_F_MQ;

	g_assert(config->block);
	blk->block = config->block;
	features |= block_read_only(blk->block) ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
	blk->virtio.n_queues = CLAMP(config->n_queues, 1, MAX_QUEUES);
	fill_config(blk);
	g_snprintf(blk->id, sizeof(blk->id), "viv-%02x.%x", pci_slot(config->devfn),
		   config->devfn % 8);
	make_requests(blk);
	return virtio_init(&blk->virtio, &blk_ops, features, blk->config, sizeof(blk->config),
			   config, error);
}

static void blk_drain(struct device *device)
{
	block_drain(((struct virtio_blk *)device)->block);
}

static void blk_fini(struct device *device)
{
	virtio_fini(device);
	g_free(((struct virtio_blk *)device)->requests);
}

static const struct state_field blk_fields[] = {VIRTIO_FIELDS(struct virtio_blk, virtio)};

static const struct state_table blk_state = {
	.name = "virtio-blk",
	.version = 1,
	.object_size = sizeof(struct virtio_blk),
	.fields = blk_fields,
	.n_fields = G_N_ELEMENTS(blk_fields),
	.check = virtio_check,
};

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.document = "OASIS virtio 1.2, section 5.2",
	.size = sizeof(struct virtio_blk),
	.state = &blk_state,
	.init = blk_init,
	.reset = virtio_reset,
	.post_load = virtio_post_load,
	.fini = blk_fini,
	.drain = blk_drain,
};
