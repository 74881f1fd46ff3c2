/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Firmware images as the distribution's packages install them. */
#ifndef VIV_FIRMWARE_ROM_H
#define VIV_FIRMWARE_ROM_H

#include <glib.h>

struct rom {
	const char *file;    /* its path under a folder of data or libraries, such as /usr/share */
	const char *package; /* Debian's, that brings it */
};

extern const struct rom rom_seabios, rom_vgabios, rom_ipxe_e1000, rom_ipxe_rtl8139, rom_ipxe_ne2k, rom_ipxe_virtio,
	rom_ovmf, rom_ovmf_vars;

/* The file in the first of the system's folders that has it, or NULL with the error set. */
GBytes *rom_load(const struct rom *rom, GError **error);
/* A BIOS image that the user names: whole pages, at most 16 MiB. */
GBytes *rom_load_file(const char *path, GError **error);

#endif
