/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/virtio/virtio_pci.h"

#include "base/le.h"

/* One BAR holds the four structures, a page each. */
enum {
	MSIX_BAR = 1,
	VIRTIO_BAR = 4,
	COMMON_AT = 0x0000,
	ISR_AT = 0x1000,
	DEVICE_AT = 0x2000,
	NOTIFY_AT = 0x3000,
	STRUCTURE_SIZE = 0x1000,
	VIRTIO_BAR_SIZE = 0x4000,
	NOTIFY_MULTIPLIER = 4,
};

/* struct virtio_pci_cap and those that end in more, section 4.1.4. */
enum {
	CAP_LEN = 2,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_SIZE = 16,
	CAP_NOTIFY_MULTIPLIER = 16,
	CAP_DATA = 16,
	CAP_LONG_SIZE = 20,

	TYPE_COMMON = 1,
	TYPE_NOTIFY = 2,
	TYPE_ISR = 3,
	TYPE_DEVICE = 4,
	TYPE_PCI = 5,
};

/* struct virtio_pci_common_cfg, section 4.1.4.3; 64-bit members in halves. */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_CONFIG_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_AVAIL = 0x28,
	COMMON_QUEUE_USED = 0x30,
	COMMON_QUEUE_NOTIFY_DATA = 0x38,
	COMMON_QUEUE_RESET = 0x3a,
	COMMON_END = 0x3c,
};

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

#define AGAIN_NS 10000

#define STATUS_BITS \
	(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | VIRTIO_FAILED)

static struct mem *guest_mem(const struct virtio *virtio)
{
	return virtio->pci.device.env->mem;
}

static void interrupt(struct virtio *virtio, uint16_t vector, uint8_t cause)
{
	if (pci_msix_enabled(&virtio->pci)) {
		if (vector != QUEUE_NO_VECTOR)
			pci_msix_notify(&virtio->pci, vector);
		return;
	}
	virtio->isr |= cause;
	pci_set_intx(&virtio->pci, true);
}

void virtio_break(struct virtio *virtio)
{
	if (virtio->status & VIRTIO_NEEDS_RESET)
		return;
	virtio->status |= VIRTIO_NEEDS_RESET;
	/* Section 2.1.2: the driver is told only once it is up. */
	if (virtio->status & VIRTIO_DRIVER_OK)
		interrupt(virtio, virtio->config_vector, ISR_CONFIG);
}

/* A ring is memory of the guest's, which only a bus master reaches. */
static bool queue_runs(const struct virtio *virtio, const struct virtqueue *queue)
{
	return virtio->status & VIRTIO_DRIVER_OK && !(virtio->status & VIRTIO_NEEDS_RESET) &&
	       !virtio->resetting && queue->enabled && pci_is_master(&virtio->pci);
}

bool virtio_runs(const struct virtio *virtio, unsigned index)
{
	return queue_runs(virtio, &virtio->queues[index]);
}

bool virtio_pop(struct virtio *virtio, unsigned index, struct queue_chain *chain)
{
	struct virtqueue *queue = &virtio->queues[index];
	enum queue_result result;

	if (!queue_runs(virtio, queue))
		return false;
	result = queue_pop(queue, chain);
	/* One may have come before the driver could see that we want to be told. */
	if (result == QUEUE_EMPTY && !queue_arm(queue))
		result = queue_pop(queue, chain);
	if (result == QUEUE_BROKEN)
		virtio_break(virtio);
	return result == QUEUE_CHAIN;
}

void virtio_unpop(struct virtio *virtio, unsigned index, uint32_t head)
{
	queue_unpop(&virtio->queues[index], head);
}

void virtio_put(struct virtio *virtio, unsigned index, uint32_t head, uint32_t len)
{
	struct virtqueue *queue = &virtio->queues[index];

	if (queue_runs(virtio, queue))
		queue_put(queue, head, len);
}

void virtio_publish(struct virtio *virtio, unsigned index)
{
	struct virtqueue *queue = &virtio->queues[index];

	if (!queue->n_put)
		return;
	queue_publish(queue);
	if (queue_should_interrupt(queue))
		interrupt(virtio, queue->vector, ISR_QUEUE);
}

void virtio_push(struct virtio *virtio, unsigned index, uint32_t head, uint32_t len)
{
	virtio_put(virtio, index, head, len);
	virtio_publish(virtio, index);
}

/* Section 4.1.4.3.1: drivers that read several members of it read the generation before and after. */
void virtio_config_changed(struct virtio *virtio)
{
	virtio->config_generation++;
	if (virtio->status & VIRTIO_DRIVER_OK && !virtio->resetting)
		interrupt(virtio, virtio->config_vector, ISR_CONFIG);
}

static uint16_t max_queue_size(const struct virtio *virtio)
{
	return virtio->ops->queue_size ? virtio->ops->queue_size : QUEUE_SIZE;
}

static void reset_now(struct virtio *virtio)
{
	virtio->resetting = false;
	virtio->left = 0;
	timer_cancel(&virtio->again);
	virtio->driver_features = 0;
	virtio->feature_select = virtio->driver_feature_select = 0;
	virtio->config_vector = QUEUE_NO_VECTOR;
	virtio->queue_select = 0;
	virtio->status = virtio->isr = 0;
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
		queue_reset(&virtio->queues[i], max_queue_size(virtio));
	pci_set_intx(&virtio->pci, false);
	if (virtio->ops->reset)
		virtio->ops->reset(virtio);
}

void virtio_begin(struct virtio *virtio)
{
	virtio->in_flight++;
}

void virtio_end(struct virtio *virtio)
{
	g_assert(virtio->in_flight);
	if (--virtio->in_flight == 0 && virtio->resetting)
		reset_now(virtio);
}

static bool map_queue(struct virtio *virtio, struct virtqueue *queue)
{
	const struct queue_features features = {
		.packed = virtio_has(virtio, VIRTIO_F_RING_PACKED),
		.event_idx = virtio_has(virtio, VIRTIO_F_EVENT_IDX),
		.indirect = virtio_has(virtio, VIRTIO_F_INDIRECT_DESC),
	};

	return queue_map(queue, guest_mem(virtio), &features);
}

static bool features_are_good(const struct virtio *virtio)
{
	return !(virtio->driver_features & ~virtio->features) &&
	       virtio_has(virtio, VIRTIO_F_VERSION_1);
}

/* Section 3.1.1: bits are added; features and DRIVER_OK only by what came before. */
static void write_status(struct virtio *virtio, uint8_t value)
{
	bool was_up = virtio->status & VIRTIO_DRIVER_OK;

	if (value == 0) {
		virtio->resetting = true;
		if (!virtio->in_flight)
			reset_now(virtio);
		return;
	}
	if (value & VIRTIO_FEATURES_OK && !(virtio->status & VIRTIO_FEATURES_OK) &&
	    !features_are_good(virtio))
		value &= ~VIRTIO_FEATURES_OK;
	if (!((value | virtio->status) & VIRTIO_FEATURES_OK))
		value &= ~VIRTIO_DRIVER_OK;
	virtio->status |= value & STATUS_BITS;
	if (virtio->status & VIRTIO_DRIVER_OK && !was_up && virtio->ops->started)
		virtio->ops->started(virtio);
}

static void write_driver_feature(struct virtio *virtio, uint32_t value)
{
	unsigned shift = 32 * virtio->driver_feature_select;

	if (virtio->driver_feature_select > 1 || virtio->status & VIRTIO_FEATURES_OK)
		return;
	virtio->driver_features &= ~(0xffffffffull << shift);
	virtio->driver_features |= (uint64_t)value << shift;
}

/* Section 4.1.5.1.2.1: a vector that is not there reads back as none. */
static uint16_t vector_or_none(const struct virtio *virtio, uint16_t vector)
{
	return vector < virtio->pci.msix.n_vectors ? vector : QUEUE_NO_VECTOR;
}

static void set_half(uint64_t *value, unsigned offset, uint32_t half)
{
	unsigned shift = offset & 4 ? 32 : 0;

	*value = (*value & ~(0xffffffffull << shift)) | (uint64_t)half << shift;
}

static uint32_t get_half(uint64_t value, unsigned offset)
{
	return offset & 4 ? value >> 32 : value;
}

static void enable_queue(struct virtio *virtio, struct virtqueue *queue)
{
	if (!(virtio->status & VIRTIO_FEATURES_OK))
		return;
	if (map_queue(virtio, queue))
		queue->enabled = true;
	else
		virtio_break(virtio);
}

/* The selected queue's members; the rest of a queue that is enabled stands still. */
static void write_queue(struct virtio *virtio, struct virtqueue *queue, unsigned offset,
			uint32_t value)
{
	if (offset == COMMON_QUEUE_VECTOR)
		queue->vector = vector_or_none(virtio, value);
	/* Section 4.1.4.3.2: done at once, so that it always reads 0. */
	if (offset == COMMON_QUEUE_RESET && value == 1 && virtio_has(virtio, VIRTIO_F_RING_RESET))
		queue_reset(queue, max_queue_size(virtio));
	if (queue->enabled)
		return;
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		if (queue_size_is_good(value, max_queue_size(virtio),
				       virtio_has(virtio, VIRTIO_F_RING_PACKED)))
			queue->size = value;
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			enable_queue(virtio, queue);
		break;
	case COMMON_QUEUE_DESC:
	case COMMON_QUEUE_DESC + 4:
		set_half(&queue->desc, offset, value);
		break;
	case COMMON_QUEUE_AVAIL:
	case COMMON_QUEUE_AVAIL + 4:
		set_half(&queue->avail, offset, value);
		break;
	case COMMON_QUEUE_USED:
	case COMMON_QUEUE_USED + 4:
		set_half(&queue->used, offset, value);
		break;
	}
}

static void write_common(struct virtio *virtio, unsigned offset, uint32_t value)
{
	if (virtio->resetting)
		return;
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		virtio->feature_select = value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		virtio->driver_feature_select = value;
		break;
	case COMMON_DRIVER_FEATURE:
		write_driver_feature(virtio, value);
		break;
	case COMMON_CONFIG_VECTOR:
		virtio->config_vector = vector_or_none(virtio, value);
		break;
	case COMMON_STATUS:
		write_status(virtio, value);
		break;
	case COMMON_QUEUE_SELECT:
		virtio->queue_select = value;
		break;
	default:
		if (virtio->queue_select < virtio->n_queues)
			write_queue(virtio, &virtio->queues[virtio->queue_select], offset, value);
	}
}

/* A queue that is not there has size 0, and the rest of it, too. */
static uint32_t read_queue(const struct virtio *virtio, unsigned offset)
{
	const struct virtqueue *queue = &virtio->queues[virtio->queue_select];

	switch (offset) {
	case COMMON_QUEUE_SIZE:
		return queue->size;
	case COMMON_QUEUE_VECTOR:
		return queue->vector;
	case COMMON_QUEUE_ENABLE:
		return queue->enabled;
	case COMMON_QUEUE_NOTIFY_OFF:
		return virtio->queue_select;
	case COMMON_QUEUE_DESC:
	case COMMON_QUEUE_DESC + 4:
		return get_half(queue->desc, offset);
	case COMMON_QUEUE_AVAIL:
	case COMMON_QUEUE_AVAIL + 4:
		return get_half(queue->avail, offset);
	case COMMON_QUEUE_USED:
	case COMMON_QUEUE_USED + 4:
		return get_half(queue->used, offset);
	}
	return 0;
}

static uint32_t read_common(const struct virtio *virtio, unsigned offset)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return virtio->feature_select;
	case COMMON_DEVICE_FEATURE:
		return virtio->feature_select > 1
			       ? 0
			       : get_half(virtio->features, 4 * virtio->feature_select);
	case COMMON_DRIVER_FEATURE_SELECT:
		return virtio->driver_feature_select;
	case COMMON_DRIVER_FEATURE:
		return virtio->driver_feature_select > 1
			       ? 0
			       : get_half(virtio->driver_features,
					  4 * virtio->driver_feature_select);
	case COMMON_CONFIG_VECTOR:
		return virtio->config_vector;
	case COMMON_NUM_QUEUES:
		return virtio->n_queues;
	case COMMON_STATUS:
		return virtio->status;
	case COMMON_CONFIG_GENERATION:
		return virtio->config_generation;
	case COMMON_QUEUE_SELECT:
		return virtio->queue_select;
	}
	return virtio->queue_select < virtio->n_queues ? read_queue(virtio, offset) : 0;
}

static unsigned common_width(unsigned offset)
{
	if (offset < COMMON_CONFIG_VECTOR ||
	    (offset >= COMMON_QUEUE_DESC && offset < COMMON_QUEUE_NOTIFY_DATA))
		return 4;
	return offset == COMMON_STATUS || offset == COMMON_CONFIG_GENERATION ? 1 : 2;
}

/* Section 4.1.3.1: the driver uses each member's own width, and a device need not know others. */
static bool is_common(unsigned offset, unsigned size)
{
	unsigned width = common_width(offset);

	return offset < COMMON_END && size == width && offset % width == 0;
}

/* Part of a member, too: iPXE's driver reads 16 bits of those that have 32. */
static uint32_t read_common_part(const struct virtio *virtio, unsigned offset, unsigned size)
{
	unsigned width = common_width(offset), at = offset % width;

	if (offset >= COMMON_END || at + size > width)
		return 0;
	return read_common(virtio, offset - at) >> 8 * at;
}

static uint32_t read_isr(struct virtio *virtio)
{
	uint8_t isr = virtio->isr;

	virtio->isr = 0;
	pci_set_intx(&virtio->pci, false);
	return isr;
}

static uint32_t read_config(const struct virtio *virtio, unsigned offset, unsigned size)
{
	uint8_t bytes[4] = {};

	for (unsigned i = 0; i < size && offset + i < virtio->config_len; i++)
		bytes[i] = virtio->config[offset + i];
	return le32_load(bytes);
}

static void write_config(struct virtio *virtio, unsigned offset, uint32_t value, unsigned size)
{
	for (unsigned i = 0; virtio->ops->config_write && i < size && offset + i < virtio->config_len; i++)
		virtio->ops->config_write(virtio, offset + i, value >> 8 * i);
}

static void notify(struct virtio *virtio, unsigned index)
{
	if (index < virtio->n_queues && queue_runs(virtio, &virtio->queues[index]))
		virtio->ops->notify(virtio, index);
}

static void notify_again(void *opaque)
{
	struct virtio *virtio = opaque;
	uint64_t left = virtio->left;

	virtio->left = 0;
	for (unsigned i = 0; i < virtio->n_queues; i++)
		if (left >> i & 1)
			notify(virtio, i);
}

void virtio_leave(struct virtio *virtio, unsigned queue)
{
	struct clock *clock = virtio->pci.device.env->clock;

	virtio->left |= 1ull << queue;
	timer_set(&virtio->again, clock_now_ns(clock) + AGAIN_NS);
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct virtio *virtio = opaque;
	unsigned at = offset % STRUCTURE_SIZE;

	switch (offset - at) {
	case COMMON_AT:
		return read_common_part(virtio, at, size);
	case ISR_AT:
		return at == 0 ? read_isr(virtio) : 0;
	case DEVICE_AT:
		return read_config(virtio, at, size);
	}
	return 0;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct virtio *virtio = opaque;
	unsigned at = offset % STRUCTURE_SIZE;

	switch (offset - at) {
	case COMMON_AT:
		if (is_common(at, size))
			write_common(virtio, at, value);
		break;
	case DEVICE_AT:
		write_config(virtio, at, value, size);
		break;
	case NOTIFY_AT:
		if (at % NOTIFY_MULTIPLIER == 0)
			notify(virtio, at / NOTIFY_MULTIPLIER);
		break;
	}
}

static const struct bus_ops bar_ops = {bar_read, bar_write, .min_size = 1, .max_size = 4};

/* Section 4.1.4.9: the window through which firmware without access to BARs reaches them. */
struct window {
	unsigned cap;
	uint32_t offset, length;
};

static unsigned find_window(const struct pci_device *pci)
{
	unsigned at = pci->defaults[PCI_CAPABILITIES];

	while (pci->defaults[at] != PCI_CAP_ID_VENDOR || pci->defaults[at + CAP_TYPE] != TYPE_PCI)
		at = pci->defaults[at + 1];
	return at;
}

/* Whether an access to configuration space is one to the window, which is set up well. */
static bool window_hit(const struct pci_device *pci, unsigned offset, unsigned size,
		       struct window *window)
{
	unsigned cap = find_window(pci);
	uint32_t length = le32_load(pci->config + cap + CAP_LENGTH);

	*window = (struct window){cap, le32_load(pci->config + cap + CAP_OFFSET), length};
	return offset < cap + CAP_LONG_SIZE && offset + size > cap + CAP_DATA &&
	       pci->config[cap + CAP_BAR] == VIRTIO_BAR &&
	       (length == 1 || length == 2 || length == 4) && window->offset % length == 0 &&
	       window->offset < VIRTIO_BAR_SIZE;
}

static void window_read(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct window window;

	if (window_hit(pci, offset, size, &window))
		le32_store(pci->config + window.cap + CAP_DATA,
			   bar_read(pci, window.offset, window.length));
}

static void window_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct window window;

	if (window_hit(pci, offset, size, &window))
		bar_write(pci, window.offset, le32_load(pci->config + window.cap + CAP_DATA),
			  window.length);
}

static const struct pci_ops virtio_pci_ops = {window_read, window_written};

static uint8_t *add_cap(struct pci_device *pci, uint8_t type, uint8_t len, uint32_t at)
{
	uint8_t *cap = pci->defaults + pci_add_capability(pci, PCI_CAP_ID_VENDOR, len);

	cap[CAP_LEN] = len;
	cap[CAP_TYPE] = type;
	if (type != TYPE_PCI) {
		cap[CAP_BAR] = VIRTIO_BAR;
		le32_store(cap + CAP_OFFSET, at);
		le32_store(cap + CAP_LENGTH, STRUCTURE_SIZE);
	}
	return cap;
}

static void add_caps(struct pci_device *pci)
{
	uint8_t *cap;

	add_cap(pci, TYPE_COMMON, CAP_SIZE, COMMON_AT);
	add_cap(pci, TYPE_ISR, CAP_SIZE, ISR_AT);
	add_cap(pci, TYPE_DEVICE, CAP_SIZE, DEVICE_AT);
	cap = add_cap(pci, TYPE_NOTIFY, CAP_LONG_SIZE, NOTIFY_AT);
	le32_store(cap + CAP_NOTIFY_MULTIPLIER, NOTIFY_MULTIPLIER);
	cap = add_cap(pci, TYPE_PCI, CAP_LONG_SIZE, 0);
	cap = pci->write_mask + (cap - pci->defaults);
	cap[CAP_BAR] = 0xff;
	memset(cap + CAP_OFFSET, 0xff, CAP_LONG_SIZE - CAP_OFFSET);
}

bool virtio_init(struct virtio *virtio, const struct virtio_ops *ops, uint64_t features,
		 const void *device_config, unsigned config_len, const struct device_config *config,
		 GError **error)
{
	const struct pci_ids ids = {
		.vendor = VIRTIO_VENDOR,
		.device = VIRTIO_DEVICE(ops->id),
		.subsystem_vendor = VIRTIO_VENDOR,
		.subsystem = 0x1100, /* section 4.1.2.1: 0x40 at least */
		.class_code = ops->class_code,
		.revision = 1,
		.interrupt_pin = 1,
	};

	virtio->ops = ops;
	if (ops->n_queues)
		virtio->n_queues = ops->n_queues;
	g_assert(virtio->n_queues <= VIRTIO_MAX_QUEUES && ops->queue_size <= QUEUE_MAX_SIZE);
	virtio->features = features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
	if (virtio->pci.device.env->packed_rings)
		virtio->features |= VIRTIO_F_RING_PACKED;
	virtio->config = device_config;
	virtio->config_len = config_len;
	timer_init(&virtio->again, virtio->pci.device.env->clock, &virtio->pci.device.lock,
		   notify_again, virtio);
	if (!pci_device_init(&virtio->pci, &ids, &virtio_pci_ops, config, error))
		return false;
	/* A vector a queue and one for changes of the configuration. */
	pci_add_msix(&virtio->pci, MSIX_BAR, virtio->n_queues + 1);
	pci_add_bar(&virtio->pci, VIRTIO_BAR, PCI_BAR_MEM64_PREFETCH, VIRTIO_BAR_SIZE, &bar_ops);
	add_caps(&virtio->pci);
	return true;
}

void virtio_reset(struct device *device)
{
	struct virtio *virtio = (struct virtio *)device;

	g_assert(!virtio->in_flight);
	reset_now(virtio);
	pci_device_reset(&virtio->pci);
}

void virtio_post_load(struct device *device)
{
	struct virtio *virtio = (struct virtio *)device;

	pci_device_post_load(&virtio->pci);
	/* Rings outside this VM's RAM are the guest's doing, or the stream's. */
	for (unsigned i = 0; i < virtio->n_queues; i++)
		if (virtio->queues[i].enabled && !map_queue(virtio, &virtio->queues[i]))
			virtio_break(virtio);
	/* What was left is not in the stream. */
	for (unsigned i = 0; i < virtio->n_queues; i++)
		if (queue_runs(virtio, &virtio->queues[i]))
			virtio_leave(virtio, i);
}

void virtio_fini(struct device *device)
{
	timer_fini(&((struct virtio *)device)->again);
	pci_device_fini((struct pci_device *)device);
}

static bool vector_is_good(const struct virtio *virtio, uint16_t vector)
{
	return vector_or_none(virtio, vector) == vector;
}

bool virtio_check(const void *object)
{
	const struct virtio *virtio = object;
	bool good = pci_device_check(&virtio->pci) &&
		    vector_is_good(virtio, virtio->config_vector) &&
		    !(virtio->status & ~(STATUS_BITS | VIRTIO_NEEDS_RESET)) &&
		    !(virtio->isr & ~(ISR_QUEUE | ISR_CONFIG));

	if (virtio->status & VIRTIO_FEATURES_OK)
		good = good && features_are_good(virtio);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		const struct virtqueue *queue = &virtio->queues[i];

		good = good && vector_is_good(virtio, queue->vector) &&
		       queue_check(queue, max_queue_size(virtio),
				   virtio_has(virtio, VIRTIO_F_RING_PACKED)) &&
		       (!queue->enabled ||
			(i < virtio->n_queues && virtio->status & VIRTIO_FEATURES_OK));
	}
	return good;
}
