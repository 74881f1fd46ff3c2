/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a board has to know of the PIIX4's power management function: for the FADT, and where no firmware sets it up. */
#ifndef VIV_DEV_CHIPSET_PIIX4_PM_H
#define VIV_DEV_CHIPSET_PIIX4_PM_H

enum {
	PIIX4_PMBASE = 0x40,	/* configuration space: the registers' base, bit 0 set */
	PIIX4_PMREGMISC = 0x80, /* 1: they are there */
	PIIX4_GPE0 = 0x0c,	/* from the base: GPSTS, GPEN */
};

#endif
