/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/chipset/acpi_pm.h"

#include "base/muldiv.h"

#define PM_TIMER_HZ 3579545
#define NS	    1000000000ll
/* TMR_STS tells of the top bit of the 32-bit timer changing. */
#define TMR_TOGGLE_TICKS (1ll << 31)

enum {
	PM1_TMR = 1 << 0,
	PM1_GBL = 1 << 5,
	PM1_PWRBTN = 1 << 8,
	PM1_SLPBTN = 1 << 9,
	PM1_RTC = 1 << 10,
	PM1_ENABLES = PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC,

	CNT_SCI_EN = 1 << 0,
	CNT_BM_RLD = 1 << 1,
	CNT_SLP_TYP_SHIFT = 10,
	CNT_SLP_TYP = 7 << CNT_SLP_TYP_SHIFT,
	CNT_SLP_EN = 1 << 13,
	CNT_KEPT = CNT_BM_RLD | CNT_SLP_TYP,
};

static int64_t now_tick(const struct acpi_pm *pm)
{
	return muldiv_floor(clock_now_ns(pm->device->env->clock), PM_TIMER_HZ, NS);
}

static int64_t next_toggle(int64_t tick)
{
	return (tick / TMR_TOGGLE_TICKS + 1) * TMR_TOGGLE_TICKS;
}

/* Brings TMR_STS up to date, and the SCI and the timer behind it. */
static void update(struct acpi_pm *pm)
{
	int64_t tick = now_tick(pm), wake = TIMER_NEVER;

	if (tick >= pm->toggle_tick) {
		pm->pm1_sts |= PM1_TMR;
		pm->toggle_tick = next_toggle(tick);
	}
	irq_line_set(&pm->sci, pm->pm1_sts & pm->pm1_en || pm->gpe0_sts & pm->gpe0_en);
	if (pm->pm1_en & ~pm->pm1_sts & PM1_TMR)
		wake = muldiv_ceil(pm->toggle_tick, NS, PM_TIMER_HZ);
	timer_set(&pm->timer, wake);
}

static void on_timer(void *opaque)
{
	update(opaque);
}

static bool on_power_button(void *opaque)
{
	struct acpi_pm *pm = opaque;
	bool listens;

	g_mutex_lock(&pm->device->lock);
	pm->pm1_sts |= PM1_PWRBTN;
	update(pm);
	listens = pm->pm1_en & PM1_PWRBTN;
	g_mutex_unlock(&pm->device->lock);
	return listens;
}

/* One byte of a pair of 16-bit registers, status first, then enable. */
static uint8_t event_read(uint16_t sts, uint16_t en, uint64_t offset)
{
	return (offset < 2 ? sts : en) >> offset % 2 * 8;
}

/* Ones clear status bits and are kept in enables, as far as these are in `mask`. */
static void event_write(uint16_t *sts, uint16_t *en, uint64_t offset, uint8_t value, uint16_t mask)
{
	unsigned shift = offset % 2 * 8;

	if (offset < 2)
		*sts &= ~(value << shift);
	else
		*en = ((*en & ~(0xff << shift)) | value << shift) & mask;
}

static uint8_t pm1_cnt_read(const struct acpi_pm *pm, unsigned offset)
{
	return (pm->pm1_cnt | CNT_SCI_EN) >> offset * 8;
}

static void pm1_cnt_write(struct acpi_pm *pm, unsigned offset, uint8_t value)
{
	uint16_t written = value << offset * 8;

	pm->pm1_cnt = ((pm->pm1_cnt & ~(0xff << offset * 8)) | written) & CNT_KEPT;
	if (written & CNT_SLP_EN && (pm->pm1_cnt & CNT_SLP_TYP) == ACPI_SLP_TYP_S5
									   << CNT_SLP_TYP_SHIFT)
		bus_request(pm->device->env->bus, BUS_REQUEST_POWEROFF);
}

static uint8_t pm1_read(struct acpi_pm *pm, unsigned offset)
{
	if (offset < ACPI_PM1_CNT)
		return event_read(pm->pm1_sts, pm->pm1_en, offset);
	return offset < ACPI_PM1_CNT + ACPI_PM1_CNT_LEN ? pm1_cnt_read(pm, offset - ACPI_PM1_CNT) : 0;
}

static void pm1_write(struct acpi_pm *pm, unsigned offset, uint8_t value)
{
	if (offset < ACPI_PM1_CNT)
		event_write(&pm->pm1_sts, &pm->pm1_en, offset, value, PM1_ENABLES);
	else if (offset < ACPI_PM1_CNT + ACPI_PM1_CNT_LEN)
		pm1_cnt_write(pm, offset - ACPI_PM1_CNT, value);
}

uint32_t acpi_pm_read(struct acpi_pm *pm, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	if (offset >= ACPI_PM_TMR)
		return (uint32_t)now_tick(pm) >> 8 * (offset - ACPI_PM_TMR);
	update(pm);
	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)pm1_read(pm, offset + i) << 8 * i;
	return value;
}

void acpi_pm_write(struct acpi_pm *pm, unsigned offset, uint32_t value, unsigned size)
{
	if (offset >= ACPI_PM_TMR)
		return; /* read-only */
	update(pm);
	for (unsigned i = 0; i < size; i++)
		pm1_write(pm, offset + i, value >> 8 * i);
	update(pm);
}

uint8_t acpi_gpe0_read(struct acpi_pm *pm, unsigned offset)
{
	return event_read(pm->gpe0_sts, pm->gpe0_en, offset);
}

void acpi_gpe0_write(struct acpi_pm *pm, unsigned offset, uint8_t value)
{
	event_write(&pm->gpe0_sts, &pm->gpe0_en, offset, value, UINT16_MAX);
	update(pm);
}

void acpi_pm_init(struct acpi_pm *pm, struct device *device, unsigned sci_line)
{
	pm->device = device;
	irq_line_init(&pm->sci, device->env->bus, sci_line);
	timer_init(&pm->timer, device->env->clock, &device->lock, on_timer, pm);
	bus_set_power_button(device->env->bus, on_power_button, pm);
}

void acpi_pm_fini(struct acpi_pm *pm)
{
	if (!pm->device)
		return;
	bus_set_power_button(pm->device->env->bus, NULL, NULL);
	timer_fini(&pm->timer);
	irq_line_set(&pm->sci, false);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	pm->pm1_sts = pm->pm1_en = pm->pm1_cnt = 0;
	pm->gpe0_sts = pm->gpe0_en = 0;
	pm->toggle_tick = next_toggle(now_tick(pm));
	update(pm);
}

void acpi_pm_post_load(struct acpi_pm *pm)
{
	update(pm);
}

bool acpi_pm_check(const struct acpi_pm *pm)
{
	return !(pm->pm1_en & ~PM1_ENABLES) && !(pm->pm1_cnt & ~CNT_KEPT);
}
