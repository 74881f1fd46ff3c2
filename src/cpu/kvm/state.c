/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct x86_state to and from KVM's structures. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/le.h"
#include "cpu/kvm/kvm_int.h"
#include "cpu/x86/cpuid.h"

/* XSAVE area, standard form (SDM volume 1, 13.4). */
enum {
	AREA_FCW = 0,
	AREA_FSW = 2,
	AREA_FTW = 4,
	AREA_FOP = 6,
	AREA_FIP = 8,
	AREA_FDP = 16,
	AREA_MXCSR = 24,
	AREA_ST = 32,
	AREA_XMM = 160,
	AREA_XSTATE_BV = 512,
	AREA_AVX = 576,
};
#define FCW_INIT 0x37f

enum { VECTOR_MC = 18 };

/* MSRs that are kept in the state as they are. */
#define MSR(index, member)                                \
	{                                                 \
		index, offsetof(struct x86_state, member) \
	}
#define MC_BANK(n)                                                                           \
	MSR(0x400 + 4 * (n), mc[n][X86_MC_CTL]), MSR(0x401 + 4 * (n), mc[n][X86_MC_STATUS]), \
		MSR(0x402 + 4 * (n), mc[n][X86_MC_ADDR]), MSR(0x403 + 4 * (n), mc[n][X86_MC_MISC])
G_STATIC_ASSERT(X86_N_MC_BANKS == 4);
static const struct msr_place {
	uint32_t index;
	size_t offset;
} msrs[] = {
	MSR(0xc0000081, star),
	MSR(0xc0000082, lstar),
	MSR(0xc0000083, cstar),
	MSR(0xc0000084, sfmask),
	MSR(0xc0000102, kernel_gs_base),
	MSR(0xc0000103, tsc_aux),
	MSR(0x174, sysenter_cs),
	MSR(0x175, sysenter_esp),
	MSR(0x176, sysenter_eip),
	MSR(0x277, pat),
	MSR(0x1a0, misc_enable),
	MSR(0x48, spec_ctrl),
	MSR(0xda0, xss),
	MSR(0x2ff, mtrr_def_type),
	MSR(0x250, mtrr_fix[0]),
	MSR(0x258, mtrr_fix[1]),
	MSR(0x259, mtrr_fix[2]),
	MSR(0x268, mtrr_fix[3]),
	MSR(0x269, mtrr_fix[4]),
	MSR(0x26a, mtrr_fix[5]),
	MSR(0x26b, mtrr_fix[6]),
	MSR(0x26c, mtrr_fix[7]),
	MSR(0x26d, mtrr_fix[8]),
	MSR(0x26e, mtrr_fix[9]),
	MSR(0x26f, mtrr_fix[10]),
	MSR(0x200, mtrr_var[0]),
	MSR(0x201, mtrr_var[1]),
	MSR(0x202, mtrr_var[2]),
	MSR(0x203, mtrr_var[3]),
	MSR(0x204, mtrr_var[4]),
	MSR(0x205, mtrr_var[5]),
	MSR(0x206, mtrr_var[6]),
	MSR(0x207, mtrr_var[7]),
	MSR(0x208, mtrr_var[8]),
	MSR(0x209, mtrr_var[9]),
	MSR(0x20a, mtrr_var[10]),
	MSR(0x20b, mtrr_var[11]),
	MSR(0x20c, mtrr_var[12]),
	MSR(0x20d, mtrr_var[13]),
	MSR(0x20e, mtrr_var[14]),
	MSR(0x20f, mtrr_var[15]),
	MSR(0x17a, mcg_status),
	MC_BANK(0),
	MC_BANK(1),
	MC_BANK(2),
	MC_BANK(3),
};

void kvm_refuse(struct kvm_vcpu *v, const char *what)
{
	/* The first refusal is the cause of those after it. */
	if (v->refused)
		return;
	v->refused = true;
	g_snprintf(v->error, sizeof(v->error), "the host's KVM refuses %s: %s", what,
		   g_strerror(errno));
}

/* Loads or stores one of KVM's structures. */
static bool transfer(struct kvm_vcpu *v, unsigned long request, void *data, const char *what)
{
	if (ioctl(v->fd, request, data) >= 0)
		return true;
	kvm_refuse(v, what);
	return false;
}

struct one_msr {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry;
};
G_STATIC_ASSERT(offsetof(struct one_msr, entry) == offsetof(struct kvm_msrs, entries));

bool kvm_msr_get(struct kvm_vcpu *v, uint32_t index, uint64_t *value)
{
	struct one_msr one = {.nmsrs = 1, .entry = {.index = index}};

	if (ioctl(v->fd, KVM_GET_MSRS, &one) != 1)
		return false;
	*value = one.entry.data;
	return true;
}

bool kvm_msr_set(struct kvm_vcpu *v, uint32_t index, uint64_t value)
{
	struct one_msr one = {.nmsrs = 1, .entry = {.index = index, .data = value}};

	return ioctl(v->fd, KVM_SET_MSRS, &one) == 1;
}

static uint64_t *msr_at(struct x86_state *s, const struct msr_place *place)
{
	return (uint64_t *)((uint8_t *)s + place->offset);
}

/* An MSR that KVM does not have stands as after a reset, or the state cannot run here. */
static void set_msrs(struct kvm_vcpu *v, const struct x86_state *state)
{
	struct x86_state reset, s = *state;

	x86_state_reset(&reset, true);
	for (size_t i = 0; i < G_N_ELEMENTS(msrs); i++) {
		g_autofree char *what = NULL;
		uint64_t value = *msr_at(&s, &msrs[i]);

		if (kvm_msr_set(v, msrs[i].index, value) || value == *msr_at(&reset, &msrs[i]))
			continue;
		errno = ENOTSUP;
		what = g_strdup_printf("MSR %#x with value %#" G_GINT64_MODIFIER "x", msrs[i].index,
				       value);
		kvm_refuse(v, what);
	}
}

static void get_msrs(struct kvm_vcpu *v, struct x86_state *s)
{
	for (size_t i = 0; i < G_N_ELEMENTS(msrs); i++)
		(void)kvm_msr_get(v, msrs[i].index, msr_at(s, &msrs[i]));
}

static struct kvm_segment to_kvm(const struct x86_segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & SEG_TYPE,
		.s = !!(s->attr & SEG_S),
		.dpl = s->attr >> SEG_DPL_SHIFT & 3,
		.present = !!(s->attr & SEG_P),
		.avl = !!(s->attr & SEG_AVL),
		.l = !!(s->attr & SEG_L),
		.db = !!(s->attr & SEG_DB),
		.g = !!(s->attr & SEG_G),
		.unusable = !(s->attr & SEG_P),
	};
}

/* An unusable segment has no attributes, but that SS's DPL is the CPL. */
static struct x86_segment from_kvm(const struct kvm_segment *k)
{
	struct x86_segment s = {.base = k->base, .limit = k->limit, .selector = k->selector};

	s.attr = k->dpl << SEG_DPL_SHIFT;
	if (k->unusable || !k->present)
		return s;
	s.attr |= k->type | (k->s ? SEG_S : 0) | SEG_P | (k->avl ? SEG_AVL : 0) |
		  (k->l ? SEG_L : 0) | (k->db ? SEG_DB : 0) | (k->g ? SEG_G : 0);
	return s;
}

/* enum x86_seg's order. */
static struct kvm_segment *segment_at(struct kvm_sregs *k, enum x86_seg seg)
{
	struct kvm_segment *const all[] = {&k->es, &k->cs, &k->ss, &k->ds, &k->fs, &k->gs};

	return all[seg];
}

static void set_sregs(struct kvm_vcpu *v, const struct x86_state *s)
{
	struct kvm_sregs k = {
		.tr = to_kvm(&s->tr),
		.ldt = to_kvm(&s->ldtr),
		.gdt = {.base = s->gdtr.base, .limit = s->gdtr.limit},
		.idt = {.base = s->idtr.base, .limit = s->idtr.limit},
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.cr8 = lapic_cr8(v->lapic),
		.efer = s->efer,
		/* Only whether CPUID shows an APIC hangs on it: the APIC is ours. */
		.apic_base = lapic_base(v->lapic) & ~APIC_BASE_EXTD,
	};

	for (unsigned i = 0; i < X86_N_SEGS; i++)
		*segment_at(&k, i) = to_kvm(&s->seg[i]);
	transfer(v, KVM_SET_SREGS, &k, "the control and segment registers");
}

static void get_sregs(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_sregs k = {0};

	transfer(v, KVM_GET_SREGS, &k, "to give the control and segment registers");
	for (unsigned i = 0; i < X86_N_SEGS; i++) {
		s->seg[i] = from_kvm(segment_at(&k, i));
		if (i != X86_SS && !(s->seg[i].attr & SEG_P))
			s->seg[i].attr = 0;
	}
	s->tr = from_kvm(&k.tr);
	s->ldtr = from_kvm(&k.ldt);
	s->gdtr = (struct x86_table){k.gdt.base, k.gdt.limit};
	s->idtr = (struct x86_table){k.idt.base, k.idt.limit};
	s->cr0 = k.cr0;
	s->cr2 = k.cr2;
	s->cr3 = k.cr3;
	s->cr4 = k.cr4;
	s->efer = k.efer;
}

/* The GPRs in enum x86_gpr's order. */
static void copy_gprs(struct kvm_regs *k, uint64_t *gpr, bool to)
{
	__u64 *const all[] = {&k->rax, &k->rcx, &k->rdx, &k->rbx, &k->rsp, &k->rbp,
			      &k->rsi, &k->rdi, &k->r8,	 &k->r9,  &k->r10, &k->r11,
			      &k->r12, &k->r13, &k->r14, &k->r15};

	for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
		if (to)
			*all[i] = gpr[i];
		else
			gpr[i] = *all[i];
	}
}

static void set_regs(struct kvm_vcpu *v, const struct x86_state *state)
{
	struct x86_state s = *state;
	struct kvm_regs k = {.rip = s.rip, .rflags = s.rflags | RFLAGS_FIXED};

	copy_gprs(&k, s.gpr, true);
	transfer(v, KVM_SET_REGS, &k, "the general registers");
}

static void get_regs(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_regs k = {0};

	transfer(v, KVM_GET_REGS, &k, "to give the general registers");
	copy_gprs(&k, s->gpr, false);
	s->rip = k.rip;
	s->rflags = k.rflags;
}

/* A part of AVX-512's state in the area, where it has the host's place, or NULL. */
static uint8_t *area_part(const uint8_t *area, uint64_t components, unsigned component)
{
	if (!(components & x86_model_host()->xcr0_mask & (1ull << component)))
		return NULL;
	return (uint8_t *)area + cpuid_xsave_component(component)->offset;
}

static void put_avx512(uint8_t *area, const struct x86_state *s, uint64_t components)
{
	uint8_t *k = area_part(area, components, 5), *high = area_part(area, components, 6);
	uint8_t *upper = area_part(area, components, 7);

	if (k)
		memcpy(k, s->k, sizeof(s->k));
	if (high)
		memcpy(high, s->zmm_high, 16 * 32);
	for (unsigned i = 0; upper && i < 16; i++) {
		memcpy(upper + 64 * i, s->ymm[16 + i], 32);
		memcpy(upper + 64 * i + 32, s->zmm_high[16 + i], 32);
	}
}

static void take_avx512(const uint8_t *area, struct x86_state *s, uint64_t components)
{
	const uint8_t *k = area_part(area, components, 5), *high = area_part(area, components, 6);
	const uint8_t *upper = area_part(area, components, 7);

	if (k)
		memcpy(s->k, k, sizeof(s->k));
	if (high)
		memcpy(s->zmm_high, high, 16 * 32);
	for (unsigned i = 0; upper && i < 16; i++) {
		memcpy(s->ymm[16 + i], upper + 64 * i, 32);
		memcpy(s->zmm_high[16 + i], upper + 64 * i + 32, 32);
	}
}

static void set_xsave(struct kvm_vcpu *v, const struct x86_state *s)
{
	uint64_t components = s->xcr0 & v->model->xcr0_mask & (XCR0_AVX | XCR0_AVX512);
	struct kvm_xsave area = {0};
	uint8_t *a = (uint8_t *)area.region;

	le16_store(a + AREA_FCW, s->fpu.fcw);
	le16_store(a + AREA_FSW, s->fpu.fsw);
	a[AREA_FTW] = s->fpu.ftw;
	le16_store(a + AREA_FOP, s->fpu.fop);
	le64_store(a + AREA_FIP, s->fpu.fip);
	le64_store(a + AREA_FDP, s->fpu.fdp);
	le32_store(a + AREA_MXCSR, s->mxcsr);
	memcpy(a + AREA_ST, s->fpu.st, sizeof(s->fpu.st));
	for (unsigned i = 0; i < 16; i++) {
		memcpy(a + AREA_XMM + 16 * i, s->ymm[i], 16);
		memcpy(a + AREA_AVX + 16 * i, s->ymm[i] + 16, 16);
	}
	put_avx512(a, s, components);
	le64_store(a + AREA_XSTATE_BV, XCR0_X87 | XCR0_SSE | components);
	transfer(v, KVM_SET_XSAVE, &area, "the x87 and vector registers");
}

static void get_xsave(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_xsave area = {0};
	const uint8_t *a = (const uint8_t *)area.region;
	uint64_t in_use;

	transfer(v, KVM_GET_XSAVE, &area, "to give the x87 and vector registers");
	in_use = le64_load(a + AREA_XSTATE_BV);
	s->mxcsr = le32_load(a + AREA_MXCSR);
	s->fpu = (struct x86_fpu){.fcw = FCW_INIT};
	memset(s->ymm, 0, sizeof(s->ymm));
	memset(s->zmm_high, 0, sizeof(s->zmm_high));
	memset(s->k, 0, sizeof(s->k));
	if (in_use & XCR0_X87) {
		s->fpu.fcw = le16_load(a + AREA_FCW);
		s->fpu.fsw = le16_load(a + AREA_FSW);
		s->fpu.ftw = a[AREA_FTW];
		s->fpu.fop = le16_load(a + AREA_FOP);
		s->fpu.fip = le64_load(a + AREA_FIP);
		s->fpu.fdp = le64_load(a + AREA_FDP);
		for (unsigned i = 0; i < 8; i++)
			memcpy(s->fpu.st[i], a + AREA_ST + 16 * i, 10);
	}
	for (unsigned i = 0; i < 16; i++) {
		if (in_use & XCR0_SSE)
			memcpy(s->ymm[i], a + AREA_XMM + 16 * i, 16);
		if (in_use & XCR0_AVX)
			memcpy(s->ymm[i] + 16, a + AREA_AVX + 16 * i, 16);
	}
	take_avx512(a, s, in_use);
}

/* A KVM whose host has no XSAVE has no XCR0: then only the reset value will do. */
static void set_xcr0(struct kvm_vcpu *v, const struct x86_state *s)
{
	struct kvm_xcrs k = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = s->xcr0}}};

	if (ioctl(v->fd, KVM_SET_XCRS, &k) < 0 && s->xcr0 != XCR0_X87)
		kvm_refuse(v, "XCR0");
}

static void get_xcr0(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_xcrs k = {0};

	s->xcr0 = XCR0_X87;
	if (ioctl(v->fd, KVM_GET_XCRS, &k) == 0 && k.nr_xcrs)
		s->xcr0 = k.xcrs[0].value;
}

static void set_debug(struct kvm_vcpu *v, const struct x86_state *s)
{
	struct kvm_debugregs k = {.dr6 = s->dr6, .dr7 = s->dr7};

	memcpy(k.db, s->dr, sizeof(k.db));
	transfer(v, KVM_SET_DEBUGREGS, &k, "the debug registers");
}

static void get_debug(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_debugregs k = {0};

	transfer(v, KVM_GET_DEBUGREGS, &k, "to give the debug registers");
	memcpy(s->dr, k.db, sizeof(k.db));
	s->dr6 = k.dr6;
	s->dr7 = k.dr7;
}

static void set_events(struct kvm_vcpu *v, const struct x86_state *s)
{
	struct kvm_vcpu_events k = {
		.interrupt =
			{
				.injected = s->interrupt_taken,
				.nr = s->interrupt_vector,
				.shadow = !s->interrupt_shadow ? 0
					  : s->shadow_by_ss    ? KVM_X86_SHADOW_INT_MOV_SS
							       : KVM_X86_SHADOW_INT_STI,
			},
		.nmi = {.pending = s->nmi_taken, .masked = s->nmi_masked},
		.exception = {.injected = s->machine_check_taken,
			      .nr = s->machine_check_taken ? VECTOR_MC : 0},
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	};

	transfer(v, KVM_SET_VCPU_EVENTS, &k, "the pending events");
}

/* A fault that is not delivered yet is left out: its instruction starts again and raises it again.
 * A machine check does not. */
static void get_events(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_vcpu_events k = {0};

	transfer(v, KVM_GET_VCPU_EVENTS, &k, "to give the pending events");
	s->interrupt_taken = k.interrupt.injected && !k.interrupt.soft;
	s->interrupt_vector = s->interrupt_taken ? k.interrupt.nr : 0;
	s->interrupt_shadow = k.interrupt.shadow;
	s->shadow_by_ss = k.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
	s->nmi_taken = k.nmi.pending || k.nmi.injected;
	s->machine_check_taken = k.exception.injected && k.exception.nr == VECTOR_MC;
	s->nmi_masked = k.nmi.masked && !k.nmi.injected;
}

void kvm_state_set(struct kvm_vcpu *v, const struct x86_state *state)
{
	v->refused = false;
	if (state->smm) {
		errno = ENOTSUP;
		kvm_refuse(v, "system-management mode");
	}
	v->smbase = state->smbase;
	/* XCR0 is checked against CR4, and KVM's CPUID follows both. */
	set_sregs(v, state);
	set_xcr0(v, state);
	set_xsave(v, state);
	set_regs(v, state);
	set_msrs(v, state);
	set_debug(v, state);
	set_events(v, state);
	v->activity = state->activity;
	v->nmi_masked = state->nmi_masked;
	v->if_flag = state->rflags & RFLAGS_IF;
	v->can_inject = false;
	v->kvm_system_time = state->kvm_system_time;
	v->kvm_wall_clock = state->kvm_wall_clock;
	kvm_tsc_load(v, state->tsc_offset);
}

void kvm_state_get(struct kvm_vcpu *v, struct x86_state *s)
{
	x86_state_reset(s, true); /* for MSRs that KVM does not have */
	get_regs(v, s);
	get_sregs(v, s);
	get_xcr0(v, s);
	get_xsave(v, s);
	get_msrs(v, s);
	get_debug(v, s);
	get_events(v, s);
	s->activity = v->activity;
	s->smbase = v->smbase;
	s->kvm_system_time = v->kvm_system_time;
	s->kvm_wall_clock = v->kvm_wall_clock;
	kvm_tsc_rebase_lapic(v);
	s->tsc_offset = v->tsc_offset;
}
