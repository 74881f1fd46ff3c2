/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82Q35 MCH, the host bridge of the Q35 Express chipset (data sheet 316966):
 * configuration mechanism #1 and the memory-mapped one of PCI Express, and its own function
 * 00:00.0. The reset register, which is the ICH9's, has its place among the bridge's ports.
 *
 * Of the memory controller's registers PCIEXBAR, PAM, SMRAM and ESMRAMC act; the others are kept
 * for firmware to read back. TSEG lies at the end of RAM below 4 GiB, whatever TOLUD says. The
 * subsystem ids are those by which firmware made for virtual machines knows where it is.
 */
#include "base/le.h"
#include "dev/chipset/pam.h"
#include "dev/pci/pci_host.h"
#include "dev/pci/q35_mch.h"

enum {
	PCIEXBAR = Q35_PCIEXBAR,
	PCIEXBAR_LENGTH_SHIFT = 1,
	PCIEXBAR_LENGTH = 3 << PCIEXBAR_LENGTH_SHIFT,
	PAM0 = Q35_PAM0,
	SMRAM = 0x9d,
	ESMRAMC = 0x9e,
	ESMRAMC_T_EN = 1 << 0,
	ESMRAMC_TSEG_SZ_SHIFT = 1,
	ESMRAMC_TSEG_SZ = 3 << ESMRAMC_TSEG_SZ_SHIFT,
	ESMRAMC_CACHED = 7 << 3, /* always */
	ESMRAMC_E_SMERR = 1 << 6,
	ESMRAMC_H_SMRAME = 1 << 7,
};

#define PCIEXBAR_ADDRESS_BITS 36

struct q35_mch {
	struct pci_device pci;
	struct pam pam;
	uint8_t smram, esmramc; /* as they were before the last write */
	struct pci_host host;
	uint64_t mapped_at; /* the configuration window; 0: nowhere */
	uint64_t mapped_len;
};

/* Registers past the header, with what may be written and what reset leaves. */
static const struct {
	uint8_t offset, len, write_mask, reset;
} registers[] = {
	{0x40, 1, 0x01, 0x00},
	{0x41, 1, 0xf0, 0x00},
	{0x42, 2, 0xff, 0x00},
	{0x44, 1, 0x0f, 0x00}, /* PXPEPBAR */
	{0x48, 1, 0x01, 0x00},
	{0x49, 1, 0xc0, 0x00},
	{0x4a, 2, 0xff, 0x00},
	{0x4c, 1, 0x0f, 0x00}, /* MCHBAR */
	{0x54, 1, 0x03, 0x03}, /* DEVEN */
	{PCIEXBAR, 1, 0x07, 0x00},
	{PCIEXBAR + 3, 1, 0xfc, 0xe0},
	{PCIEXBAR + 4, 1, 0x0f, 0x00},
	{0x68, 1, 0x01, 0x00},
	{0x69, 1, 0xf0, 0x00},
	{0x6a, 2, 0xff, 0x00},
	{0x6c, 1, 0x0f, 0x00}, /* DMIBAR */
	{PAM0, 1, 0x30, 0x00},
	{PAM0 + 1, 6, 0x33, 0x00},
	{0x97, 1, 0x83, 0x00}, /* LAC */
	{SMRAM, 1, SMRAM_WRITABLE, SMRAM_C_BASE_SEG},
	{ESMRAMC, 1, ESMRAMC_T_EN | ESMRAMC_TSEG_SZ | ESMRAMC_H_SMRAME, ESMRAMC_CACHED},
	{0xa0, 1, 0xff, 0x01},
	{0xa1, 1, 0x03, 0x00}, /* TOM */
	{0xa2, 2, 0xff, 0x00},
	{0xad, 3, 0xff, 0x00}, /* TOUUD, TSEGMB */
	{0xb0, 1, 0xf0, 0x10},
	{0xb1, 1, 0xff, 0x00},
	{0xdc, 4, 0xff, 0x00}, /* TOLUD, SKPD */
};

/* Address bits 27 to 20 are the bus, 19 to 12 the function. An access may reach over dwords. */
static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
	struct q35_mch *mch = opaque;
	struct pci_bus *bus = mch->pci.device.env->pci;
	uint64_t value = 0;

	if (offset % size == 0)
		return pci_bus_read(bus, offset / PCI_EXPRESS_CONFIG_SIZE,
				    offset % PCI_EXPRESS_CONFIG_SIZE, size);
	for (unsigned i = 0; i < size; i++)
		value |= window_read(opaque, offset + i, 1) << 8 * i;
	return value;
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct q35_mch *mch = opaque;
	struct pci_bus *bus = mch->pci.device.env->pci;

	if (offset % size == 0)
		pci_bus_write(bus, offset / PCI_EXPRESS_CONFIG_SIZE,
			      offset % PCI_EXPRESS_CONFIG_SIZE, value, size);
	else
		for (unsigned i = 0; i < size; i++)
			window_write(opaque, offset + i, value >> 8 * i & 0xff, 1);
}

static const struct bus_ops window_ops = {window_read, window_write, .min_size = 1, .max_size = 4};

static void map_window(struct q35_mch *mch, uint64_t base, uint64_t len)
{
	struct bus *bus = mch->pci.device.env->bus;

	if (base == mch->mapped_at && len == mch->mapped_len)
		return;
	if (mch->mapped_at)
		bus_unmap(bus, BUS_MMIO, mch->mapped_at);
	/* Where RAM or another device answers already, that keeps answering. */
	if (!base || !bus_map(bus, BUS_MMIO, base, len, &window_ops, mch, &mch->pci.device.lock))
		base = len = 0;
	mch->mapped_at = base;
	mch->mapped_len = len;
}

static void update_window(struct q35_mch *mch)
{
	uint64_t reg = le64_load(mch->pci.config + PCIEXBAR);
	unsigned length = (reg & PCIEXBAR_LENGTH) >> PCIEXBAR_LENGTH_SHIFT;
	uint64_t len = Q35_PCIEXBAR_SIZE >> length;
	uint64_t base = reg & ((1ull << PCIEXBAR_ADDRESS_BITS) - 1) & -len;
	bool enabled = reg & Q35_PCIEXBAR_ENABLE && length < 3;

	map_window(mch, enabled ? base : 0, enabled ? len : 0);
}

static void update_tseg(struct q35_mch *mch)
{
	static const uint64_t sizes[] = {1 << 20, 2 << 20, 8 << 20, 0};
	struct mem *mem = mch->pci.device.env->mem;
	uint64_t size = sizes[(mch->esmramc & ESMRAMC_TSEG_SZ) >> ESMRAMC_TSEG_SZ_SHIFT];
	bool closed = mch->smram & SMRAM_G_SMRAME && !(mch->smram & SMRAM_D_OPEN) &&
		      mch->esmramc & ESMRAMC_T_EN;

	mem_set_smram(mem, MEM_SMRAM_TOP, mem->low_size - size, closed ? size : 0);
}

static void update_memory(struct q35_mch *mch)
{
	struct pci_device *pci = &mch->pci;

	pam_update(&mch->pam, pci->config + PAM0);
	mch->smram = pci->config[SMRAM];
	mch->esmramc = pci->config[ESMRAMC];
	smram_update(&pci->device, mch->smram);
	update_tseg(mch);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct q35_mch *mch = (struct q35_mch *)pci;

	if (offset < PCIEXBAR + 8 && offset + size > PCIEXBAR)
		update_window(mch);
	if (offset + size <= PAM0 || offset > ESMRAMC)
		return;
	/* The lock holds all of both. */
	if (mch->smram & SMRAM_D_LCK)
		pci->config[ESMRAMC] = mch->esmramc;
	pci->config[SMRAM] = smram_written(mch->smram, pci->config[SMRAM]);
	update_memory(mch);
}

static const struct pci_ops pci_ops = {.config_written = config_written};

static bool q35_mch_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = 0x29c0,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x060000,
	};
	struct q35_mch *mch = (struct q35_mch *)device;
	struct pci_device *pci = &mch->pci;

	g_assert(!device->env->pci && config->devfn == 0);
	device->env->pci = pci_bus_new(pci, q35_gsi, true);
	if (!pci_device_init(pci, &ids, &pci_ops, config, error))
		return false;
	/* It is always a master, and memory always answers. */
	pci->defaults[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	le16_store(pci->write_mask + PCI_COMMAND, PCI_COMMAND_SERR);
	for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
		memset(pci->write_mask + registers[i].offset, registers[i].write_mask,
		       registers[i].len);
		memset(pci->defaults + registers[i].offset, registers[i].reset, registers[i].len);
	}
	pci->clear_mask[ESMRAMC] = ESMRAMC_E_SMERR;
	return pam_init(&mch->pam, device, config->bios, error) &&
	       pci_host_init(&mch->host, device,
			     PCI_HOST_RESET_TYPE | PCI_HOST_RESET_CPU | PCI_HOST_RESET_FULL, error);
}

static void q35_mch_reset(struct device *device)
{
	struct q35_mch *mch = (struct q35_mch *)device;

	pci_device_reset(&mch->pci);
	update_window(mch);
	update_memory(mch);
	pci_host_reset(&mch->host);
}

static void q35_mch_post_load(struct device *device)
{
	struct q35_mch *mch = (struct q35_mch *)device;

	pci_device_post_load(&mch->pci);
	update_window(mch);
	update_memory(mch);
}

static void q35_mch_fini(struct device *device)
{
	struct q35_mch *mch = (struct q35_mch *)device;

	if (mch->mapped_at)
		bus_unmap(device->env->bus, BUS_MMIO, mch->mapped_at);
	pci_device_fini(&mch->pci);
	pci_bus_free(device->env->pci);
	device->env->pci = NULL;
}

static const struct state_field q35_mch_fields[] = {
	PCI_DEVICE_FIELDS(struct q35_mch, pci),
	PCI_HOST_FIELDS(struct q35_mch, host),
};

static bool q35_mch_check(const void *object)
{
	const struct q35_mch *mch = object;

	return pci_device_check(&mch->pci) && pci_host_check(&mch->host);
}

static const struct state_table q35_mch_state = {
	.name = "q35_mch",
	.version = 1,
	.object_size = sizeof(struct q35_mch),
	.fields = q35_mch_fields,
	.n_fields = G_N_ELEMENTS(q35_mch_fields),
	.check = q35_mch_check,
};

const struct device_class q35_mch_class = {
	.name = "q35_mch",
	.document = "Intel 316966, 82Q35 MCH",
	.size = sizeof(struct q35_mch),
	.state = &q35_mch_state,
	.init = q35_mch_init,
	.reset = q35_mch_reset,
	.post_load = q35_mch_post_load,
	.fini = q35_mch_fini,
};
