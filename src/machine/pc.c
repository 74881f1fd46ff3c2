/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc board: 440FX (Intel 290549), PIIX3 (290550) with the power management function of a PIIX4 (290562), an
 * IOAPIC (82093AA), COM1, and what the user adds behind the host bridge.
 */
#include "machine/board.h"
#include "machine/option_rows.h"

#include "cpu/x86/lapic.h"
#include "dev/chipset/acpi_pm.h"
#include "dev/chipset/piix4_pm.h"
#include "dev/pci/i440fx.h"
#include "dev/table.h"

#define PIIX3_DEVFN PCI_DEVFN(1, 0)
#define PM_DEVFN    PCI_DEVFN(1, 3)
#define PM_BASE	    0x600
#define SCI_IRQ	    9
#define COM1_PORT   0x3f8
#define COM1_IRQ    4
#define IOAPIC_BASE 0xfec00000ull

/* Interrupt controllers come first: a line's sinks are there before its sources. Rows without a
 * place have the one that every PC has it at. */
static const struct board_row pc_rows[] = {
	{&i8259_class},
	{&i82093aa_class, .base = IOAPIC_BASE},
	{&i8254_class},
	{&i8042_class, .backing = BOARD_INPUT},
	{&mc146818_class, .backing = BOARD_INPUT},
	{&ns16550_class, .base = COM1_PORT, .irq = COM1_IRQ, .backing = BOARD_SERIAL},
	{&i440fx_class, .devfn = PCI_DEVFN(0, 0)},
	{&piix3_class, .devfn = PIIX3_DEVFN},
	{&piix4_pm_class, .devfn = PM_DEVFN, .irq = SCI_IRQ},
	{&vga_class, .devfn = PCI_DEVFN(2, 0), .backing = BOARD_SCREEN},
	{&virtio_rng_class, .devfn = BOARD_ANY_SLOT},
	{&piix_ide_class, .devfn = PCI_DEVFN(1, 1), .backing = BOARD_ALL_DISKS, .bus = MACHINE_IDE},
	{&i8237_class},
	{&i82077aa_class, .backing = BOARD_ALL_DISKS, .bus = MACHINE_FLOPPY},
	{&virtio_blk_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_EACH_DISK, .bus = MACHINE_VIRTIO},
	{&ahci_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_ALL_DISKS, .bus = MACHINE_SATA},
	{&virtio_scsi_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_ALL_DISKS, .bus = MACHINE_SCSI},
	{&nvme_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_EACH_DISK, .bus = MACHINE_NVME},
	BOARD_OPTION_ROWS,
};

/* RAM from C0000h on, and the ACPI registers. */
static const struct board_setting pc_settings[] = {
	{PCI_DEVFN(0, 0), 0x59, 1, 0x30},
	{PCI_DEVFN(0, 0), 0x5a, 2, 0x3333},
	{PCI_DEVFN(0, 0), 0x5c, 4, 0x33333333},
	{PM_DEVFN, PIIX4_PMBASE, 4, PM_BASE},
	{PM_DEVFN, PIIX4_PMREGMISC, 1, 1},
};

static const struct acpi_serial pc_serials[] = {{.port = COM1_PORT, .irq = COM1_IRQ}};

static const struct acpi_config pc_acpi = {
	.lapic_base = APIC_DEFAULT_BASE,
	.ioapic_base = IOAPIC_BASE,
	.sci_irq = SCI_IRQ,
	.pm1a_evt = PM_BASE + ACPI_PM1_EVT,
	.pm1a_cnt = PM_BASE + ACPI_PM1_CNT,
	.pm_tmr = PM_BASE + ACPI_PM_TMR,
	.gpe0 = PM_BASE + PIIX4_GPE0,
	.gpe0_len = 4,
	.slp_typ_s5 = ACPI_SLP_TYP_S5,
	.reset_port = 0xcf9,
	.reset_value = 0x06,
	.cmos_century = 0x32,
	.pci_io_first = PCI_IO_FIRST,
	.pci_io_last = PCI_IO_LAST,
	.pci_mem_last = PCI_MEM_LAST,
	.pci_gsi = i440fx_gsi,
	.pci_first_gsi = PCI_GSI_BASE,
	.pirq_devfn = PIIX3_DEVFN,
	.n_pirqs = 4,
	.pirq_regs = {0x60, 0x61, 0x62, 0x63},
	.serials = pc_serials,
	.n_serials = G_N_ELEMENTS(pc_serials),
};

const struct board board_pc = {
	.name = "pc",
	.hole_start = MEM_HOLE_START,
	.last_slot = 31,
	.cd_bus = MACHINE_IDE,
	.rows = pc_rows,
	.n_rows = G_N_ELEMENTS(pc_rows),
	.settings = pc_settings,
	.n_settings = G_N_ELEMENTS(pc_settings),
	.acpi = &pc_acpi,
};
