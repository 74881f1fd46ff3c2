/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICH9, device 28: a PCI Express root port (data sheet 316972), with what is behind it
 * there from the beginning: there is no slot to plug anything into.
 */
#include "dev/pci/pci.h"

#define FIRST_DEVICE_ID 0x2940 /* of function 0; two more for each of the following */

struct ich9_root_port {
	struct pci_device pci;
};

static bool ich9_root_port_init(struct device *device, const struct device_config *config,
				GError **error)
{
	unsigned function = config->devfn % 8;
	const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = FIRST_DEVICE_ID + 2 * function,
		.revision = 2,
		.class_code = 0x060400,
		.interrupt_pin = function % 4 + 1,
	};
	struct pci_device *pci = (struct pci_device *)device;

	if (!pci_device_init(pci, &ids, NULL, config, error))
		return false;
	pci_add_bridge(pci);
	pci->defaults[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI_FUNCTION;
	pci_add_express(pci, PCI_EXPRESS_ROOT_PORT);
	pci_add_msi(pci, 1, false);
	return true;
}

static void ich9_root_port_reset(struct device *device)
{
	pci_device_reset((struct pci_device *)device);
}

static void ich9_root_port_post_load(struct device *device)
{
	pci_device_post_load((struct pci_device *)device);
}

static void ich9_root_port_fini(struct device *device)
{
	pci_device_fini((struct pci_device *)device);
}

static const struct state_field ich9_root_port_fields[] = {
	PCI_DEVICE_FIELDS(struct ich9_root_port, pci),
};

static bool ich9_root_port_check(const void *object)
{
	return pci_device_check(object);
}

static const struct state_table ich9_root_port_state = {
	.name = "ich9_root_port",
	.version = 1,
	.object_size = sizeof(struct ich9_root_port),
	.fields = ich9_root_port_fields,
	.n_fields = G_N_ELEMENTS(ich9_root_port_fields),
	.check = ich9_root_port_check,
};

const struct device_class ich9_root_port_class = {
	.name = "ich9_root_port",
	.document = "Intel 316972, ICH9, PCI Express port",
	.size = sizeof(struct ich9_root_port),
	.state = &ich9_root_port_state,
	.init = ich9_root_port_init,
	.reset = ich9_root_port_reset,
	.post_load = ich9_root_port_post_load,
	.fini = ich9_root_port_fini,
};
