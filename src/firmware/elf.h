/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads an x86 ELF executable of 32 or 64 bits, such as a Linux vmlinux, into guest RAM at its
 * segments' physical addresses (System V ABI, chapters 4 and 5). The file is hostile:
 * every offset is checked by elf_parse() before elf_load() touches the guest.
 */
#ifndef VIV_FIRMWARE_ELF_H
#define VIV_FIRMWARE_ELF_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/mem.h"

#define ELF_MAX_SEGMENTS 64

struct elf_segment {
	const uint8_t *data; /* in the parsed file */
	uint64_t file_size;
	uint64_t gpa;
	uint64_t mem_size; /* at least file_size; the rest is zeroed */
};

struct elf_image {
	bool is_64;	     /* its code starts in 64-bit mode, else in 32-bit protected mode */
	uint64_t entry;	     /* physical, within a segment */
	uint64_t start, end; /* what the segments span in guest-physical memory */
	unsigned n_segments;
	struct elf_segment segments[ELF_MAX_SEGMENTS]; /* disjoint, below 2^52 */
};

/* The image points into `data`, and is undefined on failure. The message is for the caller to
 * prefix with the file's name. */
bool elf_parse(const uint8_t *data, size_t len, struct elf_image *image, GError **error);

/* Whether every segment is RAM. */
bool elf_fits(const struct elf_image *image, const struct mem *mem);

/* Copies the segments of an image that fits. */
void elf_load(const struct elf_image *image, struct mem *mem);

#endif
