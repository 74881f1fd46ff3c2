/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn_sample.h"

#include <glib.h>
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/model.h"
#include "host_run.h"

/* Routines whose operands are more than numbers. */
extern const struct exec_set exec_ldmxcsr, exec_fxrstor, exec_xsave, exec_xsaveopt, exec_xsavec,
	exec_xrstor;

static enum insn_mode mode;
static GRand *rng;

void sample_seed(uint32_t seed, uint32_t stream, uint32_t number)
{
	if (!rng)
		rng = g_rand_new_with_seed(0);
	g_rand_set_seed_array(rng, (const guint32[]){seed, stream, number}, 3);
}

void sample_set_mode(enum insn_mode in_mode)
{
	mode = in_mode;
}

enum insn_mode sample_mode(void)
{
	return mode;
}

uint64_t random64(void)
{
	return (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);
}

unsigned below(unsigned n)
{
	return g_rand_int(rng) % n;
}

bool one_in(unsigned n)
{
	return below(n) == 0;
}

/* Encodings. */

bool sample_names(const struct insn_row *row, const char *kinds)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind && strchr(kinds, row->operand[i].kind))
			return true;
	return false;
}

/* Whether an operand is in vvvv. */
static bool uses_vvvv(const struct insn_row *row)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind == 'K' && row->operand[i].size[0] == 'h')
			return true;
	return sample_names(row, "HB");
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
	unsigned vvvv = uses_vvvv(row) ? below(16) : 15;

	if (row->map == 1 && w == 0 && one_in(2)) {
		p[0] = 0xc5;
		p[1] = (mode == INSN_MODE_64 ? below(2) : 1) << 7 | vvvv << 3 | l << 2 |
		       pp[row->prefix];
		return 2;
	}
	p[0] = 0xc4;
	/* Outside 64-bit mode R and X tell VEX from LES. */
	p[1] = (mode == INSN_MODE_64 ? below(8) : 6 | below(2)) << 5 | row->map;
	p[2] = w << 7 | vvvv << 3 | l << 2 | pp[row->prefix];
	return 3;
}

/* All lengths the row has, all registers; a mask, zeroing, broadcast and rounding half of the time,
 * where the row has them. B is set in the end, when ModRM is known. */
static unsigned put_evex(const struct insn_row *row, uint8_t *p)
{
	static const uint8_t pp[] = {
		[INSN_PREFIX_66] = 1, [INSN_PREFIX_F3] = 2, [INSN_PREFIX_F2] = 3};
	bool is64 = mode == INSN_MODE_64, h = sample_names(row, "H") || (row->flags & IF_VSIB);
	unsigned l = row->vex == INSN_VEX_128	? 0
		     : row->vex == INSN_VEX_256 ? 1
		     : row->vex == INSN_VEX_512 ? 2
		     : row->vex == INSN_VEX_LY	? 1 + below(2)
						: below(3);
	unsigned w = row->w == INSN_ANY ? below(2) : row->w;
	unsigned vvvv = sample_names(row, "H") ? below(16) : 15;
	bool masked = row->masking && (one_in(2) || (row->flags & IF_VSIB));

	p[0] = 0x62;
	p[1] = (is64 ? below(16) : 0xc | below(4)) << 4 | row->map;
	p[2] = w << 7 | vvvv << 3 | 4 | pp[row->prefix];
	p[3] = l << 5 | (is64 && h && one_in(2) ? 0 : 8);
	if (masked)
		p[3] |= 1 + below(7);
	if (masked && row->masking == INSN_MASK_ZERO && one_in(2))
		p[3] |= INSN_EVEX_Z;
	return 4;
}

/* EVEX's B where ModRM lets it be, and in registers any L'L with it. */
static void finish_evex(const struct insn_row *row, uint8_t *p, uint8_t modrm)
{
	if (one_in(2))
		return;
	if (modrm < 0xc0 && row->broadcast)
		p[3] |= INSN_EVEX_B;
	if (modrm >= 0xc0 && row->rounding)
		p[3] |= INSN_EVEX_B | below(4) << INSN_EVEX_LENGTH_SHIFT;
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

/* Encodings that the host's processor may take for something else than the manuals say; `n` bytes to
 * the opcode's end. */
static bool models_differ(const struct sample *s, unsigned n)
{
	const char *name = s->row->name;

	/* With REX.B PAUSE is XCHG R8, RAX. */
	if (mode == INSN_MODE_64 && !strcmp(name, "pause"))
		return (s->bytes[n - 2] & 0xf1) == 0x41;
	/* With a 16-bit operand MOVSXD reads 32 bits all the same. */
	if (!strcmp(name, "movsxd"))
		return s->insn.opsize == 2;
	/* EVEX.X does not count in the number of a general register. Where it is set all the same,
	 * AMD's family 19h, model 11h, reads rSP as it was before the last PUSH, POP or CALL. */
	if (s->row->evex && sample_names(s->row, "RE") && s->insn.rm == 8 * X86_RSP)
		return !(s->insn.flags & INSN_MEM) && !(s->bytes[1] & 0x40);
	if (mode != INSN_MODE_32 || s->row->vex == INSN_VEX_NONE || n < 4 ||
	    s->bytes[n - 4] != 0xc4 || !(s->bytes[n - 2] & 0x80))
		return false;
	/* VEX.W counts outside 64-bit mode, too: #UD; or 64 bits through a register that has 32. */
	return !strcmp(name, "vpextrd") || !strcmp(name, "vpinsrd") ||
	       (!strcmp(name, "kmovd") && sample_names(s->row, "RG"));
}

/* False: some other row is preferred for these bytes. */
bool sample_make_encoding(struct sample *s)
{
	const struct insn_row *row = s->row;
	unsigned n;

	for (unsigned i = 0; i < sizeof(s->bytes); i++)
		s->bytes[i] = g_rand_int(rng);
	n = row->evex			? put_evex(row, s->bytes)
	    : row->vex != INSN_VEX_NONE ? put_vex(row, s->bytes)
					: put_prefixes(row, s->bytes);
	s->bytes[n++] = row->opcode + (row->plus_r ? below(8) : 0);
	s->modrm = 0;
	if (row->has_modrm) {
		s->modrm = n;
		s->bytes[n] = random_modrm(row);
		if (row->evex)
			finish_evex(row, s->bytes, s->bytes[n]);
	}
	if (insn_decode(s->bytes, 15, mode, x86_model_host()->has, 0, &s->insn) != INSN_OK ||
	    models_differ(s, n))
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

static uint64_t random_mask(void)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return ~0ull;
	case 2:
		return 1ull << below(64);
	case 3:
		return ~(1ull << below(64));
	case 4:
		return (1ull << below(64)) - 1;
	default:
		return random64() & (one_in(2) ? random64() : ~0ull);
	}
}

void sample_registers(struct host_registers *r)
{
	static const uint64_t arithmetic = RFLAGS_ARITH;

	for (unsigned i = 0; i < 16; i++)
		r->gpr[i] = random_integer();
	r->rflags = (random64() & arithmetic) | RFLAGS_FIXED | RFLAGS_IF;
	if (one_in(16))
		r->rflags |= RFLAGS_DF;
	r->mxcsr = (one_in(8) ? below(64) << 7 : 0x1f80) | below(4) << 13 |
		   (one_in(4) ? below(64) : 0);
	if (one_in(8))
		r->mxcsr |= 1 << 6; /* DAZ */
	if (one_in(8))
		r->mxcsr |= 1 << 15; /* FTZ */
	random_lanes(&r->ymm[0][0], sizeof(r->ymm));
	random_lanes(&r->zmm_high[0][0], sizeof(r->zmm_high));
	for (unsigned i = 0; i < 8; i++)
		r->k[i] = random_mask();
	if (!x86_model_host()->has[F_AVX512F]) {
		memset(&r->ymm[16], 0, 16 * 32);
		memset(&r->zmm_high, 0, sizeof(r->zmm_high));
		memset(&r->k, 0, sizeof(r->k));
	}
	random_x87(r);
	r->gpr[X86_RSP] = HOST_DATA + 0x3000 + 8 * below(200);
	for (unsigned i = 0; i < 16 && mode == INSN_MODE_32; i++)
		r->gpr[i] = (uint32_t)r->gpr[i];
}

/* Where the memory operand is to lie: mostly aligned, at times across pages or read-only. */
static uint64_t random_target(void)
{
	switch (below(20)) {
	case 16:
		return HOST_DATA + HOST_READ_ONLY - below(40);
	case 17:
		return HOST_DATA + HOST_READ_ONLY + 0x1000 - below(40);
	case 18:
		return HOST_DATA + HOST_READ_ONLY + 64 * below(16);
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
void sample_aim(struct sample *s, struct host_registers *r, uint64_t target)
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
	unsigned size = s->row->opcode & 1 ? 8 : 4;

	for (unsigned i = 0; i < 64; i += size) {
		uint8_t *half = i < 32 ? r->ymm[s->insn.imm2] : r->zmm_high[s->insn.imm2];
		int64_t offset = (int)below(200) - 100;

		memcpy(half + i % 32, &offset, size);
	}
}

/* Eight bytes, as far as they are within. */
static void set_data(uint64_t address, uint64_t v)
{
	if (address - HOST_DATA >= HOST_DATA_SIZE)
		return;
	memcpy(host_data + (address - HOST_DATA), &v, MIN(8, HOST_DATA + HOST_DATA_SIZE - address));
}

bool sample_is_named(const struct insn_row *row, const char *prefix)
{
	return g_str_has_prefix(row->name, prefix);
}

/* XSAVE's EDX:EAX: only what the guest has, as far as they are not the address. */
static void choose_components(const struct insn *insn, struct host_registers *r)
{
	uint64_t *eax = &r->gpr[X86_RAX], *edx = &r->gpr[X86_RDX];

	if (insn->base / 8 != X86_RAX && insn->index / 8 != X86_RAX)
		*eax = (*eax & ~0xffffffffull) | (below(256) & x86_model_host()->xcr0_mask);
	if (insn->base / 8 != X86_RDX && insn->index / 8 != X86_RDX)
		*edx &= ~0xffffffffull;
}

bool sample_is_branch(const struct insn_row *row)
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
	} else if (sample_is_named(row, "ret")) {
		set_data(r->gpr[X86_RSP], to);
	} else if (insn->flags & INSN_MEM) {
		set_data(s->target, to);
	} else {
		r->gpr[insn->rm / 8] = to;
	}
}

/* Keeps memory accesses that do not go through ModRM's address within the data. */
void sample_tame(struct sample *s, struct host_registers *r)
{
	const struct insn_row *row = s->row;
	struct insn *insn = &s->insn;

	if (sample_names(row, "XY") || sample_is_named(row, "maskmov") ||
	    sample_is_named(row, "vmaskmovdqu")) {
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
	if (row->operand[1].kind == 'G' && (insn->flags & INSN_MEM) && sample_is_named(row, "bt"))
		r->gpr[insn->reg / 8] = (int)below(512) - 256;
	if (sample_names(row, "O")) {
		uint64_t target = random_target();

		memcpy(s->bytes + insn->len - insn->addrsize, &target, insn->addrsize);
	}
	s->target = random_target();
	if (insn->flags & INSN_MEM)
		sample_aim(s, r, s->target);
	if (row->exec == &exec_xsave || row->exec == &exec_xsaveopt || row->exec == &exec_xsavec ||
	    row->exec == &exec_xrstor)
		choose_components(insn, r);
	if (row->flags & IF_VSIB)
		aim_gather(s, r);
	for (unsigned i = 0; i < 16 && mode == INSN_MODE_32; i++)
		r->gpr[i] = (uint32_t)r->gpr[i];
}

void sample_data(void)
{
	unsigned at = one_in(8) ? 0xfc0 : 0x400;

	random_lanes(host_data + at, at == 0x400 ? 0x500 : 0x80);
	if (one_in(8))
		random_lanes(host_data + HOST_READ_ONLY - 64, 128);
}

/* What FXRSTOR, XRSTOR and LDMXCSR read must mostly be valid. */
static void prepare_image(const struct sample *s)
{
	bool xrstor = s->row->exec == &exec_xrstor;
	struct host_registers r;
	uint8_t *image = host_data + (s->target - HOST_DATA);
	uint64_t header[8] = {below(256) & x86_model_host()->xcr0_mask};

	if (s->target - HOST_DATA > HOST_DATA_SIZE - XSAVE_MAX_SIZE)
		return;
	if (s->row->exec == &exec_ldmxcsr)
		memset(image + 2, 0, 2);
	if (!xrstor && s->row->exec != &exec_fxrstor)
		return;
	sample_registers(&r);
	r.x87.mxcsr = r.mxcsr;
	memcpy(image, &r.x87, sizeof(r.x87));
	random_lanes(image + 160, 256);
	if (xrstor)
		random_lanes(image + XSAVE_HEADER_END,
			     cpuid_xsave_size(x86_model_host()->xcr0_mask, false) -
				     XSAVE_HEADER_END);
	if (one_in(2))
		header[1] = header[0] | (below(256) & x86_model_host()->xcr0_mask) | 1ull << 63;
	if (one_in(8))
		header[below(8)] |= 1ull << 62;
	if (xrstor)
		memcpy(image + 512, header, sizeof(header));
}

/* Whether sample_aim() can make the address what it wants, to the byte. */
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
	       ((r->gpr[X86_RAX] & ~x86_model_host()->xcr0_mask & 0xffffffff) ||
		(uint32_t)r->gpr[X86_RDX]);
}

bool sample_make(struct sample *s, struct host_registers *r)
{
	if (!sample_make_encoding(s))
		return false;
	sample_registers(r);
	sample_tame(s, r);
	sample_data();
	prepare_image(s);
	if (sample_is_branch(s->row))
		aim_branch(s, r);
	return !asks_too_much(s, r) && (!sample_is_branch(s->row) || is_exact(&s->insn)) &&
	       !(s->insn.addrsize == 2 && sample_is_named(s->row, "maskmov"));
}

bool sample_is_testable(const struct insn_row *row)
{
	/* What ends a block and is neither a near branch nor ring 0's loads a segment. */
	if ((row->flags & IF_END) && !sample_is_branch(row) && !(row->flags & IF_CPL0))
		return false;
	/* Where PUSH writes only 16 bits of a selector, and where SYSRET is known, models differ.
	 */
	if (mode == INSN_MODE_32 && (!strcmp(row->name, "sysret") ||
				     (!strcmp(row->name, "push") && row->operand[0].kind == 'f')))
		return false;
	if (mode == INSN_MODE_32 && row->w == 1 && row->vex == INSN_VEX_NONE)
		return false; /* no REX.W */
	return !(row->flags & (IF_NOTEST | (mode == INSN_MODE_64 ? IF_NO64 : IF_O64))) &&
	       x86_model_host()->has[row->feature] &&
	       (x86_model_host()->has[F_AVX512F] || !(row->flags & IF_AVX512));
}
