/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways into a region and out of it, and what of its code is out of line. */
#include "cpu/jit/translate.h"

struct cold *cold_new(struct jit_ctx *c, enum cold_kind kind, uint8_t *jump)
{
	struct cold *cold = &c->cold[c->n_cold++];

	g_assert(c->n_cold <= MAX_COLD);
	*cold = (struct cold){.kind = kind, .flags = c->flags, .jump = jump};
	return cold;
}

/* Flags that are read from one of the region's instructions on. */
static uint8_t live_within(const struct jit_ctx *c, uint64_t rip)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->page + c->in[i].offset == rip)
			return c->in[i].live_in;
	return FL_ALL;
}

struct jit_exit *exit_new(struct jit_ctx *c, uint64_t rip, bool plain)
{
	struct jit_exit *exit = meta_alloc(c->cache, sizeof(*exit));

	*exit = (struct jit_exit){.flags_live = plain ? live_within(c, rip) : FL_ALL,
				  .from = c->region,
				  .from_next = c->region->exits,
				  .rip = rip,
				  .plain = plain,
				  .mode_key = c->region->mode_key,
				  .other_page = (rip & ~4095ull) != c->page};
	c->region->exits = exit;
	return exit;
}

void emit_goto(struct jit_ctx *c, uint8_t *jump, uint64_t rip, uint8_t live)
{
	struct jit_exit *exit = exit_new(c, rip, false);
	struct cold *cold = cold_new(c, COLD_EXIT, jump);

	exit->jump = jump;
	exit->flags_live = live;
	exit->forward =
		rip > c->page + c->in[c->n - 1].offset && !region_follows_sti(c);
	if (!live)
		cold->flags.place = FLAGS_DEAD;
	exit->flags_in_host = cold->flags.place == FLAGS_HOST || cold->flags.place == FLAGS_DEAD;
	exit->flags_in_memory = cold->flags.place == FLAGS_MEMORY;
	cold->record = exit;
}

/* To the rip in SCRATCH0; the host's flags are free. */
void emit_indirect(struct jit_ctx *c, unsigned i, int32_t rsp_moved)
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

/* Entries */

/* Jumps away if the byte is zero, or is not; where flags are live they stay. */
static uint8_t *emit_branch_on(struct jit_ctx *c, int32_t offset, bool if_zero)
{
	struct emit *e = &c->e;
	uint8_t *taken;

	if (c->flags.place != FLAGS_HOST) {
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

/* Leaves translated code where something waits; in lockstep after so many entries, too. SCRATCH1 is free
 * here, and flags stay. */
static void emit_leave_check(struct jit_ctx *c)
{
	struct host_mem less = MEM_AT(SCRATCH1);
	struct emit *e = &c->e;

	cold_new(c, COLD_LEAVE, emit_branch_on(c, GS(attention), false));
	if (!c->cpu->lockstep)
		return;
	cold_new(c, COLD_LEAVE, emit_branch_on(c, GS(jit.chain_left), true));
	less.disp = -1;
	EMIT(e, 0x65, 0x44, 0x0f, 0xb6, 0x1c, 0x25); /* movzx r11d, byte gs:[chain_left] */
	emit32(e, GS(jit.chain_left));
	emit_rm(e, false, 0x8d, SCRATCH1, less); /* lea */
	EMIT(e, 0x65, 0x44, 0x88, 0x1c, 0x25); /* mov gs:[chain_left], r11b */
	emit32(e, GS(jit.chain_left));
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

/* Whether an instruction of the region wants flags from before it; they may be alive because of what
 * is behind the region, too. */
static bool reads_flags(const struct jit_ctx *c)
{
	for (unsigned i = 0; i < c->n && c->in[i].live_in; i++)
		if (c->in[i].fx.class <= JIT_JCC && c->in[i].fx.class != JIT_STEP &&
		    flags_needs(&c->in[i]))
			return true;
	return false;
}

void emit_entries(struct jit_ctx *c)
{
	struct jit_region *region = c->region;
	uint8_t *fix, *enter = NULL;

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
	if (region->flags_live && !c->compared && !reads_flags(c)) {
		region->entry = region->forward_entry = region->cross_entry = emit_here(&c->e);
		flags_save(c);
		region->memory_entry = emit_here(&c->e);
	} else {
		enter = emit_jmp(&c->e);
		region->cross_entry = emit_here(&c->e);
	}
	cold_new(c, COLD_PAGE,
		 emit_branch_on(c, GS(jit.page_ok) + region->page_slot, true));
	if (!region->memory_entry) {
		emit_patch_here(&c->e, enter);
		region->entry = emit_here(&c->e);
	}
	emit_leave_check(c);
	if (!region->memory_entry)
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

void emit_cold(struct jit_ctx *c, const struct cold *cold)
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
		flags_restore(c, &cold->flags);
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
		flags_restore(c, &cold->flags);
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
		flags_restore(c, &cold->flags);
		EMIT(&c->e, 0x4c, 0x8d, 0x15); /* lea r10, [rip + back] */
		emit32(&c->e, cold->back - (emit_here(&c->e) + 4));
		emit_jmp_to(&c->e, c->cache->thunk.load_x87);
		break;
	}
}
