/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/pci/pci.h"

#include <string.h>

#include "base/error.h"
#include "base/le.h"
#include "dev/pci/pci_int.h"

static bool bar_is_64(const struct pci_bar *bar)
{
	return bar->type == PCI_BAR_MEM64 || bar->type == PCI_BAR_MEM64_PREFETCH;
}

static unsigned bar_offset(unsigned index)
{
	return index == PCI_ROM ? PCI_EXPANSION_ROM : PCI_BAR_0 + 4 * index;
}

static uint64_t rom_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct pci_device *pci = opaque;
	uint64_t value = UINT64_MAX;

	if (offset < pci->rom_len)
		memcpy(&value, pci->rom + offset, MIN(size, pci->rom_len - offset));
	return GUINT64_FROM_LE(value);
}

static void rom_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct bus_ops rom_ops = {rom_read, rom_write};

static void add_rom(struct pci_device *pci, GBytes *rom)
{
	uint64_t size = 2048; /* the least that has an address, section 6.2.5.2 */

	if (!rom)
		return;
	pci->rom = g_bytes_get_data(rom, &pci->rom_len);
	while (size < pci->rom_len)
		size *= 2;
	pci->bars[PCI_ROM] = (struct pci_bar){.type = PCI_BAR_MEM32, .size = size, .ops = &rom_ops};
	le32_store(pci->write_mask + PCI_EXPANSION_ROM, -size | PCI_EXPANSION_ROM_ENABLE);
}

/* The bus line of a pin, INTA being 0. */
static unsigned line_of(const struct pci_bus *bus, unsigned slot, unsigned pin)
{
	if (!bus->bridge)
		return bus->gsi(slot, pin);
	return line_of(bus->bridge->bus, pci_slot(bus->bridge->devfn), (slot + pin) % 4);
}

static struct pci_bus *bus_for(const struct device_env *env, const struct device_config *config)
{
	return config->bridge ? env->pci->functions[config->bridge]->secondary : env->pci;
}

bool pci_device_init(struct pci_device *pci, const struct pci_ids *ids, const struct pci_ops *ops,
		     const struct device_config *config, GError **error)
{
	struct pci_bus *bus = bus_for(pci->device.env, config);
	uint8_t *header = pci->defaults;

	g_assert(config->devfn < PCI_FUNCTIONS);
	if (bus->functions[config->devfn]) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "PCI device '%s': slot %02x.%x already holds '%s'; give one of them "
			    "another slot",
			    pci->device.class->name, pci_slot(config->devfn), config->devfn % 8,
			    bus->functions[config->devfn]->device.class->name);
		return false;
	}
	pci->ops = ops;
	pci->devfn = config->devfn;
	pci->next_cap = PCI_HEADER_END;
	pci->last_cap_link = PCI_CAPABILITIES;
	le16_store(header + PCI_VENDOR_ID, ids->vendor);
	le16_store(header + PCI_DEVICE_ID, ids->device);
	le32_store(header + PCI_REVISION_ID, ids->class_code << 8 | ids->revision);
	le16_store(header + PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
	le16_store(header + PCI_SUBSYSTEM_ID, ids->subsystem);
	header[PCI_INTERRUPT_PIN] = ids->interrupt_pin;
	le16_store(pci->write_mask + PCI_COMMAND,
		   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
			   PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	/* Section 6.2.3: the error bits, which nothing here sets. */
	le16_store(pci->clear_mask + PCI_STATUS, 0xf900);
	pci->write_mask[PCI_CACHE_LINE_SIZE] = 0xff;
	pci->write_mask[PCI_LATENCY_TIMER] = 0xff;
	if (ids->interrupt_pin) {
		pci->write_mask[PCI_INTERRUPT_LINE] = 0xff;
		irq_line_init(&pci->line, pci->device.env->bus,
			      line_of(bus, pci_slot(pci->devfn), ids->interrupt_pin - 1));
	}
	add_rom(pci, config->rom);
	bus->functions[pci->devfn] = pci;
	pci->bus = bus;
	return true;
}

void pci_add_bar(struct pci_device *pci, unsigned index, enum pci_bar_type type, uint64_t size,
		 const struct bus_ops *ops)
{
	struct pci_bar *bar = &pci->bars[index];
	unsigned at = bar_offset(index);

	*bar = (struct pci_bar){.type = type, .size = size, .ops = ops};
	g_assert(index + bar_is_64(bar) < PCI_BARS && (size & (size - 1)) == 0);
	g_assert(size >= (type == PCI_BAR_IO ? 4 : 16) && size <= 1ull << 31);
	le32_store(pci->defaults + at, type);
	le32_store(pci->write_mask + at, -size);
	if (bar_is_64(bar))
		le32_store(pci->write_mask + at + 4, UINT32_MAX);
}

static uint64_t bank_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, mem_bank_data(opaque) + offset, size);
	return GUINT64_FROM_LE(value);
}

static void bank_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	value = GUINT64_TO_LE(value);
	memcpy(mem_bank_data(opaque) + offset, &value, size);
	mem_bank_written(opaque, offset, size);
}

static const struct bus_ops bank_ops = {bank_read, bank_write};

void pci_add_memory_bar(struct pci_device *pci, unsigned index, enum pci_bar_type type,
			struct mem_bank *bank)
{
	g_assert(type != PCI_BAR_IO && mem_bank_size(bank) >= MEM_PAGE_SIZE);
	pci_add_bar(pci, index, type, mem_bank_size(bank), &bank_ops);
	pci->bars[index].bank = bank;
}

unsigned pci_add_capability(struct pci_device *pci, uint8_t id, unsigned len)
{
	unsigned at = pci->next_cap;

	g_assert(at + len <= PCI_CONFIG_SIZE);
	pci->defaults[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	pci->defaults[pci->last_cap_link] = at;
	pci->defaults[at] = id;
	pci->last_cap_link = at + 1;
	pci->next_cap = (at + len + 3) & ~3u;
	return at;
}

static bool is_passed(const struct pci_device *pci, const struct pci_bar *bar, uint64_t base)
{
	const struct pci_device *bridge = pci->bus->bridge;

	return !bridge ||
	       pci_bridge_passes(bridge, bar->type == PCI_BAR_IO, base, base + bar->size - 1);
}

/* Where a BAR decodes now; false: nowhere. */
static bool bar_wanted(const struct pci_device *pci, unsigned index, uint64_t *base)
{
	const struct pci_bar *bar = &pci->bars[index];
	const uint8_t *reg = pci->config + bar_offset(index);
	uint8_t enable = bar->type == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	*base = le32_load(reg) & -bar->size;
	if (bar_is_64(bar))
		*base |= (uint64_t)le32_load(reg + 4) << 32;
	/* Zero is what an unassigned BAR holds, and port 0 and RAM are no device's. */
	return bar->size && *base && pci->config[PCI_COMMAND] & enable &&
	       (index != PCI_ROM || reg[0] & PCI_EXPANSION_ROM_ENABLE) &&
	       is_passed(pci, bar, *base);
}

static enum bus_space bar_space(const struct pci_bar *bar)
{
	return bar->type == PCI_BAR_IO ? BUS_PIO : BUS_MMIO;
}

static void unmap_bar(struct pci_device *pci, struct pci_bar *bar)
{
	bus_unmap(pci->device.env->bus, bar_space(bar), bar->mapped_at);
	bar->mapped = false;
	if (bar->shown)
		mem_show(pci->device.env->mem, bar->mapped_at, bar->size, NULL, 0, MEM_NO_ACCESS);
	bar->shown = false;
}

static void map_bar(struct pci_device *pci, struct pci_bar *bar, uint64_t base)
{
	struct mem *mem = pci->device.env->mem;

	/* Where another region lies already, that one keeps answering. */
	if (!bus_map(pci->device.env->bus, bar_space(bar), base, bar->size, bar->ops,
		     bar->bank ? (void *)bar->bank : pci, &pci->device.lock))
		return;
	bar->mapped = true;
	bar->mapped_at = base;
	/* RAM and ROM keep answering, too; past 4 GiB the bus has to do. */
	bar->shown = bar->bank && base >= mem->low_size && base <= MEM_HOLE_END - bar->size &&
		     !mem_shows(mem, base, bar->size);
	if (bar->shown)
		mem_show(mem, base, bar->size, bar->bank, 0, MEM_READ_WRITE);
}

static void unmap_moved_bars(struct pci_device *pci)
{
	uint64_t base;

	for (unsigned i = 0; i < PCI_PLACES; i++) {
		struct pci_bar *bar = &pci->bars[i];
		bool wanted = bar_wanted(pci, i, &base);

		if (bar->mapped && (!wanted || base != bar->mapped_at))
			unmap_bar(pci, bar);
	}
}

static void map_wanted_bars(struct pci_device *pci)
{
	uint64_t base;

	for (unsigned i = 0; i < PCI_PLACES; i++) {
		struct pci_bar *bar = &pci->bars[i];

		if (bar_wanted(pci, i, &base) && !bar->mapped)
			map_bar(pci, bar, base);
	}
}

static void for_each_function(struct pci_bus *bus, void (*fn)(struct pci_device *pci))
{
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		struct pci_device *pci = bus->functions[i];

		if (!pci)
			continue;
		fn(pci);
		if (pci->secondary)
			for_each_function(pci->secondary, fn);
	}
}

/*
 * All functions, not just the one written to: a BAR that found its place taken gets it once
 * the other has moved on. Their command and base address registers change only under the
 * host bridge's lock, which the caller holds.
 */
static void update_mappings(struct pci_bus *root)
{
	for_each_function(root, unmap_moved_bars);
	for_each_function(root, map_wanted_bars);
}

static void update_intx(struct pci_device *pci)
{
	bool disabled = le16_load(pci->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;

	if (pci->config[PCI_INTERRUPT_PIN])
		irq_line_set(&pci->line, pci->intx && !disabled && !pci_msi_enabled(pci) &&
						 !pci_msix_enabled(pci));
}

void pci_set_intx(struct pci_device *pci, bool level)
{
	pci->intx = level;
	update_intx(pci);
}

void pci_device_reset(struct pci_device *pci)
{
	memcpy(pci->config, pci->defaults, sizeof(pci->config));
	pci_msi_reset(pci);
	pci_msix_reset(pci);
	pci_set_intx(pci, false);
	update_mappings(pci->device.env->pci);
}

bool pci_device_check(const struct pci_device *pci)
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		if ((pci->config[i] ^ pci->defaults[i]) &
		    ~(pci->write_mask[i] | pci->clear_mask[i]))
			return false;
	return pci_msi_check(pci) && pci_msix_check(pci);
}

void pci_device_post_load(struct pci_device *pci)
{
	update_mappings(pci->device.env->pci);
	update_intx(pci);
}

void pci_device_fini(struct pci_device *pci)
{
	if (!pci->bus)
		return;
	pci_bus_free(pci->secondary);
	for (unsigned i = 0; i < PCI_PLACES; i++)
		if (pci->bars[i].mapped)
			unmap_bar(pci, &pci->bars[i]);
	pci_set_intx(pci, false);
	pci->bus->functions[pci->devfn] = NULL;
}

struct pci_bus *pci_bus_new(struct pci_device *host, pci_gsi_fn gsi, bool express)
{
	struct pci_bus *bus = g_new0(struct pci_bus, 1);

	*bus = (struct pci_bus){.host = host, .gsi = gsi, .express = express};
	return bus;
}

void pci_bus_free(struct pci_bus *bus)
{
	if (!bus)
		return;
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++)
		g_assert(!bus->functions[i]);
	g_free(bus);
}

static uint32_t config_read(struct pci_device *pci, unsigned offset, unsigned size)
{
	uint8_t bytes[4] = {};

	if (offset >= PCI_CONFIG_SIZE)
		return pci->express ? 0 : UINT32_MAX;
	if (pci->ops && pci->ops->config_read)
		pci->ops->config_read(pci, offset, size);
	memcpy(bytes, pci->config + offset, size);
	pci_msi_config_read(pci, offset, size, bytes);
	/* Not kept, but computed: the interrupt status bit. */
	if (pci->intx && offset <= PCI_STATUS && offset + size > PCI_STATUS)
		bytes[PCI_STATUS - offset] |= PCI_STATUS_INTERRUPT;
	return le32_load(bytes);
}

static bool overlaps(unsigned offset, unsigned size, unsigned first, unsigned end)
{
	return offset < end && offset + size > first;
}

static void config_write(struct pci_device *pci, unsigned offset, uint32_t value, unsigned size)
{
	if (offset >= PCI_CONFIG_SIZE)
		return;
	for (unsigned i = offset; i < offset + size; i++, value >>= 8) {
		pci->config[i] &= ~(pci->clear_mask[i] & value);
		pci->config[i] &= ~pci->write_mask[i];
		pci->config[i] |= pci->write_mask[i] & value;
	}
	if (overlaps(offset, size, PCI_COMMAND, PCI_STATUS) ||
	    overlaps(offset, size, PCI_BAR_0, PCI_BAR_0 + 4 * PCI_BARS) ||
	    overlaps(offset, size, PCI_EXPANSION_ROM, PCI_EXPANSION_ROM + 4) || pci->secondary)
		update_mappings(pci->device.env->pci);
	pci_msi_config_written(pci);
	pci_msix_config_written(pci, offset, size);
	update_intx(pci);
	if (pci->ops && pci->ops->config_written)
		pci->ops->config_written(pci, offset, size);
}

/* The host bridge's own lock is the caller's already. */
static void lock_function(struct pci_bus *bus, struct pci_device *pci)
{
	if (pci != bus->host)
		g_mutex_lock(&pci->device.lock);
}

static void unlock_function(struct pci_bus *bus, struct pci_device *pci)
{
	if (pci != bus->host)
		g_mutex_unlock(&pci->device.lock);
}

static struct pci_device *find_function(struct pci_bus *root, unsigned address)
{
	unsigned number = address / PCI_FUNCTIONS;
	struct pci_bus *bus = number ? pci_bridge_find_bus(root, number) : root;

	return bus ? bus->functions[address % PCI_FUNCTIONS] : NULL;
}

uint32_t pci_bus_read(struct pci_bus *bus, unsigned address, unsigned offset, unsigned size)
{
	struct pci_device *pci = find_function(bus, address);
	uint32_t value;

	g_assert(offset + size <= PCI_EXPRESS_CONFIG_SIZE && offset % 4 + size <= 4);
	if (!pci)
		return UINT32_MAX; /* a master abort, section 6.1 */
	lock_function(bus, pci);
	value = config_read(pci, offset, size);
	unlock_function(bus, pci);
	return value;
}

void pci_bus_write(struct pci_bus *bus, unsigned address, unsigned offset, uint32_t value,
		   unsigned size)
{
	struct pci_device *pci = find_function(bus, address);

	g_assert(offset + size <= PCI_EXPRESS_CONFIG_SIZE && offset % 4 + size <= 4);
	if (!pci)
		return;
	lock_function(bus, pci);
	config_write(pci, offset, value, size);
	unlock_function(bus, pci);
}

/* The next free address of each window, and the last bus number given. */
struct windows {
	uint64_t mem, io;
	unsigned last_bus;
};

static bool assign_bar(struct pci_device *pci, unsigned index, struct windows *windows)
{
	struct pci_bar *bar = &pci->bars[index];
	bool io = bar->type == PCI_BAR_IO;
	uint64_t *next = io ? &windows->io : &windows->mem;
	uint64_t last = io ? PCI_IO_LAST : PCI_MEM_LAST;
	uint64_t base = (*next + bar->size - 1) & -bar->size;

	if (base + bar->size - 1 > last)
		return false;
	le32_store(pci->config + bar_offset(index), base | bar->type);
	if (bar_is_64(bar))
		le32_store(pci->config + bar_offset(index) + 4, 0);
	*next = base + bar->size;
	return true;
}

static bool assign_function(struct pci_device *pci, struct windows *windows)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (pci->bars[i].size && !assign_bar(pci, i, windows))
			return false;
	if (pci->config[PCI_INTERRUPT_PIN])
		pci->config[PCI_INTERRUPT_LINE] = pci->line.line;
	return true;
}

static uint64_t align_up(uint64_t value, uint64_t size)
{
	return (value + size - 1) & -size;
}

static struct pci_device *assign_bus(struct pci_bus *bus, struct windows *windows);

/* What the bridge passes on begins and ends at its windows' granularity. */
static struct pci_device *assign_behind(struct pci_device *bridge, struct windows *windows)
{
	struct pci_device *failed;
	uint64_t mem[2], io[2];

	pci_bridge_set_bus(bridge, ++windows->last_bus);
	mem[0] = windows->mem = align_up(windows->mem, PCI_BRIDGE_MEM_ALIGN);
	io[0] = windows->io = align_up(windows->io, PCI_BRIDGE_IO_ALIGN);
	failed = assign_bus(bridge->secondary, windows);
	mem[1] = (windows->mem = align_up(windows->mem, PCI_BRIDGE_MEM_ALIGN)) - 1;
	io[1] = (windows->io = align_up(windows->io, PCI_BRIDGE_IO_ALIGN)) - 1;
	pci_bridge_set_windows(bridge, mem, io);
	return failed;
}

/* NULL, or the first function for which there was no room. */
static struct pci_device *assign_bus(struct pci_bus *bus, struct windows *windows)
{
	struct pci_device *failed = NULL;

	for (unsigned i = 0; i < PCI_FUNCTIONS && !failed; i++) {
		struct pci_device *pci = bus->functions[i];

		if (pci && !assign_function(pci, windows))
			failed = pci;
		else if (pci && pci->secondary)
			failed = assign_behind(pci, windows);
	}
	return failed;
}

bool pci_assign_bars(struct pci_bus *bus, GError **error)
{
	struct windows windows = {PCI_MEM_FIRST, PCI_IO_FIRST};
	const struct pci_device *failed = assign_bus(bus, &windows);

	if (failed) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "PCI device '%s' in slot %02x.%x does not fit into the PCI "
			    "address windows any more; attach fewer devices",
			    failed->device.class->name, pci_slot(failed->devfn), failed->devfn % 8);
		return false;
	}
	update_mappings(bus);
	return true;
}
