/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who comes binds, looks who is there and connects under a lock of the folder, which nobody keeps: so of
 * any two the later one connects, once. A socket at which nobody listens is what a member left that was
 * killed.
 */
#include "net/lan.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "base/local_socket.h"
#include "net/frame.h"
#include "net/net.h"

#define SUFFIX	    ".sock"
#define BACKLOG	    1024
#define LOCK_TRIES  250
#define LOCK_NAP_US 20000
/* Messages a turn of the loop. */
#define MAX_TURN 64
/* After which a silent owner's MAC may be another's. */
#define MAC_IDLE_US   60000000
#define SOCKET_BUFFER (4 << 20)

#define EVERY_OFFLOAD (NET_CAN_CSUM | NET_CAN_TSO4 | NET_CAN_TSO6 | NET_CAN_USO)

struct peer {
	struct lan *lan;
	int fd;
	GSource *in;  /* NULL: the cable is full */
	GSource *out; /* NULL: nothing waits */
	GQueue queue; /* GBytes */
	size_t queued;
	unsigned n_macs;
};

struct owner {
	struct peer *peer;
	int64_t heard_us;
};

struct lan {
	GMainContext *context;
	struct net_port *port;
	char *path; /* NULL: nothing is there */
	int listen_fd;
	GSource *listen;
	GPtrArray *peers;
	GHashTable *owners; /* of a MAC as guint64: struct owner */
	uint8_t buffer[LAN_HEADER_LEN + NET_GSO_FRAME_MAX + 1];
};

static guint64 mac_key(const uint8_t *mac)
{
	return le32_load(mac) | (guint64)le16_load(mac + 4) << 32;
}

static gboolean belongs_to(gpointer key, gpointer value, gpointer peer)
{
	return ((struct owner *)value)->peer == peer;
}

static void drop_source(GSource **source)
{
	if (!*source)
		return;
	g_source_destroy(*source);
	g_source_unref(*source);
	*source = NULL;
}

static void free_peer(gpointer data)
{
	struct peer *peer = data;
	GBytes *message;

	drop_source(&peer->in);
	drop_source(&peer->out);
	while ((message = g_queue_pop_head(&peer->queue)))
		g_bytes_unref(message);
	close(peer->fd);
	g_free(peer);
}

static void remove_peer(struct peer *peer)
{
	struct lan *lan = peer->lan;

	g_hash_table_foreach_remove(lan->owners, belongs_to, peer);
	g_ptr_array_remove_fast(lan->peers, peer);
}

static void learn(struct peer *peer, const uint8_t *mac)
{
	GHashTable *owners = peer->lan->owners;
	guint64 key = mac_key(mac);
	struct owner *owner = g_hash_table_lookup(owners, &key);
	int64_t now_us = g_get_monotonic_time();

	if (frame_is_group(mac))
		return;
	if (owner && owner->peer != peer) {
		if (now_us - owner->heard_us < MAC_IDLE_US)
			return;
		owner->peer->n_macs--;
		g_hash_table_remove(owners, &key);
		owner = NULL;
	}
	if (!owner) {
		if (peer->n_macs == LAN_MAX_PEER_MACS)
			return;
		peer->n_macs++;
		owner = g_new0(struct owner, 1);
		owner->peer = peer;
		g_hash_table_insert(owners, g_memdup2(&key, sizeof(key)), owner);
	}
	owner->heard_us = now_us;
}

/* False: it is no message. */
static bool take_message(struct peer *peer, const uint8_t *message, size_t len)
{
	struct iovec iov = {(void *)(message + LAN_HEADER_LEN), len - LAN_HEADER_LEN};
	struct net_offload offload;

	if (len < LAN_HEADER_LEN + 2 * NET_ADDR_LEN || le16_load(message) != LAN_VERSION)
		return false;
	offload = (struct net_offload){
		.flags = message[2],
		.gso = message[3],
		.header_len = le16_load(message + 4),
		.gso_size = le16_load(message + 6),
		.csum_start = le16_load(message + 8),
		.csum_offset = le16_load(message + 10),
	};
	learn(peer, message + LAN_HEADER_LEN + NET_ADDR_LEN);
	net_send_offload(peer->lan->port, &iov, 1, &offload);
	return true;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque)
{
	struct peer *peer = opaque;
	struct lan *lan = peer->lan;

	for (unsigned i = 0; i < MAX_TURN; i++) {
		ssize_t n;

		if (!net_has_room(lan->port)) {
			drop_source(&peer->in); /* the rest waits in the socket, and then at the sender */
			return G_SOURCE_REMOVE;
		}
		n = recv(fd, lan->buffer, sizeof(lan->buffer), MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0 || n > (ssize_t)(sizeof(lan->buffer) - 1) || !take_message(peer, lan->buffer, n)) {
			remove_peer(peer);
			return G_SOURCE_REMOVE;
		}
	}
	return G_SOURCE_CONTINUE;
}

static void read_peer(struct peer *peer)
{
	peer->in = g_unix_fd_source_new(peer->fd, G_IO_IN);
	g_source_set_callback(peer->in, G_SOURCE_FUNC(on_readable), peer, NULL);
	g_source_attach(peer->in, peer->lan->context);
}

static void on_room(void *opaque)
{
	struct lan *lan = opaque;

	for (unsigned i = 0; i < lan->peers->len; i++) {
		struct peer *peer = lan->peers->pdata[i];

		if (!peer->in)
			read_peer(peer);
	}
}

static void add_peer(struct lan *lan, int fd)
{
	struct peer *peer = g_new0(struct peer, 1);
	int size = SOCKET_BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	peer->lan = lan;
	peer->fd = fd;
	read_peer(peer);
	g_ptr_array_add(lan->peers, peer);
}

/* The folder is the user's alone, and so is who connects, but for root. */
static gboolean on_connection(gint fd, GIOCondition condition, gpointer opaque)
{
	struct lan *lan = opaque;
	int peer_fd = local_socket_accept(fd);

	if (peer_fd >= 0 && lan->peers->len < LAN_MAX_PEERS)
		add_peer(lan, peer_fd);
	else if (peer_fd >= 0)
		close(peer_fd);
	return G_SOURCE_CONTINUE;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer opaque)
{
	struct peer *peer = opaque;
	GBytes *message;

	while ((message = g_queue_peek_head(&peer->queue))) {
		size_t len;
		const void *bytes = g_bytes_get_data(message, &len);

		if (send(fd, bytes, len, MSG_NOSIGNAL) < 0 && (errno == EAGAIN || errno == EINTR))
			return G_SOURCE_CONTINUE;
		peer->queued -= len;
		g_bytes_unref(g_queue_pop_head(&peer->queue));
	}
	drop_source(&peer->out);
	return G_SOURCE_REMOVE;
}

static void queue_message(struct peer *peer, const struct iovec *iov)
{
	size_t len = iov[0].iov_len + iov[1].iov_len;
	uint8_t *bytes;

	if (peer->queued + len > LAN_QUEUE_BYTES)
		return;
	bytes = g_malloc(len);
	memcpy(bytes, iov[0].iov_base, iov[0].iov_len);
	memcpy(bytes + iov[0].iov_len, iov[1].iov_base, iov[1].iov_len);
	g_queue_push_tail(&peer->queue, g_bytes_new_take(bytes, len));
	peer->queued += len;
	if (peer->out)
		return;
	peer->out = g_unix_fd_source_new(peer->fd, G_IO_OUT);
	g_source_set_callback(peer->out, G_SOURCE_FUNC(on_writable), peer, NULL);
	g_source_attach(peer->out, peer->lan->context);
}

/* One that has gone is noticed when its connection is read. */
static void send_to(struct peer *peer, const struct iovec *iov)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = 2};

	if (peer->out ||
	    (sendmsg(peer->fd, &message, MSG_NOSIGNAL) < 0 && (errno == EAGAIN || errno == EINTR)))
		queue_message(peer, iov);
}

static bool on_receive(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	struct lan *lan = opaque;
	uint8_t header[LAN_HEADER_LEN];
	struct iovec iov[] = {{header, sizeof(header)}, {(void *)frame, len}};
	guint64 key = mac_key(frame);
	const struct owner *owner = frame_is_group(frame) ? NULL : g_hash_table_lookup(lan->owners, &key);

	le16_store(header, LAN_VERSION);
	header[2] = offload->flags;
	header[3] = offload->gso;
	le16_store(header + 4, offload->header_len);
	le16_store(header + 6, offload->gso_size);
	le16_store(header + 8, offload->csum_start);
	le16_store(header + 10, offload->csum_offset);
	if (owner) {
		send_to(owner->peer, iov);
		return true;
	}
	for (unsigned i = 0; i < lan->peers->len; i++)
		send_to(lan->peers->pdata[i], iov);
	return true;
}

static bool fail(const char *folder, GError **error)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "the private network's folder '%s': %s; set XDG_RUNTIME_DIR to "
		    "another",
		    folder, g_strerror(errno));
	return false;
}

/* A member that was stopped at the wrong moment must not stop this one. */
static bool lock_folder(const char *folder, int fd, GError **error)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		g_usleep(LOCK_NAP_US);
	}
	errno = ETIMEDOUT;
	return fail(folder, error);
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static bool listen_in(struct lan *lan, const char *folder, GError **error)
{
	g_autofree char *path = g_strdup_printf("%s/%08x%08x" SUFFIX, folder, g_random_int(), g_random_int());
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!local_socket_check(path, error))
		return false;
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	lan->listen_fd = new_socket();
	if (lan->listen_fd < 0)
		return fail(folder, error);
	fchmod(lan->listen_fd, 0600);
	if (bind(lan->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail(folder, error);
	lan->path = g_steal_pointer(&path);
	return listen(lan->listen_fd, BACKLOG) == 0 || fail(folder, error);
}

static void connect_to(struct lan *lan, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = new_socket();

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		goto out;
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == ECONNREFUSED)
			unlink(path);
		goto out;
	}
	if (lan->peers->len < LAN_MAX_PEERS) {
		add_peer(lan, fd);
		return;
	}
out:
	if (fd >= 0)
		close(fd);
}

static void connect_all(struct lan *lan, const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_strconcat(folder, "/", name, NULL);

		if (g_str_has_suffix(name, SUFFIX) && strcmp(path, lan->path))
			connect_to(lan, path);
	}
}

static bool join(struct lan *lan, const char *folder, GError **error)
{
	bool good;
	int fd;

	mkdir(folder, 0700);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(folder, error);
	good = lock_folder(folder, fd, error) && listen_in(lan, folder, error);
	if (good)
		connect_all(lan, folder);
	close(fd);
	return good;
}

struct lan *lan_new(GMainContext *context, const char *folder, GError **error)
{
	struct lan *lan = g_new0(struct lan, 1);
	struct net_receiver receiver = {
		.receive = on_receive, .offloads = EVERY_OFFLOAD, .room = on_room, .opaque = lan};

	lan->context = context;
	lan->listen_fd = -1;
	lan->peers = g_ptr_array_new_with_free_func(free_peer);
	lan->owners = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	lan->port = net_port_new(context);
	net_set_receiver(lan->port, &receiver);
	if (!join(lan, folder, error)) {
		lan_free(lan);
		return NULL;
	}
	lan->listen = g_unix_fd_source_new(lan->listen_fd, G_IO_IN);
	g_source_set_callback(lan->listen, G_SOURCE_FUNC(on_connection), lan, NULL);
	g_source_attach(lan->listen, context);
	return lan;
}

void lan_free(struct lan *lan)
{
	if (!lan)
		return;
	net_port_free(lan->port);
	if (lan->path)
		unlink(lan->path);
	drop_source(&lan->listen);
	if (lan->listen_fd >= 0)
		close(lan->listen_fd);
	g_ptr_array_unref(lan->peers);
	g_hash_table_unref(lan->owners);
	g_free(lan->path);
	g_free(lan);
}

struct net_port *lan_port(struct lan *lan)
{
	return lan->port;
}

unsigned lan_n_peers(const struct lan *lan)
{
	return lan->peers->len;
}

const char *lan_path(const struct lan *lan)
{
	return lan->path;
}
