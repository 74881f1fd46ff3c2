/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the table and the decoder share. */
#ifndef VIV_CPU_X86_INSN_INT_H
#define VIV_CPU_X86_INSN_INT_H

#include "cpu/x86/insn.h"

/* How an instruction starts; each has its opcodes to itself. */
enum insn_encoding { INSN_LEGACY, INSN_IS_VEX, INSN_IS_EVEX, INSN_N_ENCODINGS };

/* Rows that can start with an opcode: candidates[start .. start + count), best first. By
 * enum insn_encoding, map, opcode. */
struct insn_index {
	uint16_t start[INSN_N_ENCODINGS][4][256];
	uint8_t count[INSN_N_ENCODINGS][4][256];
	uint16_t *candidates;
};
extern struct insn_index insn_index;

#endif
