/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/interrupt.h"

#include "cpu/x86/debug.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/flags.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/smm.h"
#include "cpu/x86/stack.h"
#include "cpu/x86/task.h"

struct event {
	uint8_t vector;
	bool has_error_code;
	bool software; /* INT n, INT3, INTO: the gate's DPL counts, faults have no EXT bit */
	uint32_t error_code;
	bool sets_rf; /* in the pushed flags */
};

/* The gate at 8 or 16 bytes a vector; `types`: a bit for each that is allowed. */
static struct descriptor read_gate(struct cpu *cpu, const struct insn *insn,
				   const struct event *event, unsigned size, uint32_t types)
{
	uint32_t code = event->vector * 8 + 2 + !event->software;
	struct descriptor gate = {0};

	if (event->vector * size + size - 1 > cpu->state.idtr.limit)
		cpu_fault_code(cpu, insn, EXC_GP, code);
	mmu_sys_read(cpu, insn, cpu->state.idtr.base + event->vector * size, &gate, size);
	if (!(types >> bits_get(gate.low, 44, 40) & 1))
		cpu_fault_code(cpu, insn, EXC_GP, code);
	if (event->software && bits_get(gate.low, 46, 45) < cpu_cpl(cpu))
		cpu_fault_code(cpu, insn, EXC_GP, code);
	if (!(gate.low >> 47 & 1))
		cpu_fault_code(cpu, insn, EXC_NP, code);
	return gate;
}

#define GATES_LONG (1u << SYS_INTERRUPT_GATE | 1u << SYS_TRAP_GATE)
#define GATES_LEGACY \
	(GATES_LONG | 1u << SYS_INTERRUPT_GATE286 | 1u << SYS_TRAP_GATE286 | 1u << SYS_TASK_GATE)

/* The type bit in which trap gates differ from interrupt gates, which clear IF. */
static bool is_trap_gate(const struct descriptor *gate)
{
	return gate->low >> 40 & 1;
}

static void deliver_long(struct cpu *cpu, const struct insn *insn, const struct event *event)
{
	struct descriptor gate = read_gate(cpu, insn, event, 16, GATES_LONG);
	struct x86_segment cs =
		segment_check_gate_code(cpu, insn, bits_get(gate.low, 31, 16), !event->software);
	unsigned cpl = cpu_cpl(cpu), ist = bits_get(gate.low, 34, 32);
	unsigned new_cpl = cs.attr & SEG_TYPE_CONF ? cpl : segment_dpl(&cs);
	uint64_t target = bits_get(gate.low, 15, 0) | bits_get(gate.low, 63, 48) << 16 |
			  bits_get(gate.high, 31, 0) << 32;
	uint64_t rflags = cpu_rflags(cpu), rsp = cpu->gpr[X86_RSP], frame[6];
	unsigned words = 5 + event->has_error_code, clear;

	if (ist)
		rsp = stack_pointer_from_tss(cpu, insn, TSS64_IST1 + 8 * (ist - 1),
					     !event->software);
	else if (new_cpl < cpl)
		rsp = stack_pointer_from_tss(cpu, insn, TSS64_RSP0 + 8 * new_cpl, !event->software);
	rsp = (rsp & ~15ull) - 8 * words;
	frame[words - 1] = cpu->state.seg[X86_SS].selector;
	frame[words - 2] = cpu->gpr[X86_RSP];
	frame[words - 3] = rflags | (event->sets_rf ? RFLAGS_RF : 0);
	frame[words - 4] = cpu->state.seg[X86_CS].selector;
	frame[words - 5] = cpu->state.rip;
	if (event->has_error_code)
		frame[0] = event->error_code;
	if (!is_canonical(rsp) || !is_canonical(rsp + 8 * words - 1))
		cpu_fault_code(cpu, insn, EXC_SS, !event->software);
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
		cpu->state.seg[X86_SS] =
			(struct x86_segment){.selector = new_cpl, .attr = new_cpl << SEG_DPL_SHIFT};
	clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;
	if (!is_trap_gate(&gate))
		clear |= RFLAGS_IF;
	cpu_set_rflags(cpu, rflags & ~(uint64_t)clear);
	cpu_update_mode(cpu);
}

/* Real mode: FLAGS, CS and IP on the stack, the vector's far pointer (SDM volume 3, 21.1.4). */
static void deliver_vector(struct cpu *cpu, const struct insn *insn, uint64_t table, uint8_t vector,
			   uint64_t pushed_flags, uint64_t clear)
{
	struct x86_segment cs = cpu->state.seg[X86_CS];
	struct stack stack = stack_current(cpu, 0);
	uint16_t target[2]; /* IP, CS */

	mmu_sys_read(cpu, insn, table + vector * 4, target, 4);
	stack_put(cpu, insn, &stack, pushed_flags, 2);
	stack_put(cpu, insn, &stack, cs.selector, 2);
	stack_put(cpu, insn, &stack, cpu->state.rip, 2);
	if (target[0] > cs.limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	stack_commit(cpu, &stack);
	segment_set_real(&cpu->state.seg[X86_CS], target[1]);
	cpu->state.rip = target[0];
	cpu_set_rflags(cpu, cpu_rflags(cpu) & ~clear);
	cpu_update_mode(cpu);
}

static void deliver_real(struct cpu *cpu, const struct insn *insn, const struct event *event)
{
	if (event->vector * 4 + 3 > cpu->state.idtr.limit)
		cpu_fault_code(cpu, insn, EXC_GP, event->vector * 8 + 2);
	deliver_vector(cpu, insn, cpu->state.idtr.base, event->vector, cpu_rflags(cpu),
		       RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
}

static void deliver_to_task(struct cpu *cpu, const struct insn *insn, const struct event *event,
			    uint16_t selector)
{
	task_switch(cpu, insn, selector, TASK_INTERRUPT, !event->software);
	if (event->has_error_code) {
		struct stack stack = stack_current(cpu, 1);

		stack_put(cpu, NULL, &stack, event->error_code, cpu->state.tr.attr & 8 ? 4 : 2);
		stack_commit(cpu, &stack);
	}
}

/* Virtual-8086 mode's data segments, pushed before SS:ESP, and null in the handler. */
static const enum x86_seg v86_data[] = {X86_GS, X86_FS, X86_DS, X86_ES};

/* Interrupt and trap gates outside long mode (SDM volume 3, 6.12). */
static void deliver_through_gate(struct cpu *cpu, const struct insn *insn,
				 const struct event *event, const struct descriptor *gate)
{
	unsigned size = gate->low >> 43 & 1 ? 4 : 2, cpl = cpu_cpl(cpu), new_cpl;
	uint32_t ext = !event->software;
	uint64_t rflags = cpu_rflags(cpu), clear;
	uint32_t target =
		bits_get(gate->low, 15, 0) | (size == 4 ? bits_get(gate->low, 63, 48) << 16 : 0);
	bool v86 = rflags & RFLAGS_VM;
	struct x86_segment cs =
		segment_check_gate_code(cpu, insn, bits_get(gate->low, 31, 16), ext);
	struct stack stack;

	new_cpl = cs.attr & SEG_TYPE_CONF ? cpl : segment_dpl(&cs);
	if (v86 && new_cpl)
		cpu_fault_code(cpu, insn, EXC_GP, (cs.selector & ~3) | ext);
	stack = new_cpl < cpl ? stack_from_tss(cpu, insn, new_cpl, ext) : stack_current(cpu, ext);
	for (unsigned i = 0; v86 && i < G_N_ELEMENTS(v86_data); i++)
		stack_put(cpu, insn, &stack, cpu->state.seg[v86_data[i]].selector, size);
	if (new_cpl < cpl) {
		stack_put(cpu, insn, &stack, cpu->state.seg[X86_SS].selector, size);
		stack_put(cpu, insn, &stack, cpu->gpr[X86_RSP], size);
	}
	stack_put(cpu, insn, &stack, rflags | (event->sets_rf ? RFLAGS_RF : 0), size);
	stack_put(cpu, insn, &stack, cpu->state.seg[X86_CS].selector, size);
	stack_put(cpu, insn, &stack, cpu->state.rip, size);
	if (event->has_error_code)
		stack_put(cpu, insn, &stack, event->error_code, size);
	if (target > cs.limit)
		cpu_fault_code(cpu, insn, EXC_GP, ext);

	stack_commit(cpu, &stack);
	for (unsigned i = 0; v86 && i < G_N_ELEMENTS(v86_data); i++)
		cpu->state.seg[v86_data[i]] = (struct x86_segment){0};
	cs.selector = (cs.selector & ~3) | new_cpl;
	cpu->state.seg[X86_CS] = cs;
	cpu->state.rip = target;
	clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM |
		(is_trap_gate(gate) ? 0 : RFLAGS_IF);
	cpu_set_rflags(cpu, rflags & ~clear);
	cpu_update_mode(cpu);
}

static void deliver_protected(struct cpu *cpu, const struct insn *insn, const struct event *event)
{
	struct descriptor gate = read_gate(cpu, insn, event, 8, GATES_LEGACY);

	if (bits_get(gate.low, 43, 40) == SYS_TASK_GATE)
		deliver_to_task(cpu, insn, event, bits_get(gate.low, 31, 16));
	else
		deliver_through_gate(cpu, insn, event, &gate);
}

static void deliver(struct cpu *cpu, const struct insn *insn, const struct event *event)
{
	cpu->state.activity = X86_ACTIVE;
	cpu->state.interrupt_shadow = false;
	cpu->no_step = true;
	if (event->vector == EXC_DB)
		cpu->state.dr7 &= ~(uint64_t)DR7_GD;
	if (G_LIKELY(cpu->state.efer & EFER_LMA))
		deliver_long(cpu, insn, event);
	else if (cpu->state.cr0 & CR0_PE)
		deliver_protected(cpu, insn, event);
	else
		deliver_real(cpu, insn, event);
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
		/* Faults do, but not the #DB of an instruction breakpoint (SDM volume 3, 18.3.1.1). */
		.sets_rf = !cpu->at_breakpoint,
	};

	cpu->at_breakpoint = false;

	if (cpu->delivering == EXC_DF) {
		g_snprintf(cpu->error, sizeof(cpu->error),
			   "triple fault: exception %u at rip %#" G_GINT64_MODIFIER
			   "x, error code %#x, cr2 %#" G_GINT64_MODIFIER "x",
			   cpu->fault.vector, cpu->state.rip, cpu->fault.error_code,
			   cpu->state.cr2);
		return false;
	}
	if (cpu->delivering != DELIVERING_NOTHING &&
	    makes_double_fault(cpu->delivering, event.vector))
		event = (struct event){.vector = EXC_DF, .has_error_code = true};
	cpu->stats.exceptions++;
	trace_cpu_exception(cpu->env.trace, cpu->id, event.vector, event.error_code, cpu->state.rip,
			    cpu->state.cr2);
	cpu->delivering = event.vector;
	deliver(cpu, NULL, &event);
	return true;
}

void interrupt_debug(struct cpu *cpu)
{
	struct event event = {.vector = EXC_DB};

	cpu->state.dr6 |= cpu->debug_pending;
	cpu->debug_pending = 0;
	cpu->stats.exceptions++;
	cpu->delivering = EXC_DB;
	deliver(cpu, NULL, &event);
	cpu->delivering = DELIVERING_NOTHING;
}

void interrupt_machine_check(struct cpu *cpu)
{
	struct event event = {.vector = EXC_MC};

	cpu->stats.exceptions++;
	cpu->delivering = DELIVERING_EVENT;
	deliver(cpu, NULL, &event);
	cpu->delivering = DELIVERING_NOTHING;
}

void interrupt_software(struct cpu *cpu, const struct insn *insn, uint8_t vector, bool checks_dpl)
{
	struct event event = {.vector = vector, .software = checks_dpl};

	cpu->state.rip = insn_next_pc(cpu, insn);
	deliver(cpu, insn, &event);
}

/* The state that INIT or SIPI left replaces what ran. */
static void restart(struct cpu *cpu)
{
	memcpy(cpu->gpr, cpu->state.gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, cpu->state.rflags);
	cpu->debug_pending = 0;
	mmu_flush(cpu);
	cpu_update_mode(cpu);
}

bool interrupt_redirected(struct cpu *cpu, const struct insn *insn, uint8_t vector)
{
	enum { IO_MAP_BASE = 102, BITMAP_SIZE = 32 };
	const struct x86_segment *tr = &cpu->state.tr;
	uint16_t io_map;
	uint8_t bits;

	if (!(cpu->state.cr4 & CR4_VME))
		return false;
	if (tr->limit < IO_MAP_BASE + 1)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	mmu_sys_read(cpu, insn, tr->base + IO_MAP_BASE, &io_map, 2);
	if (io_map < BITMAP_SIZE || io_map - BITMAP_SIZE + vector / 8 > tr->limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	mmu_sys_read(cpu, insn, tr->base + io_map - BITMAP_SIZE + vector / 8, &bits, 1);
	return !(bits >> vector % 8 & 1);
}

/* With IOPL below 3 the program's IF is VIF, and it sees an IOPL of 3. */
void interrupt_to_v86(struct cpu *cpu, const struct insn *insn, uint8_t vector)
{
	uint64_t flags = cpu_rflags(cpu), interrupt_flag = RFLAGS_IF;

	if (flags_iopl(cpu) < 3) {
		interrupt_flag = RFLAGS_VIF;
		flags = (flags & ~(uint64_t)RFLAGS_IF) | RFLAGS_IOPL |
			(flags & RFLAGS_VIF ? RFLAGS_IF : 0);
	}
	cpu->state.rip = insn_next_pc(cpu, insn);
	cpu->no_step = true;
	deliver_vector(cpu, insn, 0, vector, flags, interrupt_flag | RFLAGS_TF | RFLAGS_NT);
}

void interrupt_event(struct cpu *cpu, enum lapic_event kind, uint8_t vector)
{
	static const char *const names[] = {
		[LAPIC_EVENT_INTERRUPT] = "interrupt", [LAPIC_EVENT_NMI] = "NMI",
		[LAPIC_EVENT_SMI] = "SMI",	       [LAPIC_EVENT_INIT] = "INIT",
		[LAPIC_EVENT_SIPI] = "SIPI",
	};
	struct event event = {.vector = vector};

	trace_cpu_interrupt(cpu->env.trace, cpu->id, names[kind], vector, cpu->state.rip);
	if (kind == LAPIC_EVENT_SMI) {
		smm_enter(cpu);
		return;
	} else if (kind == LAPIC_EVENT_NMI) {
		event.vector = EXC_NMI;
		cpu->state.nmi_masked = true;
	} else if (kind == LAPIC_EVENT_INIT) {
		x86_state_init(&cpu->state, cpu->id == 0);
		cpu->state.gpr[X86_RDX] = cpu->model->signature;
		restart(cpu);
		return;
	} else if (kind == LAPIC_EVENT_SIPI) {
		if (x86_state_startup(&cpu->state, vector))
			restart(cpu);
		return;
	}
	cpu->delivering = DELIVERING_EVENT;
	deliver(cpu, NULL, &event);
	cpu->delivering = DELIVERING_NOTHING;
}
