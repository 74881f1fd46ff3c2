/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as ACPICA's hardware layer and Linux's acpi_pm clocksource do. */
#include "dev/chipset/acpi_pm.h"
#include "dev/table.h"

#include "rig.h"

enum {
	BASE = 0x600,
	PM1_STS = BASE + ACPI_PM1_EVT,
	PM1_EN = PM1_STS + 2,
	PM1_CNT = BASE + ACPI_PM1_CNT,
	PM_TMR = BASE + ACPI_PM_TMR,
	GPE0_STS = BASE + ACPI_GPE0,
	GPE0_EN = GPE0_STS + 2,
};

static struct rig *setup(void)
{
	return rig_new(&acpi_pm_class, &(struct device_config){.base = BASE, .irq = 9});
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

	g_assert_false(acpi_pm_press_power_button(rig->device));
	rig_assert_log(rig, "");
	rig_out16(rig, PM1_STS, 0x0100);
	rig_out16(rig, PM1_EN, 0xffff);
	g_assert_cmphex(in16(rig, PM1_EN), ==, 0x0721);
	rig_out16(rig, PM1_EN, 0x0120);
	g_assert_true(acpi_pm_press_power_button(rig->device));
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
	/* No other sleep state. */
	rig_out16(rig, PM1_CNT, 1 << 10 | 1 << 13);
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/acpi_pm/timer", test_timer);
	g_test_add_func("/acpi_pm/timer-status", test_timer_status);
	g_test_add_func("/acpi_pm/power-button", test_power_button);
	g_test_add_func("/acpi_pm/power-off", test_power_off);
	g_test_add_func("/acpi_pm/gpe", test_gpe);
	return g_test_run();
}
