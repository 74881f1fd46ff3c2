/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pci.c asks of msi.c and msix.c; seen in this folder only. */
#ifndef VIV_DEV_PCI_PCI_INT_H
#define VIV_DEV_PCI_PCI_INT_H

#include "dev/pci/pci.h"

void pci_msi_reset(struct pci_device *pci);
bool pci_msi_check(const struct pci_device *pci);
/* The bytes of config[offset .. offset + size) that are not kept there. */
void pci_msi_config_read(const struct pci_device *pci, unsigned offset, unsigned size, uint8_t *bytes);
void pci_msi_config_written(struct pci_device *pci);
void pci_msix_reset(struct pci_device *pci);
bool pci_msix_check(const struct pci_device *pci);
void pci_msix_config_written(struct pci_device *pci, unsigned offset, unsigned size);

#endif
