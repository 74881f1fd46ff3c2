/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a guest's memory operand is in the host: its address, the look into the TLB, and what is done
 * when that is in vain.
 */
#include "cpu/jit/translate.h"

static int32_t tlb_offset(const struct jit_ctx *c, bool write)
{
	return GS(tlbs) + c->class * sizeof(struct tlb) +
	       (write ? offsetof(struct tlb, write) : offsetof(struct tlb, read));
}

/* A register that an address is computed from, loaded to `scratch` where it is displaced. */
static unsigned address_reg(struct jit_ctx *c, unsigned offset, unsigned scratch)
{
	unsigned reg = offset / 8;

	if (!is_displaced(reg))
		return reg;
	emit_load64(&c->e, scratch, GPR(reg));
	return scratch;
}

static bool is_constant(const struct insn *insn)
{
	return (insn->base == INSN_PC || insn->base == INSN_ZERO) && insn->index == INSN_ZERO &&
	       insn->seg == INSN_SEG_NONE;
}

static uint64_t constant_address(const struct jit_ctx *c, const struct insn *insn)
{
	uint64_t address = (insn->base == INSN_PC ? c->page : 0) + insn->disp;

	return insn->addrsize == 8 ? address : (uint32_t)address;
}

/* The effective address, without the segment's base, to a scratch register. The other one may be needed
 * for it, too. */
void emit_ea(struct jit_ctx *c, const struct insn *insn, unsigned to)
{
	unsigned other = to == SCRATCH0 ? SCRATCH1 : SCRATCH0;
	struct host_mem m = {.base = NO_REG, .index = NO_REG, .scale = insn->scale};
	bool wide = insn->addrsize == 8;

	if (insn->base == INSN_PC) {
		uint64_t address = c->page + insn->disp;

		emit_mov_imm(&c->e, to, wide ? address : (uint32_t)address);
		return;
	}
	m.disp = insn->disp;
	if (insn->base != INSN_ZERO)
		m.base = address_reg(c, insn->base, to);
	if (insn->index != INSN_ZERO)
		m.index = address_reg(c, insn->index, other);
	if (m.base != NO_REG && m.index == NO_REG && !m.disp && wide)
		emit_mov64(&c->e, to, m.base);
	else
		emit_rm(&c->e, wide, 0x8d, to, m);
}

struct jit_insn *insn_record(struct jit_ctx *c, unsigned i)
{
	return &c->region->insns[c->loop.inside ? c->n + i : i];
}

/* Where flags are when a slow path is entered: what a recipe gives, its stub has put into the host's. */
enum flags_place record_flags(const struct jit_ctx *c)
{
	return c->flags.place == FLAGS_RECIPE ? FLAGS_HOST : c->flags.place;
}

/*
 * FS and GS of 32-bit code. Any base will do, but the segment must be whole, and the operand not wrap;
 * else T0 runs the instruction.
 */
static void emit_segment32(struct jit_ctx *c, unsigned i, unsigned size)
{
	enum x86_seg seg = c->in[i].insn.seg;
	struct emit *e = &c->e;

	insn_record(c, i)->flags = record_flags(c);
	emit_rm(e, false, 0xf6, 0, MEM_GS(GS(seg_partial))); /* test */
	emit8(e, 1 << seg);
	cold_new(c, COLD_STEP, emit_jcc(e, CC_NE))->record = insn_record(c, i);
	EMIT(e, 0x41, 0x81, 0xfa); /* cmp r10d, -size */
	emit32(e, -size);
	cold_new(c, COLD_STEP, emit_jcc(e, CC_A))->record = insn_record(c, i);
	emit_rm(e, false, 0x03, SCRATCH0, MEM_GS(GS(seg_base) + 8 * seg)); /* add */
}

void emit_segment(struct jit_ctx *c, unsigned i, unsigned size)
{
	struct host_mem sum = {.base = SCRATCH0, .index = SCRATCH1};
	const struct insn *insn = &c->in[i].insn;

	if (insn->seg == INSN_SEG_NONE)
		return;
	if (!c->wide) {
		emit_segment32(c, i, size);
		return;
	}
	emit_load64(&c->e, SCRATCH1, MEM_GS(GS(seg_base) + 8 * insn->seg));
	emit_lea64(&c->e, SCRATCH0, sum);
}

/* A second access of an instruction has a record of its own. */
static struct jit_insn *access_record(struct jit_ctx *c, unsigned i, unsigned size, bool write)
{
	struct jit_insn *r = insn_record(c, i);

	if (r->resume) {
		struct jit_insn *second = meta_alloc(c->cache, sizeof(*second));

		*second = *r;
		r = second;
	}
	r->size = size;
	r->write = write;
	r->flags = record_flags(c);
	return r;
}

/* The offset in a TLB's table of the slot for the address in SCRATCH0 to SCRATCH1. */
static void emit_tlb_index(struct emit *e)
{
	G_STATIC_ASSERT(sizeof(struct tlb_entry) == 16);
	EMIT(e, 0xc4, 0x43, 0xfb, 0xf0, 0xda, 8); /* rorx r11, r10, 8 */
	EMIT(e, 0x41, 0x81, 0xe3);		  /* and r11d, (TLB_SIZE - 1) * 16 */
	emit32(e, (TLB_SIZE - 1) * 16);
}

/* The slot of the TLB for the address in SCRATCH0 to SCRATCH1, and SCRATCH0 XORed with its tag; jumps
 * away where the bytes do not all lie in the slot's page. */
static struct cold *emit_look_up_any(struct jit_ctx *c, enum cold_kind kind, unsigned size, bool write)
{
	int32_t tags = tlb_offset(c, write) + offsetof(struct tlb_entry, tag);
	struct emit *e = &c->e;
	struct cold *cold;

	c->delta_held = -1;
	emit_tlb_index(e);
	emit_rm(e, true, 0x33, SCRATCH0, MEM_GS_AT(SCRATCH1, tags)); /* xor */
	EMIT(e, 0x49, 0x81, 0xfa);				     /* cmp r10, 4096 - size */
	emit32(e, 4096 - size);
	cold = cold_new(c, kind, emit_jcc(e, CC_A));
	cold->tags = tags;
	return cold;
}

/* The same by the stack's own entry, whose place is known. */
static struct cold *emit_look_up_stack(struct jit_ctx *c, enum cold_kind kind, unsigned size,
				       bool write)
{
	struct emit *e = &c->e;
	struct cold *cold;

	c->delta_held = -1;
	emit_rm(e, true, 0x33, SCRATCH0, JIT(stack[c->class][write].tag)); /* xor */
	EMIT(e, 0x49, 0x81, 0xfa);					    /* cmp r10, 4096 - size */
	emit32(e, 4096 - size);
	cold = cold_new(c, kind, emit_jcc(e, CC_A));
	cold->tags = tlb_offset(c, write) + offsetof(struct tlb_entry, tag);
	cold->stack = true;
	return cold;
}

static struct cold *emit_look_up(struct jit_ctx *c, enum cold_kind kind, unsigned size, bool write,
				 bool stack)
{
	return stack ? emit_look_up_stack(c, kind, size, write)
		     : emit_look_up_any(c, kind, size, write);
}

static int32_t deltas(const struct jit_ctx *c, bool write)
{
	return tlb_offset(c, write) + offsetof(struct tlb_entry, delta);
}

/* Checks the address in SCRATCH0. Afterwards the distance to the host's is in SCRATCH1, and with `keep`
 * the address still in SCRATCH0. */
void emit_check(struct jit_ctx *c, unsigned i, const struct access_plan *a, bool keep,
		       bool stack)
{
	struct cold *cold = emit_look_up(c, COLD_ACCESS, a->size, a->write, stack);
	struct jit_insn *record = access_record(c, i, a->size, a->write);

	cold->record = record;
	if (keep)
		emit_rm(&c->e, true, 0x33, SCRATCH0, MEM_GS_AT(SCRATCH1, cold->tags)); /* xor */
	emit_load64(&c->e, SCRATCH1,
		    stack ? JIT(stack[c->class][a->write].delta)
			  : MEM_GS_AT(SCRATCH1, deltas(c, a->write)));
	record->resume = emit_here(&c->e);
}

/* The same for an address known now: its slot in the TLB is known, too. */
static void emit_constant_check(struct jit_ctx *c, unsigned i, const struct access_plan *a,
				uint64_t address)
{
	int32_t entry = tlb_offset(c, a->write) + address / 4096 % TLB_SIZE * 16;
	struct jit_insn *record = access_record(c, i, a->size, a->write);
	uint64_t page = address & ~4095ull;
	struct emit *e = &c->e;
	struct cold *cold;

	c->delta_held = -1;
	if (page == (uint64_t)(int32_t)page) {
		emit_rm(e, true, 0x81, 7, MEM_GS(entry)); /* cmp */
		emit32(e, page);
	} else {
		emit_mov_imm(e, SCRATCH1, page);
		emit_rm(e, true, 0x39, SCRATCH1, MEM_GS(entry));
	}
	cold = cold_new(c, COLD_ACCESS, emit_jcc(e, CC_NE));
	cold->record = record;
	cold->constant = true;
	cold->address = address;
	emit_load64(e, SCRATCH1, MEM_GS(entry + offsetof(struct tlb_entry, delta)));
	record->resume = emit_here(e);
}

/* Whether an instruction leaves SCRATCH0 alone while that has the distance of a group. */
static bool keeps_delta(const struct decoded *d, int group)
{
	const struct access_plan *operand = &d->access[ACCESS_OPERAND];
	const struct access_plan *stack = &d->access[ACCESS_STACK];

	if (d->displaced || d->fetches || d->crosses || d->fx.x87 ||
	    (operand->size && operand->group != group) || (stack->size && stack->group != group))
		return false;
	switch (d->fx.class) {
	case JIT_COPY:
		return !(d->insn.flags & INSN_MEM) || operand->size;
	case JIT_PUSH:
		return !operand->size;
	case JIT_POP:
	case JIT_NOP:
	case JIT_JCC:
		return true;
	default:
		return false;
	}
}

/* Whether the distance has to be fetched again for a later member of the group that i leads. */
static bool is_lost_before_last(const struct jit_ctx *c, unsigned i, int group)
{
	unsigned left = c->groups[group].members;
	bool kept = true;

	for (unsigned k = i; k < c->n && left; k++) {
		const struct decoded *d = &c->in[k];

		/* What some need the scratch registers for before their own access. */
		if (d->crosses || d->fx.class == JIT_PUSHF || d->fx.class == JIT_CALL_IND)
			kept = false;
		for (unsigned a = 0; a < N_ACCESSES; a++) {
			if (d->access[a].group != group || !d->access[a].size)
				continue;
			if (!d->access[a].leads &&
			    (!kept || (a == ACCESS_STACK && d->access[ACCESS_OPERAND].size)))
				return true;
			left--;
		}
		kept &= keeps_delta(d, group);
	}
	return false;
}

/* The check of all accesses of a group, ahead of the first; `first` is its operand. */
static void emit_group_check(struct jit_ctx *c, unsigned i, const struct access_plan *a,
			     struct host_mem first)
{
	const struct group *group = &c->groups[a->group];
	unsigned size = group->high - group->low;
	bool stack = first.base == RSP && first.index == NO_REG;
	struct jit_group *record = meta_alloc(c->cache, sizeof(*record));
	struct cold *cold;

	flags_clobber(c, i);
	first.disp += group->low - a->offset;
	if (first.disp || first.index != NO_REG)
		emit_lea64(&c->e, SCRATCH0, first);
	else
		emit_mov64(&c->e, SCRATCH0, first.base);
	cold = emit_look_up(c, COLD_GROUP, size, group->write, stack);
	*record = (struct jit_group){.region = c->region,
				     .size = size,
				     .leader_writes = a->write,
				     .write = group->write,
				     .flags = record_flags(c),
				     .exit = exit_new(c, c->page + c->in[i].offset, true)};
	cold->record = record;
	emit_load64(&c->e, SCRATCH0,
		    stack ? JIT(stack[c->class][group->write].delta)
			  : MEM_GS_AT(SCRATCH1, deltas(c, group->write)));
	record->resume = emit_here(&c->e);
	c->groups[a->group].stored = is_lost_before_last(c, i, a->group);
	if (c->groups[a->group].stored)
		emit_store64(&c->e, JIT(deltas[a->group]), SCRATCH0);
	c->delta_held = a->group;
}

static bool is_grouped(const struct jit_ctx *c, const struct access_plan *a)
{
	return a->group >= 0 &&
	       (c->groups[a->group].members > 1 || c->groups[a->group].windowed);
}

/* The host's operand for a guest's [base + index << scale + disp] in a group. */
static struct host_mem emit_grouped(struct jit_ctx *c, unsigned i, const struct access_plan *a,
				    struct host_mem m)
{
	if (c->groups[a->group].windowed)
		return emit_windowed(c, a, m);
	if (a->leads) {
		emit_group_check(c, i, a, m);
	} else if (c->delta_held != a->group) {
		g_assert(c->groups[a->group].stored);
		emit_load64(&c->e, SCRATCH0, JIT(deltas[a->group]));
		c->delta_held = a->group;
	}
	if (m.index != NO_REG) {
		emit_lea64(&c->e, SCRATCH1, m);
		m = MEM_AT(SCRATCH1);
	}
	m.index = SCRATCH0;
	m.scale = 0;
	return m;
}

/*
 * The memory operand of instruction i, where the host has it. It is made of SCRATCH0 and SCRATCH1, but
 * leaves SCRATCH1 free where the instruction has an operand to be put there.
 */
struct host_mem emit_operand(struct jit_ctx *c, unsigned i)
{
	const struct insn *insn = &c->in[i].insn;
	const struct access_plan *a = &c->in[i].access[ACCESS_OPERAND];
	struct host_mem m = {.base = insn->base / 8, .index = NO_REG, .disp = insn->disp};
	bool simple = insn->base < INSN_ZERO && !is_displaced(m.base) &&
		      insn->index == INSN_ZERO && insn->seg == INSN_SEG_NONE &&
		      insn->addrsize == 8 && !c->in[i].displaced;
	bool plain = insn->base < INSN_ZERO && !is_displaced(m.base) && insn->index < INSN_ZERO &&
		     !is_displaced(insn->index / 8) && insn->seg == INSN_SEG_NONE &&
		     insn->addrsize == 8;

	if (is_grouped(c, a)) {
		if (insn->index != INSN_ZERO) {
			m.index = insn->index / 8;
			m.scale = insn->scale;
		}
		return emit_grouped(c, i, a, m);
	}
	flags_clobber(c, i);
	if (is_constant(insn) && constant_address(c, insn) % 4096 <= 4096 - a->size) {
		uint64_t address = constant_address(c, insn);

		emit_constant_check(c, i, a, address);
		if (address == (uint64_t)(int32_t)address && !c->in[i].displaced) {
			m = MEM_AT(SCRATCH1);
			m.disp = address;
			return m;
		}
		emit_mov_imm(&c->e, SCRATCH0, address);
	} else if (plain && !simple) {
		m.index = insn->index / 8;
		m.scale = insn->scale;
		emit_ea(c, insn, SCRATCH0);
		emit_check(c, i, a, false, false);
		/* Computed anew, it need not wait for the TLB's tag. */
		emit_lea64(&c->e, SCRATCH0, m);
	} else {
		emit_ea(c, insn, SCRATCH0);
		emit_segment(c, i, a->size);
		emit_check(c, i, a, !simple, simple && m.base == RSP);
	}
	if (simple) {
		m.index = SCRATCH1;
		return m;
	}
	m = MEM_AT(SCRATCH0);
	if (c->in[i].displaced)
		emit_rr(&c->e, true, 0x03, SCRATCH0, SCRATCH1); /* add */
	else
		m.index = SCRATCH1;
	return m;
}

/* What is pushed to or popped from [reg + disp]; stack_scratch() says which register is free. */
struct host_mem emit_stack(struct jit_ctx *c, unsigned i, unsigned reg, int disp)
{
	const struct access_plan *a = &c->in[i].access[ACCESS_STACK];
	struct host_mem m = MEM_AT(reg);

	m.disp = disp;
	if (is_grouped(c, a)) {
		m = emit_grouped(c, i, a, m);
		insn_record(c, i)->fault_flags = record_flags(c);
		return m;
	}
	flags_clobber(c, i);
	emit_rm(&c->e, c->wide, 0x8d, SCRATCH0, m); /* lea */
	emit_check(c, i, a, false, reg == RSP);
	insn_record(c, i)->fault_flags = record_flags(c);
	if (!c->wide) {
		emit_rm(&c->e, false, 0x8d, SCRATCH0, m); /* lea */
		emit_rr(&c->e, true, 0x03, SCRATCH0, SCRATCH1); /* add */
		return MEM_AT(SCRATCH0);
	}
	m.index = SCRATCH1;
	return m;
}

unsigned stack_scratch(const struct jit_ctx *c, const struct host_mem *m)
{
	return m->index == SCRATCH1 ? SCRATCH0 : SCRATCH1;
}

uint8_t *emit_find(struct jit_ctx *c, unsigned size, bool write, bool stack)
{
	int32_t tags = tlb_offset(c, write) + offsetof(struct tlb_entry, tag);
	struct emit *e = &c->e;
	uint8_t *slow;

	if (!stack)
		emit_tlb_index(e);
	emit_rm(e, true, 0x33, SCRATCH0, /* xor */
		stack ? JIT(stack[c->class][write].tag) : MEM_GS_AT(SCRATCH1, tags));
	EMIT(e, 0x49, 0x81, 0xfa); /* cmp r10, 4096 - size */
	emit32(e, 4096 - size);
	slow = emit_jcc(e, CC_A);
	emit_load64(e, SCRATCH1,
		    stack ? JIT(stack[c->class][write].delta)
			  : MEM_GS_AT(SCRATCH1, deltas(c, write)));
	return slow;
}

uint8_t *emit_find_page(struct jit_ctx *c, unsigned reg, bool write)
{
	emit_mov64(&c->e, SCRATCH0, reg);
	return emit_find(c, 1, write, false);
}

/*
 * Leaves the address in SCRATCH0. Where it was looked for in the stack's entry only, it may be in the
 * TLB: that becomes the stack's entry then, and `to` gets the distance for `resume`.
 */
void emit_cold_address(struct jit_ctx *c, const struct cold *cold, unsigned size, bool write,
			      unsigned to, const uint8_t *resume)
{
	struct emit *e = &c->e;
	uint8_t *miss;

	if (cold->stack) {
		emit_rm(e, true, 0x33, SCRATCH0, JIT(stack[c->class][write].tag));
		emit_tlb_index(e);
		emit_rm(e, true, 0x33, SCRATCH0, MEM_GS_AT(SCRATCH1, cold->tags));
		EMIT(e, 0x49, 0x81, 0xfa); /* cmp r10, 4096 - size */
		emit32(e, 4096 - size);
		miss = emit_jcc(e, CC_A);
		emit_load64(e, SCRATCH0, MEM_GS_AT(SCRATCH1, cold->tags));
		emit_store64(e, JIT(stack[c->class][write].tag), SCRATCH0);
		emit_load64(e, to, MEM_GS_AT(SCRATCH1, deltas(c, write)));
		emit_store64(e, JIT(stack[c->class][write].delta), to);
		emit_jmp_to(e, resume);
		emit_patch_here(e, miss);
	}
	if (cold->constant)
		emit_mov_imm(e, SCRATCH0, cold->address);
	else
		emit_rm(e, true, 0x33, SCRATCH0, MEM_GS_AT(SCRATCH1, cold->tags));
}

void emit_cold_access(struct jit_ctx *c, const struct cold *cold)
{
	const struct jit_insn *record = cold->record;

	emit_cold_address(c, cold, record->size, record->write, SCRATCH1, record->resume);
	if (cold->flags.place == FLAGS_RECIPE)
		flags_restore(c, &cold->flags);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, record));
	emit_jmp_to(&c->e, record->write ? c->cache->thunk.store[c->class]
					 : c->cache->thunk.access);
}

