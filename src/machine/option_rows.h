/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of each board's table: what users add anywhere, and what serves firmware. Seen in this folder only. */
#ifndef VIV_MACHINE_OPTION_ROWS_H
#define VIV_MACHINE_OPTION_ROWS_H

#include "dev/table.h"
#include "machine/board.h"

#define BOARD_OPTION_ROWS \
	{&virtio_net_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_NICS, .nic = MACHINE_VIRTIO_NET}, \
	{&e1000_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_NICS, .nic = MACHINE_E1000}, \
	{&rtl8139_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_NICS, .nic = MACHINE_RTL8139}, \
	{&rtl8029_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_NICS, .nic = MACHINE_RTL8029}, \
	{&xhci_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_MORE_INPUT, .input = MACHINE_USB_INPUT}, \
	{&virtio_keyboard_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_MORE_INPUT, .input = MACHINE_VIRTIO_INPUT}, \
	{&virtio_tablet_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_MORE_INPUT, .input = MACHINE_VIRTIO_INPUT}, \
	{&virtio_gpu_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_MORE_SCREEN}, \
	{&virtio_fs_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_SHARES, .share = SHARE_FUSE}, \
	{&virtio_9p_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_SHARES, .share = SHARE_9P}, \
	{&virtio_console_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_HVC}, \
	{&virtio_console_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_PORTS}, \
	{&virtio_balloon_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_BALLOON}, \
	{&virtio_vsock_class, .devfn = BOARD_ANY_SLOT, .backing = BOARD_VSOCK}, \
	{&cfi_flash_class, .backing = BOARD_FLASH}, \
	{&debugcon_class, .base = 0x402, .backing = BOARD_FIRMWARE_LOG}, \
	{&fw_cfg_class, .backing = BOARD_FW_CFG}

#endif
