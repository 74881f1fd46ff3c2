/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What mem shows is what code finds: ROMs, shadowed segments, frame buffers that move, closed SMRAM; on every
 * engine, KVM's skipped where it does not run.
 */
#include <string.h>

#include "cpu/engine.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	DIRECTORY = 0x3000, /* the first 2 MiB, and VRAM's at 2 MiB */
	CODE = 0x4000,
	DATA = 0x10000,
	LOOP = 0x20000,
	SMRAM = 0xa0000,
	SEGMENT = 0xf0000,
	SEGMENT_SIZE = 0x10000,
	END_PORT = 0xf4, /* ends the first vCPU's run */
	SHOW_PORT = 0xf8,
};
#define VRAM	   0xe0000000ull
#define OTHER_VRAM (VRAM + 0x100000)
#define BANK_SIZE  0x10000ull

struct fixture;

struct row {
	const struct engine *engine;
	const char *name;
	void (*test)(struct fixture *f);
	void (*show)(struct fixture *f, uint32_t value); /* at SHOW_PORT */
	unsigned n_vcpus;
};

struct fixture {
	const struct row *row;
	const struct engine *engine;
	struct engine_env env;
	struct vcpu *vcpus[2];
	struct mem_bank *bank;
	GMutex lock;
	uint32_t ended_with;
	uint64_t segment_offset, segment_value; /* what the bus had for SEGMENT */
	uint64_t dirty;				/* the bank's, when last taken */
};

static uint64_t read_port(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

static void write_end(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct fixture *f = opaque;

	f->ended_with = value;
	f->engine->kick(f->vcpus[0]);
}

static void write_show(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct fixture *f = opaque;

	f->row->show(f, value);
}

static uint64_t read_segment(void *opaque, uint64_t offset, unsigned size)
{
	return 0x5e5e5e5e5e5e5e5e;
}

static void write_segment(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct fixture *f = opaque;

	f->segment_offset = offset;
	f->segment_value = value;
}

static void map_registers(struct fixture *f)
{
	static const struct bus_ops end_ops = {read_port, write_end, 4, 4},
				    show_ops = {read_port, write_show, 4, 4},
				    segment_ops = {read_segment, write_segment, 1, 8};

	g_assert_true(bus_map(f->env.bus, BUS_PIO, END_PORT, 4, &end_ops, f, &f->lock));
	g_assert_true(bus_map(f->env.bus, BUS_PIO, SHOW_PORT, 4, &show_ops, f, &f->lock));
	g_assert_true(bus_map(f->env.bus, BUS_MMIO, SEGMENT, SEGMENT_SIZE, &segment_ops, f, &f->lock));
}

static bool make_vcpus(struct fixture *f)
{
	g_autoptr(GError) error = NULL;

	for (unsigned i = 0; i < f->env.n_vcpus; i++) {
		f->vcpus[i] = f->engine->vcpu_new(&f->env, i, &error);
		if (f->vcpus[i])
			continue;
		g_test_skip(error->message);
		return false;
	}
	return true;
}

static void run_test(gconstpointer opaque)
{
	static const uint64_t tables[][2] = {{PML4, PDPT | 3},
					     {PDPT, DIRECTORY | 3},
					     {DIRECTORY, 0x83},
					     {DIRECTORY + 8, VRAM | 0x83}};
	const struct row *row = opaque;
	struct fixture f = {
		.row = row,
		.engine = row->engine,
		.env = {.mem = mem_new(MEM_MIN_SIZE, NULL), .bus = bus_new(), .clock = clock_new()}};

	g_mutex_init(&f.lock);
	f.env.n_vcpus = row->n_vcpus;
	f.env.lapics = lapic_set_new(f.env.bus, f.env.clock, f.env.n_vcpus);
	f.bank = mem_bank_new(f.env.mem, BANK_SIZE, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tables); i++)
		g_assert_true(mem_write(f.env.mem, tables[i][0], &tables[i][1], 8));
	map_registers(&f);
	if (make_vcpus(&f)) {
		clock_start(f.env.clock);
		row->test(&f);
	}
	for (unsigned i = 0; i < f.env.n_vcpus; i++)
		f.engine->vcpu_free(f.vcpus[i]);
	lapic_set_free(f.env.lapics);
	clock_free(f.env.clock);
	bus_free(f.env.bus);
	mem_free(f.env.mem);
	g_mutex_clear(&f.lock);
}

static void set_code(struct fixture *f, unsigned vcpu, uint64_t rip)
{
	struct x86_state s;

	x86_state_reset(&s, true);
	x86_state_enter_long(&s, PML4, rip);
	f->engine->set_state(f->vcpus[vcpu], &s);
}

/* Until the code writes END_PORT: what it wrote. */
static uint32_t run_at(struct fixture *f, uint64_t rip)
{
	enum engine_exit exit;

	set_code(f, 0, rip);
	exit = f->engine->run(f->vcpus[0]);
	if (exit != ENGINE_EXIT_KICK)
		g_test_message("%s", f->engine->last_error(f->vcpus[0]));
	g_assert_cmpint(exit, ==, ENGINE_EXIT_KICK);
	return f->ended_with;
}

static uint32_t run_code(struct fixture *f, const uint8_t *code, size_t len)
{
	g_assert_true(mem_write(f->env.mem, CODE, code, len));
	return run_at(f, CODE);
}

static void show_rom(struct fixture *f)
{
	mem_show(f->env.mem, SEGMENT, SEGMENT_SIZE, f->bank, 0, MEM_READ);
}

static void show_ram(struct fixture *f, uint32_t value)
{
	mem_show(f->env.mem, SEGMENT, SEGMENT_SIZE, NULL, 0, MEM_READ_WRITE);
}

/* Code in a ROM writes to the ROM: that is the bus's. */
static void test_rom(struct fixture *f)
{
	static const uint8_t code[] = {
		0xc7, 0x04, 0x25, 0x00, 0x10, 0x0f, 0x00, 0x78, 0x56, 0x34, 0x12, /* mov dword [f1000h], 12345678h */
		0x8b, 0x04, 0x25, 0x00, 0x10, 0x0f, 0x00,			  /* mov eax, [f1000h] */
		0xe7, END_PORT,
	};

	memset(mem_bank_data(f->bank), 0x42, BANK_SIZE);
	memcpy(mem_bank_data(f->bank), code, sizeof(code));
	show_rom(f);
	g_assert_cmphex(run_at(f, SEGMENT), ==, 0x42424242);
	g_assert_cmphex(f->segment_offset, ==, 0x1000);
	g_assert_cmphex(f->segment_value, ==, 0x12345678);
	g_assert_cmphex(mem_bank_data(f->bank)[0x1000], ==, 0x42);
}

/* The ROM's code has RAM shown in its place, and goes on there. */
static void test_shadow(struct fixture *f)
{
	uint8_t code[] = {
		0xe7, SHOW_PORT, 0xeb, 0x00,				    /* jmp to the next */
		0xb8, 0x11, 0x11, 0x11, 0x11, 0x89, 0x04, 0x25, 0, 0, 15, 0, /* mov eax, 11111111h; mov [f0000h], eax */
		0xe7, END_PORT,
	};

	memcpy(mem_bank_data(f->bank), code, sizeof(code));
	code[5] = 0x22;
	g_assert_true(mem_write(f->env.mem, SEGMENT, code, sizeof(code)));
	show_rom(f);
	g_assert_cmphex(run_at(f, SEGMENT), ==, 0x11111122);
	g_assert_cmphex(f->segment_value, ==, 0);
	g_assert_cmphex(*mem_hva(f->env.mem, SEGMENT), ==, 0x22);
	g_assert_cmphex(mem_bank_data(f->bank)[0], ==, 0xe7);
}

/* As a flash that is told a command: no memory any more. */
static void show_nothing(struct fixture *f, uint32_t value)
{
	mem_set_access(f->env.mem, SEGMENT, SEGMENT_SIZE, MEM_NO_ACCESS);
}

static const uint8_t show_and_read[] = {
	0xe7, SHOW_PORT, 0xeb, 0x00, 0x8b, 0x04, 0x25, 0, 0, 15, 0, /* mov eax, [f0000h] */
	0xe7, END_PORT,
};

static void test_no_access(struct fixture *f)
{
	show_rom(f);
	g_assert_cmphex(run_code(f, show_and_read, sizeof(show_and_read)), ==, 0x5e5e5e5e);
}

static void close_smram(struct fixture *f, uint32_t value)
{
	mem_set_smram(f->env.mem, MEM_SMRAM_COMPATIBLE, SEGMENT, 0x1000);
}

static void test_smram(struct fixture *f)
{
	g_assert_cmphex(run_code(f, show_and_read, sizeof(show_and_read)), ==, 0x5e5e5e5e);
	mem_set_smram(f->env.mem, MEM_SMRAM_COMPATIBLE, 0, 0);
	g_assert_cmphex(run_code(f, show_and_read + 4, sizeof(show_and_read) - 4), ==, 0);
}

static void move_vram(struct fixture *f, uint32_t value)
{
	mem_show(f->env.mem, VRAM, BANK_SIZE, NULL, 0, MEM_NO_ACCESS);
	mem_bank_take(f->bank, &f->dirty);
	mem_show(f->env.mem, OTHER_VRAM, BANK_SIZE, f->bank, 0, MEM_READ_WRITE);
}

static uint64_t take_dirty(struct fixture *f)
{
	mem_bank_collect(f->bank);
	mem_bank_take(f->bank, &f->dirty);
	return f->dirty;
}

/* What was written is there, before and after, and its owner knows. */
static void test_moving(struct fixture *f)
{
	static const uint8_t code[] = {
		0xc6, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0x11, /* mov byte [200000h], 11h */
		0xe7, SHOW_PORT, 0xeb, 0x00,
		0xc6, 0x04, 0x25, 0x00, 0x20, 0x30, 0x00, 0x22, /* mov byte [302000h], 22h */
		0x8b, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00,	/* mov eax, [200000h] */
		0xe7, END_PORT,
	};

	mem_show(f->env.mem, VRAM, BANK_SIZE, f->bank, 0, MEM_READ_WRITE);
	take_dirty(f);
	g_assert_cmphex(run_code(f, code, sizeof(code)), ==, 0xffffffff);
	g_assert_cmphex(mem_bank_data(f->bank)[0], ==, 0x11);
	g_assert_cmphex(mem_bank_data(f->bank)[0x2000], ==, 0x22);
	g_assert_cmphex(f->dirty, ==, 1);
	take_dirty(f); /* all of it, since it moved */
	g_assert_cmphex(run_at(f, CODE + 12), ==, 0xffffffff);
	g_assert_cmphex(take_dirty(f), ==, 4);
}

/* What was written before RAM's memory was cut in pieces is in the log. */
static void test_dirty_log(struct fixture *f)
{
	static const uint8_t code[] = {
		0xc6, 0x04, 0x25, 0, 0, 1, 0, 1, /* mov byte [DATA], 1 */
		0xe7, SHOW_PORT,		 /* nothing */
		0xc6, 0x04, 0x25, 0, 0x20, 1, 0, 1, 0xe7, END_PORT,
	};
	uint64_t word;

	g_assert_true(!f->engine->log_dirty || f->engine->log_dirty(&f->env, true, NULL));
	mem_fetch_dirty(f->env.mem, 0, &word, 1);
	run_code(f, code, sizeof(code));
	g_assert_true(!f->engine->fetch_dirty || f->engine->fetch_dirty(&f->env, NULL));
	g_assert_true(mem_is_dirty(f->env.mem, DATA));
	g_assert_false(mem_is_dirty(f->env.mem, DATA + 0x1000));
	g_assert_true(mem_is_dirty(f->env.mem, DATA + 0x2000));
	g_assert_true(!f->engine->log_dirty || f->engine->log_dirty(&f->env, false, NULL));
}

static gpointer run_second(gpointer opaque)
{
	struct fixture *f = opaque;
	enum engine_exit exit = f->engine->run(f->vcpus[1]);

	if (exit != ENGINE_EXIT_KICK)
		g_test_message("%s", f->engine->last_error(f->vcpus[1]));
	g_assert_cmpint(exit, ==, ENGINE_EXIT_KICK);
	return NULL;
}

static void show_either(struct fixture *f, uint32_t value)
{
	if (value % 2)
		show_rom(f);
	else
		show_ram(f, 0);
}

/* One has the segment show this and that, while another runs from RAM beside it. */
static void test_two(struct fixture *f)
{
	static const uint8_t loop[] = {
		0xff, 0x04, 0x25, 0, 0, 1, 0, /* inc dword [DATA] */
		0xeb, 0xf7,
	};
	static const uint8_t code[] = {
		0xb9, 200,  0,	  0,	0,    /* mov ecx, 200 */
		0x8b, 0x1c, 0x25, 0,	0, 1, 0, /* mov ebx, [DATA] */
		0x3b, 0x1c, 0x25, 0,	0, 1, 0, /* until it has changed */
		0x74, 0xf7, 0x89, 0xc8,		 /* mov eax, ecx */
		0xe7, SHOW_PORT, 0xff, 0xc9, 0x75, 0xe6, 0xe7, END_PORT,
	};
	GThread *second;

	g_assert_true(mem_write(f->env.mem, LOOP, loop, sizeof(loop)));
	set_code(f, 1, LOOP);
	second = g_thread_new("second", run_second, f);
	g_assert_cmpuint(run_code(f, code, sizeof(code)), ==, 1);
	f->engine->kick(f->vcpus[1]);
	g_thread_join(second);
}

/* Where there is no system-management mode an SMI is forgotten. */
static void test_smi(struct fixture *f)
{
	static const uint8_t code[] = {0xe7, END_PORT};

	if (!f->engine->no_smm)
		return;
	bus_smi(f->env.bus);
	run_code(f, code, sizeof(code));
	g_assert_false(lapic_pending(lapic_get(f->env.lapics, 0), LAPIC_ACCEPT_SMI));
}

int main(int argc, char **argv)
{
	static const struct engine *const engines[] = {&engine_kvm, &engine_soft, &engine_interp};
	static const struct row tests[] = {
		{.name = "rom", .test = test_rom, .n_vcpus = 1},
		{.name = "shadow", .test = test_shadow, .show = show_ram, .n_vcpus = 1},
		{.name = "no-access", .test = test_no_access, .show = show_nothing, .n_vcpus = 1},
		{.name = "smram", .test = test_smram, .show = close_smram, .n_vcpus = 1},
		{.name = "moving", .test = test_moving, .show = move_vram, .n_vcpus = 1},
		{.name = "dirty-log", .test = test_dirty_log, .show = show_nothing, .n_vcpus = 1},
		{.name = "two", .test = test_two, .show = show_either, .n_vcpus = 2},
		{.name = "smi", .test = test_smi, .n_vcpus = 1},
	};
	struct row rows[G_N_ELEMENTS(engines) * G_N_ELEMENTS(tests)];

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *path = NULL;

		rows[i] = tests[i % G_N_ELEMENTS(tests)];
		rows[i].engine = engines[i / G_N_ELEMENTS(tests)];
		path = g_strdup_printf("/%s/%s", rows[i].engine->name, rows[i].name);
		g_test_add_data_func(path, &rows[i], run_test);
	}
	return g_test_run();
}
