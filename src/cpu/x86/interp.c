/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * T0, the interpreter: the loop that runs blocks, and what happens between them
 * (interrupts, exceptions, single step, halt, requests from outside).
 */
#include "cpu/jit/jit.h"
#include "cpu/jit/lockstep.h"
#include "cpu/x86/code.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/debugger.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/interrupt.h"
#include "cpu/x86/machine_check.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/msr.h"
#include "cpu/x86/paging.h"
#include "cpu/x86/tlb2.h"
#include "cpu/x86/vector.h"

void cpu_fault(struct cpu *cpu, const struct insn *insn, enum x86_exception vector)
{
	cpu->fault_insn = insn;
	cpu->fault.vector = vector;
	cpu->fault.has_error_code = false;
	cpu->fault.error_code = 0;
	siglongjmp(*cpu->jump, JUMP_FAULT);
}

void cpu_fault_code(struct cpu *cpu, const struct insn *insn, enum x86_exception vector,
		    uint32_t error_code)
{
	cpu->fault_insn = insn;
	cpu->fault.vector = vector;
	cpu->fault.has_error_code = true;
	cpu->fault.error_code = error_code;
	siglongjmp(*cpu->jump, JUMP_FAULT);
}

void cpu_leave_block(struct cpu *cpu, const struct insn *insn, uint64_t rip)
{
	cpu->stats.instructions -= cpu->block->insn + cpu->block->n - 1 - insn;
	cpu->state.rip = rip;
}

void cpu_roll_back(struct cpu *cpu)
{
	const struct insn *insn = cpu->fault_insn;

	if (!insn)
		return;
	cpu->debug_pending = 0;
	cpu_leave_block(cpu, insn - 1, insn_pc(cpu, insn));
	if (!(cpu->mode_key & MODE_64))
		cpu->state.rip = (uint32_t)cpu->state.rip;
}

static void wake(void *opaque)
{
	struct cpu *cpu = opaque;

	g_mutex_lock(&cpu->halt_lock);
	atomic_store(&cpu->attention, true);
	g_cond_signal(&cpu->halt_cond);
	g_mutex_unlock(&cpu->halt_lock);
}

/* A debugger's step is not to end up in a timer's handler. */
static bool interrupts_enabled(const struct cpu *cpu)
{
	return (cpu->state.rflags & RFLAGS_IF) &&
	       !(cpu->debugger.step && cpu->state.activity == X86_ACTIVE);
}

/* In system-management mode INIT and another SMI wait for RSM (SDM volume 3, 34.3 and 34.4). */
static unsigned acceptable(const struct cpu *cpu)
{
	bool waits = cpu->state.activity == X86_WAIT_FOR_SIPI;

	return (interrupts_enabled(cpu) ? LAPIC_ACCEPT_INTERRUPT : 0) |
	       (!cpu->state.nmi_masked && !waits ? LAPIC_ACCEPT_NMI : 0) |
	       (!cpu->state.smm ? LAPIC_ACCEPT_INIT : 0) |
	       (!cpu->state.smm && !waits ? LAPIC_ACCEPT_SMI : 0);
}

/* Sleeps until something can be taken, or a request has come. */
static void wait_halted(struct cpu *cpu)
{
	g_mutex_lock(&cpu->halt_lock);
	atomic_store(&cpu->in_guest, false);
	while (!atomic_load(&cpu->kicked) && !atomic_load(&cpu->attention))
		g_cond_wait(&cpu->halt_cond, &cpu->halt_lock);
	atomic_store(&cpu->in_guest, true);
	g_mutex_unlock(&cpu->halt_lock);
}

void cpu_run_one(struct cpu *cpu)
{
	cpu->mode_key |= MODE_STEP;
	cpu->block = code_find(cpu);
	cpu->stats.instructions += cpu->block->n;
	cpu->block->insn[0].exec(cpu, cpu->block->insn);
	cpu_update_mode(cpu);
}

/* What another engine took from the APIC before it handed over. */
static void deliver_taken(struct cpu *cpu)
{
	bool *taken = cpu->state.nmi_taken ? &cpu->state.nmi_taken : &cpu->state.interrupt_taken;
	enum lapic_event event =
		cpu->state.nmi_taken ? LAPIC_EVENT_NMI : LAPIC_EVENT_INTERRUPT;

	*taken = false;
	atomic_store(&cpu->attention, true);
	cpu->stats.interrupts++;
	interrupt_event(cpu, event, cpu->state.interrupt_vector);
}

static void run_block(struct cpu *cpu)
{
	struct block *block;

	if (cpu->jit.cache) {
		jit_run_block(cpu);
		return;
	}
	block = code_find(cpu);
	cpu->block = block;
	cpu->stats.instructions += block->n;
	block->insn[0].exec(cpu, block->insn);
}

/* One instruction, with RFLAGS.TF set or breakpoints enabled. RF lasts to its end. */
static void run_stepped(struct cpu *cpu)
{
	uint64_t rip = cpu->state.rip;
	bool stepped = cpu->state.rflags & RFLAGS_TF;

	debug_check_fetch(cpu);
	cpu->state.rflags &= ~(uint64_t)RFLAGS_RF;
	cpu->no_step = false;
	run_block(cpu);
	/* A repeated instruction that was left between two elements has not ended: breakpoints on it do not
	 * count when it goes on (SDM volume 3, 18.3.1.1). */
	if (cpu->state.rip == rip && (cpu->block->insn[0].flags & (INSN_REP | INSN_REPNE)))
		cpu->state.rflags |= RFLAGS_RF;
	if (stepped && !cpu->no_step)
		debug_pend(cpu, DR6_BS);
}

/* The instruction in an interrupt shadow. One by a load of SS hides instruction breakpoints (SDM volume 3,
 * 6.8.3), STI's does not. */
static void run_shadowed(struct cpu *cpu)
{
	bool stepped = cpu->state.rflags & RFLAGS_TF;

	if ((cpu->mode_key & MODE_STEP) && !cpu->state.shadow_by_ss) {
		run_stepped(cpu);
		return;
	}
	cpu->no_step = false;
	cpu_run_one(cpu);
	if (stepped && !cpu->no_step)
		debug_pend(cpu, DR6_BS);
}

static bool machine_check_waits(const struct cpu *cpu)
{
	return (atomic_load(&cpu->machine_check_waits) || cpu->state.machine_check_taken) &&
	       cpu->state.activity != X86_WAIT_FOR_SIPI;
}

/* What waits between blocks, in the order of SDM volume 3, table 6-2. False: run() is to return `*exit`. */
static bool attend(struct cpu *cpu, enum engine_exit *exit)
{
	uint8_t vector = 0;

	for (;;) {
		atomic_store(&cpu->attention, false);
		if (G_UNLIKELY(machine_check_waits(cpu)) && !machine_check_take(cpu)) {
			*exit = ENGINE_EXIT_SHUTDOWN;
			return false;
		}
		if (cpu->debug_pending && !(cpu->state.interrupt_shadow && cpu->state.shadow_by_ss))
			interrupt_debug(cpu);
		if (atomic_exchange(&cpu->kicked, false)) {
			*exit = ENGINE_EXIT_KICK;
			return false;
		}
		code_take_written(cpu);
		if (cpu->state.interrupt_shadow) {
			atomic_store(&cpu->attention, true);
			/* run_debugged() runs the one instruction and ends the shadow. */
			if (cpu->state.activity == X86_ACTIVE && (cpu->mode_key & MODE_DEBUG))
				return true;
			cpu->state.interrupt_shadow = false;
			if (cpu->state.activity == X86_ACTIVE) {
				run_shadowed(cpu);
				continue;
			}
		}
		if (cpu->state.nmi_taken || cpu->state.interrupt_taken) {
			deliver_taken(cpu);
			continue;
		}
		if (lapic_pending(cpu->lapic, acceptable(cpu))) {
			enum lapic_event event =
				lapic_take(cpu->lapic, acceptable(cpu), &vector);

			if (event != LAPIC_EVENT_NONE) {
				cpu->stats.interrupts++;
				interrupt_event(cpu, event, vector);
				continue;
			}
		}
		cpu->event_waits =
			!interrupts_enabled(cpu) &&
			lapic_pending(cpu->lapic, acceptable(cpu) | LAPIC_ACCEPT_INTERRUPT);
		if (cpu->state.activity == X86_ACTIVE)
			return true;
		wait_halted(cpu);
	}
}

/* As run_block(), for a debugger; false: run() is to tell it something. */
static bool run_debugged(struct cpu *cpu)
{
	bool shadow = cpu->state.interrupt_shadow;

	if (debugger_stops_here(cpu))
		return false;
	cpu->state.interrupt_shadow = false;
	if (shadow)
		run_shadowed(cpu);
	else if (cpu->mode_key & MODE_STEP)
		run_stepped(cpu);
	else if (cpu->debugger.step || cpu->debugger.alone)
		cpu_run_one(cpu);
	else
		run_block(cpu);
	cpu->debugger.alone = false;
	return !debugger_stepped(cpu);
}

static enum engine_exit stop_for_debugger(struct cpu *cpu)
{
	debugger_report(cpu);
	return ENGINE_EXIT_DEBUG;
}

static enum engine_exit run_loop(struct cpu *cpu)
{
	enum engine_exit exit;
	sigjmp_buf here;

	cpu->jump = &here;
	switch (sigsetjmp(here, 0)) {
	case JUMP_FAULT:
		cpu_roll_back(cpu);
		cpu_update_mode(cpu);
		if (!interrupt_exception(cpu))
			return ENGINE_EXIT_SHUTDOWN;
		if (debugger_stepped(cpu))
			return stop_for_debugger(cpu);
		break;
	case JUMP_ALONE:
		cpu_roll_back(cpu);
		cpu_update_mode(cpu);
		cpu->debugger.alone = true;
		break;
	case JUMP_ERROR:
		return ENGINE_EXIT_ERROR;
	}
	cpu->delivering = DELIVERING_NOTHING;
	for (;;) {
		if (G_UNLIKELY(atomic_load_explicit(&cpu->attention, memory_order_relaxed)) &&
		    !attend(cpu, &exit))
			return exit;
		if (G_UNLIKELY(cpu->mode_key & MODE_DEBUG)) {
			if (!run_debugged(cpu))
				return stop_for_debugger(cpu);
			continue;
		}
		if (G_UNLIKELY(cpu->mode_key & MODE_STEP)) {
			run_stepped(cpu);
			continue;
		}
		run_block(cpu);
	}
}

static void leave(struct cpu *cpu)
{
	vector_leave(cpu);
	code_set_running(NULL);
	atomic_store(&cpu->in_guest, false);
	cpu->jump = NULL;
}

static enum engine_exit interp_run(struct vcpu *vcpu)
{
	struct cpu *cpu = (struct cpu *)vcpu;
	enum engine_exit exit;

	code_set_running(cpu);
	jit_enter_thread(cpu);
	/* Requests that came before this are seen in the loop's first look. */
	atomic_store(&cpu->in_guest, true);
	atomic_store(&cpu->attention, true);
	exit = run_loop(cpu);
	jit_leave_thread(cpu);
	leave(cpu);
	return exit;
}

/* Returns whether the instruction was completed. */
static bool try_one(struct cpu *cpu)
{
	sigjmp_buf here;

	cpu->jump = &here;
	if (sigsetjmp(here, 0)) {
		cpu_roll_back(cpu);
		cpu_update_mode(cpu);
		return false;
	}
	cpu_run_one(cpu);
	return true;
}

int cpu_step(struct cpu *cpu)
{
	bool done;

	code_set_running(cpu);
	done = try_one(cpu);
	leave(cpu);
	return done ? -1 : cpu->fault.vector;
}

static void interp_kick(struct vcpu *vcpu)
{
	struct cpu *cpu = (struct cpu *)vcpu;

	atomic_store(&cpu->kicked, true);
	wake(cpu);
}

static void interp_get_state(struct vcpu *vcpu, struct x86_state *state)
{
	struct cpu *cpu = (struct cpu *)vcpu;

	*state = cpu->state;
	memcpy(state->gpr, cpu->gpr, sizeof(state->gpr));
	state->rflags = cpu_rflags(cpu);
}

static void interp_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
	struct cpu *cpu = (struct cpu *)vcpu;

	cpu->state = *state;
	vector_note_zmm(cpu);
	cpu->debug_pending = 0;
	memcpy(cpu->gpr, state->gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, state->rflags);
	lapic_set_tsc_offset(cpu->lapic, state->tsc_offset);
	/* For our TSC: another engine's may have had its own frequency. */
	msr_write_kvmclock(cpu);
	if (paging_is_pae(state->cr0, state->cr4, state->efer))
		paging_load_pdptes(cpu, state->cr3);
	mmu_flush(cpu);
	cpu_update_mode(cpu);
	atomic_store(&cpu->attention, true);
}

static struct vcpu *cpu_new(struct engine_env *env, unsigned id, bool translates, GError **error)
{
	struct cpu *cpu = g_aligned_alloc0(1, sizeof(*cpu), 64);
	struct x86_state reset;

	insn_table_init();
	if (!vector_init(error)) {
		g_aligned_free(cpu);
		return NULL;
	}
	cpu->env = *env;
	cpu->id = id;
	cpu->model = env->model ? env->model : x86_model_host();
	if (translates && !jit_new(cpu, error)) {
		g_aligned_free(cpu);
		return NULL;
	}
	cpu->lapic = lapic_get(env->lapics, id);
	lapic_set_kinds(cpu->lapic, cpu->model->has[F_APIC], cpu->model->has[F_X2APIC]);
	cpu->code = code_new();
	cpu->tlb2 = g_new0(struct tlb2, 1);
	cpu->machine_checks = g_array_new(false, false, sizeof(struct engine_machine_check));
	lockstep_new(cpu);
	g_mutex_init(&cpu->halt_lock);
	g_cond_init(&cpu->halt_cond);
	for (unsigned c = 0; c < TLB_N_CLASSES; c++)
		cpu->tlb_filled[c] = true;
	x86_state_reset(&reset, id == 0);
	reset.gpr[X86_RDX] = cpu->model->signature;
	interp_set_state((struct vcpu *)cpu, &reset);
	lapic_set_wake(cpu->lapic, wake, cpu);
	code_listen(cpu);
	return (struct vcpu *)cpu;
}

static struct vcpu *soft_new(struct engine_env *env, unsigned id, GError **error)
{
	return cpu_new(env, id, true, error);
}

static struct vcpu *interp_new(struct engine_env *env, unsigned id, GError **error)
{
	return cpu_new(env, id, false, error);
}

static void interp_free(struct vcpu *vcpu)
{
	struct cpu *cpu = (struct cpu *)vcpu;

	if (!cpu)
		return;
	lapic_set_wake(cpu->lapic, NULL, NULL);
	code_unlisten(cpu);
	code_free(cpu->code);
	g_free(cpu->tlb2);
	g_array_unref(cpu->machine_checks);
	lockstep_free(cpu);
	jit_free(cpu);
	mem_unmap_pair(cpu->pair);
	g_mutex_clear(&cpu->halt_lock);
	g_cond_clear(&cpu->halt_cond);
	g_aligned_free(cpu);
}

static bool interp_machine_check(struct vcpu *vcpu, const struct engine_machine_check *error)
{
	return machine_check_send((struct cpu *)vcpu, error);
}

static void interp_stats(const struct vcpu *vcpu, struct engine_stats *stats)
{
	*stats = ((const struct cpu *)vcpu)->stats;
}

static void interp_report(const struct vcpu *vcpu, GString *out)
{
	jit_report((const struct cpu *)vcpu, out);
	lockstep_report((const struct cpu *)vcpu, out);
}

static void soft_list(const struct vcpu *vcpu, FILE *to)
{
	jit_list((const struct cpu *)vcpu, to);
}

static const char *interp_last_error(const struct vcpu *vcpu)
{
	return ((const struct cpu *)vcpu)->error;
}

static bool interp_set_debug(struct vcpu *vcpu, const struct engine_debug *debug)
{
	return debugger_set((struct cpu *)vcpu, debug);
}

static void interp_debug_stop(const struct vcpu *vcpu, struct engine_stop *stop)
{
	*stop = ((const struct cpu *)vcpu)->debugger.reported;
}

#define ENGINE(variable, its_name, its_new, its_list) \
	const struct engine variable = {           \
		.name = its_name,                \
		.max_vcpus = 64,                 \
		.vcpu_new = its_new,             \
		.vcpu_free = interp_free,        \
		.run = interp_run,               \
		.kick = interp_kick,             \
		.get_state = interp_get_state,   \
		.set_state = interp_set_state,   \
		.machine_check = interp_machine_check, \
		.stats = interp_stats,           \
		.report = interp_report,         \
		.list = its_list,                \
		.last_error = interp_last_error, \
		.set_debug = interp_set_debug,   \
		.debug_stop = interp_debug_stop, \
	};

ENGINE(engine_soft, "soft", soft_new, soft_list)
ENGINE(engine_interp, "interp", interp_new, NULL)
