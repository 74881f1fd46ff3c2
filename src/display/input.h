/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard and pointer events on their way from whoever sits before the screen to the guest's devices.
 *
 * Keys and buttons are Linux's event codes (KEY_* and BTN_* of <linux/input-event-codes.h>), which every
 * keyboard standard maps onto. An event goes to one device of its kind: the one attached last among those that
 * the guest listens to, so that a driver of a virtio or USB device takes over from PS/2.
 *
 * Threads: events on the loop thread; sinks are called there, without locks held. The other functions from any
 * thread, with the device's lock held or not.
 */
#ifndef VIV_DISPLAY_INPUT_H
#define VIV_DISPLAY_INPUT_H

#include <glib.h>
#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stdint.h>

#define INPUT_ABS_MAX 32767 /* right and lower edge of the screen, in absolute positions */

struct input;

enum input_type {
	INPUT_KEY,    /* code, value: 1 down, 0 up */
	INPUT_BUTTON, /* the same of BTN_LEFT, BTN_RIGHT, BTN_MIDDLE */
	INPUT_MOVE,   /* x, y: by so much, to the right and down */
	INPUT_PLACE,  /* x, y: to there, 0 to INPUT_ABS_MAX */
	INPUT_WHEEL,  /* value: notches, up is positive */
};

struct input_event {
	enum input_type type;
	unsigned code;
	int value;
	int x, y;
};

enum input_kind { INPUT_KEYBOARD, INPUT_MOUSE, INPUT_TABLET, INPUT_N_KINDS };

struct input_sink {
	enum input_kind kind;
	/* Takes the device's lock itself. */
	void (*event)(void *opaque, const struct input_event *event);
	void *opaque;
};

struct input *input_new(void);
void input_free(struct input *input);

/* Device side: in init and fini. A sink listens once it says so; PS/2 does from the start. */
void input_attach(struct input *input, const struct input_sink *sink, bool listening);
void input_detach(struct input *input, const void *opaque);
void input_set_listening(struct input *input, const void *opaque, bool listening);

/* Front ends. Where only a mouse listens, a place becomes a move from the last one. */
void input_key(struct input *input, unsigned code, bool down);
void input_button(struct input *input, unsigned code, bool down);
void input_move(struct input *input, int dx, int dy);
/* `x`, `y` in a screen of `width` times `height` pixels. */
void input_place(struct input *input, unsigned x, unsigned y, unsigned width, unsigned height);
void input_wheel(struct input *input, int notches);

#endif
