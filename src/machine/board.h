/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board is a table: which device class, where, on which line. What reads it is machine.c;
 * a new board is a new file with a new table.
 */
#ifndef VIV_MACHINE_BOARD_H
#define VIV_MACHINE_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include "dev/device.h"
#include "firmware/acpi.h"

/* What stands behind a row's device on the host. */
enum board_backing {
	BOARD_NOTHING,
	BOARD_SERIAL, /* the machine's serial stream */
	BOARD_DISKS,  /* as many devices as there are disks, in slots from devfn's on */
};

struct board_row {
	const struct device_class *class;
	uint64_t base;
	unsigned irq;
	unsigned devfn;
	enum board_backing backing;
	const char *drive; /* the user's name of its removable drive, like cd0; NULL: none */
};

struct board {
	const char *name;
	const struct board_row *rows; /* in the order of creation, reset and saving */
	size_t n_rows;
	const struct acpi_config *acpi; /* without the number of CPUs */
};

/* 440FX with the parts of a PIIX4 that an operating system without firmware uses. */
extern const struct board board_pc;

#endif
