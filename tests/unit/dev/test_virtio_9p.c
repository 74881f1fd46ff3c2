/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib/gstdio.h>

#include "virtio_driver.h"

enum { TVERSION = 100, TATTACH = 104, TCLUNK = 120, RLERROR = 7, EBADF_ = 9 };

#define REPLY_AT (DATA_AT + 0x1000)
#define ROOM	 4096

/* A message and room for its reply, as chain 2 * i. */
static void put(struct driver *d, unsigned i, const void *message, uint32_t len, uint32_t room)
{
	memcpy(ram(d, DATA_AT + 0x100 * i), message, len);
	set_desc(ram(d, DESC_AT), 2 * i, DATA_AT + 0x100 * i, len, DESC_NEXT, 2 * i + 1);
	set_desc(ram(d, DESC_AT), 2 * i + 1, REPLY_AT + ROOM * i, room, DESC_WRITE, 0);
	offer(d, 2 * i);
}

static const uint8_t *call(struct driver *d, const void *message, uint32_t len)
{
	uint32_t n;

	put(d, 0, message, len, ROOM);
	kick(d);
	g_assert_cmpuint(wait_used(d, &n), ==, 0);
	g_assert_cmpuint(n, ==, le32_load(ram(d, REPLY_AT)));
	return ram(d, REPLY_AT);
}

static const uint8_t version[] = {21, 0, 0, 0, TVERSION, 255, 255, 0, 32, 0, 0, 8, 0, '9', 'P', '2', '0', '0', '0', '.', 'L'};
static const uint8_t attach[] = {23, 0, 0, 0, TATTACH, 1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t clunk[] = {11, 0, 0, 0, TCLUNK, 2, 0, 0, 0, 0, 0};

static void test_config(void)
{
	struct driver d;

	driver_init(&d, &virtio_9p_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10491af4);
	g_assert_cmphex(device_features(&d) & 1, ==, 1);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[4], 2), ==, 3);
	for (unsigned i = 0; i < 4; i++)
		g_assert_cmpint(bus_read(d.env.bus, BUS_MMIO, d.structure[4] + 2 + i, 1), ==, "tag"[i]);
	driver_fini(&d);
}

static void test_requests(void)
{
	const uint8_t *reply;
	struct driver d;
	uint32_t n;

	driver_init(&d, &virtio_9p_class, 0, false);
	start(&d, 1);
	reply = call(&d, version, sizeof(version));
	g_assert_cmpmem(reply, 21, "\25\0\0\0\145\377\377\0\40\0\0\10\0009P2000.L", 21);
	g_assert_true(mem_is_dirty(d.env.mem, REPLY_AT));
	g_assert_false(mem_is_dirty(d.env.mem, REPLY_AT + ROOM));
	reply = call(&d, attach, sizeof(attach));
	g_assert_cmpuint(reply[4], ==, TATTACH + 1);
	/* Several at once. */
	put(&d, 0, version, sizeof(version), ROOM);
	put(&d, 1, clunk, sizeof(clunk), ROOM);
	kick(&d);
	wait_used(&d, &n);
	wait_used(&d, &n);
	driver_fini(&d);
}

/* The driver's reset ends the session. */
static void test_reset(void)
{
	const uint8_t *reply;
	struct driver d;

	driver_init(&d, &virtio_9p_class, 0, false);
	start(&d, 1);
	call(&d, attach, sizeof(attach));
	start(&d, 1);
	reply = call(&d, clunk, sizeof(clunk));
	g_assert_cmpuint(reply[4], ==, RLERROR);
	g_assert_cmpuint(le32_load(reply + 7), ==, EBADF_);
	driver_fini(&d);
}

/* What is no message, or leaves no room for a reply, breaks the device. */
static void test_nonsense(void)
{
	struct driver d;
	uint32_t n;

	for (unsigned i = 0; i < 2; i++) {
		driver_init(&d, &virtio_9p_class, 0, false);
		start(&d, 1);
		put(&d, 0, attach, i ? sizeof(attach) : 3, i ? 6 : ROOM);
		kick(&d);
		share_drain(d.share);
		g_assert_cmpuint(status(&d) & 64, ==, 64);
		start(&d, 1);
		put(&d, 0, version, sizeof(version), ROOM);
		kick(&d);
		wait_used(&d, &n);
		g_assert_cmpuint(n, ==, 21);
		driver_fini(&d);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-9p/config", test_config);
	g_test_add_func("/virtio-9p/requests", test_requests);
	g_test_add_func("/virtio-9p/reset", test_reset);
	g_test_add_func("/virtio-9p/nonsense", test_nonsense);
	return g_test_run();
}
