/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/segment.h"

#include "cpu/x86/exec.h"
#include "cpu/x86/mmu.h"

static bool in_long_mode(const struct cpu *cpu)
{
	return cpu->state.efer & EFER_LMA;
}

static bool is_null(uint16_t selector)
{
	return selector < 4;
}

struct x86_segment segment_from(uint16_t selector, uint64_t d)
{
	struct x86_segment s = {
		.selector = selector,
		.base = bits_get(d, 39, 16) | bits_get(d, 63, 56) << 24,
		.limit = bits_get(d, 15, 0) | bits_get(d, 51, 48) << 16,
		.attr = bits_get(d, 55, 40) & ~0x0f00,
	};

	if (s.attr & SEG_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

bool segment_holds(const struct x86_segment *s, uint64_t offset, unsigned size)
{
	uint64_t last = offset + size - 1;
	bool expand_down =
		(s->attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_CONF)) == (SEG_S | SEG_TYPE_CONF);

	if (!expand_down)
		return last <= s->limit;
	return offset > s->limit && last <= (s->attr & SEG_DB ? ~0u : 0xffff);
}

void segment_set_real(struct x86_segment *s, uint16_t selector)
{
	s->selector = selector;
	s->base = selector * 16;
}

struct x86_segment segment_v86(uint16_t selector)
{
	return (struct x86_segment){
		.selector = selector,
		.base = selector * 16,
		.limit = 0xffff,
		.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC | 3 << SEG_DPL_SHIFT,
	};
}

/* Where the selector's descriptor lies; false: past the table, or no table. */
static bool locate(const struct cpu *cpu, uint16_t selector, unsigned size, uint64_t *address)
{
	uint64_t base = cpu->state.gdtr.base, limit = cpu->state.gdtr.limit;

	if (selector & SELECTOR_LDT) {
		if (!(cpu->state.ldtr.attr & SEG_P))
			return false;
		base = cpu->state.ldtr.base;
		limit = cpu->state.ldtr.limit;
	}
	*address = base + (selector & ~7);
	return (selector & ~7u) + size - 1 <= limit;
}

uint64_t segment_read(struct cpu *cpu, const struct insn *insn, uint16_t selector,
		      enum x86_exception vector, uint32_t ext)
{
	uint64_t address, d;

	if (!locate(cpu, selector, 8, &address))
		cpu_fault_code(cpu, insn, vector, (selector & ~3) | ext);
	mmu_sys_read(cpu, insn, address, &d, 8);
	return d;
}

void segment_set_accessed(struct cpu *cpu, const struct insn *insn, uint16_t selector, uint64_t d)
{
	uint64_t address;
	uint8_t type = bits_get(d, 47, 40) | SEG_TYPE_ACC;

	if ((d >> 40 & SEG_TYPE_ACC) || !locate(cpu, selector, 8, &address))
		return;
	mmu_sys_write(cpu, insn, address + 5, &type, 1);
}

static void set_segment(struct cpu *cpu, enum x86_seg reg, struct x86_segment s)
{
	cpu->state.seg[reg] = s;
	cpu_update_mode(cpu);
}

static void load_null(struct cpu *cpu, const struct insn *insn, enum x86_seg reg, uint16_t selector)
{
	struct x86_segment s = cpu->state.seg[reg];

	/* SS may be null only in 64-bit mode below CPL 3, with RPL = CPL. */
	if (reg == X86_SS && (!(cpu->mode_key & MODE_64) || cpu_cpl(cpu) == 3 ||
			      SELECTOR_RPL(selector) != cpu_cpl(cpu)))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	s.selector = selector;
	s.base = 0;
	s.attr = reg == X86_SS ? cpu_cpl(cpu) << SEG_DPL_SHIFT : 0;
	set_segment(cpu, reg, s);
}

static bool data_type_fits(const struct x86_segment *s, bool stack)
{
	if (!(s->attr & SEG_S))
		return false;
	if (stack)
		return !(s->attr & SEG_TYPE_CODE) && (s->attr & SEG_TYPE_RW);
	return !(s->attr & SEG_TYPE_CODE) || (s->attr & SEG_TYPE_RW);
}

static void refuse(struct cpu *cpu, const struct insn *insn, enum x86_exception vector,
		   uint16_t selector, uint32_t ext) G_GNUC_NORETURN;
static void refuse(struct cpu *cpu, const struct insn *insn, enum x86_exception vector,
		   uint16_t selector, uint32_t ext)
{
	cpu_fault_code(cpu, insn, vector, (selector & ~3) | ext);
}

/* A descriptor that passed its checks is in use: present, or `absent` is raised. */
static struct x86_segment use(struct cpu *cpu, const struct insn *insn, uint64_t d,
			      struct x86_segment s, enum x86_exception absent, uint32_t ext)
{
	if (!(s.attr & SEG_P))
		refuse(cpu, insn, absent, s.selector, ext);
	segment_set_accessed(cpu, insn, s.selector, d);
	s.attr |= SEG_TYPE_ACC;
	return s;
}

struct x86_segment segment_check_data(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				      enum x86_exception vector, uint32_t ext)
{
	uint64_t d = segment_read(cpu, insn, selector, vector, ext);
	struct x86_segment s = segment_from(selector, d);
	bool conforming = (s.attr & SEG_TYPE_CODE) && (s.attr & SEG_TYPE_CONF);

	if (!data_type_fits(&s, false) ||
	    (!conforming && MAX(cpu_cpl(cpu), SELECTOR_RPL(selector)) > segment_dpl(&s)))
		refuse(cpu, insn, vector, selector, ext);
	return use(cpu, insn, d, s, EXC_NP, ext);
}

void segment_load(struct cpu *cpu, const struct insn *insn, enum x86_seg reg, uint16_t selector)
{
	struct x86_segment s = cpu->state.seg[reg];

	if (cpu->state.rflags & RFLAGS_VM)
		s = segment_v86(selector);
	else if (!(cpu->state.cr0 & CR0_PE))
		segment_set_real(&s, selector);
	else if (is_null(selector)) {
		load_null(cpu, insn, reg, selector);
		return;
	} else if (reg == X86_SS)
		s = segment_check_stack(cpu, insn, selector, cpu_cpl(cpu), false, EXC_GP, 0);
	else
		s = segment_check_data(cpu, insn, selector, EXC_GP, 0);
	set_segment(cpu, reg, s);
}

struct x86_segment segment_check_code(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				      enum segment_transfer how)
{
	unsigned cpl = cpu_cpl(cpu), rpl = SELECTOR_RPL(selector), dpl;
	struct x86_segment s;
	bool ok;
	uint64_t d;

	if (is_null(selector))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	d = segment_read(cpu, insn, selector, EXC_GP, 0);
	s = segment_from(selector, d);
	dpl = segment_dpl(&s);
	ok = (s.attr & SEG_S) && (s.attr & SEG_TYPE_CODE);
	if (in_long_mode(cpu) && (s.attr & SEG_L) && (s.attr & SEG_DB))
		ok = false;
	if (how == TRANSFER_RETURN)
		ok &= rpl >= cpl && (s.attr & SEG_TYPE_CONF ? dpl <= rpl : dpl == rpl);
	else
		ok &= s.attr & SEG_TYPE_CONF ? dpl <= cpl : rpl <= cpl && dpl == cpl;
	if (!ok)
		refuse(cpu, insn, EXC_GP, selector, 0);
	s = use(cpu, insn, d, s, EXC_NP, 0);
	if (how == TRANSFER_JUMP)
		s.selector = (selector & ~3) | cpl;
	return s;
}

static bool is_code(const struct x86_segment *s)
{
	return (s->attr & (SEG_S | SEG_TYPE_CODE)) == (SEG_S | SEG_TYPE_CODE);
}

struct x86_segment segment_check_gate_code(struct cpu *cpu, const struct insn *insn,
					   uint16_t selector, uint32_t ext)
{
	struct x86_segment s;
	uint64_t d;

	if (is_null(selector))
		cpu_fault_code(cpu, insn, EXC_GP, ext);
	d = segment_read(cpu, insn, selector, EXC_GP, ext);
	s = segment_from(selector, d);
	if (!is_code(&s) || segment_dpl(&s) > cpu_cpl(cpu) ||
	    (in_long_mode(cpu) && (s.attr & (SEG_L | SEG_DB)) != SEG_L))
		refuse(cpu, insn, EXC_GP, selector, ext);
	return use(cpu, insn, d, s, EXC_NP, ext);
}

struct x86_segment segment_check_task_code(struct cpu *cpu, uint16_t selector, uint32_t ext)
{
	unsigned rpl = SELECTOR_RPL(selector);
	struct x86_segment s;
	uint64_t d;

	if (is_null(selector))
		cpu_fault_code(cpu, NULL, EXC_TS, ext);
	d = segment_read(cpu, NULL, selector, EXC_TS, ext);
	s = segment_from(selector, d);
	if (!is_code(&s) ||
	    (s.attr & SEG_TYPE_CONF ? segment_dpl(&s) > rpl : segment_dpl(&s) != rpl))
		refuse(cpu, NULL, EXC_TS, selector, ext);
	return use(cpu, NULL, d, s, EXC_NP, ext);
}

struct x86_segment segment_check_stack(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				       unsigned cpl, bool to_64bit, enum x86_exception vector,
				       uint32_t ext)
{
	struct x86_segment s = {.selector = selector, .attr = cpl << SEG_DPL_SHIFT};
	uint64_t d;

	if (is_null(selector)) {
		if (!to_64bit || cpl == 3 || SELECTOR_RPL(selector) != cpl)
			cpu_fault_code(cpu, insn, vector, ext);
		return s;
	}
	d = segment_read(cpu, insn, selector, vector, ext);
	s = segment_from(selector, d);
	if (SELECTOR_RPL(selector) != cpl || segment_dpl(&s) != cpl || !data_type_fits(&s, true))
		refuse(cpu, insn, vector, selector, ext);
	return use(cpu, insn, d, s, EXC_SS, ext);
}

void segment_drop_inner(struct cpu *cpu)
{
	static const enum x86_seg data[] = {X86_ES, X86_DS, X86_FS, X86_GS};
	unsigned cpl = cpu_cpl(cpu);

	for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
		struct x86_segment *s = &cpu->state.seg[data[i]];
		bool conforming = (s->attr & SEG_TYPE_CODE) && (s->attr & SEG_TYPE_CONF);

		if (conforming || segment_dpl(s) >= cpl)
			continue;
		/* FS and GS bases set by MSR stay: only the selector and rights go. */
		s->selector = 0;
		s->attr = 0;
	}
}

bool segment_peek(struct cpu *cpu, const struct insn *insn, uint16_t selector,
		  struct descriptor *out)
{
	uint64_t address;
	bool system;

	if (is_null(selector) || !locate(cpu, selector, 8, &address))
		return false;
	mmu_sys_read(cpu, insn, address, &out->low, 8);
	out->high = 0;
	system = !(out->low >> 40 & SEG_S);
	if (!system || !in_long_mode(cpu))
		return true;
	if (!locate(cpu, selector, 16, &address))
		return false;
	mmu_sys_read(cpu, insn, address + 8, &out->high, 8);
	return true;
}

/* LLDT and LTR: a present system descriptor of one of the types (a bit each), in the GDT. */
static struct x86_segment read_system(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				      uint32_t types, uint64_t *low)
{
	struct descriptor d;
	struct x86_segment s;

	if ((selector & SELECTOR_LDT) || !segment_peek(cpu, insn, selector, &d))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	s = segment_from(selector, d.low);
	if (!(types >> (s.attr & (SEG_S | SEG_TYPE)) & 1))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	if (!(s.attr & SEG_P))
		cpu_fault_code(cpu, insn, EXC_NP, selector & ~3);
	if (in_long_mode(cpu))
		s.base |= d.high << 32;
	if (!is_canonical(s.base))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	*low = d.low;
	return s;
}

void segment_load_ldt(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
	uint64_t low;

	if (is_null(selector))
		cpu->state.ldtr = (struct x86_segment){.selector = selector};
	else
		cpu->state.ldtr = read_system(cpu, insn, selector, 1u << SYS_LDT, &low);
}

void segment_load_task(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
	struct x86_segment s;
	uint64_t low;
	uint8_t busy;

	if (is_null(selector))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	s = read_system(cpu, insn, selector,
			1u << SYS_TSS_AVAILABLE |
				(in_long_mode(cpu) ? 0 : 1u << SYS_TSS286_AVAILABLE),
			&low);
	busy = bits_get(low, 47, 40) | 2;
	mmu_sys_write(cpu, insn, cpu->state.gdtr.base + (selector & ~7) + 5, &busy, 1);
	s.attr |= 2;
	cpu->state.tr = s;
}
