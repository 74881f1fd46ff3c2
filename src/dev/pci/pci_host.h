/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ports of a host bridge: configuration mechanism #1 (PCI Local Bus Specification 3.0,
 * section 3.2.2.3.2) and, in its midst, the chipset's reset register.
 *
 * A host bridge holds a struct pci_host, calls its functions from its own, and has PCI_HOST_FIELDS
 * in its state table.
 */
#ifndef VIV_DEV_PCI_PCI_HOST_H
#define VIV_DEV_PCI_PCI_HOST_H

#include "dev/pci/pci.h"

enum {
	PCI_HOST_RESET_TYPE = 1 << 1,
	PCI_HOST_RESET_CPU =
		1 << 2, /* its rising edge is a reset; of what type, is all the same to a machine */
	PCI_HOST_RESET_FULL = 1 << 3,
};

struct pci_host {
	struct device *device;
	uint8_t reset_mask; /* of the reset register */
	uint32_t address;
	uint8_t reset;
};

#define PCI_HOST_FIELDS(type, member) \
	STATE_FIELD(type, member.address), STATE_FIELD(type, member.reset)

bool pci_host_init(struct pci_host *host, struct device *device, uint8_t reset_mask,
		   GError **error);
void pci_host_reset(struct pci_host *host);
bool pci_host_check(const struct pci_host *host);

#endif
