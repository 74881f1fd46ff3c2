/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX3, function 0: the bridge to ISA (82371SB data sheet 290550, section 2.2), which routes PCI's four interrupt
 * wires to ISA lines. The wires reach the IOAPIC besides, at lines of their own.
 */
#include <string.h>

#include "dev/chipset/pirq.h"
#include "dev/pci/pci.h"

#define N_PIRQS 4

enum { PIRQRC = 0x60 }; /* PIRQRCA to PIRQRCD, section 2.2.6 */

/* Registers kept for firmware to read back: IORT, XBCS, TOM, MSTAT, MBIRQ0 and DLC. */
static const struct {
	uint8_t offset, len, write_mask, reset;
} registers[] = {
	{0x4c, 1, 0xff, 0x4d}, {0x4e, 2, 0xff, 0x03}, {0x69, 1, 0xfe, 0x02},
	{0x6a, 2, 0xff, 0x00}, {0x70, 1, 0xef, 0x80}, {0x82, 1, 0x0f, 0x00},
};

struct piix3 {
	struct pci_device pci;
	struct pirq_router router;
};

static void update_routes(struct piix3 *piix)
{
	pirq_route(&piix->router, 0, piix->pci.config + PIRQRC, N_PIRQS);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	if (offset < PIRQRC + N_PIRQS && offset + size > PIRQRC)
		update_routes((struct piix3 *)pci);
}

static const struct pci_ops pci_ops = {.config_written = config_written};

static bool piix3_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
					   .device = 0x7000,
					   .subsystem_vendor = 0x1af4,
					   .subsystem = 0x1100,
					   .class_code = 0x060100};
	struct piix3 *piix = (struct piix3 *)device;
	struct pci_device *pci = &piix->pci;

	pirq_init(&piix->router, device, N_PIRQS);
	if (!pci_device_init(pci, &ids, &pci_ops, config, error))
		return false;
	pci->defaults[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	memset(pci->write_mask + PCI_COMMAND, 0, 2);
	pci->defaults[PCI_HEADER_TYPE] = PCI_HEADER_MULTI_FUNCTION;
	for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
		memset(pci->write_mask + registers[i].offset, registers[i].write_mask, registers[i].len);
		memset(pci->defaults + registers[i].offset, registers[i].reset, registers[i].len);
	}
	memset(pci->write_mask + PIRQRC, PIRQ_WRITABLE, N_PIRQS);
	memset(pci->defaults + PIRQRC, PIRQ_OFF, N_PIRQS);
	return true;
}

static void piix3_reset(struct device *device)
{
	struct piix3 *piix = (struct piix3 *)device;

	pci_device_reset(&piix->pci);
	update_routes(piix);
}

static void piix3_post_load(struct device *device)
{
	struct piix3 *piix = (struct piix3 *)device;

	pci_device_post_load(&piix->pci);
	update_routes(piix);
}

static void piix3_fini(struct device *device)
{
	struct piix3 *piix = (struct piix3 *)device;

	pci_device_fini(&piix->pci);
	pirq_fini(&piix->router);
}

static const struct state_field piix3_fields[] = {
	PCI_DEVICE_FIELDS(struct piix3, pci),
};

static bool piix3_check(const void *object)
{
	return pci_device_check(&((const struct piix3 *)object)->pci);
}

static const struct state_table piix3_state = {
	.name = "piix3",
	.version = 1,
	.object_size = sizeof(struct piix3),
	.fields = piix3_fields,
	.n_fields = G_N_ELEMENTS(piix3_fields),
	.check = piix3_check,
};

const struct device_class piix3_class = {
	.name = "piix3",
	.document = "Intel 290550, 82371SB (PIIX3), section 2.2",
	.size = sizeof(struct piix3),
	.state = &piix3_state,
	.init = piix3_init,
	.reset = piix3_reset,
	.post_load = piix3_post_load,
	.fini = piix3_fini,
};
