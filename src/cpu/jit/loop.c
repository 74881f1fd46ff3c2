/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loops within one region: its last instruction branches back to its first. They are translated
 * twice. The first time is like any region, with a check for each group of accesses. Behind its
 * branch back each group whose address moves by a constant in a pass has a window: its page, found
 * in the TLB once for as many passes as it takes to leave the page. The second translation runs so
 * many passes without looking again, then the windows are made anew. Where one cannot be, a page
 * being unknown or the operand on two, the first translation makes the next pass, with all that
 * belongs to it.
 *
 * So no window brings in a page, makes one dirty or faults. Between two looks at cpu->attention are
 * at most 4096 passes. In lockstep, which counts entries, they are fewer, and the loop goes through
 * its region's entry again.
 */
#include "cpu/jit/translate.h"

#define LOCKSTEP_PASSES 8

/* What T0 does may change what addresses mean; and pushes and pops have no windows. */
static bool suits(const struct decoded *d, bool last)
{
	switch (d->fx.class) {
	case JIT_COPY:
	case JIT_NOP:
	case JIT_LEA:
	case JIT_JCC:
		return !d->crosses;
	case JIT_JMP:
		return last && !d->crosses;
	default:
		return false;
	}
}

/* The number of instructions up to a branch to the first, 0: there is none. */
static unsigned length(const struct jit_ctx *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct decoded *d = &c->in[i];
		bool back = (d->fx.class == JIT_JCC || d->fx.class == JIT_JMP) &&
			    d->insn.imm == c->in[0].offset;

		if (!suits(d, back))
			return 0;
		if (back)
			return i + 1;
	}
	return 0;
}

void loop_find(struct jit_ctx *c)
{
	unsigned n = c->n;

	if (!c->wide || c->compared || !(c->n = length(c))) {
		c->n = n;
		return;
	}
	c->loop.inside = true;
	group_accesses(c);
	c->loop.inside = false;
	c->loop.found = c->loop.n_windowed;
	if (c->loop.found)
		c->end = code_address(c, c->in[c->n - 1].insn.next);
	else
		c->n = n;
}

/* Whether the instruction leaves SCRATCH1 alone in the second translation. */
static bool is_clean(const struct jit_ctx *c, const struct decoded *d)
{
	const struct access_plan *a = &d->access[ACCESS_OPERAND];
	const struct insn *insn = &d->insn;

	if (d->displaced || d->fx.x87)
		return false;
	if (d->fx.class == JIT_LEA)
		return insn->base < INSN_ZERO && !is_displaced(insn->base / 8) &&
		       !is_displaced(insn->index / 8);
	if (!a->size)
		return true;
	return a->group >= 0 && c->groups[a->group].windowed &&
	       (insn->index == INSN_ZERO || c->groups[a->group].fold != FOLD_NONE);
}

/* Who gets SCRATCH1: the window with most accesses. */
static void choose_held(struct jit_ctx *c)
{
	struct loop *loop = &c->loop;

	loop->clean = true;
	for (unsigned i = 0; i < c->n; i++)
		loop->clean &= is_clean(c, &c->in[i]);
	loop->held = -1;
	for (unsigned n = 0; loop->clean && n < c->n_groups; n++)
		if (loop->held < 0 || c->groups[n].members > c->groups[loop->held].members)
			loop->held = n;
}

/* The passes beside the next for which a group stays in its page, SCRATCH0 being its place there:
 * at least, as strides are rounded up to a power of two. */
static void emit_room(struct jit_ctx *c, const struct group *g, bool first)
{
	int32_t stride = g->stride;
	struct emit *e = &c->e;

	if (stride > 0) {
		EMIT(e, 0x41, 0xf7, 0xda); /* neg r10d */
		EMIT(e, 0x41, 0x81, 0xc2); /* add r10d, 4096 - size */
		emit32(e, 4096 - (g->high - g->low));
	}
	if (ABS(stride) > 1)
		EMIT(e, 0x41, 0xc1, 0xea, g_bit_storage(ABS(stride) - 1)); /* shr r10d */
	if (!first) {
		emit_rm(e, true, 0x3b, SCRATCH0, JIT(room)); /* cmp */
		EMIT(e, 0x65, 0x4c, 0x0f, 0x47, 0x14, 0x25); /* cmova r10, gs:[room] */
		emit32(e, GS(jit.room));
	}
	emit_store64(e, JIT(room), SCRATCH0);
}

static struct host_mem address_of(const struct group *g)
{
	return (struct host_mem){.base = g->base,
				 .index = g->index < 16 ? g->index : NO_REG,
				 .scale = g->scale,
				 .disp = g->low};
}

static void emit_window(struct jit_ctx *c, unsigned n, bool first)
{
	const struct group *g = &c->groups[n];
	struct host_mem folded = {.base = g->base, .index = SCRATCH1};
	/* Where the first translation looks, too. */
	bool stack = c->in[g->leader].insn.base / 8 == RSP && g->index >= 16;
	struct emit *e = &c->e;

	emit_lea64(e, SCRATCH0, address_of(g));
	emit_patch(emit_find(c, g->high - g->low, g->write, stack), e->to_rx,
		   c->cpu->lockstep ? c->region->entry : c->loop.first);
	if (g->fold == FOLD_INDEX)
		folded = (struct host_mem){.base = SCRATCH1, .index = g->index, .scale = g->scale};
	if (g->fold != FOLD_NONE)
		emit_lea64(e, SCRATCH1, folded);
	emit_store64(e, JIT(deltas[n]), SCRATCH1);
	if (g->stride)
		emit_room(c, g, first);
}

/* What the counter is after the last pass that there is room for. */
static void emit_limit(struct jit_ctx *c)
{
	struct host_mem sum = {.base = c->loop.counter, .index = SCRATCH0};
	struct emit *e = &c->e;

	emit_load64(e, SCRATCH0, JIT(room));
	EMIT(e, 0x49, 0xff, 0xc2); /* inc r10 */
	EMIT(e, 0x4d, 0x69, 0xd2); /* imul r10, r10, step */
	emit32(e, c->loop.step[c->loop.counter]);
	emit_lea64(e, SCRATCH0, sum);
	emit_store64(e, JIT(limit), SCRATCH0);
}

struct host_mem emit_windowed(struct jit_ctx *c, const struct access_plan *a, struct host_mem m)
{
	const struct group *g = &c->groups[a->group];
	unsigned held = SCRATCH0;

	if (a->group == c->loop.held) {
		held = SCRATCH1;
	} else if (c->delta_held != a->group) {
		emit_load64(&c->e, SCRATCH0, JIT(deltas[a->group]));
		c->delta_held = a->group;
	}
	if (g->fold == FOLD_BASE) {
		m.base = held;
		m.disp += a->base_moved;
		return m;
	}
	if (g->fold == FOLD_INDEX) {
		m.disp += a->index_moved;
	} else if (m.index != NO_REG) {
		emit_lea64(&c->e, SCRATCH1, m);
		m = MEM_AT(SCRATCH1);
	}
	m.index = held;
	m.scale = 0;
	return m;
}

/* The branch back: another pass, new windows, or out of the loop. */
static void emit_back(struct jit_ctx *c, const uint8_t *again, const uint8_t *windows)
{
	unsigned last = c->n - 1;
	const struct decoded *d = &c->in[last];

	begin_insn(c, last);
	if (d->fx.class == JIT_JCC) {
		flags_need(c);
		emit_goto(c, emit_jcc(&c->e, (d->row->opcode & 0xf) ^ 1), c->end, d->live_out);
	}
	if (c->loop.moves) {
		emit_rm(&c->e, true, 0x3b, c->loop.counter, JIT(limit)); /* cmp */
		emit_jcc_to(&c->e, CC_NE, again);
	} else if (!c->cpu->lockstep) {
		emit_cmp8_imm(&c->e, MEM_GS(GS(attention)), 0);
		emit_jcc_to(&c->e, CC_E, again);
	}
	emit_jmp_to(&c->e, c->cpu->lockstep ? c->region->entry : windows);
}

void emit_loop(struct jit_ctx *c)
{
	const uint8_t *windows = emit_here(&c->e), *again;
	bool first = !c->cpu->lockstep;

	emit_patch_here(&c->e, c->loop.back);
	emit_cmp8_imm(&c->e, MEM_GS(GS(attention)), 0);
	emit_jcc_to(&c->e, CC_NE, c->region->entry);
	if (c->cpu->lockstep)
		emit_store64_imm(&c->e, JIT(room), LOCKSTEP_PASSES);
	c->loop.inside = true;
	group_accesses(c);
	choose_held(c);
	for (unsigned n = 0; n < c->n_groups; n++) {
		if (!c->groups[n].windowed)
			continue;
		emit_window(c, n, first);
		first &= !c->groups[n].stride;
	}
	if (c->loop.moves)
		emit_limit(c);
	if (c->loop.held >= 0)
		emit_load64(&c->e, SCRATCH1, JIT(deltas[c->loop.held]));
	again = emit_here(&c->e);
	c->delta_held = -1;
	c->flags = (struct flags_now){.place = FLAGS_DEAD, .producer = -1};
	emit_insns(c, c->n - 1);
	emit_back(c, again, windows);
	c->region->starts[2 * c->n] = emit_here(&c->e) - c->region->code;
	c->loop.inside = false;
}
