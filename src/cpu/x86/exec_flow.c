/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near branches (rows/system.inc, rows/move.inc). Each sets rip and ends its block. */
#include "cpu/x86/condition.h"
#include "cpu/x86/exec.h"

/* A computed target: #GP(0) at the branch itself where it is not canonical. */
static void branch_to(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (G_UNLIKELY(insn->opsize == 8 && !is_canonical(target)))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	set_rip(cpu, insn, target);
}

static void branch_if(struct cpu *cpu, const struct insn *insn, bool taken)
{
	set_rip(cpu, insn, cpu->pc_base + (taken ? insn->imm : insn->next));
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
	set_rip(cpu, insn, cpu->pc_base + insn->imm);
}
EXEC_ONE(jmp_J)

ROUTINE(call_J)
{
	push(cpu, insn, insn_next_pc(cpu, insn), insn->opsize);
	set_rip(cpu, insn, cpu->pc_base + insn->imm);
}
EXEC_ONE(call_J)

static void call_to(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (G_UNLIKELY(insn->opsize == 8 && !is_canonical(target)))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
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

/* rCX in the address size, counted down by LOOP. */
static uint64_t counter(const struct cpu *cpu, const struct insn *insn)
{
	uint64_t rcx = cpu->gpr[X86_RCX];

	return insn->addrsize == 8 ? rcx : insn->addrsize == 4 ? (uint32_t)rcx : (uint16_t)rcx;
}

static bool count_down(struct cpu *cpu, const struct insn *insn)
{
	uint64_t rcx = cpu->gpr[X86_RCX] - 1;

	if (insn->addrsize == 8)
		SET_REG64(R_RCX, rcx);
	else if (insn->addrsize == 4)
		SET_REG32(R_RCX, rcx);
	else
		SET_REG16(R_RCX, rcx);
	return counter(cpu, insn) != 0;
}

ROUTINE(loop)
{
	branch_if(cpu, insn, count_down(cpu, insn));
}
EXEC_ONE(loop)

ROUTINE(loope)
{
	branch_if(cpu, insn, count_down(cpu, insn) && condition_e(cpu->flags));
}
EXEC_ONE(loope)

ROUTINE(loopne)
{
	branch_if(cpu, insn, count_down(cpu, insn) && condition_ne(cpu->flags));
}
EXEC_ONE(loopne)

ROUTINE(jcxz)
{
	branch_if(cpu, insn, counter(cpu, insn) == 0);
}
EXEC_ONE(jcxz)
