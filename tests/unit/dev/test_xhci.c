/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An xHCI driver with a keyboard and a tablet to drive: registers, rings and contexts as xHCI 1.2 has them.
 */
#include "base/le.h"
#include "dev/pci/pci.h"
#include "dev/table.h"
#include "rig.h"

#define BASE	  0xe0000000ull
#define MSIX_BASE (BASE + 0x40000)
#define DEVFN	  PCI_DEVFN(2, 0)

/* Registers; CAPLENGTH and the offsets are what test_capabilities() finds. */
enum {
	USBCMD = 0x20,
	USBSTS = 0x24,
	CRCR = 0x38,
	DCBAAP = 0x50,
	CONFIG = 0x58,
	PORTSC = 0x420,
	IMAN = 0x1020,
	ERSTSZ = 0x1028,
	ERSTBA = 0x1030,
	ERDP = 0x1038,
	DOORBELL = 0x2000,
};

/* Guest RAM. */
enum {
	DCBAA_AT = 0x1000,
	COMMANDS_AT = 0x2000,
	EVENTS_AT = 0x3000,
	ERST_AT = 0x4000,
	INPUT_AT = 0x5000,
	DEVICE_AT = 0x6000, /* a page a slot */
	RINGS_AT = 0x10000, /* a page an endpoint, 32 of them a slot */
	DATA_AT = 0x80000,
	RING_TRBS = 16, /* with the Link */
	EVENT_TRBS = 16,
};

enum {
	NORMAL = 1,
	SETUP,
	DATA,
	STATUS,
	LINK = 6,
	EVENT_DATA = 7,
	NO_OP = 8,
	ENABLE_SLOT = 9,
	DISABLE_SLOT,
	ADDRESS_DEVICE,
	CONFIGURE_ENDPOINT,
	EVALUATE_CONTEXT,
	RESET_ENDPOINT,
	STOP_ENDPOINT,
	SET_DEQUEUE,
	RESET_DEVICE,
	NO_OP_COMMAND = 23,
	TRANSFER_EVENT = 32,
	COMMAND_EVENT,
	PORT_EVENT,

	SUCCESS = 1,
	TRANSACTION_ERROR = 4,
	TRB_ERROR = 5,
	STALL = 6,
	NO_SLOTS = 9,
	SLOT_NOT_ENABLED = 11,
	SHORT_PACKET = 13,
	PARAMETER_ERROR = 17,
	CONTEXT_STATE_ERROR = 19,
	RING_STOPPED = 24,
	STOPPED = 26,

	ISP = 1 << 2,
	CHAIN = 1 << 4,
	IOC = 1 << 5,
	IDT = 1 << 6,
	KEYBOARD_PORT = 1,
	TABLET_PORT = 2,
	REPORTS = 3, /* endpoint 1 IN */
};

struct ring {
	unsigned at;
	bool cycle;
};

struct event {
	uint64_t parameter;
	uint32_t status, control;
};

struct driver {
	struct rig *rig;
	struct ring commands, endpoints[9][32];
	unsigned event_at;
	bool event_cycle;
};

static uint32_t in32(struct driver *d, unsigned reg)
{
	return bus_read(d->rig->env.bus, BUS_MMIO, BASE + reg, 4);
}

static void out32(struct driver *d, unsigned reg, uint32_t value)
{
	bus_write(d->rig->env.bus, BUS_MMIO, BASE + reg, value, 4);
}

static uint8_t *ram(struct driver *d, uint64_t gpa)
{
	return mem_hva(d->rig->env.mem, gpa);
}

static void put_trb(struct driver *d, uint64_t gpa, uint64_t parameter, uint32_t status, uint32_t control)
{
	le64_store(ram(d, gpa), parameter);
	le32_store(ram(d, gpa + 8), status);
	le32_store(ram(d, gpa + 12), control);
}

/* Puts a TRB on a ring, whose last one is a Link to its start; returns where. */
static uint64_t add_trb(struct driver *d, struct ring *ring, uint64_t base, unsigned type, uint64_t parameter,
			uint32_t status, uint32_t flags)
{
	uint64_t gpa = base + 16 * ring->at;

	put_trb(d, gpa, parameter, status, type << 10 | flags | ring->cycle);
	if (++ring->at == RING_TRBS - 1) {
		put_trb(d, base + 16 * ring->at, base, 0, LINK << 10 | 2 | (flags & CHAIN) | ring->cycle);
		ring->at = 0;
		ring->cycle = !ring->cycle;
	}
	return gpa;
}

static bool has_event(struct driver *d)
{
	return (le32_load(ram(d, EVENTS_AT + 16 * d->event_at + 12)) & 1) == d->event_cycle;
}

/* Without telling of it. */
static struct event peek_event(struct driver *d)
{
	const uint8_t *trb = ram(d, EVENTS_AT + 16 * d->event_at);
	struct event event;

	g_assert_true(has_event(d));
	event = (struct event){le64_load(trb), le32_load(trb + 8), le32_load(trb + 12)};
	if (++d->event_at == EVENT_TRBS) {
		d->event_at = 0;
		d->event_cycle = !d->event_cycle;
	}
	return event;
}

static void end_of_handling(struct driver *d)
{
	out32(d, ERDP, (EVENTS_AT + 16 * d->event_at) | 8);
	out32(d, ERDP + 4, 0);
}

static struct event next_event(struct driver *d, unsigned type)
{
	struct event event = peek_event(d);

	g_assert_cmpuint(event.control >> 10 & 0x3f, ==, type);
	end_of_handling(d);
	return event;
}

static unsigned code_of(struct event event)
{
	return event.status >> 24;
}

/* Carries a command out; its code, and the slot in it. */
static unsigned command_slot(struct driver *d, unsigned type, uint64_t parameter, uint32_t flags,
			     unsigned *slot)
{
	uint64_t at = add_trb(d, &d->commands, COMMANDS_AT, type, parameter, 0, flags);
	struct event event;

	out32(d, DOORBELL, 0);
	event = next_event(d, COMMAND_EVENT);
	g_assert_cmphex(event.parameter, ==, at);
	*slot = event.control >> 24;
	return code_of(event);
}

static unsigned command(struct driver *d, unsigned type, uint64_t parameter, uint32_t flags)
{
	unsigned slot;

	return command_slot(d, type, parameter, flags, &slot);
}

static uint64_t endpoint_ring(unsigned slot, unsigned endpoint)
{
	return RINGS_AT + (slot * 32 + endpoint) * 0x400;
}

static uint64_t endpoint_add(struct driver *d, unsigned slot, unsigned endpoint, unsigned type,
			     uint64_t parameter, uint32_t status, uint32_t flags)
{
	return add_trb(d, &d->endpoints[slot][endpoint], endpoint_ring(slot, endpoint), type, parameter,
		       status, flags);
}

static uint64_t context(unsigned slot, unsigned index)
{
	return DEVICE_AT + 0x1000 * slot + 32 * index;
}

static unsigned endpoint_state(struct driver *d, unsigned slot, unsigned endpoint)
{
	return *ram(d, context(slot, endpoint)) & 7;
}

static void start_controller(struct driver *d)
{
	out32(d, USBCMD, 2);
	g_assert_cmphex(in32(d, USBCMD), ==, 0);
	g_assert_cmphex(in32(d, USBSTS), ==, 1);
	memset(ram(d, 0), 0, DATA_AT);
	d->commands = (struct ring){0, true};
	d->event_at = 0;
	d->event_cycle = true;
	out32(d, CONFIG, 8);
	out32(d, DCBAAP, DCBAA_AT);
	out32(d, CRCR, COMMANDS_AT | 1);
	le64_store(ram(d, ERST_AT), EVENTS_AT);
	le32_store(ram(d, ERST_AT + 8), EVENT_TRBS);
	out32(d, ERSTSZ, 1);
	out32(d, ERDP, EVENTS_AT);
	out32(d, ERSTBA, ERST_AT);
	out32(d, IMAN, 2);
	out32(d, USBCMD, 5);
	g_assert_cmphex(in32(d, USBSTS) & 1, ==, 0);
	/* What is plugged in is told of. */
	g_assert_cmphex(next_event(d, PORT_EVENT).parameter, ==, KEYBOARD_PORT << 24);
	g_assert_cmphex(next_event(d, PORT_EVENT).parameter, ==, TABLET_PORT << 24);
	g_assert_false(has_event(d));
	g_string_truncate(d->rig->log, 0);
}

static void driver_init(struct driver *d)
{
	*d = (struct driver){.rig = rig_new_row(rig_row_of(&xhci_class))};
	start_controller(d);
}

static void driver_fini(struct driver *d)
{
	rig_free(d->rig);
}

static unsigned portsc(unsigned port)
{
	return PORTSC + 16 * (port - 1);
}

static void reset_port(struct driver *d, unsigned port)
{
	out32(d, portsc(port), 1 << 9 | 1 << 17); /* CSC goes */
	out32(d, portsc(port), 1 << 9 | 1 << 4);
	g_assert_cmphex(next_event(d, PORT_EVENT).parameter, ==, port << 24);
	g_assert_cmphex(in32(d, portsc(port)), ==, 0x200603); /* PRC, full speed, PP, enabled, CCS */
	out32(d, portsc(port), 1 << 9 | 1 << 21);
}

static void put_input(struct driver *d, uint32_t drop, uint32_t add, unsigned entries, unsigned port)
{
	memset(ram(d, INPUT_AT), 0, 0x1000);
	le32_store(ram(d, INPUT_AT), drop);
	le32_store(ram(d, INPUT_AT + 4), add);
	le32_store(ram(d, INPUT_AT + 32), entries << 27 | 1 << 20);
	le32_store(ram(d, INPUT_AT + 36), port << 16);
}

static void put_input_endpoint(struct driver *d, unsigned slot, unsigned endpoint, unsigned type,
			       unsigned max_packet)
{
	uint8_t *input = ram(d, INPUT_AT + 32 * (endpoint + 1));

	d->endpoints[slot][endpoint] = (struct ring){0, true};
	le32_store(input + 4, max_packet << 16 | type << 3 | 3 << 1);
	le64_store(input + 8, endpoint_ring(slot, endpoint) | 1);
}

static unsigned enable_slot(struct driver *d)
{
	unsigned slot;

	g_assert_cmpuint(command_slot(d, ENABLE_SLOT, 0, 0, &slot), ==, SUCCESS);
	le64_store(ram(d, DCBAA_AT + 8 * slot), context(slot, 0));
	return slot;
}

/* A slot with the device at a port, addressed. */
static unsigned address(struct driver *d, unsigned port)
{
	unsigned slot;

	reset_port(d, port);
	slot = enable_slot(d);
	put_input(d, 0, 3, 1, port);
	put_input_endpoint(d, slot, 1, 4, 64);
	g_assert_cmpuint(command(d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, SUCCESS);
	g_assert_cmphex(le32_load(ram(d, context(slot, 0) + 12)), ==, 2u << 27 | slot);
	g_assert_cmpuint(endpoint_state(d, slot, 1), ==, 1);
	return slot;
}

/* Setup, data and status stages, as Linux has them; the code, and in `*left` what the data stage had left. */
static unsigned control_left(struct driver *d, unsigned slot, uint64_t setup, unsigned *left)
{
	unsigned len = setup >> 48;
	bool in = setup & 0x80;
	struct event event;

	*left = 0;
	endpoint_add(d, slot, 1, SETUP, setup, 8, IDT | (len ? (in ? 3 : 2) << 16 : 0));
	if (len)
		endpoint_add(d, slot, 1, DATA, DATA_AT, len, (in ? ISP | 1 << 16 : 0));
	endpoint_add(d, slot, 1, STATUS, 0, 0, IOC | (len && in ? 0 : 1 << 16));
	out32(d, DOORBELL + 4 * slot, 1);
	event = next_event(d, TRANSFER_EVENT);
	g_assert_cmphex(event.control >> 16, ==, slot << 8 | 1);
	if (code_of(event) == SHORT_PACKET) {
		*left = event.status & 0xffffff;
		event = next_event(d, TRANSFER_EVENT);
	}
	g_assert_false(has_event(d));
	return code_of(event);
}

#define SETUP_PACKET(type, request, value, index, length)                              \
	((type) | (request) << 8 | (uint64_t)(value) << 16 | (uint64_t)(index) << 32 | \
	 (uint64_t)(length) << 48)

static unsigned control(struct driver *d, unsigned slot, uint64_t setup)
{
	unsigned left;

	return control_left(d, slot, setup, &left);
}

/* As far as reports can be asked for. */
static unsigned configure(struct driver *d, unsigned port)
{
	unsigned slot = address(d, port);

	put_input(d, 0, 1 | 1 << REPORTS, REPORTS, port);
	put_input_endpoint(d, slot, REPORTS, 7, 8);
	g_assert_cmpuint(command(d, CONFIGURE_ENDPOINT, INPUT_AT, slot << 24), ==, SUCCESS);
	g_assert_cmphex(le32_load(ram(d, context(slot, 0) + 12)), ==, 3u << 27 | slot);
	g_assert_cmpuint(control(d, slot, SETUP_PACKET(0, 9, 1, 0, 0)), ==, SUCCESS);
	return slot;
}

static uint64_t ask_report(struct driver *d, unsigned slot)
{
	uint64_t at = endpoint_add(d, slot, REPORTS, NORMAL, DATA_AT + 0x100, 8, IOC | ISP);

	memset(ram(d, DATA_AT + 0x100), 0xee, 8);
	out32(d, DOORBELL + 4 * slot, REPORTS);
	return at;
}

static void assert_report(struct driver *d, unsigned slot, const uint8_t *report, unsigned len)
{
	struct event event = next_event(d, TRANSFER_EVENT);

	g_assert_cmphex(event.control >> 16, ==, slot << 8 | REPORTS);
	g_assert_cmpuint(code_of(event), ==, len == 8 ? SUCCESS : SHORT_PACKET);
	g_assert_cmpuint(event.status & 0xffffff, ==, 8 - len);
	g_assert_cmpmem(ram(d, DATA_AT + 0x100), len, report, len);
}

#define ASSERT_REPORT(d, slot, ...) \
	assert_report(d, slot, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_capabilities(void)
{
	unsigned at, ports = 0;
	struct driver d;

	driver_init(&d);
	g_assert_cmphex(bus_read(d.rig->env.bus, BUS_MMIO, BASE, 1), ==, 0x20);
	g_assert_cmphex(bus_read(d.rig->env.bus, BUS_MMIO, BASE + 2, 2), ==, 0x0100);
	g_assert_cmphex(in32(&d, 0x04), ==, 8 << 24 | 1 << 8 | 8);
	g_assert_cmphex(in32(&d, 0x14), ==, DOORBELL);
	g_assert_cmphex(in32(&d, 0x18), ==, IMAN - 0x20);
	g_assert_cmphex(in32(&d, 0x28), ==, 1);
	/* Each port has a protocol. */
	for (at = in32(&d, 0x10) >> 16 << 2; at;
	     at = in32(&d, at) >> 8 & 0xff ? at + (in32(&d, at) >> 8 & 0xff) * 4 : 0) {
		g_assert_cmphex(in32(&d, at) & 0xff, ==, 2);
		g_assert_cmphex(in32(&d, at + 4), ==, 0x20425355);
		g_assert_cmpuint(in32(&d, at + 8) & 0xff, ==, ports + 1);
		ports += in32(&d, at + 8) >> 8 & 0xff;
	}
	g_assert_cmpuint(ports, ==, 8);
	g_assert_cmphex(in32(&d, portsc(3)), ==, 1 << 9 | 5 << 5);
	g_assert_cmphex(in32(&d, portsc(8)), ==, 1 << 9 | 5 << 5);
	driver_fini(&d);
}

static void test_ports(void)
{
	struct driver d;

	driver_init(&d);
	g_assert_cmphex(in32(&d, portsc(1)), ==, 1 << 17 | 1 << 10 | 1 << 9 | 7 << 5 | 1);
	reset_port(&d, 1);
	/* A change upon another, which has not been seen to, is not told of. */
	out32(&d, portsc(2), 1 << 9 | 1 << 4);
	g_assert_cmphex(in32(&d, portsc(2)) >> 17, ==, 1 | 1 << 4);
	g_assert_false(has_event(&d));
	/* Suspend and resume. */
	out32(&d, portsc(1), 1 << 16 | 3 << 5);
	g_assert_cmphex(in32(&d, portsc(1)) >> 5 & 15, ==, 3);
	out32(&d, portsc(1), 1 << 16 | 15 << 5);
	out32(&d, portsc(1), 1 << 16);
	g_assert_cmphex(next_event(&d, PORT_EVENT).parameter, ==, 1 << 24);
	g_assert_cmphex(in32(&d, portsc(1)), ==, 1 << 22 | 1 << 10 | 1 << 9 | 3);
	g_assert_cmphex(in32(&d, USBSTS) & 16, ==, 16);
	/* Off, by writing 1; an empty port is not reset. */
	out32(&d, portsc(1), 2);
	g_assert_cmphex(in32(&d, portsc(1)) & 2, ==, 0);
	out32(&d, portsc(4), 1 << 4);
	g_assert_false(has_event(&d));
	driver_fini(&d);
}

static void test_slots(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	g_assert_cmpuint(command(&d, NO_OP_COMMAND, 0, 0), ==, SUCCESS);
	g_assert_cmpuint(command(&d, 63, 0, 0), ==, TRB_ERROR);
	g_assert_cmpuint(command(&d, DISABLE_SLOT, 0, 1 << 24), ==, SLOT_NOT_ENABLED);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, 255u << 24), ==, SLOT_NOT_ENABLED);
	for (unsigned i = 1; i <= 8; i++)
		g_assert_cmpuint(enable_slot(&d), ==, i);
	g_assert_cmpuint(command(&d, ENABLE_SLOT, 0, 0), ==, NO_SLOTS);
	g_assert_cmpuint(command(&d, DISABLE_SLOT, 0, 3 << 24), ==, SUCCESS);
	slot = enable_slot(&d);
	g_assert_cmpuint(slot, ==, 3);
	/* No device at that port, no input context, no device context, none of the flags. */
	put_input(&d, 0, 3, 1, 3);
	put_input_endpoint(&d, slot, 1, 4, 64);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, TRANSACTION_ERROR);
	put_input(&d, 0, 3, 1, 255);
	put_input_endpoint(&d, slot, 1, 4, 64);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, TRANSACTION_ERROR);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, BASE, slot << 24), ==, TRB_ERROR);
	put_input(&d, 0, 1, 1, 1);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, PARAMETER_ERROR);
	le64_store(ram(&d, DCBAA_AT + 8 * slot), BASE);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, PARAMETER_ERROR);
	/* A driver that has cleared its context's place before: that is not address 0. */
	le64_store(ram(&d, DCBAA_AT + 8 * slot), 0);
	memset(ram(&d, 0), 0xff, 64);
	g_assert_cmpuint(command(&d, RESET_DEVICE, 0, slot << 24), ==, PARAMETER_ERROR);
	g_assert_cmpuint(command(&d, DISABLE_SLOT, 0, slot << 24), ==, SUCCESS);
	g_assert_cmphex(le64_load(ram(&d, 12)), ==, UINT64_MAX);
	driver_fini(&d);
}

/* As Linux does where it wants the address to come later. */
static void test_address_later(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	reset_port(&d, 1);
	slot = enable_slot(&d);
	put_input(&d, 0, 3, 1, 1);
	put_input_endpoint(&d, slot, 1, 4, 8);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24 | 1 << 9), ==, SUCCESS);
	g_assert_cmphex(le32_load(ram(&d, context(slot, 0) + 12)), ==, 1u << 27);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24 | 1 << 9), ==, CONTEXT_STATE_ERROR);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 6, 0x100, 0, 8)), ==, SUCCESS);
	g_assert_cmpuint(*ram(&d, DATA_AT + 7), ==, 64);
	/* The packets turn out larger; then the address. */
	put_input(&d, 0, 2, 1, 1);
	le32_store(ram(&d, INPUT_AT + 64 + 4), 64 << 16);
	g_assert_cmpuint(command(&d, EVALUATE_CONTEXT, INPUT_AT, slot << 24), ==, SUCCESS);
	g_assert_cmphex(le32_load(ram(&d, context(slot, 1) + 4)), ==, 64 << 16 | 4 << 3 | 3 << 1);
	put_input(&d, 0, 3, 1, 1);
	put_input_endpoint(&d, slot, 1, 4, 64);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, SUCCESS);
	g_assert_cmpuint(command(&d, ADDRESS_DEVICE, INPUT_AT, slot << 24), ==, CONTEXT_STATE_ERROR);
	g_assert_cmpuint(command(&d, RESET_DEVICE, 0, slot << 24), ==, SUCCESS);
	g_assert_cmphex(le32_load(ram(&d, context(slot, 0) + 12)), ==, 1u << 27);
	driver_fini(&d);
}

static void test_descriptors(void)
{
	struct driver d;
	unsigned slot, left;

	driver_init(&d);
	slot = address(&d, KEYBOARD_PORT);
	g_assert_cmpuint(control_left(&d, slot, SETUP_PACKET(0x80, 6, 0x100, 0, 64), &left), ==, SUCCESS);
	g_assert_cmpuint(left, ==, 64 - 18);
	g_assert_cmphex(le32_load(ram(&d, DATA_AT)), ==, 0x02000112);
	g_assert_cmpuint(control_left(&d, slot, SETUP_PACKET(0x80, 6, 0x200, 0, 9), &left), ==, SUCCESS);
	g_assert_cmpuint(left, ==, 0);
	g_assert_cmpuint(le16_load(ram(&d, DATA_AT + 2)), ==, 34);
	g_assert_cmpuint(control_left(&d, slot, SETUP_PACKET(0x80, 6, 0x200, 0, 255), &left), ==, SUCCESS);
	g_assert_cmpuint(left, ==, 255 - 34);
	g_assert_cmphex(le32_load(ram(&d, DATA_AT + 9 + 5)), ==, 0x00010103); /* HID, boot, keyboard */
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 6, 0x302, 0x409, 255)), ==, SUCCESS);
	g_assert_cmpmem(ram(&d, DATA_AT + 2), 6, "U\0S\0B", 6);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x81, 6, 0x2200, 0, 255)), ==, SUCCESS);
	g_assert_cmphex(le32_load(ram(&d, DATA_AT)), ==, 0x06090105);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 8, 0, 0, 1)), ==, SUCCESS);
	g_assert_cmpuint(*ram(&d, DATA_AT), ==, 0);
	driver_fini(&d);
}

/* What the device has not stalls, and the driver goes on as the specification says. */
static void test_stall(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = address(&d, KEYBOARD_PORT);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 6, 0x600, 0, 10)), ==, STALL);
	g_assert_cmpuint(endpoint_state(&d, slot, 1), ==, 2);
	/* It stands still until it is reset and told where to go on. */
	out32(&d, DOORBELL + 4 * slot, 1);
	g_assert_false(has_event(&d));
	g_assert_cmpuint(command(&d, STOP_ENDPOINT, 0, slot << 24 | 1 << 16), ==, CONTEXT_STATE_ERROR);
	g_assert_cmpuint(command(&d, SET_DEQUEUE, 0, slot << 24 | 1 << 16), ==, CONTEXT_STATE_ERROR);
	g_assert_cmpuint(command(&d, RESET_ENDPOINT, 0, slot << 24 | 1 << 16), ==, SUCCESS);
	g_assert_cmpuint(endpoint_state(&d, slot, 1), ==, 3);
	g_assert_cmpuint(
		command(&d, SET_DEQUEUE,
			(endpoint_ring(slot, 1) + 16 * d.endpoints[slot][1].at) | d.endpoints[slot][1].cycle,
			slot << 24 | 1 << 16),
		==, SUCCESS);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 6, 0x100, 0, 18)), ==, SUCCESS);
	/* Many: over the ring's end, too. */
	for (unsigned i = 0; i < 20; i++)
		g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 0, 0, 0, 2)), ==, SUCCESS);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x40, 1, 2, 3, 0)), ==, STALL);
	/* A port that is off. */
	slot = address(&d, TABLET_PORT);
	out32(&d, portsc(TABLET_PORT), 2);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 0, 0, 0, 2)), ==, TRANSACTION_ERROR);
	driver_fini(&d);
}

static void test_keyboard(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	ask_report(&d, slot);
	g_assert_false(has_event(&d));
	input_key(d.rig->input, KEY_LEFTSHIFT, true);
	ASSERT_REPORT(&d, slot, 2, 0, 0, 0, 0, 0, 0, 0);
	/* Faster than the driver asks: in order, a report each. */
	input_key(d.rig->input, KEY_A, true);
	input_key(d.rig->input, KEY_B, true);
	input_key(d.rig->input, KEY_A, false);
	ask_report(&d, slot);
	ASSERT_REPORT(&d, slot, 2, 0, 4, 0, 0, 0, 0, 0);
	ask_report(&d, slot);
	ASSERT_REPORT(&d, slot, 2, 0, 4, 5, 0, 0, 0, 0);
	ask_report(&d, slot);
	ASSERT_REPORT(&d, slot, 2, 0, 5, 0, 0, 0, 0, 0);
	ask_report(&d, slot);
	g_assert_false(has_event(&d));
	input_key(d.rig->input, KEY_LEFTSHIFT, false);
	ASSERT_REPORT(&d, slot, 0, 0, 5, 0, 0, 0, 0, 0);
	/* Lights. */
	*ram(&d, DATA_AT) = 2;
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x21, 9, 0x200, 0, 1)), ==, SUCCESS);
	*ram(&d, DATA_AT) = 0;
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0xa1, 1, 0x200, 0, 1)), ==, SUCCESS);
	g_assert_cmpuint(*ram(&d, DATA_AT), ==, 2);
	driver_fini(&d);
}

/* A driver that asks for nothing for long: no key stays down. Seven keys at a time are too many to tell. */
static void test_many_keys(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	ask_report(&d, slot);
	for (unsigned i = 0; i < 100; i++)
		input_key(d.rig->input, KEY_1 + i % 7, true);
	ASSERT_REPORT(&d, slot, 0, 0, 0x1e, 0, 0, 0, 0, 0);
	for (unsigned i = 0; i < 7; i++)
		input_key(d.rig->input, KEY_1 + i, false);
	for (unsigned i = 0; i < 6; i++) {
		ask_report(&d, slot);
		next_event(&d, TRANSFER_EVENT);
	}
	g_assert_cmphex(le64_load(ram(&d, DATA_AT + 0x100)), ==, 0x0101010101010000);
	for (unsigned i = 0; i < 32 - 6 + 7; i++) {
		ask_report(&d, slot);
		next_event(&d, TRANSFER_EVENT);
	}
	g_assert_cmphex(le64_load(ram(&d, DATA_AT + 0x100)), ==, 0);
	ask_report(&d, slot);
	g_assert_false(has_event(&d));
	driver_fini(&d);
}

/* SeaBIOS has the keyboard repeat its report, and repeats keys by that. */
static void test_idle(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x21, 10, 8 << 8, 0, 0)), ==, SUCCESS);
	ask_report(&d, slot);
	input_key(d.rig->input, KEY_A, true);
	ASSERT_REPORT(&d, slot, 0, 0, 4, 0, 0, 0, 0, 0);
	ask_report(&d, slot);
	clock_step(d.rig->env.clock, 31 * MS);
	g_assert_false(has_event(&d));
	clock_step(d.rig->env.clock, 1 * MS);
	ASSERT_REPORT(&d, slot, 0, 0, 4, 0, 0, 0, 0, 0);
	driver_fini(&d);
}

static void test_tablet(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, TABLET_PORT);
	ask_report(&d, slot);
	input_place(d.rig->input, 100, 0, 101, 101);
	ASSERT_REPORT(&d, slot, 0, 0xff, 0x7f, 0, 0, 0);
	/* Movement adds up, clicks do not. */
	input_place(d.rig->input, 0, 0, 101, 101);
	input_place(d.rig->input, 0, 100, 101, 101);
	input_wheel(d.rig->input, 2);
	input_wheel(d.rig->input, -3);
	input_button(d.rig->input, BTN_RIGHT, true);
	input_button(d.rig->input, BTN_RIGHT, false);
	ask_report(&d, slot);
	ASSERT_REPORT(&d, slot, 0, 0, 0, 0xff, 0x7f, 0xff);
	ask_report(&d, slot);
	ASSERT_REPORT(&d, slot, 2, 0, 0, 0xff, 0x7f, 0);
	ask_report(&d, slot);
	ASSERT_REPORT(&d, slot, 0, 0, 0, 0xff, 0x7f, 0);
	ask_report(&d, slot);
	g_assert_false(has_event(&d));
	/* Repeated, the wheel's turn would be another one. */
	input_wheel(d.rig->input, 1);
	ASSERT_REPORT(&d, slot, 0, 0, 0, 0xff, 0x7f, 1);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x21, 10, 1 << 8, 0, 0)), ==, SUCCESS);
	ask_report(&d, slot);
	clock_step(d.rig->env.clock, 4 * MS);
	ASSERT_REPORT(&d, slot, 0, 0, 0, 0xff, 0x7f, 0);
	driver_fini(&d);
}

/* The keys go to the USB keyboard while a driver polls it, and not before or after. */
static void test_listening(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	g_string_truncate(d.rig->log, 0);
	input_key(d.rig->input, KEY_A, true);
	rig_assert_log(d.rig, "older:0 ");
	ask_report(&d, slot);
	input_key(d.rig->input, KEY_B, true);
	ASSERT_REPORT(&d, slot, 0, 0, 5, 0, 0, 0, 0, 0);
	out32(&d, USBCMD, 2);
	g_string_truncate(d.rig->log, 0);
	input_key(d.rig->input, KEY_C, true);
	rig_assert_log(d.rig, "older:0 ");
	driver_fini(&d);
}

static void test_stop(void)
{
	struct event event;
	struct driver d;
	unsigned slot;
	uint64_t at;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	at = ask_report(&d, slot);
	/* The TD that waits is told of before the command. */
	add_trb(&d, &d.commands, COMMANDS_AT, STOP_ENDPOINT, 0, 0, slot << 24 | REPORTS << 16);
	out32(&d, DOORBELL, 0);
	event = next_event(&d, TRANSFER_EVENT);
	g_assert_cmpuint(code_of(event), ==, STOPPED);
	g_assert_cmphex(event.parameter, ==, at);
	g_assert_cmpuint(event.status & 0xffffff, ==, 8);
	g_assert_cmpuint(code_of(next_event(&d, COMMAND_EVENT)), ==, SUCCESS);
	g_assert_cmpuint(endpoint_state(&d, slot, REPORTS), ==, 3);
	input_key(d.rig->input, KEY_A, true);
	g_assert_false(has_event(&d));
	/* Its dequeue pointer still names the TD, which the doorbell starts again. */
	g_assert_cmphex(le64_load(ram(&d, context(slot, REPORTS) + 8)), ==, at | 1);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	ASSERT_REPORT(&d, slot, 0, 0, 4, 0, 0, 0, 0, 0);
	g_assert_cmphex(le64_load(ram(&d, context(slot, REPORTS) + 8)), ==, (at + 16) | 1);
	/* Dropped, it is of no use; nor is the slot when it is disabled. */
	put_input(&d, 1 << REPORTS, 1, 1, 1);
	g_assert_cmpuint(command(&d, CONFIGURE_ENDPOINT, INPUT_AT, slot << 24), ==, SUCCESS);
	ask_report(&d, slot);
	input_key(d.rig->input, KEY_B, true);
	g_assert_false(has_event(&d));
	driver_fini(&d);
}

/* TDs of several TRBs; with an Event Data TRB at its end, as Windows has them. */
static void test_chains(void)
{
	struct event event;
	struct driver d;
	unsigned slot;
	uint64_t at;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	endpoint_add(&d, slot, REPORTS, NORMAL, DATA_AT + 0x100, 3, CHAIN);
	endpoint_add(&d, slot, REPORTS, NORMAL, DATA_AT + 0x200, 2, CHAIN);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	/* Not all of it is there. */
	g_assert_false(has_event(&d));
	endpoint_add(&d, slot, REPORTS, NORMAL, DATA_AT + 0x300, 100, CHAIN);
	endpoint_add(&d, slot, REPORTS, EVENT_DATA, 0x123456789abcdef0, 0, IOC);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	ask_report(&d, slot);
	input_key(d.rig->input, KEY_LEFTCTRL, true);
	input_key(d.rig->input, KEY_A, true);
	event = next_event(&d, TRANSFER_EVENT);
	g_assert_cmphex(event.parameter, ==, 0x123456789abcdef0);
	g_assert_cmpuint(code_of(event), ==, SHORT_PACKET);
	g_assert_cmpuint(event.status & 0xffffff, ==, 8);
	g_assert_cmphex(event.control & 4, ==, 4);
	ASSERT_REPORT(&d, slot, 1, 0, 4, 0, 0, 0, 0, 0);
	/* What is short is told of once, where it ended. */
	endpoint_add(&d, slot, REPORTS, NORMAL, DATA_AT + 0x100, 6, CHAIN | ISP);
	at = endpoint_add(&d, slot, REPORTS, NORMAL, DATA_AT + 0x200, 100, CHAIN | ISP);
	endpoint_add(&d, slot, REPORTS, NORMAL, DATA_AT + 0x300, 100, ISP | IOC);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	input_key(d.rig->input, KEY_A, false);
	event = next_event(&d, TRANSFER_EVENT);
	g_assert_cmphex(event.parameter, ==, at);
	g_assert_cmpuint(event.status & 0xffffff, ==, 98);
	g_assert_false(has_event(&d));
	driver_fini(&d);
}

/* An event ring that nobody empties: what would have filled it waits, and none is lost. */
static void test_full_event_ring(void)
{
	enum { COMMANDS = 24 };
	unsigned seen = 0, slot;
	struct driver d;

	driver_init(&d);
	for (unsigned i = 0; i < RING_TRBS - 2; i++)
		add_trb(&d, &d.commands, COMMANDS_AT, NO_OP_COMMAND, 0, 0, 0);
	out32(&d, DOORBELL, 0);
	while (has_event(&d)) {
		peek_event(&d);
		seen++;
	}
	g_assert_cmpuint(seen, ==, RING_TRBS - 2);
	for (unsigned i = seen; i < COMMANDS; i++)
		add_trb(&d, &d.commands, COMMANDS_AT, NO_OP_COMMAND, 0, 0, 0);
	out32(&d, DOORBELL, 0);
	g_assert_false(has_event(&d));
	reset_port(&d, KEYBOARD_PORT);
	while (has_event(&d)) {
		next_event(&d, COMMAND_EVENT);
		seen++;
	}
	g_assert_cmpuint(seen, ==, COMMANDS);
	/* The same with transfers. */
	slot = address(&d, KEYBOARD_PORT);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < RING_TRBS - 4; k++)
			endpoint_add(&d, slot, 1, NO_OP, 0, 0, IOC);
		out32(&d, DOORBELL + 4 * slot, 1);
	}
	for (seen = 0; has_event(&d); seen++)
		next_event(&d, TRANSFER_EVENT);
	g_assert_cmpuint(seen, ==, 2 * (RING_TRBS - 4));
	driver_fini(&d);
}

/* One message until the driver says that it has handled the events; then another if there are more. */
static void test_interrupts(void)
{
	struct driver d;

	driver_init(&d);
	bus_write(d.rig->env.bus, BUS_MMIO, MSIX_BASE, 0xfee00000, 4);
	bus_write(d.rig->env.bus, BUS_MMIO, MSIX_BASE + 8, 0x41, 4);
	bus_write(d.rig->env.bus, BUS_MMIO, MSIX_BASE + 12, 0, 4);
	rig_config_write(d.rig, DEVFN, 0x40, 0x80000011);
	out32(&d, IMAN, 3);
	g_string_truncate(d.rig->log, 0);
	for (unsigned i = 0; i < 2; i++)
		add_trb(&d, &d.commands, COMMANDS_AT, NO_OP_COMMAND, 0, 0, 0);
	out32(&d, DOORBELL, 0);
	rig_assert_log(d.rig, "msi:fee00000:41 ");
	g_assert_cmphex(in32(&d, IMAN), ==, 2);
	g_assert_cmphex(in32(&d, ERDP) & 8, ==, 8);
	next_event(&d, COMMAND_EVENT);
	rig_assert_log(d.rig, "msi:fee00000:41 ");
	next_event(&d, COMMAND_EVENT);
	rig_assert_log(d.rig, "");
	/* By wire. */
	rig_config_write(d.rig, DEVFN, 0x40, 0x11);
	add_trb(&d, &d.commands, COMMANDS_AT, NO_OP_COMMAND, 0, 0, 0);
	out32(&d, DOORBELL, 0);
	g_assert_true(rig_line(d.rig, PCI_GSI_BASE + 1));
	out32(&d, USBSTS, 8);
	out32(&d, IMAN, 3);
	g_assert_false(rig_line(d.rig, PCI_GSI_BASE + 1));
	g_assert_cmphex(in32(&d, USBSTS) & 8, ==, 0);
	driver_fini(&d);
}

/* Rings without an end: the controller does others' work in between. */
static void test_endless_rings(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	/* Links only. */
	put_trb(&d, endpoint_ring(slot, REPORTS), endpoint_ring(slot, REPORTS), 0, LINK << 10 | 1);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	g_assert_cmpuint(code_of(next_event(&d, TRANSFER_EVENT)), ==, TRB_ERROR);
	g_assert_cmpuint(endpoint_state(&d, slot, REPORTS), ==, 4);
	/* A TD that never ends. */
	g_assert_cmpuint(
		command(&d, SET_DEQUEUE, endpoint_ring(slot, REPORTS) | 1, slot << 24 | REPORTS << 16), ==,
		SUCCESS);
	put_trb(&d, endpoint_ring(slot, REPORTS), 0, 0, NORMAL << 10 | CHAIN | 1);
	put_trb(&d, endpoint_ring(slot, REPORTS) + 16, endpoint_ring(slot, REPORTS), 0, LINK << 10 | 1);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	g_assert_cmpuint(code_of(next_event(&d, TRANSFER_EVENT)), ==, TRB_ERROR);
	/* TDs without number, of nothing and without events; others' go on. */
	g_assert_cmpuint(
		command(&d, SET_DEQUEUE, endpoint_ring(slot, REPORTS) | 1, slot << 24 | REPORTS << 16), ==,
		SUCCESS);
	put_trb(&d, endpoint_ring(slot, REPORTS), 0, 0, NO_OP << 10 | 1);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	clock_step(d.rig->env.clock, 10 * MS);
	g_assert_cmpuint(control(&d, slot, SETUP_PACKET(0x80, 0, 0, 0, 2)), ==, SUCCESS);
	g_assert_false(has_event(&d));
	/* It ends after all. */
	put_trb(&d, endpoint_ring(slot, REPORTS) + 32, 0, 0, 0);
	put_trb(&d, endpoint_ring(slot, REPORTS) + 16, 0, 0, NO_OP << 10 | IOC | 1);
	clock_step(d.rig->env.clock, 1 * MS);
	g_assert_cmpuint(code_of(next_event(&d, TRANSFER_EVENT)), ==, SUCCESS);
	g_assert_false(has_event(&d));
	g_assert_cmpuint(command(&d, STOP_ENDPOINT, 0, slot << 24 | REPORTS << 16), ==, SUCCESS);
	driver_fini(&d);
}

/* Pointers to nowhere. */
static void test_outside_ram(void)
{
	struct driver d;
	unsigned slot;

	driver_init(&d);
	slot = configure(&d, KEYBOARD_PORT);
	endpoint_add(&d, slot, REPORTS, NORMAL, BASE, 8, IOC);
	out32(&d, DOORBELL + 4 * slot, REPORTS);
	input_key(d.rig->input, KEY_A, true);
	g_assert_cmpuint(code_of(next_event(&d, TRANSFER_EVENT)), ==, TRB_ERROR);
	out32(&d, CRCR, 2);
	g_assert_cmpuint(code_of(next_event(&d, COMMAND_EVENT)), ==, RING_STOPPED);
	out32(&d, CRCR, 0xf0000000 | 1);
	out32(&d, DOORBELL, 0);
	g_assert_cmphex(in32(&d, USBSTS) & 5, ==, 5);
	start_controller(&d);
	/* An event ring that is none holds everything up. */
	le64_store(ram(&d, ERST_AT), BASE);
	add_trb(&d, &d.commands, COMMANDS_AT, NO_OP_COMMAND, 0, 0, 0);
	out32(&d, DOORBELL, 0);
	out32(&d, ERDP, BASE);
	g_assert_cmphex(in32(&d, USBSTS) & 5, ==, 5);
	driver_fini(&d);
}

/* Saved while a TD waits for a key. */
static void test_state(void)
{
	struct driver a, b;
	unsigned slot;

	driver_init(&a);
	slot = configure(&a, KEYBOARD_PORT);
	ask_report(&a, slot);
	b = a;
	b.rig = rig_new_row(rig_row_of(&xhci_class));
	memcpy(ram(&b, 0), ram(&a, 0), DATA_AT + 0x1000);
	rig_clone(b.rig, a.rig);
	input_key(b.rig->input, KEY_A, true);
	ASSERT_REPORT(&b, slot, 0, 0, 4, 0, 0, 0, 0, 0);
	driver_fini(&a);
	driver_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/xhci/capabilities", test_capabilities);
	g_test_add_func("/xhci/ports", test_ports);
	g_test_add_func("/xhci/slots", test_slots);
	g_test_add_func("/xhci/address-later", test_address_later);
	g_test_add_func("/xhci/descriptors", test_descriptors);
	g_test_add_func("/xhci/stall", test_stall);
	g_test_add_func("/xhci/keyboard", test_keyboard);
	g_test_add_func("/xhci/many-keys", test_many_keys);
	g_test_add_func("/xhci/idle", test_idle);
	g_test_add_func("/xhci/tablet", test_tablet);
	g_test_add_func("/xhci/listening", test_listening);
	g_test_add_func("/xhci/stop", test_stop);
	g_test_add_func("/xhci/chains", test_chains);
	g_test_add_func("/xhci/full-event-ring", test_full_event_ring);
	g_test_add_func("/xhci/interrupts", test_interrupts);
	g_test_add_func("/xhci/endless-rings", test_endless_rings);
	g_test_add_func("/xhci/outside-ram", test_outside_ram);
	g_test_add_func("/xhci/state", test_state);
	return g_test_run();
}
