/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/jit/recode.h"

static unsigned parse_prefixes(struct recode *r, const uint8_t *b, bool wide)
{
	unsigned n = 0;

	for (;; n++) {
		switch (b[n]) {
		case 0x66:
			r->has_66 = true;
			break;
		case 0xf0:
			r->lock = true;
			break;
		case 0xf2:
		case 0xf3:
			r->rep = b[n];
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0x67:
			break;
		default:
			if (!wide || (b[n] & 0xf0) != 0x40)
				return n;
			r->has_rex = true;
			r->rex = b[n] & 0xf;
			continue;
		}
		/* A REX prefix counts only directly before the opcode. */
		r->has_rex = false;
		r->rex = 0;
	}
}

/* The map is the row's; returns the place of the opcode. */
static unsigned parse_vex(struct recode *r, const uint8_t *b, unsigned n)
{
	uint8_t last = b[n + 1];

	r->rex = (~b[n + 1] & 0x80) >> 5;
	if (b[n] == 0xc4) {
		last = b[n + 2];
		r->rex = (~b[n + 1] & 0xe0) >> 5 | (last & 0x80) >> 4;
	}
	r->vvvv = ~last >> 3 & 0xf;
	r->vex_l = last >> 2 & 1;
	r->vex_pp = last & 3;
	return n + (b[n] == 0xc4 ? 3 : 2);
}

static unsigned modrm_tail(const uint8_t *modrm)
{
	unsigned mod = *modrm >> 6, rm = *modrm & 7, n = 1;

	if (mod == 3)
		return 1;
	if (rm == 4) {
		n++;
		if (mod == 0 && (modrm[1] & 7) == 5)
			n += 4;
	} else if (mod == 0 && rm == 5) {
		n += 4;
	}
	return n + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

void recode_parse(struct recode *r, const struct insn_row *row, const uint8_t *bytes, unsigned len,
		  bool wide)
{
	unsigned n;

	*r = (struct recode){.row = row};
	n = parse_prefixes(r, bytes, wide);
	if (row->evex) {
		r->evex = bytes + n;
		n += 4;
	} else if (row->vex != INSN_VEX_NONE) {
		n = parse_vex(r, bytes, n);
	} else if (row->map) {
		n += row->map > 1 ? 2 : 1;
	}
	r->opcode = bytes[n++];
	r->rm = (r->opcode & 7) | (r->rex & 1) << 3;
	if (row->has_modrm) {
		r->reg = (bytes[n] >> 3 & 7) | (r->rex & 4) << 1;
		r->rm = (bytes[n] & 7) | (r->rex & 1) << 3;
		r->is_mem = bytes[n] < 0xc0;
		n += modrm_tail(bytes + n);
	}
	r->imm = bytes + n;
	r->imm_len = len - n;
}

static uint8_t register_bits(const struct recode *r)
{
	if (r->is_mem)
		return rex_of(r->rex >> 3, r->reg, &r->mem);
	return (r->rex & 8) | (r->row->has_modrm ? r->reg >> 3 << 2 : 0) | r->rm >> 3;
}

static void emit_vex(struct emit *e, const struct recode *r, uint8_t rex)
{
	EMIT(e, 0xc4, (~rex & 7) << 5 | r->row->map,
	     (rex & 8) << 4 | (~r->vvvv & 0xf) << 3 | r->vex_l << 2 | r->vex_pp, r->opcode);
}

/* Vector registers stay what they are; X and B are the memory operand's. */
static void emit_evex(struct emit *e, const struct recode *r, uint8_t rex)
{
	EMIT(e, 0x62, (r->evex[1] & 0x9f) | (~rex & 3) << 5, r->evex[2], r->evex[3], r->opcode);
}

static void emit_legacy(struct emit *e, const struct recode *r, uint8_t rex)
{
	if (r->lock)
		emit8(e, 0xf0);
	if (r->has_66)
		emit8(e, 0x66);
	if (r->rep)
		emit8(e, r->rep);
	if (rex || r->has_rex)
		emit8(e, 0x40 | rex);
	if (r->row->map)
		emit8(e, 0x0f);
	if (r->row->map > 1)
		emit8(e, r->row->map == 2 ? 0x38 : 0x3a);
	if (r->row->plus_r)
		emit8(e, (r->opcode & ~7) | (r->rm & 7));
	else
		emit8(e, r->opcode);
}

void recode_emit(struct emit *e, const struct recode *r)
{
	uint8_t rex = register_bits(r);

	if (r->is_mem && r->mem.gs)
		emit8(e, 0x65);
	if (r->evex)
		emit_evex(e, r, rex);
	else if (r->row->vex != INSN_VEX_NONE)
		emit_vex(e, r, rex);
	else
		emit_legacy(e, r, rex);
	if (r->is_mem)
		emit_modrm_mem(e, r->reg, &r->mem, !r->evex);
	else if (r->row->has_modrm)
		emit8(e, 0xc0 | (r->reg & 7) << 3 | (r->rm & 7));
	emit_bytes(e, r->imm, r->imm_len);
}
