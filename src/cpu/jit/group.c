/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which memory accesses of a region share a check. The registers are followed symbolically: each
 * holds a value from the region's entry, or one that an instruction made, plus a constant. Accesses
 * whose addresses differ by a constant have the same values in them.
 */
#include "cpu/jit/region.h"

/* The wider a group, the more often it lies on two pages. */
#define MAX_SPAN 512
/* The longer a loop's stride, the sooner it leaves a page. */
#define MAX_STRIDE 512

#define NO_VALUE 0xffff

struct value {
	uint16_t id;
	int32_t offset;
};

struct follow {
	struct jit_ctx *c;
	struct value reg[16];
	uint16_t n_values;
	uint16_t branches; /* passed so far */
	uint16_t branches_at[JIT_N_DELTAS]; /* when a group began */
};

static struct value new_value(struct follow *f)
{
	return (struct value){.id = f->n_values++};
}

static bool joins(const struct follow *f, const struct group *g, const struct group *one)
{
	int32_t low = MIN(g->low, one->low), high = MAX(g->high, one->high);
	unsigned n = g - f->c->groups;

	if (g->closed || g->base != one->base || g->index != one->index ||
	    g->scale != one->scale || high - low > MAX_SPAN)
		return false;
	/* A write is announced only where it will happen: the page becomes dirty by it. A window waits for
	 * that. */
	return f->c->loop.inside || g->write || !one->write || f->branches == f->branches_at[n];
}

/* Puts an access into a group. */
static void enter(struct follow *f, unsigned i, struct access_plan *a, const struct group *one)
{
	struct jit_ctx *c = f->c;
	unsigned n = 0;

	while (n < c->n_groups && !joins(f, &c->groups[n], one))
		n++;
	if (n == JIT_N_DELTAS)
		return;
	if (n == c->n_groups) {
		c->groups[n] = *one;
		c->groups[n].leader = i;
		f->branches_at[n] = f->branches;
		c->n_groups++;
	} else {
		struct group *g = &c->groups[n];

		g->low = MIN(g->low, one->low);
		g->high = MAX(g->high, one->high);
		g->write |= one->write;
	}
	c->groups[n].members++;
	a->group = n;
	a->offset = one->low;
	a->leads = c->groups[n].members == 1;
}

static bool fits(int64_t v)
{
	return v > -(1 << 30) && v < 1 << 30;
}

static void plan_operand(struct follow *f, unsigned i)
{
	struct decoded *d = &f->c->in[i];
	const struct insn *insn = &d->insn;
	struct access_plan *a = &d->access[ACCESS_OPERAND];
	struct group one = {.index = NO_VALUE};
	int64_t offset = insn->disp, index_moved = 0;

	*a = (struct access_plan){.group = -1};
	if (!is_memory(d) || d->fx.class == JIT_LEA || d->fx.class == JIT_NOP ||
	    d->fx.class == JIT_STEP || d->fx.class == JIT_END)
		return;
	a->size = d->fx.class == JIT_COPY || d->fx.class == JIT_BT ? insn_mem_size(d->row, insn)
								   : stack_size(f->c);
	a->write = (d->fx.class == JIT_COPY || d->fx.class == JIT_BT) &&
		   (insn_mem_written(d->row) || (d->row->flags & IF_RMW));
	if (d->fx.class == JIT_ABSOLUTE) {
		a->size = insn->opsize;
		a->write = d->row->operand[0].kind == 'O';
	}
	if ((f->c->plain && !f->c->loop.inside) || d->fx.class == JIT_BT ||
	    insn->base >= INSN_ZERO || is_displaced(insn->base / 8) ||
	    insn->seg != INSN_SEG_NONE || insn->addrsize != 8)
		return;
	one.base = f->reg[insn->base / 8].id;
	a->base_moved = f->reg[insn->base / 8].offset;
	offset += a->base_moved;
	if (insn->index != INSN_ZERO) {
		/* It takes both scratch registers. */
		if (is_displaced(insn->index / 8) || d->displaced)
			return;
		one.index = f->reg[insn->index / 8].id;
		one.scale = insn->scale;
		index_moved = (int64_t)f->reg[insn->index / 8].offset << insn->scale;
		offset += index_moved;
	}
	if (!fits(offset) || !fits(index_moved))
		return;
	a->index_moved = index_moved;
	one.low = offset;
	one.high = offset + a->size;
	one.write = a->write;
	enter(f, i, a, &one);
}

static void plan_stack(struct follow *f, unsigned i)
{
	struct decoded *d = &f->c->in[i];
	struct access_plan *a = &d->access[ACCESS_STACK];
	unsigned reg = d->fx.class == JIT_LEAVE ? RBP : RSP;
	struct group one = {.base = f->reg[reg].id, .index = NO_VALUE};

	*a = (struct access_plan){.group = -1};
	switch (d->fx.class) {
	case JIT_PUSH:
	case JIT_PUSHF:
	case JIT_CALL:
	case JIT_CALL_IND:
		a->write = true;
		break;
	case JIT_POP:
	case JIT_RET:
	case JIT_LEAVE:
		break;
	default:
		return;
	}
	a->size = stack_size(f->c);
	/* What registers of 32-bit code hold may wrap. And where the operand's slow path runs the instruction
	 * on T0, what it pushes is not checked. */
	if (!f->c->wide || d->access[ACCESS_OPERAND].size)
		return;
	one.low = f->reg[reg].offset - (a->write ? 8 : 0);
	one.high = one.low + 8;
	one.write = a->write;
	if (!f->c->plain && fits(one.low))
		enter(f, i, a, &one);
}

/* What a 64-bit instruction makes of registers where that is known; false: it is not. */
static bool follow_known(struct follow *f, const struct decoded *d)
{
	const struct insn *insn = &d->insn;
	struct value *rsp = &f->reg[RSP];
	struct value *to = &f->reg[(d->row->operand[0].kind == 'G' ? insn->reg : insn->rm) / 8];
	int64_t offset;

	switch (d->fx.class) {
	case JIT_PUSH:
	case JIT_PUSHF:
	case JIT_CALL:
	case JIT_CALL_IND:
		rsp->offset -= 8;
		return true;
	case JIT_POP:
		f->reg[insn->rm / 8] = new_value(f);
		if (insn->rm / 8 != RSP)
			rsp->offset += 8;
		return true;
	case JIT_LEAVE:
		*rsp = f->reg[RBP];
		rsp->offset += 8;
		f->reg[RBP] = new_value(f);
		return true;
	case JIT_LEA:
		if (insn->opsize != 8 || insn->addrsize != 8 || insn->base >= INSN_ZERO ||
		    insn->index != INSN_ZERO)
			return false;
		offset = (int64_t)f->reg[insn->base / 8].offset + insn->disp;
		*to = (struct value){f->reg[insn->base / 8].id, offset};
		return fits(offset);
	case JIT_COPY:
		break;
	default:
		return false;
	}
	if (insn->opsize != 8 || is_memory(d) || d->fetches)
		return false;
	switch (d->fx.op) {
	case JIT_OP_MOV:
		if (d->row->operand[1].kind == 'I' || d->row->operand[0].kind == 'Z')
			return false;
		*to = f->reg[(d->row->operand[0].kind == 'G' ? insn->rm : insn->reg) / 8];
		return true;
	case JIT_OP_INC:
		offset = 1;
		break;
	case JIT_OP_DEC:
		offset = -1;
		break;
	case JIT_OP_ADD:
	case JIT_OP_SUB:
		if (d->row->operand[1].kind != 'I' || !fits(insn->imm))
			return false;
		offset = d->fx.op == JIT_OP_ADD ? insn->imm : -insn->imm;
		break;
	default:
		return false;
	}
	if (!fits(offset + to->offset))
		return false;
	to->offset += offset;
	return true;
}

static void follow(struct follow *f, const struct decoded *d)
{
	if (d->fx.class == JIT_JCC)
		f->branches++;
	if (follow_known(f, d))
		return;
	for (unsigned reg = 0; reg < 16; reg++)
		if (d->written >> reg & 1)
			f->reg[reg] = new_value(f);
	/* T0 may change what addresses mean. */
	if (d->fx.class == JIT_STEP)
		for (unsigned n = 0; n < f->c->n_groups; n++)
			f->c->groups[n].closed = true;
}

static bool is_inductive(const struct loop *loop, unsigned reg)
{
	return reg < 16 && loop->inductive >> reg & 1 && !is_displaced(reg);
}

/* Values up to 15 are what the registers held at the start of a pass. */
static void plan_window(struct jit_ctx *c, struct group *g)
{
	struct loop *loop = &c->loop;
	bool indexed = g->index != NO_VALUE;
	int64_t stride;

	/* A value may have come from the stack pointer, which can be no index. */
	if (!is_inductive(loop, g->base) ||
	    (indexed && (!is_inductive(loop, g->index) || g->index == RSP)))
		return;
	stride = loop->step[g->base];
	if (indexed)
		stride += (int64_t)loop->step[g->index] << g->scale;
	if (stride > MAX_STRIDE || stride < -MAX_STRIDE)
		return;
	g->windowed = true;
	g->stride = stride;
	g->fold = !indexed ? FOLD_NONE
		  : !loop->step[g->base] ? FOLD_BASE
		  : !loop->step[g->index] ? FOLD_INDEX
					  : FOLD_NONE;
	loop->n_windowed++;
	if (!stride)
		return;
	loop->moves = true;
	loop->counter = loop->step[g->base] ? g->base : g->index;
}

static void plan_windows(struct follow *f)
{
	struct loop *loop = &f->c->loop;

	loop->n_windowed = 0;
	loop->moves = false;
	loop->inductive = 0;
	for (unsigned reg = 0; reg < 16; reg++) {
		loop->step[reg] = f->reg[reg].offset;
		if (f->reg[reg].id == reg)
			loop->inductive |= 1 << reg;
	}
	for (unsigned n = 0; n < f->c->n_groups; n++)
		plan_window(f->c, &f->c->groups[n]);
}

void group_accesses(struct jit_ctx *c)
{
	struct follow f = {.c = c};

	c->n_groups = 0;
	for (unsigned reg = 0; reg < 16; reg++)
		f.reg[reg] = new_value(&f);
	for (unsigned i = 0; i < c->n; i++) {
		plan_operand(&f, i);
		plan_stack(&f, i);
		follow(&f, &c->in[i]);
	}
	if (c->loop.inside)
		plan_windows(&f);
}
