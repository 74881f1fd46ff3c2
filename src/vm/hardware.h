/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands behind a VM's devices on the host, opened as the configuration says: disks, shared folders, firmware, screen, keyboard,
 * network cards. Loop thread; seen in this folder only.
 */
#ifndef VIV_VM_HARDWARE_H
#define VIV_VM_HARDWARE_H

#include "vm/config.h"

struct hardware {
	GMutex *gate;	       /* of disks; NULL: none */
	GPtrArray *blocks;     /* all that are open, of struct block */
	struct machine_disk disks[MACHINE_MAX_DISKS];
	unsigned n_disks;
	bool has_firmware;
	struct machine_firmware firmware;
	int firmware_log_fd;   /* -1: none */
	struct display *display; /* NULL: none */
	bool virtio_gpu;	 /* besides the VGA */
	struct input *input;	 /* NULL: none */
	struct typist *typist;	 /* where there is input */
	bool inputs[MACHINE_N_INPUTS];
	struct nets *nets;
	struct device_port ports[VM_MAX_PORTS];
	int port_fds[VM_MAX_PORTS]; /* -1: none */
	unsigned n_ports;
	bool balloon;
	struct vsock_host *vsock; /* NULL: none */
	uint32_t cid;
	struct machine_share shares[VM_MAX_SHARES];
	unsigned n_shares;
	struct machine_nic nics[VM_MAX_NICS];
	unsigned n_nics;
};

/* False with the error set; hardware_close() then, too. All zero, it may be closed. */
bool hardware_open(struct hardware *hardware, const struct vm_config *config, GMainContext *context,
		   GMutex *gate, GError **error);
void hardware_close(struct hardware *hardware);
/* Its part of a machine's configuration; lives as long as the hardware. */
void hardware_describe(const struct hardware *hardware, struct machine_config *config);

/* Another disk, by a name that no other has, closed by hardware_close_disk() or hardware_close(). NULL is fine to close. */
struct block *hardware_open_disk(struct hardware *hardware, const struct vm_disk *disk, const char *name,
				 GError **error);
void hardware_close_disk(struct hardware *hardware, struct block *block);

#endif
