/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/machine.h"

#include <string.h>

#include "base/error.h"
#include "cpu/x86/cpuid.h"
#include "dev/floppy/format.h"
#include "dev/pci/pci.h"
#include "machine/board.h"
#include "machine/disks.h"
#include "machine/fw_files.h"

/* The config of a device being made, as its row and what stands behind it have it. */
struct wiring {
	struct machine *machine;
	const struct machine_config *config;
	const struct board_row *row;
	struct device_config device;
};

static unsigned count_one(const struct machine_config *config, const struct board_row *row)
{
	return 1;
}

static void wire_nothing(struct wiring *w, unsigned index)
{
}

static void wire_serial(struct wiring *w, unsigned index)
{
	w->device.stream = w->config->serial;
}

static unsigned count_each_disk(const struct machine_config *config, const struct board_row *row)
{
	return disks_count(config, row->bus);
}

static void wire_each_disk(struct wiring *w, unsigned index)
{
	w->device.block = disks_at(w->machine, w->config, w->row->bus, index)->block;
	w->device.n_queues = w->config->n_vcpus;
}

static unsigned count_all_disks(const struct machine_config *config, const struct board_row *row)
{
	return disks_count(config, row->bus) > 0;
}

static void wire_all_disks(struct wiring *w, unsigned index)
{
	disks_wire(w->machine, w->config, w->row->bus, &w->device);
}

static void wire_input(struct wiring *w, unsigned index)
{
	w->device.input = w->config->input;
}

static unsigned count_more_input(const struct machine_config *config, const struct board_row *row)
{
	return config->input && config->inputs[row->input];
}

/* The index-th card of the row's model. */
static const struct machine_nic *nic_at(const struct machine_config *config, const struct board_row *row,
					unsigned index)
{
	for (unsigned i = 0; i < config->n_nics; i++)
		if (config->nics[i].model == row->nic && !index--)
			return &config->nics[i];
	return NULL;
}

static unsigned count_nics(const struct machine_config *config, const struct board_row *row)
{
	unsigned n = 0;

	while (nic_at(config, row, n))
		n++;
	return n;
}

static void wire_nic(struct wiring *w, unsigned index)
{
	const struct machine_nic *nic = nic_at(w->config, w->row, index);
	GString *path;

	w->device.net = nic->port;
	memcpy(w->device.mac, nic->mac, sizeof(nic->mac));
	w->device.mtu = nic->mtu;
	w->device.n_queues = w->config->n_vcpus;
	w->device.rom = nic->rom;
	if (!nic->rom)
		return; /* not to be booted from */
	path = g_string_new(NULL);
	disks_append_node(path, "ethernet", &w->device);
	g_string_append(path, "/ethernet-phy@0");
	g_ptr_array_add(w->machine->boot_paths[MACHINE_BOOT_NET], g_string_free(path, FALSE));
}

static unsigned count_screen(const struct machine_config *config, const struct board_row *row)
{
	return config->display != NULL;
}

static void wire_screen(struct wiring *w, unsigned index)
{
	w->device.display = w->config->display;
	if (w->config->firmware)
		w->device.rom = w->config->firmware->vga_bios;
}

static unsigned count_more_screen(const struct machine_config *config, const struct board_row *row)
{
	return config->display && config->virtio_gpu;
}

static void wire_more_screen(struct wiring *w, unsigned index)
{
	w->device.display = w->config->display;
}

static unsigned count_firmware(const struct machine_config *config, const struct board_row *row)
{
	return config->firmware != NULL;
}

static void wire_fw_cfg(struct wiring *w, unsigned index)
{
	fw_files_build(w->machine, w->config);
	w->device.files = w->machine->files;
	w->device.n_files = w->machine->n_files;
}

/* The index-th folder of the row's protocol. */
static const struct machine_share *share_at(const struct machine_config *config, const struct board_row *row,
					    unsigned index)
{
	for (unsigned i = 0; i < config->n_shares; i++)
		if (config->shares[i].protocol == row->share && !index--)
			return &config->shares[i];
	return NULL;
}

static unsigned count_shares(const struct machine_config *config, const struct board_row *row)
{
	unsigned n = 0;

	while (share_at(config, row, n))
		n++;
	return n;
}

static void wire_share(struct wiring *w, unsigned index)
{
	const struct machine_share *share = share_at(w->config, w->row, index);

	w->device.share = share->share;
	w->device.tag = share->tag;
}

static unsigned count_hvc(const struct machine_config *config, const struct board_row *row)
{
	return config->hvc != NULL;
}

static void wire_hvc(struct wiring *w, unsigned index)
{
	w->device.stream = w->config->hvc;
}

static unsigned count_ports(const struct machine_config *config, const struct board_row *row)
{
	return config->n_ports > 0;
}

static void wire_ports(struct wiring *w, unsigned index)
{
	w->device.ports = w->config->ports;
	w->device.n_ports = w->config->n_ports;
}

static unsigned count_balloon(const struct machine_config *config, const struct board_row *row)
{
	return config->balloon;
}

static unsigned count_vsock(const struct machine_config *config, const struct board_row *row)
{
	return config->vsock != NULL;
}

static void wire_vsock(struct wiring *w, unsigned index)
{
	w->device.vsock = w->config->vsock;
	w->device.cid = w->config->cid;
}

static unsigned count_flash(const struct machine_config *config, const struct board_row *row)
{
	return config->firmware && (config->firmware->vars || config->firmware->vars_template);
}

static void wire_flash(struct wiring *w, unsigned index)
{
	w->device.base = MEM_HOLE_END - mem_bank_size(w->machine->bios);
	w->device.block = w->config->firmware->vars;
	w->device.rom = w->config->firmware->vars_template;
}

static unsigned count_firmware_log(const struct machine_config *config, const struct board_row *row)
{
	return config->firmware && config->firmware->log;
}

static void wire_firmware_log(struct wiring *w, unsigned index)
{
	w->device.stream = w->config->firmware->log;
}

static const struct {
	unsigned (*count)(const struct machine_config *config, const struct board_row *row);
	void (*wire)(struct wiring *w, unsigned index);
} backings[BOARD_N_BACKINGS] = {
	[BOARD_NOTHING] = {count_one, wire_nothing},
	[BOARD_SERIAL] = {count_one, wire_serial},
	[BOARD_EACH_DISK] = {count_each_disk, wire_each_disk},
	[BOARD_ALL_DISKS] = {count_all_disks, wire_all_disks},
	[BOARD_INPUT] = {count_one, wire_input},
	[BOARD_MORE_INPUT] = {count_more_input, wire_input},
	[BOARD_NICS] = {count_nics, wire_nic},
	[BOARD_SCREEN] = {count_screen, wire_screen},
	[BOARD_MORE_SCREEN] = {count_more_screen, wire_more_screen},
	[BOARD_SHARES] = {count_shares, wire_share},
	[BOARD_HVC] = {count_hvc, wire_hvc},
	[BOARD_PORTS] = {count_ports, wire_ports},
	[BOARD_BALLOON] = {count_balloon, wire_nothing},
	[BOARD_VSOCK] = {count_vsock, wire_vsock},
	[BOARD_FLASH] = {count_flash, wire_flash},
	[BOARD_FW_CFG] = {count_firmware, wire_fw_cfg},
	[BOARD_FIRMWARE_LOG] = {count_firmware_log, wire_firmware_log},
};

/* What CMOS says of a floppy drive. */
static uint8_t floppy_type(const struct machine *machine, const struct machine_config *config,
			   unsigned unit)
{
	const struct machine_disk *disk = disks_at(machine, config, MACHINE_FLOPPY, unit);

	return disk ? floppy_drive_type(disk->block) : 0;
}

/* The next free place of each kind. */
struct places {
	unsigned slot, port;
};

static bool place_device(const struct board *board, const struct board_row *row, struct places *next,
			 struct device_config *device, GError **error)
{
	device->devfn = row->devfn;
	if (row->devfn == BOARD_ANY_PORT && next->port < board->n_ports) {
		device->bridge = board->first_port + next->port++;
		device->devfn = 0;
	} else if (row->devfn >= PCI_FUNCTIONS) {
		device->devfn = PCI_DEVFN(next->slot++, 0);
		if (pci_slot(device->devfn) > board->last_slot) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "no PCI slot is left for '%s'; attach fewer devices",
				    row->class->name);
			return false;
		}
	}
	return true;
}

static bool add_device(struct machine *machine, const struct board_row *row,
		       const struct machine_config *machine_config, unsigned index,
		       struct places *next, GError **error)
{
	struct wiring w = {
		.machine = machine,
		.config = machine_config,
		.row = row,
		.device = {.base = row->base,
			   .irq = row->irq,
			   .bios = machine->bios,
			   .floppies = {floppy_type(machine, machine_config, 0),
					floppy_type(machine, machine_config, 1)}},
	};
	struct device *device;

	if (!place_device(machine->board, row, next, &w.device, error))
		return false;
	backings[row->backing].wire(&w, index);
	device = device_new(row->class, &machine->env, &w.device, error);
	if (!device)
		return false;
	g_ptr_array_add(machine->devices, device);
	if (row->backing == BOARD_EACH_DISK)
		disks_added(machine, machine_config, row->bus, index, device, &w.device);
	for (unsigned i = 0; row->backing == BOARD_ALL_DISKS && i < w.device.n_drives; i++)
		disks_added(machine, machine_config, row->bus, i, device, &w.device);
	return true;
}

static bool add_devices(struct machine *machine, const struct machine_config *config,
			GError **error)
{
	const struct board *board = machine->board;
	struct places next = {.slot = BOARD_FIRST_SLOT};

	for (const struct board_row *row = board->rows; row < board->rows + board->n_rows; row++) {
		unsigned n = backings[row->backing].count(config, row);

		for (unsigned i = 0; i < n; i++) {
			if (!add_device(machine, row, config, i, &next, error))
				return false;
		}
	}
	return true;
}

static bool map_bios(struct machine *machine, const struct machine_firmware *firmware, GError **error)
{
	gsize len;
	const void *data;

	if (!firmware)
		return true;
	data = g_bytes_get_data(firmware->bios, &len);
	machine->bios = mem_bank_new(machine->env.mem, len, error);
	if (!machine->bios)
		return false;
	memcpy(mem_bank_data(machine->bios), data, len);
	mem_show(machine->env.mem, MEM_HOLE_END - len, len, machine->bios, 0, MEM_READ);
	return true;
}

/* Through the ports, as firmware does. */
static void apply_settings(struct machine *machine)
{
	struct bus *bus = machine->env.bus;

	for (size_t i = 0; i < machine->board->n_settings; i++) {
		const struct board_setting *s = &machine->board->settings[i];

		bus_write(bus, BUS_PIO, 0xcf8, 0x80000000u | s->devfn << 8 | (s->offset & 0xfc), 4);
		bus_write(bus, BUS_PIO, 0xcfc + (s->offset & 3), s->value, s->size);
	}
}

/* What firmware would have left to the operating system, where there is none. */
static bool set_up_for_boot(struct machine *machine, GError **error)
{
	if (machine->has_firmware)
		return true;
	apply_settings(machine);
	return acpi_build(machine->env.mem, &machine->acpi, &machine->rsdp_gpa, error) &&
	       pci_assign_bars(machine->env.pci, error);
}

/*
 * Firmware makes its own choice of where BARs lie between RAM and the IOAPIC, from 2 GiB on at the lowest. UEFI puts
 * 64-bit ones above RAM; systems that a BIOS boots may be too old to bear a window there.
 */
static void describe(struct machine *machine, const struct machine_config *config)
{
	const struct mem *mem = machine->env.mem;
	struct acpi_config *acpi = &machine->acpi;

	*acpi = *machine->board->acpi;
	acpi->n_cpus = config->n_vcpus;
	acpi->has_vga = config->display != NULL;
	acpi->has_ps2 = config->input != NULL;
	acpi->has_floppies = disks_count(config, MACHINE_FLOPPY) > 0;
	acpi->pci_mem_first = MAX(2ull << 30, mem->low_size);
	if (count_flash(config, NULL)) {
		acpi->pci_mem64_first = (MEM_HOLE_END + mem->high_size + (1ull << 30) - 1) & -(1ull << 30);
		acpi->pci_mem64_last = (1ull << CPU_PHYS_BITS) - 1;
	}
}

struct machine *machine_new(const struct board *board, const struct machine_config *config,
			    GError **error)
{
	struct machine *machine = g_new0(struct machine, 1);

	machine->board = board;
	machine->n_vcpus = config->n_vcpus;
	machine->has_firmware = config->firmware != NULL;
	machine->devices = g_ptr_array_new();
	for (unsigned i = 0; i < MACHINE_N_BOOT; i++)
		machine->boot_paths[i] = g_ptr_array_new_with_free_func(g_free);
	machine->drives = g_array_new(FALSE, FALSE, sizeof(struct machine_drive));
	machine->env.clock = config->clock;
	machine->env.trace = config->trace;
	machine->env.no_smm = config->no_smm;
	machine->env.packed_rings = config->packed_rings;
	machine->env.bus = bus_new();
	machine->lapics = lapic_set_new(machine->env.bus, config->clock, config->n_vcpus);
	machine->env.mem = mem_new_with_hole(config->ram_size, board->hole_start, error);
	if (machine->env.mem)
		describe(machine, config);
	if (machine->env.mem && disks_place(machine, config, error) &&
	    map_bios(machine, config->firmware, error) && add_devices(machine, config, error) &&
	    set_up_for_boot(machine, error))
		return machine;
	machine_free(machine);
	return NULL;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	/* Backwards: a function leaves its bus before the bus goes. */
	for (unsigned i = machine->devices->len; i-- > 0;)
		device_free(machine->devices->pdata[i]);
	g_ptr_array_unref(machine->devices);
	for (unsigned i = 0; i < MACHINE_N_BOOT; i++)
		g_ptr_array_unref(machine->boot_paths[i]);
	fw_files_free(machine);
	g_array_unref(machine->drives);
	lapic_set_free(machine->lapics);
	bus_free(machine->env.bus);
	mem_free(machine->env.mem);
	g_free(machine);
}

void machine_quiesce(struct machine *machine)
{
	for (unsigned i = 0; i < machine->devices->len; i++)
		device_reset(machine->devices->pdata[i]);
}

bool machine_reset(struct machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		lapic_reset(lapic_get(machine->lapics, i));
	machine_quiesce(machine);
	return set_up_for_boot(machine, error);
}

/* A device's number among those of its class, which names its section. */
static uint16_t instance_of(const struct machine *machine, unsigned index)
{
	const struct device *device = machine->devices->pdata[index];
	uint16_t instance = 0;

	for (unsigned i = 0; i < index; i++)
		instance +=
			((const struct device *)machine->devices->pdata[i])->class == device->class;
	return instance;
}

struct device *machine_find(const struct machine *machine, const struct device_class *class)
{
	for (unsigned i = 0; i < machine->devices->len; i++) {
		struct device *device = machine->devices->pdata[i];

		if (device->class == class)
			return device;
	}
	return NULL;
}

void machine_save(struct machine *machine, GByteArray *out)
{
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		lapic_save(lapic_get(machine->lapics, i), out);
	for (unsigned i = 0; i < machine->devices->len; i++)
		device_save(machine->devices->pdata[i], instance_of(machine, i), out);
}

bool machine_load(struct machine *machine, struct state_reader *reader, GError **error)
{
	for (unsigned i = 0; i < machine->n_vcpus; i++) {
		if (!lapic_load(lapic_get(machine->lapics, i), reader, error))
			return false;
	}
	for (unsigned i = 0; i < machine->devices->len; i++) {
		if (!device_load(machine->devices->pdata[i], instance_of(machine, i), reader,
				 error))
			return false;
	}
	return true;
}
