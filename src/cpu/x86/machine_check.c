/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/machine_check.h"

#include "cpu/x86/cpu.h"
#include "cpu/x86/interrupt.h"

bool machine_check_fits(const struct x86_model *model, const struct engine_machine_check *error)
{
	return model->has[F_MCE] && (error->status & ENGINE_MC_VALID) &&
	       (!model->has[F_MCA] || error->bank < X86_N_MC_BANKS);
}

uint64_t *machine_check_msr(struct x86_state *state, const struct x86_model *model, uint32_t index)
{
	uint32_t n = index - MSR_MC0_CTL;

	return model->has[F_MCA] && n < X86_N_MC_BANKS * X86_N_MC
		       ? &state->mc[n / X86_N_MC][n % X86_N_MC]
		       : NULL;
}

/* Errors are reported all or not at all, as by the P6 family (16.3.2.1). What was logged can be
 * cleared only (16.3.2.2 to 16.3.2.4). */
bool machine_check_may_write(uint32_t index, uint64_t value)
{
	return !value || ((index - MSR_MC0_CTL) % X86_N_MC == X86_MC_CTL && value == ~0ull);
}

bool machine_check_send(struct cpu *cpu, const struct engine_machine_check *error)
{
	if (!machine_check_fits(cpu->model, error))
		return false;
	g_mutex_lock(&cpu->halt_lock);
	g_array_append_vals(cpu->machine_checks, error, 1);
	atomic_store(&cpu->machine_check_waits, true);
	atomic_store(&cpu->attention, true);
	g_cond_signal(&cpu->halt_cond);
	g_mutex_unlock(&cpu->halt_lock);
	return true;
}

/* False: there is none. */
static bool next_error(struct cpu *cpu, struct engine_machine_check *error)
{
	bool found;

	g_mutex_lock(&cpu->halt_lock);
	found = cpu->machine_checks->len;
	if (found) {
		*error = g_array_index(cpu->machine_checks, struct engine_machine_check, 0);
		g_array_remove_index(cpu->machine_checks, 0);
	}
	atomic_store(&cpu->machine_check_waits, cpu->machine_checks->len);
	g_mutex_unlock(&cpu->halt_lock);
	return found;
}

/* An uncorrected error is not overwritten by a corrected one (16.3.2.2.1). */
static void log_error(struct x86_state *s, const struct engine_machine_check *error)
{
	uint64_t *bank = s->mc[error->bank], old = bank[X86_MC_STATUS];

	if ((old & ENGINE_MC_UNCORRECTED) && !(error->status & ENGINE_MC_UNCORRECTED)) {
		bank[X86_MC_STATUS] |= ENGINE_MC_OVERFLOW;
		return;
	}
	bank[X86_MC_STATUS] = error->status | (old & ENGINE_MC_VALID ? ENGINE_MC_OVERFLOW : 0);
	bank[X86_MC_ADDR] = error->addr;
	bank[X86_MC_MISC] = error->misc;
}

static bool shut_down(struct cpu *cpu, const struct engine_machine_check *error, const char *why)
{
	g_snprintf(cpu->error, sizeof(cpu->error),
		   "machine check in bank %u, status %#" G_GINT64_MODIFIER
		   "x, at rip %#" G_GINT64_MODIFIER "x: %s",
		   error->bank, error->status, cpu->state.rip, why);
	return false;
}

/* Interrupt 18 of 6.15. */
static bool take(struct cpu *cpu, const struct engine_machine_check *error)
{
	struct x86_state *s = &cpu->state;
	bool has_banks = cpu->model->has[F_MCA],
	     is_uncorrected = error->status & ENGINE_MC_UNCORRECTED;

	if (has_banks && is_uncorrected && s->mc[error->bank][X86_MC_CTL] != ~0ull)
		return true;
	if (is_uncorrected && !(s->cr4 & CR4_MCE))
		return shut_down(cpu, error, "the guest has not enabled machine-check exceptions");
	if (is_uncorrected && (s->mcg_status & MCG_STATUS_MCIP))
		return shut_down(cpu, error, "another one is being handled");
	if (has_banks)
		log_error(s, error);
	if (!is_uncorrected)
		return true;
	if (has_banks)
		s->mcg_status =
			(error->mcg_status & (MCG_STATUS_RIPV | MCG_STATUS_EIPV)) | MCG_STATUS_MCIP;
	s->machine_check_taken = true;
	return true;
}

bool machine_check_take(struct cpu *cpu)
{
	struct engine_machine_check error;

	while (next_error(cpu, &error))
		if (!take(cpu, &error))
			return false;
	if (cpu->state.machine_check_taken) {
		cpu->state.machine_check_taken = false;
		interrupt_machine_check(cpu);
	}
	return true;
}
