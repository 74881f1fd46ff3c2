/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libslirp on our loop. It is the one that names the file descriptors to poll, anew each time, in an order
 * that seldom changes: those of last time are kept and compared.
 *
 * It takes TCP packets of 64 KiB from the guest as they are; what it sends has its MTU.
 */
#include "net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <libslirp.h>
#include <string.h>

#include "base/error.h"
#include "net/net.h"
#include "net/packet.h"

/* A free port may be taken between our look and libslirp's. */
#define PORT_TRIES 16

struct user_net {
	GSource source;
	Slirp *slirp;
	GMainContext *context;
	struct net_port *port;
	struct in_addr guest;
	GPtrArray *fds; /* GPollFD, in libslirp's order */
	unsigned n_polled;
	int64_t deadline_us; /* of its timers */
};

struct timer {
	GSource source;
	struct user_net *net;
	SlirpTimerId id;
	void *opaque;
};

static ssize_t send_packet(const void *bytes, size_t len, void *opaque)
{
	net_send(((struct user_net *)opaque)->port, bytes, len);
	return len;
}

static void on_guest_error(const char *message, void *opaque)
{
}

static int64_t get_time_ns(void *opaque)
{
	return g_get_monotonic_time() * 1000;
}

static gboolean run_timer(GSource *source, GSourceFunc callback, gpointer data)
{
	struct timer *timer = (struct timer *)source;

	g_source_set_ready_time(source, -1);
	slirp_handle_timer(timer->net->slirp, timer->id, timer->opaque);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = {.dispatch = run_timer};

static void *new_timer(SlirpTimerId id, void *timer_opaque, void *opaque)
{
	struct timer *timer = (struct timer *)g_source_new(&timer_funcs, sizeof(struct timer));

	timer->net = opaque;
	timer->id = id;
	timer->opaque = timer_opaque;
	g_source_attach(&timer->source, timer->net->context);
	return timer;
}

static void free_timer(void *opaque, void *net)
{
	struct timer *timer = opaque;

	g_source_destroy(&timer->source);
	g_source_unref(&timer->source);
}

static void set_timer(void *timer, int64_t expire_ms, void *net)
{
	g_source_set_ready_time(&((struct timer *)timer)->source, expire_ms * 1000);
}

static void on_poll_fd(int fd, void *opaque)
{
}

/* Descriptors are asked for in each turn of the loop, whose thread it is that calls. */
static void on_notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = get_time_ns,
	.timer_new_opaque = new_timer,
	.timer_free = free_timer,
	.timer_mod = set_timer,
	.register_poll_fd = on_poll_fd,
	.unregister_poll_fd = on_poll_fd,
	.notify = on_notify,
};

static const struct {
	int slirp;
	GIOCondition glib;
} events[] = {
	{SLIRP_POLL_IN, G_IO_IN},   {SLIRP_POLL_OUT, G_IO_OUT}, {SLIRP_POLL_PRI, G_IO_PRI},
	{SLIRP_POLL_ERR, G_IO_ERR}, {SLIRP_POLL_HUP, G_IO_HUP},
};

static int add_poll(int fd, int wanted, void *opaque)
{
	struct user_net *net = opaque;
	unsigned index = net->n_polled++;
	GPollFD *poll;

	if (index == net->fds->len)
		g_ptr_array_add(net->fds, g_memdup2(&(GPollFD){.fd = -1}, sizeof(GPollFD)));
	poll = net->fds->pdata[index];
	if (poll->fd != fd) {
		if (poll->fd >= 0)
			g_source_remove_poll(&net->source, poll);
		poll->fd = fd;
		g_source_add_poll(&net->source, poll);
	}
	poll->events = poll->revents = 0;
	for (size_t i = 0; i < G_N_ELEMENTS(events); i++)
		if (wanted & events[i].slirp)
			poll->events |= events[i].glib;
	return index;
}

static gboolean prepare(GSource *source, gint *timeout)
{
	struct user_net *net = (struct user_net *)source;
	uint32_t wait_ms = UINT32_MAX;

	net->n_polled = 0;
	slirp_pollfds_fill(net->slirp, &wait_ms, add_poll, net);
	for (unsigned i = net->n_polled; i < net->fds->len; i++)
		g_source_remove_poll(source, net->fds->pdata[i]);
	g_ptr_array_set_size(net->fds, net->n_polled);
	net->deadline_us = wait_ms > G_MAXINT ? G_MAXINT64 : g_source_get_time(source) + wait_ms * 1000ll;
	*timeout = wait_ms > G_MAXINT ? -1 : (gint)wait_ms;
	return wait_ms == 0;
}

static int get_events(int index, void *opaque)
{
	struct user_net *net = opaque;
	const GPollFD *poll = index >= 0 && index < net->fds->len ? net->fds->pdata[index] : NULL;
	int got = 0;

	for (size_t i = 0; poll && i < G_N_ELEMENTS(events); i++)
		if (poll->revents & events[i].glib)
			got |= events[i].slirp;
	return got;
}

static gboolean check(GSource *source)
{
	struct user_net *net = (struct user_net *)source;

	for (unsigned i = 0; i < net->fds->len; i++)
		if (((GPollFD *)net->fds->pdata[i])->revents)
			return TRUE;
	return g_source_get_time(source) >= net->deadline_us;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	struct user_net *net = (struct user_net *)source;

	slirp_pollfds_poll(net->slirp, 0, get_events, net);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {prepare, check, dispatch};

/* What has headers that contradict each other is not for libslirp's eyes. */
static bool on_receive(void *opaque, const uint8_t *frame, size_t len, const struct net_offload *offload)
{
	struct user_net *net = opaque;
	struct packet packet;

	if (packet_parse(&packet, frame, len, false) && packet.kind != PACKET_OTHER && !packet.tagged)
		slirp_input(net->slirp, frame, len);
	return true;
}

static struct in_addr host_number(const struct user_config *config, uint32_t number)
{
	return (struct in_addr){htonl(ntohl(config->network.s_addr) + number)};
}

void user_config_init(struct user_config *config)
{
	*config = (struct user_config){.prefix = 24, .mtu = USER_NET_MTU_DEFAULT};
	inet_aton("10.0.2.0", &config->network);
}

struct user_net *user_net_new(GMainContext *context, const struct user_config *config)
{
	struct user_net *net = (struct user_net *)g_source_new(&source_funcs, sizeof(struct user_net));
	struct net_receiver receiver = {
		.receive = on_receive, .opaque = net, .offloads = NET_CAN_TSO4 | NET_CAN_TSO6};
	SlirpConfig slirp = {
		.version = 4,
		.restricted = config->restricted,
		.in_enabled = true,
		.vnetwork = config->network,
		.vnetmask = {htonl(UINT32_MAX << (32 - config->prefix))},
		.vhost = host_number(config, 2),
		.vnameserver = host_number(config, 3),
		.vdhcp_start = host_number(config, 15),
		.in6_enabled = !config->no_ipv6,
		.vprefix_len = 64,
		.vhostname = config->hostname,
		.tftp_path = config->tftp,
		.bootfile = config->bootfile,
		.vdnssearch = (const char **)config->search,
		.if_mtu = config->mtu,
		.if_mru = config->mtu,
		.disable_host_loopback = config->no_host,
	};

	inet_pton(AF_INET6, "fec0::", &slirp.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &slirp.vhost6);
	inet_pton(AF_INET6, "fec0::3", &slirp.vnameserver6);
	net->context = context;
	net->fds = g_ptr_array_new_with_free_func(g_free);
	net->guest = slirp.vdhcp_start;
	net->port = net_port_new(context);
	net_set_receiver(net->port, &receiver);
	net->slirp = slirp_new(&slirp, &callbacks, net);
	g_assert(net->slirp); /* it refuses versions and MTUs only */
	g_source_attach(&net->source, context);
	return net;
}

void user_net_free(struct user_net *net)
{
	if (!net)
		return;
	net_port_free(net->port);
	net->port = NULL;
	g_source_destroy(&net->source);
	slirp_cleanup(net->slirp);
	g_ptr_array_unref(net->fds);
	g_source_unref(&net->source);
}

struct net_port *user_net_port(struct user_net *net)
{
	return net->port;
}

struct in_addr user_net_guest(const struct user_net *net)
{
	return net->guest;
}

/* libslirp would not tell which it got. 0, with errno set, where there is none. */
static uint16_t find_port(const struct user_forward *forward)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = forward->host};
	int fd = socket(AF_INET, (forward->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);
	bool good = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		    getsockname(fd, (struct sockaddr *)&address, &len) == 0;

	if (fd >= 0)
		g_close(fd, NULL);
	return good ? ntohs(address.sin_port) : 0;
}

bool user_net_forward(struct user_net *net, struct user_forward *forward, GError **error)
{
	char host[INET_ADDRSTRLEN];

	for (unsigned i = 0; i < (forward->host_port ? 1 : PORT_TRIES); i++) {
		uint16_t port = forward->host_port ? forward->host_port : find_port(forward);

		if (port && slirp_add_hostfwd(net->slirp, forward->udp, forward->host, port, net->guest,
					      forward->guest_port) == 0) {
			forward->host_port = port;
			return true;
		}
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "port %u of %s cannot be forwarded: %s; %s",
		    forward->host_port, inet_ntop(AF_INET, &forward->host, host, sizeof(host)),
		    g_strerror(errno),
		    errno == EACCES ? "give one from 1024 on" : "give another, or 0 for a free one");
	return false;
}

static bool parse_port(const char *text, uint64_t min, uint16_t *port)
{
	guint64 value;

	if (!g_ascii_string_to_unsigned(text, 10, min, UINT16_MAX, &value, NULL))
		return false;
	*port = value;
	return true;
}

bool user_forward_parse(struct user_forward *forward, const char *text, GError **error)
{
	const char *slash = strchr(text, '/');
	g_autofree char *ports = g_strndup(text, slash ? slash - text : strlen(text));
	g_auto(GStrv) words = g_strsplit(ports, ":", 4);
	unsigned n = g_strv_length(words);

	*forward = (struct user_forward){.host = {htonl(INADDR_LOOPBACK)},
					 .udp = slash && !strcmp(slash, "/udp")};
	if ((!slash || forward->udp || !strcmp(slash, "/tcp")) && (n == 2 || n == 3) &&
	    (n == 2 || inet_pton(AF_INET, words[0], &forward->host) == 1) &&
	    parse_port(words[n - 2], 0, &forward->host_port) &&
	    parse_port(words[n - 1], 1, &forward->guest_port))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is no forwarded port; write it like 8080:80, 127.0.0.1:5353:53/udp or 0:22", text);
	return false;
}
