/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mouse with two or three buttons (IBM PS/2 Hardware Interface Technical Reference, Mouse), which a
 * driver's knock makes one with a wheel or with five buttons, too (Microsoft IntelliMouse;
 * Explorer).
 *
 * Movement adds up while packets wait to be fetched; a button that changes gets a packet of its
 * own, so that a click is not lost.
 */
#include "dev/input/ps2.h"

enum {
	CMD_SCALING_1_1 = 0xe6,
	CMD_SCALING_2_1 = 0xe7,
	CMD_RESOLUTION = 0xe8,
	CMD_STATUS = 0xe9,
	CMD_STREAM = 0xea,
	CMD_READ_DATA = 0xeb,
	CMD_RESET_WRAP = 0xec,
	CMD_WRAP = 0xee,
	CMD_REMOTE = 0xf0,
	CMD_READ_ID = 0xf2,
	CMD_RATE = 0xf3,
	CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5,
	CMD_DEFAULT = 0xf6,
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff,

	ID_STANDARD = 0,
	ID_WHEEL = 3,
	ID_FIVE_BUTTONS = 4,

	BUTTON_LEFT = 0x01,
	BUTTON_RIGHT = 0x02,
	BUTTON_MIDDLE = 0x04,
	BUTTON_SIDE = 0x08,
	BUTTON_EXTRA = 0x10,
	BUTTONS_FIRST = 0x07, /* in a packet's first byte */

	PACKET_ONE = 0x08, /* always set */
	PACKET_X_SIGN = 0x10,
	PACKET_Y_SIGN = 0x20,

	STATUS_RIGHT = 0x01,
	STATUS_MIDDLE = 0x02,
	STATUS_LEFT = 0x04,
	STATUS_SCALING = 0x10,
	STATUS_ENABLED = 0x20,
	STATUS_REMOTE = 0x40,

	PACKET_SIZE = 4,
	MOVE_MAX = 255,
};

static const struct {
	unsigned code;
	uint8_t bit;
} buttons[] = {
	{BTN_LEFT, BUTTON_LEFT}, {BTN_RIGHT, BUTTON_RIGHT}, {BTN_MIDDLE, BUTTON_MIDDLE},
	{BTN_SIDE, BUTTON_SIDE}, {BTN_EXTRA, BUTTON_EXTRA},
};

static void forget_movement(struct ps2_mouse *mouse)
{
	mouse->ps2.n_queue = 0;
	mouse->dx = mouse->dy = mouse->dz = 0;
}

static void set_defaults(struct ps2_mouse *mouse)
{
	mouse->reporting = mouse->remote = mouse->wrap = mouse->scaling = false;
	mouse->resolution = 2;
	mouse->rate = 100;
	forget_movement(mouse);
}

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
	*mouse = (struct ps2_mouse){0};
	set_defaults(mouse);
}

/* Takes what fits into a packet's field. */
static int take(int16_t *moved, int max)
{
	int n = CLAMP(*moved, -max - 1, max);

	*moved -= n;
	return n;
}

/* 2:1 scaling. */
static int scale(int n)
{
	static const int8_t small[] = {0, 1, 1, 3, 6, 9};
	int scaled = ABS(n) < (int)G_N_ELEMENTS(small) ? small[ABS(n)] : 2 * ABS(n);

	return MIN(scaled, MOVE_MAX) * (n < 0 ? -1 : 1);
}

/* Returns its length. */
static unsigned make_packet(struct ps2_mouse *mouse, bool scaling, uint8_t packet[PACKET_SIZE])
{
	int x = take(&mouse->dx, MOVE_MAX), y = take(&mouse->dy, MOVE_MAX);

	if (scaling) {
		x = scale(x);
		y = scale(y);
	}
	packet[0] = PACKET_ONE | (mouse->buttons & BUTTONS_FIRST) | (x < 0 ? PACKET_X_SIGN : 0) |
		    (y < 0 ? PACKET_Y_SIGN : 0);
	packet[1] = x;
	packet[2] = y;
	mouse->reported_buttons = mouse->buttons;
	if (mouse->id == ID_STANDARD)
		return 3;
	packet[3] = take(&mouse->dz, 7);
	/* Four bits of wheel, and the other two buttons. */
	if (mouse->id == ID_FIVE_BUTTONS)
		packet[3] = (packet[3] & 0x0f) | (mouse->buttons & ~BUTTONS_FIRST) << 1;
	return 4;
}

static uint8_t known_buttons(const struct ps2_mouse *mouse)
{
	return mouse->id == ID_FIVE_BUTTONS ? 0xff : BUTTONS_FIRST;
}

static bool is_streaming(const struct ps2_mouse *mouse)
{
	return mouse->reporting && !mouse->remote && !mouse->wrap;
}

void ps2_mouse_report(struct ps2_mouse *mouse)
{
	bool clicked = (mouse->buttons ^ mouse->reported_buttons) & known_buttons(mouse);
	bool moved = mouse->dx || mouse->dy || (mouse->dz && mouse->id != ID_STANDARD);
	uint8_t packet[PACKET_SIZE];
	unsigned n;

	if (!is_streaming(mouse) || mouse->ps2.n_queue + PACKET_SIZE > PS2_QUEUE_SIZE)
		return;
	if (!clicked && (!moved || mouse->ps2.n_queue))
		return;
	n = make_packet(mouse, mouse->scaling, packet);
	ps2_queue(&mouse->ps2, packet, n, PS2_QUEUE_SIZE);
}

static void add(int16_t *moved, int64_t n)
{
	*moved = CLAMP(*moved + n, -INT16_MAX, INT16_MAX);
}

void ps2_mouse_event(struct ps2_mouse *mouse, const struct input_event *event)
{
	switch (event->type) {
	case INPUT_BUTTON:
		for (size_t i = 0; i < G_N_ELEMENTS(buttons); i++) {
			if (buttons[i].code != event->code)
				continue;
			mouse->buttons &= ~buttons[i].bit;
			if (event->value)
				mouse->buttons |= buttons[i].bit;
		}
		break;
	case INPUT_MOVE:
		/* Up is positive on this wire, and so is the wheel towards the user. */
		add(&mouse->dx, event->x);
		add(&mouse->dy, -(int64_t)event->y);
		break;
	case INPUT_WHEEL:
		add(&mouse->dz, -(int64_t)event->value);
		break;
	default:
		return;
	}
	if (!mouse->reporting && !mouse->remote)
		forget_movement(mouse);
	ps2_mouse_report(mouse);
}

static void set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
	if (mouse->rates[0] == 200 && rate == 80) {
		if (mouse->rates[1] == 100)
			mouse->id = ID_WHEEL;
		else if (mouse->rates[1] == 200)
			mouse->id = ID_FIVE_BUTTONS;
	}
	mouse->rates[0] = mouse->rates[1];
	mouse->rates[1] = rate;
	mouse->rate = rate;
}

static void answer_status(struct ps2_mouse *mouse)
{
	uint8_t b = mouse->buttons;
	uint8_t status =
		(b & BUTTON_RIGHT ? STATUS_RIGHT : 0) | (b & BUTTON_MIDDLE ? STATUS_MIDDLE : 0) |
		(b & BUTTON_LEFT ? STATUS_LEFT : 0) | (mouse->scaling ? STATUS_SCALING : 0) |
		(mouse->reporting ? STATUS_ENABLED : 0) | (mouse->remote ? STATUS_REMOTE : 0);

	ps2_answer(&mouse->ps2, (uint8_t[]){PS2_ACK, status, mouse->resolution, mouse->rate}, 4);
}

static void answer_data(struct ps2_mouse *mouse)
{
	uint8_t answer[PS2_ANSWER_SIZE] = {PS2_ACK};
	unsigned n = make_packet(mouse, false, answer + 1);

	ps2_answer(&mouse->ps2, answer, n + 1);
}

static void write_command(struct ps2_mouse *mouse, uint8_t command)
{
	ps2_answer_byte(&mouse->ps2, PS2_ACK);
	switch (command) {
	case CMD_SCALING_1_1:
	case CMD_SCALING_2_1:
		mouse->scaling = command == CMD_SCALING_2_1;
		break;
	case CMD_RESOLUTION:
	case CMD_RATE:
		mouse->ps2.command = command;
		break;
	case CMD_STATUS:
		answer_status(mouse);
		break;
	case CMD_STREAM:
	case CMD_REMOTE:
		mouse->remote = command == CMD_REMOTE;
		break;
	case CMD_READ_DATA:
		answer_data(mouse);
		break;
	case CMD_RESET_WRAP:
	case CMD_WRAP:
		mouse->wrap = command == CMD_WRAP;
		break;
	case CMD_READ_ID:
		ps2_answer(&mouse->ps2, (uint8_t[]){PS2_ACK, mouse->id}, 2);
		break;
	case CMD_ENABLE:
	case CMD_DISABLE:
		mouse->reporting = command == CMD_ENABLE;
		break;
	case CMD_DEFAULT:
		set_defaults(mouse);
		break;
	case CMD_RESEND:
		ps2_answer_byte(&mouse->ps2, mouse->ps2.last);
		break;
	case CMD_RESET:
		ps2_mouse_reset(mouse);
		ps2_answer(&mouse->ps2, (uint8_t[]){PS2_ACK, PS2_SELF_TEST_OK, ID_STANDARD}, 3);
		break;
	default:
		ps2_answer_byte(&mouse->ps2, PS2_RESEND);
		break;
	}
}

void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte)
{
	uint8_t command = mouse->ps2.command;

	mouse->ps2.command = 0;
	if (mouse->wrap && byte != CMD_RESET_WRAP && byte != CMD_RESET) {
		ps2_answer_byte(&mouse->ps2, byte);
		return;
	}
	if (command) {
		ps2_answer_byte(&mouse->ps2, PS2_ACK);
		if (command == CMD_RATE)
			set_rate(mouse, byte);
		else
			mouse->resolution = byte;
		return;
	}
	/* A packet on its way is given up. */
	mouse->ps2.n_queue = 0;
	if (byte != CMD_READ_DATA && byte != CMD_RESEND)
		forget_movement(mouse);
	write_command(mouse, byte);
}

bool ps2_mouse_check(const struct ps2_mouse *mouse)
{
	return ps2_device_check(&mouse->ps2);
}
