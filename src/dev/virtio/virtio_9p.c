/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 9P transport: virtio 1.2, section 5.11, whose text is reserved; the device of Linux's driver, net/9p/trans_virtio.c.
 * One queue; a chain is a message and room for its reply. The configuration is the tag by which the guest
 * mounts the folder.
 *
 * Requests are taken from the queue on the vCPU that kicks it and answered by the folder's workers, as the disk's are
 * (virtio_blk.c). A reset forgets what the guest had open.
 */
#include "share/share.h"

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"

#define F_MOUNT_TAG (1ull << 0)

enum { CONFIG_TAG_LEN = 0, CONFIG_TAG = 2, MAX_TAG = DEVICE_MAX_TAG };

/* Linux has at most so many, and the folder's threads fewer in work. */
#define MAX_REQUESTS QUEUE_SIZE

struct virtio_9p;

struct p9_request {
	struct virtio_9p *p9;
	struct p9_request *next_free;
	struct queue_chain chain;
	struct share_request io;
};

struct virtio_9p {
	struct virtio virtio;
	struct share *share;
	uint8_t config[CONFIG_TAG + MAX_TAG];
	struct p9_request *requests, *free; /* MAX_REQUESTS of them */
};

static void p9_run(struct virtio_9p *p9);

/* On a worker. */
static void request_done(struct share_request *io, uint32_t len)
{
	struct p9_request *request = io->opaque;
	struct virtio_9p *p9 = request->p9;
	GMutex *lock = &p9->virtio.pci.device.lock;
	struct iovec *in = request->chain.iov + request->chain.n_out;
	unsigned n = request->chain.n_in;

	iov_cut_back(in, &n, iov_len(in, n) - len);
	iov_written(p9->virtio.pci.device.env->mem, in, n);
	g_mutex_lock(lock);
	if (!len)
		virtio_break(&p9->virtio);
	virtio_push(&p9->virtio, 0, request->chain.head, len);
	request->next_free = p9->free;
	p9->free = request;
	virtio_end(&p9->virtio);
	p9_run(p9);
	g_mutex_unlock(lock);
}

/* Takes what waits in the queue, under the lock. Where no request is free, the next one to finish goes on. */
static void p9_run(struct virtio_9p *p9)
{
	while (p9->free) {
		struct p9_request *request = p9->free;
		struct queue_chain *chain = &request->chain;

		if (!virtio_pop(&p9->virtio, 0, chain))
			return;
		p9->free = request->next_free;
		request->io = (struct share_request){
			.out = chain->iov,
			.n_out = chain->n_out,
			.in = chain->iov + chain->n_out,
			.n_in = chain->n_in,
			.done = request_done,
			.opaque = request,
		};
		virtio_begin(&p9->virtio);
		share_submit(p9->share, &request->io);
	}
}

static void p9_notify(struct virtio *virtio, unsigned queue)
{
	p9_run((struct virtio_9p *)virtio);
}

static void p9_forget(struct virtio *virtio)
{
	share_reset(((struct virtio_9p *)virtio)->share);
}

static const struct virtio_ops p9_ops = {
	.id = 9,
	.class_code = 0x018000,
	.n_queues = 1,
	.notify = p9_notify,
	.reset = p9_forget,
};

static bool p9_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_9p *p9 = (struct virtio_9p *)device;
	size_t len = strlen(config->tag);

	g_assert(config->share && len <= MAX_TAG);
	p9->share = config->share;
	le16_store(p9->config + CONFIG_TAG_LEN, len);
	memcpy(p9->config + CONFIG_TAG, config->tag, len);
	p9->requests = g_new0(struct p9_request, MAX_REQUESTS);
	for (unsigned i = 0; i < MAX_REQUESTS; i++) {
		p9->requests[i].p9 = p9;
		p9->requests[i].next_free = p9->free;
		p9->free = &p9->requests[i];
	}
	return virtio_init(&p9->virtio, &p9_ops, F_MOUNT_TAG, p9->config, CONFIG_TAG + len, config, error);
}

static void p9_drain(struct device *device)
{
	share_drain(((struct virtio_9p *)device)->share);
}

static void p9_fini(struct device *device)
{
	virtio_fini(device);
	g_free(((struct virtio_9p *)device)->requests);
}

static const struct state_field p9_fields[] = {VIRTIO_FIELDS(struct virtio_9p, virtio)};

static const struct state_table p9_state = {
	.name = "virtio-9p",
	.version = 1,
	.object_size = sizeof(struct virtio_9p),
	.fields = p9_fields,
	.n_fields = G_N_ELEMENTS(p9_fields),
	.check = virtio_check,
};

const struct device_class virtio_9p_class = {
	.name = "virtio-9p",
	.document = "OASIS virtio 1.2, section 5.11; Linux net/9p/trans_virtio.c",
	.size = sizeof(struct virtio_9p),
	.state = &p9_state,
	.init = p9_init,
	.reset = virtio_reset,
	.post_load = virtio_post_load,
	.fini = p9_fini,
	.drain = p9_drain,
};
