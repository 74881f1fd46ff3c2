/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI: PCI Local Bus Specification 3.0, section 6.8.1; with a 64-bit address, and masks where the
 * function wants them. */
#include "base/le.h"
#include "dev/pci/pci_int.h"

enum {
	MSI_CONTROL = 2,
	MSI_CONTROL_ENABLE = 1 << 0,
	MSI_CONTROL_CAPABLE_SHIFT = 1, /* log2 of the vectors there are */
	MSI_CONTROL_ENABLED_SHIFT = 4, /* log2 of the vectors the driver has messages for */
	MSI_CONTROL_ENABLED = 7 << MSI_CONTROL_ENABLED_SHIFT,
	MSI_CONTROL_64BIT = 1 << 7,
	MSI_CONTROL_MASKS = 1 << 8,
	MSI_ADDR = 4,
	MSI_ADDR_HIGH = 8,
	MSI_DATA = 12,
	MSI_MASK = 16,
	MSI_PENDING = 20,
	MSI_SIZE = 14,
	MSI_SIZE_WITH_MASKS = 24,
};

static uint16_t msi_control(const struct pci_device *pci)
{
	return le16_load(pci->config + pci->msi.cap + MSI_CONTROL);
}

bool pci_msi_enabled(const struct pci_device *pci)
{
	return pci->msi.cap && msi_control(pci) & MSI_CONTROL_ENABLE;
}

void pci_add_msi(struct pci_device *pci, unsigned n_vectors, bool masks)
{
	unsigned cap =
		pci_add_capability(pci, PCI_CAP_ID_MSI, masks ? MSI_SIZE_WITH_MASKS : MSI_SIZE);
	uint32_t all = n_vectors < 32 ? (1u << n_vectors) - 1 : UINT32_MAX;

	g_assert(n_vectors && n_vectors <= PCI_MSI_MAX && (n_vectors & (n_vectors - 1)) == 0);
	pci->msi = (struct pci_msi){.cap = cap, .n_vectors = n_vectors, .masks = masks};
	le16_store(pci->defaults + cap + MSI_CONTROL,
		   __builtin_ctz(n_vectors) << MSI_CONTROL_CAPABLE_SHIFT | MSI_CONTROL_64BIT |
			   (masks ? MSI_CONTROL_MASKS : 0));
	le16_store(pci->write_mask + cap + MSI_CONTROL, MSI_CONTROL_ENABLE | MSI_CONTROL_ENABLED);
	le32_store(pci->write_mask + cap + MSI_ADDR, ~3u);
	le32_store(pci->write_mask + cap + MSI_ADDR_HIGH, UINT32_MAX);
	le16_store(pci->write_mask + cap + MSI_DATA, UINT16_MAX);
	if (masks)
		le32_store(pci->write_mask + cap + MSI_MASK, all);
}

/* A driver with fewer messages than there are vectors gets them by the vector's low bits. */
static unsigned enabled_mask(const struct pci_device *pci)
{
	unsigned log2 = (msi_control(pci) & MSI_CONTROL_ENABLED) >> MSI_CONTROL_ENABLED_SHIFT;

	return MIN(1u << log2, pci->msi.n_vectors) - 1;
}

static bool is_masked(const struct pci_device *pci, unsigned vector)
{
	return pci->msi.masks && le32_load(pci->config + pci->msi.cap + MSI_MASK) >> vector & 1;
}

/* A message is a write of the function's, which only a bus master makes. */
static void send_message(struct pci_device *pci, unsigned vector)
{
	const uint8_t *cap = pci->config + pci->msi.cap;
	uint64_t addr = le32_load(cap + MSI_ADDR) | (uint64_t)le32_load(cap + MSI_ADDR_HIGH) << 32;
	unsigned changed = enabled_mask(pci);

	if (pci_is_master(pci))
		bus_msi(pci->device.env->bus, addr,
			(le16_load(cap + MSI_DATA) & ~changed) | vector);
}

void pci_msi_notify(struct pci_device *pci, unsigned vector)
{
	g_assert(vector < pci->msi.n_vectors);
	if (!pci_msi_enabled(pci))
		return;
	vector &= enabled_mask(pci);
	if (is_masked(pci, vector))
		pci->msi.pending |= 1u << vector;
	else
		send_message(pci, vector);
}

void pci_msi_reset(struct pci_device *pci)
{
	pci->msi.pending = 0;
}

bool pci_msi_check(const struct pci_device *pci)
{
	unsigned n = pci->msi.masks ? pci->msi.n_vectors : 0;

	return n == PCI_MSI_MAX || pci->msi.pending >> n == 0;
}

void pci_msi_config_read(const struct pci_device *pci, unsigned offset, unsigned size,
			 uint8_t *bytes)
{
	uint8_t pending[4];
	unsigned at = pci->msi.cap + MSI_PENDING;

	if (!pci->msi.masks || offset / 4 != at / 4)
		return;
	le32_store(pending, pci->msi.pending);
	memcpy(bytes, pending + offset - at, size);
}

/* What is pending goes out once its vector is no longer masked. */
void pci_msi_config_written(struct pci_device *pci)
{
	uint32_t pending = pci->msi.pending;

	if (!pci_msi_enabled(pci))
		return;
	for (unsigned i = 0; i < pci->msi.n_vectors; i++) {
		if (!(pending >> i & 1) || is_masked(pci, i))
			continue;
		pci->msi.pending &= ~(1u << i);
		send_message(pci, i & enabled_mask(pci));
	}
}
