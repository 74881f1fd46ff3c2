/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/lapic_int.h"

#include <string.h>

#include "base/le.h"

#define FIELD(member) STATE_FIELD(struct lapic, member)
static const struct state_field fields[] = {
	FIELD(base), FIELD(tpr), FIELD(ldr), FIELD(dfr), FIELD(svr), FIELD(esr), FIELD(esr_pending),
	FIELD(isr), FIELD(tmr), FIELD(irr), FIELD(icr), FIELD(lvt), FIELD(initial_count),
	FIELD(divide), FIELD(tsc_deadline), FIELD(tsc_offset), FIELD(timer_deadline_ns), FIELD(nmi),
	FIELD(init), FIELD(sipi), FIELD(extint), FIELD(sipi_vector),
	STATE_FIELD_SINCE(struct lapic, smi, 2),
};

static bool check(const void *object)
{
	const struct lapic *a = object;

	return a->timer_deadline_ns >= 0 && !(a->divide & ~0xbu) && !(a->tpr & ~0xffu);
}

static const struct state_table table = {
	.name = "lapic",
	.version = 2,
	.object_size = sizeof(struct lapic),
	.fields = fields,
	.n_fields = G_N_ELEMENTS(fields),
	.check = check,
};

static bool is_x2apic(const struct lapic *a)
{
	return a->base & APIC_BASE_EXTD;
}

static bool is_enabled(const struct lapic *a)
{
	return (a->base & APIC_BASE_EN) && (a->svr & SVR_ENABLED);
}

static void wake(struct lapic *a)
{
	if (a->wake)
		a->wake(a->wake_opaque);
}

/* 256-bit vectors. */
static int highest(const uint32_t v[8])
{
	for (int i = 7; i >= 0; i--)
		if (v[i])
			return i * 32 + 31 - __builtin_clz(v[i]);
	return -1;
}

static void set_bit(uint32_t v[8], uint8_t n, bool on)
{
	if (on)
		v[n / 32] |= 1u << n % 32;
	else
		v[n / 32] &= ~(1u << n % 32);
}

static bool get_bit(const uint32_t v[8], uint8_t n)
{
	return v[n / 32] >> n % 32 & 1;
}

/* Processor priority: the higher of the task's and that in service (SDM volume 3, 11.8.3.1). */
static uint8_t ppr(const struct lapic *a)
{
	int in_service = highest(a->isr);
	uint8_t isr_class = in_service < 0 ? 0 : in_service & 0xf0;

	return (a->tpr & 0xf0) >= isr_class ? a->tpr : isr_class;
}

static int deliverable(const struct lapic *a)
{
	int vector = highest(a->irr);

	if (!is_enabled(a) || vector < 0 || (vector & 0xf0) <= (ppr(a) & 0xf0))
		return -1;
	return vector;
}

/* The 8259's INTR comes through LINT0 as ExtINT, or directly where the APIC is off. */
static bool takes_extint(const struct lapic *a)
{
	uint32_t lint0 = a->lvt[APIC_LVT_LINT0 - APIC_LVT_TIMER];

	if (!a->extint)
		return false;
	if (!(a->base & APIC_BASE_EN))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVERY_EXTINT;
}

static void accept_vector(struct lapic *a, uint8_t vector, bool level)
{
	if (vector < 16) {
		a->esr_pending |= ESR_RECV_VECTOR;
		return;
	}
	set_bit(a->irr, vector, true);
	set_bit(a->tmr, vector, level);
}

/* One message to one APIC. */
static void accept_message(struct lapic *a, enum delivery_mode mode, uint8_t vector, bool level)
{
	g_mutex_lock(&a->lock);
	switch (mode) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		if (is_enabled(a))
			accept_vector(a, vector, level);
		break;
	case DELIVERY_NMI:
		a->nmi = true;
		break;
	case DELIVERY_INIT:
		a->init = true;
		a->sipi = false;
		break;
	case DELIVERY_SIPI:
		a->sipi = true;
		a->sipi_vector = vector;
		break;
	case DELIVERY_SMI:
		a->smi = true;
		break;
	case DELIVERY_EXTINT:
		break;
	}
	g_mutex_unlock(&a->lock);
	wake(a);
}

static uint32_t logical_id(const struct lapic *a)
{
	return is_x2apic(a) ? (a->id >> 4) << 16 | 1u << (a->id & 15) : a->ldr >> 24;
}

/* Whether a destination field names this APIC (SDM volume 3, 11.6.2). */
static bool is_destination(const struct lapic *a, uint32_t dest, bool logical)
{
	uint32_t all = is_x2apic(a) ? ~0u : 0xff, ldr;

	if (!logical)
		return dest == all || dest == 0xff || dest == a->id;
	ldr = logical_id(a);
	if (is_x2apic(a))
		return dest == all || (dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff));
	if (a->dfr >> 28 == 0xf)
		return dest & ldr;
	return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && (dest & ldr & 0xf);
}

/* Lowest priority arbitrates among the APICs that are enabled. */
static bool takes_message(struct lapic *a, uint32_t dest, bool logical, enum delivery_mode mode)
{
	bool takes;

	g_mutex_lock(&a->lock);
	takes = is_destination(a, dest, logical) && (mode != DELIVERY_LOWEST || is_enabled(a));
	g_mutex_unlock(&a->lock);
	return takes;
}

static void send(struct lapic_set *set, uint32_t dest, bool logical, enum delivery_mode mode,
		 uint8_t vector, bool level)
{
	for (unsigned i = 0; i < set->n; i++) {
		if (!takes_message(&set->apic[i], dest, logical, mode))
			continue;
		accept_message(&set->apic[i], mode, vector, level);
		if (mode == DELIVERY_LOWEST)
			return;
	}
}

/* Message format: SDM volume 3, 11.11. */
static void receive_msi(void *opaque, uint64_t addr, uint32_t data)
{
	send(opaque, addr >> 12 & 0xff, addr >> 2 & 1, data >> 8 & 7, data, data >> 15 & 1);
}

static void receive_intr(void *opaque, bool level)
{
	struct lapic *a = &((struct lapic_set *)opaque)->apic[0];

	g_mutex_lock(&a->lock);
	a->extint = level;
	g_mutex_unlock(&a->lock);
	if (level)
		wake(a);
}

static void receive_smi(void *opaque)
{
	struct lapic_set *set = opaque;

	accept_message(&set->apic[0], DELIVERY_SMI, 0, false);
}

static void send_ipi(struct lapic *a, uint64_t icr)
{
	enum delivery_mode mode = icr >> 8 & 7;
	uint32_t dest = is_x2apic(a) ? icr >> 32 : icr >> 56;
	unsigned shorthand = icr >> 18 & 3;
	bool deassert = mode == DELIVERY_INIT && !(icr >> 14 & 1);

	if (deassert)
		return;
	if (!shorthand) {
		send(a->set, dest, icr >> 11 & 1, mode, icr, false);
		return;
	}
	for (unsigned i = 0; i < a->set->n; i++) {
		bool self = i == a->id;

		if (shorthand == 2 || (shorthand == 1 && self) || (shorthand == 3 && !self))
			accept_message(&a->set->apic[i], mode, icr, false);
	}
}

void lapic_timer_accept(struct lapic *a)
{
	if (is_enabled(a) && !(a->lvt[0] & LVT_MASKED))
		accept_vector(a, a->lvt[0], false);
	wake(a);
}

static void write_lvt(struct lapic *a, unsigned n, uint32_t value)
{
	static const uint32_t writable[N_LVT] = {0x710ff, 0x117ff, 0x117ff,
						 0x1f7ff, 0x1f7ff, 0x110ff};
	enum lapic_timer_mode old_mode = lapic_timer_mode(a);

	a->lvt[n] = value & writable[n];
	if (!(a->svr & SVR_ENABLED))
		a->lvt[n] |= LVT_MASKED;
	/* SDM volume 3, 11.5.4.1: into or out of this mode the timer is disarmed. */
	if (n == 0 && lapic_timer_mode(a) != old_mode &&
	    (lapic_timer_mode(a) == TIMER_TSC_DEADLINE || old_mode == TIMER_TSC_DEADLINE)) {
		a->tsc_deadline = 0;
		lapic_timer_arm(a, NO_DEADLINE);
	}
}

static void write_svr(struct lapic *a, uint32_t value)
{
	a->svr = value & 0x3ff;
	if (!(a->svr & SVR_ENABLED))
		for (unsigned i = 0; i < N_LVT; i++)
			a->lvt[i] |= LVT_MASKED;
}

/* Returns the vector whose end the IOAPIC is to be told, or -1. */
static int end_of_interrupt(struct lapic *a)
{
	int vector = highest(a->isr);

	if (vector < 0)
		return -1;
	set_bit(a->isr, vector, false);
	return get_bit(a->tmr, vector) ? vector : -1;
}

static uint32_t read_register(struct lapic *a, unsigned reg)
{
	switch (reg) {
	case APIC_ID:
		return is_x2apic(a) ? a->id : a->id << 24;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return a->tpr;
	case APIC_PPR:
		return ppr(a);
	case APIC_LDR:
		return is_x2apic(a) ? logical_id(a) : a->ldr;
	case APIC_DFR:
		return a->dfr;
	case APIC_SVR:
		return a->svr;
	case APIC_ISR ... APIC_ISR + 7:
		return a->isr[reg - APIC_ISR];
	case APIC_TMR ... APIC_TMR + 7:
		return a->tmr[reg - APIC_TMR];
	case APIC_IRR ... APIC_IRR + 7:
		return a->irr[reg - APIC_IRR];
	case APIC_ESR:
		return a->esr;
	case APIC_ICR:
		return a->icr;
	case APIC_ICR_HIGH:
		return a->icr >> 32;
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		return a->lvt[reg - APIC_LVT_TIMER];
	case APIC_TIMER_INITIAL:
		return a->initial_count;
	case APIC_TIMER_CURRENT:
		return lapic_timer_count(a);
	case APIC_TIMER_DIVIDE:
		return a->divide;
	}
	return 0;
}

/* What a register write asks for once the lock is released. */
struct after_write {
	int eoi_vector;
	bool ipi;
};

static void write_register(struct lapic *a, unsigned reg, uint64_t value, struct after_write *after)
{
	switch (reg) {
	case APIC_TPR:
		a->tpr = value & 0xff;
		break;
	case APIC_EOI:
		after->eoi_vector = end_of_interrupt(a);
		break;
	case APIC_LDR:
		a->ldr = value & 0xff000000;
		break;
	case APIC_DFR:
		a->dfr = value | 0x0fffffff;
		break;
	case APIC_SVR:
		write_svr(a, value);
		break;
	case APIC_ESR:
		a->esr = a->esr_pending;
		a->esr_pending = 0;
		break;
	case APIC_ICR:
		a->icr = is_x2apic(a) ? value & ~0x1000ull
				      : (a->icr & ~0xffffffffull) | (value & 0xccfff & ~0x1000ull);
		after->ipi = true;
		break;
	case APIC_ICR_HIGH:
		a->icr = (a->icr & 0xffffffff) | (value & 0xff000000) << 32;
		break;
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		write_lvt(a, reg - APIC_LVT_TIMER, value);
		break;
	case APIC_TIMER_INITIAL:
		if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
			break;
		a->initial_count = value;
		lapic_timer_start(a);
		break;
	case APIC_TIMER_DIVIDE:
		a->divide = value & 0xb;
		break;
	case APIC_SELF_IPI:
		if (is_x2apic(a))
			accept_vector(a, value, false);
		break;
	}
}

static void write_and_follow(struct lapic *a, unsigned reg, uint64_t value)
{
	struct after_write after = {.eoi_vector = -1};
	uint64_t icr;

	g_mutex_lock(&a->lock);
	write_register(a, reg, value, &after);
	icr = a->icr;
	g_mutex_unlock(&a->lock);
	if (after.eoi_vector >= 0)
		bus_eoi(a->set->bus, after.eoi_vector);
	if (after.ipi)
		send_ipi(a, icr);
	/* A lower priority or a self-IPI may have made something deliverable. */
	wake(a);
}

uint32_t lapic_mmio_read(struct lapic *a, unsigned offset)
{
	uint32_t v = 0;

	g_mutex_lock(&a->lock);
	if (offset % 16 == 0)
		v = read_register(a, offset / 16);
	g_mutex_unlock(&a->lock);
	return v;
}

void lapic_mmio_write(struct lapic *a, unsigned offset, uint32_t value)
{
	if (offset % 16 == 0 && offset / 16 != APIC_SELF_IPI)
		write_and_follow(a, offset / 16, value);
}

/* Registers that exist as MSRs, and which of them may be read and written (SDM volume 3, table
 * 11-6). */
static bool msr_exists(unsigned reg, bool write)
{
	switch (reg) {
	case APIC_EOI:
	case APIC_SELF_IPI:
		return write;
	case APIC_ID:
	case APIC_VERSION:
	case APIC_PPR:
	case APIC_LDR:
	case APIC_ISR ... APIC_IRR + 7:
	case APIC_TIMER_CURRENT:
		return !write;
	case APIC_TPR:
	case APIC_SVR:
	case APIC_ESR:
	case APIC_ICR:
	case APIC_LVT_TIMER ... APIC_TIMER_INITIAL:
	case APIC_TIMER_DIVIDE:
		return true;
	}
	return false;
}

bool lapic_msr_read(struct lapic *a, uint32_t msr, uint64_t *value)
{
	unsigned reg = msr - 0x800;

	if (!is_x2apic(a) || !msr_exists(reg, false))
		return false;
	g_mutex_lock(&a->lock);
	*value = reg == APIC_ICR ? a->icr : read_register(a, reg);
	g_mutex_unlock(&a->lock);
	return true;
}

bool lapic_msr_write(struct lapic *a, uint32_t msr, uint64_t value)
{
	unsigned reg = msr - 0x800;

	if (!is_x2apic(a) || !msr_exists(reg, true))
		return false;
	if ((reg != APIC_ICR && value >> 32) || ((reg == APIC_EOI || reg == APIC_ESR) && value))
		return false;
	write_and_follow(a, reg, value);
	return true;
}

uint64_t lapic_base(const struct lapic *a)
{
	return a->base;
}

/* Mode changes: SDM volume 3, figure 11-27. Leaving x2APIC mode takes a disable first. */
bool lapic_set_base(struct lapic *a, uint64_t value)
{
	uint64_t mode = APIC_BASE_EN | APIC_BASE_EXTD,
		 allowed = mode | APIC_BASE_BSP | 0xfffffff000ull;
	bool ok = !(value & ~allowed) && (value & mode) != APIC_BASE_EXTD &&
		  !(a->no_x2apic && (value & APIC_BASE_EXTD));

	g_mutex_lock(&a->lock);
	if ((a->base & mode) == mode && (value & mode) == APIC_BASE_EN)
		ok = false;
	if (!(a->base & APIC_BASE_EN) && (value & mode) == mode)
		ok = false;
	if (ok)
		a->base = value;
	g_mutex_unlock(&a->lock);
	return ok;
}

uint64_t lapic_cr8(const struct lapic *a)
{
	return a->tpr >> 4;
}

void lapic_set_cr8(struct lapic *a, uint64_t cr8)
{
	g_mutex_lock(&a->lock);
	a->tpr = cr8 << 4 & 0xf0;
	g_mutex_unlock(&a->lock);
}

bool lapic_pending(struct lapic *a, unsigned accept)
{
	bool pending;

	g_mutex_lock(&a->lock);
	pending = ((accept & LAPIC_ACCEPT_SMI) && a->smi) ||
		  ((accept & LAPIC_ACCEPT_INIT) && (a->init || a->sipi)) ||
		  ((accept & LAPIC_ACCEPT_NMI) && a->nmi) ||
		  ((accept & LAPIC_ACCEPT_INTERRUPT) && (deliverable(a) >= 0 || takes_extint(a)));
	g_mutex_unlock(&a->lock);
	return pending;
}

/* What power-on and INIT do; INIT leaves IA32_APIC_BASE and the id, a SIPI that came after it, and an SMI. */
static void reset_registers(struct lapic *a)
{
	a->tpr = a->ldr = a->esr = a->esr_pending = a->initial_count = a->divide = 0;
	a->dfr = ~0u;
	a->svr = 0xff;
	a->icr = a->tsc_deadline = 0;
	memset(a->isr, 0, sizeof(a->isr));
	memset(a->tmr, 0, sizeof(a->tmr));
	memset(a->irr, 0, sizeof(a->irr));
	for (unsigned i = 0; i < N_LVT; i++)
		a->lvt[i] = LVT_MASKED;
	a->nmi = a->init = false;
	lapic_timer_arm(a, NO_DEADLINE);
}

/* In the order of SDM volume 3, table 6-2. */
static enum lapic_event take_locked(struct lapic *a, unsigned accept, uint8_t *vector, bool *extint)
{
	int v = deliverable(a);

	if (a->smi && (accept & LAPIC_ACCEPT_SMI)) {
		a->smi = false;
		return LAPIC_EVENT_SMI;
	}
	if (a->init && (accept & LAPIC_ACCEPT_INIT)) {
		reset_registers(a);
		return LAPIC_EVENT_INIT;
	}
	if (a->sipi && (accept & LAPIC_ACCEPT_INIT)) {
		a->sipi = false;
		*vector = a->sipi_vector;
		return LAPIC_EVENT_SIPI;
	}
	if (a->nmi && (accept & LAPIC_ACCEPT_NMI)) {
		a->nmi = false;
		return LAPIC_EVENT_NMI;
	}
	if (!(accept & LAPIC_ACCEPT_INTERRUPT))
		return LAPIC_EVENT_NONE;
	if (takes_extint(a)) {
		*extint = true;
		return LAPIC_EVENT_INTERRUPT;
	}
	if (v < 0)
		return LAPIC_EVENT_NONE;
	set_bit(a->irr, v, false);
	set_bit(a->isr, v, true);
	*vector = v;
	return LAPIC_EVENT_INTERRUPT;
}

enum lapic_event lapic_take(struct lapic *a, unsigned accept, uint8_t *vector)
{
	enum lapic_event event;
	bool extint = false;

	g_mutex_lock(&a->lock);
	event = take_locked(a, accept, vector, &extint);
	g_mutex_unlock(&a->lock);
	if (extint) {
		/* The acknowledge cycle is the 8259's, whose lock comes before ours. */
		int ack = bus_intr_ack(a->set->bus);

		if (ack < 0)
			return LAPIC_EVENT_NONE;
		*vector = ack;
	}
	return event;
}

void lapic_set_wake(struct lapic *a, void (*fn)(void *opaque), void *opaque)
{
	g_mutex_lock(&a->lock);
	a->wake = fn;
	a->wake_opaque = opaque;
	g_mutex_unlock(&a->lock);
}

static uint64_t reset_base(const struct lapic *a)
{
	return APIC_DEFAULT_BASE | (a->absent ? 0 : APIC_BASE_EN) |
	       (a->id == 0 ? APIC_BASE_BSP : 0);
}

void lapic_set_kinds(struct lapic *a, bool has_apic, bool has_x2apic)
{
	g_mutex_lock(&a->lock);
	if (a->absent != !has_apic) {
		a->absent = !has_apic;
		a->base = reset_base(a);
	}
	a->no_x2apic = !has_x2apic;
	g_mutex_unlock(&a->lock);
}

void lapic_reset(struct lapic *a)
{
	g_mutex_lock(&a->lock);
	a->base = reset_base(a);
	a->tsc_offset = 0;
	a->extint = a->sipi = a->smi = false;
	reset_registers(a);
	g_mutex_unlock(&a->lock);
}

void lapic_save(struct lapic *a, GByteArray *out)
{
	g_mutex_lock(&a->lock);
	state_save(&table, a->id, a, out);
	g_mutex_unlock(&a->lock);
}

bool lapic_load(struct lapic *a, struct state_reader *reader, GError **error)
{
	bool ok;

	g_mutex_lock(&a->lock);
	ok = state_load(&table, a->id, a, reader, error);
	if (ok)
		lapic_timer_arm(a, a->timer_deadline_ns);
	g_mutex_unlock(&a->lock);
	if (ok)
		wake(a);
	return ok;
}

struct lapic_set *lapic_set_new(struct bus *bus, struct clock *clock, unsigned n)
{
	struct lapic_set *set = g_malloc0(sizeof(*set) + n * sizeof(set->apic[0]));

	set->bus = bus;
	set->clock = clock;
	set->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct lapic *a = &set->apic[i];

		a->set = set;
		a->id = i;
		g_mutex_init(&a->lock);
		lapic_timer_init(a);
		lapic_reset(a);
	}
	bus_set_msi_sink(bus, receive_msi, set);
	bus_set_intr_sink(bus, receive_intr, set);
	bus_set_smi_sink(bus, receive_smi, set);
	return set;
}

void lapic_set_free(struct lapic_set *set)
{
	if (!set)
		return;
	bus_set_msi_sink(set->bus, NULL, NULL);
	bus_set_intr_sink(set->bus, NULL, NULL);
	bus_set_smi_sink(set->bus, NULL, NULL);
	for (unsigned i = 0; i < set->n; i++) {
		timer_fini(&set->apic[i].timer);
		g_mutex_clear(&set->apic[i].lock);
	}
	g_free(set);
}

struct lapic *lapic_get(struct lapic_set *set, unsigned id)
{
	g_assert(id < set->n);
	return &set->apic[id];
}
