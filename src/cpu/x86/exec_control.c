/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control and debug registers, MSRs, CPUID, time, TLB, interrupt flag and halt. */

#include "cpu/x86/cpuid.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/msr.h"
#include "cpu/x86/paging.h"
#include "cpu/x86/tlb2.h"

static void G_GNUC_NORETURN gp0(struct cpu *cpu, const struct insn *insn)
{
	cpu_fault_code(cpu, insn, EXC_GP, 0);
}

/* For rows that end their block. */
static void finish(struct cpu *cpu, const struct insn *insn)
{
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}

static void set_pair(struct cpu *cpu, uint64_t v)
{
	SET_REG32(R_RAX, v);
	SET_REG32(R_RDX, v >> 32);
}

static uint64_t get_pair(const struct cpu *cpu)
{
	return (uint64_t)(uint32_t)cpu->gpr[X86_RDX] << 32 | (uint32_t)cpu->gpr[X86_RAX];
}

/* MOV to and from control registers (SDM volume 3, section 2.5). */
#define CR0_WRITABLE (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* Long mode has no TSS of a 286 (SDM volume 2, MOV to control registers). */
static bool has_tss286(const struct cpu *cpu)
{
	return (cpu->state.tr.attr & SEG_P) && !(cpu->state.tr.attr & 8);
}

static void check_cr0(struct cpu *cpu, const struct insn *insn, uint64_t value)
{
	if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
	    ((value & CR0_NW) && !(value & CR0_CD)))
		gp0(cpu, insn);
	if (!(value & CR0_PG) && (cpu->state.cr0 & CR0_PG) &&
	    ((cpu->mode_key & MODE_64) || (cpu->state.cr4 & CR4_PCIDE)))
		gp0(cpu, insn);
	if ((value & CR0_PG) && !(cpu->state.cr0 & CR0_PG) && (cpu->state.efer & EFER_LME) &&
	    (!(cpu->state.cr4 & CR4_PAE) || (cpu->state.seg[X86_CS].attr & SEG_L) || has_tss286(cpu)))
		gp0(cpu, insn);
}

/* The PDPTE registers, where the new values have them: #GP(0) by what is in memory. */
static void load_pdptes(struct cpu *cpu, const struct insn *insn, uint64_t cr0, uint64_t cr3,
			uint64_t cr4)
{
	if (paging_is_pae(cr0, cr4, cpu->state.efer) && !paging_load_pdptes(cpu, cr3))
		gp0(cpu, insn);
}

static void write_cr0(struct cpu *cpu, const struct insn *insn, uint64_t value)
{
	uint64_t old = cpu->state.cr0;

	check_cr0(cpu, insn, value);
	if (((old ^ value) & (CR0_PG | CR0_CD | CR0_NW)) &&
	    !(cpu->state.efer & EFER_LME))
		load_pdptes(cpu, insn, value, cpu->state.cr3, cpu->state.cr4);
	cpu->state.cr0 = (value & CR0_WRITABLE) | CR0_ET;
	if (cpu->state.efer & EFER_LME) {
		cpu->state.efer &= ~EFER_LMA;
		if (value & CR0_PG)
			cpu->state.efer |= EFER_LMA;
	}
	if ((old ^ value) & (CR0_PG | CR0_WP | CR0_PE))
		mmu_flush(cpu);
}

static void write_cr3(struct cpu *cpu, const struct insn *insn, uint64_t value)
{
	bool pcid = cpu->state.cr4 & CR4_PCIDE;

	bool keep = pcid && value >> 63; /* the new PCID's translations */

	if (pcid)
		value &= ~(1ull << 63);
	if (value >> CPU_PHYS_BITS)
		gp0(cpu, insn);
	load_pdptes(cpu, insn, cpu->state.cr0, value, cpu->state.cr4);
	trace_cpu_cr3(cpu->env.trace, cpu->id, cpu->state.cr3, value);
	cpu->state.cr3 = value;
	if (!keep)
		tlb2_flush_pcid(cpu->tlb2, pcid ? value & 0xfff : 0);
	mmu_flush_local(cpu);
}

static void write_cr4(struct cpu *cpu, const struct insn *insn, uint64_t value)
{
	bool long_mode = cpu->state.efer & EFER_LMA, sets_pcide;

	if (value & ~cpu->model->cr4_mask)
		gp0(cpu, insn);
	if (long_mode && !(value & CR4_PAE))
		gp0(cpu, insn);
	sets_pcide = (value & CR4_PCIDE) && !(cpu->state.cr4 & CR4_PCIDE);
	if (sets_pcide && (!long_mode || (cpu->state.cr3 & 0xfff)))
		gp0(cpu, insn);
	if ((value ^ cpu->state.cr4) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
		load_pdptes(cpu, insn, cpu->state.cr0, cpu->state.cr3, value);
	cpu->state.cr4 = value;
	mmu_flush(cpu);
}

ROUTINE(mov_CR)
{
	uint64_t value = cpu->mode_key & MODE_64 ? REG(uint64_t, insn->rm) : REG(uint32_t, insn->rm);

	switch (insn->reg) {
	case 0:
		write_cr0(cpu, insn, value);
		break;
	case 2:
		cpu->state.cr2 = value;
		break;
	case 3:
		write_cr3(cpu, insn, value);
		break;
	case 4:
		write_cr4(cpu, insn, value);
		break;
	case 8:
		if (value >> 4)
			gp0(cpu, insn);
		lapic_set_cr8(cpu->lapic, value);
		atomic_store(&cpu->attention, true);
		break;
	default:
		cpu_fault(cpu, insn, EXC_UD);
	}
	cpu_update_mode(cpu);
	finish(cpu, insn);
}
EXEC_ONE(mov_CR)

static void set_reg_mode(struct cpu *cpu, unsigned offset, uint64_t v)
{
	REG(uint64_t, offset) = cpu->mode_key & MODE_64 ? v : (uint32_t)v;
}

ROUTINE(mov_RC)
{
	uint64_t v;

	switch (insn->reg) {
	case 0:
		v = cpu->state.cr0;
		break;
	case 2:
		v = cpu->state.cr2;
		break;
	case 3:
		v = cpu->state.cr3;
		break;
	case 4:
		v = cpu->state.cr4;
		break;
	case 8:
		v = lapic_cr8(cpu->lapic);
		break;
	default:
		cpu_fault(cpu, insn, EXC_UD);
	}
	set_reg_mode(cpu, insn->rm, v);
	NEXT();
}
EXEC_ONE(mov_RC)

ROUTINE(clts)
{
	cpu->state.cr0 &= ~CR0_TS;
	cpu_update_mode(cpu);
	finish(cpu, insn);
}
EXEC_ONE(clts)

ROUTINE(smsw)
{
	uint64_t v = cpu->state.cr0;

	if ((cpu->state.cr4 & CR4_UMIP) && cpu_cpl(cpu) > 0)
		gp0(cpu, insn);
	if (insn->flags & INSN_MEM)
		mem_store16(cpu, insn, insn_ea(cpu, insn), v);
	else if (insn->opsize == 2)
		SET_REG16(insn->rm, v);
	else
		SET_REG64(insn->rm, v);
	NEXT();
}
EXEC_ONE(smsw)

/* LMSW can set PE and not clear it. */
ROUTINE(lmsw)
{
	uint16_t v = insn->flags & INSN_MEM ? mem_load16(cpu, insn, insn_ea(cpu, insn))
					    : REG(uint16_t, insn->rm);

	write_cr0(cpu, insn, (cpu->state.cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (v & 0xf));
	cpu_update_mode(cpu);
	finish(cpu, insn);
}
EXEC_ONE(lmsw)

/* Debug registers (debug.h). */
#define DR6_FIXED 0xffff0ff0u
#define DR7_FIXED 0x400u

static unsigned debug_register(struct cpu *cpu, const struct insn *insn)
{
	unsigned n = insn->reg;

	if (n >= 8 || ((n == 4 || n == 5) && (cpu->state.cr4 & CR4_DE)))
		cpu_fault(cpu, insn, EXC_UD);
	debug_check_guard(cpu, insn);
	return n == 4 || n == 5 ? n + 2 : n;
}

ROUTINE(mov_RD)
{
	unsigned n = debug_register(cpu, insn);

	set_reg_mode(cpu, insn->rm,
		     n == 6 ? cpu->state.dr6 : n == 7 ? cpu->state.dr7 : cpu->state.dr[n & 3]);
	NEXT();
}
EXEC_ONE(mov_RD)

ROUTINE(mov_DR)
{
	unsigned n = debug_register(cpu, insn);
	uint64_t v = cpu->mode_key & MODE_64 ? REG(uint64_t, insn->rm) : REG(uint32_t, insn->rm);

	if (n >= 6 && v >> 32)
		gp0(cpu, insn);
	if (n == 6)
		cpu->state.dr6 = (v & 0xe00f) | DR6_FIXED;
	else if (n == 7)
		cpu->state.dr7 = (v & 0xffff2bff) | DR7_FIXED;
	else
		cpu->state.dr[n] = v;
	/* Data breakpoints say what may be in the TLB. */
	mmu_flush(cpu);
	cpu_update_mode(cpu);
	finish(cpu, insn);
}
EXEC_ONE(mov_DR)

ROUTINE(rdmsr)
{
	uint64_t v;

	if (!msr_read(cpu, cpu->gpr[X86_RCX], &v))
		gp0(cpu, insn);
	set_pair(cpu, v);
	NEXT();
}
EXEC_ONE(rdmsr)

ROUTINE(wrmsr)
{
	if (!msr_write(cpu, cpu->gpr[X86_RCX], get_pair(cpu)))
		gp0(cpu, insn);
	/* The local APIC's MSRs can make an interrupt deliverable. */
	atomic_store(&cpu->attention, true);
	finish(cpu, insn);
}
EXEC_ONE(wrmsr)

ROUTINE(cpuid)
{
	uint32_t leaf = cpu->gpr[X86_RAX];
	struct cpuid r = cpuid_get(cpu->model, leaf, cpu->gpr[X86_RCX], &cpu->state, cpu->id,
				   cpu->env.n_vcpus);

	/* An APIC that is switched off is not told of (SDM volume 3, 11.4.3). */
	if (leaf == 1 && !(lapic_base(cpu->lapic) & APIC_BASE_EN))
		r.edx &= ~(1u << feature_get(F_APIC)->bit);
	SET_REG32(R_RAX, r.eax);
	SET_REG32(R_RBX, r.ebx);
	SET_REG32(R_RCX, r.ecx);
	SET_REG32(R_RDX, r.edx);
	NEXT();
}
EXEC_ONE(cpuid)

static void check_tsc(struct cpu *cpu, const struct insn *insn)
{
	if ((cpu->state.cr4 & CR4_TSD) && cpu_cpl(cpu) > 0)
		gp0(cpu, insn);
}

ROUTINE(rdtsc)
{
	check_tsc(cpu, insn);
	set_pair(cpu, cpu_tsc(cpu));
	NEXT();
}
EXEC_ONE(rdtsc)

ROUTINE(rdtscp)
{
	check_tsc(cpu, insn);
	set_pair(cpu, cpu_tsc(cpu));
	SET_REG32(R_RCX, cpu->state.tsc_aux);
	NEXT();
}
EXEC_ONE(rdtscp)

ROUTINE(rdpid)
{
	SET_REG64(insn->rm, cpu->state.tsc_aux);
	NEXT();
}
EXEC_ONE(rdpid)

/* No performance counters are offered. */
ROUTINE(rdpmc)
{
	gp0(cpu, insn);
}
EXEC_ONE(rdpmc)

/* RDRAND and RDSEED from the host's own; CF says whether there was a number, other flags are 0. */
#define RANDOM_SIZE(name, bits)                                                                    \
	ROUTINE(name##_##bits)                                                                     \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		bool ok;                                                                           \
		asm volatile(#name " %0\n\tsetc %1" : "=r"(v), "=q"(ok) : : "cc");                 \
		SET_REG##bits(insn->rm, v);                                                        \
		cpu->flags = ok ? FLAG_CF : 0;                                                     \
		NEXT();                                                                            \
	}
RANDOM_SIZE(rdrand, 16)
RANDOM_SIZE(rdrand, 32)
RANDOM_SIZE(rdrand, 64)
RANDOM_SIZE(rdseed, 16)
RANDOM_SIZE(rdseed, 32)
RANDOM_SIZE(rdseed, 64)
EXEC_WIDE(rdrand)
EXEC_WIDE(rdseed)

ROUTINE(invlpg)
{
	mmu_flush_page(cpu, insn_ea(cpu, insn));
	finish(cpu, insn);
}
EXEC_ONE(invlpg)

/* More may be dropped than is asked for. */
ROUTINE(invpcid)
{
	uint64_t type = cpu->mode_key & MODE_64 ? REG(uint64_t, insn->reg) : REG(uint32_t, insn->reg);
	uint64_t descriptor[2];

	mem_read_bytes(cpu, insn, insn_ea(cpu, insn), descriptor, 16);
	if (type > 3 || descriptor[0] >> 12 ||
	    (type < 2 && descriptor[0] && !(cpu->state.cr4 & CR4_PCIDE)) ||
	    (type == 0 && !is_canonical(descriptor[1])))
		gp0(cpu, insn);
	switch (type) {
	case 0: /* one address of one PCID */
	case 1: /* one PCID */
		tlb2_flush_pcid(cpu->tlb2, descriptor[0]);
		mmu_flush_local(cpu);
		break;
	case 2: /* all, global pages too */
		mmu_flush(cpu);
		break;
	case 3: /* all but global pages */
		tlb2_flush_local(cpu->tlb2);
		mmu_flush_local(cpu);
	}
	finish(cpu, insn);
}
EXEC_ONE(invpcid)

ROUTINE(xgetbv)
{
	if (!(cpu->state.cr4 & CR4_OSXSAVE))
		cpu_fault(cpu, insn, EXC_UD);
	if (cpu->gpr[X86_RCX] & 0xffffffff)
		gp0(cpu, insn);
	set_pair(cpu, cpu->state.xcr0);
	NEXT();
}
EXEC_ONE(xgetbv)

ROUTINE(xsetbv)
{
	uint64_t v = get_pair(cpu);

	if (!(cpu->state.cr4 & CR4_OSXSAVE))
		cpu_fault(cpu, insn, EXC_UD);
	if ((cpu->gpr[X86_RCX] & 0xffffffff) || (v & ~cpu->model->xcr0_mask) || !(v & XCR0_X87) ||
	    ((v & XCR0_AVX) && !(v & XCR0_SSE)) ||
	    ((v & XCR0_AVX512) && (~v & (XCR0_AVX512 | XCR0_AVX))))
		gp0(cpu, insn);
	cpu->state.xcr0 = v;
	cpu_update_mode(cpu);
	finish(cpu, insn);
}
EXEC_ONE(xsetbv)

static void set_ac(struct cpu *cpu, const struct insn *insn, bool ac)
{
	if (cpu_cpl(cpu))
		cpu_fault(cpu, insn, EXC_UD);
	cpu->state.rflags = ac ? cpu->state.rflags | RFLAGS_AC : cpu->state.rflags & ~(uint64_t)RFLAGS_AC;
	cpu_update_mode(cpu);
}

ROUTINE(clac)
{
	set_ac(cpu, insn, false);
	NEXT();
}
EXEC_ONE(clac)

ROUTINE(stac)
{
	set_ac(cpu, insn, true);
	NEXT();
}
EXEC_ONE(stac)

ROUTINE(hlt)
{
	cpu->state.activity = X86_HALTED;
	atomic_store(&cpu->attention, true);
	finish(cpu, insn);
}
EXEC_ONE(hlt)
