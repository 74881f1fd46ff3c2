/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard and tablet on USB (Device Class Definition for Human Interface Devices 1.11). They are given
 * events from the time that a driver polls them until their port is reset.
 */
#ifndef VIV_DEV_USB_USB_HID_H
#define VIV_DEV_USB_USB_HID_H

#include "dev/device.h"
#include "dev/usb/usb.h"
#include "display/input.h"

#define HID_QUEUE  64
#define HID_KEYS   16 /* held at one time, modifiers apart */
#define HID_REPORT 8  /* bytes, at most */

struct usb_hid {
	struct usb_device usb;
	enum input_kind kind; /* INPUT_KEYBOARD or INPUT_TABLET */
	struct device *owner; /* the host controller */
	struct input *input;  /* NULL: no events come */
	bool listening;
	uint8_t idle;	   /* in 4 ms: how long until a report is repeated; 0: never */
	bool repeat;	   /* that time has passed */
	int64_t repeat_ns; /* when; TIMER_NEVER: not soon */
	struct timer timer;
	bool report_protocol; /* and not the boot protocol, whose reports are the same */
	uint8_t leds;
	/* What the driver has not fetched yet: keys (usages) that go up and down; a tablet's reports. */
	uint64_t queue[HID_QUEUE];
	uint8_t n_queue;
	/* How things stand for the driver: keys held, or the last report of the tablet. */
	uint8_t modifiers, keys[HID_KEYS], n_keys;
	uint64_t report;
	/* How they really stand, of a tablet. */
	uint8_t buttons;
	uint16_t x, y;
};

#define USB_HID_FIELDS(type, member)                                                            \
	USB_DEVICE_FIELDS(type, member.usb), STATE_FIELD(type, member.listening),               \
		STATE_FIELD(type, member.idle), STATE_FIELD(type, member.repeat),               \
		STATE_FIELD(type, member.repeat_ns), STATE_FIELD(type, member.report_protocol), \
		STATE_FIELD(type, member.leds), STATE_FIELD(type, member.queue),                \
		STATE_FIELD(type, member.n_queue), STATE_FIELD(type, member.modifiers),         \
		STATE_FIELD(type, member.keys), STATE_FIELD(type, member.n_keys),               \
		STATE_FIELD(type, member.report), STATE_FIELD(type, member.buttons),            \
		STATE_FIELD(type, member.x), STATE_FIELD(type, member.y)

void usb_hid_init(struct usb_hid *hid, enum input_kind kind, struct device *owner, struct input *input);
/* Without the owner's lock. */
void usb_hid_fini(struct usb_hid *hid);
void usb_hid_post_load(struct usb_hid *hid);
bool usb_hid_check(const struct usb_hid *hid);

#endif
