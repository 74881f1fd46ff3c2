/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repeated string instructions go from page to page by the host's own instruction, JIT(target) being what
 * is left to do. T0 takes the rest where a page is not in the TLB, an element lies on two, an interrupt
 * waits, or the direction is down.
 */
#include "cpu/jit/translate.h"

/* What one of them does: its opcode, and which memory it reads and writes. */
struct string_kind {
	const char *name;
	uint8_t opcode; /* of the one with bytes */
	bool source;	/* reads from RSI */
	bool stores;	/* to RDI; else reads from there */
	bool compares;	/* sets flags, and may end early */
};

static const struct string_kind kinds[] = {
	{"movs", 0xa4, .source = true, .stores = true},
	{"stos", 0xaa, .stores = true},
	{"cmps", 0xa6, .source = true, .compares = true},
	{"scas", 0xae, .compares = true},
};

static const struct string_kind *kind_of(const struct decoded *d)
{
	for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++)
		if (!strcmp(kinds[k].name, d->row->name))
			return &kinds[k];
	g_assert_not_reached();
}

/* RCX to what fits between `reg` and its page's end, at most; jumps away where not even one element does. */
static uint8_t *emit_limit_run(struct jit_ctx *c, unsigned reg, unsigned size)
{
	struct emit *e = &c->e;

	emit_rr(e, false, 0x8b, SCRATCH0, reg);
	EMIT(e, 0x41, 0xf7, 0xda);			 /* neg r10d */
	EMIT(e, 0x41, 0x81, 0xe2, 0xff, 0x0f, 0, 0);	 /* and r10d, 4095 */
	EMIT(e, 0x41, 0xbb, 0, 0x10, 0, 0);		 /* mov r11d, 4096 */
	EMIT(e, 0x45, 0x0f, 0x44, 0xd3);		 /* cmovz r10d, r11d */
	EMIT(e, 0x41, 0xc1, 0xea, __builtin_ctz(size)); /* shr r10d, log2(size) */
	EMIT(e, 0x4c, 0x39, 0xd1);			 /* cmp rcx, r10 */
	EMIT(e, 0x49, 0x0f, 0x47, 0xca);		 /* cmova rcx, r10 */
	EMIT(e, 0x48, 0x85, 0xc9);			 /* test rcx, rcx */
	return emit_jcc(e, CC_E);
}

/* From where the host has it back to where the guest does; flags stay. `scratch` is lost. */
static void emit_back(struct jit_ctx *c, unsigned reg, unsigned scratch)
{
	struct host_mem m = {.base = reg, .index = scratch, .disp = 1};

	EMIT(&c->e, 0x49, 0xf7, 0xd0 | (scratch & 7)); /* not */
	emit_lea64(&c->e, reg, m);
	/* Behind the last page of 4 GiB is the first. */
	if (!c->wide)
		emit_rr(&c->e, false, 0x8b, reg, reg);
}

/* The host's own instruction on as many elements as RCX says; the distances to the host's addresses are
 * in SCRATCH1 for RDI, in SCRATCH0 for RSI. */
static void emit_run(struct jit_ctx *c, const struct decoded *d, const struct string_kind *kind)
{
	unsigned size = d->insn.opsize;
	struct emit *e = &c->e;

	emit_rr(e, true, 0x03, RDI, SCRATCH1);
	if (kind->source)
		emit_rr(e, true, 0x03, RSI, SCRATCH0);
	emit8(e, d->insn.flags & INSN_REPNE ? 0xf2 : 0xf3);
	if (size == 2)
		emit8(e, 0x66);
	if (size == 8)
		emit8(e, 0x48);
	emit8(e, kind->opcode | (size > 1));
	emit_back(c, RDI, SCRATCH1);
	if (kind->source)
		emit_back(c, RSI, SCRATCH0);
}

/* After the run of one that compares: RCX is what is left of it, and its flags are in the host's. Jumps
 * away where it is the end, in two ways. */
static void emit_ends(struct jit_ctx *c, const struct decoded *d, uint8_t *done[2])
{
	struct host_mem sum = {.base = RCX, .index = SCRATCH0};
	struct emit *e = &c->e;

	emit_load64(e, SCRATCH0, JIT(target));
	emit_lea64(e, RCX, sum);
	done[0] = emit_jcc(e, d->insn.flags & INSN_REPNE ? CC_E : CC_NE);
	EMIT(e, 0xe3, 2, 0xeb, 5); /* jrcxz over the next; jmp over the one behind it */
	done[1] = emit_jmp(e);
	emit_store64(e, JIT(target), RCX);
}

void emit_rep(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	const struct string_kind *kind = kind_of(d);
	uint8_t *slow[6], *none, *done[2];
	unsigned n_slow = 0;
	const uint8_t *again;
	struct emit *e = &c->e;

	/* Those that compare leave flags alone where RCX is 0, and where they fault. */
	if (kind->compares && c->in[i].live_in) {
		flags_need(c);
		flags_save(c);
	} else {
		flags_clobber(c, i);
	}
	c->delta_held = -1;
	emit_store64(e, JIT(target), RCX);
	EMIT(e, 0x48, 0x85, 0xc9); /* test rcx, rcx */
	none = emit_jcc(e, CC_E);
	emit_rm(e, false, 0xf6, 0, MEM_GS(GS(state.rflags) + 1)); /* test byte, DF */
	emit8(e, RFLAGS_DF >> 8);
	slow[n_slow++] = emit_jcc(e, CC_NE);
	again = emit_here(e);
	slow[n_slow++] = emit_limit_run(c, RDI, d->insn.opsize);
	if (kind->source)
		slow[n_slow++] = emit_limit_run(c, RSI, d->insn.opsize);
	slow[n_slow++] = emit_find_page(c, RDI, kind->stores);
	if (kind->source) {
		emit_store64(e, JIT(delta), SCRATCH1);
		slow[n_slow++] = emit_find_page(c, RSI, false);
		emit_mov64(e, SCRATCH0, SCRATCH1);
		emit_load64(e, SCRATCH1, JIT(delta));
	}
	emit_rm(e, true, 0x29, RCX, JIT(target)); /* sub */
	emit_run(c, d, kind);
	if (kind->compares) {
		emit_ends(c, d, done);
	} else {
		emit_load64(e, RCX, JIT(target));
		EMIT(e, 0x48, 0x85, 0xc9); /* test rcx, rcx */
		done[0] = emit_jcc(e, CC_E);
		done[1] = NULL;
	}
	emit_cmp8_imm(e, MEM_GS(GS(attention)), 0);
	emit_jcc_to(e, CC_E, again);
	for (unsigned k = 0; k < n_slow; k++)
		emit_patch_here(e, slow[k]);
	emit_load64(e, RCX, JIT(target));
	emit_call_step(c, i);
	emit_patch_here(e, none);
	if (kind->compares)
		flags_need(c);
	emit_patch_here(e, done[0]);
	if (done[1])
		emit_patch_here(e, done[1]);
	flags_ran(c, i);
}
