/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PC says of itself by SMBIOS (DMTF DSP0134, 2.8.0): maker, processors, memory. Firmware gets the tables as files
 * for fw_cfg, puts them into RAM and adds the structure that tells of the firmware.
 */
#ifndef VIV_FIRMWARE_SMBIOS_H
#define VIV_FIRMWARE_SMBIOS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"
#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"

/* Strings are not empty. */
struct smbios_config {
	const char *product;
	uint8_t uuid[16]; /* in the order in which it is written; all zero: none */
	unsigned n_cpus;
	const char *cpu_vendor, *cpu_name;
	uint32_t cpu_signature, cpu_features; /* CPUID leaf 1, EAX and EDX */
	bool cpu_has_64_bits;
	uint64_t low_size, high_size;	      /* bytes of RAM from 0 and from 4 GiB */
};

struct smbios_files {
	GBytes *anchor, *tables;
};
void smbios_build_files(const struct smbios_config *config, struct smbios_files *files);

#endif
