/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pci.c asks of the other files of PCI; seen in this folder only. */
#ifndef VIV_DEV_PCI_PCI_INT_H
#define VIV_DEV_PCI_PCI_INT_H

#include "dev/pci/pci.h"

/* A bus behind the host bridge's, which is where all others are found from. */
struct pci_bus {
	struct pci_device *host;   /* the host bridge's function; NULL behind a PCI-PCI bridge */
	struct pci_device *bridge; /* that PCI-PCI bridge, or NULL */
	pci_gsi_fn gsi;		   /* behind a host bridge */
	bool express;
	struct pci_device *functions[PCI_FUNCTIONS];
};

#define PCI_BRIDGE_MEM_ALIGN (1u << 20)
#define PCI_BRIDGE_IO_ALIGN  (1u << 12)

/* Whether a PCI-PCI bridge passes accesses of all of first .. last on to what is behind it. */
bool pci_bridge_passes(const struct pci_device *bridge, bool io, uint64_t first, uint64_t last);
/* The bus of that number behind one of the host bridge's; NULL: there is none. */
struct pci_bus *pci_bridge_find_bus(const struct pci_bus *root, unsigned number);
/* What firmware writes: the number, and windows of whole MiB and 4 KiB, last address included; empty where the last
 * one is lower. */
void pci_bridge_set_bus(struct pci_device *bridge, unsigned number);
void pci_bridge_set_windows(struct pci_device *bridge, const uint64_t mem[2], const uint64_t io[2]);

void pci_msi_reset(struct pci_device *pci);
bool pci_msi_check(const struct pci_device *pci);
/* The bytes of config[offset .. offset + size) that are not kept there. */
void pci_msi_config_read(const struct pci_device *pci, unsigned offset, unsigned size, uint8_t *bytes);
void pci_msi_config_written(struct pci_device *pci);
void pci_msix_reset(struct pci_device *pci);
bool pci_msix_check(const struct pci_device *pci);
void pci_msix_config_written(struct pci_device *pci, unsigned offset, unsigned size);

#endif
