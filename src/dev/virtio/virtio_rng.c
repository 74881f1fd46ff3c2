/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entropy device: virtio 1.2, section 5.4. One queue of buffers to fill. */
#include <sys/random.h>

#include "dev/virtio/virtio_pci.h"

/* What one request gets at most; the driver is told how much, and asks again for more. */
#define CHUNK 256u

struct virtio_rng {
	struct virtio virtio;
	struct queue_chain chain;
};

/* Random bytes never run dry, so this does not block. */
static void fill(struct virtio_rng *rng, struct queue_chain *chain)
{
	uint8_t bytes[CHUNK];
	size_t len = getentropy(bytes, sizeof(bytes)) == 0 ? sizeof(bytes) : 0;

	len = iov_write(rng->virtio.pci.device.env->mem, chain->iov + chain->n_out, chain->n_in,
			bytes, len);
	virtio_push(&rng->virtio, 0, chain->head, len);
}

static void rng_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_rng *rng = (struct virtio_rng *)virtio;

	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		if (!virtio_pop(virtio, queue, &rng->chain))
			return;
		fill(rng, &rng->chain);
	}
	virtio_leave(virtio, queue);
}

static const struct virtio_ops rng_ops = {
	.id = 4,
	.class_code = 0x00ff00,
	.n_queues = 1,
	.notify = rng_notify,
};

static bool rng_init(struct device *device, const struct device_config *config, GError **error)
{
	return virtio_init((struct virtio *)device, &rng_ops, 0, NULL, 0, config, error);
}

static const struct state_field rng_fields[] = {VIRTIO_FIELDS(struct virtio_rng, virtio)};

static const struct state_table rng_state = {
	.name = "virtio-rng",
	.version = 1,
	.object_size = sizeof(struct virtio_rng),
	.fields = rng_fields,
	.n_fields = G_N_ELEMENTS(rng_fields),
	.check = virtio_check,
};

const struct device_class virtio_rng_class = {
	.name = "virtio-rng",
	.document = "OASIS virtio 1.2, section 5.4",
	.size = sizeof(struct virtio_rng),
	.state = &rng_state,
	.init = rng_init,
	.reset = virtio_reset,
	.post_load = virtio_post_load,
	.fini = virtio_fini,
};
