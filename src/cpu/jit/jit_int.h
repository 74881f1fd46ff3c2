/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the translator's files share. */
#ifndef VIV_CPU_JIT_JIT_INT_H
#define VIV_CPU_JIT_JIT_INT_H

#include "cpu/jit/emit.h"
#include "cpu/jit/jit.h"
#include "cpu/x86/code.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/mmu.h"

/* Whether a guest's register is not in the host's of the same number. */
static inline bool is_displaced(unsigned reg)
{
	return reg == SCRATCH0 || reg == SCRATCH1;
}

/* A block has to run so often before it is translated. */
#define JIT_HOT		16
#define JIT_MAX_INSNS	64
#define JIT_MAX_EXITS	12
#define JIT_HASH_SIZE	(1u << 15)
/* Room that one region may take. */
#define JIT_CODE_WORST	(JIT_MAX_INSNS * 1600u)
#define JIT_META_WORST	(128u << 10)
/* A block of one instruction, rounded up as meta_alloc() does. */
#define JIT_ALONE_SIZE	((sizeof(struct block) + 2 * sizeof(struct insn) + 15) & ~(size_t)15)

/* Arithmetic flags as a set. */
enum { FL_CF = 1, FL_PF = 2, FL_AF = 4, FL_ZF = 8, FL_SF = 16, FL_OF = 32, FL_ALL = 63 };

/* Where the guest's arithmetic flags are. */
enum flags_place {
	FLAGS_HOST,   /* in the host's */
	FLAGS_MEMORY, /* in cpu->flags */
	FLAGS_DEAD,   /* nobody will read them */
	FLAGS_RECIPE, /* to be had by running an earlier instruction again */
};

/* How an instruction is translated. */
enum jit_class {
	JIT_STEP,     /* T0 runs it */
	JIT_COPY,     /* the same instruction, operands redirected */
	JIT_NOP,
	JIT_LEA,
	JIT_ABSOLUTE, /* MOV between rAX and an address in the instruction; 32-bit code */
	JIT_PUSH, JIT_POP, JIT_LEAVE, JIT_PUSHF,
	JIT_SWAPGS, JIT_CLI, JIT_STI,
	JIT_BT,	      /* a bit anywhere in memory */
	JIT_REP,      /* repeated MOVS, STOS, CMPS and SCAS */
	JIT_JCC, JIT_JMP, JIT_CALL, JIT_RET, JIT_JMP_IND, JIT_CALL_IND,
	JIT_AC,	      /* STAC, CLAC: another TLB from there on */
	JIT_END,      /* T0 runs it, and the region ends */
};

/* What is known of values and flags that some instructions make. */
enum jit_op {
	JIT_OP_OTHER, JIT_OP_MOV, JIT_OP_ADD, JIT_OP_SUB, JIT_OP_INC, JIT_OP_DEC,
	JIT_OP_COMPARE, /* CMP and TEST */
	JIT_OP_LOGIC,	/* AND, OR and XOR */
};

/* What the translator knows of a row (effects.c). */
struct jit_effects {
	uint8_t class;
	uint8_t flags_read, flags_changed, flags_killed; /* killed: changed whatever they were */
	bool by_condition;   /* reads what the opcode's condition code does */
	bool shift;	     /* flags depend on the count */
	bool writes_second;  /* the second operand, too */
	bool vector, x87;    /* uses the host's registers of that kind; may fault there */
	bool wide;	     /* uses what AVX-512 adds to the vector registers */
	bool x87_noted;	     /* is the x87's last instruction after it */
	uint16_t regs;	     /* general registers written without being an operand, a bit each */
	uint8_t op;	     /* enum jit_op */
};

void effects_init(void);
const struct jit_effects *effects_get(unsigned row);
uint8_t effects_condition_flags(unsigned cc);

struct jit_region;

/* What a slow path needs to know of its instruction. */
struct jit_insn {
	uint8_t bytes[INSN_MAX_LEN];
	uint8_t len;
	uint16_t offset; /* in the page */
	uint8_t size;	 /* bytes of the access */
	bool write;
	uint8_t flags; /* enum flags_place, when the slow path is entered */
	uint16_t row;
	uint8_t fault_flags; /* and where the host may fault */
	int32_t rsp_moved;   /* by a return, before it is known where it goes */
	uint8_t flags_before; /* for listings: where they are ahead of it, and which are read from there on */
	uint8_t flags_live;
	struct jit_region *region;
	struct block *alone; /* the instruction for T0, made when first needed */
	const uint8_t *resume;	 /* after the check: the address in SCRATCH0, the distance to the host's in SCRATCH1 */
	const uint8_t *next;	 /* behind the instruction; NULL: the region ends with it */
};

/* A way out of a region to a known address. */
struct jit_exit {
	struct jit_region *from, *to;
	struct jit_exit *from_next, *to_next;
	uint8_t *jump;		/* its displacement, writable */
	const uint8_t *stub;	/* where it goes while not linked */
	uint8_t *fixed;		/* the stub's jump once flags are in the host's */
	uint64_t rip;
	bool other_page;
	bool flags_in_host, flags_in_memory;
	uint32_t mode_key; /* of the region that it leads to */
	bool forward; /* in the same page: no loop is closed by it alone */
	bool plain;   /* a group's check failed: to a region without groups, by `fixed` only */
	uint8_t flags_live; /* read behind it */
};

/* The last instruction of a region, that ends in the next page. */
struct jit_second {
	const uint8_t *resume;
	uint64_t rip;  /* of the instruction */
	uint64_t page; /* linear */
	uint64_t gpa;  /* where that was mapped */
	uint32_t page_slot;
	uint8_t flags;
};

/* The check of a group of accesses. */
struct jit_group {
	const uint8_t *resume;	/* with the distance to the host's addresses in SCRATCH0 */
	struct jit_exit *exit;	/* where the check fails for good */
	struct jit_region *region;
	uint16_t size;
	bool leader_writes, write;
	uint8_t flags;
};

/* Bytes that a region was made from, or that it relies on. */
struct jit_source {
	struct jit_source *page_next;
	struct jit_region *region;
	uint64_t gpa; /* of the page */
	uint64_t lines;
};

#define JIT_MAX_SOURCES 4
#define JIT_N_UNGROUPED 4096

/* Translated code for one entry point, in one page. */
struct jit_region {
	struct jit_region *hash_next;
	uint64_t gpa, rip;
	uint32_t mode_key;
	uint32_t page_slot;
	struct jit_source sources[JIT_MAX_SOURCES]; /* the first is its own page */
	unsigned n_sources;
	const uint8_t *memory_entry;   /* with the flags in cpu->flags; NULL: there is none */
	const uint8_t *verified_entry; /* for an indirect branch that means this region */
	const uint8_t *entry, *forward_entry, *cross_entry, *indirect_entry;
	bool plain; /* has no groups of accesses */
	bool compared; /* with the memory, at each entry */
	uint16_t failed; /* checks of groups */
	const uint8_t *code, *code_end;
	const uint8_t *cold, *cold_end; /* what is out of line */
	uint8_t flags_live; /* on entry */
	bool dead;
	bool uses_x87;
	bool loops; /* each instruction is there twice */
	uint16_t n_insns;
	ptrdiff_t to_rx;
	struct jit_exit *exits, *incoming;
	struct jit_insn *insns;
	/* For host faults: where each instruction's code starts. */
	uint32_t *starts;
};

struct jit_page {
	uint64_t page; /* linear */
	uint64_t gpa;
	uint32_t next; /* with the same hash */
};

struct jit_cache {
	uint8_t *rw, *rx;
	size_t size; /* of the code, half of it for what is out of line; and of the records */
	size_t used, code_start; /* the thunks lie before code_start */
	size_t cold_used;	 /* what is out of line lies in the second half */
	uint8_t *guard; /* pages without access */
	uint8_t *meta;
	size_t meta_used;
	struct jit_region *by_key[JIT_HASH_SIZE];
	struct jit_source *by_page[JIT_HASH_SIZE];
	uint64_t *steps; /* instructions left to T0, by row */
	GPtrArray *regions; /* in order of their code */
	struct jit_page pages[JIT_N_PAGES];
	uint64_t ungrouped[JIT_N_UNGROUPED / 64]; /* a bit for each hash of a rip */
	uint32_t page_hash[JIT_N_PAGES], n_pages;
	unsigned generation;
	struct block *alone; /* for instructions that the records have no room for */
	int threshold; /* JIT_HOT, or what jit_set_threshold() was given */
	struct {
		void (*enter)(struct cpu *cpu, const void *target);
		const uint8_t *exit;	/* site is set */
		const uint8_t *exit_at; /* to the rip in SCRATCH0 */
		const uint8_t *indirect;		 /* the same, for an unknown target */
		const uint8_t *stale;			 /* the same, where code is not what it was */
		const uint8_t *miss[TLB_USER_AC];	 /* of the first target table, */
		const uint8_t *lost;			 /* and of both */
		const uint8_t *access, *group, *step, *page, *page_indirect, *second;	 /* slow paths; site is set */
		const uint8_t *store[TLB_USER_AC];	 /* as access, for writes */
		const uint8_t *load_vectors, *load_wide, *load_high; /* then to SCRATCH1 */
		const uint8_t *load_x87;		 /* then to SCRATCH0 */
		const uint8_t *fault;
	} thunk;
};

/* cpu->jit.site besides references to records. */
enum { SITE_NONE = 0, SITE_INDIRECT = 1, SITE_STALE = 2 };

#define GS(field) ((int32_t)offsetof(struct cpu, field))
#define GS_GPR(n) ((int32_t)(8 * (n)))

/* References to records, that fit in 32 bits. */
static inline uint32_t meta_ref(const struct jit_cache *cache, const void *record)
{
	return ((const uint8_t *)record - cache->meta) / 8;
}
static inline void *meta_at(const struct jit_cache *cache, uint32_t ref)
{
	return cache->meta + (size_t)ref * 8;
}
static inline void *meta_alloc(struct jit_cache *cache, size_t size)
{
	void *p = cache->meta + cache->meta_used;

	cache->meta_used += (size + 15) & ~(size_t)15;
	g_assert(cache->meta_used <= cache->size);
	return p;
}

/* thunks.c */
void thunks_emit(struct jit_cache *cache);
/* After an indirect branch, whose flags may not be in the host's: brings them there, then goes on at
 * SCRATCH1. SCRATCH0 stays. */
void thunks_emit_fix(struct emit *e);

/* cache.c. Room for a region, all others being dropped if need be. */
void cache_make_room(struct cpu *cpu);
uint32_t cache_page_slot(struct cpu *cpu, uint64_t page, uint64_t gpa);
void cache_enter(struct cpu *cpu, struct jit_region *region);
struct jit_region *cache_find(const struct cpu *cpu, uint64_t gpa, bool plain);
/* Takes a region out for good. */
void cache_drop(struct cpu *cpu, struct jit_region *region);
/* The same; a group of its accesses fails too often. */
void cache_ungroup(struct cpu *cpu, struct jit_region *region);
bool cache_is_ungrouped(const struct cpu *cpu, uint64_t rip);
/* The region whose code holds a host address, or NULL. */
struct jit_region *cache_region_at(const struct jit_cache *cache, const uint8_t *host);
/* Lets an exit, or the table of indirect targets, lead to a region. */
void cache_link(struct jit_exit *exit, struct jit_region *to);
void cache_set_target(struct cpu *cpu, struct jit_region *region);

/* translate.c: NULL where the place does not suit translation. */
struct jit_region *region_translate(struct cpu *cpu, uint64_t gpa, bool plain);

/* listing.c: names of host code for perf, where env.perf_map is. */
void listing_map_region(const struct cpu *cpu, const struct jit_region *region);
void listing_map_thunks(const struct cpu *cpu);

/* run.c: runs translated code from the region's entry on until it is left; rip is set. */
void region_enter(struct cpu *cpu, struct jit_region *region);

/* run.c: called by thunks; the host address to go on at, NULL to leave translated code. */
const void *jit_slow_access(struct cpu *cpu);
const void *jit_slow_group(struct cpu *cpu);
const void *jit_slow_step(struct cpu *cpu);
const void *jit_slow_page(struct cpu *cpu);
const void *jit_slow_page_indirect(struct cpu *cpu);
const void *jit_slow_second(struct cpu *cpu);
const void *jit_host_fault(struct cpu *cpu);
const void *jit_load_x87(struct cpu *cpu);

#endif
