/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File system device: virtio 1.2, section 5.11. A chain is a FUSE message and room for its reply; those that have none come by
 * the first queue, so that they need not wait. Without a window onto the host's page cache (DAX), and without notifications.
 */
#include "base/le.h"
#include "dev/virtio/virtio_share.h"

enum { QUEUE_HIPRIO, QUEUE_REQUEST, N_QUEUES };
enum { CONFIG_TAG = 0, MAX_TAG = DEVICE_MAX_FS_TAG, CONFIG_N_REQUEST_QUEUES = CONFIG_TAG + MAX_TAG, CONFIG_SIZE = 40 };

struct virtio_fs {
	struct virtio_share base;
	uint8_t config[CONFIG_SIZE];
};

static const struct virtio_ops fs_ops = {
	.id = 26,
	.class_code = 0x018000,
	.n_queues = N_QUEUES,
	.notify = virtio_share_notify,
	.reset = virtio_share_forget,
};

static bool fs_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_fs *fs = (struct virtio_fs *)device;
	size_t len = strlen(config->tag);

	g_assert(config->share && len <= MAX_TAG);
	memcpy(fs->config + CONFIG_TAG, config->tag, len);
	le32_store(fs->config + CONFIG_N_REQUEST_QUEUES, N_QUEUES - QUEUE_REQUEST);
	virtio_share_init(&fs->base, config->share);
	return virtio_init(&fs->base.virtio, &fs_ops, 0, fs->config, CONFIG_SIZE, config, error);
}

static const struct state_field fs_fields[] = {VIRTIO_FIELDS(struct virtio_fs, base.virtio)};

static const struct state_table fs_state = {
	.name = "virtio-fs",
	.version = 1,
	.object_size = sizeof(struct virtio_fs),
	.fields = fs_fields,
	.n_fields = G_N_ELEMENTS(fs_fields),
	.check = virtio_check,
};

const struct device_class virtio_fs_class = {
	.name = "virtio-fs",
	.document = "OASIS virtio 1.2, section 5.11; Linux include/uapi/linux/fuse.h",
	.size = sizeof(struct virtio_fs),
	.state = &fs_state,
	.init = fs_init,
	.reset = virtio_reset,
	.post_load = virtio_post_load,
	.fini = virtio_share_fini,
	.drain = virtio_share_drain,
};
