/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI (virtio 1.2, sections 2 and 4.1): everything about a virtio device but
 * what it does. Modern interface only.
 *
 * A device starts with struct virtio in place of struct device. Its init calls virtio_init(),
 * its state table holds VIRTIO_FIELDS, and its class uses the virtio_* functions below for
 * reset, post_load, fini and check, or calls them from its own.
 *
 * Requests that leave the device's lock (for a disk) are counted by virtio_begin() and
 * virtio_end(). The driver's reset of the device takes effect, and its status reads zero,
 * once none is in flight: until then nothing is popped, and nothing pushed or signalled.
 *
 * A driver that breaks a ring finds DEVICE_NEEDS_RESET and a device that does nothing more.
 */
#ifndef VIV_DEV_VIRTIO_VIRTIO_PCI_H
#define VIV_DEV_VIRTIO_VIRTIO_PCI_H

#include "dev/pci/pci.h"
#include "dev/virtio/queue.h"

#define VIRTIO_MAX_QUEUES (PCI_MSIX_MAX - 1) /* a vector each, and the configuration's */
#define VIRTIO_VENDOR	  0x1af4
#define VIRTIO_DEVICE(id) (0x1040 + (id))

/* Section 2.1. */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* Section 6. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_F_RING_PACKED   (1ull << 34)
#define VIRTIO_F_RING_RESET    (1ull << 40)

struct virtio;

struct virtio_ops {
	uint16_t id;	     /* section 5 */
	uint32_t class_code; /* of the PCI function */
	unsigned n_queues;   /* 0: init sets virtio->n_queues */
	uint16_t queue_size; /* the most; 0: QUEUE_SIZE */
	/* The driver is up, with the features that it wanted. NULL: nothing to do. */
	void (*started)(struct virtio *virtio);
	/* The driver says that a queue has buffers. */
	void (*notify)(struct virtio *virtio, unsigned queue);
	/* The driver, or the machine, has reset the device. NULL: nothing to do. */
	void (*reset)(struct virtio *virtio);
	/* The driver writes a byte of the device's configuration. NULL: nothing in it can be written. */
	void (*config_write)(struct virtio *virtio, unsigned offset, uint8_t value);
};

struct virtio {
	struct pci_device pci;
	const struct virtio_ops *ops;
	uint64_t features;     /* offered */
	unsigned n_queues;
	const uint8_t *config; /* device configuration */
	unsigned config_len;

	uint64_t driver_features;
	uint32_t feature_select, driver_feature_select;
	uint16_t config_vector, queue_select;
	uint8_t status, isr, config_generation;
	struct virtqueue queues[VIRTIO_MAX_QUEUES];

	unsigned in_flight;
	bool resetting; /* once in_flight is 0 */
	/* Notifies again of the queues (a bit each) that were left with buffers in them. */
	struct timer again;
	uint64_t left;
};

/* `member` is the struct virtio in `type`. In-flight work is drained before a save. */
#define VIRTIO_FIELDS(type, member)                                                              \
	PCI_DEVICE_FIELDS(type, member.pci), STATE_FIELD(type, member.driver_features),          \
		STATE_FIELD(type, member.feature_select),                                        \
		STATE_FIELD(type, member.driver_feature_select),                                 \
		STATE_FIELD(type, member.config_vector), STATE_FIELD(type, member.queue_select), \
		STATE_FIELD(type, member.status), STATE_FIELD(type, member.isr),                 \
		STATE_FIELD(type, member.config_generation), QUEUE_FIELDS(type, member.queues)

/* `features` beyond the transport's, which are packed rings where env says so, indirect descriptors
 * and event indices; VIRTIO_F_RING_RESET is for devices that hold no buffers between calls. `device_config`
 * lives as long as the device. */
bool virtio_init(struct virtio *virtio, const struct virtio_ops *ops, uint64_t features,
		 const void *device_config, unsigned config_len, const struct device_config *config,
		 GError **error);
void virtio_reset(struct device *device);
void virtio_post_load(struct device *device);
void virtio_fini(struct device *device);
bool virtio_check(const void *object);

static inline bool virtio_has(const struct virtio *virtio, uint64_t feature)
{
	return virtio->driver_features & feature;
}

/* Under the device's lock, as all that follows. Whether the driver and the device use the queue. */
bool virtio_runs(const struct virtio *virtio, unsigned queue);
/* The next request; false: there is none now. */
bool virtio_pop(struct virtio *virtio, unsigned queue, struct queue_chain *chain);
/* Undoes the last virtio_pop() from the queue that is not undone. */
void virtio_unpop(struct virtio *virtio, unsigned queue, uint32_t head);
/* Gives a request back, `len` bytes of it written, and interrupts the driver as it likes. */
void virtio_push(struct virtio *virtio, unsigned queue, uint32_t head, uint32_t len);
/* The same for several that the driver sees all at once: each is put, then all are published. */
void virtio_put(struct virtio *virtio, unsigned queue, uint32_t head, uint32_t len);
void virtio_publish(struct virtio *virtio, unsigned queue);
/* The device has changed its configuration, of its own accord. */
void virtio_config_changed(struct virtio *virtio);
/* The driver sent what makes no sense in this device's protocol. */
void virtio_break(struct virtio *virtio);
/* The queue may have more, which the driver need not tell of: notify() is called again, a moment
 * later on the loop thread. So a driver that fills the queue as fast as it is emptied holds nobody
 * up. */
void virtio_leave(struct virtio *virtio, unsigned queue);
void virtio_begin(struct virtio *virtio);
void virtio_end(struct virtio *virtio);

#endif
