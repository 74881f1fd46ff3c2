/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boots Linux without firmware: the kernel is unpacked on the host, its segments are
 * put where they are linked to run, and it is entered at its 64-bit entry point in
 * the state the x86 boot protocol asks for (boot.rst, "64-bit Boot Protocol").
 *
 * Guest memory is untouched unless everything was found good. Call it while no vCPU
 * runs, at start and after every reset.
 */
#ifndef VIV_FIRMWARE_LINUX_BOOT_H
#define VIV_FIRMWARE_LINUX_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/mem.h"

/* The flat segments in the GDT; the selectors are the protocol's. */
#define LINUX_BOOT_CS 0x10
#define LINUX_BOOT_DS 0x18

struct linux_boot_config {
	const char *kernel_path;
	const char *initrd_path; /* or NULL */
	const char *cmdline;
	const char *cache; /* the folder of unpacked kernels (kernel_cache.h), or NULL */
	uint64_t rsdp_gpa; /* 0: no ACPI */
};

/*
 * What the first processor starts with: CS = LINUX_BOOT_CS, the other segments LINUX_BOOT_DS,
 * interrupts off; for a 64-bit kernel long mode (CR0.PE, CR0.PG, CR4.PAE, EFER.LME and LMA), for a
 * 32-bit one protected mode without paging.
 */
struct linux_boot_entry {
	bool is_64;
	uint64_t rip;
	uint64_t rsi; /* boot_params */
	uint64_t rsp;
	uint64_t cr3; /* identity map of the first 4 GiB; for long mode */
	uint64_t gdt_base;
	uint16_t gdt_limit;
};

bool linux_boot_load(struct mem *mem, const struct linux_boot_config *config,
		     struct linux_boot_entry *entry, GError **error);

/* A file's content; `name` is for messages. */
struct linux_boot_file {
	const char *name;
	const uint8_t *data;
	size_t len;
	const char *cache; /* of a kernel, as above */
};

/* The same with the files in memory; `initrd` may be NULL. */
bool linux_boot_load_bytes(struct mem *mem, const struct linux_boot_file *kernel,
			   const struct linux_boot_file *initrd, const char *cmdline,
			   uint64_t rsdp_gpa, struct linux_boot_entry *entry, GError **error);

#endif
