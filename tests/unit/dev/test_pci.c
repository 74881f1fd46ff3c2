/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks to the bus as firmware and Linux do: through ports CF8h and CFCh. */
#include "dev/pci/pci.h"
#include "dev/table.h"

#include <string.h>

#include "base/le.h"

#define SLOT 3

/* A function with every kind of BAR; its registers read as their address. */
struct toy {
	struct pci_device pci;
};

static uint64_t toy_read(void *opaque, uint64_t offset, unsigned size)
{
	return offset;
}

static void toy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_device *pci = opaque;

	pci_set_intx(pci, value & 1);
	if (value & 2)
		pci_msix_notify(pci, value >> 4);
	if (value & 4)
		pci_msi_notify(pci, value >> 4);
}

static const struct bus_ops toy_ops = {toy_read, toy_write, 1, 4};

static bool toy_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {
		.vendor = 0x1af4,
		.device = 0x10ff,
		.subsystem_vendor = 0x1234,
		.subsystem = 0x5678,
		.class_code = 0xff0102,
		.revision = 7,
		.interrupt_pin = 1,
	};
	struct pci_device *pci = (struct pci_device *)device;

	if (!pci_device_init(pci, &ids, NULL, config, error))
		return false;
	pci_add_bar(pci, 0, PCI_BAR_MEM32, 0x1000, &toy_ops);
	pci_add_bar(pci, 2, PCI_BAR_IO, 0x20, &toy_ops);
	pci_add_bar(pci, 4, PCI_BAR_MEM64_PREFETCH, 0x4000, &toy_ops);
	pci_add_msix(pci, 1, 3);
	pci_add_msi(pci, 4, true);
	return true;
}

static void toy_reset(struct device *device)
{
	pci_device_reset((struct pci_device *)device);
}

static void toy_post_load(struct device *device)
{
	pci_device_post_load((struct pci_device *)device);
}

static void toy_fini(struct device *device)
{
	pci_device_fini((struct pci_device *)device);
}

static bool toy_check(const void *object)
{
	return pci_device_check(object);
}

static const struct state_field toy_fields[] = {PCI_DEVICE_FIELDS(struct toy, pci)};
static const struct state_table toy_state = {
	.name = "toy",
	.version = 1,
	.object_size = sizeof(struct toy),
	.fields = toy_fields,
	.n_fields = G_N_ELEMENTS(toy_fields),
	.check = toy_check,
};
static const struct device_class toy_class = {
	.name = "toy",
	.size = sizeof(struct toy),
	.state = &toy_state,
	.init = toy_init,
	.reset = toy_reset,
	.post_load = toy_post_load,
	.fini = toy_fini,
};

/* A function with a frame buffer. */
#define VRAM_SIZE 0x10000u

static bool screen_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {.vendor = 0x1af4, .device = 0x10fe};
	struct pci_device *pci = (struct pci_device *)device;
	struct mem_bank *vram = mem_bank_new(device->env->mem, VRAM_SIZE, error);

	if (!vram || !pci_device_init(pci, &ids, NULL, config, error))
		return false;
	pci_add_memory_bar(pci, 0, PCI_BAR_MEM64_PREFETCH, vram);
	return true;
}

static const struct device_class screen_class = {
	.name = "screen",
	.size = sizeof(struct toy),
	.state = &toy_state,
	.init = screen_init,
	.reset = toy_reset,
	.post_load = toy_post_load,
	.fini = toy_fini,
};

struct machine {
	struct device_env env;
	struct device *host, *toy;
	unsigned n_msi, n_resets;
	uint64_t msi_addr;
	uint32_t msi_data;
	bool level;
};

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct machine *m = opaque;

	m->n_msi++;
	m->msi_addr = addr;
	m->msi_data = data;
}

static void on_line(void *opaque, unsigned pin, bool level)
{
	((struct machine *)opaque)->level = level;
}

static void on_request(void *opaque, enum bus_request request)
{
	((struct machine *)opaque)->n_resets += request == BUS_REQUEST_RESET;
}

static void machine_init(struct machine *m)
{
	*m = (struct machine){.env.bus = bus_new(), .env.mem = mem_new(MEM_MIN_SIZE, NULL)};
	bus_set_msi_sink(m->env.bus, on_msi, m);
	bus_set_request_sink(m->env.bus, on_request, m);
	/* INTA of slot 3 is GSI 16 + 2. */
	bus_line_attach(m->env.bus, 18, on_line, m, 0);
	m->host = device_new(&i440fx_class, &m->env, &(struct device_config){}, NULL);
	m->toy = device_new(&toy_class, &m->env,
			    &(struct device_config){.devfn = PCI_DEVFN(SLOT, 0)}, NULL);
	g_assert_nonnull(m->host);
	g_assert_nonnull(m->toy);
}

static void machine_fini(struct machine *m)
{
	device_free(m->toy);
	device_free(m->host);
	bus_free(m->env.bus);
	mem_free(m->env.mem);
}

static uint32_t config_read(struct machine *m, unsigned slot, unsigned reg, unsigned size)
{
	bus_write(m->env.bus, BUS_PIO, 0xcf8, 0x80000000u | slot << 11 | (reg & 0xfc), 4);
	return bus_read(m->env.bus, BUS_PIO, 0xcfc + (reg & 3), size);
}

static void config_write(struct machine *m, unsigned slot, unsigned reg, uint32_t value,
			 unsigned size)
{
	bus_write(m->env.bus, BUS_PIO, 0xcf8, 0x80000000u | slot << 11 | (reg & 0xfc), 4);
	bus_write(m->env.bus, BUS_PIO, 0xcfc + (reg & 3), value, size);
}

static unsigned find_cap(struct machine *m, unsigned slot, uint8_t id)
{
	unsigned at = config_read(m, slot, PCI_CAPABILITIES, 1);

	while (at && config_read(m, slot, at, 1) != id)
		at = config_read(m, slot, at + 1, 1);
	return at;
}

static uint32_t mem_word(struct machine *m, uint64_t gpa)
{
	uint32_t word = 0;

	return mem_read(m->env.mem, gpa, &word, 4) ? word : UINT32_MAX;
}

/* Memory where the processors can use it, and the bus's elsewhere: over RAM, above 4 GiB, in another's place. */
static void test_memory_bar(void)
{
	struct device *screen;
	struct machine m;

	machine_init(&m);
	screen = device_new(&screen_class, &m.env,
			    &(struct device_config){.devfn = PCI_DEVFN(4, 0)}, NULL);
	config_write(&m, 4, PCI_BAR_0, 0xe0000000, 4);
	g_assert_false(mem_is_ram(m.env.mem, 0xe0000000));
	config_write(&m, 4, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_true(mem_write(m.env.mem, 0xe000fffc, "\1\2\3\4", 4));
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xe000fffc, 4), ==, 0x04030201);
	config_write(&m, 4, PCI_BAR_0, 0xe8000000, 4);
	g_assert_cmphex(mem_word(&m, 0xe000fffc), ==, UINT32_MAX);
	g_assert_cmphex(mem_word(&m, 0xe800fffc), ==, 0x04030201);
	config_write(&m, 4, PCI_BAR_0, 0x100000, 4);
	g_assert_cmphex(mem_word(&m, 0x10fffc), ==, 0);
	config_write(&m, 4, PCI_BAR_0 + 4, 8, 4);
	g_assert_false(mem_is_ram(m.env.mem, 0x800100000));
	bus_write(m.env.bus, BUS_MMIO, 0x80010fffc, 0x55667788, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0x80010fffe, 2), ==, 0x5566);
	config_write(&m, 4, PCI_BAR_0, 0xf0000000, 4);
	config_write(&m, 4, PCI_BAR_0 + 4, 0, 4);
	g_assert_cmphex(mem_word(&m, 0xf000fffc), ==, 0x55667788);
	device_free(screen);
	g_assert_false(mem_is_ram(m.env.mem, 0xf000fffc));
	machine_fini(&m);
}

static void test_rom(void)
{
	uint8_t bytes[3000];
	GBytes *rom = NULL;
	struct device *toy;
	struct machine m;

	memset(bytes, 0xaa, sizeof(bytes));
	rom = g_bytes_new(bytes, sizeof(bytes));
	machine_init(&m);
	toy = device_new(&toy_class, &m.env,
			 &(struct device_config){.devfn = PCI_DEVFN(4, 0), .rom = rom}, NULL);
	config_write(&m, 4, PCI_EXPANSION_ROM, 0xfffffffe, 4);
	g_assert_cmphex(config_read(&m, 4, PCI_EXPANSION_ROM, 4), ==, 0xfffff000);
	config_write(&m, 4, PCI_EXPANSION_ROM, 0xe0000000, 4);
	config_write(&m, 4, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xe0000000, 2), ==, 0xffff);
	config_write(&m, 4, PCI_EXPANSION_ROM, 0xe0000001, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xe0000000, 2), ==, 0xaaaa);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xe0000000 + 2998, 4), ==, 0xffffaaaa);
	bus_write(m.env.bus, BUS_MMIO, 0xe0000000, 0, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xe0000ffe, 2), ==, 0xffff);
	g_assert_cmphex(config_read(&m, SLOT, PCI_EXPANSION_ROM, 4), ==, 0);
	device_free(toy);
	machine_fini(&m);
	g_bytes_unref(rom);
}

static void test_header(void)
{
	struct machine m;

	machine_init(&m);
	g_assert_cmphex(config_read(&m, 0, 0, 4), ==, 0x12378086);
	g_assert_cmphex(config_read(&m, 0, PCI_REVISION_ID, 4), ==, 0x06000002);
	g_assert_cmphex(config_read(&m, SLOT, 0, 4), ==, 0x10ff1af4);
	g_assert_cmphex(config_read(&m, SLOT, 2, 2), ==, 0x10ff);
	g_assert_cmphex(config_read(&m, SLOT, 3, 1), ==, 0x10);
	g_assert_cmphex(config_read(&m, SLOT, PCI_REVISION_ID, 4), ==, 0xff010207);
	g_assert_cmphex(config_read(&m, SLOT, PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x56781234);
	/* Read-only stays; the command register takes its bits, byte by byte. */
	config_write(&m, SLOT, 0, 0xffffffff, 4);
	g_assert_cmphex(config_read(&m, SLOT, 0, 4), ==, 0x10ff1af4);
	config_write(&m, SLOT, PCI_COMMAND + 1, 0xff, 1);
	g_assert_cmphex(config_read(&m, SLOT, PCI_COMMAND, 2), ==, 0x0500);
	config_write(&m, SLOT, PCI_INTERRUPT_LINE, 0x0b, 1);
	g_assert_cmphex(config_read(&m, SLOT, PCI_INTERRUPT_LINE, 2), ==, 0x010b);
	/* Nobody there, another bus, and the enable bit off. */
	g_assert_cmphex(config_read(&m, 5, 0, 4), ==, 0xffffffff);
	bus_write(m.env.bus, BUS_PIO, 0xcf8, 0x80010000, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_PIO, 0xcfc, 4), ==, 0xffffffff);
	bus_write(m.env.bus, BUS_PIO, 0xcf8, 0, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_PIO, 0xcfc, 4), ==, 0xffffffff);
	/* CONFADD takes whole dwords only; reserved bits read as zero. */
	bus_write(m.env.bus, BUS_PIO, 0xcf8, 0xffffffff, 4);
	bus_write(m.env.bus, BUS_PIO, 0xcf8, 0, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_PIO, 0xcf8, 4), ==, 0x80fffffc);
	/* No access may leave the dword, whatever is asked for. */
	for (unsigned port = 0xcf6; port < 0xd02; port++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_read(m.env.bus, BUS_PIO, port, size);
			bus_write(m.env.bus, BUS_PIO, port, 0, size);
		}
	}
	machine_fini(&m);
}

static void test_reset_register(void)
{
	struct machine m;

	machine_init(&m);
	bus_write(m.env.bus, BUS_PIO, 0xcf9, 0x02, 1);
	g_assert_cmpuint(m.n_resets, ==, 0);
	bus_write(m.env.bus, BUS_PIO, 0xcf9, 0x06, 1);
	g_assert_cmpuint(m.n_resets, ==, 1);
	g_assert_cmphex(bus_read(m.env.bus, BUS_PIO, 0xcf9, 1), ==, 0x06);
	machine_fini(&m);
}

static uint32_t bar_size_mask(struct machine *m, unsigned bar)
{
	unsigned at = PCI_BAR_0 + 4 * bar;
	uint32_t old = config_read(m, SLOT, at, 4), mask;

	config_write(m, SLOT, at, 0xffffffff, 4);
	mask = config_read(m, SLOT, at, 4);
	config_write(m, SLOT, at, old, 4);
	return mask;
}

static void test_bars(void)
{
	struct machine m;
	uint32_t mem, io;

	machine_init(&m);
	g_assert_true(pci_assign_bars(m.env.pci, NULL));
	g_assert_cmphex(bar_size_mask(&m, 0), ==, 0xfffff000);
	g_assert_cmphex(bar_size_mask(&m, 1), ==, 0xfffff000);
	g_assert_cmphex(bar_size_mask(&m, 2), ==, 0xffffffe1);
	g_assert_cmphex(bar_size_mask(&m, 3), ==, 0);
	g_assert_cmphex(bar_size_mask(&m, 4), ==, 0xffffc00c);
	g_assert_cmphex(bar_size_mask(&m, 5), ==, 0xffffffff);
	g_assert_cmpuint(config_read(&m, SLOT, PCI_INTERRUPT_LINE, 1), ==, 18);

	mem = config_read(&m, SLOT, PCI_BAR_0, 4);
	io = config_read(&m, SLOT, PCI_BAR_0 + 8, 4) & ~3u;
	g_assert_cmphex(mem, >=, PCI_MEM_FIRST);
	g_assert_cmphex(io, >=, PCI_IO_FIRST);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, mem + 8, 4), ==, 0xffffffff);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, mem + 8, 4), ==, 8);
	g_assert_cmphex(bus_read(m.env.bus, BUS_PIO, io + 4, 4), ==, 0xffffffff);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_PIO, io + 4, 4), ==, 4);

	/* Moves, also above 4 GiB. */
	config_write(&m, SLOT, PCI_BAR_0, 0xf0000000, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, mem + 8, 4), ==, 0xffffffff);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf0000008, 4), ==, 8);
	config_write(&m, SLOT, PCI_BAR_0 + 0x14, 0x12, 4);
	config_write(&m, SLOT, PCI_BAR_0 + 0x10, 0x40000000, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0x1240003ffcull, 4), ==, 0x3ffc);
	/* Off again, and on reset. */
	config_write(&m, SLOT, PCI_COMMAND, 0, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf0000008, 4), ==, 0xffffffff);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	device_reset(m.toy);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf0000008, 4), ==, 0xffffffff);
	machine_fini(&m);
}

/* A BAR put upon another device's answers once that has gone. */
static void test_overlap(void)
{
	struct machine m;
	struct device *other;

	machine_init(&m);
	other = device_new(&toy_class, &m.env, &(struct device_config){.devfn = PCI_DEVFN(4, 0)},
			   NULL);
	config_write(&m, SLOT, PCI_BAR_0, 0xf0000000, 4);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	config_write(&m, 4, PCI_BAR_0, 0xf0000000, 4);
	config_write(&m, 4, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf0000010, 4), ==, 0x10);
	config_write(&m, SLOT, PCI_BAR_0, 0xf1000000, 4);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf0000010, 4), ==, 0x10);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf1000010, 4), ==, 0x10);
	/* Ports end at 64 KiB, and addresses do not wrap. */
	config_write(&m, 4, PCI_BAR_0 + 8, 0xfffffff0, 4);
	config_write(&m, 4, PCI_BAR_0 + 0x10, 0xffffc000, 4);
	config_write(&m, 4, PCI_BAR_0 + 0x14, 0xffffffff, 4);
	config_write(&m, 4, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 2);
	device_free(other);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, 0xf0000010, 4), ==, 0xffffffff);
	machine_fini(&m);
}

static void test_slot_taken(void)
{
	struct machine m;
	g_autoptr(GError) error = NULL;

	machine_init(&m);
	g_assert_null(device_new(&toy_class, &m.env,
				 &(struct device_config){.devfn = PCI_DEVFN(SLOT, 0)}, &error));
	g_assert_nonnull(strstr(error->message, "slot 03.0 already holds 'toy'"));
	g_assert_cmphex(config_read(&m, SLOT, 0, 4), ==, 0x10ff1af4);
	machine_fini(&m);
}

static void test_windows_full(void)
{
	struct machine m;
	struct device *big;
	g_autoptr(GError) error = NULL;

	/* Aligned to its quarter of a gigabyte behind the first device, it leaves the window. */
	machine_init(&m);
	big = device_new(&toy_class, &m.env, &(struct device_config){.devfn = PCI_DEVFN(4, 0)},
			 NULL);
	pci_add_bar((struct pci_device *)big, 0, PCI_BAR_MEM32, 1 << 28, &toy_ops);
	g_assert_false(pci_assign_bars(m.env.pci, &error));
	g_assert_nonnull(strstr(error->message, "slot 04.0 does not fit"));
	device_free(big);
	machine_fini(&m);
}

static void test_intx(void)
{
	struct machine m;
	uint32_t mem;

	machine_init(&m);
	g_assert_true(pci_assign_bars(m.env.pci, NULL));
	mem = config_read(&m, SLOT, PCI_BAR_0, 4);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	bus_write(m.env.bus, BUS_MMIO, mem, 1, 4);
	g_assert_true(m.level);
	g_assert_true(config_read(&m, SLOT, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE, 2);
	g_assert_false(m.level);
	g_assert_true(config_read(&m, SLOT, PCI_COMMAND, 4) >> 16 & PCI_STATUS_INTERRUPT);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_true(m.level);
	/* MSI-X takes the pin's place. */
	config_write(&m, SLOT, find_cap(&m, SLOT, PCI_CAP_ID_MSIX) + 2, 0x8000, 2);
	g_assert_false(m.level);
	config_write(&m, SLOT, find_cap(&m, SLOT, PCI_CAP_ID_MSIX) + 2, 0, 2);
	g_assert_true(m.level);
	bus_write(m.env.bus, BUS_MMIO, mem, 0, 4);
	g_assert_false(m.level);
	machine_fini(&m);
}

static void notify(struct machine *m, uint32_t mem, unsigned vector)
{
	bus_write(m->env.bus, BUS_MMIO, mem, vector << 4 | 2, 4);
}

static void test_msix(void)
{
	struct machine m;
	uint32_t mem, table, pba, cap;

	machine_init(&m);
	g_assert_true(pci_assign_bars(m.env.pci, NULL));
	mem = config_read(&m, SLOT, PCI_BAR_0, 4);
	cap = find_cap(&m, SLOT, PCI_CAP_ID_MSIX);
	g_assert_cmphex(cap, !=, 0);
	g_assert_cmphex(config_read(&m, SLOT, cap + 2, 2), ==, 2);
	g_assert_cmphex(config_read(&m, SLOT, cap + 4, 4) & 7, ==, 1);
	table = config_read(&m, SLOT, PCI_BAR_0 + 4, 4) + (config_read(&m, SLOT, cap + 4, 4) & ~7u);
	pba = config_read(&m, SLOT, PCI_BAR_0 + 4, 4) + (config_read(&m, SLOT, cap + 8, 4) & ~7u);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);

	/* Vector 1; all are masked after reset. */
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, table + 16 + 12, 4), ==, 1);
	bus_write(m.env.bus, BUS_MMIO, table + 16, 0xfee01000, 4);
	bus_write(m.env.bus, BUS_MMIO, table + 16 + 8, 0x41, 4);
	notify(&m, mem, 1);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, pba, 4), ==, 0); /* not enabled */
	config_write(&m, SLOT, cap + 2, 0x8000, 2);
	notify(&m, mem, 1);
	g_assert_cmpuint(m.n_msi, ==, 0);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, pba, 8), ==, 2);
	bus_write(m.env.bus, BUS_MMIO, table + 16 + 12, 0, 4);
	g_assert_cmpuint(m.n_msi, ==, 1);
	g_assert_cmphex(m.msi_addr, ==, 0xfee01000);
	g_assert_cmphex(m.msi_data, ==, 0x41);
	g_assert_cmphex(bus_read(m.env.bus, BUS_MMIO, pba, 8), ==, 0);
	notify(&m, mem, 1);
	g_assert_cmpuint(m.n_msi, ==, 2);
	/* The function's mask. */
	config_write(&m, SLOT, cap + 3, 0xc0, 1);
	notify(&m, mem, 1);
	g_assert_cmpuint(m.n_msi, ==, 2);
	config_write(&m, SLOT, cap + 3, 0x80, 1);
	g_assert_cmpuint(m.n_msi, ==, 3);
	/* A message is a bus master's write. */
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	notify(&m, mem, 1);
	g_assert_cmpuint(m.n_msi, ==, 3);
	/* Odd accesses and what lies past the table. */
	for (unsigned i = 0; i < 0x1000; i++) {
		bus_read(m.env.bus, BUS_MMIO, table + i, 1 << i % 4);
		bus_write(m.env.bus, BUS_MMIO, table + i, ~0ull, 1 << i % 4);
	}
	machine_fini(&m);
}

static void notify_msi(struct machine *m, uint32_t mem, unsigned vector)
{
	bus_write(m->env.bus, BUS_MMIO, mem, vector << 4 | 5, 4);
}

static void test_msi(void)
{
	struct machine m;
	uint32_t mem, cap;

	machine_init(&m);
	g_assert_true(pci_assign_bars(m.env.pci, NULL));
	mem = config_read(&m, SLOT, PCI_BAR_0, 4);
	cap = find_cap(&m, SLOT, PCI_CAP_ID_MSI);
	g_assert_cmphex(config_read(&m, SLOT, cap + 2, 2), ==, 0x184);
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	config_write(&m, SLOT, cap + 4, 0xfee01003, 4);
	config_write(&m, SLOT, cap + 8, 1, 4);
	config_write(&m, SLOT, cap + 12, 0x4147, 2);
	notify_msi(&m, mem, 1);
	g_assert_cmpuint(m.n_msi, ==, 0); /* not enabled: the pin is */
	g_assert_true(m.level);
	/* One message for all, then one for each. */
	config_write(&m, SLOT, cap + 2, 0x01, 2);
	g_assert_false(m.level);
	notify_msi(&m, mem, 3);
	g_assert_cmpuint(m.n_msi, ==, 1);
	g_assert_cmphex(m.msi_addr, ==, 0x1fee01000);
	g_assert_cmphex(m.msi_data, ==, 0x4147);
	config_write(&m, SLOT, cap + 2, 0x21, 2);
	notify_msi(&m, mem, 2);
	g_assert_cmphex(m.msi_data, ==, 0x4146);
	/* Masked, it waits; there are four masks. */
	config_write(&m, SLOT, cap + 16, 0xffffffff, 4);
	g_assert_cmphex(config_read(&m, SLOT, cap + 16, 4), ==, 0xf);
	notify_msi(&m, mem, 1);
	notify_msi(&m, mem, 3);
	g_assert_cmpuint(m.n_msi, ==, 2);
	g_assert_cmphex(config_read(&m, SLOT, cap + 20, 4), ==, 0xa);
	g_assert_cmphex(config_read(&m, SLOT, cap + 20, 1), ==, 0xa);
	config_write(&m, SLOT, cap + 16, 0x8, 1);
	g_assert_cmpuint(m.n_msi, ==, 3);
	g_assert_cmphex(m.msi_data, ==, 0x4145);
	g_assert_cmphex(config_read(&m, SLOT, cap + 20, 4), ==, 0x8);
	/* More messages than vectors are not there to be had. */
	config_write(&m, SLOT, cap + 2, 0x71, 2);
	config_write(&m, SLOT, cap + 16, 0, 4);
	g_assert_cmphex(m.msi_data, ==, 0x4147);
	/* A message is a bus master's write. */
	config_write(&m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	notify_msi(&m, mem, 1);
	g_assert_cmpuint(m.n_msi, ==, 4);
	machine_fini(&m);
}

static void test_state(void)
{
	struct machine a, b;
	g_autoptr(GByteArray) saved = g_byte_array_new(), again = g_byte_array_new();
	struct state_reader reader;
	unsigned cap;

	machine_init(&a);
	machine_init(&b);
	g_assert_true(pci_assign_bars(a.env.pci, NULL));
	config_write(&a, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	bus_write(a.env.bus, BUS_MMIO, config_read(&a, SLOT, PCI_BAR_0, 4), 1, 4);
	device_save(a.toy, 0, saved);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(b.toy, 0, &reader, NULL));
	g_assert_true(b.level);
	g_assert_cmphex(bus_read(b.env.bus, BUS_MMIO, config_read(&a, SLOT, PCI_BAR_0, 4) + 4, 4),
			==, 4);
	device_save(b.toy, 0, again);
	g_assert_cmpmem(saved->data, saved->len, again->data, again->len);

	/* A read-only bit that the stream changes: the MSI-X table's size. */
	cap = find_cap(&a, SLOT, PCI_CAP_ID_MSIX);
	((struct pci_device *)a.toy)->config[cap + 2] = 63;
	g_byte_array_set_size(saved, 0);
	device_save(a.toy, 0, saved);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_false(device_load(b.toy, 0, &reader, NULL));
	machine_fini(&a);
	machine_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pci/header", test_header);
	g_test_add_func("/pci/reset-register", test_reset_register);
	g_test_add_func("/pci/bars", test_bars);
	g_test_add_func("/pci/memory-bar", test_memory_bar);
	g_test_add_func("/pci/rom", test_rom);
	g_test_add_func("/pci/overlap", test_overlap);
	g_test_add_func("/pci/slot-taken", test_slot_taken);
	g_test_add_func("/pci/windows-full", test_windows_full);
	g_test_add_func("/pci/intx", test_intx);
	g_test_add_func("/pci/msix", test_msix);
	g_test_add_func("/pci/msi", test_msi);
	g_test_add_func("/pci/state", test_state);
	return g_test_run();
}
