/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every row of the instruction table against the host's processor, in 64-bit and in 32-bit mode:
 * random encodings, registers and memory; the same bytes run natively and by cpu_step(), and
 * everything that the instruction could have changed is compared.
 *
 * VIV_INSN_COUNT samples a row (0: until stopped), VIV_INSN_SEED to start from, VIV_INSN_ROW to
 * try rows of one name only.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/insn_int.h"
#include "cpu/x86/mmu.h"
#include "guest.h"
#include "host_run.h"

#define MAX_REPORT 60

/* Routines whose operands are more than numbers. */
extern const struct exec_set exec_ldmxcsr, exec_fxrstor, exec_xsave, exec_xsaveopt, exec_xsavec,
	exec_xrstor;

struct sample {
	const struct insn_row *row;
	uint8_t bytes[32];
	unsigned offset;  /* in the code pages */
	unsigned modrm;	  /* place in bytes, 0 if there is none */
	uint64_t target;  /* where the memory operand is */
	unsigned landing; /* where a branch goes in the code pages, or 0 */
	struct insn insn;
};

static struct guest guest;
static enum insn_mode mode;
static GRand *rng;
static unsigned n_differences;

static uint64_t random64(void)
{
	return (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);
}

static unsigned below(unsigned n)
{
	return g_rand_int(rng) % n;
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

/* Encodings. */

static bool names(const struct insn_row *row, const char *kinds)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind && strchr(kinds, row->operand[i].kind))
			return true;
	return false;
}

static unsigned put_prefixes(const struct insn_row *row, uint8_t *p)
{
	static const uint8_t required[] = {
		[INSN_PREFIX_66] = 0x66, [INSN_PREFIX_F3] = 0xf3, [INSN_PREFIX_F2] = 0xf2};
	unsigned n = 0;

	if (one_in(16))
		p[n++] = 0x67;
	if ((row->flags & IF_LOCK) && one_in(4))
		p[n++] = 0xf0;
	if ((row->flags & IF_REP) && one_in(2))
		p[n++] = one_in(2) ? 0xf2 : 0xf3;
	/* 66 before a near branch is ignored by some processors and not by others. */
	if ((row->prefix == INSN_PREFIX_ANY || row->prefix == INSN_PREFIX_NFX) && one_in(4) &&
	    !(row->flags & IF_F64))
		p[n++] = 0x66;
	if (row->prefix >= INSN_PREFIX_66)
		p[n++] = required[row->prefix];
	if (mode == INSN_MODE_64 && (row->w != INSN_ANY || one_in(2)))
		p[n++] = 0x40 | (row->w == 1 ? 8 : 0) | below(row->w == INSN_ANY ? 16 : 8);
	if (row->map)
		p[n++] = 0x0f;
	if (row->map > 1)
		p[n++] = row->map == 2 ? 0x38 : 0x3a;
	return n;
}

static unsigned put_vex(const struct insn_row *row, uint8_t *p)
{
	static const uint8_t pp[] = {
		[INSN_PREFIX_66] = 1, [INSN_PREFIX_F3] = 2, [INSN_PREFIX_F2] = 3};
	unsigned l = row->vex == INSN_VEX_256 || (row->vex != INSN_VEX_128 && one_in(2));
	unsigned w = row->w == INSN_ANY ? below(2) : row->w;
	unsigned vvvv = names(row, "HB") ? below(16) : 15;

	p[0] = 0xc4;
	/* Outside 64-bit mode R and X tell VEX from LES. */
	p[1] = (mode == INSN_MODE_64 ? below(8) : 6 | below(2)) << 5 | row->map;
	p[2] = w << 7 | vvvv << 3 | l << 2 | pp[row->prefix];
	return 3;
}

static uint8_t random_modrm(const struct insn_row *row)
{
	unsigned mod = below(4), reg = row->reg == INSN_ANY ? below(8) : row->reg;
	unsigned rm = row->rm == INSN_ANY ? below(8) : row->rm;

	if (row->mod == INSN_MOD_REG)
		mod = 3;
	else if (row->mod == INSN_MOD_MEM)
		mod = below(3);
	if (row->flags & IF_VSIB)
		rm = 4;
	return mod << 6 | reg << 3 | rm;
}

/* False: some other row is preferred for these bytes. */
static bool make_encoding(struct sample *s)
{
	const struct insn_row *row = s->row;
	unsigned n;

	for (unsigned i = 0; i < sizeof(s->bytes); i++)
		s->bytes[i] = g_rand_int(rng);
	n = row->vex == INSN_VEX_NONE ? put_prefixes(row, s->bytes) : put_vex(row, s->bytes);
	s->bytes[n++] = row->opcode + (row->plus_r ? below(8) : 0);
	s->modrm = 0;
	if (row->has_modrm) {
		s->modrm = n;
		s->bytes[n] = random_modrm(row);
	}
	if (insn_decode(s->bytes, 15, mode, x86_model_host()->has, 0, &s->insn) != INSN_OK)
		return false;
	/* At times the instruction lies on two pages. */
	s->offset = one_in(32) ? 4096 - 1 - below(s->insn.len) : below(4000);
	return insn_row_get(s->insn.row) == row;
}

/* Operands. */

static uint64_t random_integer(void)
{
	static const uint64_t edges[] = {0,	     1,		 2,	    0x7f,	0x80,
					 0xff,	     0x7fff,	 0x8000,    0xffff,	0x7fffffff,
					 1ull << 31, 0xffffffff, INT64_MAX, 1ull << 63, ~0ull};

	switch (below(4)) {
	case 0:
		return edges[below(G_N_ELEMENTS(edges))];
	case 1:
		return below(70);
	default:
		return random64();
	}
}

static void random_lanes(uint8_t *bytes, unsigned n)
{
	static const uint32_t singles[] = {0,	       0x80000000, 0x3f800000, 0xbf800000,
					   0x7f800000, 0xff800000, 0x7fc00000, 0x7fa00000,
					   1,	       0x807fffff, 0x7f7fffff, 0x4f000000,
					   0x00800000, 0x5f000000, 0x40490fdb};
	static const uint64_t doubles[] = {0,
					   1ull << 63,
					   0x3ff0000000000000ull,
					   0xbff0000000000000ull,
					   0x7ff0000000000000ull,
					   0xfff0000000000000ull,
					   0x7ff8000000000000ull,
					   0x7ff4000000000000ull,
					   1,
					   0x800fffffffffffffull,
					   0x7fefffffffffffffull,
					   0x41e0000000000000ull,
					   0x0010000000000000ull,
					   0x43e0000000000000ull,
					   0x400921fb54442d18ull};
	unsigned kind = below(4);

	for (unsigned i = 0; i < n; i += 8) {
		uint64_t v = random64();

		if (kind == 0 || (kind == 1 && one_in(2)))
			v = singles[below(G_N_ELEMENTS(singles))] |
			    (uint64_t)singles[below(G_N_ELEMENTS(singles))] << 32;
		else if (kind == 2 && one_in(2))
			v = doubles[below(G_N_ELEMENTS(doubles))];
		memcpy(bytes + i, &v, 8);
	}
}

static void random_extended(uint8_t *st)
{
	static const struct {
		uint64_t mantissa;
		uint16_t exponent;
	} edges[] = {
		{0, 0},
		{0, 0x8000},
		{1ull << 63, 0x3fff}, /* 1 */
		{1ull << 63, 0xbfff}, /* -1 */
		{1ull << 63, 0x7fff}, /* infinity */
		{1ull << 63, 0xffff},
		{3ull << 62, 0x7fff},	      /* quiet NaN */
		{5ull << 61, 0x7fff},	      /* signalling NaN */
		{1, 0},			      /* denormal */
		{0x4000000000000000, 0x4000}, /* unnormal */
		{0xc90fdaa22168c235, 0x4000}, /* pi */
		{0x8000000000000001, 0x403e},
		{0xffffffffffffffff, 0x7ffe},
	};
	uint64_t mantissa = random64() | 1ull << 63;
	uint16_t exponent = 0x3fff - 64 + below(128) + (one_in(2) ? 0x8000 : 0);

	if (one_in(2)) {
		unsigned i = below(G_N_ELEMENTS(edges));

		mantissa = edges[i].mantissa;
		exponent = edges[i].exponent;
	} else if (one_in(8)) {
		exponent = g_rand_int(rng);
	}
	memset(st, 0, 16);
	memcpy(st, &mantissa, 8);
	memcpy(st + 8, &exponent, 2);
}

static void random_x87(struct host_registers *r)
{
	uint16_t masks = one_in(4) ? below(64) : 0x3f;

	memset(&r->x87, 0, sizeof(r->x87));
	r->x87.fcw = 0x40 | masks | below(4) << 10 | below(4) << 8;
	r->x87.fsw = (g_rand_int(rng) & 0x7f00) | (one_in(4) ? below(128) & masks : 0);
	if (one_in(64))
		r->x87.fsw |= below(64);
	if (r->x87.fsw & ~r->x87.fcw & 0x3f)
		r->x87.fsw |= 0x8080;
	r->x87.ftw = one_in(4) ? g_rand_int(rng) : one_in(8) ? 0 : 0xff;
	r->x87.mxcsr = 0x1f80;
	for (unsigned i = 0; i < 8; i++)
		random_extended(r->x87.st[i]);
}

static void random_registers(struct host_registers *r)
{
	static const uint64_t arithmetic = RFLAGS_ARITH;

	for (unsigned i = 0; i < 16; i++)
		r->gpr[i] = random_integer();
	r->rflags = (random64() & arithmetic) | RFLAGS_FIXED | RFLAGS_IF;
	r->mxcsr = (one_in(8) ? below(64) << 7 : 0x1f80) | below(4) << 13 |
		   (one_in(4) ? below(64) : 0);
	if (one_in(8))
		r->mxcsr |= 1 << 6; /* DAZ */
	if (one_in(8))
		r->mxcsr |= 1 << 15; /* FTZ */
	random_lanes(&r->ymm[0][0], sizeof(r->ymm));
	random_x87(r);
	r->gpr[X86_RSP] = HOST_DATA + 0x3000 + 8 * below(200);
	for (unsigned i = 0; i < 16 && mode == INSN_MODE_32; i++)
		r->gpr[i] = (uint32_t)r->gpr[i];
}

/* Where the memory operand is to lie: mostly aligned, at times across pages. */
static uint64_t random_target(void)
{
	switch (below(16)) {
	case 0:
		return HOST_DATA + 0x1000 - below(40);
	case 1:
		return HOST_DATA - below(20);
	case 2:
		return HOST_DATA + HOST_DATA_SIZE - below(40);
	case 3:
	case 4:
		return HOST_DATA + 0x400 + below(1000);
	default:
		return HOST_DATA + 0x400 + 64 * below(16);
	}
}

static void put_low32(uint64_t *reg, uint64_t v, bool wide)
{
	*reg = wide ? v : (*reg & ~0xffffffffull) | (uint32_t)v;
}

/* The register a decoded address names, or NULL for INSN_ZERO and INSN_PC. */
static uint64_t *address_register(struct host_registers *r, uint8_t at)
{
	return at < INSN_ZERO ? &r->gpr[at / 8] : NULL;
}

/* Sets the address's registers, or the displacement, so that it comes to `target`. */
static void aim(struct sample *s, struct host_registers *r, uint64_t target)
{
	const struct insn *insn = &s->insn;
	bool wide = insn->addrsize == 8;
	uint64_t *base = address_register(r, insn->base);
	uint64_t *index = address_register(r, insn->index);
	uint64_t rest = target - insn->disp;

	if (insn->addrsize == 2)
		return;

	if (insn->base == INSN_PC) {
		uint32_t disp = target - (HOST_CODE + s->offset + insn->len);

		memcpy(s->bytes + s->modrm + 1, &disp, 4);
	} else if (insn->base == INSN_ZERO && insn->index == INSN_ZERO) {
		uint32_t disp = target;

		bool sib = (s->bytes[s->modrm] & 7) == 4;

		memcpy(s->bytes + s->modrm + 1 + sib, &disp, 4);
	} else if (insn->base == INSN_ZERO) {
		put_low32(index, (int64_t)(wide ? rest : (uint32_t)rest) >> insn->scale, wide);
	} else if (insn->index == INSN_ZERO) {
		put_low32(base, rest, wide);
	} else if (insn->index == insn->base) {
		put_low32(base, (wide ? rest : (uint32_t)rest) / (1 + (1u << insn->scale)), wide);
	} else {
		uint64_t i = below(64);

		put_low32(index, i, wide);
		put_low32(base, rest - (i << insn->scale), wide);
	}
}

/* The vector of a gather's indices. */
static void aim_gather(const struct sample *s, struct host_registers *r)
{
	uint8_t *v = r->ymm[s->insn.imm2];
	unsigned size = s->row->opcode & 1 ? 8 : 4;

	for (unsigned i = 0; i < 32; i += size) {
		int64_t offset = (int)below(200) - 100;

		memcpy(v + i, &offset, size);
	}
}

/* Eight bytes in both memories, as far as they are within. */
static void set_data(uint64_t address, uint64_t v)
{
	if (address - HOST_DATA >= HOST_DATA_SIZE)
		return;
	memcpy((void *)address, &v, MIN(8, HOST_DATA + HOST_DATA_SIZE - address));
	memcpy(guest.data, (void *)HOST_DATA, HOST_DATA_SIZE);
}

static bool is_named(const struct insn_row *row, const char *prefix)
{
	return g_str_has_prefix(row->name, prefix);
}

/* XSAVE's EDX:EAX: only what the guest has, as far as they are not the address. */
static void choose_components(const struct insn *insn, struct host_registers *r)
{
	uint64_t *eax = &r->gpr[X86_RAX], *edx = &r->gpr[X86_RDX];

	if (insn->base / 8 != X86_RAX && insn->index / 8 != X86_RAX)
		*eax = (*eax & ~0xffffffffull) | below(8);
	if (insn->base / 8 != X86_RDX && insn->index / 8 != X86_RDX)
		*edx &= ~0xffffffffull;
}

static bool is_branch(const struct insn_row *row)
{
	return (row->flags & (IF_END | IF_F64)) == (IF_END | IF_F64);
}

/* Makes a branch, if taken, go to a near place that is clear of it and of what follows. */
static void aim_branch(struct sample *s, struct host_registers *r)
{
	const struct insn_row *row = s->row;
	struct insn *insn = &s->insn;
	int distance = HOST_RETURN + below(80);
	uint64_t to;

	if (one_in(2) && s->offset > 200)
		distance = -(int)(insn->len + distance);
	s->landing = s->offset + insn->len + distance;
	to = HOST_CODE + s->landing;
	if (row->operand[0].kind == 'J') {
		memcpy(s->bytes + s->insn.len - (row->operand[0].size[0] == 'b' ? 1 : 4), &distance,
		       row->operand[0].size[0] == 'b' ? 1 : 4);
		if (one_in(2)) /* for LOOP */
			r->gpr[X86_RCX] = (r->gpr[X86_RCX] & ~0xffffffffull) | below(3);
	} else if (is_named(row, "ret")) {
		set_data(r->gpr[X86_RSP], to);
	} else if (insn->flags & INSN_MEM) {
		set_data(s->target, to);
	} else {
		r->gpr[insn->rm / 8] = to;
	}
}

/* Keeps memory accesses that do not go through ModRM's address within the data. */
static void tame(struct sample *s, struct host_registers *r)
{
	const struct insn_row *row = s->row;
	struct insn *insn = &s->insn;

	if (names(row, "XY") || is_named(row, "maskmov") || is_named(row, "vmaskmovdqu")) {
		r->gpr[X86_RSI] = random_target();
		r->gpr[X86_RDI] = random_target();
		if (row->flags & IF_REP)
			r->gpr[X86_RCX] = below(20);
		/* Whether a byte that is not selected faults is the model's choice. */
		else
			r->gpr[X86_RDI] = HOST_DATA + 0x400 + below(1000);
	}
	if (!strcmp(row->name, "xlat"))
		r->gpr[X86_RBX] = random_target();
	/* A host that faults in the middle has pushed some by then, where we have not. */
	if (!strcmp(row->name, "enter"))
		s->bytes[insn->len - 2] &= 7;
	if (!strcmp(row->name, "enter") || !strcmp(row->name, "leave"))
		r->gpr[X86_RBP] = HOST_DATA + 0x2000 + 8 * below(200);
	/* Bit offsets reach beyond the operand. */
	if (row->operand[1].kind == 'G' && (insn->flags & INSN_MEM) && is_named(row, "bt"))
		r->gpr[insn->reg / 8] = (int)below(512) - 256;
	if (names(row, "O")) {
		uint64_t target = random_target();

		memcpy(s->bytes + insn->len - insn->addrsize, &target, insn->addrsize);
	}
	s->target = random_target();
	if (insn->flags & INSN_MEM)
		aim(s, r, s->target);
	if (row->exec == &exec_xsave || row->exec == &exec_xsaveopt || row->exec == &exec_xsavec ||
	    row->exec == &exec_xrstor)
		choose_components(insn, r);
	if (row->flags & IF_VSIB)
		aim_gather(s, r);
}

/* New data where operands will lie; the rest of the memories is equal already. */
static void random_data(void)
{
	uint8_t *host = (uint8_t *)HOST_DATA;
	unsigned at = one_in(8) ? 0xfc0 : 0x400;

	random_lanes(host + at, at == 0x400 ? 0x500 : 0x80);
	memcpy(guest.data, host, HOST_DATA_SIZE);
}

/* What FXRSTOR, XRSTOR and LDMXCSR read must mostly be valid. */
static void prepare_image(const struct sample *s)
{
	bool xrstor = s->row->exec == &exec_xrstor;
	struct host_registers r;
	uint8_t *image = (uint8_t *)HOST_DATA + (s->target - HOST_DATA);
	uint64_t header[8] = {below(8)};

	if (s->target - HOST_DATA > HOST_DATA_SIZE - 1024)
		return;
	if (s->row->exec == &exec_ldmxcsr) {
		memset(image + 2, 0, 2);
		memset(guest.data + (s->target - HOST_DATA) + 2, 0, 2);
	}
	if (!xrstor && s->row->exec != &exec_fxrstor)
		return;
	random_registers(&r);
	r.x87.mxcsr = r.mxcsr;
	memcpy(image, &r.x87, sizeof(r.x87));
	random_lanes(image + 160, 256);
	if (one_in(2))
		header[1] = header[0] | below(8) | 1ull << 63;
	if (one_in(8))
		header[below(8)] |= 1ull << 62;
	if (xrstor)
		memcpy(image + 512, header, sizeof(header));
	memcpy(guest.data, (void *)HOST_DATA, HOST_DATA_SIZE);
}

/* The pointers to the last instruction differ; so do images in memory that hold them. */
static void hide_pointers(const struct sample *s, uint8_t *a, uint8_t *b, uint64_t address)
{
	unsigned size = s->insn.opsize == 2 ? 2 : 4;
	uint64_t at = address - HOST_DATA;

	if ((strcmp(s->row->name, "fnstenv") && strcmp(s->row->name, "fnsave")) ||
	    at >= HOST_DATA_SIZE - 28)
		return;
	memset(a + at + 3 * size, 0, 4 * size);
	memset(b + at + 3 * size, 0, 4 * size);
}

static G_GNUC_PRINTF(3, 4) void differ(const struct sample *s, bool *same, const char *format, ...)
{
	va_list args;

	if (*same && n_differences++ < MAX_REPORT) {
		g_autoptr(GString) line = g_string_new(NULL);

		for (unsigned i = 0; i < s->insn.len; i++)
			g_string_append_printf(line, "%02x ", s->bytes[i]);
		va_start(args, format);
		g_string_append_vprintf(line, format, args);
		va_end(args);
		g_test_message("%s (%s): %s", s->row->name, s->row->encoding, line->str);
	}
	*same = false;
}

static bool compare_x87(const struct sample *s, const struct host_registers *h,
			const struct x86_fpu *g, bool same)
{
	if (h->x87.fcw != g->fcw || h->x87.fsw != g->fsw || h->x87.ftw != g->ftw)
		differ(s, &same, "x87 control %04x status %04x tags %02x, host %04x %04x %02x",
		       g->fcw, g->fsw, g->ftw, h->x87.fcw, h->x87.fsw, h->x87.ftw);
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(h->x87.st[i], g->st[i], 10))
			differ(s, &same, "st%u", i);
	return same;
}

/* All flags, also those that the SDM leaves undefined, but for these rows. */
static uint64_t compared_flags(const struct insn_row *row)
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
	if (row->operand[1].kind == 'I' && (is_named(row, "ro") || is_named(row, "rc")))
		return all & ~RFLAGS_OF;
	return all;
}

/*
 * What an instruction that faulted leaves is the model's choice in part: gathers keep the elements
 * they have, MMX is entered by half, and of REP CMPS the flags are those from before.
 */
static bool compare_registers(const struct sample *s, const struct host_registers *h,
			      const struct cpu *g, bool faulted)
{
	uint64_t mask = faulted && (s->row->flags & IF_REP) ? 0 : compared_flags(s->row);
	bool same = true;

	uint64_t width = mode == INSN_MODE_64 ? ~0ull : 0xffffffff;

	for (unsigned i = 0; i < (mode == INSN_MODE_64 ? 16 : 8); i++)
		if ((h->gpr[i] ^ g->gpr[i]) & width)
			differ(s, &same,
			       "register %u is %" G_GINT64_MODIFIER "x, host %" G_GINT64_MODIFIER
			       "x",
			       i, g->gpr[i], h->gpr[i]);
	if ((h->rflags ^ cpu_rflags(g)) & mask)
		differ(s, &same, "flags %x, host %x", (unsigned)(cpu_rflags(g) & mask),
		       (unsigned)(h->rflags & mask));
	for (unsigned i = 0; i < 16 && !(faulted && (s->row->flags & IF_VSIB)); i++)
		if (memcmp(h->ymm[i], g->state.ymm[i], 32))
			differ(s, &same, "ymm%u", i);
	if (h->mxcsr != g->state.mxcsr)
		differ(s, &same, "MXCSR %x, host %x", g->state.mxcsr, (unsigned)h->mxcsr);
	if (faulted && (s->row->flags & IF_MMX))
		return same;
	return compare_x87(s, h, &g->state.fpu, same);
}

static void load_guest(const struct host_registers *r)
{
	struct cpu *cpu = guest.cpu;

	memcpy(cpu->gpr, r->gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, r->rflags);
	cpu->state.mxcsr = r->mxcsr;
	memcpy(cpu->state.ymm, r->ymm, sizeof(cpu->state.ymm));
	cpu->state.fpu = (struct x86_fpu){.fcw = r->x87.fcw, .fsw = r->x87.fsw, .ftw = r->x87.ftw};
	memcpy(cpu->state.fpu.st, r->x87.st, sizeof(r->x87.st));
}

/* A repeated instruction may stop between two rounds, for interrupts' sake. */
static int step(const struct sample *s)
{
	unsigned rounds = s->row->flags & IF_REP ? 100 : 1;
	int vector;

	do
		vector = cpu_step(guest.cpu);
	while (vector < 0 && --rounds && guest.cpu->state.rip == HOST_CODE + s->offset);
	return vector;
}

/* Whether aim() can make the address what it wants, to the byte. */
static bool is_exact(const struct insn *insn)
{
	return !(insn->flags & INSN_MEM) || insn->index == INSN_ZERO ||
	       (insn->base != insn->index && insn->base != INSN_ZERO);
}

/* XSAVE of components that the host has and the guest has not. */
static bool asks_too_much(const struct sample *s, const struct host_registers *r)
{
	const struct exec_set *set = s->row->exec;

	return (set == &exec_xsave || set == &exec_xsaveopt || set == &exec_xsavec ||
		set == &exec_xrstor) &&
	       ((uint32_t)r->gpr[X86_RAX] > 7 || (uint32_t)r->gpr[X86_RDX]);
}

/* True if the instruction ran without an exception. */
static bool run_sample(struct sample *s)
{
	struct host_registers r;
	int host_vector, guest_vector;
	unsigned next;
	bool same = true;

	if (!make_encoding(s))
		return false;
	random_registers(&r);
	tame(s, &r);
	random_data();
	prepare_image(s);
	if (is_branch(s->row))
		aim_branch(s, &r);
	if (one_in(8))
		mmu_flush(guest.cpu);
	load_guest(&r);
	memcpy((uint8_t *)HOST_CODE + s->offset, s->bytes, 15);
	guest_set_code(&guest, s->offset, s->bytes, 15);
	if (asks_too_much(s, &r) || (is_branch(s->row) && !is_exact(&s->insn)) ||
	    (s->insn.addrsize == 2 && is_named(s->row, "maskmov")))
		return false;
	host_vector = host_run(&r, s->offset, s->insn.len, s->landing, mode == INSN_MODE_32);
	guest_vector = step(s);
	/* A store that an unmasked x87 exception suppresses does not touch memory; ours does. */
	if (host_vector < 0 && guest_vector == EXC_PF && (s->row->flags & IF_X87) &&
	    (s->row->flags & IF_STORE))
		return false;
	next = host_vector == HOST_LANDED ? s->landing
	       : host_vector >= 0	  ? s->offset
					  : s->offset + s->insn.len;
	if (MAX(host_vector, -1) != guest_vector)
		differ(s, &same, "exception %d, host %d", guest_vector, host_vector);
	else if (guest.cpu->state.rip != HOST_CODE + next)
		differ(s, &same, "rip is off by %d",
		       (int)(guest.cpu->state.rip - HOST_CODE - next));
	if (same)
		same = compare_registers(s, &r, guest.cpu, host_vector >= 0);
	hide_pointers(s, guest.data, (uint8_t *)HOST_DATA, s->target);
	/* The host may have stored some bytes of ten when the others fault. */
	if (host_vector >= 0 && (s->row->flags & IF_X87))
		return false;
	if (same && memcmp(guest.data, (void *)HOST_DATA, HOST_DATA_SIZE))
		for (unsigned i = 0; i < HOST_DATA_SIZE; i++)
			if (guest.data[i] != ((uint8_t *)HOST_DATA)[i])
				differ(s, &same, "memory at %x is %02x, host %02x", i,
				       guest.data[i], ((uint8_t *)HOST_DATA)[i]);
	return host_vector < 0;
}

static bool is_testable(const struct insn_row *row)
{
	/* What ends a block and is neither a near branch nor ring 0's loads a segment. */
	if ((row->flags & IF_END) && !is_branch(row) && !(row->flags & IF_CPL0))
		return false;
	/* Where PUSH writes only 16 bits of a selector, and where SYSRET is known, models differ.
	 */
	if (mode == INSN_MODE_32 && (!strcmp(row->name, "sysret") ||
				     (!strcmp(row->name, "push") && row->operand[0].kind == 'f')))
		return false;
	if (mode == INSN_MODE_32 && row->w == 1 && row->vex == INSN_VEX_NONE)
		return false; /* no REX.W */
	return !(row->flags & (IF_NOTEST | (mode == INSN_MODE_64 ? IF_NO64 : IF_O64))) &&
	       feature_available(row->feature);
}

/* Rows that always fault, or whose bytes the decoder takes for another row's, prove nothing. */
static void check_all_ran(const unsigned *ran)
{
	for (size_t i = 0; i < insn_table_size(); i++) {
		const struct insn_row *row = insn_row_get(i);

		/* #GP and #UD at CPL 3. */
		if ((row->flags & IF_CPL0) || !strcmp(row->name, "clac") ||
		    !strcmp(row->name, "stac"))
			continue;
		if (is_testable(row) && !ran[i])
			g_error("%s (%s) has never run without an exception", row->name,
				row->encoding);
	}
}

static void test_rows(enum insn_mode in_mode)
{
	const char *count = g_getenv("VIV_INSN_COUNT"), *seed = g_getenv("VIV_INSN_SEED");
	const char *only = g_getenv("VIV_INSN_ROW");
	uint64_t n = count ? strtoull(count, NULL, 0) : 60;
	uint32_t first = seed ? strtoul(seed, NULL, 0) : 1;
	g_autofree unsigned *ran = g_new0(unsigned, insn_table_size());

	mode = in_mode;
	n_differences = 0;
	guest_set_mode(&guest, mode);

	for (uint64_t i = 0; (n == 0 || i < n) && n_differences < MAX_REPORT; i++) {
		for (size_t row = 0; row < insn_table_size(); row++) {
			struct sample s = {.row = insn_row_get(row)};

			if (!is_testable(s.row) || (only && strcmp(only, s.row->name)))
				continue;
			/* So that one row's samples do not depend on the others. */
			g_rand_set_seed_array(rng, (const guint32[]){first, row, i}, 3);
			ran[row] += run_sample(&s);
		}
	}
	g_assert_cmpuint(n_differences, ==, 0);
	if (n >= 50 && !only)
		check_all_ran(ran);
}

static void test_rows64(void)
{
	test_rows(INSN_MODE_64);
}

static void test_rows32(void)
{
	test_rows(INSN_MODE_32);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	rng = g_rand_new_with_seed(0);
	host_init();
	guest_init(&guest);
	g_test_add_func("/insn/host/64", test_rows64);
	g_test_add_func("/insn/host/32", test_rows32);
	return g_test_run();
}
