/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board's devices, created from its table, wired and looked after as one: RAM, bus,
 * local APICs, firmware or what it would have left in RAM, then each row in order.
 *
 * Threads: all functions while no vCPU runs.
 */
#ifndef VIV_MACHINE_MACHINE_H
#define VIV_MACHINE_MACHINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "dev/device.h"
#include "firmware/acpi.h"
#include "share/share.h"

struct board;

#define MACHINE_MAX_DISKS 16

/* How the guest sees a disk. */
enum machine_disk_bus {
	MACHINE_VIRTIO,
	MACHINE_IDE,
	MACHINE_SATA,
	MACHINE_NVME,
	MACHINE_SCSI,
	MACHINE_FLOPPY,
	MACHINE_N_DISK_BUSES,
};
/* As users write it. */
const char *machine_disk_bus_name(enum machine_disk_bus bus);

/* What firmware tries to boot from. */
enum machine_boot { MACHINE_BOOT_DISK, MACHINE_BOOT_CD, MACHINE_BOOT_FLOPPY, MACHINE_BOOT_NET,
		    MACHINE_N_BOOT };

struct machine_disk {
	struct block *block; /* NULL: a drive without a medium */
	enum machine_disk_bus bus;
	enum machine_boot kind; /* not MACHINE_BOOT_NET */
};

/* A BIOS: mapped below 4 GiB and, its end, below 1 MiB; and how it is to go about it. */
struct machine_firmware {
	GBytes *bios;
	GBytes *vga_bios; /* NULL: none */
	/* Variables: a flash memory below the firmware, with the contents of a disk, or of a template, which
	 * then last as long as the machine; both NULL: none. */
	struct block *vars;
	GBytes *vars_template;
	enum machine_boot order[MACHINE_N_BOOT];
	unsigned n_order;
	bool menu;	     /* ask the user which device to boot */
	bool serial_console; /* its texts go to the first serial port, too */
	struct stream *log;  /* what it tells its makers; NULL: nobody */
};

enum machine_nic_model { MACHINE_VIRTIO_NET, MACHINE_E1000, MACHINE_RTL8139, MACHINE_RTL8029, MACHINE_N_NIC_MODELS };

struct machine_nic {
	enum machine_nic_model model;
	uint8_t mac[6];
	uint16_t mtu;	       /* that a virtio card tells its driver; 0: none */
	struct net_port *port; /* NULL: no cable */
	GBytes *rom;	       /* by which firmware boots from it; NULL: none */
};

/* A folder of the host's, and by what tag the guest mounts it. */
struct machine_share {
	struct share *share;
	enum share_protocol protocol; /* the share's */
	const char *tag; /* at most DEVICE_MAX_TAG or DEVICE_MAX_FS_TAG characters */
};

/* A keyboard and a tablet besides PS/2's. */
enum machine_input { MACHINE_USB_INPUT, MACHINE_VIRTIO_INPUT, MACHINE_N_INPUTS };

struct machine_config {
	uint64_t ram_size;
	unsigned n_vcpus;
	uint8_t uuid[16]; /* in the order in which it is written; all zero: none */
	/* Not owned; they outlive the machine. */
	const struct x86_model *cpu;		 /* of which firmware is told */
	const struct machine_firmware *firmware; /* NULL: none */
	struct clock *clock;
	const struct trace *trace; /* NULL: off */
	bool no_smm;		   /* the engine's */
	bool packed_rings;	   /* virtio devices offer them, too */
	struct stream *serial;
	struct stream *hvc; /* of a virtio console; NULL: there is none */
	const struct device_port *ports;
	unsigned n_ports;
	struct display *display; /* NULL: no screen */
	bool virtio_gpu;	 /* besides the VGA, for the same screen */
	struct input *input;	 /* NULL: no keyboard and no mouse */
	bool inputs[MACHINE_N_INPUTS]; /* what else there is than PS/2, for its events */
	const struct machine_nic *nics;
	unsigned n_nics;
	bool balloon;
	struct vsock_host *vsock; /* NULL: none */
	uint32_t cid;		  /* the guest's address there */
	const struct machine_share *shares;
	unsigned n_shares;
	const struct machine_disk *disks;
	unsigned n_disks;
};

struct machine {
	const struct board *board;
	struct device_env env; /* owns mem and bus */
	struct lapic_set *lapics;
	unsigned n_vcpus;
	bool has_firmware;
	struct acpi_config acpi; /* the board's, and what the configuration says */
	struct mem_bank *bios;
	GPtrArray *devices;	 /* struct device, in the order of the table */
	GPtrArray *boot_paths[MACHINE_N_BOOT]; /* firmware's names of what can be booted, in order */
	struct fw_cfg_file *files; /* what firmware is told */
	unsigned n_files;
	uint64_t rsdp_gpa; /* without firmware */
	GArray *drives; /* struct machine_drive: those for removable media */
	unsigned disk_units[MACHINE_MAX_DISKS]; /* of the configuration's disks, on their bus */
};

struct machine *machine_new(const struct board *board, const struct machine_config *config,
			    GError **error);
void machine_free(struct machine *machine);
/* Devices and local APICs at power-on, and without firmware ACPI tables in RAM as they were; RAM stays else. */
bool machine_reset(struct machine *machine, GError **error);
/* Ends what devices have in flight: from now on none touches RAM until its registers are touched.
 */
void machine_quiesce(struct machine *machine);
/* Whether there is a removable drive of that name; the error names those there are. */
bool machine_check_drive(const struct machine *machine, const char *drive, GError **error);
/* Another medium in a drive that there is, or NULL for none; not owned. Returns what was in it. */
struct block *machine_set_medium(struct machine *machine, const char *drive, struct block *medium);
/* The first device of that class, or NULL. */
struct device *machine_find(const struct machine *machine, const struct device_class *class);
void machine_save(struct machine *machine, GByteArray *out);
bool machine_load(struct machine *machine, struct state_reader *reader, GError **error);

#endif
