/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Far JMP, CALL and RET, through call gates too, and IRET (SDM volume 3, 6.8; volume 2). */
#include "cpu/x86/exec.h"
#include "cpu/x86/flags.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/stack.h"
#include "cpu/x86/task.h"

static bool is_64bit_code(const struct cpu *cpu, const struct x86_segment *cs)
{
	return (cs->attr & SEG_L) && (cpu->state.efer & EFER_LMA);
}

static void check_target(struct cpu *cpu, const struct insn *insn, const struct x86_segment *cs,
			 uint64_t target)
{
	if (is_64bit_code(cpu, cs) ? !is_canonical(target) : target > cs->limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
}

static void jump_to(struct cpu *cpu, const struct x86_segment *cs, uint64_t target)
{
	cpu->state.seg[X86_CS] = *cs;
	cpu->state.rip = target;
	cpu_update_mode(cpu);
}

/* Leaves CS:rIP of the next instruction on the stack, as far CALL does. */
static void put_return(struct cpu *cpu, const struct insn *insn, struct stack *stack, unsigned size)
{
	stack_put(cpu, insn, stack, cpu->state.seg[X86_CS].selector, size);
	stack_put(cpu, insn, stack, insn_next_pc(cpu, insn), size);
}

static void to_code_segment(struct cpu *cpu, const struct insn *insn, const struct x86_segment *cs,
			    uint64_t target, bool is_call)
{
	struct stack stack = stack_current(cpu, 0);

	if (is_call)
		put_return(cpu, insn, &stack, insn->opsize);
	check_target(cpu, insn, cs, target);
	if (is_call)
		stack_commit(cpu, &stack);
	jump_to(cpu, cs, target);
}

/* A call to an inner level: the old stack's pointer and parameters come first on the new one. */
static struct stack enter_inner(struct cpu *cpu, const struct insn *insn, unsigned cpl,
				unsigned n_parameters, unsigned size)
{
	struct stack stack = stack_from_tss(cpu, insn, cpl, 0);

	stack_put(cpu, insn, &stack, cpu->state.seg[X86_SS].selector, size);
	stack_put(cpu, insn, &stack, cpu->gpr[X86_RSP], size);
	while (n_parameters--)
		stack_put(cpu, insn, &stack, stack_peek(cpu, insn, n_parameters * size, size),
			  size);
	put_return(cpu, insn, &stack, size);
	return stack;
}

/* SDM volume 3, 6.8.4; its figure 6-13 for the order of the checks. */
static void through_call_gate(struct cpu *cpu, const struct insn *insn, uint16_t selector,
			      const struct descriptor *gate, bool is_call)
{
	bool long_mode = cpu->state.efer & EFER_LMA, conforming;
	unsigned cpl = cpu_cpl(cpu), new_cpl;
	unsigned size = long_mode ? 8 : gate->low >> 43 & 1 ? 4 : 2;
	uint64_t target = bits_get(gate->low, 15, 0);
	struct x86_segment cs;
	struct stack stack;

	if (bits_get(gate->low, 46, 45) < MAX(cpl, SELECTOR_RPL(selector)) ||
	    bits_get(gate->high, 44, 40))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	if (!(gate->low >> 47 & 1))
		cpu_fault_code(cpu, insn, EXC_NP, selector & ~3);
	if (size > 2)
		target |= bits_get(gate->low, 63, 48) << 16 | bits_get(gate->high, 31, 0) << 32;
	cs = segment_check_gate_code(cpu, insn, bits_get(gate->low, 31, 16), 0);
	conforming = cs.attr & SEG_TYPE_CONF;
	new_cpl = conforming ? cpl : segment_dpl(&cs);
	if (!is_call && new_cpl != cpl)
		cpu_fault_code(cpu, insn, EXC_GP, cs.selector & ~3);
	if (new_cpl < cpl) {
		stack = enter_inner(cpu, insn, new_cpl, long_mode ? 0 : bits_get(gate->low, 36, 32),
				    size);
	} else {
		stack = stack_current(cpu, 0);
		if (is_call)
			put_return(cpu, insn, &stack, size);
	}
	check_target(cpu, insn, &cs, target);
	stack_commit(cpu, &stack);
	cs.selector = (cs.selector & ~3) | new_cpl;
	jump_to(cpu, &cs, target);
}

static void to_task(struct cpu *cpu, const struct insn *insn, uint16_t selector, bool is_call)
{
	cpu->state.rip = (uint32_t)insn_next_pc(cpu, insn);
	task_switch(cpu, insn, selector, is_call ? TASK_CALL : TASK_JUMP, 0);
}

/* The selector names a gate or a TSS. */
static void to_system(struct cpu *cpu, const struct insn *insn, uint16_t selector, bool is_call)
{
	bool long_mode = cpu->state.efer & EFER_LMA;
	struct descriptor d;
	unsigned type, dpl;

	if (!segment_peek(cpu, insn, selector, &d))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	type = bits_get(d.low, 43, 40);
	dpl = bits_get(d.low, 46, 45);
	if (type == SYS_CALL_GATE || (type == SYS_CALL_GATE286 && !long_mode)) {
		through_call_gate(cpu, insn, selector, &d, is_call);
		return;
	}
	if (long_mode || dpl < MAX(cpu_cpl(cpu), SELECTOR_RPL(selector)) ||
	    (type != SYS_TASK_GATE && type != SYS_TSS_AVAILABLE && type != SYS_TSS286_AVAILABLE))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	if (type != SYS_TASK_GATE) {
		to_task(cpu, insn, selector, is_call);
		return;
	}
	if (!(d.low >> 47 & 1))
		cpu_fault_code(cpu, insn, EXC_NP, selector & ~3);
	to_task(cpu, insn, bits_get(d.low, 31, 16), is_call);
}

static void far_branch(struct cpu *cpu, const struct insn *insn, uint16_t selector, uint64_t target,
		       bool is_call)
{
	struct x86_segment cs = cpu->state.seg[X86_CS];

	if (cpu->mode_key & MODE_REAL) {
		segment_set_real(&cs, selector);
	} else {
		if (selector < 4)
			cpu_fault_code(cpu, insn, EXC_GP, 0);
		if (!(segment_read(cpu, insn, selector, EXC_GP, 0) >> 40 & SEG_S)) {
			to_system(cpu, insn, selector, is_call);
			return;
		}
		cs = segment_check_code(cpu, insn, selector, TRANSFER_JUMP);
	}
	to_code_segment(cpu, insn, &cs, target, is_call);
}

ROUTINE(jmp_far_A)
{
	far_branch(cpu, insn, insn->imm >> 32, (uint32_t)insn->imm, false);
}
EXEC_ONE(jmp_far_A)

ROUTINE(call_far_A)
{
	far_branch(cpu, insn, insn->imm >> 32, (uint32_t)insn->imm, true);
}
EXEC_ONE(call_far_A)

static void far_branch_memory(struct cpu *cpu, const struct insn *insn, bool is_call)
{
	uint64_t target = 0;
	uint8_t pointer[10];

	mem_read_bytes(cpu, insn, insn_ea(cpu, insn), pointer, insn->opsize + 2);
	memcpy(&target, pointer, insn->opsize);
	far_branch(cpu, insn, le16_load(pointer + insn->opsize), target, is_call);
}

ROUTINE(jmp_far_M)
{
	far_branch_memory(cpu, insn, false);
}
EXEC_ONE(jmp_far_M)

ROUTINE(call_far_M)
{
	far_branch_memory(cpu, insn, true);
}
EXEC_ONE(call_far_M)

/* The part of IRET and far RET that both share: to CS:rip, and to an outer level with SS:rSP. */
struct far_return {
	uint64_t rip, rsp;
	uint16_t cs, ss;
	bool has_stack; /* SS:rSP were popped */
};

static void set_rsp_popped(struct cpu *cpu, uint64_t rsp, const struct x86_segment *ss,
			   bool to_64bit)
{
	if (to_64bit)
		cpu->gpr[X86_RSP] = rsp;
	else if (ss->attr & SEG_DB)
		SET_REG32(R_RSP, rsp);
	else
		SET_REG16(R_RSP, rsp);
}

static void far_return(struct cpu *cpu, const struct insn *insn, const struct far_return *to,
		       uint64_t rsp_same_level, uint64_t release)
{
	struct x86_segment cs = segment_check_code(cpu, insn, to->cs, TRANSFER_RETURN), ss;
	unsigned cpl = cpu_cpl(cpu), new_cpl = SELECTOR_RPL(to->cs);
	bool to_64bit = is_64bit_code(cpu, &cs);

	check_target(cpu, insn, &cs, to_64bit ? to->rip : (uint32_t)to->rip);
	if (to->has_stack)
		ss = segment_check_stack(cpu, insn, to->ss, new_cpl, to_64bit, EXC_GP, 0);
	cpu->state.seg[X86_CS] = cs;
	if (to->has_stack) {
		cpu->state.seg[X86_SS] = ss;
		set_rsp_popped(cpu, to->rsp + release, &ss, to_64bit);
	} else {
		stack_set(cpu, rsp_same_level);
	}
	cpu->state.rip = to_64bit ? to->rip : (uint32_t)to->rip;
	if (new_cpl > cpl)
		segment_drop_inner(cpu);
	cpu_update_mode(cpu);
}

/* Real and virtual-8086 mode; RFLAGS.VM, VIP and VIF stay, but for what VME does. */
static void iret_real(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->opsize;
	uint64_t rip = stack_peek(cpu, insn, 0, size), cs = stack_peek(cpu, insn, size, size);
	uint64_t flags = stack_peek(cpu, insn, 2 * size, size), mask = flags_writable(cpu, size);

	flags_check_v86(cpu, insn, size, &flags, &mask);
	if (rip > cpu->state.seg[X86_CS].limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	stack_set(cpu, cpu->gpr[X86_RSP] + 3 * size);
	segment_set_real(&cpu->state.seg[X86_CS], cs);
	cpu->state.rip = rip;
	flags_load(cpu, flags, mask);
}

static void iret_to_v86(struct cpu *cpu, const struct insn *insn, uint64_t flags)
{
	static const enum x86_seg order[] = {X86_SS, X86_ES, X86_DS, X86_FS, X86_GS};
	uint32_t rip = stack_peek(cpu, insn, 0, 4), rsp = stack_peek(cpu, insn, 12, 4);
	uint16_t cs = stack_peek(cpu, insn, 4, 4), selector[G_N_ELEMENTS(order)];

	for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
		selector[i] = stack_peek(cpu, insn, 16 + 4 * i, 4);
	if (rip > 0xffff)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
		cpu->state.seg[order[i]] = segment_v86(selector[i]);
	cpu->state.seg[X86_CS] = segment_v86(cs);
	cpu->gpr[X86_RSP] = rsp;
	cpu->state.rip = rip;
	flags_load(cpu, flags, RFLAGS_LOADABLE);
}

static void iret_protected(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->opsize;
	uint64_t flags = stack_peek(cpu, insn, 2 * size, size), mask = flags_writable(cpu, size);
	struct far_return to = {.rip = stack_peek(cpu, insn, 0, size),
				.cs = stack_peek(cpu, insn, size, size)};

	if ((flags & RFLAGS_VM) && cpu_cpl(cpu) == 0 && size == 4 &&
	    !(cpu->state.efer & EFER_LMA)) {
		iret_to_v86(cpu, insn, flags);
		return;
	}
	if (cpu_cpl(cpu) == 0 && size > 2)
		mask |= RFLAGS_VIF | RFLAGS_VIP;
	to.has_stack = (cpu->mode_key & MODE_64) || SELECTOR_RPL(to.cs) > cpu_cpl(cpu);
	if (to.has_stack) {
		to.rsp = stack_peek(cpu, insn, 3 * size, size);
		to.ss = stack_peek(cpu, insn, 4 * size, size);
	}
	far_return(cpu, insn, &to, cpu->gpr[X86_RSP] + 3 * size, 0);
	flags_load(cpu, flags, mask);
}

ROUTINE(iret)
{
	bool nested = cpu->state.rflags & RFLAGS_NT;

	if (cpu->mode_key & MODE_REAL) {
		iret_real(cpu, insn);
	} else if (!nested) {
		iret_protected(cpu, insn);
	} else if (cpu->state.efer & EFER_LMA) {
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	} else {
		cpu->state.rip = (uint32_t)insn_next_pc(cpu, insn);
		task_return(cpu, insn);
	}
	cpu->state.nmi_masked = false;
}
EXEC_ONE(iret)

static void ret_far_real(struct cpu *cpu, const struct insn *insn, const struct far_return *to,
			 uint64_t rsp)
{
	if (to->rip > cpu->state.seg[X86_CS].limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	stack_set(cpu, rsp);
	segment_set_real(&cpu->state.seg[X86_CS], to->cs);
	cpu->state.rip = to->rip;
	cpu_update_mode(cpu);
}

ROUTINE(ret_far)
{
	unsigned size = insn->opsize;
	uint64_t release = (uint16_t)insn->imm, rsp = cpu->gpr[X86_RSP] + 2 * size + release;
	struct far_return to = {.rip = stack_peek(cpu, insn, 0, size),
				.cs = stack_peek(cpu, insn, size, size)};

	if (cpu->mode_key & MODE_REAL) {
		ret_far_real(cpu, insn, &to, rsp);
		return;
	}
	to.has_stack = SELECTOR_RPL(to.cs) > cpu_cpl(cpu);
	if (to.has_stack) {
		to.rsp = stack_peek(cpu, insn, 2 * size + release, size);
		to.ss = stack_peek(cpu, insn, 3 * size + release, size);
	}
	far_return(cpu, insn, &to, rsp, release);
}
EXEC_ONE(ret_far)
