/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks and drives: on which unit of which controller, and what firmware and users call them. Seen in this folder only. */
#ifndef VIV_MACHINE_DISKS_H
#define VIV_MACHINE_DISKS_H

#include "dev/device.h"
#include "machine/machine.h"

/* A removable drive. */
struct machine_drive {
	char name[16]; /* the user's, like cd0 */
	struct device *device;
	unsigned unit;
	struct block *medium; /* not owned; NULL: none */
};

/* Gives each disk its unit. False with the error set where a bus has not so many, or takes none of its kind. */
bool disks_place(struct machine *machine, const struct machine_config *config, GError **error);
unsigned disks_count(const struct machine_config *config, enum machine_disk_bus bus);
/* The disk of that unit; NULL: none. */
const struct machine_disk *disks_at(const struct machine *machine, const struct machine_config *config,
				    enum machine_disk_bus bus, unsigned unit);
/* What a controller of several drives is told of them. */
void disks_wire(const struct machine *machine, const struct machine_config *config,
		enum machine_disk_bus bus, struct device_config *device);
/* The device with that unit is there, where its configuration says: its boot path, and its name if it is removable. */
void disks_added(struct machine *machine, const struct machine_config *config,
		 enum machine_disk_bus bus, unsigned unit, struct device *device,
		 const struct device_config *place);
/* Firmware's path of a PCI function of that kind. */
void disks_append_node(GString *path, const char *node, const struct device_config *place);

#endif
