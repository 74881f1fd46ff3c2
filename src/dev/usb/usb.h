/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A USB device (Universal Serial Bus Specification 2.0) as its host controller has it: at a port of its root
 * hub, part of its struct and of its state, under its lock.
 *
 * Transfers are asked for and answered at once. An endpoint that has nothing to give answers USB_NAK, and its
 * device calls usb_wake() when that has changed. Standard requests (section 9.4) are answered here, from the
 * descriptors.
 */
#ifndef VIV_DEV_USB_USB_H
#define VIV_DEV_USB_USB_H

#include <stdbool.h>
#include <stdint.h>

#include "state/state.h"

/* As xHCI numbers them. */
enum usb_speed { USB_FULL_SPEED = 1, USB_LOW_SPEED, USB_HIGH_SPEED, USB_SUPER_SPEED };

/* What a transfer comes to, where it is no length. */
enum { USB_NAK = -1, USB_STALL = -2 };

#define USB_CONTROL_MAX 1024 /* bytes of one control transfer's data */

/* Section 9.3, table 9-2. */
struct usb_setup {
	uint8_t request_type, request;
	uint16_t value, index, length;
};
enum {
	USB_IN = 0x80, /* of a request's type, and an endpoint's address */
	USB_TYPE_MASK = 0x60,
	USB_CLASS = 0x20,
	USB_RECIPIENT_MASK = 0x1f,
	USB_INTERFACE = 1,
	USB_ENDPOINT = 2,
};

struct usb_device;

struct usb_ops {
	enum usb_speed speed;
	const uint8_t *device;	      /* descriptors, section 9.6 */
	const uint8_t *configuration; /* with all that belongs to it */
	const char *const *strings;   /* from number 1 on; ends with NULL */
	void (*reset)(struct usb_device *usb);
	/* What is no standard request to the device. To be sent: up to `length` bytes, which `data` holds;
	 * received: `length` of them. Returns the bytes moved or USB_STALL. */
	int (*control)(struct usb_device *usb, const struct usb_setup *setup, uint8_t *data);
	/* From an interrupt endpoint; returns bytes, USB_NAK or USB_STALL. */
	int (*in)(struct usb_device *usb, unsigned endpoint, uint8_t *data, unsigned len);
};

struct usb_device {
	const struct usb_ops *ops;
	uint8_t configuration; /* 0: not configured */
	uint32_t halted;       /* endpoints; IN from bit 16 on */
	/* The host controller's. */
	void (*wake)(void *host, struct usb_device *usb);
	void *host;
};

#define USB_DEVICE_FIELDS(type, member) \
	STATE_FIELD(type, member.configuration), STATE_FIELD(type, member.halted)

bool usb_check(const struct usb_device *usb);
void usb_reset(struct usb_device *usb);
/* `data` holds USB_CONTROL_MAX bytes. */
int usb_control(struct usb_device *usb, const struct usb_setup *setup, uint8_t *data);
int usb_in(struct usb_device *usb, unsigned endpoint, uint8_t *data, unsigned len);

/* Device side: an answer to a request of `setup->length` bytes. */
int usb_answer(const struct usb_setup *setup, uint8_t *data, const void *bytes, unsigned len);
static inline void usb_wake(struct usb_device *usb)
{
	usb->wake(usb->host, usb);
}

#endif
