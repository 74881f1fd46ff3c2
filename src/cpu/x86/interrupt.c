/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/interrupt.h"

#include "cpu/x86/exec.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/segment.h"

#define DR6_BS (1u << 14)

/* 64-bit task state segment (SDM volume 3, figure 8-11). */
enum { TSS_RSP0 = 4, TSS_IST1 = 36 };

struct event {
	uint8_t vector;
	bool has_error_code;
	bool software; /* INT n, INT3, INTO: the gate's DPL counts, faults have no EXT bit */
	uint32_t error_code;
	bool is_fault; /* RF is set in the pushed flags */
};

static uint64_t read_tss_stack(struct cpu *cpu, const struct insn *insn, unsigned offset)
{
	const struct x86_segment *tr = &cpu->state.tr;
	uint64_t rsp;

	if (offset + 7 > tr->limit)
		cpu_fault_code(cpu, insn, EXC_TS, tr->selector & ~3);
	mmu_sys_read(cpu, insn, tr->base + offset, &rsp, 8);
	if (!is_canonical(rsp))
		cpu_fault_code(cpu, insn, EXC_SS, 0);
	return rsp;
}

static struct descriptor read_gate(struct cpu *cpu, const struct insn *insn,
				   const struct event *event)
{
	uint32_t code = event->vector * 8 + 2 + !event->software;
	struct descriptor gate;
	unsigned type;

	if (event->vector * 16 + 15 > cpu->state.idtr.limit)
		cpu_fault_code(cpu, insn, EXC_GP, code);
	mmu_sys_read(cpu, insn, cpu->state.idtr.base + event->vector * 16, &gate, 16);
	type = bits_get(gate.low, 44, 40);
	if (type != SYS_INTERRUPT_GATE && type != SYS_TRAP_GATE)
		cpu_fault_code(cpu, insn, EXC_GP, code);
	if (event->software && bits_get(gate.low, 46, 45) < cpu_cpl(cpu))
		cpu_fault_code(cpu, insn, EXC_GP, code);
	if (!(gate.low >> 47 & 1))
		cpu_fault_code(cpu, insn, EXC_NP, code);
	return gate;
}

static struct x86_segment gate_code_segment(struct cpu *cpu, const struct insn *insn,
					    uint16_t selector, uint32_t ext)
{
	struct x86_segment cs;

	if (selector < 4)
		cpu_fault_code(cpu, insn, EXC_GP, ext);
	cs = segment_from(selector, segment_read(cpu, insn, selector, EXC_GP, ext));
	if ((cs.attr & (SEG_S | SEG_TYPE_CODE)) != (SEG_S | SEG_TYPE_CODE) || !(cs.attr & SEG_L) ||
	    (cs.attr & SEG_DB) || segment_dpl(&cs) > cpu_cpl(cpu))
		cpu_fault_code(cpu, insn, EXC_GP, (selector & ~3) | ext);
	if (!(cs.attr & SEG_P))
		cpu_fault_code(cpu, insn, EXC_NP, (selector & ~3) | ext);
	return cs;
}

static void deliver_long(struct cpu *cpu, const struct insn *insn, const struct event *event)
{
	struct descriptor gate = read_gate(cpu, insn, event);
	struct x86_segment cs =
		gate_code_segment(cpu, insn, bits_get(gate.low, 31, 16), !event->software);
	unsigned cpl = cpu_cpl(cpu), ist = bits_get(gate.low, 34, 32);
	unsigned new_cpl = cs.attr & SEG_TYPE_CONF ? cpl : segment_dpl(&cs);
	uint64_t target = bits_get(gate.low, 15, 0) | bits_get(gate.low, 63, 48) << 16 |
			  bits_get(gate.high, 31, 0) << 32;
	uint64_t rflags = cpu_rflags(cpu), rsp = cpu->gpr[X86_RSP], frame[6];
	unsigned words = 5 + event->has_error_code, clear;

	if (ist)
		rsp = read_tss_stack(cpu, insn, TSS_IST1 + 8 * (ist - 1));
	else if (new_cpl < cpl)
		rsp = read_tss_stack(cpu, insn, TSS_RSP0 + 8 * new_cpl);
	rsp = (rsp & ~15ull) - 8 * words;
	frame[words - 1] = cpu->state.seg[X86_SS].selector;
	frame[words - 2] = cpu->gpr[X86_RSP];
	frame[words - 3] = rflags | (event->is_fault ? RFLAGS_RF : 0);
	frame[words - 4] = cpu->state.seg[X86_CS].selector;
	frame[words - 5] = cpu->state.rip;
	if (event->has_error_code)
		frame[0] = event->error_code;
	if (new_cpl == 3)
		mem_write_bytes(cpu, insn, rsp, frame, 8 * words);
	else
		mmu_sys_write(cpu, insn, rsp, frame, 8 * words);
	if (!is_canonical(target))
		cpu_fault_code(cpu, insn, EXC_GP, !event->software);

	cpu->gpr[X86_RSP] = rsp;
	cpu->state.rip = target;
	cs.selector = (cs.selector & ~3) | new_cpl;
	cpu->state.seg[X86_CS] = cs;
	if (new_cpl < cpl)
		cpu->state.seg[X86_SS] = (struct x86_segment){
			.selector = new_cpl, .attr = new_cpl << SEG_DPL_SHIFT};
	clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;
	if (bits_get(gate.low, 43, 40) == SYS_INTERRUPT_GATE)
		clear |= RFLAGS_IF;
	cpu_set_rflags(cpu, rflags & ~(uint64_t)clear);
	cpu_update_mode(cpu);
}

static void deliver(struct cpu *cpu, const struct insn *insn, const struct event *event)
{
	cpu->state.activity = X86_ACTIVE;
	deliver_long(cpu, insn, event);
}

/* Exceptions that make a double fault of another contributory one (SDM volume 3, table 6-5). */
static bool is_contributory(uint8_t vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

static bool makes_double_fault(uint8_t first, uint8_t second)
{
	if (first == EXC_PF)
		return second == EXC_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

bool interrupt_exception(struct cpu *cpu)
{
	struct event event = {
		.vector = cpu->fault.vector,
		.has_error_code = cpu->fault.has_error_code,
		.error_code = cpu->fault.error_code,
		.is_fault = true,
	};

	if (cpu->delivering == EXC_DF || !(cpu->state.efer & EFER_LMA)) {
		g_snprintf(cpu->error, sizeof(cpu->error),
			   "%s: exception %u at rip %#" G_GINT64_MODIFIER "x, error code %#x, cr2 %#"
			   G_GINT64_MODIFIER "x",
			   cpu->delivering == EXC_DF ? "triple fault" : "exception outside long mode",
			   cpu->fault.vector, cpu->state.rip, cpu->fault.error_code, cpu->state.cr2);
		return false;
	}
	if (cpu->delivering != DELIVERING_NOTHING &&
	    makes_double_fault(cpu->delivering, event.vector))
		event = (struct event){.vector = EXC_DF, .has_error_code = true};
	if (event.vector == EXC_DB)
		event.is_fault = false;
	cpu->stats.exceptions++;
	cpu->delivering = event.vector;
	deliver(cpu, NULL, &event);
	return true;
}

void interrupt_single_step(struct cpu *cpu)
{
	struct event event = {.vector = EXC_DB};

	cpu->state.dr6 |= DR6_BS;
	cpu->stats.exceptions++;
	cpu->delivering = EXC_DB;
	deliver(cpu, NULL, &event);
	cpu->delivering = DELIVERING_NOTHING;
}

void interrupt_software(struct cpu *cpu, const struct insn *insn, uint8_t vector, bool checks_dpl)
{
	struct event event = {.vector = vector, .software = checks_dpl};

	cpu->state.rip = insn_next_pc(cpu, insn);
	deliver(cpu, insn, &event);
}

/* SDM volume 3, table 10-1: INIT leaves the x87 and vector state, the TSC and most MSRs. */
static void take_init(struct cpu *cpu)
{
	struct x86_state old = cpu->state, *s = &cpu->state;

	x86_state_reset(s, cpu->id == 0);
	s->fpu = old.fpu;
	s->mxcsr = old.mxcsr;
	memcpy(s->ymm, old.ymm, sizeof(s->ymm));
	s->xcr0 = old.xcr0;
	s->tsc_offset = old.tsc_offset;
	s->tsc_aux = old.tsc_aux;
	s->pat = old.pat;
	s->mtrr_def_type = old.mtrr_def_type;
	memcpy(s->mtrr_fix, old.mtrr_fix, sizeof(s->mtrr_fix));
	memcpy(s->mtrr_var, old.mtrr_var, sizeof(s->mtrr_var));
	memcpy(cpu->gpr, s->gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, s->rflags);
	mmu_flush(cpu);
	cpu_update_mode(cpu);
}

/* SDM volume 3, 9.4.4: a processor that waits starts in real mode at vector << 12. */
static void take_sipi(struct cpu *cpu, uint8_t vector)
{
	if (cpu->state.activity != X86_WAIT_FOR_SIPI)
		return;
	cpu->state.seg[X86_CS].selector = vector << 8;
	cpu->state.seg[X86_CS].base = vector << 12;
	cpu->state.rip = 0;
	cpu->state.activity = X86_ACTIVE;
	cpu_update_mode(cpu);
}

void interrupt_event(struct cpu *cpu, enum lapic_event kind, uint8_t vector)
{
	struct event event = {.vector = vector};

	if (kind == LAPIC_EVENT_NMI) {
		event.vector = EXC_NMI;
		cpu->state.nmi_masked = true;
	} else if (kind == LAPIC_EVENT_INIT) {
		take_init(cpu);
		return;
	} else if (kind == LAPIC_EVENT_SIPI) {
		take_sipi(cpu, vector);
		return;
	}
	cpu->delivering = DELIVERING_EVENT;
	deliver(cpu, NULL, &event);
	cpu->delivering = DELIVERING_NOTHING;
}
