/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/engine_choose.h"

#include <time.h>

#include "base/error.h"
#include "base/host_clock.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/state.h"

enum { PML4 = 0x1000, PDPT = 0x2000, DIRECTORY = 0x3000, CODE = 0x4000, PORT = 0xf4 };

#define FIRST_LOOPS 256u
#define LAST_LOOPS  (1u << 30)
#define LONG_US	    2000 /* a run that takes so long is measured well enough */

static const uint8_t program[] = {
	0xff, 0xc9, /* 1: dec ecx */
	0x75, 0xfc, /* jnz 1b */
	0xe6, PORT, /* out PORT, al */
	0xeb, 0xfe, /* jmp ., until the kick is seen */
};
#define INSTRUCTIONS_PER_LOOP 2

struct trial {
	const struct engine *engine;
	struct engine_env env;
	struct vcpu *vcpu;
	GMutex lock; /* the port's */
};

static uint64_t read_port(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

static void write_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct trial *trial = opaque;

	trial->engine->kick(trial->vcpu);
}

static void store(struct trial *trial, uint64_t gpa, uint64_t entry)
{
	g_assert(mem_write(trial->env.mem, gpa, &entry, sizeof(entry)));
}

static bool trial_init(struct trial *trial, const struct engine *engine, GError **error)
{
	static const struct bus_ops ops = {read_port, write_port, 1, 1};

	*trial = (struct trial){.engine = engine, .env = {.n_vcpus = 1}};
	g_mutex_init(&trial->lock);
	trial->env.mem = mem_new(MEM_MIN_SIZE, error);
	if (!trial->env.mem)
		return false;
	trial->env.bus = bus_new();
	trial->env.clock = clock_new();
	trial->env.lapics = lapic_set_new(trial->env.bus, trial->env.clock, 1);
	g_assert(bus_map(trial->env.bus, BUS_PIO, PORT, 1, &ops, trial, &trial->lock));
	store(trial, PML4, PDPT | 3);
	store(trial, PDPT, DIRECTORY | 3);
	store(trial, DIRECTORY, 0x83); /* the first 2 MiB as one page */
	g_assert(mem_write(trial->env.mem, CODE, program, sizeof(program)));
	trial->vcpu = engine->vcpu_new(&trial->env, 0, error);
	return trial->vcpu != NULL;
}

static void trial_fini(struct trial *trial)
{
	trial->engine->vcpu_free(trial->vcpu);
	if (trial->env.mem) {
		lapic_set_free(trial->env.lapics);
		clock_free(trial->env.clock);
		bus_free(trial->env.bus);
	}
	mem_free(trial->env.mem);
	g_mutex_clear(&trial->lock);
}

static void set_start(struct trial *trial, uint32_t loops)
{
	struct x86_state s;

	x86_state_reset(&s, true);
	x86_state_enter_long(&s, PML4, CODE);
	s.gpr[X86_RCX] = loops;
	trial->engine->set_state(trial->vcpu, &s);
}

/* Of this thread, so that a busy host is not taken for a slow engine. */
static int64_t cpu_time_us(void)
{
	return host_clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1000;
}

double engine_measure(const struct engine *engine, GError **error)
{
	struct trial trial;
	double mips = 0;

	if (!trial_init(&trial, engine, error))
		goto out;
	for (uint32_t loops = FIRST_LOOPS; loops <= LAST_LOOPS; loops *= 2) {
		int64_t start, us;

		set_start(&trial, loops);
		start = cpu_time_us();
		if (engine->run(trial.vcpu) != ENGINE_EXIT_KICK) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "the %s engine fails: %s",
				    engine->name, engine->last_error(trial.vcpu));
			mips = 0;
			break;
		}
		us = cpu_time_us() - start;
		mips = (double)loops * INSTRUCTIONS_PER_LOOP / MAX(us, 1);
		if (us >= LONG_US)
			break;
	}
out:
	trial_fini(&trial);
	return mips;
}

void engine_choose_by(struct engine_choice *choice, double kvm_mips, const GError *kvm_error)
{
	bool fast = kvm_mips >= ENGINE_KVM_MIN_MIPS;

	choice->engine = fast ? &engine_kvm : &engine_soft;
	choice->kvm_mips = kvm_mips;
	if (kvm_error)
		choice->reason = g_strdup_printf("KVM does not run here: %s", kvm_error->message);
	else
		choice->reason =
			g_strdup_printf("KVM runs kernel code at %.*f MIPS, %s the %d that %s",
					kvm_mips < 10 ? 1 : 0, kvm_mips, fast ? "above" : "below",
					ENGINE_KVM_MIN_MIPS,
					fast ? "make it worth while" : "would make it worth while");
}

void engine_choose(struct engine_choice *choice)
{
	g_autoptr(GError) error = NULL;
	double mips = engine_measure(&engine_kvm, &error);

	engine_choose_by(choice, mips, error);
}
