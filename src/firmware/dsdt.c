/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/dsdt.h"

void dsdt_write_id(struct aml *aml, const char *name, const char *id)
{
	aml_name(aml, name);
	aml_eisa_id(aml, id);
}

void dsdt_write_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_name(aml, name);
	aml_integer(aml, value);
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
	dsdt_write_id(aml, "_HID", device->hid);
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
	dsdt_write_id(aml, "_HID", "PNP0501");
	dsdt_write_integer(aml, "_UID", number);
	aml_name(aml, "_CRS");
	aml_open_resources(aml);
	aml_io(aml, serial->port, 8);
	aml_irq(aml, serial->irq);
	aml_close_resources(aml);
	aml_close(aml);
}

static void write_hpet(struct aml *aml, uint32_t base)
{
	aml_open_device(aml, "HPET");
	dsdt_write_id(aml, "_HID", "PNP0103");
	aml_name(aml, "_CRS");
	aml_open_resources(aml);
	aml_memory(aml, base, 0x400);
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
	dsdt_write_pic_method(aml);
	aml_open_scope(aml, "\\_SB");
	dsdt_write_pci(aml, config);
	write_isa_device(aml, &rtc);
	if (config->hpet_base)
		write_hpet(aml, config->hpet_base);
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
