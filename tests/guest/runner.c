/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs guest programs (guest.h) on an engine: a machine of RAM, a local APIC and two ports.
 *   runner ENGINE PROGRAM...      TAP; a program is an ELF file
 * An ELF64 program starts in 64-bit mode, an ELF32 one in 32-bit protected mode without paging.
 */
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "cpu/engine.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/state.h"

#define RAM_SIZE   (64ull << 20)
#define TIME_LIMIT 60
enum { PML4 = 0x1000, PDPT = 0x2000, DIRECTORY = 0x3000 };

struct run {
	const struct engine *engine;
	struct engine_env env;
	struct vcpu *vcpu;
	int ended; /* atomic */
	uint32_t result;
};

static void exit_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct run *run = opaque;

	g_atomic_int_set(&run->ended, true);
	run->result = value;
	run->engine->kick(run->vcpu);
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

static void set_entry_state(struct run *run, bool is_64bit)
{
	struct x86_state s;

	x86_state_reset(&s, true);
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	s.rip = 0x100000;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s.seg[i] = (struct x86_segment){
			.limit = ~0u,
			.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC | SEG_G | SEG_DB};
	s.seg[X86_CS].attr |= SEG_TYPE_CODE;
	if (is_64bit) {
		s.cr0 |= CR0_PG | CR0_WP;
		s.cr4 = CR4_PAE;
		s.cr3 = PML4;
		s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
		s.seg[X86_CS].attr ^= SEG_L | SEG_DB;
	}
	run->engine->set_state(run->vcpu, &s);
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
	run->engine->kick(run->vcpu);
	return NULL;
}

static const char *run_program(const struct engine *engine, const char *path)
{
	static const struct bus_ops exit_port = {port_read, exit_port_write, 4, 4};
	static const struct bus_ops print_port = {port_read, print_port_write, 1, 1};
	struct run run = {.engine = engine};
	const char *problem = NULL;
	enum engine_exit exit;
	GThread *threads[2];
	bool is_64bit;
	GMutex lock;

	g_mutex_init(&lock);
	run.env = (struct engine_env){.mem = mem_new(RAM_SIZE, NULL),
				      .bus = bus_new(),
				      .clock = clock_new(),
				      .n_vcpus = 1};
	run.env.lapics = lapic_set_new(run.env.bus, run.env.clock, 1);
	bus_map(run.env.bus, BUS_PIO, 0xf4, 4, &exit_port, &run, &lock);
	bus_map(run.env.bus, BUS_PIO, 0x402, 1, &print_port, &run, &lock);
	build_tables(run.env.mem);
	is_64bit = load_program(&run, path);
	run.vcpu = engine->vcpu_new(&run.env, 0, NULL);
	set_entry_state(&run, is_64bit);
	clock_start(run.env.clock);
	threads[0] = g_thread_new("clock", clock_thread, &run);
	threads[1] = g_thread_new("watchdog", watchdog_thread, &run);
	exit = engine->run(run.vcpu);
	if (exit != ENGINE_EXIT_KICK)
		problem = "shut down";
	else if (!run.ended)
		problem = "did not end in time";
	else if (run.result)
		problem = "failed";
	if (exit == ENGINE_EXIT_SHUTDOWN)
		printf("# %s\n", engine->last_error(run.vcpu));
	g_atomic_int_set(&run.ended, true);
	g_thread_join(threads[0]);
	g_thread_join(threads[1]);
	engine->vcpu_free(run.vcpu);
	lapic_set_free(run.env.lapics);
	clock_free(run.env.clock);
	bus_free(run.env.bus);
	mem_free(run.env.mem);
	return problem;
}

int main(int argc, char **argv)
{
	int failed = 0;

	printf("1..%d\n", argc - 2);
	for (int i = 2; i < argc; i++) {
		g_autofree char *name = g_path_get_basename(argv[i]);
		const char *problem = run_program(&engine_soft, argv[i]);

		printf("%s %d - %s on %s%s%s\n", problem ? "not ok" : "ok", i - 1, name, argv[1],
		       problem ? ": " : "", problem ? problem : "");
		failed += problem != NULL;
	}
	return failed != 0;
}
