/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The DSDT's definition block: what an OS cannot find out by itself. */
#ifndef VIV_FIRMWARE_DSDT_H
#define VIV_FIRMWARE_DSDT_H

#include "firmware/acpi.h"
#include "firmware/aml.h"

void dsdt_write(struct aml *aml, const struct acpi_config *config);

/* Its part about PCI, in \_SB but for the first object. */
void dsdt_write_pic_method(struct aml *aml);
void dsdt_write_pci(struct aml *aml, const struct acpi_config *config);

/* For both: names of an identifier and of a number. */
void dsdt_write_id(struct aml *aml, const char *name, const char *id);
void dsdt_write_integer(struct aml *aml, const char *name, uint64_t value);

#endif
