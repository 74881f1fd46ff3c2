/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/stack.h"

#include "cpu/x86/exec.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/segment.h"

struct stack stack_current(const struct cpu *cpu, uint32_t ext)
{
	return (struct stack){.ss = cpu->state.seg[X86_SS],
			      .rsp = cpu->gpr[X86_RSP],
			      .cpl = cpu_cpl(cpu),
			      .is_64bit = cpu->mode_key & MODE_64,
			      .error_code = ext};
}

uint64_t stack_pointer_from_tss(struct cpu *cpu, const struct insn *insn, unsigned offset,
				uint32_t ext)
{
	const struct x86_segment *tr = &cpu->state.tr;
	uint64_t rsp;

	if (offset + 7 > tr->limit)
		cpu_fault_code(cpu, insn, EXC_TS, (tr->selector & ~3) | ext);
	mmu_sys_read(cpu, insn, tr->base + offset, &rsp, 8);
	if (!is_canonical(rsp))
		cpu_fault_code(cpu, insn, EXC_SS, ext);
	return rsp;
}

static struct stack from_tss64(struct cpu *cpu, const struct insn *insn, unsigned cpl, uint32_t ext)
{
	return (struct stack){
		.ss = {.selector = cpl, .attr = cpl << SEG_DPL_SHIFT},
		.rsp = stack_pointer_from_tss(cpu, insn, TSS64_RSP0 + 8 * cpl, ext),
		.cpl = cpl,
		.is_64bit = true,
		.error_code = ext,
	};
}

struct stack stack_from_tss(struct cpu *cpu, const struct insn *insn, unsigned cpl, uint32_t ext)
{
	const struct x86_segment *tr = &cpu->state.tr;
	bool is_386 = tr->attr & 8;
	/* rSP, then SS. */
	unsigned size = is_386 ? 4 : 2, offset = size + 2 * size * cpl;
	struct stack stack = {.cpl = cpl};
	uint16_t selector;

	if (cpu->state.efer & EFER_LMA)
		return from_tss64(cpu, insn, cpl, ext);
	if (offset + size + 1 > tr->limit)
		cpu_fault_code(cpu, insn, EXC_TS, (tr->selector & ~3) | ext);
	mmu_sys_read(cpu, insn, tr->base + offset, &stack.rsp, size);
	mmu_sys_read(cpu, insn, tr->base + offset + size, &selector, 2);
	stack.ss = segment_check_stack(cpu, insn, selector, cpl, false, EXC_TS, ext);
	stack.error_code = (selector & ~3) | ext;
	return stack;
}

void stack_put(struct cpu *cpu, const struct insn *insn, struct stack *stack, uint64_t value,
	       unsigned size)
{
	uint64_t mask = stack->is_64bit ? ~0ull : stack->ss.attr & SEG_DB ? ~0u : 0xffff;
	uint64_t offset = (stack->rsp - size) & mask, address = offset;

	if (!stack->is_64bit) {
		if (!segment_holds(&stack->ss, offset, size))
			cpu_fault_code(cpu, insn, EXC_SS, stack->error_code);
		address = (uint32_t)(offset + stack->ss.base);
	} else if (!is_canonical(offset)) {
		cpu_fault_code(cpu, insn, EXC_SS, stack->error_code);
	}
	if (stack->cpl == 3)
		mem_write_bytes(cpu, insn, address, &value, size);
	else
		mmu_sys_write(cpu, insn, address, &value, size);
	stack->rsp = offset | (stack->rsp & ~mask);
}

void stack_commit(struct cpu *cpu, const struct stack *stack)
{
	cpu->state.seg[X86_SS] = stack->ss;
	cpu->gpr[X86_RSP] = stack->rsp;
}
