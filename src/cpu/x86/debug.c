/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/debug.h"

#include "cpu/x86/mmu.h"

/* What DR7's R/W field stops at; a bit each for the accesses that hit. */
enum { BP_FETCH = 1 << 0, BP_WRITE = 1 << 1, BP_PORT = 1 << 2, BP_READ = 1 << 3 };

struct breakpoint {
	uint64_t address;
	unsigned size, kinds;
};

/* False: not enabled. */
static bool get_breakpoint(const struct cpu *cpu, unsigned n, struct breakpoint *bp)
{
	static const uint8_t kinds[] = {BP_FETCH, BP_WRITE, BP_PORT, BP_WRITE | BP_READ};
	static const uint8_t sizes[] = {1, 2, 8, 4};
	uint64_t dr7 = cpu->state.dr7;
	unsigned field = dr7 >> (16 + 4 * n) & 15;

	if (!(dr7 >> (2 * n) & 3))
		return false;
	*bp = (struct breakpoint){.size = sizes[field >> 2], .kinds = kinds[field & 3]};
	/* Low bits of the address that the length covers do not count. */
	bp->address = cpu->state.dr[n] & ~(uint64_t)(bp->size - 1);
	return true;
}

/* DR6's bits for the breakpoints of these kinds that an access to the bytes hits. */
static uint32_t hits(const struct cpu *cpu, uint64_t address, unsigned size, unsigned kinds)
{
	struct breakpoint bp;
	uint32_t dr6 = 0;

	for (unsigned n = 0; n < 4; n++)
		if (get_breakpoint(cpu, n, &bp) && (bp.kinds & kinds) &&
		    address < bp.address + bp.size && bp.address < address + size)
			dr6 |= 1u << n;
	return dr6;
}

void debug_pend(struct cpu *cpu, uint32_t dr6)
{
	if (!dr6)
		return;
	cpu->debug_pending |= dr6;
	atomic_store(&cpu->attention, true);
}

void debug_check_fetch(struct cpu *cpu)
{
	uint64_t address = cpu->state.rip + cpu->seg_base[X86_CS];
	uint32_t dr6;

	if (cpu->state.rflags & RFLAGS_RF)
		return;
	dr6 = hits(cpu, cpu->mode_key & MODE_64 ? address : (uint32_t)address, 1, BP_FETCH);
	if (!dr6)
		return;
	cpu->state.dr6 |= dr6;
	cpu->at_breakpoint = true;
	cpu_fault(cpu, NULL, EXC_DB);
}

void debug_check_guard(struct cpu *cpu, const struct insn *insn)
{
	if (!(cpu->state.dr7 & DR7_GD))
		return;
	cpu->state.dr6 |= DR6_BD;
	cpu_fault(cpu, insn, EXC_DB);
}

void debug_note_data(struct cpu *cpu, uint64_t address, unsigned size, bool write)
{
	debug_pend(cpu, hits(cpu, address, size, write ? BP_WRITE : BP_READ));
}

void debug_note_port(struct cpu *cpu, uint16_t port, unsigned size)
{
	if (cpu->state.cr4 & CR4_DE)
		debug_pend(cpu, hits(cpu, port, size, BP_PORT));
}

bool debug_watches_page(const struct cpu *cpu, uint64_t address)
{
	return hits(cpu, address & ~4095ull, 4096, BP_READ | BP_WRITE);
}

void debug_clear_local(struct cpu *cpu)
{
	cpu->state.dr7 &= ~(uint64_t)DR7_LOCAL;
	mmu_flush(cpu);
}
