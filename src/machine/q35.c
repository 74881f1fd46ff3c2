/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The q35 board: Q35 (Intel 316966) with PCI Express, ICH9 (316972), an IOAPIC (82093AA), COM1, and what the user adds:
 * SATA drives at the ICH9's controller, NVMe disks behind its root ports, all else on the host bridge's bus.
 */
#include "machine/board.h"
#include "machine/option_rows.h"

#include "cpu/x86/lapic.h"
#include "dev/chipset/acpi_pm.h"
#include "dev/chipset/hpet.h"
#include "dev/chipset/ich9_lpc.h"
#include "dev/pci/q35_mch.h"
#include "dev/table.h"

#define MCH_DEVFN    PCI_DEVFN(0, 0)
#define PORT_DEVFN   PCI_DEVFN(28, 0)
#define N_PORTS	     4
#define LPC_DEVFN    PCI_DEVFN(31, 0)
#define PM_BASE	     0x600
#define SCI_IRQ	     9
#define COM1_PORT    0x3f8
#define COM1_IRQ     4
#define IOAPIC_BASE  0xfec00000ull
#define HPET_BASE    0xfed00000u
#define HOLE_START   0x80000000u
#define CONFIG_START 0xb0000000u /* where firmware made for this board puts PCI Express's configuration window */

/* As on the pc board: sinks of lines before sources, bridges before what is behind them. */
static const struct board_row q35_rows[] = {
	{&i8259_class},
	{&i82093aa_class, .base = IOAPIC_BASE},
	{&i8254_class},
	{&hpet_class, .base = HPET_BASE},
	{&i8042_class, .backing = BOARD_INPUT},
	{&mc146818_class, .backing = BOARD_INPUT},
	{&ns16550_class, .base = COM1_PORT, .irq = COM1_IRQ, .backing = BOARD_SERIAL},
	{&q35_mch_class, .devfn = MCH_DEVFN},
	{&ich9_lpc_class, .devfn = LPC_DEVFN, .irq = SCI_IRQ},
	{&ich9_root_port_class, .devfn = PORT_DEVFN},
	{&ich9_root_port_class, .devfn = PORT_DEVFN + 1},
	{&ich9_root_port_class, .devfn = PORT_DEVFN + 2},
	{&ich9_root_port_class, .devfn = PORT_DEVFN + 3},
	{&vga_class, .devfn = PCI_DEVFN(2, 0), .backing = BOARD_SCREEN},
	{&virtio_rng_class, .devfn = BOARD_ANY_SLOT},
	{&ahci_class, .devfn = PCI_DEVFN(31, 2), .backing = BOARD_ALL_DISKS, .bus = MACHINE_SATA},
	{&i8237_class},
	{&i82077aa_class, .backing = BOARD_ALL_DISKS, .bus = MACHINE_FLOPPY},
	{&virtio_blk_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_EACH_DISK, .bus = MACHINE_VIRTIO},
	{&virtio_scsi_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_ALL_DISKS, .bus = MACHINE_SCSI},
	{&nvme_class, .devfn = BOARD_ANY_PORT, .backing = BOARD_EACH_DISK, .bus = MACHINE_NVME},
	BOARD_OPTION_ROWS,
};

/* RAM from C0000h on, the configuration window, and the ACPI registers. */
static const struct board_setting q35_settings[] = {
	{MCH_DEVFN, Q35_PAM0, 4, 0x33333330},
	{MCH_DEVFN, Q35_PAM0 + 4, 2, 0x3333},
	{MCH_DEVFN, Q35_PAM0 + 6, 1, 0x33},
	{MCH_DEVFN, Q35_PCIEXBAR, 4, CONFIG_START | Q35_PCIEXBAR_ENABLE},
	{LPC_DEVFN, ICH9_PMBASE, 4, PM_BASE},
	{LPC_DEVFN, ICH9_ACPI_CNTL, 1, ICH9_ACPI_EN},
};

static const struct acpi_serial q35_serials[] = {{.port = COM1_PORT, .irq = COM1_IRQ}};

static const struct acpi_config q35_acpi = {
	.lapic_base = APIC_DEFAULT_BASE,
	.ioapic_base = IOAPIC_BASE,
	.sci_irq = SCI_IRQ,
	.pm1a_evt = PM_BASE + ACPI_PM1_EVT,
	.pm1a_cnt = PM_BASE + ACPI_PM1_CNT,
	.pm_tmr = PM_BASE + ACPI_PM_TMR,
	.gpe0 = PM_BASE + ICH9_GPE0,
	.gpe0_len = ICH9_GPE0_LEN,
	.slp_typ_s5 = ACPI_SLP_TYP_S5,
	.reset_port = 0xcf9,
	.reset_value = 0x0e,
	.cmos_century = 0x32,
	.hpet_base = HPET_BASE,
	.hpet_id = HPET_ID,
	.pci_last_bus = 255,
	.pci_io_first = 0xd00,
	.pci_io_last = PCI_IO_LAST,
	.pci_mem_last = PCI_MEM_LAST,
	.pci_config_base = CONFIG_START,
	.pci_gsi = q35_gsi,
	.pci_first_gsi = PCI_GSI_BASE,
	.pirq_devfn = LPC_DEVFN,
	.n_pirqs = 8,
	.pirq_regs = {ICH9_PIRQA_ROUT, ICH9_PIRQA_ROUT + 1, ICH9_PIRQA_ROUT + 2, ICH9_PIRQA_ROUT + 3,
		      ICH9_PIRQE_ROUT, ICH9_PIRQE_ROUT + 1, ICH9_PIRQE_ROUT + 2, ICH9_PIRQE_ROUT + 3},
	.serials = q35_serials,
	.n_serials = G_N_ELEMENTS(q35_serials),
};

const struct board board_q35 = {
	.name = "q35",
	.hole_start = HOLE_START,
	.rows = q35_rows,
	.n_rows = G_N_ELEMENTS(q35_rows),
	.last_slot = 24, /* the others are the ICH9's own */
	.first_port = PORT_DEVFN,
	.n_ports = N_PORTS,
	.cd_bus = MACHINE_SATA,
	.settings = q35_settings,
	.n_settings = G_N_ELEMENTS(q35_settings),
	.acpi = &q35_acpi,
};
