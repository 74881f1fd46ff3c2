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
#include "machine/machine.h"

/* What stands behind a row's devices on the host, and so how many of them there are. */
enum board_backing {
	BOARD_NOTHING,	    /* one device */
	BOARD_SERIAL,	    /* one: the machine's serial stream */
	BOARD_EACH_DISK,    /* one for each disk on the row's bus */
	BOARD_ALL_DISKS,    /* one where there are disks on the row's bus, for all of them */
	BOARD_INPUT,	    /* one, which has or is told of the keyboard and the mouse, if they are wanted */
	BOARD_MORE_INPUT,   /* one, with keyboard or pointer, where the row's kind is wanted */
	BOARD_NICS,	    /* one for each network card of the row's model */
	BOARD_SCREEN,	    /* one where there is a screen, with the BIOS for it where there is firmware */
	BOARD_MORE_SCREEN,  /* one where it is wanted besides the VGA, for the same screen */
	BOARD_SHARES,	    /* one for each shared folder of the row's protocol */
	BOARD_HVC,	    /* one, a console, where it is wanted */
	BOARD_PORTS,	    /* one where there are named ports, for all of them */
	BOARD_BALLOON,	    /* one where it is wanted */
	BOARD_VSOCK,	    /* one where the guest has an address */
	BOARD_FLASH,	    /* one where the firmware keeps variables: it lies below the firmware */
	BOARD_FW_CFG,	    /* one where there is firmware; the last row, since it tells of the others */
	BOARD_FIRMWARE_LOG, /* one where somebody wants to read it */
	BOARD_N_BACKINGS,
};

/* The device takes the next free slot of the PCI bus, from BOARD_FIRST_SLOT to the board's last_slot; or, while there
 * are such, the next free root port, as the only function behind it. */
#define BOARD_ANY_SLOT	 0x100u
#define BOARD_ANY_PORT	 0x200u
#define BOARD_FIRST_SLOT 3

struct board_row {
	const struct device_class *class;
	uint64_t base;
	unsigned irq;
	unsigned devfn;
	enum board_backing backing;
	enum machine_disk_bus bus;
	enum machine_nic_model nic;
	enum machine_input input;
	enum share_protocol share;
};

/* A register of configuration space as firmware would leave it, for guests that boot without. */
struct board_setting {
	uint8_t devfn, offset, size;
	uint32_t value;
};

struct board {
	const char *name;
	uint64_t hole_start;	      /* where RAM below 4 GiB ends at the latest: a power of two below 4 GiB */
	const struct board_row *rows; /* in the order of creation, reset and saving */
	size_t n_rows;
	const struct board_setting *settings;
	size_t n_settings;
	uint8_t last_slot;	     /* for BOARD_ANY_SLOT */
	uint8_t first_port, n_ports; /* root ports, whose devfns are in a row */
	enum machine_disk_bus cd_bus; /* where CD-ROM drives are, unless somebody wants them elsewhere */
	const struct acpi_config *acpi; /* without what the configuration says */
};

/* 440FX with PIIX3 and the power management of a PIIX4. */
extern const struct board board_pc;
/* Q35 with ICH9. */
extern const struct board board_q35;

#endif
