/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/disks.h"

#include <string.h>

#include "base/error.h"
#include "dev/pci/pci.h"
#include "machine/board.h"

#define KINDS(kind) (1u << MACHINE_BOOT_##kind)

/*
 * A bus: how many units it has, of what kinds, and how firmware names one (Open Firmware's paths, as SeaBIOS and OVMF
 * read them): first the controller's node, then the unit's.
 */
static const struct bus_row {
	const char *name;
	unsigned units, kinds;
	const char *controller; /* on PCI; with its slot, and the function where it is not 0, behind */
	const char *unit;	/* takes the unit, as the next two say */
	unsigned divisor;	/* units a channel; 0: no channels */
	/* The units that CDs take first: where systems of old look for them. */
	uint8_t cd_order[4];
} buses[MACHINE_N_DISK_BUSES] = {
	[MACHINE_VIRTIO] = {"virtio", MACHINE_MAX_DISKS, KINDS(DISK), "scsi", "/disk@0,0"},
	[MACHINE_IDE] = {"ide", 4, KINDS(DISK) | KINDS(CD), "ide", "/drive@%x/disk@%x", 2, {2, 3, 1, 0}},
	[MACHINE_SATA] = {"sata", 6, KINDS(DISK) | KINDS(CD), "pci8086,2922", "/drive@%x/disk@%x", 1},
	[MACHINE_NVME] = {"nvme", MACHINE_MAX_DISKS, KINDS(DISK), "pci8086,5845", "/namespace@1,0"},
	[MACHINE_SCSI] = {"scsi", DEVICE_MAX_DRIVES, KINDS(DISK) | KINDS(CD), "scsi",
			  "/channel@0/disk@%x,0"},
	[MACHINE_FLOPPY] = {"floppy", 2, KINDS(FLOPPY), NULL, "/pci@i0cf8/isa@1/fdc@03f0/floppy@%x"},
};

const char *machine_disk_bus_name(enum machine_disk_bus bus)
{
	return buses[bus].name;
}

const struct machine_disk *disks_at(const struct machine *machine, const struct machine_config *config,
				    enum machine_disk_bus bus, unsigned unit)
{
	for (unsigned i = 0; i < config->n_disks; i++)
		if (config->disks[i].bus == bus && machine->disk_units[i] == unit)
			return &config->disks[i];
	return NULL;
}

unsigned disks_count(const struct machine_config *config, enum machine_disk_bus bus)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->n_disks; i++)
		n += config->disks[i].bus == bus;
	return n;
}

/* The n-th unit to try for a disk. */
static unsigned unit_to_try(const struct bus_row *bus, enum machine_boot kind, unsigned n)
{
	return kind == MACHINE_BOOT_CD && bus->cd_order[0] ? bus->cd_order[n] : n;
}

static bool board_has(const struct board *board, enum machine_disk_bus bus)
{
	for (size_t i = 0; i < board->n_rows; i++) {
		enum board_backing backing = board->rows[i].backing;

		if ((backing == BOARD_EACH_DISK || backing == BOARD_ALL_DISKS) && board->rows[i].bus == bus)
			return true;
	}
	return false;
}

static bool place(struct machine *machine, const struct machine_config *config, unsigned index,
		  GError **error)
{
	const struct machine_disk *disk = &config->disks[index];
	const struct bus_row *bus = &buses[disk->bus];

	if (!board_has(machine->board, disk->bus)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "board '%s' has no bus '%s'; choose another with bus=, or another board",
			    machine->board->name, bus->name);
		return false;
	}
	if (!(bus->kinds >> disk->kind & 1)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "bus '%s' takes no drive of that kind; choose another with bus=", bus->name);
		return false;
	}
	for (unsigned n = 0; n < bus->units; n++) {
		unsigned unit = unit_to_try(bus, disk->kind, n);

		if (disks_at(machine, config, disk->bus, unit))
			continue;
		machine->disk_units[index] = unit;
		return true;
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "bus '%s' has room for %u drives; give fewer, or choose another bus with bus=", bus->name,
		    bus->units);
	return false;
}

/* Hard disks first, so that CDs take what they leave. */
bool disks_place(struct machine *machine, const struct machine_config *config, GError **error)
{
	memset(machine->disk_units, 0xff, sizeof(machine->disk_units));
	for (unsigned kind = 0; kind < MACHINE_N_BOOT; kind++)
		for (unsigned i = 0; i < config->n_disks; i++)
			if (config->disks[i].kind == kind && !place(machine, config, i, error))
				return false;
	return true;
}

void disks_wire(const struct machine *machine, const struct machine_config *config,
		enum machine_disk_bus bus, struct device_config *device)
{
	for (unsigned unit = 0; unit < buses[bus].units; unit++) {
		const struct machine_disk *disk = disks_at(machine, config, bus, unit);

		if (!disk)
			continue;
		device->drives[unit] = (struct device_drive){disk->block,
							     .cdrom = disk->kind == MACHINE_BOOT_CD};
		device->n_drives = unit + 1;
	}
}

static void append_function(GString *path, const char *node, unsigned devfn)
{
	g_string_append_printf(path, "/%s@%x", node, pci_slot(devfn));
	if (devfn % 8)
		g_string_append_printf(path, ",%x", devfn % 8);
}

void disks_append_node(GString *path, const char *node, const struct device_config *place)
{
	g_string_append(path, "/pci@i0cf8");
	if (place->bridge)
		append_function(path, "pci-bridge", place->bridge);
	append_function(path, node, place->devfn);
}

static void add_boot_path(struct machine *machine, enum machine_boot kind, const struct bus_row *bus,
			  unsigned unit, const struct device_config *place)
{
	GString *path = g_string_new(NULL);
	unsigned divisor = bus->divisor;

	if (bus->controller)
		disks_append_node(path, bus->controller, place);
	g_string_append_printf(path, bus->unit, divisor ? unit / divisor : unit,
			       divisor ? unit % divisor : 0);
	g_ptr_array_add(machine->boot_paths[kind], g_string_free(path, FALSE));
}

static void add_drive(struct machine *machine, const struct machine_disk *disk, struct device *device,
		      unsigned unit)
{
	struct machine_drive drive = {.device = device, .unit = unit, .medium = disk->block};

	g_snprintf(drive.name, sizeof(drive.name), "%s%u",
		   disk->kind == MACHINE_BOOT_CD ? "cd" : "floppy",
		   machine->boot_paths[disk->kind]->len - 1);
	g_array_append_val(machine->drives, drive);
}

void disks_added(struct machine *machine, const struct machine_config *config,
		 enum machine_disk_bus bus, unsigned unit, struct device *device,
		 const struct device_config *place)
{
	const struct machine_disk *disk = disks_at(machine, config, bus, unit);

	if (!disk)
		return;
	add_boot_path(machine, disk->kind, &buses[bus], unit, place);
	if (disk->kind != MACHINE_BOOT_DISK)
		add_drive(machine, disk, device, unit);
}

static struct machine_drive *find_drive(const struct machine *machine, const char *name)
{
	for (unsigned i = 0; i < machine->drives->len; i++) {
		struct machine_drive *drive = &g_array_index(machine->drives, struct machine_drive, i);

		if (!strcmp(drive->name, name))
			return drive;
	}
	return NULL;
}

bool machine_check_drive(const struct machine *machine, const char *drive, GError **error)
{
	g_autoptr(GString) list = g_string_new(NULL);

	if (find_drive(machine, drive))
		return true;
	for (unsigned i = 0; i < machine->drives->len; i++)
		g_string_append_printf(list, "%s%s", i ? ", " : "",
				       g_array_index(machine->drives, struct machine_drive, i).name);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "there is no drive '%s'; this VM's removable drives: %s", drive,
		    list->len ? list->str : "none");
	return false;
}

struct block *machine_set_medium(struct machine *machine, const char *name, struct block *medium)
{
	struct machine_drive *drive = find_drive(machine, name);
	bool changed = device_set_medium(drive->device, drive->unit, medium);
	struct block *old = drive->medium;

	g_assert(changed); /* what the machine calls a drive is one */
	drive->medium = medium;
	return old;
}
