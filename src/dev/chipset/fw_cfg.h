/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the board tells firmware, item by item: numbers by a key, files by a name. The interface is the one that
 * firmware made for virtual machines knows (QEMU's specification of fw_cfg).
 */
#ifndef VIV_DEV_CHIPSET_FW_CFG_H
#define VIV_DEV_CHIPSET_FW_CFG_H

#include <glib.h>
#include <stdint.h>

#define FW_CFG_MAX_FILES 64
#define FW_CFG_NAME_SIZE 56 /* with its end */

enum {
	FW_CFG_RAM_SIZE = 0x03, /* 8 bytes */
	FW_CFG_NB_CPUS = 0x05,	/* 2 bytes, as all that follow */
	FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_MAX_CPUS = 0x0f, /* the greatest APIC id and one */
	FW_CFG_FIRST_FILE = 0x20,
};

struct fw_cfg_file {
	const char *name; /* NULL: `key` says what it is */
	uint16_t key;	  /* of an item that is no file */
	GBytes *bytes;
};

#endif
