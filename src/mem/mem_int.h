/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mem.c and bank.c share. */
#ifndef VIV_MEM_MEM_INT_H
#define VIV_MEM_MEM_INT_H

#include "mem/mem.h"

#define ACCESS_BYTES (MEM_HOLE_END / MEM_PAGE_SIZE)

/* Puts `len` bytes of the memfd at `gpa` inside the reservation. */
bool mem_map_file(struct mem *mem, uint64_t gpa, uint64_t len, uint64_t file_offset);
/* Where in the memfd the page shown at gpa is. */
uint64_t mem_file_offset(const struct mem *mem, uint64_t gpa);
/* Tells the listeners that what is memory has changed. */
void mem_remapped(struct mem *mem);
/* Has them set the dirty bits of what was written so far. */
void mem_gather(struct mem *mem);
/* Tells them that dirty bits were cleared, and waits. */
void mem_cleaned(struct mem *mem);

void mem_banks_init(struct mem *mem);
/* Accepts what a failed mem_new() left. */
void mem_banks_fini(struct mem *mem);

#endif
