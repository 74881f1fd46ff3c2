/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/machine.h"

#include <string.h>

#include "base/error.h"
#include "dev/pci/pci.h"
#include "machine/board.h"

static bool add_device(struct machine *machine, const struct board_row *row,
		       const struct machine_config *machine_config, unsigned index, GError **error)
{
	struct device_config config = {
		.base = row->base,
		.irq = row->irq,
		.devfn = row->devfn + PCI_DEVFN(index, 0),
		.ram_size = machine_config->ram_size,
	};
	struct device *device;

	if (row->backing == BOARD_SERIAL)
		config.stream = machine_config->serial;
	else if (row->backing == BOARD_DISKS)
		config.block = machine_config->disks[index];
	device = device_new(row->class, &machine->env, &config, error);
	if (!device)
		return false;
	g_ptr_array_add(machine->devices, device);
	if (row->drive)
		g_hash_table_insert(machine->drives, (gpointer)row->drive, device);
	return true;
}

static bool add_devices(struct machine *machine, const struct machine_config *config,
			GError **error)
{
	const struct board *board = machine->board;

	for (const struct board_row *row = board->rows; row < board->rows + board->n_rows; row++) {
		unsigned n = row->backing == BOARD_DISKS ? config->n_disks : 1;

		for (unsigned i = 0; i < n; i++) {
			if (!add_device(machine, row, config, i, error))
				return false;
		}
	}
	return true;
}

/* What firmware would have left to the operating system. */
static bool set_up_for_boot(struct machine *machine, GError **error)
{
	struct acpi_config acpi = *machine->board->acpi;

	acpi.n_cpus = machine->n_vcpus;
	return acpi_build(machine->env.mem, &acpi, &machine->rsdp_gpa, error) &&
	       pci_assign_bars(machine->env.pci, error);
}

struct machine *machine_new(const struct board *board, const struct machine_config *config,
			    GError **error)
{
	struct machine *machine = g_new0(struct machine, 1);

	machine->board = board;
	machine->n_vcpus = config->n_vcpus;
	machine->devices = g_ptr_array_new();
	machine->drives = g_hash_table_new(g_str_hash, g_str_equal);
	machine->env.clock = config->clock;
	machine->env.trace = config->trace;
	machine->env.bus = bus_new();
	machine->lapics = lapic_set_new(machine->env.bus, config->clock, config->n_vcpus);
	machine->env.mem = mem_new(config->ram_size, error);
	if (machine->env.mem && add_devices(machine, config, error) &&
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
	g_hash_table_unref(machine->drives);
	lapic_set_free(machine->lapics);
	bus_free(machine->env.bus);
	mem_free(machine->env.mem);
	g_free(machine);
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

bool machine_check_drive(const struct machine *machine, const char *drive, GError **error)
{
	g_autoptr(GList) names = g_hash_table_get_keys(machine->drives);
	g_autoptr(GString) list = g_string_new(NULL);

	if (g_hash_table_contains(machine->drives, drive))
		return true;
	names = g_list_sort(names, (GCompareFunc)strcmp);
	for (GList *name = names; name; name = name->next)
		g_string_append_printf(list, "%s%s", list->len ? ", " : "", (char *)name->data);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "there is no drive '%s'; this VM's removable drives: %s", drive,
		    list->len ? list->str : "none");
	return false;
}

void machine_set_medium(struct machine *machine, const char *drive, struct block *medium)
{
	struct device *device = g_hash_table_lookup(machine->drives, drive);
	bool changed = device_set_medium(device, medium);

	g_assert(changed); /* a row with a drive's name is of a class with set_medium() */
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
