/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard and mouse at the ends of the two PS/2 wires, and what the 8042 needs of them (IBM PS/2
 * Hardware Interface Technical Reference, Keyboards and Auxiliary Device Controller).
 *
 * Each is a part of its controller's struct and of its state, under its lock. The controller sends
 * bytes by the write functions and fetches them, when the wire is free, by ps2_take(). A device
 * answers before it goes on with what it has to report; a byte from the controller ends an answer
 * that was not fetched yet.
 */
#ifndef VIV_DEV_INPUT_PS2_H
#define VIV_DEV_INPUT_PS2_H

#include <stdbool.h>
#include <stdint.h>

#include "display/input.h"
#include "state/state.h"

enum {
	PS2_ACK = 0xfa,
	PS2_RESEND = 0xfe, /* the other side is to say it again */
	PS2_SELF_TEST_OK = 0xaa,
	PS2_RELEASE = 0xf0, /* before a code of sets 2 and 3 */

	PS2_ANSWER_SIZE = 5,
	/* Of the keyboard, and the overrun code. A real one has 16 bytes, since nobody types faster; what is pasted
	 * into a viewer comes all at once. */
	PS2_QUEUE_SIZE = 241,
};

struct ps2_device {
	uint8_t answer[PS2_ANSWER_SIZE], n_answer;
	uint8_t queue[PS2_QUEUE_SIZE], n_queue;
	uint8_t last;	 /* sent */
	uint8_t command; /* that awaits its parameter; 0: none */
};

struct ps2_keyboard {
	struct ps2_device ps2;
	bool scanning;
	uint8_t set;		/* of scan codes, 1 to 3 */
	uint8_t key_breaks[32]; /* set 3: a bit a code, of keys that tell when they are released */
};

struct ps2_mouse {
	struct ps2_device ps2;
	bool reporting, remote, wrap, scaling;
	uint8_t id; /* what it was made by the rates it was told: 0, 3: a wheel, 4: five buttons */
	uint8_t resolution, rate;
	uint8_t rates[2]; /* before this one */
	uint8_t buttons, reported_buttons;
	int16_t dx, dy, dz; /* to be reported */
};

#define PS2_DEVICE_FIELDS(type, member, version)                   \
	STATE_FIELD_SINCE(type, member.answer, version),           \
		STATE_FIELD_SINCE(type, member.n_answer, version), \
		STATE_FIELD_SINCE(type, member.queue, version),    \
		STATE_FIELD_SINCE(type, member.n_queue, version),  \
		STATE_FIELD_SINCE(type, member.last, version),     \
		STATE_FIELD_SINCE(type, member.command, version)
#define PS2_KEYBOARD_FIELDS(type, member, version)                 \
	PS2_DEVICE_FIELDS(type, member.ps2, version),              \
		STATE_FIELD_SINCE(type, member.scanning, version), \
		STATE_FIELD_SINCE(type, member.set, version),      \
		STATE_FIELD_SINCE(type, member.key_breaks, version)
#define PS2_MOUSE_FIELDS(type, member, version)                            \
	PS2_DEVICE_FIELDS(type, member.ps2, version),                      \
		STATE_FIELD_SINCE(type, member.reporting, version),        \
		STATE_FIELD_SINCE(type, member.remote, version),           \
		STATE_FIELD_SINCE(type, member.wrap, version),             \
		STATE_FIELD_SINCE(type, member.scaling, version),          \
		STATE_FIELD_SINCE(type, member.id, version),               \
		STATE_FIELD_SINCE(type, member.resolution, version),       \
		STATE_FIELD_SINCE(type, member.rate, version),             \
		STATE_FIELD_SINCE(type, member.rates, version),            \
		STATE_FIELD_SINCE(type, member.buttons, version),          \
		STATE_FIELD_SINCE(type, member.reported_buttons, version), \
		STATE_FIELD_SINCE(type, member.dx, version),               \
		STATE_FIELD_SINCE(type, member.dy, version),               \
		STATE_FIELD_SINCE(type, member.dz, version)

/* Whether the device has something to send. */
static inline bool ps2_is_ready(const struct ps2_device *ps2)
{
	return ps2->n_answer || ps2->n_queue;
}
/* Its next byte, once it is ready. */
uint8_t ps2_take(struct ps2_device *ps2);

/* Power-on. The self-test's result has been fetched by then. */
void ps2_keyboard_reset(struct ps2_keyboard *keyboard);
void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte);
void ps2_keyboard_event(struct ps2_keyboard *keyboard, const struct input_event *event);
bool ps2_keyboard_check(const struct ps2_keyboard *keyboard);

void ps2_mouse_reset(struct ps2_mouse *mouse);
void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte);
void ps2_mouse_event(struct ps2_mouse *mouse, const struct input_event *event);
/* Movement that came while there was no room for it may make the mouse ready. */
void ps2_mouse_report(struct ps2_mouse *mouse);
bool ps2_mouse_check(const struct ps2_mouse *mouse);

/* A code of set 2, without its E0h and F0h, as set 1 has it. */
uint8_t ps2_translate(uint8_t code);

/* What both devices are made of. */
void ps2_device_reset(struct ps2_device *ps2);
void ps2_answer(struct ps2_device *ps2, const uint8_t *bytes, unsigned n);
void ps2_answer_byte(struct ps2_device *ps2, uint8_t byte);
/* All of them or none; false: they find no room below `limit`. */
bool ps2_queue(struct ps2_device *ps2, const uint8_t *bytes, unsigned n, unsigned limit);
bool ps2_device_check(const struct ps2_device *ps2);

#endif
