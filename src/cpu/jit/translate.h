/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that emit a region's code share; README.md says what holds between instructions. */
#ifndef VIV_CPU_JIT_TRANSLATE_H
#define VIV_CPU_JIT_TRANSLATE_H

#include "cpu/jit/region.h"

#define GPR(n)	   MEM_GS(GS_GPR(n))
#define JIT(field) MEM_GS(GS(jit.field))

/* access.c */

struct jit_insn *insn_record(struct jit_ctx *c, unsigned i);
/* Where flags are when a slow path is entered: what a recipe gives, its stub has put into the host's. */
enum flags_place record_flags(const struct jit_ctx *c);
/* The effective address, without the segment's base. */
void emit_ea(struct jit_ctx *c, const struct insn *insn, unsigned to);
void emit_segment(struct jit_ctx *c, unsigned i, unsigned size);
/* Checks the address in SCRATCH0. Afterwards the distance to the host's is in SCRATCH1, and with `keep`
 * the address still in SCRATCH0. `stack`: it is looked for where the stack's page was last. */
void emit_check(struct jit_ctx *c, unsigned i, const struct access_plan *a, bool keep, bool stack);
/*
 * Looks for the address in SCRATCH0 in the TLB, or where the stack's page was last, and has its place in
 * the page there; jumps away where it is not found, or not all of `size` bytes are in the page. Else
 * SCRATCH1 is the distance to the host's.
 */
uint8_t *emit_find(struct jit_ctx *c, unsigned size, bool write, bool stack);
/* The distance from the page at `reg` to the host's to SCRATCH1; jumps away where it is not in the TLB. */
uint8_t *emit_find_page(struct jit_ctx *c, unsigned reg, bool write);
/*
 * The memory operand of instruction i, where the host has it. It is made of SCRATCH0 and SCRATCH1, but
 * leaves SCRATCH1 free where the instruction has an operand to be put there.
 */
struct host_mem emit_operand(struct jit_ctx *c, unsigned i);
/* What is pushed or popped at [reg + disp], and the scratch register that is still free then. */
struct host_mem emit_stack(struct jit_ctx *c, unsigned i, unsigned reg, int disp);
unsigned stack_scratch(const struct jit_ctx *c, const struct host_mem *m);
void emit_cold_address(struct jit_ctx *c, const struct cold *cold, unsigned size, bool write,
		       unsigned to, const uint8_t *resume);
void emit_cold_access(struct jit_ctx *c, const struct cold *cold);

/* edges.c */

/* Code out of line that `jump` leads to; the flags are where they are now. */
struct cold *cold_new(struct jit_ctx *c, enum cold_kind kind, uint8_t *jump);
struct jit_exit *exit_new(struct jit_ctx *c, uint64_t rip, bool plain);
/* `jump` leaves for rip, where the flags `live` are read. */
void emit_goto(struct jit_ctx *c, uint8_t *jump, uint64_t rip, uint8_t live);
/* To the rip in SCRATCH0. */
void emit_indirect(struct jit_ctx *c, unsigned i, int32_t rsp_moved);
void emit_entries(struct jit_ctx *c);
void emit_cold(struct jit_ctx *c, const struct cold *cold);

/* system.c */

void emit_swapgs(struct jit_ctx *c);
void emit_cli(struct jit_ctx *c, unsigned i);
void emit_sti(struct jit_ctx *c, unsigned i);
void emit_pushf(struct jit_ctx *c, unsigned i);
void emit_ac(struct jit_ctx *c, unsigned i);

/* loop.c */

/* The second translation. */
void emit_loop(struct jit_ctx *c);
/* The operand of an access in a windowed group. */
struct host_mem emit_windowed(struct jit_ctx *c, const struct access_plan *a, struct host_mem m);

/* translate.c */

/* The region's first n instructions. */
void emit_insns(struct jit_ctx *c, unsigned n);
/* Before the code of instruction i. */
void begin_insn(struct jit_ctx *c, unsigned i);

/* The host address of the code page's byte. */
const uint8_t *host_code(const struct jit_ctx *c, unsigned offset);
/* What pushes and pops do to the stack pointer. */
void move_rsp(struct jit_ctx *c, int by);
/* T0 runs the instruction, or what is left of it. */
void emit_call_step(struct jit_ctx *c, unsigned i);

/* strings.c: MOVS, STOS, CMPS and SCAS that are repeated. */
void emit_rep(struct jit_ctx *c, unsigned i);

#endif
