/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run that is compared: translated code from one entry on, through a few regions, up to an exit,
 * an exception or an instruction with effects beyond registers and RAM. Absence is the mechanism
 * here, too: at its beginning the write TLB is empty, so that each page is noted before it is
 * written.
 *
 * T0's result is what the guest goes on with. Its arithmetic flags may differ from T1's where T1
 * takes them for dead; the next run begins with T1's on T1 and with T0's on T0, so that it differs
 * if they were not.
 */
#include "cpu/jit/lockstep.h"

#include <inttypes.h>
#include <string.h>

#include "cpu/jit/outcome.h"
#include "cpu/jit/undo.h"
#include "cpu/x86/exec.h"

/* Regions a run. When a difference was found they are run one by one to find the one that makes it.
 */
#define CHAIN	    16
#define NARROW_RUNS 10000
/* What T0 may run until it comes to where T1 ended: more than CHAIN regions have instructions. */
#define STEPS_MAX (64u * CHAIN * JIT_MAX_INSNS)

enum phase { PHASE_NONE, PHASE_T1, PHASE_T0 };
enum verdict { AGREED, PROVES_NOTHING, DIFFERENT };

struct lockstep {
	struct undo *undo;
	enum phase phase;
	unsigned rate, chain;
	uint64_t entries; /* into translated code */
	bool *external;	  /* by row: not to be run twice */
	GArray *slots;	  /* uint32_t: of the write TLB that are filled, by class and number */

	struct outcome start, t1, t0;
	uint16_t start_flags;	   /* T1's */
	const struct jit_insn *in; /* that T0 ran last for T1 */
	bool stopped;		   /* T1 did, before an instruction not to be run twice */
	uint8_t flags_live;	   /* FL_*: that matter where T1 ended, as it says */
	bool midway;		   /* T1 ended within a repeated instruction */
	unsigned steps, min_steps; /* of T0 */
	uint64_t mappings;	   /* at the start */

	/* Flags that T1 takes for dead where a run ended, if nothing else has run since. */
	struct {
		bool any;
		uint16_t flags;
		uint64_t rip, instructions, interrupts;
	} carried;

	unsigned fewest; /* differences at a place that T0 came to, and what they are */
	GString *text;
	GString *found; /* what was said of several regions, while one is looked for */
	unsigned narrow_left;
	struct {
		uint64_t runs, regions, agreed, nothing;
	} count;
};

static const char *const external_names[] = {
	"in",	 "out",	   "ins",    "outs", "rdtsc",  "rdtscp",  "rdpmc",  "rdmsr",
	"wrmsr", "rdrand", "rdseed", "hlt",  "invlpg", "invpcid", "xsetbv", "rsm",
};

/* Those above, and writes to control and debug registers. */
static bool is_external(const struct insn_row *row)
{
	for (size_t i = 0; i < G_N_ELEMENTS(external_names); i++)
		if (!strcmp(row->name, external_names[i]))
			return true;
	return row->operand[0].kind == 'C' || row->operand[0].kind == 'D';
}

void lockstep_new(struct cpu *cpu)
{
	struct lockstep *ls;

	if (!cpu->env.lockstep || !cpu->jit.cache)
		return;
	g_assert(cpu->env.n_vcpus == 1);
	cpu->lockstep = ls = g_new0(struct lockstep, 1);
	ls->undo = undo_new(cpu->env.mem);
	ls->rate = cpu->env.lockstep;
	ls->chain = CHAIN;
	ls->slots = g_array_new(false, false, sizeof(uint32_t));
	ls->text = g_string_new(NULL);
	ls->found = g_string_new(NULL);
	ls->external = g_new(bool, insn_table_size());
	for (size_t row = 0; row < insn_table_size(); row++)
		ls->external[row] = is_external(insn_row_get(row));
}

void lockstep_free(struct cpu *cpu)
{
	struct lockstep *ls = cpu->lockstep;

	if (!ls)
		return;
	undo_free(ls->undo);
	g_array_unref(ls->slots);
	g_string_free(ls->text, TRUE);
	g_string_free(ls->found, TRUE);
	g_free(ls->external);
	g_free(ls);
	cpu->lockstep = NULL;
}

void lockstep_report(const struct cpu *cpu, GString *out)
{
	const struct lockstep *ls = cpu->lockstep;

	if (!ls)
		return;
	g_string_append_printf(out,
			       "vCPU %u: lockstep: %" PRIu64 " of %" PRIu64
			       " entries into translated code compared, %" PRIu64
			       " regions; %" PRIu64 " agreed, %" PRIu64
			       " proved nothing (%.2f %%)\n",
			       cpu->id, ls->count.runs, ls->entries, ls->count.regions,
			       ls->count.agreed, ls->count.nothing,
			       ls->count.runs ? 100.0 * ls->count.nothing / ls->count.runs : 0.0);
}

/* What others tell */

void lockstep_before(struct cpu *cpu, const struct jit_insn *in)
{
	struct lockstep *ls = cpu->lockstep;

	if (ls->phase != PHASE_T1)
		return;
	ls->in = in;
	if (ls->external[in->row])
		lockstep_device(cpu, cpu->block->insn);
}

void lockstep_device(struct cpu *cpu, const struct insn *insn)
{
	if (cpu->lockstep->phase == PHASE_NONE)
		return;
	cpu->fault_insn = insn;
	siglongjmp(*cpu->jump, JUMP_EXTERNAL);
}

void lockstep_write(struct cpu *cpu, uint64_t gpa)
{
	if (cpu->lockstep->phase != PHASE_NONE)
		undo_note(cpu->lockstep->undo, gpa);
}

void lockstep_fill(struct cpu *cpu, unsigned tlb_class, unsigned slot, uint64_t gpa)
{
	uint32_t id = tlb_class * TLB_SIZE + slot;

	g_array_append_val(cpu->lockstep->slots, id);
	lockstep_write(cpu, gpa);
}

void lockstep_mark(struct cpu *cpu, uint64_t gpa, uint64_t bits)
{
	if (cpu->lockstep->phase != PHASE_NONE)
		undo_note_marks(cpu->lockstep->undo, gpa, bits);
}

/* State */

static void empty_write_tlb(struct cpu *cpu)
{
	GArray *slots = cpu->lockstep->slots;

	for (unsigned i = 0; i < slots->len; i++) {
		uint32_t id = g_array_index(slots, uint32_t, i);

		mmu_forget_write(cpu, id / TLB_SIZE, id % TLB_SIZE);
	}
	g_array_set_size(slots, 0);
	jit_forget_writes(cpu);
}

/* Registers and memory as they were at the start. */
static void go_back(struct cpu *cpu, void (*memory)(struct undo *undo))
{
	struct lockstep *ls = cpu->lockstep;

	empty_write_tlb(cpu);
	memory(ls->undo);
	outcome_restore(cpu, &ls->start);
	/* The TLB was emptied, and knows what addresses meant after that; or that bits are set in
	 * entries where they no longer are. */
	if (cpu->jit.mappings != ls->mappings || undo_has_marks(ls->undo))
		mmu_flush(cpu);
	ls->mappings = cpu->jit.mappings;
}

/* Comparison */

/* cpu->flags as FL_*. */
static uint8_t fl_of(uint16_t flags)
{
	return (flags & FLAG_CF ? FL_CF : 0) | (flags & FLAG_PF ? FL_PF : 0) |
	       (flags & FLAG_AF ? FL_AF : 0) | (flags & FLAG_ZF ? FL_ZF : 0) |
	       (flags & FLAG_SF ? FL_SF : 0) | (flags & FLAG_OF ? FL_OF : 0);
}

/* Flags that code before had given up and that have not changed since. What is said of them where T1 ends
 * may be in doubt only; they are carried on. */
static uint8_t passed_through(const struct lockstep *ls)
{
	uint16_t changed = (ls->t1.flags ^ ls->start_flags) | (ls->t0.flags ^ ls->start.flags);

	return fl_of((ls->start_flags ^ ls->start.flags) & ~changed);
}

/* Of what T0 has made where T1 ended. The text of the least difference is kept. */
static bool is_same(struct cpu *cpu, struct lockstep *ls)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct undo_difference memory;
	unsigned n;

	n = outcome_compare(&ls->t1, &ls->t0, ls->flags_live & ~passed_through(ls), ls->stopped,
			    text);
	if (n > ls->fewest)
		return false;
	undo_compare(ls->undo, &memory);
	if (memory.n && !n)
		g_string_append_printf(text,
				       "the byte at gpa %" PRIx64 " is %02x on T1 and %02x on T0",
				       memory.gpa, memory.first, memory.second);
	n += memory.n;
	if (n && n < ls->fewest) {
		ls->fewest = n;
		g_string_printf(ls->text, "%s (%u differences after %u steps of T0)", text->str, n,
				ls->steps);
	}
	return !n;
}

static bool has_gpr_of_t1(const struct cpu *cpu, const struct lockstep *ls)
{
	return !memcmp(cpu->gpr, ls->t1.state.gpr, sizeof(cpu->gpr));
}

/* T1 */

/* What matters of the flags where translated code was left. */
static uint8_t flags_at_exit(struct cpu *cpu)
{
	if (cpu->jit.site == SITE_INDIRECT)
		return FL_ALL;
	if (cpu->jit.site > SITE_STALE)
		return ((struct jit_exit *)meta_at(cpu->jit.cache, cpu->jit.site))->flags_live;
	return 0; /* at a region's entry, by one of many exits: the next run shows */
}

static void run_t1(struct cpu *cpu, struct jit_region *region)
{
	struct lockstep *ls = cpu->lockstep;
	sigjmp_buf here;

	cpu->jump = &here;
	switch (sigsetjmp(here, 0)) {
	case JUMP_FAULT:
		cpu_roll_back(cpu);
		outcome_take_fault(cpu, &ls->t1);
		ls->flags_live = ls->in->flags_live;
		break;
	case JUMP_EXTERNAL:
		cpu_roll_back(cpu);
		outcome_take(cpu, &ls->t1);
		ls->flags_live = ls->in->flags_live;
		ls->stopped = true;
		break;
	default:
		region_enter(cpu, region);
		outcome_take(cpu, &ls->t1);
		ls->flags_live = flags_at_exit(cpu);
	}
}

/* Whether translated code may have been left without an instruction having run. */
static bool may_have_stood(const struct cpu *cpu)
{
	const struct lockstep *ls = cpu->lockstep;
	uint32_t site = cpu->jit.site;

	if (ls->t1.state.rip != ls->start.state.rip || cpu->jit.chain_left + 1 < ls->chain)
		return false;
	return ls->stopped || site == SITE_NONE || site == SITE_STALE ||
	       (site > SITE_STALE && ((struct jit_exit *)meta_at(cpu->jit.cache, site))->plain);
}

static bool is_midway(const struct cpu *cpu)
{
	const struct lockstep *ls = cpu->lockstep;

	return ls->in && !ls->stopped && !ls->t1.faulted && cpu->jit.site == SITE_NONE &&
	       ls->t1.state.rip == (ls->in->region->rip & ~4095ull) + ls->in->offset;
}

/* T0 */

/* The first thing that T0 did and T1 did not. */
static enum verdict stray(struct cpu *cpu, const char *what)
{
	struct lockstep *ls = cpu->lockstep;

	if (ls->midway)
		return PROVES_NOTHING;
	if (ls->fewest == UINT_MAX)
		g_string_printf(ls->text, "%s at rip %" PRIx64 ", after %u steps", what,
				cpu->state.rip, ls->steps);
	return DIFFERENT;
}

/* Whether where T1 ended lies within the block, or something that is not to be run. */
static bool is_too_long(const struct cpu *cpu, const struct block *block)
{
	const struct lockstep *ls = cpu->lockstep;
	uint64_t mask = cpu->mode_key & MODE_64 ? ~0ull : 0xffffffff;

	for (unsigned i = 0; i + 1 < block->n; i++)
		if (ls->external[block->insn[i + 1].row] ||
		    (insn_next_pc(cpu, &block->insn[i]) & mask) == ls->t1.state.rip)
			return true;
	return false;
}

static void step_t0(struct cpu *cpu, struct block *block)
{
	/* What attend() does, but that no interrupt is looked for. */
	bool shadow = cpu->state.interrupt_shadow;

	cpu->state.interrupt_shadow = false;
	if (shadow || is_too_long(cpu, block)) {
		cpu_run_one(cpu);
		return;
	}
	cpu->block = block;
	cpu->stats.instructions += block->n;
	block->insn[0].exec(cpu, block->insn);
}

static enum verdict follow(struct cpu *cpu)
{
	struct lockstep *ls = cpu->lockstep;

	for (;; ls->steps++) {
		struct block *block;

		if (!ls->t1.faulted && cpu->state.rip == ls->t1.state.rip &&
		    ls->steps >= ls->min_steps &&
		    (has_gpr_of_t1(cpu, ls) || ls->fewest == UINT_MAX)) {
			outcome_take(cpu, &ls->t0);
			if (is_same(cpu, ls))
				return ls->steps ? AGREED : PROVES_NOTHING;
		}
		if (ls->steps == STEPS_MAX)
			return stray(cpu, "T0 does not come to where T1 ended; it is");
		block = code_find(cpu);
		if (ls->external[block->insn[0].row])
			return stray(cpu,
				     "T0 comes to an instruction that T1 did not stop before,");
		step_t0(cpu, block);
	}
}

static enum verdict judge_fault(struct cpu *cpu)
{
	struct lockstep *ls = cpu->lockstep;
	g_autofree char *what = g_strdup_printf("T0 raises exception %u (%#x)", cpu->fault.vector,
						cpu->fault.error_code);

	outcome_take_fault(cpu, &ls->t0);
	if (!ls->t1.faulted)
		/* An indirect branch to nowhere faults before it has pushed; T1 finds out after it.
		 */
		return cpu->jit.site == SITE_INDIRECT && !is_canonical(ls->t1.state.rip)
			       ? PROVES_NOTHING
			       : stray(cpu, what);
	if (ls->t0.vector != ls->t1.vector || ls->t0.has_error_code != ls->t1.has_error_code ||
	    ls->t0.error_code != ls->t1.error_code)
		return stray(cpu, what);
	return is_same(cpu, ls) ? AGREED : DIFFERENT;
}

static enum verdict run_t0(struct cpu *cpu)
{
	sigjmp_buf here;

	cpu->jump = &here;
	switch (sigsetjmp(here, 0)) {
	case JUMP_FAULT:
		cpu_roll_back(cpu);
		return judge_fault(cpu);
	case JUMP_EXTERNAL:
		cpu_roll_back(cpu);
		return stray(cpu, "T0 touches a device that T1 does not,");
	default:
		return follow(cpu);
	}
}

/* Both */

static void stop(struct cpu *cpu)
{
	g_strlcpy(cpu->error, cpu->lockstep->text->str, sizeof(cpu->error));
	siglongjmp(*cpu->jump, JUMP_ERROR);
}

static void describe(struct cpu *cpu, const struct jit_region *region)
{
	struct lockstep *ls = cpu->lockstep;
	g_autofree char *what = g_strdup(ls->text->str);

	g_string_printf(
		ls->text,
		"lockstep: T1 and T0 differ in what %s made of the %s%u-bit code at %" PRIx64
		" (%s)\n  T1 %s %" PRIx64,
		ls->chain > 1 ? "translations that begin with that" : "the translation",
		region->mode_key & MODE_USER ? "user's " : "kernel's ",
		region->mode_key & MODE_64 ? 64 : 32, region->rip,
		region->plain ? "without groups" : "with groups",
		ls->t1.faulted ? "raised an exception at" : "went on to", ls->t1.state.rip);
	if (ls->t1.faulted)
		g_string_append_printf(ls->text, ", vector %u, error code %#x", ls->t1.vector,
				       ls->t1.error_code);
	g_string_append_printf(ls->text, "\n  %s\n", what);
	if (ls->start_flags != ls->start.flags)
		g_string_append_printf(
			ls->text,
			"  T1 began with other flags, that the code before had given up: "
			"%04x, T0 with %04x\n",
			ls->start_flags, ls->start.flags);
	g_string_append_printf(ls->text,
			       "  its listing is region %" PRIx64 " of what --dump-regions writes",
			       region->rip);
}

/* Back at the start: runs the regions again, one by one, where there were several. */
static void narrow(struct cpu *cpu)
{
	struct lockstep *ls = cpu->lockstep;

	cpu->jit.site = SITE_NONE;
	if (ls->chain == 1)
		stop(cpu);
	ls->chain = 1;
	g_string_assign(ls->found, ls->text->str);
	ls->narrow_left = NARROW_RUNS;
	ls->carried.any = ls->start_flags != ls->start.flags;
	ls->carried.flags = ls->start_flags;
	ls->carried.rip = cpu->state.rip;
	ls->carried.instructions = cpu->stats.instructions;
	ls->carried.interrupts = cpu->stats.interrupts;
}

static void carry_flags(struct cpu *cpu)
{
	struct lockstep *ls = cpu->lockstep;

	ls->carried.any = ls->t1.flags != cpu->flags;
	ls->carried.flags = ls->t1.flags;
	ls->carried.rip = cpu->state.rip;
	ls->carried.instructions = cpu->stats.instructions;
	ls->carried.interrupts = cpu->stats.interrupts;
}

static uint16_t carried_flags(const struct cpu *cpu)
{
	const struct lockstep *ls = cpu->lockstep;
	bool valid = ls->carried.any && ls->carried.rip == cpu->state.rip &&
		     ls->carried.instructions == cpu->stats.instructions &&
		     ls->carried.interrupts == cpu->stats.interrupts;

	return valid ? ls->carried.flags : cpu->flags;
}

static enum verdict run_both(struct cpu *cpu, struct jit_region *region)
{
	struct lockstep *ls = cpu->lockstep;
	enum verdict verdict;

	outcome_take(cpu, &ls->start);
	ls->mappings = cpu->jit.mappings;
	ls->in = NULL;
	ls->stopped = false;
	undo_begin(ls->undo);
	empty_write_tlb(cpu);
	ls->phase = PHASE_T1;
	cpu->flags = ls->start_flags = carried_flags(cpu);
	run_t1(cpu, region);
	ls->count.runs++;
	ls->count.regions += ls->chain - cpu->jit.chain_left;
	ls->midway = is_midway(cpu);
	go_back(cpu, undo_rewind);
	ls->phase = PHASE_T0;
	ls->steps = 0;
	ls->min_steps = !may_have_stood(cpu);
	ls->fewest = UINT_MAX;
	verdict = run_t0(cpu);
	ls->phase = PHASE_NONE;
	return verdict;
}

/* T0's result is the one that counts. */
static void go_on(struct cpu *cpu, enum verdict verdict, bool faulted)
{
	struct lockstep *ls = cpu->lockstep;

	if (verdict == AGREED) {
		ls->count.agreed++;
		carry_flags(cpu);
	} else {
		ls->count.nothing++;
		ls->carried.any = false;
		if (ls->steps)
			cpu->jit.site = SITE_NONE;
	}
	/* Run one by one they agree. */
	if (ls->narrow_left && !--ls->narrow_left) {
		g_string_assign(ls->text, ls->found->str);
		stop(cpu);
	}
	if (faulted) {
		cpu->fault_insn = NULL; /* rolled back already */
		cpu->jit.site = SITE_NONE;
		siglongjmp(*cpu->jump, JUMP_FAULT);
	}
	if (ls->stopped) {
		cpu->state.interrupt_shadow = false;
		cpu_run_one(cpu);
	}
}

void lockstep_run(struct cpu *cpu, struct jit_region *region)
{
	struct lockstep *ls = cpu->lockstep;
	sigjmp_buf *jump = cpu->jump;
	enum verdict verdict;

	cpu->jit.chain_left = ls->chain;
	if (ls->entries++ % ls->rate && !ls->narrow_left) {
		region_enter(cpu, region);
		return;
	}
	if (cpu->env.ram_gate)
		g_mutex_lock(cpu->env.ram_gate);
	ls->t0.faulted = false;
	verdict = run_both(cpu, region);
	cpu->jump = jump;
	if (verdict == DIFFERENT) {
		describe(cpu, region);
		go_back(cpu, undo_restore);
	}
	if (cpu->env.ram_gate)
		g_mutex_unlock(cpu->env.ram_gate);
	if (verdict == DIFFERENT)
		narrow(cpu);
	else
		go_on(cpu, verdict, ls->t0.faulted);
}
