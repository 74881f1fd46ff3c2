/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest instruction encoded again, with other operands (SDM volume 2, chapter 2). */
#ifndef VIV_CPU_JIT_RECODE_H
#define VIV_CPU_JIT_RECODE_H

#include "cpu/jit/emit.h"
#include "cpu/x86/insn.h"

struct recode {
	const struct insn_row *row;
	bool lock, has_66, has_rex;
	uint8_t rep; /* F2, F3 or 0 */
	uint8_t rex; /* W R X B in 3..0; VEX's too */
	uint8_t vex_l, vex_pp;
	const uint8_t *evex; /* the prefix's bytes, or NULL */
	uint8_t opcode;
	const uint8_t *imm;
	uint8_t imm_len;
	/* The operands; those that the row has not are ignored. */
	uint8_t reg, vvvv, rm; /* full numbers; the opcode's register is rm */
	bool is_mem;
	struct host_mem mem;
};

/* Takes an instruction apart that decodes to the row: of 64-bit code (`wide`), or of 32-bit code. */
void recode_parse(struct recode *r, const struct insn_row *row, const uint8_t *bytes, unsigned len,
		  bool wide);
void recode_emit(struct emit *e, const struct recode *r);

#endif
