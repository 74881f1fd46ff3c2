/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions make a region: from its entry on, over branches that are not taken and along
 * jumps that go forward, in one page; and which flags each of them must leave intact.
 */
#include "cpu/jit/recode.h"
#include "cpu/jit/region.h"

#include "cpu/x86/mmu.h"
#include "cpu/x86/model.h"

/* How far beyond a branch's target is looked for who reads flags. */
#define PEEK_MAX 8

/* Decodes what is in d->bytes. */
static bool decode(const struct jit_ctx *c, unsigned n, unsigned offset, struct decoded *d)
{
	if (insn_decode(d->bytes, n, c->wide ? INSN_MODE_64 : INSN_MODE_32, c->cpu->model->has, offset,
			&d->insn) != INSN_OK)
		return false;
	/* MODE_FLAT */
	if (d->insn.seg == X86_DS || d->insn.seg == X86_SS || d->insn.seg == X86_ES)
		d->insn.seg = INSN_SEG_NONE;
	d->row = insn_row_get(d->insn.row);
	return true;
}

/* Decodes at `offset` of a page. False: the instruction does not lie in it, or is none. */
static bool decode_at(struct jit_ctx *c, struct jit_source *source, unsigned offset,
		      struct decoded *d)
{
	const uint8_t *page = mmu_hva(c->cpu, source->gpa);
	unsigned n = MIN(4096 - offset, INSN_MAX_LEN);

	if (!c->compared)
		code_mark_lines(c->cpu, source->gpa + offset, &source->lines);
	memset(d->bytes, 0, sizeof(d->bytes));
	memcpy(d->bytes, page + offset, n);
	d->offset = offset;
	return decode(c, n, offset, d);
}

static bool in_page(const struct jit_ctx *c, uint64_t rip)
{
	return (rip & ~4095ull) == c->page;
}

/* The code page at a linear address, if it can be had without a fault. */
static struct jit_source *source_of(struct jit_ctx *c, uint64_t rip)
{
	uint64_t gpa;
	bool global;

	if (c->compared)
		return NULL;
	if (in_page(c, rip))
		return &c->sources[0];
	if (!mmu_peek_code(c->cpu, rip, &gpa, &global))
		return NULL;
	gpa &= ~4095ull;
	if (code_is_compared(c->cpu, gpa))
		return NULL;
	for (unsigned i = 0; i < c->n_sources; i++)
		if (c->sources[i].gpa == gpa)
			return &c->sources[i];
	if (c->n_sources == JIT_MAX_SOURCES)
		return NULL;
	c->sources[c->n_sources] = (struct jit_source){.gpa = gpa};
	return &c->sources[c->n_sources++];
}

/* The same for an instruction that ends in the next page. */
static bool decode_crossing(struct jit_ctx *c, unsigned offset, struct decoded *d)
{
	unsigned first = 4096 - offset;
	struct jit_source *second;

	if (c->compared || first >= INSN_MAX_LEN || !code_address(c, 4096))
		return false;
	second = source_of(c, c->page + 4096);
	if (!second || second == &c->sources[0])
		return false;
	memcpy(d->bytes, mmu_hva(c->cpu, c->sources[0].gpa) + offset, first);
	code_mark_lines(c->cpu, second->gpa, &second->lines);
	memcpy(d->bytes + first, mmu_hva(c->cpu, second->gpa), INSN_MAX_LEN - first);
	if (!decode(c, INSN_MAX_LEN, offset, d) || d->insn.next <= 4096)
		return false;
	d->crosses = true;
	c->second_gpa = second->gpa;
	return true;
}

/* The count of a shift by an immediate, or -1. */
static int shift_count(const struct decoded *d)
{
	const struct insn_operand *last = NULL;

	for (unsigned i = 0; i < INSN_MAX_OPERANDS && d->row->operand[i].kind; i++)
		last = &d->row->operand[i];
	if (last->kind == 'I' || (last->kind == 'f' && last->size[0] == '1'))
		return d->insn.imm & (d->insn.opsize == 8 ? 63 : 31);
	return -1;
}

static void shift_effects(struct decoded *d)
{
	int count = shift_count(d);

	if (count == 0)
		d->fx.flags_changed = d->fx.flags_killed = d->fx.flags_read = 0;
	else if (count < 0)
		d->fx.flags_killed = 0;
	else if (count == 1 || d->fx.flags_killed == FL_ALL)
		d->fx.flags_killed = d->fx.flags_changed;
}

static uint16_t register_bit(const struct decoded *d, const struct insn_operand *op)
{
	switch (op->kind) {
	case 'G':
		return 1 << d->insn.reg / 8;
	case 'B':
		return 1 << d->insn.vvvv / 8;
	case 'E':
		return d->insn.flags & INSN_MEM ? 0 : 1 << d->insn.rm / 8;
	case 'R':
	case 'Z':
		return 1 << d->insn.rm / 8;
	case 'f':
		return op->size[0] == 'a' || op->size[0] == 'r' || op->size[0] == 'e' ? 1 << RAX : 0;
	}
	return 0;
}

uint16_t region_registers_written(const struct decoded *d)
{
	uint16_t written = d->fx.regs;

	if (!(d->row->flags & IF_NODST) && d->fx.class != JIT_PUSH)
		written |= register_bit(d, &d->row->operand[0]);
	if (d->fx.writes_second)
		written |= register_bit(d, &d->row->operand[1]);
	return written;
}

/* Operands that may be general registers. */
#define REGISTER_KINDS \
	(INSN_KIND('G') | INSN_KIND('B') | INSN_KIND('E') | INSN_KIND('R') | INSN_KIND('Z'))

/* Distinct registers among the operands that do not stand in the host's. */
static unsigned displaced_operands(const struct decoded *d)
{
	uint16_t regs = 0;

	for (unsigned i = 0; i < INSN_MAX_OPERANDS && d->row->operand[i].kind; i++)
		if (INSN_KIND(d->row->operand[i].kind) & REGISTER_KINDS)
			regs |= register_bit(d, &d->row->operand[i]);
	return (regs >> SCRATCH0 & 1) + (regs >> SCRATCH1 & 1);
}

/* Forms that the general ways do not cover. */
static bool is_special(const struct jit_ctx *c, const struct decoded *d)
{
	const struct insn *insn = &d->insn;

	switch (d->fx.class) {
	case JIT_NOP:
		/* Some processors refuse it of a register. */
		return !is_memory(d) && d->row->name[0] == 'p';
	case JIT_COPY:
		/* Bits that 32-bit code may set at will would name other registers. */
		if (!c->wide && (d->row->flags & IF_AVX512))
			return true;
		/* What a mask leaves out is not to be accessed. */
		if (is_memory(d) && (insn->evex & INSN_EVEX_MASK))
			return true;
		/* FWAIT is not the x87's by its row; whether TS stops it depends on MP. */
		if (d->fx.x87 && (c->cpu->mode_key & MODE_TS))
			return true;
		if (is_memory(d) && (insn_mem_size(d->row, insn) == 0 || d->displaced > 1))
			return true;
		return insn->flags & (INSN_REP | INSN_REPNE) && d->row->prefix <= INSN_PREFIX_NFX &&
		       d->row->vex == INSN_VEX_NONE && (d->row->flags & IF_REP);
	case JIT_BT:
		return insn->opsize == 2 || insn->seg != INSN_SEG_NONE ||
		       insn->addrsize != stack_size(c);
	case JIT_REP:
		return !(insn->flags & (d->fx.flags_changed ? INSN_REP | INSN_REPNE : INSN_REP)) ||
		       insn->addrsize != stack_size(c) ||
		       insn->seg != INSN_SEG_NONE;
	case JIT_PUSH:
	case JIT_POP:
	case JIT_LEAVE:
	case JIT_PUSHF:
		return insn->opsize != stack_size(c);
	case JIT_CLI:
	case JIT_STI:
	case JIT_AC:
		return c->cpu->mode_key & MODE_USER;
	default:
		return false;
	}
}

/* Arithmetic and moves of a 32-bit immediate to a register of the host's. */
static bool can_fetch(const struct decoded *d)
{
	const struct insn_operand *source = &d->row->operand[1];

	return d->fx.class == JIT_COPY && !is_memory(d) && !d->displaced && !d->fx.vector &&
	       source->kind == 'I' && source->size[0] != 'b' && d->insn.opsize >= 4 &&
	       !d->row->operand[2].kind && d->insn.rm % 8 == 0 &&
	       (d->row->map == 0 && (d->row->opcode == 0x81 || d->row->opcode == 0xc7 ||
				     (d->row->plus_r && d->insn.opsize == 4) ||
				     (d->row->opcode < 0x40 && (d->row->opcode & 7) == 5)));
}

/* 40 to 4F, which are prefixes in 64-bit code. */
static bool is_short_inc(const struct decoded *d)
{
	return d->row->plus_r && d->row->map == 0 && (d->row->opcode & 0xf0) == 0x40;
}

/* Bits of a VEX encoding that 32-bit mode ignores and 64-bit mode does not, any EVEX one, and
 * VZEROUPPER, which leaves half the registers alone. */
static bool is_odd_vex(const struct decoded *d)
{
	struct recode r;

	if (d->row->vex == INSN_VEX_NONE || d->row->evex)
		return d->row->evex;
	recode_parse(&r, d->row, d->bytes, d->insn.len, false);
	return (r.rex & 7) || r.vvvv > 7 ||
	       ((r.rex & 8) && (d->row->w == INSN_ANY || insn_has_kind(d->row, REGISTER_KINDS | INSN_KIND('M')))) ||
	       (insn_has_kind(d->row, INSN_KIND('L')) && (d->insn.imm & 0x80)) || !d->row->operand[0].kind;
}

/* Forms of 32-bit code that 64-bit code does not have, or not with the same bytes. */
static bool is_odd32(const struct decoded *d)
{
	const struct insn *insn = &d->insn;

	if (is_memory(d) && (insn->addrsize != 4 || insn->seg == X86_CS))
		return true;
	if (is_odd_vex(d))
		return true;
	return d->fx.class == JIT_COPY && (d->row->flags & IF_NO64) && !is_short_inc(d);
}

/* A0 to A3 get an operand like others'. */
static bool make_absolute(struct decoded *d)
{
	struct insn *insn = &d->insn;

	if (!insn_has_kind(d->row, INSN_KIND('O')) || insn->addrsize != 4 || insn->seg == X86_CS)
		return false;
	insn->flags |= INSN_MEM;
	insn->disp = insn->imm;
	return true;
}

static void specialise32(struct decoded *d)
{
	bool branch = d->fx.class >= JIT_JCC && d->fx.class < JIT_END;

	if (make_absolute(d))
		d->fx = (struct jit_effects){JIT_ABSOLUTE};
	else if (branch && (d->insn.opsize != 4 || is_odd32(d)))
		d->fx = (struct jit_effects){JIT_END, .regs = 0xffff};
	else if (d->fx.class != JIT_END && is_odd32(d))
		d->fx = (struct jit_effects){JIT_STEP, .regs = 0xffff};
}

static void specialise(struct jit_ctx *c, struct decoded *d)
{
	d->fx = *effects_get(d->insn.row);
	d->displaced = displaced_operands(d);
	if (code_routine_in_mode(d->row, &d->insn, c->cpu->mode_key) != d->insn.exec)
		d->fx = (struct jit_effects){JIT_END, .regs = 0xffff};
	if (d->fx.by_condition)
		d->fx.flags_read = effects_condition_flags(d->row->opcode & 0xf);
	if (d->fx.shift)
		shift_effects(d);
	if (d->fx.class == JIT_COPY && is_memory(d) && d->row->operand[1].kind == 'G' &&
	    d->row->name[0] == 'b' && d->row->name[1] == 't')
		d->fx.class = JIT_BT;
	if (is_special(c, d))
		d->fx = (struct jit_effects){d->row->flags & IF_END ? JIT_END : JIT_STEP,
					     .regs = 0xffff};
	if (!c->wide)
		specialise32(d);
	if (d->fx.class == JIT_STEP || d->fx.class == JIT_END)
		d->fx.flags_read = FL_ALL;
	d->written = region_registers_written(d);
	d->fetches = c->compared && can_fetch(d);
}

static uint64_t target_of(const struct jit_ctx *c, const struct decoded *d)
{
	return code_address(c, d->insn.imm);
}

/*
 * Flags that the code at `rip` reads before it sets them, those in doubt included. Calls and jumps
 * to known places are followed. What is found holds while the bytes that were seen stay; a mapping
 * that changes under them would have to bring code that reads flags its caller set.
 */
static uint8_t live_at(struct jit_ctx *c, uint64_t rip)
{
	struct jit_source *source = source_of(c, rip);
	uint8_t open = FL_ALL, read = 0;
	struct decoded d;

	for (unsigned i = 0; i < PEEK_MAX && open && source; i++) {
		if (!decode_at(c, source, rip % 4096, &d))
			break;
		specialise(c, &d);
		read |= d.fx.flags_read & open;
		open &= ~d.fx.flags_killed;
		rip = (rip & ~4095ull) + d.insn.next;
		if (d.fx.class == JIT_CALL || d.fx.class == JIT_JMP) {
			rip += d.insn.imm - d.insn.next;
			if (!c->wide)
				rip = (uint32_t)rip;
			source = source_of(c, rip);
		} else if (d.fx.class >= JIT_JCC || d.fx.class == JIT_STEP || rip % 4096 == 0) {
			break;
		}
	}
	return read | open;
}

static bool ends(const struct decoded *d)
{
	return d->fx.class > JIT_JCC;
}

/* A jump that the region goes along. */
static bool follows(const struct jit_ctx *c, const struct decoded *d)
{
	uint64_t target = target_of(c, d);

	return d->fx.class == JIT_JMP && !c->compared && in_page(c, target) && target > c->page + d->offset &&
	       c->n < JIT_MAX_INSNS - 1;
}

/* Rewritten code is compared up to the first instruction that may rewrite it. */
static bool may_rewrite(const struct decoded *d)
{
	return d->fx.class == JIT_STEP || d->fx.class == JIT_REP || d->fx.class == JIT_PUSH || d->fx.class == JIT_PUSHF ||
	       (is_memory(d) && (d->fx.class == JIT_COPY || d->fx.class == JIT_BT) && insn_mem_written(d->row));
}

bool region_follows_sti(const struct jit_ctx *c)
{
	return c->n > 1 && c->in[c->n - 2].fx.class == JIT_STI;
}

static void collect(struct jit_ctx *c, unsigned offset)
{
	unsigned exits = 0;

	while (c->n < JIT_MAX_INSNS && offset < 4096) {
		struct decoded *d = &c->in[c->n];

		d->crosses = false;
		if (!decode_at(c, &c->sources[0], offset, d) && !decode_crossing(c, offset, d))
			break;
		specialise(c, d);
		c->n++;
		offset = d->insn.next;
		c->uses_vectors |= d->fx.vector;
		c->uses_wide |= d->fx.wide;
		c->uses_x87 |= d->fx.x87;
		c->uses_high |= d->fx.wide && insn_vector_size(&d->insn) == 64;
		if (d->fx.class == JIT_JCC && ++exits == JIT_MAX_EXITS - 1)
			break;
		/* Now interrupts are looked for. */
		if (region_follows_sti(c))
			break;
		if (follows(c, d)) {
			d->fx.class = JIT_NOP;
			offset = target_of(c, d) - c->page;
		} else if (ends(d) || (c->compared && may_rewrite(d))) {
			break;
		}
	}
	/* What follows STI is to run before an interrupt is looked for. */
	if (c->n && c->in[c->n - 1].fx.class == JIT_STI)
		c->in[c->n - 1].fx = (struct jit_effects){JIT_END, FL_ALL, .regs = 0xffff};
	c->end = code_address(c, offset);
}

/* The same for where instruction i branches; what lies behind it in the region is known already. */
static uint8_t live_at_target(struct jit_ctx *c, unsigned i)
{
	uint64_t target = target_of(c, &c->in[i]);

	for (unsigned k = i + 1; in_page(c, target) && k < c->n; k++)
		if (c->in[k].offset == target % 4096)
			return c->in[k].live_in;
	return live_at(c, target);
}

/* Once; a loop's branch back goes to what is read at its start. */
static void find_live_once(struct jit_ctx *c)
{
	uint8_t live = c->n && ends(&c->in[c->n - 1]) ? 0 : live_at(c, c->end);
	uint8_t at_start = c->loop.found ? c->in[0].live_in : 0;

	for (unsigned i = c->n; i-- > 0;) {
		struct decoded *d = &c->in[i];

		if (d->fx.class == JIT_AC) {
			live = d->live_target = live_at(c, code_address(c, d->insn.next));
		} else if (d->fx.class == JIT_JCC || d->fx.class == JIT_JMP ||
			   d->fx.class == JIT_CALL) {
			d->live_target = loop_is_back(c, i) ? at_start : live_at_target(c, i);
			live |= d->live_target;
		} else if (ends(d)) {
			live = FL_ALL;
		}
		d->live_out = live;
		live = (live & ~d->fx.flags_killed) | d->fx.flags_read;
		d->live_in = live;
	}
	/* The bytes may turn out to be others, which read them. */
	if (c->compared && c->n)
		c->in[0].live_in = FL_ALL;
}

static void find_live(struct jit_ctx *c)
{
	c->in[0].live_in = 0;
	find_live_once(c);
	if (c->loop.found && c->in[0].live_in)
		find_live_once(c);
}

bool region_form(struct jit_ctx *c, uint64_t gpa)
{
	collect(c, gpa % 4096);
	if (!c->n)
		return false;
	loop_find(c);
	find_live(c);
	/* The second translation has no room for flags. */
	c->loop.found &= !c->in[0].live_in;
	group_accesses(c);
	return c->in[0].fx.class != JIT_END || c->n > 1;
}
