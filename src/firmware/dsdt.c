/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/dsdt.h"

#define PCI_CONFIG_PORT 0xcf8
#define PCI_CONFIG_LEN	8
#define PCI_SLOTS	32
#define PCI_PINS	4
#define VGA_MEM_START	0xa0000
#define VGA_MEM_LAST	0xbffff

static void write_hid(struct aml *aml, const char *id)
{
	aml_name(aml, "_HID");
	aml_eisa_id(aml, id);
}

static void write_uid(struct aml *aml, unsigned uid)
{
	aml_name(aml, "_UID");
	aml_integer(aml, uid);
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
	aml_window32(aml, AML_SPACE_MEMORY, config->pci_mem_first, config->pci_mem_last);
	if (config->pci_mem64_last)
		aml_window64(aml, AML_SPACE_MEMORY, config->pci_mem64_first,
			     config->pci_mem64_last);
	aml_close_resources(aml);
}

/* Section 6.2.13: an entry is address, pin, source (0: a GSI) and source index. */
static void write_pci_routing(struct aml *aml, const struct acpi_config *config)
{
	aml_name(aml, "_PRT");
	aml_open_package(aml, PCI_SLOTS * PCI_PINS);
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			aml_open_package(aml, 4);
			aml_integer(aml, slot << 16 | 0xffff);
			aml_integer(aml, pin);
			aml_integer(aml, 0);
			aml_integer(aml, config->pci_first_gsi + (slot + pin + 3) % 4);
			aml_close(aml);
		}
	}
	aml_close(aml);
}

static void write_host_bridge(struct aml *aml, const struct acpi_config *config)
{
	aml_open_device(aml, "PCI0");
	write_hid(aml, "PNP0A03");
	write_uid(aml, 0);
	write_host_windows(aml, config);
	write_pci_routing(aml, config);
	aml_close(aml);
}

#define NO_DMA 0

/* What every PC has at the same place. */
static const struct isa_device {
	char name[5], hid[8];
	struct {
		uint16_t port;
		uint8_t len; /* 0: none */
	} io[2];
	uint8_t irq, dma;
} rtc = {"RTC", "PNP0B00", {{0x70, 2}}, 8, NO_DMA},
  keyboard = {"KBD", "PNP0303", {{0x60, 1}, {0x64, 1}}, 1, NO_DMA},
  mouse = {"MOU", "PNP0F13", {{0}}, 12, NO_DMA},
  floppies = {"FDC0", "PNP0700", {{0x3f2, 4}, {0x3f7, 1}}, 6, 2};

static void write_isa_device(struct aml *aml, const struct isa_device *device)
{
	aml_open_device(aml, device->name);
	write_hid(aml, device->hid);
	aml_name(aml, "_CRS");
	aml_open_resources(aml);
	for (unsigned i = 0; i < G_N_ELEMENTS(device->io); i++) {
		if (device->io[i].len)
			aml_io(aml, device->io[i].port, device->io[i].len);
	}
	aml_irq(aml, device->irq);
	if (device->dma != NO_DMA)
		aml_dma(aml, device->dma);
	aml_close_resources(aml);
	aml_close(aml);
}

static void write_serial(struct aml *aml, unsigned number, const struct acpi_serial *serial)
{
	const char name[] = {'C', 'O', 'M', '0' + number, '\0'};

	aml_open_device(aml, name);
	write_hid(aml, "PNP0501");
	write_uid(aml, number);
	aml_name(aml, "_CRS");
	aml_open_resources(aml);
	aml_io(aml, serial->port, 8);
	aml_irq(aml, serial->irq);
	aml_close_resources(aml);
	aml_close(aml);
}

/* Section 7.4.2: the sleep types for PM1a_CNT and PM1b_CNT. */
static void write_soft_off(struct aml *aml, uint8_t slp_typ)
{
	aml_name(aml, "\\_S5");
	aml_open_package(aml, 4);
	aml_integer(aml, slp_typ);
	aml_integer(aml, slp_typ);
	aml_integer(aml, 0);
	aml_integer(aml, 0);
	aml_close(aml);
}

void dsdt_write(struct aml *aml, const struct acpi_config *config)
{
	aml_open_scope(aml, "\\_SB");
	write_host_bridge(aml, config);
	write_isa_device(aml, &rtc);
	if (config->has_ps2) {
		write_isa_device(aml, &keyboard);
		write_isa_device(aml, &mouse);
	}
	if (config->has_floppies)
		write_isa_device(aml, &floppies);
	for (unsigned i = 0; i < config->n_serials; i++) {
		if (config->serials[i].port)
			write_serial(aml, i + 1, &config->serials[i]);
	}
	aml_close(aml);
	write_soft_off(aml, config->slp_typ_s5);
}
