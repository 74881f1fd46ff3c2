/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI fixed hardware (ACPI 6.5, 4.8.3 and 4.8.4): where its register blocks lie from the
 * configured base, for the board and the FADT. ACPI mode is always on, so the FADT names no
 * SMI command port. The reset register, CF9h, is the host bridge's.
 */
#ifndef VIV_DEV_CHIPSET_ACPI_PM_H
#define VIV_DEV_CHIPSET_ACPI_PM_H

#include <stdbool.h>

struct device;

enum {
	ACPI_PM1_EVT = 0x00, /* PM1a event block: status, enable */
	ACPI_PM1_EVT_LEN = 4,
	ACPI_PM1_CNT = 0x04, /* PM1a control block */
	ACPI_PM1_CNT_LEN = 2,
	ACPI_PM_TMR = 0x08, /* 32 bits wide: the FADT sets TMR_VAL_EXT */
	ACPI_PM_TMR_LEN = 4,
	ACPI_GPE0 = 0x20, /* status, enable */
	ACPI_GPE0_LEN = 4,

	ACPI_SLP_TYP_S5 = 5, /* what \_S5 holds */
};

/* The user presses the power button; any thread. Whether the guest has asked to be told. */
bool acpi_pm_press_power_button(struct device *device);

#endif
