/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page tables (SDM volume 3, chapter 4): 32-bit paging with 4 MiB pages, PAE, 4-level. Only the
 * vCPU's own thread. mmu.h keeps what the walk found.
 */
#ifndef VIV_CPU_X86_PAGING_H
#define VIV_CPU_X86_PAGING_H

#include "cpu/x86/cpu.h"

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

/* Who accesses: what the permission checks depend on. */
struct accessor {
	bool user;
	bool smap;  /* supervisor accesses to user pages fault */
	bool peeks; /* sets no bit: the walk fails where one would have to be set */
};

struct walk {
	uint64_t gpa;
	unsigned page_bits; /* of the address, that lie in the page */
	bool writable;	    /* a write of the same kind would be let through, and D is set */
	uint8_t rights;	    /* of all levels together: PAGING_* */
	uint32_t error;	    /* #PF error code where the walk failed */
};

enum {
	PAGING_WRITE = 1 << 0,
	PAGING_USER = 1 << 1,
	PAGING_NO_FETCH = 1 << 2,
	PAGING_DIRTY = 1 << 3,	/* D is set */
	PAGING_GLOBAL = 1 << 4, /* G is set and CR4.PGE lets it count */
};

/* Whether the rights let an access through. */
bool paging_allows(const struct cpu *cpu, struct accessor who, enum access access, uint8_t rights);

/* Translates `address`, setting A and D; false: page fault. Paging must be on. */
bool paging_walk(struct cpu *cpu, uint64_t address, enum access access, struct accessor who,
		 struct walk *result);

/* Whether these register values make the processor keep the four PDPTEs in registers. */
static inline bool paging_is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}
/* Loads the PDPTE registers from the table CR3 names (SDM 4.4.1). False: a reserved bit is set in a
 * present one, and nothing was loaded. */
bool paging_load_pdptes(struct cpu *cpu, uint64_t cr3);

#endif
