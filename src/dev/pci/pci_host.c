/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/pci/pci_host.h"

enum {
	PORT_BASE = 0xcf8,
	PORT_COUNT = 8,
	CONFIG_ADDRESS = 0,
	RESET = 1,
	CONFIG_DATA = 4,
};

#define ADDRESS_ENABLE	 0x80000000u
#define ADDRESS_MASK	 0x80fffffcu
#define ADDRESS_REGISTER 0xfcu

static unsigned function_of(const struct pci_host *host)
{
	return host->address >> 8 & 0xffff;
}

static bool selects_data(const struct pci_host *host, uint64_t offset)
{
	return offset >= CONFIG_DATA && host->address & ADDRESS_ENABLE;
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_host *host = opaque;

	if (offset == CONFIG_ADDRESS && size == 4)
		return host->address;
	if (offset == RESET && size == 1)
		return host->reset;
	if (!selects_data(host, offset))
		return UINT32_MAX;
	return pci_bus_read(host->device->env->pci, function_of(host),
			    (host->address & ADDRESS_REGISTER) + offset - CONFIG_DATA, size);
}

static void reset_write(struct pci_host *host, uint8_t value)
{
	bool rises = value & ~host->reset & PCI_HOST_RESET_CPU;

	host->reset = value & host->reset_mask;
	if (rises)
		bus_request(host->device->env->bus, BUS_REQUEST_RESET);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_host *host = opaque;

	if (offset == CONFIG_ADDRESS && size == 4)
		host->address = value & ADDRESS_MASK;
	else if (offset == RESET && size == 1)
		reset_write(host, value);
	else if (selects_data(host, offset))
		pci_bus_write(host->device->env->pci, function_of(host),
			      (host->address & ADDRESS_REGISTER) + offset - CONFIG_DATA, value,
			      size);
}

static const struct bus_ops port_ops = {port_read, port_write, .min_size = 1, .max_size = 4};

bool pci_host_init(struct pci_host *host, struct device *device, uint8_t reset_mask, GError **error)
{
	host->device = device;
	host->reset_mask = reset_mask;
	return device_map_part(device, BUS_PIO, PORT_BASE, PORT_COUNT, &port_ops, host, error);
}

void pci_host_reset(struct pci_host *host)
{
	host->address = 0;
	host->reset = 0;
}

bool pci_host_check(const struct pci_host *host)
{
	return !(host->address & ~ADDRESS_MASK) && !(host->reset & ~host->reset_mask);
}
