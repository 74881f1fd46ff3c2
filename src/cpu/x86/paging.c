/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/paging.h"

#include "cpu/jit/lockstep.h"
#include "cpu/x86/mmu.h"

#define PTE_P	 (1ull << 0)
#define PTE_RW	 (1ull << 1)
#define PTE_US	 (1ull << 2)
#define PTE_A	 (1ull << 5)
#define PTE_D	 (1ull << 6)
#define PTE_PS	 (1ull << 7)
#define PTE_G	 (1ull << 8)
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

#define PHYS_MASK ((1ull << CPU_PHYS_BITS) - 1)

/* A 4 MiB page's address: bits 31..22, and 39..32 in the entry's bits 20..13 (PSE-36). */
#define PDE4M_ADDR_LOW	 0xffc00000ull
#define PDE4M_HIGH_SHIFT 19
#define PDE4M_ADDR_HIGH	 (0xffull << 32)
#define PDE4M_HIGH_BITS	 (0xffull << 13)
#define PDE4M_RSVD	 (1ull << 21)

#define PDPTE_RSVD (~PHYS_MASK | 0x1e6)

#define MAX_LEVELS 4

struct paging_mode {
	uint8_t levels;
	uint8_t entry_size;
	uint8_t index_bits; /* of the address, a level */
	uint64_t reserved;  /* in every entry, physical-address bits beyond what CPUID offers among
			       them */
};

/* PAE's first level is the PDPTE registers, which are not walked. */
static const struct paging_mode mode_32bit = {2, 4, 10, 0};
static const struct paging_mode mode_pae = {2, 8, 9, ~PHYS_MASK & ~PTE_NX};
static const struct paging_mode mode_4level = {4, 8, 9, ~PHYS_MASK &PTE_ADDR};

bool paging_allows(const struct cpu *cpu, struct accessor who, enum access access, uint8_t rights)
{
	bool wp = who.user || (cpu->state.cr0 & CR0_WP);

	if (access == ACCESS_FETCH && (rights & PAGING_NO_FETCH))
		return false;
	if (access == ACCESS_WRITE && wp && !(rights & PAGING_WRITE))
		return false;
	if (who.user)
		return rights & PAGING_USER;
	if (!(rights & PAGING_USER))
		return true;
	return access == ACCESS_FETCH ? !(cpu->state.cr4 & CR4_SMEP) : !who.smap;
}

/* Tables outside of RAM read as entries with a reserved bit. */
static uint64_t load_entry(const void *entry, const struct paging_mode *mode)
{
	if (!entry)
		return PTE_P | mode_4level.reserved;
	return mode->entry_size == 8 ? atomic_load((const _Atomic uint64_t *)entry)
				     : atomic_load((const _Atomic uint32_t *)entry);
}

/*
 * Sets A, and D where asked, as the processor does: locked, and only where clear. False: another
 * processor has changed the entry since it was read; one it has cleared must stay clear.
 */
static bool mark_entry(struct cpu *cpu, const struct paging_mode *mode, void *entry, uint64_t gpa,
		       uint64_t value, uint64_t bits)
{
	uint32_t value32 = value;

	if ((value & bits) == bits)
		return true;
	/* Tables in a ROM stay as they are. */
	if (G_UNLIKELY(!mem_answers(cpu->env.mem, gpa, MEM_WRITE)))
		return true;
	if (G_UNLIKELY(cpu->lockstep))
		lockstep_mark(cpu, gpa, bits);
	if (mode->entry_size == 8
		    ? !atomic_compare_exchange_strong((_Atomic uint64_t *)entry, &value,
						      value | bits)
		    : !atomic_compare_exchange_strong((_Atomic uint32_t *)entry, &value32,
						      value32 | (uint32_t)bits))
		return false;
	mem_written(cpu->env.mem, gpa, mode->entry_size);
	return true;
}

/* Bits that must be clear in an entry, `large` where it maps a page above the last level. */
static uint64_t reserved_bits(const struct cpu *cpu, const struct paging_mode *mode, int level,
			      bool large, uint64_t page_mask)
{
	uint64_t rsvd = mode->reserved;

	if (mode->entry_size == 4)
		return !large			  ? 0
		       : cpu->model->has[F_PSE36] ? PDE4M_RSVD
						  : PDE4M_RSVD | PDE4M_HIGH_BITS;
	if (!(cpu->state.efer & EFER_NXE))
		rsvd |= PTE_NX;
	if (level == 3 || (level == 2 && !cpu->model->has[F_PDPE1GB]))
		rsvd |= PTE_PS;
	return large ? rsvd | (page_mask & ~0x1fffull) : rsvd;
}

static uint64_t leaf_address(const struct paging_mode *mode, uint64_t entry, bool large,
			     uint64_t page_mask)
{
	if (mode->entry_size == 4 && large)
		return (entry & PDE4M_ADDR_LOW) | (entry << PDE4M_HIGH_SHIFT & PDE4M_ADDR_HIGH);
	return entry & PTE_ADDR & ~page_mask;
}

static uint8_t rights_of(const struct cpu *cpu, uint64_t allowed, uint64_t leaf, enum access access)
{
	return (allowed & PTE_RW ? PAGING_WRITE : 0) | (allowed & PTE_US ? PAGING_USER : 0) |
	       (allowed & PTE_NX ? PAGING_NO_FETCH : 0) |
	       (access == ACCESS_WRITE || (leaf & PTE_D) ? PAGING_DIRTY : 0) |
	       ((leaf & PTE_G) && (cpu->state.cr4 & CR4_PGE) ? PAGING_GLOBAL : 0);
}

/*
 * Walks the tables from `table` on. `allowed` gathers the rights of all levels: RW and US must be
 * set in each, NX in none. Inlined for each mode, whose numbers are constants then.
 */
static inline __attribute__((always_inline)) bool
walk_tables(struct cpu *cpu, const struct paging_mode *mode, uint64_t root, uint64_t address,
	    enum access access, struct accessor who, struct walk *result)
{
	const uint32_t code = result->error;
	uint64_t table, allowed, page_mask, gpas[MAX_LEVELS], values[MAX_LEVELS];
	void *entries[MAX_LEVELS];
	bool large;
	int level;

again:
	table = root;
	allowed = PTE_RW | PTE_US;
	for (level = mode->levels - 1;; level--) {
		unsigned shift = 12 + mode->index_bits * level;
		uint64_t e;

		gpas[level] = mmu_bus_address(
			cpu, table + (address >> shift & ((1u << mode->index_bits) - 1)) *
					     mode->entry_size);
		entries[level] = mmu_hva(cpu, gpas[level]);
		e = values[level] = load_entry(entries[level], mode);
		result->error = code;
		if (!(e & PTE_P))
			return false;
		page_mask = (1ull << shift) - 1;
		large = level && (e & PTE_PS) &&
			(mode->entry_size == 8 || (cpu->state.cr4 & CR4_PSE));
		result->error = code | PF_P | PF_RSVD;
		if (!entries[level] || (e & reserved_bits(cpu, mode, level, large, page_mask)))
			return false;
		allowed = (allowed & e & (PTE_RW | PTE_US)) | ((allowed | e) & PTE_NX);
		if (!level || large)
			break;
		table = e & PTE_ADDR;
	}
	result->error = code | PF_P;
	result->rights = rights_of(cpu, allowed, values[level], access);
	if (!paging_allows(cpu, who, access, result->rights))
		return false;
	for (int i = mode->levels - 1; i >= level; i--) {
		uint64_t bits = i == level && access == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A;

		if (G_UNLIKELY(who.peeks) && !(values[i] & PTE_A))
			return false;
		if (!mark_entry(cpu, mode, entries[i], gpas[i], values[i], bits))
			goto again;
	}
	result->page_bits = 12 + mode->index_bits * level;
	result->gpa = leaf_address(mode, values[level], large, page_mask) | (address & page_mask);
	result->writable = (result->rights & PAGING_DIRTY) &&
			   paging_allows(cpu, who, ACCESS_WRITE, result->rights);
	return true;
}

bool paging_walk(struct cpu *cpu, uint64_t address, enum access access, struct accessor who,
		 struct walk *result)
{
	const struct x86_state *s = &cpu->state;
	bool has_nx = (s->efer & EFER_NXE) && (s->cr4 & CR4_PAE);
	uint64_t pdpte;

	result->error = (access == ACCESS_WRITE ? PF_W : 0) | (who.user ? PF_U : 0);
	if (access == ACCESS_FETCH && (has_nx || (s->cr4 & CR4_SMEP)))
		result->error |= PF_I;
	if (G_LIKELY(s->efer & EFER_LMA))
		return walk_tables(cpu, &mode_4level, s->cr3 & PTE_ADDR, address, access, who,
				   result);
	if (!(s->cr4 & CR4_PAE))
		return walk_tables(cpu, &mode_32bit, s->cr3 & 0xfffff000, address, access, who,
				   result);
	pdpte = cpu->pdpte[address >> 30 & 3];
	return (pdpte & PTE_P) &&
	       walk_tables(cpu, &mode_pae, pdpte & PTE_ADDR, address, access, who, result);
}

bool paging_load_pdptes(struct cpu *cpu, uint64_t cr3)
{
	uint64_t pdpte[4];

	mmu_physical_read(cpu, cr3 & 0xffffffe0, pdpte, sizeof(pdpte));
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & PTE_P) && (pdpte[i] & PDPTE_RSVD))
			return false;
	memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
	return true;
}
