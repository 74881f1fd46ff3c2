/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/typist.h"

#include "base/error.h"

#define STROKE_MS 25
#define MAX_QUEUE 65536u

struct typist {
	GMainContext *context;
	struct input *input;
	GArray *queue;	/* struct keys */
	unsigned next;	/* in the queue */
	GSource *timer; /* NULL: nothing to type */
};

struct typist *typist_new(GMainContext *context, struct input *input)
{
	struct typist *typist = g_new0(struct typist, 1);

	typist->context = context;
	typist->input = input;
	typist->queue = g_array_new(FALSE, FALSE, sizeof(struct keys));
	return typist;
}

static void stop(struct typist *typist)
{
	if (!typist->timer)
		return;
	g_source_destroy(typist->timer);
	g_source_unref(typist->timer);
	typist->timer = NULL;
}

void typist_free(struct typist *typist)
{
	if (!typist)
		return;
	stop(typist);
	g_array_unref(typist->queue);
	g_free(typist);
}

bool typist_is_busy(const struct typist *typist)
{
	return typist->timer != NULL;
}

static gboolean on_timer(gpointer opaque)
{
	struct typist *typist = opaque;
	const struct keys *keys = &g_array_index(typist->queue, struct keys, typist->next);

	for (unsigned i = 0; i < keys->n; i++)
		input_key(typist->input, keys->codes[i], true);
	for (unsigned i = keys->n; i-- > 0;)
		input_key(typist->input, keys->codes[i], false);
	if (++typist->next < typist->queue->len)
		return G_SOURCE_CONTINUE;
	g_array_set_size(typist->queue, 0);
	typist->next = 0;
	stop(typist);
	return G_SOURCE_REMOVE;
}

static void start(struct typist *typist)
{
	if (typist->timer || !typist->queue->len)
		return;
	typist->timer = g_timeout_source_new(STROKE_MS);
	g_source_set_callback(typist->timer, on_timer, typist, NULL);
	g_source_attach(typist->timer, typist->context);
}

static bool has_room(const struct typist *typist, size_t n, GError **error)
{
	if (n <= MAX_QUEUE - typist->queue->len)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "that is too much to type; wait until the keys before it are typed");
	return false;
}

bool typist_type(struct typist *typist, const char *text, GError **error)
{
	g_autofree gunichar *characters = g_utf8_to_ucs4_fast(text, -1, NULL);
	glong n = g_utf8_strlen(text, -1);
	struct keys keys;

	if (!has_room(typist, n, error))
		return false;
	for (glong i = 0; i < n; i++) {
		if (keys_of_char(characters[i], &keys))
			continue;
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "character %ld, U+%04X, is on no key of a US keyboard; leave it out", i + 1,
			    characters[i]);
		return false;
	}
	for (glong i = 0; i < n; i++) {
		keys_of_char(characters[i], &keys);
		g_array_append_val(typist->queue, keys);
	}
	start(typist);
	return true;
}

bool typist_press(struct typist *typist, const struct keys *keys, GError **error)
{
	if (!has_room(typist, 1, error))
		return false;
	g_array_append_val(typist->queue, *keys);
	start(typist);
	return true;
}
