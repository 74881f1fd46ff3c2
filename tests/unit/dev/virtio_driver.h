/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio driver for tests: finds the device on the PCI bus, negotiates and sets up one queue
 * in guest RAM as Linux does. Nothing in it knows the device's insides.
 */
#ifndef VIV_TESTS_VIRTIO_DRIVER_H
#define VIV_TESTS_VIRTIO_DRIVER_H

#include <glib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "block/block.h"
#include "dev/pci/i440fx.h"
#include "dev/table.h"
#include "display/display.h"
#include "display/input.h"
#include "rig_vsock.h"
#include "share/share.h"
#include "stream/stream.h"
#include "net/net.h"

#define RAM_SIZE (16u << 20)
#define SLOT	 2

/* Guest RAM. Of a packed queue DESC_AT and INDIRECT_AT are tables like those of a split one, from
 * which offer() makes descriptors of RING_AT and PACKED_INDIRECT_AT. */
#define DESC_AT		   0x10000u
#define AVAIL_AT	   0x11000u
#define USED_AT		   0x12000u
#define INDIRECT_AT	   0x13000u
#define RING_AT		   0x14000u
#define DRIVER_EVENT_AT	   0x15000u
#define DEVICE_EVENT_AT	   0x15800u
#define PACKED_INDIRECT_AT 0x16000u
#define HEADER_AT   0x20000u
#define STATUS_AT   0x21000u
#define DATA_AT	    0x100000u

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_AVAIL = 1 << 7, DESC_USED = 1 << 15 };

#define F_INDIRECT  (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED    (1ull << 34)

#define DRIVER_QUEUES  8
#define DRIVER_STREAMS 2

#define DRIVER_QUEUE_MEMBERS                                                                        \
	unsigned queue;	   /* which one; 0 unless the test says so */                               \
	uint64_t base;	   /* the addresses above are so much further */                             \
	unsigned queue_size;                                                                        \
	uint16_t avail_idx, used_idx;                                                               \
	unsigned ring_size, avail_at, used_at; /* of a packed queue; positions modulo two laps */   \
	uint16_t chain_len[256];	       /* by id */

struct driver_queue {
	DRIVER_QUEUE_MEMBERS
};

struct driver {
	struct device_env env;
	struct device *host, *device;
	struct block *block;
	struct display *display;
	struct input *input;
	unsigned n_ps2; /* events that went to an older keyboard */
	int image_fd;
	uint64_t structure[5]; /* by capability type: address */
	uint32_t notify_multiplier;
	uint64_t features; /* negotiated */
	union {
		struct driver_queue current; /* the same as: */
		struct {
			DRIVER_QUEUE_MEMBERS
		};
	};
	struct driver_queue others[DRIVER_QUEUES];
	struct net_port *net, *net_end; /* the device's, and the cable's other end */
	struct share *share; /* read-only */
	struct rig_vsock *vsock;
	struct stream *streams[DRIVER_STREAMS]; /* the first one a console's */
	struct device_port ports[DRIVER_STREAMS];
	GMutex gate; /* held: the disk works on nothing */
	GMutex lock; /* guards what interrupts change */
	GCond interrupted;
	unsigned n_msi;
	uint32_t last_msi;
	bool level;
	unsigned refill; /* so often an interrupt offers chain 0 again, without a kick */
};

static inline uint8_t *ram(struct driver *d, uint64_t gpa)
{
	uint8_t *hva = mem_hva(d->env.mem, gpa);

	g_assert(hva);
	return hva;
}

/* Goes on with another queue, each of which has rings of its own. */
static inline void use_queue(struct driver *d, unsigned queue)
{
	d->others[d->queue] = d->current;
	d->current = d->others[queue];
	d->queue = queue;
	d->base = queue ? 0x800000 + 0x10000 * queue : 0;
}

static inline uint32_t config_read(struct driver *d, unsigned reg, unsigned size)
{
	bus_write(d->env.bus, BUS_PIO, 0xcf8, 0x80000000u | SLOT << 11 | (reg & 0xfc), 4);
	return bus_read(d->env.bus, BUS_PIO, 0xcfc + (reg & 3), size);
}

static inline void config_write(struct driver *d, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(d->env.bus, BUS_PIO, 0xcf8, 0x80000000u | SLOT << 11 | (reg & 0xfc), 4);
	bus_write(d->env.bus, BUS_PIO, 0xcfc + (reg & 3), value, size);
}

static inline bool is_packed(const struct driver *d)
{
	return d->features & F_PACKED;
}

static inline uint8_t *ring_at(struct driver *d, unsigned position)
{
	return ram(d, d->base + RING_AT + 16 * (position % d->ring_size));
}

static inline void store_flags(uint8_t *desc, uint16_t flags)
{
	__atomic_store_n((uint16_t *)(desc + 14), flags, __ATOMIC_RELEASE);
}

/* An indirect table of INDIRECT_AT's page as packed queues have it: in order, and all of it. */
static inline void convert_indirect(struct driver *d, uint8_t *desc)
{
	uint64_t at = le64_load(desc), to_at = at - INDIRECT_AT + PACKED_INDIRECT_AT;
	unsigned n = 0, next = 0;
	uint16_t flags;

	do {
		uint8_t *from = ram(d, at + 16 * next), *to = ram(d, to_at + 16 * n++);

		flags = le16_load(from + 12);
		next = le16_load(from + 14) % 256;
		memcpy(to, from, 12);
		le32_store(to + 12, (uint32_t)flags << 16);
	} while (flags & DESC_NEXT && n < 256);
	le64_store(desc, to_at);
	le32_store(desc + 8, 16 * n);
}

/* The first descriptor's flags come last. Reads DESC_AT's chain at `head`, which is the id. */
static inline void offer_packed(struct driver *d, uint16_t head)
{
	unsigned first = d->avail_at, first_flags = 0, n = 0, at = head;
	uint16_t flags;

	do {
		const uint8_t *from = ram(d, d->base + DESC_AT + 16 * (at % 256));
		uint8_t *to = ring_at(d, d->avail_at);
		bool wrap = d->avail_at < d->ring_size;

		memcpy(to, from, 12);
		flags = le16_load(from + 12);
		at = le16_load(from + 14);
		if (flags & DESC_INDIRECT && le64_load(from) / 0x1000 == INDIRECT_AT / 0x1000)
			convert_indirect(d, to);
		le16_store(to + 12, head);
		if (n++)
			store_flags(to, flags | (wrap ? DESC_AVAIL : DESC_USED));
		else
			first_flags = flags | (wrap ? DESC_AVAIL : DESC_USED);
		d->avail_at = (d->avail_at + 1) % (2 * d->ring_size);
	} while (flags & DESC_NEXT && n < 8);
	d->chain_len[head % 256] = n;
	store_flags(ring_at(d, first), first_flags);
}

/* Makes a chain available without telling the device. */
static inline void offer(struct driver *d, uint16_t head)
{
	if (is_packed(d)) {
		offer_packed(d, head);
		return;
	}
	le16_store(ram(d, d->base + AVAIL_AT + 4 + 2 * (d->avail_idx % d->queue_size)), head);
	__atomic_store_n((uint16_t *)ram(d, d->base + AVAIL_AT + 2), ++d->avail_idx, __ATOMIC_RELEASE);
}

static inline void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct driver *d = opaque;

	g_mutex_lock(&d->lock);
	d->n_msi++;
	d->last_msi = data;
	if (d->refill) {
		d->refill--;
		offer(d, 0);
	}
	g_cond_signal(&d->interrupted);
	g_mutex_unlock(&d->lock);
}

static inline void on_line(void *opaque, unsigned pin, bool level)
{
	struct driver *d = opaque;

	g_mutex_lock(&d->lock);
	d->level = level;
	g_cond_signal(&d->interrupted);
	g_mutex_unlock(&d->lock);
}

static inline void on_ps2(void *opaque, const struct input_event *event)
{
	((struct driver *)opaque)->n_ps2++;
}

static inline void find_structures(struct driver *d)
{
	unsigned at = config_read(d, PCI_CAPABILITIES, 1);

	for (; at; at = config_read(d, at + 1, 1)) {
		unsigned type = config_read(d, at + 3, 1), bar = config_read(d, at + 4, 1);

		if (config_read(d, at, 1) != PCI_CAP_ID_VENDOR || type > 4)
			continue;
		d->structure[type] =
			(config_read(d, PCI_BAR_0 + 4 * bar, 4) & ~15u) + config_read(d, at + 8, 4);
		if (type == 2)
			d->notify_multiplier = config_read(d, at + 16, 4);
	}
	for (unsigned type = 1; type <= 4; type++)
		g_assert_cmphex(d->structure[type], !=, 0);
}

static inline unsigned find_msix(struct driver *d)
{
	unsigned at = config_read(d, PCI_CAPABILITIES, 1);

	while (at && config_read(d, at, 1) != PCI_CAP_ID_MSIX)
		at = config_read(d, at + 1, 1);
	return at;
}

/* Vector 0: the queue's, message 0x40; vector 1: the configuration's, 0x41. */
static inline void enable_msix(struct driver *d)
{
	unsigned cap = find_msix(d);
	uint64_t table = config_read(d, PCI_BAR_0 + 4, 4);

	for (unsigned i = 0; i < 2; i++) {
		bus_write(d->env.bus, BUS_MMIO, table + 16 * i, 0xfee00000, 4);
		bus_write(d->env.bus, BUS_MMIO, table + 16 * i + 8, 0x40 + i, 4);
		bus_write(d->env.bus, BUS_MMIO, table + 16 * i + 12, 0, 4);
	}
	config_write(d, cap + 2, 0x8000, 2);
}

static inline uint32_t common_read(struct driver *d, unsigned offset, unsigned size)
{
	return bus_read(d->env.bus, BUS_MMIO, d->structure[1] + offset, size);
}

static inline void common_write(struct driver *d, unsigned offset, uint32_t value, unsigned size)
{
	bus_write(d->env.bus, BUS_MMIO, d->structure[1] + offset, value, size);
}

static inline void driver_probe(struct driver *d)
{
	g_assert_true(pci_assign_bars(d->env.pci, NULL));
	config_write(d, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	find_structures(d);
	enable_msix(d);
}

/* `size` 0: no disk; `n_ports` of a console. */
static inline void driver_init_ports(struct driver *d, const struct device_class *class, uint64_t size,
				     bool read_only, unsigned n_ports)
{
	struct device_config config = {
		.devfn = PCI_DEVFN(SLOT, 0), .mac = {0x52, 0x54, 0, 1, 2, 3}, .n_queues = 2};

	*d = (struct driver){.env = {.mem = mem_new(RAM_SIZE, NULL),
				     .bus = bus_new(),
				     .clock = clock_new_manual(),
				     .packed_rings = true},
			     .image_fd = -1};
	bus_set_msi_sink(d->env.bus, on_msi, d);
	bus_line_attach(d->env.bus, i440fx_gsi(SLOT, 0), on_line, d, 0);
	if (size) {
		g_autofree char *path = NULL;
		struct block_options options = {
			.image.format = "raw", .image.read_only = read_only, .gate = &d->gate};

		d->image_fd = memfd_create("image", MFD_CLOEXEC);
		g_assert_cmpint(ftruncate(d->image_fd, size), ==, 0);
		options.image.path = path = g_strdup_printf("/proc/self/fd/%d", d->image_fd);
		d->block = config.block = block_open(&options, NULL);
		g_assert_nonnull(d->block);
	}
	d->display = config.display = display_new();
	/* Of controllers with several drives. */
	config.drives[0].block = d->block;
	config.drives[1].cdrom = true;
	config.n_drives = 2;
	d->input = config.input = input_new();
	input_attach(d->input, &(struct input_sink){INPUT_KEYBOARD, on_ps2, d}, true);
	d->net = config.net = net_port_new(NULL);
	d->net_end = net_port_new(NULL);
	net_join(d->net, d->net_end);
	d->share = config.share = share_open("/", class == &virtio_9p_class ? SHARE_9P : SHARE_FUSE, true, NULL);
	config.tag = "tag";
	d->vsock = rig_vsock_new();
	config.vsock = d->vsock->host;
	config.cid = 3;
	for (unsigned i = 0; i < DRIVER_STREAMS; i++) {
		d->streams[i] = stream_new();
		d->ports[i] = (struct device_port){d->streams[i], i ? "port.one" : "port.zero"};
	}
	config.stream = d->streams[0];
	config.ports = d->ports;
	config.n_ports = n_ports;
	d->host = device_new(&i440fx_class, &d->env, &(struct device_config){}, NULL);
	d->device = device_new(class, &d->env, &config, NULL);
	driver_probe(d);
}

static inline void driver_init(struct driver *d, const struct device_class *class, uint64_t size,
			       bool read_only)
{
	driver_init_ports(d, class, size, read_only, 0);
}

static inline void driver_fini(struct driver *d)
{
	device_free(d->device);
	device_free(d->host);
	block_close(d->block);
	share_close(d->share);
	rig_vsock_free(d->vsock);
	for (unsigned i = 0; i < DRIVER_STREAMS; i++)
		stream_free(d->streams[i]);
	display_free(d->display);
	input_detach(d->input, d);
	input_free(d->input);
	net_port_free(d->net);
	net_port_free(d->net_end);
	if (d->image_fd >= 0)
		close(d->image_fd);
	bus_free(d->env.bus);
	clock_free(d->env.clock);
	mem_free(d->env.mem);
}

static inline uint64_t device_features(struct driver *d)
{
	uint64_t features;

	common_write(d, 0x00, 1, 4);
	features = (uint64_t)common_read(d, 0x04, 4) << 32;
	common_write(d, 0x00, 0, 4);
	return features | common_read(d, 0x04, 4);
}

static inline uint8_t status(struct driver *d)
{
	return common_read(d, 0x14, 1);
}

/* Waits for the reset to be over, as Linux does. */
static inline void reset(struct driver *d)
{
	common_write(d, 0x14, 0, 1);
	while (status(d))
		g_thread_yield();
	d->avail_idx = d->used_idx = 0;
	d->avail_at = d->used_at = 0;
	memset(d->others, 0, sizeof(d->others));
	d->features = 0;
}

static inline bool negotiate(struct driver *d, uint64_t features)
{
	reset(d);
	common_write(d, 0x14, 1, 1);
	common_write(d, 0x14, 3, 1);
	common_write(d, 0x08, 0, 4);
	common_write(d, 0x0c, features, 4);
	common_write(d, 0x08, 1, 4);
	common_write(d, 0x0c, features >> 32, 4);
	common_write(d, 0x14, 11, 1);
	d->features = features;
	return status(d) & 8;
}

static inline void set_up_queue(struct driver *d, unsigned size)
{
	static const uint32_t split[] = {DESC_AT, AVAIL_AT, USED_AT},
			      packed[] = {RING_AT, DRIVER_EVENT_AT, DEVICE_EVENT_AT};
	const uint32_t *rings = is_packed(d) ? packed : split;

	d->queue_size = size;
	/* Each member of a chain takes a place; a power of two it need not be. */
	if (is_packed(d))
		size = d->ring_size = MIN(size * 13, 256);
	memset(ram(d, d->base + DESC_AT), 0, HEADER_AT - DESC_AT);
	common_write(d, 0x10, 1, 2);
	common_write(d, 0x16, d->queue, 2);
	common_write(d, 0x18, size, 2);
	common_write(d, 0x1a, 0, 2);
	for (unsigned i = 0; i < 3; i++) {
		common_write(d, 0x20 + 8 * i, d->base + rings[i], 4);
		common_write(d, 0x24 + 8 * i, 0, 4);
	}
	common_write(d, 0x1c, 1, 2);
}

/* Whether the environment asks for them. */
static inline bool packed_rings(void)
{
	return !g_strcmp0(g_getenv("VIRTIO_RINGS"), "packed");
}

static inline void start(struct driver *d, uint64_t features)
{
	if (packed_rings())
		features |= F_PACKED;
	g_assert_true(negotiate(d, features | F_VERSION_1));
	set_up_queue(d, 16);
	g_assert_cmpuint(common_read(d, 0x1c, 2), ==, 1);
	common_write(d, 0x14, 15, 1);
	g_assert_cmpuint(status(d), ==, 15);
}

static inline void set_desc(uint8_t *table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
			    uint16_t next)
{
	le64_store(table + 16 * i, addr);
	le32_store(table + 16 * i + 8, len);
	le16_store(table + 16 * i + 12, flags);
	le16_store(table + 16 * i + 14, next);
}

static inline void kick(struct driver *d)
{
	uint16_t offset;

	common_write(d, 0x16, d->queue, 2);
	offset = common_read(d, 0x1e, 2);
	bus_write(d->env.bus, BUS_MMIO, d->structure[2] + offset * d->notify_multiplier, 0, 2);
}

static inline bool next_is_used(struct driver *d)
{
	uint16_t flags = __atomic_load_n((uint16_t *)(ring_at(d, d->used_at) + 14), __ATOMIC_ACQUIRE);
	bool wrap = d->used_at < d->ring_size;

	return !!(flags & DESC_USED) == wrap && !!(flags & DESC_AVAIL) == wrap;
}

/* Of a packed queue, whether there is one at all. */
static inline uint16_t used_index(struct driver *d)
{
	if (is_packed(d))
		return d->used_idx + next_is_used(d);
	return __atomic_load_n((uint16_t *)ram(d, d->base + USED_AT + 2), __ATOMIC_ACQUIRE);
}

/* Waits for an interrupt for the next used chain; its head, and the length in `len`. */
static inline uint16_t wait_used(struct driver *d, uint32_t *len)
{
	const uint8_t *entry = ram(d, d->base + USED_AT + 4 + 8 * (d->used_idx % d->queue_size));
	uint32_t wrap = d->used_at < d->ring_size ? 1u << 15 : 0, event = d->features & F_EVENT_IDX ? 2u << 16 : 0;
	uint16_t id;

	/* used_event, then another look: an interrupt for it comes, or it is there. */
	if (is_packed(d))
		le32_store(ram(d, d->base + DRIVER_EVENT_AT), d->used_at % d->ring_size | wrap | event);
	else
		le16_store(ram(d, d->base + AVAIL_AT + 4 + 2 * d->queue_size), d->used_idx);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	g_mutex_lock(&d->lock);
	while (used_index(d) == d->used_idx)
		g_cond_wait(&d->interrupted, &d->lock);
	g_mutex_unlock(&d->lock);
	d->used_idx++;
	if (!is_packed(d)) {
		*len = le32_load(entry + 4);
		return le32_load(entry);
	}
	entry = ring_at(d, d->used_at);
	*len = le32_load(entry + 8);
	id = le16_load(entry + 12);
	d->used_at = (d->used_at + d->chain_len[id % 256]) % (2 * d->ring_size);
	return id;
}

static inline unsigned msi_count(struct driver *d)
{
	unsigned n;

	g_mutex_lock(&d->lock);
	n = d->n_msi;
	g_mutex_unlock(&d->lock);
	return n;
}

#endif
