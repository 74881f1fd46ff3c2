/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818 real-time clock and CMOS memory, with the century at 32h as PCs have it.
 *
 * Time is the wall clock's at power-on and the virtual clock's passing since. While it runs
 * the time registers in `ram` are stale and made on reading; while it is halted (SET, or the
 * divider in reset) they are the time. Flags are brought up to date when register C is
 * looked at; a timer runs only for a flag that is enabled and not yet raised, so a guest that
 * does not read register C costs nothing.
 */
#include "dev/table.h"

#include <time.h>

#include "base/le.h"
#include "base/muldiv.h"

#define NS	   1000000000ll
#define DIVIDER_HZ 32768
#define UIP_NS	   244141 /* update-in-progress precedes the update by t_BUC */
#define DAY_S	   86400
#define MAX_TIME_S (1ll << 40)

enum {
	RTC_INDEX = 0x70,
	RTC_IRQ = 8,
	INDEX_MASK = 0x7f, /* bit 7 masks NMI, of which there is none */

	SECONDS = 0x00,
	SECONDS_ALARM = 0x01,
	MINUTES = 0x02,
	MINUTES_ALARM = 0x03,
	HOURS = 0x04,
	HOURS_ALARM = 0x05,
	DAY_OF_WEEK = 0x06,
	DAY_OF_MONTH = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	FLOPPIES = 0x10, /* A's type in the upper half */
	EQUIPMENT = 0x14,
	BASE_KB = 0x15,
	EXTENDED_KB = 0x17,
	CHECKSUMMED = 0x10, /* up to CHECKSUM */
	CHECKSUM = 0x2e,    /* big-endian */
	EXTENDED_KB_2 = 0x30,
	CENTURY = 0x32,
	ABOVE_16M_64KB = 0x34,
	BOOT_ORDER_3 = 0x38, /* upper half */
	BOOT_ORDER = 0x3d,   /* the first two; a convention of Bochs that SeaBIOS heeds */
	ABOVE_4G_64KB = 0x5b, /* three bytes */

	A_RS = 0x0f,
	A_DV = 0x70,
	A_DV_RUN = 0x20,   /* 32,768 Hz time base */
	A_DV_RESET = 0x60, /* 110 and 111 */
	A_UIP = 0x80,
	B_24H = 0x02,
	B_DM = 0x04, /* binary */
	B_UIE = 0x10,
	B_AIE = 0x20,
	B_PIE = 0x40,
	B_SET = 0x80,
	C_UF = B_UIE, /* each flag has its enable's place */
	C_AF = B_AIE,
	C_PF = B_PIE,
	C_IRQF = 0x80,
	C_FLAGS = C_UF | C_AF | C_PF,
	D_VRT = 0x80,
	HOURS_PM = 0x80,
	ALARM_ANY = 0xc0,
	EQUIPMENT_FLOPPY = 0x01,
	EQUIPMENT_FPU = 0x02,
	EQUIPMENT_MOUSE = 0x04,
	EQUIPMENT_SECOND_FLOPPY = 0x40,
};

struct mc146818 {
	struct device device;
	struct timer timer;
	struct irq_line irq;
	uint8_t index;
	uint8_t ram[128];  /* registers A to D included */
	int64_t base_s;	   /* seconds since 1970 when divider_ns() was 0 */
	int64_t phase_ns;  /* divider's time minus virtual time */
	int64_t update_ns; /* when each flag is next raised; TIMER_NEVER: not foreseen */
	int64_t alarm_ns;
	int64_t periodic_ns;
};

static int64_t now_ns(const struct mc146818 *rtc)
{
	return clock_now_ns(rtc->device.env->clock);
}

static bool is_halted(const struct mc146818 *rtc)
{
	return rtc->ram[REG_B] & B_SET || (rtc->ram[REG_A] & A_DV_RESET) == A_DV_RESET;
}

/* Seconds since 1970 as the guest has set its clock. */
static int64_t time_at(const struct mc146818 *rtc, int64_t ns)
{
	return rtc->base_s + muldiv_floor(ns + rtc->phase_ns, 1, NS);
}

static uint8_t encode(const struct mc146818 *rtc, unsigned value)
{
	return rtc->ram[REG_B] & B_DM ? value : value / 10 % 10 << 4 | value % 10;
}

static unsigned decode(const struct mc146818 *rtc, uint8_t value)
{
	return rtc->ram[REG_B] & B_DM ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hours(const struct mc146818 *rtc, unsigned hour)
{
	if (rtc->ram[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOURS_PM : 0);
}

static unsigned decode_hours(const struct mc146818 *rtc, uint8_t value)
{
	if (rtc->ram[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & ~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static void time_to_registers(struct mc146818 *rtc, int64_t ns)
{
	time_t seconds = time_at(rtc, ns);
	struct tm tm;
	int64_t year;

	gmtime_r(&seconds, &tm);
	year = MAX(tm.tm_year + 1900ll, 0);
	rtc->ram[SECONDS] = encode(rtc, tm.tm_sec);
	rtc->ram[MINUTES] = encode(rtc, tm.tm_min);
	rtc->ram[HOURS] = encode_hours(rtc, tm.tm_hour);
	rtc->ram[DAY_OF_WEEK] = encode(rtc, tm.tm_wday + 1);
	rtc->ram[DAY_OF_MONTH] = encode(rtc, tm.tm_mday);
	rtc->ram[MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->ram[YEAR] = encode(rtc, year % 100);
	rtc->ram[CENTURY] = encode(rtc, year / 100 % 100);
}

/* Makes the registers the time at `ns`. timegm() carries what is out of range. */
static void registers_to_time(struct mc146818 *rtc, int64_t ns)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->ram[SECONDS]),
		.tm_min = decode(rtc, rtc->ram[MINUTES]),
		.tm_hour = decode_hours(rtc, rtc->ram[HOURS]),
		.tm_mday = decode(rtc, rtc->ram[DAY_OF_MONTH]),
		.tm_mon = (int)decode(rtc, rtc->ram[MONTH]) - 1,
		.tm_year =
			decode(rtc, rtc->ram[CENTURY]) * 100 + decode(rtc, rtc->ram[YEAR]) - 1900,
	};

	rtc->base_s += timegm(&tm) - time_at(rtc, ns);
}

static bool alarm_matches(uint8_t alarm, unsigned decoded, unsigned now)
{
	return alarm >= ALARM_ANY || decoded == now;
}

/* Seconds from `second` of the day to the next alarm, 1 to DAY_S; 0: it never comes. */
static unsigned seconds_to_alarm(const struct mc146818 *rtc, unsigned second)
{
	const uint8_t *ram = rtc->ram;
	unsigned s = decode(rtc, ram[SECONDS_ALARM]), m = decode(rtc, ram[MINUTES_ALARM]);
	unsigned h = decode_hours(rtc, ram[HOURS_ALARM]);
	unsigned at = second + 1;

	while (at <= second + DAY_S) {
		if (!alarm_matches(ram[HOURS_ALARM], h, at / 3600 % 24))
			at += 3600 - at % 3600;
		else if (!alarm_matches(ram[MINUTES_ALARM], m, at / 60 % 60))
			at += 60 - at % 60;
		else if (!alarm_matches(ram[SECONDS_ALARM], s, at % 60))
			at++;
		else
			return at - second;
	}
	return 0;
}

/* Virtual time of the first boundary of `hz` divider ticks after `ns`. */
static int64_t next_tick_ns(const struct mc146818 *rtc, int64_t ns, int64_t ticks, int64_t hz)
{
	int64_t tick = muldiv_floor(ns + rtc->phase_ns, hz, NS);

	tick += ticks - ((tick % ticks) + ticks) % ticks;
	return muldiv_ceil(tick, NS, hz) - rtc->phase_ns;
}

/* Register A's rate selection: the first two rates repeat later ones. */
static int64_t periodic_ticks(const struct mc146818 *rtc)
{
	unsigned rs = rtc->ram[REG_A] & A_RS;

	return rs == 0 ? 0 : 1ll << ((rs < 3 ? rs + 7 : rs) - 1);
}

static void foresee_update(struct mc146818 *rtc, int64_t ns)
{
	rtc->update_ns = is_halted(rtc) ? TIMER_NEVER : next_tick_ns(rtc, ns, 1, 1);
}

static void foresee_alarm(struct mc146818 *rtc, int64_t ns)
{
	int64_t now = time_at(rtc, ns);
	unsigned wait = seconds_to_alarm(rtc, (now % DAY_S + DAY_S) % DAY_S);

	rtc->alarm_ns = TIMER_NEVER;
	if (!is_halted(rtc) && wait)
		rtc->alarm_ns = next_tick_ns(rtc, ns, 1, 1) + (wait - 1) * NS;
}

static void foresee_periodic(struct mc146818 *rtc, int64_t ns)
{
	int64_t ticks = periodic_ticks(rtc);
	bool stopped = !ticks || (rtc->ram[REG_A] & A_DV_RESET) == A_DV_RESET;

	rtc->periodic_ns = stopped ? TIMER_NEVER : next_tick_ns(rtc, ns, ticks, DIVIDER_HZ);
}

/* Register C at `ns`, and the flags' next times. */
static void raise_flags(struct mc146818 *rtc, int64_t ns)
{
	if (ns >= rtc->update_ns) {
		rtc->ram[REG_C] |= C_UF;
		foresee_update(rtc, ns);
	}
	if (ns >= rtc->alarm_ns) {
		rtc->ram[REG_C] |= C_AF;
		foresee_alarm(rtc, ns);
	}
	if (ns >= rtc->periodic_ns) {
		rtc->ram[REG_C] |= C_PF;
		foresee_periodic(rtc, ns);
	}
}

static void update_irq(struct mc146818 *rtc)
{
	uint8_t awaited = rtc->ram[REG_B] & ~rtc->ram[REG_C];
	int64_t wake = TIMER_NEVER;

	rtc->ram[REG_C] &= C_FLAGS;
	if (rtc->ram[REG_C] & rtc->ram[REG_B])
		rtc->ram[REG_C] |= C_IRQF;
	irq_line_set(&rtc->irq, rtc->ram[REG_C] & C_IRQF);
	if (awaited & C_UF)
		wake = MIN(wake, rtc->update_ns);
	if (awaited & C_AF)
		wake = MIN(wake, rtc->alarm_ns);
	if (awaited & C_PF)
		wake = MIN(wake, rtc->periodic_ns);
	timer_set(&rtc->timer, wake);
}

static void foresee(struct mc146818 *rtc, int64_t ns)
{
	foresee_update(rtc, ns);
	foresee_alarm(rtc, ns);
	foresee_periodic(rtc, ns);
	update_irq(rtc);
}

static void on_timer(void *opaque)
{
	struct mc146818 *rtc = opaque;

	raise_flags(rtc, now_ns(rtc));
	update_irq(rtc);
}

static bool is_time(unsigned index)
{
	return index == SECONDS || index == MINUTES || index == HOURS ||
	       (index >= DAY_OF_WEEK && index <= YEAR) || index == CENTURY;
}

static bool is_alarm(unsigned index)
{
	return index == SECONDS_ALARM || index == MINUTES_ALARM || index == HOURS_ALARM;
}

static void write_time(struct mc146818 *rtc, int64_t ns, unsigned index, uint8_t value)
{
	if (!is_halted(rtc))
		time_to_registers(rtc, ns);
	rtc->ram[index] = value;
	if (!is_halted(rtc))
		registers_to_time(rtc, ns);
	foresee(rtc, ns);
}

/* Registers A and B: may stop the clock, start it, or change how its registers are read. */
static void write_control(struct mc146818 *rtc, int64_t ns, unsigned index, uint8_t value)
{
	bool was_halted = is_halted(rtc);
	bool was_reset = (rtc->ram[REG_A] & A_DV_RESET) == A_DV_RESET;

	if (!was_halted)
		time_to_registers(rtc, ns);
	rtc->ram[index] = value;
	/* Out of reset, the first update comes half a second later. */
	if (was_reset && (rtc->ram[REG_A] & A_DV_RESET) != A_DV_RESET)
		rtc->phase_ns = NS / 2 - ns;
	if (was_halted && !is_halted(rtc))
		registers_to_time(rtc, ns);
	if (rtc->ram[REG_B] & B_SET)
		rtc->ram[REG_B] &= ~B_UIE;
	foresee(rtc, ns);
}

static uint8_t read_register_c(struct mc146818 *rtc)
{
	uint8_t value = rtc->ram[REG_C];

	rtc->ram[REG_C] = 0;
	update_irq(rtc);
	return value;
}

static uint8_t read_register(struct mc146818 *rtc, int64_t ns)
{
	unsigned index = rtc->index & INDEX_MASK;

	raise_flags(rtc, ns);
	update_irq(rtc);
	switch (index) {
	case REG_A:
		return rtc->ram[REG_A] | (rtc->update_ns - ns <= UIP_NS ? A_UIP : 0);
	case REG_C:
		return read_register_c(rtc);
	default:
		if (is_time(index) && !is_halted(rtc))
			time_to_registers(rtc, ns);
		return rtc->ram[index];
	}
}

static void write_register(struct mc146818 *rtc, int64_t ns, uint8_t value)
{
	unsigned index = rtc->index & INDEX_MASK;

	raise_flags(rtc, ns);
	update_irq(rtc);
	if (is_time(index)) {
		write_time(rtc, ns, index, value);
	} else if (index == REG_A || index == REG_B) {
		write_control(rtc, ns, index, index == REG_A ? value & ~A_UIP : value);
	} else if (index != REG_C && index != REG_D) {
		rtc->ram[index] = value;
		if (is_alarm(index))
			foresee(rtc, ns);
	}
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
	struct mc146818 *rtc = opaque;

	/* The index is write-only. */
	return offset ? read_register(rtc, now_ns(rtc)) : 0xff;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct mc146818 *rtc = opaque;

	if (offset)
		write_register(rtc, now_ns(rtc), value);
	else
		rtc->index = value;
}

static const struct bus_ops rtc_ops = {rtc_read, rtc_write, 1, 1};

/* No display is named: that is a board with a BIOS of its own, as VGA has. */
static uint8_t equipment(const struct device_config *config)
{
	return EQUIPMENT_FPU | (config->input ? EQUIPMENT_MOUSE : 0) |
	       (config->floppies[0] ? EQUIPMENT_FLOPPY : 0) |
	       (config->floppies[1] ? EQUIPMENT_SECOND_FLOPPY : 0);
}

/* What firmware and DOS look up. */
static void fill_cmos(struct mc146818 *rtc, const struct device_config *config)
{
	uint64_t low = rtc->device.env->mem->low_size, high = rtc->device.env->mem->high_size, extended;
	uint16_t sum = 0;

	rtc->ram[FLOPPIES] = config->floppies[0] << 4 | (config->floppies[1] & 0x0f);
	rtc->ram[BOOT_ORDER] = config->boot_order;
	rtc->ram[BOOT_ORDER_3] = config->boot_order >> 8 << 4;
	extended = MIN(low / 1024 - 1024, UINT16_MAX);
	rtc->ram[EQUIPMENT] = equipment(config);
	le16_store(&rtc->ram[BASE_KB], 640);
	le16_store(&rtc->ram[EXTENDED_KB], extended);
	le16_store(&rtc->ram[EXTENDED_KB_2], extended);
	le16_store(&rtc->ram[ABOVE_16M_64KB], (low - MEM_MIN_SIZE) >> 16);
	le16_store(&rtc->ram[ABOVE_4G_64KB], high >> 16);
	rtc->ram[ABOVE_4G_64KB + 2] = high >> 32;
	for (unsigned i = CHECKSUMMED; i < CHECKSUM; i++)
		sum += rtc->ram[i];
	rtc->ram[CHECKSUM] = sum >> 8;
	rtc->ram[CHECKSUM + 1] = sum;
}

static bool mc146818_init(struct device *device, const struct device_config *config, GError **error)
{
	struct mc146818 *rtc = (struct mc146818 *)device;
	int64_t wall = clock_wall_ns(device->env->clock), now = now_ns(rtc);

	irq_line_init(&rtc->irq, device->env->bus, RTC_IRQ);
	timer_init(&rtc->timer, device->env->clock, &device->lock, on_timer, rtc);
	fill_cmos(rtc, config);
	rtc->base_s = wall / NS;
	rtc->phase_ns = wall % NS - now;
	rtc->ram[REG_A] = A_DV_RUN | 6; /* 1,024 Hz */
	rtc->ram[REG_B] = B_24H;
	rtc->ram[REG_D] = D_VRT;
	return device_map(device, BUS_PIO, RTC_INDEX, 2, &rtc_ops, error);
}

/* The battery keeps time and memory; RESET ends interrupts (data sheet, RESET pin). */
static void mc146818_reset(struct device *device)
{
	struct mc146818 *rtc = (struct mc146818 *)device;

	rtc->index = 0;
	rtc->ram[REG_B] &= ~(B_PIE | B_AIE | B_UIE);
	rtc->ram[REG_C] = 0;
	foresee(rtc, now_ns(rtc));
}

static void mc146818_post_load(struct device *device)
{
	update_irq((struct mc146818 *)device);
}

static void mc146818_fini(struct device *device)
{
	struct mc146818 *rtc = (struct mc146818 *)device;

	timer_fini(&rtc->timer);
	if (rtc->irq.bus)
		irq_line_set(&rtc->irq, false);
}

static bool mc146818_check(const void *object)
{
	const struct mc146818 *rtc = object;

	return rtc->base_s > -MAX_TIME_S && rtc->base_s < MAX_TIME_S &&
	       rtc->phase_ns > INT64_MIN / 2 && rtc->phase_ns < INT64_MAX / 2 &&
	       !(rtc->ram[REG_A] & A_UIP) && rtc->ram[REG_D] == D_VRT;
}

#define FIELD(member) STATE_FIELD(struct mc146818, member)

static const struct state_field mc146818_fields[] = {
	FIELD(index),	  FIELD(ram),	   FIELD(base_s),      FIELD(phase_ns),
	FIELD(update_ns), FIELD(alarm_ns), FIELD(periodic_ns),
};

static const struct state_table mc146818_state = {
	.name = "mc146818",
	.version = 1,
	.object_size = sizeof(struct mc146818),
	.fields = mc146818_fields,
	.n_fields = G_N_ELEMENTS(mc146818_fields),
	.check = mc146818_check,
};

const struct device_class mc146818_class = {
	.name = "mc146818",
	.document = "Motorola MC146818A data sheet; IBM AT Technical Reference for CMOS memory",
	.size = sizeof(struct mc146818),
	.state = &mc146818_state,
	.init = mc146818_init,
	.reset = mc146818_reset,
	.post_load = mc146818_post_load,
	.fini = mc146818_fini,
};
