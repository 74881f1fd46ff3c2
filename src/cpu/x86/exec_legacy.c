/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that 64-bit mode no longer has: BCD arithmetic and BOUND (SDM volume 2). */
#include "cpu/x86/exec.h"
#include "cpu/x86/model.h"

/* SF, ZF and PF of AL, with the given carries; OF as AND leaves it. */
static void set_al_flags(struct cpu *cpu, bool af, bool cf)
{
	uint16_t f;

	asm("testb %1, %1" FLAGS_OUT : "=a"(f) : "q"(REG(uint8_t, R_RAX)) : "cc");
	cpu->flags = (f & ~(FLAG_AF | FLAG_CF)) | (af ? FLAG_AF : 0) | (cf ? FLAG_CF : 0);
}

static void decimal_adjust(struct cpu *cpu, int sign)
{
	uint8_t al = REG(uint8_t, R_RAX);
	bool old_cf = cpu->flags & FLAG_CF, af, cf = false;

	af = (al & 15) > 9 || (cpu->flags & FLAG_AF);
	if (af) {
		cf = old_cf || (sign > 0 ? al > 0xff - 6 : al < 6);
		REG(uint8_t, R_RAX) += sign * 6;
	}
	if (al > 0x99 || old_cf) {
		REG(uint8_t, R_RAX) += sign * 0x60;
		cf = true;
	}
	set_al_flags(cpu, af, cf);
}

ROUTINE(daa)
{
	decimal_adjust(cpu, 1);
	NEXT();
}
EXEC_ONE(daa)

ROUTINE(das)
{
	decimal_adjust(cpu, -1);
	NEXT();
}
EXEC_ONE(das)

static void ascii_adjust(struct cpu *cpu, int sign)
{
	bool adjust = (REG(uint8_t, R_RAX) & 15) > 9 || (cpu->flags & FLAG_AF);

	if (adjust)
		REG(uint16_t, R_RAX) += sign * 0x106;
	set_al_flags(cpu, adjust, adjust);
	REG(uint8_t, R_RAX) &= 15;
}

ROUTINE(aaa)
{
	ascii_adjust(cpu, 1);
	NEXT();
}
EXEC_ONE(aaa)

ROUTINE(aas)
{
	ascii_adjust(cpu, -1);
	NEXT();
}
EXEC_ONE(aas)

ROUTINE(aam)
{
	uint8_t al = REG(uint8_t, R_RAX), base = insn->imm;

	if (!base)
		cpu_fault(cpu, insn, EXC_DE);
	REG(uint16_t, R_RAX) = al / base << 8 | al % base;
	set_al_flags(cpu, false, false);
	NEXT();
}
EXEC_ONE(aam)

ROUTINE(aad)
{
	uint8_t al = REG(uint8_t, R_RAX) + REG(uint8_t, R_RAX + 1) * (uint8_t)insn->imm;

	REG(uint16_t, R_RAX) = al;
	set_al_flags(cpu, false, false);
	NEXT();
}
EXEC_ONE(aad)

ROUTINE(bound)
{
	uint64_t address = insn_ea(cpu, insn);
	bool wide = insn->opsize == 4;
	int64_t index = wide ? REG(int32_t, insn->reg) : REG(int16_t, insn->reg);
	int64_t low = wide ? (int32_t)mem_load32(cpu, insn, address)
			   : (int16_t)mem_load16(cpu, insn, address);
	int64_t high;

	/* Intel's processors do not read the upper bound where the lower one decides. */
	if (index < low && !cpu->model->is_amd)
		cpu_fault(cpu, insn, EXC_BR);
	high = wide ? (int32_t)mem_load32(cpu, insn, address + 4)
		    : (int16_t)mem_load16(cpu, insn, address + 2);
	if (index < low || index > high)
		cpu_fault(cpu, insn, EXC_BR);
	NEXT();
}
EXEC_ONE(bound)
