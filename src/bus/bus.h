/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who owns this port or address, and how interrupts travel. Processors and
 * devices meet here and nowhere else.
 *
 * Accesses: a region is a range of port or memory space with its read and write
 * functions. The bus takes the region's lock (its device's) around each call,
 * so a device's registers are never touched by two threads. An access no region
 * wants reads as ones and is dropped as a write, as on a real bus. Sizes are 1, 2,
 * 4 or 8 bytes. A region names the sizes it takes; the bus splits wider accesses into
 * consecutive ones and hands narrower ones to regions that take none smaller as a
 * read of the containing unit (reads) or drops them (writes). An access that leaves its
 * region is split in halves, each looked up on its own. Accesses need not be aligned.
 *
 * Interrupt lines: numbered like the ACPI global system interrupts (ISA IRQ n is
 * line n). Several sources may share a line, which is high while any of them holds
 * it. Each line reports its edges to the sinks (interrupt controllers) attached to it.
 * Messages (MSI, and what an IOAPIC sends) are writes to FEExxxxx, given to the
 * processors' side by bus_msi().
 *
 * Locks: device -> interrupt controller -> processor's local APIC. bus_map() and
 * bus_unmap() from any thread, not from inside a region's own callback unless
 * on another region of the same device (a PCI BAR that moves).
 */
#ifndef VIV_BUS_BUS_H
#define VIV_BUS_BUS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct bus;

enum bus_space { BUS_PIO, BUS_MMIO };

struct bus_ops {
	/* `offset` is from the region's base and offset + size within the region. Bits above
	 * `size` are zero in the value written and ignored in the value read. */
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
	uint8_t min_size, max_size; /* what the functions take; 0, 0 means 1 to 8 */
};

struct bus *bus_new(void);
void bus_free(struct bus *bus);

/* Returns false, mapping nothing, where the range overlaps a region or wraps. */
bool bus_map(struct bus *bus, enum bus_space space, uint64_t base, uint64_t len,
	     const struct bus_ops *ops, void *opaque, GMutex *lock);
/* Removes the region at `base`. An access already on its way may still reach it, so
 * its owner is freed only while no vCPU runs. */
void bus_unmap(struct bus *bus, enum bus_space space, uint64_t base);

/* Tells of every region, lowest first, as they stood when asked; `fn` may map and unmap. */
typedef void (*bus_region_fn)(void *opaque, uint64_t base, uint64_t len);
void bus_for_each_region(struct bus *bus, enum bus_space space, bus_region_fn fn, void *opaque);

uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, enum bus_space space, uint64_t addr, uint64_t value, unsigned size);

#define BUS_LINES 24

/* A line's edge, told to an interrupt controller; called under the lock of the device that
 * moved it. */
#define BUS_LINE_SINKS 4 /* interrupt controllers on one line */
typedef void (*bus_line_fn)(void *opaque, unsigned pin, bool level);
void bus_line_attach(struct bus *bus, unsigned line, bus_line_fn fn, void *opaque, unsigned pin);

/* One source's hold on one line. Its owner keeps it, under its own lock. */
struct irq_line {
	struct bus *bus;
	unsigned line;
	bool level;
};
void irq_line_init(struct irq_line *irq, struct bus *bus, unsigned line);
void irq_line_set(struct irq_line *irq, bool level);
/* A high and a low edge: what an edge-triggered source does. */
void irq_line_pulse(struct irq_line *irq);

/* Messages. The processors' side registers before anything can be sent. */
typedef void (*bus_msi_fn)(void *opaque, uint64_t addr, uint32_t data);
void bus_set_msi_sink(struct bus *bus, bus_msi_fn fn, void *opaque);
void bus_msi(struct bus *bus, uint64_t addr, uint32_t data);

/* End of interrupt of a level-triggered vector, broadcast by a local APIC to the IOAPIC. */
typedef void (*bus_eoi_fn)(void *opaque, uint8_t vector);
void bus_set_eoi_sink(struct bus *bus, bus_eoi_fn fn, void *opaque);
void bus_eoi(struct bus *bus, uint8_t vector);

/*
 * The 8259's INTR pin and its acknowledge cycle. The controller reports the pin by
 * bus_set_intr(); the processors' side is told by its sink and fetches the vector
 * with bus_intr_ack() (which returns -1 where the controller has none: no 8259).
 */
typedef void (*bus_intr_fn)(void *opaque, bool level);
typedef int (*bus_ack_fn)(void *opaque);
void bus_set_intr_sink(struct bus *bus, bus_intr_fn fn, void *opaque);
void bus_set_intr_source(struct bus *bus, bus_ack_fn ack, void *opaque);
void bus_set_intr(struct bus *bus, bool level);
int bus_intr_ack(struct bus *bus);

/*
 * SMI#, by which a chipset sends the boot processor to its system-management mode; any thread. On a board of old it was
 * every processor's pin; firmware made for virtual machines gives none but the first a handler.
 */
typedef void (*bus_smi_fn)(void *opaque);
void bus_set_smi_sink(struct bus *bus, bus_smi_fn fn, void *opaque);
void bus_smi(struct bus *bus);

/* The power button: a chipset connects it, the user presses it. Whether the guest has asked to be told. Any thread,
 * no locks. */
typedef bool (*bus_button_fn)(void *opaque);
void bus_set_power_button(struct bus *bus, bus_button_fn fn, void *opaque);
bool bus_press_power_button(struct bus *bus);

/* What the guest asks of the whole machine by a register; any thread. The first request
 * stands, and later ones are ignored, until it is taken. */
enum bus_request {
	BUS_REQUEST_NONE,
	BUS_REQUEST_RESET,
	BUS_REQUEST_POWEROFF,
};
typedef void (*bus_request_fn)(void *opaque, enum bus_request request);
void bus_set_request_sink(struct bus *bus, bus_request_fn fn, void *opaque);
void bus_request(struct bus *bus, enum bus_request request);
enum bus_request bus_request_take(struct bus *bus);

#endif
