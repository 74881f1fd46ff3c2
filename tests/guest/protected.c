/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 32-bit protected mode: SDM volume 3, 6.12 (gates, stack switch, error codes, EXT), 5.8 (call
 * gates, conforming code, returns to outer levels), 2.3 (flags by privilege).
 */
#include "guest32.h"

enum { S1 = SEL_FREE, S2 = SEL_FREE + 8, S3 = SEL_FREE + 16 };
enum { GATE16 = 0x06, GATE32 = 0x0e, CALL16 = 0x84, CALL32 = 0x8c, DPL3 = 0x60 };

static volatile uint32_t seen[8];

static uint64_t call_gate(unsigned selector, void *target, unsigned access, unsigned n)
{
	uint32_t at = (uint32_t)target;

	return (uint64_t)(at & 0xffff0000) << 32 | (uint64_t)access << 40 | (uint64_t)n << 32 |
	       selector << 16 | (at & 0xffff);
}

static void ud(void)
{
	asm volatile("ud2");
}
static void user_ud(void)
{
	run_user(ud);
}
static void int40(void)
{
	asm volatile("int $0x40\n\tud2");
}
static void user_int40(void)
{
	run_user(int40);
}
static void int80(void)
{
	asm volatile("int $0x80\n\tud2");
}
static void user_int80(void)
{
	run_user(int80);
}

static void interrupts(void)
{
	check_raises(user_ud, 6, 0);
	check_equal(last.cs, SEL_USER);
	check_equal(last.ss, SEL_USER_DATA);
	check_equal(last.esp, (uint32_t)user_top);
	check_equal(last.eip, (uint32_t)ud);
	check(last.eflags & EFLAGS_RF);
	/* A gate's DPL binds INT n only; EXT is clear for it. */
	check_raises(user_int40, 13, 0x40 * 8 + 2);
	check_raises(user_int80, 6, 0);
	set_gate(0x40, SEL_CODE, exception_stubs, GATE32);
	idt[0x40] &= ~(1ull << 47);
	check_raises(int40, 11, 0x40 * 8 + 2);
	/* The same absent gate for an exception has EXT set. */
	idt[6] &= ~(1ull << 47);
	check_raises(ud, 11, 6 * 8 + 3);
	idt[6] |= 1ull << 47;
	idt[0x40] = 0;
	check_raises(int40, 13, 0x40 * 8 + 2);
	set_gate(0x40, 0, exception_stubs, GATE32);
	check_raises(int40, 13, 0);
	set_gate(0x40, SEL_DATA, exception_stubs, GATE32);
	check_raises(int40, 13, SEL_DATA);
	gdt[S1 / 8] = descriptor(0, 0xfff, 0x9b, 4);
	set_gate(0x40, S1, exception_stubs, GATE32);
	check_raises(int40, 13, 0);
	gdt[S1 / 8] = descriptor(0, 0xfffff, 0x1b, 0xc);
	check_raises(int40, 11, S1);
	gdt[S1 / 8] = descriptor(0, 0xfffff, 0x9b, 0xc);
}

static void int42(void)
{
	asm volatile("int $0x42\n\tud2");
}
static void user_int42(void)
{
	run_user(int42);
}

/* Stacks that the TSS names wrongly, for an interrupt to CPL 1. */
static void bad_stacks(void)
{
	static const struct {
		uint32_t ss;
		unsigned vector, code;
	} cases[] = {
		{0, 10, 0},	      {SEL_DATA, 10, SEL_DATA}, {SEL_CODE | 1, 10, SEL_CODE},
		{0x1001, 10, 0x1000}, {S2 | 1, 12, S2},		{S3 | 1, 12, S3},
	};

	gdt[S1 / 8] = descriptor(0, 0xfffff, 0xbb, 0xc);
	gdt[S2 / 8] = descriptor(0, 0xfffff, 0x33, 0xc);
	gdt[S3 / 8] = descriptor(0, 0xff, 0xb3, 4);
	set_gate(0x42, S1, ud, GATE32 | DPL3);
	tss.esp1 = (uint32_t)ring0_top;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tss.ss1 = cases[i].ss;
		check_raises(user_int42, cases[i].vector, cases[i].code);
		check_equal(last.eip, (uint32_t)int42);
		check_equal(last.cs, SEL_USER);
	}
	gdt[S2 / 8] |= 1ull << 47;
	tss.ss1 = S2 | 1;
	check_raises(user_int42, 6, 0);
	check_equal(last.cs, S1 | 1);
	check_equal(last.ss, S2 | 1);
	check_equal(last.esp, (uint32_t)ring0_top - 20);
}

/* A 16-bit gate pushes words. */
extern char handler16[];
asm(".pushsection .text16, \"awx\"\nhandler16:\n\t"
    "movl %eax, seen\n\tmov %esp, %eax\n\tpushl (%eax)\n\tpopl seen + 4\n\tpushl 4(%eax)\n\t"
    "popl seen + 8\n\tmov %esp, seen + 12\n\tud2\n\t.popsection");
static void int41(void)
{
	asm volatile("mov %%esp, %%eax\n\tmov %%esp, seen + 16\n\tint $0x41" : : : "eax", "memory");
}

static void gate16(void)
{
	set_gate(0x41, SEL_CODE, handler16, GATE16);
	check_raises(int41, 6, 0);
	check_equal(seen[4] - seen[3], 6);
	check_equal(seen[1] >> 16, SEL_CODE);
	check_equal(seen[1] & 0xffff, ((uint32_t)int41 + 10) & 0xffff);
}

/* A call gate from CPL 3 copies parameters to the inner stack; RET n releases them on both. */
extern char inner[], call_returns[];
asm(".text\ninner:\n\tmov 8(%esp), %eax\n\tmov %ss:12(%esp), %ebx\n\tmov %eax, %ss:seen\n\t"
    "mov %ebx, %ss:seen + 4\n\tmov 16(%esp), %eax\n\tmov %eax, %ss:seen + 8\n\t"
    "mov 20(%esp), %eax\n\tmov %eax, %ss:seen + 12\n\tmov %cs, %ss:seen + 16\n\tmov %esp, %ss:seen "
    "+ 20\n\t"
    "lret $8");
static void call_through(void)
{
	asm volatile("pushl $0x222\n\tpushl $0x111\n\tlcall %0, $0\ncall_returns:\n\tud2"
		     :
		     : "i"(S1));
}
static void user_call(void)
{
	run_user(call_through);
}
static void jump_through(void)
{
	asm volatile("ljmp %0, $0" : : "i"(S1));
}
static void user_jump(void)
{
	run_user(jump_through);
}
static void call_absent(void)
{
	asm volatile("lcall %0, $0" : : "i"(S1));
}
static void call_null(void)
{
	asm volatile("lcall $0, $0");
}

static void call_gates(void)
{
	gdt[S1 / 8] = call_gate(SEL_CODE, inner, CALL32 | DPL3, 2);
	check_raises(user_call, 6, 0);
	check_equal(last.eip, (uint32_t)call_returns);
	check_equal(last.cs, SEL_USER);
	check_equal(last.esp, (uint32_t)user_top);
	check_equal(seen[0], 0x111);
	check_equal(seen[1], 0x222);
	check_equal(seen[2], (uint32_t)user_top - 8);
	check_equal(seen[3], SEL_USER_DATA);
	check_equal(seen[4] & 0xffff, SEL_CODE);
	check_equal(seen[5], (uint32_t)ring0_top - 24);
	/* Data segments the outer level may not have would be null now; these it may. */
	check_equal(last.ds, SEL_USER_DATA);
	/* JMP does not change level. */
	check_raises(user_jump, 13, SEL_CODE);
	gdt[S1 / 8] = call_gate(SEL_CODE, inner, CALL32, 2);
	check_raises(user_call, 13, S1);
	gdt[S1 / 8] = call_gate(SEL_CODE, inner, CALL32 & ~0x80, 0);
	check_raises(call_absent, 11, S1);
	gdt[S1 / 8] = call_gate(0, inner, CALL32, 0);
	check_raises(call_absent, 13, 0);
	gdt[S1 / 8] = call_gate(SEL_DATA, inner, CALL32, 0);
	check_raises(call_absent, 13, SEL_DATA);
	check_raises(call_null, 13, 0);
	gdt[S1 / 8] = call_gate(S2, ud, CALL32, 0);
	gdt[S2 / 8] = descriptor(0, 0xff, 0x9b, 4);
	check_raises(call_absent, 13, 0);
}

static void popf_all(void)
{
	asm volatile("pushl $0x47202\n\tpopf\n\tud2");
}
static void user_popf(void)
{
	run_user(popf_all);
}
static void do_cli(void)
{
	asm volatile("cli");
}
static void user_cli(void)
{
	run_user(do_cli);
}
static void do_sti(void)
{
	asm volatile("sti\n\tud2");
}
static void user_sti(void)
{
	run_user(do_sti);
}

static void flags(void)
{
	check_raises(user_popf, 6, 0);
	/* IF and IOPL stay, NT and AC change. */
	check_equal(last.eflags & 0x47200, 0x44000);
	check_raises(user_cli, 13, 0);
	write_cr4(2); /* PVI */
	check_raises(user_sti, 6, 0);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF), EFLAGS_VIF);
	write_cr4(0);
}

/* IRET and far RET to an outer level. */
static void ret_outer(void)
{
	gdt[S3 / 8] = descriptor(0, 0xfffff, 0x93, 0xc);
	asm volatile(
		"mov %[s3], %%eax\n\tmov %%eax, %%fs\n\tmov $0x23, %%eax\n\tmov %%eax, %%gs\n\t"
		"push $0x23\n\tpush $user_top\n\tpush $0x1b\n\tpush $ud_here\n\tlret\n"
		"ud_here: ud2"
		:
		: [s3] "i"(S3)
		: "eax");
}
static void ret_inner(void)
{
	asm volatile("push %0\n\tpush $0\n\tlret" : : "i"(SEL_CODE));
}
static void user_ret_inner(void)
{
	run_user(ret_inner);
}
static void iret_bad_stack(void)
{
	asm volatile("push %0\n\tpush $user_top\n\tpushf\n\tpush $0x1b\n\tpush $0\n\tiret"
		     :
		     : "i"(SEL_DATA));
}
static void iret_beyond_limit(void)
{
	gdt[S2 / 8] = descriptor(0, 0xff, 0x9b, 4);
	asm volatile("pushf\n\tpush %0\n\tpush $0x100\n\tiret" : : "i"(S2));
}
static void jump_beyond(void)
{
	/* Near branches and running on fault at the limit. */
	gdt[S2 / 8] = descriptor(0, (uint32_t)ud - 1, 0x9b, 4);
	asm volatile("ljmp %0, $in_small\nin_small: nop" : : "i"(S2));
}

static void returns(void)
{
	check_raises(ret_outer, 6, 0);
	check_equal(last.cs, SEL_USER);
	check_equal(last.fs, 0);
	check_equal(last.gs, 0x23);
	check_raises(user_ret_inner, 13, SEL_CODE);
	check_raises(iret_bad_stack, 13, SEL_DATA);
	check_raises(iret_beyond_limit, 13, 0);
	check_raises(jump_beyond, 13, 0);
}

void test_main(void)
{
	interrupts();
	bad_stacks();
	gate16();
	call_gates();
	flags();
	returns();
}
