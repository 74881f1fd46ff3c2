/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A space is an immutable array of regions, sorted by base. Changing it makes a new
 * array; a look-up counts itself in `readers` for the few nanoseconds it takes to
 * search and copy the region out. An old array is freed by a later change that finds
 * no reader: then nobody can still hold it. No look-up ever waits.
 */
#include "bus/bus.h"

#include <stdatomic.h>
#include <string.h>

#define PIO_END 0x10000ull

struct region {
	uint64_t base, len;
	const struct bus_ops *ops;
	void *opaque;
	GMutex *lock;
};

struct region_map {
	struct region_map *next; /* among the retired */
	unsigned n;
	struct region regions[];
};

struct space {
	uint64_t last; /* highest address */
	_Atomic(struct region_map *) map;
	_Atomic unsigned readers;
	GMutex lock; /* of those who change the map */
	struct region_map *retired;
};

struct line_sink {
	bus_line_fn fn;
	void *opaque;
	unsigned pin;
};

struct line {
	GMutex lock; /* keeps edges in order; below devices', above controllers' locks */
	unsigned holders;
	unsigned n_sinks;
	struct line_sink sinks[BUS_LINE_SINKS];
};

struct bus {
	struct space spaces[2];
	struct line lines[BUS_LINES];
	bus_msi_fn msi;
	void *msi_opaque;
	bus_eoi_fn eoi;
	void *eoi_opaque;
	bus_intr_fn intr;
	void *intr_opaque;
	bus_ack_fn ack;
	void *ack_opaque;
	bus_smi_fn smi;
	void *smi_opaque;
	bus_button_fn power_button;
	void *power_button_opaque;
	bus_request_fn request_sink;
	void *request_opaque;
	_Atomic int request;
};

static struct region_map *region_map_new(unsigned n)
{
	struct region_map *map = g_malloc0(sizeof(struct region_map) + n * sizeof(struct region));

	map->n = n;
	return map;
}

struct bus *bus_new(void)
{
	struct bus *bus = g_new0(struct bus, 1);

	bus->spaces[BUS_PIO].last = PIO_END - 1;
	bus->spaces[BUS_MMIO].last = UINT64_MAX;
	for (unsigned i = 0; i < G_N_ELEMENTS(bus->spaces); i++) {
		g_mutex_init(&bus->spaces[i].lock);
		atomic_init(&bus->spaces[i].map, region_map_new(0));
	}
	for (unsigned i = 0; i < BUS_LINES; i++)
		g_mutex_init(&bus->lines[i].lock);
	return bus;
}

static void free_retired(struct space *space)
{
	while (space->retired) {
		struct region_map *next = space->retired->next;

		g_free(space->retired);
		space->retired = next;
	}
}

void bus_free(struct bus *bus)
{
	if (!bus)
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(bus->spaces); i++) {
		free_retired(&bus->spaces[i]);
		g_free(atomic_load(&bus->spaces[i].map));
		g_mutex_clear(&bus->spaces[i].lock);
	}
	for (unsigned i = 0; i < BUS_LINES; i++)
		g_mutex_clear(&bus->lines[i].lock);
	g_free(bus);
}

/* How many regions begin at or below `addr`. */
static unsigned regions_up_to(const struct region_map *map, uint64_t addr)
{
	unsigned low = 0, high = map->n;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (map->regions[mid].base <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Publishes `map`, under the space's lock. */
static void replace_map(struct space *space, struct region_map *map)
{
	struct region_map *old = atomic_exchange(&space->map, map);

	old->next = space->retired;
	space->retired = old;
	if (!atomic_load(&space->readers))
		free_retired(space);
}

bool bus_map(struct bus *bus, enum bus_space space_id, uint64_t base, uint64_t len,
	     const struct bus_ops *ops, void *opaque, GMutex *lock)
{
	struct space *space = &bus->spaces[space_id];
	struct region region = {base, len, ops, opaque, lock};
	const struct region_map *old;
	struct region_map *map;
	bool free_range;
	unsigned at;

	if (!len || base > space->last || len - 1 > space->last - base)
		return false;
	g_mutex_lock(&space->lock);
	old = atomic_load(&space->map);
	at = regions_up_to(old, base);
	free_range = (at == 0 || old->regions[at - 1].len <= base - old->regions[at - 1].base) &&
		     (at == old->n || old->regions[at].base - base >= len);
	if (free_range) {
		map = region_map_new(old->n + 1);
		memcpy(map->regions, old->regions, at * sizeof(region));
		map->regions[at] = region;
		memcpy(&map->regions[at + 1], &old->regions[at], (old->n - at) * sizeof(region));
		replace_map(space, map);
	}
	g_mutex_unlock(&space->lock);
	return free_range;
}

void bus_unmap(struct bus *bus, enum bus_space space_id, uint64_t base)
{
	struct space *space = &bus->spaces[space_id];
	const struct region_map *old;
	struct region_map *map;
	unsigned at;

	g_mutex_lock(&space->lock);
	old = atomic_load(&space->map);
	at = regions_up_to(old, base);
	g_assert(at && old->regions[at - 1].base == base);
	map = region_map_new(old->n - 1);
	memcpy(map->regions, old->regions, (at - 1) * sizeof(struct region));
	memcpy(&map->regions[at - 1], &old->regions[at], (old->n - at) * sizeof(struct region));
	replace_map(space, map);
	g_mutex_unlock(&space->lock);
}

void bus_for_each_region(struct bus *bus, enum bus_space space_id, bus_region_fn fn, void *opaque)
{
	struct space *space = &bus->spaces[space_id];
	g_autofree struct region_map *map = NULL;

	g_mutex_lock(&space->lock);
	map = region_map_new(atomic_load(&space->map)->n);
	memcpy(map->regions, atomic_load(&space->map)->regions, map->n * sizeof(struct region));
	g_mutex_unlock(&space->lock);
	for (unsigned i = 0; i < map->n; i++)
		fn(opaque, map->regions[i].base, map->regions[i].len);
}

/* Copies out the region that holds `addr`. */
static bool find_region(struct space *space, uint64_t addr, struct region *region)
{
	const struct region_map *map;
	bool found = false;
	unsigned at;

	atomic_fetch_add(&space->readers, 1);
	map = atomic_load(&space->map);
	at = regions_up_to(map, addr);
	if (at && addr - map->regions[at - 1].base < map->regions[at - 1].len) {
		*region = map->regions[at - 1];
		found = true;
	}
	atomic_fetch_sub(&space->readers, 1);
	return found;
}

static uint64_t size_mask(unsigned size)
{
	return ~0ull >> (64 - size * 8);
}

static unsigned ops_min(const struct bus_ops *ops)
{
	return ops->min_size ? ops->min_size : 1;
}

static unsigned ops_max(const struct bus_ops *ops)
{
	return ops->max_size ? ops->max_size : 8;
}

static uint64_t region_read(const struct region *r, uint64_t offset, unsigned size)
{
	unsigned unit = CLAMP(size, ops_min(r->ops), ops_max(r->ops));
	uint64_t value = 0;

	if (size < unit) {
		unsigned shift = offset % unit * 8;

		/* Past the containing unit's end the bus floats. */
		if (offset % unit + size > unit || offset - offset % unit > r->len - unit)
			return size_mask(size);
		value = r->ops->read(r->opaque, offset - offset % unit, unit) >> shift;
		return value & size_mask(size);
	}
	for (unsigned i = 0; i < size; i += unit)
		value |= (r->ops->read(r->opaque, offset + i, unit) & size_mask(unit)) << (i * 8);
	return value;
}

static void region_write(const struct region *r, uint64_t offset, uint64_t value, unsigned size)
{
	unsigned unit = MIN(size, ops_max(r->ops));

	if (size < ops_min(r->ops))
		return;
	for (unsigned i = 0; i < size; i += unit)
		r->ops->write(r->opaque, offset + i, value >> (i * 8) & size_mask(unit), unit);
}

static bool region_holds(const struct region *r, uint64_t addr, unsigned size)
{
	return size <= r->len && addr - r->base <= r->len - size;
}

uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size)
{
	struct region region;
	uint64_t value;

	if (find_region(&bus->spaces[space], addr, &region) && region_holds(&region, addr, size)) {
		if (region.lock)
			g_mutex_lock(region.lock);
		value = region_read(&region, addr - region.base, size);
		if (region.lock)
			g_mutex_unlock(region.lock);
		return value;
	}
	if (size == 1)
		return 0xff;
	value = bus_read(bus, space, addr, size / 2);
	return value | bus_read(bus, space, addr + size / 2, size / 2) << (size * 4);
}

void bus_write(struct bus *bus, enum bus_space space, uint64_t addr, uint64_t value, unsigned size)
{
	struct region region;

	if (find_region(&bus->spaces[space], addr, &region) && region_holds(&region, addr, size)) {
		if (region.lock)
			g_mutex_lock(region.lock);
		region_write(&region, addr - region.base, value, size);
		if (region.lock)
			g_mutex_unlock(region.lock);
	} else if (size > 1) {
		bus_write(bus, space, addr, value, size / 2);
		bus_write(bus, space, addr + size / 2, value >> (size * 4), size / 2);
	}
}

void bus_line_attach(struct bus *bus, unsigned line, bus_line_fn fn, void *opaque, unsigned pin)
{
	struct line *l;

	g_assert(line < BUS_LINES);
	l = &bus->lines[line];
	g_assert(l->n_sinks < BUS_LINE_SINKS);
	l->sinks[l->n_sinks++] = (struct line_sink){fn, opaque, pin};
}

void irq_line_init(struct irq_line *irq, struct bus *bus, unsigned line)
{
	g_assert(line < BUS_LINES);
	*irq = (struct irq_line){.bus = bus, .line = line};
}

void irq_line_set(struct irq_line *irq, bool level)
{
	struct line *line;
	bool edge;

	if (irq->level == level)
		return;
	irq->level = level;
	line = &irq->bus->lines[irq->line];
	g_mutex_lock(&line->lock);
	edge = level ? line->holders++ == 0 : --line->holders == 0;
	for (unsigned i = 0; edge && i < line->n_sinks; i++)
		line->sinks[i].fn(line->sinks[i].opaque, line->sinks[i].pin, level);
	g_mutex_unlock(&line->lock);
}

void irq_line_pulse(struct irq_line *irq)
{
	irq_line_set(irq, true);
	irq_line_set(irq, false);
}

void bus_set_msi_sink(struct bus *bus, bus_msi_fn fn, void *opaque)
{
	bus->msi = fn;
	bus->msi_opaque = opaque;
}

void bus_msi(struct bus *bus, uint64_t addr, uint32_t data)
{
	if (bus->msi)
		bus->msi(bus->msi_opaque, addr, data);
}

void bus_set_eoi_sink(struct bus *bus, bus_eoi_fn fn, void *opaque)
{
	bus->eoi = fn;
	bus->eoi_opaque = opaque;
}

void bus_eoi(struct bus *bus, uint8_t vector)
{
	if (bus->eoi)
		bus->eoi(bus->eoi_opaque, vector);
}

void bus_set_intr_sink(struct bus *bus, bus_intr_fn fn, void *opaque)
{
	bus->intr = fn;
	bus->intr_opaque = opaque;
}

void bus_set_intr_source(struct bus *bus, bus_ack_fn ack, void *opaque)
{
	bus->ack = ack;
	bus->ack_opaque = opaque;
}

void bus_set_intr(struct bus *bus, bool level)
{
	if (bus->intr)
		bus->intr(bus->intr_opaque, level);
}

int bus_intr_ack(struct bus *bus)
{
	return bus->ack ? bus->ack(bus->ack_opaque) : -1;
}

void bus_set_smi_sink(struct bus *bus, bus_smi_fn fn, void *opaque)
{
	bus->smi = fn;
	bus->smi_opaque = opaque;
}

void bus_set_power_button(struct bus *bus, bus_button_fn fn, void *opaque)
{
	bus->power_button = fn;
	bus->power_button_opaque = opaque;
}

bool bus_press_power_button(struct bus *bus)
{
	return bus->power_button && bus->power_button(bus->power_button_opaque);
}

void bus_smi(struct bus *bus)
{
	if (bus->smi)
		bus->smi(bus->smi_opaque);
}

void bus_set_request_sink(struct bus *bus, bus_request_fn fn, void *opaque)
{
	bus->request_sink = fn;
	bus->request_opaque = opaque;
}

void bus_request(struct bus *bus, enum bus_request request)
{
	int none = BUS_REQUEST_NONE;

	if (atomic_compare_exchange_strong(&bus->request, &none, request) && bus->request_sink)
		bus->request_sink(bus->request_opaque, request);
}

enum bus_request bus_request_take(struct bus *bus)
{
	return atomic_exchange(&bus->request, BUS_REQUEST_NONE);
}
