/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translates a region, instruction by instruction. README.md says what holds between two of them.
 */
#include "cpu/jit/recode.h"
#include "cpu/jit/region.h"
#include "cpu/x86/mmu.h"

#define GPR(n) MEM_GS(GS_GPR(n))
#define JIT(field) MEM_GS(GS(jit.field))

static bool is_displaced(unsigned reg)
{
	return reg == SCRATCH0 || reg == SCRATCH1;
}

static struct cold *cold_new(struct jit_ctx *c, enum cold_kind kind, uint8_t *jump)
{
	struct cold *cold = &c->cold[c->n_cold++];

	g_assert(c->n_cold <= MAX_COLD);
	*cold = (struct cold){.kind = kind, .flags = c->flags, .jump = jump};
	return cold;
}

/* Addresses */

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
static void emit_ea(struct jit_ctx *c, const struct insn *insn, unsigned to)
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

static struct jit_insn *insn_record(struct jit_ctx *c, unsigned i)
{
	return &c->region->insns[i];
}

/* Where flags are when a slow path is entered: what a recipe gives, its stub has put into the host's. */
static enum flags_place record_flags(const struct jit_ctx *c)
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

static void emit_segment(struct jit_ctx *c, unsigned i, unsigned size)
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

/* The slot of the TLB for the address in SCRATCH0 to SCRATCH1, and SCRATCH0 XORed with its tag; jumps
 * away where the bytes do not all lie in the slot's page. */
static struct cold *emit_look_up_any(struct jit_ctx *c, enum cold_kind kind, unsigned size, bool write)
{
	int32_t tags = tlb_offset(c, write) + offsetof(struct tlb_entry, tag);
	struct emit *e = &c->e;
	struct cold *cold;

	G_STATIC_ASSERT(sizeof(struct tlb_entry) == 16);
	c->delta_held = -1;
	EMIT(e, 0xc4, 0x43, 0xfb, 0xf0, 0xda, 8); /* rorx r11, r10, 8 */
	EMIT(e, 0x41, 0x81, 0xe3);		  /* and r11d, (TLB_SIZE - 1) * 16 */
	emit32(e, (TLB_SIZE - 1) * 16);
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
static void emit_check(struct jit_ctx *c, unsigned i, const struct access_plan *a, bool keep,
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
	emit_mov_imm(e, SCRATCH0, address);
	if (page == (uint64_t)(int32_t)page) {
		emit_rm(e, true, 0x81, 7, MEM_GS(entry)); /* cmp */
		emit32(e, page);
	} else {
		emit_mov_imm(e, SCRATCH1, page);
		emit_rm(e, true, 0x39, SCRATCH1, MEM_GS(entry));
	}
	cold = cold_new(c, COLD_ACCESS, emit_jcc(e, CC_NE));
	cold->record = record;
	cold->restored = true;
	emit_load64(e, SCRATCH1, MEM_GS(entry + offsetof(struct tlb_entry, delta)));
	record->resume = emit_here(e);
}

static struct jit_exit *exit_new(struct jit_ctx *c, uint64_t rip, bool plain);

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
	emit_lea64(&c->e, SCRATCH0, first);
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
	emit_store64(&c->e, JIT(deltas[a->group]), SCRATCH0);
	c->delta_held = a->group;
}

static bool is_grouped(const struct jit_ctx *c, const struct access_plan *a)
{
	return a->group >= 0 && c->groups[a->group].members > 1;
}

/* The host's operand for a guest's [base + index << scale + disp] in a group. */
static struct host_mem emit_grouped(struct jit_ctx *c, unsigned i, const struct access_plan *a,
				    struct host_mem m)
{
	if (a->leads) {
		emit_group_check(c, i, a, m);
	} else if (c->delta_held != a->group) {
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
static struct host_mem emit_operand(struct jit_ctx *c, unsigned i)
{
	const struct insn *insn = &c->in[i].insn;
	const struct access_plan *a = &c->in[i].access[ACCESS_OPERAND];
	struct host_mem m = {.base = insn->base / 8, .index = NO_REG, .disp = insn->disp};
	bool simple = insn->base < INSN_ZERO && !is_displaced(m.base) &&
		      insn->index == INSN_ZERO && insn->seg == INSN_SEG_NONE &&
		      insn->addrsize == 8 && !c->in[i].displaced;

	if (is_grouped(c, a)) {
		if (insn->index != INSN_ZERO) {
			m.index = insn->index / 8;
			m.scale = insn->scale;
		}
		return emit_grouped(c, i, a, m);
	}
	flags_clobber(c, i);
	if (is_constant(insn) && constant_address(c, insn) % 4096 <= 4096 - a->size) {
		emit_constant_check(c, i, a, constant_address(c, insn));
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
static struct host_mem emit_stack(struct jit_ctx *c, unsigned i, unsigned reg, int disp)
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

static unsigned stack_scratch(const struct jit_ctx *c, const struct host_mem *m)
{
	return m->index == SCRATCH1 ? SCRATCH0 : SCRATCH1;
}

/* Leaving */

static struct jit_exit *exit_new(struct jit_ctx *c, uint64_t rip, bool plain)
{
	struct jit_exit *exit = meta_alloc(c->cache, sizeof(*exit));

	*exit = (struct jit_exit){.from = c->region,
				  .from_next = c->region->exits,
				  .rip = rip,
				  .plain = plain,
				  .mode_key = c->region->mode_key,
				  .other_page = (rip & ~4095ull) != c->page};
	c->region->exits = exit;
	return exit;
}

static void emit_goto(struct jit_ctx *c, uint8_t *jump, uint64_t rip, uint8_t live)
{
	struct jit_exit *exit = exit_new(c, rip, false);
	struct cold *cold = cold_new(c, COLD_EXIT, jump);

	exit->jump = jump;
	exit->forward =
		rip > c->page + c->in[c->n - 1].offset && !region_follows_sti(c);
	if (!live)
		cold->flags.place = FLAGS_DEAD;
	exit->flags_in_host = cold->flags.place == FLAGS_HOST || cold->flags.place == FLAGS_DEAD;
	cold->record = exit;
}

/* To the rip in SCRATCH0; the host's flags are free. */
static void emit_indirect(struct jit_ctx *c, unsigned i, int32_t rsp_moved)
{
	struct host_mem slot = {.base = SCRATCH0, .index = NO_REG, .disp = c->cpu->mode_key};
	struct jit_insn *record = insn_record(c, i);
	struct emit *e = &c->e;

	/* A group's access has left them where they were. */
	flags_clobber(c, i);
	c->delta_held = -1;
	emit_store32_imm(e, JIT(flags_fix), 0);
	record->rsp_moved = rsp_moved;
	cold_new(c, COLD_INDIRECT, e->p - 4)->record = record;
	emit_rm(e, false, 0x8d, SCRATCH1, slot); /* lea */
	EMIT(e, 0x41, 0x81, 0xe3); /* and r11d, JIT_N_TARGETS - 1 */
	emit32(e, JIT_N_TARGETS - 1);
	EMIT(e, 0x65, 0x42, 0xff, 0x24, 0xdd); /* jmp gs:[r11 * 8 + targets] */
	emit32(e, GS(jit.targets) + c->class * sizeof(c->cpu->jit.targets[0]));
}

/* Instructions */

/* Gives a displaced register operand a place in a free scratch register. */
struct placed {
	uint8_t guest[2], host[2];
	unsigned n;
	uint8_t free[2], n_free;
};

static unsigned place(struct jit_ctx *c, struct placed *p, unsigned reg)
{
	if (!is_displaced(reg))
		return reg;
	for (unsigned i = 0; i < p->n; i++)
		if (p->guest[i] == reg)
			return p->host[i];
	g_assert(p->n_free);
	p->guest[p->n] = reg;
	p->host[p->n] = p->free[--p->n_free];
	if (p->host[p->n] == SCRATCH0)
		c->delta_held = -1;
	emit_load64(&c->e, p->host[p->n], GPR(reg));
	return p->host[p->n++];
}

static void store_placed(struct jit_ctx *c, const struct placed *p)
{
	for (unsigned i = 0; i < p->n; i++)
		emit_store64(&c->e, GPR(p->guest[i]), p->host[i]);
}

static const struct insn_operand *find_kind(const struct insn_row *row, const char *kinds)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind && strchr(kinds, row->operand[i].kind))
			return &row->operand[i];
	return NULL;
}

/* AH to BH, which no instruction with a REX prefix can name. */
static bool names_high_byte(const struct recode *r)
{
	static const char *const kinds = "GERZ";
	const struct insn_operand *op = find_kind(r->row, "G");

	if (r->has_rex || r->row->vex != INSN_VEX_NONE || !find_kind(r->row, kinds))
		return false;
	return op && op->size[0] == 'b' && !op->size[1] && r->reg >= 4;
}

/* The operand's host address in a register that needs no REX. */
static void emit_high_byte(struct jit_ctx *c, struct recode *r)
{
	emit_store64(&c->e, JIT(scratch), RSI);
	emit_lea64(&c->e, RSI, r->mem);
	r->mem = MEM_AT(RSI);
	recode_emit(&c->e, r);
	emit_load64(&c->e, RSI, JIT(scratch));
}

static const uint8_t *host_code(const struct jit_ctx *c, unsigned offset)
{
	return mmu_hva(c->cpu, c->sources[0].gpa + offset);
}

/* With the immediate as it is in the memory now: `op rm, imm32` as `op rm, r`. */
static void emit_fetching(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	const uint8_t *imm = host_code(c, d->offset + d->insn.len - 4);
	unsigned to = d->insn.rm / 8, digit;
	bool wide = d->insn.opsize == 8;

	if (flags_needs(d))
		flags_need(c);
	c->delta_held = -1;
	emit_mov_imm(&c->e, SCRATCH0, (uint64_t)imm);
	/* movsxd r11, [r10], or mov r11d, [r10] */
	emit_rm(&c->e, wide, wide ? 0x63 : 0x8b, SCRATCH1, MEM_AT(SCRATCH0));
	digit = d->row->opcode == 0x81 ? d->row->reg : d->row->opcode >> 3;
	if (d->row->plus_r || d->row->opcode == 0xc7)
		emit_rr(&c->e, wide, 0x8b, to, SCRATCH1);
	else
		emit_rr(&c->e, wide, digit << 3 | 1, SCRATCH1, to);
	flags_ran(c, i);
}

/*
 * The x87's pointers: the host's would be to our code. Instead each instruction that moves them
 * leaves its record's reference, a store of a constant, and its operand's address; note_x87()
 * makes them what T0 keeps before anything can see them. That is 3 % of the kit's x87 program.
 * After the instruction, since it may raise what the one before left pending, whose pointers stay then.
 */
static void emit_x87_note(struct jit_ctx *c, unsigned i)
{
	emit_store32_imm(&c->e, JIT(x87_last), meta_ref(c->cache, insn_record(c, i)));
	if (!(c->in[i].insn.flags & INSN_MEM))
		return;
	if (is_displaced(c->in[i].insn.index / 8))
		c->delta_held = -1;
	emit_ea(c, &c->in[i].insn, SCRATCH1);
	emit_store64(&c->e, MEM_GS(GS(state.fpu.fdp)), SCRATCH1);
}

/* INC and DEC of 32-bit code with the register in the opcode. */
static void emit_short_inc(struct jit_ctx *c, const struct recode *r)
{
	if (r->has_66)
		emit8(&c->e, 0x66);
	EMIT(&c->e, 0xff, 0xc0 | (r->opcode & 8) | r->rm);
}

static void emit_absolute(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	struct host_mem m = emit_operand(c, i);

	if (d->insn.opsize == 2)
		emit8(&c->e, 0x66);
	/* A0 to A3 are in the order of 8A, 8B, 88, 89. */
	emit_rm(&c->e, false, 0x88 | ((d->row->opcode & 3) ^ 2), RAX, m);
}

static void emit_copy(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	bool memory = d->insn.flags & INSN_MEM;
	struct placed p = {.free = {SCRATCH0, SCRATCH1}, .n_free = 2};
	struct recode r;

	recode_parse(&r, d->row, d->bytes, d->insn.len, c->wide);
	flags_prepare(c, i);
	if (memory) {
		r.mem = emit_operand(c, i);
		p.free[0] = SCRATCH1;
		p.n_free = 1;
	}
	if (flags_needs(d))
		flags_need(c);
	insn_record(c, i)->fault_flags = record_flags(c);
	if (find_kind(d->row, "G"))
		r.reg = place(c, &p, r.reg);
	if (find_kind(d->row, "B"))
		r.vvvv = place(c, &p, r.vvvv);
	if (!memory && find_kind(d->row, "ERZ"))
		r.rm = place(c, &p, r.rm);
	if (!c->wide && !d->row->has_modrm && d->row->plus_r && (r.opcode & 0xf0) == 0x40)
		emit_short_inc(c, &r);
	else if (!memory && !p.n)
		emit_bytes(&c->e, d->bytes, d->insn.len);
	else if (memory && names_high_byte(&r))
		emit_high_byte(c, &r);
	else
		recode_emit(&c->e, &r);
	store_placed(c, &p);
	if (d->fx.x87_noted)
		emit_x87_note(c, i);
	flags_ran(c, i);
}

static void emit_lea(struct jit_ctx *c, unsigned i)
{
	const struct insn *insn = &c->in[i].insn;
	unsigned to = insn->reg / 8;

	if (!is_displaced(to) && !is_displaced(insn->base / 8) && !is_displaced(insn->index / 8) &&
	    insn->base != INSN_PC && (c->wide || insn->base != INSN_ZERO)) {
		emit_bytes(&c->e, c->in[i].bytes, insn->len);
		return;
	}
	c->delta_held = -1;
	emit_ea(c, insn, SCRATCH0);
	if (is_displaced(to) && insn->opsize == 2) {
		EMIT(&c->e, 0x65, 0x66, 0x44, 0x89, 0x14, 0x25); /* mov gs:[to], r10w */
		emit32(&c->e, GS_GPR(to));
	} else if (is_displaced(to)) {
		if (insn->opsize == 4)
			emit_rr(&c->e, false, 0x8b, SCRATCH0, SCRATCH0);
		emit_store64(&c->e, GPR(to), SCRATCH0);
	} else {
		if (insn->opsize == 2)
			emit8(&c->e, 0x66);
		emit_rr(&c->e, insn->opsize == 8, 0x8b, to, SCRATCH0);
	}
}

static void move_rsp(struct jit_ctx *c, int by)
{
	struct host_mem m = MEM_AT(RSP);

	m.disp = by;
	emit_rm(&c->e, c->wide, 0x8d, RSP, m); /* lea */
	c->flags.rsp_moved += by;
}

/* Loads a displaced register to `scratch`. */
static unsigned emit_get(struct jit_ctx *c, unsigned reg, unsigned scratch)
{
	if (!is_displaced(reg))
		return reg;
	if (scratch == SCRATCH0)
		c->delta_held = -1;
	emit_load64(&c->e, scratch, GPR(reg));
	return scratch;
}

static void emit_push(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	int size = stack_size(c);
	struct host_mem m;

	if (d->row->operand[0].kind == 'E' && (d->insn.flags & INSN_MEM)) {
		unsigned scratch;

		emit_rm(&c->e, c->wide, 0x8b, SCRATCH0, emit_operand(c, i));
		emit_store64(&c->e, JIT(target), SCRATCH0);
		c->delta_held = -1;
		m = emit_stack(c, i, RSP, -size);
		scratch = stack_scratch(c, &m);
		emit_load64(&c->e, scratch, JIT(target));
		if (scratch == SCRATCH0)
			c->delta_held = -1;
		emit_rm(&c->e, c->wide, 0x89, scratch, m);
		move_rsp(c, -size);
		return;
	}
	m = emit_stack(c, i, RSP, -size);
	if (d->row->operand[0].kind == 'I') {
		emit_rm(&c->e, c->wide, 0xc7, 0, m);
		emit32(&c->e, d->insn.imm);
	} else {
		emit_rm(&c->e, c->wide, 0x89, emit_get(c, d->insn.rm / 8, stack_scratch(c, &m)), m);
	}
	move_rsp(c, -size);
}

static void emit_pop(struct jit_ctx *c, unsigned i)
{
	unsigned reg = c->in[i].insn.rm / 8;
	struct host_mem m = emit_stack(c, i, RSP, 0);

	if (is_displaced(reg)) {
		unsigned scratch = stack_scratch(c, &m);

		emit_load64(&c->e, scratch, m);
		emit_store64(&c->e, GPR(reg), scratch);
		if (scratch == SCRATCH0)
			c->delta_held = -1;
	} else {
		emit_rm(&c->e, c->wide, 0x8b, reg, m);
	}
	if (reg != RSP)
		move_rsp(c, stack_size(c));
}

static void emit_leave_frame(struct jit_ctx *c, unsigned i)
{
	struct host_mem m = emit_stack(c, i, RBP, 0), above = MEM_AT(RBP);

	above.disp = stack_size(c);
	emit_rm(&c->e, c->wide, 0x8d, RSP, above); /* lea */
	emit_rm(&c->e, c->wide, 0x8b, RBP, m);
}

static void emit_push_return(struct jit_ctx *c, unsigned i)
{
	uint64_t rip = code_address(c, c->in[i].insn.next);
	int size = stack_size(c);
	struct host_mem m = emit_stack(c, i, RSP, -size);

	if (!c->wide || rip == (uint64_t)(int32_t)rip) {
		emit_rm(&c->e, c->wide, 0xc7, 0, m);
		emit32(&c->e, rip);
	} else {
		unsigned scratch = stack_scratch(c, &m);

		emit_mov_imm(&c->e, scratch, rip);
		emit_store64(&c->e, m, scratch);
		if (scratch == SCRATCH0)
			c->delta_held = -1;
	}
	move_rsp(c, -size);
}

static void emit_jump(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];

	emit_goto(c, emit_jmp(&c->e), code_address(c, d->insn.imm), d->live_target);
}

/* The target of an indirect branch to SCRATCH0. */
static void emit_target(struct jit_ctx *c, unsigned i)
{
	const struct insn *insn = &c->in[i].insn;

	if (insn->flags & INSN_MEM) {
		struct host_mem m = emit_operand(c, i);

		emit_rm(&c->e, c->wide, 0x8b, SCRATCH0, m);
		c->delta_held = -1;
	} else {
		flags_clobber(c, i);
		c->delta_held = -1;
		if (is_displaced(insn->rm / 8))
			emit_load64(&c->e, SCRATCH0, GPR(insn->rm / 8));
		else
			emit_rr(&c->e, c->wide, 0x8b, SCRATCH0, insn->rm / 8);
	}
}

static void emit_call_indirect(struct jit_ctx *c, unsigned i)
{
	emit_target(c, i);
	emit_store64(&c->e, JIT(target), SCRATCH0);
	emit_push_return(c, i);
	emit_load64(&c->e, SCRATCH0, JIT(target));
	emit_indirect(c, i, -(int)stack_size(c));
}

static void emit_return(struct jit_ctx *c, unsigned i)
{
	int moved = stack_size(c) + (uint16_t)c->in[i].insn.imm;
	struct host_mem m = emit_stack(c, i, RSP, 0);

	emit_rm(&c->e, c->wide, 0x8b, SCRATCH0, m);
	move_rsp(c, moved);
	emit_indirect(c, i, moved);
}

/* SWAPGS, at CPL 0. */
static void emit_swapgs(struct jit_ctx *c)
{
	struct host_mem base = MEM_GS(GS(state.seg[X86_GS].base));
	struct host_mem kernel = MEM_GS(GS(state.kernel_gs_base));

	c->delta_held = -1;
	emit_load64(&c->e, SCRATCH0, base);
	emit_load64(&c->e, SCRATCH1, kernel);
	emit_store64(&c->e, kernel, SCRATCH0);
	emit_store64(&c->e, base, SCRATCH1);
	emit_store64(&c->e, MEM_GS(GS(seg_base[X86_GS])), SCRATCH1);
}

static void emit_cli(struct jit_ctx *c, unsigned i)
{
	flags_clobber(c, i);
	emit_rm(&c->e, false, 0x81, 4, MEM_GS(GS(state.rflags))); /* and */
	emit32(&c->e, ~RFLAGS_IF);
}

/*
 * The next instruction is in the region, so that interrupts are not looked for before it has run. They are
 * where the region ends, if one was held off.
 */
static void emit_sti(struct jit_ctx *c, unsigned i)
{
	uint8_t *none;

	flags_clobber(c, i);
	emit_rm(&c->e, false, 0x81, 1, MEM_GS(GS(state.rflags))); /* or */
	emit32(&c->e, RFLAGS_IF);
	emit_cmp8_imm(&c->e, MEM_GS(GS(event_waits)), 0);
	none = emit_jcc(&c->e, CC_E);
	emit_store8_imm(&c->e, MEM_GS(GS(attention)), 1);
	emit_patch_here(&c->e, none);
}

/* Outside virtual-8086 mode, whatever IOPL is. */
static void emit_pushf(struct jit_ctx *c, unsigned i)
{
	struct emit *e = &c->e;
	struct host_mem m;
	unsigned scratch;

	flags_need(c);
	c->delta_held = -1;
	emit_store64(e, JIT(scratch), RAX);
	EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);       /* lahf; seto al */
	EMIT(e, 0x65, 0x66, 0x89, 0x04, 0x25); /* mov gs:[flags], ax */
	emit32(e, GS(flags));
	EMIT(e, 0x44, 0x0f, 0xb6, 0xd8);      /* movzx r11d, al */
	EMIT(e, 0x41, 0xc1, 0xe3, 11);	      /* shl r11d, 11 */
	EMIT(e, 0x0f, 0xb6, 0xc4);	      /* movzx eax, ah */
	emit_rr(e, false, 0x09, SCRATCH1, RAX); /* or eax, r11d */
	emit_rm(e, false, 0x0b, RAX, MEM_GS(GS(state.rflags)));
	emit8(e, 0x25); /* and eax, imm32 */
	emit32(e, ~(RFLAGS_RF | RFLAGS_VM));
	emit_store64(e, JIT(target), RAX);
	emit_load64(e, RAX, JIT(scratch));
	c->flags.place = FLAGS_MEMORY;
	m = emit_stack(c, i, RSP, -(int)stack_size(c));
	scratch = stack_scratch(c, &m);
	emit_load64(e, scratch, JIT(target));
	if (scratch == SCRATCH0)
		c->delta_held = -1;
	emit_rm(e, c->wide, 0x89, scratch, m);
	move_rsp(c, -(int)stack_size(c));
}

/* STAC and CLAC at CPL 0: what follows looks into another TLB, and so is another region. */
static void emit_ac(struct jit_ctx *c, unsigned i)
{
	bool set = !strcmp(c->in[i].row->name, "stac");
	uint32_t key = (c->region->mode_key & ~MODE_AC) | (set ? MODE_AC : 0);
	struct tlb *tlb = &c->cpu->tlbs[set ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR];
	struct emit *e = &c->e;

	flags_clobber(c, i);
	emit_rm(e, false, 0x81, set ? 1 : 4, MEM_GS(GS(state.rflags)));
	emit32(e, set ? RFLAGS_AC : ~RFLAGS_AC);
	emit_store32_imm(e, MEM_GS(GS(mode_key)), key);
	emit_mov_imm(e, SCRATCH0, (uint64_t)tlb);
	emit_store64(e, MEM_GS(GS(tlb)), SCRATCH0);
	emit_goto(c, emit_jmp(e), code_address(c, c->in[i].insn.next), c->in[i].live_target);
	c->region->exits->mode_key = key;
}

/* BT and its kin with a register: the bit is in the operand that lies so many operands further on. */
static void emit_bit(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	const struct access_plan *a = &d->access[ACCESS_OPERAND];
	bool wide = d->insn.opsize == 8;
	unsigned bit = d->insn.reg / 8;
	struct host_mem sum = {.base = SCRATCH0, .index = SCRATCH1, .scale = wide ? 3 : 2};
	struct emit *e = &c->e;
	struct recode r;

	flags_prepare(c, i);
	flags_clobber(c, i);
	emit_ea(c, &d->insn, SCRATCH0);
	if (is_displaced(bit))
		emit_load64(e, SCRATCH1, GPR(bit));
	emit_rr(e, true, wide ? 0x8b : 0x63, SCRATCH1, is_displaced(bit) ? SCRATCH1 : bit);
	EMIT(e, 0x49, 0xc1, 0xfb, wide ? 6 : 5); /* sar r11, 6 */
	emit_rm(e, c->wide, 0x8d, SCRATCH0, sum); /* lea */
	emit_check(c, i, a, true, false);
	emit_rr(e, true, 0x03, SCRATCH0, SCRATCH1);
	if (is_displaced(bit))
		emit_load64(e, SCRATCH1, GPR(bit));
	else
		emit_mov64(e, SCRATCH1, bit);
	EMIT(e, 0x41, 0x83, 0xe3, wide ? 63 : 31); /* and r11d, 63 */
	if (flags_needs(d))
		flags_need(c);
	recode_parse(&r, d->row, d->bytes, d->insn.len, c->wide);
	r.mem = MEM_AT(SCRATCH0);
	r.reg = SCRATCH1;
	recode_emit(e, &r);
	flags_ran(c, i);
}

/* T0 runs the instruction. */
static void emit_call_step(struct jit_ctx *c, unsigned i)
{
	struct jit_insn *r = insn_record(c, i);

	if (c->flags.place == FLAGS_RECIPE)
		flags_restore(c, &c->flags);
	r->flags = record_flags(c);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, r));
	emit_jmp_to(&c->e, c->cache->thunk.step);
	c->delta_held = -1;
}

/* The page at `reg` to SCRATCH1 as the distance to the host's address, if it has all RCX elements. */
static void emit_check_run(struct jit_ctx *c, unsigned reg, unsigned size, bool write,
			   uint8_t **slow)
{
	int32_t tags = tlb_offset(c, write) + offsetof(struct tlb_entry, tag);
	struct host_mem end = {.base = SCRATCH0, .index = RCX, .scale = __builtin_ctz(size)};
	struct emit *e = &c->e;

	emit_mov64(e, SCRATCH0, reg);
	EMIT(e, 0xc4, 0x43, 0xfb, 0xf0, 0xda, 8); /* rorx r11, r10, 8 */
	EMIT(e, 0x41, 0x81, 0xe3);		  /* and r11d, (TLB_SIZE - 1) * 16 */
	emit32(e, (TLB_SIZE - 1) * 16);
	emit_rm(e, true, 0x33, SCRATCH0, MEM_GS_AT(SCRATCH1, tags)); /* xor */
	EMIT(e, 0x49, 0x81, 0xfa);				     /* cmp r10, 4095 */
	emit32(e, 4095);
	slow[0] = emit_jcc(e, CC_A);
	emit_lea64(e, SCRATCH0, end);
	EMIT(e, 0x49, 0x81, 0xfa); /* cmp r10, 4096 */
	emit32(e, 4096);
	slow[1] = emit_jcc(e, CC_A);
	emit_load64(e, SCRATCH1, MEM_GS_AT(SCRATCH1, deltas(c, write)));
}

/*
 * REP MOVS and STOS: what lies in one page is the host's own to do. T0 takes what does not, and runs
 * downwards.
 */
static void emit_rep(struct jit_ctx *c, unsigned i)
{
	const struct decoded *d = &c->in[i];
	unsigned size = d->insn.opsize, n_slow = 4;
	bool movs = d->row->name[0] == 'm';
	uint8_t *slow[6], *done;
	struct emit *e = &c->e;

	flags_clobber(c, i);
	c->delta_held = -1;
	emit_rm(e, false, 0xf6, 0, MEM_GS(GS(state.rflags) + 1)); /* test byte, DF */
	emit8(e, RFLAGS_DF >> 8);
	slow[0] = emit_jcc(e, CC_NE);
	EMIT(e, 0x48, 0x81, 0xf9); /* cmp rcx, 4096 / size */
	emit32(e, 4096 / size);
	slow[1] = emit_jcc(e, CC_A);
	emit_check_run(c, RDI, size, true, slow + 2);
	if (movs) {
		emit_store64(e, JIT(target), SCRATCH1);
		emit_check_run(c, RSI, size, false, slow + 4);
		n_slow = 6;
		emit_mov64(e, SCRATCH0, SCRATCH1);
		emit_load64(e, SCRATCH1, JIT(target));
		emit_rr(e, true, 0x03, RSI, SCRATCH0);
	}
	emit_rr(e, true, 0x03, RDI, SCRATCH1);
	emit8(e, 0xf3);
	if (size == 2)
		emit8(e, 0x66);
	if (size == 8)
		emit8(e, 0x48);
	emit8(e, (movs ? 0xa4 : 0xaa) | (size > 1));
	emit_rr(e, true, 0x2b, RDI, SCRATCH1);
	if (movs)
		emit_rr(e, true, 0x2b, RSI, SCRATCH0);
	/* Behind the last page of 4 GiB is the first. */
	if (!c->wide)
		emit_rr(e, false, 0x8b, RDI, RDI);
	if (!c->wide && movs)
		emit_rr(e, false, 0x8b, RSI, RSI);
	done = emit_jmp(e);
	for (unsigned k = 0; k < n_slow; k++)
		emit_patch_here(e, slow[k]);
	emit_call_step(c, i);
	emit_patch_here(e, done);
}

static void emit_step(struct jit_ctx *c, unsigned i)
{
	emit_call_step(c, i);
	flags_reloaded(c);
}

/* Whether the page that the instruction ends in is still mapped where it was. */
static void emit_check_second(struct jit_ctx *c, unsigned i)
{
	struct jit_second *record = meta_alloc(c->cache, sizeof(*record));
	struct cold *cold;

	flags_clobber(c, i);
	c->delta_held = -1;
	*record = (struct jit_second){.rip = c->page + c->in[i].offset,
				      .page = c->page + 4096,
				      .gpa = c->second_gpa,
				      .page_slot = cache_page_slot(c->cpu, c->page + 4096,
								   c->second_gpa),
				      .flags = record_flags(c)};
	emit_cmp8_imm(&c->e, MEM_GS(GS(jit.page_ok) + record->page_slot), 0);
	cold = cold_new(c, COLD_SECOND, emit_jcc(&c->e, CC_E));
	cold->record = record;
	record->resume = emit_here(&c->e);
}

static void emit_insn(struct jit_ctx *c, unsigned i)
{
	if (c->in[i].crosses)
		emit_check_second(c, i);
	switch ((enum jit_class)c->in[i].fx.class) {
	case JIT_NOP:
		break;
	case JIT_COPY:
		if (c->in[i].fetches)
			emit_fetching(c, i);
		else
			emit_copy(c, i);
		break;
	case JIT_LEA:
		emit_lea(c, i);
		break;
	case JIT_ABSOLUTE:
		emit_absolute(c, i);
		break;
	case JIT_PUSH:
		emit_push(c, i);
		break;
	case JIT_POP:
		emit_pop(c, i);
		break;
	case JIT_LEAVE:
		emit_leave_frame(c, i);
		break;
	case JIT_PUSHF:
		emit_pushf(c, i);
		break;
	case JIT_SWAPGS:
		emit_swapgs(c);
		break;
	case JIT_CLI:
		emit_cli(c, i);
		break;
	case JIT_STI:
		emit_sti(c, i);
		break;
	case JIT_REP:
		emit_rep(c, i);
		break;
	case JIT_BT:
		emit_bit(c, i);
		break;
	case JIT_AC:
		emit_ac(c, i);
		break;
	case JIT_JCC:
		flags_need(c);
		emit_goto(c, emit_jcc(&c->e, c->in[i].row->opcode & 0xf),
			  code_address(c, c->in[i].insn.imm), c->in[i].live_target);
		break;
	case JIT_JMP:
		emit_jump(c, i);
		break;
	case JIT_CALL:
		emit_push_return(c, i);
		emit_jump(c, i);
		break;
	case JIT_RET:
		emit_return(c, i);
		break;
	case JIT_JMP_IND:
		emit_target(c, i);
		emit_indirect(c, i, 0);
		break;
	case JIT_CALL_IND:
		emit_call_indirect(c, i);
		break;
	case JIT_STEP:
	case JIT_END:
		emit_step(c, i);
		break;
	}
}

/* Entries */

/* Jumps away if the byte is zero, or is not; where flags are live they stay. */
static uint8_t *emit_branch_on(struct jit_ctx *c, int32_t offset, bool if_zero)
{
	struct emit *e = &c->e;
	uint8_t *taken;

	if (!c->region->flags_live) {
		emit_cmp8_imm(e, MEM_GS(offset), 0);
		return emit_jcc(e, if_zero ? CC_E : CC_NE);
	}
	emit_store64(e, JIT(scratch), RCX);
	EMIT(e, 0x65, 0x0f, 0xb6, 0x0c, 0x25); /* movzx ecx, byte gs:[offset] */
	emit32(e, offset);
	if (if_zero) {
		EMIT(e, 0xe3, 11); /* jrcxz over the next two */
		emit_load64(e, RCX, JIT(scratch));
		EMIT(e, 0xeb, 14); /* jmp over the two after that */
	} else {
		EMIT(e, 0xe3, 14); /* jrcxz */
	}
	emit_load64(e, RCX, JIT(scratch));
	taken = emit_jmp(e);
	if (!if_zero)
		emit_load64(e, RCX, JIT(scratch));
	return taken;
}

static void emit_verify_target(struct jit_ctx *c)
{
	uint64_t rip = c->region->rip;

	if (!c->wide || rip == (uint64_t)(int32_t)rip) {
		EMIT(&c->e, c->wide ? 0x49 : 0x41, 0x81, 0xfa); /* cmp r10, rip */
		emit32(&c->e, rip);
	} else {
		emit_mov_imm(&c->e, SCRATCH1, rip);
		emit_rr(&c->e, true, 0x3b, SCRATCH0, SCRATCH1);
	}
	emit_jcc_to(&c->e, CC_NE, c->cache->thunk.miss[c->class]);
}

static void emit_compare_byte(struct jit_ctx *c, unsigned at, uint8_t byte)
{
	struct host_mem m = MEM_AT(SCRATCH1);

	m.disp = at;
	emit_cmp8_imm(&c->e, m, byte);
	cold_new(c, COLD_STALE, emit_jcc(&c->e, CC_NE));
}

static void emit_compare_word(struct jit_ctx *c, unsigned at, const uint8_t *bytes)
{
	struct host_mem m = MEM_AT(SCRATCH1);

	m.disp = at;
	emit_rm(&c->e, false, 0x81, 7, m); /* cmp dword [r11 + at], imm32 */
	emit_bytes(&c->e, bytes, 4);
	cold_new(c, COLD_STALE, emit_jcc(&c->e, CC_NE));
}

/* Compares the region's bytes with the memory, but for immediates that are fetched. */
static void emit_compare(struct jit_ctx *c)
{
	unsigned start = c->in[0].offset, n = 0;
	uint8_t bytes[JIT_MAX_INSNS * INSN_MAX_LEN];
	bool skip[JIT_MAX_INSNS * INSN_MAX_LEN] = {false};

	for (unsigned i = 0; i < c->n; i++) {
		const struct decoded *d = &c->in[i];

		memcpy(bytes + n, d->bytes, d->insn.len);
		n += d->insn.len;
		if (d->fetches)
			memset(skip + n - 4, true, 4);
	}
	flags_clobber(c, 0);
	emit_mov_imm(&c->e, SCRATCH1, (uint64_t)host_code(c, start));
	for (unsigned at = 0; at < n;) {
		if (at + 4 <= n && !memchr(skip + at, true, 4)) {
			emit_compare_word(c, at, bytes + at);
			at += 4;
		} else {
			if (!skip[at])
				emit_compare_byte(c, at, bytes[at]);
			at++;
		}
	}
}

static void emit_entries(struct jit_ctx *c)
{
	struct jit_region *region = c->region;
	uint8_t *fix, *enter;

	region->indirect_entry = emit_here(&c->e);
	emit_verify_target(c);
	region->verified_entry = emit_here(&c->e);
	/* Another page may be there now, whose code reads flags: they are brought home then, too. */
	emit_cmp8_imm(&c->e, MEM_GS(GS(jit.page_ok) + region->page_slot), 0);
	cold_new(c, COLD_PAGE_INDIRECT, emit_jcc(&c->e, CC_E));
	if (region->flags_live) {
		EMIT(&c->e, 0x4c, 0x8d, 0x1d); /* lea r11, [rip + behind the fix] */
		fix = c->e.p;
		emit32(&c->e, 0);
		thunks_emit_fix(&c->e);
		emit_patch_here(&c->e, fix);
	}
	enter = emit_jmp(&c->e);
	region->cross_entry = emit_here(&c->e);
	cold_new(c, COLD_PAGE,
		 emit_branch_on(c, GS(jit.page_ok) + region->page_slot, true));
	emit_patch_here(&c->e, enter);
	region->entry = emit_here(&c->e);
	cold_new(c, COLD_LEAVE, emit_branch_on(c, GS(attention), false));
	region->forward_entry = emit_here(&c->e);
	if (c->uses_vectors) {
		struct cold *cold = cold_new(c, COLD_VECTORS,
					     emit_branch_on(c, GS(jit.vectors_live), true));

		cold->back = emit_here(&c->e);
	}
	if (c->uses_wide) {
		struct cold *cold =
			cold_new(c, COLD_WIDE, emit_branch_on(c, GS(jit.wide_live), true));

		cold->back = emit_here(&c->e);
	}
	if (c->uses_high) { /* if they were not live, they are 0, here and there */
		emit_store8_imm(&c->e, JIT(high_live), 1);
		emit_store8_imm(&c->e, MEM_GS(GS(zmm_used)), 1);
	}
	if (c->uses_x87) {
		struct cold *cold = cold_new(c, COLD_X87, emit_branch_on(c, GS(x87_live), true));

		cold->back = emit_here(&c->e);
	}
	if (c->compared)
		emit_compare(c);
}

/* Cold code */

/*
 * Leaves the address in SCRATCH0. Where it was looked for in the stack's entry only, it may be in the
 * TLB: that becomes the stack's entry then, and `to` gets the distance for `resume`.
 */
static void emit_cold_address(struct jit_ctx *c, const struct cold *cold, unsigned size, bool write,
			      unsigned to, const uint8_t *resume)
{
	struct emit *e = &c->e;
	uint8_t *miss;

	if (cold->stack) {
		emit_rm(e, true, 0x33, SCRATCH0, JIT(stack[c->class][write].tag));
		EMIT(e, 0xc4, 0x43, 0xfb, 0xf0, 0xda, 8); /* rorx r11, r10, 8 */
		EMIT(e, 0x41, 0x81, 0xe3);		  /* and r11d, (TLB_SIZE - 1) * 16 */
		emit32(e, (TLB_SIZE - 1) * 16);
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
	if (!cold->restored)
		emit_rm(e, true, 0x33, SCRATCH0, MEM_GS_AT(SCRATCH1, cold->tags));
}

static void emit_cold_access(struct jit_ctx *c, const struct cold *cold)
{
	const struct jit_insn *record = cold->record;

	emit_cold_address(c, cold, record->size, record->write, SCRATCH1, record->resume);
	if (cold->flags.place == FLAGS_RECIPE)
		flags_restore(c, &cold->flags);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, record));
	emit_jmp_to(&c->e, record->write ? c->cache->thunk.store[c->class]
					 : c->cache->thunk.access);
}

static void emit_cold_step(struct jit_ctx *c, const struct cold *cold)
{
	if (cold->flags.place == FLAGS_RECIPE)
		flags_restore(c, &cold->flags);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, cold->record));
	emit_jmp_to(&c->e, c->cache->thunk.step);
}

static void emit_exit_stub(struct jit_ctx *c, const struct cold *cold, struct jit_exit *exit)
{
	exit->stub = emit_here(&c->e);
	flags_restore(c, &cold->flags);
	exit->fixed = emit_jmp(&c->e);
	emit_patch_here(&c->e, exit->fixed);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, exit));
	emit_jmp_to(&c->e, c->cache->thunk.exit);
}

static void emit_cold_group(struct jit_ctx *c, const struct cold *cold)
{
	struct jit_group *group = cold->record;

	emit_cold_address(c, cold, group->size, group->write, SCRATCH0, group->resume);
	if (cold->flags.place == FLAGS_RECIPE)
		flags_restore(c, &cold->flags);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, group));
	emit_jmp_to(&c->e, c->cache->thunk.group);
	emit_exit_stub(c, cold, group->exit);
}

static void emit_cold_indirect(struct jit_ctx *c, const struct cold *cold)
{
	uint32_t offset = emit_here(&c->e) - c->cache->rx;

	memcpy(cold->jump, &offset, 4);
	emit_store32_imm(&c->e, JIT(branch), meta_ref(c->cache, cold->record));
	flags_restore(c, &cold->flags);
	emit_rm(&c->e, false, 0xff, 4, JIT(after_fix)); /* jmp */
}

static void emit_cold(struct jit_ctx *c, const struct cold *cold)
{
	if (cold->kind != COLD_INDIRECT)
		emit_patch_here(&c->e, cold->jump);
	switch (cold->kind) {
	case COLD_ACCESS:
		emit_cold_access(c, cold);
		break;
	case COLD_GROUP:
		emit_cold_group(c, cold);
		break;
	case COLD_STEP:
		emit_cold_step(c, cold);
		break;
	case COLD_EXIT:
		emit_exit_stub(c, cold, cold->record);
		break;
	case COLD_INDIRECT:
		emit_cold_indirect(c, cold);
		break;
	case COLD_PAGE:
		emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, c->region));
		emit_jmp_to(&c->e, c->cache->thunk.page);
		break;
	case COLD_PAGE_INDIRECT:
		emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, c->region));
		emit_jmp_to(&c->e, c->cache->thunk.page_indirect);
		break;
	case COLD_SECOND:
		if (cold->flags.place == FLAGS_RECIPE)
			flags_restore(c, &cold->flags);
		emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, cold->record));
		emit_jmp_to(&c->e, c->cache->thunk.second);
		break;
	case COLD_LEAVE:
		emit_mov_imm(&c->e, SCRATCH0, c->region->rip);
		emit_jmp_to(&c->e, c->cache->thunk.exit_at);
		break;
	case COLD_STALE:
		flags_restore(c, &cold->flags);
		emit_mov_imm(&c->e, SCRATCH0, c->region->rip);
		emit_jmp_to(&c->e, c->cache->thunk.stale);
		break;
	case COLD_VECTORS:
	case COLD_WIDE:
		EMIT(&c->e, 0x4c, 0x8d, 0x1d); /* lea r11, [rip + back] */
		emit32(&c->e, cold->back - (emit_here(&c->e) + 4));
		emit_jmp_to(&c->e, cold->kind == COLD_WIDE ? c->cache->thunk.load_wide
							   : c->cache->thunk.load_vectors);
		break;
	case COLD_X87:
		EMIT(&c->e, 0x4c, 0x8d, 0x15); /* lea r10, [rip + back] */
		emit32(&c->e, cold->back - (emit_here(&c->e) + 4));
		emit_jmp_to(&c->e, c->cache->thunk.load_x87);
		break;
	}
}

static void init_records(struct jit_ctx *c)
{
	struct jit_region *region = c->region;

	region->insns = meta_alloc(c->cache, c->n * sizeof(*region->insns));
	region->starts = meta_alloc(c->cache, (c->n + 1) * sizeof(*region->starts));
	for (unsigned i = 0; i < c->n; i++) {
		struct jit_insn *r = &region->insns[i];

		*r = (struct jit_insn){.region = region,
				       .row = c->in[i].insn.row,
				       .offset = c->in[i].offset,
				       .len = c->in[i].insn.len};
		memcpy(r->bytes, c->in[i].bytes, INSN_MAX_LEN);
	}
}

static void emit_body(struct jit_ctx *c)
{
	struct jit_region *region = c->region;
	bool runs_on = true;

	for (unsigned i = 0; i < c->n; i++) {
		region->starts[i] = emit_here(&c->e) - region->code;
		emit_insn(c, i);
		runs_on = c->in[i].fx.class <= JIT_JCC;
		if (runs_on)
			region->insns[i].next = emit_here(&c->e);
	}
	region->starts[c->n] = emit_here(&c->e) - region->code;
	if (runs_on)
		emit_goto(c, emit_jmp(&c->e), c->end, c->in[c->n - 1].live_out);
	region->code_end = emit_here(&c->e);
	c->cache->used = (c->e.p - c->cache->rw + 15) & ~(size_t)15;
	c->e.p = c->cache->rw + c->cache->cold_used;
	for (unsigned i = 0; i < c->n_cold; i++)
		emit_cold(c, &c->cold[i]);
	c->cache->cold_used = c->e.p - c->cache->rw;
}

struct jit_region *region_translate(struct cpu *cpu, uint64_t gpa, bool plain)
{
	struct jit_cache *cache = cpu->jit.cache;
	g_autofree struct jit_ctx *c = g_new(struct jit_ctx, 1);
	struct jit_region *region;

	c->cpu = cpu;
	c->cache = cache;
	c->wide = cpu->mode_key & MODE_64;
	c->page = cpu->state.rip & ~4095ull;
	c->compared = code_is_compared(cpu, gpa);
	c->sources[0] = (struct jit_source){.gpa = gpa & ~4095ull};
	c->n_sources = 1;
	c->class = cpu->tlb - cpu->tlbs;
	c->n = c->n_cold = 0;
	c->uses_vectors = c->uses_wide = c->uses_high = c->uses_x87 = false;
	c->plain = plain || cache_is_ungrouped(cpu, cpu->state.rip);
	c->delta_held = -1;
	if (!region_form(c, gpa))
		return NULL;
	cache_make_room(cpu);
	/* What is there when it is entered may read flags that this code does not. */
	if (c->compared)
		c->in[0].live_in = FL_ALL;
	region = meta_alloc(cache, sizeof(*region));
	*region = (struct jit_region){.gpa = gpa,
				      .rip = cpu->state.rip,
				      .mode_key = cpu->mode_key,
				      .page_slot = cache_page_slot(cpu, c->page, gpa & ~4095ull),
				      .n_sources = c->n_sources,
				      .plain = plain,
				      .compared = c->compared,
				      .flags_live = c->in[0].live_in,
				      .uses_x87 = c->uses_x87,
				      .n_insns = c->n,
				      .to_rx = cache->rx - cache->rw};
	memcpy(region->sources, c->sources, sizeof(c->sources));
	c->region = region;
	c->e = (struct emit){.p = cache->rw + cache->used, .to_rx = cache->rx - cache->rw};
	region->code = emit_here(&c->e);
	init_records(c);
	c->flags = (struct flags_now){.place = region->flags_live ? FLAGS_HOST : FLAGS_DEAD,
				      .producer = -1};
	emit_entries(c);
	emit_body(c);
	cpu->jit.count.insns += c->n;
	cpu->jit.count.regions++;
	cache_enter(cpu, region);
	return region;
}
