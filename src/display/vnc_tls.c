/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/vnc_tls.h"

#include <glib-unix.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/be.h"
#include "base/error.h"
#include "base/local_socket.h"

enum {
	MAX_VIEWERS = 8,
	PATIENCE_S = 10, /* with a viewer that has not come through the handshake */
	RELAY_CHUNK = 64 << 10,
};

/* RFC 6143, 7.1; the VeNCrypt extension in the RFB community's specification. */
#define VERSION "RFB 003.008\n"
enum {
	VERSION_LEN = 12,
	SECURITY_NONE = 1,
	SECURITY_VNC = 2,
	SECURITY_VENCRYPT = 19,
	VENCRYPT_X509_NONE = 260,
	VENCRYPT_X509_VNC = 261,
};

struct vnc_tls {
	GTlsCertificate *certificate;
	bool password;
	void (*serve)(void *opaque, int fd);
	void *opaque;
	int listen_fd;
	GSource *source, *timer; /* the timer looks after viewers while there are any; NULL: there are none */
	GPtrArray *viewers;	 /* struct viewer */
};

struct viewer {
	struct vnc_tls *tls;
	GThread *thread;
	gint64 deadline_us; /* of the handshake */
	GCancellable *cancel;
	_Atomic bool established, gone;
	/* The thread's, until it has established or is gone: to the viewer; to the server; TLS on `outer`. */
	GSocketConnection *outer, *inner;
	GIOStream *session;
};

GTlsCertificate *vnc_tls_load(const char *path, GError **error)
{
	g_autoptr(GError) why = NULL;
	GTlsCertificate *certificate;

	if (!g_tls_backend_supports_tls(g_tls_backend_get_default())) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "this host's GLib has no TLS; install the package glib-networking");
		return NULL;
	}
	certificate = g_tls_certificate_new_from_file(path, &why);
	if (!certificate)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' holds no certificate with its key: %s; make one with: openssl req -x509 -newkey "
			    "rsa:2048 -nodes -subj /CN=localhost -keyout '%s' -out cert.pem && cat cert.pem >> '%s'",
			    path, why->message, path, path);
	return certificate;
}

static bool get(struct viewer *viewer, gpointer stream, void *buf, gsize len)
{
	GInputStream *in = g_io_stream_get_input_stream(stream);
	gsize n;

	return g_input_stream_read_all(in, buf, len, &n, viewer->cancel, NULL) && n == len;
}

static bool put(struct viewer *viewer, gpointer stream, const void *buf, gsize len)
{
	GOutputStream *out = g_io_stream_get_output_stream(stream);

	return g_output_stream_write_all(out, buf, len, NULL, viewer->cancel, NULL);
}

/* Up to where the viewer has agreed to TLS. */
static bool greet(struct viewer *viewer)
{
	static const uint8_t types[] = {1, SECURITY_VENCRYPT}, version[] = {0, 2}, good[] = {0};
	uint32_t subtype = viewer->tls->password ? VENCRYPT_X509_VNC : VENCRYPT_X509_NONE;
	uint8_t subtypes[5] = {1}, buf[VERSION_LEN];
	GSocketConnection *outer = viewer->outer;

	be32_store(subtypes + 1, subtype);
	return put(viewer, outer, VERSION, VERSION_LEN) && get(viewer, outer, buf, VERSION_LEN) &&
	       !memcmp(buf, VERSION, VERSION_LEN) && put(viewer, outer, types, sizeof(types)) && get(viewer, outer, buf, 1) &&
	       buf[0] == SECURITY_VENCRYPT && put(viewer, outer, version, sizeof(version)) && get(viewer, outer, buf, 2) &&
	       !memcmp(buf, version, sizeof(version)) && put(viewer, outer, good, 1) &&
	       put(viewer, outer, subtypes, sizeof(subtypes)) && get(viewer, outer, buf, 4) && be32_load(buf) == subtype &&
	       put(viewer, outer, (uint8_t[]){1}, 1);
}

/* Up to where the server would ask for a password, or says that all is well. */
static bool introduce(struct viewer *viewer)
{
	uint8_t type = viewer->tls->password ? SECURITY_VNC : SECURITY_NONE;
	GSocketConnection *inner = viewer->inner;
	uint8_t buf[256];

	return get(viewer, inner, buf, VERSION_LEN) && put(viewer, inner, VERSION, VERSION_LEN) && get(viewer, inner, buf, 1) &&
	       get(viewer, inner, buf + 1, buf[0]) && memchr(buf + 1, type, buf[0]) && put(viewer, inner, &type, 1);
}

/* One direction's end is the other's, too. */
static void relay(struct viewer *viewer, gpointer from, gpointer to)
{
	GInputStream *in = g_io_stream_get_input_stream(from);
	g_autofree uint8_t *buf = g_malloc(RELAY_CHUNK);
	gssize n;

	do
		n = g_input_stream_read(in, buf, RELAY_CHUNK, viewer->cancel, NULL);
	while (n > 0 && put(viewer, to, buf, n));
	g_cancellable_cancel(viewer->cancel);
}

static gpointer relay_to_viewer(gpointer opaque)
{
	struct viewer *viewer = opaque;

	relay(viewer, viewer->inner, viewer->session);
	return NULL;
}

static GSocketConnection *connection_of(int fd)
{
	g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);

	g_assert(socket); /* it is one */
	return g_socket_connection_factory_create_connection(socket);
}

/* The server's end of a new socket pair goes to the server. */
static bool connect_server(struct viewer *viewer)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return false;
	viewer->inner = connection_of(fds[0]);
	viewer->tls->serve(viewer->tls->opaque, fds[1]);
	return true;
}

static bool start_tls(struct viewer *viewer)
{
	viewer->session =
		g_tls_server_connection_new(G_IO_STREAM(viewer->outer), viewer->tls->certificate, NULL);
	return viewer->session &&
	       g_tls_connection_handshake(G_TLS_CONNECTION(viewer->session), viewer->cancel, NULL);
}

static gpointer run_viewer(gpointer opaque)
{
	struct viewer *viewer = opaque;
	GThread *other;

	if (greet(viewer) && start_tls(viewer) && connect_server(viewer) && introduce(viewer)) {
		viewer->established = true;
		other = g_thread_new("vnc-tls-out", relay_to_viewer, viewer);
		relay(viewer, viewer->session, viewer->inner);
		g_thread_join(other);
	}
	viewer->gone = true;
	return NULL;
}

static void viewer_free(gpointer opaque)
{
	struct viewer *viewer = opaque;

	g_cancellable_cancel(viewer->cancel);
	g_thread_join(viewer->thread);
	g_clear_object(&viewer->session);
	g_clear_object(&viewer->inner);
	g_object_unref(viewer->outer);
	g_object_unref(viewer->cancel);
	g_free(viewer);
}

/* Whether a viewer's place is free for another: it has left, it has not come through the handshake, or the server has
 * given it up, since it does not read. */
static bool is_over(const struct viewer *viewer)
{
	if (viewer->gone)
		return true;
	if (!viewer->established)
		return g_get_monotonic_time() > viewer->deadline_us;
	return g_socket_condition_check(g_socket_connection_get_socket(viewer->inner), G_IO_HUP) & G_IO_HUP;
}

static gboolean look_after_viewers(gpointer opaque)
{
	struct vnc_tls *tls = opaque;

	for (unsigned i = tls->viewers->len; i-- > 0;)
		if (is_over(tls->viewers->pdata[i]))
			g_ptr_array_remove_index_fast(tls->viewers, i);
	if (tls->viewers->len)
		return G_SOURCE_CONTINUE;
	g_clear_pointer(&tls->timer, g_source_unref);
	return G_SOURCE_REMOVE;
}

static gboolean on_connection(int listen_fd, GIOCondition condition, gpointer opaque)
{
	struct vnc_tls *tls = opaque;
	int fd = local_socket_accept(listen_fd);
	struct viewer *viewer;

	look_after_viewers(tls);
	if (fd < 0)
		return G_SOURCE_CONTINUE;
	if (tls->viewers->len == MAX_VIEWERS) {
		close(fd);
		return G_SOURCE_CONTINUE;
	}
	viewer = g_new0(struct viewer, 1);
	viewer->tls = tls;
	viewer->deadline_us = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
	viewer->cancel = g_cancellable_new();
	viewer->outer = connection_of(fd);
	viewer->thread = g_thread_new("vnc-tls", run_viewer, viewer);
	g_ptr_array_add(tls->viewers, viewer);
	if (!tls->timer) {
		tls->timer = g_timeout_source_new_seconds(1);
		g_source_set_callback(tls->timer, look_after_viewers, tls, NULL);
		g_source_attach(tls->timer, g_source_get_context(tls->source));
	}
	return G_SOURCE_CONTINUE;
}

struct vnc_tls *vnc_tls_new(GMainContext *context, int listen_fd, GTlsCertificate *certificate, bool password,
			    void (*serve)(void *opaque, int fd), void *opaque)
{
	struct vnc_tls *tls = g_new0(struct vnc_tls, 1);

	tls->certificate = g_object_ref(certificate);
	tls->password = password;
	tls->serve = serve;
	tls->opaque = opaque;
	tls->listen_fd = listen_fd;
	tls->viewers = g_ptr_array_new_with_free_func(viewer_free);
	tls->source = g_unix_fd_source_new(listen_fd, G_IO_IN);
	g_source_set_callback(tls->source, G_SOURCE_FUNC(on_connection), tls, NULL);
	g_source_attach(tls->source, context);
	return tls;
}

void vnc_tls_free(struct vnc_tls *tls)
{
	if (!tls)
		return;
	g_ptr_array_unref(tls->viewers);
	if (tls->timer) {
		g_source_destroy(tls->timer);
		g_source_unref(tls->timer);
	}
	g_source_destroy(tls->source);
	g_source_unref(tls->source);
	close(tls->listen_fd);
	g_object_unref(tls->certificate);
	g_free(tls);
}
