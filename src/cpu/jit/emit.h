/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes host instructions. Encodings: SDM volume 2, chapter 2.
 *
 * Code is written through one mapping of the code cache and runs in another; positions
 * are those it will run at, unless a name says `rw`.
 */
#ifndef VIV_CPU_JIT_EMIT_H
#define VIV_CPU_JIT_EMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum host_reg {
	RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
	NO_REG = 0xff,
};

/* The registers that hold no guest register but what the code in between needs. */
enum { SCRATCH0 = R10, SCRATCH1 = R11 };

/* Condition codes as in Jcc's opcode. */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE,
       CC_LE, CC_G };

struct emit {
	uint8_t *p;	/* where the next byte goes, in the writable mapping */
	ptrdiff_t to_rx; /* what to add to reach the executable one */
};

static inline const uint8_t *emit_here(const struct emit *e)
{
	return e->p + e->to_rx;
}

static inline void emit8(struct emit *e, uint8_t v)
{
	*e->p++ = v;
}
static inline void emit32(struct emit *e, uint32_t v)
{
	memcpy(e->p, &v, 4);
	e->p += 4;
}
static inline void emit64(struct emit *e, uint64_t v)
{
	memcpy(e->p, &v, 8);
	e->p += 8;
}
static inline void emit_bytes(struct emit *e, const void *bytes, size_t n)
{
	memcpy(e->p, bytes, n);
	e->p += n;
}
#define EMIT(e, ...) \
	emit_bytes(e, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

/* A memory operand: [base + index << scale + disp], or gs:[disp + base]. */
struct host_mem {
	uint8_t base, index, scale;
	bool gs;
	int32_t disp;
};
#define MEM_AT(reg)    ((struct host_mem){.base = (reg), .index = NO_REG})
#define MEM_GS(offset) ((struct host_mem){.base = NO_REG, .index = NO_REG, .gs = true, .disp = (offset)})
#define MEM_GS_AT(reg, offset) \
	((struct host_mem){.base = (reg), .index = NO_REG, .gs = true, .disp = (offset)})

/* REX bits (W R X B in 3..0) that registers and a memory operand ask for. */
static inline uint8_t rex_of(bool w, unsigned reg, const struct host_mem *m)
{
	return w << 3 | (reg >> 3 & 1) << 2 | (m->index != NO_REG && m->index > 7) << 1 |
	       (m->base != NO_REG && m->base > 7);
}

/* ModRM, SIB and displacement; not of 8 bits where EVEX would scale it. */
static inline void emit_modrm_mem(struct emit *e, unsigned reg, const struct host_mem *m,
				  bool disp8)
{
	unsigned r = (reg & 7) << 3, mod;

	g_assert(m->index != RSP); /* would be no index */
	if (m->base == NO_REG) {
		emit8(e, r | 4);
		emit8(e, m->index == NO_REG ? 0x25 : m->scale << 6 | (m->index & 7) << 3 | 5);
		emit32(e, m->disp);
		return;
	}
	mod = m->disp == 0 && (m->base & 7) != RBP  ? 0
	      : disp8 && m->disp == (int8_t)m->disp ? 1
						    : 2;
	if (m->index != NO_REG || (m->base & 7) == RSP) {
		unsigned index = m->index == NO_REG ? 4 : m->index & 7;

		emit8(e, mod << 6 | r | 4);
		emit8(e, m->scale << 6 | index << 3 | (m->base & 7));
	} else {
		emit8(e, mod << 6 | r | (m->base & 7));
	}
	if (mod == 1)
		emit8(e, m->disp);
	else if (mod == 2)
		emit32(e, m->disp);
}

/* One-byte opcode, a register and memory. */
static inline void emit_rm(struct emit *e, bool w, uint8_t opcode, unsigned reg, struct host_mem m)
{
	uint8_t rex = rex_of(w, reg, &m);

	if (m.gs)
		emit8(e, 0x65);
	if (rex)
		emit8(e, 0x40 | rex);
	emit8(e, opcode);
	emit_modrm_mem(e, reg, &m, true);
}

/* One-byte opcode, two registers. */
static inline void emit_rr(struct emit *e, bool w, uint8_t opcode, unsigned reg, unsigned rm)
{
	uint8_t rex = w << 3 | (reg >> 3) << 2 | rm >> 3;

	if (rex)
		emit8(e, 0x40 | rex);
	emit8(e, opcode);
	emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void emit_load64(struct emit *e, unsigned reg, struct host_mem m)
{
	emit_rm(e, true, 0x8b, reg, m);
}
static inline void emit_store64(struct emit *e, struct host_mem m, unsigned reg)
{
	emit_rm(e, true, 0x89, reg, m);
}
static inline void emit_lea64(struct emit *e, unsigned reg, struct host_mem m)
{
	emit_rm(e, true, 0x8d, reg, m);
}
static inline void emit_mov64(struct emit *e, unsigned to, unsigned from)
{
	emit_rr(e, true, 0x8b, to, from);
}
static inline void emit_store32_imm(struct emit *e, struct host_mem m, uint32_t imm)
{
	emit_rm(e, false, 0xc7, 0, m);
	emit32(e, imm);
}
static inline void emit_store64_imm(struct emit *e, struct host_mem m, int32_t imm)
{
	emit_rm(e, true, 0xc7, 0, m);
	emit32(e, imm);
}
static inline void emit_store8_imm(struct emit *e, struct host_mem m, uint8_t imm)
{
	emit_rm(e, false, 0xc6, 0, m);
	emit8(e, imm);
}
/* cmp byte [m], imm */
static inline void emit_cmp8_imm(struct emit *e, struct host_mem m, uint8_t imm)
{
	emit_rm(e, false, 0x80, 7, m);
	emit8(e, imm);
}

/* The shortest move of a constant; flags stay. */
static inline void emit_mov_imm(struct emit *e, unsigned reg, uint64_t v)
{
	if (v == (uint32_t)v) {
		if (reg > 7)
			emit8(e, 0x41);
		emit8(e, 0xb8 | (reg & 7));
		emit32(e, v);
	} else if (v == (uint64_t)(int32_t)v) {
		EMIT(e, 0x48 | reg >> 3, 0xc7, 0xc0 | (reg & 7));
		emit32(e, v);
	} else {
		EMIT(e, 0x48 | reg >> 3, 0xb8 | (reg & 7));
		emit64(e, v);
	}
}

/* Branches return the place of their displacement, in the writable mapping. */
static inline uint8_t *emit_jmp(struct emit *e)
{
	emit8(e, 0xe9);
	emit32(e, 0);
	return e->p - 4;
}
static inline uint8_t *emit_jcc(struct emit *e, unsigned cc)
{
	EMIT(e, 0x0f, 0x80 | cc);
	emit32(e, 0);
	return e->p - 4;
}
/* Points the branch whose displacement is at `rw` to `target`, a place in the executable mapping. */
static inline void emit_patch(uint8_t *rw, ptrdiff_t to_rx, const uint8_t *target)
{
	int32_t rel = target - (rw + to_rx + 4);

	memcpy(rw, &rel, 4);
}
static inline void emit_patch_here(struct emit *e, uint8_t *rw)
{
	emit_patch(rw, e->to_rx, emit_here(e));
}
static inline void emit_jmp_to(struct emit *e, const uint8_t *target)
{
	uint8_t *rw = emit_jmp(e);

	emit_patch(rw, e->to_rx, target);
}
static inline void emit_jcc_to(struct emit *e, unsigned cc, const uint8_t *target)
{
	uint8_t *rw = emit_jcc(e, cc);

	emit_patch(rw, e->to_rx, target);
}

#endif
