/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board's devices, created from its table, wired and looked after as one: RAM, bus,
 * local APICs, ACPI tables, then each row in order.
 *
 * Threads: all functions while no vCPU runs.
 */
#ifndef VIV_MACHINE_MACHINE_H
#define VIV_MACHINE_MACHINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/lapic.h"
#include "dev/device.h"

struct board;

struct machine_config {
	uint64_t ram_size;
	unsigned n_vcpus;
	/* Not owned; they outlive the machine. */
	struct clock *clock;
	const struct trace *trace; /* NULL: off */
	struct stream *serial;
	struct block *const *disks;
	unsigned n_disks;
};

struct machine {
	const struct board *board;
	struct device_env env; /* owns mem and bus */
	struct lapic_set *lapics;
	unsigned n_vcpus;
	GPtrArray *devices; /* struct device, in the order of the table */
	uint64_t rsdp_gpa;
	GHashTable *drives; /* name in the board's table -> struct device */
};

struct machine *machine_new(const struct board *board, const struct machine_config *config,
			    GError **error);
void machine_free(struct machine *machine);
/* Devices and local APICs at power-on, ACPI tables in RAM as they were; RAM stays else. */
bool machine_reset(struct machine *machine, GError **error);
/* Ends what devices have in flight: from now on none touches RAM until its registers are touched.
 */
void machine_quiesce(struct machine *machine);
/* The first device of the class, or NULL. */
struct device *machine_find(const struct machine *machine, const struct device_class *class);
/* Whether there is a removable drive of that name; the error names those there are. */
bool machine_check_drive(const struct machine *machine, const char *drive, GError **error);
/* Another medium in a drive that there is, or NULL for none; not owned. */
void machine_set_medium(struct machine *machine, const char *drive, struct block *medium);
void machine_save(struct machine *machine, GByteArray *out);
bool machine_load(struct machine *machine, struct state_reader *reader, GError **error);

#endif
