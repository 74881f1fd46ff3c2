/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What runs between regions, and what they call: the choice between T0 and T1, slow paths. */
#include "cpu/jit/jit_int.h"
#include "cpu/jit/lockstep.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/vector.h"

/* A region whose groups fail so often does without. */
#define GROUP_FAILURES 200
#define LOOP_PATIENCE  16

/* Whether T1 takes code of this mode. It takes CPL 0 for granted where it is not 3. */
static bool suits(const struct cpu *cpu)
{
	if (!(cpu->mode_key & MODE_USER) && cpu_cpl(cpu))
		return false;
	return cpu->jit.cache && cpu->jit.cache->threshold && !cpu->state.smm &&
	       (cpu->mode_key & (MODE_64 | MODE_FLAT)) &&
	       !(cpu->mode_key & (MODE_STEP | MODE_DEBUG | MODE_REAL)) &&
	       cpu->tlb != &cpu->tlbs[TLB_USER_AC];
}

/* Gives cpu->state the pointers of the x87 instruction that translated code ran last. */
static void note_x87(struct cpu *cpu)
{
	const struct jit_insn *in;

	if (G_LIKELY(!cpu->jit.x87_last))
		return;
	in = meta_at(cpu->jit.cache, cpu->jit.x87_last);
	cpu->jit.x87_last = SITE_NONE;
	cpu->state.fpu.fip = (in->region->rip & ~4095ull) + in->offset;
	cpu->state.fpu.fop = x87_opcode(in->bytes);
}

/* Executions of one instruction on T0 */

/* The instruction as T0 runs it: kept with the region, or only for now where there is no room. */
static struct block *alone_of(struct cpu *cpu, struct jit_insn *in)
{
	struct jit_cache *cache = cpu->jit.cache;
	struct block *block = in->alone;

	if (block)
		return block;
	block = cache->alone;
	if (cache->meta_used + JIT_ALONE_SIZE <= cache->size)
		block = in->alone = meta_alloc(cache, JIT_ALONE_SIZE);
	code_decode_alone(cpu, block, in->bytes, in->len, in->offset,
			  (in->region->gpa & ~4095ull) + in->offset);
	return block;
}

/* Runs the instruction; where translated code can go on behind it, that place. */
static const void *step(struct cpu *cpu, struct jit_insn *in)
{
	struct jit_region *region = in->region;
	uint64_t mappings = cpu->jit.mappings;
	uint64_t page = region->rip & ~4095ull;

	cpu->pc_base = page;
	cpu->block = alone_of(cpu, in);
	cpu->jit.site = SITE_NONE; /* a fault does not come back here */
	cpu->stats.instructions++;
	note_x87(cpu);
	if (G_UNLIKELY(cpu->lockstep))
		lockstep_before(cpu, in);
	cpu->block->insn[0].exec(cpu, cpu->block->insn);
	if (!in->next || region->dead || cpu->jit.mappings != mappings ||
	    cpu->mode_key != region->mode_key || cpu->state.rip != page + in->offset + in->len ||
	    atomic_load_explicit(&cpu->attention, memory_order_relaxed))
		return NULL;
	if (region->uses_x87)
		cpu_x87_load(cpu);
	return in->next;
}

/* After an instruction that ends its region: the next one, if it is known and nothing waits. */
static const void *go_on(struct cpu *cpu)
{
	const struct jump_entry *e = jump_slot(cpu, cpu->state.rip);

	if (atomic_load_explicit(&cpu->attention, memory_order_relaxed) || !suits(cpu) ||
	    e->rip != cpu->state.rip || e->stamp != jump_stamp(cpu, e->global) || !e->region ||
	    e->region->dead)
		return NULL;
	cpu->jit.page_ok[e->region->page_slot] = e->global ? JIT_PAGE_GLOBAL : 1;
	return e->region->entry;
}

static void take_flags(struct cpu *cpu, uint8_t place)
{
	if (place == FLAGS_HOST)
		cpu->flags = cpu->jit.host_flags;
}

/* A load on two pages of RAM: its bytes side by side, aligned as they are. */
static uint8_t *gather(struct cpu *cpu, uint64_t address, unsigned size)
{
	unsigned first = 4096 - address % 4096;
	uint8_t *to = cpu->jit.bounce + address % 64;
	uint64_t next = address + first;
	const uint8_t *low, *high;

	if (first >= size)
		return NULL;
	if (!(cpu->mode_key & MODE_64))
		next = (uint32_t)next;
	low = mmu_point(cpu, address, first, false);
	high = low ? mmu_point(cpu, next, size - first, false) : NULL;
	if (!high)
		return NULL;
	memcpy(to, low, first);
	memcpy(to + first, high, size - first);
	return to;
}

const void *jit_slow_access(struct cpu *cpu)
{
	struct jit_insn *in = meta_at(cpu->jit.cache, cpu->jit.site);
	uint8_t *host;

	take_flags(cpu, in->flags);
	host = mmu_point(cpu, cpu->jit.address, in->size, in->write);
	if (!host && !in->write)
		host = gather(cpu, cpu->jit.address, in->size);
	if (!host) {
		cpu->jit.count.slow_accesses++;
		return step(cpu, in);
	}
	cpu->jit.delta = (uint64_t)host - cpu->jit.address;
	return in->resume;
}

/* A page becomes dirty by the write itself: where the group's first access is none, it has to be
 * already. */
static bool fill_group(struct cpu *cpu, const struct jit_group *g)
{
	if (!mmu_point(cpu, cpu->jit.address, g->size, g->leader_writes))
		return false;
	return g->write ? tlb_write(cpu, cpu->jit.address, g->size) != NULL : true;
}

/* The check of a group failed: in the TLB, or for good. */
const void *jit_slow_group(struct cpu *cpu)
{
	struct jit_group *g = meta_at(cpu->jit.cache, cpu->jit.site);
	const struct tlb *tlb = cpu->tlb;

	take_flags(cpu, g->flags);
	if (!fill_group(cpu, g)) {
		bool two_pages = cpu->jit.address % 4096 + g->size > 4096;

		cpu->jit.count.failed_groups++;
		/* A loop that strides comes to the end of each page once. */
		g->region->failed += g->region->loops && two_pages ? 1 : LOOP_PATIENCE;
		if (g->region->failed >= GROUP_FAILURES * LOOP_PATIENCE)
			cache_ungroup(cpu, g->region);
		return g->exit->stub;
	}
	/* Where SCRATCH0 is looked for. */
	cpu->jit.address =
		tlb_slot((struct tlb_entry *)(g->write ? tlb->write : tlb->read), cpu->jit.address)
			->delta;
	return g->resume;
}

const void *jit_slow_step(struct cpu *cpu)
{
	struct jit_insn *in = meta_at(cpu->jit.cache, cpu->jit.site);
	const void *next;

	take_flags(cpu, in->flags);
	cpu->jit.cache->steps[in->row]++;
	next = step(cpu, in);
	return next ? next : go_on(cpu);
}

/* Whether a region's page is still mapped where it was; notes it. */
static bool is_mapped(struct cpu *cpu, const struct jit_region *region)
{
	uint64_t gpa;
	bool global;

	if (!mmu_peek_code(cpu, region->rip, &gpa, &global) || gpa != region->gpa)
		return false;
	cpu->jit.page_ok[region->page_slot] = global ? JIT_PAGE_GLOBAL : 1;
	return true;
}

/* A region was entered from another page, with the flags in the host's or with none that matter. */
const void *jit_slow_page(struct cpu *cpu)
{
	struct jit_region *region = meta_at(cpu->jit.cache, cpu->jit.site);

	cpu->jit.site = SITE_NONE;
	cpu->flags = cpu->jit.host_flags;
	cpu->state.rip = region->rip;
	return is_mapped(cpu, region) ? region->entry : NULL;
}

/* The same by an indirect branch, which has them where its stub finds them. */
const void *jit_slow_page_indirect(struct cpu *cpu)
{
	struct jit_region *region = meta_at(cpu->jit.cache, cpu->jit.site);

	cpu->jit.site = SITE_NONE;
	return is_mapped(cpu, region) ? region->verified_entry : cpu->jit.cache->thunk.lost;
}

/* The same for the page that a region's last instruction ends in. */
const void *jit_slow_second(struct cpu *cpu)
{
	struct jit_second *second = meta_at(cpu->jit.cache, cpu->jit.site);
	uint64_t gpa;
	bool global;

	cpu->jit.site = SITE_NONE;
	take_flags(cpu, second->flags);
	cpu->state.rip = second->rip;
	if (!mmu_peek_code(cpu, second->page, &gpa, &global) || gpa != second->gpa)
		return NULL;
	cpu->jit.page_ok[second->page_slot] = global ? JIT_PAGE_GLOBAL : 1;
	return second->resume;
}

/* The instruction had no effect in the host: T0 raises for the guest what the host has raised. */
const void *jit_host_fault(struct cpu *cpu)
{
	struct jit_region *region = cache_region_at(cpu->jit.cache, cpu->jit.fault_pc);
	uint32_t offset = cpu->jit.fault_pc - region->code;
	unsigned i = 0;

	while (i + 1 < region->n_insns && region->starts[i + 1] <= offset)
		i++;
	take_flags(cpu, region->insns[i].fault_flags);
	step(cpu, &region->insns[i]);
	/* The code behind it may expect a group's distance in a scratch register. */
	return NULL;
}

/* At the entry of a region that uses the x87. */
const void *jit_load_x87(struct cpu *cpu)
{
	take_flags(cpu, FLAGS_HOST);
	cpu_x87_load(cpu);
	return (const void *)cpu->jit.address;
}

/* What to run */

static struct jit_region *find_region(struct cpu *cpu, struct block *block)
{
	struct jit_region *region;

	region = block->translated ? cache_find(cpu, block->gpa, false) : NULL;
	if (region)
		return region;
	if (++block->heat < cpu->jit.cache->threshold)
		return NULL;
	block->heat = 0;
	block->translated = true;
	region = region_translate(cpu, block->gpa, false);
	if (!region) {
		block->translated = false;
		block->heat = INT_MIN;
	}
	return region;
}

/* Where a group's check has failed; what follows is translated without groups. */
static struct jit_region *find_plain(struct cpu *cpu, struct block *block)
{
	struct jit_region *region = cache_find(cpu, block->gpa, true);

	return region ? region : region_translate(cpu, block->gpa, true);
}

/* Of a page whose code is compared. */
static struct jit_region *find_compared(struct cpu *cpu, struct block *block)
{
	struct jit_region *region = cache_find(cpu, block->gpa, false);

	if (region && !region->compared) {
		cache_drop(cpu, region);
		region = NULL;
	}
	return region ? region : region_translate(cpu, block->gpa, false);
}

/* What is compared at gpa was found to have changed. */
static void drop_stale(struct cpu *cpu, uint64_t gpa)
{
	for (unsigned plain = 0; plain < 2; plain++) {
		struct jit_region *region = cache_find(cpu, gpa, plain);

		if (region && region->compared)
			cache_drop(cpu, region);
	}
}

static struct jit_exit *exit_at(struct cpu *cpu, uint32_t site)
{
	return site > SITE_STALE ? meta_at(cpu->jit.cache, site) : NULL;
}

/* Connects what was left last with where it led. */
static void connect(struct cpu *cpu, uint32_t site, struct jit_region *region)
{
	struct jit_exit *exit = exit_at(cpu, site);

	if (site == SITE_INDIRECT)
		cache_set_target(cpu, region);
	if (exit && !exit->from->dead && !exit->to && exit->rip == region->rip &&
	    exit->mode_key == region->mode_key && exit->plain == region->plain)
		cache_link(exit, region);
}

void region_enter(struct cpu *cpu, struct jit_region *region)
{
	struct jit_exit *exit;

	cpu->jit.cache->thunk.enter(cpu, region->entry);
	note_x87(cpu);
	exit = exit_at(cpu, cpu->jit.site);
	if (exit)
		cpu->state.rip = exit->rip;
}

static void run_region(struct cpu *cpu, struct jit_region *region, bool global)
{
	cpu->jit.page_ok[region->page_slot] = global ? JIT_PAGE_GLOBAL : 1;
	cpu->jit.count.entries++;
	if (G_UNLIKELY(cpu->lockstep))
		lockstep_run(cpu, region);
	else
		region_enter(cpu, region);
}

static void run_on_t0(struct cpu *cpu, struct block *block)
{
	cpu->block = block;
	cpu->stats.instructions += block->n;
	block->insn[0].exec(cpu, block->insn);
}

/* A jump or return led to an address that is not canonical: it is the branch that raises #GP. */
static void refuse_target(struct cpu *cpu)
{
	const struct jit_insn *branch = meta_at(cpu->jit.cache, cpu->jit.branch);

	cpu->gpr[RSP] -= branch->rsp_moved;
	cpu->state.rip = (branch->region->rip & ~4095ull) + branch->offset;
	cpu->jit.site = SITE_NONE;
	run_on_t0(cpu, code_find(cpu));
}

void jit_run_block(struct cpu *cpu)
{
	struct jit_exit *exit = exit_at(cpu, cpu->jit.site);
	uint32_t site = cpu->jit.site;
	uint64_t flushes = cpu->jit.count.flushes;
	struct jump_entry *e = jump_slot(cpu, cpu->state.rip);
	struct jit_region *region = NULL;
	struct block *block;
	bool known;

	if (site == SITE_INDIRECT && !is_canonical(cpu->state.rip)) {
		refuse_target(cpu);
		return;
	}
	cpu->jit.site = SITE_NONE;
	block = code_find(cpu);
	if (site == SITE_STALE)
		drop_stale(cpu, block->gpa);
	/* Not so for blocks that lie on two pages. */
	known = suits(cpu) && e->rip == cpu->state.rip && e->stamp == jump_stamp(cpu, e->global);
	if (block->compared && suits(cpu)) {
		region = find_compared(cpu, block);
	} else if (known && exit && exit->plain && exit->rip == cpu->state.rip) {
		region = find_plain(cpu, block);
	} else if (known) {
		region = e->region && !e->region->dead ? e->region : find_region(cpu, block);
		/* Translation may have made all entries stale. */
		if (e->stamp == jump_stamp(cpu, e->global))
			e->region = region;
	}
	if (region) {
		/* The exit went with the cache where the region found no room. */
		connect(cpu, exit && cpu->jit.count.flushes != flushes ? SITE_NONE : site, region);
		run_region(cpu, region, known && e->global);
		return;
	}
	cpu->jit.count.blocks++;
	run_on_t0(cpu, block);
}
