/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI interrupt wires on their way to ISA lines, as the PIIX3 (data sheet 290550, 2.2.6) and the
 * ICH9 (316972) route them. The wires reach the IOAPIC besides, at lines of their own,
 * PCI_GSI_BASE on.
 *
 * A bridge to ISA holds a struct pirq_router, and tells it of its registers after every change, in
 * reset and in post_load; the registers are all there is to save.
 */
#ifndef VIV_DEV_CHIPSET_PIRQ_H
#define VIV_DEV_CHIPSET_PIRQ_H

#include "dev/device.h"

#define PIRQ_MAX 8

enum {
	PIRQ_OFF = 0x80, /* after reset; else bits 3 to 0 are the line */
	PIRQ_WRITABLE = 0x8f,
};

struct pirq_router {
	struct device *device;
	GMutex lock; /* of what follows; under a PCI line's lock, so device->lock will not do */
	struct irq_line lines[PIRQ_MAX];
	uint8_t routes[PIRQ_MAX];
	bool levels[PIRQ_MAX];
};

void pirq_init(struct pirq_router *router, struct device *device, unsigned n_wires);
void pirq_fini(struct pirq_router *router);
/* The registers of `n` wires from `first` on. */
void pirq_route(struct pirq_router *router, unsigned first, const uint8_t *routes, unsigned n);

#endif
