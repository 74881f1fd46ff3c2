/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device is: one file named after its data sheet, one device_class with
 * a state field table, one row in the device table (dev/table.h).
 *
 * Threads: register functions run on vCPU threads and timers on the loop thread,
 * both with device->lock held (the bus and the clock take it). init, reset, fini and
 * save/restore run while no vCPU runs.
 *
 * Guests are hostile: a register access must never crash, allocate without bound or
 * loop without bound, whatever was loaded from a state stream.
 */
#ifndef VIV_DEV_DEVICE_H
#define VIV_DEV_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/trace.h"
#include "bus/bus.h"
#include "clock/clock.h"
#include "mem/mem.h"
#include "state/state.h"

struct block;
struct display;
struct fw_cfg_file;
struct input;
struct isa_dma;
struct net_port;
struct pci_bus;
struct share;
struct stream;
struct vsock_host;

/* A drive of a controller of several. */
struct device_drive {
	struct block *block; /* not owned; NULL: a drive for removable media is empty */
	bool cdrom;
};
#define DEVICE_MAX_DRIVES 8
/* Characters of the name of a shared folder or a port. */
#define DEVICE_MAX_TAG 64
/* Of a folder that comes by virtio-fs. */
#define DEVICE_MAX_FS_TAG 36

/* A serial port by which a program of the host's and one in the guest talk. */
struct device_port {
	struct stream *stream;
	const char *name; /* at most DEVICE_MAX_TAG characters; the guest's program finds it by that */
};
#define DEVICE_MAX_PORTS 8

/* Where the board puts a device and what it connects it to: a row of a board table. */
struct device_config {
	uint64_t base;	       /* port or address, where the device has a fixed one */
	unsigned irq;	       /* bus line */
	unsigned devfn;	       /* PCI slot << 3 | function */
	unsigned bridge;       /* devfn of the PCI-PCI bridge that it is behind; 0: none */
	struct block *block;   /* storage behind it; not owned */
	struct device_drive drives[DEVICE_MAX_DRIVES];
	unsigned n_drives;
	struct stream *stream; /* bytes behind it; not owned */
	const struct device_port *ports; /* not owned */
	unsigned n_ports;
	struct mem_bank *bios; /* the firmware's ROM, of a host bridge; NULL: none */
	GBytes *rom;	       /* PCI expansion ROM; not owned; NULL: none */
	struct display *display; /* screen that it draws on; not owned; NULL: nobody looks */
	struct input *input;	 /* keyboard and pointer events; not owned; NULL: none come */
	struct net_port *net;	 /* network cable; not owned; NULL: none */
	uint8_t mac[6];		 /* of a network card */
	uint16_t mtu;		 /* that it tells its driver; 0: none */
	unsigned n_queues;	 /* of a device that can have one a processor; 0: one */
	const struct fw_cfg_file *files; /* of fw_cfg; not owned, as their bytes */
	unsigned n_files;
	struct share *share;	 /* shared folder; not owned */
	const char *tag;	 /* what the guest calls it; not owned */
	struct vsock_host *vsock; /* sockets of the host's; not owned; NULL: none */
	uint32_t cid;		 /* the guest's address among them */
	/* What CMOS tells the firmware. */
	uint8_t floppies[2]; /* types of drives A and B (floppy_drive_type()); 0: none */
	uint16_t boot_order; /* a digit a try, the first one lowest: 1 floppy, 2 disk, 3 CD, 4 network */
};

/* The VM around a device; outlives it. */
struct device_env {
	struct mem *mem;
	struct bus *bus;
	struct clock *clock;
	const struct trace *trace; /* NULL: off */
	bool no_smm; /* SMIs come to nothing: firmware, which would wait for its first, finds SMIs set up */
	bool packed_rings; /* virtio devices offer them, too */
	struct pci_bus *pci;	 /* set once the host bridge exists */
	struct isa_dma *isa_dma; /* set once the DMA controllers exist */
};

struct device {
	const struct device_class *class;
	struct device_env *env;
	GMutex lock;
	GArray *regions; /* what device_map() mapped */
};

struct device_class {
	const char *name;		 /* the data sheet's */
	const char *document;		 /* what it follows */
	size_t size;			 /* of the struct that starts with struct device */
	const struct state_table *state; /* over that struct */
	bool (*init)(struct device *device, const struct device_config *config, GError **error);
	void (*reset)(struct device *device);	  /* power-on values; cancels what is in flight */
	void (*post_load)(struct device *device); /* re-arms timers and lines from loaded state */
	void (*fini)(struct device *device);	  /* accepts what a failed init left */
	/* Waits until nothing is in flight on other threads; called without the lock, before
	 * reset, fini, save and load. NULL: nothing ever is. Accepts what a failed init left. */
	void (*drain)(struct device *device);
	/* Another CD or floppy disk, or NULL: none; not owned. After drain, while no vCPU runs, by the
	 * user and never in init or reset: the guest is told as the drive would. False: that drive has no
	 * removable medium. NULL: none has. */
	bool (*set_medium)(struct device *device, unsigned drive, struct block *medium);
};

/* Allocates, initialises and resets; NULL with the error set, nothing left behind. */
struct device *device_new(const struct device_class *class, struct device_env *env,
			  const struct device_config *config, GError **error);
void device_free(struct device *device);
void device_reset(struct device *device);
/* Maps registers, under the device's lock, for as long as the device lives; for init. */
bool device_map(struct device *device, enum bus_space space, uint64_t base, uint64_t len,
		const struct bus_ops *ops, GError **error);
/* The same for a part of the device, which its functions get. */
bool device_map_part(struct device *device, enum bus_space space, uint64_t base, uint64_t len,
		     const struct bus_ops *ops, void *part, GError **error);
/* False: there is no such drive, or its medium is not removable. */
bool device_set_medium(struct device *device, unsigned drive, struct block *medium);
void device_save(struct device *device, uint16_t instance, GByteArray *out);
bool device_load(struct device *device, uint16_t instance, struct state_reader *reader,
		 GError **error);

#endif
