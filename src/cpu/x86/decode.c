/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder: prefixes, opcode, ModRM, SIB, displacement and immediates (SDM
 * volume 2, chapter 2), driven by the instruction rows.
 */
#include <glib.h>
#include <string.h>

#include "cpu/x86/insn_int.h"
#include "cpu/x86/state.h"

struct decoder {
	const uint8_t *bytes;
	size_t n, pos;
	enum insn_mode mode;
	const bool *has; /* features */
	bool more;	 /* ran out of bytes */

	bool has_66, has_67, has_lock, has_rex;
	enum insn_encoding encoding;
	uint8_t rep; /* F2, F3 or 0: the last one */
	uint8_t rex; /* W R X B in bits 3..0; VEX's too */
	uint8_t seg;
	uint8_t map, opcode, modrm;
	uint8_t vex_pp, vex_l, vvvv;
	uint8_t high; /* EVEX's R' and V', as R and X in rex: bits 2 and 1 */
	uint8_t evex; /* enum insn_evex */
};

static uint8_t fetch(struct decoder *d)
{
	if (d->pos >= d->n) {
		d->more = true;
		return 0;
	}
	return d->bytes[d->pos++];
}

static int64_t fetch_signed(struct decoder *d, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)fetch(d) << (8 * i);
	return size == 0 ? 0 : (int64_t)(v << (64 - 8 * size)) >> (64 - 8 * size);
}

static void read_prefixes(struct decoder *d)
{
	for (;;) {
		uint8_t b = fetch(d);

		switch (b) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			/* In 64-bit mode these have no effect and do not cancel FS or GS. */
			if (d->mode != INSN_MODE_64)
				d->seg = b >> 3 & 3;
			break;
		case 0x64:
		case 0x65:
			d->seg = b & 7;
			break;
		case 0x66:
			d->has_66 = true;
			break;
		case 0x67:
			d->has_67 = true;
			break;
		case 0xf0:
			d->has_lock = true;
			break;
		case 0xf2:
		case 0xf3:
			d->rep = b;
			break;
		default:
			if (d->mode == INSN_MODE_64 && (b & 0xf0) == 0x40) {
				d->has_rex = true;
				d->rex = b & 0xf;
				continue;
			}
			d->opcode = b;
			return;
		}
		/* A REX prefix counts only directly before the opcode. */
		d->has_rex = false;
		d->rex = 0;
	}
}

/* C5 and C4 forms; the caller has found them to be VEX. False: #UD. */
static bool read_vex(struct decoder *d)
{
	uint8_t p0 = fetch(d), p1 = p0;

	if (d->has_66 || d->rep || d->has_lock || d->has_rex)
		return false;
	d->rex = (~p0 & 0x80) >> 5;
	d->map = 1;
	if (d->opcode == 0xc4) {
		p1 = fetch(d);
		d->rex = (~p0 & 0xe0) >> 5 | (p1 & 0x80) >> 4;
		d->map = p0 & 0x1f;
	}
	d->encoding = INSN_IS_VEX;
	d->vex_pp = p1 & 3;
	d->vex_l = p1 >> 2 & 1;
	d->vvvv = ~p1 >> 3 & 0xf;
	/* Outside 64-bit mode the bits that would name registers 8..15 are ignored, also vvvv's. */
	if (d->mode != INSN_MODE_64)
		d->rex &= 8;
	d->opcode = fetch(d);
	return d->map >= 1 && d->map <= 3;
}

/* The 62 form (SDM volume 2, 2.7.1). False: #UD. */
static bool read_evex(struct decoder *d)
{
	uint8_t p0 = fetch(d), p1 = fetch(d), p2 = fetch(d);

	if (d->has_66 || d->rep || d->has_lock || d->has_rex)
		return false;
	d->encoding = INSN_IS_EVEX;
	d->rex = (~p0 & 0xe0) >> 5 | (p1 & 0x80) >> 4;
	d->high = (~p0 & 0x10) >> 2 | (~p2 & 8) >> 2;
	d->map = p0 & 0xf;
	d->vex_pp = p1 & 3;
	d->vvvv = ~p1 >> 3 & 0xf;
	d->evex = p2 | INSN_EVEX;
	d->vex_l = p2 >> INSN_EVEX_LENGTH_SHIFT & 3;
	if (d->mode != INSN_MODE_64) {
		if (d->high & 2)
			return false;
		d->rex &= 8;
		d->high = 0;
	}
	d->opcode = fetch(d);
	return d->map >= 1 && d->map <= 3 && (p1 & 4);
}

static bool read_opcode(struct decoder *d)
{
	/* LES, LDS and BOUND are not in 64-bit mode, and have memory for r/m. */
	bool maybe_vex = d->mode == INSN_MODE_64 || d->pos >= d->n || d->bytes[d->pos] >= 0xc0;

	if (maybe_vex && (d->opcode == 0xc4 || d->opcode == 0xc5))
		return read_vex(d);
	if (maybe_vex && d->opcode == 0x62)
		return read_evex(d);
	if (d->opcode != 0x0f)
		return true;
	d->map = 1;
	d->opcode = fetch(d);
	if (d->opcode == 0x38 || d->opcode == 0x3a) {
		d->map = d->opcode == 0x38 ? 2 : 3;
		d->opcode = fetch(d);
	}
	return true;
}

static bool prefix_fits(const struct decoder *d, uint8_t prefix)
{
	static const uint8_t pp_of[] = {[INSN_PREFIX_NP] = 0,
					[INSN_PREFIX_66] = 1,
					[INSN_PREFIX_F3] = 2,
					[INSN_PREFIX_F2] = 3};

	if (prefix == INSN_PREFIX_ANY)
		return true;
	if (d->encoding != INSN_LEGACY)
		return d->vex_pp == pp_of[prefix];
	switch (prefix) {
	case INSN_PREFIX_NP:
		return !d->rep && !d->has_66;
	case INSN_PREFIX_NFX:
		return !d->rep;
	case INSN_PREFIX_66:
		return !d->rep && d->has_66;
	default:
		return d->rep == (prefix == INSN_PREFIX_F3 ? 0xf3 : 0xf2);
	}
}

/* L'L says how to round, not how long vectors are. */
static bool is_rounding(const struct decoder *d)
{
	return (d->evex & INSN_EVEX_B) && d->modrm >= 0xc0;
}

static bool length_fits(const struct decoder *d, uint8_t vex)
{
	unsigned l = is_rounding(d) ? 2 : d->vex_l;

	switch (vex) {
	case INSN_VEX_128:
		return l == 0;
	case INSN_VEX_256:
		return l == 1;
	case INSN_VEX_512:
		return l == 2;
	case INSN_VEX_LY:
		return l == 1 || l == 2;
	}
	return l <= 2;
}

static bool row_fits(const struct decoder *d, const struct insn_row *row)
{
	if (!d->has[row->feature] || ((row->flags & IF_AVX512) && !d->has[F_AVX512F]) ||
	    !prefix_fits(d, row->prefix) ||
	    (row->w != INSN_ANY && row->w != d->rex >> 3) ||
	    (row->flags & (d->mode == INSN_MODE_64 ? IF_NO64 : IF_O64)))
		return false;
	if (!length_fits(d, row->vex))
		return false;
	if (!row->has_modrm)
		return true;
	return (row->reg == INSN_ANY || row->reg == (d->modrm >> 3 & 7)) &&
	       (row->rm == INSN_ANY || row->rm == (d->modrm & 7)) &&
	       (row->mod == INSN_MOD_ANY || (row->mod == INSN_MOD_REG) == (d->modrm >= 0xc0));
}

/* Finds the row; ModRM is only peeked at, since not all rows of an opcode need have one. */
static const struct insn_row *find_row(struct decoder *d, uint16_t *number)
{
	unsigned start = insn_index.start[d->encoding][d->map][d->opcode];
	unsigned count = insn_index.count[d->encoding][d->map][d->opcode];
	bool have_modrm = d->pos < d->n;

	d->modrm = have_modrm ? d->bytes[d->pos] : 0;
	for (unsigned i = 0; i < count; i++) {
		const struct insn_row *row = insn_row_get(insn_index.candidates[start + i]);

		if (row->has_modrm && !have_modrm) {
			d->more = true;
			return NULL;
		}
		if (row_fits(d, row)) {
			*number = insn_index.candidates[start + i];
			return row;
		}
	}
	return NULL;
}

/* W as an operand size, which outside 64-bit mode VEX's is not. */
static bool wide(const struct decoder *d)
{
	return d->mode == INSN_MODE_64 && (d->rex & 8);
}

/* The operand size of v and z operands, and of instructions that name none. */
static uint8_t size_v(const struct decoder *d, const struct insn_row *row)
{
	bool has_66 = d->has_66 && row->prefix != INSN_PREFIX_66;

	if (d->mode != INSN_MODE_64)
		return (d->mode == INSN_MODE_16) != has_66 ? 2 : 4;
	if ((d->rex & 8) || (row->flags & IF_F64))
		return 8;
	if (has_66)
		return 2;
	return row->flags & IF_D64 ? 8 : 4;
}

static uint8_t size_of_routine(const struct decoder *d, const struct insn_row *row)
{
	switch (row->routine_size) {
	case INSN_SIZE_V:
		return size_v(d, row);
	case INSN_SIZE_Y:
		return wide(d) ? 8 : 4;
	default:
		return row->routine_size;
	}
}

static uint8_t gpr_offset(const struct decoder *d, unsigned n, bool byte)
{
	if (byte && !d->has_rex && d->encoding == INSN_LEGACY && n >= 4 && n < 8)
		return (n - 4) * 8 + 1;
	return n * 8;
}

/* mod 1 has 8 bits, by EVEX in units of `scale`; 2 has `size` bytes. */
static int32_t read_displacement(struct decoder *d, unsigned size, unsigned scale)
{
	unsigned mod = d->modrm >> 6;

	return mod == 1 ? fetch_signed(d, 1) * (int)scale : fetch_signed(d, mod == 2 ? size : 0);
}

/* 16-bit addressing (SDM volume 2, table 2-1). */
static void read_memory16(struct decoder *d, struct insn *insn, unsigned scale)
{
	static const struct {
		uint8_t base, index, seg;
	} forms[8] = {
		{X86_RBX * 8, X86_RSI * 8, X86_DS}, {X86_RBX * 8, X86_RDI * 8, X86_DS},
		{X86_RBP * 8, X86_RSI * 8, X86_SS}, {X86_RBP * 8, X86_RDI * 8, X86_SS},
		{X86_RSI * 8, INSN_ZERO, X86_DS},   {X86_RDI * 8, INSN_ZERO, X86_DS},
		{X86_RBP * 8, INSN_ZERO, X86_SS},   {X86_RBX * 8, INSN_ZERO, X86_DS},
	};
	unsigned mod = d->modrm >> 6, rm = d->modrm & 7;

	insn->base = forms[rm].base;
	insn->index = forms[rm].index;
	insn->seg = forms[rm].seg;
	if (mod == 0 && rm == 6) {
		insn->base = INSN_ZERO;
		insn->seg = X86_DS;
		insn->disp = fetch_signed(d, 2);
	} else {
		insn->disp = read_displacement(d, 2, scale);
	}
}

static void read_memory(struct decoder *d, struct insn *insn, bool vsib, unsigned scale)
{
	unsigned mod = d->modrm >> 6, rm = d->modrm & 7, base = rm | (d->rex & 1) << 3;

	insn->seg = X86_DS;
	if (rm == 4) {
		uint8_t sib = fetch(d);
		unsigned index = (sib >> 3 & 7) | (d->rex & 2) << 2;

		base = (sib & 7) | (d->rex & 1) << 3;
		insn->scale = sib >> 6;
		insn->index = index == 4 || vsib ? INSN_ZERO : index * 8;
		if (vsib)
			insn->imm2 = index | (d->high & 2) << 3;
	}
	insn->base = base * 8;
	if (mod == 0 && (base & 7) == 5) {
		insn->base = rm == 5 && d->mode == INSN_MODE_64 ? INSN_PC : INSN_ZERO;
		insn->disp = fetch_signed(d, 4);
		return;
	}
	if (base == X86_RSP || base == X86_RBP)
		insn->seg = X86_SS;
	insn->disp = read_displacement(d, 4, scale);
}

/* Disp8*N (SDM volume 2, 2.7.5). */
static unsigned displacement_scale(const struct insn_row *row, const struct insn *insn)
{
	unsigned size = row->evex ? insn_mem_size(row, insn) : 1;

	return row->flags & IF_PACKED ? row->element : size;
}

/* False: a vector index without a SIB byte. */
static bool read_modrm(struct decoder *d, const struct insn_row *row, struct insn *insn)
{
	bool vsib = row->flags & IF_VSIB;
	unsigned scale;

	d->pos++; /* peeked at by find_row() */
	if (d->modrm >= 0xc0 || insn_has_kind(row, INSN_KIND('C') | INSN_KIND('D')))
		return true;
	insn->flags |= INSN_MEM;
	scale = displacement_scale(row, insn);
	if (insn->addrsize == 2)
		read_memory16(d, insn, scale);
	else
		read_memory(d, insn, vsib, scale);
	return !vsib || (insn->addrsize != 2 && (d->modrm & 7) == 4);
}

static void finish_segment(const struct decoder *d, struct insn *insn)
{
	if (d->seg != INSN_SEG_NONE)
		insn->seg = d->seg;
	if (d->mode == INSN_MODE_64 && insn->seg != X86_FS && insn->seg != X86_GS)
		insn->seg = INSN_SEG_NONE;
	if (d->mode != INSN_MODE_64 || insn->addrsize != 8)
		insn->flags |= INSN_EA_SLOW;
}

static void read_immediate(struct decoder *d, const struct insn_operand *op, struct insn *insn,
			   bool second)
{
	unsigned v = insn->opsize, z = MIN(v, 4);

	switch (op->kind) {
	case 'I':
		if (second && op->size[0] == 'b') {
			insn->imm2 = fetch(d);
			break;
		}
		insn->imm = fetch_signed(d, op->size[0] == 'b'	 ? 1
					    : op->size[0] == 'w' ? 2
					    : op->size[0] == 'z' ? z
								 : v);
		break;
	case 'J':
		insn->imm = fetch_signed(d, op->size[0] == 'b' ? 1 : z);
		break;
	case 'A':
		insn->imm = (uint32_t)fetch_signed(d, z) & (z == 2 ? 0xffff : ~0u);
		insn->imm |= (fetch_signed(d, 2) & 0xffff) << 32;
		break;
	case 'O':
		/* The offset has the address's size and no sign. */
		insn->imm = fetch_signed(d, insn->addrsize);
		if (insn->addrsize < 8)
			insn->imm &= (1ull << (8 * insn->addrsize)) - 1;
		break;
	case 'L':
		insn->imm = (int8_t)fetch(d);
		insn->imm2 = insn->imm >> 4 & (d->mode == INSN_MODE_64 ? 0xf : 7);
		break;
	case 'f':
		if (op->size[0] == '1')
			insn->imm = 1;
		break;
	}
}

static bool set_opmask(const struct decoder *d, const struct insn_operand *op, struct insn *insn)
{
	switch (op->size[0]) {
	case 'r':
		insn->reg = d->modrm >> 3 & 7;
		return !(d->rex & 4) && !(d->high & 4);
	case 'h':
		insn->vvvv = d->vvvv & 7;
		return d->mode != INSN_MODE_64 || d->vvvv < 8;
	}
	insn->rm = d->modrm & 7;
	return true;
}

/* Register operands, by kind; false: the encoding names a register that does not exist. */
static bool set_register(const struct decoder *d, const struct insn_operand *op, struct insn *insn)
{
	unsigned reg = (d->modrm >> 3 & 7) | (d->rex & 4) << 1;
	unsigned rm = (d->modrm & 7) | (d->rex & 1) << 3;
	unsigned vvvv = d->vvvv & (d->mode == INSN_MODE_64 ? 0xf : 7);
	unsigned rm_high = d->encoding == INSN_IS_EVEX ? (d->rex & 2) << 3 : 0;
	bool byte = op->size[0] == 'b' && !op->size[1];

	switch (op->kind) {
	case 'G':
		insn->reg = gpr_offset(d, reg, byte);
		return !(d->high & 4);
	case 'C':
		insn->reg = reg;
		return reg == 0 || (reg >= 2 && reg <= 4) || reg == 8;
	case 'D':
		insn->reg = reg;
		return reg < 8;
	case 'V':
		insn->reg = reg | (d->high & 4) << 2;
		break;
	case 'K':
		return set_opmask(d, op, insn);
	case 'S':
		insn->reg = reg & 7;
		return insn->reg < X86_N_SEGS;
	case 'P':
		insn->reg = reg & 7;
		break;
	case 'B':
		insn->vvvv = gpr_offset(d, vvvv, false);
		break;
	case 'H':
		insn->vvvv = vvvv | (d->high & 2) << 3;
		break;
	case 'Z':
		insn->rm = gpr_offset(d, (d->opcode & 7) | (d->rex & 1) << 3, byte);
		break;
	case 'E':
	case 'R':
		if (!(insn->flags & INSN_MEM) || op->kind == 'R')
			insn->rm = gpr_offset(d, rm, byte);
		break;
	case 'W':
	case 'U':
		insn->rm = rm | rm_high;
		break;
	case 'Q':
	case 'N':
	case 'T':
		insn->rm = rm & 7;
		break;
	}
	return true;
}

static uint8_t address_size(const struct decoder *d)
{
	if (d->mode == INSN_MODE_64)
		return d->has_67 ? 4 : 8;
	return (d->mode == INSN_MODE_16) != d->has_67 ? 2 : 4;
}

/* What EVEX's own bits may be with the row (SDM volume 2, 2.7.11). */
static bool evex_fits(const struct decoder *d, const struct insn_row *row, const struct insn *insn)
{
	bool memory = insn->flags & INSN_MEM, zeroing = d->evex & INSN_EVEX_Z;
	unsigned mask = d->evex & INSN_EVEX_MASK;

	if (mask ? row->masking == INSN_MASK_NONE : (row->flags & IF_VSIB) || zeroing)
		return false;
	if (zeroing && (row->masking != INSN_MASK_ZERO || (memory && insn_mem_written(row))))
		return false;
	if (d->evex & INSN_EVEX_B)
		return memory ? row->broadcast : row->rounding;
	return true;
}

static bool read_operands(struct decoder *d, const struct insn_row *row, struct insn *insn)
{
	bool ok = true, have_imm = false;

	for (unsigned i = 0; i < INSN_MAX_OPERANDS && row->operand[i].kind; i++) {
		const struct insn_operand *op = &row->operand[i];

		read_immediate(d, op, insn, have_imm);
		have_imm |= op->kind == 'I';
		ok &= set_register(d, op, insn);
	}
	if (d->vvvv && !row->uses_vvvv)
		ok = false;
	/* V' is a vector index's, too. */
	if ((d->high & 2) && !insn_has_kind(row, INSN_KIND('H')) && !(row->flags & IF_VSIB))
		ok = false;
	if (row->evex && !evex_fits(d, row, insn))
		ok = false;
	if (row->operand[0].kind == 'S' && insn->reg == X86_CS)
		ok = false;
	/* A gather's registers must differ. */
	if ((row->flags & IF_VSIB) && row->evex)
		ok &= insn->reg != insn->imm2 || (row->flags & IF_STORE);
	else if ((row->flags & IF_VSIB) &&
		 (insn->reg == insn->vvvv || insn->reg == insn->imm2 || insn->vvvv == insn->imm2))
		ok = false;
	if (d->has_lock && !((row->flags & IF_LOCK) && (insn->flags & INSN_MEM)))
		ok = false;
	return ok;
}

enum insn_status insn_decode(const uint8_t *bytes, size_t n, enum insn_mode mode,
			     const bool has[F_N_FEATURES], unsigned offset, struct insn *insn)
{
	struct decoder d = {.bytes = bytes,
			    .n = MIN(n, INSN_MAX_LEN),
			    .mode = mode,
			    .has = has,
			    .seg = INSN_SEG_NONE};
	const struct insn_row *row;
	uint16_t number = 0;
	bool ok;

	memset(insn, 0, sizeof(*insn));
	insn->base = insn->index = INSN_ZERO;
	insn->seg = X86_DS;
	read_prefixes(&d);
	ok = read_opcode(&d);
	row = ok && !d.more ? find_row(&d, &number) : NULL;
	if (row) {
		insn->row = number;
		insn->addrsize = address_size(&d);
		insn->flags = (d.has_lock ? INSN_LOCK : 0) | (d.rep == 0xf3 ? INSN_REP : 0) |
			      (d.rep == 0xf2 ? INSN_REPNE : 0) | (d.vex_l == 1 ? INSN_VEX_L1 : 0) |
			      (wide(&d) ? INSN_REX_W : 0) | (d.has_66 ? INSN_66 : 0);
		insn->evex = d.evex;
		if (row->has_modrm)
			ok = read_modrm(&d, row, insn);
		insn->opsize = size_of_routine(&d, row);
		ok &= read_operands(&d, row, insn);
		finish_segment(&d, insn);
		if (insn->flags & INSN_EA_SLOW) {
			insn->mem_size = insn_mem_size(row, insn);
			insn->mem_written = insn_mem_written(row);
		}
	}
	insn->len = d.pos;
	insn->next = offset + d.pos;
	if (d.more)
		return d.n == INSN_MAX_LEN ? INSN_TOO_LONG : INSN_MORE;
	if (!row || !ok)
		return INSN_UD;
	if (insn->base == INSN_PC)
		insn->disp += insn->next;
	if (row->operand[0].kind == 'J')
		insn->imm += insn->next;
	insn->exec = row->exec->fn[!!(insn->flags & INSN_MEM)][__builtin_ctz(insn->opsize)];
	return insn->exec ? INSN_OK : INSN_UD;
}

/* Operands that may be memory. */
#define MEMORY_KINDS (INSN_KIND('E') | INSN_KIND('M') | INSN_KIND('W') | INSN_KIND('Q'))

bool insn_mem_written(const struct insn_row *row)
{
	if (row->flags & (IF_STORE | IF_X87))
		return row->flags & IF_STORE;
	return !(row->flags & IF_NODST) && (INSN_KIND(row->operand[0].kind) & MEMORY_KINDS);
}

unsigned insn_vector_size(const struct insn *insn)
{
	if (!insn->evex)
		return insn->flags & INSN_VEX_L1 ? 32 : 16;
	if ((insn->evex & INSN_EVEX_B) && !(insn->flags & INSN_MEM))
		return 64;
	return 16 << ((insn->evex & INSN_EVEX_LENGTH) >> INSN_EVEX_LENGTH_SHIFT);
}

static bool memory_has_vector_size(const struct insn_row *row)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (INSN_KIND(row->operand[i].kind) & (INSN_KIND('M') | INSN_KIND('W')))
			return strchr("xhfe", row->operand[i].size[0]);
	return false;
}

/* insn_mem_size() as if nothing was broadcast. */
static unsigned full_mem_size(const struct insn_row *row, const struct insn *insn)
{
	unsigned x = insn_vector_size(insn);

	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++) {
		const struct insn_operand *op = &row->operand[i];

		if (!(INSN_KIND(op->kind) & MEMORY_KINDS))
			continue;
		if (op->size[1] == 'q' && op->size[0] == 'd')
			return 16;
		if (op->size[1] == 'q' && op->size[0] == 'q')
			return 32;
		switch (op->size[0]) {
		case 'b':
			return 1;
		case 'w':
			return 2;
		case 'd':
			return 4;
		case 'q':
			return 8;
		case 't':
			return 10;
		case 'x':
			return x;
		case 'h':
			return x / 2;
		case 'f':
			return x / 4;
		case 'e':
			return x / 8;
		case 'v':
			return insn->opsize;
		case 'z':
			return MIN(insn->opsize, 4);
		case 'y':
			return insn->flags & INSN_REX_W ? 8 : 4;
		case 's':
			return insn->addrsize == 8 ? 10 : 6;
		case 'p':
			return insn->opsize + 2;
		case 'a':
			return 2 * insn->opsize;
		}
		return 0;
	}
	return 0;
}

unsigned insn_mem_size(const struct insn_row *row, const struct insn *insn)
{
	if ((insn->flags & INSN_MEM) && (insn->evex & INSN_EVEX_B))
		return row->broadcast;
	return full_mem_size(row, insn);
}

unsigned insn_mask_lanes(const struct insn_row *row, const struct insn *insn)
{
	unsigned size = full_mem_size(row, insn);

	if (row->vex == INSN_VEX_LIG)
		return 1;
	/* The operand of VBROADCAST and its like fills the vector by being repeated. */
	if (!(row->flags & IF_STORE) && !memory_has_vector_size(row))
		size = insn_vector_size(insn);
	return size / row->element;
}
