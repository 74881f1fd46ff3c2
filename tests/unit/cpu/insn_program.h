/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs of 64-bit code for comparing engines with each other: instructions whose operands
 * lie in PROGRAM_PAGES pages from HOST_DATA, branches, loops, calls, indirect jumps, and stores
 * into the program itself. They end with GUEST_END, if they do not lose their way. All follows from
 * sample_seed().
 */
#ifndef VIV_TESTS_CPU_INSN_PROGRAM_H
#define VIV_TESTS_CPU_INSN_PROGRAM_H

#include <glib.h>

#include "insn_sample.h"

#define PROGRAM_PAGES	  16
#define PROGRAM_MAX_BYTES 3000
#define PROGRAM_MAX_PARTS 160

/* Pages that are not plain memory. */
enum {
	PAGE_SAME = 11, /* the same memory as the page after it */
	PAGE_ALIAS = 12,
	PAGE_CODE = 13, /* the program's first page, at another address */
	PAGE_DEVICE = 14,
	PAGE_NONE = 15, /* never there */
};

struct insn_program {
	unsigned offset; /* from HOST_CODE */
	unsigned len;
	uint8_t bytes[PROGRAM_MAX_BYTES];
	uint64_t fs, gs;
	struct host_registers registers;
	/* Where it stores immediates of 4 bytes into itself. */
	unsigned n_patched;
	unsigned patched[PROGRAM_MAX_PARTS];
	/* What it was put together from. */
	unsigned n_parts;
	struct program_part {
		unsigned start, len;
		const char *name;
	} parts[PROGRAM_MAX_PARTS];
};

/* Of about n instructions. */
void insn_program_make(struct insn_program *program, unsigned n);
/* A line a part. */
void insn_program_describe(const struct insn_program *program, GString *text);

#endif
