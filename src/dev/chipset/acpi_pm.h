/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI fixed hardware (ACPI 6.5, 4.8.3 and 4.8.4) that chipsets have in common: PM1 status, enable and
 * control, the PM timer, one general-purpose event block and the SCI. ACPI mode is always on, so the FADT names
 * no SMI command port.
 *
 * A chipset's power management function holds a struct acpi_pm, forwards its registers, and has ACPI_PM_FIELDS
 * in its state table. All under that device's lock.
 */
#ifndef VIV_DEV_CHIPSET_ACPI_PM_H
#define VIV_DEV_CHIPSET_ACPI_PM_H

#include "dev/device.h"

enum {
	ACPI_PM1_EVT = 0x00, /* PM1a event block: status, enable */
	ACPI_PM1_EVT_LEN = 4,
	ACPI_PM1_CNT = 0x04, /* PM1a control block */
	ACPI_PM1_CNT_LEN = 2,
	ACPI_PM_TMR = 0x08, /* 32 bits wide: the FADT sets TMR_VAL_EXT */
	ACPI_PM_TMR_LEN = 4,

	ACPI_SLP_TYP_S5 = 0, /* what \_S5 holds: SUS_TYP of the PIIX4, and what OVMF writes on both chipsets */
};

struct acpi_pm {
	struct device *device;
	struct timer timer;
	struct irq_line sci;
	uint16_t pm1_sts, pm1_en, pm1_cnt;
	uint16_t gpe0_sts, gpe0_en;
	int64_t toggle_tick; /* when TMR_STS is next set */
};

#define ACPI_PM_FIELDS(type, member)                                                             \
	STATE_FIELD(type, member.pm1_sts), STATE_FIELD(type, member.pm1_en),                     \
		STATE_FIELD(type, member.pm1_cnt), STATE_FIELD(type, member.gpe0_sts),           \
		STATE_FIELD(type, member.gpe0_en), STATE_FIELD(type, member.toggle_tick)

/* In the device's init, fini, reset, post_load and check. init also connects the power button. */
void acpi_pm_init(struct acpi_pm *pm, struct device *device, unsigned sci_line);
void acpi_pm_fini(struct acpi_pm *pm);
void acpi_pm_reset(struct acpi_pm *pm);
void acpi_pm_post_load(struct acpi_pm *pm);
bool acpi_pm_check(const struct acpi_pm *pm);

/* PM1 and the timer: offsets 00h to 0Bh, `size` bytes that do not leave their register. */
uint32_t acpi_pm_read(struct acpi_pm *pm, unsigned offset, unsigned size);
void acpi_pm_write(struct acpi_pm *pm, unsigned offset, uint32_t value, unsigned size);
/* GPE0: 16 status bits, then 16 enable bits; a byte each. */
uint8_t acpi_gpe0_read(struct acpi_pm *pm, unsigned offset);
void acpi_gpe0_write(struct acpi_pm *pm, unsigned offset, uint8_t value);

#endif
