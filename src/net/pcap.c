/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of pcapng: a section header, a description of each interface, and an enhanced packet block for each frame. */
#include "net/pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "net/net.h"

#define MAX_PENDING (16u << 20)
#define END_MS	    1000

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_ETHERNET = 1,
	OPTION_END = 0,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_EPB_FLAGS = 2,
	FLAGS_INBOUND = 1,
	FLAGS_OUTBOUND = 2,
};

struct watched {
	struct pcap *pcap;
	unsigned index;
	char *name;
};

struct pcap {
	struct watched ports[PCAP_MAX_PORTS];
	unsigned n_ports;
	char *path; /* NULL: none runs */
	int fd;
	GThread *thread;
	uint64_t frames, dropped;
	GMutex lock; /* of the rest */
	GCond changed;
	GByteArray *pending;
	bool ending, failed;
};

static void append16(GByteArray *out, uint16_t value)
{
	uint8_t bytes[2];

	le16_store(bytes, value);
	g_byte_array_append(out, bytes, sizeof(bytes));
}

static void append32(GByteArray *out, uint32_t value)
{
	uint8_t bytes[4];

	le32_store(bytes, value);
	g_byte_array_append(out, bytes, sizeof(bytes));
}

static void append_padded(GByteArray *out, const void *bytes, size_t len)
{
	static const uint8_t zero[4];

	g_byte_array_append(out, bytes, len);
	g_byte_array_append(out, zero, -len % 4);
}

static void append_option(GByteArray *out, uint16_t code, const void *value, uint16_t len)
{
	append16(out, code);
	append16(out, len);
	append_padded(out, value, len);
}

/* The length stands at both ends. */
static size_t begin_block(GByteArray *out, uint32_t type)
{
	append32(out, type);
	append32(out, 0);
	return out->len - 8;
}

static void end_block(GByteArray *out, size_t start)
{
	uint32_t len = out->len - start + 4;

	le32_store(out->data + start + 4, len);
	append32(out, len);
}

static void append_section(GByteArray *out)
{
	size_t start = begin_block(out, BLOCK_SECTION);

	append32(out, BYTE_ORDER_MAGIC);
	append16(out, 1); /* version 1.0 */
	append16(out, 0);
	append32(out, UINT32_MAX); /* the section's length is not told */
	append32(out, UINT32_MAX);
	end_block(out, start);
}

static void append_interface(GByteArray *out, const char *name)
{
	size_t start = begin_block(out, BLOCK_INTERFACE);
	const uint8_t nanoseconds = 9;

	append16(out, LINKTYPE_ETHERNET);
	append16(out, 0);
	append32(out, NET_GSO_FRAME_MAX);
	append_option(out, OPTION_IF_NAME, name, strlen(name));
	append_option(out, OPTION_IF_TSRESOL, &nanoseconds, 1);
	append_option(out, OPTION_END, NULL, 0);
	end_block(out, start);
}

static void append_frame(GByteArray *out, unsigned interface, bool outbound, const uint8_t *frame, size_t len)
{
	size_t start = begin_block(out, BLOCK_PACKET);
	struct timespec now;
	uint64_t now_ns;
	uint8_t flags[4];

	clock_gettime(CLOCK_REALTIME, &now);
	now_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	le32_store(flags, outbound ? FLAGS_OUTBOUND : FLAGS_INBOUND);
	append32(out, interface);
	append32(out, now_ns >> 32);
	append32(out, now_ns);
	append32(out, len);
	append32(out, len);
	append_padded(out, frame, len);
	append_option(out, OPTION_EPB_FLAGS, flags, sizeof(flags));
	append_option(out, OPTION_END, NULL, 0);
	end_block(out, start);
}

static bool is_ending(struct pcap *pcap)
{
	bool ending;

	g_mutex_lock(&pcap->lock);
	ending = pcap->ending;
	g_mutex_unlock(&pcap->lock);
	return ending;
}

/* The file may be a pipe whose reader takes its time. */
static bool write_all(struct pcap *pcap, const uint8_t *bytes, size_t len)
{
	struct pollfd poll_fd = {.fd = pcap->fd, .events = POLLOUT};

	for (size_t at = 0; at < len;) {
		ssize_t n = write(pcap->fd, bytes + at, len - at);

		if (n >= 0)
			at += n;
		else if (errno == EAGAIN && poll(&poll_fd, 1, END_MS) == 0 && is_ending(pcap))
			return false;
		else if (errno != EAGAIN && errno != EINTR)
			return false;
	}
	return true;
}

static gpointer write_pending(gpointer data)
{
	struct pcap *pcap = data;
	bool good = true, ending = false;

	while (good && !ending) {
		GByteArray *taken;

		g_mutex_lock(&pcap->lock);
		while (!pcap->pending->len && !pcap->ending)
			g_cond_wait(&pcap->changed, &pcap->lock);
		taken = pcap->pending;
		pcap->pending = g_byte_array_new();
		ending = pcap->ending;
		g_mutex_unlock(&pcap->lock);
		good = write_all(pcap, taken->data, taken->len);
		g_byte_array_unref(taken);
	}
	g_mutex_lock(&pcap->lock);
	pcap->failed = !good;
	g_mutex_unlock(&pcap->lock);
	return NULL;
}

static enum net_verdict look(void *opaque, enum net_direction direction, const uint8_t *frame, size_t len,
			     const struct net_offload *offload)
{
	struct watched *watched = opaque;
	struct pcap *pcap = watched->pcap;

	if (!pcap->path)
		return NET_PASS;
	g_mutex_lock(&pcap->lock);
	if (pcap->failed || pcap->pending->len + len > MAX_PENDING) {
		pcap->dropped++;
	} else {
		append_frame(pcap->pending, watched->index, direction == NET_OUT, frame, len);
		pcap->frames++;
		g_cond_signal(&pcap->changed);
	}
	g_mutex_unlock(&pcap->lock);
	return NET_PASS;
}

struct pcap *pcap_new(void)
{
	struct pcap *pcap = g_new0(struct pcap, 1);

	g_mutex_init(&pcap->lock);
	g_cond_init(&pcap->changed);
	return pcap;
}

void pcap_free(struct pcap *pcap)
{
	if (!pcap)
		return;
	pcap_stop(pcap);
	for (unsigned i = 0; i < pcap->n_ports; i++)
		g_free(pcap->ports[i].name);
	g_mutex_clear(&pcap->lock);
	g_cond_clear(&pcap->changed);
	g_free(pcap);
}

void pcap_watch(struct pcap *pcap, struct net_port *port, const char *name)
{
	struct watched *watched = &pcap->ports[pcap->n_ports];

	g_assert(pcap->n_ports < PCAP_MAX_PORTS && !pcap->path);
	*watched = (struct watched){pcap, pcap->n_ports++, g_strdup(name)};
	net_add_filter(port, &(struct net_filter){look, watched});
}

bool pcap_start(struct pcap *pcap, const char *path, GError **error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "cannot write '%s': %s; %s", path,
			    g_strerror(errno),
			    errno == ENXIO ? "start what reads from the pipe first"
					   : "name a file that can be written");
		return false;
	}
	pcap_stop(pcap);
	pcap->path = g_strdup(path);
	pcap->fd = fd;
	pcap->frames = pcap->dropped = 0;
	pcap->ending = pcap->failed = false;
	pcap->pending = g_byte_array_new();
	append_section(pcap->pending);
	for (unsigned i = 0; i < pcap->n_ports; i++)
		append_interface(pcap->pending, pcap->ports[i].name);
	pcap->thread = g_thread_new("pcap", write_pending, pcap);
	return true;
}

void pcap_stop(struct pcap *pcap)
{
	if (!pcap->path)
		return;
	g_mutex_lock(&pcap->lock);
	pcap->ending = true;
	g_cond_signal(&pcap->changed);
	g_mutex_unlock(&pcap->lock);
	g_thread_join(pcap->thread);
	close(pcap->fd);
	g_byte_array_unref(pcap->pending);
	g_clear_pointer(&pcap->path, g_free);
}

const char *pcap_path(const struct pcap *pcap)
{
	return pcap->path;
}

uint64_t pcap_frames(const struct pcap *pcap)
{
	return pcap->frames;
}

uint64_t pcap_dropped(const struct pcap *pcap)
{
	return pcap->dropped;
}
