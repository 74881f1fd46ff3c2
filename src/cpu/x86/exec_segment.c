/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segment registers, descriptor tables and what asks about descriptors. */
#include "cpu/x86/exec.h"
#include "cpu/x86/segment.h"

/* Goes on after an instruction that ends its block. */
static void finish(struct cpu *cpu, const struct insn *insn)
{
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}

/* A 16-bit result: memory gets 16 bits, a register its operand size with zeroes above. */
static void store_word(struct cpu *cpu, const struct insn *insn, uint16_t v)
{
	if (insn->flags & INSN_MEM)
		mem_store16(cpu, insn, insn_ea(cpu, insn), v);
	else if (insn->flags & INSN_66 && !(insn->flags & INSN_REX_W))
		SET_REG16(insn->rm, v);
	else
		SET_REG64(insn->rm, v);
}

static uint16_t load_word(struct cpu *cpu, const struct insn *insn)
{
	return insn->flags & INSN_MEM ? mem_load16(cpu, insn, insn_ea(cpu, insn))
				      : REG(uint16_t, insn->rm);
}

ROUTINE(mov_ES)
{
	store_word(cpu, insn, cpu->state.seg[insn->reg].selector);
	NEXT();
}
EXEC_ONE(mov_ES)

static void load_and_finish(struct cpu *cpu, const struct insn *insn, enum x86_seg reg,
			    uint16_t selector)
{
	segment_load(cpu, insn, reg, selector);
	finish(cpu, insn);
}

/* MOV and POP to SS hold off interrupts for one instruction, which is to load the stack pointer; LSS has loaded
 * it (SDM volume 3, 6.8.3). */
static void hold_off(struct cpu *cpu, enum x86_seg reg)
{
	if (reg != X86_SS)
		return;
	cpu->state.interrupt_shadow = true;
	cpu->state.shadow_by_ss = true;
	atomic_store(&cpu->attention, true);
}

ROUTINE(mov_SE)
{
	if (insn->reg == X86_CS)
		cpu_fault(cpu, insn, EXC_UD);
	load_and_finish(cpu, insn, insn->reg, load_word(cpu, insn));
	hold_off(cpu, insn->reg);
}
EXEC_ONE(mov_SE)

/* The segment register a PUSH or POP row names. */
static enum x86_seg named_segment(const struct insn *insn)
{
	static const char names[X86_N_SEGS][3] = {"es", "cs", "ss", "ds", "fs", "gs"};
	const char *name = insn_row_get(insn->row)->operand[0].size;

	for (unsigned i = 0; i < X86_N_SEGS; i++)
		if (!memcmp(name, names[i], 2))
			return i;
	g_assert_not_reached();
}

ROUTINE(push_seg)
{
	push(cpu, insn, cpu->state.seg[named_segment(insn)].selector, insn->opsize);
	NEXT();
}
EXEC_ONE(push_seg)

ROUTINE(pop_seg)
{
	uint16_t selector = stack_peek(cpu, insn, 0, insn->opsize);
	uint64_t rsp = cpu->gpr[X86_RSP];

	load_and_finish(cpu, insn, named_segment(insn), selector);
	stack_set(cpu, rsp + insn->opsize);
	hold_off(cpu, named_segment(insn));
}
EXEC_ONE(pop_seg)

#define LOAD_FAR_POINTER(name, segment)                                                            \
	ROUTINE(name)                                                                              \
	{                                                                                          \
		uint8_t pointer[10];                                                               \
		uint64_t offset = 0;                                                               \
		mem_read_bytes(cpu, insn, insn_ea(cpu, insn), pointer, insn->opsize + 2);          \
		memcpy(&offset, pointer, insn->opsize);                                            \
		load_and_finish(cpu, insn, segment, le16_load(pointer + insn->opsize));            \
		if (insn->opsize == 2)                                                             \
			SET_REG16(insn->reg, offset);                                              \
		else                                                                               \
			SET_REG64(insn->reg, offset);                                              \
	}                                                                                          \
	EXEC_ONE(name)
LOAD_FAR_POINTER(les, X86_ES)
LOAD_FAR_POINTER(lds, X86_DS)
LOAD_FAR_POINTER(lss, X86_SS)
LOAD_FAR_POINTER(lfs, X86_FS)
LOAD_FAR_POINTER(lgs, X86_GS)

/* Not in real mode, which has no such registers. */
static void need_protected(struct cpu *cpu, const struct insn *insn)
{
	if (cpu->mode_key & MODE_REAL)
		cpu_fault(cpu, insn, EXC_UD);
}

/* SGDT and its kin fault in user mode under UMIP. */
static void check_umip(struct cpu *cpu, const struct insn *insn)
{
	if ((cpu->state.cr4 & CR4_UMIP) && cpu_cpl(cpu) > 0)
		cpu_fault_code(cpu, insn, EXC_GP, 0);
}

ROUTINE(sldt)
{
	need_protected(cpu, insn);
	check_umip(cpu, insn);
	store_word(cpu, insn, cpu->state.ldtr.selector);
	NEXT();
}
EXEC_ONE(sldt)

ROUTINE(str)
{
	need_protected(cpu, insn);
	check_umip(cpu, insn);
	store_word(cpu, insn, cpu->state.tr.selector);
	NEXT();
}
EXEC_ONE(str)

ROUTINE(lldt)
{
	need_protected(cpu, insn);
	segment_load_ldt(cpu, insn, load_word(cpu, insn));
	NEXT();
}
EXEC_ONE(lldt)

ROUTINE(ltr)
{
	need_protected(cpu, insn);
	segment_load_task(cpu, insn, load_word(cpu, insn));
	NEXT();
}
EXEC_ONE(ltr)

static void store_table(struct cpu *cpu, const struct insn *insn, const struct x86_table *table)
{
	uint8_t image[10];

	check_umip(cpu, insn);
	le16_store(image, table->limit);
	le64_store(image + 2, table->base);
	mem_write_bytes(cpu, insn, insn_ea(cpu, insn), image, cpu->mode_key & MODE_64 ? 10 : 6);
}

static void load_table(struct cpu *cpu, const struct insn *insn, struct x86_table *table)
{
	uint8_t image[10] = {0};
	uint64_t base;

	mem_read_bytes(cpu, insn, insn_ea(cpu, insn), image, cpu->mode_key & MODE_64 ? 10 : 6);
	base = le64_load(image + 2);
	if (!is_canonical(base))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	/* A 16-bit operand size loads 24 bits of base. */
	if (!(cpu->mode_key & MODE_64))
		base &= insn->opsize == 2 ? 0xffffff : ~0u;
	*table = (struct x86_table){.base = base, .limit = le16_load(image)};
}

ROUTINE(sgdt)
{
	store_table(cpu, insn, &cpu->state.gdtr);
	NEXT();
}
EXEC_ONE(sgdt)

ROUTINE(sidt)
{
	store_table(cpu, insn, &cpu->state.idtr);
	NEXT();
}
EXEC_ONE(sidt)

ROUTINE(lgdt)
{
	load_table(cpu, insn, &cpu->state.gdtr);
	NEXT();
}
EXEC_ONE(lgdt)

ROUTINE(lidt)
{
	load_table(cpu, insn, &cpu->state.idtr);
	NEXT();
}
EXEC_ONE(lidt)

static void set_zf(struct cpu *cpu, bool zf)
{
	cpu->flags = zf ? cpu->flags | FLAG_ZF : cpu->flags & ~FLAG_ZF;
}

/* Whether CPL and RPL may see the descriptor; conforming code anyone may. */
static bool is_visible(const struct cpu *cpu, uint16_t selector, const struct x86_segment *s)
{
	if ((s->attr & SEG_S) && (s->attr & SEG_TYPE_CODE) && (s->attr & SEG_TYPE_CONF))
		return true;
	return MAX(cpu_cpl(cpu), SELECTOR_RPL(selector)) <= segment_dpl(s);
}

/* System types LAR and LSL accept, a bit each; LSL takes no gates, long mode no 286 types. */
static bool type_answers(const struct cpu *cpu, const struct x86_segment *s, bool gates)
{
	uint32_t types = 1u << SYS_LDT | 1u << SYS_TSS_AVAILABLE | 1u << SYS_TSS_BUSY;
	bool long_mode = cpu->state.efer & EFER_LMA;

	if (s->attr & SEG_S)
		return true;
	if (gates)
		types |= 1u << SYS_CALL_GATE;
	if (!long_mode)
		types |= 1u << SYS_TSS286_AVAILABLE | 1u << SYS_TSS286_BUSY;
	if (!long_mode && gates)
		types |= 1u << SYS_CALL_GATE286 | 1u << SYS_TASK_GATE;
	return types >> (s->attr & SEG_TYPE) & 1;
}

static bool inspect(struct cpu *cpu, const struct insn *insn, bool gates, struct descriptor *d,
		    struct x86_segment *s)
{
	uint16_t selector;

	need_protected(cpu, insn);
	selector = load_word(cpu, insn);
	if (!segment_peek(cpu, insn, selector, d))
		return false;
	*s = segment_from(selector, d->low);
	return type_answers(cpu, s, gates) && is_visible(cpu, selector, s);
}

static void set_reg_v(struct cpu *cpu, const struct insn *insn, uint64_t v)
{
	if (insn->opsize == 2)
		SET_REG16(insn->reg, v);
	else
		SET_REG64(insn->reg, v);
}

ROUTINE(lar)
{
	struct descriptor d;
	struct x86_segment s;
	bool ok = inspect(cpu, insn, true, &d, &s);

	if (ok)
		set_reg_v(cpu, insn, d.low >> 32 & 0x00f0ff00);
	set_zf(cpu, ok);
	NEXT();
}
EXEC_ONE(lar)

ROUTINE(lsl)
{
	struct descriptor d;
	struct x86_segment s;
	bool ok = inspect(cpu, insn, false, &d, &s);

	if (ok)
		set_reg_v(cpu, insn, s.limit);
	set_zf(cpu, ok);
	NEXT();
}
EXEC_ONE(lsl)

ROUTINE(verr)
{
	struct descriptor d;
	struct x86_segment s;
	bool ok = inspect(cpu, insn, false, &d, &s);

	set_zf(cpu, ok && (s.attr & SEG_S) &&
			    (!(s.attr & SEG_TYPE_CODE) || (s.attr & SEG_TYPE_RW)));
	NEXT();
}
EXEC_ONE(verr)

ROUTINE(verw)
{
	struct descriptor d;
	struct x86_segment s;
	bool ok = inspect(cpu, insn, false, &d, &s);

	set_zf(cpu, ok && (s.attr & SEG_S) && !(s.attr & SEG_TYPE_CODE) && (s.attr & SEG_TYPE_RW));
	NEXT();
}
EXEC_ONE(verw)

/* Reads, and writes only what changes: a selector that stays may lie in read-only memory. */
ROUTINE(arpl)
{
	bool memory = insn->flags & INSN_MEM;
	uint64_t address = memory ? insn_ea(cpu, insn) : 0;
	unsigned rpl = SELECTOR_RPL(REG(uint16_t, insn->reg));
	uint16_t selector;
	bool raise;

	if (cpu->mode_key & MODE_REAL)
		cpu_fault(cpu, insn, EXC_UD);
	selector = memory ? mem_load16(cpu, insn, address) : REG(uint16_t, insn->rm);
	raise = SELECTOR_RPL(selector) < rpl;
	selector = (selector & ~3) | rpl;
	if (raise && memory)
		mem_store16(cpu, insn, address, selector);
	else if (raise)
		REG(uint16_t, insn->rm) = selector;
	set_zf(cpu, raise);
	NEXT();
}
EXEC_ONE(arpl)

#define FS_GS_BASE(name, segment, write)                                                           \
	ROUTINE(name)                                                                              \
	{                                                                                          \
		uint64_t v = insn->opsize == 8 ? REG(uint64_t, insn->rm) : REG(uint32_t, insn->rm); \
		if (!(cpu->state.cr4 & CR4_FSGSBASE))                                              \
			cpu_fault(cpu, insn, EXC_UD);                                              \
		if (!(write)) {                                                                    \
			v = cpu->state.seg[segment].base;                                          \
			REG(uint64_t, insn->rm) = insn->opsize == 8 ? v : (uint32_t)v;             \
		} else {                                                                           \
			if (!is_canonical(v))                                                      \
				cpu_fault_code(cpu, insn, EXC_GP, 0);                              \
			cpu->state.seg[segment].base = cpu->seg_base[segment] = v;                 \
		}                                                                                  \
		NEXT();                                                                            \
	}                                                                                          \
	EXEC_ONE(name)
FS_GS_BASE(rdfsbase, X86_FS, false)
FS_GS_BASE(rdgsbase, X86_GS, false)
FS_GS_BASE(wrfsbase, X86_FS, true)
FS_GS_BASE(wrgsbase, X86_GS, true)

ROUTINE(swapgs)
{
	uint64_t base = cpu->state.seg[X86_GS].base;

	cpu->state.seg[X86_GS].base = cpu->seg_base[X86_GS] = cpu->state.kernel_gs_base;
	cpu->state.kernel_gs_base = base;
	NEXT();
}
EXEC_ONE(swapgs)
