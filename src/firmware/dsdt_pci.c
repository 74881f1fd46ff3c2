/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI in the DSDT: the host bridge, its windows, and where interrupt pins arrive. That depends on whether the OS uses
 * the IOAPIC, as it says by \_PIC (ACPI 6.5, 5.8.1): at lines of their own, or at ISA lines, to which the bridge to ISA
 * routes them as the OS tells the link devices (6.2.13).
 */
#include "firmware/dsdt.h"

#define PCI_CONFIG_PORT	      0xcf8
#define PCI_CONFIG_LEN	      8
#define PCI_CONFIG_BUS_SIZE   (1ull << 20)
#define PCI_SLOTS	      32
#define PCI_PINS	      4
#define VGA_MEM_START	      0xa0000
#define VGA_MEM_LAST	      0xbffff
#define PIC_MODE	      "\\PICF" /* what \_PIC was told last: 0 is without the IOAPIC */

enum { PIRQ_OFF = 0x80, PIRQ_LINE = 0x0f }; /* of a routing register */
enum { STA_DISABLED = 0x09, STA_ENABLED = 0x0b };

void dsdt_write_pic_method(struct aml *aml)
{
	dsdt_write_integer(aml, PIC_MODE, 0);
	aml_open_method(aml, "\\_PIC", 1);
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_ARG0);
	aml_path(aml, PIC_MODE);
	aml_close(aml);
}

static uint64_t config_window_len(const struct acpi_config *config)
{
	return config->pci_config_base ? (config->pci_last_bus + 1) * PCI_CONFIG_BUS_SIZE : 0;
}

/* Around the configuration window. */
static void write_memory_windows(struct aml *aml, const struct acpi_config *config)
{
	uint64_t hole = config->pci_config_base, end = hole + config_window_len(config);

	if (hole) {
		aml_window32(aml, AML_SPACE_MEMORY, config->pci_mem_first, hole - 1);
		aml_window32(aml, AML_SPACE_MEMORY, end, config->pci_mem_last);
	} else {
		aml_window32(aml, AML_SPACE_MEMORY, config->pci_mem_first, config->pci_mem_last);
	}
	if (config->pci_mem64_last)
		aml_window64(aml, AML_SPACE_MEMORY, config->pci_mem64_first, config->pci_mem64_last);
}

static void write_host_windows(struct aml *aml, const struct acpi_config *config)
{
	aml_name(aml, "_CRS");
	aml_open_resources(aml);
	aml_window16(aml, AML_SPACE_BUS, 0, config->pci_last_bus);
	aml_io(aml, PCI_CONFIG_PORT, PCI_CONFIG_LEN);
	aml_window16(aml, AML_SPACE_IO, 0, PCI_CONFIG_PORT - 1);
	aml_window16(aml, AML_SPACE_IO, config->pci_io_first, config->pci_io_last);
	if (config->has_vga)
		aml_window32(aml, AML_SPACE_MEMORY, VGA_MEM_START, VGA_MEM_LAST);
	write_memory_windows(aml, config);
	aml_close_resources(aml);
}

/* The n-th of them, as objects are called. */
struct pirq_name {
	char link[5], reg[5], path[10];
};

static struct pirq_name pirq_name(unsigned n)
{
	char letter = 'A' + n;

	return (struct pirq_name){
		.link = {'L', 'N', 'K', letter},
		.reg = {'P', 'R', 'Q', letter},
		.path = {'I', 'S', 'A', '.', 'L', 'N', 'K', letter},
	};
}

/* Section 6.2.13: an entry is address, pin, source and source index; without a source, the latter is a GSI. */
static void write_routes(struct aml *aml, const struct acpi_config *config, const char *name, bool links)
{
	aml_name(aml, name);
	aml_open_package(aml, PCI_SLOTS * PCI_PINS);
	for (unsigned i = 0; i < PCI_SLOTS * PCI_PINS; i++) {
		unsigned slot = i / PCI_PINS, pin = i % PCI_PINS, gsi = config->pci_gsi(slot, pin);

		aml_open_package(aml, 4);
		aml_integer(aml, slot << 16 | 0xffff);
		aml_integer(aml, pin);
		if (links)
			aml_path(aml, pirq_name(gsi - config->pci_first_gsi).path);
		else
			aml_integer(aml, 0);
		aml_integer(aml, links ? 0 : gsi);
		aml_close(aml);
	}
	aml_close(aml);
}

static void write_routing(struct aml *aml, const struct acpi_config *config)
{
	write_routes(aml, config, "PRTA", false);
	write_routes(aml, config, "PRTP", true);
	aml_open_method(aml, "_PRT", 0);
	aml_open_if(aml);
	aml_path(aml, PIC_MODE);
	aml_op(aml, AML_RETURN);
	aml_path(aml, "PRTA");
	aml_close(aml);
	aml_op(aml, AML_RETURN);
	aml_path(aml, "PRTP");
	aml_close(aml);
}

static void write_link_state(struct aml *aml, const char *reg)
{
	aml_open_method(aml, "_STA", 0);
	aml_open_if(aml);
	aml_op(aml, AML_AND);
	aml_path(aml, reg);
	aml_integer(aml, PIRQ_OFF);
	aml_op(aml, AML_NO_TARGET);
	aml_op(aml, AML_RETURN);
	aml_integer(aml, STA_DISABLED);
	aml_close(aml);
	aml_op(aml, AML_RETURN);
	aml_integer(aml, STA_ENABLED);
	aml_close(aml);

	aml_open_method(aml, "_DIS", 0);
	aml_op(aml, AML_STORE);
	aml_integer(aml, PIRQ_OFF);
	aml_path(aml, reg);
	aml_close(aml);
}

/* Of the resources written before: the rest of AML_CREATE_DWORD_FIELD. */
static void name_line(struct aml *aml)
{
	aml_integer(aml, AML_INTERRUPT_LINE);
	aml_path(aml, "LINE");
}

static void write_link_settings(struct aml *aml, const char *reg)
{
	static const uint8_t none[] = {0}, possible[] = {5, 10, 11};

	aml_name(aml, "_PRS");
	aml_open_resources(aml);
	aml_interrupt(aml, possible, G_N_ELEMENTS(possible));
	aml_close_resources(aml);

	aml_open_method(aml, "_CRS", 0);
	aml_name(aml, "RES");
	aml_open_resources(aml);
	aml_interrupt(aml, none, G_N_ELEMENTS(none));
	aml_close_resources(aml);
	aml_op(aml, AML_CREATE_DWORD_FIELD);
	aml_path(aml, "RES");
	name_line(aml);
	aml_op(aml, AML_AND);
	aml_path(aml, reg);
	aml_integer(aml, PIRQ_LINE);
	aml_path(aml, "LINE");
	aml_op(aml, AML_RETURN);
	aml_path(aml, "RES");
	aml_close(aml);

	aml_open_method(aml, "_SRS", 1);
	aml_op(aml, AML_CREATE_DWORD_FIELD);
	aml_op(aml, AML_ARG0);
	name_line(aml);
	aml_op(aml, AML_STORE);
	aml_path(aml, "LINE");
	aml_path(aml, reg);
	aml_close(aml);
}

static void write_isa_bridge(struct aml *aml, const struct acpi_config *config)
{
	const uint8_t *regs = config->pirq_regs;
	unsigned n = config->n_pirqs, next = regs[0];

	aml_open_device(aml, "ISA");
	dsdt_write_integer(aml, "_ADR", config->pirq_devfn >> 3 << 16 | config->pirq_devfn % 8);
	aml_config_region(aml, "PIRQ", regs[0], regs[n - 1] + 1 - regs[0]);
	aml_open_field(aml, "PIRQ");
	for (unsigned i = 0; i < n; i++) {
		aml_field_skip(aml, regs[i] - next);
		aml_field_unit(aml, pirq_name(i).reg);
		next = regs[i] + 1;
	}
	aml_close(aml);
	for (unsigned i = 0; i < n; i++) {
		struct pirq_name name = pirq_name(i);

		aml_open_device(aml, name.link);
		dsdt_write_id(aml, "_HID", "PNP0C0F");
		dsdt_write_integer(aml, "_UID", i + 1);
		write_link_state(aml, name.reg);
		write_link_settings(aml, name.reg);
		aml_close(aml);
	}
	aml_close(aml);
}

/* Sets bits of the first dword of _OSC's answer. */
static void set_osc_status(struct aml *aml, uint8_t bits)
{
	aml_op(aml, AML_OR);
	aml_path(aml, "STAT");
	aml_integer(aml, bits);
	aml_path(aml, "STAT");
}

/* A dword of the buffer that _OSC is given. */
static void name_osc_dword(struct aml *aml, unsigned n, const char *name)
{
	aml_op(aml, AML_CREATE_DWORD_FIELD);
	aml_op(aml, AML_ARG3);
	aml_integer(aml, 4 * n);
	aml_path(aml, name);
}

static void begin_unless_equal(struct aml *aml)
{
	aml_open_if(aml);
	aml_op(aml, AML_NOT);
	aml_op(aml, AML_EQUAL);
}

/* Section 6.2.11.3; PCI Firmware Specification 3.2, section 4.5.1: the OS may have what there is, which is power
 * management events and the Express capabilities. */
static void write_osc(struct aml *aml)
{
	static const uint8_t pci_uuid[] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
					   0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
	enum { BAD_UUID = 1 << 2, BAD_REVISION = 1 << 3, MASKED = 1 << 4 };
	enum { PME = 1 << 2, EXPRESS_CAPABILITY = 1 << 4 };

	aml_open_method(aml, "_OSC", 4);
	name_osc_dword(aml, 0, "STAT");
	aml_open_if(aml);
	aml_op(aml, AML_EQUAL);
	aml_op(aml, AML_ARG0);
	aml_buffer(aml, pci_uuid, sizeof(pci_uuid));
	name_osc_dword(aml, 2, "CTRL");
	begin_unless_equal(aml);
	aml_op(aml, AML_ARG1);
	aml_integer(aml, 1);
	set_osc_status(aml, BAD_REVISION);
	aml_close(aml);
	aml_op(aml, AML_AND);
	aml_path(aml, "CTRL");
	aml_integer(aml, PME | EXPRESS_CAPABILITY);
	aml_op(aml, AML_LOCAL0);
	begin_unless_equal(aml);
	aml_path(aml, "CTRL");
	aml_op(aml, AML_LOCAL0);
	set_osc_status(aml, MASKED);
	aml_close(aml);
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_LOCAL0);
	aml_path(aml, "CTRL");
	aml_close(aml);
	aml_open_else(aml);
	set_osc_status(aml, BAD_UUID);
	aml_close(aml);
	aml_op(aml, AML_RETURN);
	aml_op(aml, AML_ARG3);
	aml_close(aml);
}

/* An OS uses the configuration window only where ACPI says that it is nobody else's. */
static void write_config_window(struct aml *aml, const struct acpi_config *config)
{
	aml_open_device(aml, "MMCF");
	dsdt_write_id(aml, "_HID", "PNP0C02");
	aml_name(aml, "_CRS");
	aml_open_resources(aml);
	aml_memory(aml, config->pci_config_base, config_window_len(config));
	aml_close_resources(aml);
	aml_close(aml);
}

void dsdt_write_pci(struct aml *aml, const struct acpi_config *config)
{
	bool express = config->pci_config_base;

	aml_open_device(aml, "PCI0");
	dsdt_write_id(aml, "_HID", express ? "PNP0A08" : "PNP0A03");
	if (express)
		dsdt_write_id(aml, "_CID", "PNP0A03");
	dsdt_write_integer(aml, "_UID", 0);
	write_host_windows(aml, config);
	write_isa_bridge(aml, config);
	write_routing(aml, config);
	if (express)
		write_osc(aml);
	aml_close(aml);
	if (express)
		write_config_window(aml, config);
}
