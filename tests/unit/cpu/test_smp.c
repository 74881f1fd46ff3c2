/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several vCPUs of a software engine on the same memory, each on its own thread, and dirty pages
 * taken from under them. */
#include <string.h>

#include "base/le.h"
#include "cpu/engine.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/state.h"

#define N_VCPUS 3
#define LOOPS	10000u

enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	DIRECTORY = 0x3000,
	TABLE = 0x4000,
	CODE = 0x8000,
	FIRST = 0x20000, /* the two pages that the window shows the other way round */
	SECOND = 0x10000,
	PORT = 0xf4,
};
#define WINDOW 0x200000ull

struct vm {
	const struct engine *engine;
	struct engine_env env;
	struct vcpu *vcpus[N_VCPUS];
	GMutex lock;
	_Atomic unsigned n_done;
};

static uint64_t read_port(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

/* The number of the vCPU that is done. */
static void write_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct vm *vm = opaque;

	vm->engine->kick(vm->vcpus[value % N_VCPUS]);
}

static void put(struct vm *vm, uint64_t gpa, uint64_t entry)
{
	g_assert_true(mem_write(vm->env.mem, gpa, &entry, 8));
}

static void vm_init(struct vm *vm, gconstpointer engine)
{
	static const struct bus_ops ops = {read_port, write_port, 4, 4};

	*vm = (struct vm){.engine = engine,
			  .env = {.mem = mem_new(MEM_MIN_SIZE, NULL),
				  .bus = bus_new(),
				  .clock = clock_new(),
				  .n_vcpus = N_VCPUS}};
	g_mutex_init(&vm->lock);
	vm->env.lapics = lapic_set_new(vm->env.bus, vm->env.clock, N_VCPUS);
	bus_map(vm->env.bus, BUS_PIO, PORT, 4, &ops, vm, &vm->lock);
	put(vm, PML4, PDPT | 3);
	put(vm, PDPT, DIRECTORY | 3);
	put(vm, DIRECTORY, 0x83);
	put(vm, DIRECTORY + 8, TABLE | 3);
	put(vm, TABLE, FIRST | 3);
	put(vm, TABLE + 8, SECOND | 3);
	for (unsigned i = 0; i < N_VCPUS; i++)
		vm->vcpus[i] = vm->engine->vcpu_new(&vm->env, i, NULL);
}

static void vm_fini(struct vm *vm)
{
	for (unsigned i = 0; i < N_VCPUS; i++)
		vm->engine->vcpu_free(vm->vcpus[i]);
	lapic_set_free(vm->env.lapics);
	clock_free(vm->env.clock);
	bus_free(vm->env.bus);
	mem_free(vm->env.mem);
	g_mutex_clear(&vm->lock);
}

struct run {
	struct vm *vm;
	unsigned id;
};

static gpointer run_thread(gpointer opaque)
{
	const struct run *run = opaque;

	g_assert_cmpint(run->vm->engine->run(run->vm->vcpus[run->id]), ==, ENGINE_EXIT_KICK);
	atomic_fetch_add(&run->vm->n_done, 1);
	return NULL;
}

/* `rdi` in each, its number in rbx, `loops` in rcx. */
static void start(struct vm *vm, const uint8_t *code, size_t len, uint64_t rdi, uint32_t loops,
		  struct run *runs, GThread **threads)
{
	g_assert_true(mem_write(vm->env.mem, CODE, code, len));
	for (unsigned i = 0; i < N_VCPUS; i++) {
		struct x86_state s;

		x86_state_reset(&s, true);
		x86_state_enter_long(&s, PML4, CODE);
		s.gpr[X86_RDI] = rdi;
		s.gpr[X86_RBX] = i;
		s.gpr[X86_RCX] = loops;
		vm->engine->set_state(vm->vcpus[i], &s);
		runs[i] = (struct run){vm, i};
		threads[i] = g_thread_new("vcpu", run_thread, &runs[i]);
	}
}

static void join(GThread **threads)
{
	for (unsigned i = 0; i < N_VCPUS; i++)
		g_thread_join(threads[i]);
}

/* Each adds 3 a loop, by LOCK INC, LOCK XADD and LOCK CMPXCHG, then swaps a word with itself. */
static const uint8_t adding[] = {
	0xf0, 0x48, 0xff, 0x07,		    /* 1: lock inc qword [rdi] */
	0xba, 1,    0,	  0,	0,	    /* mov edx, 1 */
	0xf0, 0x48, 0x0f, 0xc1, 0x17,	    /* lock xadd [rdi], rdx */
	0x31, 0xc0, 0x90,		    /* xor eax, eax; nop: CMPXCHG loads it */
	0x48, 0x8d, 0x50, 0x01,		    /* 2: lea rdx, [rax + 1] */
	0xf0, 0x48, 0x0f, 0xb1, 0x17,	    /* lock cmpxchg [rdi], rdx */
	0x75, 0xf5,			    /* jnz 2b */
	0xff, 0xc9, 0x75, 0xe0,		    /* dec ecx; jnz 1b */
	0x89, 0xd8, 0xe7, PORT, 0xeb, 0xfe, /* mov eax, ebx; out PORT, eax; jmp . */
};

static void add_at(const struct engine *engine, unsigned offset)
{
	struct run runs[N_VCPUS];
	GThread *threads[N_VCPUS];
	uint8_t bytes[8192];
	struct vm vm;

	vm_init(&vm, engine);
	start(&vm, adding, sizeof(adding), WINDOW + offset, LOOPS, runs, threads);
	join(threads);
	g_assert_true(mem_read(vm.env.mem, FIRST, bytes, 4096));
	g_assert_true(mem_read(vm.env.mem, SECOND, bytes + 4096, 4096));
	g_assert_cmpuint(le64_load(bytes + offset), ==, 3ull * N_VCPUS * LOOPS);
	g_assert_true(mem_is_dirty(vm.env.mem, FIRST));
	g_assert_cmpint(mem_is_dirty(vm.env.mem, SECOND), ==, offset + 8 > 4096);
	vm_fini(&vm);
}

static void test_locked(gconstpointer engine)
{
	add_at(engine, 64);
	add_at(engine, 60);
}

/* Over two pages that are not neighbours in RAM. */
static void test_locked_over_pages(gconstpointer engine)
{
	add_at(engine, 4096 - 4);
	add_at(engine, 4096 - 1);
	add_at(engine, 4096 - 7);
}

/* XCHG is locked: what all hold together with what is in memory stays the same four words. */
static void test_exchange_over_pages(gconstpointer engine)
{
	static const uint8_t code[] = {
		0x48, 0x8d, 0x04, 0x5b,		       /* lea rax, [rbx + 2 * rbx] */
		0x48, 0x69, 0xc0, 0x01, 0x01, 1,    1, /* imul rax, rax, 0x01010101 */
		0x48, 0x87, 0x07,		       /* 1: xchg [rdi], rax */
		0xff, 0xc9, 0x75, 0xf9,		       /* dec ecx; jnz 1b */
		0x89, 0xc6,			       /* mov esi, eax */
		0x89, 0xd8, 0xe7, PORT, 0xeb, 0xfe,
	};
	static const uint32_t words[] = {0, 0x03030303, 0x06060606, 0xffffffff};
	struct run runs[N_VCPUS];
	GThread *threads[N_VCPUS];
	unsigned seen[4] = {0};
	uint32_t held[4];
	uint8_t bytes[8];
	struct vm vm;

	vm_init(&vm, engine);
	g_assert_true(mem_write(vm.env.mem, FIRST + 4096 - 2, "\xff\xff", 2));
	g_assert_true(mem_write(vm.env.mem, SECOND, "\xff\xff\0\0\0\0", 6));
	start(&vm, code, sizeof(code), WINDOW + 4096 - 2, 20 * LOOPS, runs, threads);
	join(threads);
	for (unsigned i = 0; i < N_VCPUS; i++) {
		struct x86_state s;

		vm.engine->get_state(vm.vcpus[i], &s);
		held[i] = s.gpr[X86_RSI];
	}
	g_assert_true(mem_read(vm.env.mem, FIRST + 4096 - 2, bytes, 2));
	g_assert_true(mem_read(vm.env.mem, SECOND, bytes + 2, 6));
	held[N_VCPUS] = le32_load(bytes);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned n = 0; n < 4; n++)
			seen[n] += held[i] == words[n];
	for (unsigned n = 0; n < 4; n++)
		g_assert_cmpuint(seen[n], ==, 1);
	vm_fini(&vm);
}

static uint64_t word_at(struct vm *vm, uint64_t gpa)
{
	return atomic_load((_Atomic uint64_t *)mem_hva(vm->env.mem, gpa));
}

/* Each vCPU counts up in its own page for ever, and never leaves it: what is stored after one fetch
 * is in the next. */
static void test_dirty(gconstpointer engine)
{
	static const uint8_t code[] = {
		0x48, 0x69, 0xc3, 0, 0x10, 0, 0, /* imul rax, rbx, 4096 */
		0x48, 0x01, 0xc7,		 /* add rdi, rax */
		0x48, 0xff, 0x07,		 /* 1: inc qword [rdi] */
		0xeb, 0xfb,			 /* jmp 1b */
	};
	enum { PAGES = 0x100000, ROUNDS = 30 };
	uint64_t copies[N_VCPUS] = {0}, words[PAGES / 4096 / 64 + 1];
	struct run runs[N_VCPUS];
	GThread *threads[N_VCPUS];
	struct vm vm;

	vm_init(&vm, engine);
	start(&vm, code, sizeof(code), PAGES, 0, runs, threads);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < N_VCPUS; i++)
			while (word_at(&vm, PAGES + i * 4096) == copies[i])
				g_thread_yield();
		mem_fetch_dirty(vm.env.mem, 0, words, G_N_ELEMENTS(words));
		for (unsigned i = 0; i < N_VCPUS; i++) {
			g_assert_true(words[PAGES / 4096 / 64] >> (PAGES / 4096 + i) % 64 & 1);
			copies[i] = word_at(&vm, PAGES + i * 4096);
		}
	}
	for (unsigned i = 0; i < N_VCPUS; i++)
		vm.engine->kick(vm.vcpus[i]);
	join(threads);
	vm_fini(&vm);
}

int main(int argc, char **argv)
{
	static const struct engine *const engines[] = {&engine_soft, &engine_interp};
	static const struct {
		const char *name;
		GTestDataFunc test;
	} tests[] = {
		{"locked", test_locked},
		{"locked-over-pages", test_locked_over_pages},
		{"exchange-over-pages", test_exchange_over_pages},
		{"dirty", test_dirty},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(engines); i++)
		for (size_t n = 0; n < G_N_ELEMENTS(tests); n++) {
			g_autofree char *path =
				g_strdup_printf("/smp/%s/%s", engines[i]->name, tests[n].name);

			g_test_add_data_func(path, engines[i], tests[n].test);
		}
	return g_test_run();
}
