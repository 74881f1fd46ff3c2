/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/chipset/acpi_pm.h"

#include "base/muldiv.h"
#include "dev/table.h"

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

struct acpi_pm {
	struct device device;
	struct timer timer;
	struct irq_line sci;
	uint16_t pm1_sts, pm1_en, pm1_cnt;
	uint16_t gpe0_sts, gpe0_en;
	int64_t toggle_tick; /* when TMR_STS is next set */
};

static int64_t now_tick(const struct acpi_pm *pm)
{
	return muldiv_floor(clock_now_ns(pm->device.env->clock), PM_TIMER_HZ, NS);
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

bool acpi_pm_press_power_button(struct device *device)
{
	struct acpi_pm *pm = (struct acpi_pm *)device;
	bool listens;

	g_mutex_lock(&device->lock);
	pm->pm1_sts |= PM1_PWRBTN;
	update(pm);
	listens = pm->pm1_en & PM1_PWRBTN;
	g_mutex_unlock(&device->lock);
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

static uint64_t pm1_evt_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;

	update(pm);
	return event_read(pm->pm1_sts, pm->pm1_en, offset);
}

static void pm1_evt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;

	update(pm);
	event_write(&pm->pm1_sts, &pm->pm1_en, offset, value, PM1_ENABLES);
	update(pm);
}

static uint64_t gpe0_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;

	return event_read(pm->gpe0_sts, pm->gpe0_en, offset);
}

static void gpe0_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;

	event_write(&pm->gpe0_sts, &pm->gpe0_en, offset, value, UINT16_MAX);
	update(pm);
}

static uint64_t pm1_cnt_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;

	return (pm->pm1_cnt | CNT_SCI_EN) >> offset * 8;
}

static void pm1_cnt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint16_t written = value << offset * 8;

	pm->pm1_cnt = ((pm->pm1_cnt & ~(0xff << offset * 8)) | written) & CNT_KEPT;
	if (written & CNT_SLP_EN && (pm->pm1_cnt & CNT_SLP_TYP) == ACPI_SLP_TYP_S5
									   << CNT_SLP_TYP_SHIFT)
		bus_request(pm->device.env->bus, BUS_REQUEST_POWEROFF);
}

static uint64_t pm_tmr_read(void *opaque, uint64_t offset, unsigned size)
{
	return (uint32_t)now_tick(opaque);
}

static void pm_tmr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	/* Read-only. */
}

static const struct bus_ops pm1_evt_ops = {pm1_evt_read, pm1_evt_write, 1, 1};
static const struct bus_ops pm1_cnt_ops = {pm1_cnt_read, pm1_cnt_write, 1, 1};
static const struct bus_ops pm_tmr_ops = {pm_tmr_read, pm_tmr_write, 4, 4};
static const struct bus_ops gpe0_ops = {gpe0_read, gpe0_write, 1, 1};

static bool acpi_pm_init(struct device *device, const struct device_config *config, GError **error)
{
	struct acpi_pm *pm = (struct acpi_pm *)device;
	uint64_t base = config->base;

	irq_line_init(&pm->sci, device->env->bus, config->irq);
	timer_init(&pm->timer, device->env->clock, &device->lock, on_timer, pm);
	return device_map(device, BUS_PIO, base + ACPI_PM1_EVT, ACPI_PM1_EVT_LEN, &pm1_evt_ops,
			  error) &&
	       device_map(device, BUS_PIO, base + ACPI_PM1_CNT, ACPI_PM1_CNT_LEN, &pm1_cnt_ops,
			  error) &&
	       device_map(device, BUS_PIO, base + ACPI_PM_TMR, ACPI_PM_TMR_LEN, &pm_tmr_ops,
			  error) &&
	       device_map(device, BUS_PIO, base + ACPI_GPE0, ACPI_GPE0_LEN, &gpe0_ops, error);
}

static void acpi_pm_reset(struct device *device)
{
	struct acpi_pm *pm = (struct acpi_pm *)device;

	pm->pm1_sts = pm->pm1_en = pm->pm1_cnt = 0;
	pm->gpe0_sts = pm->gpe0_en = 0;
	pm->toggle_tick = next_toggle(now_tick(pm));
	update(pm);
}

static void acpi_pm_post_load(struct device *device)
{
	update((struct acpi_pm *)device);
}

static void acpi_pm_fini(struct device *device)
{
	struct acpi_pm *pm = (struct acpi_pm *)device;

	timer_fini(&pm->timer);
	if (pm->sci.bus)
		irq_line_set(&pm->sci, false);
}

static bool acpi_pm_check(const void *object)
{
	const struct acpi_pm *pm = object;

	return !(pm->pm1_en & ~PM1_ENABLES) && !(pm->pm1_cnt & ~CNT_KEPT);
}

static const struct state_field acpi_pm_fields[] = {
	STATE_FIELD(struct acpi_pm, pm1_sts), STATE_FIELD(struct acpi_pm, pm1_en),
	STATE_FIELD(struct acpi_pm, pm1_cnt), STATE_FIELD(struct acpi_pm, gpe0_sts),
	STATE_FIELD(struct acpi_pm, gpe0_en), STATE_FIELD(struct acpi_pm, toggle_tick),
};

static const struct state_table acpi_pm_state = {
	.name = "acpi_pm",
	.version = 1,
	.object_size = sizeof(struct acpi_pm),
	.fields = acpi_pm_fields,
	.n_fields = G_N_ELEMENTS(acpi_pm_fields),
	.check = acpi_pm_check,
};

const struct device_class acpi_pm_class = {
	.name = "acpi_pm",
	.document = "ACPI 6.5, 4.8.3 (PM1, PM timer) and 4.8.4 (GPE0)",
	.size = sizeof(struct acpi_pm),
	.state = &acpi_pm_state,
	.init = acpi_pm_init,
	.reset = acpi_pm_reset,
	.post_load = acpi_pm_post_load,
	.fini = acpi_pm_fini,
};
