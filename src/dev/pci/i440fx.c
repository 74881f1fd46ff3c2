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
#include "dev/pci/i440fx.h"
#include "dev/pci/pci_host.h"

enum { PAM0 = 0x59, SMRAM = 0x72 };

struct i440fx {
	struct pci_device pci;
	struct pam pam;
	uint8_t smram; /* as it was before the last write */
	struct pci_host host; /* CONFADD, CONFDATA and TRC, section 3.1 */
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
	device->env->pci = pci_bus_new(pci, i440fx_gsi, false);
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
	       pci_host_init(&pmc->host, device, PCI_HOST_RESET_TYPE | PCI_HOST_RESET_CPU, error);
}

static void i440fx_reset(struct device *device)
{
	struct i440fx *pmc = (struct i440fx *)device;

	pci_device_reset(&pmc->pci);
	update_memory(pmc);
	pci_host_reset(&pmc->host);
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
	PCI_HOST_FIELDS(struct i440fx, host),
};

static bool i440fx_check(const void *object)
{
	const struct i440fx *pmc = object;

	return pci_device_check(&pmc->pci) && pci_host_check(&pmc->host);
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
