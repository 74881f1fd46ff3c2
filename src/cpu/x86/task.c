/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/task.h"

#include "cpu/x86/debug.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/paging.h"
#include "cpu/x86/segment.h"

/* Task state segments (SDM volume 3, figures 8-2 and 8-10): offsets, and the size of a slot. */
struct tss_layout {
	unsigned slot;
	unsigned ip, flags, gpr, seg,
		ldt; /* gpr and seg: arrays of slots, in x86_gpr and x86_seg order */
	unsigned n_segs;
	unsigned size;
};

static const struct tss_layout tss286 = {2, 14, 16, 18, 34, 42, 4, 44};
static const struct tss_layout tss386 = {4, 32, 36, 40, 72, 96, 6, 104};
enum { TSS_LINK = 0, TSS386_CR3 = 28, TSS386_T = 100, TSS_MAX_SIZE = 104 };

static const struct tss_layout *layout_of(const struct x86_segment *tss)
{
	return tss->attr & 8 ? &tss386 : &tss286;
}

static uint32_t slot_get(const struct tss_layout *l, const uint8_t *image, unsigned offset)
{
	return l->slot == 4 ? le32_load(image + offset) : le16_load(image + offset);
}

static void slot_set(const struct tss_layout *l, uint8_t *image, unsigned offset, uint32_t v)
{
	if (l->slot == 4)
		le32_store(image + offset, v);
	else
		le16_store(image + offset, v);
}

static bool is_nesting(enum task_how how)
{
	return how == TASK_CALL || how == TASK_INTERRUPT;
}

/* The TSS descriptor: in the GDT, of the right kind for `how`, present, long enough. */
static struct x86_segment read_task(struct cpu *cpu, const struct insn *insn, uint16_t selector,
				    enum task_how how, uint32_t ext)
{
	enum x86_exception vector = how == TASK_RETURN ? EXC_TS : EXC_GP;
	uint32_t code = (selector & ~3) | ext;
	struct x86_segment tss;
	unsigned busy;

	if (selector & SELECTOR_LDT)
		cpu_fault_code(cpu, insn, vector, code);
	tss = segment_from(selector, segment_read(cpu, insn, selector, vector, ext));
	busy = how == TASK_RETURN ? 2 : 0;
	if ((tss.attr & (SEG_S | (SEG_TYPE & ~8))) != (SYS_TSS286_AVAILABLE | busy))
		cpu_fault_code(cpu, insn, vector, code);
	if (!(tss.attr & SEG_P))
		cpu_fault_code(cpu, insn, EXC_NP, code);
	if (tss.limit < layout_of(&tss)->size - 1)
		cpu_fault_code(cpu, insn, EXC_TS, code);
	return tss;
}

static void set_busy(struct cpu *cpu, const struct insn *insn, uint16_t selector, bool busy)
{
	uint64_t address = cpu->state.gdtr.base + (selector & ~7) + 5;
	uint8_t type;

	mmu_sys_read(cpu, insn, address, &type, 1);
	type = busy ? type | 2 : type & ~2;
	mmu_sys_write(cpu, insn, address, &type, 1);
}

static void save_task(struct cpu *cpu, const struct insn *insn, uint64_t rflags)
{
	const struct x86_segment *tr = &cpu->state.tr;
	const struct tss_layout *l = layout_of(tr);
	uint8_t image[TSS_MAX_SIZE];

	/* What lies between the slots' words stays. */
	mmu_sys_read(cpu, insn, tr->base + l->ip, image + l->ip, l->ldt - l->ip);
	slot_set(l, image, l->ip, cpu->state.rip);
	slot_set(l, image, l->flags, rflags);
	for (unsigned i = 0; i < 8; i++)
		slot_set(l, image, l->gpr + i * l->slot, cpu->gpr[i]);
	for (unsigned i = 0; i < l->n_segs; i++)
		le16_store(image + l->seg + i * l->slot, cpu->state.seg[i].selector);
	mmu_sys_write(cpu, insn, tr->base + l->ip, image + l->ip, l->ldt - l->ip);
}

static void load_registers(struct cpu *cpu, const struct tss_layout *l, const uint8_t *image,
			   uint32_t nested)
{
	uint32_t rflags = slot_get(l, image, l->flags) & RFLAGS_LOADABLE;
	unsigned cpl;

	if (l->slot == 2)
		rflags &= 0xffff;
	cpu->state.rip = slot_get(l, image, l->ip);
	for (unsigned i = 0; i < 8; i++)
		cpu->gpr[i] =
			slot_get(l, image, l->gpr + i * l->slot) | (l->slot == 2 ? 0xffff0000 : 0);
	cpu_set_rflags(cpu, rflags | nested);
	/* Selectors first: a segment that fails its checks stays unusable. */
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		cpu->state.seg[i] = (struct x86_segment){
			.selector = i < l->n_segs ? le16_load(image + l->seg + i * l->slot) : 0};
	cpu->state.ldtr = (struct x86_segment){.selector = le16_load(image + l->ldt)};
	cpl = rflags & RFLAGS_VM ? 3 : SELECTOR_RPL(cpu->state.seg[X86_CS].selector);
	cpu->state.seg[X86_SS].attr = cpl << SEG_DPL_SHIFT;
}

static void load_page_tables(struct cpu *cpu, uint32_t cr3, uint32_t ext)
{
	if (!(cpu->state.cr0 & CR0_PG))
		return;
	cpu->state.cr3 = cr3;
	mmu_flush(cpu);
	if (paging_is_pae(cpu->state.cr0, cpu->state.cr4, cpu->state.efer) &&
	    !paging_load_pdptes(cpu, cr3))
		cpu_fault_code(cpu, NULL, EXC_GP, ext);
}

static void load_ldt(struct cpu *cpu, uint32_t ext)
{
	uint16_t selector = cpu->state.ldtr.selector;
	struct x86_segment ldt;

	if (selector < 4)
		return;
	if (selector & SELECTOR_LDT)
		cpu_fault_code(cpu, NULL, EXC_TS, (selector & ~3) | ext);
	ldt = segment_from(selector, segment_read(cpu, NULL, selector, EXC_TS, ext));
	if ((ldt.attr & (SEG_S | SEG_TYPE)) != SYS_LDT || !(ldt.attr & SEG_P))
		cpu_fault_code(cpu, NULL, EXC_TS, (selector & ~3) | ext);
	cpu->state.ldtr = ldt;
}

/* In the order of SDM volume 3, table 8-1. */
static void load_segments(struct cpu *cpu, uint32_t ext)
{
	static const enum x86_seg data[] = {X86_DS, X86_ES, X86_FS, X86_GS};
	struct x86_segment *seg = cpu->state.seg;
	unsigned cpl = cpu_cpl(cpu);

	if (cpu->state.rflags & RFLAGS_VM) {
		for (unsigned i = 0; i < X86_N_SEGS; i++)
			seg[i] = segment_v86(seg[i].selector);
		return;
	}
	seg[X86_CS] = segment_check_task_code(cpu, seg[X86_CS].selector, ext);
	seg[X86_SS] = segment_check_stack(cpu, NULL, seg[X86_SS].selector, cpl, false, EXC_TS, ext);
	for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
		if (seg[data[i]].selector >= 4)
			seg[data[i]] =
				segment_check_data(cpu, NULL, seg[data[i]].selector, EXC_TS, ext);
}

/* After the switch: faults find the new task, before its first instruction. */
static void start_task(struct cpu *cpu, const uint8_t *image, uint32_t ext)
{
	bool is_386 = layout_of(&cpu->state.tr) == &tss386;

	cpu->state.cr0 |= CR0_TS;
	debug_clear_local(cpu);
	if (is_386)
		load_page_tables(cpu, le32_load(image + TSS386_CR3), ext);
	cpu_update_mode(cpu);
	load_ldt(cpu, ext);
	load_segments(cpu, ext);
	cpu_update_mode(cpu);
	atomic_store(&cpu->attention, true);
	if (cpu->state.rip > cpu->state.seg[X86_CS].limit)
		cpu_fault_code(cpu, NULL, EXC_GP, ext);
	if (is_386 && (image[TSS386_T] & 1))
		debug_pend(cpu, DR6_BT);
}

void task_switch(struct cpu *cpu, const struct insn *insn, uint16_t selector, enum task_how how,
		 uint32_t ext)
{
	struct x86_segment tss = read_task(cpu, insn, selector, how, ext);
	const struct tss_layout *l = layout_of(&tss);
	uint16_t old = cpu->state.tr.selector;
	uint64_t rflags = cpu_rflags(cpu);
	uint8_t image[TSS_MAX_SIZE];

	mmu_sys_read(cpu, insn, tss.base, image, l->size);
	if (cpu->state.tr.limit < layout_of(&cpu->state.tr)->size - 1)
		cpu_fault_code(cpu, insn, EXC_TS, (old & ~3) | ext);
	if (is_nesting(how))
		mmu_sys_write(cpu, insn, tss.base + TSS_LINK, &old, 2);
	save_task(cpu, insn, how == TASK_RETURN ? rflags & ~(uint64_t)RFLAGS_NT : rflags);
	if (!is_nesting(how))
		set_busy(cpu, insn, old, false);
	if (how != TASK_RETURN)
		set_busy(cpu, insn, selector, true);
	tss.attr |= 2;
	cpu->state.tr = tss;
	load_registers(cpu, l, image, is_nesting(how) ? RFLAGS_NT : 0);
	start_task(cpu, image, ext);
}

void task_return(struct cpu *cpu, const struct insn *insn)
{
	uint16_t link;

	mmu_sys_read(cpu, insn, cpu->state.tr.base + TSS_LINK, &link, 2);
	task_switch(cpu, insn, link, TASK_RETURN, 0);
}
