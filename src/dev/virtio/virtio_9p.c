/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 9P transport: virtio 1.2, section 5, which has no more of it than the id; the device of Linux's driver, net/9p/trans_virtio.c.
 * One queue; a chain is a message and room for its reply. The configuration is the tag by which the guest
 * mounts the folder.
 */
#include "base/le.h"
#include "dev/virtio/virtio_share.h"

#define F_MOUNT_TAG (1ull << 0)

enum { CONFIG_TAG_LEN = 0, CONFIG_TAG = 2, MAX_TAG = DEVICE_MAX_TAG };

struct virtio_9p {
	struct virtio_share base;
	uint8_t config[CONFIG_TAG + MAX_TAG];
};

static const struct virtio_ops p9_ops = {
	.id = 9,
	.class_code = 0x018000,
	.n_queues = 1,
	.notify = virtio_share_notify,
	.reset = virtio_share_forget,
};

static bool p9_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_9p *p9 = (struct virtio_9p *)device;
	size_t len = strlen(config->tag);

	g_assert(config->share && len <= MAX_TAG);
	le16_store(p9->config + CONFIG_TAG_LEN, len);
	memcpy(p9->config + CONFIG_TAG, config->tag, len);
	virtio_share_init(&p9->base, config->share);
	return virtio_init(&p9->base.virtio, &p9_ops, F_MOUNT_TAG, p9->config, CONFIG_TAG + len, config, error);
}

static const struct state_field p9_fields[] = {VIRTIO_FIELDS(struct virtio_9p, base.virtio)};

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
	.document = "OASIS virtio 1.2, section 5; Linux net/9p/trans_virtio.c",
	.size = sizeof(struct virtio_9p),
	.state = &p9_state,
	.init = p9_init,
	.reset = virtio_reset,
	.post_load = virtio_post_load,
	.fini = virtio_share_fini,
	.drain = virtio_share_drain,
};
