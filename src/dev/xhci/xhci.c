/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB 2 and 3 host controller: xHCI, version 1.0's registers. A keyboard and a tablet are in the first ports.
 * There is one interrupter, which does not moderate; contexts have 32 bytes; isochronous endpoints, streams
 * and hubs there are none.
 */
#include "dev/xhci/xhci_int.h"

#include <string.h>

#include "base/le.h"

/* One BAR has the four sets of registers and the extended capabilities. */
enum {
	XHCI_BAR = 0,
	MSIX_BAR = 2,
	BAR_SIZE = 0x4000,
	OPERATIONAL = 0x20, /* CAPLENGTH */
	PORTS = OPERATIONAL + 0x400,
	PORT_SIZE = 0x10,
	EXTENDED = 0x500,
	RUNTIME = 0x1000,
	INTERRUPTER = RUNTIME + 0x20,
	DOORBELLS = 0x2000,
};

/* Capability registers, section 5.3. */
enum {
	CAPLENGTH = 0x00,
	HCSPARAMS1 = 0x04,
	HCSPARAMS2 = 0x08,
	HCSPARAMS3 = 0x0c,
	HCCPARAMS1 = 0x10,
	DBOFF = 0x14,
	RTSOFF = 0x18,
	HCIVERSION_1_0 = 0x0100,
	HCSPARAMS2_SEGMENTS = 2 << 4, /* 2 to the power of 2 in an event ring */
	HCCPARAMS1_AC64 = 1,
};

/* Operational registers, section 5.4, and an interrupter's, section 5.5. */
enum {
	USBCMD = OPERATIONAL + 0x00,
	USBSTS = OPERATIONAL + 0x04,
	PAGESIZE = OPERATIONAL + 0x08,
	DNCTRL = OPERATIONAL + 0x14,
	CRCR = OPERATIONAL + 0x18,
	DCBAAP = OPERATIONAL + 0x30,
	CONFIG = OPERATIONAL + 0x38,

	CRCR_CYCLE = 1 << 0,
	CRCR_STOP = 1 << 1,
	CRCR_ABORT = 1 << 2,
	CRCR_RUNNING = 1 << 3,

	MFINDEX = RUNTIME,
	IMAN = INTERRUPTER + 0x00,
	IMOD = INTERRUPTER + 0x04,
	ERSTSZ = INTERRUPTER + 0x08,
	ERSTBA = INTERRUPTER + 0x10,
	ERDP = INTERRUPTER + 0x18,

	IMAN_IP = 1 << 0,
	IMAN_IE = 1 << 1,
	IMOD_RESET = 4000,
	ERDP_BUSY = 1 << 3,

	MICROFRAME_NS = 125000,
};
#define DCBAAP_MASK (~63ull)
#define ERSTBA_MASK (~63ull)

#define CMD_STORED  (CMD_RUN | CMD_INTE | CMD_HSEE | CMD_EWE)
#define STS_CLEARED (STS_HSE | STS_EINT | STS_PCD | STS_SRE) /* by writing 1 */

/* TRBs that one call looks at, and how soon the next one is. */
#define BUDGET	 256
#define AGAIN_NS 100000

static int64_t now_ns(const struct xhci *xhci)
{
	return clock_now_ns(xhci->pci.device.env->clock);
}

static void run_endpoints(struct xhci *xhci)
{
	for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++) {
		for (unsigned i = 1; xhci->rung[slot] && i < XHCI_ENDPOINTS; i++) {
			if (xhci->rung[slot] >> i & 1 && xhci->budget)
				xhci_run_endpoint(xhci, slot, i);
		}
	}
}

void xhci_work(struct xhci *xhci)
{
	if (!xhci_is_running(xhci))
		return;
	xhci->budget = BUDGET;
	xhci_tell_port_events(xhci);
	xhci_run_commands(xhci);
	run_endpoints(xhci);
	if (xhci->budget || xhci->again)
		return;
	xhci->again = true;
	timer_set(&xhci->timer, now_ns(xhci) + AGAIN_NS);
}

static void on_timer(void *opaque)
{
	struct xhci *xhci = opaque;

	xhci->again = false;
	xhci_work(xhci);
}

void xhci_fail(struct xhci *xhci)
{
	xhci->usbsts |= STS_HSE | STS_HALTED;
	xhci->usbcmd &= ~CMD_RUN;
	xhci->command_running = xhci->command_rung = false;
}

/* Section 4.2: as after power-on, with what is plugged in. */
static void reset_controller(struct xhci *xhci)
{
	xhci->usbcmd = xhci->dnctrl = xhci->config = 0;
	xhci->usbsts = STS_HALTED;
	xhci->dcbaap = xhci->command_gpa = 0;
	xhci->command_cycle = xhci->command_running = xhci->command_rung = false;
	xhci->iman = xhci->erstsz = 0;
	xhci->imod = IMOD_RESET;
	xhci->erstba = xhci->erdp = 0;
	xhci_events_reset(xhci);
	xhci->slots = 0;
	memset(xhci->rung, 0, sizeof(xhci->rung));
	memset(xhci->waiting, 0, sizeof(xhci->waiting));
	xhci->again = false;
	timer_cancel(&xhci->timer);
	xhci_reset_ports(xhci);
	xhci_update_interrupt(xhci);
}

static void write_usbcmd(struct xhci *xhci, uint32_t value)
{
	if (value & CMD_RESET) {
		reset_controller(xhci);
		return;
	}
	xhci->usbcmd = value & CMD_STORED;
	if (value & CMD_RUN) {
		xhci->usbsts &= ~STS_HALTED;
	} else {
		xhci->usbsts |= STS_HALTED;
		xhci->command_running = xhci->command_rung = false;
	}
	/* Nothing was saved, section 4.23. */
	if (value & CMD_RESTORE)
		xhci->usbsts |= STS_SRE;
	xhci_update_interrupt(xhci);
	xhci_work(xhci);
}

/* A half of a 64-bit register. */
static void set_half(uint64_t *reg, bool high, uint32_t value)
{
	*reg = high ? (*reg & UINT32_MAX) | (uint64_t)value << 32 : (*reg & ~(uint64_t)UINT32_MAX) | value;
}

static uint32_t get_half(uint64_t reg, bool high)
{
	return high ? reg >> 32 : reg;
}

/* Section 5.4.5. */
static void write_crcr(struct xhci *xhci, bool high, uint32_t value)
{
	if (!high && value & (CRCR_STOP | CRCR_ABORT))
		xhci_stop_commands(xhci);
	else if (!xhci->command_running) {
		set_half(&xhci->command_gpa, high, high ? value : value & ~63u);
		if (!high)
			xhci->command_cycle = value & CRCR_CYCLE;
	}
}

static void write_iman(struct xhci *xhci, uint32_t value)
{
	xhci->iman &= ~(value & IMAN_IP);
	xhci->iman = (xhci->iman & ~IMAN_IE) | (value & IMAN_IE);
	xhci_update_interrupt(xhci);
}

static void write_erdp(struct xhci *xhci, bool high, uint32_t value)
{
	uint64_t busy = xhci->erdp & ERDP_BUSY;

	set_half(&xhci->erdp, high, high ? value : value & ~ERDP_BUSY);
	if (high || !(value & ERDP_BUSY))
		xhci->erdp |= busy;
	xhci_erdp_written(xhci, !high && value & ERDP_BUSY);
}

static void write_doorbell(struct xhci *xhci, unsigned slot, uint32_t value)
{
	unsigned target = value & 0xff;

	if (!xhci_is_running(xhci))
		return;
	if (slot == 0 && target == 0)
		xhci->command_running = xhci->command_rung = true;
	else if (slot && slot <= XHCI_SLOTS && xhci->slots >> slot & 1 && target && target < XHCI_ENDPOINTS)
		xhci->rung[slot] |= 1u << target;
	xhci_work(xhci);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct xhci *xhci = opaque;
	bool high = offset & 4;

	if (offset >= DOORBELLS) {
		write_doorbell(xhci, (offset - DOORBELLS) / 4, value);
		return;
	}
	if (offset >= PORTS && offset < PORTS + XHCI_PORTS * PORT_SIZE) {
		if (offset % PORT_SIZE == PORTS % PORT_SIZE)
			xhci_write_portsc(xhci, (offset - PORTS) / PORT_SIZE, value);
		return;
	}
	switch (offset) {
	case USBCMD:
		write_usbcmd(xhci, value);
		break;
	case USBSTS:
		xhci->usbsts &= ~(value & STS_CLEARED);
		break;
	case DNCTRL:
		xhci->dnctrl = value & 0xffff;
		break;
	case CRCR:
	case CRCR + 4:
		write_crcr(xhci, high, value);
		break;
	case DCBAAP:
	case DCBAAP + 4:
		set_half(&xhci->dcbaap, high, value);
		xhci->dcbaap &= DCBAAP_MASK;
		break;
	case CONFIG:
		xhci->config = value & 0xff;
		break;
	case IMAN:
		write_iman(xhci, value);
		break;
	case IMOD:
		xhci->imod = value;
		break;
	case ERSTSZ:
		xhci->erstsz = value & 0xffff;
		break;
	case ERSTBA:
	case ERSTBA + 4:
		set_half(&xhci->erstba, high, value);
		xhci->erstba &= ERSTBA_MASK;
		xhci_events_reset(xhci);
		break;
	case ERDP:
	case ERDP + 4:
		write_erdp(xhci, high, value);
		break;
	}
}

/* Section 7.2: which ports are USB 2's, and which USB 3's. */
static const uint32_t extended[] = {
	0x02000402,
	0x20425355,
	XHCI_USB2_PORTS << 8 | 1,
	0,
	0x03000002,
	0x20425355,
	(XHCI_PORTS - XHCI_USB2_PORTS) << 8 | (XHCI_USB2_PORTS + 1),
	0,
};

static uint32_t read_capability(uint64_t offset)
{
	switch (offset) {
	case CAPLENGTH:
		return HCIVERSION_1_0 << 16 | OPERATIONAL;
	case HCSPARAMS1:
		return XHCI_PORTS << 24 | 1 << 8 | XHCI_SLOTS;
	case HCSPARAMS2:
		return HCSPARAMS2_SEGMENTS;
	case HCCPARAMS1:
		return EXTENDED / 4 << 16 | HCCPARAMS1_AC64;
	case DBOFF:
		return DOORBELLS;
	case RTSOFF:
		return RUNTIME;
	}
	return 0;
}

static uint32_t read_mfindex(const struct xhci *xhci)
{
	return xhci->usbcmd & CMD_RUN ? now_ns(xhci) / MICROFRAME_NS & 0x3fff : 0;
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct xhci *xhci = opaque;
	bool high = offset & 4;

	if (offset < OPERATIONAL)
		return read_capability(offset);
	if (offset >= PORTS && offset < PORTS + XHCI_PORTS * PORT_SIZE)
		return offset % PORT_SIZE == PORTS % PORT_SIZE ? xhci->portsc[(offset - PORTS) / PORT_SIZE]
							       : 0;
	if (offset >= EXTENDED && offset < EXTENDED + sizeof(extended))
		return extended[(offset - EXTENDED) / 4];
	switch (offset) {
	case USBCMD:
		return xhci->usbcmd;
	case USBSTS:
		return xhci->usbsts;
	case PAGESIZE:
		return 1;
	case DNCTRL:
		return xhci->dnctrl;
	case CRCR:
		return xhci->command_running ? CRCR_RUNNING : 0;
	case DCBAAP:
	case DCBAAP + 4:
		return get_half(xhci->dcbaap, high);
	case CONFIG:
		return xhci->config;
	case MFINDEX:
		return read_mfindex(xhci);
	case IMAN:
		return xhci->iman;
	case IMOD:
		return xhci->imod;
	case ERSTSZ:
		return xhci->erstsz;
	case ERSTBA:
	case ERSTBA + 4:
		return get_half(xhci->erstba, high);
	case ERDP:
	case ERDP + 4:
		return get_half(xhci->erdp, high);
	}
	return 0;
}

static const struct bus_ops bar_ops = {bar_read, bar_write, .min_size = 4, .max_size = 4};

/* A device has something on an endpoint that had nothing. */
static void wake(void *host, struct usb_device *usb)
{
	struct xhci *xhci = host;

	for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++) {
		if (!xhci->waiting[slot] || xhci_slot_device(xhci, slot) != usb)
			continue;
		xhci->rung[slot] |= xhci->waiting[slot];
		xhci->waiting[slot] = 0;
	}
	xhci_work(xhci);
}

static void plug(struct xhci *xhci, unsigned port, struct usb_device *usb)
{
	usb->wake = wake;
	usb->host = xhci;
	xhci->devices[port] = usb;
}

static bool xhci_init(struct device *device, const struct device_config *config, GError **error)
{
	enum { SBRN = 0x60, FLADJ = 0x61 }; /* section 5.2 */
	static const struct pci_ids ids = {
		.vendor = 0x1b36,
		.device = 0x000d,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x0c0330,
		.revision = 1,
		.interrupt_pin = 1,
	};
	struct xhci *xhci = (struct xhci *)device;

	timer_init(&xhci->timer, device->env->clock, &device->lock, on_timer, xhci);
	usb_hid_init(&xhci->keyboard, INPUT_KEYBOARD, device, config->input);
	usb_hid_init(&xhci->tablet, INPUT_TABLET, device, config->input);
	plug(xhci, 0, &xhci->keyboard.usb);
	plug(xhci, 1, &xhci->tablet.usb);
	if (!pci_device_init(&xhci->pci, &ids, NULL, config, error))
		return false;
	pci_add_bar(&xhci->pci, XHCI_BAR, PCI_BAR_MEM64, BAR_SIZE, &bar_ops);
	pci_add_msix(&xhci->pci, MSIX_BAR, 1);
	xhci->pci.defaults[SBRN] = 0x30;
	xhci->pci.defaults[FLADJ] = 0x20;
	return true;
}

static void xhci_reset(struct device *device)
{
	pci_device_reset((struct pci_device *)device);
	reset_controller((struct xhci *)device);
}

static void xhci_post_load(struct device *device)
{
	struct xhci *xhci = (struct xhci *)device;

	pci_device_post_load(&xhci->pci);
	usb_hid_post_load(&xhci->keyboard);
	usb_hid_post_load(&xhci->tablet);
	timer_set(&xhci->timer, xhci->again ? now_ns(xhci) : TIMER_NEVER);
}

static void xhci_fini(struct device *device)
{
	struct xhci *xhci = (struct xhci *)device;

	usb_hid_fini(&xhci->keyboard);
	usb_hid_fini(&xhci->tablet);
	timer_fini(&xhci->timer);
	pci_device_fini(&xhci->pci);
}

static bool xhci_check(const void *object)
{
	const struct xhci *xhci = object;

	return pci_device_check(&xhci->pci) && usb_hid_check(&xhci->keyboard) &&
	       usb_hid_check(&xhci->tablet) && !(xhci->slots & ~(((1u << XHCI_SLOTS) - 1) << 1)) &&
	       !(xhci->port_events >> XHCI_PORTS) && !(xhci->dcbaap & ~DCBAAP_MASK) &&
	       !(xhci->erstba & ~ERSTBA_MASK) && !(xhci->command_gpa & 15);
}

#define FIELD(member) STATE_FIELD(struct xhci, member)

static const struct state_field xhci_fields[] = {
	PCI_DEVICE_FIELDS(struct xhci, pci),
	USB_HID_FIELDS(struct xhci, keyboard),
	USB_HID_FIELDS(struct xhci, tablet),
	FIELD(usbcmd),
	FIELD(usbsts),
	FIELD(dnctrl),
	FIELD(config),
	FIELD(dcbaap),
	FIELD(command_gpa),
	FIELD(command_cycle),
	FIELD(command_running),
	FIELD(command_rung),
	FIELD(portsc),
	FIELD(port_events),
	FIELD(iman),
	FIELD(imod),
	FIELD(erstsz),
	FIELD(erstba),
	FIELD(erdp),
	FIELD(event_segment),
	FIELD(event_index),
	FIELD(event_cycle),
	FIELD(slots),
	FIELD(rung),
	FIELD(waiting),
	FIELD(again),
};

static const struct state_table xhci_state = {
	.name = "xhci",
	.version = 1,
	.object_size = sizeof(struct xhci),
	.fields = xhci_fields,
	.n_fields = G_N_ELEMENTS(xhci_fields),
	.check = xhci_check,
};

const struct device_class xhci_class = {
	.name = "xhci",
	.document = "eXtensible Host Controller Interface 1.2 (Intel 625472)",
	.size = sizeof(struct xhci),
	.state = &xhci_state,
	.init = xhci_init,
	.reset = xhci_reset,
	.post_load = xhci_post_load,
	.fini = xhci_fini,
};
