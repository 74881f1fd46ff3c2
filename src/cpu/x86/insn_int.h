/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the table and the decoder share. */
#ifndef VIV_CPU_X86_INSN_INT_H
#define VIV_CPU_X86_INSN_INT_H

#include "cpu/x86/insn.h"

/* Rows that can start with an opcode: candidates[start .. start + count), best first. By
 * legacy or VEX, map, opcode. */
struct insn_index {
	uint16_t start[2][4][256];
	uint8_t count[2][4][256];
	uint16_t *candidates;
};
extern struct insn_index insn_index;

#endif
