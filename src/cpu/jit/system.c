/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions of the system that need no T0. */
#include "cpu/jit/translate.h"

/* SWAPGS, at CPL 0. */
void emit_swapgs(struct jit_ctx *c)
{
	struct host_mem base = MEM_GS(GS(state.seg[X86_GS].base));
	struct host_mem kernel = MEM_GS(GS(state.kernel_gs_base));

	c->delta_held = -1;
	emit_load64(&c->e, SCRATCH0, base);
	emit_load64(&c->e, SCRATCH1, kernel);
	emit_store64(&c->e, kernel, SCRATCH0);
	emit_store64(&c->e, base, SCRATCH1);
	emit_store64(&c->e, MEM_GS(GS(seg_base[X86_GS])), SCRATCH1);
}

void emit_cli(struct jit_ctx *c, unsigned i)
{
	flags_clobber(c, i);
	emit_rm(&c->e, false, 0x81, 4, MEM_GS(GS(state.rflags))); /* and */
	emit32(&c->e, ~RFLAGS_IF);
}

/*
 * The next instruction is in the region, so that interrupts are not looked for before it has run. They are
 * where the region ends, if one was held off.
 */
void emit_sti(struct jit_ctx *c, unsigned i)
{
	uint8_t *none;

	flags_clobber(c, i);
	emit_rm(&c->e, false, 0x81, 1, MEM_GS(GS(state.rflags))); /* or */
	emit32(&c->e, RFLAGS_IF);
	emit_cmp8_imm(&c->e, MEM_GS(GS(event_waits)), 0);
	none = emit_jcc(&c->e, CC_E);
	emit_store8_imm(&c->e, MEM_GS(GS(attention)), 1);
	emit_patch_here(&c->e, none);
}

/* Outside virtual-8086 mode, whatever IOPL is. */
void emit_pushf(struct jit_ctx *c, unsigned i)
{
	struct emit *e = &c->e;
	struct host_mem m;
	unsigned scratch;

	flags_need(c);
	c->delta_held = -1;
	emit_store64(e, JIT(scratch), RAX);
	EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);       /* lahf; seto al */
	EMIT(e, 0x65, 0x66, 0x89, 0x04, 0x25); /* mov gs:[flags], ax */
	emit32(e, GS(flags));
	EMIT(e, 0x44, 0x0f, 0xb6, 0xd8);      /* movzx r11d, al */
	EMIT(e, 0x41, 0xc1, 0xe3, 11);	      /* shl r11d, 11 */
	EMIT(e, 0x0f, 0xb6, 0xc4);	      /* movzx eax, ah */
	emit_rr(e, false, 0x09, SCRATCH1, RAX); /* or eax, r11d */
	emit_rm(e, false, 0x0b, RAX, MEM_GS(GS(state.rflags)));
	emit8(e, 0x25); /* and eax, imm32 */
	emit32(e, ~(RFLAGS_RF | RFLAGS_VM));
	emit_store64(e, JIT(target), RAX);
	emit_load64(e, RAX, JIT(scratch));
	c->flags.place = FLAGS_MEMORY;
	m = emit_stack(c, i, RSP, -(int)stack_size(c));
	scratch = stack_scratch(c, &m);
	emit_load64(e, scratch, JIT(target));
	if (scratch == SCRATCH0)
		c->delta_held = -1;
	emit_rm(e, c->wide, 0x89, scratch, m);
	move_rsp(c, -(int)stack_size(c));
}

/* STAC and CLAC at CPL 0: what follows looks into another TLB, and so is another region. */
void emit_ac(struct jit_ctx *c, unsigned i)
{
	bool set = !strcmp(c->in[i].row->name, "stac");
	uint32_t key = (c->region->mode_key & ~MODE_AC) | (set ? MODE_AC : 0);
	struct tlb *tlb = &c->cpu->tlbs[set ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR];
	struct emit *e = &c->e;

	flags_clobber(c, i);
	emit_rm(e, false, 0x81, set ? 1 : 4, MEM_GS(GS(state.rflags)));
	emit32(e, set ? RFLAGS_AC : ~RFLAGS_AC);
	emit_store32_imm(e, MEM_GS(GS(mode_key)), key);
	emit_mov_imm(e, SCRATCH0, (uint64_t)tlb);
	emit_store64(e, MEM_GS(GS(tlb)), SCRATCH0);
	emit_goto(c, emit_jmp(e), code_address(c, c->in[i].insn.next), c->in[i].live_target);
	c->region->exits->mode_key = key;
}
