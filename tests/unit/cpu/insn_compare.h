/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs code on the host's processor and on an engine (guest.h), and says where they differ: the
 * exception with its error code and CR2, rip, registers, flags, memory.
 */
#ifndef VIV_TESTS_CPU_INSN_COMPARE_H
#define VIV_TESTS_CPU_INSN_COMPARE_H

#include <glib.h>

#include "guest.h"
#include "insn_sample.h"

/* Code at HOST_CODE + offset, and what is in the registers when it starts; data is host_data. */
struct compared_code {
	const uint8_t *bytes;
	unsigned offset, len;
	unsigned landing; /* where else than at its end it may come out, or 0 */
	unsigned max;	  /* instructions it may take, rounds of repeated ones included */
	bool is32;
	bool undefined_flags; /* what the SDM leaves undefined may show */
	struct host_registers registers;
	/* The row of the instruction at this place, to know what of it is not defined. */
	const struct insn_row *(*row_at)(const void *opaque, unsigned offset);
	const void *opaque;
	/* Where it leaves an image with the x87's pointers, which differ, and their size; or 0. */
	uint64_t pointers;
	unsigned pointer_size;
};

enum comparison {
	COMPARISON_SAME,
	COMPARISON_FAULT,   /* the same, and an exception */
	COMPARISON_NOTHING, /* it does what cannot be compared */
	COMPARISON_DIFFERENT,
};

/*
 * The first of `engines` decides whether the host can be let at the code: what reaches for memory
 * that is not the data, by accident or by an engine's fault, is not run natively. A difference
 * is described in `why`.
 */
enum comparison insn_compare(const struct guest_engine *engines, unsigned n,
			     const struct compared_code *code, GString *why);

/* Of a single sample. */
enum comparison insn_compare_sample(const struct guest_engine *engines, unsigned n,
				    const struct sample *s, const struct host_registers *r,
				    GString *why);

/* Whether its memory operand is an image of the x87's or the vectors' state. */
bool insn_is_image(const struct insn_row *row);
/* Whether the SDM leaves flags of the row undefined that the processor may leave as they were. */
bool insn_leaves_flags_undefined(const struct insn_row *row);
/* The flags that must agree after the row; the others models leave differently. */
uint64_t insn_compared_flags(const struct insn_row *row);

#endif
