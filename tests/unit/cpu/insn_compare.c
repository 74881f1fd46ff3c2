/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn_compare.h"

#include <string.h>

struct attempt {
	const struct compared_code *code;
	const struct insn_row *faulted; /* the row that raised the exception, or NULL */
	const struct guest_engine *engine;
	GString *why;
	bool same;
};

/* Only the first difference is told. */
static G_GNUC_PRINTF(2, 3) void differ(struct attempt *a, const char *format, ...)
{
	va_list args;

	if (a->same) {
		g_string_append_printf(a->why, "%s: ", a->engine->name);
		va_start(args, format);
		g_string_append_vprintf(a->why, format, args);
		va_end(args);
	}
	a->same = false;
}

static void compare_x87(struct attempt *a, const struct host_registers *h, const struct x86_fpu *g)
{
	if (h->x87.fcw != g->fcw || h->x87.fsw != g->fsw || h->x87.ftw != g->ftw)
		differ(a, "x87 control %04x status %04x tags %02x, host %04x %04x %02x", g->fcw,
		       g->fsw, g->ftw, h->x87.fcw, h->x87.fsw, h->x87.ftw);
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(h->x87.st[i], g->st[i], 10))
			differ(a, "st%u", i);
}

bool insn_leaves_flags_undefined(const struct insn_row *row)
{
	static const char *const names[] = {
		"mul", "imul", "div", "idiv", "shl", "shr", "sar", "sal", "shld", "shrd",  "rol",
		"ror", "rcl",  "rcr", "bsf",  "bsr", "bt",  "bts", "btr", "btc",  "lzcnt", "tzcnt"};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (!strcmp(row->name, names[i]))
			return true;
	return false;
}

uint64_t insn_compared_flags(const struct insn_row *row)
{
	static const struct {
		const char *name;
		uint64_t defined;
	} partial[] = {
		{"aaa", RFLAGS_AF | RFLAGS_CF},
		{"aas", RFLAGS_AF | RFLAGS_CF},
		{"aam", RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF},
		{"aad", RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF},
		{"daa", RFLAGS_ARITH & ~RFLAGS_OF},
		{"das", RFLAGS_ARITH & ~RFLAGS_OF},
	};
	uint64_t all = RFLAGS_ARITH | RFLAGS_DF;

	for (size_t i = 0; i < G_N_ELEMENTS(partial); i++)
		if (!strcmp(row->name, partial[i].name))
			return partial[i].defined;
	/* Rotates by an immediate other than 1 leave another OF than those by CL. */
	if (row->operand[1].kind == 'I' &&
	    (sample_is_named(row, "ro") || sample_is_named(row, "rc")))
		return all & ~RFLAGS_OF;
	return all;
}

/*
 * What an instruction that faulted leaves is the model's choice in part: gathers keep the elements
 * they have, POPA has loaded some registers, MMX is entered by half, and of REP CMPS the flags are
 * those from before.
 */
static void compare_registers(struct attempt *a, const struct host_registers *h,
			      const struct x86_state *g)
{
	uint32_t faulted = a->faulted ? a->faulted->flags : 0;
	bool is64 = !a->code->is32, by_halves = a->faulted && !strcmp(a->faulted->name, "popa");
	uint64_t width = is64 ? ~0ull : 0xffffffff;
	uint64_t mask = RFLAGS_ARITH | RFLAGS_DF;

	if (faulted & IF_REP)
		mask = 0;
	else if (!a->faulted && a->code->max == 1)
		mask = insn_compared_flags(a->code->row_at(a->code->opaque, a->code->offset));
	for (unsigned i = 0; i < (is64 ? 16 : 8); i++)
		if (((h->gpr[i] ^ g->gpr[i]) & width) && (i == X86_RSP || !by_halves))
			differ(a,
			       "register %u is %" G_GINT64_MODIFIER "x, host %" G_GINT64_MODIFIER
			       "x",
			       i, g->gpr[i], h->gpr[i]);
	if (a->faulted && a->engine->loose_flags)
		mask = 0;
	if ((h->rflags ^ g->rflags) & mask)
		differ(a, "flags %x, host %x", (unsigned)(g->rflags & mask),
		       (unsigned)(h->rflags & mask));
	for (unsigned i = 0; i < 32 && !(faulted & IF_VSIB); i++)
		if (memcmp(h->ymm[i], g->ymm[i], 32) || memcmp(h->zmm_high[i], g->zmm_high[i], 32))
			differ(a, "vector register %u", i);
	for (unsigned i = 0; i < 8 && !(faulted & IF_VSIB); i++)
		if (h->k[i] != g->k[i])
			differ(a, "k%u is %" G_GINT64_MODIFIER "x, host %" G_GINT64_MODIFIER "x", i,
			       g->k[i], h->k[i]);
	if (h->mxcsr != g->mxcsr)
		differ(a, "MXCSR %x, host %x", g->mxcsr, (unsigned)h->mxcsr);
	if (!(faulted & IF_MMX))
		compare_x87(a, h, &g->fpu);
}

static void write_code(struct guest *guest, const struct compared_code *code)
{
	guest_set_code(guest, code->offset + code->len, GUEST_END, GUEST_END_SIZE);
	if (code->landing)
		guest_set_code(guest, code->landing, GUEST_END, GUEST_END_SIZE);
	guest_set_code(guest, code->offset, code->bytes, code->len);
}

static void run_guest(const struct guest_engine *engine, const struct compared_code *code,
		      const uint8_t *data, struct guest_outcome *outcome)
{
	struct guest *guest = engine->guest;

	if (engine->times > 1)
		guest_turn_code_page(guest);
	write_code(guest, code);
	for (unsigned i = 0; i < engine->times; i++) {
		memcpy(guest->data, data, HOST_DATA_SIZE);
		guest_set_mode(guest, code->is32 ? INSN_MODE_32 : INSN_MODE_64);
		guest_set_registers(guest, &code->registers);
		guest->cpu->state.rip = HOST_CODE + code->offset;
		engine->run(guest, code->offset + code->len, code->landing, code->max, outcome);
	}
}

/* What the code came to; its place in the code pages. */
static unsigned host_end(const struct compared_code *code, int vector)
{
	return vector == HOST_LANDED ? code->landing
	       : vector >= 0	     ? host_last_fault()->rip - HOST_CODE
				     : code->offset + code->len;
}

bool insn_is_image(const struct insn_row *row)
{
	static const char *const images[] = {"fnstenv", "fldenv", "fnsave", "frstor",	"fxsave",
					     "fxrstor", "xsave",  "xsavec", "xsaveopt", "xrstor"};

	for (size_t i = 0; i < G_N_ELEMENTS(images); i++)
		if (!strcmp(row->name, images[i]))
			return true;
	return false;
}

static void compare_exception(struct attempt *a, int vector, const struct guest_outcome *g)
{
	const struct host_fault *h = host_last_fault();
	uint64_t cr2_bits = ~0ull;

	if (MAX(vector, -1) != g->vector) {
		differ(a, "exception %d at %+d, host %d at %+d", g->vector,
		       (int)(g->state.rip - HOST_CODE - a->code->offset), vector,
		       (int)(host_end(a->code, vector) - a->code->offset));
		return;
	}
	if (g->state.rip != HOST_CODE + host_end(a->code, vector))
		differ(a, "exception %d at %+d, host's at %+d", vector,
		       (int)(g->state.rip - HOST_CODE - a->code->offset),
		       (int)(host_end(a->code, vector) - a->code->offset));
	/* Of the images that FXSAVE and the like leave, models begin at one end or the other. */
	if (a->faulted && insn_is_image(a->faulted))
		cr2_bits = ~4095ull;
	/* Nor which of its operands CMPS reads first. */
	if (a->faulted && !strcmp(a->faulted->name, "cmps"))
		cr2_bits = 0;
	if (vector == EXC_PF &&
	    (h->error_code != g->error_code || ((h->cr2 ^ g->state.cr2) & cr2_bits)))
		differ(a,
		       "#PF(%x) at %#" G_GINT64_MODIFIER "x, host (%x) at %#" G_GINT64_MODIFIER "x",
		       g->error_code, g->state.cr2, h->error_code, h->cr2);
}

static void compare_memory(struct attempt *a, const struct guest *guest)
{
	if (!a->same || !memcmp(guest->data, host_data, HOST_DATA_SIZE))
		return;
	for (unsigned i = 0; i < HOST_DATA_SIZE; i++)
		if (guest->data[i] != host_data[i])
			differ(a, "memory at %x is %02x, host %02x", i, guest->data[i],
			       host_data[i]);
}

/* Whether an access went outside of what both have; an instruction reaches over its end by 4 KiB at
 * most. */
static bool is_stray(const struct guest_outcome *outcome)
{
	uint64_t from_data = outcome->state.cr2 - (HOST_DATA - 0x1000);

	return outcome->vector == EXC_PF && from_data >= HOST_DATA_SIZE + 0x2000;
}

static const struct insn_row *row_of(const struct compared_code *code, uint64_t rip)
{
	return code->row_at(code->opaque, rip - HOST_CODE);
}

/* The pointers to the last x87 instruction differ; so do images in memory that hold them. */
static void hide_pointers(const struct compared_code *code, uint8_t *data)
{
	uint64_t at = code->pointers - HOST_DATA;

	if (code->pointers && at < HOST_DATA_SIZE - 28)
		memset(data + at + 3 * code->pointer_size, 0, 4 * code->pointer_size);
}

/* Of what it stores before it faults the host may have stored a part, where we have stored none. */
static bool stores_by_pieces(const struct insn_row *row)
{
	return (row->flags & IF_X87) || !strcmp(row->name, "enter") || !strcmp(row->name, "pusha");
}

enum comparison insn_compare(const struct guest_engine *engines, unsigned n,
			     const struct compared_code *code, GString *why)
{
	g_autofree struct guest_outcome *outcome = g_new0(struct guest_outcome, 1);
	g_autofree uint8_t *data = g_memdup2(host_data, HOST_DATA_SIZE);
	struct host_registers r = code->registers;
	struct attempt a = {.code = code, .why = why, .same = true};
	int vector = 0;

	for (unsigned i = 0; i < n && a.same; i++) {
		const struct guest *guest = engines[i].guest;

		if ((engines[i].only64 && code->is32) ||
		    (engines[i].loose_flags && code->undefined_flags))
			continue;
		a.engine = &engines[i];
		run_guest(&engines[i], code, data, outcome);
		if (i == 0) {
			if (is_stray(outcome))
				return COMPARISON_NOTHING;
			memcpy((uint8_t *)HOST_CODE + code->offset, code->bytes, code->len);
			vector = host_run(&r, code->offset, code->len, code->landing, code->is32);
			hide_pointers(code, host_data);
		}
		a.faulted = outcome->vector >= 0 ? row_of(code, outcome->state.rip) : NULL;
		/* A store that an unmasked x87 exception suppresses does not touch memory; ours
		 * does. */
		if (vector < 0 && outcome->vector == EXC_PF && a.faulted &&
		    (a.faulted->flags & IF_X87) && (a.faulted->flags & IF_STORE))
			return COMPARISON_NOTHING;
		hide_pointers(code, guest->data);
		compare_exception(&a, vector, outcome);
		if (a.same)
			compare_registers(&a, &r, &outcome->state);
		if (!a.faulted || !stores_by_pieces(a.faulted))
			compare_memory(&a, guest);
	}
	return !a.same ? COMPARISON_DIFFERENT : vector >= 0 ? COMPARISON_FAULT : COMPARISON_SAME;
}

static const struct insn_row *sample_row(const void *opaque, unsigned offset)
{
	return ((const struct sample *)opaque)->row;
}

enum comparison insn_compare_sample(const struct guest_engine *engines, unsigned n,
				    const struct sample *s, const struct host_registers *r,
				    GString *why)
{
	struct compared_code code = {
		.bytes = s->bytes,
		.offset = s->offset,
		.len = s->insn.len,
		.landing = s->landing,
		/* A repeated instruction may stop between two rounds, for interrupts' sake. */
		.max = s->row->flags & IF_REP ? 100 : 1,
		.is32 = sample_mode() == INSN_MODE_32,
		.undefined_flags = insn_leaves_flags_undefined(s->row),
		.registers = *r,
		.row_at = sample_row,
		.opaque = s,
	};

	if (!strcmp(s->row->name, "fnstenv") || !strcmp(s->row->name, "fnsave")) {
		code.pointers = s->target;
		code.pointer_size = s->insn.opsize == 2 ? 2 : 4;
	}
	return insn_compare(engines, n, &code, why);
}
