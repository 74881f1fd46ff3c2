/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfers to and from the system: SYSCALL, SYSENTER, INT. */
#include "cpu/x86/exec.h"
#include "cpu/x86/flags.h"
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
	       ((cpu->mode_key & MODE_64) || cpu->model->is_amd);
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
	cpu->no_step = !(s->rflags & RFLAGS_TF);
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

	if (!(s->cr0 & CR0_PE) || !(s->sysenter_cs & ~3ull))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (long_mode && cpu->model->is_amd)
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

/* Its #DB is also that of traps which a load of SS holds off (SDM volume 3, 6.8.3): one is delivered. */
ROUTINE(int1)
{
	interrupt_software(cpu, insn, EXC_DB, false);
	cpu->state.dr6 |= cpu->debug_pending;
	cpu->debug_pending = 0;
}
EXEC_ONE(int1)

/* In virtual-8086 mode IOPL, or the VME's bitmap, decide who serves INT n (SDM volume 3, 21.3). */
ROUTINE(int_I)
{
	uint8_t vector = insn->imm;

	if (flags_v86(cpu)) {
		if (interrupt_redirected(cpu, insn, vector)) {
			interrupt_to_v86(cpu, insn, vector);
			return;
		}
		if (flags_iopl(cpu) < 3)
			cpu_fault_code(cpu, insn, EXC_GP, 0);
	}
	interrupt_software(cpu, insn, vector, true);
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

ROUTINE(ud)
{
	cpu_fault(cpu, insn, EXC_UD);
}
EXEC_ONE(ud)
