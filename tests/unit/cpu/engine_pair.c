/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine_pair.h"

#include <string.h>

#include "cpu/jit/jit.h"
#include "cpu/x86/code.h"
#include "cpu/x86/insn_int.h"
#include "cpu/x86/mmu.h"

#define MAX_EVENTS   80
#define CODE_PLACES  0x100000 /* guest-physical */
#define REWRITES     40
#define DEVICE_GPA   0x10000000ull
#define PLAIN_PAGES  (PAGE_SAME + 1) /* with memory of their own */
#define CODE_FILLER  GUEST_END
#define END_VECTOR   0x80
#define PTE_PRESENT  1
#define PTE_WRITABLE 2
#define PTE_USER     4
#define PTE_ACCESSED 0x20
#define PTE_MARKS    (PTE_ACCESSED | 0x40) /* dirty */
/* A program that takes longer is lost, or one of the engines is. */
#define T0_LIMIT_US 100000
#define T1_LIMIT_US (10 * G_USEC_PER_SEC)
#define SLEEPER_FACTOR 30

/* How a page is to be found by the program, and what the handler makes of it. */
enum page_state { PAGE_PRESENT, PAGE_READ_ONLY, PAGE_MISSING };

struct event {
	uint64_t vector, error_code, cr2, rip, rflags;
	uint64_t gpr[16];
	uint64_t memory, vectors, device; /* hashes */
};

struct machine {
	struct guest guest;
	const char *name;
	struct x86_state pristine;
	struct x86_segment segments[X86_N_SEGS]; /* of the program's privilege */
	GMutex lock;	 /* of the deadlines and `late`, which the watchdog looks at */
	gint64 deadline; /* CPU time of the process; 0: not running */
	gint64 sleeper_deadline; /* of a program that halts: time that passes, a host being slow or not */
	bool late;
	bool ended;
	uint64_t device;
	unsigned n_events;
	struct event events[MAX_EVENTS];
	struct x86_state last;
};

struct engine_pair {
	struct machine machine[2]; /* T0, T1 */
	GThread *watchdog;
	int over; /* atomic */
	uint8_t data[PLAIN_PAGES * 4096], code[HOST_CODE_SIZE];
};

static uint64_t mix(uint64_t hash, uint64_t v)
{
	hash = (hash ^ v) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t hash_bytes(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t hash = 0;

	for (size_t i = 0; i < n / 8; i++)
		hash = mix(hash, le64_load(p + 8 * i));
	return hash;
}

/* The device: what it gives depends on all that was asked of it. */

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
	struct machine *m = opaque;

	m->device = mix(m->device, offset << 8 | size);
	return size == 8 ? m->device : m->device & ((1ull << 8 * size) - 1);
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct machine *m = opaque;

	m->device = mix(mix(m->device, ~(offset << 8 | size)), value);
}

/* Exceptions */

static unsigned page_of(uint64_t address)
{
	return (address - HOST_DATA) / 4096;
}

static uint64_t *page_entry(struct machine *m, unsigned page)
{
	return guest_page(&m->guest, HOST_DATA + 4096 * page);
}

/* Makes the page what the access asked for. False: it is not to be had. */
static bool repair(struct machine *m, uint64_t address, uint32_t error_code)
{
	uint64_t *entry;

	if (page_of(address) >= PAGE_NONE || (error_code & PF_I))
		return false;
	entry = page_entry(m, page_of(address));
	if (!(*entry & PTE_PRESENT))
		*entry |= PTE_PRESENT;
	else if ((error_code & PF_W) && !(*entry & PTE_WRITABLE))
		*entry |= PTE_WRITABLE;
	else
		return false;
	return true;
}

static unsigned length_at(const struct machine *m, uint64_t rip)
{
	uint64_t offset = rip - HOST_CODE;
	struct insn insn;

	if (offset >= HOST_CODE_SIZE)
		return 0;
	if (insn_decode(guest_code(&m->guest) + offset, HOST_CODE_SIZE - offset, INSN_MODE_64,
			m->guest.cpu->model->has, 0, &insn) != INSN_OK)
		return 1;
	return insn.len;
}

static void end(struct machine *m)
{
	m->ended = true;
	m->guest.engine->kick((struct vcpu *)m->guest.cpu);
}

/* Goes on behind the instruction, with flags that do not show what nothing was to read. */
static void skip(const struct machine *m, struct guest_frame *frame)
{
	frame->rip += length_at(m, frame->rip);
	frame->rflags &= ~(uint64_t)RFLAGS_ARITH;
	frame->rflags |= mix(0, frame->rip) & RFLAGS_ARITH;
}

static void on_exception(struct guest *guest, struct guest_frame *frame)
{
	struct machine *m = guest->opaque;
	const struct cpu *cpu = guest->cpu;
	struct event *e = &m->events[m->n_events++];
	bool is_fetch = frame->vector == EXC_PF && (frame->error_code & PF_I);

	*e = (struct event){
		.vector = frame->vector,
		.error_code = frame->error_code,
		.cr2 = frame->vector == EXC_PF ? cpu->state.cr2 : 0,
		.rip = frame->rip,
		.rflags = frame->rflags & ~(uint64_t)RFLAGS_ARITH,
		.memory = hash_bytes(guest->data, sizeof(((struct engine_pair *)0)->data)),
		.vectors = hash_bytes(cpu->state.ymm, sizeof(cpu->state.ymm)),
		.device = m->device};
	memcpy(e->gpr, cpu->gpr, sizeof(e->gpr));
	e->gpr[X86_RSP] = frame->rsp;
	if (frame->vector == END_VECTOR || m->n_events == MAX_EVENTS || is_fetch ||
	    !length_at(m, frame->rip))
		end(m);
	else if (frame->vector != EXC_PF || !repair(m, cpu->state.cr2, frame->error_code))
		skip(m, frame);
}

/* Machines */

static void init_machine(struct machine *m, const struct engine *engine)
{
	static const struct bus_ops device = {device_read, device_write};
	struct guest *g = &m->guest;
	uint64_t data;

	guest_init(g, engine);
	m->name = engine == &engine_interp ? "T0" : "T1";
	g_mutex_init(&m->lock);
	g->on_exception = on_exception;
	g->opaque = m;
	bus_map(g->env.bus, BUS_MMIO, DEVICE_GPA, 4096, &device, m, NULL);
	data = g->data - g->env.mem->base;
	for (unsigned i = 0; i < PROGRAM_PAGES; i++)
		*page_entry(m, i) = data + 4096 * i;
	*page_entry(m, PAGE_ALIAS) = *page_entry(m, PAGE_SAME);
	*page_entry(m, PAGE_DEVICE) = DEVICE_GPA;
	engine->get_state((struct vcpu *)g->cpu, &m->pristine);
}

static void free_machine(struct machine *m)
{
	struct engine_env *env = &m->guest.env;

	m->guest.engine->vcpu_free((struct vcpu *)m->guest.cpu);
	lapic_set_free(env->lapics);
	clock_free(env->clock);
	bus_free(env->bus);
	mem_free(env->mem);
	g_mutex_clear(&m->lock);
}

static gint64 cpu_time_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * G_USEC_PER_SEC + t.tv_nsec / 1000;
}

static gpointer watchdog(gpointer opaque)
{
	struct engine_pair *pair = opaque;

	while (!g_atomic_int_get(&pair->over)) {
		g_usleep(5000);
		for (unsigned i = 0; i < 2; i++) {
			struct machine *m = &pair->machine[i];

			g_mutex_lock(&m->lock);
			if (m->deadline && (cpu_time_us() > m->deadline ||
					    g_get_monotonic_time() > m->sleeper_deadline)) {
				m->late = true;
				m->guest.engine->kick((struct vcpu *)m->guest.cpu);
			}
			g_mutex_unlock(&m->lock);
		}
	}
	return NULL;
}

struct engine_pair *engine_pair_new(void)
{
	struct engine_pair *pair = g_new0(struct engine_pair, 1);

	init_machine(&pair->machine[0], &engine_interp);
	init_machine(&pair->machine[1], &engine_soft);
	pair->watchdog = g_thread_new("watchdog", watchdog, pair);
	return pair;
}

void engine_pair_free(struct engine_pair *pair)
{
	g_atomic_int_set(&pair->over, true);
	g_thread_join(pair->watchdog);
	for (unsigned i = 0; i < 2; i++)
		free_machine(&pair->machine[i]);
	g_free(pair);
}

/* A run */

static void set_privilege(struct machine *m, enum pair_privilege privilege)
{
	struct x86_state s = m->pristine;

	if (privilege != PAIR_USER) {
		s.seg[X86_CS] =
			(struct x86_segment){.selector = 8,
					     .limit = ~0u,
					     .attr = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW |
						     SEG_TYPE_ACC | SEG_L | SEG_G};
		s.seg[X86_SS].selector = 0;
		s.seg[X86_SS].attr &= ~(3 << SEG_DPL_SHIFT);
	}
	if (privilege == PAIR_SUPERVISOR_AC)
		s.cr4 |= CR4_SMAP;
	m->guest.engine->set_state((struct vcpu *)m->guest.cpu, &s);
	memcpy(m->segments, s.seg, sizeof(m->segments));
}

/* The code as it is to be, filler around the program. */
static void set_code(struct machine *m, const uint8_t *code)
{
	if (memcmp(guest_code(&m->guest), code, HOST_CODE_SIZE))
		guest_set_code(&m->guest, 0, code, HOST_CODE_SIZE);
}

static void set_page(struct machine *m, unsigned page, enum page_state state)
{
	uint64_t *entry = page_entry(m, page);

	*entry &= ~(uint64_t)(PTE_PRESENT | PTE_WRITABLE | PTE_MARKS);
	*entry |= PTE_USER | (state != PAGE_MISSING ? PTE_PRESENT : 0) |
		  (state != PAGE_READ_ONLY ? PTE_WRITABLE : 0);
	mmu_flush_page(m->guest.cpu, HOST_DATA + 4096 * page);
}

static void start(struct machine *m, const struct engine_pair *pair, const struct insn_program *p,
		  enum pair_privilege privilege)
{
	struct cpu *cpu = m->guest.cpu;

	/* Programs may run what they find in their data. */
	g_assert_true(mem_write(m->guest.env.mem, m->guest.data - m->guest.env.mem->base,
				pair->data, sizeof(pair->data)));
	code_take_written(cpu);
	set_code(m, pair->code);
	guest_set_registers(&m->guest, &p->registers);
	if (privilege == PAIR_SUPERVISOR_AC)
		cpu->state.rflags |= RFLAGS_AC;
	memcpy(cpu->state.seg, m->segments, sizeof(m->segments));
	cpu->state.seg[X86_FS].base = p->fs;
	cpu->state.seg[X86_GS].base = p->gs;
	cpu->state.rip = HOST_CODE + p->offset;
	cpu_update_mode(cpu);
	m->n_events = 0;
	m->ended = false;
	m->device = 0;
}

/* False: the program did not end in time. */
static bool run(struct machine *m, gint64 limit)
{
	struct vcpu *vcpu = (struct vcpu *)m->guest.cpu;
	bool late = false;

	g_mutex_lock(&m->lock);
	m->deadline = cpu_time_us() + limit;
	m->sleeper_deadline = g_get_monotonic_time() + SLEEPER_FACTOR * limit;
	m->late = false;
	g_mutex_unlock(&m->lock);
	while (!m->ended && !late) {
		if (m->guest.engine->run(vcpu) != ENGINE_EXIT_KICK)
			break;
		g_mutex_lock(&m->lock);
		late = m->late;
		g_mutex_unlock(&m->lock);
	}
	g_mutex_lock(&m->lock);
	m->deadline = 0;
	g_mutex_unlock(&m->lock);
	m->guest.engine->get_state(vcpu, &m->last);
	return m->ended;
}

/* Comparison */

#define HEX "%" G_GINT64_MODIFIER "x"

static void compare_words(GString *why, const char *what, const void *a, const void *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t t0 = le64_load((const uint8_t *)a + 8 * i);
		uint64_t t1 = le64_load((const uint8_t *)b + 8 * i);

		if (t0 != t1)
			g_string_append_printf(why, " %s[%x] " HEX ", T0 " HEX ";", what, i, t1,
					       t0);
	}
}

#define COMPARE(name, field) compare_words(why, name, &a->field, &b->field, 1)

static void compare_event(GString *why, const struct event *a, const struct event *b)
{
	COMPARE("vector", vector);
	COMPARE("error code", error_code);
	COMPARE("cr2", cr2);
	COMPARE("rip", rip);
	COMPARE("rflags", rflags);
	compare_words(why, "gpr", a->gpr, b->gpr, 16);
	COMPARE("hash of memory", memory);
	COMPARE("hash of vectors", vectors);
	COMPARE("accesses of the device", device);
}
#undef COMPARE

static void compare_events(GString *why, const struct machine *a, const struct machine *b)
{
	for (unsigned i = 0; i < MAX(a->n_events, b->n_events) && !why->len; i++) {
		if (i < MIN(a->n_events, b->n_events))
			compare_event(why, &a->events[i], &b->events[i]);
		else
			g_string_append_printf(why, " it is missing, or one too many;");
		if (why->len) {
			g_string_append_printf(why, " at exception %u (%d at " HEX ")", i,
					       i < a->n_events ? (int)a->events[i].vector : -1,
					       i < a->n_events ? a->events[i].rip : 0);
		}
	}
}

static bool has_raised(const struct machine *m, enum x86_exception vector)
{
	for (unsigned i = 0; i < m->n_events; i++)
		if (m->events[i].vector == vector)
			return true;
	return false;
}

static void compare_end(GString *why, struct machine *a, struct machine *b)
{
	const struct guest_frame *frame_a = &a->guest.frame, *frame_b = &b->guest.frame;
	const struct x86_fpu *fa = &a->last.fpu, *fb = &b->last.fpu;
	uint64_t entries_a[PROGRAM_PAGES], entries_b[PROGRAM_PAGES];

	if (frame_a->vector == END_VECTOR)
		compare_words(why, "flags", &frame_a->rflags, &frame_b->rflags, 1);
	compare_words(why, "ymm", (const uint64_t *)a->last.ymm, (const uint64_t *)b->last.ymm,
		      sizeof(a->last.ymm) / 8);
	compare_words(why, "zmm", (const uint64_t *)a->last.zmm_high,
		      (const uint64_t *)b->last.zmm_high, sizeof(a->last.zmm_high) / 8);
	compare_words(why, "k", a->last.k, b->last.k, G_N_ELEMENTS(a->last.k));
	if (a->last.mxcsr != b->last.mxcsr)
		g_string_append_printf(why, " MXCSR %x, T0 %x;", b->last.mxcsr, a->last.mxcsr);
	if (fa->fcw != fb->fcw || fa->fsw != fb->fsw || fa->ftw != fb->ftw ||
	    memcmp(fa->st, fb->st, sizeof(fa->st)))
		g_string_append(why, " the x87;");
	compare_words(why, "data", (const uint64_t *)a->guest.data, (const uint64_t *)b->guest.data,
		      PLAIN_PAGES * 512);
	compare_words(why, "code", (const uint64_t *)guest_code(&a->guest), (const uint64_t *)guest_code(&b->guest),
		      HOST_CODE_SIZE / 8);
	for (unsigned i = 0; i < PROGRAM_PAGES; i++) {
		entries_a[i] = *page_entry(a, i);
		entries_b[i] = *page_entry(b, i);
		/* The accessed bit may be set ahead of an access (SDM volume 3, 4.8). */
		entries_a[i] |= entries_b[i] & PTE_ACCESSED;
	}
	/* Misaligned vectors, and MMX where an x87 exception waits, are refused before or after the page
	 * is looked at. */
	if (!has_raised(a, EXC_GP) && !has_raised(a, EXC_MF))
		compare_words(why, "page table", entries_a, entries_b, PROGRAM_PAGES);
}

/*
 * Whether the program wrote into itself beside what it patches by design. What comes there may read flags that
 * nothing was to read when they were given up.
 */
static bool overwrote_itself(const struct machine *m, const struct engine_pair *pair,
			     const struct insn_program *p)
{
	g_autofree uint8_t *code = g_memdup2(guest_code(&m->guest), HOST_CODE_SIZE);

	for (unsigned i = 0; i < p->n_patched; i++)
		memcpy(code + p->offset + p->patched[i], pair->code + p->offset + p->patched[i], 4);
	return memcmp(code, pair->code, HOST_CODE_SIZE);
}

static enum pair_result run_both(struct engine_pair *pair, const struct insn_program *p,
				 enum pair_privilege privilege, const char *what, GString *why)
{
	struct machine *t0 = &pair->machine[0], *t1 = &pair->machine[1];

	start(t0, pair, p, privilege);
	start(t1, pair, p, privilege);
	if (!run(t0, T0_LIMIT_US))
		return PAIR_NOTHING;
	if (!run(t1, T1_LIMIT_US))
		g_string_append(why, " does not end;");
	compare_events(why, t0, t1);
	/* In words, what the last event has as hashes. */
	if (!why->len || t0->n_events == 1)
		compare_end(why, t0, t1);
	if (!why->len)
		return PAIR_SAME;
	if (overwrote_itself(t0, pair, p)) {
		g_string_truncate(why, 0);
		return PAIR_NOTHING;
	}
	g_string_prepend(why, what);
	return PAIR_DIFFERENT;
}

static void set_pages(struct engine_pair *pair, enum page_state state)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned page = 0; page < PROGRAM_PAGES; page++)
			set_page(&pair->machine[i], page, page == PAGE_NONE ? PAGE_MISSING : state);
}

/* The pages that T0 has had a fault in, one bit each. */
static unsigned pages_missed(const struct machine *m)
{
	unsigned pages = 0;

	for (unsigned i = 0; i < m->n_events; i++)
		if (m->events[i].vector == EXC_PF && page_of(m->events[i].cr2) < PAGE_NONE)
			pages |= 1 << page_of(m->events[i].cr2);
	return pages;
}

static enum pair_result try_each(struct engine_pair *pair, const struct insn_program *p,
				 enum pair_privilege privilege, unsigned pages,
				 enum page_state state, const char *what, GString *why)
{
	enum pair_result result = PAIR_SAME;

	for (unsigned page = 0; page < PROGRAM_PAGES && result == PAIR_SAME; page++) {
		if (!(pages >> page & 1))
			continue;
		for (unsigned i = 0; i < 2; i++)
			set_page(&pair->machine[i], page, state);
		result = run_both(pair, p, privilege, what, why);
		for (unsigned i = 0; i < 2; i++)
			set_page(&pair->machine[i], page, PAGE_PRESENT);
	}
	return result;
}

static void lay_out(struct engine_pair *pair, const struct insn_program *p)
{
	for (unsigned i = 0; i < HOST_CODE_SIZE; i += GUEST_END_SIZE)
		memcpy(pair->code + i, CODE_FILLER, GUEST_END_SIZE);
	memcpy(pair->code + p->offset, p->bytes, p->len);
	memcpy(pair->data, host_data, HOST_DATA_SIZE);
}

static void place_code(struct machine *m, unsigned place)
{
	uint64_t gpa = CODE_PLACES + (uint64_t)HOST_CODE_SIZE * place;

	guest_move_code(&m->guest, gpa);
	*page_entry(m, PAGE_CODE) = gpa;
}

/* Runs code that is lost again, at once and many times. */
static void rewrite_often(struct machine *m)
{
	for (unsigned i = 0; i < 2 * REWRITES; i++) {
		guest_set_code(&m->guest, i % 2 * 4096, GUEST_END, GUEST_END_SIZE);
		m->ended = false;
		m->n_events = 0;
		run(m, T1_LIMIT_US);
	}
}

enum pair_result engine_pair_try(struct engine_pair *pair, const struct insn_program *p,
				 const struct pair_options *options, GString *why)
{
	enum pair_privilege privilege = options->privilege;
	enum pair_result result;
	unsigned pages;

	lay_out(pair, p);
	jit_set_threshold(pair->machine[1].guest.cpu, options->threshold);
	for (unsigned i = 0; i < 2; i++) {
		place_code(&pair->machine[i], options->place);
		set_privilege(&pair->machine[i], privilege);
	}
	if (options->rewritten)
		rewrite_often(&pair->machine[1]);
	set_pages(pair, PAGE_PRESENT);
	result = run_both(pair, p, privilege, "all pages:", why);
	if (result == PAIR_SAME)
		result = run_both(pair, p, privilege, "again:", why);
	if (result != PAIR_SAME)
		return result;
	set_pages(pair, PAGE_MISSING);
	result = run_both(pair, p, privilege, "no pages:", why);
	pages = pages_missed(&pair->machine[0]);
	set_pages(pair, PAGE_PRESENT);
	if (result == PAIR_SAME)
		result = try_each(pair, p, privilege, pages, PAGE_MISSING, "one missing:", why);
	if (result == PAIR_SAME)
		result = try_each(pair, p, privilege, pages, PAGE_READ_ONLY, "one read-only:", why);
	return result;
}
