/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What page walks found, kept behind the TLBs that accesses look into: those are emptied whenever CR3
 * changes, this one knows process-context identifiers and global pages (SDM volume 3, 4.10).
 * One a vCPU; its thread only.
 */
#ifndef VIV_CPU_X86_TLB2_H
#define VIV_CPU_X86_TLB2_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/paging.h"

#define TLB2_SETS  1024
#define TLB2_WAYS  2
#define TLB2_PCIDS 4096

struct tlb2 {
	struct tlb2_entry {
		uint64_t page; /* linear */
		uint64_t gpa;  /* of the page */
		uint32_t generation; /* of its PCID, or of the global ones; 0: empty */
		uint8_t page_bits;
		uint8_t rights; /* PAGING_* */
	} sets[TLB2_SETS][TLB2_WAYS];
	uint8_t next[TLB2_SETS];
	uint32_t generation[TLB2_PCIDS], global_generation, last_generation;
};

/* As paging_walk(). */
bool tlb2_walk(struct cpu *cpu, uint64_t address, enum access access, struct accessor who,
	       struct walk *result);

/* Forgets: everything, what is not global of one PCID or of all, one page of the present PCID. */
void tlb2_flush(struct tlb2 *tlb);
void tlb2_flush_pcid(struct tlb2 *tlb, unsigned pcid);
void tlb2_flush_local(struct tlb2 *tlb);
void tlb2_flush_page(struct cpu *cpu, uint64_t address);

#endif
