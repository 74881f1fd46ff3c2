/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PCI Express capability: PCI Express Base Specification 3.0, section 7.8. Links are up and
 * never change. */
#include "base/le.h"
#include "dev/pci/pci_int.h"

enum {
	CAPABILITIES = 0x02,
	CAPABILITIES_VERSION = 2,
	CAPABILITIES_TYPE_SHIFT = 4,
	DEVICE_CAPABILITIES = 0x04,
	DEVICE_ROLE_BASED_ERRORS = 1 << 15,
	DEVICE_CONTROL = 0x08,
	DEVICE_CONTROL_DEFAULT = 0x2810, /* relaxed order, no snoop, reads of 512 bytes */
	DEVICE_CONTROL_WRITABLE = 0x7fff,
	DEVICE_STATUS = 0x0a,
	DEVICE_STATUS_ERRORS = 0xf,
	LINK_CAPABILITIES = 0x0c,
	LINK_CAPABILITIES_PORT_SHIFT = 24,
	LINK_CONTROL = 0x10,
	LINK_CONTROL_WRITABLE = 0xcb, /* power states, read boundary, clock, synchronization */
	LINK_STATUS = 0x12,
	LINK_2_5_GT = 1, /* of both */
	LINK_WIDTH_1 = 1 << 4,
	ROOT_CONTROL = 0x1c,
	ROOT_CONTROL_WRITABLE = 0xf,
	LINK_CAPABILITIES_2 = 0x2c,
	LINK_2_2_5_GT = 1 << 1,
	SIZE = 0x3c,
};

static void add_link(struct pci_device *pci, uint8_t *cap, uint8_t *mask)
{
	le32_store(cap + LINK_CAPABILITIES,
		   LINK_2_5_GT | LINK_WIDTH_1 |
			   (uint32_t)pci->devfn << LINK_CAPABILITIES_PORT_SHIFT);
	le16_store(mask + LINK_CONTROL, LINK_CONTROL_WRITABLE);
	le16_store(cap + LINK_STATUS, LINK_2_5_GT | LINK_WIDTH_1);
	le32_store(cap + LINK_CAPABILITIES_2, LINK_2_2_5_GT);
}

void pci_add_express(struct pci_device *pci, enum pci_express_type type)
{
	uint8_t *cap, *mask;

	if (!pci->bus->express)
		return;
	if (type == PCI_EXPRESS_ENDPOINT && !pci->bus->bridge)
		type = PCI_EXPRESS_ROOT_COMPLEX_INTEGRATED;
	pci->express = pci_add_capability(pci, PCI_CAP_ID_EXPRESS, SIZE);
	cap = pci->defaults + pci->express;
	mask = pci->write_mask + pci->express;
	le16_store(cap + CAPABILITIES, CAPABILITIES_VERSION | type << CAPABILITIES_TYPE_SHIFT);
	le32_store(cap + DEVICE_CAPABILITIES, DEVICE_ROLE_BASED_ERRORS);
	le16_store(cap + DEVICE_CONTROL, DEVICE_CONTROL_DEFAULT);
	le16_store(mask + DEVICE_CONTROL, DEVICE_CONTROL_WRITABLE);
	le16_store(pci->clear_mask + pci->express + DEVICE_STATUS, DEVICE_STATUS_ERRORS);
	if (type != PCI_EXPRESS_ROOT_COMPLEX_INTEGRATED)
		add_link(pci, cap, mask);
	if (type == PCI_EXPRESS_ROOT_PORT)
		le16_store(mask + ROOT_CONTROL, ROOT_CONTROL_WRITABLE);
}
