/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as SeaBIOS, ACPICA's hardware layer and an OS with link devices do. */
#include "dev/chipset/ich9_lpc.h"
#include "dev/chipset/acpi_pm.h"
#include "dev/pci/pci.h"
#include "dev/table.h"

#include "rig.h"

enum {
	BASE = 0x600,
	GPE0_STS = BASE + ICH9_GPE0,
	GPE0_EN = GPE0_STS + 8,
	SMI_EN = BASE + 0x30,
	SMI_STS = BASE + 0x34,
	DEVFN = PCI_DEVFN(31, 0),
	GEN_PMCON_1 = 0xa0,
	RCBA = 0xf0,
};

static struct rig *setup(void)
{
	struct rig *rig = rig_new_row(rig_row_of(&ich9_lpc_class));

	rig_config_write(rig, DEVFN, ICH9_PMBASE, BASE | 1);
	rig_config_write(rig, DEVFN, ICH9_ACPI_CNTL, ICH9_ACPI_EN);
	return rig;
}

static void on_smi(void *opaque)
{
	++*(unsigned *)opaque;
}

static void test_power_management(void)
{
	struct rig *rig = setup();

	clock_step(rig->env.clock, S);
	g_assert_cmpuint(rig_in32(rig, BASE + ACPI_PM_TMR), ==, 3579545);
	rig_out16(rig, BASE + 2, 0x0100);
	bus_press_power_button(rig->env.bus);
	rig_assert_log(rig, "+9 ");
	rig_out16(rig, BASE, 0x0100);
	rig_assert_log(rig, "-9 ");
	/* Enables are 8 bytes after their status. */
	rig_out16(rig, GPE0_EN, 0xa55a);
	g_assert_cmphex(rig_in32(rig, GPE0_EN), ==, 0xa55a);
	g_assert_cmphex(rig_in32(rig, GPE0_STS), ==, 0);
	rig_out16(rig, BASE + ACPI_PM1_CNT, 0x2000);
	rig_assert_log(rig, "poweroff ");
	rig_config_write(rig, DEVFN, ICH9_ACPI_CNTL, 0);
	g_assert_cmphex(rig_in32(rig, BASE + ACPI_PM_TMR), ==, 0xffffffff);
	rig_free(rig);
}

static void test_smi(void)
{
	struct rig *rig = setup();
	unsigned n = 0;

	bus_set_smi_sink(rig->env.bus, on_smi, &n);
	rig_out8(rig, 0xb3, 0x12);
	rig_out8(rig, 0xb2, 0x34);
	g_assert_cmpuint(n, ==, 0);
	rig_out8(rig, SMI_EN, 0x21);
	rig_out8(rig, 0xb2, 0x56);
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmphex(rig_in8(rig, 0xb2), ==, 0x56);
	g_assert_cmphex(rig_in8(rig, 0xb3), ==, 0x12);
	g_assert_cmphex(rig_in32(rig, SMI_STS), ==, 0x20);
	rig_out8(rig, SMI_STS, 0x20);
	g_assert_cmphex(rig_in32(rig, SMI_STS), ==, 0);
	/* Locked until reset. */
	rig_config_write(rig, DEVFN, GEN_PMCON_1, 0x10);
	rig_config_write(rig, DEVFN, GEN_PMCON_1, 0);
	rig_out8(rig, SMI_EN, 0x20);
	g_assert_cmphex(rig_in32(rig, SMI_EN), ==, 0x21);
	/* Where there is no system-management mode, SeaBIOS finds SMIs asked for already. */
	for (unsigned no_smm = 0; no_smm < 2; no_smm++) {
		rig->env.no_smm = no_smm;
		device_reset(rig->device);
		rig_config_write(rig, DEVFN, ICH9_PMBASE, BASE | 1);
		rig_config_write(rig, DEVFN, ICH9_ACPI_CNTL, ICH9_ACPI_EN);
		g_assert_cmphex(rig_in32(rig, SMI_EN), ==, no_smm ? 0x20 : 0);
	}
	rig_free(rig);
}

static void test_routes(void)
{
	struct rig *rig = setup();

	irq_line_set(&rig->sources[PCI_GSI_BASE + 5], true);
	rig_assert_log(rig, "+21 ");
	rig_config_write(rig, DEVFN, ICH9_PIRQE_ROUT, 0x80800a80); /* PIRQF */
	rig_assert_log(rig, "+10 ");
	rig_config_write(rig, DEVFN, ICH9_PIRQE_ROUT, 0x80800b80);
	rig_assert_log(rig, "-10 +11 ");
	rig_config_write(rig, DEVFN, ICH9_PIRQA_ROUT, 0x0b0b0b0b);
	irq_line_set(&rig->sources[PCI_GSI_BASE], true);
	irq_line_set(&rig->sources[PCI_GSI_BASE + 5], false);
	rig_assert_log(rig, "+16 -21 ");
	irq_line_set(&rig->sources[PCI_GSI_BASE], false);
	rig_assert_log(rig, "-16 -11 ");
	rig_free(rig);
}

static uint32_t chipset(struct rig *rig, unsigned offset, unsigned size)
{
	return bus_read(rig->env.bus, BUS_MMIO, 0xfed1c000 + offset, size);
}

static void test_chipset_registers(void)
{
	struct rig *rig = setup();

	g_assert_cmphex(chipset(rig, 0x3410, 4), ==, 0xffffffff);
	rig_config_write(rig, DEVFN, RCBA, 0xfed1c001);
	g_assert_cmphex(chipset(rig, 0x3410, 4), ==, 0x20);
	g_assert_cmphex(chipset(rig, 0x3146, 2), ==, 0x3210);
	g_assert_cmphex(chipset(rig, 0x3145, 1), ==, 0x32);
	bus_write(rig->env.bus, BUS_MMIO, 0xfed1c000 + 0x3410, 0, 4);
	g_assert_cmphex(chipset(rig, 0x3410, 4), ==, 0x20);
	rig_config_write(rig, DEVFN, RCBA, 0);
	g_assert_cmphex(chipset(rig, 0x3410, 4), ==, 0xffffffff);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ich9_lpc/power-management", test_power_management);
	g_test_add_func("/ich9_lpc/smi", test_smi);
	g_test_add_func("/ich9_lpc/routes", test_routes);
	g_test_add_func("/ich9_lpc/chipset-registers", test_chipset_registers);
	return g_test_run();
}
