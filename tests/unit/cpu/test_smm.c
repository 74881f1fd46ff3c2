/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RSM with whatever a guest may have written into the state-save area; what it does with a good one
 * is for tests/guest/smm.c. */
#include <string.h>

#include "base/le.h"
#include "cpu/engine.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

#define AREA 0x3fe00u

struct vm {
	struct engine_env env;
	struct vcpu *vcpu;
};

static void vm_init(struct vm *vm, const struct x86_model *model)
{
	const struct engine_debug step = {.step = true};

	*vm = (struct vm){.env = {.mem = mem_new(MEM_MIN_SIZE, NULL),
				  .bus = bus_new(),
				  .clock = clock_new_manual(),
				  .model = model,
				  .n_vcpus = 1}};
	vm->env.lapics = lapic_set_new(vm->env.bus, vm->env.clock, 1);
	vm->vcpu = engine_soft.vcpu_new(&vm->env, 0, NULL);
	g_assert_true(mem_write(vm->env.mem, 0x38000, "\x0f\xaa", 2));
	g_assert_true(engine_soft.set_debug(vm->vcpu, &step));
}

static void vm_fini(struct vm *vm)
{
	engine_soft.vcpu_free(vm->vcpu);
	lapic_set_free(vm->env.lapics);
	clock_free(vm->env.clock);
	bus_free(vm->env.bus);
	mem_free(vm->env.mem);
}

/* The handler's only instruction is RSM. */
static enum engine_exit run_rsm(struct vm *vm, struct x86_state *after)
{
	enum engine_exit exit;
	struct x86_state s;

	x86_state_reset(&s, true);
	s.smm = s.nmi_masked = true;
	s.rip = 0x8000;
	s.seg[X86_CS].base = 0x30000;
	s.seg[X86_CS].selector = 0x3000;
	engine_soft.set_state(vm->vcpu, &s);
	exit = engine_soft.run(vm->vcpu);
	engine_soft.get_state(vm->vcpu, after);
	return exit;
}

/* Real mode at 0:0500, as an SMI finds it. */
static void put_good_area(struct vm *vm)
{
	uint8_t area[512] = {0};

	for (unsigned i = 0; i < 6; i++) {
		le16_store(area + 16 * i + 2, i == 1 ? 0x9b : 0x93);
		le32_store(area + 16 * i + 4, 0xffff);
	}
	le64_store(area + 0x158, 0x60000010);
	le64_store(area + 0x170, 2);
	le64_store(area + 0x178, 0x500);
	le32_store(area + 0x100, 0x30000);
	g_assert_true(mem_write(vm->env.mem, AREA, area, sizeof(area)));
}

static void test_shutdown(void)
{
	static const struct {
		unsigned offset;
		uint64_t value;
		bool runs;
	} cases[] = {
		{0x158, 0x60000010, true}, /* CR0 as it was */
		{0x158, 0xe0000010},	   /* PG without PE */
		{0x158, 0x20000010},	   /* NW without CD */
		{0x158, 0x160000010},	   /* bit 32 */
		{0x148, 1 << 20, true},	   /* CR4: SMEP */
		{0x148, 1 << 30},	   /* and what is reserved */
		{0x148, 1 << 17},	   /* PCIDE outside long mode */
		{0x0d0, 0x501, true},	   /* EFER: LMA does not count */
		{0x0d0, 0x2},
		{0x150, 1ull << 40}, /* CR3 */
		{0x150, 0xfff, true},
		{0x178, 0x123456789, true}, /* RIP */
	};
	struct x86_state s;
	struct vm vm;

	vm_init(&vm, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		put_good_area(&vm);
		g_assert_true(mem_write(vm.env.mem, AREA + cases[i].offset, &cases[i].value, 8));
		g_assert_cmpint(run_rsm(&vm, &s), ==,
				cases[i].runs ? ENGINE_EXIT_DEBUG : ENGINE_EXIT_SHUTDOWN);
		g_assert_cmpint(s.smm, ==, !cases[i].runs);
		g_assert_false(cases[i].runs && (s.nmi_masked || (s.efer & EFER_LMA)));
	}
	/* The state of system-management mode is part of the stream. */
	put_good_area(&vm);
	g_assert_true(mem_write(vm.env.mem, AREA + 0x100, &(uint32_t){0x7fff0000}, 4));
	run_rsm(&vm, &s);
	g_assert_cmphex(s.smbase, ==, 0x7fff0000);
	g_autoptr(GByteArray) stream = g_byte_array_new();
	struct x86_state loaded;

	s.smm = s.nmi_masked_before_smm = true;
	state_save(&x86_state_table, 0, &s, stream);
	x86_state_reset(&loaded, true);
	g_assert_cmphex(loaded.smbase, ==, 0x30000);
	g_assert_true(state_load(&x86_state_table, 0, &loaded,
				 &(struct state_reader){stream->data, stream->len}, NULL));
	g_assert_true(loaded.smm && loaded.nmi_masked_before_smm);
	g_assert_cmphex(loaded.smbase, ==, 0x7fff0000);
	x86_state_init(&loaded, true);
	g_assert_cmphex(loaded.smbase, ==, 0x7fff0000);
	g_assert_false(loaded.smm);
	vm_fini(&vm);
}

/* Any bytes: it goes on in a state that can be lived with, or shuts down. */
static void test_hostile(void)
{
	static const char *const models[] = {"host", "pentium3"};
	g_autoptr(GRand) rng = g_rand_new_with_seed(1);
	unsigned ran[2] = {0};

	for (unsigned m = 0; m < G_N_ELEMENTS(models); m++) {
		struct x86_model model;
		struct vm vm;

		g_assert_true(x86_model_parse(&model, models[m], NULL));
		vm_init(&vm, &model);
		for (unsigned i = 0; i < 4000; i++) {
			struct x86_state s;
			enum engine_exit exit;

			put_good_area(&vm);
			if (m == 1)
				g_assert_true(mem_write(vm.env.mem, AREA, (uint8_t[512]){0}, 512));
			for (unsigned n = g_rand_int_range(rng, 1, 200); n; n--) {
				uint8_t byte = g_rand_int(rng);

				g_assert_true(mem_write(vm.env.mem,
							AREA + g_rand_int_range(rng, 0, 512), &byte,
							1));
			}
			exit = run_rsm(&vm, &s);
			g_assert_true(exit == ENGINE_EXIT_DEBUG || exit == ENGINE_EXIT_SHUTDOWN);
			g_assert_true(x86_state_table.check(&s));
			g_assert_cmphex(s.cr4 & ~model.cr4_mask, ==, 0);
			g_assert_cmphex(s.rflags & ~model.rflags_mask, ==, 0);
			/* One instruction more, wherever that is. */
			if (exit == ENGINE_EXIT_DEBUG && s.activity == X86_ACTIVE) {
				engine_soft.run(vm.vcpu);
				ran[m]++;
			}
		}
		g_assert_cmpuint(ran[m], >, 100);
		vm_fini(&vm);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/smm/shutdown", test_shutdown);
	g_test_add_func("/smm/hostile", test_hostile);
	return g_test_run();
}
