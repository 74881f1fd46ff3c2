/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of a private network, each with a guest at its cable; and peers that are none of ours. */
#include "net/lan.h"

#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/le.h"
#include "frames.h"

struct member {
	struct lan *lan;
	struct frames_end guest;
};

struct rig {
	GMainContext *context;
	char *folder;
};

static void rig_init(struct rig *rig)
{
	rig->context = g_main_context_new();
	rig->folder = g_dir_make_tmp("lan-XXXXXX", NULL);
}

static void rig_fini(struct rig *rig)
{
	g_main_context_unref(rig->context);
	g_assert_cmpint(g_rmdir(rig->folder), ==, 0); /* nothing was left */
	g_free(rig->folder);
}

static void enter(struct rig *rig, struct member *member, uint8_t number)
{
	g_autoptr(GError) error = NULL;

	member->lan = lan_new(rig->context, rig->folder, &error);
	g_assert_no_error(error);
	frames_init(&member->guest, rig->context, number);
	net_join(member->guest.port, lan_port(member->lan));
}

static void leave(struct member *member)
{
	frames_fini(&member->guest);
	lan_free(member->lan);
}

static void run(struct rig *rig)
{
	while (g_main_context_iteration(rig->context, FALSE))
		;
}

static void send_frame(struct rig *rig, struct frames_end *from, const uint8_t *to)
{
	uint8_t frame[60] = {[14] = 1};

	memcpy(frame, to, 6);
	memcpy(frame + 6, from->mac, 6);
	net_send(from->port, frame, sizeof(frame));
	run(rig);
}

static unsigned take(struct frames_end *end)
{
	unsigned n = end->frames->len;

	g_ptr_array_set_size(end->frames, 0);
	return n;
}

static void test_switch(void)
{
	struct member a, b, c;
	struct rig rig;

	rig_init(&rig);
	enter(&rig, &a, 1);
	enter(&rig, &b, 2);
	enter(&rig, &c, 3);
	run(&rig);
	g_assert_cmpuint(lan_n_peers(a.lan), ==, 2);
	g_assert_cmpuint(lan_n_peers(b.lan), ==, 2);
	g_assert_cmpuint(lan_n_peers(c.lan), ==, 2);
	send_frame(&rig, &a.guest, (const uint8_t *)FRAMES_BROADCAST);
	g_assert_cmpuint(take(&b.guest), ==, 1);
	g_assert_cmpuint(take(&c.guest), ==, 1);
	g_assert_cmpuint(take(&a.guest), ==, 0);
	/* Nobody has heard of c: all get it. */
	send_frame(&rig, &a.guest, c.guest.mac);
	g_assert_cmpuint(take(&b.guest), ==, 1);
	g_assert_cmpuint(take(&c.guest), ==, 1);
	send_frame(&rig, &c.guest, a.guest.mac);
	g_assert_cmpuint(take(&a.guest), ==, 1);
	g_assert_cmpuint(take(&b.guest), ==, 0);
	send_frame(&rig, &a.guest, c.guest.mac);
	g_assert_cmpuint(take(&b.guest), ==, 0);
	g_assert_cmpuint(take(&c.guest), ==, 1);
	leave(&a);
	leave(&b);
	leave(&c);
	rig_fini(&rig);
}

/* In any order, and what one that was killed left behind is in nobody's way. */
static void test_come_and_go(void)
{
	struct member a, b;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct rig rig;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	rig_init(&rig);
	g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/dead.sock", rig.folder);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	close(fd);
	enter(&rig, &a, 1);
	g_assert_false(g_file_test(address.sun_path, G_FILE_TEST_EXISTS));
	for (unsigned i = 0; i < 5; i++) {
		enter(&rig, &b, 2);
		run(&rig);
		send_frame(&rig, &b.guest, (const uint8_t *)FRAMES_BROADCAST);
		g_assert_cmpuint(take(&a.guest), ==, 1);
		send_frame(&rig, &a.guest, b.guest.mac);
		g_assert_cmpuint(take(&b.guest), ==, 1);
		leave(&b);
		run(&rig);
		g_assert_cmpuint(lan_n_peers(a.lan), ==, 0);
		send_frame(&rig, &a.guest, b.guest.mac);
	}
	enter(&rig, &b, 2);
	leave(&a); /* the older one goes first, before it accepted */
	run(&rig);
	g_assert_cmpuint(lan_n_peers(b.lan), ==, 0);
	enter(&rig, &a, 1);
	run(&rig);
	send_frame(&rig, &b.guest, (const uint8_t *)FRAMES_BROADCAST);
	g_assert_cmpuint(take(&a.guest), ==, 1);
	leave(&a);
	leave(&b);
	rig_fini(&rig);
}

static int connect_raw(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	return fd;
}

static size_t make_message(uint8_t *out, const uint8_t *to, const uint8_t *from)
{
	memset(out, 0, LAN_HEADER_LEN + 60);
	le16_store(out, LAN_VERSION);
	memcpy(out + LAN_HEADER_LEN, to, 6);
	memcpy(out + LAN_HEADER_LEN + 6, from, 6);
	return LAN_HEADER_LEN + 60;
}

/* A packet of 64 KiB goes through uncut, as one message. */
static void test_offload(void)
{
	static const struct net_offload tso = {.flags = NET_NEEDS_CSUM,
					       .gso = NET_GSO_TCPV4,
					       .gso_size = 1000,
					       .csum_start = 34,
					       .csum_offset = 16};
	struct net_offload wrong = tso;
	uint8_t headers[2048];
	g_autofree uint8_t *payload = g_malloc0(60000);
	struct iovec iov[] = {{headers, 54}, {payload, 60000}};
	struct frames_packet packet = {"192.0.2.1", "192.0.2.2", PACKET_TCP, 1, 2};
	struct member a, b;
	struct rig rig;

	rig_init(&rig);
	enter(&rig, &a, 1);
	enter(&rig, &b, 2);
	run(&rig);
	frames_make(&a.guest, &packet, headers);
	net_send_offload(a.guest.port, iov, 2, &tso);
	run(&rig);
	g_assert_cmpuint(take(&b.guest), ==, 60);
	net_set_offloads(b.guest.port, NET_CAN_CSUM | NET_CAN_TSO4);
	net_send_offload(a.guest.port, iov, 2, &tso);
	run(&rig);
	g_assert_cmpuint(b.guest.frames->len, ==, 1);
	g_assert_cmpuint(g_bytes_get_size(b.guest.frames->pdata[0]), ==, 60054);
	take(&b.guest);
	wrong.csum_start = 60;
	net_send_offload(a.guest.port, iov, 2, &wrong);
	run(&rig);
	g_assert_cmpuint(take(&b.guest), ==, 0);
	leave(&a);
	leave(&b);
	rig_fini(&rig);
}

static void test_liar(void)
{
	uint8_t message[200000] = {};
	static const uint8_t liar_mac[] = {0x52, 0x54, 0, 0, 0, 9};
	struct member a, b;
	struct rig rig;
	size_t len;
	int fd;

	rig_init(&rig);
	enter(&rig, &a, 1);
	enter(&rig, &b, 2);
	send_frame(&rig, &b.guest, (const uint8_t *)FRAMES_BROADCAST);
	take(&a.guest);
	/* It says that it is b, and many others. */
	fd = connect_raw(lan_path(a.lan));
	len = make_message(message, a.guest.mac, b.guest.mac);
	g_assert_cmpint(send(fd, message, len, 0), ==, len);
	run(&rig);
	g_assert_cmpuint(take(&a.guest), ==, 1);
	send_frame(&rig, &a.guest, b.guest.mac);
	g_assert_cmpuint(take(&b.guest), ==, 1);
	for (unsigned i = 0; i < 1000; i++) {
		le32_store(message + LAN_HEADER_LEN + 8, i);
		send(fd, message, len, 0);
		run(&rig);
	}
	take(&a.guest);
	/* What is no frame, or pretends to be cut. */
	make_message(message, a.guest.mac, liar_mac);
	message[3] = NET_GSO_TCPV4;
	g_assert_cmpint(send(fd, message, len, 0), ==, len);
	message[3] = 0;
	message[2] = NET_NEEDS_CSUM;
	memset(message + 8, 0xff, 4);
	g_assert_cmpint(send(fd, message, len, 0), ==, len);
	run(&rig);
	g_assert_cmpuint(take(&a.guest), ==, 0);
	g_assert_cmpuint(lan_n_peers(a.lan), ==, 2);
	/* What is no message ends it. */
	make_message(message, a.guest.mac, liar_mac);
	message[0] ^= 1;
	g_assert_cmpint(send(fd, message, len, 0), ==, len);
	run(&rig);
	g_assert_cmpuint(lan_n_peers(a.lan), ==, 1);
	close(fd);
	for (size_t i = 0; i < 2; i++) {
		fd = connect_raw(lan_path(a.lan));
		make_message(message, a.guest.mac, liar_mac);
		g_assert_cmpint(send(fd, message, i ? 200000 : 5, 0), >, 0);
		run(&rig);
		g_assert_cmpuint(lan_n_peers(a.lan), ==, 1);
		close(fd);
	}
	leave(&a);
	leave(&b);
	rig_fini(&rig);
}

/* One that takes nothing costs a bounded queue, and holds up nobody. */
static void test_stalled(void)
{
	uint8_t message[LAN_HEADER_LEN + 60];
	static const uint8_t stalled_mac[] = {0x52, 0x54, 0, 0, 0, 9};
	g_autofree uint8_t *frame = g_malloc0(NET_FRAME_MAX);
	struct member a, b;
	unsigned got = 0;
	struct rig rig;
	int fd;

	rig_init(&rig);
	enter(&rig, &a, 1);
	enter(&rig, &b, 2);
	send_frame(&rig, &b.guest, (const uint8_t *)FRAMES_BROADCAST);
	fd = connect_raw(lan_path(a.lan));
	send(fd, message, make_message(message, a.guest.mac, stalled_mac), 0);
	run(&rig);
	for (unsigned to = 0; to < 2; to++) {
		memcpy(frame, to ? b.guest.mac : stalled_mac, 6);
		memcpy(frame + 6, a.guest.mac, 6);
		for (unsigned i = 0; i < 2000; i++) {
			net_send(a.guest.port, frame, NET_FRAME_MAX);
			run(&rig);
		}
	}
	g_assert_cmpuint(take(&b.guest), ==, 2000);
	/* What it did not take by then is what was queued. */
	while (recv(fd, frame, NET_FRAME_MAX, 0) > 0) {
		got++;
		run(&rig);
	}
	g_assert_cmpuint(got, >=, LAN_QUEUE_BYTES / (NET_FRAME_MAX + LAN_HEADER_LEN));
	g_assert_cmpuint(got, <, 1000);
	memcpy(frame, stalled_mac, 6);
	net_send(a.guest.port, frame, 60);
	run(&rig);
	g_assert_cmpint(recv(fd, frame, NET_FRAME_MAX, 0), ==, LAN_HEADER_LEN + 60);
	close(fd);
	leave(&a);
	leave(&b);
	rig_fini(&rig);
}

static bool take_if_room(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	int *room = opaque;

	return *room > 0 && (*room)--;
}

/* A guest that is slow: what it has no room for waits where it was sent, and is not lost. */
static void test_no_room(void)
{
	g_autofree uint8_t *frame = g_malloc0(NET_FRAME_MAX);
	struct net_receiver receiver = {.receive = take_if_room};
	int room = 0;
	struct member a, b;
	struct rig rig;

	rig_init(&rig);
	enter(&rig, &a, 1);
	enter(&rig, &b, 2);
	receiver.opaque = &room;
	net_set_receiver(b.guest.port, &receiver);
	memcpy(frame, b.guest.mac, 6);
	for (unsigned i = 0; i < 200; i++) {
		net_send(a.guest.port, frame, NET_FRAME_MAX);
		run(&rig);
	}
	g_assert_false(net_has_room(lan_port(b.lan)));
	room = 1000;
	net_receive_more(b.guest.port);
	run(&rig);
	g_assert_cmpint(room, ==, 800);
	room = 0;
	for (unsigned i = 0; i < 200; i++) {
		net_send(a.guest.port, frame, NET_FRAME_MAX);
		run(&rig);
	}
	net_unjoin(b.guest.port);
	g_assert_cmpuint(net_dropped(lan_port(b.lan)), <, 50);
	leave(&a);
	leave(&b);
	rig_fini(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lan/switch", test_switch);
	g_test_add_func("/lan/come-and-go", test_come_and_go);
	g_test_add_func("/lan/offload", test_offload);
	g_test_add_func("/lan/liar", test_liar);
	g_test_add_func("/lan/stalled", test_stalled);
	g_test_add_func("/lan/no-room", test_no_room);
	return g_test_run();
}
