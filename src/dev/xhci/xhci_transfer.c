/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfer descriptors, sections 4.10 and 4.11. */
#include <string.h>

#include "base/le.h"
#include "dev/xhci/xhci_int.h"

#define MAX_TRBS 64 /* of a TD */

/* A TD; of a control endpoint, a setup, a data and a status stage, which are TDs of their own, at once. */
struct td {
	unsigned slot, endpoint;
	unsigned n;
	struct xhci_trb trbs[MAX_TRBS];
};

static uint32_t trb_len(const struct xhci_trb *trb)
{
	return trb->status & 0x1ffff;
}

static bool has_data(const struct xhci_trb *trb)
{
	return trb_type(trb) == TRB_NORMAL || trb_type(trb) == TRB_DATA;
}

bool xhci_set_endpoint_state(struct xhci *xhci, uint64_t gpa, struct xhci_context *endpoint, unsigned state)
{
	uint8_t bytes[4];

	endpoint->dw[0] = (endpoint->dw[0] & ~EP_STATE_MASK) | state;
	le32_store(bytes, endpoint->dw[0]);
	return mem_write(xhci_mem(xhci), gpa, bytes, sizeof(bytes));
}

static struct xhci_ring ring_of(const struct xhci_context *endpoint)
{
	uint64_t dequeue = endpoint->dw[2] | (uint64_t)endpoint->dw[3] << 32;

	return (struct xhci_ring){dequeue & ~15ull, dequeue & 1};
}

static bool set_ring(struct xhci *xhci, uint64_t gpa, struct xhci_context *endpoint,
		     const struct xhci_ring *ring)
{
	uint8_t bytes[8];

	endpoint->dw[2] = ring->gpa | ring->cycle;
	endpoint->dw[3] = ring->gpa >> 32;
	le64_store(bytes, ring->gpa | ring->cycle);
	return mem_write(xhci_mem(xhci), gpa + 8, bytes, sizeof(bytes));
}

/* Whether the TD ends with its last TRB. */
static bool is_complete(const struct td *td)
{
	const struct xhci_trb *last = &td->trbs[td->n - 1];
	bool status = false;

	if (last->control & TRB_CHAIN)
		return false;
	for (unsigned i = 0; i < td->n; i++)
		status = status || trb_type(&td->trbs[i]) == TRB_STATUS;
	return trb_type(&td->trbs[0]) != TRB_SETUP || status;
}

/* All of a TD, or RING_EMPTY while the guest has not given all of it. */
static enum ring_result read_td(struct xhci *xhci, struct xhci_ring *ring, struct td *td)
{
	for (td->n = 0; td->n < MAX_TRBS;) {
		enum ring_result result = xhci_ring_next(xhci, ring, &td->trbs[td->n]);

		if (result != RING_TRB)
			return result;
		td->n++;
		if (is_complete(td))
			return RING_TRB;
	}
	return RING_BAD;
}

/* Events that the TD's end can bring. */
static unsigned events_of(const struct td *td)
{
	unsigned n = 1;

	for (unsigned i = 0; i < td->n; i++)
		n += (td->trbs[i].control & (TRB_IOC | TRB_ISP)) != 0;
	return n;
}

static void post(struct xhci *xhci, const struct td *td, uint64_t parameter, enum xhci_code code,
		 uint32_t len, uint32_t flags)
{
	xhci_post_event(xhci, parameter, code << 24 | len,
			TRB_TRANSFER_EVENT << 10 | td->slot << 24 | td->endpoint << 16 | flags);
}

/* Sections 4.10.1 and 4.11.5.2: `moved` bytes went well. */
static void report_success(struct xhci *xhci, const struct td *td, uint32_t moved)
{
	uint32_t sum = 0; /* EDTLA */
	bool is_short = false, told = false;

	for (unsigned i = 0; i < td->n; i++) {
		const struct xhci_trb *trb = &td->trbs[i];
		bool is_event_data = trb_type(trb) == TRB_EVENT_DATA;
		uint32_t left = 0;

		if (has_data(trb)) {
			uint32_t here = MIN(trb_len(trb), moved);

			moved -= here;
			sum += here;
			left = trb_len(trb) - here;
			is_short = is_short || left;
		} else if (trb_type(trb) == TRB_STATUS) {
			is_short = told = false; /* another TD */
		}
		if (told || !(trb->control & TRB_IOC || (is_short && trb->control & TRB_ISP)))
			continue;
		post(xhci, td, is_event_data ? trb->parameter : trb->gpa,
		     is_short ? CC_SHORT_PACKET : CC_SUCCESS, is_event_data ? sum & 0xffffff : left,
		     (is_event_data ? TRB_EVENT_IS_DATA : 0) | (trb->control & TRB_BEI));
		if (is_event_data)
			sum = 0;
		told = is_short;
	}
}

/* At the first TRB that moves data, or at the status stage's. */
static const struct xhci_trb *failing_trb(const struct td *td)
{
	for (unsigned i = 0; i < td->n; i++) {
		if (has_data(&td->trbs[i]) || trb_type(&td->trbs[i]) == TRB_STATUS)
			return &td->trbs[i];
	}
	return &td->trbs[0];
}

/* The TD's data in RAM, to or from `data`; at most `len` bytes. Returns how many, or -1: they are not all in
 * RAM. */
static int copy_data(struct xhci *xhci, const struct td *td, uint8_t *data, uint32_t len, bool in)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < td->n; i++) {
		const struct xhci_trb *trb = &td->trbs[i];
		uint32_t n = MIN(has_data(trb) ? trb_len(trb) : 0, len - done);
		uint8_t immediate[8];
		bool good = true;

		le64_store(immediate, trb->parameter);
		if (!n)
			continue;
		if (in)
			good = mem_write(xhci_mem(xhci), trb->parameter, data + done, n);
		else if (!(trb->control & TRB_IDT))
			good = mem_read(xhci_mem(xhci), trb->parameter, data + done, n);
		else if (n <= sizeof(immediate))
			memcpy(data + done, immediate, n);
		else
			good = false;
		if (!good)
			return -1;
		done += n;
	}
	return done;
}

static uint32_t data_len(const struct td *td)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < td->n; i++)
		len += has_data(&td->trbs[i]) ? trb_len(&td->trbs[i]) : 0;
	return len;
}

/* What a TD comes to besides what a device says. */
enum { BAD_TD = USB_STALL - 1, NO_DEVICE = USB_STALL - 2 };

/* Section 4.11.2.2: the setup packet is in the first TRB. */
static int do_control(struct xhci *xhci, struct usb_device *usb, const struct td *td)
{
	uint64_t packet = td->trbs[0].parameter;
	const struct usb_setup setup = {packet, packet >> 8, packet >> 16, packet >> 32, packet >> 48};
	int result;

	if (trb_type(&td->trbs[0]) != TRB_SETUP || !(td->trbs[0].control & TRB_IDT))
		return BAD_TD;
	memset(xhci->data, 0, sizeof(xhci->data));
	if (!(setup.request_type & USB_IN)) {
		result = copy_data(xhci, td, xhci->data, MIN(setup.length, sizeof(xhci->data)), false);
		if (result < 0 || result < MIN(setup.length, (int)sizeof(xhci->data)))
			return BAD_TD;
		return usb_control(usb, &setup, xhci->data);
	}
	result = usb_control(usb, &setup, xhci->data);
	if (result > 0 && (result = copy_data(xhci, td, xhci->data, result, true)) < 0)
		return BAD_TD;
	return result;
}

/* Our devices have no OUT endpoints but the control one. */
static int do_transfer(struct xhci *xhci, const struct td *td)
{
	struct usb_device *usb = xhci_slot_device(xhci, td->slot);
	int result;

	if (trb_type(&td->trbs[0]) == TRB_NO_OP)
		return 0;
	if (!usb)
		return NO_DEVICE;
	if (td->endpoint == 1)
		return do_control(xhci, usb, td);
	if (td->endpoint % 2 == 0)
		return USB_STALL;
	result = usb_in(usb, td->endpoint / 2, xhci->data, MIN(data_len(td), sizeof(xhci->data)));
	if (result > 0 && copy_data(xhci, td, xhci->data, result, true) < 0)
		return BAD_TD;
	return result;
}

static void report_error(struct xhci *xhci, const struct td *td, enum xhci_code code)
{
	const struct xhci_trb *trb = failing_trb(td);

	post(xhci, td, trb->gpa, code, has_data(trb) ? trb_len(trb) : 0, 0);
}

/* Section 4.8.3: the endpoint stands still until the guest has seen to it. */
static void fail_td(struct xhci *xhci, const struct td *td, uint64_t gpa, struct xhci_context *endpoint,
		    int why)
{
	switch (why) {
	case USB_STALL:
		report_error(xhci, td, CC_STALL_ERROR);
		break;
	case NO_DEVICE:
		report_error(xhci, td, CC_TRANSACTION_ERROR);
		break;
	case BAD_TD:
		report_error(xhci, td, CC_TRB_ERROR);
		break;
	}
	xhci_set_endpoint_state(xhci, gpa, endpoint, why == BAD_TD ? EP_ERROR : EP_HALTED);
}

enum td_result {
	TD_DONE,
	TD_NONE,  /* the ring is empty */
	TD_WAITS, /* until the device has something */
	TD_NO_ROOM,
	TD_FAILED,
};

/* The next TD of an endpoint that runs; its context is at `gpa`. */
static enum td_result run_td(struct xhci *xhci, struct td *td, uint64_t gpa, struct xhci_context *endpoint)
{
	struct xhci_ring ring = ring_of(endpoint);
	enum ring_result result = read_td(xhci, &ring, td);
	int moved;

	if (result == RING_EMPTY)
		return TD_NONE;
	if (!td->n)
		td->trbs[td->n++] = (struct xhci_trb){.gpa = ring.gpa};
	if (xhci_event_room(xhci) < events_of(td))
		return TD_NO_ROOM;
	moved = result == RING_BAD ? BAD_TD : do_transfer(xhci, td);
	if (moved == USB_NAK)
		return TD_WAITS;
	trace_xhci_transfer(xhci->pci.device.env->trace, TRACE_NO_VCPU, td->slot, td->endpoint, moved);
	if (moved < 0) {
		fail_td(xhci, td, gpa, endpoint, moved);
		return TD_FAILED;
	}
	if (!set_ring(xhci, gpa, endpoint, &ring))
		return TD_FAILED;
	report_success(xhci, td, moved);
	return TD_DONE;
}

/* An endpoint that can run, with its context; a doorbell starts one that is stopped (section 4.8.3). */
static bool find_endpoint(struct xhci *xhci, unsigned slot, unsigned index, uint64_t *gpa,
			  struct xhci_context *endpoint)
{
	if (!xhci_device_context(xhci, slot, gpa))
		return false;
	*gpa += (uint64_t)index * CONTEXT_SIZE;
	if (!xhci_read_context(xhci, *gpa, endpoint))
		return false;
	if (endpoint_state(endpoint) == EP_STOPPED &&
	    !xhci_set_endpoint_state(xhci, *gpa, endpoint, EP_RUNNING))
		return false;
	return endpoint_state(endpoint) == EP_RUNNING;
}

void xhci_run_endpoint(struct xhci *xhci, unsigned slot, unsigned index)
{
	struct td td = {.slot = slot, .endpoint = index};
	uint32_t bit = 1u << index;
	struct xhci_context endpoint;
	uint64_t gpa;

	xhci->waiting[slot] &= ~bit;
	if (!find_endpoint(xhci, slot, index, &gpa, &endpoint)) {
		xhci->rung[slot] &= ~bit;
		return;
	}
	while (xhci->budget && xhci_is_running(xhci)) {
		enum td_result result = run_td(xhci, &td, gpa, &endpoint);

		xhci->budget -= MIN(xhci->budget, td.n);
		if (result == TD_NO_ROOM)
			return;
		if (result == TD_DONE)
			continue;
		xhci->rung[slot] &= ~bit;
		if (result == TD_WAITS)
			xhci->waiting[slot] |= bit;
		return;
	}
}

void xhci_stop_endpoint(struct xhci *xhci, unsigned slot, unsigned index, const struct xhci_context *endpoint)
{
	struct td td = {.slot = slot, .endpoint = index};
	struct xhci_ring ring = ring_of(endpoint);
	uint32_t bit = 1u << index;
	bool waits = xhci->waiting[slot] & bit;

	xhci->rung[slot] &= ~bit;
	xhci->waiting[slot] &= ~bit;
	if (waits && read_td(xhci, &ring, &td) == RING_TRB)
		report_error(xhci, &td, CC_STOPPED);
}
