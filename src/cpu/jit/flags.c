/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's arithmetic flags in translated code. They are in the host's flags until something the
 * guest knows nothing of (a look into the TLB) has to overwrite them. Then they are given up where
 * nobody reads them; or it is noted which instruction to run again for them, if its operands stay; or
 * they are saved to cpu->flags.
 */
#include "cpu/jit/recode.h"
#include "cpu/jit/region.h"

#define SCRATCH MEM_GS(GS(jit.scratch))

static void emit_save(struct emit *e)
{
	emit_store64(e, SCRATCH, RAX);
	EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);       /* lahf; seto al */
	EMIT(e, 0x65, 0x66, 0x89, 0x04, 0x25); /* mov gs:[flags], ax */
	emit32(e, GS(flags));
	emit_load64(e, RAX, SCRATCH);
}

static void emit_load(struct emit *e)
{
	emit_store64(e, SCRATCH, RAX);
	EMIT(e, 0x65, 0x0f, 0xb7, 0x04, 0x25); /* movzx eax, word gs:[flags] */
	emit32(e, GS(flags));
	EMIT(e, 0x04, 0x7f, 0x9e); /* add al, 0x7f; sahf */
	emit_load64(e, RAX, SCRATCH);
}

enum recipe { RECIPE_NONE, RECIPE_SAME, RECIPE_TEST, RECIPE_ADD, RECIPE_SUB };

static bool has_displaced(uint16_t regs)
{
	return regs & (1 << SCRATCH0 | 1 << SCRATCH1);
}

static const struct insn_operand *destination(const struct decoded *d)
{
	return &d->row->operand[0];
}

static unsigned destination_reg(const struct decoded *d)
{
	return (destination(d)->kind == 'G' ? d->insn.reg : d->insn.rm) / 8;
}

/* How to have the flags of an instruction again, and from which registers. */
static enum recipe recipe_of(const struct decoded *d, uint16_t *inputs)
{
	const struct insn_operand *source = &d->row->operand[1];
	bool memory = d->insn.flags & INSN_MEM, immediate = source->kind == 'I';

	if (d->fetches || (destination(d)->kind == 'E' && memory))
		return RECIPE_NONE;
	*inputs = 1 << destination_reg(d);
	if (has_displaced(*inputs) || (d->insn.rm | d->insn.reg) & 1)
		return RECIPE_NONE;
	if (d->fx.op == JIT_OP_COMPARE) {
		if (memory)
			return RECIPE_NONE;
		if (!immediate)
			*inputs |= 1 << d->insn.rm / 8 | 1 << d->insn.reg / 8;
		return has_displaced(*inputs) ? RECIPE_NONE : RECIPE_SAME;
	}
	if (d->fx.op == JIT_OP_LOGIC)
		return RECIPE_TEST;
	if ((d->fx.op == JIT_OP_ADD || d->fx.op == JIT_OP_SUB) && immediate && d->insn.opsize >= 4 &&
	    ABS(d->insn.imm) < 1 << 30)
		return d->fx.op == JIT_OP_ADD ? RECIPE_ADD : RECIPE_SUB;
	return RECIPE_NONE;
}

static bool uses_scratch(enum recipe recipe)
{
	return recipe == RECIPE_ADD || recipe == RECIPE_SUB;
}

/* A fault of the host's would not find flags that have to be computed. */
static bool may_fault_in_host(const struct decoded *d)
{
	return d->fx.vector || d->fx.x87 || (d->fx.regs & 1 << RDX);
}

bool flags_needs(const struct decoded *d)
{
	return d->fx.flags_read || (d->fx.flags_changed && (d->live_out & ~d->fx.flags_killed));
}

void flags_prepare(struct jit_ctx *c, unsigned i)
{
	uint16_t inputs;

	if (c->flags.place != FLAGS_RECIPE)
		return;
	if (may_fault_in_host(&c->in[i]) ||
	    (flags_needs(&c->in[i]) &&
	     uses_scratch(recipe_of(&c->in[c->flags.producer], &inputs))))
		flags_need(c);
}

/* Whether the recipe works until the flags are set anew, its registers being written at most by
 * pushes and pops. */
static bool recipe_lasts(const struct jit_ctx *c, unsigned at)
{
	const struct decoded *producer = &c->in[c->flags.producer];
	uint16_t inputs = 0;
	enum recipe recipe = recipe_of(producer, &inputs);
	bool counts_rsp = (recipe == RECIPE_ADD || recipe == RECIPE_SUB) && inputs == 1 << RSP;

	if (recipe == RECIPE_NONE || may_fault_in_host(&c->in[at]) ||
	    (uses_scratch(recipe) && flags_needs(&c->in[at])))
		return false;
	for (unsigned i = c->flags.producer + 1; i < c->n && c->in[i].live_in; i++) {
		const struct decoded *d = &c->in[i];
		bool moves_rsp = d->fx.class == JIT_PUSH || d->fx.class == JIT_PUSHF ||
				 (d->fx.class == JIT_POP && d->insn.rm / 8 != RSP) ||
				 d->fx.class == JIT_CALL || d->fx.class == JIT_RET ||
				 d->fx.class == JIT_CALL_IND;

		if ((d->written & inputs) && !(counts_rsp && moves_rsp))
			return false;
		/* T0 takes the flags from the host. */
		if (d->fx.flags_changed || d->fx.class == JIT_STEP)
			break;
	}
	return true;
}

void flags_save(struct jit_ctx *c)
{
	emit_save(&c->e);
	c->flags.place = FLAGS_MEMORY;
}

void flags_clobber(struct jit_ctx *c, unsigned i)
{
	if (c->flags.place != FLAGS_HOST)
		return;
	if (!c->in[i].live_in) {
		c->flags.place = FLAGS_DEAD;
	} else if (c->flags.producer >= 0 && recipe_lasts(c, i)) {
		c->flags.place = FLAGS_RECIPE;
	} else {
		flags_save(c);
	}
}

static void emit_test(struct emit *e, unsigned reg, unsigned size)
{
	if (size == 2)
		emit8(e, 0x66);
	if (size == 1 && reg >= RSP && reg <= RDI)
		emit8(e, 0x40);
	emit_rr(e, size == 8, size == 1 ? 0x84 : 0x85, reg, reg);
}

/* The operand as it was before, then the operation on a copy. */
static void emit_again(struct jit_ctx *c, const struct flags_now *from, bool add)
{
	const struct decoded *d = &c->in[from->producer];
	unsigned reg = destination_reg(d);
	bool wide = d->insn.opsize == 8;
	int32_t imm = d->insn.imm;
	int32_t moved = reg == RSP ? from->rsp_moved : 0;
	struct host_mem was = MEM_AT(reg);

	was.disp = (add ? -imm : imm) - moved;
	emit_rm(&c->e, wide, 0x8d, SCRATCH1, was);
	EMIT(&c->e, wide ? 0x49 : 0x41, 0x81, (add ? 0xc0 : 0xe8) | (SCRATCH1 & 7));
	emit32(&c->e, imm);
}

static void emit_recipe(struct jit_ctx *c, const struct flags_now *from)
{
	const struct decoded *d = &c->in[from->producer];
	uint16_t inputs;

	switch (recipe_of(d, &inputs)) {
	case RECIPE_SAME:
		emit_bytes(&c->e, d->bytes, d->insn.len);
		break;
	case RECIPE_TEST:
		emit_test(&c->e, destination_reg(d), d->insn.opsize);
		break;
	case RECIPE_ADD:
		emit_again(c, from, true);
		break;
	case RECIPE_SUB:
		emit_again(c, from, false);
		break;
	case RECIPE_NONE:
		g_assert_not_reached();
	}
}

void flags_restore(struct jit_ctx *c, const struct flags_now *from)
{
	if (from->place == FLAGS_MEMORY)
		emit_load(&c->e);
	else if (from->place == FLAGS_RECIPE)
		emit_recipe(c, from);
}

void flags_need(struct jit_ctx *c)
{
	flags_restore(c, &c->flags);
	c->flags.place = FLAGS_HOST;
}

void flags_ran(struct jit_ctx *c, unsigned i)
{
	const struct jit_effects *fx = &c->in[i].fx;

	if (!fx->flags_changed)
		return;
	c->flags = (struct flags_now){.place = FLAGS_HOST,
				      .producer = fx->flags_killed == FL_ALL ? (int)i : -1};
}

void flags_reloaded(struct jit_ctx *c)
{
	c->flags = (struct flags_now){.place = FLAGS_HOST, .producer = -1};
}
