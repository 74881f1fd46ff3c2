/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/vnc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <rfb/rfb.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/library.h"
#include "base/local_socket.h"
#include "display/keysym.h"
#include "display/vnc_tls.h"

enum {
	MAX_CLIENTS = 8,
	MAX_EVENTS = 256, /* that wait for the loop thread; then clients wait */
	REFRESH_MS = 33,
	FRESH_MS = 1000,      /* in which the loop brings the picture up to date for a client */
	HANDSHAKE_MS = 10000, /* in which a client has said who it is */
	LOOK_AGAIN_MS = 1000,
	CLIENT_PATIENCE_MS = 5000, /* for a client that does not read, which is then dropped */
	BUTTON_WHEEL_UP = 3,
	BUTTON_WHEEL_DOWN = 4,
	N_BUTTONS = 5,
};

/* What is used of libvncserver, which is loaded with the first server. */
#define LIBVNCSERVER(X)             \
	X(rfbCheckPasswordByList)   \
	X(rfbClientIteratorNext)    \
	X(rfbCloseClient)           \
	X(rfbGetClientIterator)     \
	X(rfbGetScreen)             \
	X(rfbInitServer)            \
	X(rfbLogEnable)             \
	X(rfbMarkRectAsModified)    \
	X(rfbNewClient)             \
	X(rfbNewFramebuffer)        \
	X(rfbProcessEvents)         \
	X(rfbReleaseClientIterator) \
	X(rfbScreenCleanup)         \
	X(rfbShutdownServer)

struct libvncserver {
	LIBVNCSERVER(LIBRARY_MEMBER)
};

struct picture {
	uint32_t *pixels;
	unsigned width, height;
};

/* What a client does, on its way to the loop thread. */
struct event {
	enum input_type type;
	unsigned code;
	int value;
	unsigned x, y, width, height;
};

struct vnc {
	struct libvncserver rfb;
	GMainContext *context;
	struct display *display;
	struct input *input;
	int listen_fd; /* -1: clients come by `tls` */
	int wake_fd;
	struct vnc_tls *tls;
	GThread *thread;
	_Atomic bool stopping;
	_Atomic unsigned n_clients;
	GSource *timer; /* loop thread: while there are clients */
	unsigned seen;	/* loop thread: display_changes() of what `picture` shows */

	GMutex lock; /* of what follows, which both threads use */
	GCond drained;
	struct picture picture;
	unsigned x0, y0, x1, y1; /* changed in it; x1 0: nothing */
	GArray *events;		 /* struct event */
	GArray *newcomers;	 /* int: connections of clients, from `tls` */
	bool stale;	/* a client comes, and the picture is to be brought up to date first */
	GSource *drain; /* attached while there are events, or clients have come */

	/* The server's thread only. */
	rfbScreenInfoPtr screen;
	struct picture shown; /* what is encoded */
	char *passwords[2];
};

/* What a client holds down, to be let go of when it leaves. */
struct client {
	struct vnc *vnc;
	gint64 since_us;
	uint8_t keys[KEY_CNT / 8];
	int buttons;
};

static void wake(struct vnc *vnc)
{
	eventfd_write(vnc->wake_fd, 1);
}

/* The loop thread. */

static void add_damage(struct vnc *vnc, const struct display_rect *rect)
{
	bool none = !vnc->x1;

	vnc->x0 = none ? rect->x : MIN(vnc->x0, rect->x);
	vnc->y0 = none ? rect->y : MIN(vnc->y0, rect->y);
	vnc->x1 = MAX(vnc->x1, rect->x + rect->width);
	vnc->y1 = MAX(vnc->y1, rect->y + rect->height);
}

static void copy_rect(struct picture *to, const uint32_t *from, const struct display_rect *rect)
{
	for (unsigned y = rect->y; y < rect->y + rect->height; y++) {
		size_t at = (size_t)y * to->width + rect->x;

		memcpy(to->pixels + at, from + at, rect->width * sizeof(*from));
	}
}

static void set_size(struct picture *picture, unsigned width, unsigned height)
{
	g_free(picture->pixels);
	*picture = (struct picture){g_new0(uint32_t, (size_t)width * height), width, height};
}

/* Others look at the display, too: what changed when they did is not in what changed now. */
static void refresh(struct vnc *vnc)
{
	bool missed = display_changes(vnc->display) != vnc->seen;
	bool changed;
	struct display_picture now;
	struct display_rect rect;

	changed = display_refresh(vnc->display, &rect);
	vnc->seen = display_changes(vnc->display);
	if (!changed && !missed)
		return;
	display_get_picture(vnc->display, &now);
	g_mutex_lock(&vnc->lock);
	if (now.width != vnc->picture.width || now.height != vnc->picture.height) {
		set_size(&vnc->picture, now.width, now.height);
		vnc->x1 = vnc->y1 = 0;
		missed = true;
	}
	if (missed)
		rect = (struct display_rect){0, 0, now.width, now.height};
	copy_rect(&vnc->picture, now.pixels, &rect);
	add_damage(vnc, &rect);
	g_mutex_unlock(&vnc->lock);
	wake(vnc);
}

static gboolean on_timer(gpointer opaque);

/* While there are clients. From the end of one refresh to the next, so that long ones leave the
 * guest its screen. */
static void start_timer(struct vnc *vnc)
{
	if (vnc->timer || !vnc->n_clients)
		return;
	vnc->timer = g_timeout_source_new(REFRESH_MS);
	g_source_set_callback(vnc->timer, on_timer, vnc, NULL);
	g_source_attach(vnc->timer, vnc->context);
}

static gboolean on_timer(gpointer opaque)
{
	struct vnc *vnc = opaque;

	if (vnc->n_clients)
		refresh(vnc);
	g_clear_pointer(&vnc->timer, g_source_unref);
	start_timer(vnc);
	return G_SOURCE_REMOVE;
}

static void deliver(struct vnc *vnc, const struct event *event)
{
	switch (event->type) {
	case INPUT_KEY:
		input_key(vnc->input, event->code, event->value);
		break;
	case INPUT_BUTTON:
		input_button(vnc->input, event->code, event->value);
		break;
	case INPUT_PLACE:
		input_place(vnc->input, event->x, event->y, event->width, event->height);
		break;
	case INPUT_WHEEL:
		input_wheel(vnc->input, event->value);
		break;
	default:
		g_assert_not_reached();
	}
}

static void freshen(struct vnc *vnc)
{
	bool stale;

	g_mutex_lock(&vnc->lock);
	stale = vnc->stale;
	g_mutex_unlock(&vnc->lock);
	if (!stale)
		return;
	refresh(vnc);
	g_mutex_lock(&vnc->lock);
	vnc->stale = false;
	g_cond_signal(&vnc->drained);
	g_mutex_unlock(&vnc->lock);
}

static gboolean on_drain(gpointer opaque)
{
	struct vnc *vnc = opaque;
	g_autoptr(GArray) events = g_array_new(FALSE, FALSE, sizeof(struct event));
	GArray *taken;

	g_mutex_lock(&vnc->lock);
	taken = vnc->events;
	vnc->events = g_steal_pointer(&events);
	g_clear_pointer(&vnc->drain, g_source_unref);
	g_cond_signal(&vnc->drained);
	g_mutex_unlock(&vnc->lock);
	for (unsigned i = 0; i < taken->len; i++)
		deliver(vnc, &g_array_index(taken, struct event, i));
	g_array_unref(taken);
	freshen(vnc);
	start_timer(vnc);
	return G_SOURCE_REMOVE;
}

/* The server's thread. */

/* Under the lock. */
static void call_loop(struct vnc *vnc)
{
	if (vnc->drain)
		return;
	vnc->drain = g_idle_source_new();
	g_source_set_priority(vnc->drain, G_PRIORITY_DEFAULT);
	g_source_set_callback(vnc->drain, on_drain, vnc, NULL);
	g_source_attach(vnc->drain, vnc->context);
}

/* A client that sends faster than the guest takes waits. */
static void send_event(struct vnc *vnc, const struct event *event)
{
	g_mutex_lock(&vnc->lock);
	while (vnc->events->len >= MAX_EVENTS && !vnc->stopping)
		g_cond_wait(&vnc->drained, &vnc->lock);
	g_array_append_vals(vnc->events, event, 1);
	call_loop(vnc);
	g_mutex_unlock(&vnc->lock);
}

static void send_key(struct client *client, unsigned code, bool down)
{
	uint8_t bit = 1 << code % 8;

	client->keys[code / 8] =
		down ? client->keys[code / 8] | bit : client->keys[code / 8] & ~bit;
	send_event(client->vnc, &(struct event){INPUT_KEY, .code = code, .value = down});
}

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr cl)
{
	unsigned code = keysym_to_key(keysym);

	if (code)
		send_key(cl->clientData, code, down);
}

static void release_keys(rfbClientPtr cl)
{
	struct client *client = cl->clientData;

	for (unsigned code = 0; code < KEY_CNT; code++)
		if (client->keys[code / 8] >> code % 8 & 1)
			send_key(client, code, false);
}

static void send_buttons(struct client *client, int buttons)
{
	static const unsigned codes[] = {BTN_LEFT, BTN_MIDDLE, BTN_RIGHT};

	for (unsigned i = 0; i < N_BUTTONS; i++) {
		bool down = buttons >> i & 1;

		if (!((buttons ^ client->buttons) >> i & 1))
			continue;
		if (i < BUTTON_WHEEL_UP)
			send_event(client->vnc,
				   &(struct event){INPUT_BUTTON, .code = codes[i], .value = down});
		else if (down)
			send_event(client->vnc,
				   &(struct event){INPUT_WHEEL,
						   .value = i == BUTTON_WHEEL_UP ? 1 : -1});
	}
	client->buttons = buttons;
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr cl)
{
	struct client *client = cl->clientData;
	const struct picture *shown = &client->vnc->shown;
	struct event place = {INPUT_PLACE, .x = x, .y = y, .width = shown->width,
			      .height = shown->height};

	send_event(client->vnc, &place);
	send_buttons(client, buttons);
}

static void on_client_gone(rfbClientPtr cl)
{
	struct client *client = cl->clientData;

	release_keys(cl);
	send_buttons(client, 0);
	client->vnc->n_clients--;
	g_free(client);
}

static enum rfbNewClientAction on_client(rfbClientPtr cl)
{
	struct vnc *vnc = cl->screen->screenData;
	struct client *client;

	if (vnc->n_clients == MAX_CLIENTS)
		return RFB_CLIENT_REFUSE;
	client = g_new0(struct client, 1);
	client->vnc = vnc;
	client->since_us = g_get_monotonic_time();
	cl->clientData = client;
	cl->clientGoneHook = on_client_gone;
	vnc->n_clients++;
	g_mutex_lock(&vnc->lock);
	call_loop(vnc);
	g_mutex_unlock(&vnc->lock);
	return RFB_CLIENT_ACCEPT;
}

/* 0x00RRGGBB, as the display has them. */
static void set_format(rfbScreenInfoPtr screen)
{
	screen->serverFormat.redShift = 16;
	screen->serverFormat.greenShift = 8;
	screen->serverFormat.blueShift = 0;
	screen->serverFormat.depth = 24;
}

/* Takes over what the loop thread has left. */
static void take_picture(struct vnc *vnc)
{
	struct display_rect rect;
	bool resized;

	g_mutex_lock(&vnc->lock);
	rect = (struct display_rect){vnc->x0, vnc->y0, vnc->x1 - vnc->x0, vnc->y1 - vnc->y0};
	resized =
		vnc->picture.width != vnc->shown.width || vnc->picture.height != vnc->shown.height;
	if (resized)
		set_size(&vnc->shown, vnc->picture.width, vnc->picture.height);
	if (vnc->x1)
		copy_rect(&vnc->shown, vnc->picture.pixels, &rect);
	vnc->x0 = vnc->y0 = vnc->x1 = vnc->y1 = 0;
	g_mutex_unlock(&vnc->lock);
	if (resized) {
		vnc->rfb.rfbNewFramebuffer(vnc->screen, (char *)vnc->shown.pixels, vnc->shown.width,
					   vnc->shown.height, 8, 3, 4);
		set_format(vnc->screen);
	} else if (rect.width) {
		vnc->rfb.rfbMarkRectAsModified(vnc->screen, rect.x, rect.y, rect.x + rect.width,
					       rect.y + rect.height);
	}
}

/* The first thing a client hears is the screen's size, and not all can be told of another later. */
static void wait_for_picture(struct vnc *vnc)
{
	gint64 deadline = g_get_monotonic_time() + FRESH_MS * 1000;

	g_mutex_lock(&vnc->lock);
	vnc->stale = true;
	call_loop(vnc);
	while (vnc->stale && !vnc->stopping &&
	       g_cond_wait_until(&vnc->drained, &vnc->lock, deadline))
		;
	g_mutex_unlock(&vnc->lock);
	take_picture(vnc);
}

/* The next connection, or -1. */
static int take_connection(struct vnc *vnc)
{
	int fd = -1;

	if (!vnc->tls)
		return local_socket_accept(vnc->listen_fd);
	g_mutex_lock(&vnc->lock);
	if (vnc->newcomers->len) {
		fd = g_array_index(vnc->newcomers, int, 0);
		g_array_remove_index(vnc->newcomers, 0);
	}
	g_mutex_unlock(&vnc->lock);
	return fd;
}

static void accept_clients(struct vnc *vnc)
{
	int fd;

	for (unsigned n = 0; n < MAX_CLIENTS && (fd = take_connection(vnc)) >= 0; n++) {
		wait_for_picture(vnc);
		vnc->rfb.rfbNewClient(vnc->screen, fd);
	}
}

/* A peer that does not introduce itself keeps its place from others for so long only. Returns
 * whether there are any. */
static bool drop_strangers(struct vnc *vnc)
{
	gint64 too_long_ago = g_get_monotonic_time() - HANDSHAKE_MS * 1000;
	rfbClientIteratorPtr iterator = vnc->rfb.rfbGetClientIterator(vnc->screen);
	bool any = false;
	rfbClientPtr cl;

	while ((cl = vnc->rfb.rfbClientIteratorNext(iterator))) {
		const struct client *client = cl->clientData;

		if (cl->state == RFB_NORMAL || !client)
			continue;
		any = true;
		if (client->since_us < too_long_ago)
			vnc->rfb.rfbCloseClient(cl);
	}
	vnc->rfb.rfbReleaseClientIterator(iterator);
	return any;
}

/* Until there is something to do. */
static void wait_for_work(struct vnc *vnc)
{
	int timeout_ms = drop_strangers(vnc) ? LOOK_AGAIN_MS : -1;
	struct pollfd fds[2 + MAX_CLIENTS] = {{vnc->wake_fd, POLLIN}, {vnc->listen_fd, POLLIN}};
	rfbClientIteratorPtr iterator = vnc->rfb.rfbGetClientIterator(vnc->screen);
	eventfd_t unused;
	rfbClientPtr cl;
	nfds_t n = 2;

	while ((cl = vnc->rfb.rfbClientIteratorNext(iterator)) && n < G_N_ELEMENTS(fds))
		fds[n++] = (struct pollfd){cl->sock, POLLIN};
	vnc->rfb.rfbReleaseClientIterator(iterator);
	poll(fds, n, timeout_ms);
	if (fds[0].revents)
		eventfd_read(vnc->wake_fd, &unused);
	accept_clients(vnc);
}

static gpointer serve(gpointer opaque)
{
	struct vnc *vnc = opaque;
	sigset_t pipe;

	/* The library writes to sockets that may be closed. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	while (!vnc->stopping) {
		wait_for_work(vnc);
		take_picture(vnc);
		vnc->rfb.rfbProcessEvents(vnc->screen, 0);
	}
	return NULL;
}

static void set_up_screen(struct vnc *vnc, const char *password)
{
	rfbScreenInfoPtr screen;

	vnc->rfb.rfbLogEnable(0);
	screen = vnc->rfb.rfbGetScreen(NULL, NULL, vnc->shown.width, vnc->shown.height, 8, 3, 4);
	g_assert(screen);
	set_format(screen);
	screen->screenData = vnc;
	screen->frameBuffer = (char *)vnc->shown.pixels;
	screen->desktopName = "Vivarium";
	screen->autoPort = FALSE;
	screen->port = screen->ipv6port = -1; /* we listen */
	screen->ignoreSIGPIPE = FALSE;	      /* the process's signals are not the library's */
	screen->alwaysShared = TRUE;
	screen->deferUpdateTime = 0;
	screen->maxClientWait = CLIENT_PATIENCE_MS;
	screen->cursor = NULL; /* the guest draws its own */
	screen->kbdAddEvent = on_key;
	screen->kbdReleaseAllKeys = release_keys;
	screen->ptrAddEvent = on_pointer;
	screen->newClientHook = on_client;
	if (password) {
		vnc->passwords[0] = g_strdup(password);
		screen->authPasswdData = vnc->passwords;
		screen->passwordCheck = vnc->rfb.rfbCheckPasswordByList;
	}
	vnc->rfb.rfbInitServer(screen);
	vnc->screen = screen;
}

/* On any thread. */
static void add_newcomer(void *opaque, int fd)
{
	struct vnc *vnc = opaque;

	g_mutex_lock(&vnc->lock);
	g_array_append_val(vnc->newcomers, fd);
	g_mutex_unlock(&vnc->lock);
	wake(vnc);
}

struct vnc *vnc_new(GMainContext *context, struct display *display, struct input *input,
		    int listen_fd, const char *password, GTlsCertificate *certificate,
		    GError **error)
{
	static const char *const names[] = {LIBVNCSERVER(LIBRARY_NAME)};
	struct display_picture now;
	struct libvncserver rfb;
	struct vnc *vnc;

	if (!library_load("libvncserver.so.1", names, G_N_ELEMENTS(names), &rfb, error)) {
		close(listen_fd);
		return NULL;
	}
	display_get_picture(display, &now);
	vnc = g_new0(struct vnc, 1);
	vnc->rfb = rfb;
	vnc->context = g_main_context_ref(context);
	vnc->display = display;
	vnc->input = input;
	vnc->listen_fd = certificate ? -1 : listen_fd;
	vnc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g_assert(vnc->wake_fd >= 0);
	vnc->seen = display_changes(display) - 1; /* nothing yet */
	vnc->events = g_array_new(FALSE, FALSE, sizeof(struct event));
	vnc->newcomers = g_array_new(FALSE, FALSE, sizeof(int));
	g_mutex_init(&vnc->lock);
	g_cond_init(&vnc->drained);
	set_size(&vnc->picture, now.width, now.height);
	set_size(&vnc->shown, now.width, now.height);
	set_up_screen(vnc, password);
	if (certificate)
		vnc->tls = vnc_tls_new(context, listen_fd, certificate, password != NULL,
				       add_newcomer, vnc);
	vnc->thread = g_thread_new("vnc", serve, vnc);
	return vnc;
}

static void drop_source(GSource *source)
{
	if (!source)
		return;
	g_source_destroy(source);
	g_source_unref(source);
}

void vnc_free(struct vnc *vnc)
{
	if (!vnc)
		return;
	g_mutex_lock(&vnc->lock);
	vnc->stopping = true;
	g_cond_signal(&vnc->drained);
	g_mutex_unlock(&vnc->lock);
	wake(vnc);
	g_thread_join(vnc->thread);
	vnc_tls_free(vnc->tls);
	for (unsigned i = 0; i < vnc->newcomers->len; i++)
		close(g_array_index(vnc->newcomers, int, i));
	g_array_unref(vnc->newcomers);
	vnc->rfb.rfbShutdownServer(vnc->screen, TRUE);
	vnc->rfb.rfbScreenCleanup(vnc->screen);
	drop_source(vnc->timer);
	drop_source(vnc->drain);
	/* What a client still held down is let go of. */
	for (unsigned i = 0; i < vnc->events->len; i++)
		deliver(vnc, &g_array_index(vnc->events, struct event, i));
	g_array_unref(vnc->events);
	if (vnc->listen_fd >= 0)
		close(vnc->listen_fd);
	close(vnc->wake_fd);
	g_free(vnc->picture.pixels);
	g_free(vnc->shown.pixels);
	g_free(vnc->passwords[0]);
	g_cond_clear(&vnc->drained);
	g_mutex_clear(&vnc->lock);
	g_main_context_unref(vnc->context);
	g_free(vnc);
}
