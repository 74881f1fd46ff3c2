/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of 16 MiB and one vCPU of the software CPU in 64-bit user mode, whose page tables
 * map the pages of host_run.h, and for the supervisor what exceptions need.
 */
#ifndef VIV_TESTS_CPU_GUEST_H
#define VIV_TESTS_CPU_GUEST_H

#include "cpu/x86/cpu.h"

struct guest {
	struct engine_env env;
	const struct engine *engine;
	struct cpu *cpu;
	uint8_t *data;	   /* host addresses of what lies at HOST_DATA in the guest */
	uint64_t code_gpa; /* what is mapped at HOST_CODE */
	struct x86_segment user[X86_N_SEGS];
};

/* On one of the engines with a struct cpu. */
void guest_init(struct guest *guest, const struct engine *engine);
/* Goes to user mode, 64-bit or 32-bit (compatibility). */
void guest_set_mode(struct guest *guest, enum insn_mode mode);
/* Maps other RAM at HOST_CODE, where nothing was written for long: the engine has no reason to
 * think of code that modifies itself. */
void guest_turn_code_page(struct guest *guest);
/* Writes an instruction's bytes at HOST_CODE + offset and sets rip to it. */
void guest_set_code(struct guest *guest, unsigned offset, const uint8_t *bytes, unsigned n);

/* How code that guest_set_code() has set came out. */
struct guest_outcome {
	int vector; /* of the exception, or -1 */
	uint32_t error_code;
	struct x86_state state; /* as the exception found it */
};

/*
 * A way to run code: from rip to HOST_CODE + `end` or + `landing` (0: none), or to an exception,
 * which is not to be delivered or to be taken back. The caller has written GUEST_END to both
 * places. Code that goes elsewhere is left after `max` instructions, or when it is seen.
 */
struct guest_engine {
	const char *name;
	struct guest *guest;
	unsigned times; /* more than one: as often before the comparison, so that the code is hot */
	bool only64;	/* does nothing of its own in other modes */
	bool loose_flags; /* those that the SDM leaves undefined, and at a fault those that nothing
			     reads */
	void (*run)(struct guest *guest, unsigned end, unsigned landing, unsigned max,
		    struct guest_outcome *outcome);
};

/* INT 80h, which the supervisor's program takes for the end. */
#define GUEST_END      ((const uint8_t[]){0xcd, 0x80})
#define GUEST_END_SIZE 2

/* One instruction after the other, by cpu_step(). */
void guest_run_steps(struct guest *guest, unsigned end, unsigned landing, unsigned max,
		     struct guest_outcome *outcome);
/* By the engine's run(), in blocks, exceptions delivered to a supervisor's program. */
void guest_run_blocks(struct guest *guest, unsigned end, unsigned landing, unsigned max,
		      struct guest_outcome *outcome);

#endif
