/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machine checks by the engine's contract: which are taken, on which models, and what goes along
 * with the state; what a guest sees of them is for tests/guest/machine_check.c. */
#include <string.h>

#include "base/le.h"
#include "cpu/engine.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

enum { CODE = 0x500, HANDLER = 0x600, VECTOR = 18, BANK = 2 };

struct vm {
	struct engine_env env;
	struct x86_model model;
	struct vcpu *vcpu;
};

static const struct engine_machine_check fatal = {
	.bank = BANK,
	.status = ENGINE_MC_VALID | ENGINE_MC_UNCORRECTED | 5,
	.addr = 0x1000,
	.misc = 0x86,
	.mcg_status = MCG_STATUS_RIPV,
};

/* In real mode at CODE, with a handler. */
static void vm_init(struct vm *vm, const char *model)
{
	uint8_t vector[4];
	struct x86_state s;

	*vm = (struct vm){.env = {.mem = mem_new(MEM_MIN_SIZE, NULL),
				  .bus = bus_new(),
				  .clock = clock_new_manual(),
				  .model = &vm->model,
				  .n_vcpus = 1}};
	g_assert_true(x86_model_parse(&vm->model, model, NULL));
	vm->env.lapics = lapic_set_new(vm->env.bus, vm->env.clock, 1);
	vm->vcpu = engine_soft.vcpu_new(&vm->env, 0, NULL);
	le32_store(vector, HANDLER);
	g_assert_true(mem_write(vm->env.mem, 4 * VECTOR, vector, 4));
	x86_state_reset(&s, true);
	s.seg[X86_CS].base = s.seg[X86_CS].selector = 0;
	s.rip = CODE;
	s.gpr[X86_RSP] = 0x7000;
	s.cr4 = CR4_MCE;
	engine_soft.set_state(vm->vcpu, &s);
}

static void vm_fini(struct vm *vm)
{
	engine_soft.vcpu_free(vm->vcpu);
	lapic_set_free(vm->env.lapics);
	clock_free(vm->env.clock);
	bus_free(vm->env.bus);
	mem_free(vm->env.mem);
}

/* Takes what waits, and comes back before an instruction. */
static struct x86_state take(struct vm *vm, enum engine_exit expected)
{
	struct x86_state s;

	engine_soft.kick(vm->vcpu);
	g_assert_cmpint(engine_soft.run(vm->vcpu), ==, expected);
	engine_soft.get_state(vm->vcpu, &s);
	return s;
}

static void test_refused(void)
{
	struct engine_machine_check error = fatal;
	struct vm vm;

	vm_init(&vm, "486");
	g_assert_false(engine_soft.machine_check(vm.vcpu, &error));
	vm_fini(&vm);
	vm_init(&vm, "pentium2");
	error.status = ENGINE_MC_UNCORRECTED;
	g_assert_false(engine_soft.machine_check(vm.vcpu, &error));
	error = fatal;
	error.bank = X86_N_MC_BANKS;
	g_assert_false(engine_soft.machine_check(vm.vcpu, &error));
	g_assert_cmphex(take(&vm, ENGINE_EXIT_KICK).rip, ==, CODE);
	vm_fini(&vm);
}

static void test_raised(void)
{
	struct x86_state s;
	struct vm vm;

	vm_init(&vm, "pentium2");
	g_assert_true(engine_soft.machine_check(vm.vcpu, &fatal));
	s = take(&vm, ENGINE_EXIT_KICK);
	g_assert_cmphex(s.rip, ==, HANDLER);
	g_assert_cmphex(s.gpr[X86_RSP], ==, 0x7000 - 6);
	g_assert_cmphex(s.mcg_status, ==, MCG_STATUS_MCIP | MCG_STATUS_RIPV);
	g_assert_cmphex(s.mc[BANK][X86_MC_STATUS], ==, fatal.status);
	g_assert_cmphex(s.mc[BANK][X86_MC_ADDR], ==, fatal.addr);
	g_assert_cmphex(s.mc[BANK][X86_MC_MISC], ==, fatal.misc);
	vm_fini(&vm);
}

/* #MC is older than the banks. */
static void test_without_banks(void)
{
	struct x86_state s;
	struct vm vm;

	vm_init(&vm, "pentium");
	g_assert_true(engine_soft.machine_check(vm.vcpu, &fatal));
	s = take(&vm, ENGINE_EXIT_KICK);
	g_assert_cmphex(s.rip, ==, HANDLER);
	g_assert_cmphex(s.mcg_status, ==, 0);
	g_assert_cmphex(s.mc[BANK][X86_MC_STATUS], ==, 0);
	vm_fini(&vm);
}

static void test_shutdown(void)
{
	struct x86_state s;
	struct vm vm;

	/* Two before the first is seen. */
	vm_init(&vm, "pentium2");
	g_assert_true(engine_soft.machine_check(vm.vcpu, &fatal));
	g_assert_true(engine_soft.machine_check(vm.vcpu, &fatal));
	take(&vm, ENGINE_EXIT_SHUTDOWN);
	g_assert_nonnull(strstr(engine_soft.last_error(vm.vcpu), "another one is being handled"));
	vm_fini(&vm);

	vm_init(&vm, "pentium2");
	engine_soft.get_state(vm.vcpu, &s);
	s.cr4 = 0;
	engine_soft.set_state(vm.vcpu, &s);
	g_assert_true(engine_soft.machine_check(vm.vcpu, &fatal));
	take(&vm, ENGINE_EXIT_SHUTDOWN);
	g_assert_nonnull(strstr(engine_soft.last_error(vm.vcpu), "has not enabled"));
	vm_fini(&vm);
}

/* One that waits for SIPI takes it afterwards. */
static void test_waits(void)
{
	struct x86_state s;
	struct vm vm;

	vm_init(&vm, "pentium2");
	engine_soft.get_state(vm.vcpu, &s);
	s.activity = X86_WAIT_FOR_SIPI;
	engine_soft.set_state(vm.vcpu, &s);
	g_assert_true(engine_soft.machine_check(vm.vcpu, &fatal));
	s = take(&vm, ENGINE_EXIT_KICK);
	g_assert_cmphex(s.rip, ==, CODE);
	g_assert_cmphex(s.mcg_status, ==, 0);
	s.activity = X86_ACTIVE;
	engine_soft.set_state(vm.vcpu, &s);
	g_assert_cmphex(take(&vm, ENGINE_EXIT_KICK).rip, ==, HANDLER);
	vm_fini(&vm);
}

/* What another engine has logged and not delivered; and the banks, which INIT leaves alone. */
static void test_state(void)
{
	g_autoptr(GByteArray) stream = g_byte_array_new();
	struct x86_state s, loaded;
	struct state_reader reader;
	struct vm vm;

	vm_init(&vm, "pentium2");
	engine_soft.get_state(vm.vcpu, &s);
	s.machine_check_taken = true;
	s.mcg_status = MCG_STATUS_MCIP;
	s.mc[3][X86_MC_MISC] = 7;
	state_save(&x86_state_table, 0, &s, stream);
	reader = (struct state_reader){.data = stream->data, .len = stream->len};
	x86_state_reset(&loaded, true);
	g_assert_true(state_load(&x86_state_table, 0, &loaded, &reader, NULL));
	engine_soft.set_state(vm.vcpu, &loaded);
	s = take(&vm, ENGINE_EXIT_KICK);
	g_assert_cmphex(s.rip, ==, HANDLER);
	g_assert_false(s.machine_check_taken);
	x86_state_init(&s, true);
	g_assert_cmphex(s.mcg_status, ==, MCG_STATUS_MCIP);
	g_assert_cmphex(s.mc[3][X86_MC_MISC], ==, 7);
	s.mcg_status = 8;
	g_assert_false(x86_state_table.check(&s));
	vm_fini(&vm);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/machine-check/refused", test_refused);
	g_test_add_func("/machine-check/raised", test_raised);
	g_test_add_func("/machine-check/without-banks", test_without_banks);
	g_test_add_func("/machine-check/shutdown", test_shutdown);
	g_test_add_func("/machine-check/waits", test_waits);
	g_test_add_func("/machine-check/state", test_state);
	return g_test_run();
}
