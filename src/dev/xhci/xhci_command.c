/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands, section 4.6, and the contexts that they change, section 6.2. */
#include <string.h>

#include "base/le.h"
#include "dev/xhci/xhci_int.h"

/* Input control context, section 6.2.5.1: the contexts to drop and to add. */
enum { INPUT_DROP = 0, INPUT_ADD = 1 };
#define INPUT_SLOT	(1u << 0)
#define INPUT_CONTROL	(1u << 1) /* the endpoint's */
#define INPUT_ENDPOINTS (~3u)

#define SLOT_ENTRIES	    (31u << SLOT_ENTRIES_SHIFT) /* dword 0 */
#define SLOT_MAX_LATENCY    0xffffu			/* dword 1 */
#define SLOT_INTERRUPTER    (0x3ffu << 22)		/* dword 2 */
#define ENDPOINT_MAX_PACKET (0xffffu << 16)		/* dword 1 */

/* A command under way. */
struct command {
	struct xhci *xhci;
	struct xhci_trb trb;
	unsigned slot;
	uint64_t device; /* the slot's device context */
};

bool xhci_read_context(struct xhci *xhci, uint64_t gpa, struct xhci_context *context)
{
	uint8_t bytes[CONTEXT_SIZE];

	if (!mem_read(xhci_mem(xhci), gpa, bytes, sizeof(bytes)))
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(context->dw); i++)
		context->dw[i] = le32_load(bytes + 4 * i);
	return true;
}

static bool write_context(struct xhci *xhci, uint64_t gpa, const struct xhci_context *context)
{
	uint8_t bytes[CONTEXT_SIZE];

	for (unsigned i = 0; i < G_N_ELEMENTS(context->dw); i++)
		le32_store(bytes + 4 * i, context->dw[i]);
	return mem_write(xhci_mem(xhci), gpa, bytes, sizeof(bytes));
}

static uint64_t context_at(uint64_t base, unsigned index)
{
	return base + (uint64_t)index * CONTEXT_SIZE;
}

bool xhci_device_context(struct xhci *xhci, unsigned slot, uint64_t *gpa)
{
	uint8_t entry[8];

	if (!mem_read(xhci_mem(xhci), xhci->dcbaap + 8 * slot, entry, sizeof(entry)))
		return false;
	*gpa = le64_load(entry) & ~63ull;
	/* Drivers that disable a slot may have cleared its entry before. */
	return *gpa && mem_is_ram(xhci_mem(xhci), *gpa);
}

static unsigned slot_state(const struct xhci_context *slot)
{
	return slot->dw[3] >> SLOT_STATE_SHIFT;
}

static void set_slot_state(struct xhci_context *slot, unsigned state, uint8_t address)
{
	slot->dw[3] = state << SLOT_STATE_SHIFT | address;
}

/* What a slot context says is at its root hub port; we have no hubs. */
static struct usb_device *find_device(const struct xhci *xhci, const struct xhci_context *slot)
{
	unsigned port = slot->dw[1] >> 16 & 0xff;
	uint32_t route = slot->dw[0] & 0xfffff;

	if (!port || port > XHCI_PORTS || route || !xhci_port_is_enabled(xhci, port - 1))
		return NULL;
	return xhci->devices[port - 1];
}

struct usb_device *xhci_slot_device(struct xhci *xhci, unsigned slot)
{
	struct xhci_context context;
	uint64_t gpa;

	if (!xhci_device_context(xhci, slot, &gpa) || !xhci_read_context(xhci, gpa, &context) ||
	    slot_state(&context) == SLOT_DISABLED)
		return NULL;
	return find_device(xhci, &context);
}

static void forget_endpoints(struct xhci *xhci, unsigned slot, uint32_t endpoints)
{
	xhci->rung[slot] &= ~endpoints;
	xhci->waiting[slot] &= ~endpoints;
}

static enum xhci_code no_op(struct command *c)
{
	return CC_SUCCESS;
}

static enum xhci_code enable_slot(struct command *c)
{
	unsigned enabled = MIN(c->xhci->config & 0xff, XHCI_SLOTS);

	for (unsigned slot = 1; slot <= enabled; slot++) {
		if (c->xhci->slots >> slot & 1)
			continue;
		c->xhci->slots |= 1u << slot;
		c->slot = slot;
		forget_endpoints(c->xhci, slot, ~0u);
		return CC_SUCCESS;
	}
	return CC_NO_SLOTS;
}

static enum xhci_code disable_slot(struct command *c)
{
	struct xhci_context slot;

	c->xhci->slots &= ~(1u << c->slot);
	forget_endpoints(c->xhci, c->slot, ~0u);
	if (c->device && xhci_read_context(c->xhci, c->device, &slot)) {
		set_slot_state(&slot, SLOT_DISABLED, 0);
		write_context(c->xhci, c->device, &slot);
	}
	return CC_SUCCESS;
}

static bool read_input(const struct command *c, unsigned index, struct xhci_context *context)
{
	return xhci_read_context(c->xhci, context_at(c->trb.parameter & ~15ull, index), context);
}

static bool endpoint_is_good(const struct xhci_context *endpoint, unsigned index)
{
	unsigned type = endpoint_type(endpoint);

	if (index == 1)
		return type == EP_TYPE_CONTROL;
	/* Bulk and interrupt: OUT 2 and 3, IN 6 and 7. */
	return (type & 3) >= 2 && !!(type & 4) == index % 2;
}

/* Section 4.6.5. */
static enum xhci_code address_device(struct command *c)
{
	bool block = c->trb.control & TRB_BSR;
	struct xhci_context control, slot, endpoint, old;

	if (!read_input(c, 0, &control) || !read_input(c, 1, &slot) || !read_input(c, 2, &endpoint) ||
	    !xhci_read_context(c->xhci, c->device, &old))
		return CC_TRB_ERROR;
	if ((control.dw[INPUT_ADD] & (INPUT_SLOT | INPUT_CONTROL)) != (INPUT_SLOT | INPUT_CONTROL) ||
	    !endpoint_is_good(&endpoint, 1))
		return CC_PARAMETER_ERROR;
	if (slot_state(&old) > (block ? SLOT_DISABLED : SLOT_DEFAULT))
		return CC_CONTEXT_STATE_ERROR;
	if (!find_device(c->xhci, &slot))
		return CC_TRANSACTION_ERROR;
	set_slot_state(&slot, block ? SLOT_DEFAULT : SLOT_ADDRESSED, block ? 0 : c->slot);
	endpoint.dw[0] = (endpoint.dw[0] & ~EP_STATE_MASK) | EP_RUNNING;
	forget_endpoints(c->xhci, c->slot, ~0u);
	if (!write_context(c->xhci, context_at(c->device, 1), &endpoint) ||
	    !write_context(c->xhci, c->device, &slot))
		return CC_TRB_ERROR;
	return CC_SUCCESS;
}

static bool disable_endpoints(struct command *c, uint32_t endpoints)
{
	forget_endpoints(c->xhci, c->slot, endpoints);
	for (unsigned i = 2; i < XHCI_ENDPOINTS; i++) {
		uint64_t gpa = context_at(c->device, i);
		struct xhci_context endpoint;

		if (endpoints >> i & 1 && (!xhci_read_context(c->xhci, gpa, &endpoint) ||
					   !xhci_set_endpoint_state(c->xhci, gpa, &endpoint, EP_DISABLED)))
			return false;
	}
	return true;
}

/* Checks all of them before one is taken. */
static enum xhci_code add_endpoints(struct command *c, uint32_t endpoints)
{
	struct xhci_context added[XHCI_ENDPOINTS];

	for (unsigned i = 2; i < XHCI_ENDPOINTS; i++) {
		if (!(endpoints >> i & 1))
			continue;
		if (!read_input(c, i + 1, &added[i]))
			return CC_TRB_ERROR;
		if (!endpoint_is_good(&added[i], i))
			return CC_PARAMETER_ERROR;
		added[i].dw[0] = (added[i].dw[0] & ~EP_STATE_MASK) | EP_RUNNING;
	}
	for (unsigned i = 2; i < XHCI_ENDPOINTS; i++) {
		if (endpoints >> i & 1 && !write_context(c->xhci, context_at(c->device, i), &added[i]))
			return CC_TRB_ERROR;
	}
	return CC_SUCCESS;
}

/* Section 4.6.6. */
static enum xhci_code configure_endpoint(struct command *c)
{
	struct xhci_context control, slot, input;
	enum xhci_code code;
	bool configured;

	if (!xhci_read_context(c->xhci, c->device, &slot))
		return CC_TRB_ERROR;
	if (slot_state(&slot) < SLOT_ADDRESSED)
		return CC_CONTEXT_STATE_ERROR;
	if (c->trb.control & TRB_DECONFIGURE) {
		if (!disable_endpoints(c, INPUT_ENDPOINTS))
			return CC_TRB_ERROR;
		configured = false;
	} else {
		if (!read_input(c, 0, &control) || !read_input(c, 1, &input))
			return CC_TRB_ERROR;
		if (control.dw[INPUT_DROP] & ~INPUT_ENDPOINTS || control.dw[INPUT_ADD] & INPUT_CONTROL)
			return CC_PARAMETER_ERROR;
		/* What is both dropped and added is reconfigured. */
		if (!disable_endpoints(c, control.dw[INPUT_DROP]))
			return CC_TRB_ERROR;
		code = add_endpoints(c, control.dw[INPUT_ADD] & INPUT_ENDPOINTS);
		if (code != CC_SUCCESS)
			return code;
		slot.dw[0] = (slot.dw[0] & ~SLOT_ENTRIES) | (input.dw[0] & SLOT_ENTRIES);
		configured = slot.dw[0] >> SLOT_ENTRIES_SHIFT > 1;
	}
	set_slot_state(&slot, configured ? SLOT_CONFIGURED : SLOT_ADDRESSED, slot.dw[3]);
	return write_context(c->xhci, c->device, &slot) ? CC_SUCCESS : CC_TRB_ERROR;
}

static bool replace(struct xhci *xhci, uint64_t gpa, unsigned dword, uint32_t mask,
		    const struct xhci_context *from)
{
	struct xhci_context context;

	if (!xhci_read_context(xhci, gpa, &context))
		return false;
	context.dw[dword] = (context.dw[dword] & ~mask) | (from->dw[dword] & mask);
	return write_context(xhci, gpa, &context);
}

/* Section 4.6.7. */
static enum xhci_code evaluate_context(struct command *c)
{
	struct xhci_context control, slot, endpoint, old;
	uint32_t add;

	if (!read_input(c, 0, &control) || !read_input(c, 1, &slot) || !read_input(c, 2, &endpoint) ||
	    !xhci_read_context(c->xhci, c->device, &old))
		return CC_TRB_ERROR;
	add = control.dw[INPUT_ADD];
	if (slot_state(&old) == SLOT_DISABLED)
		return CC_CONTEXT_STATE_ERROR;
	if (add & INPUT_SLOT && (!replace(c->xhci, c->device, 1, SLOT_MAX_LATENCY, &slot) ||
				 !replace(c->xhci, c->device, 2, SLOT_INTERRUPTER, &slot)))
		return CC_TRB_ERROR;
	if (add & INPUT_CONTROL &&
	    !replace(c->xhci, context_at(c->device, 1), 1, ENDPOINT_MAX_PACKET, &endpoint))
		return CC_TRB_ERROR;
	return CC_SUCCESS;
}

/* The endpoint that a command names; false: it has none. */
static bool find_endpoint(const struct command *c, unsigned *index, uint64_t *gpa,
			  struct xhci_context *endpoint)
{
	*index = c->trb.control >> 16 & 31;
	*gpa = context_at(c->device, *index);
	return *index && xhci_read_context(c->xhci, *gpa, endpoint);
}

/* Section 4.6.8. */
static enum xhci_code reset_endpoint(struct command *c)
{
	struct xhci_context endpoint;
	unsigned index;
	uint64_t gpa;

	if (!find_endpoint(c, &index, &gpa, &endpoint))
		return CC_TRB_ERROR;
	if (endpoint_state(&endpoint) != EP_HALTED)
		return CC_CONTEXT_STATE_ERROR;
	forget_endpoints(c->xhci, c->slot, 1u << index);
	return xhci_set_endpoint_state(c->xhci, gpa, &endpoint, EP_STOPPED) ? CC_SUCCESS : CC_TRB_ERROR;
}

/* Section 4.6.9. */
static enum xhci_code stop_endpoint(struct command *c)
{
	struct xhci_context endpoint;
	unsigned index;
	uint64_t gpa;

	if (!find_endpoint(c, &index, &gpa, &endpoint))
		return CC_TRB_ERROR;
	if (endpoint_state(&endpoint) != EP_RUNNING)
		return CC_CONTEXT_STATE_ERROR;
	xhci_stop_endpoint(c->xhci, c->slot, index, &endpoint);
	return xhci_set_endpoint_state(c->xhci, gpa, &endpoint, EP_STOPPED) ? CC_SUCCESS : CC_TRB_ERROR;
}

/* Section 4.6.10. */
static enum xhci_code set_dequeue(struct command *c)
{
	struct xhci_context endpoint;
	unsigned index;
	uint64_t gpa;

	if (!find_endpoint(c, &index, &gpa, &endpoint))
		return CC_TRB_ERROR;
	if (endpoint_state(&endpoint) != EP_STOPPED && endpoint_state(&endpoint) != EP_ERROR)
		return CC_CONTEXT_STATE_ERROR;
	forget_endpoints(c->xhci, c->slot, 1u << index);
	endpoint.dw[0] = (endpoint.dw[0] & ~EP_STATE_MASK) | EP_STOPPED;
	endpoint.dw[2] = c->trb.parameter & ~0xeull;
	endpoint.dw[3] = c->trb.parameter >> 32;
	return write_context(c->xhci, gpa, &endpoint) ? CC_SUCCESS : CC_TRB_ERROR;
}

/* Section 4.6.11: the guest has reset the port, or is about to. */
static enum xhci_code reset_device(struct command *c)
{
	struct xhci_context slot;

	if (!xhci_read_context(c->xhci, c->device, &slot))
		return CC_TRB_ERROR;
	if (slot_state(&slot) < SLOT_ADDRESSED)
		return CC_CONTEXT_STATE_ERROR;
	forget_endpoints(c->xhci, c->slot, ~0u);
	set_slot_state(&slot, SLOT_DEFAULT, 0);
	slot.dw[0] = (slot.dw[0] & ~SLOT_ENTRIES) | 1u << SLOT_ENTRIES_SHIFT;
	if (!disable_endpoints(c, INPUT_ENDPOINTS) || !write_context(c->xhci, c->device, &slot))
		return CC_TRB_ERROR;
	return CC_SUCCESS;
}

static const struct {
	enum trb_type type;
	bool slot, context; /* needs an enabled slot; and its device context */
	enum xhci_code (*run)(struct command *c);
} commands[] = {
	{TRB_ENABLE_SLOT, false, false, enable_slot},
	{TRB_DISABLE_SLOT, true, false, disable_slot},
	{TRB_ADDRESS_DEVICE, true, true, address_device},
	{TRB_CONFIGURE_ENDPOINT, true, true, configure_endpoint},
	{TRB_EVALUATE_CONTEXT, true, true, evaluate_context},
	{TRB_RESET_ENDPOINT, true, true, reset_endpoint},
	{TRB_STOP_ENDPOINT, true, true, stop_endpoint},
	{TRB_SET_DEQUEUE, true, true, set_dequeue},
	{TRB_RESET_DEVICE, true, true, reset_device},
	{TRB_NO_OP_COMMAND, false, false, no_op},
};

static bool slot_is_enabled(const struct xhci *xhci, unsigned slot)
{
	return slot && slot <= XHCI_SLOTS && xhci->slots >> slot & 1;
}

static enum xhci_code run_command(struct command *c)
{
	unsigned slot = c->trb.control >> 24;

	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (commands[i].type != trb_type(&c->trb))
			continue;
		if (!commands[i].slot)
			return commands[i].run(c);
		c->slot = slot;
		if (!slot_is_enabled(c->xhci, slot))
			return CC_SLOT_NOT_ENABLED;
		if (!xhci_device_context(c->xhci, slot, &c->device)) {
			if (commands[i].context)
				return CC_PARAMETER_ERROR;
			c->device = 0;
		}
		return commands[i].run(c);
	}
	return CC_TRB_ERROR;
}

static void post(struct xhci *xhci, uint64_t gpa, enum xhci_code code, unsigned slot)
{
	xhci_post_event(xhci, gpa, (uint32_t)code << 24, TRB_COMMAND_EVENT << 10 | slot << 24);
}

/* Stop Endpoint brings two events. */
#define COMMAND_EVENTS 2

void xhci_run_commands(struct xhci *xhci)
{
	while (xhci->command_rung && xhci->budget && xhci_is_running(xhci)) {
		struct xhci_ring ring = {xhci->command_gpa, xhci->command_cycle};
		struct command c = {.xhci = xhci};
		enum ring_result result = xhci_ring_next(xhci, &ring, &c.trb);
		enum xhci_code code;

		xhci->budget--;
		if (result == RING_BAD)
			xhci_fail(xhci);
		if (result != RING_TRB) {
			xhci->command_rung = false;
			return;
		}
		if (xhci_event_room(xhci) < COMMAND_EVENTS)
			return;
		xhci->command_gpa = ring.gpa;
		xhci->command_cycle = ring.cycle;
		code = run_command(&c);
		trace_xhci_command(xhci->pci.device.env->trace, TRACE_NO_VCPU, trb_type(&c.trb), c.slot,
				   code);
		post(xhci, c.trb.gpa, code, c.slot);
	}
}

void xhci_stop_commands(struct xhci *xhci)
{
	if (!xhci->command_running)
		return;
	xhci->command_running = xhci->command_rung = false;
	if (xhci_event_room(xhci))
		post(xhci, xhci->command_gpa, CC_COMMAND_RING_STOPPED, 0);
}
