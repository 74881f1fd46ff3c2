/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers and descriptors (SDM volume 3, chapters 3 and 5). Functions that take an
 * insn leave by cpu_fault(); those faults come before any change of state.
 */
#ifndef VIV_CPU_X86_SEGMENT_H
#define VIV_CPU_X86_SEGMENT_H

#include "cpu/x86/cpu.h"

#define SELECTOR_RPL(s) ((s) & 3)
#define SELECTOR_LDT    4

/* System descriptor types; long mode has those above 8 only, and the LDT. */
enum { SYS_TSS286_AVAILABLE = 1, SYS_LDT = 2, SYS_TSS286_BUSY = 3, SYS_CALL_GATE286 = 4,
       SYS_TASK_GATE = 5, SYS_INTERRUPT_GATE286 = 6, SYS_TRAP_GATE286 = 7, SYS_TSS_AVAILABLE = 9,
       SYS_TSS_BUSY = 11, SYS_CALL_GATE = 12, SYS_INTERRUPT_GATE = 14, SYS_TRAP_GATE = 15 };

struct descriptor {
	uint64_t low, high; /* high: the second half of a 16-byte system descriptor */
};

/* Fills a segment register's hidden part from an 8-byte descriptor. */
struct x86_segment segment_from(uint16_t selector, uint64_t descriptor);
static inline unsigned segment_dpl(const struct x86_segment *s)
{
	return s->attr >> SEG_DPL_SHIFT & 3;
}

/* Whether `size` bytes at `offset` lie within the limit (SDM volume 3, 5.3). */
bool segment_holds(const struct x86_segment *s, uint64_t offset, unsigned size);
/* What real mode's loads change of a segment register: limit and rights stay. */
void segment_set_real(struct x86_segment *s, uint16_t selector);
/* A segment register as virtual-8086 mode loads it. */
struct x86_segment segment_v86(uint16_t selector);

/* Reads the 8 bytes a selector names; `vector` is raised with the selector where it is past its
 * table's limit. `ext` is the error code's EXT bit. */
uint64_t segment_read(struct cpu *cpu, const struct insn *insn, uint16_t selector,
		      enum x86_exception vector, uint32_t ext);
/* Sets the accessed bit in the table, as loading does. */
void segment_set_accessed(struct cpu *cpu, const struct insn *insn, uint16_t selector,
			  uint64_t descriptor);

/* MOV Sreg, POP Sreg, LDS and the like: ES, SS, DS, FS, GS. */
void segment_load(struct cpu *cpu, const struct insn *insn, enum x86_seg reg, uint16_t selector);
/* The descriptor for a transfer to a code segment at `cpl` by far JMP, CALL, RET or IRET's rules. */
enum segment_transfer { TRANSFER_JUMP, TRANSFER_RETURN };
struct x86_segment segment_check_code(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				      enum segment_transfer how);
/* The code segment a gate names; `ext`: the error code's EXT bit. Not above CPL. */
struct x86_segment segment_check_gate_code(struct cpu *cpu, const struct insn *insn,
					   uint16_t selector, uint32_t ext);
/* CS of a task that is being switched to. */
struct x86_segment segment_check_task_code(struct cpu *cpu, uint16_t selector, uint32_t ext);
/* The descriptor for SS at privilege level `cpl`; `vector`: what is raised where it does not fit. */
struct x86_segment segment_check_stack(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				       unsigned cpl, bool to_64bit, enum x86_exception vector,
				       uint32_t ext);
/* The same for DS, ES, FS and GS, at CPL; not null. */
struct x86_segment segment_check_data(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				      enum x86_exception vector, uint32_t ext);
/* After a return to an outer level: data segments the new level must not see become null. */
void segment_drop_inner(struct cpu *cpu);

void segment_load_ldt(struct cpu *cpu, const struct insn *insn, uint16_t selector);
void segment_load_task(struct cpu *cpu, const struct insn *insn, uint16_t selector);

/* LAR, LSL, VERR, VERW: reads a descriptor without faulting on a bad selector. */
bool segment_peek(struct cpu *cpu, const struct insn *insn, uint16_t selector,
		  struct descriptor *out);

#endif
