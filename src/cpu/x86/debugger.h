/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's side of engine.h's set_debug(): a debugger's breakpoints and watchpoints,
 * which the guest can neither see nor use up.
 *
 * Under a debugger MODE_DEBUG is part of mode_key. Blocks of that mode end before every
 * instruction whose page offset is a breakpoint's, so that the loop between blocks sees each
 * breakpoint by its linear address. Watched pages stay out of the TLBs. An access to one that is
 * watched starts its instruction again, alone in a block, and the vCPU stops when that has
 * ended. Only the vCPU's own thread.
 */
#ifndef VIV_CPU_X86_DEBUGGER_H
#define VIV_CPU_X86_DEBUGGER_H

#include "cpu/x86/cpu.h"

bool debugger_set(struct cpu *cpu, const struct engine_debug *debug);

/* Whether one of the points is a breakpoint at this offset of some page. */
bool debugger_splits_at(const struct cpu *cpu, unsigned page_offset);
/* Whether the vCPU is to stop before the instruction at rip; notes why. */
bool debugger_stops_here(struct cpu *cpu);
/* After an instruction was run, or an exception delivered in its place. */
bool debugger_stepped(struct cpu *cpu);
/* Reports and forgets what was noted: run() is to return it. */
void debugger_report(struct cpu *cpu);

bool debugger_watches_page(const struct cpu *cpu, uint64_t address);
/* An access that will not fault any more and has changed nothing yet; may leave by longjmp. */
void debugger_watch_access(struct cpu *cpu, const struct insn *insn, uint64_t address,
			   unsigned size, bool write);

#endif
