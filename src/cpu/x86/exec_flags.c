/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PUSHF, POPF, CLI and STI, which IOPL, virtual-8086 mode and its extensions have a say in. */
#include "cpu/x86/debug.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/flags.h"

uint64_t flags_writable(const struct cpu *cpu, unsigned opsize)
{
	uint64_t mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
	unsigned cpl = cpu->state.cr0 & CR0_PE ? cpu_cpl(cpu) : 0;

	if (opsize > 2)
		mask |= RFLAGS_AC | RFLAGS_ID | RFLAGS_RF;
	if (cpl <= flags_iopl(cpu))
		mask |= RFLAGS_IF;
	if (cpl == 0)
		mask |= RFLAGS_IOPL;
	return mask;
}

void flags_load(struct cpu *cpu, uint64_t value, uint64_t mask)
{
	/* RF is for instruction breakpoints; without any it would outlive its instruction. */
	if (!debug_enabled(cpu))
		value &= ~(uint64_t)RFLAGS_RF;
	cpu_set_rflags(cpu, (cpu_rflags(cpu) & ~mask) | (value & mask));
	cpu_update_mode(cpu);
	/* Interrupts may be enabled now. */
	atomic_store(&cpu->attention, true);
}

void flags_check_v86(struct cpu *cpu, const struct insn *insn, unsigned opsize, uint64_t *value,
		     uint64_t *mask)
{
	if (!flags_v86(cpu) || flags_iopl(cpu) == 3)
		return;
	if (!(cpu->state.cr4 & CR4_VME) || opsize != 2 || (*value & RFLAGS_TF) ||
	    ((*value & RFLAGS_IF) && (cpu->state.rflags & RFLAGS_VIP)))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (*value & RFLAGS_IF)
		*value |= RFLAGS_VIF;
	*mask = (*mask & ~(uint64_t)RFLAGS_IF) | RFLAGS_VIF;
}

ROUTINE(popf)
{
	uint64_t value = stack_peek(cpu, insn, 0, insn->opsize);
	uint64_t mask = flags_writable(cpu, insn->opsize);

	flags_check_v86(cpu, insn, insn->opsize, &value, &mask);
	stack_set(cpu, cpu->gpr[X86_RSP] + insn->opsize);
	flags_load(cpu, value & ~(uint64_t)RFLAGS_RF, mask);
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}
EXEC_ONE(popf)

ROUTINE(pushf)
{
	uint64_t value = cpu_rflags(cpu) & ~(uint64_t)(RFLAGS_RF | RFLAGS_VM);

	if (flags_v86(cpu) && flags_iopl(cpu) < 3) {
		if (!(cpu->state.cr4 & CR4_VME) || insn->opsize != 2)
			cpu_fault_code(cpu, insn, EXC_GP, 0);
		value = (value & ~(uint64_t)RFLAGS_IF) | RFLAGS_IOPL;
		if (value & RFLAGS_VIF)
			value |= RFLAGS_IF;
	}
	push(cpu, insn, value, insn->opsize);
	NEXT();
}
EXEC_ONE(pushf)

/* Which flag CLI and STI change here: IF, or VIF where the mode extensions stand in; or #GP(0). */
static uint64_t interrupt_flag(struct cpu *cpu, const struct insn *insn)
{
	bool virtual;

	if (!(cpu->state.cr0 & CR0_PE) || cpu_cpl(cpu) <= flags_iopl(cpu))
		return RFLAGS_IF;
	virtual = flags_v86(cpu) ? cpu->state.cr4 & CR4_VME
				 : cpu_cpl(cpu) == 3 && (cpu->state.cr4 & CR4_PVI);
	if (!virtual)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	return RFLAGS_VIF;
}

ROUTINE(cli)
{
	cpu->state.rflags &= ~interrupt_flag(cpu, insn);
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}
EXEC_ONE(cli)

/* Interrupts are held off until after the next instruction. */
ROUTINE(sti)
{
	uint64_t flag = interrupt_flag(cpu, insn);

	if (flag == RFLAGS_VIF && (cpu->state.rflags & RFLAGS_VIP))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (flag == RFLAGS_IF && !(cpu->state.rflags & RFLAGS_IF)) {
		cpu->state.interrupt_shadow = true;
		cpu->state.shadow_by_ss = false;
		atomic_store(&cpu->attention, true);
	}
	cpu->state.rflags |= flag;
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}
EXEC_ONE(sti)
