/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bit tests, scans, counts, CRC32 and BMI (rows/alu.inc). */
#include "cpu/x86/exec.h"

/*
 * Bit tests. With a register offset the memory form reaches the whole string: the unit
 * tested lies offset / bits units from the operand.
 */
#define BIT_SIZE(name, bits, sfx)                                                                  \
	static inline uint##bits##_t name##_value##bits(struct cpu *cpu, uint##bits##_t d,         \
							uint##bits##_t s)                          \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN #name #sfx " %[s], %[d]" FLAGS_OUT                                    \
		    : "+&a"(f), [d] "+r"(d)                                                         \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		return d;                                                                          \
	}                                                                                          \
	static inline void name##_memory##bits(struct cpu *cpu, const struct insn *insn,           \
					       uint64_t address, uint##bits##_t s)                 \
	{                                                                                          \
		uint##bits##_t *p = mem_rmw(cpu, insn, address, bits / 8);                         \
		uint16_t f = cpu->flags;                                                           \
		s %= bits;                                                                         \
		asm volatile(FLAGS_IN "lock " #name #sfx " %[s], %[d]" FLAGS_OUT                   \
			     : "+&a"(f), [d] "+m"(*p)                                               \
			     : [s] "r"(s)                                                          \
			     : "cc");                                                              \
		cpu->flags = f;                                                                    \
		mem_rmw_done(cpu, insn, p, bits / 8);                                              \
	}                                                                                          \
	ROUTINE(name##_EG_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->rm, name##_value##bits(cpu, REG(uint##bits##_t, insn->rm),     \
							   REG(uint##bits##_t, insn->reg)));       \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EG_m##bits)                                                                 \
	{                                                                                          \
		int##bits##_t s = REG(int##bits##_t, insn->reg);                                   \
		name##_memory##bits(cpu, insn,                                                     \
				    insn_ea_at(cpu, insn, (int64_t)(s >> BIT_SHIFT##bits) * (bits / 8)), s); \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_r##bits)                                                                 \
	{                                                                                          \
		SET_REG##bits(insn->rm,                                                            \
			      name##_value##bits(cpu, REG(uint##bits##_t, insn->rm), insn->imm));  \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_EI_m##bits)                                                                 \
	{                                                                                          \
		name##_memory##bits(cpu, insn, insn_ea(cpu, insn), insn->imm);                     \
		NEXT();                                                                            \
	}
#define BIT_SHIFT16 4
#define BIT_SHIFT32 5
#define BIT_SHIFT64 6
#define BTS_SIZE(bits, sfx) BIT_SIZE(bts, bits, sfx)
#define BTR_SIZE(bits, sfx) BIT_SIZE(btr, bits, sfx)
#define BTC_SIZE(bits, sfx) BIT_SIZE(btc, bits, sfx)
FOR_WIDE_SIZES(BTS_SIZE)
FOR_WIDE_SIZES(BTR_SIZE)
FOR_WIDE_SIZES(BTC_SIZE)
EXEC_RM_WIDE(bts_EG)
EXEC_RM_WIDE(btr_EG)
EXEC_RM_WIDE(btc_EG)
EXEC_RM_WIDE(bts_EI)
EXEC_RM_WIDE(btr_EI)
EXEC_RM_WIDE(btc_EI)

#define BT_SIZE(bits, sfx)                                                                         \
	static inline void bt_value##bits(struct cpu *cpu, uint##bits##_t d, uint##bits##_t s)     \
	{                                                                                          \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN "bt" #sfx " %[s], %[d]" FLAGS_OUT                                     \
		    : "+&a"(f)                                                                      \
		    : [d] "r"(d), [s] "r"(s)                                                       \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
	}                                                                                          \
	ROUTINE(bt_EG_r##bits)                                                                     \
	{                                                                                          \
		bt_value##bits(cpu, REG(uint##bits##_t, insn->rm), REG(uint##bits##_t, insn->reg)); \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(bt_EG_m##bits)                                                                     \
	{                                                                                          \
		int##bits##_t s = REG(int##bits##_t, insn->reg);                                   \
		uint64_t address = insn_ea_at(cpu, insn, (int64_t)(s >> BIT_SHIFT##bits) * (bits / 8)); \
		bt_value##bits(cpu, mem_load##bits(cpu, insn, address), s);                        \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(bt_EI_r##bits)                                                                     \
	{                                                                                          \
		bt_value##bits(cpu, REG(uint##bits##_t, insn->rm), insn->imm);                     \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(bt_EI_m##bits)                                                                     \
	{                                                                                          \
		bt_value##bits(cpu, mem_load##bits(cpu, insn, insn_ea(cpu, insn)), insn->imm);     \
		NEXT();                                                                            \
	}
FOR_WIDE_SIZES(BT_SIZE)
EXEC_RM_WIDE(bt_EG)
EXEC_RM_WIDE(bt_EI)

/* reg = f(r/m), all flags from the host's instruction; BSF and BSR keep reg where r/m is 0. */
#define SCAN_SIZE(name, bits, sfx)                                                                 \
	static inline void name##_value##bits(struct cpu *cpu, const struct insn *insn,            \
					      uint##bits##_t s)                                    \
	{                                                                                          \
		uint64_t d = REG(uint64_t, insn->reg);                                             \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN #name #sfx " %[s], %" SCAN_REG##bits "[d]" FLAGS_OUT                  \
		    : "+&a"(f), [d] "+r"(d)                                                         \
		    : [s] "r"(s)                                                                   \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		REG(uint64_t, insn->reg) = d;                                                      \
	}                                                                                          \
	ROUTINE(name##_GE_r##bits)                                                                 \
	{                                                                                          \
		name##_value##bits(cpu, insn, REG(uint##bits##_t, insn->rm));                      \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(name##_GE_m##bits)                                                                 \
	{                                                                                          \
		name##_value##bits(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));      \
		NEXT();                                                                            \
	}
#define SCAN_REG16 "w"
#define SCAN_REG32 "k"
#define SCAN_REG64 "q"
#define BSF_SIZE(bits, sfx)    SCAN_SIZE(bsf, bits, sfx)
#define BSR_SIZE(bits, sfx)    SCAN_SIZE(bsr, bits, sfx)
#define TZCNT_SIZE(bits, sfx)  SCAN_SIZE(tzcnt, bits, sfx)
#define LZCNT_SIZE(bits, sfx)  SCAN_SIZE(lzcnt, bits, sfx)
#define POPCNT_SIZE(bits, sfx) SCAN_SIZE(popcnt, bits, sfx)
#define ADCX_SIZE(bits, sfx)   SCAN_SIZE(adcx, bits, sfx)
#define ADOX_SIZE(bits, sfx)   SCAN_SIZE(adox, bits, sfx)
FOR_WIDE_SIZES(BSF_SIZE)
FOR_WIDE_SIZES(BSR_SIZE)
FOR_WIDE_SIZES(TZCNT_SIZE)
FOR_WIDE_SIZES(LZCNT_SIZE)
FOR_WIDE_SIZES(POPCNT_SIZE)
FOR_Y_SIZES(ADCX_SIZE)
FOR_Y_SIZES(ADOX_SIZE)
EXEC_RM_WIDE(bsf_GE)
EXEC_RM_WIDE(bsr_GE)
EXEC_RM_WIDE(tzcnt_GE)
EXEC_RM_WIDE(lzcnt_GE)
EXEC_RM_WIDE(popcnt_GE)
EXEC_RM_Y(adcx_GE)
EXEC_RM_Y(adox_GE)

#define BSWAP_SIZE(bits, sfx)                                                                      \
	ROUTINE(bswap_Z_##bits)                                                                    \
	{                                                                                          \
		SET_REG##bits(insn->rm, __builtin_bswap##bits(REG(uint##bits##_t, insn->rm)));     \
		NEXT();                                                                            \
	}
FOR_Y_SIZES(BSWAP_SIZE)
/* Undefined by the SDM; processors clear the register. */
ROUTINE(bswap_Z_16)
{
	REG(uint16_t, insn->rm) = 0;
	NEXT();
}
EXEC_WIDE(bswap_Z)

/* CRC32 of a source of 8 to 64 bits; the destination is 32 bits, zero-extended. */
#define CRC32_SIZE(set, bits, sfx, wide, mod)                                                      \
	static inline void set##_value##bits(struct cpu *cpu, const struct insn *insn,             \
					     uint##bits##_t s)                                     \
	{                                                                                          \
		uint64_t d = REG(uint32_t, insn->reg);                                             \
		asm("crc32" #sfx " %[s], %" mod "[d]" : [d] "+r"(d) : [s] "r"(s));                 \
		REG(uint64_t, insn->reg) = d;                                                      \
	}                                                                                          \
	ROUTINE(set##_r##wide)                                                                     \
	{                                                                                          \
		set##_value##bits(cpu, insn, REG(uint##bits##_t, insn->rm));                       \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(set##_m##wide)                                                                     \
	{                                                                                          \
		set##_value##bits(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));       \
		NEXT();                                                                            \
	}
CRC32_SIZE(crc32_GE, 16, w, 16, "k")
CRC32_SIZE(crc32_GE, 32, l, 32, "k")
CRC32_SIZE(crc32_GE, 64, q, 64, "q")
CRC32_SIZE(crc32_GEb, 8, b, 8, "k")
EXEC_RM_WIDE(crc32_GE)
const struct exec_set exec_crc32_GEb = {{{NULL, NULL, crc32_GEb_r8, crc32_GEb_r8},
					 {NULL, NULL, crc32_GEb_m8, crc32_GEb_m8}}};

/* BMI: value(s, b) with `s` from r/m and `b` from vvvv or an immediate; result to `dst`. */
#define BMI_ROUTINES(set, bits, dst, second)                                                       \
	ROUTINE(set##_r##bits)                                                                     \
	{                                                                                          \
		SET_REG##bits(dst, set##_value##bits(cpu, REG(uint##bits##_t, insn->rm), second)); \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(set##_m##bits)                                                                     \
	{                                                                                          \
		uint##bits##_t s = mem_load##bits(cpu, insn, insn_ea(cpu, insn));                  \
		SET_REG##bits(dst, set##_value##bits(cpu, s, second));                             \
		NEXT();                                                                            \
	}
#define BMI_VALUE(set, text, bits)                                                                 \
	static inline uint##bits##_t set##_value##bits(struct cpu *cpu, uint##bits##_t s,          \
						       uint##bits##_t b)                           \
	{                                                                                          \
		uint##bits##_t d;                                                                  \
		uint16_t f = cpu->flags;                                                           \
		asm(FLAGS_IN text FLAGS_OUT                                                        \
		    : "+&a"(f), [d] "=&r"(d)                                                        \
		    : [s] "r"(s), [b] "r"(b)                                                       \
		    : "cc");                                                                       \
		cpu->flags = f;                                                                    \
		return d;                                                                          \
	}
#define BMI(set, text, dst)                                                                        \
	BMI_VALUE(set, text, 32)                                                                   \
	BMI_VALUE(set, text, 64)                                                                   \
	BMI_ROUTINES(set, 32, dst, REG(uint32_t, insn->vvvv))                                      \
	BMI_ROUTINES(set, 64, dst, REG(uint64_t, insn->vvvv))                                      \
	EXEC_RM_Y(set)
BMI(andn_GBE, "andn %[s], %[b], %[d]", insn->reg)
BMI(pext_GBE, "pext %[s], %[b], %[d]", insn->reg)
BMI(pdep_GBE, "pdep %[s], %[b], %[d]", insn->reg)
BMI(bextr_GEB, "bextr %[b], %[s], %[d]", insn->reg)
BMI(bzhi_GEB, "bzhi %[b], %[s], %[d]", insn->reg)
BMI(shlx_GEB, "shlx %[b], %[s], %[d]", insn->reg)
BMI(sarx_GEB, "sarx %[b], %[s], %[d]", insn->reg)
BMI(shrx_GEB, "shrx %[b], %[s], %[d]", insn->reg)
BMI(blsr_BE, "blsr %[s], %[d]", insn->vvvv)
BMI(blsmsk_BE, "blsmsk %[s], %[d]", insn->vvvv)
BMI(blsi_BE, "blsi %[s], %[d]", insn->vvvv)

#define RORX_SIZE(bits, sfx)                                                                       \
	static inline uint##bits##_t rorx_GEI_value##bits(struct cpu *cpu, uint##bits##_t s,       \
							  unsigned count)                          \
	{                                                                                          \
		count %= bits;                                                                     \
		return s >> count | s << (-count % bits);                                          \
	}                                                                                          \
	BMI_ROUTINES(rorx_GEI, bits, insn->reg, insn->imm)
FOR_Y_SIZES(RORX_SIZE)
EXEC_RM_Y(rorx_GEI)

#define MULX_SIZE(bits, wide)                                                                      \
	static inline void mulx_value##bits(struct cpu *cpu, const struct insn *insn,              \
					    uint##bits##_t s)                                      \
	{                                                                                          \
		wide product = (wide)REG(uint##bits##_t, R_RDX) * s;                               \
		SET_REG##bits(insn->vvvv, product);                                                \
		SET_REG##bits(insn->reg, product >> bits);                                         \
	}                                                                                          \
	MULX_ROUTINES(bits)
#define MULX_ROUTINES(bits)                                                                       \
	ROUTINE(mulx_GBE_r##bits)                                                                  \
	{                                                                                          \
		mulx_value##bits(cpu, insn, REG(uint##bits##_t, insn->rm));                        \
		NEXT();                                                                            \
	}                                                                                          \
	ROUTINE(mulx_GBE_m##bits)                                                                  \
	{                                                                                          \
		mulx_value##bits(cpu, insn, mem_load##bits(cpu, insn, insn_ea(cpu, insn)));        \
		NEXT();                                                                            \
	}
MULX_SIZE(32, uint64_t)
MULX_SIZE(64, unsigned __int128)
EXEC_RM_Y(mulx_GBE)
