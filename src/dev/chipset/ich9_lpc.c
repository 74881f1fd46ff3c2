/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICH9, device 31, function 0: the LPC bridge (data sheet 316972). PCI's interrupt
 * wires on their way to ISA lines, the ACPI registers, SMIs by the APM control port, and the
 * chipset's configuration registers.
 *
 * Of the latter those are there that tell how things are; none can be changed. The TCO
 * watchdog, says GCS, cannot reboot, and is not there.
 */
#include "dev/chipset/ich9_lpc.h"

#include <string.h>

#include "base/le.h"
#include "dev/chipset/acpi_pm.h"
#include "dev/chipset/pirq.h"
#include "dev/pci/pci.h"

#define N_PIRQS 8

enum {
	/* Configuration space */
	PMBASE = ICH9_PMBASE,
	PMBASE_IO = 1,
	ACPI_CNTL = ICH9_ACPI_CNTL,
	PIRQA_ROUT = ICH9_PIRQA_ROUT,
	PIRQE_ROUT = ICH9_PIRQE_ROUT,
	GEN_PMCON_1 = 0xa0,
	SMI_LOCK = 1 << 4, /* what it locks, and itself, until reset */
	RCBA = 0xf0,
	RCBA_EN = 1,

	/* I/O space, from PMBASE */
	PM_SPACE = 128,
	GPE0_STS = ICH9_GPE0,
	GPE0_EN = 0x28,
	SMI_EN = 0x30,
	SMI_EN_GBL = 1 << 0,
	SMI_EN_APMC = 1 << 5,
	SMI_EN_WRITABLE = SMI_EN_GBL | SMI_EN_APMC,
	SMI_STS = 0x34,
	SMI_STS_APM = 1 << 5,

	APM_CNT = 0xb2,
	APM_STS = 1,	/* from APM_CNT */
	APM_PORTS = 2,
};

/* Registers kept for firmware to read back: GPIOBASE, GC, SIRQ_CNTL, I/O decoding, GEN_PMCON_2
 * and 3. */
static const struct {
	uint8_t offset, len, write_mask, reset;
} registers[] = {
	{0x48, 1, 0xc0, 0x01}, {0x49, 1, 0xff, 0x00}, {0x4c, 1, 0x10, 0x00}, {0x64, 1, 0xf3, 0x10},
	{0x80, 1, 0x77, 0x00}, {0x81, 1, 0x13, 0x00}, {0x82, 2, 0xff, 0x00}, {0x84, 16, 0xff, 0x00},
	{0xa2, 1, 0x00, 0x00}, {0xa4, 1, 0xd9, 0x00},
};

#define RCBA_SPACE 0x4000u
/* Chipset configuration registers: how pins of devices 31 to 25 are wired, four bits each, and GCS. */
static const struct {
	uint16_t offset;
	uint32_t value;
} chipset[] = {
	{0x3140, 0x00003210}, /* D31IR */
	{0x3144, 0x32103210}, /* D29IR, D28IR */
	{0x3148, 0x00003210}, /* D27IR */
	{0x314c, 0x00003210}, /* D26IR */
	{0x3150, 0x00003210}, /* D25IR */
	{0x3410, 0x00000020}, /* GCS: NO_REBOOT */
};

struct ich9_lpc {
	struct pci_device pci;
	struct acpi_pm acpi;
	struct pirq_router router;
	uint16_t pm_mapped_at;	 /* 0: nowhere */
	uint32_t rcba_mapped_at; /* 0: nowhere */
	uint8_t apm_cnt, apm_sts;
	uint32_t smi_en, smi_sts;
	bool smi_locked; /* as it was before the last write */
};

static uint8_t smi_byte(const struct ich9_lpc *lpc, uint64_t offset)
{
	return (offset < SMI_STS ? lpc->smi_en : lpc->smi_sts) >> offset % 4 * 8;
}

static void smi_write(struct ich9_lpc *lpc, uint64_t offset, uint8_t value)
{
	uint32_t bits = (uint32_t)value << offset % 4 * 8;
	uint32_t mask = 0xffu << offset % 4 * 8 & SMI_EN_WRITABLE;

	if (offset >= SMI_STS) {
		lpc->smi_sts &= ~bits;
		return;
	}
	if (lpc->smi_locked)
		mask &= ~SMI_EN_GBL;
	lpc->smi_en = (lpc->smi_en & ~mask) | (bits & mask);
}

/* The first 16 of the 64 events there are. */
static uint8_t pm_read_byte(struct ich9_lpc *lpc, uint64_t offset)
{
	if (offset / 2 == GPE0_STS / 2)
		return acpi_gpe0_read(&lpc->acpi, offset - GPE0_STS);
	if (offset / 2 == GPE0_EN / 2)
		return acpi_gpe0_read(&lpc->acpi, offset - GPE0_EN + 2);
	return offset >= SMI_EN && offset < SMI_STS + 4 ? smi_byte(lpc, offset) : 0;
}

static void pm_write_byte(struct ich9_lpc *lpc, uint64_t offset, uint8_t value)
{
	if (offset / 2 == GPE0_STS / 2)
		acpi_gpe0_write(&lpc->acpi, offset - GPE0_STS, value);
	else if (offset / 2 == GPE0_EN / 2)
		acpi_gpe0_write(&lpc->acpi, offset - GPE0_EN + 2, value);
	else if (offset >= SMI_EN && offset < SMI_STS + 4)
		smi_write(lpc, offset, value);
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ich9_lpc *lpc = opaque;
	uint64_t value = 0;

	if (offset < ACPI_PM_TMR + ACPI_PM_TMR_LEN)
		return acpi_pm_read(&lpc->acpi, offset, size);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)pm_read_byte(lpc, offset + i) << 8 * i;
	return value;
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ich9_lpc *lpc = opaque;

	if (offset < ACPI_PM_TMR + ACPI_PM_TMR_LEN) {
		acpi_pm_write(&lpc->acpi, offset, value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		pm_write_byte(lpc, offset + i, value >> 8 * i);
}

static const struct bus_ops pm_ops = {pm_read, pm_write, 1, 4};

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ich9_lpc *lpc = opaque;

	return offset == APM_STS ? lpc->apm_sts : lpc->apm_cnt;
}

/* SMI_EN_GBL is not asked, which firmware made for virtual machines leaves alone. */
static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ich9_lpc *lpc = opaque;

	if (offset == APM_STS) {
		lpc->apm_sts = value;
		return;
	}
	lpc->apm_cnt = value;
	lpc->smi_sts |= SMI_STS_APM;
	if (lpc->smi_en & SMI_EN_APMC)
		bus_smi(lpc->pci.device.env->bus);
}

static const struct bus_ops apm_ops = {apm_read, apm_write, 1, 1};

static uint64_t chipset_read(void *opaque, uint64_t offset, unsigned size)
{
	for (size_t i = 0; i < G_N_ELEMENTS(chipset); i++)
		if (chipset[i].offset == (offset & ~3ull))
			return chipset[i].value >> offset % 4 * 8;
	return 0;
}

static void chipset_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct bus_ops chipset_ops = {chipset_read, chipset_write, 1, 4};

/* Moves a region; where another device answers already, that one keeps answering. Returns where it
 * is. */
static uint32_t move_region(struct ich9_lpc *lpc, enum bus_space space, uint32_t from, uint32_t to,
			    uint32_t len, const struct bus_ops *ops)
{
	struct bus *bus = lpc->pci.device.env->bus;

	if (to == from)
		return from;
	if (from)
		bus_unmap(bus, space, from);
	return to && bus_map(bus, space, to, len, ops, lpc, &lpc->pci.device.lock) ? to : 0;
}

static void update_mappings(struct ich9_lpc *lpc)
{
	const uint8_t *config = lpc->pci.config;
	uint16_t pm = config[ACPI_CNTL] & ICH9_ACPI_EN ? le16_load(config + PMBASE) & -PM_SPACE : 0;
	uint32_t rcba = le32_load(config + RCBA);

	lpc->pm_mapped_at = move_region(lpc, BUS_PIO, lpc->pm_mapped_at, pm, PM_SPACE, &pm_ops);
	lpc->rcba_mapped_at =
		move_region(lpc, BUS_MMIO, lpc->rcba_mapped_at,
			    rcba & RCBA_EN ? rcba & -RCBA_SPACE : 0, RCBA_SPACE, &chipset_ops);
}

static void update(struct ich9_lpc *lpc)
{
	lpc->smi_locked = lpc->pci.config[GEN_PMCON_1] & SMI_LOCK;
	update_mappings(lpc);
	pirq_route(&lpc->router, 0, lpc->pci.config + PIRQA_ROUT, N_PIRQS / 2);
	pirq_route(&lpc->router, N_PIRQS / 2, lpc->pci.config + PIRQE_ROUT, N_PIRQS / 2);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct ich9_lpc *lpc = (struct ich9_lpc *)pci;

	if (lpc->smi_locked)
		pci->config[GEN_PMCON_1] |= SMI_LOCK;
	update(lpc);
}

static const struct pci_ops pci_ops = {.config_written = config_written};

static void add_registers(struct pci_device *pci)
{
	for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
		memset(pci->write_mask + registers[i].offset, registers[i].write_mask,
		       registers[i].len);
		memset(pci->defaults + registers[i].offset, registers[i].reset, registers[i].len);
	}
	le16_store(pci->write_mask + PMBASE, (uint16_t)-PM_SPACE);
	pci->defaults[PMBASE] = PMBASE_IO;
	pci->write_mask[ACPI_CNTL] = ICH9_ACPI_EN;
	memset(pci->write_mask + PIRQA_ROUT, PIRQ_WRITABLE, N_PIRQS / 2);
	memset(pci->defaults + PIRQA_ROUT, PIRQ_OFF, N_PIRQS / 2);
	memset(pci->write_mask + PIRQE_ROUT, PIRQ_WRITABLE, N_PIRQS / 2);
	memset(pci->defaults + PIRQE_ROUT, PIRQ_OFF, N_PIRQS / 2);
	pci->write_mask[GEN_PMCON_1] = SMI_LOCK;
	le32_store(pci->write_mask + RCBA, -RCBA_SPACE | RCBA_EN);
}

static bool ich9_lpc_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
					   .device = 0x2918,
					   .subsystem_vendor = 0x1af4,
					   .subsystem = 0x1100,
					   .revision = 2,
					   .class_code = 0x060100};
	struct ich9_lpc *lpc = (struct ich9_lpc *)device;
	struct pci_device *pci = &lpc->pci;

	pirq_init(&lpc->router, device, N_PIRQS);
	if (!pci_device_init(pci, &ids, &pci_ops, config, error))
		return false;
	pci->defaults[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	memset(pci->write_mask + PCI_COMMAND, 0, 2);
	pci->defaults[PCI_HEADER_TYPE] = PCI_HEADER_MULTI_FUNCTION;
	add_registers(pci);
	acpi_pm_init(&lpc->acpi, device, config->irq);
	return device_map(device, BUS_PIO, APM_CNT, APM_PORTS, &apm_ops, error);
}

static void ich9_lpc_reset(struct device *device)
{
	struct ich9_lpc *lpc = (struct ich9_lpc *)device;

	pci_device_reset(&lpc->pci);
	update(lpc);
	acpi_pm_reset(&lpc->acpi);
	lpc->apm_cnt = lpc->apm_sts = 0;
	lpc->smi_en = device->env->no_smm ? SMI_EN_APMC : 0;
	lpc->smi_sts = 0;
}

static void ich9_lpc_post_load(struct device *device)
{
	struct ich9_lpc *lpc = (struct ich9_lpc *)device;

	pci_device_post_load(&lpc->pci);
	update(lpc);
	acpi_pm_post_load(&lpc->acpi);
}

static void ich9_lpc_fini(struct device *device)
{
	struct ich9_lpc *lpc = (struct ich9_lpc *)device;

	if (lpc->pm_mapped_at)
		bus_unmap(device->env->bus, BUS_PIO, lpc->pm_mapped_at);
	if (lpc->rcba_mapped_at)
		bus_unmap(device->env->bus, BUS_MMIO, lpc->rcba_mapped_at);
	acpi_pm_fini(&lpc->acpi);
	pci_device_fini(&lpc->pci);
	pirq_fini(&lpc->router);
}

static const struct state_field ich9_lpc_fields[] = {
	PCI_DEVICE_FIELDS(struct ich9_lpc, pci), ACPI_PM_FIELDS(struct ich9_lpc, acpi),
	STATE_FIELD(struct ich9_lpc, apm_cnt),	 STATE_FIELD(struct ich9_lpc, apm_sts),
	STATE_FIELD(struct ich9_lpc, smi_en),	 STATE_FIELD(struct ich9_lpc, smi_sts),
};

static bool ich9_lpc_check(const void *object)
{
	const struct ich9_lpc *lpc = object;

	return pci_device_check(&lpc->pci) && acpi_pm_check(&lpc->acpi) &&
	       !(lpc->smi_en & ~SMI_EN_WRITABLE) && !(lpc->smi_sts & ~SMI_STS_APM);
}

static const struct state_table ich9_lpc_state = {
	.name = "ich9_lpc",
	.version = 1,
	.object_size = sizeof(struct ich9_lpc),
	.fields = ich9_lpc_fields,
	.n_fields = G_N_ELEMENTS(ich9_lpc_fields),
	.check = ich9_lpc_check,
};

const struct device_class ich9_lpc_class = {
	.name = "ich9_lpc",
	.document = "Intel 316972, ICH9, LPC bridge",
	.size = sizeof(struct ich9_lpc),
	.state = &ich9_lpc_state,
	.init = ich9_lpc_init,
	.reset = ich9_lpc_reset,
	.post_load = ich9_lpc_post_load,
	.fini = ich9_lpc_fini,
};
