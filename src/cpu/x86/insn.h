/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction table and what the decoder makes of it.
 *
 * A row states an encoding in the notation of the Intel SDM's volume 2 ("66 0F 58 /r",
 * "VEX.L.66.0F38.W0 DC /r") and the operands in that of its appendix A.2 ("Vx,Hx,Wx"). From the
 * rows come the decoder, the interpreter's dispatch, the names for humans and the
 * per-instruction tests. The first row that fits wins, so special encodings stand before general ones.
 *
 * Encoding notation
 *   NP 66 F3 F2       required prefix; without one of these any prefix will do, and 66 is the operand size
 *   NFx               neither F2 nor F3; 66 is the operand size
 *   0F, 0F38, 0F3A    opcode map (also "0F 38")
 *   REX.W, W0, W1     operand-size bit required set or clear
 *   VEX.L VEX.128 VEX.256 VEX.LZ VEX.LIG    VEX-encoded; .L: 128 or 256 by the L bit, .LZ: L must be 0
 *   EVEX.L EVEX.LY EVEX.512 ...  EVEX-encoded; .L: 128, 256 or 512 by L'L, .LY: not 128
 *   +r                the opcode's low 3 bits are a register
 *   /r /0../7         ModRM follows; its reg field is an operand or part of the opcode
 *   m: r:             (after /r or /digit) ModRM must name memory, or a register
 *   a second opcode byte after /digit-less ModRM forms, e.g. "0F 01 D0": all of ModRM is fixed
 * Operand notation, addressing
 *   E r/m general or memory; G reg general; B vvvv general; R r/m general only; M memory only
 *   V reg vector; W r/m vector or memory; U r/m vector only; H vvvv vector; L imm8[7:4] vector
 *   P reg MMX; Q r/m MMX or memory; N r/m MMX only; T x87 ST(i) in r/m
 *   I immediate; J branch offset; A far pointer; O absolute offset; S segment register;
 *   C control register; D debug register (with these ModRM.mod is ignored: always registers); X DS:rSI; Y ES:rDI; Z register in the opcode
 *   K opmask, by its second letter: Kr in reg, Kh in vvvv, Km in r/m
 * Operand notation, size
 *   b w d q 1..8 bytes; v 16, 32 or 64 by operand size; z 16 or 32; y 32 or 64; t 10 bytes;
 *   dq 16, qq 32, x 16 or 32 by VEX.L, h half of x, f quarter of x, e eighth of x;  s: GDT pseudo-descriptor;
 *   p: far pointer in memory; a: BOUND's two; n: no size (LEA, INVLPG, FXSAVE...)
 * Operand notation, EVEX, after the size
 *   {k} {kz}    the result may be masked; {kz}: also with zeroing, unless it is in memory
 *   :b :w :d :q the memory operand has elements of this size, and those masked off are not touched
 *   !d !q       the same of a result, but that those masked off fault, too
 *   /d /q       it may be one such element, broadcast; ":/d" is both
 *   {sae} {er}  the register form may suppress exceptions; {er}: and choose the rounding
 * The factor of an 8-bit displacement (disp8*N) is the size of the memory operand, as above; an
 * element's where the operand is one a lane (VSIB) or has as many as the mask (IF_PACKED).
 *   Fixed operands are written in lower case or as numbers: al, ax, eax, rax, cl, dx, 1, xmm0, st0.
 *   The first operand is the destination unless IF_NODST says that it is only read.
 */
#ifndef VIV_CPU_X86_INSN_H
#define VIV_CPU_X86_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/x86/feature.h"

struct cpu;
struct insn;

/* Runs one instruction and, unless it ends its block, the ones after it. */
typedef void (*exec_fn)(struct cpu *cpu, const struct insn *insn);

/* An instruction's routines: [0] r/m is a register, [1] it is memory; then by operand size 1, 2, 4, 8. */
struct exec_set {
	exec_fn fn[2][4];
};

enum insn_row_flags {
	IF_LOCK = 1 << 0,  /* LOCK allowed where the destination is memory */
	IF_D64 = 1 << 1,   /* operand size defaults to 64 bits in 64-bit mode */
	IF_F64 = 1 << 2,   /* operand size is 64 bits in 64-bit mode, 66 ignored */
	IF_END = 1 << 3,   /* ends a block: may jump, or change what follows */
	IF_NO64 = 1 << 4,  /* #UD in 64-bit mode */
	IF_O64 = 1 << 5,   /* #UD outside 64-bit mode */
	IF_CPL0 = 1 << 6,  /* #GP(0) unless CPL is 0 */
	IF_REP = 1 << 7,   /* F2/F3 repeat it */
	IF_STORE = 1 << 8, /* vector rows: the memory operand is written, not read */
	IF_RMW = 1 << 9,   /* vector rows: memory operand read and written; integer rows: destination also read */
	IF_NODST = 1 << 10, /* the first operand is only read */
	IF_FLAGS = 1 << 11, /* vector rows: writes RFLAGS */
	IF_X87 = 1 << 12,   /* uses the x87 unit: #NM by TS or EM */
	IF_MMX = 1 << 13,   /* uses MMX registers: #UD by EM, #NM by TS */
	IF_SSE = 1 << 14,   /* legacy SSE: #UD unless OSFXSR, #NM by TS */
	IF_AVX = 1 << 15,   /* VEX vector: #UD unless XCR0 has SSE and AVX, #NM by TS */
	IF_ALIGN = 1 << 16, /* memory operand must be aligned to its size: #GP(0) */
	IF_NOTEST = 1 << 17, /* the host oracle cannot run it, or not deterministically */
	IF_FP = 1 << 18,     /* vector rows: reads or writes MXCSR */
	IF_VSIB = 1 << 19,   /* SIB names a vector as the index: its number goes to imm2 */
	IF_NOSTUB = 1 << 20, /* vector rows: the routine does it in C, without insn->stub */
	IF_AVX512 = 1 << 21, /* EVEX and opmask rows, with IF_AVX: #UD unless XCR0 has ZMM's state, too */
	IF_PACKED = 1 << 22, /* memory holds only the elements that the mask selects, side by side */
	IF_STACK = 1 << 23,  /* pops, with an operand size like any: #SS(0) where others raise #GP(0) */
};

#define INSN_MAX_OPERANDS 4
#define INSN_MAX_LEN      15 /* bytes; longer ones raise #GP */

struct insn_operand {
	char kind;    /* addressing letter, 'f' for a fixed one, 0 for none */
	char size[3]; /* size letters, or the fixed operand's first three characters */
};

struct insn_row {
	const char *name, *encoding, *operands;
	const struct exec_set *exec;
	uint32_t flags;
	uint8_t feature; /* enum insn_feature; a row whose feature the processor lacks is not there */
	/* What insn_table_init() reads from the strings: */
	uint8_t map;     /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
	uint8_t opcode;
	uint8_t prefix;  /* INSN_PREFIX_* */
	uint8_t vex;     /* INSN_VEX_* */
	uint8_t w;       /* 0, 1 or INSN_ANY */
	uint8_t reg, rm; /* fixed ModRM fields or INSN_ANY */
	uint8_t mod;     /* INSN_MOD_*: */
	bool has_modrm, plus_r;
	bool evex;
	/* EVEX: */
	uint8_t masking;   /* INSN_MASK_* */
	uint8_t element;   /* bytes of a memory element that the mask picks or leaves out, or 0 */
	bool faults_whole; /* also those left out */
	uint8_t broadcast; /* bytes of an element that is broadcast, or 0 */
	uint8_t rounding;  /* INSN_ROUNDING_* */
	struct insn_operand operand[INSN_MAX_OPERANDS];
	uint32_t kinds;	     /* of all operands: a set of INSN_KIND() */
	uint8_t routine_size; /* of operands, where it is always the same: 1, 2, 4 or 8; or INSN_SIZE_* */
	bool uses_vvvv;
};

enum { INSN_ANY = 0xff };
enum { INSN_SIZE_V = 0x10, INSN_SIZE_Y };
/* Operand kinds as a set; no kind is in none. */
#define INSN_KIND(letter) (1u << ((letter) & 31) & ~1u)
static inline bool insn_has_kind(const struct insn_row *row, uint32_t set)
{
	return row->kinds & set;
}
enum { INSN_MASK_NONE, INSN_MASK_MERGE, INSN_MASK_ZERO };
enum { INSN_ROUNDING_NONE, INSN_ROUNDING_SAE, INSN_ROUNDING_ER };
enum {
	INSN_PREFIX_ANY, INSN_PREFIX_NP, INSN_PREFIX_NFX, INSN_PREFIX_66, INSN_PREFIX_F3,
	INSN_PREFIX_F2,
};
/* Also the lengths of EVEX. */
enum {
	INSN_VEX_NONE, INSN_VEX_L, INSN_VEX_128, INSN_VEX_256, INSN_VEX_LIG, INSN_VEX_512,
	INSN_VEX_LY,
};
enum { INSN_MOD_ANY, INSN_MOD_MEM, INSN_MOD_REG };

/* What instructions are decoded for: the default sizes of the code segment. */
enum insn_mode { INSN_MODE_16, INSN_MODE_32, INSN_MODE_64 };

enum insn_flags {
	INSN_LOCK = 1 << 0,
	INSN_REP = 1 << 1,   /* F3 */
	INSN_REPNE = 1 << 2, /* F2 */
	INSN_MEM = 1 << 3,   /* r/m is memory */
	INSN_EA_SLOW = 1 << 4, /* effective address is not base + index * scale + disp in 64 bits */
	INSN_VEX_L1 = 1 << 5,
	INSN_REX_W = 1 << 6,
	INSN_66 = 1 << 7,
};

/* struct insn's `evex`: the fourth byte of the prefix, but that its V' bit says that there is one. */
enum insn_evex {
	INSN_EVEX_MASK = 7, /* aaa */
	INSN_EVEX = 1 << 3,
	INSN_EVEX_B = 1 << 4, /* memory: broadcast; registers: rounding control or SAE */
	INSN_EVEX_LENGTH_SHIFT = 5,
	INSN_EVEX_LENGTH = 3 << 5,
	INSN_EVEX_Z = 1 << 7,
};

/*
 * A decoded instruction. Register operands are byte offsets into the general
 * registers of struct cpu (8 a register; AH..BH are odd), except where the operand kind
 * names another file (vector, segment, control...): then they are plain numbers.
 * `base` and `index` are such offsets too; INSN_ZERO reads as 0 and INSN_PC as the
 * linear address of the code page, so that RIP-relative operands need no extra work.
 */
#define INSN_ZERO (16 * 8)
#define INSN_PC   (17 * 8)
#define INSN_SEG_NONE 6 /* in x86_seg's numbering; base 0 */

struct insn {
	exec_fn exec;
	int64_t imm;   /* immediate; for branches the target, from the code page's start */
	const void *stub; /* vector rows: host code (vector.h) */
	int32_t disp;
	uint8_t mem_size; /* bytes of the memory operand, where INSN_EA_SLOW */
	bool mem_written; /* and whether it is written */
	uint16_t next; /* where the next instruction starts, from the code page's start */
	uint16_t row;
	uint8_t reg, rm, vvvv;
	uint8_t base, index, scale; /* scale: shift count */
	uint8_t seg;
	uint8_t len;
	uint8_t opsize, addrsize; /* bytes */
	uint8_t flags;            /* enum insn_flags */
	uint8_t imm2;             /* ENTER's level, the vector register in imm8[7:4] */
	uint8_t evex;             /* enum insn_evex, 0 for other encodings */
};

enum insn_status {
	INSN_OK,
	INSN_UD,       /* undefined: raises #UD; insn->len bytes were looked at */
	INSN_TOO_LONG, /* over 15 bytes: #GP(0) */
	INSN_MORE,     /* more bytes than given are needed */
};

/* Builds the decoder's index from the rows; once, before any decoding. Asserts on a bad row. */
void insn_table_init(void);
size_t insn_table_size(void);
const struct insn_row *insn_row_get(size_t n);

/*
 * Decodes one instruction from at most `n` bytes for a processor that has these features (a model's
 * `has`); `offset` is its first byte's place in the code page. exec is left NULL unless INSN_OK.
 */
enum insn_status insn_decode(const uint8_t *bytes, size_t n, enum insn_mode mode,
			     const bool has[F_N_FEATURES], unsigned offset, struct insn *insn);

/* Whether the instruction writes its memory operand. */
bool insn_mem_written(const struct insn_row *row);
/* Bytes of the memory operand the row names, 0 for none or no size. */
unsigned insn_mem_size(const struct insn_row *row, const struct insn *insn);
/* Bytes of a vector: 16, 32 or 64. */
unsigned insn_vector_size(const struct insn *insn);
/* How many of the mask's bits count for the memory operand; the row has elements. */
unsigned insn_mask_lanes(const struct insn_row *row, const struct insn *insn);

#endif
