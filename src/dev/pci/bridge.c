/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI-PCI bridges: PCI-to-PCI Bridge Architecture Specification 1.2, section 3.2. */
#include "base/le.h"
#include "dev/pci/pci_int.h"

enum {
	PRIMARY_BUS = 0x18,
	SECONDARY_BUS = 0x19,
	SUBORDINATE_BUS = 0x1a,
	IO_BASE = 0x1c,
	IO_LIMIT = 0x1d,
	SECONDARY_STATUS = 0x1e,
	MEMORY_BASE = 0x20,
	MEMORY_LIMIT = 0x22,
	PREFETCH_BASE = 0x24,
	PREFETCH_LIMIT = 0x26,
	PREFETCH_64BIT = 1,
	PREFETCH_BASE_HIGH = 0x28,
	PREFETCH_LIMIT_HIGH = 0x2c,
	BRIDGE_CONTROL = 0x3e,
	BRIDGE_CONTROL_PARITY = 1 << 0,
	BRIDGE_CONTROL_SERR = 1 << 1,

	IO_MASK = 0xf0,	      /* address bits 15 to 12 */
	MEMORY_MASK = 0xfff0, /* address bits 31 to 20 */
};

void pci_add_bridge(struct pci_device *pci)
{
	uint8_t *mask = pci->write_mask;

	g_assert(!pci->bus->bridge);
	pci->secondary = g_new0(struct pci_bus, 1);
	*pci->secondary = (struct pci_bus){.bridge = pci, .express = pci->bus->express};
	pci->defaults[PCI_HEADER_TYPE] |= PCI_HEADER_BRIDGE;
	memset(mask + PRIMARY_BUS, 0xff, 3);
	mask[IO_BASE] = mask[IO_LIMIT] = IO_MASK;
	le16_store(pci->clear_mask + SECONDARY_STATUS, 0xf900);
	le16_store(mask + MEMORY_BASE, MEMORY_MASK);
	le16_store(mask + MEMORY_LIMIT, MEMORY_MASK);
	le16_store(mask + PREFETCH_BASE, MEMORY_MASK);
	le16_store(mask + PREFETCH_LIMIT, MEMORY_MASK);
	pci->defaults[PREFETCH_BASE] = pci->defaults[PREFETCH_LIMIT] = PREFETCH_64BIT;
	le32_store(mask + PREFETCH_BASE_HIGH, UINT32_MAX);
	le32_store(mask + PREFETCH_LIMIT_HIGH, UINT32_MAX);
	mask[BRIDGE_CONTROL] = BRIDGE_CONTROL_PARITY | BRIDGE_CONTROL_SERR;
}

static uint64_t memory_address(const uint8_t *config, unsigned reg)
{
	return (uint64_t)(le16_load(config + reg) & MEMORY_MASK) << 16;
}

static bool contains(uint64_t base, uint64_t limit, uint64_t first, uint64_t last)
{
	return base <= first && first <= last && last <= limit;
}

bool pci_bridge_passes(const struct pci_device *bridge, bool io, uint64_t first, uint64_t last)
{
	const uint8_t *config = bridge->config;
	uint64_t base_high = le32_load(config + PREFETCH_BASE_HIGH);
	uint64_t limit_high = le32_load(config + PREFETCH_LIMIT_HIGH);

	if (io)
		return config[PCI_COMMAND] & PCI_COMMAND_IO &&
		       contains((config[IO_BASE] & IO_MASK) << 8,
				(config[IO_LIMIT] & IO_MASK) << 8 | (PCI_BRIDGE_IO_ALIGN - 1),
				first, last);
	return config[PCI_COMMAND] & PCI_COMMAND_MEMORY &&
	       (contains(memory_address(config, MEMORY_BASE),
			 memory_address(config, MEMORY_LIMIT) | (PCI_BRIDGE_MEM_ALIGN - 1), first,
			 last) ||
		contains(memory_address(config, PREFETCH_BASE) | base_high << 32,
			 memory_address(config, PREFETCH_LIMIT) | limit_high << 32 |
				 (PCI_BRIDGE_MEM_ALIGN - 1),
			 first, last));
}

/* The first one, should several bridges have been given the same. */
struct pci_bus *pci_bridge_find_bus(const struct pci_bus *root, unsigned number)
{
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		const struct pci_device *pci = root->functions[i];

		if (pci && pci->secondary && pci->config[SECONDARY_BUS] == number)
			return pci->secondary;
	}
	return NULL;
}

void pci_bridge_set_bus(struct pci_device *bridge, unsigned number)
{
	bridge->config[PRIMARY_BUS] = 0;
	bridge->config[SECONDARY_BUS] = bridge->config[SUBORDINATE_BUS] = number;
}

void pci_bridge_set_windows(struct pci_device *bridge, const uint64_t mem[2], const uint64_t io[2])
{
	uint8_t *config = bridge->config;
	bool has_mem = mem[0] < mem[1], has_io = io[0] < io[1];

	le16_store(config + MEMORY_BASE, has_mem ? mem[0] >> 16 & MEMORY_MASK : MEMORY_MASK);
	le16_store(config + MEMORY_LIMIT, has_mem ? mem[1] >> 16 & MEMORY_MASK : 0);
	config[IO_BASE] = has_io ? io[0] >> 8 & IO_MASK : IO_MASK;
	config[IO_LIMIT] = has_io ? io[1] >> 8 & IO_MASK : 0;
	le16_store(config + PREFETCH_BASE, MEMORY_MASK | PREFETCH_64BIT);
	le16_store(config + PREFETCH_LIMIT, PREFETCH_64BIT);
}
