/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every device there is, a row each: X(name) stands for `name`_class, defined in the file of
 * that name. Boards take classes from here; the generic tests and the fuzz target run over
 * all rows, so a new row is tested by existing.
 */
#ifndef VIV_DEV_TABLE_H
#define VIV_DEV_TABLE_H

#include "dev/device.h"

#define DEVICES(X)        \
	X(i8259)         \
	X(i8254)         \
	X(i8042)         \
	X(i8237)         \
	X(mc146818)      \
	X(cfi_flash)     \
	X(fw_cfg)        \
	X(debugcon)      \
	X(piix3)         \
	X(piix4_pm)      \
	X(i82093aa)      \
	X(ns16550)       \
	X(i440fx)        \
	X(q35_mch)       \
	X(ich9_lpc)      \
	X(hpet)          \
	X(ich9_root_port) \
	X(i82077aa)      \
	X(piix_ide)      \
	X(ahci)          \
	X(virtio_blk)    \
	X(virtio_9p)     \
	X(virtio_fs)     \
	X(virtio_vsock)  \
	X(virtio_balloon) \
	X(virtio_console) \
	X(virtio_rng)    \
	X(virtio_scsi)   \
	X(nvme)          \
	X(e1000)         \
	X(rtl8139)       \
	X(virtio_net)    \
	X(vga)           \
	X(virtio_gpu)    \
	X(ne2000)        \
	X(rtl8029)       \
	X(virtio_keyboard) \
	X(virtio_mouse)  \
	X(virtio_tablet) \
	X(xhci)

#define DEVICE_DECLARE(name) extern const struct device_class name##_class;
DEVICES(DEVICE_DECLARE)
#undef DEVICE_DECLARE

extern const struct device_class *const device_table[]; /* ends with NULL */

#endif
