/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/usb/usb.h"

#include <glib.h>
#include <string.h>

#include "base/le.h"

/* Universal Serial Bus Specification 2.0, section 9.4. */
enum {
	GET_STATUS = 0,
	CLEAR_FEATURE = 1,
	SET_FEATURE = 3,
	SET_ADDRESS = 5,
	GET_DESCRIPTOR = 6,
	GET_CONFIGURATION = 8,
	SET_CONFIGURATION = 9,
	GET_INTERFACE = 10,
	SET_INTERFACE = 11,

	FEATURE_ENDPOINT_HALT = 0,

	DESCRIPTOR_DEVICE = 1,
	DESCRIPTOR_CONFIGURATION = 2,
	DESCRIPTOR_STRING = 3,

	CONFIGURATION_TOTAL_LENGTH = 2,
	CONFIGURATION_VALUE = 5,
	CONFIGURATION_ATTRIBUTES = 7,
	SELF_POWERED = 0x40,

	ENGLISH = 0x0409,
};

int usb_answer(const struct usb_setup *setup, uint8_t *data, const void *bytes, unsigned len)
{
	len = MIN(len, MIN(setup->length, USB_CONTROL_MAX));
	memcpy(data, bytes, len);
	return len;
}

void usb_reset(struct usb_device *usb)
{
	usb->configuration = 0;
	usb->halted = 0;
	usb->ops->reset(usb);
}

bool usb_check(const struct usb_device *usb)
{
	return !usb->configuration || usb->configuration == usb->ops->configuration[CONFIGURATION_VALUE];
}

static uint32_t endpoint_bit(unsigned address)
{
	return 1u << (address & 15) << (address & USB_IN ? 16 : 0);
}

/* Texts are UTF-16 in it, ours ASCII (section 9.6.7). */
static int get_string(const struct usb_device *usb, const struct usb_setup *setup, uint8_t *data)
{
	const char *const *strings = usb->ops->strings;
	unsigned index = setup->value & 0xff;
	uint8_t answer[256] = {4, DESCRIPTOR_STRING};

	if (index == 0) {
		le16_store(answer + 2, ENGLISH);
		return usb_answer(setup, data, answer, 4);
	}
	for (unsigned i = 1; i < index && *strings; i++)
		strings++;
	if (!*strings)
		return USB_STALL;
	answer[0] = 2 + 2 * strlen(*strings);
	for (unsigned i = 0; (*strings)[i]; i++)
		answer[2 + 2 * i] = (*strings)[i];
	return usb_answer(setup, data, answer, answer[0]);
}

static int get_descriptor(const struct usb_device *usb, const struct usb_setup *setup, uint8_t *data)
{
	const uint8_t *configuration = usb->ops->configuration;

	switch (setup->value >> 8) {
	case DESCRIPTOR_DEVICE:
		return usb_answer(setup, data, usb->ops->device, usb->ops->device[0]);
	case DESCRIPTOR_CONFIGURATION:
		if (setup->value & 0xff)
			return USB_STALL;
		return usb_answer(setup, data, configuration,
				  le16_load(configuration + CONFIGURATION_TOTAL_LENGTH));
	case DESCRIPTOR_STRING:
		return get_string(usb, setup, data);
	}
	return USB_STALL;
}

static int get_status(const struct usb_device *usb, const struct usb_setup *setup, uint8_t *data)
{
	uint8_t status[2] = {0};

	switch (setup->request_type & USB_RECIPIENT_MASK) {
	case 0:
		status[0] = usb->ops->configuration[CONFIGURATION_ATTRIBUTES] & SELF_POWERED ? 1 : 0;
		break;
	case USB_ENDPOINT:
		status[0] = usb->halted & endpoint_bit(setup->index) ? 1 : 0;
		break;
	}
	return usb_answer(setup, data, status, sizeof(status));
}

static int set_feature(struct usb_device *usb, const struct usb_setup *setup)
{
	uint32_t bit = endpoint_bit(setup->index);

	if ((setup->request_type & USB_RECIPIENT_MASK) != USB_ENDPOINT ||
	    setup->value != FEATURE_ENDPOINT_HALT)
		return USB_STALL;
	if (setup->request == SET_FEATURE)
		usb->halted |= bit;
	else
		usb->halted &= ~bit;
	return 0;
}

static int set_configuration(struct usb_device *usb, const struct usb_setup *setup)
{
	uint8_t value = setup->value;

	if (value && value != usb->ops->configuration[CONFIGURATION_VALUE])
		return USB_STALL;
	usb->configuration = value;
	usb->halted = 0;
	return 0;
}

static int standard_control(struct usb_device *usb, const struct usb_setup *setup, uint8_t *data)
{
	switch (setup->request) {
	case GET_STATUS:
		return get_status(usb, setup, data);
	case CLEAR_FEATURE:
	case SET_FEATURE:
		return set_feature(usb, setup);
	case SET_ADDRESS:
		return 0; /* the port says which device is meant */
	case GET_DESCRIPTOR:
		return get_descriptor(usb, setup, data);
	case GET_CONFIGURATION:
		return usb_answer(setup, data, &usb->configuration, 1);
	case SET_CONFIGURATION:
		return set_configuration(usb, setup);
	case GET_INTERFACE:
		return usb_answer(setup, data, &(uint8_t){0}, 1);
	case SET_INTERFACE:
		return setup->value ? USB_STALL : 0;
	}
	return USB_STALL;
}

/* Descriptors of an interface are its class's. */
int usb_control(struct usb_device *usb, const struct usb_setup *setup, uint8_t *data)
{
	bool standard = !(setup->request_type & USB_TYPE_MASK);

	if (setup->request_type & USB_IN && standard && setup->request == GET_DESCRIPTOR &&
	    (setup->request_type & USB_RECIPIENT_MASK) == USB_INTERFACE)
		standard = false;
	if (!(setup->request_type & USB_IN) && setup->length > USB_CONTROL_MAX)
		return USB_STALL;
	return standard ? standard_control(usb, setup, data) : usb->ops->control(usb, setup, data);
}

int usb_in(struct usb_device *usb, unsigned endpoint, uint8_t *data, unsigned len)
{
	if (!usb->configuration || usb->halted & endpoint_bit(endpoint | USB_IN))
		return USB_STALL;
	return usb->ops->in(usb, endpoint, data, len);
}
