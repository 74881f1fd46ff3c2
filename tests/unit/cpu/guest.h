/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of 16 MiB and one vCPU of the software CPU in 64-bit user mode, whose page tables
 * map the pages of host_run.h, and for the supervisor what exceptions need.
 */
#ifndef VIV_TESTS_CPU_GUEST_H
#define VIV_TESTS_CPU_GUEST_H

#include "cpu/x86/cpu.h"
#include "host_run.h"

/* An interrupt's stack frame, and below it what the handler has pushed. */
struct guest_frame {
	uint64_t vector, error_code; /* 0 where the exception has none */
	uint64_t rip, cs, rflags, rsp, ss;
};

struct guest {
	struct engine_env env;
	const struct engine *engine;
	struct cpu *cpu;
	uint8_t *data;	   /* host addresses of what lies at HOST_DATA in the guest */
	uint64_t code_gpa; /* what is mapped at HOST_CODE */
	struct x86_segment user[X86_N_SEGS];
	/* Called from within an exception's handler, which goes on by what `frame` then says; NULL:
	 * run() returns. */
	void (*on_exception)(struct guest *guest, struct guest_frame *frame);
	void *opaque;
	struct guest_frame frame; /* of the last exception */
};

/* On one of the engines with a struct cpu. */
void guest_init(struct guest *guest, const struct engine *engine);
/* The page table entry of a page within 2 MiB from HOST_DATA or HOST_CODE. */
uint64_t *guest_page(struct guest *guest, uint64_t address);
/* Goes to user mode, 64-bit or 32-bit (compatibility). */
void guest_set_mode(struct guest *guest, enum insn_mode mode);
void guest_set_registers(struct guest *guest, const struct host_registers *registers);
/* Maps other RAM at HOST_CODE, from a guest-physical page on; or RAM where nothing was written for
 * long: the engine has no reason to think of code that modifies itself. */
void guest_move_code(struct guest *guest, uint64_t gpa);
void guest_turn_code_page(struct guest *guest);
static inline uint8_t *guest_code(const struct guest *guest)
{
	return guest->env.mem->base + guest->code_gpa;
}
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
