/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/local_socket.h"
#include "virtio_driver.h"

enum { RX, TX, CONTROL_RX, CONTROL_TX, RX_1, TX_1, RX_2, TX_2, N_QUEUES };
enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };

#define IN_AT(queue, i)	 (0x400000u + 0x10000 * (queue) + 0x1000 * ((i) % 16))
#define OUT_AT		 0x300000u
#define F_SIZE		 1u
#define F_MULTIPORT	 2u
#define RING		 65536u

static void start_queues(struct driver *d, unsigned n, uint64_t features)
{
	g_assert_true(negotiate(d, F_VERSION_1 | features | (packed_rings() ? F_PACKED : 0)));
	for (unsigned i = 0; i < n; i++) {
		use_queue(d, i);
		set_up_queue(d, 16);
	}
	common_write(d, 0x14, 15, 1);
	g_assert_cmpuint(status(d), ==, 15);
}

static void give(struct driver *d, unsigned queue, unsigned first, unsigned n, uint32_t len)
{
	use_queue(d, queue);
	for (unsigned i = first; i < first + n; i++) {
		set_desc(ram(d, d->base + DESC_AT), i, IN_AT(queue, i), len, DESC_WRITE, 0);
		offer(d, i);
	}
	kick(d);
}

static void put(struct driver *d, unsigned queue, const void *bytes, uint32_t len)
{
	memcpy(ram(d, OUT_AT), bytes, len);
	use_queue(d, queue);
	set_desc(ram(d, d->base + DESC_AT), 15, OUT_AT, len, 0, 0);
	offer(d, 15);
	kick(d);
}

/* What has come, as text; "" where nothing has. */
static const char *got(struct driver *d, unsigned queue)
{
	static char text[4096];
	uint32_t len;
	uint16_t head;

	use_queue(d, queue);
	text[0] = '\0';
	if (used_index(d) == d->used_idx)
		return text;
	head = wait_used(d, &len);
	memcpy(text, ram(d, IN_AT(queue, head)), len);
	text[len] = '\0';
	return text;
}

static void control(struct driver *d, uint32_t id, uint16_t event, uint16_t value)
{
	uint8_t message[8];
	uint32_t len;

	le32_store(message, id);
	le16_store(message + 4, event);
	le16_store(message + 6, value);
	put(d, CONTROL_TX, message, sizeof(message));
	wait_used(d, &len);
}

static void assert_told(struct driver *d, uint32_t id, uint16_t event, uint16_t value, const char *more)
{
	const uint8_t *message = (const uint8_t *)got(d, CONTROL_RX);

	g_assert_cmpuint(le32_load(message), ==, id);
	g_assert_cmpuint(le16_load(message + 4), ==, event);
	g_assert_cmpuint(le16_load(message + 6), ==, value);
	g_assert_cmpstr((const char *)message + 8, ==, more);
}

static char *host_read(struct stream *stream)
{
	static char text[256];

	text[stream_host_read(stream, (uint8_t *)text, sizeof(text) - 1)] = '\0';
	return text;
}

static uint32_t config(struct driver *d, unsigned offset, unsigned size)
{
	return bus_read(d->env.bus, BUS_MMIO, d->structure[4] + offset, size);
}

static void test_console(void)
{
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_console_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10431af4);
	g_assert_cmphex(device_features(&d) & 7, ==, 5);
	g_assert_cmpuint(common_read(&d, 0x12, 2), ==, 2);
	start_queues(&d, 2, F_SIZE);
	put(&d, TX, "hello", 5);
	wait_used(&d, &len);
	g_assert_cmpuint(len, ==, 0);
	g_assert_cmpstr(host_read(d.streams[0]), ==, "hello");
	/* Input before there are buffers, and after; more than a buffer holds. */
	stream_host_write(d.streams[0], (const uint8_t *)"early", 5);
	give(&d, RX, 0, 3, 4);
	g_assert_cmpstr(got(&d, RX), ==, "earl");
	g_assert_cmpstr(got(&d, RX), ==, "y");
	g_assert_cmpstr(got(&d, RX), ==, "");
	stream_host_write(d.streams[0], (const uint8_t *)"late", 4);
	g_assert_cmpstr(got(&d, RX), ==, "late");
	/* The emergency register. */
	bus_write(d.env.bus, BUS_MMIO, d.structure[4] + 8, '!', 4);
	g_assert_cmpstr(host_read(d.streams[0]), ==, "!");
	driver_fini(&d);
}

static void test_size(void)
{
	unsigned n, generation;
	struct driver d;

	driver_init(&d, &virtio_console_class, 0, false);
	start_queues(&d, 2, F_SIZE);
	n = msi_count(&d);
	generation = common_read(&d, 0x15, 1);
	stream_host_resize(d.streams[0], 132, 50);
	g_assert_cmpuint(msi_count(&d), ==, n + 1);
	g_assert_cmpuint(d.last_msi, ==, 0x41);
	g_assert_cmpuint(common_read(&d, 0x15, 1), !=, generation);
	g_assert_cmpuint(config(&d, 0, 2), ==, 132);
	g_assert_cmpuint(config(&d, 2, 2), ==, 50);
	stream_host_resize(d.streams[0], 132, 50);
	g_assert_cmpuint(msi_count(&d), ==, n + 1);
	/* Told once more to a driver that begins, with its first output. */
	start_queues(&d, 2, F_SIZE);
	n = msi_count(&d);
	generation = common_read(&d, 0x15, 1);
	put(&d, TX, "hello", 5);
	g_assert_cmpuint(msi_count(&d), ==, n + 2);
	g_assert_cmpuint(common_read(&d, 0x15, 1), !=, generation);
	driver_fini(&d);
}

/* A slow reader loses nothing. */
static void test_backpressure(void)
{
	g_autofree uint8_t *bytes = g_malloc0(RING);
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_console_class, 0, false);
	start_queues(&d, 2, 0);
	put(&d, TX, bytes, RING - 100);
	wait_used(&d, &len);
	put(&d, TX, bytes, 200);
	g_assert_cmpuint(used_index(&d), ==, d.used_idx);
	g_assert_cmpuint(stream_host_read(d.streams[0], bytes, 50), ==, 50);
	g_assert_cmpuint(used_index(&d), ==, d.used_idx);
	g_assert_cmpuint(stream_host_read(d.streams[0], bytes, 50), ==, 50);
	wait_used(&d, &len);
	g_assert_cmpuint(stream_host_read(d.streams[0], bytes, RING), ==, RING);
	g_assert_cmpuint(stream_dropped(d.streams[0]), ==, 0);
	driver_fini(&d);
}

static void test_ports(void)
{
	struct driver d;
	uint32_t len;

	driver_init_ports(&d, &virtio_console_class, 0, false, 2);
	g_assert_cmphex(device_features(&d) & 7, ==, 2);
	g_assert_cmpuint(config(&d, 4, 4), ==, 9);
	g_assert_cmpuint(common_read(&d, 0x12, 2), ==, 20);
	start_queues(&d, N_QUEUES, F_MULTIPORT);
	give(&d, CONTROL_RX, 0, 8, 100);
	control(&d, UINT32_MAX, DEVICE_READY, 1);
	assert_told(&d, 1, DEVICE_ADD, 1, "");
	assert_told(&d, 2, DEVICE_ADD, 1, "");
	control(&d, 2, PORT_READY, 1);
	assert_told(&d, 2, PORT_OPEN, 1, "");
	assert_told(&d, 2, PORT_NAME, 1, "port.one");
	/* Input waits until somebody in the guest has the port open. */
	stream_host_write(d.streams[1], (const uint8_t *)"early", 5);
	give(&d, RX_2, 0, 8, 100);
	g_assert_cmpstr(got(&d, RX_2), ==, "");
	control(&d, 2, PORT_OPEN, 1);
	g_assert_cmpstr(got(&d, RX_2), ==, "early");
	stream_host_write(d.streams[1], (const uint8_t *)"late", 4);
	g_assert_cmpstr(got(&d, RX_2), ==, "late");
	control(&d, 2, PORT_OPEN, 0);
	stream_host_write(d.streams[1], (const uint8_t *)"closed", 6);
	g_assert_cmpstr(got(&d, RX_2), ==, "");
	put(&d, TX_2, "answer", 6);
	wait_used(&d, &len);
	g_assert_cmpstr(host_read(d.streams[1]), ==, "answer");
	g_assert_cmpstr(host_read(d.streams[0]), ==, "");
	/* Of ports that there are not. */
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t ids[] = {0, 3, 9, UINT32_MAX};

		control(&d, ids[i], PORT_READY, 1);
		control(&d, ids[i], PORT_OPEN, 1);
	}
	control(&d, 1, DEVICE_REMOVE, 1);
	control(&d, 1, 77, 1);
	put(&d, CONTROL_TX, "short", 5);
	g_assert_cmpstr(got(&d, CONTROL_RX), ==, "");
	put(&d, TX, "nobody", 6);
	wait_used(&d, &len);
	driver_fini(&d);
}

/* Somebody connects to a port's socket, and leaves. */
static void test_connection(void)
{
	g_autofree char *folder = g_dir_make_tmp("viv-console-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "s", NULL);
	GMainContext *context = g_main_context_new();
	struct driver d;
	int fd;

	driver_init_ports(&d, &virtio_console_class, 0, false, 0);
	device_free(d.device);
	stream_free(d.streams[0]);
	d.ports[0].stream = d.streams[0] = stream_new_listen(context, path, NULL);
	d.device = device_new(&virtio_console_class, &d.env,
			      &(struct device_config){.devfn = PCI_DEVFN(SLOT, 0), .ports = d.ports, .n_ports = 1}, NULL);
	driver_probe(&d);
	start_queues(&d, N_QUEUES, F_MULTIPORT);
	give(&d, CONTROL_RX, 0, 8, 100);
	control(&d, UINT32_MAX, DEVICE_READY, 1);
	assert_told(&d, 1, DEVICE_ADD, 1, "");
	control(&d, 1, PORT_READY, 1);
	assert_told(&d, 1, PORT_OPEN, 0, "");
	assert_told(&d, 1, PORT_NAME, 1, "port.zero");
	fd = local_socket_connect(path, 0);
	while (g_main_context_iteration(context, FALSE))
		;
	assert_told(&d, 1, PORT_OPEN, 1, "");
	close(fd);
	while (g_main_context_iteration(context, FALSE))
		;
	assert_told(&d, 1, PORT_OPEN, 0, "");
	driver_fini(&d);
	g_main_context_unref(context);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-console/console", test_console);
	g_test_add_func("/virtio-console/size", test_size);
	g_test_add_func("/virtio-console/backpressure", test_backpressure);
	g_test_add_func("/virtio-console/ports", test_ports);
	g_test_add_func("/virtio-console/connection", test_connection);
	return g_test_run();
}
