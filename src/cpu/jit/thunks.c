/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways between C and translated code. Translated code has the guest's registers in the
 * host's, RSP included; C finds them in struct cpu.
 */
#include "cpu/jit/jit_int.h"
#include "cpu/x86/model.h"

#define HOST_MXCSR 0x1f80

#define FIELD(field) MEM_GS(GS(field))
#define JIT(field)   MEM_GS(GS(jit.field))

/* RAX is overwritten: lahf; seto al. */
static void emit_flags_out(struct emit *e, int32_t to)
{
	EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);
	EMIT(e, 0x65, 0x66, 0x89, 0x04, 0x25); /* mov gs:[to], ax */
	emit32(e, to);
}

/* RAX is overwritten: add al, 0x7f; sahf. */
static void emit_flags_in(struct emit *e, int32_t from)
{
	EMIT(e, 0x65, 0x0f, 0xb7, 0x04, 0x25); /* movzx eax, word gs:[from] */
	emit32(e, from);
	EMIT(e, 0x04, 0x7f, 0x9e);
}

/* vmovdqu to or from the lower half of a register above 15; vinserti64x4, vextracti64x4: the upper
 * half of any. */
static void emit_half_move(struct emit *e, bool store, unsigned reg, bool high)
{
	uint8_t p0 = 0x60 | (reg & 8 ? 0 : 0x80) | (reg & 16 ? 0 : 0x10);
	bool insert = high && !store;

	EMIT(e, 0x65, 0x62, p0 | (high ? 3 : 1));
	EMIT(e, high ? 0x85 | (insert ? ~reg & 15 : 15) << 3 : 0x7e);
	EMIT(e, (high ? 0x40 : 0x20) | (insert && reg & 16 ? 0 : 8));
	EMIT(e, high ? (store ? 0x3b : 0x3a) : (store ? 0x7f : 0x6f), 0x04 | (reg & 7) << 3, 0x25);
	emit32(e, (high ? GS(state.zmm_high) : GS(state.ymm)) + 32 * reg);
	if (high)
		EMIT(e, 1);
}

/*
 * What AVX-512 adds, carried where a region uses it: the lower halves of ZMM16 to ZMM31 and the
 * opmasks; and the upper halves of all, which are 0 unless zmm_used is set, and then carried always,
 * since VEX instructions zero them. Flags stay.
 */
static void emit_wide(struct emit *e, bool store)
{
	for (unsigned i = 16; i < 32; i++)
		emit_half_move(e, store, i, false);
	for (unsigned i = 0; i < 8; i++) { /* kmovq */
		EMIT(e, 0x65, 0xc4, 0xe1, 0xf8, store ? 0x91 : 0x90, 0x04 | i << 3, 0x25);
		emit32(e, GS(state.k) + 8 * i);
	}
	emit_store8_imm(e, JIT(wide_live), !store);
}

/* After emit_wide() where it loads: the lower halves' loads zero the upper ones. */
static void emit_high(struct emit *e, bool store)
{
	for (unsigned i = 0; i < 32; i++)
		emit_half_move(e, store, i, true);
	emit_store8_imm(e, JIT(high_live), !store);
}

/* vmovdqu of XMM or YMM i, from or to where the state has it; movups where the host has no AVX. */
static void emit_vector_move(struct emit *e, bool store, unsigned i, bool ymm)
{
	bool avx = x86_model_host()->has[F_AVX];
	uint8_t opcode = store ? (avx ? 0x7f : 0x11) : (avx ? 0x6f : 0x10);

	EMIT(e, 0x65);
	if (avx)
		EMIT(e, 0xc5, (i > 7 ? 0x7a : 0xfa) | (ymm ? 4 : 0), opcode);
	else if (i > 7)
		EMIT(e, 0x44, 0x0f, opcode);
	else
		EMIT(e, 0x0f, opcode);
	EMIT(e, 0x04 | (i & 7) << 3, 0x25);
	emit32(e, GS(state.ymm) + 32 * i);
}

static void emit_mxcsr_move(struct emit *e, bool store)
{
	EMIT(e, 0x65, 0x0f, 0xae, store ? 0x1c : 0x14, 0x25); /* stmxcsr or ldmxcsr gs:[mxcsr] */
	emit32(e, GS(state.mxcsr));
}

static void emit_vectors_out(struct emit *e)
{
	for (unsigned i = 0; i < 16; i++)
		emit_vector_move(e, true, i, true);
	emit_mxcsr_move(e, true);
}

/* Jumps away where the upper half of a YMM register is not 0; flags and XMM0 are overwritten. */
static uint8_t *emit_find_upper(struct emit *e)
{
	for (unsigned i = 0; i < 16; i++) {
		if (i)
			EMIT(e, 0x65, 0xc5, 0xf9, 0xeb, 0x04, 0x25); /* vpor xmm0, xmm0, gs:[] */
		else
			EMIT(e, 0x65, 0xc5, 0xfa, 0x6f, 0x04, 0x25); /* vmovdqu xmm0, gs:[] */
		emit32(e, GS(state.ymm) + 32 * i + 16);
	}
	EMIT(e, 0xc4, 0xe2, 0x79, 0x17, 0xc0); /* vptest xmm0, xmm0 */
	return emit_jcc(e, CC_NE);
}

/*
 * Overwrites the host's flags. A processor knows of upper halves that are 0 as long as nothing was loaded
 * to them. Where it does not, each SSE instruction waits for its destination's old value, whose upper half it
 * keeps: 3.8 times native's time instead of 1.4 for a loop of SSE2 code.
 */
static void emit_vectors_in(struct emit *e)
{
	uint8_t *upper, *done = NULL;

	if (x86_model_host()->has[F_AVX]) {
		upper = emit_find_upper(e);
		for (unsigned i = 0; i < 16; i++)
			emit_vector_move(e, false, i, false);
		done = emit_jmp(e);
		emit_patch_here(e, upper);
	}
	for (unsigned i = 0; i < 16; i++)
		emit_vector_move(e, false, i, true);
	if (done)
		emit_patch_here(e, done);
	emit_mxcsr_move(e, false);
}

/* These two may change the host's flags. */
static void emit_wide_spill(struct emit *e)
{
	uint8_t *skip;

	emit_cmp8_imm(e, JIT(wide_live), 0);
	skip = emit_jcc(e, CC_E);
	emit_wide(e, true);
	emit_store8_imm(e, JIT(wide_wanted), 1);
	emit_patch_here(e, skip);
	emit_cmp8_imm(e, JIT(high_live), 0);
	skip = emit_jcc(e, CC_E);
	emit_high(e, true);
	emit_store8_imm(e, JIT(high_wanted), 1);
	emit_patch_here(e, skip);
}

static void emit_wide_resume(struct emit *e)
{
	uint8_t *all, *all_too, *skip, *skip_high;

	emit_cmp8_imm(e, FIELD(zmm_used), 0);
	all = emit_jcc(e, CC_NE);
	emit_cmp8_imm(e, JIT(high_wanted), 0);
	all_too = emit_jcc(e, CC_NE);
	emit_cmp8_imm(e, JIT(wide_wanted), 0);
	skip = emit_jcc(e, CC_E);
	emit_wide(e, false);
	skip_high = emit_jmp(e);
	emit_patch_here(e, all);
	emit_patch_here(e, all_too);
	emit_wide(e, false);
	emit_high(e, false);
	emit_patch_here(e, skip_high);
	emit_patch_here(e, skip);
	emit_store8_imm(e, JIT(wide_wanted), 0);
	emit_store8_imm(e, JIT(high_wanted), 0);
}

/* All registers to struct cpu, and onto the host's stack. */
static void emit_spill(struct emit *e, int32_t flags_to)
{
	uint8_t *skip;

	emit_store64(e, MEM_GS(GS_GPR(RAX)), RAX);
	emit_flags_out(e, flags_to);
	for (unsigned i = 1; i < 16; i++)
		if (!is_displaced(i))
			emit_store64(e, MEM_GS(GS_GPR(i)), i);
	emit_load64(e, RSP, JIT(host_rsp));
	emit_cmp8_imm(e, JIT(vectors_live), 0);
	skip = emit_jcc(e, CC_E);
	emit_vectors_out(e);
	if (x86_model_host()->has[F_AVX512F])
		emit_wide_spill(e);
	if (x86_model_host()->has[F_AVX])
		EMIT(e, 0xc5, 0xf8, 0x77); /* vzeroupper */
	EMIT(e, 0x65, 0x0f, 0xae, 0x14, 0x25); /* ldmxcsr gs:[host_mxcsr] */
	emit32(e, GS(jit.host_mxcsr));
	emit_store8_imm(e, JIT(vectors_live), 0);
	emit_store8_imm(e, JIT(vectors_wanted), 1);
	emit_patch_here(e, skip);
}

/* Back to the C that called enter(). */
static void emit_leave(struct emit *e)
{
	EMIT(e, 0x48, 0x83, 0xc4, 8); /* add rsp, 8 */
	EMIT(e, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

/* All registers from struct cpu, then to jit.resume. */
static void emit_resume(struct emit *e)
{
	uint8_t *skip;

	emit_cmp8_imm(e, JIT(vectors_wanted), 0);
	skip = emit_jcc(e, CC_E);
	emit_vectors_in(e);
	if (x86_model_host()->has[F_AVX512F])
		emit_wide_resume(e);
	emit_store8_imm(e, JIT(vectors_live), 1);
	emit_store8_imm(e, JIT(vectors_wanted), 0);
	emit_patch_here(e, skip);
	emit_flags_in(e, GS(flags));
	for (unsigned i = 1; i < 16; i++)
		if (!is_displaced(i))
			emit_load64(e, i, MEM_GS(GS_GPR(i)));
	emit_load64(e, SCRATCH0, JIT(address));
	emit_load64(e, SCRATCH1, JIT(delta));
	emit_load64(e, RAX, MEM_GS(GS_GPR(RAX)));
	emit_rm(e, false, 0xff, 4, JIT(resume));
}

/* rbx, rbp, r12 to r15 are the caller's; 8 more bytes align the stack for calls. */
static void emit_enter(struct emit *e)
{
	EMIT(e, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);
	EMIT(e, 0x48, 0x83, 0xec, 8); /* sub rsp, 8 */
	emit_store64(e, JIT(host_rsp), RSP);
	emit_store64(e, JIT(resume), RSI);
	emit_store8_imm(e, JIT(vectors_wanted), 0);
	emit_store8_imm(e, JIT(wide_wanted), 0);
	emit_store8_imm(e, JIT(high_wanted), 0);
	emit_resume(e);
}

static void emit_exit(struct emit *e)
{
	emit_spill(e, GS(flags));
	emit_leave(e);
}

static void emit_exit_at(struct emit *e, uint32_t site)
{
	emit_store64(e, FIELD(state.rip), SCRATCH0);
	emit_store32_imm(e, JIT(site), site);
	emit_exit(e);
}

static void emit_call(struct emit *e, const void *(*function)(struct cpu *cpu))
{
	uint8_t *leave;

	emit_store64(e, JIT(address), SCRATCH0);
	emit_store8_imm(e, JIT(vectors_wanted), 0);
	emit_spill(e, GS(jit.host_flags));
	emit_load64(e, RDI, JIT(self));
	emit_mov_imm(e, RAX, (uint64_t)function);
	EMIT(e, 0xff, 0xd0);	   /* call rax */
	EMIT(e, 0x48, 0x85, 0xc0); /* test rax, rax */
	leave = emit_jcc(e, CC_E);
	emit_store64(e, JIT(resume), RAX);
	emit_resume(e);
	emit_patch_here(e, leave);
	emit_leave(e);
}

/* Brings the flags home and leaves for the rip in SCRATCH0. */
static void emit_lost(struct emit *e, const struct jit_cache *cache)
{
	emit_mov_imm(e, SCRATCH1, (uint64_t)cache->thunk.indirect);
	thunks_emit_fix(e);
}

/* The first table had another region for the rip in SCRATCH0: looks into the second one. */
static void emit_miss(struct emit *e, const struct jit_cache *cache, unsigned class)
{
	int32_t table = GS(jit.more_targets) + class * sizeof(((struct cpu *)0)->jit.more_targets[0]);

	emit_mov64(e, SCRATCH1, SCRATCH0);
	EMIT(e, 0x49, 0xc1, 0xeb, 12); /* shr r11, 12 */
	emit_rr(e, false, 0x33, SCRATCH1, SCRATCH0);
	EMIT(e, 0x41, 0x81, 0xe3); /* and r11d, JIT_N_MORE_TARGETS - 1 */
	emit32(e, JIT_N_MORE_TARGETS - 1);
	G_STATIC_ASSERT(sizeof(struct jit_target) == 32);
	EMIT(e, 0x49, 0xc1, 0xe3, 5); /* shl r11, 5 */
	emit_rm(e, true, 0x3b, SCRATCH0, MEM_GS_AT(SCRATCH1, table));
	emit_jcc_to(e, CC_NE, cache->thunk.lost);
	/* The same address in another mode is other code. */
	emit_store64(e, JIT(address), SCRATCH0);
	emit_rm(e, false, 0x8b, SCRATCH0, FIELD(mode_key));
	emit_rm(e, false, 0x3b, SCRATCH0,
		MEM_GS_AT(SCRATCH1, table + offsetof(struct jit_target, mode_key)));
	emit_load64(e, SCRATCH0, JIT(address));
	emit_jcc_to(e, CC_NE, cache->thunk.lost);
	emit_rm(e, false, 0xff, 4, MEM_GS_AT(SCRATCH1, table + offsetof(struct jit_target, entry)));
}

/* Whether the line at RAX >> 6 of the page whose code map is in SCRATCH1 is clear; else jumps away. */
static uint8_t *emit_check_line(struct emit *e)
{
	EMIT(e, 0xc1, 0xe8, 6);		/* shr eax, 6 */
	EMIT(e, 0x49, 0x0f, 0xa3, 0xc3); /* bt r11, rax */
	return emit_jcc(e, CC_B);
}

/*
 * A store to the page that was stored to last and that holds code too: goes on behind the access's
 * check if its lines have none, those of the 64 bytes from its address on.
 */
static void emit_store_beside_code(struct emit *e, struct jit_cache *cache, unsigned class)
{
	int32_t base = GS(jit.code_page) + class * sizeof(((struct cpu *)0)->jit.code_page[0]);
	struct host_mem last = MEM_AT(SCRATCH0);
	uint8_t *slow[4];

	emit_store64(e, JIT(scratch), RAX);
	emit_flags_out(e, GS(jit.host_flags));
	emit_mov64(e, SCRATCH1, SCRATCH0);
	EMIT(e, 0x49, 0x81, 0xe3, 0x00, 0xf0, 0xff, 0xff); /* and r11, ~4095 */
	emit_rm(e, true, 0x3b, SCRATCH1, MEM_GS(base));	   /* cmp r11, the page */
	slow[0] = emit_jcc(e, CC_NE);
	emit_rr(e, false, 0x8b, RAX, SCRATCH0);
	EMIT(e, 0x25, 0xff, 0x0f, 0, 0); /* and eax, 4095 */
	EMIT(e, 0x3d);			 /* cmp eax, 4096 - 64 */
	emit32(e, 4096 - 64);
	slow[1] = emit_jcc(e, CC_A);
	emit_load64(e, SCRATCH1, MEM_GS(base + 16));
	emit_load64(e, SCRATCH1, MEM_AT(SCRATCH1));
	slow[2] = emit_check_line(e);
	last.disp = 63;
	emit_rm(e, false, 0x8d, RAX, last);
	slow[3] = emit_check_line(e);
	EMIT(e, 0x65, 0x44, 0x8b, 0x1c, 0x25); /* mov r11d, gs:[site] */
	emit32(e, GS(jit.site));
	emit_mov_imm(e, RAX, (uint64_t)cache->meta + offsetof(struct jit_insn, resume));
	EMIT(e, 0x4a, 0x8b, 0x04, 0xd8); /* mov rax, [rax + r11 * 8] */
	emit_store64(e, JIT(resume), RAX);
	emit_load64(e, SCRATCH1, MEM_GS(base + 8));
	emit_flags_in(e, GS(jit.host_flags));
	emit_load64(e, RAX, JIT(scratch));
	emit_rm(e, false, 0xff, 4, JIT(resume));
	for (unsigned i = 0; i < G_N_ELEMENTS(slow); i++)
		emit_patch_here(e, slow[i]);
	emit_flags_in(e, GS(jit.host_flags));
	emit_load64(e, RAX, JIT(scratch));
	emit_jmp_to(e, cache->thunk.access);
}

/* The guest's flags and registers may be live in these two. */
static void emit_load_wide(struct emit *e, bool high)
{
	emit_wide(e, false);
	if (high)
		emit_high(e, false);
	EMIT(e, 0x41, 0xff, 0xe3); /* jmp r11 */
}

static void emit_load_vectors(struct emit *e, const struct jit_cache *cache)
{
	emit_store64(e, JIT(scratch), RAX);
	emit_flags_out(e, GS(jit.host_flags));
	emit_vectors_in(e);
	emit_flags_in(e, GS(jit.host_flags));
	emit_load64(e, RAX, JIT(scratch));
	emit_store8_imm(e, JIT(vectors_live), 1);
	if (x86_model_host()->has[F_AVX512F]) {
		emit_store64(e, JIT(scratch), RCX);
		EMIT(e, 0x65, 0x0f, 0xb6, 0x0c, 0x25); /* movzx ecx, byte gs:[zmm_used] */
		emit32(e, GS(zmm_used));
		EMIT(e, 0xe3, 14); /* jrcxz over the next two */
		emit_load64(e, RCX, JIT(scratch));
		emit_jmp_to(e, cache->thunk.load_high);
		emit_load64(e, RCX, JIT(scratch));
	}
	EMIT(e, 0x41, 0xff, 0xe3); /* jmp r11 */
}

void thunks_emit_fix(struct emit *e)
{
	emit_store64(e, JIT(after_fix), SCRATCH1);
	EMIT(e, 0x65, 0x44, 0x8b, 0x1c, 0x25); /* mov r11d, gs:[flags_fix] */
	emit32(e, GS(jit.flags_fix));
	emit_rm(e, true, 0x03, SCRATCH1, JIT(code)); /* add */
	EMIT(e, 0x41, 0xff, 0xe3);		     /* jmp r11 */
}

void thunks_emit(struct jit_cache *cache)
{
	struct emit e = {.p = cache->rw, .to_rx = cache->rx - cache->rw};

#define THUNK(name, code)                 \
	cache->thunk.name = emit_here(&e); \
	code

	cache->thunk.enter = (void (*)(struct cpu *, const void *))emit_here(&e);
	emit_enter(&e);
	THUNK(exit, emit_exit(&e));
	THUNK(exit_at, emit_exit_at(&e, SITE_NONE));
	THUNK(indirect, emit_exit_at(&e, SITE_INDIRECT));
	THUNK(stale, emit_exit_at(&e, SITE_STALE));
	THUNK(lost, emit_lost(&e, cache));
	for (unsigned class = 0; class < G_N_ELEMENTS(cache->thunk.miss); class++) {
		THUNK(miss[class], emit_miss(&e, cache, class));
	}
	THUNK(access, emit_call(&e, jit_slow_access));
	for (unsigned class = 0; class < G_N_ELEMENTS(cache->thunk.store); class++)
	{
		THUNK(store[class], emit_store_beside_code(&e, cache, class));
	}
	THUNK(group, emit_call(&e, jit_slow_group));
	THUNK(page, emit_call(&e, jit_slow_page));
	THUNK(page_indirect, emit_call(&e, jit_slow_page_indirect));
	THUNK(second, emit_call(&e, jit_slow_second));
	THUNK(step, emit_call(&e, jit_slow_step));
	THUNK(fault, emit_call(&e, jit_host_fault));
	/* Where regions use these, the host has the registers. */
	THUNK(load_wide, emit_load_wide(&e, false));
	THUNK(load_high, emit_load_wide(&e, true));
	THUNK(load_vectors, emit_load_vectors(&e, cache));
	THUNK(load_x87, emit_call(&e, jit_load_x87));
#undef THUNK
	cache->code_start = (e.p - cache->rw + 63) & ~(size_t)63;
}
