/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state-save area is AMD's for a processor with long mode (APM volume 2, table 10-1), which
 * firmware expects of every 64-bit one, and the P6's for others (SDM volume 3, table 34-1), whose
 * reserved part has what that table leaves open. There are no I/O instruction restart and no SVM.
 */
#include "cpu/x86/smm.h"

#include "base/le.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/paging.h"

enum {
	AREA = 0xfe00,
	AREA_SIZE = 0x200,
	HANDLER = 0x8000,
	/* Offsets in the area, of both layouts. */
	SEGMENTS = 0x00, /* 16 bytes each: selector, attributes, limit, base; ES CS SS DS FS GS */
	GDTR = 0x60,
	LDTR = 0x70,
	IDTR = 0x80,
	TR = 0x90,
	EFER = 0xd0,
	REVISION = 0xfc,
	/* Of each. */
	HALT_RESTART64 = 0xc9,
	HALT_RESTART32 = 0x102,
	SMBASE64 = 0x100,
	SMBASE32 = 0xf8,
};

#define CAN_RELOCATE  0x20000u /* SMBASE is what RSM finds there */
#define LAYOUT64      0x64u
#define SEG_ATTR_MASK 0xf0ff

struct place {
	uint16_t offset, member;
	uint8_t size;
};

#define PLACE(offset, member, size)                              \
	{                                                        \
		offset, offsetof(struct x86_state, member), size \
	}
static const struct place places64[] = {
	PLACE(EFER, efer, 8),	       PLACE(0x148, cr4, 8),	      PLACE(0x150, cr3, 8),
	PLACE(0x158, cr0, 8),	       PLACE(0x160, dr7, 8),	      PLACE(0x168, dr6, 8),
	PLACE(0x170, rflags, 8),       PLACE(0x178, rip, 8),	      PLACE(0x180, gpr[X86_R15], 8),
	PLACE(0x188, gpr[X86_R14], 8), PLACE(0x190, gpr[X86_R13], 8), PLACE(0x198, gpr[X86_R12], 8),
	PLACE(0x1a0, gpr[X86_R11], 8), PLACE(0x1a8, gpr[X86_R10], 8), PLACE(0x1b0, gpr[X86_R9], 8),
	PLACE(0x1b8, gpr[X86_R8], 8),  PLACE(0x1c0, gpr[X86_RDI], 8), PLACE(0x1c8, gpr[X86_RSI], 8),
	PLACE(0x1d0, gpr[X86_RBP], 8), PLACE(0x1d8, gpr[X86_RSP], 8), PLACE(0x1e0, gpr[X86_RBX], 8),
	PLACE(0x1e8, gpr[X86_RDX], 8), PLACE(0x1f0, gpr[X86_RCX], 8), PLACE(0x1f8, gpr[X86_RAX], 8),
	PLACE(SMBASE64, smbase, 4),
};
static const struct place places32[] = {
	PLACE(EFER, efer, 4),
	PLACE(0xe8, cr4, 4),
	PLACE(0x1fc, cr0, 4),
	PLACE(0x1f8, cr3, 4),
	PLACE(0x1f4, rflags, 4),
	PLACE(0x1f0, rip, 4),
	PLACE(0x1ec, gpr[X86_RDI], 4),
	PLACE(0x1e8, gpr[X86_RSI], 4),
	PLACE(0x1e4, gpr[X86_RBP], 4),
	PLACE(0x1e0, gpr[X86_RSP], 4),
	PLACE(0x1dc, gpr[X86_RBX], 4),
	PLACE(0x1d8, gpr[X86_RDX], 4),
	PLACE(0x1d4, gpr[X86_RCX], 4),
	PLACE(0x1d0, gpr[X86_RAX], 4),
	PLACE(0x1cc, dr6, 4),
	PLACE(0x1c8, dr7, 4),
	PLACE(0x1c4, tr.selector, 2),
	PLACE(0x1c0, ldtr.selector, 2),
	PLACE(0x1bc, seg[X86_GS].selector, 2),
	PLACE(0x1b8, seg[X86_FS].selector, 2),
	PLACE(0x1b4, seg[X86_DS].selector, 2),
	PLACE(0x1b0, seg[X86_SS].selector, 2),
	PLACE(0x1ac, seg[X86_CS].selector, 2),
	PLACE(0x1a8, seg[X86_ES].selector, 2),
	PLACE(SMBASE32, smbase, 4),
};

static bool has_64bit_layout(const struct cpu *cpu)
{
	return cpu->model->has[F_LM];
}

static const struct place *get_places(const struct cpu *cpu, size_t *n)
{
	*n = has_64bit_layout(cpu) ? G_N_ELEMENTS(places64) : G_N_ELEMENTS(places32);
	return has_64bit_layout(cpu) ? places64 : places32;
}

static uint8_t *halt_restart(const struct cpu *cpu, uint8_t *area)
{
	return area + (has_64bit_layout(cpu) ? HALT_RESTART64 : HALT_RESTART32);
}

static void put_segment(uint8_t *at, const struct x86_segment *s)
{
	le16_store(at, s->selector);
	le16_store(at + 2, s->attr & SEG_ATTR_MASK);
	le32_store(at + 4, s->limit);
	le64_store(at + 8, s->base);
}

static struct x86_segment get_segment(const uint8_t *at)
{
	return (struct x86_segment){
		.selector = le16_load(at),
		.attr = le16_load(at + 2) & SEG_ATTR_MASK,
		.limit = le32_load(at + 4),
		.base = le64_load(at + 8),
	};
}

static void put_table(uint8_t *at, const struct x86_table *t)
{
	le16_store(at + 4, t->limit);
	le64_store(at + 8, t->base);
}

static struct x86_table get_table(const uint8_t *at)
{
	return (struct x86_table){.limit = le16_load(at + 4), .base = le64_load(at + 8)};
}

static void save(const struct cpu *cpu, const struct x86_state *s, uint8_t *area)
{
	const struct place *places;
	size_t n;

	for (unsigned i = 0; i < X86_N_SEGS; i++)
		put_segment(area + SEGMENTS + 16 * i, &s->seg[i]);
	put_segment(area + LDTR, &s->ldtr);
	put_segment(area + TR, &s->tr);
	put_table(area + GDTR, &s->gdtr);
	put_table(area + IDTR, &s->idtr);
	places = get_places(cpu, &n);
	for (size_t i = 0; i < n; i++)
		memcpy(area + places[i].offset, (const uint8_t *)s + places[i].member,
		       places[i].size);
	le32_store(area + REVISION, CAN_RELOCATE | (has_64bit_layout(cpu) ? LAYOUT64 : 0));
	*halt_restart(cpu, area) = s->activity == X86_HALTED;
}

static void load(const struct cpu *cpu, struct x86_state *s, const uint8_t *area)
{
	const struct place *places;
	size_t n;

	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = get_segment(area + SEGMENTS + 16 * i);
	s->ldtr = get_segment(area + LDTR);
	s->tr = get_segment(area + TR);
	s->gdtr = get_table(area + GDTR);
	s->idtr = get_table(area + IDTR);
	places = get_places(cpu, &n);
	for (size_t i = 0; i < n; i++)
		memcpy((uint8_t *)s + places[i].member, area + places[i].offset, places[i].size);
	s->dr6 = (s->dr6 & 0xe00f) | 0xffff0ff0;
	s->dr7 = (s->dr7 & 0xffff2bff) | 0x400;
	s->efer &= ~EFER_LMA;
	if ((s->efer & EFER_LME) && (s->cr0 & CR0_PG))
		s->efer |= EFER_LMA;
}

/* What RSM puts the processor into shutdown for (SDM volume 3, 34.4.1 and 34.15; APM volume
 * 2, 10.3.5). */
static bool is_valid(const struct cpu *cpu, const struct x86_state *s)
{
	const struct x86_model *m = cpu->model;

	return !(s->cr0 >> 32) && !((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)) &&
	       !(s->cr4 & ~m->cr4_mask) && !(s->efer & ~(m->efer_mask | EFER_LMA)) &&
	       ((s->efer & EFER_LMA) || !(s->cr4 & CR4_PCIDE)) && x86_state_table.check(s);
}

/* The processor's registers as `cpu->state` has them now. */
static void take_over(struct cpu *cpu)
{
	memcpy(cpu->gpr, cpu->state.gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, cpu->state.rflags);
	cpu->debug_pending = 0;
	cpu->no_step = true;
	mmu_flush(cpu);
	cpu_update_mode(cpu);
	atomic_store(&cpu->attention, true);
}

void smm_enter(struct cpu *cpu)
{
	struct x86_state *s = &cpu->state;
	uint8_t area[AREA_SIZE] = {0};

	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->rflags = cpu_rflags(cpu);
	save(cpu, s, area);
	s->smm = true;
	s->nmi_masked_before_smm = s->nmi_masked;
	s->nmi_masked = true;
	s->activity = X86_ACTIVE;
	mmu_physical_write(cpu, (uint64_t)s->smbase + AREA, area, sizeof(area));

	s->rflags = RFLAGS_FIXED;
	s->rip = HANDLER;
	s->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
	s->cr4 = s->efer = 0;
	s->dr7 = 0x400;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = (struct x86_segment){
			.limit = ~0u,
			.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC | SEG_G,
		};
	s->seg[X86_CS].selector = s->smbase >> 4;
	s->seg[X86_CS].base = s->smbase;
	s->seg[X86_CS].attr |= SEG_TYPE_CODE;
	take_over(cpu);
}

/* A fault while a double fault is delivered. */
static void G_GNUC_NORETURN shut_down(struct cpu *cpu, const struct insn *insn)
{
	cpu->delivering = EXC_DF;
	cpu_fault_code(cpu, insn, EXC_GP, 0);
}

ROUTINE(rsm)
{
	struct x86_state *s = &cpu->state, next;
	uint8_t area[AREA_SIZE];

	if (!s->smm)
		cpu_fault(cpu, insn, EXC_UD);
	mmu_physical_read(cpu, (uint64_t)s->smbase + AREA, area, sizeof(area));
	next = *s;
	load(cpu, &next, area);
	if (!is_valid(cpu, &next))
		shut_down(cpu, insn);
	next.smm = false;
	next.nmi_masked = s->nmi_masked_before_smm;
	next.nmi_masked_before_smm = false;
	if (*halt_restart(cpu, area) & 1)
		next.activity = X86_HALTED;
	*s = next;
	if (paging_is_pae(s->cr0, s->cr4, s->efer) && !paging_load_pdptes(cpu, s->cr3))
		shut_down(cpu, NULL);
	take_over(cpu);
}
EXEC_ONE(rsm)
