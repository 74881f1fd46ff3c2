/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's processor (T0): what its routines share. Seen only in this folder.
 *
 * Rules for a routine (exec_fn)
 *  - Everything that can fault comes before the first change of architectural state, since
 *    cpu_fault() leaves by longjmp and the instruction starts again.
 *  - It ends with NEXT(), which runs the instruction after it; or, where its row has IF_END, by
 *    setting cpu->state.rip and returning.
 *  - rip is not kept while a block runs: insn_pc() and insn_next_pc() compute it.
 *
 * Arithmetic flags live in cpu->flags in the form lahf and seto give (flags.h), the
 * other bits of RFLAGS in state.rflags; cpu_rflags() joins them.
 */
#ifndef VIV_CPU_X86_CPU_H
#define VIV_CPU_X86_CPU_H

#include <glib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/le.h"
#include "cpu/engine.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

enum x86_exception {
	EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6,
	EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14,
	EXC_MF = 16, EXC_AC = 17, EXC_MC = 18, EXC_XM = 19,
};

/* What cpu->delivering holds besides a vector. */
enum { DELIVERING_EVENT = 0xfe, DELIVERING_NOTHING = 0xff };

/* #PF error code bits. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

/*
 * Software TLB. `tag` is the page's linear address; tag XOR address is at most 4096 - size exactly
 * when the access hits and stays in the page. An empty slot holds a tag that belongs in another slot,
 * so that no address can hit it. A page may be in the read table and not in the write table: clean
 * pages and pages that hold decoded code stay out of it.
 */
#define TLB_SIZE      1024
#define N_LARGE_SIZES 3
#define LARGE_HASHES  1024

#define JUMP_CACHE_SIZE 4096

struct tlb_entry {
	uint64_t tag;
	uint64_t delta; /* host address less linear address */
};

struct tlb {
	struct tlb_entry read[TLB_SIZE], write[TLB_SIZE];
	uint64_t global[2][TLB_SIZE / 64]; /* a bit for each entry of `read` and of `write` */
};

/* mode_key: everything but an instruction's bytes and address that its decoded form depends on. */
enum {
	MODE_64 = 1 << 0,
	MODE_32 = 1 << 1,     /* neither: 16-bit code */
	MODE_USER = 1 << 2,   /* CPL 3: system instructions raise #GP */
	MODE_EM = 1 << 3,
	MODE_TS = 1 << 4,
	MODE_NO_SSE = 1 << 5, /* CR4.OSFXSR clear: #UD */
	MODE_NO_AVX = 1 << 6, /* no OSXSAVE, or not enabled in XCR0: #UD */
	MODE_STEP = 1 << 7,   /* RFLAGS.TF or breakpoints: blocks of one instruction */
	MODE_REAL = 1 << 8,   /* CR0.PE clear or virtual-8086 */
	MODE_DEBUG = 1 << 9,  /* a debugger wants something (debugger.h) */
	MODE_AC = 1 << 10,    /* RFLAGS.AC: which TLB class translated code looks into */
	MODE_NO_AVX512 = 1 << 11, /* as MODE_NO_AVX, for ZMM and opmask registers */
	MODE_FLAT = 1 << 12,  /* 32-bit: CS, SS, DS and ES are 4 GiB from 0 on, the stack 32-bit */
	MODE_ALL = (1 << 13) - 1,
};

/* What siglongjmp(*cpu->jump) says: deliver cpu->fault; run the instruction again, alone; it is not to
 * be run twice (cpu/jit/lockstep.h); run() is to return ENGINE_EXIT_ERROR. */
enum { JUMP_FAULT = 1, JUMP_ALONE, JUMP_EXTERNAL, JUMP_ERROR };

/* Of a debugger outside the guest (debugger.h). */
struct cpu_debugger {
	struct engine_point points[ENGINE_MAX_POINTS];
	unsigned n_points, n_watches;
	bool step;
	bool alone;	 /* the next instruction is to run in a block of one */
	bool noted;	 /* `stop` holds, and run() is to return before the next instruction */
	struct engine_stop stop, reported;
};

/* The last is never filled, so that every access comes to the alignment check. */
enum tlb_class { TLB_SUPERVISOR, TLB_SUPERVISOR_AC, TLB_USER, TLB_USER_AC, TLB_N_CLASSES };

#define JIT_N_PAGES   16384
#define JIT_N_TARGETS 8192
#define JIT_N_MORE_TARGETS 4096
#define JIT_N_DELTAS  16

#define JIT_PAGE_GLOBAL 2

/* Where CPU time went (cpu/jit/sample.h). */
enum jit_sample { JIT_SAMPLE_CODE, JIT_SAMPLE_TRANSLATOR, JIT_SAMPLE_REST, JIT_N_SAMPLES };

/* What translated code addresses besides the processor's state (cpu/jit). */
struct cpu_jit {
	struct jit_cache *cache; /* NULL: this vCPU has no translator */
	struct cpu *self;
	void *host_rsp;		/* while translated code runs */
	const void *resume;	/* host address to go on at */
	uint64_t address;	/* guest address of a slow access */
	uint64_t delta;		/* what to add to it for its host address */
	uint8_t bounce[3 * 64] __attribute__((aligned(64))); /* of a load on two pages */
	uint64_t deltas[JIT_N_DELTAS]; /* of groups of accesses, within a region */
	uint64_t room;	  /* passes of a loop that are left beside the next */
	uint64_t limit;	  /* what its counter is after the last */
	uint64_t target, scratch;
	uint32_t site;		/* what was left or called from; a reference or SITE_* */
	uint32_t x87_last;	/* reference to the x87 instruction run last, if not in state.fpu yet */
	uint32_t branch;	/* an indirect branch whose target is not translated; a reference */
	uint32_t flags_fix;	/* offset in the cache of what brings the flags home */
	const void *after_fix;	/* where that goes on */
	const void *code;	/* the cache */
	uint32_t host_mxcsr;
	uint16_t host_flags;
	uint8_t chain_left;	/* regions that may be entered until translated code is left; in lockstep */
	bool vectors_live;	/* the guest's vector registers and MXCSR are in the host's */
	bool vectors_wanted;	/* and are to be again */
	bool wide_live, wide_wanted; /* the same of ZMM16 to ZMM31 and the opmasks, besides */
	bool high_live, high_wanted; /* and of what is above YMM */
	/* The page that the stack pointer was last found in, by TLB class, for reads and for writes: its
	 * entry of the TLB once more, but found without computing where. */
	struct tlb_entry stack[TLB_USER_AC][2];
	/* The page last stored to that also holds code, by TLB class; page 1: none. Only where no other
	 * vCPU can mark lines in between. */
	struct {
		uint64_t page, delta;
		const _Atomic uint64_t *lines; /* in the code map */
	} code_page[TLB_USER_AC];
	struct {
		uint64_t blocks;	/* run on T0 */
		uint64_t entries;	/* into translated code */
		uint64_t regions, insns, loops; /* translated */
		uint64_t translating_ns; /* time that passed meanwhile */
		uint64_t flushes;	/* of the cache */
		uint64_t slow_accesses;	/* instructions left to T0 for what they met in memory */
		uint64_t failed_groups;	/* checks of several accesses at once that were in vain */
	} count;
	uint64_t mappings;	/* counts changes of what linear addresses mean */
	const uint8_t *fault_pc;
	void *signal_stack;
	volatile bool translating; /* for a signal handler of the thread */
	timer_t sample_timer;
	uint64_t samples[JIT_N_SAMPLES];
	stack_t stack_before;
	sigset_t signals_before;
	/* The code page is still mapped where it was: 1, or JIT_PAGE_GLOBAL. */
	uint8_t page_ok[JIT_N_PAGES];
	/* Entries by rip, for indirect branches: the first, which checks that it is meant, and where two
	 * share a place there, by a better hash. */
	const void *targets[TLB_USER_AC][JIT_N_TARGETS];
	struct jit_target {
		uint64_t rip;
		const void *entry;
		uint64_t mode_key, unused;
	} more_targets[TLB_USER_AC][JIT_N_MORE_TARGETS];
};

struct cpu {
	/* First, so that register offsets in struct insn are offsets into struct cpu: the general
	 * registers, then INSN_ZERO and INSN_PC. */
	uint64_t gpr[16];
	uint64_t zero;
	uint64_t pc_base; /* linear address of the code page minus the code segment's base */

	uint16_t flags;
	uint32_t mode_key; /* what decoded code depends on besides its bytes: MODE_* */
	struct tlb *tlb;   /* of the current class */
	uint64_t seg_base[INSN_SEG_NONE + 1]; /* copies of state.seg[].base; the last is 0 */
	uint8_t seg_checked; /* a bit each: accesses need mmu_check_segment(); never in 64-bit mode */

	uint8_t seg_partial; /* a bit each: less than 4 GiB, or not of data to be written */

	uint64_t cs_limit; /* the last rip that may be fetched from; all ones in 64-bit mode */

	const struct insn *fault_insn; /* set by cpu_fault() */
	/* A read-modify-write that needs more than the write itself (mmu.h): what mem_rmw() gave,
	 * which is the bounce buffer where the memory cannot be pointed at. */
	void *rmw_pending;
	_Alignas(16) uint64_t rmw_bounce[2]; /* CMPXCHG16B's operand, too */
	uint64_t rmw_address, rmw_second;
	uint8_t *pair; /* two pages of RAM, side by side (mmu.c); NULL before the first use */
	uint64_t pair_pages[2];

	struct x86_state state; /* gpr, rflags' arithmetic bits and the x87 are kept elsewhere while it runs */
	bool x87_live;          /* the guest's x87/MMX registers are in the host's */
	bool zmm_used;          /* some of state.zmm_high may not be 0 */

	uint64_t pdpte[4];      /* with PAE paging: loaded from memory with CR3 (paging.h) */

	struct engine_env env;
	const struct x86_model *model;
	struct lapic *lapic;
	unsigned id;
	struct engine_stats stats;
	unsigned pauses; /* PAUSE instructions, for a spinning guest's manners */
	const struct block *block; /* running */

	/* Set by any thread, looked at between blocks. */
	_Atomic bool attention;
	_Atomic bool kicked;
	bool event_waits; /* an interrupt that RFLAGS.IF held off when it was last looked for */
	_Atomic bool in_guest; /* between blocks at the latest, requests are taken */
	GMutex halt_lock;
	GCond halt_cond;
	GArray *machine_checks; /* struct engine_machine_check, under halt_lock; not taken yet */
	_Atomic bool machine_check_waits;

	struct code_cache *code;
	struct lockstep *lockstep; /* NULL: translated code is not compared (cpu/jit/lockstep.h) */
	struct cpu_jit jit;
	/* Blocks by rip, good while `stamp` (code.h) is the present one. */
	struct jump_entry {
		uint64_t rip, stamp;
		bool global; /* its page is; the stamp is of that kind */
		struct block *block;
		struct jit_region *region; /* NULL: none known */
	} jumps[JUMP_CACHE_SIZE];
	uint32_t jump_generation[2]; /* of entries that are not global, and of those that are */
	struct tlb tlbs[TLB_N_CLASSES];
	bool tlb_filled[TLB_N_CLASSES]; /* since the last flush */
	struct tlb2 *tlb2;
	/* A bit for each hash of a large page's number, set where one was translated since the last
	 * flush; a map for each size. */
	uint64_t large_pages[N_LARGE_SIZES][LARGE_HASHES / 64];

	bool no_step; /* this instruction entered a handler with TF clear: no single-step trap */
	sigjmp_buf *jump; /* where a fault goes; set while run() runs */
	struct {
		uint8_t vector;
		bool has_error_code, soft;
		uint32_t error_code;
	} fault;
	uint32_t debug_pending; /* bits of DR6 that raise #DB before the next instruction */
	bool at_breakpoint;	/* the fault is the #DB of a breakpoint on the instruction */
	struct cpu_debugger debugger;
	uint8_t delivering; /* vector of the event in delivery, for double faults */
	char error[800]; /* last_error */
};

G_STATIC_ASSERT(offsetof(struct cpu, zero) == INSN_ZERO);
G_STATIC_ASSERT(offsetof(struct cpu, pc_base) == INSN_PC);

#define NEXT() return insn[1].exec(cpu, insn + 1)

/* Register operands: a T at a byte offset (struct insn). */
#define REG(T, offset) (*(T *)((uint8_t *)cpu + (offset)))

static inline uint64_t insn_next_pc(const struct cpu *cpu, const struct insn *insn)
{
	return cpu->pc_base + insn->next;
}
static inline uint64_t insn_pc(const struct cpu *cpu, const struct insn *insn)
{
	return insn_next_pc(cpu, insn) - insn->len;
}

static inline unsigned cpu_cpl(const struct cpu *cpu)
{
	return cpu->state.seg[X86_SS].attr >> SEG_DPL_SHIFT & 3;
}

/* Raises an exception for `insn`, as a fault; does not return. */
void cpu_fault(struct cpu *cpu, const struct insn *insn, enum x86_exception vector) G_GNUC_NORETURN;
void cpu_fault_code(struct cpu *cpu, const struct insn *insn, enum x86_exception vector,
		    uint32_t error_code) G_GNUC_NORETURN;

/* Leaves the running block at `insn`, to go on at `rip`; the routine returns right after. */
void cpu_leave_block(struct cpu *cpu, const struct insn *insn, uint64_t rip);

/* #GP(0) unless CPL, IOPL and the I/O permission map let `size` bytes at `port` through. */
void cpu_check_port(struct cpu *cpu, const struct insn *insn, uint16_t port, unsigned size);

/* After a jump to cpu->jump: as if the faulting instruction and those after it had not been started. */
void cpu_roll_back(struct cpu *cpu);
/* Runs one instruction at rip, whatever the mode. Faults as that does. */
void cpu_run_one(struct cpu *cpu);

uint64_t cpu_rflags(const struct cpu *cpu);
void cpu_set_rflags(struct cpu *cpu, uint64_t rflags);
/* To be called when a control register, EFER, CPL, a code or data segment or RFLAGS.AC has
 * changed: derives mode_key, the TLB class and seg_base. */
void cpu_update_mode(struct cpu *cpu);

/* Runs one instruction at rip. Returns -1, or the vector of the fault it raised, undelivered. */
int cpu_step(struct cpu *cpu);

/* Loads the guest's x87 state into the host's registers, and the other way (vector.c). */
void cpu_x87_load(struct cpu *cpu);
void cpu_x87_save(struct cpu *cpu);

#endif
