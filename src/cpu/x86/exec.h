/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building blocks of the integer routines. Arithmetic is done by the host's own
 * instruction of the same name and size, so that results and all flags, the undefined
 * ones too, are the hardware's.
 *
 * Flags: cpu->flags is what `lahf; seto %al` leave in AX: SF ZF AF PF CF in bits 15..8 as
 * in RFLAGS' low byte, OF in bit 0.
 */
#ifndef VIV_CPU_X86_EXEC_H
#define VIV_CPU_X86_EXEC_H

#include "cpu/x86/cpu.h"
#include "cpu/x86/mmu.h"

enum { FLAG_OF = 1 << 0, FLAG_CF = 1 << 8, FLAG_PF = 1 << 10, FLAG_AF = 1 << 12, FLAG_ZF = 1 << 14,
       FLAG_SF = 1 << 15 };

/* Assembly text around an instruction: flags in AX to and from the host's. */
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define FLAGS_IN  "addb $0x7f, %%al\n\tsahf\n\t"
#define CARRY_IN  "btw $8, %%ax\n\t"

/* M(bits, instruction suffix) */
#define FOR_SIZES(M)      M(8, b) M(16, w) M(32, l) M(64, q)
#define FOR_WIDE_SIZES(M) M(16, w) M(32, l) M(64, q)
#define FOR_Y_SIZES(M)    M(32, l) M(64, q)

/* A write to a register operand; 32-bit ones clear the upper half. */
#define SET_REG8(offset, v)  (REG(uint8_t, offset) = (v))
#define SET_REG16(offset, v) (REG(uint16_t, offset) = (v))
#define SET_REG32(offset, v) (REG(uint64_t, offset) = (uint32_t)(v))
#define SET_REG64(offset, v) (REG(uint64_t, offset) = (v))

#define R_RAX (X86_RAX * 8)
#define R_RCX (X86_RCX * 8)
#define R_RDX (X86_RDX * 8)
#define R_RBX (X86_RBX * 8)
#define R_RSP (X86_RSP * 8)
#define R_RBP (X86_RBP * 8)
#define R_RSI (X86_RSI * 8)
#define R_RDI (X86_RDI * 8)

/* Declares a routine; the instruction stream's order is the caller's business. */
#define ROUTINE(name) static void name(struct cpu *cpu, const struct insn *insn)

/* exec_sets by the routines' names: all sizes of both forms, and the common partial ones. */
#define EXEC_RM(name)                                                                              \
	const struct exec_set exec_##name = {                                                      \
		{{name##_r8, name##_r16, name##_r32, name##_r64},                                  \
		 {name##_m8, name##_m16, name##_m32, name##_m64}}};
#define EXEC_RM_WIDE(name)                                                                         \
	const struct exec_set exec_##name = {{{NULL, name##_r16, name##_r32, name##_r64},          \
					      {NULL, name##_m16, name##_m32, name##_m64}}};
#define EXEC_RM_Y(name)                                                                            \
	const struct exec_set exec_##name = {                                                      \
		{{NULL, NULL, name##_r32, name##_r64}, {NULL, NULL, name##_m32, name##_m64}}};
/* The same routine for both forms, by size. */
#define EXEC_SIZES(name)                                                                           \
	const struct exec_set exec_##name = {{{name##_8, name##_16, name##_32, name##_64},         \
					      {name##_8, name##_16, name##_32, name##_64}}};
#define EXEC_WIDE(name)                                                                            \
	const struct exec_set exec_##name = {                                                      \
		{{NULL, name##_16, name##_32, name##_64}, {NULL, name##_16, name##_32, name##_64}}};
/* One routine for everything. */
#define EXEC_ONE(name)                                                                             \
	const struct exec_set exec_##name = {{{name, name, name, name}, {name, name, name, name}}};

/* Sets rip to a near branch's target, truncated to the operand size. */
static inline void set_rip(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (G_UNLIKELY(insn->opsize != 8))
		target = insn->opsize == 4 ? (uint32_t)target : (uint16_t)target;
	cpu->state.rip = target;
}

/* Truncates a rip that was set to the address after an instruction to what the mode has. */
static inline void set_rip_mode(struct cpu *cpu)
{
	if (!(cpu->mode_key & MODE_64))
		cpu->state.rip = (uint32_t)cpu->state.rip;
}

static inline bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* The stack, by the stack segment's address size: the linear address of `size` bytes at rsp. */
uint64_t stack_address(struct cpu *cpu, const struct insn *insn, uint64_t rsp, unsigned size);
void stack_set(struct cpu *cpu, uint64_t rsp);
/* Faults as `n` pushes of `size` bytes would. */
void stack_probe(struct cpu *cpu, const struct insn *insn, unsigned n, unsigned size);

static inline void push(struct cpu *cpu, const struct insn *insn, uint64_t v, unsigned size)
{
	uint64_t rsp = cpu->gpr[X86_RSP] - size;
	uint64_t address = stack_address(cpu, insn, rsp, size);

	if (G_LIKELY(size == 8))
		mem_store64(cpu, insn, address, v);
	else if (size == 4)
		mem_store32(cpu, insn, address, v);
	else
		mem_store16(cpu, insn, address, v);
	stack_set(cpu, rsp);
}

/* Reads what a pop at `offset` above the stack pointer gives, without moving it. */
static inline uint64_t stack_peek(struct cpu *cpu, const struct insn *insn, uint64_t offset,
				  unsigned size)
{
	uint64_t address = stack_address(cpu, insn, cpu->gpr[X86_RSP] + offset, size);

	if (G_LIKELY(size == 8))
		return mem_load64(cpu, insn, address);
	return size == 4 ? mem_load32(cpu, insn, address) : mem_load16(cpu, insn, address);
}

#endif
