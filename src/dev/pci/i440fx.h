/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a board has to know of the 82441FX: how interrupt pins are wired, so that INTA of neighbours
 * does not meet. */
#ifndef VIV_DEV_PCI_I440FX_H
#define VIV_DEV_PCI_I440FX_H

#include "dev/pci/pci.h"

static inline unsigned i440fx_gsi(unsigned slot, unsigned pin)
{
	return PCI_GSI_BASE + (slot + pin + 3) % 4;
}

#endif
