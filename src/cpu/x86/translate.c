/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paging as in SDM volume 3, chapter 4, without its checks. */
#include "cpu/x86/translate.h"

#define PTE_P	 (1ull << 0)
#define PTE_PS	 (1ull << 7)
#define PTE_ADDR 0x000ffffffffff000ull

/* A 4 MiB page's address: bits 31..22, and 39..32 in the entry's bits 20..13 (PSE-36). */
#define PDE4M_ADDR	 0xffc00000ull
#define PDE4M_HIGH_SHIFT 19
#define PDE4M_HIGH	 (0xffull << 32)

struct levels {
	unsigned n, entry_size, index_bits;
	bool has_large; /* PS counts */
};

static bool load_entry(const struct mem *mem, uint64_t gpa, unsigned size, uint64_t *entry)
{
	*entry = 0;
	return mem_read(mem, gpa, entry, size) && (*entry & PTE_P);
}

static bool walk(const struct mem *mem, const struct levels *levels, uint64_t table,
		 uint64_t address, uint64_t *gpa)
{
	for (unsigned level = levels->n; level--;) {
		unsigned shift = 12 + levels->index_bits * level;
		uint64_t index = address >> shift & ((1u << levels->index_bits) - 1);
		uint64_t mask = (1ull << shift) - 1, entry;

		if (!load_entry(mem, table + index * levels->entry_size, levels->entry_size,
				&entry))
			return false;
		table = entry & PTE_ADDR;
		/* PML4 entries have no PS. */
		if (!level || (level < 3 && levels->has_large && (entry & PTE_PS))) {
			if (level && levels->entry_size == 4)
				table = (entry & PDE4M_ADDR) |
					(entry << PDE4M_HIGH_SHIFT & PDE4M_HIGH);
			*gpa = (table & ~mask) | (address & mask);
			return true;
		}
	}
	return false;
}

bool x86_translate(const struct x86_state *state, const struct mem *mem, uint64_t address,
		   uint64_t *gpa)
{
	static const struct levels four_level = {4, 8, 9, true}, pae = {2, 8, 9, true};
	struct levels two_level = {2, 4, 10, state->cr4 & CR4_PSE};
	uint64_t pdpte;

	if (!(state->efer & EFER_LMA))
		address = (uint32_t)address;
	if (!(state->cr0 & CR0_PG)) {
		*gpa = address;
		return true;
	}
	if (state->efer & EFER_LMA)
		return (uint64_t)((int64_t)(address << 16) >> 16) == address &&
		       walk(mem, &four_level, state->cr3 & PTE_ADDR, address, gpa);
	if (!(state->cr4 & CR4_PAE))
		return walk(mem, &two_level, state->cr3 & 0xfffff000, address, gpa);
	return load_entry(mem, (state->cr3 & 0xffffffe0) + (address >> 30) * 8, 8, &pdpte) &&
	       walk(mem, &pae, pdpte & PTE_ADDR, address, gpa);
}
