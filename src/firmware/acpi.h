/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of our boards (ACPI 6.5, chapter 5): RSDP, RSDT, XSDT, FADT, FACS, MADT and DSDT. For a guest without
 * firmware they are put into RAM, all within ACPI_AREA, which the memory map must report as reserved; firmware gets
 * them as files with a list of what to do with them. ACPI mode is always on: there is no SMI_CMD.
 *
 * What the registers are and where they lie is the board's to say.
 */
#ifndef VIV_FIRMWARE_ACPI_H
#define VIV_FIRMWARE_ACPI_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "mem/mem.h"

/* Where an OS looks for the RSDP (section 5.2.5.1). */
#define ACPI_AREA_START 0xe0000ull
#define ACPI_AREA_END	0x100000ull

struct acpi_serial {
	uint16_t port;
	uint8_t irq;
};

struct acpi_config {
	unsigned n_cpus; /* local APIC ids 0..n-1, the first one boots */
	uint64_t lapic_base, ioapic_base;
	uint8_t ioapic_id;

	/* Fixed hardware: blocks of 4, 2, 4 and gpe0_len bytes */
	uint8_t sci_irq;
	uint16_t pm1a_evt, pm1a_cnt, pm_tmr, gpe0;
	uint8_t gpe0_len;
	uint8_t slp_typ_s5; /* the sleep type in PM1_CNT that means soft off */
	uint16_t reset_port;
	uint8_t reset_value;
	uint8_t cmos_century; /* CMOS index of the century, or 0 */
	bool has_vga;
	bool has_ps2; /* keyboard and mouse */
	bool has_floppies;

	uint32_t hpet_base, hpet_id; /* the low half of its capabilities; base 0: none */

	/* What the host bridge passes on, besides the ports below 0xcf8 */
	uint8_t pci_last_bus;
	uint16_t pci_io_first, pci_io_last;
	uint32_t pci_mem_first, pci_mem_last; /* but for the configuration window, which may lie there */
	uint64_t pci_mem64_first, pci_mem64_last; /* both 0: none */
	/* PCI Express: where each function has 4 KiB of configuration space, on pci_last_bus + 1 buses; 0: none */
	uint32_t pci_config_base;
	/* The line of a slot's pin, INTA being 0: pci_first_gsi or one of those after it. */
	unsigned (*pci_gsi)(unsigned slot, unsigned pin);
	uint8_t pci_first_gsi;
	/* Where the bridge to ISA, at pirq_devfn, routes each of these to ISA lines: registers of configuration space,
	 * ascending */
	uint8_t pirq_devfn;
	uint8_t n_pirqs;
	uint8_t pirq_regs[8];

	const struct acpi_serial *serials; /* COM1 on; port 0 where there is none */
	unsigned n_serials;
};

/* Writes the tables to guest RAM. Fails where there are too many CPUs for the area. */
bool acpi_build(struct mem *mem, const struct acpi_config *config, uint64_t *rsdp_gpa,
		GError **error);

/* The same for firmware: the contents of the files of these names, for fw_cfg. */
#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE	 "etc/acpi/rsdp"
#define ACPI_LOADER_FILE "etc/table-loader"
struct acpi_files {
	GBytes *tables, *rsdp, *loader;
};
void acpi_build_files(const struct acpi_config *config, struct acpi_files *files);

#endif
