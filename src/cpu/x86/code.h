/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded code: blocks of instructions, found by guest-physical address and mode.
 *
 * A block lies in one page and ends at a branch, at the page's end or after BLOCK_MAX instructions.
 * The lines it was decoded from are marked in the memory's code map, so any write to them reaches
 * the vCPU, which makes each instruction of the block one that stops and looks again.
 * One instruction that crosses a page is decoded anew each time.
 * Only the vCPU's own thread, but where said otherwise.
 */
#ifndef VIV_CPU_X86_CODE_H
#define VIV_CPU_X86_CODE_H

#include "cpu/x86/cpu.h"

#define BLOCK_MAX 48

struct block {
	uint64_t gpa;
	uint32_t mode_key;
	uint16_t n; /* instructions, without the last one that leaves the block */
	bool compared; /* one instruction of a page that is rewritten often (smc.h); not kept */
	bool translated; /* for one linear address at least */
	bool dead;	 /* its code was written; what was found before may still lead here */
	int heat;	 /* runs, until it is */
	struct block *hash_next, *page_next;
	struct insn insn[];
};

struct code_cache *code_new(void);
void code_free(struct code_cache *code);

/* The block at rip, ready to run: pc_base is set. Faults as the fetch does. */
struct block *code_find_slow(struct cpu *cpu);

static inline uint64_t jump_stamp(const struct cpu *cpu, bool global)
{
	return (uint64_t)cpu->jump_generation[global] << 32 | cpu->mode_key;
}
static inline struct jump_entry *jump_slot(struct cpu *cpu, uint64_t rip)
{
	return &cpu->jumps[(rip ^ rip >> 12) % JUMP_CACHE_SIZE];
}
static inline struct block *code_find(struct cpu *cpu)
{
	uint64_t rip = cpu->state.rip;
	const struct jump_entry *e = jump_slot(cpu, rip);

	if (G_UNLIKELY(e->rip != rip || e->stamp != jump_stamp(cpu, e->global) || e->block->dead))
		return code_find_slow(cpu);
	/* The page offset is the same in linear and physical addresses. */
	cpu->pc_base = rip - e->block->gpa % 4096;
	return e->block;
}

/* What the translator needs of this. Marks the lines of an instruction at gpa before its bytes are
 * looked at; `marked` has those that were marked before. */
void code_mark_lines(struct cpu *cpu, uint64_t gpa, uint64_t *marked);
/* Whether code of gpa's page is to be compared with the memory rather than marked. */
bool code_is_compared(const struct cpu *cpu, uint64_t gpa);
/* What the mode makes of an instruction's routine. */
exec_fn code_routine_in_mode(const struct insn_row *row, const struct insn *insn, uint32_t mode_key);
/* Makes a block of one instruction, at `offset` of its page, in the caller's storage. */
void code_decode_alone(struct cpu *cpu, struct block *block, const uint8_t *bytes, unsigned len,
		       unsigned offset, uint64_t gpa);

/*
 * Writes to decoded code. The vCPU's own are seen before its next instruction; those of other
 * threads are queued and taken between blocks by code_take_written().
 */
void code_listen(struct cpu *cpu);
void code_unlisten(struct cpu *cpu);
void code_take_written(struct cpu *cpu);
/* Says that this thread runs the vCPU (NULL: none). */
void code_set_running(struct cpu *cpu);
/* The same rip may be another linear address now, or beyond the code segment's limit. */
void code_forget_jumps(struct cpu *cpu);
/* Forgets all blocks; the one that runs stays whole. */
void code_drop_all(struct cpu *cpu);
/* Linear addresses may mean other pages now: all, or those of one page. */
void code_forget_addresses(struct cpu *cpu);
void code_forget_page(struct cpu *cpu, uint64_t address);
/* All whose pages are not global. */
void code_forget_local(struct cpu *cpu);

#endif
