/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as SeaBIOS, ACPICA's hardware layer and Linux's acpi_pm clocksource do. */
#include "dev/chipset/acpi_pm.h"
#include "dev/chipset/piix4_pm.h"
#include "dev/pci/pci.h"
#include "dev/table.h"

#include "rig.h"

enum {
	BASE = 0x600,
	PM1_STS = BASE + ACPI_PM1_EVT,
	PM1_EN = PM1_STS + 2,
	PM1_CNT = BASE + ACPI_PM1_CNT,
	PM_TMR = BASE + ACPI_PM_TMR,
	GPE0_STS = BASE + PIIX4_GPE0,
	GPE0_EN = GPE0_STS + 2,
	DEVFN = PCI_DEVFN(1, 3),
	APMC = 0xb2,
	APMS = 0xb3,
};

static struct rig *setup(void)
{
	struct rig_row row = {&piix4_pm_class, {.devfn = DEVFN, .irq = 9}, .on_pci = true};
	struct rig *rig = rig_new_row(&row);

	rig_config_write(rig, DEVFN, PIIX4_PMBASE, BASE | 1);
	rig_config_write(rig, DEVFN, PIIX4_PMREGMISC, 1);
	return rig;
}

static uint16_t in16(struct rig *rig, uint16_t port)
{
	return bus_read(rig->env.bus, BUS_PIO, port, 2);
}

static void test_timer(void)
{
	struct rig *rig = setup();

	g_assert_cmpuint(rig_in32(rig, PM_TMR), ==, 0);
	clock_step(rig->env.clock, S);
	g_assert_cmpuint(rig_in32(rig, PM_TMR), ==, 3579545);
	g_assert_cmphex(rig_in8(rig, PM_TMR + 1), ==, (3579545 >> 8 & 0xff));
	clock_step(rig->env.clock, 1199 * S);
	g_assert_cmpuint(rig_in32(rig, PM_TMR), ==, (uint32_t)(3579545ll * 1200));
	rig_free(rig);
}

static void test_timer_status(void)
{
	struct rig *rig = setup();
	int64_t toggle_ns = (int64_t)((((__int128)1 << 31) * S + 3579544) / 3579545);

	rig_out16(rig, PM1_EN, 0x0001);
	clock_step(rig->env.clock, toggle_ns - 1);
	g_assert_cmphex(in16(rig, PM1_STS), ==, 0);
	clock_step(rig->env.clock, 1);
	rig_assert_log(rig, "+9 ");
	g_assert_cmphex(in16(rig, PM1_STS), ==, 1);
	rig_out16(rig, PM1_STS, 0x0001);
	rig_assert_log(rig, "-9 ");
	/* Not enabled: no interrupt, but the status. */
	rig_out16(rig, PM1_EN, 0);
	clock_step(rig->env.clock, toggle_ns);
	rig_assert_log(rig, "");
	g_assert_cmphex(in16(rig, PM1_STS), ==, 1);
	rig_free(rig);
}

static void test_power_button(void)
{
	struct rig *rig = setup();

	g_assert_false(bus_press_power_button(rig->env.bus));
	rig_assert_log(rig, "");
	rig_out16(rig, PM1_STS, 0x0100);
	rig_out16(rig, PM1_EN, 0xffff);
	g_assert_cmphex(in16(rig, PM1_EN), ==, 0x0721);
	rig_out16(rig, PM1_EN, 0x0120);
	g_assert_true(bus_press_power_button(rig->env.bus));
	rig_assert_log(rig, "+9 ");
	g_assert_cmphex(in16(rig, PM1_STS), ==, 0x0100);
	rig_out16(rig, PM1_STS, 0x0001);
	rig_assert_log(rig, "");
	rig_out16(rig, PM1_STS, 0x0100);
	rig_assert_log(rig, "-9 ");
	rig_free(rig);
}

/* acpi_hw_legacy_sleep(): SLP_TYP first, then with SLP_EN. */
static void test_power_off(void)
{
	struct rig *rig = setup();
	uint16_t cnt = in16(rig, PM1_CNT);

	g_assert_cmphex(cnt, ==, 0x0001);
	rig_out16(rig, PM1_CNT, cnt | ACPI_SLP_TYP_S5 << 10);
	rig_assert_log(rig, "");
	rig_out16(rig, PM1_CNT, cnt | ACPI_SLP_TYP_S5 << 10 | 1 << 13);
	rig_assert_log(rig, "poweroff ");
	g_assert_cmphex(in16(rig, PM1_CNT), ==, 0x0001 | ACPI_SLP_TYP_S5 << 10);
	/* An APM BIOS knows nothing of \_S5. */
	rig_out16(rig, PM1_CNT, 0x2000);
	rig_assert_log(rig, "poweroff ");
	/* No other sleep state. */
	for (unsigned type = 1; type < 8; type++)
		rig_out16(rig, PM1_CNT, type << 10 | 1 << 13);
	rig_assert_log(rig, "");
	rig_free(rig);
}

static void test_gpe(void)
{
	struct rig *rig = setup();

	rig_out16(rig, GPE0_EN, 0x1234);
	g_assert_cmphex(rig_in32(rig, GPE0_STS), ==, 0x12340000);
	rig_out8(rig, GPE0_EN, 0);
	g_assert_cmphex(in16(rig, GPE0_EN), ==, 0x1200);
	rig_assert_log(rig, "");
	rig_free(rig);
}

static void on_smi(void *opaque)
{
	++*(unsigned *)opaque;
}

/* SeaBIOS asks for SMIs, then makes one and looks at the status that its handler leaves. */
static void test_smi(void)
{
	struct rig *rig = setup();
	unsigned n = 0;

	bus_set_smi_sink(rig->env.bus, on_smi, &n);
	rig_out8(rig, APMC, 7);
	g_assert_cmpuint(n, ==, 0);
	rig_config_write(rig, DEVFN, 0x58, 1 << 25);
	rig_out8(rig, APMS, 1);
	g_assert_cmpuint(n, ==, 0);
	rig_out8(rig, APMC, 9);
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmphex(in16(rig, APMC), ==, 0x0109);
	/* Where there is no system-management mode, they are asked for from reset on. */
	for (unsigned no_smm = 0; no_smm < 2; no_smm++) {
		rig->env.no_smm = no_smm;
		device_reset(rig->device);
		rig_out8(rig, APMC, 9);
		g_assert_cmpuint(n, ==, 1 + no_smm);
	}
	rig_free(rig);
}

static void test_base_moves(void)
{
	struct rig *rig = setup();

	rig_config_write(rig, DEVFN, PIIX4_PMBASE, 0xb000);
	g_assert_cmphex(in16(rig, PM1_CNT), ==, 0xffff);
	g_assert_cmphex(in16(rig, 0xb004), ==, 1);
	rig_config_write(rig, DEVFN, PIIX4_PMREGMISC, 0);
	g_assert_cmphex(in16(rig, 0xb004), ==, 0xffff);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/piix4_pm/timer", test_timer);
	g_test_add_func("/piix4_pm/timer-status", test_timer_status);
	g_test_add_func("/piix4_pm/power-button", test_power_button);
	g_test_add_func("/piix4_pm/power-off", test_power_off);
	g_test_add_func("/piix4_pm/gpe", test_gpe);
	g_test_add_func("/piix4_pm/smi", test_smi);
	g_test_add_func("/piix4_pm/base-moves", test_base_moves);
	return g_test_run();
}
