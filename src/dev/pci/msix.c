/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X: PCI Local Bus Specification 3.0, section 6.8.2. */
#include "base/le.h"
#include "dev/pci/pci_int.h"

enum {
	MSIX_CONTROL = 2,
	MSIX_CONTROL_MASK = 1 << 14,
	MSIX_CONTROL_ENABLE = 1 << 15,
	MSIX_TABLE = 4,
	MSIX_PBA = 8,
	MSIX_CAP_SIZE = 12,

	/* In the BAR. */
	MSIX_ENTRY_SIZE = 16,
	MSIX_PBA_OFFSET = 0x800,
	MSIX_BAR_SIZE = 0x1000,
};

enum msix_word { ENTRY_ADDR, ENTRY_ADDR_HIGH, ENTRY_DATA, ENTRY_CONTROL };
#define ENTRY_CONTROL_MASK 1u

/* Bits of an entry's words that a write sets; messages are aligned dwords. */
static const uint32_t entry_mask[] = {
	[ENTRY_ADDR] = ~3u,
	[ENTRY_ADDR_HIGH] = ~0u,
	[ENTRY_DATA] = ~0u,
	[ENTRY_CONTROL] = ENTRY_CONTROL_MASK,
};

static uint16_t msix_control(const struct pci_device *pci)
{
	return le16_load(pci->config + pci->msix.cap + MSIX_CONTROL);
}

bool pci_msix_enabled(const struct pci_device *pci)
{
	return pci->msix.cap && msix_control(pci) & MSIX_CONTROL_ENABLE;
}

static bool vector_is_masked(const struct pci_device *pci, unsigned vector)
{
	return msix_control(pci) & MSIX_CONTROL_MASK ||
	       pci->msix.table[vector][ENTRY_CONTROL] & ENTRY_CONTROL_MASK;
}

/* A message is a write of the function's, which only a bus master makes. */
static void send_message(struct pci_device *pci, unsigned vector)
{
	const uint32_t *entry = pci->msix.table[vector];

	if (pci_is_master(pci))
		bus_msi(pci->device.env->bus,
			entry[ENTRY_ADDR] | (uint64_t)entry[ENTRY_ADDR_HIGH] << 32,
			entry[ENTRY_DATA]);
}

void pci_msix_notify(struct pci_device *pci, unsigned vector)
{
	g_assert(vector < pci->msix.n_vectors);
	if (!pci_msix_enabled(pci))
		return;
	if (vector_is_masked(pci, vector))
		pci->msix.pending |= 1ull << vector;
	else
		send_message(pci, vector);
}

static void send_pending(struct pci_device *pci)
{
	for (unsigned i = 0; i < pci->msix.n_vectors; i++) {
		if (!(pci->msix.pending >> i & 1) || vector_is_masked(pci, i))
			continue;
		pci->msix.pending &= ~(1ull << i);
		send_message(pci, i);
	}
}

static uint64_t msix_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct pci_msix *msix = &((struct pci_device *)opaque)->msix;

	if (offset % 4)
		return UINT32_MAX;
	if (offset < msix->n_vectors * MSIX_ENTRY_SIZE)
		return msix->table[offset / MSIX_ENTRY_SIZE][offset / 4 % 4];
	if (offset - MSIX_PBA_OFFSET < sizeof(msix->pending))
		return msix->pending >> (offset - MSIX_PBA_OFFSET) * 8;
	return 0;
}

static void msix_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_device *pci = opaque;

	if (offset % 4 || offset >= pci->msix.n_vectors * MSIX_ENTRY_SIZE)
		return;
	pci->msix.table[offset / MSIX_ENTRY_SIZE][offset / 4 % 4] =
		value & entry_mask[offset / 4 % 4];
	if (pci_msix_enabled(pci))
		send_pending(pci);
}

static const struct bus_ops msix_ops = {msix_read, msix_write, .min_size = 4, .max_size = 4};

void pci_add_msix(struct pci_device *pci, unsigned bar, unsigned n_vectors)
{
	unsigned cap = pci_add_capability(pci, PCI_CAP_ID_MSIX, MSIX_CAP_SIZE);

	g_assert(n_vectors && n_vectors <= PCI_MSIX_MAX);
	pci->msix.cap = cap;
	pci->msix.n_vectors = n_vectors;
	le16_store(pci->defaults + cap + MSIX_CONTROL, n_vectors - 1);
	le16_store(pci->write_mask + cap + MSIX_CONTROL, MSIX_CONTROL_MASK | MSIX_CONTROL_ENABLE);
	le32_store(pci->defaults + cap + MSIX_TABLE, bar);
	le32_store(pci->defaults + cap + MSIX_PBA, MSIX_PBA_OFFSET | bar);
	pci_add_bar(pci, bar, PCI_BAR_MEM32, MSIX_BAR_SIZE, &msix_ops);
}

void pci_msix_reset(struct pci_device *pci)
{
	memset(pci->msix.table, 0, sizeof(pci->msix.table));
	for (unsigned i = 0; i < pci->msix.n_vectors; i++)
		pci->msix.table[i][ENTRY_CONTROL] = ENTRY_CONTROL_MASK;
	pci->msix.pending = 0;
}

bool pci_msix_check(const struct pci_device *pci)
{
	unsigned n = pci->msix.n_vectors;

	for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
		for (unsigned word = 0; word < 4; word++)
			if (pci->msix.table[i][word] & ~(i < n ? entry_mask[word] : 0))
				return false;
	return n == PCI_MSIX_MAX || pci->msix.pending >> n == 0;
}

void pci_msix_config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	unsigned control = pci->msix.cap + MSIX_CONTROL;

	if (pci->msix.cap && offset < control + 2 && offset + size > control &&
	    pci_msix_enabled(pci))
		send_pending(pci);
}
