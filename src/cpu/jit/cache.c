/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code cache of one vCPU: regions, how they are found, linked and dropped. Code and records are
 * handed out from the front and taken back all at once, by cache_make_room() or jit_flush(), which only
 * run outside of translated code. A region that is invalidated meanwhile is unlinked and stays as it is.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "base/error.h"
#include "cpu/jit/jit_int.h"
#include "cpu/jit/sample.h"
#include "cpu/x86/model.h"

/* Not canonical. */
#define NO_RIP (1ull << 63)

static unsigned hash_key(uint64_t rip, uint64_t gpa, uint32_t mode_key)
{
	return (rip ^ rip >> 15 ^ gpa >> 12 ^ mode_key * 0x9e5u) % JIT_HASH_SIZE;
}

static unsigned hash_page(uint64_t page)
{
	return (page / 4096 ^ page >> 24) % JIT_HASH_SIZE;
}

static void reset_targets(struct cpu *cpu)
{
	for (unsigned class = 0; class < TLB_USER_AC; class++) {
		for (unsigned i = 0; i < JIT_N_TARGETS; i++)
			cpu->jit.targets[class][i] = cpu->jit.cache->thunk.miss[class];
		for (unsigned i = 0; i < JIT_N_MORE_TARGETS; i++)
			cpu->jit.more_targets[class][i] = (struct jit_target){
				NO_RIP, cpu->jit.cache->thunk.lost};
	}
}

/* The same pages twice, so that none is writable and executable. They are nameless: of a memfd's, perf
 * would not look for names in its map. */
static bool map_code(struct jit_cache *cache)
{
	void *rx;

	cache->rw = mmap(NULL, cache->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache->rw == MAP_FAILED)
		cache->rw = NULL;
	/* Of a size of 0 that makes another mapping (mremap(2)). */
	rx = cache->rw ? mremap(cache->rw, 0, cache->size, MREMAP_MAYMOVE) : MAP_FAILED;
	if (rx != MAP_FAILED)
		cache->rx = rx;
	if (cache->rx && mprotect(cache->rx, cache->size, PROT_READ | PROT_EXEC))
		return false;
	cache->meta = mmap(NULL, cache->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache->meta == MAP_FAILED)
		cache->meta = NULL;
	else
		madvise(cache->meta, cache->size, MADV_HUGEPAGE);
	cache->guard = mmap(NULL, 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cache->guard == MAP_FAILED)
		cache->guard = NULL;
	return cache->rw && cache->rx && cache->meta && cache->guard;
}

bool jit_new(struct cpu *cpu, GError **error)
{
	struct jit_cache *cache;

	if (!x86_model_host()->has[F_BMI2])
		return true;
	effects_init();
	cpu->jit.cache = cache = g_new0(struct jit_cache, 1);
	cache->size = cpu->env.code_cache ? cpu->env.code_cache : ENGINE_CODE_CACHE;
	cache->regions = g_ptr_array_new();
	cache->steps = g_new0(uint64_t, insn_table_size());
	cache->threshold = JIT_HOT;
	cache->alone = g_malloc0(JIT_ALONE_SIZE);
	if (!map_code(cache)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "cannot map %zu KiB for translated code: %s; does the host allow "
			    "executable shared memory?",
			    cache->size >> 10, g_strerror(errno));
		jit_free(cpu);
		return false;
	}
	thunks_emit(cache);
	listing_map_thunks(cpu);
	cpu->jit.self = cpu;
	cpu->jit.code = cache->rx;
	cpu->jit.host_mxcsr = 0x1f80;
	jit_flush(cpu);
	return true;
}

void jit_set_threshold(struct cpu *cpu, unsigned runs)
{
	if (cpu->jit.cache)
		cpu->jit.cache->threshold = runs;
}

void jit_free(struct cpu *cpu)
{
	struct jit_cache *cache = cpu->jit.cache;

	if (!cache)
		return;
	if (cache->rw)
		munmap(cache->rw, cache->size);
	if (cache->rx)
		munmap(cache->rx, cache->size);
	if (cache->meta)
		munmap(cache->meta, cache->size);
	if (cache->guard)
		munmap(cache->guard, 2 * 4096);
	g_free(cpu->jit.signal_stack);
	g_ptr_array_unref(cache->regions);
	g_free(cache->alone);
	g_free(cache->steps);
	g_free(cache);
	cpu->jit.cache = NULL;
}

void jit_flush(struct cpu *cpu)
{
	struct jit_cache *cache = cpu->jit.cache;

	if (!cache)
		return;
	trace_jit_flush(cpu->env.trace, cpu->id, cache->regions->len, cache->used);
	cache->used = cache->code_start;
	cache->cold_used = cache->size / 2;
	cache->meta_used = 64; /* references below are SITE_* */
	memset(cache->by_key, 0, sizeof(cache->by_key));
	memset(cache->by_page, 0, sizeof(cache->by_page));
	memset(cache->page_hash, 0, sizeof(cache->page_hash));
	cache->n_pages = 1; /* 0 ends a list */
	g_ptr_array_set_size(cache->regions, 0);
	cpu->jit.site = SITE_NONE;
	jit_forget_stack(cpu);
	jit_forget_addresses(cpu);
	reset_targets(cpu);
	code_forget_jumps(cpu);
	cpu->jit.count.flushes++;
}

void cache_make_room(struct cpu *cpu)
{
	struct jit_cache *cache = cpu->jit.cache;

	if (cache->used + JIT_CODE_WORST > cache->size / 2 ||
	    cache->cold_used + JIT_CODE_WORST > cache->size ||
	    cache->meta_used + JIT_META_WORST > cache->size || cache->n_pages + 2 > JIT_N_PAGES)
		jit_flush(cpu);
}

static void forget_code_pages(struct cpu *cpu)
{
	for (unsigned class = 0; class < G_N_ELEMENTS(cpu->jit.code_page); class++)
		cpu->jit.code_page[class].page = 1;
}

void jit_forget_addresses(struct cpu *cpu)
{
	if (!cpu->jit.cache)
		return;
	forget_code_pages(cpu);
	memset(cpu->jit.page_ok, 0, cpu->jit.cache->n_pages);
	cpu->jit.mappings++;
}

void jit_forget_local(struct cpu *cpu)
{
	if (!cpu->jit.cache)
		return;
	forget_code_pages(cpu);
	for (uint32_t i = 0; i < cpu->jit.cache->n_pages; i++)
		cpu->jit.page_ok[i] &= JIT_PAGE_GLOBAL;
	cpu->jit.mappings++;
}

/* Only addresses that are not canonical are of a page with such a tag, and there the host has nothing, so that
 * T0 comes to see it, though with flags that the look-up has overwritten. So it is none that a stack runs
 * into: the first one that is not canonical is where a program's may begin. */
#define NO_STACK (1ull << 62)

void jit_forget_stack(struct cpu *cpu)
{
	struct tlb_entry *entries = &cpu->jit.stack[0][0];

	if (!cpu->jit.cache)
		return;
	for (unsigned i = 0; i < sizeof(cpu->jit.stack) / sizeof(*entries); i++)
		entries[i] = (struct tlb_entry){NO_STACK, (uint64_t)cpu->jit.cache->guard - NO_STACK};
}

void jit_forget_writes(struct cpu *cpu)
{
	jit_forget_stack(cpu);
	forget_code_pages(cpu);
}

static uint32_t *page_list(struct jit_cache *cache, uint64_t page)
{
	return &cache->page_hash[(page / 4096 ^ page >> 24) % JIT_N_PAGES];
}

void jit_forget_page(struct cpu *cpu, uint64_t address)
{
	struct jit_cache *cache = cpu->jit.cache;
	uint64_t page = address & ~4095ull;

	if (!cache)
		return;
	for (uint32_t i = *page_list(cache, page); i; i = cache->pages[i].next)
		if (cache->pages[i].page == page)
			cpu->jit.page_ok[i] = 0;
	forget_code_pages(cpu);
	cpu->jit.mappings++;
}

uint32_t cache_page_slot(struct cpu *cpu, uint64_t page, uint64_t gpa)
{
	struct jit_cache *cache = cpu->jit.cache;
	uint32_t *list = page_list(cache, page), i;

	for (i = *list; i; i = cache->pages[i].next)
		if (cache->pages[i].page == page && cache->pages[i].gpa == gpa)
			return i;
	i = cache->n_pages++;
	cache->pages[i] = (struct jit_page){page, gpa, *list};
	cpu->jit.page_ok[i] = 0;
	return *list = i;
}

void cache_enter(struct cpu *cpu, struct jit_region *region)
{
	struct jit_cache *cache = cpu->jit.cache;
	struct jit_region **by_key =
		&cache->by_key[hash_key(region->rip, region->gpa, region->mode_key)];

	region->hash_next = *by_key;
	*by_key = region;
	for (unsigned i = 0; i < region->n_sources; i++) {
		struct jit_source *source = &region->sources[i];
		struct jit_source **list = &cache->by_page[hash_page(source->gpa)];

		source->region = region;
		source->page_next = *list;
		*list = source;
	}
	g_ptr_array_add(cache->regions, region);
}

struct jit_region *cache_find(const struct cpu *cpu, uint64_t gpa, bool plain)
{
	uint64_t rip = cpu->state.rip;
	struct jit_region *region =
		cpu->jit.cache->by_key[hash_key(rip, gpa, cpu->mode_key)];

	while (region && (region->rip != rip || region->gpa != gpa ||
			  region->mode_key != cpu->mode_key || region->plain != plain))
		region = region->hash_next;
	return region;
}

struct jit_region *cache_region_at(const struct jit_cache *cache, const uint8_t *host)
{
	unsigned low = 0, high = cache->regions->len;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		struct jit_region *region = cache->regions->pdata[middle];

		if (host < region->code)
			high = middle;
		else if (host >= region->code_end)
			low = middle + 1;
		else
			return region;
	}
	return NULL;
}

void cache_link(struct jit_exit *exit, struct jit_region *to)
{
	const uint8_t *entry = exit->other_page ? to->cross_entry
			       : exit->forward	? to->forward_entry
						: to->entry;

	if (exit->flags_in_memory && to->memory_entry)
		emit_patch(exit->jump, exit->from->to_rx, to->memory_entry);
	/* The other page may be mapped anew, with code there that does read them. */
	else if (exit->plain || (!exit->flags_in_host && (to->flags_live || exit->other_page)))
		emit_patch(exit->fixed, exit->from->to_rx, entry);
	else
		emit_patch(exit->jump, exit->from->to_rx, entry);
	exit->to = to;
	exit->to_next = to->incoming;
	to->incoming = exit;
}

static void unlink_exit(struct jit_exit *exit)
{
	if (!exit->plain)
		emit_patch(exit->jump, exit->from->to_rx, exit->stub);
	/* On to the next instruction. */
	emit_patch(exit->fixed, exit->from->to_rx, exit->fixed + exit->from->to_rx + 4);
	exit->to = NULL;
}

static void remove_incoming(struct jit_exit *exit)
{
	struct jit_exit **link;

	if (!exit->to)
		return;
	for (link = &exit->to->incoming; *link != exit; link = &(*link)->to_next)
		;
	*link = exit->to_next;
}

static enum tlb_class class_of(const struct jit_region *region)
{
	bool ac = region->mode_key & MODE_AC;

	return region->mode_key & MODE_USER ? TLB_USER : ac ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR;
}

/* What is looked for is known by rip only. Added to it, the mode's key makes that enough: entries for
 * one rip in two modes are in two slots. */
static const void **target_slot(struct cpu *cpu, const struct jit_region *region)
{
	G_STATIC_ASSERT(MODE_ALL < JIT_N_TARGETS);
	return &cpu->jit.targets[class_of(region)]
				[(region->rip + region->mode_key) % JIT_N_TARGETS];
}

static struct jit_target *more_slot(struct cpu *cpu, const struct jit_region *region)
{
	uint32_t hash = region->rip ^ region->rip >> 12;

	return &cpu->jit.more_targets[class_of(region)][hash % JIT_N_MORE_TARGETS];
}

void cache_set_target(struct cpu *cpu, struct jit_region *region)
{
	*target_slot(cpu, region) = region->indirect_entry;
	*more_slot(cpu, region) = (struct jit_target){
		.rip = region->rip, .entry = region->verified_entry, .mode_key = region->mode_key};
}

static void forget_target(struct cpu *cpu, const struct jit_region *region)
{
	if (*target_slot(cpu, region) == region->indirect_entry)
		*target_slot(cpu, region) = cpu->jit.cache->thunk.miss[class_of(region)];
	if (more_slot(cpu, region)->entry == region->verified_entry)
		*more_slot(cpu, region) =
			(struct jit_target){NO_RIP, cpu->jit.cache->thunk.lost};
}

void cache_drop(struct cpu *cpu, struct jit_region *region)
{
	struct jit_cache *cache = cpu->jit.cache;
	struct jit_region **link =
		&cache->by_key[hash_key(region->rip, region->gpa, region->mode_key)];

	for (; *link != region; link = &(*link)->hash_next)
		;
	*link = region->hash_next;
	for (struct jit_exit *exit = region->incoming; exit; exit = exit->to_next)
		unlink_exit(exit);
	region->incoming = NULL;
	for (struct jit_exit *exit = region->exits; exit; exit = exit->from_next) {
		remove_incoming(exit);
		unlink_exit(exit);
	}
	forget_target(cpu, region);
	region->dead = true;
	trace_jit_drop(cpu->env.trace, cpu->id, region->rip, region->gpa);
}

static unsigned hash_ungrouped(uint64_t rip)
{
	return (rip ^ rip >> 12) % JIT_N_UNGROUPED;
}

void cache_ungroup(struct cpu *cpu, struct jit_region *region)
{
	unsigned hash = hash_ungrouped(region->rip);

	cpu->jit.cache->ungrouped[hash / 64] |= 1ull << hash % 64;
	if (region->dead)
		return;
	cache_drop(cpu, region);
	code_forget_jumps(cpu);
}

bool cache_is_ungrouped(const struct cpu *cpu, uint64_t rip)
{
	unsigned hash = hash_ungrouped(rip);

	return cpu->jit.cache->ungrouped[hash / 64] >> hash % 64 & 1;
}

bool jit_invalidate(struct cpu *cpu, uint64_t gpa, uint64_t lines)
{
	struct jit_source **link, *source;
	unsigned lost = 0;

	if (!cpu->jit.cache)
		return false;
	link = &cpu->jit.cache->by_page[hash_page(gpa)];
	while ((source = *link)) {
		bool hit = source->gpa / 4096 == gpa / 4096 && (source->lines & lines);

		if (hit && !source->region->dead) {
			cache_drop(cpu, source->region);
			lost++;
		}
		if (source->region->dead)
			*link = source->page_next;
		else
			link = &source->page_next;
	}
	if (lost)
		trace_jit_written(cpu->env.trace, cpu->id, gpa, lines, lost);
	return lost;
}

void jit_report(const struct cpu *cpu, GString *out)
{
	const struct jit_cache *cache = cpu->jit.cache;
	uint64_t total = 0;

	if (!cache)
		return;
	sample_report(cpu, out);
	g_string_append_printf(
		out,
		"vCPU %u: %" PRIu64 " blocks run on T0, %" PRIu64 " entries into translated code; %" PRIu64
		" instructions translated in %" PRIu64 " regions, %" PRIu64
		" of them loops, %.0f ns an instruction, %zu KiB and %zu KiB out of line, %" PRIu64 " flushes\n",
		cpu->id, cpu->jit.count.blocks, cpu->jit.count.entries, cpu->jit.count.insns,
		cpu->jit.count.regions, cpu->jit.count.loops,
		cpu->jit.count.insns ? (double)cpu->jit.count.translating_ns / cpu->jit.count.insns : 0.0,
		cache->used >> 10,
		(cache->cold_used - cache->size / 2) >> 10, cpu->jit.count.flushes);
	g_string_append_printf(out,
			       "vCPU %u: %" PRIu64 " slow accesses, %" PRIu64
			       " failed groups; left to T0:",
			       cpu->id, cpu->jit.count.slow_accesses, cpu->jit.count.failed_groups);
	for (size_t row = 0; row < insn_table_size(); row++)
		total += cache->steps[row];
	for (size_t row = 0; row < insn_table_size(); row++)
		if (cache->steps[row] > total / 64)
			g_string_append_printf(out, " %s %" PRIu64, insn_row_get(row)->name,
					       cache->steps[row]);
	g_string_append_printf(out, " (of %" PRIu64 ")\n", total);
}
