/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a board has to know of the ICH9's LPC bridge: for ACPI, and where no firmware sets it up. */
#ifndef VIV_DEV_CHIPSET_ICH9_LPC_H
#define VIV_DEV_CHIPSET_ICH9_LPC_H

enum {
	ICH9_PMBASE =
		0x40, /* configuration space: the power management registers' base, bit 0 set */
	ICH9_ACPI_CNTL = 0x44, /* ICH9_ACPI_EN: they are there */
	ICH9_ACPI_EN = 0x80,
	ICH9_PIRQA_ROUT = 0x60, /* to PIRQD */
	ICH9_PIRQE_ROUT = 0x68, /* to PIRQH */
	ICH9_GPE0 = 0x20,	/* from PMBASE: GPE0_STS, GPE0_EN */
	ICH9_GPE0_LEN = 16,
};

#endif
