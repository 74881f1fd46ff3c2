/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Integer arithmetic and logic (rows/alu.inc). */
#include "cpu/x86/exec.h"

/*
 * Two-operand instructions that write the first. For each: on a register's value, on
 * memory, on memory with LOCK; then routines by operand form: EG, GE, EI.
 */
#define BINARY_PRIMITIVES(name, pre, bits, sfx)                                                    \
	static inline uint##bits##_t name##_value##bits(struct cpu *cpu, uint##bits##_t d,         \
							uint##bits##_t s)                          \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		asm(pre #name #sfx " %[s], %[d]" FLAGS_OUT : "+&a"(f), [d] "+r"(d) : [s] "r"(s) : "cc"); \
		cpu->flags = f;                                                                    \
		return d;                                                                          \
	}                                                                                          \
	static inline void name##_memory##bits(struct cpu *cpu, const struct insn *insn,           \
					       uint##bits##_t s)                                   \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		if (G_UNLIKELY(insn->flags & INSN_LOCK))                                           \
			asm volatile(pre "lock " #name #sfx " %[s], %[d]" FLAGS_OUT                \
				     : "+&a"(f), [d] "+m"(*p)                                       \
				     : [s] "r"(s)                                                  \
				     : "cc");                                                      \
		else                                                                               \
			asm(pre #name #sfx " %[s], %[d]" FLAGS_OUT                                 \
			    : "+&a"(f), [d] "+m"(*p)                                                \
			    : [s] "r"(s)                                                           \
			    : "cc");                                                               \
		cpu->flags = f;                                                                    \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
	}

#define BINARY_ROUTINES(name, bits)                                                                \
	ROUTINE(name##_EG_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->rm, name##_value##bits(cpu, REG(uint##bits##_t, insn->rm),     \
							   REG(uint##bits##_t, insn->reg)));       \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->rm,                                                            \
			      name##_value##bits(cpu, REG(uint##bits##_t, insn->rm), insn->imm));  \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_GE_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->reg, name##_value##bits(cpu, REG(uint##bits##_t, insn->reg),   \
							    REG(uint##bits##_t, insn->rm)));       \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_GE_m##bits)                                                                 \
	{                                                                                          \
		uint##bits##_t s = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		SET_REG##bits(insn->reg,                                                           \
			      name##_value##bits(cpu, REG(uint##bits##_t, insn->reg), s));         \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EG_m##bits)                                                                 \
	{                                                                                          \
		name##_memory##bits(cpu, insn, REG(uint##bits##_t, insn->reg));                    \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_m##bits)                                                                 \
	{                                                                                          \
		name##_memory##bits(cpu, insn, insn->imm);                                         \
		NEXT();                                                                            \
	}

#define BINARY(name, pre)                                                                          \
	BINARY_PRIMITIVES(name, pre, 8, b)                                                         \
	BINARY_PRIMITIVES(name, pre, 16, w)                                                        \
	BINARY_PRIMITIVES(name, pre, 32, l)                                                        \
	BINARY_PRIMITIVES(name, pre, 64, q)                                                        \
	BINARY_ROUTINES(name, 8)                                                                   \
	BINARY_ROUTINES(name, 16)                                                                  \
	BINARY_ROUTINES(name, 32)                                                                  \
	BINARY_ROUTINES(name, 64)                                                                  \
	EXEC_RM(name##_EG) EXEC_RM(name##_GE) EXEC_RM(name##_EI)

BINARY(add, "")
BINARY(or, "")
BINARY(adc, CARRY_IN)
BINARY(sbb, CARRY_IN)
BINARY(and, "")
BINARY(sub, "")
BINARY(xor, "")

/* Two-operand instructions that only set flags. */
#define COMPARE_SIZE(name, bits, sfx)                                                              \
	static inline void name##_value##bits(struct cpu *cpu, uint##bits##_t d, uint##bits##_t s) \
	{                                                                                          \
		uint16_t f;                                                                        \
		asm(#name #sfx " %[s], %[d]" FLAGS_OUT : "=a"(f) : [d] "r"(d), [s] "r"(s) : "cc"); \
		cpu->flags = f;                                                                    \
	}                                                                                          \
	ROUTINE(name##_EG_r##bits)                                                                 \
	{                                                                                          \
		name##_value##bits(cpu, REG(uint##bits##_t, insn->rm),                             \
				   REG(uint##bits##_t, insn->reg));                                \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EG_m##bits)                                                                 \
	{                                                                                          \
		uint##bits##_t d = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		name##_value##bits(cpu, d, REG(uint##bits##_t, insn->reg));                        \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_r##bits)                                                                 \
	{                                                                                          \
		name##_value##bits(cpu, REG(uint##bits##_t, insn->rm), insn->imm);                 \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_m##bits)                                                                 \
	{                                                                                          \
		name##_value##bits(cpu, mem_load##bits(cpu, insn, insn_ea(cpu, insn)), insn->imm); \
		NEXT();                                                                            \
	}
#define CMP_SIZE(bits, sfx)                                                                        \
	COMPARE_SIZE(cmp, bits, sfx)                                                               \
	ROUTINE(cmp_GE_r##bits)                                                                    \
	{                                                                                          \
		cmp_value##bits(cpu, REG(uint##bits##_t, insn->reg),                               \
				REG(uint##bits##_t, insn->rm));                                    \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(cmp_GE_m##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t s = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		cmp_value##bits(cpu, REG(uint##bits##_t, insn->reg), s);                           \
		NEXT();                                                                            \
	}
#define TEST_SIZE(bits, sfx) COMPARE_SIZE(test, bits, sfx)
FOR_SIZES(CMP_SIZE)
FOR_SIZES(TEST_SIZE)
EXEC_RM(cmp_EG)
EXEC_RM(cmp_GE)
EXEC_RM(cmp_EI)
EXEC_RM(test_EG)
EXEC_RM(test_EI)

/* One-operand instructions. INC and DEC keep CF, NOT keeps all flags. */
#define UNARY_SIZE(name, pre, bits, sfx)                                                           \
	ROUTINE(name##_E_r##bits)                                                                  \
	{                                                                                          \
		uint##bits##_t d = REG(uint##bits##_t, insn->rm);                                  \
		uint16_t f = cpu->flags;                                                           \
		asm(pre #name #sfx " %[d]" FLAGS_OUT : "+&a"(f), [d] "+r"(d) : : "cc");             \
		cpu->flags = f;                                                                    \
		SET_REG##bits(insn->rm, d);                                                        \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_E_m##bits)                                                                  \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		uint16_t f = cpu->flags;                                                           \
		if (G_UNLIKELY(insn->flags & INSN_LOCK))                                           \
			asm volatile(pre "lock " #name #sfx " %[d]" FLAGS_OUT                      \
				     : "+&a"(f), [d] "+m"(*p)                                       \
				     :                                                             \
				     : "cc");                                                      \
		else                                                                               \
			asm(pre #name #sfx " %[d]" FLAGS_OUT : "+&a"(f), [d] "+m"(*p) : : "cc");    \
		cpu->flags = f;                                                                    \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
		NEXT();                                                                            \
	}
#define NOT_SIZE(bits, sfx) UNARY_SIZE(not, FLAGS_IN, bits, sfx)
#define NEG_SIZE(bits, sfx) UNARY_SIZE(neg, "", bits, sfx)
#define INC_SIZE(bits, sfx) UNARY_SIZE(inc, CARRY_IN, bits, sfx)
#define DEC_SIZE(bits, sfx) UNARY_SIZE(dec, CARRY_IN, bits, sfx)
FOR_SIZES(NOT_SIZE)
FOR_SIZES(NEG_SIZE)
FOR_SIZES(INC_SIZE)
FOR_SIZES(DEC_SIZE)
EXEC_RM(not_E)
EXEC_RM(neg_E)
EXEC_RM(inc_E)
EXEC_RM(dec_E)

/* An instruction that works on rAX, with the flags in and out of CX around it. */
#define ACCUMULATOR(instruction)                                                                   \
	"xchgq %%rax, %%rcx\n\t" FLAGS_IN "xchgq %%rax, %%rcx\n\t" instruction " %[s]\n\t"         \
	"movq %%rax, %%rcx" FLAGS_OUT "\n\txchgq %%rax, %%rcx"

/* MUL and IMUL of the accumulator: rDX:rAX, or AX for bytes. */
#define MUL_VALUE(name, bits, sfx)                                                                 \
	static inline void name##_value##bits(struct cpu *cpu, uint##bits##_t s)                   \
	{                                                                                          \
		uint##bits##_t lo = REG(uint##bits##_t, R_RAX), hi;                                \
		uint16_t f = cpu->flags;                                                           \
		asm(ACCUMULATOR(#name #sfx)                                                  \
		    : "+&a"(lo), "=&d"(hi), "+&c"(f)                                                 \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		SET_REG##bits(R_RAX, lo);                                                          \
		SET_REG##bits(R_RDX, hi);                                                          \
	}
#define MUL_VALUE8(name)                                                                           \
	static inline void name##_value8(struct cpu *cpu, uint8_t s)                               \
	{                                                                                          \
		uint16_t ax = REG(uint8_t, R_RAX), f = cpu->flags;                                 \
		asm(ACCUMULATOR(#name "b")                                                  \
		    : "+&a"(ax), "+&c"(f)                                                            \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		REG(uint16_t, R_RAX) = ax;                                                         \
	}
#define MUL_ROUTINES(name, bits)                                                                   \
	ROUTINE(name##_E_r##bits)                                                                  \
	{                                                                                          \
		name##_value##bits(cpu, REG(uint##bits##_t, insn->rm));                            \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_E_m##bits)                                                                  \
	{                                                                                          \
		name##_value##bits(cpu, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));            \
		NEXT();                                                                            \
	}
#define MUL(name)                                                                                  \
	MUL_VALUE8(name)                                                                           \
	MUL_VALUE(name, 16, w)                                                                     \
	MUL_VALUE(name, 32, l)                                                                     \
	MUL_VALUE(name, 64, q)                                                                     \
	MUL_ROUTINES(name, 8)                                                                      \
	MUL_ROUTINES(name, 16)                                                                     \
	MUL_ROUTINES(name, 32)                                                                     \
	MUL_ROUTINES(name, 64)                                                                     \
	EXEC_RM(name##_E)
MUL(mul)
MUL(imul)

#define IMUL2_SIZE(bits, sfx)                                                                      \
	static inline uint##bits##_t imul2_value##bits(struct cpu *cpu, uint##bits##_t d,          \
						       uint##bits##_t s)                           \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN "imul" #sfx " %[s], %[d]" FLAGS_OUT                                   \
		    : "+&a"(f), [d] "+r"(d)                                                         \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		return d;                                                                          \
	}                                                                                          \
	ROUTINE(imul_GE_r##bits)                                                                   \
	{                                                                                          \
		SET_REG##bits(insn->reg, imul2_value##bits(cpu, REG(uint##bits##_t, insn->reg),    \
							   REG(uint##bits##_t, insn->rm)));        \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(imul_GE_m##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t s = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		SET_REG##bits(insn->reg,                                                           \
			      imul2_value##bits(cpu, REG(uint##bits##_t, insn->reg), s));          \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(imul_GEI_r##bits)                                                                  \
	{                                                                                          \
		SET_REG##bits(insn->reg,                                                           \
			      imul2_value##bits(cpu, REG(uint##bits##_t, insn->rm), insn->imm));   \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(imul_GEI_m##bits)                                                                  \
	{                                                                                          \
		uint##bits##_t s = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		SET_REG##bits(insn->reg, imul2_value##bits(cpu, s, insn->imm));                    \
		NEXT();                                                                            \
	}
FOR_WIDE_SIZES(IMUL2_SIZE)
EXEC_RM_WIDE(imul_GE)
EXEC_RM_WIDE(imul_GEI)

/*
 * DIV and IDIV. The quotient's range is checked first, so that the host's own instruction, run
 * for the result and the flags, cannot fault.
 */
static bool udiv_fits(unsigned __int128 n, uint64_t d, unsigned bits)
{
	return d != 0 && n >> bits < d;
}

static bool idiv_fits(__int128 n, int64_t d, unsigned bits)
{
	unsigned __int128 un = n < 0 ? -(unsigned __int128)n : (unsigned __int128)n;
	uint64_t ud = d < 0 ? -(uint64_t)d : (uint64_t)d;
	unsigned __int128 limit;

	/* |n| / |d| <= limit, as |n| < (limit + 1) * |d|. */
	limit = ((unsigned __int128)1 << (bits - 1)) - ((n < 0) != (d < 0) ? 0 : 1);
	return ud != 0 && un < (limit + 1) * ud;
}

#define DIV_VALUE(name, fits, bits, sfx, sign)                                                     \
	static inline void name##_value##bits(struct cpu *cpu, const struct insn *insn,            \
					      uint##bits##_t s)                                    \
	{                                                                                          \
		uint##bits##_t lo = REG(uint##bits##_t, R_RAX), hi = REG(uint##bits##_t, R_RDX);   \
		uint16_t f = cpu->flags;                                                           \
		sign __int128 n = (sign __int128)(sign##_##bits)hi << bits | lo;                   \
		if (!fits(n, (sign##_##bits)s, bits))                                              \
			cpu_fault(cpu, insn, EXC_DE);                                              \
		asm(ACCUMULATOR(#name #sfx)                                                  \
		    : "+&a"(lo), "+d"(hi), "+&c"(f)                                                  \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		SET_REG##bits(R_RAX, lo);                                                          \
		SET_REG##bits(R_RDX, hi);                                                          \
	}
#define DIV_VALUE8(name, fits, sign)                                                               \
	static inline void name##_value8(struct cpu *cpu, const struct insn *insn, uint8_t s)      \
	{                                                                                          \
		uint16_t ax = REG(uint16_t, R_RAX), f = cpu->flags;                                \
		if (!fits((sign##_16)ax, (sign##_8)s, 8))                                          \
			cpu_fault(cpu, insn, EXC_DE);                                              \
		asm(ACCUMULATOR(#name "b")                                                  \
		    : "+&a"(ax), "+&c"(f)                                                            \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		REG(uint16_t, R_RAX) = ax;                                                         \
	}
#define DIV_ROUTINES(name, bits)                                                                   \
	ROUTINE(name##_E_r##bits)                                                                  \
	{                                                                                          \
		name##_value##bits(cpu, insn, REG(uint##bits##_t, insn->rm));                      \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_E_m##bits)                                                                  \
	{                                                                                          \
		name##_value##bits(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));      \
		NEXT();                                                                            \
	}
#define DIV(name, fits, sign)                                                                      \
	DIV_VALUE8(name, fits, sign)                                                               \
	DIV_VALUE(name, fits, 16, w, sign)                                                         \
	DIV_VALUE(name, fits, 32, l, sign)                                                         \
	DIV_VALUE(name, fits, 64, q, sign)                                                         \
	DIV_ROUTINES(name, 8)                                                                      \
	DIV_ROUTINES(name, 16)                                                                     \
	DIV_ROUTINES(name, 32)                                                                     \
	DIV_ROUTINES(name, 64)                                                                     \
	EXEC_RM(name##_E)
typedef uint8_t unsigned_8;
typedef uint16_t unsigned_16;
typedef uint32_t unsigned_32;
typedef uint64_t unsigned_64;
typedef int8_t signed_8;
typedef int16_t signed_16;
typedef int32_t signed_32;
typedef int64_t signed_64;
DIV(div, udiv_fits, unsigned)
DIV(idiv, idiv_fits, signed)

/* Shifts and rotates, by an immediate (or 1) and by CL. A zero count changes no flags. */
#define SHIFT_SIZE(name, bits, sfx)                                                                \
	static inline uint##bits##_t name##_value##bits(struct cpu *cpu, uint##bits##_t d,         \
							uint8_t count)                             \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN #name #sfx " %%cl, %[d]" FLAGS_OUT                                    \
		    : "+&a"(f), [d] "+r"(d)                                                         \
		    : "c"(count)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		return d;                                                                          \
	}                                                                                          \
	ROUTINE(name##_EI_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->rm,                                                            \
			      name##_value##bits(cpu, REG(uint##bits##_t, insn->rm), insn->imm));  \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_m##bits)                                                                 \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		*p = name##_value##bits(cpu, *p, insn->imm);                                       \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EC_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->rm, name##_value##bits(cpu, REG(uint##bits##_t, insn->rm),     \
							   REG(uint8_t, R_RCX)));                  \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EC_m##bits)                                                                 \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		*p = name##_value##bits(cpu, *p, REG(uint8_t, R_RCX));                             \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
		NEXT();                                                                            \
	}
#define SHIFT(name)                                                                                \
	SHIFT_SIZE(name, 8, b)                                                                     \
	SHIFT_SIZE(name, 16, w)                                                                    \
	SHIFT_SIZE(name, 32, l)                                                                    \
	SHIFT_SIZE(name, 64, q)                                                                    \
	EXEC_RM(name##_EI) EXEC_RM(name##_EC)
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

#define DOUBLE_SHIFT_FORM(name, form, bits, count)                                                 \
	ROUTINE(name##_##form##_r##bits)                                                           \
	{                                                                                          \
		SET_REG##bits(insn->rm,                                                            \
			      name##_value##bits(cpu, REG(uint##bits##_t, insn->rm),               \
						 REG(uint##bits##_t, insn->reg), count));          \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_##form##_m##bits)                                                           \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		*p = name##_value##bits(cpu, *p, REG(uint##bits##_t, insn->reg), count);           \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
		NEXT();                                                                            \
	}
#define DOUBLE_SHIFT_SIZE(name, bits, sfx)                                                         \
	static inline uint##bits##_t name##_value##bits(struct cpu *cpu, uint##bits##_t d,         \
							uint##bits##_t s, uint8_t count)           \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN #name #sfx " %%cl, %[s], %[d]" FLAGS_OUT                              \
		    : "+&a"(f), [d] "+r"(d)                                                         \
		    : [s] "r"(s), "c"(count)                                                       \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		return d;                                                                          \
	}                                                                                          \
	DOUBLE_SHIFT_FORM(name, EGI, bits, insn->imm)                                              \
	DOUBLE_SHIFT_FORM(name, EGC, bits, REG(uint8_t, R_RCX))
#define SHLD_SIZE(bits, sfx) DOUBLE_SHIFT_SIZE(shld, bits, sfx)
#define SHRD_SIZE(bits, sfx) DOUBLE_SHIFT_SIZE(shrd, bits, sfx)
FOR_WIDE_SIZES(SHLD_SIZE)
FOR_WIDE_SIZES(SHRD_SIZE)
EXEC_RM_WIDE(shld_EGI)
EXEC_RM_WIDE(shld_EGC)
EXEC_RM_WIDE(shrd_EGI)
EXEC_RM_WIDE(shrd_EGC)

/* XADD and CMPXCHG. */
#define XADD_SIZE(bits, sfx)                                                                       \
	ROUTINE(xadd_EG_r##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t d = REG(uint##bits##_t, insn->rm), s = REG(uint##bits##_t, insn->reg); \
		uint##bits##_t sum = add_value##bits(cpu, d, s);                                   \
		SET_REG##bits(insn->reg, d);                                                       \
		SET_REG##bits(insn->rm, sum);                                                      \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(xadd_EG_m##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		uint##bits##_t s = REG(uint##bits##_t, insn->reg);                                 \
		uint16_t f;                                                                        \
		asm volatile("lock xadd" #sfx " %[s], %[d]" FLAGS_OUT                              \
			     : "=a"(f), [d] "+m"(*p), [s] "+r"(s)                                  \
			     :                                                                     \
			     : "cc");                                                              \
		cpu->flags = f;                                                                    \
		SET_REG##bits(insn->reg, s);                                                       \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
		NEXT();                                                                            \
	}
FOR_SIZES(XADD_SIZE)
EXEC_RM(xadd_EG)

/* Where the comparison fails the accumulator is loaded, and only then is it written. */
#define CMPXCHG_SIZE(bits, sfx)                                                                    \
	ROUTINE(cmpxchg_EG_r##bits)                                                                \
	{                                                                                          \
		uint##bits##_t d = REG(uint##bits##_t, insn->rm);                                  \
		cmp_value##bits(cpu, REG(uint##bits##_t, R_RAX), d);                               \
		if (cpu->flags & FLAG_ZF)                                                          \
			SET_REG##bits(insn->rm, REG(uint##bits##_t, insn->reg));                   \
		else                                                                               \
			SET_REG##bits(R_RAX, d);                                                   \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(cmpxchg_EG_m##bits)                                                                \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), bits / 8);              \
		uint##bits##_t expected = REG(uint##bits##_t, R_RAX), found = expected;            \
		atomic_compare_exchange_strong((_Atomic uint##bits##_t *)p, &found,                \
					       REG(uint##bits##_t, insn->reg));                    \
		cmp_value##bits(cpu, expected, found);                                             \
		if (!(cpu->flags & FLAG_ZF))                                                       \
			SET_REG##bits(R_RAX, found);                                               \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
		NEXT();                                                                            \
	}
FOR_SIZES(CMPXCHG_SIZE)
EXEC_RM(cmpxchg_EG)

static void set_zf(struct cpu *cpu, bool zf)
{
	cpu->flags = zf ? cpu->flags | FLAG_ZF : cpu->flags & ~FLAG_ZF;
}

ROUTINE(cmpxchg8b_M)
{
	uint64_t *p = mem_rmw(cpu, insn, insn_ea(cpu, insn), 8);
	uint64_t expected = (uint64_t)REG(uint32_t, R_RDX) << 32 | REG(uint32_t, R_RAX);
	uint64_t found = expected;
	bool equal = atomic_compare_exchange_strong(
		(_Atomic uint64_t *)p, &found,
		(uint64_t)REG(uint32_t, R_RCX) << 32 | REG(uint32_t, R_RBX));

	set_zf(cpu, equal);
	if (!equal) {
		SET_REG32(R_RAX, found);
		SET_REG32(R_RDX, found >> 32);
	}
	mem_rmw_done(cpu, insn, p, 8);
	NEXT();
}
EXEC_ONE(cmpxchg8b_M)

ROUTINE(cmpxchg16b_M)
{
	uint64_t address = insn_ea(cpu, insn);
	uint64_t lo = cpu->gpr[X86_RAX], hi = cpu->gpr[X86_RDX];
	bool equal;
	void *p;

	if (address % 16)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	p = mem_rmw(cpu, insn, address, 16);
	asm volatile("lock cmpxchg16b %[p]\n\tsetz %[equal]"
		     : [p] "+m"(*(unsigned __int128 *)p), "+&a"(lo), "+d"(hi), [equal] "=q"(equal)
		     : "b"(cpu->gpr[X86_RBX]), "c"(cpu->gpr[X86_RCX])
		     : "cc");
	set_zf(cpu, equal);
	if (!equal) {
		cpu->gpr[X86_RAX] = lo;
		cpu->gpr[X86_RDX] = hi;
	}
	mem_rmw_done(cpu, insn, p, 16);
	NEXT();
}
EXEC_ONE(cmpxchg16b_M)
