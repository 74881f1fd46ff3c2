/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A region while it is being translated. */
#ifndef VIV_CPU_JIT_REGION_H
#define VIV_CPU_JIT_REGION_H

#include "cpu/jit/jit_int.h"

/* Accesses of one instruction. */
enum { ACCESS_OPERAND, ACCESS_STACK, N_ACCESSES };

/*
 * A memory access. Accesses near each other, by the same registers, form a group: the first checks
 * the bytes of all, which must lie in one page.
 */
struct access_plan {
	uint8_t size; /* 0: there is none */
	bool write;
	bool leads;
	int group;   /* -1: none */
	int32_t offset; /* from what the group's registers held */
	int32_t base_moved, index_moved; /* since then, the index scaled */
};

/* What a window's group adds to its distance to the host's addresses: a register that stays the same. */
enum fold { FOLD_NONE, FOLD_BASE, FOLD_INDEX };

struct group {
	uint16_t base, index; /* values the address is made of (group.c) */
	uint8_t scale;
	bool write, closed, stored; /* stored: its distance is in jit.deltas[] */
	bool windowed;	   /* checked for many passes through the loop at once */
	enum fold fold;
	int32_t stride;	   /* bytes from one pass to the next */
	uint8_t members;
	int32_t low, high; /* bytes of all accesses, as `offset` */
	unsigned leader;   /* instruction */
};

struct decoded {
	struct insn insn;
	const struct insn_row *row;
	struct jit_effects fx; /* of this instruction: condition and count are known */
	uint8_t bytes[INSN_MAX_LEN];
	uint16_t offset;   /* of its first byte in the page */
	uint8_t live_in;   /* flags that it or a later one reads */
	uint8_t live_out;
	uint8_t live_target; /* of a branch: flags that are read where it goes */
	uint16_t written;  /* general registers, a bit each */
	bool crosses; /* lies on two pages */
	bool fetches; /* takes its immediate from the memory: it is not compared */
	uint8_t displaced; /* operands that do not stand in the host's registers */
	struct access_plan access[N_ACCESSES];
};

static inline bool is_memory(const struct decoded *d)
{
	return d->insn.flags & INSN_MEM;
}

/* Where the flags are at a point of the code. */
struct flags_now {
	enum flags_place place;
	int producer;	  /* the instruction that set all of them last, -1 if none did */
	int32_t rsp_moved; /* since, by pushes and pops */
};

enum cold_kind {
	COLD_ACCESS, COLD_GROUP, COLD_EXIT, COLD_INDIRECT, COLD_PAGE, COLD_PAGE_INDIRECT, COLD_SECOND, COLD_LEAVE,
	COLD_VECTORS, COLD_WIDE, COLD_X87, COLD_STALE, COLD_STEP,
};

/* Code out of line, emitted when the region's own is complete. */
struct cold {
	enum cold_kind kind;
	struct flags_now flags;
	uint8_t *jump; /* comes here; for COLD_INDIRECT the immediate that names it */
	const uint8_t *back;
	void *record; /* struct jit_insn or jit_exit */
	bool stack;    /* it was looked for in the stack's entry only */
	bool constant; /* the address is `address`; else it is in SCRATCH0, XORed with the tag */
	uint64_t address;
	int32_t tags; /* offset of the TLB's tags from gs */
};

#define MAX_COLD (16 * JIT_MAX_INSNS)

/*
 * A region that branches back to its start (loop.c). Its instructions are translated twice: with checks, and for as
 * many passes as all windowed groups stay in their pages, without.
 */
struct loop {
	bool found;
	bool inside;	 /* what is translated now is the second time */
	unsigned n_windowed;
	bool clean;	 /* nothing needs SCRATCH1 */
	int held;	 /* the group whose distance SCRATCH1 has then */
	int32_t step[16]; /* what a pass adds to a register */
	uint16_t inductive; /* for which registers that is known, a bit each */
	unsigned counter; /* a register that tells passes, if something moves */
	bool moves;
	uint8_t *back;	 /* the branch of the first translation */
	const uint8_t *first; /* and its start */
};

struct jit_ctx {
	struct cpu *cpu;
	struct jit_cache *cache;
	struct jit_region *region;
	struct emit e;
	bool wide;	/* 64-bit code */
	uint64_t page;	/* linear address of the code page */
	struct jit_source sources[JIT_MAX_SOURCES]; /* the first is that page */
	unsigned n_sources;
	uint64_t second_gpa; /* of the page that the last instruction ends in, where it crosses */
	enum tlb_class class;
	unsigned n;
	bool uses_vectors, uses_wide, uses_high, uses_x87;
	struct decoded in[JIT_MAX_INSNS];
	bool plain;    /* without groups */
	bool compared; /* the bytes are compared with the memory at each entry (smc.h) */
	unsigned n_groups;
	struct group groups[JIT_N_DELTAS];
	int delta_held; /* the group whose delta SCRATCH0 has, -1: none */
	struct loop loop;
	uint64_t end; /* rip after the last instruction, where the region runs on */

	struct flags_now flags;
	unsigned n_cold;
	struct cold cold[MAX_COLD];
};

/* The address of code `offset` bytes from the page's start. */
static inline uint64_t code_address(const struct jit_ctx *c, int64_t offset)
{
	return c->wide ? c->page + offset : (uint32_t)(c->page + offset);
}
/* Bytes of what pushes and pops move. */
static inline unsigned stack_size(const struct jit_ctx *c)
{
	return c->wide ? 8 : 4;
}

/* Decodes from cpu->state.rip on and finds out which flags matter. False: nothing to translate. */
bool region_form(struct jit_ctx *c, uint64_t gpa);
/* Whether its last instruction is the one after STI: behind it interrupts are to be looked for. */
bool region_follows_sti(const struct jit_ctx *c);

/* General registers that an instruction writes, a bit each; insn, row and fx are set. */
uint16_t region_registers_written(const struct decoded *d);

/* group.c: plans the accesses of all instructions; in a loop's second translation, those of its windows, too. */
void group_accesses(struct jit_ctx *c);

/* loop.c: whether the region is a loop worth it; what follows the branch back is cut off then. */
void loop_find(struct jit_ctx *c);
/* Whether instruction i is a loop's branch back. */
static inline bool loop_is_back(const struct jit_ctx *c, unsigned i)
{
	return c->loop.found && i == c->n - 1;
}

/* flags.c: what must be called before code that overwrites the host's flags ahead of instruction i,
 * and before code that needs the guest's there. */
void flags_clobber(struct jit_ctx *c, unsigned i);
void flags_need(struct jit_ctx *c);
/* Brings them from the host's to cpu->flags. */
void flags_save(struct jit_ctx *c);
/* Whether the instruction has to find the guest's flags in the host's. */
bool flags_needs(const struct decoded *d);
/* To be called before an instruction's operands are looked up: a recipe may take the scratch register
 * that holds one, and is of no use where the host may fault. */
void flags_prepare(struct jit_ctx *c, unsigned i);
/* After instruction i has run in the host. */
void flags_ran(struct jit_ctx *c, unsigned i);
/* All are in cpu->flags and in the host's, as after T0 ran an instruction. */
void flags_reloaded(struct jit_ctx *c);
/* Cold code: brings them from where they were to the host's. */
void flags_restore(struct jit_ctx *c, const struct flags_now *from);

#endif
