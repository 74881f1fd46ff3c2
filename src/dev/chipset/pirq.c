/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/chipset/pirq.h"

#include <string.h>

#include "dev/pci/pci.h"

/* Bit n: the line can be routed to. */
#define ROUTABLE                                                                             \
	(1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | \
	 1 << 14 | 1 << 15)

/* The ISA line must not be told under another one's: a wire's move to another line ends at the old
 * one first. */
static void drive(struct pirq_router *router, unsigned wire)
{
	struct irq_line *line = &router->lines[wire];
	uint8_t route = router->routes[wire];
	bool routed = !(route & PIRQ_OFF) && ROUTABLE >> (route & 15) & 1;

	if (line->level && (!routed || line->line != (route & 15)))
		irq_line_set(line, false);
	if (!routed)
		return;
	if (line->line != (route & 15))
		irq_line_init(line, router->device->env->bus, route & 15);
	irq_line_set(line, router->levels[wire]);
}

static void on_wire(void *opaque, unsigned wire, bool level)
{
	struct pirq_router *router = opaque;

	g_mutex_lock(&router->lock);
	router->levels[wire] = level;
	drive(router, wire);
	g_mutex_unlock(&router->lock);
}

void pirq_route(struct pirq_router *router, unsigned first, const uint8_t *routes, unsigned n)
{
	g_mutex_lock(&router->lock);
	memcpy(router->routes + first, routes, n);
	for (unsigned i = first; i < first + n; i++)
		drive(router, i);
	g_mutex_unlock(&router->lock);
}

void pirq_init(struct pirq_router *router, struct device *device, unsigned n_wires)
{
	router->device = device;
	g_mutex_init(&router->lock);
	memset(router->routes, PIRQ_OFF, sizeof(router->routes));
	for (unsigned i = 0; i < n_wires; i++) {
		irq_line_init(&router->lines[i], device->env->bus, 0);
		bus_line_attach(device->env->bus, PCI_GSI_BASE + i, on_wire, router, i);
	}
}

void pirq_fini(struct pirq_router *router)
{
	g_mutex_clear(&router->lock);
}
