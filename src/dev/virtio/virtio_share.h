/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What devices have in common whose chains are a message to a shared folder and room for its reply. Such a device starts with
 * struct virtio_share.
 *
 * Requests are taken from a queue on the vCPU that kicks it and answered by the folder's workers, as the disk's are
 * (virtio_blk.c). A reset forgets what the guest had open.
 */
#ifndef VIV_DEV_VIRTIO_VIRTIO_SHARE_H
#define VIV_DEV_VIRTIO_VIRTIO_SHARE_H

#include "dev/virtio/virtio_pci.h"
#include "share/share.h"

struct virtio_share {
	struct virtio virtio;
	struct share *share;
	struct share_chain *chains, *free; /* all, and the first of those that wait for a request */
};

/* Before virtio_init(). */
void virtio_share_init(struct virtio_share *s, struct share *share);
/* For struct virtio_ops... */
void virtio_share_notify(struct virtio *virtio, unsigned queue);
void virtio_share_forget(struct virtio *virtio);
/* ...and struct device_class. */
void virtio_share_drain(struct device *device);
void virtio_share_fini(struct device *device);

#endif
