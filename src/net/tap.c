/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linux, Documentation/networking/tuntap.rst. Each frame has a struct virtio_net_hdr before it. */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/error.h"
#include "base/le.h"
#include "net/net.h"

#define HEADER_LEN 10 /* of virtio_net_hdr without num_buffers */
/* Frames a turn of the loop. */
#define MAX_TURN 64

/* Of kernels from 6.2 on. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap {
	int fd;
	char name[IFNAMSIZ];
	struct net_port *port;
	GMainContext *context;
	GSource *source; /* NULL: the cable is full */
	uint8_t buffer[HEADER_LEN + NET_GSO_FRAME_MAX];
};

static void load_header(const uint8_t *header, struct net_offload *offload)
{
	*offload = (struct net_offload){
		.flags = header[0],
		.gso = header[1] & ~VIRTIO_NET_HDR_GSO_ECN,
		.header_len = le16_load(header + 2),
		.gso_size = le16_load(header + 4),
		.csum_start = le16_load(header + 6),
		.csum_offset = le16_load(header + 8),
	};
}

static void store_header(uint8_t *header, const struct net_offload *offload)
{
	header[0] = offload->flags;
	header[1] = offload->gso;
	le16_store(header + 2, offload->header_len);
	le16_store(header + 4, offload->gso_size);
	le16_store(header + 6, offload->csum_start);
	le16_store(header + 8, offload->csum_offset);
}

static void stop_reading(struct tap *tap)
{
	if (!tap->source)
		return;
	g_source_destroy(tap->source);
	g_source_unref(tap->source);
	tap->source = NULL;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque)
{
	struct tap *tap = opaque;

	for (unsigned i = 0; i < MAX_TURN; i++) {
		struct iovec iov = {tap->buffer + HEADER_LEN};
		struct net_offload offload;
		ssize_t n;

		if (!net_has_room(tap->port)) {
			stop_reading(tap); /* the rest waits in the kernel */
			return G_SOURCE_REMOVE;
		}
		n = read(fd, tap->buffer, sizeof(tap->buffer));
		if (n < HEADER_LEN)
			break;
		iov.iov_len = n - HEADER_LEN;
		load_header(tap->buffer, &offload);
		net_send_offload(tap->port, &iov, 1, &offload);
	}
	return G_SOURCE_CONTINUE;
}

static void on_room(void *opaque)
{
	struct tap *tap = opaque;

	if (tap->source)
		return;
	tap->source = g_unix_fd_source_new(tap->fd, G_IO_IN);
	g_source_set_callback(tap->source, G_SOURCE_FUNC(on_readable), tap, NULL);
	g_source_attach(tap->source, tap->context);
}

/* What the kernel does not take is lost, as on a wire. */
static bool on_receive(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	struct tap *tap = opaque;
	uint8_t header[HEADER_LEN];
	struct iovec iov[] = {{header, sizeof(header)}, {(void *)frame, len}};
	ssize_t n;

	store_header(header, offload);
	n = writev(tap->fd, iov, G_N_ELEMENTS(iov));
	(void)n;
	return true;
}

static bool fail(const struct tap_config *config, const char *what, GError **error)
{
	const char *name = config->name ? config->name : "viv0";
	int number = errno;

	if (number == EPERM || number == EACCES)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "tap: %s needs CAP_NET_ADMIN; have root run: ip tuntap add dev %s mode tap user "
			    "%s%s%s%s && ip "
			    "link set %s up; then give ifname=%s without bridge=",
			    what, name, g_get_user_name(), config->bridge ? " && ip link set " : "",
			    config->bridge ? name : "", config->bridge ? " master BRIDGE" : "", name, name);
	else
		g_set_error(
			error, VIV_ERROR, VIV_ERROR_HOST, "tap: %s: %s; %s", what, g_strerror(number),
			number == EBUSY	   ? "another program uses that interface; give another ifname="
			: number == ENOENT ? "load the kernel's module: modprobe tun"
			: number == EINVAL
				? "there is an interface of that name and it is no tap; give another ifname="
				: "use --net user instead");
	return false;
}

static bool open_device(struct tap *tap, const struct tap_config *config, GError **error)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header_len = HEADER_LEN;
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

	tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0)
		return fail(config, "opening /dev/net/tun", error);
	g_strlcpy(request.ifr_name, config->name ? config->name : "viv%d", sizeof(request.ifr_name));
	if (ioctl(tap->fd, TUNSETIFF, &request) < 0)
		return fail(config, "making or taking the interface", error);
	g_strlcpy(tap->name, request.ifr_name, sizeof(tap->name));
	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header_len) < 0)
		return fail(config, "setting up the interface", error);
	if (ioctl(tap->fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) < 0 &&
	    ioctl(tap->fd, TUNSETOFFLOAD, offloads) < 0)
		return fail(config, "setting up offloads", error);
	return true;
}

/* An interface that was given is as its owner wants it; one that is made comes up. */
static bool bring_up(const char *name, const struct tap_config *config, int fd, GError **error)
{
	struct ifreq request = {};

	g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return fail(config, "looking at the interface", error);
	if (request.ifr_flags & IFF_UP)
		return true;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) == 0 || fail(config, "bringing the interface up", error);
}

/* A bridge that is not there is made. It stays, as others may have joined it by the time that we leave. */
static bool find_bridge(const struct tap_config *config, int fd, GError **error)
{
	char name[IFNAMSIZ] = ""; /* the kernel reads all of it */

	if (if_nametoindex(config->bridge))
		return true;
	g_strlcpy(name, config->bridge, sizeof(name));
	if (ioctl(fd, SIOCBRADDBR, name) < 0 && errno != EEXIST)
		return fail(config, "making the bridge", error);
	return bring_up(config->bridge, config, fd, error);
}

static bool join_bridge(struct tap *tap, const struct tap_config *config, int fd, GError **error)
{
	struct ifreq request = {.ifr_ifindex = if_nametoindex(tap->name)};

	if (!config->bridge)
		return true;
	if (!find_bridge(config, fd, error))
		return false;
	g_strlcpy(request.ifr_name, config->bridge, sizeof(request.ifr_name));
	if (ioctl(fd, SIOCBRADDIF, &request) == 0)
		return true;
	if (errno != EOPNOTSUPP)
		return fail(config, "adding the interface to the bridge", error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "tap: '%s' is an interface, but no bridge; give another bridge=",
		    config->bridge);
	return false;
}

static bool set_up(struct tap *tap, const struct tap_config *config, GError **error)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 ? join_bridge(tap, config, fd, error) && bring_up(tap->name, config, fd, error)
			    : fail(config, "opening a socket", error);

	if (fd >= 0)
		close(fd);
	return good;
}

struct tap *tap_new(GMainContext *context, const struct tap_config *config, GError **error)
{
	struct tap *tap = g_new0(struct tap, 1);
	struct net_receiver receiver = {.receive = on_receive,
					.opaque = tap,
					.room = on_room,
					.offloads = NET_CAN_CSUM | NET_CAN_TSO4 | NET_CAN_TSO6};

	if (!open_device(tap, config, error) || !set_up(tap, config, error)) {
		tap_free(tap);
		return NULL;
	}
	tap->port = net_port_new(context);
	net_set_receiver(tap->port, &receiver);
	tap->context = context;
	on_room(tap);
	return tap;
}

void tap_free(struct tap *tap)
{
	if (!tap)
		return;
	net_port_free(tap->port);
	stop_reading(tap);
	if (tap->fd >= 0)
		close(tap->fd);
	g_free(tap);
}

struct net_port *tap_port(struct tap *tap)
{
	return tap->port;
}

const char *tap_name(const struct tap *tap)
{
	return tap->name;
}
