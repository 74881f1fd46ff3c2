/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest.h"

#include "cpu/x86/code.h"
#include "host_run.h"

/* Guest-physical places. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	DIRECTORY = 0x3000,
	DATA_TABLE = 0x4000,
	CODE_TABLE = 0x5000,
	DATA = 0x10000,
	CODE = 0x20000,
};
#define PTE (7 | 0x60) /* present, writable, user, accessed, dirty */

static void set_entry(struct guest *guest, uint64_t table, unsigned index, uint64_t to)
{
	((uint64_t *)(guest->env.mem->base + table))[index] = to | PTE;
}

static void map(struct guest *guest, uint64_t table, uint64_t address, uint64_t size, uint64_t gpa)
{
	set_entry(guest, DIRECTORY, address >> 21 & 511, table);
	for (uint64_t at = 0; at < size; at += 4096)
		set_entry(guest, table, (address + at) >> 12 & 511, gpa + at);
}

/* The process's own selectors, since MOV from a segment register shows them. */
static uint16_t host_selector(enum x86_seg seg)
{
	uint16_t v = 0;

	switch (seg) {
	case X86_ES:
		asm("mov %%es, %0" : "=r"(v));
		break;
	case X86_CS:
		asm("mov %%cs, %0" : "=r"(v));
		break;
	case X86_SS:
		asm("mov %%ss, %0" : "=r"(v));
		break;
	case X86_DS:
		asm("mov %%ds, %0" : "=r"(v));
		break;
	case X86_FS:
		asm("mov %%fs, %0" : "=r"(v));
		break;
	default:
		asm("mov %%gs, %0" : "=r"(v));
		break;
	}
	return v;
}

static void set_user_mode(struct x86_state *s)
{
	uint16_t attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACC | 3 << SEG_DPL_SHIFT | SEG_G;

	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->cr3 = PML4;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	s->rflags = RFLAGS_FIXED | RFLAGS_IF;
	for (enum x86_seg seg = X86_ES; seg < X86_N_SEGS; seg++)
		s->seg[seg] = (struct x86_segment){
			.limit = ~0u, .selector = host_selector(seg), .attr = attr | SEG_DB};
	s->seg[X86_CS].attr = attr | SEG_TYPE_CODE | SEG_L;
}

void guest_init(struct guest *guest)
{
	g_autoptr(GError) error = NULL;
	struct x86_state state;
	struct vcpu *vcpu;

	guest->env = (struct engine_env){.mem = mem_new(16 << 20, &error),
					 .bus = bus_new(),
					 .clock = clock_new_manual(),
					 .n_vcpus = 1};
	g_assert_no_error(error);
	guest->env.lapics = lapic_set_new(guest->env.bus, guest->env.clock, 1);
	vcpu = engine_soft.vcpu_new(&guest->env, 0, &error);
	g_assert_no_error(error);
	set_entry(guest, PML4, 0, PDPT);
	set_entry(guest, PDPT, 0, DIRECTORY);
	map(guest, DATA_TABLE, HOST_DATA, HOST_DATA_SIZE, DATA);
	map(guest, CODE_TABLE, HOST_CODE, HOST_CODE_SIZE, CODE);
	guest->data = guest->env.mem->base + DATA;
	engine_soft.get_state(vcpu, &state);
	set_user_mode(&state);
	engine_soft.set_state(vcpu, &state);
	guest->cpu = (struct cpu *)vcpu;
}

void guest_set_mode(struct guest *guest, enum insn_mode mode)
{
	struct x86_segment *seg = guest->cpu->state.seg;
	bool is64 = mode == INSN_MODE_64;

	seg[X86_CS].attr = (seg[X86_CS].attr & ~(SEG_L | SEG_DB)) | (is64 ? SEG_L : SEG_DB);
	seg[X86_CS].selector = is64 ? host_selector(X86_CS) : HOST_CS32;
	seg[X86_DS].selector = seg[X86_ES].selector = is64 ? host_selector(X86_DS) : HOST_DS32;
	cpu_update_mode(guest->cpu);
}

void guest_set_code(struct guest *guest, unsigned offset, const uint8_t *bytes, unsigned n)
{
	g_assert_true(mem_write(guest->env.mem, CODE + offset, bytes, n));
	code_take_written(guest->cpu);
	guest->cpu->state.rip = HOST_CODE + offset;
}
