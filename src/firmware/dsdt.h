/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The DSDT's definition block: what an OS cannot find out by itself. */
#ifndef VIV_FIRMWARE_DSDT_H
#define VIV_FIRMWARE_DSDT_H

#include "firmware/acpi.h"
#include "firmware/aml.h"

void dsdt_write(struct aml *aml, const struct acpi_config *config);

#endif
