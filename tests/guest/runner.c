/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs guest programs (guest.h) on an engine: a machine of RAM, local APICs and a few ports.
 *   runner [--cpu=MODEL] [--vcpus=2] ENGINE[,ENGINE] PROGRAM...      TAP; a program is an ELF file
 * An ELF64 program starts in 64-bit mode, an ELF32 one in 32-bit protected mode without paging.
 * With two engines a program starts on the first and changes to the other one wherever it asks for
 * it. Without a model the processor is the host's. Besides the engines there are "translated": soft,
 * with every block translated before it runs first; and "lockstep": the same, compared with the
 * interpreter.
 */
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "cpu/engine.h"
#include "cpu/engine_choose.h"
#include "cpu/jit/jit.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

#define RAM_SIZE   (64ull << 20)
#define TIME_LIMIT 60
enum { PML4 = 0x1000, PDPT = 0x2000, DIRECTORY = 0x3000 };

struct run {
	const struct engine *const *engines; /* two */
	const struct engine *engine;	     /* the present one */
	const struct x86_model *model;
	struct engine_env env;
	GMutex vcpu_lock; /* of `engine` and `vcpu`, which the watchdog kicks */
	struct vcpu *vcpu;
	struct vcpu *second; /* NULL: there is one */
	GThread *second_thread;
	uint64_t second_rip;
	unsigned n_vcpus;
	int ended;	      /* atomic */
	unsigned n_shutdowns; /* so far */
	bool expects_shutdown;
	bool hand_over;
	bool emulated;
	uint32_t result;
	struct timer smi, late;
	uint32_t late_machine_check;
	bool machine_check_taken;
};

static void kick_all(struct run *run)
{
	run->engine->kick(run->vcpu);
	if (run->second)
		run->engine->kick(run->second);
}

static void end(struct run *run, uint32_t result)
{
	run->result = result;
	g_atomic_int_set(&run->ended, true);
	kick_all(run);
}

static void exit_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	end(opaque, value);
}

/* The next instruction is the other engine's. */
static void hand_over_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;

	run->hand_over = true;
	run->engine->kick(run->vcpu);
}

/* What the program is to be lenient for (guest.h): bit 0 a KVM that emulates, bit 1 any KVM. */
static uint64_t hand_over_port_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct run *run = opaque;
	bool kvm = run->engines[0] == &engine_kvm || run->engines[1] == &engine_kvm;

	return run->emulated | kvm << 1;
}

/* Bit 1: the A20 gate, as at the PC's port 92h. */
static void a20_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	mem_set_a20(((struct run *)opaque)->env.mem, value & 2);
}

/* A program that shuts down runs again, and asks how often it has. */
static uint64_t shutdown_port_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((const struct run *)opaque)->n_shutdowns;
}

static void shutdown_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	((struct run *)opaque)->expects_shutdown = true;
}

/* 1: SMI# a millisecond later. */
static void smi_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;

	timer_set(&run->smi, clock_now_ns(run->env.clock) + 1000000);
}

static void raise_smi(void *opaque)
{
	bus_smi(((struct run *)opaque)->env.bus);
}

/* 1 closes the 128 KiB at A0000h to all but system-management mode, 0 opens them. */
static void smram_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;

	mem_set_smram(run->env.mem, MEM_SMRAM_COMPATIBLE, 0xa0000, value ? 0x20000 : 0);
}

static void print_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	putchar(value);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

/* Returns whether it is a 64-bit program. */
static bool load_program(struct run *run, const char *path)
{
	g_autofree char *data = NULL;
	const uint8_t *elf;
	bool is_64bit;
	gsize len;

	g_assert_true(g_file_get_contents(path, &data, &len, NULL));
	elf = (const uint8_t *)data;
	is_64bit = elf[4] == 2;
	for (unsigned i = 0; i < le16_load(elf + (is_64bit ? 56 : 44)); i++) {
		const uint8_t *ph = elf + (is_64bit ? le64_load(elf + 32) + 56 * i
						    : le32_load(elf + 28) + 32 * i);
		uint64_t offset = is_64bit ? le64_load(ph + 8) : le32_load(ph + 4);
		uint64_t gpa = is_64bit ? le64_load(ph + 24) : le32_load(ph + 12);
		uint64_t size = is_64bit ? le64_load(ph + 32) : le32_load(ph + 16);

		if (le32_load(ph) == 1)
			g_assert_true(mem_write(run->env.mem, gpa, elf + offset, size));
	}
	return is_64bit;
}

static void build_tables(struct mem *mem)
{
	uint64_t entry = PDPT | 3;

	g_assert_true(mem_write(mem, PML4, &entry, 8));
	entry = DIRECTORY | 3;
	g_assert_true(mem_write(mem, PDPT, &entry, 8));
	for (unsigned i = 0; i < 512; i++) {
		entry = (uint64_t)i << 21 | 0x83;
		g_assert_true(mem_write(mem, DIRECTORY + 8 * i, &entry, 8));
	}
}

static void set_entry_state(struct run *run, struct vcpu *vcpu, bool is_64bit, uint64_t rip)
{
	struct x86_state s;

	x86_state_reset(&s, true);
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	s.rip = rip;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s.seg[i] = (struct x86_segment){.limit = ~0u,
						.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC |
							SEG_G | SEG_DB};
	s.seg[X86_CS].attr |= SEG_TYPE_CODE;
	if (is_64bit) {
		s.cr0 |= CR0_PG | CR0_WP;
		s.cr4 = CR4_PAE;
		s.cr3 = PML4;
		s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
		s.seg[X86_CS].attr ^= SEG_L | SEG_DB;
	}
	run->engine->set_state(vcpu, &s);
}

static gpointer second_thread(gpointer opaque)
{
	struct run *run = opaque;

	set_entry_state(run, run->second, true, run->second_rip);
	while (!g_atomic_int_get(&run->ended))
		if (run->engine->run(run->second) != ENGINE_EXIT_KICK)
			end(run, 2);
	return NULL;
}

/* The second processor starts at this address, as the first one has. */
static void start_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;

	if (!run->second || run->second_thread)
		return;
	run->second_rip = value;
	run->second_thread = g_thread_new("second", second_thread, run);
}

/* How many processors there are. */
static uint64_t start_port_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((const struct run *)opaque)->n_vcpus;
}

/* Tells the processor of the error whose five values (struct engine_machine_check) are there. */
static void machine_check_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;
	struct engine_machine_check error;
	uint64_t v[5];

	g_assert_true(mem_read(run->env.mem, value, v, sizeof(v)));
	error = (struct engine_machine_check){v[0], v[1], v[2], v[3], v[4]};
	run->machine_check_taken = run->engine->machine_check(run->vcpu, &error);
}

/* 1: the last one was taken. */
static uint64_t machine_check_port_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((const struct run *)opaque)->machine_check_taken;
}

/* The same in a millisecond, from another thread. */
static void late_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;

	run->late_machine_check = value;
	timer_set(&run->late, clock_now_ns(run->env.clock) + 1000000);
}

static void machine_check_late(void *opaque)
{
	machine_check_port_write(opaque, 0, ((struct run *)opaque)->late_machine_check, 4);
}

struct dma {
	struct mem *mem;
	uint64_t gpa;
};

static gpointer dma_thread(gpointer opaque)
{
	const struct dma *dma = opaque;
	uint32_t v;

	g_assert_true(mem_read(dma->mem, dma->gpa, &v, 4));
	v++;
	g_assert_true(mem_write(dma->mem, dma->gpa, &v, 4));
	return NULL;
}

/* A device's thread increments what is there. */
static void dma_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct dma dma = {((struct run *)opaque)->env.mem, value};

	g_thread_join(g_thread_new("dma", dma_thread, &dma));
}

/* The clock's timers, on a thread of their own as in a VM. */
static gpointer clock_thread(gpointer opaque)
{
	struct run *run = opaque;
	GPollFD fd = {.fd = clock_fd(run->env.clock), .events = G_IO_IN};

	while (!g_atomic_int_get(&run->ended))
		if (g_poll(&fd, 1, 50) > 0)
			clock_run_due(run->env.clock);
	return NULL;
}

static gpointer watchdog_thread(gpointer opaque)
{
	struct run *run = opaque;

	for (unsigned i = 0; i < TIME_LIMIT * 20 && !g_atomic_int_get(&run->ended); i++)
		g_usleep(50000);
	g_mutex_lock(&run->vcpu_lock);
	kick_all(run);
	g_mutex_unlock(&run->vcpu_lock);
	return NULL;
}

static void change_engine(struct run *run)
{
	const struct engine *to = run->engines[run->engine == run->engines[0]];
	struct x86_state state;

	clock_stop(run->env.clock);
	g_mutex_lock(&run->vcpu_lock);
	run->engine->get_state(run->vcpu, &state);
	run->engine->vcpu_free(run->vcpu);
	run->engine = to;
	run->vcpu = to->vcpu_new(&run->env, 0, NULL);
	g_assert_nonnull(run->vcpu);
	to->set_state(run->vcpu, &state);
	g_mutex_unlock(&run->vcpu_lock);
	clock_start(run->env.clock);
}

static enum engine_exit run_to_end(struct run *run)
{
	for (;;) {
		enum engine_exit exit = run->engine->run(run->vcpu);

		if (!run->hand_over || exit != ENGINE_EXIT_KICK)
			return exit;
		run->hand_over = false;
		change_engine(run);
	}
}

static void build_machine(struct run *run, GMutex *lock)
{
	static const struct bus_ops exit_port = {port_read, exit_port_write, 4, 4};
	static const struct bus_ops hand_over_port = {hand_over_port_read, hand_over_port_write, 1,
						      1};
	static const struct bus_ops print_port = {port_read, print_port_write, 1, 1};
	static const struct bus_ops smi_port = {port_read, smi_port_write, 1, 1};
	static const struct bus_ops smram_port = {port_read, smram_port_write, 1, 1};
	static const struct bus_ops a20_port = {port_read, a20_port_write, 1, 1};
	static const struct bus_ops shutdown_port = {shutdown_port_read, shutdown_port_write, 1, 1};
	static const struct bus_ops start_port = {start_port_read, start_port_write, 4, 4};
	static const struct bus_ops machine_check_port = {machine_check_port_read,
							  machine_check_port_write, 4, 4};
	static const struct bus_ops late_port = {port_read, late_port_write, 4, 4};
	static const struct bus_ops dma_port = {port_read, dma_port_write, 4, 4};

	run->env = (struct engine_env){.mem = mem_new(RAM_SIZE, NULL),
				       .bus = bus_new(),
				       .clock = clock_new(),
				       .model = run->model,
				       .n_vcpus = run->n_vcpus};
	run->env.lapics = lapic_set_new(run->env.bus, run->env.clock, run->n_vcpus);
	bus_map(run->env.bus, BUS_PIO, 0xf4, 4, &exit_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xf8, 1, &hand_over_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0x402, 1, &print_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xfa, 1, &smi_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xfb, 1, &smram_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0x92, 1, &a20_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xfc, 1, &shutdown_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xe0, 4, &start_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xe4, 4, &dma_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xe8, 4, &machine_check_port, run, lock);
	bus_map(run->env.bus, BUS_PIO, 0xec, 4, &late_port, run, lock);
	timer_init(&run->late, run->env.clock, NULL, machine_check_late, run);
	timer_init(&run->smi, run->env.clock, NULL, raise_smi, run);
}

static void free_machine(struct run *run)
{
	timer_fini(&run->smi);
	timer_fini(&run->late);
	lapic_set_free(run->env.lapics);
	clock_free(run->env.clock);
	bus_free(run->env.bus);
	mem_free(run->env.mem);
}

/* Runs it once; what is wrong, or NULL. `*n_shutdowns` counts those that the program announced. */
static const char *run_once(struct run start, const char *path, unsigned *n_shutdowns)
{
	struct run run = start;
	const char *problem = NULL;
	enum engine_exit exit;
	GThread *threads[2];
	bool is_64bit;
	GMutex lock;

	g_mutex_init(&lock);
	g_mutex_init(&run.vcpu_lock);
	build_machine(&run, &lock);
	build_tables(run.env.mem);
	is_64bit = load_program(&run, path);
	run.vcpu = run.engine->vcpu_new(&run.env, 0, NULL);
	if (run.n_vcpus > 1)
		run.second = run.engine->vcpu_new(&run.env, 1, NULL);
	set_entry_state(&run, run.vcpu, is_64bit, 0x100000);
	clock_start(run.env.clock);
	threads[0] = g_thread_new("clock", clock_thread, &run);
	threads[1] = g_thread_new("watchdog", watchdog_thread, &run);
	exit = run_to_end(&run);
	if (exit == ENGINE_EXIT_SHUTDOWN && run.expects_shutdown)
		++*n_shutdowns;
	else if (exit != ENGINE_EXIT_KICK)
		problem = "shut down";
	else if (run.expects_shutdown)
		problem = "did not shut down";
	else if (!run.ended)
		problem = "did not end in time";
	else if (run.result)
		problem = "failed";
	if (exit != ENGINE_EXIT_KICK && problem)
		printf("# %s\n", run.engine->last_error(run.vcpu));
	g_atomic_int_set(&run.ended, true);
	g_thread_join(threads[0]);
	g_thread_join(threads[1]);
	kick_all(&run);
	if (run.second_thread)
		g_thread_join(run.second_thread);
	if (run.second)
		run.engine->vcpu_free(run.second);
	run.engine->vcpu_free(run.vcpu);
	free_machine(&run);
	return problem;
}

static const char *run_program(const struct engine *const engines[2], const struct x86_model *model,
			       unsigned n_vcpus, bool emulated, const char *path)
{
	struct run run = {.engines = engines,
			  .engine = engines[0],
			  .model = model,
			  .n_vcpus = n_vcpus,
			  .emulated = emulated};
	const char *problem;
	unsigned before;

	do {
		before = run.n_shutdowns;
		problem = run_once(run, path, &run.n_shutdowns);
	} while (!problem && run.n_shutdowns != before);
	return problem;
}

static struct vcpu *translated_new(struct engine_env *env, unsigned id, GError **error)
{
	struct vcpu *vcpu = engine_soft.vcpu_new(env, id, error);

	if (vcpu)
		jit_set_threshold((struct cpu *)vcpu, 1);
	return vcpu;
}

static struct vcpu *lockstep_vcpu_new(struct engine_env *env, unsigned id, GError **error)
{
	struct vcpu *vcpu;

	env->lockstep = 1;
	vcpu = translated_new(env, id, error);
	env->lockstep = 0;
	return vcpu;
}

static const struct engine *find_engine(const char *name)
{
	static struct engine translated, lockstep;
	static const struct engine *const engines[] = {&engine_soft, &engine_interp, &engine_kvm,
						       &translated, &lockstep};

	translated = engine_soft;
	translated.name = "translated";
	translated.vcpu_new = translated_new;
	lockstep = engine_soft;
	lockstep.name = "lockstep";
	lockstep.vcpu_new = lockstep_vcpu_new;

	for (size_t i = 0; i < G_N_ELEMENTS(engines); i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	g_assert_not_reached();
}

static bool is_elf32(const char *path)
{
	g_autofree char *data = NULL;
	gsize len;

	return g_file_get_contents(path, &data, &len, NULL) && len > 4 && data[4] == 1;
}

int main(int argc, char **argv)
{
	struct x86_model model = *x86_model_host();
	const struct engine *engines[2];
	bool emulated = false;
	unsigned n_vcpus = 1;
	int failed = 0;

	if (g_str_has_prefix(argv[1], "--cpu=")) {
		g_autoptr(GError) error = NULL;

		if (!x86_model_parse(&model, argv[1] + strlen("--cpu="), &error)) {
			printf("1..0 # SKIP %s\n", error->message);
			return 0;
		}
		argv++;
		argc--;
	}
	if (!strcmp(argv[1], "--vcpus=2")) {
		n_vcpus = 2;
		argv++;
		argc--;
	}

	g_auto(GStrv) names = g_strsplit(argv[1], ",", 2);

	for (unsigned i = 0; i < 2; i++) {
		g_autoptr(GError) error = NULL;
		double mips;

		engines[i] = find_engine(names[1] && i ? names[1] : names[0]);
		mips = engine_measure(engines[i], &error);
		if (error) {
			printf("1..0 # SKIP %s\n", error->message);
			return 0;
		}
		emulated |= engines[i] == &engine_kvm && mips < ENGINE_KVM_MIN_MIPS;
	}
	printf("1..%d\n", argc - 2);
	for (int i = 2; i < argc; i++) {
		g_autofree char *name = g_path_get_basename(argv[i]);
		const char *problem;

		if (emulated && is_elf32(argv[i])) {
			printf("ok %d - %s # SKIP such a KVM lacks 32-bit paging, v86 and tasks\n",
			       i - 1, name);
			continue;
		}
		problem = run_program(engines, &model, n_vcpus, emulated, argv[i]);
		printf("%s %d - %s on %s%s%s\n", problem ? "not ok" : "ok", i - 1, name, argv[1],
		       problem ? ": " : "", problem ? problem : "");
		failed += problem != NULL;
	}
	return failed != 0;
}
