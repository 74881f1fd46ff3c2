/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82441FX PMC, the host bridge of the 440FX (data sheet 290549): configuration mechanism
 * #1 and the turbo reset register among its ports, and its own function 00:00.0.
 *
 * Of the memory controller's registers PAM and SMRAM act; the others are kept for firmware to read back.
 * The subsystem ids are those by which firmware made for virtual machines knows where it is.
 */
#include "base/le.h"
#include "dev/chipset/pam.h"
#include "dev/pci/pci.h"

/* Ports, section 3.1: CONFADD CF8h, TRC CF9h, CONFDATA CFCh. */
enum {
	PORT_BASE = 0xcf8,
	PORT_COUNT = 8,
	CONFADD = 0,
	TRC = 1,
	CONFDATA = 4,
};

#define CONFADD_ENABLE 0x80000000u
#define CONFADD_MASK   0x80fffffcu

enum {
	TRC_RESET_TYPE = 1 << 1,
	TRC_RESET_CPU = 1 << 2,
	TRC_MASK = TRC_RESET_TYPE | TRC_RESET_CPU,
};

enum { PAM0 = 0x59, SMRAM = 0x72 };

struct i440fx {
	struct pci_device pci;
	struct pam pam;
	uint8_t smram; /* as it was before the last write */
	uint32_t confadd;
	uint8_t trc;
};

/* Section 3.2: registers past the header, with what may be written and what reset leaves. */
static const struct {
	uint8_t offset, len, write_mask, clear_mask, reset;
} registers[] = {
	{0x50, 2, 0xff, 0, 0x00},    /* PMCCFG */
	{0x52, 1, 0xc3, 0, 0x00},    /* DETURBO */
	{0x53, 1, 0xe0, 0, 0x80},    /* DBC */
	{0x54, 1, 0x82, 0, 0x00},    /* AXC */
	{0x55, 2, 0xff, 0, 0x00},    /* DRT */
	{0x57, 1, 0x3f, 0, 0x01},    /* DRAMC */
	{0x58, 1, 0x7f, 0, 0x10},    /* DRAMT */
	{PAM0, 1, 0x30, 0, 0x00},    /* PAM0 */
	{0x5a, 6, 0x33, 0, 0x00},    /* PAM1 to PAM6 */
	{0x60, 8, 0xff, 0, 0x01},    /* DRB0 to DRB7 */
	{0x68, 1, 0xc0, 0, 0x00},    /* FDHC */
	{0x70, 1, 0xf8, 0, 0x00},    /* MTT */
	{0x71, 1, 0xff, 0, 0x10},    /* CLT */
	{SMRAM, 1, SMRAM_WRITABLE, 0, SMRAM_C_BASE_SEG},
	{0x90, 1, 0xfb, 0, 0x00},    /* ERRCMD */
	{0x91, 1, 0x00, 0x11, 0x00}, /* ERRSTS */
};

static unsigned confadd_devfn(const struct i440fx *pmc)
{
	return pmc->confadd >> 8 & 0xff;
}

/* There is one bus, number 0. */
static bool confadd_selects(const struct i440fx *pmc)
{
	return (pmc->confadd & ~0xffffu) == CONFADD_ENABLE;
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i440fx *pmc = opaque;

	if (offset == CONFADD && size == 4)
		return pmc->confadd;
	if (offset == TRC && size == 1)
		return pmc->trc;
	if (offset < CONFDATA || !confadd_selects(pmc))
		return UINT32_MAX;
	return pci_bus_read(pmc->pci.device.env->pci, confadd_devfn(pmc),
			    (pmc->confadd & 0xfc) + offset - CONFDATA, size);
}

/* A reset is the rising edge of TRC_RESET_CPU; hard or soft, the machine starts over. */
static void trc_write(struct i440fx *pmc, uint8_t value)
{
	bool rises = value & ~pmc->trc & TRC_RESET_CPU;

	pmc->trc = value & TRC_MASK;
	if (rises)
		bus_request(pmc->pci.device.env->bus, BUS_REQUEST_RESET);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i440fx *pmc = opaque;

	if (offset == CONFADD && size == 4)
		pmc->confadd = value & CONFADD_MASK;
	else if (offset == TRC && size == 1)
		trc_write(pmc, value);
	else if (offset >= CONFDATA && confadd_selects(pmc))
		pci_bus_write(pmc->pci.device.env->pci, confadd_devfn(pmc),
			      (pmc->confadd & 0xfc) + offset - CONFDATA, value, size);
}

static void update_memory(struct i440fx *pmc)
{
	pam_update(&pmc->pam, pmc->pci.config + PAM0);
	pmc->smram = pmc->pci.config[SMRAM];
	smram_update(&pmc->pci.device, pmc->smram);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct i440fx *pmc = (struct i440fx *)pci;

	if (offset + size <= PAM0 || offset > SMRAM)
		return;
	pci->config[SMRAM] = smram_written(pmc->smram, pci->config[SMRAM]);
	update_memory(pmc);
}

static const struct pci_ops pci_ops = {.config_written = config_written};

static const struct bus_ops port_ops = {port_read, port_write, .min_size = 1, .max_size = 4};

static bool i440fx_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = 0x1237,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.revision = 2,
		.class_code = 0x060000,
	};
	struct i440fx *pmc = (struct i440fx *)device;
	struct pci_device *pci = &pmc->pci;

	g_assert(!device->env->pci && config->devfn == 0);
	device->env->pci = pci_bus_new(pci);
	if (!pci_device_init(pci, &ids, &pci_ops, config, error))
		return false;
	/* Sections 3.2.3 and 3.2.4: it is always a master, and memory always answers. */
	pci->defaults[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	le16_store(pci->write_mask + PCI_COMMAND, PCI_COMMAND_PARITY | PCI_COMMAND_SERR);
	le16_store(pci->defaults + PCI_STATUS, 0x0280);
	for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
		unsigned at = registers[i].offset, len = registers[i].len;

		memset(pci->write_mask + at, registers[i].write_mask, len);
		memset(pci->clear_mask + at, registers[i].clear_mask, len);
		memset(pci->defaults + at, registers[i].reset, len);
	}
	return pam_init(&pmc->pam, device, config->bios, error) &&
	       device_map(device, BUS_PIO, PORT_BASE, PORT_COUNT, &port_ops, error);
}

static void i440fx_reset(struct device *device)
{
	struct i440fx *pmc = (struct i440fx *)device;

	pci_device_reset(&pmc->pci);
	update_memory(pmc);
	pmc->confadd = 0;
	pmc->trc = 0;
}

static void i440fx_post_load(struct device *device)
{
	struct i440fx *pmc = (struct i440fx *)device;

	pci_device_post_load(&pmc->pci);
	update_memory(pmc);
}

static void i440fx_fini(struct device *device)
{
	pci_device_fini(&((struct i440fx *)device)->pci);
	pci_bus_free(device->env->pci);
	device->env->pci = NULL;
}

static const struct state_field i440fx_fields[] = {
	PCI_DEVICE_FIELDS(struct i440fx, pci),
	STATE_FIELD(struct i440fx, confadd),
	STATE_FIELD(struct i440fx, trc),
};

static bool i440fx_check(const void *object)
{
	const struct i440fx *pmc = object;

	return pci_device_check(&pmc->pci) && !(pmc->confadd & ~CONFADD_MASK) &&
	       !(pmc->trc & ~TRC_MASK);
}

static const struct state_table i440fx_state = {
	.name = "i440fx",
	.version = 1,
	.object_size = sizeof(struct i440fx),
	.fields = i440fx_fields,
	.n_fields = G_N_ELEMENTS(i440fx_fields),
	.check = i440fx_check,
};

const struct device_class i440fx_class = {
	.name = "i440fx",
	.document = "Intel 290549, 82441FX PMC",
	.size = sizeof(struct i440fx),
	.state = &i440fx_state,
	.init = i440fx_init,
	.reset = i440fx_reset,
	.post_load = i440fx_post_load,
	.fini = i440fx_fini,
};
