/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random samples of rows of the instruction table: encodings, registers, memory at HOST_DATA. All
 * follow from sample_seed()'s three numbers and the mode.
 */
#ifndef VIV_TESTS_CPU_INSN_SAMPLE_H
#define VIV_TESTS_CPU_INSN_SAMPLE_H

#include "cpu/x86/insn_int.h"
#include "cpu/x86/state.h"
#include "host_run.h"

struct sample {
	const struct insn_row *row;
	uint8_t bytes[32];
	unsigned offset;  /* in the code pages */
	unsigned modrm;	  /* place in bytes, 0 if there is none */
	uint64_t target;  /* where the memory operand is */
	unsigned landing; /* where a branch goes in the code pages, or 0 */
	struct insn insn;
};

void sample_set_mode(enum insn_mode mode);
enum insn_mode sample_mode(void);
void sample_seed(uint32_t seed, uint32_t stream, uint32_t number);
uint64_t random64(void);
unsigned below(unsigned n);
bool one_in(unsigned n);

/* Whether the host can be asked about the row in this mode. */
bool sample_is_testable(const struct insn_row *row);
/* Whether it is a near branch. */
bool sample_is_branch(const struct insn_row *row);
bool sample_is_named(const struct insn_row *row, const char *prefix);
/* Whether an operand is of one of these kinds. */
bool sample_names(const struct insn_row *row, const char *kinds);

/* One whole sample of s->row; false: these bytes, or what they would do, prove nothing. */
bool sample_make(struct sample *s, struct host_registers *r);

/* Its parts. False: some other row is preferred for the bytes. */
bool sample_make_encoding(struct sample *s);
void sample_registers(struct host_registers *r);
/* New data where operands will lie. */
void sample_data(void);
/* Chooses s->target, and sets the registers that keep all memory accesses within the data. */
void sample_tame(struct sample *s, struct host_registers *r);
/* Sets the address's registers, or the displacement, so that it comes to `target`. */
void sample_aim(struct sample *s, struct host_registers *r, uint64_t target);

#endif
