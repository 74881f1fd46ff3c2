/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translates a region, instruction by instruction. README.md says what holds between two of them.
 */
#include "cpu/jit/recode.h"
#include "cpu/jit/translate.h"
#include "cpu/x86/mmu.h"

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

/* What ModRM's r/m or the opcode names may be a general register. */
#define RM_KINDS (INSN_KIND('E') | INSN_KIND('R') | INSN_KIND('Z'))

/* AH to BH, which no instruction with a REX prefix can name. */
static bool names_high_byte(const struct recode *r)
{
	if (r->has_rex || r->row->vex != INSN_VEX_NONE || r->reg < 4 ||
	    !insn_has_kind(r->row, INSN_KIND('G')))
		return false;
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (r->row->operand[i].kind == 'G')
			return r->row->operand[i].size[0] == 'b' && !r->row->operand[i].size[1];
	return false;
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

const uint8_t *host_code(const struct jit_ctx *c, unsigned offset)
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
	if (insn_has_kind(d->row, INSN_KIND('G')))
		r.reg = place(c, &p, r.reg);
	if (insn_has_kind(d->row, INSN_KIND('B')))
		r.vvvv = place(c, &p, r.vvvv);
	if (!memory && insn_has_kind(d->row, RM_KINDS))
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

void move_rsp(struct jit_ctx *c, int by)
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

/* T0 raises #GP for a target in SCRATCH0 that is not canonical; nothing is pushed then. */
static void emit_check_canonical(struct jit_ctx *c, unsigned i)
{
	struct emit *e = &c->e;

	if (!c->wide)
		return;
	insn_record(c, i)->flags = record_flags(c);
	emit_mov64(e, SCRATCH1, SCRATCH0);
	EMIT(e, 0x49, 0xc1, 0xe3, 16); /* shl r11, 16 */
	EMIT(e, 0x49, 0xc1, 0xfb, 16); /* sar r11, 16 */
	emit_rr(e, true, 0x3b, SCRATCH1, SCRATCH0);
	cold_new(c, COLD_STEP, emit_jcc(e, CC_NE))->record = insn_record(c, i);
}

static void emit_call_indirect(struct jit_ctx *c, unsigned i)
{
	emit_target(c, i);
	emit_check_canonical(c, i);
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

void emit_call_step(struct jit_ctx *c, unsigned i)
{
	struct jit_insn *r = insn_record(c, i);

	if (c->flags.place == FLAGS_RECIPE)
		flags_restore(c, &c->flags);
	r->flags = record_flags(c);
	emit_store32_imm(&c->e, JIT(site), meta_ref(c->cache, r));
	emit_jmp_to(&c->e, c->cache->thunk.step);
	c->delta_held = -1;
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
		if (loop_is_back(c, i))
			c->loop.back = emit_jcc(&c->e, c->in[i].row->opcode & 0xf);
		else
			emit_goto(c, emit_jcc(&c->e, c->in[i].row->opcode & 0xf),
				  code_address(c, c->in[i].insn.imm), c->in[i].live_target);
		break;
	case JIT_JMP:
		if (loop_is_back(c, i))
			c->loop.back = emit_jmp(&c->e);
		else
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

static void init_records(struct jit_ctx *c)
{
	struct jit_region *region = c->region;

	region->insns = meta_alloc(c->cache, region->n_insns * sizeof(*region->insns));
	region->starts = meta_alloc(c->cache, (region->n_insns + 1) * sizeof(*region->starts));
	for (unsigned k = 0; k < region->n_insns; k++) {
		const struct decoded *d = &c->in[k % c->n];
		struct jit_insn *r = &region->insns[k];

		*r = (struct jit_insn){.region = region,
				       .row = d->insn.row,
				       .offset = d->offset,
				       .len = d->insn.len,
				       .flags_live = d->live_in};
		memcpy(r->bytes, d->bytes, INSN_MAX_LEN);
	}
}

void begin_insn(struct jit_ctx *c, unsigned i)
{
	struct jit_insn *record = insn_record(c, i);

	c->region->starts[record - c->region->insns] = emit_here(&c->e) - c->region->code;
	record->flags_before = c->flags.place;
}

static bool runs_on(const struct jit_ctx *c, unsigned i)
{
	return c->in[i].fx.class <= JIT_JCC;
}

void emit_insns(struct jit_ctx *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		begin_insn(c, i);
		emit_insn(c, i);
		if (runs_on(c, i))
			insn_record(c, i)->next = emit_here(&c->e);
	}
}

static void emit_body(struct jit_ctx *c)
{
	struct jit_region *region = c->region;

	c->loop.first = emit_here(&c->e);
	emit_insns(c, c->n);
	region->starts[c->n] = emit_here(&c->e) - region->code;
	if (runs_on(c, c->n - 1))
		emit_goto(c, emit_jmp(&c->e), c->end, c->in[c->n - 1].live_out);
	if (c->loop.found)
		emit_loop(c);
	region->code_end = emit_here(&c->e);
	c->cache->used = (c->e.p - c->cache->rw + 15) & ~(size_t)15;
	c->e.p = c->cache->rw + c->cache->cold_used;
	region->cold = emit_here(&c->e);
	for (unsigned i = 0; i < c->n_cold; i++)
		emit_cold(c, &c->cold[i]);
	c->cache->cold_used = c->e.p - c->cache->rw;
	region->cold_end = emit_here(&c->e);
}

static struct jit_region *translate(struct cpu *cpu, uint64_t gpa, bool plain)
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
	c->loop = (struct loop){0};
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
				      .loops = c->loop.found,
				      .n_insns = c->loop.found ? 2 * c->n : c->n,
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
	cpu->jit.count.loops += c->loop.found;
	cache_enter(cpu, region);
	listing_map_region(cpu, region);
	trace_jit_region(cpu->env.trace, cpu->id, region->rip, region->gpa, c->n,
			 region->code_end - region->code + (region->cold_end - region->cold),
			 region->plain, region->compared);
	return region;
}

static uint64_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

struct jit_region *region_translate(struct cpu *cpu, uint64_t gpa, bool plain)
{
	uint64_t start = host_ns();
	struct jit_region *region;

	cpu->jit.translating = true;
	region = translate(cpu, gpa, plain);
	cpu->jit.translating = false;
	cpu->jit.count.translating_ns += host_ns() - start;
	return region;
}
