/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/state.h"

#include <glib.h>
#include <string.h>

#include "cpu/x86/code.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/debug.h"

#define FIELD(member)		  STATE_FIELD(struct x86_state, member)
#define FIELD_SINCE(member, version) STATE_FIELD_SINCE(struct x86_state, member, version)
#define SEGMENT_FIELDS(s)                                                                          \
	FIELD(s.base), FIELD(s.limit), FIELD(s.selector), FIELD(s.attr)

/* Half of the vectors' low halves: version 1 had 16 registers. */
#define YMM_FIELD(text, first, version)                                                            \
	{.name = text, .offset = offsetof(struct x86_state, ymm[first]), .size = 1, .count = 16 * 32,      \
	 .stride = 1, .since = version}

static const struct state_field fields[] = {
	FIELD(gpr), FIELD(rip), FIELD(rflags),
	SEGMENT_FIELDS(seg[X86_ES]), SEGMENT_FIELDS(seg[X86_CS]), SEGMENT_FIELDS(seg[X86_SS]),
	SEGMENT_FIELDS(seg[X86_DS]), SEGMENT_FIELDS(seg[X86_FS]), SEGMENT_FIELDS(seg[X86_GS]),
	SEGMENT_FIELDS(ldtr), SEGMENT_FIELDS(tr),
	FIELD(gdtr.base), FIELD(gdtr.limit), FIELD(idtr.base), FIELD(idtr.limit),
	FIELD(cr0), FIELD(cr2), FIELD(cr3), FIELD(cr4), FIELD(xcr0),
	FIELD(dr), FIELD(dr6), FIELD(dr7),
	FIELD(efer), FIELD(star), FIELD(lstar), FIELD(cstar), FIELD(sfmask), FIELD(kernel_gs_base),
	FIELD(sysenter_cs), FIELD(sysenter_esp), FIELD(sysenter_eip),
	FIELD(pat), FIELD(tsc_offset), FIELD(tsc_aux), FIELD(misc_enable), FIELD(spec_ctrl), FIELD(xss),
	FIELD(mtrr_def_type), FIELD(mtrr_fix), FIELD(mtrr_var),
	FIELD(kvm_wall_clock), FIELD(kvm_system_time),
	FIELD(fpu.fcw), FIELD(fpu.fsw), FIELD(fpu.ftw), FIELD(fpu.fop), FIELD(fpu.fip), FIELD(fpu.fdp),
	FIELD(fpu.st), FIELD(mxcsr), YMM_FIELD("ymm", 0, 0),
	YMM_FIELD("ymm_16_31", 16, 3), FIELD_SINCE(zmm_high, 3), FIELD_SINCE(k, 3),
	FIELD(activity), FIELD(interrupt_shadow), FIELD_SINCE(shadow_by_ss, 2), FIELD(nmi_masked),
	FIELD_SINCE(smm, 2), FIELD_SINCE(nmi_masked_before_smm, 2), FIELD_SINCE(smbase, 2),
	FIELD(interrupt_taken), FIELD(interrupt_vector), FIELD(nmi_taken),
	FIELD_SINCE(machine_check_taken, 4), FIELD_SINCE(mcg_status, 4), FIELD_SINCE(mc, 4),
};

/* The invariants of long mode that the interpreter relies on, and bits no instruction can set. */
static bool check(const void *object)
{
	const struct x86_state *s = object;
	bool long_mode = (s->efer & EFER_LME) && (s->cr0 & CR0_PG);

	return s->activity <= X86_WAIT_FOR_SIPI && !!(s->efer & EFER_LMA) == long_mode &&
	       (!(s->cr0 & CR0_PG) || (s->cr0 & CR0_PE)) && (!long_mode || (s->cr4 & CR4_PAE)) &&
	       !(s->mxcsr & ~0xffffu) && !(s->cr3 >> CPU_PHYS_BITS) && s->mcg_status <= 7;
}

const struct state_table x86_state_table = {
	.name = "x86",
	.version = 4,
	.object_size = sizeof(struct x86_state),
	.fields = fields,
	.n_fields = G_N_ELEMENTS(fields),
	.check = check,
};

void x86_state_reset(struct x86_state *s, bool bsp)
{
	memset(s, 0, sizeof(*s));
	s->rip = 0xfff0;
	s->rflags = RFLAGS_FIXED;
	s->gpr[X86_RDX] = 0x600;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = (struct x86_segment){
			.limit = 0xffff,
			.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC,
		};
	s->seg[X86_CS].selector = 0xf000;
	s->seg[X86_CS].base = 0xffff0000;
	s->seg[X86_CS].attr |= SEG_TYPE_CODE;
	s->ldtr = (struct x86_segment){.limit = 0xffff, .attr = SEG_P | 2};
	s->tr = (struct x86_segment){.limit = 0xffff, .attr = SEG_P | 11};
	s->gdtr.limit = s->idtr.limit = 0xffff;
	s->cr0 = CR0_CD | CR0_NW | CR0_ET;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->xcr0 = XCR0_X87;
	s->pat = 0x0007040600070406;
	s->misc_enable = 1;
	s->fpu.fcw = 0x40;
	s->mxcsr = 0x1f80;
	s->smbase = 0x30000;
	for (unsigned i = 0; i < X86_N_MC_BANKS; i++)
		s->mc[i][X86_MC_CTL] = ~0ull;
	s->activity = bsp ? X86_ACTIVE : X86_WAIT_FOR_SIPI;
}

void x86_state_init(struct x86_state *s, bool bsp)
{
	struct x86_state old = *s;

	x86_state_reset(s, bsp);
	s->fpu = old.fpu;
	s->mxcsr = old.mxcsr;
	memcpy(s->ymm, old.ymm, sizeof(s->ymm));
	memcpy(s->zmm_high, old.zmm_high, sizeof(s->zmm_high));
	memcpy(s->k, old.k, sizeof(s->k));
	s->xcr0 = old.xcr0;
	s->tsc_offset = old.tsc_offset;
	s->tsc_aux = old.tsc_aux;
	s->pat = old.pat;
	s->smbase = old.smbase;
	s->mtrr_def_type = old.mtrr_def_type;
	memcpy(s->mtrr_fix, old.mtrr_fix, sizeof(s->mtrr_fix));
	memcpy(s->mtrr_var, old.mtrr_var, sizeof(s->mtrr_var));
	s->mcg_status = old.mcg_status;
	memcpy(s->mc, old.mc, sizeof(s->mc));
}

bool x86_state_startup(struct x86_state *s, uint8_t vector)
{
	if (s->activity != X86_WAIT_FOR_SIPI)
		return false;
	s->seg[X86_CS].selector = vector << 8;
	s->seg[X86_CS].base = vector << 12;
	s->rip = 0;
	s->activity = X86_ACTIVE;
	return true;
}

void x86_state_enter_long(struct x86_state *s, uint64_t cr3, uint64_t rip)
{
	s->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
	s->cr4 = CR4_PAE;
	s->cr3 = cr3;
	s->efer = EFER_LME | EFER_LMA;
	s->rip = rip;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = (struct x86_segment){
			.limit = ~0u,
			.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC | SEG_G,
		};
	s->seg[X86_CS].attr |= SEG_TYPE_CODE | SEG_L;
}

uint64_t cpu_rflags(const struct cpu *cpu)
{
	return (cpu->state.rflags & ~(uint64_t)RFLAGS_ARITH) | RFLAGS_FIXED |
	       (cpu->flags >> 8 & 0xd5) | (uint64_t)(cpu->flags & 1) << 11;
}

void cpu_set_rflags(struct cpu *cpu, uint64_t rflags)
{
	cpu->state.rflags =
		(rflags & cpu->model->rflags_mask & ~(uint64_t)RFLAGS_ARITH) | RFLAGS_FIXED;
	cpu->flags = (rflags & 0xd5) << 8 | (rflags >> 11 & 1);
}

/* 4 GiB of data that may be written. */
static bool is_whole(const struct x86_segment *s)
{
	return s->limit == ~0u &&
	       (s->attr & (SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_CONF | SEG_TYPE_RW)) ==
		       (SEG_P | SEG_S | SEG_TYPE_RW);
}

/* Whether offsets are linear addresses in all segments but FS and GS. */
static bool all_flat(const struct x86_segment *seg)
{
	bool flat = !seg[X86_CS].base && seg[X86_CS].limit == ~0u && (seg[X86_SS].attr & SEG_DB);

	for (enum x86_seg i = X86_ES; i <= X86_DS; i++)
		flat &= i == X86_CS || (is_whole(&seg[i]) && !seg[i].base);
	return flat;
}

static uint32_t mode_key(const struct cpu *cpu)
{
	const struct x86_state *s = &cpu->state;
	const struct x86_segment *cs = &s->seg[X86_CS];
	bool long_mode = s->efer & EFER_LMA, real = !(s->cr0 & CR0_PE);
	uint32_t key = 0;

	if (long_mode && (cs->attr & SEG_L))
		key |= MODE_64;
	else if (cs->attr & SEG_DB)
		key |= MODE_32;
	if (real || (s->rflags & RFLAGS_VM))
		key |= MODE_REAL;
	else if ((key & MODE_32) && all_flat(s->seg))
		key |= MODE_FLAT;
	if (!real && cpu_cpl(cpu) == 3)
		key |= MODE_USER;
	if (s->cr0 & CR0_EM)
		key |= MODE_EM;
	if (s->cr0 & CR0_TS)
		key |= MODE_TS;
	if (!(s->cr4 & CR4_OSFXSR))
		key |= MODE_NO_SSE;
	if (!(s->cr4 & CR4_OSXSAVE) || (~s->xcr0 & (XCR0_SSE | XCR0_AVX)))
		key |= MODE_NO_AVX;
	if ((key & MODE_NO_AVX) || (~s->xcr0 & XCR0_AVX512))
		key |= MODE_NO_AVX512;
	if ((s->rflags & RFLAGS_TF) || debug_enabled(cpu))
		key |= MODE_STEP;
	if (cpu->debugger.n_points || cpu->debugger.step)
		key |= MODE_DEBUG;
	if (s->rflags & RFLAGS_AC)
		key |= MODE_AC;
	return key;
}

/* Whether any access through the segment is fine: 4 GiB of data that may be written. A base inside a
 * page does not count, so that string instructions see offsets wrap at pages' ends only. */
static bool is_flat(const struct x86_segment *s)
{
	return is_whole(s) && s->base % 4096 == 0;
}

void cpu_update_mode(struct cpu *cpu)
{
	const struct x86_segment *cs = &cpu->state.seg[X86_CS];
	uint64_t cs_base = cpu->seg_base[X86_CS], cs_limit = cpu->cs_limit;
	uint32_t key = mode_key(cpu);

	if (G_UNLIKELY(key != cpu->mode_key))
		trace_cpu_mode(cpu->env.trace, cpu->id, cpu->mode_key, key);
	cpu->mode_key = key;
	cpu->cs_limit = key & MODE_64 ? ~0ull : cs->limit;
	if ((key & MODE_USER) && (cpu->state.rflags & RFLAGS_AC) && (cpu->state.cr0 & CR0_AM))
		cpu->tlb = &cpu->tlbs[TLB_USER_AC];
	else if (key & MODE_USER)
		cpu->tlb = &cpu->tlbs[TLB_USER];
	else if (cpu->state.rflags & RFLAGS_AC)
		cpu->tlb = &cpu->tlbs[TLB_SUPERVISOR_AC];
	else
		cpu->tlb = &cpu->tlbs[TLB_SUPERVISOR];
	cpu->seg_checked = cpu->seg_partial = 0;
	for (unsigned i = 0; i < X86_N_SEGS; i++) {
		bool has_base = !(key & MODE_64) || i == X86_FS || i == X86_GS;

		cpu->seg_base[i] = has_base ? cpu->state.seg[i].base : 0;
		if (!(key & MODE_64) && !is_flat(&cpu->state.seg[i]))
			cpu->seg_checked |= 1u << i;
		if (!is_whole(&cpu->state.seg[i]))
			cpu->seg_partial |= 1u << i;
	}
	if (cpu->seg_base[X86_CS] != cs_base || cpu->cs_limit != cs_limit)
		code_forget_jumps(cpu);
}
