/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near branches (rows/system.inc, rows/move.inc). Each sets rip and ends its block. */
#include "cpu/x86/condition.h"
#include "cpu/x86/exec.h"

/* #GP(0) at the branch itself where its target is not canonical or beyond CS' limit. */
static void check_rip(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	bool ok = insn->opsize == 8	? is_canonical(target)
		  : insn->opsize == 4	? (uint32_t)target <= cpu->cs_limit
					: (uint16_t)target <= cpu->cs_limit;

	if (G_UNLIKELY(!ok))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
}

static void branch_to(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	check_rip(cpu, insn, target);
	set_rip(cpu, insn, target);
}

/* A displacement: in 64-bit mode it need not be checked, the fetch will find a bad address. */
static void check_relative(struct cpu *cpu, const struct insn *insn)
{
	if (G_UNLIKELY(insn->opsize != 8))
		check_rip(cpu, insn, cpu->pc_base + insn->imm);
}

static void branch_if(struct cpu *cpu, const struct insn *insn, bool taken)
{
	if (taken) {
		check_relative(cpu, insn);
		set_rip(cpu, insn, cpu->pc_base + insn->imm);
	} else {
		cpu->state.rip = insn_next_pc(cpu, insn);
		set_rip_mode(cpu);
	}
}

#define JCC(cc)                                                                                    \
	ROUTINE(j##cc)                                                                             \
	{                                                                                          \
		branch_if(cpu, insn, condition_##cc(cpu->flags));                                  \
	}                                                                                          \
	EXEC_ONE(j##cc)
FOR_CONDITIONS(JCC)

ROUTINE(jmp_J)
{
	check_relative(cpu, insn);
	set_rip(cpu, insn, cpu->pc_base + insn->imm);
}
EXEC_ONE(jmp_J)

ROUTINE(call_J)
{
	check_relative(cpu, insn);
	push(cpu, insn, insn_next_pc(cpu, insn), insn->opsize);
	set_rip(cpu, insn, cpu->pc_base + insn->imm);
}
EXEC_ONE(call_J)

static void call_to(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	check_rip(cpu, insn, target);
	push(cpu, insn, insn_next_pc(cpu, insn), insn->opsize);
	set_rip(cpu, insn, target);
}

#define BRANCH_E_SIZE(bits, sfx)                                                                   \
	ROUTINE(jmp_E_r##bits)                                                                     \
	{                                                                                          \
		branch_to(cpu, insn, REG(uint##bits##_t, insn->rm));                               \
	}                                                                                          \
	ROUTINE(jmp_E_m##bits)                                                                     \
	{                                                                                          \
		branch_to(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));               \
	}                                                                                          \
	ROUTINE(call_E_r##bits)                                                                    \
	{                                                                                          \
		call_to(cpu, insn, REG(uint##bits##_t, insn->rm));                                 \
	}                                                                                          \
	ROUTINE(call_E_m##bits)                                                                    \
	{                                                                                          \
		call_to(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));                 \
	}
FOR_WIDE_SIZES(BRANCH_E_SIZE)
EXEC_RM_WIDE(jmp_E)
EXEC_RM_WIDE(call_E)

ROUTINE(ret_I)
{
	uint64_t target = stack_peek(cpu, insn, 0, insn->opsize);

	branch_to(cpu, insn, target);
	stack_set(cpu, cpu->gpr[X86_RSP] + insn->opsize + (uint16_t)insn->imm);
}
EXEC_ONE(ret_I)

/* rCX in the address size. */
static uint64_t counter(const struct insn *insn, uint64_t rcx)
{
	return insn->addrsize == 8 ? rcx : insn->addrsize == 4 ? (uint32_t)rcx : (uint16_t)rcx;
}

/* LOOP and its kin: counts down, also where `condition` alone ends the loop. */
static void loop_if(struct cpu *cpu, const struct insn *insn, bool condition)
{
	uint64_t rcx = cpu->gpr[X86_RCX] - 1;

	branch_if(cpu, insn, condition && counter(insn, rcx) != 0);
	if (insn->addrsize == 8)
		SET_REG64(R_RCX, rcx);
	else if (insn->addrsize == 4)
		SET_REG32(R_RCX, rcx);
	else
		SET_REG16(R_RCX, rcx);
}

ROUTINE(loop)
{
	loop_if(cpu, insn, true);
}
EXEC_ONE(loop)

ROUTINE(loope)
{
	loop_if(cpu, insn, condition_e(cpu->flags));
}
EXEC_ONE(loope)

ROUTINE(loopne)
{
	loop_if(cpu, insn, condition_ne(cpu->flags));
}
EXEC_ONE(loopne)

ROUTINE(jcxz)
{
	branch_if(cpu, insn, counter(insn, cpu->gpr[X86_RCX]) == 0);
}
EXEC_ONE(jcxz)
