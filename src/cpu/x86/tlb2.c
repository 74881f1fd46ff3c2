/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/tlb2.h"

#include <string.h>

static unsigned pcid_of(const struct cpu *cpu)
{
	return cpu->state.cr4 & CR4_PCIDE ? cpu->state.cr3 & 0xfff : 0;
}

static unsigned set_of(uint64_t address)
{
	return (address >> 12 ^ address >> 22) % TLB2_SETS;
}

static uint32_t new_generation(struct tlb2 *tlb)
{
	if (!++tlb->last_generation) {
		memset(tlb, 0, sizeof(*tlb));
		tlb->last_generation = 1;
	}
	return tlb->last_generation;
}

static bool is_valid(const struct cpu *cpu, const struct tlb2_entry *e)
{
	const struct tlb2 *tlb = cpu->tlb2;

	return e->generation && e->generation == (e->rights & PAGING_GLOBAL
							  ? tlb->global_generation
							  : tlb->generation[pcid_of(cpu)]);
}

static struct tlb2_entry *find(const struct cpu *cpu, uint64_t address)
{
	struct tlb2_entry *set = cpu->tlb2->sets[set_of(address)];
	uint64_t page = address & ~4095ull;

	for (unsigned i = 0; i < TLB2_WAYS; i++)
		if (set[i].page == page && is_valid(cpu, &set[i]))
			return &set[i];
	return NULL;
}

static uint32_t *generation_of(const struct cpu *cpu, uint8_t rights)
{
	return rights & PAGING_GLOBAL ? &cpu->tlb2->global_generation
				      : &cpu->tlb2->generation[pcid_of(cpu)];
}

static void enter(struct cpu *cpu, uint64_t address, const struct walk *w)
{
	struct tlb2 *tlb = cpu->tlb2;
	unsigned set = set_of(address);
	struct tlb2_entry *e = find(cpu, address);
	uint32_t *generation = generation_of(cpu, w->rights);

	if (!*generation)
		*generation = new_generation(tlb);
	if (!e)
		e = &tlb->sets[set][tlb->next[set]++ % TLB2_WAYS];
	*e = (struct tlb2_entry){.page = address & ~4095ull,
				 .gpa = w->gpa & ~4095ull,
				 .generation = *generation,
				 .page_bits = w->page_bits,
				 .rights = w->rights};
}

bool tlb2_walk(struct cpu *cpu, uint64_t address, enum access access, struct accessor who,
	       struct walk *result)
{
	const struct tlb2_entry *e = find(cpu, address);

	/* What is not allowed is looked at again: the tables may allow more by now. */
	if (e && paging_allows(cpu, who, access, e->rights) &&
	    (access != ACCESS_WRITE || (e->rights & PAGING_DIRTY))) {
		result->gpa = e->gpa | address % 4096;
		result->page_bits = e->page_bits;
		result->rights = e->rights;
		result->writable = (e->rights & PAGING_DIRTY) &&
				   paging_allows(cpu, who, ACCESS_WRITE, e->rights);
		return true;
	}
	if (!paging_walk(cpu, address, access, who, result))
		return false;
	enter(cpu, address, result);
	return true;
}

void tlb2_flush(struct tlb2 *tlb)
{
	tlb->global_generation = 0;
	tlb2_flush_local(tlb);
}

void tlb2_flush_pcid(struct tlb2 *tlb, unsigned pcid)
{
	tlb->generation[pcid] = 0;
}

void tlb2_flush_local(struct tlb2 *tlb)
{
	memset(tlb->generation, 0, sizeof(tlb->generation));
}

void tlb2_flush_page(struct cpu *cpu, uint64_t address)
{
	struct tlb2_entry *set = cpu->tlb2->sets[set_of(address)];
	uint64_t page = address & ~4095ull;

	for (unsigned i = 0; i < TLB2_WAYS; i++)
		if (set[i].page == page && is_valid(cpu, &set[i]))
			set[i].generation = 0;
}
