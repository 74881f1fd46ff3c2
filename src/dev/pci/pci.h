/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI buses (PCI Local Bus Specification 3.0, PCI Express Base Specification 3.0): configuration space, base
 * address registers, INTx, MSI and MSI-X, bridges. The one file through which PCI devices and their host bridge meet.
 *
 * A PCI device starts with struct pci_device in place of struct device. Its init calls
 * pci_device_init(), then adds BARs and capabilities; its reset, post_load and fini call
 * their namesakes here; its state table holds PCI_DEVICE_FIELDS and its check calls
 * pci_device_check().
 *
 * Interrupt pins are wired to level-triggered lines from PCI_GSI_BASE on by the host bridge's rule, a pci_gsi_fn,
 * which firmware made for the chipset knows and ACPI's _PRT is written from. Behind a PCI-PCI bridge a slot's pins are
 * turned by its number and go on at the bridge's own pins (PCI-to-PCI Bridge Architecture Specification 1.2, 9.1).
 *
 * Buses: the host bridge's is number 0; those behind PCI-PCI bridges, all of which are on that one, have the numbers
 * that firmware gives them. Functions on an Express bus have 4 KiB of configuration space, of which the part past the
 * first 256 bytes is empty.
 *
 * Locks: configuration space is accessed under the host bridge's lock, then the function's.
 * Where BARs are mapped changes under the host bridge's lock.
 */
#ifndef VIV_DEV_PCI_PCI_H
#define VIV_DEV_PCI_PCI_H

#include "dev/device.h"

#define PCI_CONFIG_SIZE 256  /* of what a function keeps */
#define PCI_EXPRESS_CONFIG_SIZE 4096
#define PCI_FUNCTIONS	256 /* of one bus: 32 slots of 8 */
#define PCI_BARS	6
#define PCI_ROM		6 /* the expansion ROM's place among the BARs */
#define PCI_PLACES	7
#define PCI_GSI_BASE	16
#define PCI_MSI_MAX	32 /* vectors a function */
#define PCI_MSIX_MAX	64

/* Where BARs may lie, last address included. */
#define PCI_MEM_FIRST 0xe0000000ull
#define PCI_MEM_LAST  0xfebfffffull
#define PCI_IO_FIRST  0xc000ull
#define PCI_IO_LAST   0xffffull

#define PCI_DEVFN(slot, function) ((slot) << 3 | (function))
/* What configuration cycles go to. */
#define PCI_ADDRESS(bus, devfn) ((bus) << 8 | (devfn))

/* Type 0 header, section 6.1. */
enum {
	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_PARITY = 1 << 6,
	PCI_COMMAND_SERR = 1 << 8,
	PCI_COMMAND_INTX_DISABLE = 1 << 10,
	PCI_STATUS = 0x06,
	PCI_STATUS_INTERRUPT = 1 << 3,
	PCI_STATUS_CAP_LIST = 1 << 4,
	PCI_REVISION_ID = 0x08,
	PCI_CLASS_PROG = 0x09,
	PCI_CACHE_LINE_SIZE = 0x0c,
	PCI_LATENCY_TIMER = 0x0d,
	PCI_HEADER_TYPE = 0x0e,
	PCI_HEADER_BRIDGE = 0x01,
	PCI_HEADER_MULTI_FUNCTION = 0x80,
	PCI_BAR_0 = 0x10,
	PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_EXPANSION_ROM = 0x30,
	PCI_EXPANSION_ROM_ENABLE = 1,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_HEADER_END = 0x40,
};

enum {
	PCI_CAP_ID_MSI = 0x05,
	PCI_CAP_ID_VENDOR = 0x09,
	PCI_CAP_ID_EXPRESS = 0x10,
	PCI_CAP_ID_MSIX = 0x11,
};

/* The low bits of a BAR, section 6.2.5.1. */
enum pci_bar_type {
	PCI_BAR_MEM32 = 0x0,
	PCI_BAR_IO = 0x1,
	PCI_BAR_MEM64 = 0x4, /* takes the next BAR's place, too */
	PCI_BAR_MEM64_PREFETCH = 0xc,
};

/* Express Base 3.0, table 7-13. */
enum pci_express_type {
	PCI_EXPRESS_ENDPOINT = 0, /* on the host bridge's bus: a root complex integrated one */
	PCI_EXPRESS_ROOT_PORT = 4,
	PCI_EXPRESS_ROOT_COMPLEX_INTEGRATED = 9,
};

/* The bus line of a pin, INTA being 0, of a slot of the host bridge's bus. */
typedef unsigned (*pci_gsi_fn)(unsigned slot, unsigned pin);

struct pci_device;

/* What a function is, as its header says. */
struct pci_ids {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* base, sub and programming interface */
	uint8_t revision;
	uint8_t interrupt_pin; /* 1 is INTA; 0: none */
};

/* Capabilities whose registers act. Under the function's lock; either may be NULL. */
struct pci_ops {
	/* Bring config[offset .. offset + size) up to date, before it is read. */
	void (*config_read)(struct pci_device *pci, unsigned offset, unsigned size);
	/* They have been written. */
	void (*config_written)(struct pci_device *pci, unsigned offset, unsigned size);
};

struct pci_bar {
	enum pci_bar_type type;
	uint64_t size; /* 0: no such BAR */
	const struct bus_ops *ops;
	struct mem_bank *bank; /* memory behind it; NULL: registers */
	bool mapped;
	bool shown; /* the bank, as memory */
	uint64_t mapped_at;
};

struct pci_msi {
	unsigned cap; /* offset in configuration space; 0: none */
	unsigned n_vectors;
	bool masks; /* a mask and a pending bit for each vector */
	uint32_t pending;
};

struct pci_msix {
	unsigned cap; /* offset in configuration space; 0: none */
	unsigned n_vectors;
	uint32_t table[PCI_MSIX_MAX][4]; /* address, address high, data, vector control */
	uint64_t pending;
};

struct pci_device {
	struct device device;
	const struct pci_ops *ops;
	uint8_t devfn;
	struct pci_bus *bus;	   /* that it is on; NULL while init has not got so far */
	struct pci_bus *secondary; /* of a PCI-PCI bridge: behind it; NULL: it is none */
	unsigned express;	   /* offset of that capability; 0: none */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t defaults[PCI_CONFIG_SIZE];   /* after reset */
	uint8_t write_mask[PCI_CONFIG_SIZE]; /* bits a write sets */
	uint8_t clear_mask[PCI_CONFIG_SIZE]; /* bits that writing 1 clears */
	struct pci_bar bars[PCI_PLACES];
	const uint8_t *rom; /* config->rom's bytes */
	size_t rom_len;
	struct pci_msi msi;
	struct pci_msix msix;
	unsigned next_cap, last_cap_link; /* while init adds capabilities */
	bool intx;			  /* what the function asks for */
	struct irq_line line;		  /* what the wire gets */
};

/* `member` is the struct pci_device in `type`; bars and lines follow from these. */
#define PCI_DEVICE_FIELDS(type, member)                                         \
	STATE_FIELD(type, member.config), STATE_FIELD(type, member.msi.pending), \
		STATE_FIELD(type, member.msix.table),                            \
		STATE_FIELD(type, member.msix.pending), STATE_FIELD(type, member.intx)

static inline unsigned pci_slot(unsigned devfn)
{
	return devfn >> 3;
}

/* Puts a function with a bare header on env->pci, or behind its bridge config->bridge, at config->devfn, which must be
 * free, with config->rom as its expansion ROM (section 6.3). */
bool pci_device_init(struct pci_device *pci, const struct pci_ids *ids, const struct pci_ops *ops,
		     const struct device_config *config, GError **error);
/* For init. `size`: a power of two, 16 at least (4 for ports). Accesses get the pci_device as
 * opaque. */
void pci_add_bar(struct pci_device *pci, unsigned index, enum pci_bar_type type, uint64_t size,
		 const struct bus_ops *ops);
/* A memory BAR (not PCI_BAR_IO) of the bank's size, which is a power of two and a page at least. Where it lies in
 * the device hole the processors use it as memory. */
void pci_add_memory_bar(struct pci_device *pci, unsigned index, enum pci_bar_type type,
			struct mem_bank *bank);
/* `len` bytes with the two of the capability's header; returns its offset. */
unsigned pci_add_capability(struct pci_device *pci, uint8_t id, unsigned len);
/* 1, 2, 4, 8, 16 or 32 vectors; `masks`: which the driver can mask one by one. */
void pci_add_msi(struct pci_device *pci, unsigned n_vectors, bool masks);
/* A memory BAR of its own for table and pending bits. */
void pci_add_msix(struct pci_device *pci, unsigned bar, unsigned n_vectors);

/* An Express function, if its bus is one; without this call, it is a conventional one on an Express bus. */
void pci_add_express(struct pci_device *pci, enum pci_express_type type);
/* A PCI-PCI bridge, with a bus behind it: a header of type 1, with two BARs at most. Nothing behind it answers where
 * its windows do not reach. Its reset of that bus is not there. */
void pci_add_bridge(struct pci_device *pci);

void pci_device_reset(struct pci_device *pci);
bool pci_device_check(const struct pci_device *pci);
void pci_device_post_load(struct pci_device *pci);
void pci_device_fini(struct pci_device *pci);

static inline bool pci_is_master(const struct pci_device *pci)
{
	return pci->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}
/* Under the device's lock, as all that follows. The level the function asks for on its pin, which is silent while
 * MSI or MSI-X is enabled. */
void pci_set_intx(struct pci_device *pci, bool level);
bool pci_msi_enabled(const struct pci_device *pci);
void pci_msi_notify(struct pci_device *pci, unsigned vector);
bool pci_msix_enabled(const struct pci_device *pci);
void pci_msix_notify(struct pci_device *pci, unsigned vector);

/* The bus behind a host bridge, whose own function joins it as the first. */
struct pci_bus *pci_bus_new(struct pci_device *host, pci_gsi_fn gsi, bool express);
void pci_bus_free(struct pci_bus *bus);
/* `size` bytes, within one dword, of a function's configuration space, whose PCI_ADDRESS() is on that bus or behind it;
 * under the host bridge's lock. */
uint32_t pci_bus_read(struct pci_bus *bus, unsigned address, unsigned offset, unsigned size);
void pci_bus_write(struct pci_bus *bus, unsigned address, unsigned offset, uint32_t value,
		   unsigned size);

/*
 * What firmware does at start: numbers the buses, gives each BAR an address in the windows and writes the
 * interrupt line registers. Decoding stays off, as the driver turns it on. For a board
 * that boots without firmware, after each reset, while no vCPU runs. False with the error
 * set if the devices need more than the windows hold.
 */
bool pci_assign_bars(struct pci_bus *bus, GError **error);

#endif
