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

void segment_load(struct cpu *cpu, const struct insn *insn, enum x86_seg reg, uint16_t selector)
{
	unsigned cpl = cpu_cpl(cpu), rpl = SELECTOR_RPL(selector), dpl;
	struct x86_segment s;
	bool conforming, ok;
	uint64_t d;

	if (cpu->mode_key & MODE_REAL) {
		s = cpu->state.seg[reg];
		s.selector = selector;
		s.base = selector * 16;
		set_segment(cpu, reg, s);
		return;
	}
	if (is_null(selector)) {
		load_null(cpu, insn, reg, selector);
		return;
	}
	d = segment_read(cpu, insn, selector, EXC_GP, 0);
	s = segment_from(selector, d);
	dpl = segment_dpl(&s);
	conforming = (s.attr & SEG_TYPE_CODE) && (s.attr & SEG_TYPE_CONF);
	ok = data_type_fits(&s, reg == X86_SS);
	if (reg == X86_SS)
		ok &= rpl == cpl && dpl == cpl;
	else if (!conforming)
		ok &= rpl <= dpl && cpl <= dpl;
	if (!ok)
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	if (!(s.attr & SEG_P))
		cpu_fault_code(cpu, insn, reg == X86_SS ? EXC_SS : EXC_NP, selector & ~3);
	segment_set_accessed(cpu, insn, selector, d);
	s.attr |= SEG_TYPE_ACC;
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
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	if (!(s.attr & SEG_P))
		cpu_fault_code(cpu, insn, EXC_NP, selector & ~3);
	segment_set_accessed(cpu, insn, selector, d);
	s.attr |= SEG_TYPE_ACC;
	if (how == TRANSFER_JUMP)
		s.selector = (selector & ~3) | cpl;
	return s;
}

struct x86_segment segment_check_stack(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				       unsigned cpl, bool to_64bit)
{
	struct x86_segment s = {.selector = selector, .attr = cpl << SEG_DPL_SHIFT};
	uint64_t d;

	if (is_null(selector)) {
		if (!to_64bit || cpl == 3 || SELECTOR_RPL(selector) != cpl)
			cpu_fault_code(cpu, insn, EXC_GP, 0);
		return s;
	}
	d = segment_read(cpu, insn, selector, EXC_GP, 0);
	s = segment_from(selector, d);
	if (SELECTOR_RPL(selector) != cpl || segment_dpl(&s) != cpl || !data_type_fits(&s, true))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	if (!(s.attr & SEG_P))
		cpu_fault_code(cpu, insn, EXC_SS, selector & ~3);
	segment_set_accessed(cpu, insn, selector, d);
	s.attr |= SEG_TYPE_ACC;
	return s;
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

/* LLDT and LTR: a present system descriptor of one type, in the GDT. */
static struct x86_segment read_system(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				      unsigned type, uint64_t *low)
{
	struct descriptor d;
	struct x86_segment s;

	if ((selector & SELECTOR_LDT) || !segment_peek(cpu, insn, selector, &d))
		cpu_fault_code(cpu, insn, EXC_GP, selector & ~3);
	s = segment_from(selector, d.low);
	if ((s.attr & (SEG_S | SEG_TYPE)) != type)
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
		cpu->state.ldtr = read_system(cpu, insn, selector, SYS_LDT, &low);
}

void segment_load_task(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
	struct x86_segment s;
	uint64_t low;
	uint8_t busy;

	if (is_null(selector))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	s = read_system(cpu, insn, selector, SYS_TSS_AVAILABLE, &low);
	busy = bits_get(low, 47, 40) | 2;
	mmu_sys_write(cpu, insn, cpu->state.gdtr.base + (selector & ~7) + 5, &busy, 1);
	s.attr |= 2;
	cpu->state.tr = s;
}
