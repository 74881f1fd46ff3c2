/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/input.h"

#define MAX_SINKS 8

struct input {
	GMutex lock;
	struct attached {
		struct input_sink sink;
		bool listening;
	} sinks[MAX_SINKS];
	unsigned n_sinks;
	int last_x, last_y; /* in pixels; -1: no place was given yet */
};

struct input *input_new(void)
{
	struct input *input = g_new0(struct input, 1);

	g_mutex_init(&input->lock);
	input->last_x = input->last_y = -1;
	return input;
}

void input_free(struct input *input)
{
	if (!input)
		return;
	g_assert(!input->n_sinks);
	g_mutex_clear(&input->lock);
	g_free(input);
}

void input_attach(struct input *input, const struct input_sink *sink, bool listening)
{
	g_mutex_lock(&input->lock);
	g_assert(input->n_sinks < MAX_SINKS);
	input->sinks[input->n_sinks++] = (struct attached){*sink, listening};
	g_mutex_unlock(&input->lock);
}

void input_detach(struct input *input, const void *opaque)
{
	unsigned kept = 0;

	g_mutex_lock(&input->lock);
	for (unsigned i = 0; i < input->n_sinks; i++) {
		if (input->sinks[i].sink.opaque != opaque)
			input->sinks[kept++] = input->sinks[i];
	}
	input->n_sinks = kept;
	g_mutex_unlock(&input->lock);
}

void input_set_listening(struct input *input, const void *opaque, bool listening)
{
	g_mutex_lock(&input->lock);
	for (unsigned i = 0; i < input->n_sinks; i++) {
		if (input->sinks[i].sink.opaque == opaque)
			input->sinks[i].listening = listening;
	}
	g_mutex_unlock(&input->lock);
}

/* The device that events of one of `kinds` (a bit each) go to; false: none. */
static bool find_sink(struct input *input, unsigned kinds, struct input_sink *sink)
{
	bool found = false;

	g_mutex_lock(&input->lock);
	for (unsigned i = 0; i < input->n_sinks; i++) {
		const struct attached *a = &input->sinks[i];

		if (!a->listening || !(kinds >> a->sink.kind & 1))
			continue;
		*sink = a->sink;
		found = true;
	}
	g_mutex_unlock(&input->lock);
	return found;
}

static void send(struct input *input, unsigned kinds, const struct input_event *event)
{
	struct input_sink sink;

	if (find_sink(input, kinds, &sink))
		sink.event(sink.opaque, event);
}

#define POINTERS (1u << INPUT_MOUSE | 1u << INPUT_TABLET)

void input_key(struct input *input, unsigned code, bool down)
{
	struct input_event event = {.type = INPUT_KEY, .code = code, .value = down};

	send(input, 1u << INPUT_KEYBOARD, &event);
}

void input_button(struct input *input, unsigned code, bool down)
{
	struct input_event event = {.type = INPUT_BUTTON, .code = code, .value = down};

	send(input, POINTERS, &event);
}

void input_move(struct input *input, int dx, int dy)
{
	struct input_event event = {.type = INPUT_MOVE, .x = dx, .y = dy};

	send(input, 1u << INPUT_MOUSE, &event);
}

void input_place(struct input *input, unsigned x, unsigned y, unsigned width, unsigned height)
{
	struct input_event event = {.type = INPUT_PLACE};
	int last_x = input->last_x, last_y = input->last_y;
	struct input_sink sink;

	g_assert(width && height);
	x = MIN(x, width - 1);
	y = MIN(y, height - 1);
	input->last_x = x;
	input->last_y = y;
	if (!find_sink(input, POINTERS, &sink))
		return;
	if (sink.kind == INPUT_TABLET) {
		event.x = (uint64_t)x * INPUT_ABS_MAX / MAX(width - 1, 1);
		event.y = (uint64_t)y * INPUT_ABS_MAX / MAX(height - 1, 1);
	} else if (last_x < 0) {
		return;
	} else {
		event.type = INPUT_MOVE;
		event.x = (int)x - last_x;
		event.y = (int)y - last_y;
	}
	sink.event(sink.opaque, &event);
}

void input_wheel(struct input *input, int notches)
{
	struct input_event event = {.type = INPUT_WHEEL, .value = notches};

	send(input, POINTERS, &event);
}
