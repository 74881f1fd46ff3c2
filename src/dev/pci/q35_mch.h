/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a board has to know of the Q35: where its registers are, and how interrupt pins are wired.
 */
#ifndef VIV_DEV_PCI_Q35_MCH_H
#define VIV_DEV_PCI_Q35_MCH_H

#include "dev/pci/pci.h"

enum {
	Q35_PCIEXBAR = 0x60,
	Q35_PCIEXBAR_ENABLE = 1,
	Q35_PAM0 = 0x90,
};
#define Q35_PCIEXBAR_SIZE (256ull << 20) /* where its length bits are 0 */

/* PIRQ[A-H] are the lines from PCI_GSI_BASE on. Slots 25 to 31, but for 30, are the ICH9's own and
 * begin with PIRQA, the value that its DxxIR registers have after reset; all others turn PIRQ[E-H].
 */
static inline unsigned q35_gsi(unsigned slot, unsigned pin)
{
	if (slot >= 25 && slot != 30)
		return PCI_GSI_BASE + pin;
	return PCI_GSI_BASE + 4 + (slot == 30 ? pin : (slot + pin) % 4);
}

#endif
