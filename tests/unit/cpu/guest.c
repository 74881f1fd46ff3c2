/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest.h"

#include "cpu/x86/code.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/vector.h"
#include "host_run.h"

/* Guest-physical places. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	DIRECTORY = 0x3000,
	DATA_TABLE = 0x4000,
	CODE_TABLE = 0x5000,
	SYSTEM_TABLE = 0x6000,
	DATA = 0x10000,
	SYSTEM = 0x30000,
	CODE = 0x100000, /* CODE_SLOTS times the code pages */
	CODE_SLOTS = 1024,
};
#define PTE	 (7 | 0x60) /* present, writable, user, accessed, dirty */
#define PTE_USER 4
#define PTE_RW	 2

/* The supervisor's pages, where the host has nothing. */
#define SYSTEM_LINEAR 0x3ff00000ull
enum {
	GDT = 0,
	TSS = 0x100,
	TSS_IST1 = 0x24,
	IDT = 0x1000,
	HANDLERS = 0x2000,
	STACK_TOP = 0x4000,
	SYSTEM_SIZE = 0x4000
};
enum { KERNEL_CS = 8, TSS_SELECTOR = 16 };
#define HANDLER_SIZE 16
#define END_VECTOR   0x80
#define STOP_PORT    0xf4

static void set_entry(struct guest *guest, uint64_t table, unsigned index, uint64_t to)
{
	((uint64_t *)(guest->env.mem->base + table))[index] = to | PTE;
}

static uint64_t *entry_of(struct guest *guest, uint64_t table, uint64_t address)
{
	return (uint64_t *)(guest->env.mem->base + table) + (address >> 12 & 511);
}

static void map(struct guest *guest, uint64_t table, uint64_t address, uint64_t size, uint64_t gpa)
{
	set_entry(guest, DIRECTORY, address >> 21 & 511, table);
	for (uint64_t at = 0; at < size; at += 4096)
		*entry_of(guest, table, address + at) = (gpa + at) | PTE;
}

static bool has_error_code(unsigned vector)
{
	return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

/* In the handler, rsp at what it has pushed. NULL: a program that has lost its way came to the port. */
static uint64_t *handler_stack(struct guest *guest, uint64_t rsp)
{
	if (rsp < SYSTEM_LINEAR || rsp > SYSTEM_LINEAR + STACK_TOP - 6 * sizeof(uint64_t))
		return NULL;
	return (uint64_t *)(guest->env.mem->base + SYSTEM + (rsp - SYSTEM_LINEAR));
}

static void stop_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct guest *guest = opaque;
	struct guest_frame *frame = &guest->frame;
	uint64_t *stack = handler_stack(guest, guest->cpu->gpr[X86_RSP]);

	if (!stack)
		return;
	frame->vector = *stack++;
	frame->error_code = has_error_code(frame->vector) ? *stack++ : 0;
	memcpy(&frame->rip, stack, 5 * sizeof(*stack));
	if (!guest->on_exception) {
		guest->engine->kick((struct vcpu *)guest->cpu);
		return;
	}
	guest->on_exception(guest, frame);
	memcpy(stack, &frame->rip, 5 * sizeof(*stack));
}

static uint64_t stop_port_read(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

/* Interrupt gates (SDM volume 3, 6.14.1) to one handler each, on the stack of IST1: PUSH of the
 * vector, OUT to the stop port, ADD over what was pushed, IRETQ. */
static void build_handlers(struct guest *guest)
{
	uint8_t *system = guest->env.mem->base + SYSTEM;

	for (unsigned i = 0; i < 256; i++) {
		uint8_t handler[] = {0x68, i, 0, 0, 0, 0xe6, STOP_PORT, 0x48, 0x83, 0xc4,
				     has_error_code(i) ? 16 : 8, 0x48, 0xcf};
		uint64_t to = SYSTEM_LINEAR + HANDLERS + HANDLER_SIZE * i;
		uint64_t gate[2] = {(to & 0xffff) | KERNEL_CS << 16 | 1ull << 32 |
					    (i == END_VECTOR ? 0xeeull : 0x8eull) << 40 |
					    (to >> 16 & 0xffff) << 48,
				    to >> 32};

		memcpy(system + IDT + 16 * i, gate, sizeof(gate));
		memcpy(system + HANDLERS + HANDLER_SIZE * i, handler, sizeof(handler));
	}
}

static void build_system(struct guest *guest)
{
	static const struct bus_ops stop_port = {stop_port_read, stop_port_write, 1, 1};
	uint64_t gdt[] = {0, 0x00af9b000000ffff}, stack = SYSTEM_LINEAR + STACK_TOP;
	uint8_t *system = guest->env.mem->base + SYSTEM;

	map(guest, SYSTEM_TABLE, SYSTEM_LINEAR, SYSTEM_SIZE, SYSTEM);
	for (uint64_t at = 0; at < SYSTEM_SIZE; at += 4096)
		*entry_of(guest, SYSTEM_TABLE, SYSTEM_LINEAR + at) &= ~(uint64_t)PTE_USER;
	memcpy(system + GDT, gdt, sizeof(gdt));
	memcpy(system + TSS + TSS_IST1, &stack, sizeof(stack));
	build_handlers(guest);
	bus_map(guest->env.bus, BUS_PIO, STOP_PORT, 4, &stop_port, guest, NULL);
}

static void set_system_registers(struct x86_state *s)
{
	s->gdtr = (struct x86_table){.base = SYSTEM_LINEAR + GDT, .limit = 15};
	s->idtr = (struct x86_table){.base = SYSTEM_LINEAR + IDT, .limit = 0xfff};
	s->tr = (struct x86_segment){.base = SYSTEM_LINEAR + TSS,
				     .limit = 0x67,
				     .selector = TSS_SELECTOR,
				     .attr = SEG_P | 0xb};
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
	s->xcr0 = x86_model_host()->xcr0_mask;
	s->rflags = RFLAGS_FIXED | RFLAGS_IF;
	for (enum x86_seg seg = X86_ES; seg < X86_N_SEGS; seg++)
		s->seg[seg] = (struct x86_segment){
			.limit = ~0u, .selector = host_selector(seg), .attr = attr | SEG_DB};
	s->seg[X86_CS].attr = attr | SEG_TYPE_CODE | SEG_L;
}

uint64_t *guest_page(struct guest *guest, uint64_t address)
{
	return entry_of(guest, address >= HOST_CODE ? CODE_TABLE : DATA_TABLE, address);
}

void guest_init(struct guest *guest, const struct engine *engine)
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
	guest->engine = engine;
	guest->code_gpa = CODE;
	vcpu = guest->engine->vcpu_new(&guest->env, 0, &error);
	g_assert_no_error(error);
	set_entry(guest, PML4, 0, PDPT);
	set_entry(guest, PDPT, 0, DIRECTORY);
	map(guest, DATA_TABLE, HOST_DATA, HOST_DATA_SIZE, DATA);
	map(guest, CODE_TABLE, HOST_CODE, HOST_CODE_SIZE, CODE);
	*entry_of(guest, DATA_TABLE, HOST_DATA + HOST_READ_ONLY) &= ~(uint64_t)PTE_RW;
	build_system(guest);
	guest->data = guest->env.mem->base + DATA;
	guest->engine->get_state(vcpu, &state);
	set_user_mode(&state);
	set_system_registers(&state);
	guest->engine->set_state(vcpu, &state);
	memcpy(guest->user, state.seg, sizeof(guest->user));
	guest->cpu = (struct cpu *)vcpu;
}

void guest_set_mode(struct guest *guest, enum insn_mode mode)
{
	struct x86_segment *seg = guest->cpu->state.seg;
	bool is64 = mode == INSN_MODE_64;

	memcpy(seg, guest->user, sizeof(guest->user));
	if (!is64) {
		seg[X86_CS].attr ^= SEG_L | SEG_DB;
		seg[X86_CS].selector = HOST_CS32;
		seg[X86_DS].selector = seg[X86_ES].selector = HOST_DS32;
	}
	cpu_update_mode(guest->cpu);
}

void guest_set_registers(struct guest *guest, const struct host_registers *r)
{
	struct cpu *cpu = guest->cpu;

	memcpy(cpu->gpr, r->gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, r->rflags);
	cpu->state.mxcsr = r->mxcsr;
	memcpy(cpu->state.ymm, r->ymm, sizeof(cpu->state.ymm));
	memcpy(cpu->state.zmm_high, r->zmm_high, sizeof(cpu->state.zmm_high));
	memcpy(cpu->state.k, r->k, sizeof(cpu->state.k));
	vector_note_zmm(cpu);
	cpu->state.fpu = (struct x86_fpu){.fcw = r->x87.fcw, .fsw = r->x87.fsw, .ftw = r->x87.ftw};
	memcpy(cpu->state.fpu.st, r->x87.st, sizeof(r->x87.st));
}

void guest_move_code(struct guest *guest, uint64_t gpa)
{
	guest->code_gpa = gpa;
	map(guest, CODE_TABLE, HOST_CODE, HOST_CODE_SIZE, gpa);
	mmu_flush(guest->cpu);
}

void guest_turn_code_page(struct guest *guest)
{
	uint64_t next = guest->code_gpa + HOST_CODE_SIZE;

	guest_move_code(guest, next == CODE + CODE_SLOTS * HOST_CODE_SIZE ? CODE : next);
}

void guest_set_code(struct guest *guest, unsigned offset, const uint8_t *bytes, unsigned n)
{
	code_set_running(guest->cpu);
	g_assert_true(mem_write(guest->env.mem, guest->code_gpa + offset, bytes, n));
	code_take_written(guest->cpu);
	code_set_running(NULL);
	guest->cpu->state.rip = HOST_CODE + offset;
}

void guest_run_steps(struct guest *guest, unsigned end, unsigned landing, unsigned max,
		     struct guest_outcome *outcome)
{
	const struct x86_state *state = &guest->cpu->state;

	do
		outcome->vector = cpu_step(guest->cpu);
	while (outcome->vector < 0 && --max && state->rip != HOST_CODE + end &&
	       (!landing || state->rip != HOST_CODE + landing));
	outcome->error_code = guest->cpu->fault.error_code;
	guest->engine->get_state((struct vcpu *)guest->cpu, &outcome->state);
}

void guest_run_blocks(struct guest *guest, unsigned end, unsigned landing, unsigned max,
		      struct guest_outcome *outcome)
{
	const struct guest_frame *frame = &guest->frame;
	struct x86_state *s = &outcome->state;
	bool ended;

	g_assert_cmpint(guest->engine->run((struct vcpu *)guest->cpu), ==, ENGINE_EXIT_KICK);
	guest->engine->get_state((struct vcpu *)guest->cpu, s);
	ended = frame->vector == END_VECTOR;
	outcome->error_code = frame->error_code;
	outcome->vector = ended ? -1 : (int)frame->vector;
	s->rip = frame->rip - (ended ? GUEST_END_SIZE : 0);
	s->rflags = frame->rflags;
	s->gpr[X86_RSP] = frame->rsp;
}
