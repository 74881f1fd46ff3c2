/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Data movement, stack and flag instructions (rows/move.inc, but for strings and branches). */
#include <sched.h>

#include "cpu/x86/condition.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/model.h"

uint64_t stack_address(struct cpu *cpu, const struct insn *insn, uint64_t rsp, unsigned size)
{
	if (G_LIKELY(cpu->mode_key & MODE_64))
		return rsp;
	rsp = cpu->state.seg[X86_SS].attr & SEG_DB ? (uint32_t)rsp : (uint16_t)rsp;
	return mmu_linear(cpu, insn, X86_SS, rsp, size, true);
}

void stack_probe(struct cpu *cpu, const struct insn *insn, unsigned n, unsigned size)
{
	for (unsigned i = 1; i <= n; i++)
		mmu_probe(cpu, insn, stack_address(cpu, insn, cpu->gpr[X86_RSP] - i * size, size),
			  size, true);
}

void stack_set(struct cpu *cpu, uint64_t rsp)
{
	if (G_LIKELY(cpu->mode_key & MODE_64))
		cpu->gpr[X86_RSP] = rsp;
	else if (cpu->state.seg[X86_SS].attr & SEG_DB)
		SET_REG32(R_RSP, rsp);
	else
		SET_REG16(R_RSP, rsp);
}

#define MOV_SIZE(bits, sfx)                                                                        \
	ROUTINE(mov_EG_r##bits)                                                                    \
	{                                                                                          \
		SET_REG##bits(insn->rm, REG(uint##bits##_t, insn->reg));                           \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_EG_m##bits)                                                                    \
	{                                                                                          \
		mem_store##bits(cpu, insn, insn_ea(cpu, insn), REG(uint##bits##_t, insn->reg));    \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_GE_r##bits)                                                                    \
	{                                                                                          \
		SET_REG##bits(insn->reg, REG(uint##bits##_t, insn->rm));                           \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_GE_m##bits)                                                                    \
	{                                                                                          \
		SET_REG##bits(insn->reg, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));           \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_EI_r##bits)                                                                    \
	{                                                                                          \
		SET_REG##bits(insn->rm, insn->imm);                                                \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_EI_m##bits)                                                                    \
	{                                                                                          \
		mem_store##bits(cpu, insn, insn_ea(cpu, insn), insn->imm);                         \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_AO_##bits)                                                                     \
	{                                                                                          \
		uint64_t address =                                                                 \
			mmu_linear(cpu, insn, insn->seg, insn->imm, bits / 8, false);              \
		SET_REG##bits(R_RAX, mem_load##bits(cpu, insn, address));                          \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mov_OA_##bits)                                                                     \
	{                                                                                          \
		uint64_t address = mmu_linear(cpu, insn, insn->seg, insn->imm, bits / 8, true);    \
		mem_store##bits(cpu, insn, address, REG(uint##bits##_t, R_RAX));                   \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(xchg_EG_r##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t v = REG(uint##bits##_t, insn->rm);                                  \
		SET_REG##bits(insn->rm, REG(uint##bits##_t, insn->reg));                           \
		SET_REG##bits(insn->reg, v);                                                       \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(xchg_EG_m##bits)                                                                   \
	{                                                                                          \
		_Atomic uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);      \
		SET_REG##bits(insn->reg, atomic_exchange(p, REG(uint##bits##_t, insn->reg)));      \
		mem_rmw_done(cpu, insn, (void *)p, bits / 8);                                      \
		NEXT();                                                                            \
	}
FOR_SIZES(MOV_SIZE)
EXEC_RM(mov_EG)
EXEC_RM(mov_GE)
EXEC_RM(mov_EI)
EXEC_RM(xchg_EG)
EXEC_SIZES(mov_AO)
EXEC_SIZES(mov_OA)

/* 90 is NOP, not an exchange that would clear rAX's upper half. */
#define XCHG_ZA_SIZE(bits, sfx)                                                                    \
	ROUTINE(xchg_ZA_##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t v = REG(uint##bits##_t, insn->rm);                                  \
		if (insn->rm != R_RAX) {                                                           \
			SET_REG##bits(insn->rm, REG(uint##bits##_t, R_RAX));                       \
			SET_REG##bits(R_RAX, v);                                                   \
		}                                                                                  \
		NEXT();                                                                            \
	}
FOR_WIDE_SIZES(XCHG_ZA_SIZE)
EXEC_WIDE(xchg_ZA)

/* Widening moves: from, bits of the source; to, of the destination. */
#define EXTEND(set, ctype, from, to)                                                               \
	ROUTINE(set##_r##to)                                                                       \
	{                                                                                          \
		SET_REG##to(insn->reg, (ctype)REG(uint##from##_t, insn->rm));                      \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(set##_m##to)                                                                       \
	{                                                                                          \
		SET_REG##to(insn->reg, (ctype)mem_load##from(cpu, insn, insn_ea(cpu, insn)));      \
		NEXT();                                                                            \
	}
#define EXTEND_SIZE(bits, sfx)                                                                     \
	EXTEND(movzx_GEb, uint8_t, 8, bits)                                                        \
	EXTEND(movzx_GEw, uint16_t, 16, bits)                                                      \
	EXTEND(movsx_GEb, int8_t, 8, bits)                                                         \
	EXTEND(movsx_GEw, int16_t, 16, bits)
#define EXTEND_Y(bits, sfx) EXTEND(movsxd_GE, int32_t, 32, bits)
FOR_WIDE_SIZES(EXTEND_SIZE)
FOR_Y_SIZES(EXTEND_Y)
EXEC_RM_WIDE(movzx_GEb)
EXEC_RM_WIDE(movzx_GEw)
EXEC_RM_WIDE(movsx_GEb)
EXEC_RM_WIDE(movsx_GEw)
/* With 66 it reads and writes 16 bits. */
const struct exec_set exec_movsxd_GE = {
	{{NULL, movsx_GEw_r16, movsxd_GE_r32, movsxd_GE_r64},
	 {NULL, movsx_GEw_m16, movsxd_GE_m32, movsxd_GE_m64}}};

#define MOVBE_SIZE(bits, sfx)                                                                      \
	ROUTINE(movbe_GM_##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t v = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		SET_REG##bits(insn->reg, __builtin_bswap##bits(v));                                \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(movbe_MG_##bits)                                                                   \
	{                                                                                          \
		mem_store##bits(cpu, insn, insn_ea(cpu, insn),                                     \
				__builtin_bswap##bits(REG(uint##bits##_t, insn->reg)));            \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(lea_GM_##bits)                                                                     \
	{                                                                                          \
		uint64_t ea = REG(uint64_t, insn->base) +                                          \
			      (REG(uint64_t, insn->index) << insn->scale) + insn->disp;            \
		if (G_UNLIKELY(insn->addrsize != 8))                                               \
			ea = insn->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;                    \
		SET_REG##bits(insn->reg, ea);                                                      \
		NEXT();                                                                            \
	}
FOR_WIDE_SIZES(MOVBE_SIZE)
EXEC_WIDE(movbe_GM)
EXEC_WIDE(movbe_MG)
EXEC_WIDE(lea_GM)

#define CONDITION_ROUTINES(cc)                                                                     \
	ROUTINE(set##cc##_r)                                                                       \
	{                                                                                          \
		REG(uint8_t, insn->rm) = condition_##cc(cpu->flags);                               \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(set##cc##_m)                                                                       \
	{                                                                                          \
		mem_store8(cpu, insn, insn_ea(cpu, insn), condition_##cc(cpu->flags));             \
		NEXT();                                                                            \
	}                                                                                          \
	const struct exec_set exec_set##cc = {                                                     \
		{{set##cc##_r, set##cc##_r, set##cc##_r, set##cc##_r},                             \
		 {set##cc##_m, set##cc##_m, set##cc##_m, set##cc##_m}}};                           \
	CMOV_SIZE(cc, 16)                                                                          \
	CMOV_SIZE(cc, 32)                                                                          \
	CMOV_SIZE(cc, 64)                                                                          \
	EXEC_RM_WIDE(cmov##cc)
/* The memory operand is read, and a 32-bit destination's upper half cleared, in any case. */
#define CMOV_SIZE(cc, bits)                                                                        \
	ROUTINE(cmov##cc##_r##bits)                                                                \
	{                                                                                          \
		uint##bits##_t d = REG(uint##bits##_t, insn->reg), s = REG(uint##bits##_t, insn->rm); \
		SET_REG##bits(insn->reg, condition_##cc(cpu->flags) ? s : d);                      \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(cmov##cc##_m##bits)                                                                \
	{                                                                                          \
		uint##bits##_t s = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		SET_REG##bits(insn->reg,                                                           \
			      condition_##cc(cpu->flags) ? s : REG(uint##bits##_t, insn->reg));    \
		NEXT();                                                                            \
	}
FOR_CONDITIONS(CONDITION_ROUTINES)

ROUTINE(cbw)
{
	switch (insn->opsize) {
	case 2:
		SET_REG16(R_RAX, (int8_t)REG(uint8_t, R_RAX));
		break;
	case 4:
		SET_REG32(R_RAX, (int16_t)REG(uint16_t, R_RAX));
		break;
	default:
		SET_REG64(R_RAX, (int32_t)REG(uint32_t, R_RAX));
	}
	NEXT();
}
EXEC_ONE(cbw)

ROUTINE(cwd)
{
	switch (insn->opsize) {
	case 2:
		SET_REG16(R_RDX, REG(int16_t, R_RAX) >> 15);
		break;
	case 4:
		SET_REG32(R_RDX, REG(int32_t, R_RAX) >> 31);
		break;
	default:
		SET_REG64(R_RDX, REG(int64_t, R_RAX) >> 63);
	}
	NEXT();
}
EXEC_ONE(cwd)

ROUTINE(xlat)
{
	uint64_t ea = cpu->gpr[X86_RBX] + REG(uint8_t, R_RAX);

	if (insn->addrsize != 8)
		ea = insn->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
	REG(uint8_t, R_RAX) = mem_load8(cpu, insn, mmu_linear(cpu, insn, insn->seg, ea, 1, false));
	NEXT();
}
EXEC_ONE(xlat)

ROUTINE(nop)
{
	NEXT();
}
EXEC_ONE(nop)

/* Of a register Intel's processors make a NOP of it, AMD's an error (APM volume 3, PREFETCH). */
ROUTINE(prefetch_register)
{
	if (cpu->model->is_amd)
		cpu_fault(cpu, insn, EXC_UD);
	NEXT();
}
EXEC_ONE(prefetch_register)

/* A processor that spins waits for another one, which may wait for this host processor. */
ROUTINE(spin_pause)
{
	enum { PATIENCE = 32 };

	__builtin_ia32_pause();
	if (cpu->env.n_vcpus > 1 && ++cpu->pauses % PATIENCE == 0)
		sched_yield();
	NEXT();
}
EXEC_ONE(spin_pause)

ROUTINE(fence)
{
	atomic_thread_fence(memory_order_seq_cst);
	NEXT();
}
EXEC_ONE(fence)

/* Caches are coherent and not modelled; the address is checked as for a load. */
ROUTINE(clflush)
{
	mem_load8(cpu, insn, insn_ea(cpu, insn));
	NEXT();
}
EXEC_ONE(clflush)

/* Stack. */
ROUTINE(push_Z_64)
{
	push(cpu, insn, REG(uint64_t, insn->rm), 8);
	NEXT();
}
ROUTINE(push_Z)
{
	push(cpu, insn, REG(uint64_t, insn->rm), insn->opsize);
	NEXT();
}
const struct exec_set exec_push_Z = {{{NULL, push_Z, push_Z, push_Z_64}}};

static void set_reg_sized(struct cpu *cpu, unsigned offset, uint64_t v, unsigned size)
{
	if (size == 8)
		SET_REG64(offset, v);
	else if (size == 4)
		SET_REG32(offset, v);
	else
		SET_REG16(offset, v);
}

ROUTINE(pop_Z_64)
{
	uint64_t v = stack_peek(cpu, insn, 0, 8);

	stack_set(cpu, cpu->gpr[X86_RSP] + 8);
	REG(uint64_t, insn->rm) = v;
	NEXT();
}
ROUTINE(pop_Z)
{
	uint64_t v = stack_peek(cpu, insn, 0, insn->opsize);

	stack_set(cpu, cpu->gpr[X86_RSP] + insn->opsize);
	set_reg_sized(cpu, insn->rm, v, insn->opsize);
	NEXT();
}
const struct exec_set exec_pop_Z = {{{NULL, pop_Z, pop_Z, pop_Z_64}}};

ROUTINE(push_I)
{
	push(cpu, insn, insn->imm, insn->opsize);
	NEXT();
}
EXEC_ONE(push_I)

#define PUSH_E_SIZE(bits, sfx)                                                                     \
	ROUTINE(push_E_m##bits)                                                                    \
	{                                                                                          \
		push(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)), bits / 8);          \
		NEXT();                                                                            \
	}
FOR_WIDE_SIZES(PUSH_E_SIZE)
const struct exec_set exec_push_E = {{{NULL, push_Z, push_Z, push_Z_64},
				      {NULL, push_E_m16, push_E_m32, push_E_m64}}};

/* The address is computed with rSP already incremented (SDM, POP); it goes back if the store faults. */
#define POP_E_SIZE(bits, sfx)                                                                      \
	ROUTINE(pop_E_m##bits)                                                                     \
	{                                                                                          \
		uint64_t v = stack_peek(cpu, insn, 0, bits / 8), rsp = cpu->gpr[X86_RSP], address; \
		stack_set(cpu, rsp + bits / 8);                                                    \
		address = insn_ea(cpu, insn);                                                      \
		cpu->gpr[X86_RSP] = rsp;                                                           \
		mem_store##bits(cpu, insn, address, v);                                            \
		stack_set(cpu, rsp + bits / 8);                                                    \
		NEXT();                                                                            \
	}
FOR_WIDE_SIZES(POP_E_SIZE)
const struct exec_set exec_pop_E = {{{NULL, pop_Z, pop_Z, pop_Z_64},
				     {NULL, pop_E_m16, pop_E_m32, pop_E_m64}}};

ROUTINE(pusha)
{
	uint64_t rsp = cpu->gpr[X86_RSP];
	unsigned size = insn->opsize;

	stack_probe(cpu, insn, 8, size);
	for (unsigned i = 0; i < 8; i++)
		push(cpu, insn, i == X86_RSP ? rsp : cpu->gpr[i], size);
	NEXT();
}
EXEC_ONE(pusha)

ROUTINE(popa)
{
	unsigned size = insn->opsize;
	uint64_t v[8];

	for (unsigned i = 0; i < 8; i++)
		v[i] = stack_peek(cpu, insn, i * size, size);
	stack_set(cpu, cpu->gpr[X86_RSP] + 8 * size);
	for (unsigned i = 0; i < 8; i++)
		if (7 - i != X86_RSP)
			set_reg_sized(cpu, (7 - i) * 8, v[i], size);
	NEXT();
}
EXEC_ONE(popa)

/* The copied frame pointers are read one by one, since the new frame may lie over the old one. */
ROUTINE(enter)
{
	unsigned size = insn->opsize, level = insn->imm2 % 32;
	uint64_t rbp = cpu->gpr[X86_RBP], frame = cpu->gpr[X86_RSP] - size, last;

	for (unsigned i = 1; i < level; i++)
		mmu_probe(cpu, insn, stack_address(cpu, insn, rbp - i * size, size), size, false);
	stack_probe(cpu, insn, level + 1, size);
	last = frame - level * size - (uint16_t)insn->imm;
	mmu_probe(cpu, insn, stack_address(cpu, insn, last, size), size, true);
	push(cpu, insn, rbp, size);
	for (unsigned i = 1; i < level; i++) {
		uint64_t address = stack_address(cpu, insn, rbp - i * size, size);

		push(cpu, insn, size == 8 ? mem_load64(cpu, insn, address)
				: size == 4 ? mem_load32(cpu, insn, address)
					    : mem_load16(cpu, insn, address), size);
	}
	if (level)
		push(cpu, insn, frame, size);
	stack_set(cpu, cpu->gpr[X86_RSP] - (uint16_t)insn->imm);
	set_reg_sized(cpu, R_RBP, frame, size);
	NEXT();
}
EXEC_ONE(enter)

ROUTINE(leave)
{
	unsigned size = insn->opsize;
	uint64_t rbp = cpu->gpr[X86_RBP], address = stack_address(cpu, insn, rbp, size), v;

	v = size == 8 ? mem_load64(cpu, insn, address)
	    : size == 4 ? mem_load32(cpu, insn, address)
			: mem_load16(cpu, insn, address);
	stack_set(cpu, rbp + size);
	set_reg_sized(cpu, R_RBP, v, size);
	NEXT();
}
EXEC_ONE(leave)

/* Flags. */
ROUTINE(sahf)
{
	cpu->flags = (REG(uint8_t, R_RAX + 1) & 0xd5) << 8 | (cpu->flags & FLAG_OF);
	NEXT();
}
EXEC_ONE(sahf)

ROUTINE(lahf)
{
	REG(uint8_t, R_RAX + 1) = (cpu->flags >> 8 & 0xd5) | RFLAGS_FIXED;
	NEXT();
}
EXEC_ONE(lahf)

ROUTINE(cmc)
{
	cpu->flags ^= FLAG_CF;
	NEXT();
}
EXEC_ONE(cmc)

ROUTINE(clc)
{
	cpu->flags &= ~FLAG_CF;
	NEXT();
}
EXEC_ONE(clc)

ROUTINE(stc)
{
	cpu->flags |= FLAG_CF;
	NEXT();
}
EXEC_ONE(stc)

ROUTINE(cld)
{
	cpu->state.rflags &= ~(uint64_t)RFLAGS_DF;
	NEXT();
}
EXEC_ONE(cld)

ROUTINE(std)
{
	cpu->state.rflags |= RFLAGS_DF;
	NEXT();
}
EXEC_ONE(std)

ROUTINE(salc)
{
	REG(uint8_t, R_RAX) = cpu->flags & FLAG_CF ? 0xff : 0;
	NEXT();
}
EXEC_ONE(salc)
