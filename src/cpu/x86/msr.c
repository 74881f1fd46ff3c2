/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/msr.h"

#include "cpu/x86/cpuid.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/kvmclock.h"
#include "cpu/x86/machine_check.h"
#include "cpu/x86/mmu.h"

enum msr_index {
	MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_FEATURE_CONTROL = 0x3a, MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48, MSR_PRED_CMD = 0x49, MSR_BIOS_SIGN_ID = 0x8b, MSR_MTRRCAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MISC_ENABLE = 0x1a0, MSR_MTRR_PHYS_BASE0 = 0x200, MSR_MTRR_FIX64K = 0x250,
	MSR_MTRR_FIX16K_80000 = 0x258, MSR_MTRR_FIX16K_A0000 = 0x259, MSR_MTRR_FIX4K_C0000 = 0x268,
	MSR_PAT = 0x277, MSR_MTRR_DEF_TYPE = 0x2ff, MSR_TSC_DEADLINE = 0x6e0, MSR_XSS = 0xda0,
	MSR_X2APIC_FIRST = 0x800, MSR_X2APIC_LAST = 0x83f, MSR_EFER = 0xc0000080, MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082, MSR_CSTAR = 0xc0000083, MSR_SFMASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100, MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_TSC_AUX = 0xc0000103,
};

/* Every published side channel that a processor can say it does not have: an interpreter has
 * none of them, and the guest need not pay for workarounds (SDM volume 4, table 2-2). */
#define ARCH_CAPABILITIES                                                                          \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 |       \
	 1ull << 13 | 1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27 | \
	 1ull << 62)

#define MTRRCAP (X86_N_MTRR_VAR | 1ull << 8 | 1ull << 10)

uint64_t cpu_tsc(const struct cpu *cpu)
{
	return clock_now_ns(cpu->env.clock) + cpu->state.tsc_offset;
}

static bool write_tsc_offset(struct cpu *cpu, uint64_t offset)
{
	cpu->state.tsc_offset = offset;
	lapic_set_tsc_offset(cpu->lapic, offset);
	return true;
}

static uint64_t read_tsc(struct cpu *cpu)
{
	return cpu_tsc(cpu);
}

static bool write_tsc(struct cpu *cpu, uint64_t value)
{
	return write_tsc_offset(cpu, value - clock_now_ns(cpu->env.clock));
}

static uint64_t read_apic_base(struct cpu *cpu)
{
	return lapic_base(cpu->lapic);
}

static bool write_apic_base(struct cpu *cpu, uint64_t value)
{
	bool ok = lapic_set_base(cpu->lapic, value);

	mmu_flush(cpu);
	return ok;
}

static uint64_t read_deadline(struct cpu *cpu)
{
	return lapic_tsc_deadline(cpu->lapic);
}

static bool write_deadline(struct cpu *cpu, uint64_t value)
{
	lapic_set_tsc_deadline(cpu->lapic, value);
	return true;
}

static bool write_efer(struct cpu *cpu, uint64_t value)
{
	uint64_t writable = cpu->model->efer_mask, old = cpu->state.efer;

	if (value & ~(writable | EFER_LMA))
		return false;
	if ((cpu->state.cr0 & CR0_PG) && ((value ^ old) & EFER_LME))
		return false;
	cpu->state.efer = (value & writable) | (old & EFER_LMA);
	mmu_flush(cpu);
	cpu_update_mode(cpu);
	return true;
}

/* Of the components that only a supervisor can save there is none. */
static uint64_t read_xss(struct cpu *cpu)
{
	return 0;
}

static bool write_xss(struct cpu *cpu, uint64_t value)
{
	return value == 0;
}

static bool write_pat(struct cpu *cpu, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = value >> (8 * i);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	cpu->state.pat = value;
	return true;
}

static bool write_segment_base(struct cpu *cpu, enum x86_seg seg, uint64_t value)
{
	if (!is_canonical(value))
		return false;
	cpu->state.seg[seg].base = cpu->seg_base[seg] = value;
	return true;
}

static uint64_t read_fs_base(struct cpu *cpu)
{
	return cpu->state.seg[X86_FS].base;
}

static bool write_fs_base(struct cpu *cpu, uint64_t value)
{
	return write_segment_base(cpu, X86_FS, value);
}

static uint64_t read_gs_base(struct cpu *cpu)
{
	return cpu->state.seg[X86_GS].base;
}

static bool write_gs_base(struct cpu *cpu, uint64_t value)
{
	return write_segment_base(cpu, X86_GS, value);
}

bool msr_write_kvmclock(struct cpu *cpu)
{
	struct kvmclock zero = {.tsc = cpu->state.tsc_offset, .khz = TSC_HZ / 1000};

	return kvmclock_write_time(cpu->env.mem, cpu->state.kvm_system_time, &zero);
}

static bool write_system_time(struct cpu *cpu, uint64_t value)
{
	cpu->state.kvm_system_time = value;
	return msr_write_kvmclock(cpu);
}

static bool write_wall_clock(struct cpu *cpu, uint64_t value)
{
	cpu->state.kvm_wall_clock = value;
	return kvmclock_write_wall(cpu->env.mem, value, cpu->env.clock);
}

static bool is_mtrr_type(uint8_t type)
{
	return type <= 6 && type != 2 && type != 3;
}

static bool write_mtrr_def_type(struct cpu *cpu, uint64_t value)
{
	if ((value & ~0xcffull) || !is_mtrr_type(value))
		return false;
	cpu->state.mtrr_def_type = value;
	return true;
}

enum msr_kind {
	STORED, /* 64 bits in the state, under the write mask */
	ADDRESS, /* the same, canonical */
	FIXED,  /* a constant; writes of anything but it fault */
	IGNORED, /* reads as the constant, writes are dropped */
	CALLED,
};

#define STATE(member) offsetof(struct x86_state, member)

static const struct msr_row {
	uint32_t index;
	enum msr_kind kind;
	size_t offset;
	uint64_t value; /* write mask of STORED, constant of FIXED and IGNORED */
	uint64_t (*read)(struct cpu *cpu);
	bool (*write)(struct cpu *cpu, uint64_t value);
	uint8_t feature; /* with which the register comes; F_BASE: always there */
} msr_rows[] = {
	{MSR_TSC, CALLED, 0, 0, read_tsc, write_tsc, .feature = F_TSC},
	{MSR_APIC_BASE, CALLED, 0, 0, read_apic_base, write_apic_base, .feature = F_APIC},
	{MSR_FEATURE_CONTROL, FIXED, 0, 1},
	{MSR_TSC_ADJUST, CALLED, STATE(tsc_offset), 0, NULL, write_tsc_offset, .feature = F_TSC},
	{MSR_SPEC_CTRL, STORED, STATE(spec_ctrl), 7, .feature = F_SPEC_CTRL},
	{MSR_PRED_CMD, IGNORED, .feature = F_SPEC_CTRL},
	{MSR_BIOS_SIGN_ID, IGNORED, 0, 1ull << 32, .feature = F_CMOV},
	{MSR_MTRRCAP, FIXED, 0, MTRRCAP, .feature = F_MTRR},
	{MSR_ARCH_CAPABILITIES, FIXED, 0, ARCH_CAPABILITIES, .feature = F_ARCH_CAPABILITIES},
	{MSR_SYSENTER_CS, STORED, STATE(sysenter_cs), 0xffffffff, .feature = F_SEP},
	{MSR_SYSENTER_ESP, ADDRESS, STATE(sysenter_esp), .feature = F_SEP},
	{MSR_SYSENTER_EIP, ADDRESS, STATE(sysenter_eip), .feature = F_SEP},
	{MSR_MCG_CAP, FIXED, 0, X86_N_MC_BANKS, .feature = F_MCA},
	{MSR_MCG_STATUS, STORED, STATE(mcg_status), MCG_STATUS_RIPV | MCG_STATUS_EIPV | MCG_STATUS_MCIP,
	 .feature = F_MCA},
	{MSR_MISC_ENABLE, STORED, STATE(misc_enable), 1ull << 0, .feature = F_SSE2},
	{MSR_PAT, CALLED, STATE(pat), 0, NULL, write_pat, .feature = F_PAT},
	{MSR_MTRR_DEF_TYPE, CALLED, STATE(mtrr_def_type), 0, NULL, write_mtrr_def_type, .feature = F_MTRR},
	{MSR_TSC_DEADLINE, CALLED, 0, 0, read_deadline, write_deadline, .feature = F_TSC_DEADLINE},
	{MSR_XSS, CALLED, 0, 0, read_xss, write_xss, .feature = F_XSAVES},
	{MSR_KVM_WALL_CLOCK_NEW, CALLED, STATE(kvm_wall_clock), 0, NULL, write_wall_clock, .feature = F_HYPERVISOR},
	{MSR_KVM_SYSTEM_TIME_NEW, CALLED, STATE(kvm_system_time), 0, NULL, write_system_time, .feature = F_HYPERVISOR},
	{MSR_EFER, CALLED, STATE(efer), 0, NULL, write_efer},
	{MSR_STAR, STORED, STATE(star), ~0ull, .feature = F_SYSCALL},
	{MSR_LSTAR, ADDRESS, STATE(lstar), .feature = F_LM},
	{MSR_CSTAR, ADDRESS, STATE(cstar), .feature = F_LM},
	{MSR_SFMASK, STORED, STATE(sfmask), 0xffffffff, .feature = F_LM},
	{MSR_FS_BASE, CALLED, 0, 0, read_fs_base, write_fs_base, .feature = F_LM},
	{MSR_GS_BASE, CALLED, 0, 0, read_gs_base, write_gs_base, .feature = F_LM},
	{MSR_KERNEL_GS_BASE, ADDRESS, STATE(kernel_gs_base), .feature = F_LM},
	{MSR_TSC_AUX, STORED, STATE(tsc_aux), 0xffffffff},
	/* Linux reads these of every Intel or AMD processor; there is nothing behind them. */
	{0x17, IGNORED},   /* platform id */
	{0x33, IGNORED},   /* TEST_CTRL */
	{0x34, IGNORED},   /* SMI count */
	{0xce, IGNORED},   /* platform info */
	{0x140, IGNORED},  /* MISC_FEATURES_ENABLES */
	{0x1d9, IGNORED},  /* DEBUGCTL */
	{0xc0010010, IGNORED}, /* SYSCFG: no extended fixed-range types, no memory encryption */
	{0xc001001a, IGNORED}, /* TOP_MEM */
	{0xc001001d, IGNORED}, /* TOP_MEM2 */
	{0xc001001f, IGNORED}, /* NB_CFG */
	{0xc0010015, IGNORED, 0, 1ull << 24}, /* HWCR: the TSC counts at the P0 frequency */
	{0xc0011029, IGNORED, 0, 2}, /* DE_CFG: LFENCE serializes */
};

/* What the model has of the register's features; any of them gives some. */
static bool is_there(const struct x86_model *model, const struct msr_row *row)
{
	if (row->index == MSR_EFER)
		return model->efer_mask;
	if (row->index == MSR_TSC_AUX)
		return model->has[F_RDTSCP] || model->has[F_RDPID];
	return model->has[row->feature];
}

static const struct msr_row *find_row(const struct x86_model *model, uint32_t index)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(msr_rows); i++)
		if (msr_rows[i].index == index)
			return is_there(model, &msr_rows[i]) ? &msr_rows[i] : NULL;
	return NULL;
}

bool msr_read_constant(const struct x86_model *model, uint32_t index, uint64_t *value)
{
	const struct msr_row *row = find_row(model, index);

	if (!row || (row->kind != FIXED && row->kind != IGNORED))
		return false;
	*value = row->value;
	return true;
}

bool msr_write_constant(const struct x86_model *model, uint32_t index, uint64_t value)
{
	const struct msr_row *row = find_row(model, index);

	return row && (row->kind == IGNORED || (row->kind == FIXED && value == row->value));
}

/* The MTRRs that come in arrays; NULL: not one of them. */
static uint64_t *mtrr_at(struct cpu *cpu, uint32_t index)
{
	struct x86_state *state = &cpu->state;

	if (!cpu->model->has[F_MTRR])
		return NULL;
	if (index - MSR_MTRR_PHYS_BASE0 < 2 * X86_N_MTRR_VAR)
		return &state->mtrr_var[index - MSR_MTRR_PHYS_BASE0];
	if (index == MSR_MTRR_FIX64K)
		return &state->mtrr_fix[0];
	if (index == MSR_MTRR_FIX16K_80000 || index == MSR_MTRR_FIX16K_A0000)
		return &state->mtrr_fix[1 + index - MSR_MTRR_FIX16K_80000];
	if (index - MSR_MTRR_FIX4K_C0000 < 8)
		return &state->mtrr_fix[3 + index - MSR_MTRR_FIX4K_C0000];
	return NULL;
}

static bool mtrr_value_ok(uint32_t index, uint64_t value)
{
	uint64_t reserved = ~((1ull << CPU_PHYS_BITS) - 1);

	if (index - MSR_MTRR_PHYS_BASE0 < 2 * X86_N_MTRR_VAR)
		return index & 1 ? !(value & (reserved | 0x7ff))
				 : !(value & (reserved | 0xf00)) && is_mtrr_type(value);
	for (unsigned i = 0; i < 8; i++)
		if (!is_mtrr_type(value >> (8 * i)))
			return false;
	return true;
}

bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value)
{
	const struct msr_row *row = find_row(cpu->model, index);
	const uint64_t *mtrr = mtrr_at(cpu, index), *mc = machine_check_msr(&cpu->state, cpu->model, index);

	if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
		return lapic_msr_read(cpu->lapic, index, value);
	if (mtrr || mc) {
		*value = mtrr ? *mtrr : *mc;
		return true;
	}
	if (!row)
		return false;
	if (row->read)
		*value = row->read(cpu);
	else if (row->kind == FIXED || row->kind == IGNORED)
		*value = row->value;
	else
		*value = *(const uint64_t *)((const uint8_t *)&cpu->state + row->offset);
	return true;
}

bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value)
{
	const struct msr_row *row = find_row(cpu->model, index);
	uint64_t *mtrr = mtrr_at(cpu, index), *mc = machine_check_msr(&cpu->state, cpu->model, index), *stored;

	if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
		return lapic_msr_write(cpu->lapic, index, value);
	if (mtrr) {
		if (!mtrr_value_ok(index, value))
			return false;
		*mtrr = value;
		return true;
	}
	if (mc) {
		if (!machine_check_may_write(index, value))
			return false;
		*mc = value;
		return true;
	}
	if (!row || row->kind == FIXED)
		return row && value == row->value;
	if (row->kind == IGNORED)
		return true;
	if (row->write)
		return row->write(cpu, value);
	stored = (uint64_t *)((uint8_t *)&cpu->state + row->offset);
	if (row->kind == ADDRESS ? !is_canonical(value) : (value & ~row->value) != 0)
		return false;
	*stored = value;
	return true;
}
