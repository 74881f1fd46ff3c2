/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfers between privilege levels and code segments: SYSCALL, SYSENTER, INT, IRET, far branches. */
#include "cpu/x86/exec.h"
#include "cpu/x86/interrupt.h"
#include "cpu/x86/segment.h"

/* Flat segments as SYSCALL and SYSENTER load them, whatever the tables say. */
static struct x86_segment flat_code(uint16_t selector, unsigned dpl, bool is_64bit)
{
	return (struct x86_segment){
		.selector = selector,
		.limit = ~0u,
		.attr = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_ACC | SEG_G |
			dpl << SEG_DPL_SHIFT | (is_64bit ? SEG_L : SEG_DB),
	};
}

static struct x86_segment flat_stack(uint16_t selector, unsigned dpl)
{
	return (struct x86_segment){
		.selector = selector,
		.limit = ~0u,
		.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC | SEG_G | SEG_DB |
			dpl << SEG_DPL_SHIFT,
	};
}

static void enter_segments(struct cpu *cpu, uint16_t cs, uint16_t ss, unsigned cpl, bool is_64bit)
{
	cpu->state.seg[X86_CS] = flat_code(cs, cpl, is_64bit);
	cpu->state.seg[X86_SS] = flat_stack(ss, cpl);
	cpu_update_mode(cpu);
}

/* From compatibility mode only AMD processors take SYSCALL; Intel's raise #UD. */
static bool syscall_allowed(const struct cpu *cpu)
{
	return (cpu->state.efer & EFER_SCE) && (cpu->state.efer & EFER_LMA) &&
	       ((cpu->mode_key & MODE_64) || cpu_is_amd());
}

ROUTINE(syscall_64)
{
	struct x86_state *s = &cpu->state;
	uint16_t cs = s->star >> 32;

	if (!syscall_allowed(cpu))
		cpu_fault(cpu, insn, EXC_UD);
	SET_REG64(R_RCX, insn_next_pc(cpu, insn));
	cpu->gpr[X86_R11] = cpu_rflags(cpu) & ~(uint64_t)RFLAGS_RF;
	s->rip = cpu->mode_key & MODE_64 ? s->lstar : s->cstar;
	cpu_set_rflags(cpu, cpu->gpr[X86_R11] & ~(s->sfmask | RFLAGS_RF));
	enter_segments(cpu, cs & ~3, (cs & ~3) + 8, 0, true);
}
EXEC_ONE(syscall_64)

ROUTINE(sysret)
{
	struct x86_state *s = &cpu->state;
	bool to_64bit = insn->opsize == 8;
	uint16_t base = s->star >> 48;
	uint64_t target = cpu->gpr[X86_RCX];

	if (!(s->efer & EFER_SCE) || !(cpu->mode_key & MODE_64))
		cpu_fault(cpu, insn, EXC_UD);
	if (to_64bit && !is_canonical(target))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	s->rip = to_64bit ? target : (uint32_t)target;
	cpu_set_rflags(cpu, (cpu->gpr[X86_R11] & 0x3c7fd7) | RFLAGS_FIXED);
	enter_segments(cpu, (base + (to_64bit ? 16 : 0)) | 3, (base + 8) | 3, 3, to_64bit);
	atomic_store(&cpu->attention, true);
}
EXEC_ONE(sysret)

/* In long mode only Intel processors have SYSENTER. */
ROUTINE(sysenter)
{
	struct x86_state *s = &cpu->state;
	bool long_mode = s->efer & EFER_LMA;

	if ((cpu->mode_key & MODE_REAL) || !(s->sysenter_cs & ~3ull))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (long_mode && cpu_is_amd())
		cpu_fault(cpu, insn, EXC_UD);
	cpu_set_rflags(cpu, cpu_rflags(cpu) & ~(uint64_t)(RFLAGS_IF | RFLAGS_VM | RFLAGS_RF));
	s->rip = long_mode ? s->sysenter_eip : (uint32_t)s->sysenter_eip;
	cpu->gpr[X86_RSP] = long_mode ? s->sysenter_esp : (uint32_t)s->sysenter_esp;
	enter_segments(cpu, s->sysenter_cs & 0xfffc, (s->sysenter_cs & 0xfffc) + 8, 0, long_mode);
}
EXEC_ONE(sysenter)

ROUTINE(sysexit)
{
	struct x86_state *s = &cpu->state;
	bool to_64bit = insn->opsize == 8;
	uint16_t cs = s->sysenter_cs & 0xfffc;

	if ((cpu->mode_key & MODE_REAL) || !cs)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (to_64bit && (!is_canonical(cpu->gpr[X86_RCX]) || !is_canonical(cpu->gpr[X86_RDX])))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	s->rip = to_64bit ? cpu->gpr[X86_RDX] : REG(uint32_t, R_RDX);
	cpu->gpr[X86_RSP] = to_64bit ? cpu->gpr[X86_RCX] : REG(uint32_t, R_RCX);
	cs += to_64bit ? 32 : 16;
	enter_segments(cpu, cs | 3, (cs + 8) | 3, 3, to_64bit);
}
EXEC_ONE(sysexit)

ROUTINE(int3)
{
	interrupt_software(cpu, insn, EXC_BP, true);
}
EXEC_ONE(int3)

ROUTINE(int1)
{
	interrupt_software(cpu, insn, EXC_DB, false);
}
EXEC_ONE(int1)

ROUTINE(int_I)
{
	interrupt_software(cpu, insn, insn->imm, true);
}
EXEC_ONE(int_I)

ROUTINE(into)
{
	if (cpu->flags & FLAG_OF)
		interrupt_software(cpu, insn, EXC_OF, true);
	else
		cpu->state.rip = (uint32_t)insn_next_pc(cpu, insn);
}
EXEC_ONE(into)

/* RFLAGS bits that IRET and POPF may change at a privilege level. */
static uint64_t writable_flags(const struct cpu *cpu, unsigned opsize)
{
	uint64_t mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
	unsigned cpl = cpu_cpl(cpu), iopl = cpu->state.rflags >> 12 & 3;

	if (opsize > 2)
		mask |= RFLAGS_AC | RFLAGS_ID | RFLAGS_RF;
	if (cpl <= iopl)
		mask |= RFLAGS_IF;
	if (cpl == 0)
		mask |= RFLAGS_IOPL;
	return mask;
}

static void load_flags(struct cpu *cpu, uint64_t value, uint64_t mask)
{
	cpu_set_rflags(cpu, (cpu_rflags(cpu) & ~mask) | (value & mask));
	cpu_update_mode(cpu);
	/* Interrupts may be enabled now. */
	atomic_store(&cpu->attention, true);
}

ROUTINE(popf)
{
	uint64_t value = stack_peek(cpu, insn, 0, insn->opsize);

	stack_set(cpu, cpu->gpr[X86_RSP] + insn->opsize);
	load_flags(cpu, value & ~(uint64_t)RFLAGS_RF,
		   writable_flags(cpu, insn->opsize) | (insn->opsize > 2 ? RFLAGS_RF : 0));
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}
EXEC_ONE(popf)

ROUTINE(pushf)
{
	push(cpu, insn, cpu_rflags(cpu) & ~(uint64_t)(RFLAGS_RF | RFLAGS_VM), insn->opsize);
	NEXT();
}
EXEC_ONE(pushf)

/* The part of IRET and far RET that both share: to CS:rip, and to an outer level with SS:rSP. */
struct far_return {
	uint64_t rip, rsp;
	uint16_t cs, ss;
	bool has_stack; /* SS:rSP were popped */
	unsigned size;
};

static void far_return(struct cpu *cpu, const struct insn *insn, const struct far_return *to,
		       uint64_t rsp_same_level)
{
	struct x86_segment cs = segment_check_code(cpu, insn, to->cs, TRANSFER_RETURN), ss;
	unsigned cpl = cpu_cpl(cpu), new_cpl = SELECTOR_RPL(to->cs);
	bool to_64bit = (cs.attr & SEG_L) && (cpu->state.efer & EFER_LMA);
	bool outer = new_cpl > cpl;

	if (to_64bit ? !is_canonical(to->rip) : (uint32_t)to->rip > cs.limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (to->has_stack)
		ss = segment_check_stack(cpu, insn, to->ss, new_cpl, to_64bit);
	cpu->state.seg[X86_CS] = cs;
	if (to->has_stack) {
		cpu->state.seg[X86_SS] = ss;
		cpu->gpr[X86_RSP] = to_64bit || (cpu->state.efer & EFER_LMA) ? to->rsp
								  : (uint32_t)to->rsp;
	} else {
		stack_set(cpu, rsp_same_level);
	}
	cpu->state.rip = to_64bit ? to->rip : (uint32_t)to->rip;
	if (outer)
		segment_drop_inner(cpu);
	cpu_update_mode(cpu);
}

ROUTINE(iret)
{
	unsigned size = insn->opsize;
	struct far_return to = {.size = size};
	uint64_t flags, mask;

	if (!(cpu->state.efer & EFER_LMA) || (cpu->state.rflags & RFLAGS_NT))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	to.rip = stack_peek(cpu, insn, 0, size);
	to.cs = stack_peek(cpu, insn, size, size);
	flags = stack_peek(cpu, insn, 2 * size, size);
	to.has_stack = (cpu->mode_key & MODE_64) || SELECTOR_RPL(to.cs) > cpu_cpl(cpu);
	if (to.has_stack) {
		to.rsp = stack_peek(cpu, insn, 3 * size, size);
		to.ss = stack_peek(cpu, insn, 4 * size, size);
	}
	mask = writable_flags(cpu, size);
	far_return(cpu, insn, &to, cpu->gpr[X86_RSP] + 3 * size);
	cpu->state.nmi_masked = false;
	load_flags(cpu, flags, mask);
}
EXEC_ONE(iret)

ROUTINE(ret_far)
{
	unsigned size = insn->opsize;
	uint64_t release = (uint16_t)insn->imm;
	struct far_return to = {.size = size};

	to.rip = stack_peek(cpu, insn, 0, size);
	to.cs = stack_peek(cpu, insn, size, size);
	if (cpu->mode_key & MODE_REAL) {
		segment_load(cpu, insn, X86_CS, to.cs);
		stack_set(cpu, cpu->gpr[X86_RSP] + 2 * size + release);
		cpu->state.rip = to.rip;
		return;
	}
	to.has_stack = SELECTOR_RPL(to.cs) > cpu_cpl(cpu);
	if (to.has_stack) {
		to.rsp = stack_peek(cpu, insn, 2 * size + release, size) + release;
		to.ss = stack_peek(cpu, insn, 3 * size + release, size);
	}
	far_return(cpu, insn, &to, cpu->gpr[X86_RSP] + 2 * size + release);
}
EXEC_ONE(ret_far)

/* JMP and CALL to a code segment of the same level. */
static void far_branch(struct cpu *cpu, const struct insn *insn, uint16_t selector, uint64_t target,
		       bool is_call)
{
	struct x86_segment cs;
	uint64_t old_rsp = cpu->gpr[X86_RSP];
	bool to_64bit;

	if (cpu->mode_key & MODE_REAL) {
		cs = cpu->state.seg[X86_CS];
		cs.selector = selector;
		cs.base = selector * 16;
	} else {
		cs = segment_check_code(cpu, insn, selector, TRANSFER_JUMP);
	}
	to_64bit = (cs.attr & SEG_L) && (cpu->state.efer & EFER_LMA);
	if (to_64bit ? !is_canonical(target) : target > cs.limit)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (is_call) {
		mmu_probe(cpu, insn, stack_address(cpu, old_rsp - 2 * insn->opsize),
			  2 * insn->opsize, true);
		push(cpu, insn, cpu->state.seg[X86_CS].selector, insn->opsize);
		push(cpu, insn, insn_next_pc(cpu, insn), insn->opsize);
	}
	cpu->state.seg[X86_CS] = cs;
	cpu->state.rip = target;
	cpu_update_mode(cpu);
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

ROUTINE(ud)
{
	cpu_fault(cpu, insn, EXC_UD);
}
EXEC_ONE(ud)
