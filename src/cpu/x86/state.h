/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architectural state of one x86-64 processor, as software sees it, without the
 * local APIC (lapic.h). Every engine loads it, stores it, and nothing else.
 * Names are those of the Intel SDM.
 */
#ifndef VIV_CPU_X86_STATE_H
#define VIV_CPU_X86_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "state/state.h"

enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_N_SEGS };

/* Attributes as in a descriptor's second word, bits 8..23: type, S, DPL, P, AVL, L, D/B, G. */
enum {
	SEG_TYPE      = 0xf,
	SEG_TYPE_CODE = 1 << 3,
	SEG_TYPE_CONF = 1 << 2, /* code: conforming; data: expand-down */
	SEG_TYPE_RW   = 1 << 1, /* code: readable; data: writable */
	SEG_TYPE_ACC  = 1 << 0,
	SEG_S         = 1 << 4,
	SEG_DPL_SHIFT = 5,
	SEG_P         = 1 << 7,
	SEG_AVL       = 1 << 12,
	SEG_L         = 1 << 13,
	SEG_DB        = 1 << 14,
	SEG_G         = 1 << 15,
};

struct x86_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, G applied */
	uint16_t selector;
	uint16_t attr; /* SEG_*; SEG_P clear: unusable (a null selector) */
};

struct x86_table {
	uint64_t base;
	uint16_t limit;
};

enum {
	RFLAGS_CF = 1 << 0, RFLAGS_FIXED = 1 << 1, RFLAGS_PF = 1 << 2, RFLAGS_AF = 1 << 4,
	RFLAGS_ZF = 1 << 6, RFLAGS_SF = 1 << 7, RFLAGS_TF = 1 << 8, RFLAGS_IF = 1 << 9,
	RFLAGS_DF = 1 << 10, RFLAGS_OF = 1 << 11, RFLAGS_IOPL = 3 << 12, RFLAGS_NT = 1 << 14,
	RFLAGS_RF = 1 << 16, RFLAGS_VM = 1 << 17, RFLAGS_AC = 1 << 18, RFLAGS_VIF = 1 << 19,
	RFLAGS_VIP = 1 << 20, RFLAGS_ID = 1 << 21,
	RFLAGS_LOADABLE = 0x3f7fd5, /* all that are defined, but for RFLAGS_FIXED */
	RFLAGS_ARITH = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF,
};

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_VME        (1ull << 0)
#define CR4_PVI        (1ull << 1)
#define CR4_TSD        (1ull << 2)
#define CR4_DE         (1ull << 3)
#define CR4_PSE        (1ull << 4)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6)
#define CR4_PGE        (1ull << 7)
#define CR4_PCE        (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)

#define MCG_STATUS_RIPV (1ull << 0)
#define MCG_STATUS_EIPV (1ull << 1)
#define MCG_STATUS_MCIP (1ull << 2)

#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

#define XCR0_X87 (1ull << 0)
#define XCR0_SSE (1ull << 1)
#define XCR0_AVX (1ull << 2)
#define XCR0_OPMASK    (1ull << 5)
#define XCR0_ZMM_HIGH  (1ull << 6) /* SDM: ZMM_Hi256 */
#define XCR0_ZMM_16_31 (1ull << 7) /* SDM: Hi16_ZMM */
#define XCR0_AVX512    (XCR0_OPMASK | XCR0_ZMM_HIGH | XCR0_ZMM_16_31)

enum x86_activity { X86_ACTIVE, X86_HALTED, X86_WAIT_FOR_SIPI };

/* The x87 unit, parts named as in the FXSAVE64 image. */
struct x86_fpu {
	uint16_t fcw, fsw;
	uint8_t ftw; /* abridged: a bit a physical register, 1 = not empty */
	uint16_t fop;
	uint64_t fip, fdp;
	uint8_t st[8][16]; /* ST(0) first; 10 bytes each, the rest zero */
};

#define X86_N_MTRR_VAR 8
/* Banks of machine-check MSRs, each of control, status, address, miscellaneous. */
#define X86_N_MC_BANKS 4
enum x86_mc { X86_MC_CTL, X86_MC_STATUS, X86_MC_ADDR, X86_MC_MISC, X86_N_MC };

struct x86_state {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct x86_segment seg[X86_N_SEGS], ldtr, tr;
	struct x86_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0;
	uint64_t dr[4], dr6, dr7;

	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_offset, tsc_aux, misc_enable, spec_ctrl, xss;
	uint64_t mtrr_def_type, mtrr_fix[11], mtrr_var[2 * X86_N_MTRR_VAR];
	uint64_t kvm_wall_clock, kvm_system_time;
	uint64_t mcg_status, mc[X86_N_MC_BANKS][X86_N_MC];

	struct x86_fpu fpu;
	uint32_t mxcsr;
	/* ZMM0 to ZMM31, in halves: so the parts that all hosts have stay together. */
	uint8_t ymm[32][32];
	uint8_t zmm_high[32][32];
	uint64_t k[8];

	uint8_t activity; /* enum x86_activity */
	bool interrupt_shadow;
	bool shadow_by_ss; /* it is from a load of SS, which holds off debug exceptions, too */
	bool nmi_masked;

	/* System-management mode: whether it runs there, the place of its state and its handler (SDM
	 * volume 3, 34.11), and whether NMIs were masked where it came from. */
	bool smm, nmi_masked_before_smm;
	uint32_t smbase;

	/* Taken from the APIC, but its handler not entered: the interrupt, an NMI. And a machine check that is
	 * logged. */
	bool interrupt_taken;
	uint8_t interrupt_vector;
	bool nmi_taken;
	bool machine_check_taken;
};

extern const struct state_table x86_state_table;

/* Power-on state (SDM volume 3, table 10-1); `bsp` runs, others wait for SIPI. */
void x86_state_reset(struct x86_state *state, bool bsp);
/* INIT, which leaves the x87 and vector state, the TSC and most MSRs (the same table). */
void x86_state_init(struct x86_state *state, bool bsp);
/* SIPI (9.4.4): a processor that waits for it starts in real mode at vector << 12; false: it did not wait. */
bool x86_state_startup(struct x86_state *state, uint8_t vector);
/* From the reset state to 64-bit code at `rip`, at CPL 0 with flat segments, through the page tables at `cr3`:
 * where programs of ours start. Nothing else is changed. */
void x86_state_enter_long(struct x86_state *state, uint64_t cr3, uint64_t rip);

#endif
