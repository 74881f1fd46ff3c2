/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eXtensible Host Controller Interface (xHCI, Intel 625472, revision 1.2), as its files share it; seen in
 * this folder only. xhci.c has the registers, xhci_port.c the ports, xhci_ring.c what rings are made of and
 * the event ring, xhci_command.c the command ring and contexts, xhci_transfer.c the transfer rings. Section
 * numbers are that document's.
 *
 * Contexts and rings live in guest RAM and nowhere else: what is needed is read into a private copy, checked
 * and used, and a dequeue pointer or state that has changed is written back at once. A guest that changes
 * them under our hands gets what it wrote.
 *
 * No event is lost: work that may produce some begins when the event ring has room for them, and else waits
 * until the guest moves the ring's dequeue pointer. Work is bounded by a budget; what is left goes on a
 * moment later.
 */
#ifndef VIV_DEV_XHCI_XHCI_INT_H
#define VIV_DEV_XHCI_XHCI_INT_H

#include "dev/pci/pci.h"
#include "dev/usb/usb.h"
#include "dev/usb/usb_hid.h"

#define XHCI_SLOTS	8
#define XHCI_USB2_PORTS 4
#define XHCI_PORTS	8
#define XHCI_ENDPOINTS	32 /* device context indexes; 0 is the slot context */

/* USBCMD and USBSTS, sections 5.4.1 and 5.4.2. */
enum {
	CMD_RUN = 1 << 0,
	CMD_RESET = 1 << 1,
	CMD_INTE = 1 << 2,
	CMD_HSEE = 1 << 3,
	CMD_SAVE = 1 << 8,
	CMD_RESTORE = 1 << 9,
	CMD_EWE = 1 << 10,

	STS_HALTED = 1 << 0,
	STS_HSE = 1 << 2,
	STS_EINT = 1 << 3,
	STS_PCD = 1 << 4,
	STS_SRE = 1 << 10,
};

/* Section 6.4.6. */
enum trb_type {
	TRB_NORMAL = 1,
	TRB_SETUP = 2,
	TRB_DATA = 3,
	TRB_STATUS = 4,
	TRB_LINK = 6,
	TRB_EVENT_DATA = 7,
	TRB_NO_OP = 8,
	TRB_ENABLE_SLOT = 9,
	TRB_DISABLE_SLOT = 10,
	TRB_ADDRESS_DEVICE = 11,
	TRB_CONFIGURE_ENDPOINT = 12,
	TRB_EVALUATE_CONTEXT = 13,
	TRB_RESET_ENDPOINT = 14,
	TRB_STOP_ENDPOINT = 15,
	TRB_SET_DEQUEUE = 16,
	TRB_RESET_DEVICE = 17,
	TRB_NO_OP_COMMAND = 23,
	TRB_TRANSFER_EVENT = 32,
	TRB_COMMAND_EVENT = 33,
	TRB_PORT_EVENT = 34,
};

/* A TRB's control word, section 6.4. */
#define TRB_CYCLE	  (1u << 0)
#define TRB_TOGGLE_CYCLE  (1u << 1) /* of a Link */
#define TRB_EVENT_IS_DATA (1u << 2) /* of a Transfer Event */
#define TRB_ISP		  (1u << 2)
#define TRB_CHAIN	  (1u << 4)
#define TRB_IOC		  (1u << 5)
#define TRB_IDT		  (1u << 6)
#define TRB_BEI		  (1u << 9)
#define TRB_BSR		  (1u << 9)  /* of Address Device */
#define TRB_DECONFIGURE	  (1u << 9)  /* of Configure Endpoint */
#define TRB_DIR_IN	  (1u << 16) /* of Data and Status */

#define TRB_SIZE 16

/* Completion codes, section 6.4.5. */
enum xhci_code {
	CC_SUCCESS = 1,
	CC_TRANSACTION_ERROR = 4,
	CC_TRB_ERROR = 5,
	CC_STALL_ERROR = 6,
	CC_RESOURCE_ERROR = 7,
	CC_NO_SLOTS = 9,
	CC_SLOT_NOT_ENABLED = 11,
	CC_ENDPOINT_NOT_ENABLED = 12,
	CC_SHORT_PACKET = 13,
	CC_PARAMETER_ERROR = 17,
	CC_CONTEXT_STATE_ERROR = 19,
	CC_COMMAND_RING_STOPPED = 24,
	CC_STOPPED = 26,
};

struct xhci_trb {
	uint64_t gpa; /* where it stood */
	uint64_t parameter;
	uint32_t status, control;
};

static inline enum trb_type trb_type(const struct xhci_trb *trb)
{
	return trb->control >> 10 & 0x3f;
}

/* A consumer's place in a ring. */
struct xhci_ring {
	uint64_t gpa;
	bool cycle;
};

/* Section 6.2.2, 6.2.3; offsets of dwords, and what is in them. */
enum {
	CONTEXT_SIZE = 32,

	SLOT_ENTRIES_SHIFT = 27,
	SLOT_DISABLED = 0, /* or enabled */
	SLOT_DEFAULT = 1,
	SLOT_ADDRESSED = 2,
	SLOT_CONFIGURED = 3,
	SLOT_STATE_SHIFT = 27,

	EP_DISABLED = 0,
	EP_RUNNING = 1,
	EP_HALTED = 2,
	EP_STOPPED = 3,
	EP_ERROR = 4,
	EP_STATE_MASK = 7,

	EP_TYPE_CONTROL = 4,
};

struct xhci_context {
	uint32_t dw[CONTEXT_SIZE / 4];
};

struct xhci {
	struct pci_device pci;
	struct usb_hid keyboard, tablet;
	struct usb_device *devices[XHCI_PORTS]; /* NULL: nothing is plugged in */

	uint32_t usbcmd, usbsts, dnctrl, config;
	uint64_t dcbaap;
	uint64_t command_gpa;
	bool command_cycle;
	bool command_running; /* CRR: until it is stopped */
	bool command_rung;    /* the ring is to be looked at */
	uint32_t portsc[XHCI_PORTS];
	uint32_t port_events; /* a bit a port: its change is to be told of */
	/* The interrupter, section 5.5.2, and how far its event ring is written. */
	uint32_t iman, imod, erstsz;
	uint64_t erstba, erdp;
	uint32_t event_segment, event_index;
	bool event_cycle;

	uint32_t slots; /* a bit an enabled slot, from bit 1 on */
	/* A bit an endpoint: its ring is to be looked at; its device had nothing for the TD that is next. */
	uint32_t rung[XHCI_SLOTS + 1], waiting[XHCI_SLOTS + 1];

	bool again; /* the budget is spent, and the timer set */
	struct timer timer;
	unsigned budget;
	uint8_t data[USB_CONTROL_MAX]; /* of the transfer under way */
};

static inline struct mem *xhci_mem(const struct xhci *xhci)
{
	return xhci->pci.device.env->mem;
}

static inline bool xhci_is_running(const struct xhci *xhci)
{
	return xhci->usbcmd & CMD_RUN && !(xhci->usbsts & STS_HALTED) && pci_is_master(&xhci->pci);
}

/* xhci.c */
/* Does what there is to do, within the budget. */
void xhci_work(struct xhci *xhci);
/* The guest's structures are not in its RAM: a host system error. */
void xhci_fail(struct xhci *xhci);

/* xhci_port.c; ports from 0 on */
bool xhci_port_is_enabled(const struct xhci *xhci, unsigned port);
void xhci_reset_ports(struct xhci *xhci);
void xhci_write_portsc(struct xhci *xhci, unsigned port, uint32_t value);
void xhci_tell_port_events(struct xhci *xhci);

/* xhci_ring.c */
enum ring_result { RING_EMPTY, RING_TRB, RING_BAD };
/* The next TRB that the guest has given; the ring moves on, over Link TRBs, too. */
enum ring_result xhci_ring_next(struct xhci *xhci, struct xhci_ring *ring, struct xhci_trb *trb);
void xhci_events_reset(struct xhci *xhci);
/* How many events find room. */
unsigned xhci_event_room(struct xhci *xhci);
/* For an event that has room. `control` without the cycle bit; TRB_BEI: without an interrupt. */
void xhci_post_event(struct xhci *xhci, uint64_t parameter, uint32_t status, uint32_t control);
void xhci_update_interrupt(struct xhci *xhci);
void xhci_erdp_written(struct xhci *xhci, bool end_of_handling);

/* xhci_command.c */
bool xhci_read_context(struct xhci *xhci, uint64_t gpa, struct xhci_context *context);
/* Where a slot's device context lies; false: nowhere in RAM. */
bool xhci_device_context(struct xhci *xhci, unsigned slot, uint64_t *gpa);
/* What the slot's device context says is at its root hub port; NULL: nothing. */
struct usb_device *xhci_slot_device(struct xhci *xhci, unsigned slot);
void xhci_run_commands(struct xhci *xhci);
/* CRCR is written with CS or CA, section 4.6.1.1. */
void xhci_stop_commands(struct xhci *xhci);

/* xhci_transfer.c */
static inline unsigned endpoint_state(const struct xhci_context *endpoint)
{
	return endpoint->dw[0] & EP_STATE_MASK;
}
static inline unsigned endpoint_type(const struct xhci_context *endpoint)
{
	return endpoint->dw[1] >> 3 & 7;
}
bool xhci_set_endpoint_state(struct xhci *xhci, uint64_t gpa, struct xhci_context *endpoint, unsigned state);
void xhci_run_endpoint(struct xhci *xhci, unsigned slot, unsigned endpoint);
/* Tells of the TD that waits, if one does, and forgets that the endpoint's doorbell was rung. */
void xhci_stop_endpoint(struct xhci *xhci, unsigned slot, unsigned endpoint,
			const struct xhci_context *context);

#endif
