/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables before they have a place; what acpi.c and acpi_loader.c share. */
#ifndef VIV_FIRMWARE_ACPI_INT_H
#define VIV_FIRMWARE_ACPI_INT_H

#include "firmware/acpi.h"

/* An offset in the tables, little-endian in `size` bytes at `at`, that is to become an address. */
struct acpi_pointer {
	bool in_rsdp;
	uint32_t at;
	uint8_t size;
};

/* A byte that makes the sum of a range 0, and is 0 itself before. */
struct acpi_sum {
	bool in_rsdp;
	uint32_t start, len, at;
};

struct acpi_tables {
	GByteArray *tables; /* all but the RSDP */
	uint8_t rsdp[36];
	GArray *pointers, *sums;
};

void acpi_tables_init(struct acpi_tables *t, const struct acpi_config *config);
void acpi_tables_fini(struct acpi_tables *t);

#endif
