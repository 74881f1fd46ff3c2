/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMX, SSE, AVX and x87 of the interpreter. Their arithmetic is the host's own: each distinct
 * instruction becomes a stub (stub.h) that loads the guest's registers, runs the same instruction
 * and stores the results.
 *
 * The guest's vector registers and MXCSR are in cpu->state except inside a stub. Its x87 and MMX
 * registers stay in the host's from their first use on (cpu->x87_live) until vector_leave(): C
 * code run in between must not use long double.
 */
#ifndef VIV_CPU_X86_VECTOR_H
#define VIV_CPU_X86_VECTOR_H

#include "cpu/x86/cpu.h"

/* The pages for stubs and the SIGFPE handler, once a process; before any vector_prepare(). */
bool vector_init(GError **error);

/*
 * Completes an insn_decode()d instruction whose row has IF_SSE, IF_AVX, IF_MMX or IF_X87, given
 * its bytes: makes or finds its stub, then chooses its routine. From then on opsize is the size of
 * the memory operand and imm its alignment less 1 (x87: FOP). False: #UD. Any thread.
 */
bool vector_prepare(const uint8_t *bytes, struct insn *insn);

/* What an x87 instruction leaves in FOP: opcode bits 2..0, then ModRM. */
uint16_t x87_opcode(const uint8_t *bytes);

/* When the thread stops running guest code: brings the x87's registers into cpu->state. */
void vector_leave(struct cpu *cpu);

/* To be called where state.zmm_high was written from outside: derives zmm_used. */
void vector_note_zmm(struct cpu *cpu);

/* MXCSR's bits that may be set. */
uint32_t vector_mxcsr_mask(void);

#endif
