/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX4 power management function (82371AB data sheet 290562, section 7): where the ACPI registers lie, and SMIs by
 * the APM control port. What the SMBus function had is not there.
 */
#include "base/le.h"
#include "dev/chipset/acpi_pm.h"
#include "dev/chipset/piix4_pm.h"
#include "dev/pci/pci.h"

enum {
	/* Configuration space, section 7.1 */
	PMBASE = 0x40,
	PMBASE_IO = 1,
	DEVACTB = 0x58,
	DEVACTB_APMC_EN = 1 << 25,
	PMREGMISC = 0x80,
	PMREGMISC_PMIOSE = 1,

	/* I/O space, section 7.2 */
	PM_SPACE = 64,
	GPSTS = PIIX4_GPE0,
	GPE0_LEN = 4,

	APMC = 0xb2, /* section 7.3; the PIIX4's, which the board's PIIX3 lends its place */
	APMS = 1,    /* from APMC */
	APM_PORTS = 2,
};

struct piix4_pm {
	struct pci_device pci;
	struct acpi_pm acpi;
	uint16_t mapped_at; /* 0: nowhere */
	uint8_t apmc, apms;
};

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
	struct piix4_pm *pm = opaque;
	uint64_t value = 0;

	if (offset < ACPI_PM_TMR + ACPI_PM_TMR_LEN)
		return acpi_pm_read(&pm->acpi, offset, size);
	for (unsigned i = 0; i < size; i++)
		if (offset + i >= GPSTS && offset + i < GPSTS + GPE0_LEN)
			value |= (uint64_t)acpi_gpe0_read(&pm->acpi, offset + i - GPSTS) << 8 * i;
	return value;
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct piix4_pm *pm = opaque;

	if (offset < ACPI_PM_TMR + ACPI_PM_TMR_LEN) {
		acpi_pm_write(&pm->acpi, offset, value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		if (offset + i >= GPSTS && offset + i < GPSTS + GPE0_LEN)
			acpi_gpe0_write(&pm->acpi, offset + i - GPSTS, value >> 8 * i);
}

static const struct bus_ops pm_ops = {pm_read, pm_write, 1, 4};

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
	struct piix4_pm *pm = opaque;

	return offset == APMS ? pm->apms : pm->apmc;
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct piix4_pm *pm = opaque;

	if (offset == APMS) {
		pm->apms = value;
		return;
	}
	pm->apmc = value;
	if (le32_load(pm->pci.config + DEVACTB) & DEVACTB_APMC_EN)
		bus_smi(pm->pci.device.env->bus);
}

static const struct bus_ops apm_ops = {apm_read, apm_write, 1, 1};

static void update_mapping(struct piix4_pm *pm)
{
	const uint8_t *config = pm->pci.config;
	struct bus *bus = pm->pci.device.env->bus;
	uint16_t base = le16_load(config + PMBASE) & -PM_SPACE;

	if (!(config[PMREGMISC] & PMREGMISC_PMIOSE))
		base = 0;
	if (base == pm->mapped_at)
		return;
	if (pm->mapped_at)
		bus_unmap(bus, BUS_PIO, pm->mapped_at);
	pm->mapped_at = 0;
	/* Where another device answers already, that one keeps answering. */
	if (base && bus_map(bus, BUS_PIO, base, PM_SPACE, &pm_ops, pm, &pm->pci.device.lock))
		pm->mapped_at = base;
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	update_mapping((struct piix4_pm *)pci);
}

static const struct pci_ops pci_ops = {.config_written = config_written};

static bool piix4_pm_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
					   .device = 0x7113,
					   .subsystem_vendor = 0x1af4,
					   .subsystem = 0x1100,
					   .revision = 3,
					   .class_code = 0x068000,
					   .interrupt_pin = 1};
	struct piix4_pm *pm = (struct piix4_pm *)device;
	struct pci_device *pci = &pm->pci;

	if (!pci_device_init(pci, &ids, &pci_ops, config, error))
		return false;
	le16_store(pci->write_mask + PMBASE, (uint16_t)-PM_SPACE);
	pci->defaults[PMBASE] = PMBASE_IO;
	le32_store(pci->write_mask + DEVACTB, DEVACTB_APMC_EN);
	pci->write_mask[PMREGMISC] = PMREGMISC_PMIOSE;
	acpi_pm_init(&pm->acpi, device, config->irq);
	return device_map(device, BUS_PIO, APMC, APM_PORTS, &apm_ops, error);
}

static void piix4_pm_reset(struct device *device)
{
	struct piix4_pm *pm = (struct piix4_pm *)device;

	pci_device_reset(&pm->pci);
	if (device->env->no_smm)
		le32_store(pm->pci.config + DEVACTB, DEVACTB_APMC_EN);
	update_mapping(pm);
	acpi_pm_reset(&pm->acpi);
	pm->apmc = pm->apms = 0;
}

static void piix4_pm_post_load(struct device *device)
{
	struct piix4_pm *pm = (struct piix4_pm *)device;

	pci_device_post_load(&pm->pci);
	update_mapping(pm);
	acpi_pm_post_load(&pm->acpi);
}

static void piix4_pm_fini(struct device *device)
{
	struct piix4_pm *pm = (struct piix4_pm *)device;

	if (pm->mapped_at)
		bus_unmap(device->env->bus, BUS_PIO, pm->mapped_at);
	acpi_pm_fini(&pm->acpi);
	pci_device_fini(&pm->pci);
}

static const struct state_field piix4_pm_fields[] = {
	PCI_DEVICE_FIELDS(struct piix4_pm, pci),
	ACPI_PM_FIELDS(struct piix4_pm, acpi),
	STATE_FIELD(struct piix4_pm, apmc),
	STATE_FIELD(struct piix4_pm, apms),
};

static bool piix4_pm_check(const void *object)
{
	const struct piix4_pm *pm = object;

	return pci_device_check(&pm->pci) && acpi_pm_check(&pm->acpi);
}

static const struct state_table piix4_pm_state = {
	.name = "piix4_pm",
	.version = 1,
	.object_size = sizeof(struct piix4_pm),
	.fields = piix4_pm_fields,
	.n_fields = G_N_ELEMENTS(piix4_pm_fields),
	.check = piix4_pm_check,
};

const struct device_class piix4_pm_class = {
	.name = "piix4_pm",
	.document = "Intel 290562, 82371AB (PIIX4), section 7",
	.size = sizeof(struct piix4_pm),
	.state = &piix4_pm_state,
	.init = piix4_pm_init,
	.reset = piix4_pm_reset,
	.post_load = piix4_pm_post_load,
	.fini = piix4_pm_fini,
};
