/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same program on T0 alone and on T0 with T1, compared in all that a guest can see: every
 * exception as its handler finds it (but for arithmetic flags that nothing reads any more), and at
 * the end registers, flags, vectors, x87, memory, the device's accesses, and the page tables.
 *
 * A handler goes on behind the instruction, or with it, having mapped the page that it lacked; so a
 * program is led through a fault at each of its accesses, and the flags that matter come out.
 */
#ifndef VIV_TESTS_CPU_ENGINE_PAIR_H
#define VIV_TESTS_CPU_ENGINE_PAIR_H

#include "guest.h"
#include "insn_program.h"

enum pair_privilege { PAIR_USER, PAIR_SUPERVISOR, PAIR_SUPERVISOR_AC, PAIR_N_PRIVILEGES };

enum pair_result { PAIR_SAME, PAIR_NOTHING, PAIR_DIFFERENT };

struct engine_pair;

struct engine_pair *engine_pair_new(void);
void engine_pair_free(struct engine_pair *pair);

struct pair_options {
	enum pair_privilege privilege;
	unsigned threshold; /* jit_set_threshold()'s */
	unsigned place;	    /* which memory has the code, from 0 to PAIR_PLACES - 1 */
	bool rewritten;	    /* there, code has been rewritten often before */
};
#define PAIR_PLACES 1900

/*
 * All runs of a program: with its pages there, once more, without any, and then with each that it
 * has touched missing or read-only in turn.
 */
enum pair_result engine_pair_try(struct engine_pair *pair, const struct insn_program *program,
				 const struct pair_options *options, GString *why);

#endif
