/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/code.h"

#include <sched.h>
#include <sys/mman.h>

#include "cpu/jit/jit.h"
#include "cpu/x86/debugger.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"
#include "cpu/x86/vector.h"

#define ARENA_SIZE (64u << 20)
#define HASH_SIZE  (1u << 15)
/* A full arena has some 180,000 blocks, and the list that one is searched in should be short. */
#define GPA_HASH_SIZE (1u << 18)
#define ITLB_SIZE  128
/* More requests of a kind than this are taken as one that concerns everything. */
#define REQUESTS_MAX 256

#define JUMP_PAGES 4096

struct code_cache {
	uint8_t *arena;
	size_t used;
	struct block *by_gpa[GPA_HASH_SIZE];
	struct block *by_page[HASH_SIZE]; /* lists of all pages with the same hash */
	struct {
		uint64_t page; /* linear, with bit 0 for user mode; all ones: empty */
		uint64_t gpa;
		bool global; /* nothing where empty */
	} itlb[ITLB_SIZE];
	/* A bit for each hash of a linear page that cpu->jumps has known an entry of since all were forgotten. */
	uint64_t jump_pages[JUMP_PAGES / 64];
	/* What other threads ask of the vCPU; taken between blocks. */
	GMutex requests_lock;
	GArray *written; /* struct written_range */
	GArray *protect; /* gpas of pages to take out of the write TLBs */
	bool protect_all; /* there were too many to note */
	unsigned protect_asked;
	_Atomic unsigned protect_done;
	struct block *crossing; /* the one instruction that crosses a page, or is compared */
	struct smc smc;
};

static unsigned hash_gpa(uint64_t gpa, uint32_t mode_key)
{
	return (gpa ^ gpa >> 13 ^ mode_key * 0x9e5u) % GPA_HASH_SIZE;
}

static unsigned hash_page(uint64_t gpa)
{
	return gpa / 4096 % HASH_SIZE;
}

struct written_range {
	uint64_t gpa, len;
};

/* The vCPU that this thread runs. */
static _Thread_local struct cpu *running;

struct code_cache *code_new(void)
{
	struct code_cache *code = g_new0(struct code_cache, 1);

	code->arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	g_assert(code->arena != MAP_FAILED);
	madvise(code->arena, ARENA_SIZE, MADV_HUGEPAGE);
	code->crossing = g_malloc0(sizeof(struct block) + 2 * sizeof(struct insn));
	memset(code->itlb, 0xff, sizeof(code->itlb));
	g_mutex_init(&code->requests_lock);
	code->written = g_array_new(false, false, sizeof(struct written_range));
	code->protect = g_array_new(false, false, sizeof(uint64_t));
	return code;
}

void code_free(struct code_cache *code)
{
	if (!code)
		return;
	munmap(code->arena, ARENA_SIZE);
	g_array_unref(code->written);
	g_array_unref(code->protect);
	g_mutex_clear(&code->requests_lock);
	g_free(code->crossing);
	g_free(code);
}

static void forget_jumps(struct cpu *cpu, bool global)
{
	if (!++cpu->jump_generation[global]) {
		memset(cpu->jumps, 0, sizeof(cpu->jumps));
		cpu->jump_generation[global] = 1; /* what memset() left is of generation 0 */
	}
}

void code_forget_jumps(struct cpu *cpu)
{
	forget_jumps(cpu, false);
	forget_jumps(cpu, true);
	if (cpu->code)
		memset(cpu->code->jump_pages, 0, sizeof(cpu->code->jump_pages));
}

static unsigned hash_jump_page(uint64_t address)
{
	return (address >> 12 ^ address >> 24) % JUMP_PAGES;
}

static void note_jump_page(struct cpu *cpu, uint64_t address)
{
	unsigned hash = hash_jump_page(address);

	cpu->code->jump_pages[hash / 64] |= 1ull << hash % 64;
}

static bool has_jumps(const struct cpu *cpu, uint64_t address)
{
	unsigned hash = hash_jump_page(address);

	return cpu->code->jump_pages[hash / 64] >> hash % 64 & 1;
}

void code_forget_addresses(struct cpu *cpu)
{
	code_forget_jumps(cpu);
	memset(cpu->code->itlb, 0xff, sizeof(cpu->code->itlb));
	jit_forget_addresses(cpu);
}

void code_forget_page(struct cpu *cpu, uint64_t address)
{
	/* A kernel that patches its text does so by a page that it never runs. */
	if (has_jumps(cpu, address))
		code_forget_jumps(cpu);
	cpu->code->itlb[address / 4096 % ITLB_SIZE].page = ~0ull;
	jit_forget_page(cpu, address);
}

void code_forget_local(struct cpu *cpu)
{
	forget_jumps(cpu, false);
	for (unsigned i = 0; i < ITLB_SIZE; i++)
		if (cpu->code->itlb[i].page != ~0ull && !cpu->code->itlb[i].global)
			cpu->code->itlb[i].page = ~0ull;
	jit_forget_local(cpu);
}

/* Routines that stand in place of an instruction's own. */
static void raise_ud(struct cpu *cpu, const struct insn *insn)
{
	cpu_fault(cpu, insn, EXC_UD);
}

static void raise_nm(struct cpu *cpu, const struct insn *insn)
{
	cpu_fault(cpu, insn, EXC_NM);
}

static void raise_gp(struct cpu *cpu, const struct insn *insn)
{
	cpu_fault_code(cpu, insn, EXC_GP, 0);
}

/* After the last instruction of a block that has no branch. */
static void leave_block(struct cpu *cpu, const struct insn *insn)
{
	uint64_t pc = insn_next_pc(cpu, insn);

	cpu->state.rip = cpu->mode_key & MODE_64 ? pc : (uint32_t)pc;
}

/* In every instruction of a block whose bytes were written: looks at them again. */
static void look_again(struct cpu *cpu, const struct insn *insn)
{
	cpu_leave_block(cpu, insn - 1, insn_pc(cpu, insn));
}

/* What the mode makes of an instruction (SDM volume 2: the exceptions tables). */
exec_fn code_routine_in_mode(const struct insn_row *row, const struct insn *insn, uint32_t key)
{
	bool x87_or_mmx = row->flags & (IF_X87 | IF_MMX);

	if ((row->flags & IF_SSE) && (key & (MODE_NO_SSE | MODE_EM)))
		return raise_ud;
	if ((row->flags & IF_AVX) && (key & (MODE_NO_AVX | MODE_REAL)))
		return raise_ud;
	if ((row->flags & IF_AVX512) && (key & MODE_NO_AVX512))
		return raise_ud;
	if ((row->flags & IF_MMX) && (key & MODE_EM))
		return raise_ud;
	if ((row->flags & IF_X87) && (key & MODE_EM))
		return raise_nm;
	if ((x87_or_mmx || (row->flags & (IF_SSE | IF_AVX))) && (key & MODE_TS))
		return raise_nm;
	if ((row->flags & IF_CPL0) && (key & MODE_USER))
		return raise_gp;
	return insn->exec;
}

/* Decodes one instruction. Its exec is set in any case. */
static enum insn_status decode_one(const struct cpu *cpu, const uint8_t *bytes, size_t n,
				   unsigned offset, struct insn *insn)
{
	uint32_t key = cpu->mode_key;
	enum insn_mode mode = key & MODE_64   ? INSN_MODE_64
			      : key & MODE_32 ? INSN_MODE_32
					      : INSN_MODE_16;
	const struct insn_row *row;
	enum insn_status status;
	uint8_t copy[INSN_MAX_LEN];

	/* Another vCPU may write while we look: all that is decided must be decided by the same bytes. */
	memcpy(copy, bytes, MIN(n, sizeof(copy)));
	status = insn_decode(copy, n, mode, cpu->model->has, offset, insn);
	if (status == INSN_UD)
		insn->exec = raise_ud;
	else if (status == INSN_TOO_LONG)
		insn->exec = raise_gp;
	if (status != INSN_OK)
		return status;
	row = insn_row_get(insn->row);
	if ((row->flags & (IF_X87 | IF_MMX | IF_SSE | IF_AVX)) && !vector_prepare(copy, insn))
		insn->exec = raise_ud;
	else
		insn->exec = code_routine_in_mode(row, insn, key);
	return status;
}

static bool ends_block(enum insn_status status, const struct insn *insn)
{
	return status != INSN_OK || (insn_row_get(insn->row)->flags & IF_END);
}

static void terminate(struct block *block, unsigned offset)
{
	block->insn[block->n] = (struct insn){.exec = leave_block, .next = offset};
}

static void serve_protect_requests(struct cpu *cpu)
{
	struct code_cache *code = cpu->code;

	g_mutex_lock(&code->requests_lock);
	if (code->protect_all)
		mmu_flush(cpu);
	else
		for (unsigned i = 0; i < code->protect->len; i++)
			mmu_protect_page(cpu, g_array_index(code->protect, uint64_t, i));
	code->protect_all = false;
	g_array_set_size(code->protect, 0);
	atomic_store(&code->protect_done, code->protect_asked);
	g_mutex_unlock(&code->requests_lock);
}

/* The marks in the code map stay: other vCPUs may have decoded the same lines. */
void code_drop_all(struct cpu *cpu)
{
	struct code_cache *code = cpu->code;

	memset(code->by_gpa, 0, sizeof(code->by_gpa));
	memset(code->by_page, 0, sizeof(code->by_page));
	code->used = 0;
	code_forget_jumps(cpu);
}

static void enter_block(struct cpu *cpu, struct block *block)
{
	struct code_cache *code = cpu->code;
	struct block **by_gpa = &code->by_gpa[hash_gpa(block->gpa, block->mode_key)];
	struct block **by_page = &code->by_page[hash_page(block->gpa)];
	size_t size = sizeof(*block) + (block->n + 1) * sizeof(block->insn[0]);

	block->hash_next = *by_gpa;
	*by_gpa = block;
	block->page_next = *by_page;
	*by_page = block;
	code->used += (size + 15) & ~(size_t)15;
}

/*
 * Marks the lines an instruction at gpa may lie in, before they are read. `marked` has those that
 * this block has marked already.
 */
void code_mark_lines(struct cpu *cpu, uint64_t gpa, uint64_t *marked)
{
	uint64_t lines = mem_line_mask(gpa, MIN(INSN_MAX_LEN, 4096 - gpa % 4096));

	if (!(lines & ~*marked))
		return;
	*marked |= lines;
	mem_add_code_lines(cpu->env.mem, gpa, lines);
	while (G_UNLIKELY(mem_is_protecting(cpu->env.mem))) {
		serve_protect_requests(cpu);
		sched_yield();
	}
}

/* NULL where the first instruction crosses the page's end. */
static struct block *build(struct cpu *cpu, uint64_t gpa)
{
	static const size_t worst =
		sizeof(struct block) + (BLOCK_MAX + 1) * sizeof(struct insn);
	const uint8_t *page = mmu_hva(cpu, gpa & ~4095ull);
	unsigned offset = gpa % 4096;
	unsigned max = cpu->mode_key & MODE_STEP ? 1 : BLOCK_MAX;
	enum insn_status status;
	struct block *block;
	uint64_t marked = 0;

	if (cpu->code->used + worst > ARENA_SIZE)
		code_drop_all(cpu);
	block = (struct block *)(cpu->code->arena + cpu->code->used);
	block->gpa = gpa;
	block->mode_key = cpu->mode_key;
	block->n = 0;
	block->heat = 0;
	block->translated = block->compared = block->dead = false;
	do {
		struct insn *insn = &block->insn[block->n];

		code_mark_lines(cpu, (gpa & ~4095ull) + offset, &marked);
		status = decode_one(cpu, page + offset, 4096 - offset, offset, insn);
		if (status == INSN_MORE)
			break;
		block->n++;
		offset += insn->len;
	} while (!ends_block(status, &block->insn[block->n - 1]) && block->n < max &&
		 offset < 4096 &&
		 !((cpu->mode_key & MODE_DEBUG) && debugger_splits_at(cpu, offset)));
	if (!block->n)
		return NULL;
	terminate(block, offset);
	cpu->stats.decoded += block->n;
	enter_block(cpu, block);
	return block;
}

void code_decode_alone(struct cpu *cpu, struct block *block, const uint8_t *bytes, unsigned len,
		       unsigned offset, uint64_t gpa)
{
	*block = (struct block){.gpa = gpa, .mode_key = cpu->mode_key, .n = 1};
	decode_one(cpu, bytes, len, offset, &block->insn[0]);
	terminate(block, offset + len);
}

/* An instruction that lies on two pages: put together, decoded, not kept. */
static struct block *build_crossing(struct cpu *cpu, uint64_t gpa, uint64_t address)
{
	struct block *block = cpu->code->crossing;
	unsigned first = 4096 - gpa % 4096;
	uint64_t next = cpu->mode_key & MODE_64 ? address + first : (uint32_t)(address + first);
	uint64_t gpa2;
	uint8_t bytes[INSN_MAX_LEN];
	bool global;

	gpa2 = mmu_fetch(cpu, NULL, next, &global);
	mmu_physical_read(cpu, gpa, bytes, first);
	mmu_physical_read(cpu, gpa2, bytes + first, sizeof(bytes) - first);
	*block = (struct block){.gpa = gpa, .mode_key = cpu->mode_key, .n = 1};
	decode_one(cpu, bytes, sizeof(bytes), gpa % 4096, &block->insn[0]);
	terminate(block, gpa % 4096 + block->insn[0].len);
	cpu->stats.decoded++;
	return block;
}

bool code_is_compared(const struct cpu *cpu, uint64_t gpa)
{
	return smc_is_compared(&cpu->code->smc, gpa);
}

/* One instruction of a page whose code is not kept. NULL: it crosses the page's end. */
static struct block *build_compared(struct cpu *cpu, uint64_t gpa)
{
	struct block *block = cpu->code->crossing;
	const uint8_t *bytes = mmu_hva(cpu, gpa);

	*block = (struct block){
		.gpa = gpa, .mode_key = cpu->mode_key, .n = 1, .compared = true};
	if (decode_one(cpu, bytes, 4096 - gpa % 4096, gpa % 4096, &block->insn[0]) ==
	    INSN_MORE)
		return NULL;
	terminate(block, gpa % 4096 + block->insn[0].len);
	cpu->stats.decoded++;
	return block;
}

/* Code in device space: there is nothing to decode. */
static struct block *build_nowhere(struct cpu *cpu, uint64_t gpa)
{
	struct block *block = cpu->code->crossing;

	*block = (struct block){.gpa = gpa, .mode_key = cpu->mode_key, .n = 1};
	block->insn[0] = (struct insn){.exec = raise_ud, .next = gpa % 4096};
	terminate(block, gpa % 4096);
	return block;
}

static uint64_t fetch_gpa(struct cpu *cpu, uint64_t address, bool *global)
{
	uint64_t page = (address & ~4095ull) | !!(cpu->mode_key & MODE_USER);
	typeof(cpu->code->itlb[0]) *e = &cpu->code->itlb[address / 4096 % ITLB_SIZE];

	if (G_UNLIKELY(e->page != page)) {
		e->gpa = mmu_fetch(cpu, NULL, address, &e->global) & ~4095ull;
		e->page = page;
	}
	*global = e->global;
	return e->gpa | address % 4096;
}

static struct block *find_by_gpa(const struct cpu *cpu, uint64_t gpa)
{
	struct block *block = cpu->code->by_gpa[hash_gpa(gpa, cpu->mode_key)];

	while (block && (block->gpa != gpa || block->mode_key != cpu->mode_key))
		block = block->hash_next;
	return block;
}

static unsigned block_bytes(const struct block *block)
{
	return block->insn[block->n].next - block->gpa % 4096;
}

static uint64_t block_lines(const struct block *block)
{
	return mem_line_mask(block->gpa, MAX(block_bytes(block), 1));
}

/* A block that goes beyond the code segment's limit: its first instruction alone, if that fits. */
static struct block *first_alone(struct cpu *cpu, const struct block *block)
{
	struct block *alone = cpu->code->crossing;

	if (block->insn[0].len > cpu->cs_limit - cpu->state.rip + 1)
		cpu_fault_code(cpu, NULL, EXC_GP, 0);
	*alone = (struct block){.gpa = block->gpa, .mode_key = block->mode_key, .n = 1};
	alone->insn[0] = block->insn[0];
	terminate(alone, block->insn[0].next);
	return alone;
}

struct block *code_find_slow(struct cpu *cpu)
{
	uint64_t rip = cpu->state.rip, address, gpa;
	struct block *block;
	bool global;

	if (rip > cpu->cs_limit)
		cpu_fault_code(cpu, NULL, EXC_GP, 0);
	address = cpu->mode_key & MODE_64 ? rip : (uint32_t)(rip + cpu->state.seg[X86_CS].base);
	gpa = fetch_gpa(cpu, address, &global);
	cpu->pc_base = rip - address % 4096;
	if (!mmu_hva(cpu, gpa))
		return build_nowhere(cpu, gpa);
	if (G_UNLIKELY(code_is_compared(cpu, gpa))) {
		block = build_compared(cpu, gpa);
		if (block)
			return cpu->cs_limit - rip < 15 ? first_alone(cpu, block) : block;
	} else {
		block = find_by_gpa(cpu, gpa);
		if (!block)
			block = build(cpu, gpa);
	}
	if (!block) {
		block = build_crossing(cpu, gpa, address);
		return cpu->cs_limit - rip < 15 ? first_alone(cpu, block) : block;
	}
	if (G_UNLIKELY(block_bytes(block) - 1 > cpu->cs_limit - rip))
		return first_alone(cpu, block);
	note_jump_page(cpu, address);
	*jump_slot(cpu, rip) = (struct jump_entry){rip, jump_stamp(cpu, global), global, block, NULL};
	return block;
}

static void unlink_by_gpa(struct code_cache *code, const struct block *block)
{
	struct block **link = &code->by_gpa[hash_gpa(block->gpa, block->mode_key)];

	while (*link != block)
		link = &(*link)->hash_next;
	*link = block->hash_next;
}

/*
 * Blocks on the lines written, whose marks are gone, are taken out. The running one may be among
 * them: its instructions are replaced, and its memory stays until everything is dropped.
 */
static void invalidate(struct cpu *cpu, uint64_t gpa, uint64_t len)
{
	struct block **link = &cpu->code->by_page[hash_page(gpa)], *block;
	uint64_t lines = mem_line_mask(gpa, len);
	bool lost = jit_invalidate(cpu, gpa, lines);

	cpu->stats.code_writes++;
	while ((block = *link)) {
		if (block->gpa / 4096 != gpa / 4096 || !(block_lines(block) & lines)) {
			link = &block->page_next;
			continue;
		}
		*link = block->page_next;
		unlink_by_gpa(cpu->code, block);
		block->dead = true;
		for (unsigned i = 0; i <= block->n; i++)
			block->insn[i].exec = look_again;
		lost = true;
	}
	/* All of the page's marks go, on every vCPU; ours do not come back. */
	if (lost && smc_note(&cpu->code->smc, gpa)) {
		trace_cpu_code_compared(cpu->env.trace, cpu->id, gpa & ~4095ull);
		mem_written(cpu->env.mem, gpa & ~4095ull, 4096);
	}
}

static void on_written(void *opaque, uint64_t gpa, uint64_t len)
{
	struct written_range range = {gpa, len};
	struct cpu *cpu = opaque;

	if (running == cpu) {
		invalidate(cpu, gpa, len);
		return;
	}
	g_mutex_lock(&cpu->code->requests_lock);
	if (cpu->code->written->len <= REQUESTS_MAX)
		g_array_append_val(cpu->code->written, range);
	g_mutex_unlock(&cpu->code->requests_lock);
	atomic_store(&cpu->attention, true);
}

void code_take_written(struct cpu *cpu)
{
	struct code_cache *code = cpu->code;
	g_autoptr(GArray) written = NULL;

	g_mutex_lock(&code->requests_lock);
	/* What is dropped may be written about anew. */
	if (code->written->len) {
		written = code->written;
		code->written = g_array_new(false, false, sizeof(struct written_range));
	}
	g_mutex_unlock(&code->requests_lock);
	if (written && written->len > REQUESTS_MAX) {
		code_drop_all(cpu);
		jit_flush(cpu);
	} else if (written) {
		for (unsigned i = 0; i < written->len; i++)
			invalidate(cpu, g_array_index(written, struct written_range, i).gpa,
				   g_array_index(written, struct written_range, i).len);
	}
	serve_protect_requests(cpu);
}

/*
 * Another vCPU is to take a page, or all, out of its write TLBs and we wait until it has. One that is
 * not running guest code does it before it runs any, and one that waits itself does it while waiting.
 */
static unsigned ask_to_protect(struct cpu *cpu, bool all, uint64_t gpa)
{
	unsigned ticket;

	g_mutex_lock(&cpu->code->requests_lock);
	/* A vCPU that is halted for good takes none. */
	if (!all && cpu->code->protect->len < REQUESTS_MAX)
		g_array_append_val(cpu->code->protect, gpa);
	else
		cpu->code->protect_all = true;
	ticket = ++cpu->code->protect_asked;
	g_mutex_unlock(&cpu->code->requests_lock);
	atomic_store(&cpu->attention, true);
	return ticket;
}

static void wait_until_protected(struct cpu *cpu, unsigned ticket)
{
	while (atomic_load(&cpu->in_guest) &&
	       (int)(atomic_load(&cpu->code->protect_done) - ticket) < 0) {
		if (running)
			serve_protect_requests(running);
		sched_yield();
	}
}

static void on_protect(void *opaque, uint64_t gpa)
{
	struct cpu *cpu = opaque;

	if (running == cpu)
		mmu_protect_page(cpu, gpa);
	else
		wait_until_protected(cpu, ask_to_protect(cpu, false, gpa));
}

static void on_cleaned(void *opaque)
{
	struct cpu *cpu = opaque;

	if (running == cpu)
		mmu_flush(cpu);
	else
		wait_until_protected(cpu, ask_to_protect(cpu, true, 0));
}

static void on_remapped(void *opaque)
{
	struct cpu *cpu = opaque;

	if (running == cpu)
		mmu_flush(cpu);
	else
		ask_to_protect(cpu, true, 0);
}

void code_listen(struct cpu *cpu)
{
	mem_add_listener(cpu->env.mem,
			 &(struct mem_listener){on_written, on_protect, on_cleaned,
						on_remapped, cpu});
}

void code_unlisten(struct cpu *cpu)
{
	mem_remove_listener(cpu->env.mem, cpu);
}

void code_set_running(struct cpu *cpu)
{
	running = cpu;
}
