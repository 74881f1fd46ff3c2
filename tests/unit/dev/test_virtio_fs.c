/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/fuse.h>

#include "virtio_driver.h"

#define REPLY_AT (DATA_AT + 0x1000)
#define ROOM	 4096

/* A message and, unless that is 0, room for its reply, as chain 0 of the current queue. */
static void put(struct driver *d, const void *message, uint32_t len, uint32_t room)
{
	memcpy(ram(d, DATA_AT), message, len);
	set_desc(ram(d, d->base + DESC_AT), 0, DATA_AT, len, room ? DESC_NEXT : 0, 1);
	set_desc(ram(d, d->base + DESC_AT), 1, REPLY_AT, room, DESC_WRITE, 0);
	offer(d, 0);
	kick(d);
}

struct message {
	struct fuse_in_header header;
	uint8_t body[64];
};

static struct message make(uint32_t opcode, uint64_t node, const void *body, uint32_t len)
{
	struct message m = {.header = {.len = sizeof(m.header) + len, .opcode = opcode, .unique = 0x1234, .nodeid = node}};

	if (len)
		memcpy(m.body, body, len);
	return m;
}

/* The errno of the reply, which is at REPLY_AT. */
static int call(struct driver *d, uint32_t opcode, uint64_t node, const void *body, uint32_t len)
{
	struct message m = make(opcode, node, body, len);
	const struct fuse_out_header *out = (void *)ram(d, REPLY_AT);
	uint32_t n;

	put(d, &m, m.header.len, ROOM);
	g_assert_cmpuint(wait_used(d, &n), ==, 0);
	g_assert_cmpuint(n, ==, out->len);
	g_assert_cmphex(out->unique, ==, 0x1234);
	return -out->error;
}

/* Both queues; goes on with that of the requests. */
static void begin(struct driver *d)
{
	driver_init(d, &virtio_fs_class, 0, false);
	g_assert_true(negotiate(d, F_VERSION_1 | (packed_rings() ? F_PACKED : 0)));
	set_up_queue(d, 16);
	use_queue(d, 1);
	set_up_queue(d, 16);
	common_write(d, 0x14, 15, 1);
}

static int init(struct driver *d)
{
	return call(d, FUSE_INIT, 0, &(struct fuse_init_in){.major = 7, .minor = 38}, sizeof(struct fuse_init_in));
}

static void test_config(void)
{
	static const char tag[36] = "tag";
	struct driver d;

	driver_init(&d, &virtio_fs_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x105a1af4);
	for (unsigned i = 0; i < sizeof(tag); i++)
		g_assert_cmpint(bus_read(d.env.bus, BUS_MMIO, d.structure[4] + i, 1), ==, tag[i]);
	g_assert_cmpuint(bus_read(d.env.bus, BUS_MMIO, d.structure[4] + 36, 4), ==, 1);
	driver_fini(&d);
}

static void test_requests(void)
{
	struct driver d;
	struct fuse_init_out *out;

	begin(&d);
	g_assert_cmpint(init(&d), ==, 0);
	out = (void *)(ram(&d, REPLY_AT) + sizeof(struct fuse_out_header));
	g_assert_cmpuint(out->major, ==, 7);
	g_assert_cmpuint(out->max_write, ==, 252 * 4096);
	g_assert_true(mem_is_dirty(d.env.mem, REPLY_AT));
	g_assert_false(mem_is_dirty(d.env.mem, REPLY_AT + ROOM));
	g_assert_cmpint(call(&d, FUSE_LOOKUP, FUSE_ROOT_ID, "proc", 5), ==, 0);
	g_assert_cmpint(call(&d, FUSE_MKDIR, FUSE_ROOT_ID, "\0\0\0\0\0\0\0\0new", 12), ==, EROFS);
	driver_fini(&d);
}

/* By the other queue, without room for a reply; which is not wrong. */
static void test_forget(void)
{
	struct fuse_entry_out *entry;
	struct message forget;
	struct driver d;
	uint64_t node;
	uint32_t n;

	begin(&d);
	init(&d);
	g_assert_cmpint(call(&d, FUSE_LOOKUP, FUSE_ROOT_ID, "proc", 5), ==, 0);
	entry = (void *)(ram(&d, REPLY_AT) + sizeof(struct fuse_out_header));
	node = entry->nodeid;
	g_assert_cmpint(call(&d, FUSE_GETATTR, node, entry, 16), ==, 0);
	forget = make(FUSE_FORGET, node, &(struct fuse_forget_in){1}, sizeof(struct fuse_forget_in));
	use_queue(&d, 0);
	put(&d, &forget, forget.header.len, 0);
	wait_used(&d, &n);
	g_assert_cmpuint(n, ==, 0);
	use_queue(&d, 1);
	g_assert_cmpint(call(&d, FUSE_GETATTR, node, entry, 16), ==, ESTALE);
	g_assert_cmpuint(status(&d), ==, 15);
	driver_fini(&d);
}

/* The driver's reset ends the session. */
static void test_reset(void)
{
	struct fuse_open_out *open;
	struct fuse_read_in read;
	struct driver d;

	begin(&d);
	init(&d);
	g_assert_cmpint(call(&d, FUSE_OPENDIR, FUSE_ROOT_ID, &(struct fuse_open_in){0}, sizeof(struct fuse_open_in)), ==, 0);
	open = (void *)(ram(&d, REPLY_AT) + sizeof(struct fuse_out_header));
	read = (struct fuse_read_in){.fh = open->fh, .size = 1024};
	g_assert_cmpint(call(&d, FUSE_READDIR, FUSE_ROOT_ID, &read, sizeof(read)), ==, 0);
	g_assert_true(negotiate(&d, F_VERSION_1 | (packed_rings() ? F_PACKED : 0)));
	set_up_queue(&d, 16);
	common_write(&d, 0x14, 15, 1);
	g_assert_cmpint(call(&d, FUSE_READDIR, FUSE_ROOT_ID, &read, sizeof(read)), ==, EBADF);
	driver_fini(&d);
}

/* What is no message, or leaves no room for a reply, breaks the device. */
static void test_nonsense(void)
{
	struct message m = make(FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
	struct driver d;

	for (unsigned i = 0; i < 2; i++) {
		begin(&d);
		put(&d, &m, i ? m.header.len : 3, i ? 6 : ROOM);
		share_drain(d.share);
		g_assert_cmpuint(status(&d) & 64, ==, 64);
		driver_fini(&d);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-fs/config", test_config);
	g_test_add_func("/virtio-fs/requests", test_requests);
	g_test_add_func("/virtio-fs/forget", test_forget);
	g_test_add_func("/virtio-fs/reset", test_reset);
	g_test_add_func("/virtio-fs/nonsense", test_nonsense);
	return g_test_run();
}
