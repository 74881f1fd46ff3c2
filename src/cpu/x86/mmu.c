/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memory accesses do when the software TLB does not answer.
 */
#include "cpu/x86/mmu.h"

#include "cpu/jit/jit.h"
#include "cpu/jit/lockstep.h"
#include "cpu/x86/code.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/debugger.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/paging.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/tlb2.h"

#define PAGE_ADDRESS 0x000ffffffffff000ull

static struct accessor accessor_of(const struct cpu *cpu, enum tlb_class class)
{
	return (struct accessor){.user = class >= TLB_USER,
				 .smap = class == TLB_SUPERVISOR && (cpu->state.cr4 & CR4_SMAP)};
}

static enum tlb_class current_class(const struct cpu *cpu)
{
	return cpu->tlb - cpu->tlbs;
}

static void G_GNUC_NORETURN page_fault(struct cpu *cpu, const struct insn *insn, uint64_t address,
				       uint32_t error)
{
	cpu->state.cr2 = address;
	cpu_fault_code(cpu, insn, EXC_PF, error);
}

/* Accesses by rSP or rBP, and pushes and pops, report #SS where others report #GP. */
static bool is_stack_access(const struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	if (!insn)
		return false;
	/* Of PUSH, POP and CALL with a memory operand it is the one of two accesses that is at rSP. */
	if ((insn->flags & INSN_MEM) && (insn_row_get(insn->row)->flags & (IF_D64 | IF_F64)) &&
	    address - (cpu->gpr[X86_RSP] - 8) < 16)
		return true;
	if (!(insn->flags & INSN_MEM))
		return insn->base == INSN_ZERO && insn->seg != X86_FS && insn->seg != X86_GS &&
		       insn_row_get(insn->row)->flags & (IF_D64 | IF_F64 | IF_STACK);
	return (insn->base == R_RSP || insn->base == R_RBP) && insn->seg == INSN_SEG_NONE;
}

/* The sizes that pages beyond 4 KiB have: 2 MiB, 4 MiB (32-bit paging), 1 GiB. */
static const uint8_t large_page_bits[N_LARGE_SIZES] = {21, 22, 30};

static unsigned large_page_hash(uint64_t address, unsigned page_bits)
{
	uint64_t n = address >> page_bits;

	return (n ^ n >> 10) % LARGE_HASHES;
}

static void note_large_page(struct cpu *cpu, uint64_t address, unsigned page_bits)
{
	unsigned hash = large_page_hash(address, page_bits);

	for (unsigned i = 0; i < N_LARGE_SIZES; i++)
		if (large_page_bits[i] == page_bits)
			cpu->large_pages[i][hash / 64] |= 1ull << hash % 64;
}

static bool may_be_large_page(const struct cpu *cpu, uint64_t address)
{
	for (unsigned i = 0; i < N_LARGE_SIZES; i++) {
		unsigned hash = large_page_hash(address, large_page_bits[i]);

		if (cpu->large_pages[i][hash / 64] >> hash % 64 & 1)
			return true;
	}
	return false;
}

static void note_global(uint64_t *map, uint64_t address, uint8_t rights)
{
	unsigned i = address / 4096 % TLB_SIZE;
	uint64_t bit = 1ull << i % 64;

	map[i / 64] = rights & PAGING_GLOBAL ? map[i / 64] | bit : map[i / 64] & ~bit;
}

/* Enters a page that was walked to into the TLB. */
static void fill(struct cpu *cpu, uint64_t address, const struct walk *w, uint8_t *host,
		 enum access access, enum tlb_class class)
{
	uint64_t page = address & ~4095ull;
	struct tlb_entry entry = {page, (uint64_t)host - page};
	bool writable = w->writable && mem_answers(cpu->env.mem, w->gpa, MEM_WRITE);

	cpu->tlb_filled[class] = true;
	*tlb_slot(cpu->tlbs[class].read, address) = entry;
	note_global(cpu->tlbs[class].global[0], address, w->rights);
	if (access == ACCESS_WRITE && writable)
		mem_set_dirty(cpu->env.mem, w->gpa);
	else if (writable)
		writable = mem_is_dirty(cpu->env.mem, w->gpa);
	if (writable && !mem_code_lines(cpu->env.mem, w->gpa)) {
		if (G_UNLIKELY(cpu->lockstep))
			lockstep_fill(cpu, class, address / 4096 % TLB_SIZE, w->gpa);
		*tlb_slot(cpu->tlbs[class].write, address) = entry;
		note_global(cpu->tlbs[class].global[1], address, w->rights);
	}
}

static bool is_watched(const struct cpu *cpu, uint64_t address)
{
	if (G_UNLIKELY(debug_enabled(cpu)) && debug_watches_page(cpu, address))
		return true;
	return G_UNLIKELY(cpu->debugger.n_watches) && debugger_watches_page(cpu, address);
}

/* Translates one address, or faults. The page is entered into the TLB where it is RAM. */
static uint64_t translate_page(struct cpu *cpu, const struct insn *insn, uint64_t address,
			       enum access access, enum tlb_class class, bool *global)
{
	struct walk w = {.writable = true};
	uint8_t *host;

	if (!(cpu->state.efer & EFER_LMA))
		address = (uint32_t)address;
	w.gpa = address;
	cpu->stats.tlb_misses++;
	if (cpu->state.cr0 & CR0_PG) {
		if (G_UNLIKELY(!is_canonical(address)))
			cpu_fault_code(cpu, insn, is_stack_access(cpu, insn, address) ? EXC_SS : EXC_GP, 0);
		if (!tlb2_walk(cpu, address, access, accessor_of(cpu, class), &w))
			page_fault(cpu, insn, address, w.error);
		if (w.page_bits > 12)
			note_large_page(cpu, address, w.page_bits);
	}
	w.gpa = mmu_bus_address(cpu, w.gpa);
	host = mmu_hva(cpu, w.gpa & ~4095ull);
	if (host && access != ACCESS_FETCH && class != TLB_USER_AC && !is_watched(cpu, address))
		fill(cpu, address, &w, host, access, class);
	*global = w.rights & PAGING_GLOBAL;
	return w.gpa;
}

static uint64_t translate(struct cpu *cpu, const struct insn *insn, uint64_t address,
			  enum access access, enum tlb_class class)
{
	bool global;

	return translate_page(cpu, insn, address, access, class, &global);
}

uint8_t *mmu_point(struct cpu *cpu, uint64_t address, unsigned size, bool write)
{
	enum tlb_class class = current_class(cpu);
	enum access access = write ? ACCESS_WRITE : ACCESS_READ;
	struct walk w = {.writable = true};
	uint8_t *host;

	if (address % 4096 > 4096 - size || !is_canonical(address) || is_watched(cpu, address))
		return NULL;
	cpu->stats.tlb_misses++;
	w.gpa = address;
	if ((cpu->state.cr0 & CR0_PG) &&
	    !tlb2_walk(cpu, address, access, accessor_of(cpu, class), &w))
		return NULL;
	if (w.page_bits > 12)
		note_large_page(cpu, address, w.page_bits);
	w.gpa = mmu_bus_address(cpu, w.gpa);
	host = write ? mmu_hva_write(cpu, w.gpa & ~4095ull) : mmu_hva(cpu, w.gpa & ~4095ull);
	if (!host)
		return NULL;
	fill(cpu, address, &w, host, access, class);
	if (write && mem_code_lines(cpu->env.mem, w.gpa)) {
		/* Data beside code. Another vCPU could mark the line before the store is made. */
		if (cpu->env.n_vcpus > 1 ||
		    (mem_code_lines(cpu->env.mem, w.gpa) & mem_line_mask(w.gpa, size)))
			return NULL;
		if (G_UNLIKELY(cpu->lockstep))
			lockstep_write(cpu, w.gpa);
		cpu->jit.code_page[class].page = address & ~4095ull;
		cpu->jit.code_page[class].delta = (uint64_t)host - (address & ~4095ull);
		cpu->jit.code_page[class].lines = &cpu->env.mem->code_lines[w.gpa / 4096];
	}
	return host + address % 4096;
}

uint64_t mmu_fetch(struct cpu *cpu, const struct insn *insn, uint64_t address, bool *global)
{
	return translate_page(cpu, insn, address, ACCESS_FETCH,
			      cpu->mode_key & MODE_USER ? TLB_USER : TLB_SUPERVISOR, global);
}

bool mmu_peek_code(struct cpu *cpu, uint64_t address, uint64_t *gpa, bool *global)
{
	struct accessor who =
		accessor_of(cpu, cpu->mode_key & MODE_USER ? TLB_USER : TLB_SUPERVISOR);
	struct walk w = {.gpa = address};

	who.peeks = true;
	if ((cpu->state.cr0 & CR0_PG) &&
	    (!is_canonical(address) || !tlb2_walk(cpu, address, ACCESS_FETCH, who, &w)))
		return false;
	*gpa = w.gpa = mmu_bus_address(cpu, w.gpa);
	*global = w.rights & PAGING_GLOBAL;
	return mmu_hva(cpu, w.gpa) != NULL;
}

uint64_t mmu_ea_slow(struct cpu *cpu, const struct insn *insn, int64_t displacement)
{
	uint64_t ea = REG(uint64_t, insn->base) + (REG(uint64_t, insn->index) << insn->scale) +
		      insn->disp + displacement;

	if (insn->addrsize != 8)
		ea = insn->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
	return mmu_linear(cpu, insn, insn->seg, ea, insn->mem_size, insn->mem_written);
}

/* Real mode checks limits only. */
static bool may_access(const struct cpu *cpu, const struct x86_segment *s, bool write)
{
	if (!(cpu->state.cr0 & CR0_PE))
		return true;
	if (!(s->attr & SEG_P))
		return false;
	if (s->attr & SEG_TYPE_CODE)
		return !write && (s->attr & SEG_TYPE_RW);
	return !write || (s->attr & SEG_TYPE_RW);
}

void mmu_check_segment(struct cpu *cpu, const struct insn *insn, enum x86_seg seg, uint64_t offset,
		       unsigned size, bool write)
{
	const struct x86_segment *s = &cpu->state.seg[seg];

	/* An operand without a size, as XSAVE's, is checked at its first byte. */
	if (!may_access(cpu, s, write) || !segment_holds(s, offset, MAX(size, 1)))
		cpu_fault_code(cpu, insn, seg == X86_SS ? EXC_SS : EXC_GP, 0);
}

/* The local APIC answers inside its page while it is in xAPIC mode. */
static bool is_lapic(const struct cpu *cpu, uint64_t gpa)
{
	uint64_t base = lapic_base(cpu->lapic);

	return (gpa & ~4095ull) == (base & PAGE_ADDRESS) &&
	       (base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN;
}

/* Device memory takes naturally aligned pieces of at most 8 bytes. */
static unsigned mmio_piece(uint64_t gpa, unsigned size)
{
	unsigned piece = 8;

	while (piece > size || gpa % piece)
		piece /= 2;
	return piece;
}

static void mmio_read(struct cpu *cpu, uint64_t gpa, uint8_t *buf, unsigned size)
{
	while (size) {
		unsigned piece = mmio_piece(gpa, size);
		uint64_t v;

		if (is_lapic(cpu, gpa))
			v = lapic_mmio_read(cpu->lapic, gpa & 0xffc) >> (8 * (gpa & 3));
		else
			v = bus_read(cpu->env.bus, BUS_MMIO, gpa, piece);
		memcpy(buf, &v, piece);
		buf += piece;
		gpa += piece;
		size -= piece;
	}
}

static void mmio_write(struct cpu *cpu, uint64_t gpa, const uint8_t *buf, unsigned size)
{
	while (size) {
		unsigned piece = mmio_piece(gpa, size);
		uint64_t v = 0;

		memcpy(&v, buf, piece);
		if (!is_lapic(cpu, gpa))
			bus_write(cpu->env.bus, BUS_MMIO, gpa, v, piece);
		else if (gpa % 4 == 0)
			lapic_mmio_write(cpu->lapic, gpa & 0xffc, v);
		buf += piece;
		gpa += piece;
		size -= piece;
	}
}

/*
 * RAM that other processors access at the same time: what one of the host's instructions can move is moved
 * by one. memcpy() of 4 bytes may store them twice, over what another processor stored in between.
 */
#define COPY_ONCE(bits)                                                                                \
	case bits / 8:                                                                                 \
		__atomic_store_n((uint##bits##_t *)to,                                                 \
				 __atomic_load_n((const uint##bits##_t *)from, __ATOMIC_RELAXED),      \
				 __ATOMIC_RELAXED);                                                    \
		break;

static void copy_once(void *to, const void *from, unsigned size)
{
	switch (size) {
		COPY_ONCE(8)
		COPY_ONCE(16)
		COPY_ONCE(32)
		COPY_ONCE(64)
	default:
		memcpy(to, from, size);
	}
}

/* Within one page. */
static void physical_read(struct cpu *cpu, uint64_t gpa, void *buf, unsigned size)
{
	const uint8_t *host = mmu_hva(cpu, gpa);

	if (host)
		copy_once(buf, host, size);
	else
		mmio_read(cpu, gpa, buf, size);
}

static void physical_write(struct cpu *cpu, uint64_t gpa, const void *buf, unsigned size)
{
	uint8_t *host = mmu_hva_write(cpu, gpa);

	if (!host) {
		mmio_write(cpu, gpa, buf, size);
		return;
	}
	if (G_UNLIKELY(cpu->lockstep))
		lockstep_write(cpu, gpa);
	copy_once(host, buf, size);
	mem_written(cpu->env.mem, gpa, size);
}

void mmu_physical_read(struct cpu *cpu, uint64_t gpa, void *buf, unsigned size)
{
	for (unsigned done = 0, part; done < size; done += part) {
		part = MIN(size - done, 4096 - (gpa + done) % 4096);
		physical_read(cpu, mmu_bus_address(cpu, gpa + done), (uint8_t *)buf + done, part);
	}
}

void mmu_physical_write(struct cpu *cpu, uint64_t gpa, const void *buf, unsigned size)
{
	for (unsigned done = 0, part; done < size; done += part) {
		part = MIN(size - done, 4096 - (gpa + done) % 4096);
		physical_write(cpu, mmu_bus_address(cpu, gpa + done), (const uint8_t *)buf + done, part);
	}
}

/*
 * Bytes of an access that lie in its first page. The second page's address wraps at 4 GiB outside
 * 64-bit mode, where only the processor's own accesses in long mode reach beyond.
 */
static unsigned first_part(uint64_t address, unsigned size)
{
	return MIN(size, 4096 - address % 4096);
}

static uint64_t next_page(const struct cpu *cpu, uint64_t address)
{
	uint64_t next = (address | 4095) + 1;

	return (cpu->mode_key & MODE_64) || address >> 32 ? next : (uint32_t)next;
}

static inline void watch(struct cpu *cpu, const struct insn *insn, uint64_t address, unsigned size,
			 bool write)
{
	if (G_UNLIKELY(cpu->debugger.n_watches))
		debugger_watch_access(cpu, insn, address, size, write);
}

/* #AC(0) at CPL 3 (SDM volume 3, table 6-7), after any page fault. Of operands over 8 bytes only
 * the x87's count. */
static void check_alignment(struct cpu *cpu, const struct insn *insn, uint64_t address,
			    unsigned size, enum tlb_class class)
{
	static const uint8_t mask[] = {[2] = 1, [4] = 3, [6] = 3, [8] = 7, [10] = 7};

	if (G_UNLIKELY(class == TLB_USER_AC) && size < G_N_ELEMENTS(mask) && (address & mask[size]))
		cpu_fault_code(cpu, insn, EXC_AC, 0);
}

static void check_device(struct cpu *cpu, const struct insn *insn, const uint8_t *host)
{
	if (G_UNLIKELY(cpu->lockstep) && !host)
		lockstep_device(cpu, insn);
}

static void read_class(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		       unsigned size, enum tlb_class class)
{
	unsigned first = first_part(address, size);
	uint64_t gpa = translate(cpu, insn, address, ACCESS_READ, class), gpa2 = 0;

	if (first < size)
		gpa2 = translate(cpu, insn, next_page(cpu, address), ACCESS_READ, class);
	check_alignment(cpu, insn, address, size, class);
	watch(cpu, insn, address, size, false);
	check_device(cpu, insn, mmu_hva(cpu, gpa));
	if (first < size)
		check_device(cpu, insn, mmu_hva(cpu, gpa2));
	physical_read(cpu, gpa, buf, first);
	if (first < size)
		physical_read(cpu, gpa2, (uint8_t *)buf + first, size - first);
}

static void write_class(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
			unsigned size, enum tlb_class class)
{
	unsigned first = first_part(address, size);
	uint64_t gpa = translate(cpu, insn, address, ACCESS_WRITE, class), gpa2 = 0;

	if (first < size)
		gpa2 = translate(cpu, insn, next_page(cpu, address), ACCESS_WRITE, class);
	check_alignment(cpu, insn, address, size, class);
	watch(cpu, insn, address, size, true);
	check_device(cpu, insn, mmu_hva_write(cpu, gpa));
	if (first < size)
		check_device(cpu, insn, mmu_hva_write(cpu, gpa2));
	physical_write(cpu, gpa, buf, first);
	if (first < size)
		physical_write(cpu, gpa2, (const uint8_t *)buf + first, size - first);
}

static void note_access(struct cpu *cpu, uint64_t address, unsigned size, bool write)
{
	if (G_UNLIKELY(debug_enabled(cpu)))
		debug_note_data(cpu, address, size, write);
}

void mmu_read_slow(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		   unsigned size)
{
	read_class(cpu, insn, address, buf, size, current_class(cpu));
	note_access(cpu, address, size, false);
}

void mmu_write_slow(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
		    unsigned size)
{
	write_class(cpu, insn, address, buf, size, current_class(cpu));
	note_access(cpu, address, size, true);
}

void mem_read_bytes(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		    unsigned size)
{
	const void *p = tlb_read(cpu, address, size);

	if (p)
		copy_once(buf, p, size);
	else
		mmu_read_slow(cpu, insn, address, buf, size);
}

void mem_write_bytes(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
		     unsigned size)
{
	void *p = tlb_write(cpu, address, size);

	if (p)
		copy_once(p, buf, size);
	else
		mmu_write_slow(cpu, insn, address, buf, size);
}

void mmu_sys_read(struct cpu *cpu, const struct insn *insn, uint64_t address, void *buf,
		  unsigned size)
{
	const struct tlb_entry *e = tlb_slot(cpu->tlbs[TLB_SUPERVISOR].read, address);

	if (G_LIKELY((e->tag ^ address) <= 4096 - size))
		copy_once(buf, (const void *)(address + e->delta), size);
	else
		read_class(cpu, insn, address, buf, size, TLB_SUPERVISOR);
}

void mmu_sys_write(struct cpu *cpu, const struct insn *insn, uint64_t address, const void *buf,
		   unsigned size)
{
	const struct tlb_entry *e = tlb_slot(cpu->tlbs[TLB_SUPERVISOR].write, address);

	if (G_LIKELY((e->tag ^ address) <= 4096 - size))
		copy_once((void *)(address + e->delta), buf, size);
	else
		write_class(cpu, insn, address, buf, size, TLB_SUPERVISOR);
}

void mmu_probe(struct cpu *cpu, const struct insn *insn, uint64_t address, unsigned size,
	       bool write)
{
	enum access access = write ? ACCESS_WRITE : ACCESS_READ;
	unsigned first = first_part(address, size);

	translate(cpu, insn, address, access, current_class(cpu));
	if (first < size)
		translate(cpu, insn, next_page(cpu, address), access, current_class(cpu));
	check_alignment(cpu, insn, address, size, current_class(cpu));
	watch(cpu, insn, address, size, write);
}

/* XCHG with memory is locked without the prefix. */
static bool is_locked(const struct insn *insn)
{
	const struct insn_row *row = insn_row_get(insn->row);

	return (insn->flags & INSN_LOCK) || (row->map == 0 && (row->opcode & 0xfe) == 0x86);
}

/*
 * The end of one page and the start of another one, both RAM, side by side: where they are not
 * neighbours, they are mapped a second time. So a locked instruction on both stays one of the
 * host's, atomic for all who use the memory. NULL: not both are RAM.
 */
static uint8_t *pair_at(struct cpu *cpu, uint64_t gpa, uint64_t gpa2)
{
	const struct mem *mem = cpu->env.mem;
	uint64_t pages[2] = {gpa & ~4095ull, gpa2 & ~4095ull};

	if (!mmu_hva_write(cpu, gpa) || !mmu_hva_write(cpu, gpa2))
		return NULL;
	if (pages[1] == pages[0] + 4096)
		return mmu_hva(cpu, gpa);
	if (!cpu->pair || memcmp(cpu->pair_pages, pages, sizeof(pages))) {
		cpu->pair = mem_map_pair(mem, cpu->pair, pages);
		memcpy(cpu->pair_pages, pages, sizeof(pages));
	}
	return cpu->pair + gpa % 4096;
}

void *mmu_rmw_slow(struct cpu *cpu, const struct insn *insn, uint64_t address, unsigned size)
{
	uint64_t gpa = translate(cpu, insn, address, ACCESS_WRITE, current_class(cpu)), gpa2 = 0;
	unsigned first = first_part(address, size);
	void *p;

	cpu->rmw_pending = NULL;
	p = tlb_write(cpu, address, size);
	if (p)
		return p;
	if (first == size) {
		p = mmu_hva_write(cpu, gpa);
	} else if (is_locked(insn)) {
		gpa2 = translate(cpu, insn, next_page(cpu, address), ACCESS_WRITE,
				 current_class(cpu));
		p = pair_at(cpu, gpa, gpa2);
	}
	if (p) {
		/* A page that holds code or is watched, or two: written in place, so that a locked
		 * instruction stays one. */
		check_alignment(cpu, insn, address, size, current_class(cpu));
		watch(cpu, insn, address, size, true);
		watch(cpu, insn, address, size, false);
		note_access(cpu, address, size, true);
		if (G_UNLIKELY(cpu->lockstep)) {
			lockstep_write(cpu, gpa);
			lockstep_write(cpu, first < size ? gpa2 : gpa);
		}
		cpu->rmw_address = gpa;
		cpu->rmw_second = gpa2;
		return cpu->rmw_pending = p;
	}
	mmu_probe(cpu, insn, address, size, true);
	mmu_read_slow(cpu, insn, address, cpu->rmw_bounce, size);
	cpu->rmw_address = address;
	return cpu->rmw_pending = cpu->rmw_bounce;
}

void mmu_rmw_commit(struct cpu *cpu, const struct insn *insn, unsigned size)
{
	unsigned first = first_part(cpu->rmw_address, size);

	if (cpu->rmw_pending == cpu->rmw_bounce) {
		mmu_write_slow(cpu, insn, cpu->rmw_address, cpu->rmw_bounce, size);
	} else {
		mem_written(cpu->env.mem, cpu->rmw_address, first);
		if (first < size)
			mem_written(cpu->env.mem, cpu->rmw_second, size - first);
	}
	cpu->rmw_pending = NULL;
}

/* A tag that no address of this slot has. */
static uint64_t empty_tag(uint64_t address)
{
	return address / 4096 % TLB_SIZE ? 0 : 4096;
}

void mmu_flush(struct cpu *cpu)
{
	for (unsigned c = 0; c < TLB_N_CLASSES; c++) {
		if (!cpu->tlb_filled[c])
			continue;
		memset(&cpu->tlbs[c], 0, sizeof(cpu->tlbs[c]));
		cpu->tlbs[c].read[0].tag = cpu->tlbs[c].write[0].tag = empty_tag(0);
		cpu->tlb_filled[c] = false;
	}
	memset(cpu->large_pages, 0, sizeof(cpu->large_pages));
	tlb2_flush(cpu->tlb2);
	code_forget_addresses(cpu);
	jit_forget_stack(cpu);
}

static void drop_local(struct tlb_entry *table, const uint64_t *global)
{
	for (unsigned word = 0; word < TLB_SIZE / 64; word++) {
		struct tlb_entry *e = table + word * 64;

		for (uint64_t local = ~global[word]; local; local &= local - 1)
			e[__builtin_ctzll(local)].tag = 0;
	}
	if (!(global[0] & 1))
		table[0].tag = empty_tag(0);
}

void mmu_flush_local(struct cpu *cpu)
{
	for (unsigned c = 0; c < TLB_N_CLASSES; c++) {
		if (!cpu->tlb_filled[c])
			continue;
		drop_local(cpu->tlbs[c].read, cpu->tlbs[c].global[0]);
		drop_local(cpu->tlbs[c].write, cpu->tlbs[c].global[1]);
	}
	code_forget_local(cpu);
	jit_forget_stack(cpu);
}

void mmu_forget_write(struct cpu *cpu, enum tlb_class class, unsigned slot)
{
	cpu->tlbs[class].write[slot].tag = empty_tag(slot * 4096);
}

void mmu_flush_page(struct cpu *cpu, uint64_t address)
{
	/* The TLB holds a large page in pieces, and all of them have to go (SDM volume
	 * 3, 4.10.2.3).
	 */
	if (may_be_large_page(cpu, address)) {
		mmu_flush(cpu);
		return;
	}
	for (unsigned c = 0; c < TLB_N_CLASSES; c++)
		tlb_slot(cpu->tlbs[c].read, address)->tag =
			tlb_slot(cpu->tlbs[c].write, address)->tag = empty_tag(address);
	jit_forget_stack(cpu);
	tlb2_flush_page(cpu, address);
	code_forget_page(cpu, address);
}

void mmu_protect_page(struct cpu *cpu, uint64_t gpa)
{
	uint64_t host = (uint64_t)mem_hva_smm(cpu->env.mem, gpa & ~4095ull);

	for (unsigned c = 0; c < TLB_N_CLASSES; c++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			if (cpu->tlbs[c].write[i].tag + cpu->tlbs[c].write[i].delta == host)
				cpu->tlbs[c].write[i].tag = empty_tag(i * 4096);
	jit_forget_stack(cpu);
}
