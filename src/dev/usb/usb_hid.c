/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/usb/usb_hid.h"

#include <string.h>

#include "base/le.h"
#include "dev/usb/hid_usages.h"

/* HID 1.11, sections 6.2.1, 7.1 and 7.2. */
enum {
	DESCRIPTOR_HID = 0x21,
	DESCRIPTOR_REPORT = 0x22,

	GET_REPORT = 0x01,
	GET_IDLE = 0x02,
	GET_PROTOCOL = 0x03,
	SET_REPORT = 0x09,
	SET_IDLE = 0x0a,
	SET_PROTOCOL = 0x0b,
	GET_DESCRIPTOR = 0x06,

	REPORT_INPUT = 1,
	REPORT_OUTPUT = 2,

	ENDPOINT = 1,
	HID_AT = 18, /* in the configuration: its descriptor */
	HID_SIZE = 9,
	HID_REPORT_LENGTH = 7,

	KEYS_REPORTED = 6,
	ERROR_ROLL_OVER = 1, /* a usage: more keys are held */
	KEYBOARD_REPORT = 8,
	TABLET_REPORT = 6,
	IDLE_UNIT_NS = 4000000,

	GOES_DOWN = 0x100, /* of a key in the queue */
};

/* A tablet's report but for the wheel: buttons, X, Y. */
#define TABLET_POSITION 0xffffffffffull

/* Appendix B.1: the boot keyboard's, with all usages of it. */
static const uint8_t keyboard_report[] = {
	0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,					/* keyboard, collection */
	0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, /* modifiers: */
	0x95, 0x08, 0x81, 0x02,							/* 8 bits */
	0x95, 0x01, 0x75, 0x08, 0x81, 0x01,					/* a byte of nothing */
	0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, /* 5 lights, */
	0x95, 0x01, 0x75, 0x03, 0x91, 0x01,					/* 3 bits of nothing */
	0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07,	/* keys: 6 bytes */
	0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, 0xc0,
};

static const uint8_t tablet_report[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,		/* mouse, pointer */
	0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01, 0x95, 0x03, /* buttons: */
	0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x01,		/* 3 bits of 8 */
	0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f,	/* X, Y: 0 to 32767, */
	0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,	/* 16 bits */
	0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00,		/* wheel: -127 to 127 */
	0x75, 0x08, 0x95, 0x01, 0x81, 0x06, 0xc0, 0xc0,
};

/* USB 2.0, section 9.6: device; configuration, interface, HID and endpoint. No remote wake-up is offered, so
 * operating systems keep the devices awake. */
#define DEVICE_DESCRIPTOR(product)                                                                \
	{                                                                                         \
		18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x27, 0x06, product, 0x00, 0x00, 0x01, 1, 2, 0, 1 \
	}
/* clang-format off */
#define CONFIGURATION(subclass, protocol, report)                                    \
	{                                                                            \
		9, 2, 34, 0, 1, 1, 0, 0x80, 50,                                      \
		9, 4, 0, 0, 1, 3, subclass, protocol, 0,                             \
		9, DESCRIPTOR_HID, 0x11, 0x01, 0, 1, DESCRIPTOR_REPORT, sizeof(report), 0, \
		7, 5, USB_IN | ENDPOINT, 3, HID_REPORT, 0, 10,                       \
	}
/* clang-format on */

static const uint8_t keyboard_device[] = DEVICE_DESCRIPTOR(1);
static const uint8_t tablet_device[] = DEVICE_DESCRIPTOR(2);
static const uint8_t keyboard_configuration[] = CONFIGURATION(1, 1, keyboard_report);
static const uint8_t tablet_configuration[] = CONFIGURATION(0, 0, tablet_report);

static uint64_t pack_tablet(const struct usb_hid *hid, int wheel)
{
	return hid->buttons | (uint64_t)hid->x << 8 | (uint64_t)hid->y << 24 | (uint64_t)(uint8_t)wheel << 40;
}

static unsigned keyboard_make(const struct usb_hid *hid, uint8_t *report)
{
	memset(report, 0, KEYBOARD_REPORT);
	report[0] = hid->modifiers;
	if (hid->n_keys > KEYS_REPORTED)
		memset(report + 2, ERROR_ROLL_OVER, KEYS_REPORTED);
	else
		memcpy(report + 2, hid->keys, hid->n_keys);
	return KEYBOARD_REPORT;
}

static void press_key(struct usb_hid *hid, uint8_t usage)
{
	if (!memchr(hid->keys, usage, hid->n_keys) && hid->n_keys < HID_KEYS)
		hid->keys[hid->n_keys++] = usage;
}

static void release_key(struct usb_hid *hid, uint8_t usage)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < hid->n_keys; i++) {
		if (hid->keys[i] != usage)
			hid->keys[kept++] = hid->keys[i];
	}
	hid->n_keys = kept;
}

static void apply_key(struct usb_hid *hid, uint8_t usage, bool down)
{
	if (usage >= HID_FIRST_MODIFIER) {
		uint8_t bit = 1 << (usage - HID_FIRST_MODIFIER) % 8;

		hid->modifiers = down ? hid->modifiers | bit : hid->modifiers & ~bit;
	} else if (down) {
		press_key(hid, usage);
	} else {
		release_key(hid, usage);
	}
}

static unsigned make_report(const struct usb_hid *hid, uint8_t report[HID_REPORT])
{
	if (hid->kind == INPUT_KEYBOARD)
		return keyboard_make(hid, report);
	le64_store(report, hid->report);
	return TABLET_REPORT;
}

/* The next change becomes how things stand. Without one, the wheel has not moved since. */
static void take_change(struct usb_hid *hid)
{
	uint64_t next = hid->queue[0];

	if (!hid->n_queue) {
		hid->report &= TABLET_POSITION;
		return;
	}
	memmove(hid->queue, hid->queue + 1, --hid->n_queue * sizeof(hid->queue[0]));
	if (hid->kind == INPUT_KEYBOARD)
		apply_key(hid, next, next & GOES_DOWN);
	else
		hid->report = next;
}

/* Section 7.2.4. */
static void set_repeat(struct usb_hid *hid)
{
	hid->repeat = false;
	hid->repeat_ns = TIMER_NEVER;
	if (hid->idle)
		hid->repeat_ns = clock_now_ns(hid->owner->env->clock) + (int64_t)hid->idle * IDLE_UNIT_NS;
	timer_set(&hid->timer, hid->repeat_ns);
}

static void on_repeat(void *opaque)
{
	struct usb_hid *hid = opaque;

	hid->repeat = true;
	hid->repeat_ns = TIMER_NEVER;
	usb_wake(&hid->usb);
}

static void listen(struct usb_hid *hid, bool listening)
{
	hid->listening = listening;
	if (hid->input)
		input_set_listening(hid->input, hid, listening);
}

static int hid_in(struct usb_device *usb, unsigned endpoint, uint8_t *data, unsigned len)
{
	struct usb_hid *hid = (struct usb_hid *)usb;
	uint8_t report[HID_REPORT];
	unsigned n;

	if (endpoint != ENDPOINT)
		return USB_STALL;
	if (!hid->listening)
		listen(hid, true);
	if (!hid->n_queue && !hid->repeat)
		return USB_NAK;
	take_change(hid);
	n = make_report(hid, report);
	set_repeat(hid);
	memcpy(data, report, MIN(n, len));
	return MIN(n, len);
}

static int get_report(struct usb_hid *hid, const struct usb_setup *setup, uint8_t *data)
{
	uint8_t report[HID_REPORT];

	if (setup->value >> 8 == REPORT_OUTPUT && hid->kind == INPUT_KEYBOARD)
		return usb_answer(setup, data, &hid->leds, 1);
	if (setup->value >> 8 != REPORT_INPUT)
		return USB_STALL;
	return usb_answer(setup, data, report, make_report(hid, report));
}

static int set_report(struct usb_hid *hid, const struct usb_setup *setup, const uint8_t *data)
{
	if (setup->value >> 8 != REPORT_OUTPUT || hid->kind != INPUT_KEYBOARD || !setup->length)
		return USB_STALL;
	hid->leds = data[0];
	return setup->length;
}

static int class_control(struct usb_hid *hid, const struct usb_setup *setup, uint8_t *data)
{
	switch (setup->request) {
	case GET_REPORT:
		return get_report(hid, setup, data);
	case SET_REPORT:
		return set_report(hid, setup, data);
	case GET_IDLE:
		return usb_answer(setup, data, &hid->idle, 1);
	case SET_IDLE:
		hid->idle = setup->value >> 8;
		set_repeat(hid);
		return 0;
	case GET_PROTOCOL:
		return usb_answer(setup, data, &hid->report_protocol, 1);
	case SET_PROTOCOL:
		hid->report_protocol = setup->value & 1;
		return 0;
	}
	return USB_STALL;
}

static int hid_control(struct usb_device *usb, const struct usb_setup *setup, uint8_t *data)
{
	struct usb_hid *hid = (struct usb_hid *)usb;
	bool keyboard = hid->kind == INPUT_KEYBOARD;

	if ((setup->request_type & USB_TYPE_MASK) == USB_CLASS)
		return class_control(hid, setup, data);
	if (setup->request_type & USB_TYPE_MASK || setup->request != GET_DESCRIPTOR)
		return USB_STALL;
	switch (setup->value >> 8) {
	case DESCRIPTOR_HID:
		return usb_answer(setup, data, usb->ops->configuration + HID_AT, HID_SIZE);
	case DESCRIPTOR_REPORT:
		return usb_answer(setup, data, keyboard ? keyboard_report : tablet_report,
				  usb->ops->configuration[HID_AT + HID_REPORT_LENGTH]);
	}
	return USB_STALL;
}

static void hid_reset(struct usb_device *usb)
{
	struct usb_hid *hid = (struct usb_hid *)usb;

	listen(hid, false);
	hid->idle = 0;
	set_repeat(hid);
	hid->report_protocol = true;
	hid->leds = 0;
	hid->n_queue = 0;
	hid->modifiers = hid->n_keys = hid->buttons = 0;
	hid->x = hid->y = 0;
	hid->report = 0;
}

static const struct usb_ops keyboard_ops = {
	.speed = USB_FULL_SPEED,
	.device = keyboard_device,
	.configuration = keyboard_configuration,
	.strings = (const char *const[]){"Vivarium", "USB keyboard", NULL},
	.reset = hid_reset,
	.control = hid_control,
	.in = hid_in,
};

static const struct usb_ops tablet_ops = {
	.speed = USB_FULL_SPEED,
	.device = tablet_device,
	.configuration = tablet_configuration,
	.strings = (const char *const[]){"Vivarium", "USB tablet", NULL},
	.reset = hid_reset,
	.control = hid_control,
	.in = hid_in,
};

/* Keys that go up find room when none is left for those that go down, so that none stays down. */
static void queue_key(struct usb_hid *hid, unsigned code, bool down)
{
	uint8_t usage = code < G_N_ELEMENTS(hid_usages) ? hid_usages[code] : 0;

	if (usage && hid->n_queue < (down ? HID_QUEUE / 2 : HID_QUEUE))
		hid->queue[hid->n_queue++] = usage | (down ? GOES_DOWN : 0);
}

/* Movement adds up while reports wait to be fetched; each change of a button is told, while there is room. */
static void queue_tablet(struct usb_hid *hid, int wheel)
{
	uint64_t *last = hid->n_queue ? &hid->queue[hid->n_queue - 1] : NULL;
	bool full = hid->n_queue == HID_QUEUE;

	if (last && (full || (uint8_t)*last == hid->buttons))
		*last = pack_tablet(hid, CLAMP((int8_t)(*last >> 40) + wheel, -127, 127));
	else
		hid->queue[hid->n_queue++] = pack_tablet(hid, wheel);
}

static void tablet_event(struct usb_hid *hid, const struct input_event *event)
{
	unsigned button = event->code - BTN_LEFT;
	int wheel = 0;

	switch (event->type) {
	case INPUT_BUTTON:
		if (button > BTN_MIDDLE - BTN_LEFT)
			return;
		hid->buttons &= ~(1 << button);
		hid->buttons |= !!event->value << button;
		break;
	case INPUT_PLACE:
		hid->x = event->x;
		hid->y = event->y;
		break;
	case INPUT_WHEEL:
		wheel = CLAMP(event->value, -127, 127);
		break;
	default:
		return;
	}
	queue_tablet(hid, wheel);
}

static void on_input(void *opaque, const struct input_event *event)
{
	struct usb_hid *hid = opaque;

	g_mutex_lock(&hid->owner->lock);
	if (hid->listening) {
		if (hid->kind == INPUT_TABLET)
			tablet_event(hid, event);
		else if (event->type == INPUT_KEY)
			queue_key(hid, event->code, event->value);
		usb_wake(&hid->usb);
	}
	g_mutex_unlock(&hid->owner->lock);
}

void usb_hid_init(struct usb_hid *hid, enum input_kind kind, struct device *owner, struct input *input)
{
	hid->usb.ops = kind == INPUT_KEYBOARD ? &keyboard_ops : &tablet_ops;
	hid->kind = kind;
	hid->owner = owner;
	hid->input = input;
	timer_init(&hid->timer, owner->env->clock, &owner->lock, on_repeat, hid);
	if (input)
		input_attach(input, &(struct input_sink){kind, on_input, hid}, false);
}

void usb_hid_fini(struct usb_hid *hid)
{
	if (hid->input)
		input_detach(hid->input, hid);
	timer_fini(&hid->timer);
}

void usb_hid_post_load(struct usb_hid *hid)
{
	listen(hid, hid->listening);
	timer_set(&hid->timer, hid->repeat_ns);
}

bool usb_hid_check(const struct usb_hid *hid)
{
	return hid->n_queue <= HID_QUEUE && hid->n_keys <= HID_KEYS && usb_check(&hid->usb);
}
