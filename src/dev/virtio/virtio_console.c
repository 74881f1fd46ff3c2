/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Console device: virtio 1.2, section 5.3. Either one console, which is port 0 of a driver that knows no others, or ports from 1
 * on, which have names by which programs in the guest find them. Each is a stream of the host's.
 *
 * Not both in one device: a console among ports hears of its size by a message whose members Linux had in another order
 * than section 5.3.6.2 up to version 6.14; that of a console by itself stands in the configuration.
 *
 * A port's output is taken from its queue when the stream has room for it, so that a slow reader loses nothing and holds
 * up nobody but the guest's writers. Input stays in the stream until the driver has opened the port and gives buffers.
 * What the driver is to be told of a port waits as a bit in `tell`.
 */
#include <string.h>

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"
#include "stream/stream.h"

#define F_SIZE	      (1ull << 0)
#define F_MULTIPORT   (1ull << 1)
#define F_EMERG_WRITE (1ull << 2)

/* Section 5.3.2: port 0's queues, control's, and the other ports'. */
enum { RX_QUEUE, TX_QUEUE, CONTROL_RX_QUEUE, CONTROL_TX_QUEUE, QUEUES_BEFORE_PORT_1 };
#define MAX_PORTS (1 + DEVICE_MAX_PORTS)
#define N_QUEUES  (QUEUES_BEFORE_PORT_1 + 2 * DEVICE_MAX_PORTS)

/* struct virtio_console_config, section 5.3.4. */
enum {
	CONFIG_COLUMNS = 0,
	CONFIG_ROWS = 2,
	CONFIG_MAX_PORTS = 4,
	CONFIG_EMERG_WRITE = 8,
	CONFIG_SIZE = 12,
};

/* struct virtio_console_control, section 5.3.6.2. */
enum { CONTROL_ID = 0, CONTROL_EVENT = 4, CONTROL_VALUE = 6, CONTROL_SIZE = 8 };

enum event {
	DEVICE_READY,
	DEVICE_ADD,
	PORT_READY = 3,
	PORT_OPEN = 6,
	PORT_NAME,
};

struct port {
	struct virtio_console *console;
	struct stream *stream; /* NULL: there is no such port */
	const char *name;
	uint8_t tell; /* bits of events */
	bool ready;	/* the driver knows the port */
	bool open;	/* a program in the guest has it open */
	bool connected; /* somebody is at the host's end, as the driver knows */
};

struct virtio_console {
	struct virtio virtio;
	uint8_t config[CONFIG_SIZE];
	struct port ports[MAX_PORTS];
	bool size_told;
	struct queue_chain chain;
};

static unsigned index_of(const struct port *port)
{
	return port - port->console->ports;
}

static unsigned rx_queue(const struct port *port)
{
	unsigned i = index_of(port);

	return i ? QUEUES_BEFORE_PORT_1 + 2 * (i - 1) : RX_QUEUE;
}

static struct port *port_of(struct virtio_console *console, unsigned queue)
{
	return &console->ports[queue < CONTROL_RX_QUEUE ? 0 : (queue - QUEUES_BEFORE_PORT_1) / 2 + 1];
}

/* Nobody says that the console is. */
static bool is_open(const struct port *port)
{
	return index_of(port) == 0 || (port->ready && port->open);
}

/* To the guest. */
static void fill(struct port *port)
{
	struct virtio_console *console = port->console;
	struct queue_chain *chain = &console->chain;
	struct mem *mem = console->virtio.pci.device.env->mem;

	for (unsigned i = 0; port->stream && is_open(port); i++) {
		uint8_t buf[4096];
		size_t len;

		if (i == QUEUE_SIZE) {
			virtio_leave(&console->virtio, rx_queue(port));
			return;
		}
		if (!virtio_pop(&console->virtio, rx_queue(port), chain))
			return;
		len = MIN(iov_len(chain->iov + chain->n_out, chain->n_in), sizeof(buf));
		len = stream_read(port->stream, buf, len);
		if (!len) {
			virtio_unpop(&console->virtio, rx_queue(port), chain->head);
			return;
		}
		iov_write(mem, chain->iov + chain->n_out, chain->n_in, buf, len);
		virtio_push(&console->virtio, rx_queue(port), chain->head, len);
	}
}

/* At most what a stream ever has room for. */
static void write_chain(struct port *port, struct queue_chain *chain)
{
	struct iovec *out = chain->iov;
	unsigned n = chain->n_out;
	uint64_t len = iov_len(out, n);

	iov_cut_back(out, &n, len - MIN(len, STREAM_ROOM));
	while (n) {
		uint8_t buf[4096];
		size_t run = iov_read(out, n, buf, sizeof(buf));

		stream_write(port->stream, buf, run);
		iov_cut_front(&out, &n, run);
	}
}

/*
 * Linux reads the configuration's size when it changes, and not before its console exists: which it does when it says
 * something.
 */
static void tell_size(struct virtio_console *console)
{
	if (!console->size_told && le16_load(console->config + CONFIG_COLUMNS))
		virtio_config_changed(&console->virtio);
	console->size_told = true;
}

/* From the guest. Where there is no room, on_changed() goes on. */
static void drain(struct port *port)
{
	struct virtio_console *console = port->console;
	struct queue_chain *chain = &console->chain;
	unsigned queue = rx_queue(port) + 1;

	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		if (!virtio_pop(&console->virtio, queue, chain))
			return;
		if (port->stream && !stream_has_room(port->stream, MIN(iov_len(chain->iov, chain->n_out), STREAM_ROOM))) {
			virtio_unpop(&console->virtio, queue, chain->head);
			return;
		}
		if (port->stream)
			write_chain(port, chain);
		virtio_push(&console->virtio, queue, chain->head, 0);
	}
	virtio_leave(&console->virtio, queue);
}

/* What is told of a port first. */
static enum event take_event(struct port *port)
{
	enum event event = __builtin_ctz(port->tell);

	port->tell &= ~(1 << event);
	return event;
}

static void send_event(struct virtio_console *console, struct port *port)
{
	struct queue_chain *chain = &console->chain;
	enum event event = take_event(port);
	uint8_t message[CONTROL_SIZE + DEVICE_MAX_TAG] = {0};
	size_t len = CONTROL_SIZE;

	le32_store(message + CONTROL_ID, index_of(port));
	le16_store(message + CONTROL_EVENT, event);
	le16_store(message + CONTROL_VALUE, event == PORT_OPEN ? port->connected : 1);
	if (event == PORT_NAME) {
		memcpy(message + len, port->name, strlen(port->name));
		len += strlen(port->name);
	}
	len = iov_write(console->virtio.pci.device.env->mem, chain->iov + chain->n_out, chain->n_in, message, len);
	virtio_push(&console->virtio, CONTROL_RX_QUEUE, chain->head, len);
}

static void send_events(struct virtio_console *console)
{
	for (struct port *port = console->ports; port < console->ports + MAX_PORTS; port++)
		while (port->tell && virtio_pop(&console->virtio, CONTROL_RX_QUEUE, &console->chain))
			send_event(console, port);
}

/* Tells what has changed at the host's end. */
static void look(struct port *port)
{
	struct virtio_console *console = port->console;
	bool connected = stream_connected(port->stream);
	uint16_t columns = 0, rows = 0;

	if (connected != port->connected) {
		port->connected = connected;
		if (port->ready)
			port->tell |= 1 << PORT_OPEN;
	}
	if (port->name || !stream_size(port->stream, &columns, &rows) ||
	    (columns == le16_load(console->config + CONFIG_COLUMNS) && rows == le16_load(console->config + CONFIG_ROWS)))
		return;
	le16_store(console->config + CONFIG_COLUMNS, columns);
	le16_store(console->config + CONFIG_ROWS, rows);
	virtio_config_changed(&console->virtio);
}

static void on_changed(void *opaque)
{
	struct port *port = opaque;
	GMutex *lock = &port->console->virtio.pci.device.lock;

	g_mutex_lock(lock);
	look(port);
	send_events(port->console);
	drain(port);
	g_mutex_unlock(lock);
}

static void on_readable(void *opaque)
{
	struct port *port = opaque;
	GMutex *lock = &port->console->virtio.pci.device.lock;

	g_mutex_lock(lock);
	fill(port);
	g_mutex_unlock(lock);
}

static void take_control(struct virtio_console *console, const struct queue_chain *chain)
{
	uint8_t message[CONTROL_SIZE];
	struct port *port;
	uint16_t value;
	uint32_t index;

	if (iov_read(chain->iov, chain->n_out, message, sizeof(message)) < sizeof(message))
		return;
	value = le16_load(message + CONTROL_VALUE);
	if (le16_load(message + CONTROL_EVENT) == DEVICE_READY) {
		for (port = console->ports + 1; value == 1 && port < console->ports + MAX_PORTS; port++)
			if (port->stream)
				port->tell |= 1 << DEVICE_ADD;
		return;
	}
	index = le32_load(message + CONTROL_ID);
	if (index == 0 || index >= MAX_PORTS || !console->ports[index].stream)
		return;
	port = &console->ports[index];
	if (le16_load(message + CONTROL_EVENT) == PORT_READY && value == 1) {
		port->ready = true;
		port->tell |= 1 << PORT_OPEN | 1 << PORT_NAME;
	} else if (le16_load(message + CONTROL_EVENT) == PORT_OPEN) {
		port->open = value;
		fill(port);
	}
}

static void take_controls(struct virtio_console *console)
{
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		if (!virtio_pop(&console->virtio, CONTROL_TX_QUEUE, &console->chain)) {
			send_events(console);
			return;
		}
		/* A copy is made of what matters, so the chain can be another's by now. */
		uint32_t head = console->chain.head;

		take_control(console, &console->chain);
		virtio_push(&console->virtio, CONTROL_TX_QUEUE, head, 0);
	}
	virtio_leave(&console->virtio, CONTROL_TX_QUEUE);
}

static void console_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_console *console = (struct virtio_console *)virtio;

	if (queue == CONTROL_RX_QUEUE) {
		send_events(console);
	} else if (queue == CONTROL_TX_QUEUE) {
		take_controls(console);
	} else if (queue % 2 == RX_QUEUE) {
		fill(port_of(console, queue));
	} else {
		if (queue == TX_QUEUE)
			tell_size(console);
		drain(port_of(console, queue));
	}
}

/* Section 5.3.4: a character by a register, where nothing else works. */
static void config_write(struct virtio *virtio, unsigned offset, uint8_t value)
{
	struct virtio_console *console = (struct virtio_console *)virtio;

	if (offset == CONFIG_EMERG_WRITE && console->ports[0].stream)
		stream_write(console->ports[0].stream, &value, 1);
}

static void forget(struct virtio *virtio)
{
	struct virtio_console *console = (struct virtio_console *)virtio;

	for (struct port *port = console->ports; port < console->ports + MAX_PORTS; port++) {
		port->tell = 0;
		port->ready = port->open = false;
	}
	console->size_told = false;
}

static const struct virtio_ops console_ops = {
	.id = 3,
	.class_code = 0x078000,
	.notify = console_notify,
	.reset = forget,
	.config_write = config_write,
};

static void add_port(struct virtio_console *console, unsigned i, struct stream *stream, const char *name)
{
	struct port *port = &console->ports[i];

	port->stream = stream;
	port->name = name;
	stream_set_readable(stream, on_readable, port);
	stream_set_changed(stream, on_changed, port);
	look(port);
}

static bool console_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_console *console = (struct virtio_console *)device;

	g_assert(config->n_ports <= DEVICE_MAX_PORTS);
	le32_store(console->config + CONFIG_MAX_PORTS, config->n_ports ? MAX_PORTS : 1);
	for (unsigned i = 0; i < MAX_PORTS; i++)
		console->ports[i].console = console;
	console->virtio.n_queues = config->n_ports ? N_QUEUES : CONTROL_RX_QUEUE;
	if (!virtio_init(&console->virtio, &console_ops, config->n_ports ? F_MULTIPORT : F_SIZE | F_EMERG_WRITE,
			 console->config, sizeof(console->config), config, error))
		return false;
	if (!config->n_ports)
		add_port(console, 0, config->stream, NULL);
	for (unsigned i = 0; i < config->n_ports; i++)
		add_port(console, 1 + i, config->ports[i].stream, config->ports[i].name);
	return true;
}

static void console_post_load(struct device *device)
{
	struct virtio_console *console = (struct virtio_console *)device;

	for (struct port *port = console->ports; port < console->ports + MAX_PORTS; port++) {
		if (!port->stream || !port->name)
			port->tell = 0;
		if (port->stream)
			look(port);
	}
	virtio_post_load(device);
}

static void console_fini(struct device *device)
{
	struct virtio_console *console = (struct virtio_console *)device;

	for (struct port *port = console->ports; port < console->ports + MAX_PORTS; port++) {
		if (port->stream) {
			stream_set_readable(port->stream, NULL, NULL);
			stream_set_changed(port->stream, NULL, NULL);
		}
	}
	virtio_fini(device);
}

static bool console_check(const void *object)
{
	const struct virtio_console *console = object;
	bool good = virtio_check(object);

	for (unsigned i = 0; i < MAX_PORTS; i++)
		good = good && !(console->ports[i].tell & ~(1 << DEVICE_ADD | 1 << PORT_OPEN | 1 << PORT_NAME));
	return good;
}

static const struct state_field console_fields[] = {
	VIRTIO_FIELDS(struct virtio_console, virtio),
	STATE_FIELD(struct virtio_console, size_told),
	STATE_FIELD_EACH(struct virtio_console, ports, tell),
	STATE_FIELD_EACH(struct virtio_console, ports, ready),
	STATE_FIELD_EACH(struct virtio_console, ports, open),
	STATE_FIELD_EACH(struct virtio_console, ports, connected),
};

static const struct state_table console_state = {
	.name = "virtio-console",
	.version = 1,
	.object_size = sizeof(struct virtio_console),
	.fields = console_fields,
	.n_fields = G_N_ELEMENTS(console_fields),
	.check = console_check,
};

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.document = "OASIS virtio 1.2, section 5.3",
	.size = sizeof(struct virtio_console),
	.state = &console_state,
	.init = console_init,
	.reset = virtio_reset,
	.post_load = console_post_load,
	.fini = console_fini,
};
