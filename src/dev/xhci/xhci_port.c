/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports of the root hub, section 4.19. Nothing is plugged in or out while the machine runs. */
#include "dev/xhci/xhci_int.h"

/* PORTSC, section 5.4.8. */
#define PORT_CCS	 (1u << 0)
#define PORT_PED	 (1u << 1)
#define PORT_PR		 (1u << 4)
#define PORT_PLS_SHIFT	 5
#define PORT_PLS	 (15u << PORT_PLS_SHIFT)
#define PORT_PP		 (1u << 9)
#define PORT_SPEED_SHIFT 10
#define PORT_LWS	 (1u << 16)
#define PORT_CSC	 (1u << 17)
#define PORT_PRC	 (1u << 21)
#define PORT_PLC	 (1u << 22)
#define PORT_CHANGES	 (0x7fu << 17)
#define PORT_WAKE	 (7u << 25) /* WCE, WDE, WOE */
#define PORT_WPR	 (1u << 31)

enum { PLS_U0 = 0, PLS_U3 = 3, PLS_RX_DETECT = 5, PLS_POLLING = 7, PLS_RESUME = 15 };

bool xhci_port_is_enabled(const struct xhci *xhci, unsigned port)
{
	return xhci->portsc[port] & PORT_PED;
}

/* Section 4.19.2: a change is told of where there was none, and no more until the guest has cleared all. */
static void port_changed(struct xhci *xhci, unsigned port, uint32_t change)
{
	if (!(xhci->portsc[port] & PORT_CHANGES))
		xhci->port_events |= 1u << port;
	xhci->portsc[port] |= change;
}

static void set_link(struct xhci *xhci, unsigned port, unsigned state)
{
	xhci->portsc[port] = (xhci->portsc[port] & ~PORT_PLS) | state << PORT_PLS_SHIFT;
}

/* Section 4.19.5, at once. */
static void reset_port(struct xhci *xhci, unsigned port)
{
	if (!xhci->devices[port])
		return;
	usb_reset(xhci->devices[port]);
	xhci->portsc[port] |= PORT_PED;
	set_link(xhci, port, PLS_U0);
	port_changed(xhci, port, PORT_PRC);
}

/* Section 4.15: suspend, and the way back. */
static void write_link(struct xhci *xhci, unsigned port, unsigned state)
{
	unsigned old = (xhci->portsc[port] & PORT_PLS) >> PORT_PLS_SHIFT;

	if (!(xhci->portsc[port] & PORT_PED))
		return;
	if (state == PLS_U3 || (state == PLS_RESUME && old == PLS_U3)) {
		set_link(xhci, port, state);
	} else if (state == PLS_U0 && old != PLS_U0) {
		set_link(xhci, port, PLS_U0);
		port_changed(xhci, port, PORT_PLC);
	}
}

void xhci_write_portsc(struct xhci *xhci, unsigned port, uint32_t value)
{
	uint32_t *portsc = &xhci->portsc[port];

	*portsc &= ~(value & PORT_CHANGES);
	*portsc = (*portsc & ~PORT_WAKE) | (value & PORT_WAKE);
	if (value & PORT_PED)
		*portsc &= ~PORT_PED;
	if (value & PORT_LWS)
		write_link(xhci, port, (value & PORT_PLS) >> PORT_PLS_SHIFT);
	if (value & (PORT_PR | PORT_WPR))
		reset_port(xhci, port);
	xhci_work(xhci);
}

/* Section 4.2: as after power-on. */
void xhci_reset_ports(struct xhci *xhci)
{
	xhci->port_events = 0;
	for (unsigned i = 0; i < XHCI_PORTS; i++) {
		struct usb_device *usb = xhci->devices[i];

		xhci->portsc[i] = PORT_PP | (usb ? PLS_POLLING : PLS_RX_DETECT) << PORT_PLS_SHIFT;
		if (!usb)
			continue;
		usb_reset(usb);
		xhci->portsc[i] |= PORT_CCS | usb->ops->speed << PORT_SPEED_SHIFT;
		port_changed(xhci, i, PORT_CSC);
	}
}

void xhci_tell_port_events(struct xhci *xhci)
{
	for (unsigned i = 0; i < XHCI_PORTS; i++) {
		if (!(xhci->port_events >> i & 1) || !xhci_event_room(xhci))
			continue;
		xhci->port_events &= ~(1u << i);
		xhci->usbsts |= STS_PCD;
		xhci_post_event(xhci, (uint64_t)(i + 1) << 24, CC_SUCCESS << 24, TRB_PORT_EVENT << 10);
	}
}
