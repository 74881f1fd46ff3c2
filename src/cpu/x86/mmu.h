/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as instructions see it: effective addresses, the software TLB in front of
 * the page walk, and what lies behind it (MMIO, code pages, page crossings).
 * Only struct cpu's own thread. Functions that take an insn leave by cpu_fault().
 */
#ifndef VIV_CPU_X86_MMU_H
#define VIV_CPU_X86_MMU_H

#include "cpu/x86/cpu.h"

/* Segmentation outside 64-bit mode: #SS(0) or #GP(0) where `size` bytes at `offset` are not the
 * segment's, or may not be written, or it may not be read. */
void mmu_check_segment(struct cpu *cpu, const struct insn *insn, enum x86_seg seg, uint64_t offset,
		       unsigned size, bool write);

/* Linear address of `size` bytes in a segment. */
static inline uint64_t mmu_linear(struct cpu *cpu, const struct insn *insn, enum x86_seg seg,
				  uint64_t offset, unsigned size, bool write)
{
	if (G_UNLIKELY(cpu->seg_checked >> seg & 1))
		mmu_check_segment(cpu, insn, seg, offset, size, write);
	offset += cpu->seg_base[seg];
	return cpu->mode_key & MODE_64 ? offset : (uint32_t)offset;
}

/* The address as it leaves the processor (A20M#). What translations and page tables give has been through it. */
static inline uint64_t mmu_bus_address(const struct cpu *cpu, uint64_t gpa)
{
	return gpa & atomic_load_explicit(&cpu->env.mem->a20_mask, memory_order_relaxed);
}

/* Host address of memory at `gpa` as the processor sees it, or NULL; valid up to the end of gpa's page. */
static inline uint8_t *mmu_hva(const struct cpu *cpu, uint64_t gpa)
{
	return G_UNLIKELY(cpu->state.smm) ? mem_hva_smm(cpu->env.mem, gpa)
					  : mem_hva(cpu->env.mem, gpa);
}

/* The same of memory that can be written. */
static inline uint8_t *mmu_hva_write(const struct cpu *cpu, uint64_t gpa)
{
	return mem_answers(cpu->env.mem, gpa, MEM_WRITE) ? mmu_hva(cpu, gpa) : NULL;
}

uint64_t mmu_ea_slow(struct cpu *cpu, const struct insn *insn, int64_t displacement);

/* Linear address of the memory operand, `displacement` bytes further on. */
static inline uint64_t insn_ea_at(struct cpu *cpu, const struct insn *insn, int64_t displacement)
{
	if (G_UNLIKELY(insn->flags & INSN_EA_SLOW))
		return mmu_ea_slow(cpu, insn, displacement);
	return REG(uint64_t, insn->base) + (REG(uint64_t, insn->index) << insn->scale) + insn->disp +
	       cpu->seg_base[insn->seg] + displacement;
}
static inline uint64_t insn_ea(struct cpu *cpu, const struct insn *insn)
{
	return insn_ea_at(cpu, insn, 0);
}

static inline struct tlb_entry *tlb_slot(struct tlb_entry *table, uint64_t address)
{
	return &table[address / 4096 % TLB_SIZE];
}

/* Slow paths; `size` at most 64. They bounce page crossings and MMIO. */
void mmu_read_slow(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		   unsigned size);
void mmu_write_slow(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
		    unsigned size);

/* Host pointer to `size` readable bytes, or NULL where they cannot be pointed at. No fault. */
static inline void *tlb_read(struct cpu *cpu, uint64_t address, unsigned size)
{
	const struct tlb_entry *e = tlb_slot(cpu->tlb->read, address);

	return G_LIKELY((e->tag ^ address) <= 4096 - size) ? (void *)(address + e->delta) : NULL;
}
static inline void *tlb_write(struct cpu *cpu, uint64_t address, unsigned size)
{
	const struct tlb_entry *e = tlb_slot(cpu->tlb->write, address);

	return G_LIKELY((e->tag ^ address) <= 4096 - size) ? (void *)(address + e->delta) : NULL;
}

/* As tlb_read() or tlb_write() after a walk of the page tables. NULL: the access faults, crosses
 * pages, is to a device or to decoded code, or is watched. */
uint8_t *mmu_point(struct cpu *cpu, uint64_t address, unsigned size, bool write);

/* Other processors access the same RAM: each access is one of the host's, whole and once. */
#define MEM_ACCESSORS(bits)                                                                        \
	static inline uint##bits##_t mem_load##bits(struct cpu *cpu, const struct insn *insn,      \
						    uint64_t address)                              \
	{                                                                                          \
		uint##bits##_t v, *p = tlb_read(cpu, address, bits / 8);                           \
		if (G_LIKELY(p != NULL))                                                           \
			return __atomic_load_n(p, __ATOMIC_RELAXED);                               \
		mmu_read_slow(cpu, insn, address, &v, bits / 8);                                   \
		return v;                                                                          \
	}                                                                                          \
	static inline void mem_store##bits(struct cpu *cpu, const struct insn *insn,               \
					   uint64_t address, uint##bits##_t v)                     \
	{                                                                                          \
		uint##bits##_t *p = tlb_write(cpu, address, bits / 8);                             \
		if (G_LIKELY(p != NULL))                                                           \
			__atomic_store_n(p, v, __ATOMIC_RELAXED);                                  \
		else                                                                               \
			mmu_write_slow(cpu, insn, address, &v, bits / 8);                          \
	}
MEM_ACCESSORS(8)
MEM_ACCESSORS(16)
MEM_ACCESSORS(32)
MEM_ACCESSORS(64)
#undef MEM_ACCESSORS

/*
 * Read-modify-write: a pointer to change in place (with a locked instruction where the guest's
 * is), then mem_rmw_done(). All faults happen in mem_rmw().
 */
void *mmu_rmw_slow(struct cpu *cpu, const struct insn *insn, uint64_t address, unsigned size);
void mmu_rmw_commit(struct cpu *cpu, const struct insn *insn, unsigned size);

static inline void *mem_rmw(struct cpu *cpu, const struct insn *insn, uint64_t address,
			    unsigned size)
{
	void *p = tlb_write(cpu, address, size);

	return G_LIKELY(p != NULL) ? p : mmu_rmw_slow(cpu, insn, address, size);
}
static inline void mem_rmw_done(struct cpu *cpu, const struct insn *insn, void *p, unsigned size)
{
	if (G_UNLIKELY(p == cpu->rmw_pending))
		mmu_rmw_commit(cpu, insn, size);
}

/* Any size up to 4096: for operands like FXSAVE's image; all or nothing. */
void mem_read_bytes(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		    unsigned size);
void mem_write_bytes(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
		     unsigned size);
/* Faults as a read or write of these bytes would; transfers nothing. */
void mmu_probe(struct cpu *cpu, const struct insn *insn, uint64_t address, unsigned size,
	       bool write);

/* As the processor itself, whatever CPL is: descriptor tables, TSS, interrupt frames' tables. */
void mmu_sys_read(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		  unsigned size);
void mmu_sys_write(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
		   unsigned size);

/* RAM or device memory by its physical address; any size. */
void mmu_physical_read(struct cpu *cpu, uint64_t gpa, void *buf, unsigned size);
void mmu_physical_write(struct cpu *cpu, uint64_t gpa, const void *buf, unsigned size);

/* Guest-physical address of the instruction page at `address`; faults as a fetch. */
uint64_t mmu_fetch(struct cpu *cpu, const struct insn *insn, uint64_t address, bool *global);

/* The same without a fault; false: there is no page of RAM that may be fetched from. */
bool mmu_peek_code(struct cpu *cpu, uint64_t address, uint64_t *gpa, bool *global);

void mmu_flush(struct cpu *cpu);
/* All but global pages, as by a load of CR3. */
void mmu_flush_local(struct cpu *cpu);
/* One slot of a class's write TLB. */
void mmu_forget_write(struct cpu *cpu, enum tlb_class class, unsigned slot);
void mmu_flush_page(struct cpu *cpu, uint64_t address);
/* Takes a page out of the write TLBs: it holds code now. */
void mmu_protect_page(struct cpu *cpu, uint64_t gpa);

#endif
