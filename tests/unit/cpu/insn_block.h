/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random blocks of user-level code: samples of rows one after another, each reached with what the
 * ones before it have left in registers, flags and memory. Before an instruction that reaches for
 * memory or goes elsewhere stand loads of the registers it does that by. Branches go forward,
 * within the block or to its end.
 */
#ifndef VIV_TESTS_CPU_INSN_BLOCK_H
#define VIV_TESTS_CPU_INSN_BLOCK_H

#include "insn_compare.h"

#define BLOCK_MAX_INSNS 30
#define BLOCK_MAX_BYTES 2000

struct block_insn {
	struct sample sample;
	unsigned start, len; /* in bytes[], what loads its registers included */
	unsigned patch;	     /* place of what names the target of a branch, or 0 */
	unsigned patch_size;
	bool patch_relative;
	bool gone; /* not to be described */
};

struct insn_block {
	struct block_insn insn[BLOCK_MAX_INSNS];
	unsigned n;
	uint8_t bytes[BLOCK_MAX_BYTES];
	struct compared_code code;
};

/* From what sample_seed() was given, in the mode that was set. */
void insn_block_make(struct insn_block *block);
/* A line an instruction. */
void insn_block_describe(const struct insn_block *block, GString *text);

#endif
