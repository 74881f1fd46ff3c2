/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of a peer on a private network, two bytes of length before each, to a member whose guest takes no work on
 * frames, so that they are cut and summed. In between the guest answers to what it got.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/le.h"
#include "net/lan.h"
#include "net/net.h"

#include "fuzz.h"

static bool take_frame(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	uint8_t answer[NET_FRAME_MAX];

	g_assert_cmpuint(len, >=, NET_FRAME_MIN);
	g_assert_cmpuint(len, <=, NET_FRAME_MAX);
	g_assert_true(offload->flags == 0 && offload->gso == NET_GSO_NONE);
	memcpy(answer, frame + 6, 6);
	memcpy(answer + 6, frame, 6);
	memcpy(answer + 12, frame + 12, len - 12);
	net_send(opaque, answer, len);
	return true;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *folder = g_dir_make_tmp("fuzz-lan-XXXXXX", NULL);
	GMainContext *context = g_main_context_new();
	struct lan *lan = lan_new(context, folder, NULL);
	struct net_port *guest = net_port_new(context);
	struct net_receiver receiver = {.receive = take_frame, .opaque = guest};
	int fd = connect_to(lan_path(lan));

	net_set_receiver(guest, &receiver);
	net_join(guest, lan_port(lan));
	for (size_t at = 0, part; at + 2 <= len; at += 2 + part) {
		part = MIN(le16_load(data + at), len - at - 2);
		if (send(fd, data + at + 2, part, MSG_NOSIGNAL) < 0)
			break;
		for (unsigned i = 0; i < 8 && g_main_context_iteration(context, FALSE); i++)
			;
	}
	g_assert_cmpuint(lan_n_peers(lan), <=, 1);
	close(fd);
	net_port_free(guest);
	lan_free(lan);
	g_main_context_unref(context);
	g_rmdir(folder);
	return 0;
}
